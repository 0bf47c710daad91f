//! Tunnels: what stands between the outer IP header and the frame inside.
//!
//! ```text
//!            ┌───────────── the system's: a socket, ip_output ──────────────┐
//!            │                 ┌──────────────── here ─────────────────────┤
//! VXLAN      │ Ethernet  IP    │ UDP   VXLAN (flags, group policy, VNI)     │ frame
//! Geneve     │ Ethernet  IP    │ UDP   Geneve (VNI, options)                │ frame
//! VXLAN-GPE  │ Ethernet  IP    │ UDP   VXLAN (next protocol, VNI)           │ frame, or IP, NSH, MPLS
//! GRE        │ Ethernet  IP    │ GRE (checksum, key, sequence)              │ frame, or a packet of any protocol
//! ERSPAN     │ Ethernet  IP    │ GRE (sequence), ERSPAN (session, metadata) │ frame
//! ```
//!
//! [`encapsulate`] puts in front of a frame what is ours and says what the outer IP header is to be ([`Outer`]);
//! [`decapsulate`] takes it off and fills in the [`TunnelKey`] that flows match on. Who sends and receives the outer
//! packets implements [`crate::port::Port`].
//!
//! What has no Ethernet header inside ([`Inside::Network`]) is for ports of which Linux says ARPHRD_NONE or ARPHRD_IPGRE. Linux
//! has a device of its own for GRE without Ethernet; a GRE port here is both, by what the packet is.
//!
//! RFC 7348, draft-ietf-nvo3-vxlan-gpe and draft-smith-vxlan-group-policy, RFC 8926, RFC 2784 and 2890, draft-foschiano-erspan-03; RFC 6040 for congestion marks; where
//! they leave a choice, what Linux 6.12 was seen to send and to drop.

mod ecn;
mod erspan;
mod geneve;
mod gre;
mod inner;
#[cfg(test)]
mod tests;
mod udp;
mod vxlan;

pub use geneve::are_whole as options_are_whole;
pub use inner::repair_checksum;
pub use udp::{HEADER_LEN as UDP_HEADER_LEN, fill_checksum};

use crate::key::{FlowKey, MAC_NONE, TunnelKey};
use crate::packet::Packet;
use crate::port::PortKind;
use crate::wire::{ETH_HLEN, ETH_TEB};
use inner::Inner;
use pfnl_platform::{Errno, Result};

/// [`TunnelKey::flags`]: the tunnel has an id (a GRE key, a VNI).
pub const KEY: u16 = 1 << 0;
/// [`TunnelKey::flags`]: do not fragment the outer packet.
pub const DONT_FRAGMENT: u16 = 1 << 1;
/// [`TunnelKey::flags`]: the outer header has a checksum.
pub const CSUM: u16 = 1 << 2;
/// [`TunnelKey::flags`]: an operations and maintenance frame (Geneve).
pub const OAM: u16 = 1 << 3;

/// [`TunnelKey::opts_kind`]: Geneve options, as on the wire.
pub const OPTS_GENEVE: u16 = 1 << 0;
/// [`TunnelKey::opts_kind`]: VXLAN's group policy, 4 bytes in host order.
pub const OPTS_VXLAN: u16 = 1 << 1;
/// [`TunnelKey::opts_kind`]: `struct erspan_metadata`.
pub const OPTS_ERSPAN: u16 = 1 << 2;

/// The most that [`encapsulate`] puts in front of a frame: UDP, Geneve and 63 words of options.
pub const MAX_HEADERS: usize = 8 + 8 + 252;

/// How frames are wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// GRE.
    Gre {
        /// Over IPv6, else over IPv4.
        v6: bool,
    },
    /// ERSPAN, versions 1 and 2.
    Erspan {
        /// Over IPv6, else over IPv4.
        v6: bool,
    },
    /// VXLAN.
    Vxlan {
        /// With the group policy extension.
        gbp: bool,
    },
    /// VXLAN with its generic protocol extension.
    VxlanGpe,
    /// Geneve.
    Geneve,
}

/// What is in a tunnel's packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inside {
    /// An Ethernet frame.
    Ethernet,
    /// A packet of the protocol that has this ethertype.
    Network(u16),
}

