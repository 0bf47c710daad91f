//! The Open vSwitch datapath, without netlink and without a kernel.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod action;
pub mod csum;
pub mod datapath;
mod deliver;
pub mod extract;
pub mod flow;
pub mod gso;
mod hash;
pub mod key;
pub mod mask;
pub mod offload;
pub mod packet;
mod percpu;
pub mod port;
mod ports;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod upcall;
mod wire;

pub use datapath::{Datapath, DatapathStats, FlowName, Put};
pub use key::FlowKey;
pub use packet::{Packet, VecPacket};
pub use table::{Cursor, MAX_MASKS};
pub use upcall::Upcall;
