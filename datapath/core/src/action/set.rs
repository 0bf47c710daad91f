//! SET: new values in headers that are there. The key follows, so that a later lookup or upcall sees them.

use super::frame::{Frame, SHORT, view};
use super::{EthernetFields, Ipv4Fields, Ipv6Fields, Masked, PortFields, Set};
use crate::csum::{crc32c_delta, replace};
use crate::key::{Be16, Be32, FRAG_LATER, FlowKey};
use crate::packet::Packet;
use crate::wire::*;
use core::ops::{BitAnd, BitOr, Not};
use pfnl_platform::{Errno, Platform, Result};

/// Changes a packet.
///
/// # Errors
/// `ENOMEM`, also when the header is not there; `EINVAL` when it is another one.
pub(super) fn set<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    set: &Set,
) -> Result<()> {
    match set {
        Set::Priority(new) => key.priority = new.over(key.priority),
        Set::SkbMark(new) => key.skb_mark = new.over(key.skb_mark),
        Set::Ethernet(new) => ethernet(frame, key, new)?,
        Set::Ipv4(new) => ipv4(frame, key, new)?,
        Set::Ipv6(new) => ipv6(frame, key, new)?,
        Set::Tcp(new) => ports(frame, key, new, IP_TCP)?,
        Set::Udp(new) => ports(frame, key, new, IP_UDP)?,
        Set::Sctp(new) => ports(frame, key, new, IP_SCTP)?,
        Set::Mpls(new) => mpls(frame, key, new)?,
        // The key keeps the tunnel that the packet came by.
        Set::Tunnel(new) => frame.tunnel = Some(new.clone()),
    }
    Ok(())
}

impl<T: Copy + BitAnd<Output = T> + BitOr<Output = T> + Not<Output = T>> Masked<T> {
    fn over(&self, old: T) -> T {
        self.value & self.mask | old & !self.mask
    }
}

fn over<const N: usize>(value: &[u8; N], mask: &[u8; N], old: &[u8; N]) -> [u8; N] {
    let mut new = *old;
    for ((new, value), mask) in new.iter_mut().zip(value).zip(mask) {
        *new = value & mask | *new & !mask;
    }
    new
}

fn ethernet<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    new: &Masked<EthernetFields>,
) -> Result<()> {
    let header: &mut Ethernet = view(frame.packet.head_mut(ETH_HLEN)?, 0)?;
    header.src = over(&new.value.src, &new.mask.src, &header.src);
    header.dst = over(&new.value.dst, &new.mask.dst, &header.dst);
    (key.eth_src, key.eth_dst) = (header.src, header.dst);
    Ok(())
}

pub(super) fn ipv4<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    new: &Masked<Ipv4Fields>,
) -> Result<()> {
    if key.eth_type.get() != ETH_IPV4 {
        return Err(SHORT);
    }
    ipv4_header(frame, key, new)
}

/// Changes what is where an IPv4 header is looked for.
fn ipv4_header<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    new: &Masked<Ipv4Fields>,
) -> Result<()> {
    let at = frame.network();
    let header = at.saturating_add(size_of::<Ipv4>());
    // Asked of the header, which need not be the one that the key is of.
    let ip: &Ipv4 = view(frame.packet.head_mut(header).map_err(|_| SHORT)?, at)?;
    let (proto, is_later) = (ip.proto, ip.frag.get() & IPV4_OFFSET != 0);
    let csum = frame.l4_csum(proto).filter(|_| !is_later && proto != IP_ICMPV6);
    let head = frame.packet.head_mut(csum.map_or(header, |csum| csum.end().max(header)))?;

    let ip: &mut Ipv4 = view(head, at)?;
    let old = *ip;
    ip.src = over(&new.value.src, &new.mask.src, &old.src);
    ip.dst = over(&new.value.dst, &new.mask.dst, &old.dst);
    ip.tos = new.value.tos & new.mask.tos | old.tos & !new.mask.tos;
    ip.ttl = new.value.ttl & new.mask.ttl | old.ttl & !new.mask.ttl;
    replace(
        &mut ip.csum,
        &[old.ver_ihl, old.tos, old.ttl, old.proto],
        &[ip.ver_ihl, ip.tos, ip.ttl, ip.proto],
    );
    for (old, new) in [(old.src, ip.src), (old.dst, ip.dst)] {
        replace(&mut ip.csum, &old, &new);
    }
    let now = *ip;
    if let Some(csum) = csum {
        csum.pseudo(head, &old.src, &now.src)?;
        csum.pseudo(head, &old.dst, &now.dst)?;
    }
    // The key of a header that lies about its length has nothing of it; it shows what is set, and of addresses what is new.
    if new.mask.tos != 0 {
        key.ip_tos = now.tos;
    }
    if new.mask.ttl != 0 {
        key.ip_ttl = now.ttl;
    }
    for (old, now, place) in [(old.src, now.src, &mut key.ipv4_src), (old.dst, now.dst, &mut key.ipv4_dst)] {
        if old != now {
            *place = now;
        }
    }
    Ok(())
}

