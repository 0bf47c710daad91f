//! Translation of a packet's addresses and ports, as its connection says; of an ICMP error, those of the packet inside too,
//! so that its receiver knows what it is about.

use super::ct::{Tracked, inner, state};
use super::frame::{Frame, view};
use super::set;
use super::{Ipv4Fields, Ipv6Fields, Masked, PortFields};
use crate::conntrack::conn::{DST_NAT, SRC_NAT};
use crate::conntrack::{Tuple, has_ports};
use crate::csum::replace;
use crate::key::{Be16, FlowKey};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::{Errno, Platform, Result};

/// As much of the packet inside an ICMP error as can change: an IPv4 header with options or an IPv6 one, and a TCP header
/// up to its checksum.
const INNER_MAX: usize = 80;

/// Translates a packet; answers which ends were, in bits of ct_state.
#[inline(never)]
pub(super) fn translate<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    tracked: &Tracked<P>,
) -> Result<u8> {
    let (conn, is_reply) = (&tracked.conn, tracked.is_reply);
    // The answer to a packet whose source was changed has its destination changed back.
    let (src, dst) = if is_reply {
        (conn.has(DST_NAT), conn.has(SRC_NAT))
    } else {
        (conn.has(SRC_NAT), conn.has(DST_NAT))
    };
    if !src && !dst {
        return Ok(0);
    }
    let target = conn.target(is_reply).ok_or(Errno::EINVAL)?;
    if tracked.is_error {
        error(frame, key, &target)?;
        addresses(frame, key, &target, src, dst)?;
    } else {
        addresses(frame, key, &target, true, true)?;
        if has_ports(target.proto) {
            let ports = PortFields { src: target.src_port, dst: target.dst_port };
            let all = PortFields { src: Be16::new(0xffff), dst: Be16::new(0xffff) };
            set::ports(frame, key, &Masked { value: ports, mask: all }, target.proto)?;
        } else if target.is_icmp() {
            identifier(frame, key, target.src_port)?;
        }
    }
    // Linux gives a packet whose destination alone is changed a source as well: its own.
    let src = src || dst && !is_reply;
    Ok(if src { state::SRC_NAT } else { 0 } | if dst { state::DST_NAT } else { 0 })
}

fn addresses<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    target: &Tuple,
    src: bool,
    dst: bool,
) -> Result<()> {
    let ones = |which| if which { 0xff } else { 0 };
    if target.version == 4 {
        let narrow = |address: &[u8; 16]| address.first_chunk().copied().unwrap_or_default();
        let value = Ipv4Fields { src: narrow(&target.src), dst: narrow(&target.dst), ..Default::default() };
        let mask = Ipv4Fields { src: [ones(src); 4], dst: [ones(dst); 4], ..Default::default() };
        return set::ipv4(frame, key, &Masked { value, mask });
    }
    let value = Ipv6Fields { src: target.src, dst: target.dst, ..Default::default() };
    let mask = Ipv6Fields { src: [ones(src); 16], dst: [ones(dst); 16], ..Default::default() };
    set::ipv6(frame, key, &Masked { value, mask })
}

/// An ICMP query's identifier.
fn identifier<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey, id: Be16) -> Result<()> {
    let at = frame.layers(key)?.l4.ok_or(Errno::EINVAL)?;
    let head = frame.packet.head_mut(at.saturating_add(size_of::<Icmp>()))?;
    let place: &mut [u8; 2] = view(head, at.saturating_add(4))?;
    let old = core::mem::replace(place, id.to_bytes());
    content(frame, at, &old, &id.to_bytes())
}

/// Bytes that an ICMP checksum covers changed.
fn content<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    l4: usize,
    old: &[u8],
    new: &[u8],
) -> Result<()> {
    if frame.packet.offload().csum.is_some() {
        return Ok(());
    }
    let at = l4.saturating_add(2);
    let head = frame.packet.head_mut(at.saturating_add(2))?;
    replace(view(head, at)?, old, new);
    Ok(())
}

