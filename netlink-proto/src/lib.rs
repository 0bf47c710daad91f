//! The netlink wire codec, and generic netlink's and Open vSwitch's messages in it.
//!
//! ```text
//!  0         4    6    8        12       16
//! ┌─────────┬────┬────┬────────┬────────┬───────────────────────────────────────────────┐
//! │ len     │type│flag│ seq    │ portid │ payload, padded to 4                          │ nlmsghdr
//! └─────────┴────┴────┴────────┴────────┴───────────────────────────────────────────────┘
//!   generic netlink:                     │cmd│ver│0 0│ user header │ attributes         │ genlmsghdr
//!   an attribute:                                                  │len│type│payload│pad│ nlattr
//! ```
//!
//! Integers are in host byte order unless a row says `be`. Reading never panics: a view checks a length once and
//! then only hands out what is there. Writing is sticky: the first failure is kept and reported once.
//!
//! A family's attributes stand in one table, one row each, made by [`attributes!`]: the constant, the decoder, the
//! writer, the validation policy and what `CTRL_CMD_GETPOLICY` answers all come from that row.
//!
//! Sources: include/uapi/linux/{netlink,genetlink,openvswitch}.h for numbers and layouts, RFC 3549, and
//! Documentation/userspace-api/netlink for the rules.
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
#[cfg(feature = "netlink-packet")]
extern crate std;

mod attr;
mod error;
mod fixed;
mod index;
mod macros;
mod policy;
mod writer;

pub mod ack;
pub mod genl;
#[cfg(feature = "netlink-packet")]
pub mod interop;
pub mod msg;
pub mod netfilter;
pub mod nlctrl;
pub mod ovs;
pub mod psample;

pub use attr::{Attr, Attrs, NLA_F_NESTED, NLA_F_NET_BYTEORDER, NLA_TYPE_MASK, U32s};
pub use error::Error;
pub use fixed::{Fixed, Layout};
pub use index::{Index, Level, Validated};
pub use pfnl_platform::Errno;
pub use policy::{Kind, Len, Policy, Row, Table};
pub use writer::{Mark, Writer};

#[doc(hidden)]
pub mod macro_support {
    pub use crate::attr::text;
    pub use crate::fixed::take;
    pub use crate::policy::{Lens, in_order, lens, slots};
}

/// Rounds up to the 4 bytes that messages and attributes are aligned to.
pub const fn align(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// The first `N` bytes at `offset`, if they are there.
#[inline]
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}
