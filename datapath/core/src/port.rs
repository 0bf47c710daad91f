//! Ports: where packets come from and go to.

use crate::key::TunnelKey;
use crate::packet::Packet;
use crate::percpu::{Counters, PerCpu};
use crate::tunnel::{Inside, Tunnel};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use pfnl_platform::{Errno, Platform, RcuBox, RcuCell, Result, try_to_vec};

/// Port numbers are below this.
pub const MAX_PORTS: u32 = 65535;
/// The number of the datapath's own port.
pub const PORT_LOCAL: u32 = 0;

/// A device behind a port. What a platform implements.
///
/// `send` runs inside a read-side critical section: it must not sleep, and must not call back into a datapath
/// (a device that is looped to another port queues the packet and hands it over later).
pub trait Port<Pk: Packet>: Send + Sync + 'static {
    /// Sends a packet. What cannot be sent is dropped and counted in [`Port::stats`].
    fn send(&self, packet: Pk);

    /// The interface's name now.
    fn name(&self) -> PortName;

    /// The interface's number, 0 if it has none.
    fn ifindex(&self) -> u32;

    /// What it is.
    fn kind(&self) -> PortKind;

    /// The largest packet it sends, without the Ethernet header and one VLAN tag.
    fn mtu(&self) -> usize;

    /// Whether it sends at all.
    fn is_up(&self) -> bool {
        true
    }

    /// What it takes over from the datapath.
    fn features(&self) -> Features {
        Features::default()
    }

    /// The device's own statistics, where it has any.
    fn stats(&self) -> Option<PortStats> {
        None
    }

    /// What it wraps frames in, if it is a tunnel. [`Port::send`] of a tunnel drops: it would not know where to.
    fn tunnel(&self) -> Option<Tunnel> {
        None
    }

    /// As [`Port::send`], through a tunnel to where `key` says; only what the tunnel [takes](Tunnel::takes). `hash` is the same
    /// for all packets of a flow.
    fn send_through(&self, packet: Pk, inside: Inside, key: &TunnelKey, hash: u32) {
        let _ = (inside, key, hash);
        self.send(packet);
    }

    /// Fills in what a packet to where `key` says would leave with: its source address, and ports.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: this is no tunnel. What the system's routing answers.
    fn egress(&self, key: &mut TunnelKey, hash: u32) -> Result<()> {
        let _ = (key, hash);
        Err(Errno::EOPNOTSUPP)
    }
}

/// What a port does in hardware (or leaves to the next kernel).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Completes checksums.
    pub csum: bool,
    /// Cuts TCP over IPv4.
    pub tso4: bool,
    /// Cuts TCP over IPv6.
    pub tso6: bool,
    /// Cuts UDP.
    pub uso: bool,
}

/// Port types (enum ovs_vport_type).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortKind {
    /// A device of the host's.
    Netdev,
    /// A device that the datapath made.
    Internal,
    /// A GRE tunnel.
    Gre,
    /// A VXLAN tunnel.
    Vxlan,
    /// A Geneve tunnel.
    Geneve,
    /// A GRE tunnel over IPv6.
    Ip6Gre,
    /// An ERSPAN tunnel.
    Erspan,
    /// An ERSPAN tunnel over IPv6.
    Ip6Erspan,
}

/// An interface name: up to 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortName {
    len: u8,
    bytes: [u8; 15],
}

impl PortName {
    /// A name, unless it is empty or too long.
    pub fn new(name: &[u8]) -> Option<PortName> {
        let mut own = PortName { len: u8::try_from(name.len()).ok().filter(|&len| len > 0)?, bytes: [0; 15] };
        own.bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(own)
    }

    /// The bytes, without a zero at the end.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// As struct ovs_vport_stats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Bad packets received.
    pub rx_errors: u64,
    /// Failures to send.
    pub tx_errors: u64,
    /// Packets dropped for want of room, inbound.
    pub rx_dropped: u64,
    /// Packets dropped for want of room, outbound.
    pub tx_dropped: u64,
}

/// A port of a datapath.
pub struct Vport<P: Platform, Pk: Packet> {
    number: u32,
    port: Box<dyn Port<Pk>>,
    counters: PerCpu<P, Counters<8>>,
    upcall_portids: RcuCell<P, Vec<u32>>,
    upcalls: [AtomicU64; 2],
}

const RX_PACKETS: usize = 0;
const RX_BYTES: usize = 1;
const RX_ERRORS: usize = 2;
const TX_PACKETS: usize = 3;
const TX_BYTES: usize = 4;
const TX_ERRORS: usize = 5;
const TX_DROPPED: usize = 6;

impl<P: Platform, Pk: Packet> Vport<P, Pk> {
    pub(crate) fn try_new(number: u32, port: Box<dyn Port<Pk>>, portids: &[u32]) -> Result<Vport<P, Pk>> {
        Ok(Vport {
            number,
            port,
            counters: PerCpu::try_new(usize::MAX)?,
            upcall_portids: RcuCell::new(Some(RcuBox::try_new(try_to_vec(portids)?)?)),
            upcalls: Default::default(),
        })
    }

    /// Its number in the datapath.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The device.
    pub fn port(&self) -> &dyn Port<Pk> {
        &*self.port
    }

    /// Who is told of this port's packets that no flow matched; the meaning of several is the upper layer's.
    pub fn upcall_portids<'g>(&'g self, section: &'g P::Guard) -> &'g [u32] {
        self.upcall_portids.load(section).map_or(&[], |portids| portids)
    }

    /// Replaces [`Vport::upcall_portids`]. Writers are serialised by the upper layer.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn set_upcall_portids(&self, portids: &[u32]) -> Result<()> {
        self.upcall_portids.store(Some(RcuBox::try_new(try_to_vec(portids)?)?));
        Ok(())
    }

    /// The device's statistics, or the datapath's own count of this port.
    pub fn stats(&self) -> PortStats {
        self.port.stats().unwrap_or_else(|| {
            let [rx_packets, rx_bytes, rx_errors, tx_packets, tx_bytes, tx_errors, tx_dropped, _] =
                self.counters.sums();
            PortStats {
                rx_packets,
                tx_packets,
                rx_bytes,
                tx_bytes,
                rx_errors,
                tx_errors,
                rx_dropped: 0,
                tx_dropped,
            }
        })
    }

    /// How many upcalls for this port's packets went through, and how many did not.
    pub fn upcall_stats(&self) -> (u64, u64) {
        let [good, bad] = &self.upcalls;
        (good.load(Ordering::Relaxed), bad.load(Ordering::Relaxed))
    }

    pub(crate) fn count_upcall(&self, good: bool) {
        let [success, fail] = &self.upcalls;
        // Relaxed: a counter.
        if good { success } else { fail }.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_rx(&self, packets: u64, bytes: u64) {
        let counters = self.counters.local();
        counters.add(RX_PACKETS, packets);
        counters.add(RX_BYTES, bytes);
    }

    pub(crate) fn count_rx_error(&self) {
        self.counters.local().add(RX_ERRORS, 1);
    }

    pub(crate) fn count_tx(&self, bytes: usize) {
        let counters = self.counters.local();
        counters.add(TX_PACKETS, 1);
        counters.add(TX_BYTES, bytes as u64);
    }

    pub(crate) fn count_tx_error(&self) {
        self.counters.local().add(TX_ERRORS, 1);
    }

    pub(crate) fn count_tx_dropped(&self) {
        self.counters.local().add(TX_DROPPED, 1);
    }
}