/// Translates the packet inside an ICMP error: it went the other way.
fn error<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey, target: &Tuple) -> Result<()> {
    let l4 = frame.layers(key)?.l4.ok_or(Errno::EINVAL)?;
    let start = l4.saturating_add(size_of::<Icmp>());
    let Some(found) = inner(&mut frame.packet, target.version, start, target.zone)? else {
        return Err(Errno::EINVAL);
    };
    let new = target.invert().ok_or(Errno::EINVAL)?;
    // An even number of bytes, as checksums want them.
    let end = frame.packet.len().min(start.saturating_add(INNER_MAX));
    let len = end.saturating_sub(start) & !1;
    let (mut before, mut after) = ([0; INNER_MAX], [0; INNER_MAX]);
    let before = before.get_mut(..len).ok_or(Errno::EINVAL)?;
    let after = after.get_mut(..len).ok_or(Errno::EINVAL)?;
    frame.packet.copy_out(start, before)?;
    after.iter_mut().zip(before.iter()).for_each(|(to, from)| *to = *from);
    rewrite(after, found.l4.saturating_sub(start), &found.tuple, &new)?;
    let head = frame.packet.head_mut(start.saturating_add(len))?;
    let place = head.get_mut(start..).ok_or(Errno::EINVAL)?;
    place.iter_mut().zip(after.iter()).for_each(|(to, from)| *to = *from);
    content(frame, l4, before, after)
}

/// Changes the headers at the front of `bytes` from one tuple's to another's.
fn rewrite(bytes: &mut [u8], l4: usize, old: &Tuple, new: &Tuple) -> Result<()> {
    if old.version == 4 {
        let ip: &mut Ipv4 = view(bytes, 0)?;
        let csum = &mut ip.csum;
        for (place, new) in [(&mut ip.src, &new.src), (&mut ip.dst, &new.dst)] {
            let new = *new.first_chunk::<4>().ok_or(Errno::EINVAL)?;
            replace(csum, &*place, &new);
            *place = new;
        }
    } else {
        let ip: &mut Ipv6 = view(bytes, 0)?;
        (ip.src, ip.dst) = (new.src, new.dst);
    }
    let ports = |tuple: &Tuple| {
        let ([a, b], [c, d]) = (tuple.src_port.to_bytes(), tuple.dst_port.to_bytes());
        [a, b, c, d]
    };
    let (old_ports, new_ports, at) = if old.is_icmp() {
        // The identifier alone changes.
        let ([a, b, ..], [c, d, ..]) = (ports(old), ports(new));
        ([a, b, 0, 0], [c, d, 0, 0], 4usize)
    } else {
        (ports(old), ports(new), 0)
    };
    if old.is_icmp() {
        let [a, b, ..] = new_ports;
        *view::<[u8; 2]>(bytes, l4.saturating_add(at))? = [a, b];
    } else if has_ports(old.proto) {
        *view::<[u8; 4]>(bytes, l4)? = new_ports;
    }
    let (at, pseudo) = match (old.version, old.proto) {
        (_, IP_TCP) => (16, true),
        (_, IP_UDP) => (6, true),
        (4, IP_ICMP) => (2, false),
        (6, IP_ICMPV6) => (2, true),
        _ => return Ok(()),
    };
    // An error need not carry so much of the packet that it is about.
    let Ok(field) = view::<[u8; 2]>(bytes, l4.saturating_add(at)) else { return Ok(()) };
    if old.proto == IP_UDP && *field == [0; 2] {
        return Ok(());
    }
    replace(field, &old_ports, &new_ports);
    if pseudo {
        replace(field, old.address(&old.src), new.address(&new.src));
        replace(field, old.address(&old.dst), new.address(&new.dst));
    }
    if old.proto == IP_UDP && *field == [0; 2] {
        *field = [0xff; 2];
    }
    Ok(())
}