pub(super) fn ipv6<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    new: &Masked<Ipv6Fields>,
) -> Result<()> {
    if key.eth_type.get() != ETH_IPV6 {
        return Err(SHORT);
    }
    let (at, is_routed) = (frame.network(), frame.is_routed());
    let csum = frame.l4_csum(key.ip_proto).filter(|_| key.ip_frag != FRAG_LATER);
    let header = at.saturating_add(size_of::<Ipv6>());
    let end = csum.map_or(header, |csum| csum.end().max(header));
    let head = frame.packet.head_mut(end).map_err(|_| SHORT)?;

    let ip: &mut Ipv6 = view(head, at)?;
    let (old_src, old_dst) = (ip.src, ip.dst);
    ip.src = over(&new.value.src, &new.mask.src, &old_src);
    ip.dst = over(&new.value.dst, &new.mask.dst, &old_dst);
    ip.hlimit = new.value.hlimit & new.mask.hlimit | ip.hlimit & !new.mask.hlimit;
    let flow = |tclass: u8, label: Be32| u32::from(tclass) << 20 | label.get() & 0x000f_ffff;
    let (value, mask) = (flow(new.value.tclass, new.value.label), flow(new.mask.tclass, new.mask.label));
    let word = value & mask | ip.flow.get() & !mask;
    ip.flow = Be32::new(word);
    (key.ipv6_src, key.ipv6_dst, key.ip_ttl) = (ip.src, ip.dst, ip.hlimit);
    (key.ip_tos, key.ipv6_label) = ((word >> 20) as u8, Be32::new(word & 0x000f_ffff));
    if let Some(csum) = csum {
        csum.pseudo(head, &old_src, &key.ipv6_src)?;
        // With a routing header the checksum covers the last destination, not this one (RFC 8200, 8.1).
        if !is_routed {
            csum.pseudo(head, &old_dst, &key.ipv6_dst)?;
        }
    }
    Ok(())
}

