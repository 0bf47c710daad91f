//! `struct genlmsghdr`, the header of generic netlink messages.

use crate::msg::{NLMSG_HDRLEN, NLMSG_MIN_TYPE};

crate::fixed! {
    /// What a generic netlink message has after its netlink header.
    pub struct Header {
        /// The family's command.
        pub cmd: u8,
        /// The family's version; Linux ignores it in requests.
        pub version: u8,
        /// Zero.
        pub reserved: u16,
    }
}

/// `GENL_HDRLEN`.
pub const GENL_HDRLEN: usize = 4;
/// Where a family's user header, if it has one, or its attributes start in a message.
pub const USER_HEADER: usize = NLMSG_HDRLEN.saturating_add(GENL_HDRLEN);

/// nlctrl's family id.
pub const GENL_ID_CTRL: u16 = NLMSG_MIN_TYPE;
/// The least id that is handed out: 17 and 18 are set aside (VFS quota, pmcraid).
pub const GENL_START_ALLOC: u16 = 19;
/// The greatest id.
pub const GENL_MAX_ID: u16 = 1023;
/// A family's or group's name has at most 15 bytes and a NUL.
pub const GENL_NAMSIZ: usize = 16;

/// The command needs CAP_NET_ADMIN.
pub const GENL_ADMIN_PERM: u32 = 0x01;
/// The command has a do handler.
pub const GENL_CMD_CAP_DO: u32 = 0x02;
/// The command has a dump handler.
pub const GENL_CMD_CAP_DUMP: u32 = 0x04;
/// The command has a policy.
pub const GENL_CMD_CAP_HASPOL: u32 = 0x08;
/// The command needs CAP_NET_ADMIN in the socket's network namespace's owner.
pub const GENL_UNS_ADMIN_PERM: u32 = 0x10;
