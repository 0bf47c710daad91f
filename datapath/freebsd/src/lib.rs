//! openvswitch.ko: the Open vSwitch datapath and its netlink families in the FreeBSD kernel.
//!
//! ```text
//!   driver ─ if_input ─▶ glue/ifnet.c ─▶ Device ─▶ pfnl_datapath ─▶ Device ─ if_transmit ─▶ driver
//!   host's stack ─ if_transmit of an internal port ─▶      │ misses        └ netisr ─▶ host's stack
//!                                                          ▼
//!   pfnl.ko ◀─ glue/family.h ─▶ registry.rs ◀─▶ pfnl_ovs (families)
//! ```
//!
//! The cores are compiled in; sockets and the domain are pfnl.ko's, reached through C functions (registry.rs). Packets are
//! mbuf chains, ports are ifnets. It is a boundary crate; what its `unsafe` blocks stand on:
//!
//! - the network stack hands over packets inside the net epoch, and a chain handed over is ours alone;
//! - an ifnet that is referenced (if_ref) stays memory of an ifnet, whatever becomes of the interface;
//! - an ifnet's functions are called inside the epoch, and a departure event comes before they go.
//!
//! Rules: mbuf(9), ifnet(9), epoch(9), vnet(9), net/if_ethersubr.c.
#![no_std]

extern crate alloc;

mod count;
mod device;
mod offload;
mod packet;
mod ports;
mod protocol;
mod registry;
mod vnet;

/// The glue's and the kernel's declarations, made at build time.
#[allow(missing_docs, non_camel_case_types, non_upper_case_globals, non_snake_case, dead_code, clippy::all)]
#[allow(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn, unnecessary_transmutes)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
