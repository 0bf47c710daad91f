//! What a tunnel looks at in the frame it carries.

use super::Inside;
use crate::csum::{pseudo, replace, sum_between};
use crate::extract::extract;
use crate::key::{Be16, FRAG_NONE, FlowKey, MAC_ETHERNET, MAC_NONE};
use crate::offload::{Gso, GsoKind, PartialCsum};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::{Errno, Result};

/// What is longer and has a checksum to be completed was to be cut by a device.
const USUAL_MTU: usize = 1500;
/// How it is cut: so that it fits through another tunnel of that MTU.
const SEGMENT: u16 = 1348;

/// Tags that are looked through.
const MAX_TAGS: usize = 8;

/// The frame's IP header, if it has one.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    /// Where it is.
    pub at: Option<usize>,
    /// Whether it is behind VLAN tags.
    pub tagged: bool,
    /// Type of service or traffic class, else 0.
    pub tos: u8,
    /// Time to live or hop limit, else 0.
    pub ttl: u8,
}

impl Inner {
    pub const NOT_IP: Inner = Inner { at: None, tagged: false, tos: 0, ttl: 0 };

    /// # Errors
    /// `EINVAL` for a frame that ends inside its headers.
    pub fn of<Pk: Packet>(inside: Inside, packet: &Pk) -> Result<Inner> {
        let mut at = inside.header_len();
        for _ in 0..=MAX_TAGS {
            let ethertype = match inside {
                Inside::Network(ethertype) => ethertype,
                Inside::Ethernet => {
                    let mut ethertype = [0; 2];
                    packet.copy_out(at.saturating_sub(2), &mut ethertype)?;
                    u16::from_be_bytes(ethertype)
                }
            };
            let tagged = at > inside.header_len();
            match ethertype {
                ETH_IPV4 => {
                    let mut ip = [0; size_of::<Ipv4>()];
                    packet.copy_out(at, &mut ip)?;
                    let [_, tos, _, _, _, _, _, _, ttl, ..] = ip;
                    return Ok(Inner { at: Some(at), tagged, tos, ttl });
                }
                ETH_IPV6 => {
                    let mut ip = [0; size_of::<Ipv6>()];
                    packet.copy_out(at, &mut ip)?;
                    let [a, b, _, _, _, _, _, ttl, ..] = ip;
                    return Ok(Inner { at: Some(at), tagged, tos: a << 4 | b >> 4, ttl });
                }
                tag if is_vlan(tag) && inside == Inside::Ethernet => at = at.saturating_add(VLAN_HLEN),
                _ => return Ok(Inner { tagged, ..Inner::NOT_IP }),
            }
        }
        Ok(Inner { tagged: true, ..Inner::NOT_IP })
    }
}

/// Changes the type of service of the IP header at `at`.
pub(super) fn set_tos<Pk: Packet>(packet: &mut Pk, at: usize, tos: u8) -> Result<()> {
    let head = packet.head_mut(at.saturating_add(size_of::<Ipv4>()))?;
    let ip: &mut [u8; size_of::<Ipv4>()] =
        head.get_mut(at..).and_then(|rest| rest.first_chunk_mut()).ok_or(Errno::EINVAL)?;
    let [first, second, _, _, _, _, _, _, _, _, c, d, ..] = ip;
    if *first >> 4 == 6 {
        (*first, *second) = (*first & 0xf0 | tos >> 4, tos << 4 | *second & 0x0f);
    } else {
        let mut csum = [*c, *d];
        replace(&mut csum, &[*first, *second], &[*first, tos]);
        *second = tos;
        [*c, *d] = csum;
    }
    Ok(())
}

/// Sees to it that the frame's transport checksum is one.
///
/// A sender on the same machine leaves checksums to the device it sends through; out of a tunnel's socket comes such a frame
/// without anybody saying so. Its checksum field holds the pseudo-header's sum, which a complete checksum is by chance once
/// in 65,536 frames at most, and then it verifies. What neither verifies nor looks like this is left alone. A TCP frame
/// like this that is too long for a wire has been left to be cut as well.
pub fn repair_checksum<Pk: Packet>(inside: Inside, packet: &mut Pk) {
    let _ = find_partial(inside, packet);
}

fn find_partial<Pk: Packet>(inside: Inside, packet: &mut Pk) -> Result<()> {
    let mut key = FlowKey { mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    if let Inside::Network(ethertype) = inside {
        (key.mac_proto, key.eth_type) = (MAC_NONE, Be16::new(ethertype));
    }
    let layers = extract(packet, &mut key)?;
    let (Some(l3), Some(l4)) = (layers.l3, layers.l4) else { return Ok(()) };
    let offset: u16 = match key.ip_proto {
        IP_TCP => 16,
        IP_UDP => 6,
        _ => return Ok(()),
    };
    if key.ip_frag != FRAG_NONE {
        return Ok(());
    }
    let mut len = [0; 2];
    let (src, dst): (&[u8], &[u8]);
    let end = if key.eth_type.get() == ETH_IPV4 {
        (src, dst) = (&key.ipv4_src, &key.ipv4_dst);
        packet.copy_out(l3.saturating_add(2), &mut len)?;
        l3.saturating_add(u16::from_be_bytes(len).into())
    } else {
        (src, dst) = (&key.ipv6_src, &key.ipv6_dst);
        packet.copy_out(l3.saturating_add(4), &mut len)?;
        l3.saturating_add(size_of::<Ipv6>()).saturating_add(u16::from_be_bytes(len).into())
    };
    let mut field = [0; 2];
    packet.copy_out(l4.saturating_add(offset.into()), &mut field)?;
    let seed = pseudo(src, dst, key.ip_proto, end.checked_sub(l4).ok_or(Errno::EINVAL)?);
    if u16::from_be_bytes(field) == seed.fold() && sum_between(packet, seed, l4, end)?.finish() != 0 {
        packet.truncate(end);
        let start = u32::try_from(l4).map_err(|_| Errno::EINVAL)?;
        packet.offload_mut().csum = Some(PartialCsum { start, offset });
        if key.ip_proto == IP_TCP && end.saturating_sub(l3) > USUAL_MTU {
            let kind = if key.eth_type.get() == ETH_IPV4 { GsoKind::Tcp4 } else { GsoKind::Tcp6 };
            packet.offload_mut().gso = Some(Gso { kind, ecn: false, size: SEGMENT, hdr_len: 0 });
        }
    }
    Ok(())
}
