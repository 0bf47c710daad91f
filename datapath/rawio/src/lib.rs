//! Raw frames and network interfaces of a Linux host, wrapped safely.
//!
//! - [`PacketSocket`]: an interface's frames by AF_PACKET, with offload metadata and VLAN tags put back.
//! - [`PacketRing`]: the same with received frames in memory shared with the kernel.
//! - [`Hush`]: keeps an interface's frames from the host's own stack, for the sake of the above.
//! - [`Tap`]: a TAP interface of our own, with the same metadata.
//! - [`OuterListener`], [`OuterSender`]: the outer packets of tunnels, by UDP and raw IP.
//! - [`LinkWatch`], [`Links`]: which interfaces there are, and what happens to them (rtnetlink).
//! - [`VnetHeader`]: the ten bytes before every frame that carry its offload metadata.
//!
//! One of the named boundary crates: `unsafe` is allowed here, each block with its reason. It knows neither
//! datapath nor buffers: callers bring `AsMut<[u8]>` memory to read into.
//!
//! Every socket here is one of the host's own kernel, opened in the network namespace of the calling thread.
#![cfg(target_os = "linux")]

mod hush;
mod link;
mod outer;
mod packet;
mod ring;
mod sys;
mod tap;
mod vnet;
mod watch;

pub use hush::{Hush, Hushed};
pub use link::{Link, LinkStats, Links};
pub use outer::{Arrived, OuterListener, OuterProtocol, OuterSender, source_to};
pub use packet::{PacketSocket, Received};
pub use ring::{PacketRing, Part, Slot};
pub use tap::Tap;
pub use vnet::{GsoType, VnetHeader};
pub use watch::{LinkEvent, LinkWatch};

/// How many frames one call reads or writes at most.
pub const BATCH: usize = 32;

/// The longest interface name: `IFNAMSIZ` less its terminating NUL.
pub const NAME_MAX: usize = libc::IFNAMSIZ - 1;
