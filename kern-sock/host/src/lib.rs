//! The PF_NETLINK family served to client processes over AF_UNIX.
