//! Netfilter's messages (NETLINK_NETFILTER): connections, expectations, and how long connections last.
//!
//! ```text
//! nlmsghdr (type = subsystem << 8 | command) │ nfgenmsg │ attributes, integers in network order
//! ```
//!
//! Numbers are those of include/uapi/linux/netfilter/{nfnetlink,nfnetlink_conntrack,nfnetlink_cttimeout}.h.

mod conntracks;
mod timeouts;

pub use conntracks::*;
pub use timeouts::*;

crate::fixed! {
    /// `struct nfgenmsg`.
    pub struct NfHeader {
        /// `AF_INET`, `AF_INET6`, or 0 for both.
        pub family: u8,
        /// 0, or 1 where the family is to count in a deletion.
        pub version: u8,
        /// Of what the message is about: a processor, for one.
        pub res_id: [u8; 2],
    }
}

/// `sizeof(struct nfgenmsg)`.
pub const NF_HEADER: usize = 4;

/// The first message of a batch.
pub const NFNL_MSG_BATCH_BEGIN: u16 = 16;
/// Subsystems there can be (`NFNL_SUBSYS_COUNT`).
pub const NFNL_SUBSYS_COUNT: u16 = 13;
/// Connections.
pub const NFNL_SUBSYS_CTNETLINK: u8 = 1;
/// Expectations.
pub const NFNL_SUBSYS_CTNETLINK_EXP: u8 = 2;
/// Timeout policies.
pub const NFNL_SUBSYS_CTNETLINK_TIMEOUT: u8 = 8;

/// Groups (`enum nfnetlink_groups`).
pub mod group {
    /// Connections that begin.
    pub const CONNTRACK_NEW: u32 = 1;
    /// Connections that change.
    pub const CONNTRACK_UPDATE: u32 = 2;
    /// Connections that end.
    pub const CONNTRACK_DESTROY: u32 = 3;
    /// The last there is (`NFNLGRP_MAX`).
    pub const MAX: u32 = 9;
}

/// A message's type.
pub const fn kind(subsystem: u8, command: u8) -> u16 {
    u16::from_be_bytes([subsystem, command])
}
