//! Ports without an interface: for tests, and for where no TAP may be made.

use crate::device::Device;
use crate::frame::Frame;
use crate::io::{Batch, Io};
use parking_lot::{Condvar, Mutex};
use pfnl_datapath::packet::Packet;
use pfnl_platform::{Errno, Result};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Frames that wait for the peer; as long as a TAP's queue.
const QUEUE: usize = 500;

/// The other side of a memory port, as the host is of a TAP's.
pub struct Peer {
    queue: Arc<Queue>,
    device: Weak<Device>,
}

#[derive(Default)]
struct Queue {
    frames: Mutex<VecDeque<Frame>>,
    arrived: Condvar,
}

/// The port's side.
pub(crate) struct Memory(Arc<Queue>);

/// A way in and out of memory, and what makes the peer once the device is known.
pub(crate) fn new() -> (Memory, impl FnOnce(&Arc<Device>) -> Peer) {
    let queue = Arc::<Queue>::default();
    (Memory(Arc::clone(&queue)), |device| Peer { queue, device: Arc::downgrade(device) })
}

impl Peer {
    /// Lets the port receive a frame, on this thread.
    ///
    /// # Errors
    /// `ENETDOWN` when the port is gone.
    pub fn send(&self, frame: Frame) -> Result<()> {
        self.device.upgrade().ok_or(Errno::ENETDOWN)?.deliver(frame);
        Ok(())
    }

    /// As [`Peer::send`], a frame of these bytes without offloads.
    ///
    /// # Errors
    /// As [`Peer::send`], and `ENOMEM`.
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.send(Frame::from_bytes(bytes)?)
    }

    /// The next frame that the datapath sent out of the port, if one comes in time.
    pub fn recv(&self, patience: Duration) -> Option<Frame> {
        let mut frames = self.queue.frames.lock();
        if frames.is_empty() {
            self.queue.arrived.wait_for(&mut frames, patience);
        }
        frames.pop_front()
    }
}

impl Io for Memory {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn recv(&self, _: &mut Batch) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&self, out: &[Frame]) -> io::Result<usize> {
        if Arc::strong_count(&self.0) == 1 {
            return Err(Errno::ENETDOWN.into()); // no peer
        }
        let mut frames = self.0.frames.lock();
        let room = QUEUE - frames.len();
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = out.len().min(room);
        for frame in &out[..count] {
            frames.push_back(frame.try_clone()?);
        }
        self.0.arrived.notify_one();
        Ok(count)
    }
}