/// The first four bytes of TCP, UDP and SCTP.
pub(super) fn ports<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    new: &Masked<PortFields>,
    protocol: u8,
) -> Result<()> {
    // A TCP header that lies about its length has ports all the same; and what is where they would be in a later fragment,
    // data, is taken for them.
    let at = frame.transport().filter(|_| key.ip_proto == protocol).ok_or(SHORT)?;
    let whole = match protocol {
        IP_TCP => size_of::<Tcp>(),
        IP_UDP => size_of::<Udp>(),
        _ => size_of::<Sctp>(),
    };
    if at.saturating_add(whole) > frame.packet.len() {
        return Err(SHORT);
    }
    let csum = frame.l4_csum(protocol);
    let sctp_len = if protocol == IP_SCTP { l4_len(&frame.packet, key, frame.network(), at)? } else { 0 };
    let end = at.saturating_add(size_of::<Sctp>());
    let head = frame.packet.head_mut(csum.map_or(end, |csum| csum.end()))?;

    let place: &mut [u8; 4] = view(head, at)?;
    let old = *place;
    let bytes = |ports: &PortFields| {
        let ([a, b], [c, d]) = (ports.src.to_bytes(), ports.dst.to_bytes());
        [a, b, c, d]
    };
    let now = over(&bytes(&new.value), &bytes(&new.mask), &old);
    *place = now;
    if let Some(csum) = csum {
        csum.content(head, &old, &now)?;
    }
    if protocol == IP_SCTP {
        let ([a, b, c, d], [e, f, g, h]) = (old, now);
        let sctp: &mut Sctp = view(head, at)?;
        // The CRC stands low byte first. What was wrong with it before stays wrong.
        let crc = u32::from_le_bytes(sctp.csum) ^ crc32c_delta([a ^ e, b ^ f, c ^ g, d ^ h], sctp_len);
        sctp.csum = crc.to_le_bytes();
    }
    let [a, b, c, d] = now;
    // The key of a TCP header that lies about its length has no ports; it shows those that are new.
    let [e, f, g, h] = old;
    if protocol != IP_TCP || [a, b] != [e, f] {
        key.tp_src = Be16::from_bytes([a, b]);
    }
    if protocol != IP_TCP || [c, d] != [g, h] {
        key.tp_dst = Be16::from_bytes([c, d]);
    }
    Ok(())
}

/// Bytes from the transport header to the end of the IP packet; what is behind is padding.
fn l4_len<Pk: Packet>(packet: &Pk, key: &FlowKey, l3: usize, l4: usize) -> Result<usize> {
    let mut len = [0; 2];
    let end = if key.eth_type.get() == ETH_IPV4 {
        packet.copy_out(l3.saturating_add(2), &mut len)?;
        l3.saturating_add(u16::from_be_bytes(len).into())
    } else {
        packet.copy_out(l3.saturating_add(4), &mut len)?;
        l3.saturating_add(size_of::<Ipv6>()).saturating_add(u16::from_be_bytes(len).into())
    };
    Ok(end.min(packet.len()).saturating_sub(l4))
}

fn mpls<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    new: &Masked<Be32>,
) -> Result<()> {
    let at = frame.l2_len();
    if !is_mpls(frame.protocol.get()) {
        return Err(Errno::EINVAL);
    }
    let head = frame.packet.head_mut(at.saturating_add(MPLS_HLEN)).map_err(|_| SHORT)?;
    let lse = view::<Lse>(head, at)?;
    lse.word = new.over(lse.word);
    let word = lse.word;
    key.label(word);
    Ok(())
}

/// Decrements the time to live. Answers whether there was any left; of what is not IP, or IP behind two tags, there always is.
pub(super) fn dec_ttl<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<bool> {
    let protocol = frame.protocol.get();
    if !matches!(protocol, ETH_IPV4 | ETH_IPV6) {
        return Ok(true);
    }
    let at = frame.network();
    match protocol {
        ETH_IPV4 => {
            let head = frame.packet.head_mut(at.saturating_add(size_of::<Ipv4>())).map_err(|_| SHORT)?;
            let ttl = view::<Ipv4>(head, at)?.ttl;
            let Some(ttl) = ttl.checked_sub(1).filter(|&ttl| ttl > 0) else { return Ok(false) };
            let value = Ipv4Fields { ttl, ..Default::default() };
            ipv4_header(frame, key, &Masked { value, mask: Ipv4Fields { ttl: 0xff, ..Default::default() } })?;
        }
        _ => {
            let head = frame.packet.head_mut(at.saturating_add(size_of::<Ipv6>())).map_err(|_| SHORT)?;
            let ip: &mut Ipv6 = view(head, at)?;
            let Some(ttl) = ip.hlimit.checked_sub(1).filter(|&ttl| ttl > 0) else { return Ok(false) };
            (ip.hlimit, key.ip_ttl) = (ttl, ttl);
        }
    }
    Ok(true)
}
