//! The Open vSwitch generic netlink families over the datapath.
