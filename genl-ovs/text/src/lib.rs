//! Open vSwitch's text for flows and actions, to netlink attributes and back.
//!
//! ```text
//! in_port(1),eth(src=00:01:02:03:04:05/ff:ff:ff:00:00:00),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(dst=80/0xfff0)
//! ct(commit,zone=5,nat(src=10.0.0.1-10.0.0.9)),set(ipv4(ttl=63)),push_vlan(vid=5,pcp=0),2
//! ```
//!
//! This is what `ovs-dpctl add-flow` takes and `dump-flows` prints ("odp" syntax):
//!
//! ```
//! # fn main() -> Result<(), pfnl_odp::Error> {
//! let ports = pfnl_odp::Ports::from_iter([(2, "tap0".to_string())]);
//! let flow = pfnl_odp::parse_flow("in_port(tap0),eth(),eth_type(0x0806),arp(op=1/0xff)", &ports)?;
//! let actions = pfnl_odp::parse_actions("push_vlan(vid=5,pcp=0),tap0", &ports)?;
//! let mut request = Vec::new();
//! let mut writer = pfnl_proto::Writer::new(&mut request);
//! flow.put(&mut writer);
//! writer.nest(pfnl_proto::ovs::flow::ACTIONS, |writer| _ = writer.raw(&actions));
//! assert_eq!(
//!     pfnl_odp::print_flow(&flow.key, Some(&flow.mask), &ports, false),
//!     "in_port(tap0),eth(),eth_type(0x0806),arp(op=1/0xff)"
//! );
//! assert_eq!(pfnl_odp::print_actions(&actions, &ports), "push_vlan(vid=5,pcp=0),tap0");
//! # Ok(())
//! # }
//! ```
//!
//! What is read and printed is checked against OVS's own `tests/odp.at` (`tests/odp_at.rs`). Where it differs, it
//! is so that what is printed can be read again, with the same meaning:
//! - `push_mpls`, `pop_mpls`, `push_eth`, `pop_eth`, `hash`, `dec_ttl`, `psample`, `recirc` in hex and nsh's `ttl`
//!   are also read; numbers that do not fit their field are refused, not cut;
//! - `drop` is the empty list, also inside other actions: an older kernel knows no explicit drop;
//! - `userspace(pid=1)` carries no userdata, and `set(tunnel(…))` is never masked, for the kernel takes no mask there;
//! - what is left out of a Geneve option does not count, value or not;
//! - flags without a name are printed in a number instead of as `[Unknown]`, the ports of a `ct_tuple6` as what they
//!   are read, `tp_src` and `tp_dst`, and metadata of `push_nsh` with its leading zeros.
//!
//! Not read, because the kernel has no such thing: `tnl_push`, `tnl_pop` and `lb_output`, which are OVS's user-space
//! datapath's (their numbers are other actions' in the kernel), and `gtpu(…)` in a tunnel key.
//!
//! Sources: OVS's documentation and sources (lib/odp-util.c) for the syntax, include/uapi/linux/openvswitch.h for the
//! attributes.
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

mod action;
mod cookie;
mod error;
mod field;
mod filter;
mod flags;
mod flow;
mod keys;
mod nsh;
mod ports;
mod print;
mod scan;
mod tunnel;

pub use action::{parse_actions, print_actions};
pub use error::Error;
pub use filter::Filter;
pub use flow::{Flow, parse_flow};
pub use ports::Ports;
pub use print::{print_flow, print_ufid};

/// How deep keys and actions may be nested, as in OVS.
const MAX_DEPTH: usize = 32;
