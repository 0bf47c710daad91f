//! The Open vSwitch datapath, without netlink and without a kernel.
//!
//! ```text
//!              ┌──────────────────────────── Upcall: the layer above (genl-ovs) ──┐
//!              │ miss, USERSPACE                                    put_flow, execute
//!              │                                                                  ▼
//! Port ─► receive ─► extract ─► Table::lookup ─► Flow ─► Actions ─► deliver ─► Port::send
//!   ▲        Packet     FlowKey      masks         stats    │  ▲       csum, gso      │
//!   │                     ▲                                 │  └ set, resize          │
//!   │                     └──────── RECIRC ─────────────────┘                         │
//!   └───────────────────── implemented by a platform: AF_PACKET, TAP, ifnet ──────────┘
//! ```
//!
//! - [`key`], [`mask`], [`extract`]: what is known of a packet, and which of it counts.
//! - `table`, [`flow`]: tuple space search; flows, their names, their statistics.
//! - [`action`]: lists of actions, and how they change packets.
//! - [`datapath`]: ports and flows together; what everybody else calls.
//! - [`conntrack`]: which packets belong together.
//! - [`tunnel`]: what stands around frames that travel inside other packets.
//! - [`packet`], [`port`], [`upcall`]: what a platform, a device and the layer above implement.
//! - [`offload`], [`csum`], [`gso`]: checksums and segments that the hardware was to make.
//!
//! # Readers and writers
//! A packet is handled in one read-side critical section ([`pfnl_platform::Platform::enter`]), without a lock. Everything
//! readers follow hangs on an [`pfnl_platform::RcuCell`]; a writer builds the new before it takes the old away, so a
//! failure (`ENOMEM`) leaves things as they were.
//!
//! Lock order: the layer above's lock (one request at a time; may sleep) → the datapath's writer lock (must not sleep) →
//! none. [`port::Port::send`] and [`Upcall::upcall`] are called with no lock held and inside a section; they may take
//! locks of their own (a queue), never the datapath's. The layer above must not hold a lock that its `upcall` takes while
//! it calls a writer.
//!
//! # Not here yet
//! NSH, fragments put together for connection tracking, its helpers: their fields have a place in [`FlowKey`], their actions
//! get a variant when they are executed.
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
pub mod conntrack;
pub mod csum;
pub mod datapath;
mod deliver;
pub mod extract;
pub mod flow;
mod fragment;
pub mod gso;
mod hash;
pub mod key;
pub mod mask;
pub mod meter;
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
pub mod tunnel;
pub mod upcall;
mod wire;

pub use datapath::{Datapath, DatapathStats, FlowName, PATIENCE, Put};
pub use key::FlowKey;
pub use packet::{Packet, VecPacket};
pub use table::{Cursor, Found, MASKS_CACHE_SIZE, MAX_MASKS};
pub use upcall::Upcall;
