//! Netlink and generic netlink wire codec with the Open vSwitch families.
