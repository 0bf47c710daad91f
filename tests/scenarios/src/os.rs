//! What differs between the systems this program is built for, and netlink's own numbers, which do not.
//!
//! On FreeBSD pfnl's sockets stand under a vendor address family (compat-headers has the same number), and a
//! `sockaddr_nl` starts with its length as every sockaddr there does.

use libc::c_int;
use std::path::Path;
use std::process::Command;

#[cfg(target_os = "linux")]
mod system {
    use libc::c_int;
    pub const AF_NETLINK: c_int = libc::AF_NETLINK;
    pub const SO_PROTOCOL: c_int = libc::SO_PROTOCOL;
    pub const SO_DOMAIN: c_int = libc::SO_DOMAIN;
    pub const SO_PASSCRED: c_int = libc::SO_PASSCRED;
    pub const SO_RCVBUFFORCE: c_int = libc::SO_RCVBUFFORCE;
    pub const SO_SNDBUFFORCE: c_int = libc::SO_SNDBUFFORCE;
    pub const SO_PEERCRED: c_int = libc::SO_PEERCRED;
    pub const SO_MEMINFO: c_int = libc::SO_MEMINFO;
    pub const MSG_CMSG_CLOEXEC: c_int = libc::MSG_CMSG_CLOEXEC;
    pub const SCM_CREDENTIALS: c_int = libc::SCM_CREDENTIALS;
    /// The level at which an option of the system's is set.
    pub fn level(level: c_int, _name: c_int) -> c_int {
        level
    }
    /// An option of SOL_SOCKET by Linux's number.
    pub fn socket_option(number: c_int) -> c_int {
        number
    }
    /// The beginning of an address as Linux lays it out.
    pub fn as_linux(bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
    /// What `msg_flags` repeats of the flags that recvmsg was called with.
    pub const ECHOED: c_int = 0;
    pub const ENODATA: c_int = libc::ENODATA;
    /// Puts family, portid and groups where the system's `sockaddr_nl` has them.
    pub fn address_head(family: c_int) -> [u8; 2] {
        (family as u16).to_ne_bytes()
    }
    /// The family in an address's first two bytes.
    pub fn family(head: [u8; 2]) -> c_int {
        u16::from_ne_bytes(head).into()
    }
}

#[cfg(target_os = "freebsd")]
mod system {
    use libc::c_int;
    // compat-headers/: AF_NETLINK means pfnl's family; SOL_SOCKET options that FreeBSD lacks have Linux's numbers + 0x10000.
    pub const AF_NETLINK: c_int = 39;
    pub const SO_PROTOCOL: c_int = libc::SO_PROTOCOL;
    pub const SO_DOMAIN: c_int = libc::SO_DOMAIN;
    pub const SO_PASSCRED: c_int = 0x10010;
    pub const SO_RCVBUFFORCE: c_int = 0x10021;
    pub const SO_SNDBUFFORCE: c_int = 0x10020;
    pub const SO_PEERCRED: c_int = 0x10011;
    pub const SCM_CREDENTIALS: c_int = 0x10002;
    pub const SO_MEMINFO: c_int = 0x10037;
    pub const MSG_CMSG_CLOEXEC: c_int = libc::MSG_CMSG_CLOEXEC;
    /// As compat-headers' sys/socket.h: FreeBSD's kernel asks no protocol for options of SOL_SOCKET that it does not know.
    pub fn level(level: c_int, name: c_int) -> c_int {
        if level == libc::SOL_SOCKET && name & 0x10000 != 0 { super::SOL_NETLINK } else { level }
    }
    /// FreeBSD's own, where it has the option.
    pub fn socket_option(number: c_int) -> c_int {
        match number {
            1 => libc::SO_DEBUG,
            2 => libc::SO_REUSEADDR,
            5 => libc::SO_DONTROUTE,
            6 => libc::SO_BROADCAST,
            9 => libc::SO_KEEPALIVE,
            10 => libc::SO_OOBINLINE,
            15 => libc::SO_REUSEPORT,
            18 => libc::SO_RCVLOWAT,
            19 => libc::SO_SNDLOWAT,
            29 => libc::SO_TIMESTAMP,
            // Not Linux's numbers, but already the system's.
            other if other & !0xff != 0 => other,
            other => 0x10000 | other,
        }
    }
    pub fn as_linux(bytes: &[u8]) -> Vec<u8> {
        let head = match bytes.get(1).copied().map(c_int::from) {
            Some(AF_NETLINK) | None => [16, 0],
            Some(family) => (family as u16).to_ne_bytes(),
        };
        bytes.iter().enumerate().map(|(at, &byte)| head.get(at).copied().unwrap_or(byte)).collect()
    }
    // FreeBSD's recvmsg gives its own flags back, whatever the socket.
    pub const ECHOED: c_int =
        libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_WAITALL | libc::MSG_NOSIGNAL | 0x80000 /* MSG_WAITFORONE */;
    pub const ENODATA: c_int = libc::ENOATTR;
    pub fn address_head(family: c_int) -> [u8; 2] {
        [12, family as u8]
    }
    pub fn family(head: [u8; 2]) -> c_int {
        head[1].into()
    }
}

pub use system::*;

/// A program to start. A static one of FreeBSD's finds no environment to hand on, and needs none.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if cfg!(target_os = "freebsd") {
        command.env_clear();
    }
    command
}

