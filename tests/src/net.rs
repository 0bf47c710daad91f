//! Network namespaces for peers, joined to the switch's side (where the sandbox runs) by veth pairs.

use crate::sandbox::quiet;
use anyhow::Result;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A peer: its own network namespace with one interface, `eth0`.
#[derive(Debug)]
pub struct Peer {
    /// The namespace's name, as in `ip netns`.
    pub name: String,
    /// The other end of `eth0`, on the switch's side.
    pub port: String,
    /// The IPv4 address, without its prefix length.
    pub address: String,
}

impl Peer {
    /// Makes a namespace named after `name`, with `port` on this side and `address`/24 on the peer's.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn new(name: &str, port: &str, address: &str) -> Result<Peer> {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("pfnl-{name}-{}-{serial}", std::process::id());
        quiet("ip", &["netns", "add", &name])?;
        let peer = Peer { name, port: port.to_owned(), address: address.to_owned() };
        quiet("ip", &["link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", &peer.name])?;
        quiet("ip", &["link", "set", port, "up"])?;
        peer.disable_ipv6();
        peer.ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        peer.ip(&["link", "set", "lo", "up"])?;
        peer.ip(&["link", "set", "eth0", "up"])?;
        Ok(peer)
    }

    /// ip(8) inside of the namespace.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        quiet("ip", &[&["-n", self.name.as_str()], args].concat())
    }

    /// The start of a command line that runs in the namespace. (`ip netns exec` would mount a /sys, which
    /// containers may refuse.)
    pub fn enter(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", self.name)]
    }

    fn disable_ipv6(&self) {
        let set = "for d in all default; do echo 1 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; done";
        // A read-only /proc/sys is no reason to stop: router solicitations just miss.
        let _ = quiet("nsenter", &[&format!("--net=/run/netns/{}", self.name), "sh", "-c", set]);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The veth pair goes with the namespace, though not at once: ask for it by name.
        let _ = quiet("ip", &["link", "del", &self.port]);
        let _ = quiet("ip", &["netns", "del", &self.name]);
    }
}