impl Inside {
    /// What the packet is that a key describes.
    pub fn of(key: &FlowKey) -> Inside {
        if key.mac_proto == MAC_NONE { Inside::Network(key.eth_type.get()) } else { Inside::Ethernet }
    }

    /// How long the link layer header is, without tags.
    pub fn header_len(self) -> usize {
        match self {
            Inside::Ethernet => ETH_HLEN,
            Inside::Network(_) => 0,
        }
    }

    /// The ethertype of it in a header that names its payload by one.
    fn ethertype(self) -> u16 {
        match self {
            Inside::Ethernet => ETH_TEB,
            Inside::Network(ethertype) => ethertype,
        }
    }
}

/// A tunnel port's nature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// How frames are wrapped.
    pub protocol: Protocol,
    /// The UDP port it listens on, and sends to; 0 for GRE.
    pub dst_port: u16,
}

impl Tunnel {
    /// The type of its port.
    pub fn kind(&self) -> PortKind {
        match self.protocol {
            Protocol::Gre { v6: false } => PortKind::Gre,
            Protocol::Gre { v6: true } => PortKind::Ip6Gre,
            Protocol::Erspan { v6: false } => PortKind::Erspan,
            Protocol::Erspan { v6: true } => PortKind::Ip6Erspan,
            Protocol::Vxlan { .. } | Protocol::VxlanGpe => PortKind::Vxlan,
            Protocol::Geneve => PortKind::Geneve,
        }
    }

    /// Whether it is over UDP; else it is over IP itself.
    pub fn is_udp(&self) -> bool {
        matches!(self.protocol, Protocol::Vxlan { .. } | Protocol::VxlanGpe | Protocol::Geneve)
    }

    /// Whether it can carry this.
    pub fn takes(&self, inside: Inside) -> bool {
        match (self.protocol, inside) {
            (_, Inside::Ethernet) | (Protocol::Gre { .. }, _) => true,
            (Protocol::VxlanGpe, inside) => vxlan::next_protocol(inside).is_some(),
            _ => false,
        }
    }

    /// Whether it is over IPv4 (or IPv6).
    pub fn is_over(&self, ipv6: bool) -> bool {
        match self.protocol {
            Protocol::Gre { v6 } | Protocol::Erspan { v6 } => v6 == ipv6,
            Protocol::Vxlan { .. } | Protocol::VxlanGpe | Protocol::Geneve => true,
        }
    }

    /// Why a second tunnel cannot be beside this one on the same host; none where it can.
    pub fn clash(&self, other: &Tunnel) -> Option<Errno> {
        match (self.protocol, other.protocol) {
            (one, two) if !self.is_udp() || !other.is_udp() => (one == two).then_some(Errno::EEXIST),
            // A port of 0 is any that is free.
            _ if self.dst_port != other.dst_port || self.dst_port == 0 => None,
            (one, two) if one != two => Some(Errno::EADDRINUSE),
            (Protocol::Geneve, _) => Some(Errno::EBUSY),
            _ => Some(Errno::EEXIST),
        }
    }

    /// The largest frame it takes, as Linux's devices of vports say.
    pub fn mtu(&self) -> usize {
        match self.protocol {
            Protocol::Gre { .. } => 65_497,
            Protocol::Erspan { .. } => 65_485,
            Protocol::Vxlan { .. } | Protocol::VxlanGpe => 65_535,
            Protocol::Geneve => 65_465,
        }
    }

    /// The outer UDP ports of a frame with this flow hash; none for GRE.
    pub fn ports(&self, key: &TunnelKey, hash: u32) -> Option<(u16, u16)> {
        match self.protocol {
            Protocol::Gre { .. } | Protocol::Erspan { .. } => None,
            Protocol::Vxlan { .. } | Protocol::VxlanGpe => {
                let wanted = key.tp_dst.get();
                // Linux's ephemeral ports.
                Some((spread(hash, 32_768, 60_999), if wanted == 0 { self.dst_port } else { wanted }))
            }
            Protocol::Geneve => Some((spread(hash, 1, u16::MAX), self.dst_port)),
        }
    }
}

