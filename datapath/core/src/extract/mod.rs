//! From a packet to its flow key.
//!
//! Headers may be short, and may lie. A header that is not there in full leaves its fields zero, and what lies behind it
//! too; the packet still has a key. What is done for each odd case is what Linux does (facts/linux.md, issue 3's
//! comparison), since flows that user space installs depend on it.

mod ip;
#[cfg(test)]
mod tests;

use crate::key::{Be16, Be32, FlowKey, MAC_NONE, VLAN_PRESENT, Vlan};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::{Errno, Result};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The Ethernet type, in a key, of a frame that has none: 802.2 without SNAP. It is below every real type.
pub const ETH_TYPE_802_2: u16 = 0x0004;

/// Where in a packet its headers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layers {
    /// The end of the Ethernet header and its VLAN tags: MPLS, IP or ARP starts here.
    pub l2_len: usize,
    /// The IP header, if it is there in full and no MPLS label is in front.
    pub l3: Option<usize>,
    /// The transport header, if it is there in full.
    pub l4: Option<usize>,
    /// Where the IP header ends: the transport header, whole or not, or a later IPv4 fragment's data.
    pub payload: Option<usize>,
    /// An IPv6 routing header has segments left: the pseudo-header's destination is not the one in the IP header.
    pub routed: bool,
}

/// Fills in the packet's part of a key; metadata stays. For an L3 packet (`mac_proto` = [`MAC_NONE`]) the key brings
/// `eth_type`.
///
/// # Errors
/// `EINVAL` for a packet without a whole link layer header, or with a service header that is not in order; `ENOMEM`.
pub fn extract<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey) -> Result<Layers> {
    let (mac_proto, eth_type) = (key.mac_proto, key.eth_type);
    key.clear_packet_fields();
    key.mac_proto = mac_proto;
    let mut layers = Layers::default();
    if mac_proto == MAC_NONE {
        if is_vlan(eth_type.get()) {
            // A tag is the link layer's, and there is none.
            return Err(Errno::EINVAL);
        }
        key.eth_type = eth_type;
    } else {
        layers.l2_len = ethernet(packet, key)?;
    }
    match key.eth_type.get() {
        ETH_IPV4 => ip::v4(packet, key, &mut layers)?,
        ETH_IPV6 => ip::v6(packet, key, &mut layers)?,
        ETH_ARP | ETH_RARP => arp(packet, key, layers.l2_len)?,
        ETH_NSH => nsh(packet, key, layers.l2_len)?,
        ethertype if is_mpls(ethertype) => mpls(packet, key, layers.l2_len)?,
        _ => {}
    }
    Ok(layers)
}

/// The header at an offset, if it is there in full.
#[inline]
pub(crate) fn header<T, Pk: Packet>(packet: &mut Pk, at: usize) -> Result<Option<&T>>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    let end = at.saturating_add(size_of::<T>());
    if packet.head().len() < end {
        if packet.len() < end {
            return Ok(None);
        }
        packet.pull(end)?;
    }
    Ok(packet.head().get(at..end).and_then(|bytes| T::ref_from_bytes(bytes).ok()))
}

/// The Ethernet header and up to two VLAN tags; answers where they end.
fn ethernet<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey) -> Result<usize> {
    let ethernet: &Ethernet = header(packet, 0)?.ok_or(Errno::EINVAL)?;
    (key.eth_dst, key.eth_src) = (ethernet.dst, ethernet.src);
    let (mut ethertype, mut end) = (ethernet.ethertype, ETH_HLEN);
    for vlan in [&mut key.vlan, &mut key.cvlan] {
        if !is_vlan(ethertype.get()) {
            break;
        }
        let Some(tag) = header::<Tag, Pk>(packet, end)? else { break };
        *vlan = Vlan { tci: tag.tci | Be16::new(VLAN_PRESENT), tpid: ethertype };
        ethertype = tag.ethertype;
        end += VLAN_HLEN;
    }
    if ethertype.get() < ETH_802_3_MIN {
        ethertype = Be16::new(ETH_TYPE_802_2);
        if let Some(snap) = header::<Snap, Pk>(packet, end)?
            && (snap.dsap, snap.ssap, snap.oui) == (0xaa, 0xaa, [0; 3])
        {
            end += size_of::<Snap>();
            if snap.ethertype.get() >= ETH_802_3_MIN {
                ethertype = snap.ethertype;
            }
        }
    }
    key.eth_type = ethertype;
    Ok(end)
}

/// ARP and RARP for IPv4 over Ethernet.
fn arp<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, at: usize) -> Result<()> {
    let Some(arp) = header::<Arp, Pk>(packet, at)? else { return Ok(()) };
    if (arp.hrd.get(), arp.pro.get(), arp.hln, arp.pln) == (1, ETH_IPV4, 6, 4) {
        // Operations from 256 up read as 0.
        key.ip_proto = u8::try_from(arp.op.get()).unwrap_or(0);
        (key.ipv4_src, key.ipv4_dst) = (arp.spa, arp.tpa);
        (key.sha, key.tha) = (arp.sha, arp.tha);
    }
    Ok(())
}

/// A service header. Unlike others it must be right: version 0, one of the two types of metadata, and there in full.
fn nsh<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, at: usize) -> Result<()> {
    let nsh: Nsh = *header(packet, at)?.ok_or(Errno::EINVAL)?;
    let len = nsh.len();
    let valid = match nsh.mdtype {
        NSH_MD1 => len == size_of::<Nsh>() + size_of::<[Be32; 4]>(),
        NSH_MD2 => true,
        _ => false,
    };
    if nsh.version() != 0 || !valid || at.saturating_add(len) > packet.len() {
        return Err(Errno::EINVAL);
    }
    let context = match nsh.mdtype {
        NSH_MD1 => *header(packet, at.saturating_add(size_of::<Nsh>()))?.ok_or(Errno::EINVAL)?,
        _ => Default::default(),
    };
    let (flags, ttl) = (nsh.flags(), nsh.ttl());
    key.nsh = crate::key::Nsh { flags, ttl, mdtype: nsh.mdtype, np: nsh.np, path_hdr: nsh.path, context };
    Ok(())
}

/// The outermost labels.
fn mpls<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, at: usize) -> Result<()> {
    let mut labels = 0;
    // No more than fit into the packet.
    for n in 0..=packet.len() / MPLS_HLEN {
        // A stack that breaks off, wherever, has no labels at all.
        let Some(&Lse { word }) = header(packet, at.saturating_add(n * MPLS_HLEN))? else { return Ok(()) };
        if let Some(place) = key.mpls.get_mut(n) {
            *place = word;
            labels |= 1 << n;
        }
        let bottom = word.get() & 0x100 != 0;
        if bottom {
            break;
        }
    }
    key.mpls_labels = labels;
    Ok(())
}
