//! What runs against the whole of pfnl: unmodified programs as clients, the machine's own namespaces as network.
//!
//! - [`sandbox`]: fresh network, mount and process namespaces around everything, so that whatever happens nothing
//!   is left behind;
//! - [`net`]: inside of them, the switch's side and the peers with their veth pairs;
//! - [`client`]: one run of a program, with a time limit, and what it printed; every asserted run is counted;
//! - [`host`]: a `pfnl serve` and clients under `pfnl run`;
//! - [`vswitch`]: ovs-vswitchd with its database over such a host;
//! - [`transcript`]: what a real Linux kernel answered, as text;
//! - [`runner`]: names the tests, runs them one after the other, counts.
//!
//! The library names no other crate of pfnl: it knows the programs as a user knows them.

pub mod client;
pub mod host;
pub mod net;
pub mod runner;
pub mod sandbox;
pub mod transcript;
pub mod vswitch;
