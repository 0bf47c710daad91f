//! Run netlink programs against a user-space PF_NETLINK and Open vSwitch datapath.

fn main() {}