/// A hash as a port number from `low` to `high`.
fn spread(hash: u32, low: u16, high: u16) -> u16 {
    let count = u64::from(high.saturating_sub(low)) + 1;
    // Below count, so the sum is at most `high`.
    low.saturating_add(((u64::from(hash) * count) >> 32) as u16)
}

/// What the outer IP header is to be, beside its addresses, which are the [`TunnelKey`]'s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outer {
    /// Type of service, traffic class.
    pub tos: u8,
    /// Time to live, 0 = the system's choice.
    pub ttl: u8,
    /// Never in pieces.
    pub dont_fragment: bool,
    /// UDP's checksum is to be filled in ([`fill_checksum`]) once both addresses are known; GRE's is there.
    pub udp_checksum: bool,
}

/// What changes from one packet of a tunnel to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// How many went before (ERSPAN).
    pub sequence: u32,
    /// A time in units of 100 µs (ERSPAN version 2).
    pub time: u32,
}

/// Wraps a frame, or a packet without one. Its checksums are complete and it is no longer than one segment.
///
/// # Errors
/// `EINVAL` for a frame with work left to do, or one that ends inside its IP header; `EPROTONOSUPPORT` for what the tunnel
/// does not carry; `EMSGSIZE`; `ENOMEM`.
pub fn encapsulate<Pk: Packet>(
    tunnel: &Tunnel,
    key: &TunnelKey,
    inside: Inside,
    hash: u32,
    stamp: Stamp,
    packet: &mut Pk,
) -> Result<Outer> {
    if packet.offload().csum.is_some() || packet.offload().gso.is_some() {
        return Err(Errno::EINVAL);
    }
    if !tunnel.takes(inside) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let inner = Inner::of(inside, packet)?;
    let mut outer = Outer {
        tos: ecn::outer(key.tos, inner.tos),
        ttl: key.ttl,
        dont_fragment: key.flags & DONT_FRAGMENT != 0,
        udp_checksum: key.flags & CSUM != 0,
    };
    match tunnel.protocol {
        Protocol::Gre { .. } | Protocol::Erspan { .. } => {
            // GRE does not look behind tags, and can take its fields over from the packet inside.
            let inner = if inner.tagged { Inner::NOT_IP } else { inner };
            let tos = if key.tos == 1 { inner.tos } else { key.tos };
            outer.tos = ecn::outer(tos, inner.tos);
            outer.ttl = if key.ttl == 0 { inner.ttl } else { key.ttl };
            outer.udp_checksum = false;
            match tunnel.protocol {
                Protocol::Erspan { .. } => erspan::push(key, stamp, packet)?,
                _ => gre::push(key, inside, packet)?,
            }
        }
        Protocol::Vxlan { gbp } => vxlan::push(key, gbp, packet)?,
        Protocol::VxlanGpe => vxlan::push_gpe(key, inside, packet)?,
        Protocol::Geneve => geneve::push(key, packet)?,
    }
    if let Some((src, dst)) = tunnel.ports(key, hash) {
        udp::push(src, dst, packet)?;
    }
    Ok(outer)
}

/// Unwraps what came: the payload of UDP, or from GRE's header on. `key` has the outer addresses, ports, type of service,
/// time to live, and whether UDP had a checksum; it gets the rest. What is left is told.
///
/// # Errors
/// `EINVAL` for what is malformed, of another version, has bits set that are not understood, or a congestion mark that
/// the packet inside cannot take; `EPROTONOSUPPORT` for what the tunnel does not carry, or not this kind of GRE.
pub fn decapsulate<Pk: Packet>(tunnel: &Tunnel, key: &mut TunnelKey, packet: &mut Pk) -> Result<Inside> {
    let mut inside = Inside::Ethernet;
    match tunnel.protocol {
        Protocol::Gre { .. } => inside = gre::pop(key, packet)?,
        Protocol::Erspan { .. } => erspan::pop(key, packet)?,
        Protocol::Vxlan { gbp } => vxlan::pop(key, gbp, packet)?,
        Protocol::VxlanGpe => inside = vxlan::pop_gpe(key, packet)?,
        Protocol::Geneve => geneve::pop(key, packet)?,
    }
    if packet.len() < inside.header_len() {
        return Err(Errno::EINVAL);
    }
    ecn::propagate(key.tos, inside, packet)?;
    Ok(inside)
}
