//! IPv4, IPv6 with its extension headers, and what they carry.

use super::{Layers, header};
use crate::key::{Be16, Be32, FRAG_FIRST, FRAG_LATER, FlowKey};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::Result;

/// Extension headers that are followed; a longer chain is as good as broken.
const MAX_EXTENSIONS: usize = 32;
/// Neighbour discovery options that are looked at.
const MAX_ND_OPTIONS: usize = 32;

pub(super) fn v4<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, layers: &mut Layers) -> Result<()> {
    let (at, len) = (layers.l2_len, packet.len());
    let Some(ip) = header::<Ipv4, Pk>(packet, at)? else { return Ok(()) };
    layers.l3 = Some(at);
    let l4 = at.saturating_add(ip.header_len());
    if ip.header_len() < size_of::<Ipv4>() || l4 > len {
        return Ok(());
    }
    (key.ipv4_src, key.ipv4_dst) = (ip.src, ip.dst);
    (key.ip_proto, key.ip_tos, key.ip_ttl) = (ip.proto, ip.tos, ip.ttl);
    let frag = ip.frag.get();
    if frag & IPV4_OFFSET != 0 {
        key.ip_frag = FRAG_LATER;
        layers.payload = Some(l4);
        return Ok(());
    }
    if frag & IPV4_MORE != 0 {
        key.ip_frag = FRAG_FIRST;
    }
    layers.payload = Some(l4);
    if key.ip_proto == IP_ICMP { icmp(packet, key, layers, l4) } else { transport(packet, key, layers, l4) }
}

pub(super) fn v6<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, layers: &mut Layers) -> Result<()> {
    let at = layers.l2_len;
    let Some(ip) = header::<Ipv6, Pk>(packet, at)? else { return Ok(()) };
    let (flow, next) = (ip.flow.get(), ip.next);
    (key.ipv6_src, key.ipv6_dst, key.ip_ttl) = (ip.src, ip.dst, ip.hlimit);
    key.ip_tos = (flow >> 20) as u8;
    key.ipv6_label = Be32::new(flow & 0x000f_ffff);
    layers.l3 = Some(at);

    let Some(l4) = extensions(packet, key, layers, next, at + size_of::<Ipv6>())? else { return Ok(()) };
    layers.payload = Some(l4);
    match key.ip_proto {
        IP_ICMPV6 => icmpv6(packet, key, layers, l4),
        _ => transport(packet, key, layers, l4),
    }
}

/// OpenFlow's names for what was met (OpenFlow 1.3, 7.2.3.8): OFPIEH_*.
mod met {
    pub const NONEXT: u16 = 1 << 0;
    pub const ESP: u16 = 1 << 1;
    pub const AUTH: u16 = 1 << 2;
    pub const DEST: u16 = 1 << 3;
    pub const FRAG: u16 = 1 << 4;
    pub const ROUTER: u16 = 1 << 5;
    pub const HOP: u16 = 1 << 6;
    pub const UNREP: u16 = 1 << 7;
    pub const UNSEQ: u16 = 1 << 8;
}

