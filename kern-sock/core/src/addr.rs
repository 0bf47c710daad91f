//! Who speaks, and with what rights.

/// `struct sockaddr_nl` without its family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockAddr {
    /// `nl_pid`: a socket's portid; 0 = the kernel, or not bound.
    pub portid: u32,
    /// `nl_groups`: a bit for each of the first 32 groups.
    pub groups: u32,
}

/// A process, as far as netlink cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Process id.
    pub pid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Holds CAP_NET_ADMIN (on FreeBSD: the privilege that stands for it).
    pub net_admin: bool,
    /// Holds CAP_NET_BROADCAST.
    pub net_broadcast: bool,
}
