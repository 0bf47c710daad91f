//! The PF_NETLINK socket family, without a kernel: portids, groups, bounded queues, requests and acknowledgements,
//! dumps with back-pressure, generic netlink and its family of families.
//!
//! ```text
//!   user ── send ──▶ Socket ── request ──▶ Domain ── do / dump ──▶ Family (genl-ovs, nlctrl, yours)
//!    ▲                 │                     ▲                         │
//!    └── take/read ── Queue ◀── unicast, multicast, reply, ack ◀───────┘
//! ```
//!
//! A platform (the host process, the FreeBSD module) opens sockets for its processes, hands it what they send and
//! takes from its queue what they receive; [`Delivery`] is how it is told that there is something.
//! A family (a const [`FamilyDef`]) is registered by the layer above and reaches sockets through [`Bus`].
//!
//! Locks, in this order: [`Domain`]'s request lock (may sleep: one request at a time, as Linux's `genl_mutex`), its
//! tables, a socket's binding, a socket's queue. [`Delivery`] is called without any of the last three.
//!
//! Rules: netlink(7), Documentation/userspace-api/netlink/intro.rst, and what a running Linux answers.
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

mod addr;
mod bus;
mod ctrl;
mod domain;
mod dump;
mod families;
mod family;
mod filter;
mod hook;
mod limits;
mod option;
mod protocol;
mod queue;
mod registry;
mod request;
mod socket;
#[cfg(test)]
mod tests;

pub use addr::{Credentials, SockAddr};
pub use bus::{Bus, GroupId};
pub use domain::Domain;
pub use dump::{Dump, DumpBlock, Progress};
pub use family::{Context, FamilyDef, Op, Request, Run, StartDump};
pub use hook::{Endpoint, Hook, Verdict};
pub use limits::Limits;
pub use protocol::{Admission, Call, Handled, Protocol};
pub use queue::{Block, Delivery, Settled};
pub use registry::{Family, FamilyInfo, OpInfo, Registry};
pub use socket::{SockType, Socket, SocketInfo};

/// `NETLINK_GENERIC`, the protocol that every domain serves.
pub const NETLINK_GENERIC: i32 = 16;
/// `NETLINK_NETFILTER`, which a layer above may serve.
pub const NETLINK_NETFILTER: i32 = 12;
