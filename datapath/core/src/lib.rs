//! The Open vSwitch datapath: flow keys, flow table, actions, ports.
