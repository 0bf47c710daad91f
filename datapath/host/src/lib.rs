//! Datapath ports of a Linux process, and the threads that forward between them.
//!
//! ```text
//!   netdev: AF_PACKET ─┐                              ┌─▶ Device ─▶ sendmmsg
//!   internal: TAP ─────┼─▶ worker ─▶ Receiver ─▶ … ───┼─▶ Device ─▶ writev
//!   memory ────────────┤   (epoll)   (a datapath)     ├─▶ Device ─▶ a queue
//!   tunnel: UDP, GRE ──┘                              └─▶ raw socket
//! ```
//!
//! A worker waits for all its ports at once, reads up to 32 frames of one, hands each to the port's [`Receiver`],
//! and when all are through flushes what was sent meanwhile, port by port. Buffers come from a pool of the thread:
//! in the steady state nothing is allocated for a frame.
//!
//! - [`Ports`] opens ports, starts and ends reception, and tells of interfaces that vanish.
//! - [`Frame`] is the packet buffer.
//! - `io` is the seam where a faster way of reading and writing frames goes in.
//!
//! AF_PACKET is a tap: the host's own stack would see what a netdev port receives as well, and answer, route or
//! bridge it a second time. A chain of nf_tables that drops everything keeps it from that, as `openvswitch.ko` does by
//! taking the frames. Where the kernel has no such chains (before 5.12), a line on standard error says so.
//!
//! Lock order: registry → worker → device I/O; a device's transmit queue is taken last, under none of the callers'
//! locks but the datapath's read-side section.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod device;
mod frame;
mod inlet;
mod io;
mod memory;
mod names;
mod ports;
mod tunnel;
mod worker;

pub use frame::Frame;
pub use inlet::Inlet;
pub use memory::Peer;
pub use ports::{Event, Ports};

/// Takes the frames a port has received: an [`Inlet`], or any closure.
pub trait Receiver: Send + Sync + 'static {
    /// Handles one frame. Runs on a forwarding thread; what it sends through ports leaves with the whole batch.
    fn receive(&self, frame: Frame);

    /// Handles the frames of a batch, in order. For those who can save something by seeing them together.
    fn receive_all(&self, frames: &mut Vec<Frame>) -> Taken {
        frames.drain(..).for_each(|frame| self.receive(frame));
        Taken::default()
    }

    /// Goes on with what was put off, for a moment; whether there is still more. Called when nothing else is to be done.
    fn resume(&self) -> bool {
        false
    }
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Some of it was put off: [`Receiver::resume`] is to be called.
    pub more: bool,
    /// How many frames were dropped, for there was no time for them.
    pub dropped: u64,
}

impl<F: Fn(Frame) + Send + Sync + 'static> Receiver for F {
    fn receive(&self, frame: Frame) {
        self(frame);
    }
}
