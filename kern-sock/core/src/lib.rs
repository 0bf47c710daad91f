//! The PF_NETLINK socket family, without a kernel.
