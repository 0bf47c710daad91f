//! The Open vSwitch families of generic netlink, over the datapath.
//!
//! ```text
//! ovs_datapath ─┐                          ┌─ Datapath (pfnl-datapath)
//! ovs_vport    ─┤  attributes ─▶ types ─▶  │     ▲ packets          │ misses, USERSPACE actions
//! ovs_flow     ─┤  types ─▶ attributes  ◀─ │     │                  ▼
//! ovs_packet   ─┘                          └─ Devices (platform)   Upper ─▶ ovs_packet MISS, ACTION
//! ```
//!
//! [`Ovs`] is the state behind all families of a domain: its datapaths and the way to open their ports. Requests are
//! handled one at a time (the domain's request lock); packets run beside them and take no lock but those of the
//! queues that their upcalls go to.
//!
//! Rules: what Linux 6.12 answers. Flows, keys and actions are validated whole before anything changes.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;

mod action;
mod ct_limit;
mod datapath;
mod devices;
mod flow;
mod key;
mod meter;
mod options;
mod ovs;
mod packet;
mod psample;
mod upper;
mod vport;

pub use devices::Devices;
pub use ovs::{DatapathInfo, Ovs};
pub use upper::Upper;