/// Follows the chain of extension headers. Sets `ip_proto`, `ip_frag` and `ipv6_exthdrs`; answers where the transport
/// header is, if there can be one. A chain that breaks off leaves "no next header" as the protocol.
fn extensions<Pk: Packet>(
    packet: &mut Pk,
    key: &mut FlowKey,
    layers: &mut Layers,
    mut next: u8,
    mut at: usize,
) -> Result<Option<usize>> {
    key.ip_proto = IP_NONE;
    for _ in 0..MAX_EXTENSIONS {
        note(&mut key.ipv6_exthdrs, next);
        let len = match next {
            IP_FRAGMENT => {
                // Its end may be missing; what follows then is, too.
                let Some(fragment) = header::<FragmentStart, Pk>(packet, at)? else { return Ok(None) };
                if fragment.offset.get() & 0xfff8 != 0 {
                    (key.ip_frag, key.ip_proto) = (FRAG_LATER, IP_FRAGMENT);
                    return Ok(None);
                }
                (key.ip_frag, next) = (FRAG_FIRST, fragment.next);
                size_of::<Fragment>()
            }
            IP_HOP | IP_ROUTING | IP_DEST | IP_AUTH => {
                let Some(ext) = header::<Ext, Pk>(packet, at)? else { return Ok(None) };
                layers.routed |= next == IP_ROUTING && ext.left > 0;
                let (unit, base) = if next == IP_AUTH { (4, 8) } else { (8, 8) };
                next = ext.next;
                usize::from(ext.len) * unit + base
            }
            _ => {
                key.ip_proto = next;
                return Ok(Some(at));
            }
        };
        at = at.saturating_add(len);
        if at > packet.len() {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Notes an extension header: which it is, whether it repeats, whether it is out of RFC 8200's order (4.1).
fn note(seen: &mut u16, next: u8) {
    use met::*;
    let (bit, may_follow) = match next {
        IP_HOP => (HOP, 0),
        // Once before a routing header, and once as the last of all.
        IP_DEST => (DEST, HOP | DEST | ROUTER | FRAG | AUTH | ESP),
        IP_ROUTING => (ROUTER, HOP | DEST),
        IP_FRAGMENT => (FRAG, HOP | DEST | ROUTER),
        IP_AUTH => (AUTH, HOP | DEST | ROUTER | FRAG),
        IP_NONE => (NONEXT, u16::MAX),
        _ => return,
    };
    let before = *seen & !(UNREP | UNSEQ);
    let second_dest = bit == DEST && before & (ROUTER | FRAG | AUTH | ESP) != 0;
    if before & bit != 0 && !second_dest {
        *seen |= UNREP;
    }
    if before & !bit & !may_follow != 0 {
        *seen |= UNSEQ;
    }
    *seen |= bit;
}

/// TCP, UDP and SCTP.
fn transport<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, layers: &mut Layers, at: usize) -> Result<()> {
    let len = packet.len();
    let ports = match key.ip_proto {
        IP_TCP => header::<Tcp, Pk>(packet, at)?
            .filter(|tcp| tcp.header_len() >= size_of::<Tcp>() && at.saturating_add(tcp.header_len()) <= len)
            .map(|tcp| {
                key.tcp_flags = tcp.flags & Be16::new(0x0fff);
                (tcp.src, tcp.dst)
            }),
        IP_UDP => header::<Udp, Pk>(packet, at)?.map(|udp| (udp.src, udp.dst)),
        IP_SCTP => header::<Sctp, Pk>(packet, at)?.map(|sctp| (sctp.src, sctp.dst)),
        _ => return Ok(()),
    };
    if let Some(ports) = ports {
        (key.tp_src, key.tp_dst) = ports;
        layers.l4 = Some(at);
    }
    Ok(())
}

fn icmp<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, layers: &mut Layers, at: usize) -> Result<()> {
    if let Some(icmp) = header::<Icmp, Pk>(packet, at)? {
        (key.tp_src, key.tp_dst) = (Be16::new(icmp.kind.into()), Be16::new(icmp.code.into()));
        layers.l4 = Some(at);
    }
    Ok(())
}

/// ICMPv6, and the target and addresses of neighbour solicitations and advertisements (RFC 4861, 4.3 and 4.4).
fn icmpv6<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey, layers: &mut Layers, at: usize) -> Result<()> {
    icmp(packet, key, layers, at)?;
    if !matches!((key.tp_src.get(), key.tp_dst.get()), (135 | 136, 0)) {
        return Ok(());
    }
    let target = at.saturating_add(size_of::<Icmp>());
    let Some(&address) = header::<[u8; 16], Pk>(packet, target)? else { return Ok(()) };
    key.nd_target = address;
    let mut at = target.saturating_add(16);
    for _ in 0..MAX_ND_OPTIONS {
        let Some(&NdOption { kind, len, mac }) = header(packet, at)? else { break };
        let end = at.saturating_add(usize::from(len) * 8);
        if len == 0 || end > packet.len() {
            break;
        }
        let place = match (kind, len) {
            (1, 1) => &mut key.sha,
            (2, 1) => &mut key.tha,
            _ => &mut [0; 6],
        };
        if *place != [0; 6] {
            // Two of a kind: none is to be believed.
            (key.nd_target, key.sha, key.tha) = ([0; 16], [0; 6], [0; 6]);
            break;
        }
        if matches!((kind, len), (1 | 2, 1)) {
            *place = mac;
        }
        at = end;
    }
    Ok(())
}
