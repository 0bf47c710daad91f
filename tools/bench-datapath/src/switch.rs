//! Three ways from one interface to another, side by side, each between two namespaces of its own: a bare mover, pfnl,
//! OVS's own datapath in user space.

use crate::mover::Mover;
use crate::ovs::Ovs;
use crate::pin;
use anyhow::{Result, bail};
use pfnl_rawio::Links;
use pfnl_tests::host::Host;
use pfnl_tests::net::Peer;

/// The processor that forwards; the other one makes the load.
pub const FORWARDER: usize = 1;
/// The processor that makes the load.
pub const LOADER: usize = 0;

/// A way between two peers.
pub struct Way {
    /// What it is called.
    pub name: &'static str,
    /// The peer whose port comes first.
    pub left: Peer,
    /// The other.
    pub right: Peer,
    /// The datapath, of pfnl's.
    pub bridge: String,
    by: By,
}

/// Who forwards; ends when dropped.
enum By {
    Mover(#[expect(dead_code, reason = "moves until it is dropped")] Mover),
    Pfnl(Host),
    Ovs(Ovs),
}

impl Way {
    fn new(name: &'static str, letter: char, by: impl FnOnce([&str; 2]) -> Result<By>) -> Result<Way> {
        let ports = [format!("{letter}1"), format!("{letter}2")];
        let left = Peer::new("left", &ports[0], "10.9.0.1")?;
        let right = Peer::new("right", &ports[1], "10.9.0.2")?;
        let by = by([&ports[0], &ports[1]])?;
        Ok(Way { name, left, right, bridge: format!("dp{letter}"), by })
    }

    /// A bare mover on packet sockets.
    ///
    /// # Errors
    /// Those of packet sockets.
    pub fn mover() -> Result<Way> {
        Way::new("bare mover", 'm', |[a, b]| Ok(By::Mover(Mover::start(a, b, FORWARDER)?)))
    }

    /// pfnl, with a flow for each way and protocol, or without any. The letter is for the names of its interfaces.
    ///
    /// # Errors
    /// It does not serve.
    pub fn pfnl(letter: char, flows: bool) -> Result<Way> {
        let bridge = format!("dp{letter}");
        Way::new("pfnl", letter, |ports| {
            let host = Host::serve(&bridge)?;
            host.dpctl(&["add-dp", &bridge])?.succeeds()?;
            for port in ports {
                host.dpctl(&["add-if", &bridge, port])?.succeeds()?;
            }
            for (from, to) in [(1, "2"), (2, "1")].into_iter().take(if flows { 2 } else { 0 }) {
                for key in ["eth_type(0x0806),arp()", "eth_type(0x0800),ipv4(frag=no)"] {
                    let key = format!("in_port({from}),eth(),{key}");
                    host.dpctl(&["add-flow", &bridge, &key, to])?.succeeds()?;
                }
            }
            pin(Some(host.id()), FORWARDER);
            Ok(By::Pfnl(host))
        })
    }

    /// The start of a command line whose program is a client of pfnl's host.
    ///
    /// # Errors
    /// It is none of pfnl's.
    pub fn client(&self) -> Result<Vec<String>> {
        match &self.by {
            By::Pfnl(host) => host.client(),
            _ => bail!("{} has no clients", self.name),
        }
    }

    /// OVS at `datapath_type=netdev`.
    ///
    /// # Errors
    /// It does not start.
    pub fn ovs(tso: bool) -> Result<Way> {
        Way::new("OVS netdev", 'o', |ports| {
            let ovs = Ovs::start(ports, tso)?;
            pin(Some(ovs.pid.cast_unsigned()), FORWARDER);
            Ok(By::Ovs(ovs))
        })
    }

    /// Lets the forwarder run wherever the scheduler likes.
    pub fn unpin(&self) {
        let process = match &self.by {
            By::Mover(_) => std::process::id(),
            By::Pfnl(host) => host.id(),
            By::Ovs(ovs) => ovs.pid.cast_unsigned(),
        };
        crate::unpin(process);
    }

    /// Packets sent out of the second port so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn sent(&self) -> Result<u64> {
        let mut links = Links::open()?;
        let link = links.by_name(&self.right.port)?;
        Ok(links.stats(link.ifindex)?.tx_packets)
    }
}
