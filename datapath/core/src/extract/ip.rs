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

    let start = at.saturating_add(size_of::<Ipv6>());
    note_extensions(packet, key, next, start)?;
    let Some(l4) = extensions(packet, key, layers, next, start)? else { return Ok(()) };
    layers.payload = Some(l4);
    match key.ip_proto {
        IP_ICMPV6 => icmpv6(packet, key, layers, l4),
        _ => transport(packet, key, layers, l4),
    }
}

/// OpenFlow's names for what was met (OpenFlow 1.3, 7.2.3.8): OFPIEH_*.
mod met {
    pub const NONEXT: u16 = 1 << 0;
    pub const AUTH: u16 = 1 << 2;
    pub const DEST: u16 = 1 << 3;
    pub const FRAG: u16 = 1 << 4;
    pub const ROUTER: u16 = 1 << 5;
    pub const HOP: u16 = 1 << 6;
    pub const UNREP: u16 = 1 << 7;
    pub const UNSEQ: u16 = 1 << 8;
}

/// Follows the chain of extension headers. Sets `ip_proto` and `ip_frag`; answers where the transport header is, if there
/// can be one. A chain that breaks off leaves "no next header" as the protocol.
fn extensions<Pk: Packet>(
    packet: &mut Pk,
    key: &mut FlowKey,
    layers: &mut Layers,
    mut next: u8,
    mut at: usize,
) -> Result<Option<usize>> {
    key.ip_proto = IP_NONE;
    for _ in 0..MAX_EXTENSIONS {
        let len = match next {
            IP_FRAGMENT => {
                if header::<ExtStart, Pk>(packet, at)?.is_some() {
                    key.ip_frag = FRAG_FIRST;
                }
                // Its end may be missing; what follows then is, too.
                let Some(fragment) = header::<FragmentStart, Pk>(packet, at)? else { return Ok(None) };
                if fragment.offset.get() & 0xfff8 != 0 {
                    // One that says to go on with an extension header is broken.
                    if !matches!(fragment.next, IP_HOP | IP_ROUTING | IP_FRAGMENT | IP_AUTH | IP_DEST) {
                        (key.ip_frag, key.ip_proto) = (FRAG_LATER, IP_FRAGMENT);
                    }
                    return Ok(None);
                }
                next = fragment.next;
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

/// Sets `ipv6_exthdrs`. Apart from [`extensions`], because Linux walks the chain for this as if every header counted its
/// length in words of eight bytes, which AUTH does not.
fn note_extensions<Pk: Packet>(
    packet: &mut Pk,
    key: &mut FlowKey,
    mut next: u8,
    mut at: usize,
) -> Result<()> {
    let (mut seen, mut dests) = (0, 0);
    for _ in 0..MAX_EXTENSIONS {
        if !note(&mut seen, &mut dests, next) {
            break;
        }
        let Some(ext) = header::<ExtStart, Pk>(packet, at)? else { break };
        next = ext.next;
        at = at.saturating_add(usize::from(ext.len) * 8 + 8);
    }
    key.ipv6_exthdrs = seen;
    Ok(())
}

/// Notes an extension header: which it is, whether it repeats, whether it is out of RFC 8200's order (4.1), as Linux takes
/// that: DEST may stand twice, but behind no FRAG or AUTH; HOP counts only as the first. Answers whether more can follow.
fn note(seen: &mut u16, dests: &mut u8, next: u8) -> bool {
    use met::*;
    let before = *seen;
    let (bit, may_follow) = match next {
        IP_HOP => (if before == 0 { HOP } else { 0 }, 0),
        IP_DEST => (DEST, HOP | DEST | ROUTER),
        IP_ROUTING => (ROUTER, HOP | DEST),
        IP_FRAGMENT => (FRAG, HOP | DEST | ROUTER),
        IP_AUTH => (AUTH, HOP | DEST | ROUTER | FRAG),
        IP_NONE => {
            *seen |= NONEXT;
            return false;
        }
        _ => return false,
    };
    let repeats = match next {
        IP_DEST => {
            *dests = dests.saturating_add(1);
            *dests > 2
        }
        IP_HOP => before & HOP != 0,
        _ => before & bit != 0,
    };
    if repeats {
        *seen |= UNREP;
    }
    if before & !may_follow != 0 {
        *seen |= UNSEQ;
    }
    *seen |= bit;
    true
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