pub const NETLINK_ROUTE: c_int = 0;
pub const NETLINK_GENERIC: c_int = 16;
pub const SOL_NETLINK: c_int = 270;

/// Options of `SOL_NETLINK`.
pub mod nl {
    use libc::c_int;
    pub const ADD_MEMBERSHIP: c_int = 1;
    pub const DROP_MEMBERSHIP: c_int = 2;
    pub const PKTINFO: c_int = 3;
    pub const NO_ENOBUFS: c_int = 5;
    pub const LISTEN_ALL_NSID: c_int = 8;
    pub const LIST_MEMBERSHIPS: c_int = 9;
    pub const CAP_ACK: c_int = 10;
    pub const EXT_ACK: c_int = 11;
    pub const GET_STRICT_CHK: c_int = 12;
}

/// Bytes of a `sockaddr_nl`.
pub const ADDRESS: usize = 12;

/// A `sockaddr_nl`.
pub fn address(family: c_int, portid: u32, groups: u32) -> [u8; ADDRESS] {
    let mut bytes = [0; ADDRESS];
    bytes[..2].copy_from_slice(&address_head(family));
    bytes[4..8].copy_from_slice(&portid.to_ne_bytes());
    bytes[8..].copy_from_slice(&groups.to_ne_bytes());
    bytes
}

/// An errno's name: numbers differ between systems.
pub fn errno_name(errno: c_int) -> String {
    const NAMES: &[(c_int, &str)] = &[
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EINTR, "EINTR"),
        (libc::EIO, "EIO"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::ENODEV, "ENODEV"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ESPIPE, "ESPIPE"),
        (libc::EPIPE, "EPIPE"),
        (libc::EDOM, "EDOM"),
        (libc::ERANGE, "ERANGE"),
        (ENODATA, "ENODATA"),
        (libc::ENOTSOCK, "ENOTSOCK"),
        (libc::EDESTADDRREQ, "EDESTADDRREQ"),
        (libc::EMSGSIZE, "EMSGSIZE"),
        (libc::EPROTOTYPE, "EPROTOTYPE"),
        (libc::ENOPROTOOPT, "ENOPROTOOPT"),
        (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
        (libc::ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (libc::EADDRINUSE, "EADDRINUSE"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ECONNRESET, "ECONNRESET"),
        (libc::ENOBUFS, "ENOBUFS"),
        (libc::EISCONN, "EISCONN"),
        (libc::ENOTCONN, "ENOTCONN"),
        (libc::ETIMEDOUT, "ETIMEDOUT"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
    ];
    NAMES
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or_else(|| format!("E{errno}"), |(_, name)| (*name).into())
}
