//! Cutting a packet that was put together into fragments no longer than those it came in (RFC 791, 3.2; RFC 8200, 4.5).

use crate::csum;
use crate::extract::header;
use crate::key::{Be16, Be32};
use crate::packet::Packet;
use crate::tunnel::Inside;
use crate::wire::*;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Platform, Result};
use zerocopy::FromBytes;

/// The longest link layer header whose packets are cut: Ethernet and three tags, as on Linux.
const L2_MAX: usize = ETH_HLEN + 3 * VLAN_HLEN;
/// What every link that IPv6 goes over takes.
const IPV6_MIN_MTU: usize = 1280;
/// Extension headers that each fragment repeats.
const MAX_EXTENSIONS: usize = 16;

/// Where the link layer header of an IP packet ends, and what follows it. None: it is no IP packet.
fn link<Pk: Packet>(inside: Inside, packet: &mut Pk) -> Result<Option<(usize, u16)>> {
    let (mut kind, mut end) = match inside {
        Inside::Network(ethertype) => (ethertype, 0),
        Inside::Ethernet => {
            let Some(ethernet) = header::<Ethernet, Pk>(packet, 0)? else { return Ok(None) };
            (ethernet.ethertype.get(), ETH_HLEN)
        }
    };
    while is_vlan(kind) && (ETH_HLEN..L2_MAX).contains(&end) {
        let Some(tag) = header::<Tag, Pk>(packet, end)? else { return Ok(None) };
        (kind, end) = (tag.ethertype.get(), end.saturating_add(VLAN_HLEN));
    }
    Ok(matches!(kind, ETH_IPV4 | ETH_IPV6).then_some((end, kind)))
}

/// Bytes of a packet without its link layer header; all of them, if it is no IP packet.
pub(crate) fn network_len<Pk: Packet>(inside: Inside, packet: &mut Pk) -> usize {
    let l2 = link(inside, packet).ok().flatten().map_or(0, |(end, _)| end);
    packet.len().saturating_sub(l2)
}

/// Cuts a packet into fragments of at most `mru` bytes without the link layer header.
///
/// # Errors
/// `EINVAL`: it is no IP packet, or its headers leave no room. `ENOMEM`. What was handed out before stays so.
pub(crate) fn cut<P: Platform, Pk: Packet>(
    inside: Inside,
    packet: &mut Pk,
    mru: usize,
    out: &mut dyn FnMut(Pk) -> Result<()>,
) -> Result<()> {
    csum::complete(packet)?;
    let (l2, kind) = link(inside, packet)?.ok_or(Errno::EINVAL)?;
    if kind == ETH_IPV4 { v4(packet, l2, mru, out) } else { v6::<P, Pk>(packet, l2, mru, out) }
}

fn v4<Pk: Packet>(
    packet: &mut Pk,
    l3: usize,
    mru: usize,
    out: &mut dyn FnMut(Pk) -> Result<()>,
) -> Result<()> {
    let &ip = header::<Ipv4, Pk>(packet, l3)?.ok_or(Errno::EINVAL)?;
    let len = ip.header_len();
    let front = l3.saturating_add(len);
    let end = l3.saturating_add(ip.len.get().into()).min(packet.len());
    let room = mru.saturating_sub(len) & !7;
    if len < size_of::<Ipv4>() || front > end || room == 0 {
        return Err(Errno::EINVAL);
    }
    // What it is a fragment of already.
    let (first, last_more) = (ip.frag.get() & IPV4_OFFSET, ip.frag.get() & IPV4_MORE);
    let (mut at, mut bytes) = (front, Vec::new());
    while at < end {
        let n = room.min(end.saturating_sub(at));
        take(packet, front, at, n, 0, &mut bytes)?;
        let more = if at.saturating_add(n) < end { IPV4_MORE } else { last_more };
        let offset = u16::try_from(at.saturating_sub(front) / 8).map_err(|_| Errno::EMSGSIZE)?;
        let head = bytes.get_mut(l3..front).ok_or(Errno::EINVAL)?;
        if at > front {
            uncopied_options(head);
        }
        let (new, _) = Ipv4::mut_from_prefix(&mut *head).map_err(|_| Errno::EINVAL)?;
        new.len = Be16::new(u16::try_from(len.saturating_add(n)).map_err(|_| Errno::EMSGSIZE)?);
        new.frag = Be16::new(ip.frag.get() & IPV4_DF | more | first.saturating_add(offset) & IPV4_OFFSET);
        csum::ipv4(head)?;
        emit(packet, &bytes, out)?;
        at = at.saturating_add(n);
    }
    Ok(())
}

/// Options that the first fragment alone has become no operations (RFC 791, 3.1).
fn uncopied_options(head: &mut [u8]) {
    let Some(mut options) = head.get_mut(size_of::<Ipv4>()..) else { return };
    while let Some((&kind, rest)) = options.split_first() {
        let len = match kind {
            0 => return,
            1 => 1,
            _ => usize::from(rest.first().copied().unwrap_or(0)),
        };
        if len == 0 || len > options.len() {
            return;
        }
        let (option, rest) = options.split_at_mut(len);
        if kind & 0x80 == 0 {
            option.fill(1);
        }
        options = rest;
    }
}

fn v6<P: Platform, Pk: Packet>(
    packet: &mut Pk,
    l3: usize,
    mru: usize,
    out: &mut dyn FnMut(Pk) -> Result<()>,
) -> Result<()> {
    const FRAGMENT: usize = size_of::<Fragment>();
    let &ip = header::<Ipv6, Pk>(packet, l3)?.ok_or(Errno::EINVAL)?;
    let end = l3.saturating_add(size_of::<Ipv6>()).saturating_add(ip.len.get().into()).min(packet.len());
    let (front, place, next) = unfragmentable(packet, l3, ip.next)?;
    // As Linux: none is shorter than what every link takes (RFC 8200, 5), which may leave one that is all of it.
    let longest = mru.max(IPV6_MIN_MTU);
    let room = longest.saturating_sub(front.saturating_sub(l3)).saturating_sub(FRAGMENT) & !7;
    if front > end || room == 0 {
        return Err(Errno::EINVAL);
    }
    let mut id = [0; 4];
    P::random(&mut id);
    let (mut at, mut bytes) = (front, Vec::new());
    while at < end {
        let n = room.min(end.saturating_sub(at));
        take(packet, front, at, n, FRAGMENT, &mut bytes)?;
        let more = u16::from(at.saturating_add(n) < end);
        let offset = u16::try_from(at.saturating_sub(front)).map_err(|_| Errno::EMSGSIZE)?;
        *bytes.get_mut(place).ok_or(Errno::EINVAL)? = IP_FRAGMENT;
        let head = bytes.get_mut(front..).ok_or(Errno::EINVAL)?;
        let (fragment, _) = Fragment::mut_from_prefix(head).map_err(|_| Errno::EINVAL)?;
        (fragment.next, fragment.reserved) = (next, 0);
        (fragment.offset, fragment.id) = (Be16::new(offset | more), Be32::from_bytes(id));
        let len = bytes.len().saturating_sub(l3.saturating_add(size_of::<Ipv6>()));
        let head = bytes.get_mut(l3..).ok_or(Errno::EINVAL)?;
        let (new, _) = Ipv6::mut_from_prefix(head).map_err(|_| Errno::EINVAL)?;
        new.len = Be16::new(u16::try_from(len).map_err(|_| Errno::EMSGSIZE)?);
        emit(packet, &bytes, out)?;
        at = at.saturating_add(n);
    }
    Ok(())
}

/// Where the headers end that each fragment repeats, where the number of what follows them stands, and that number.
fn unfragmentable<Pk: Packet>(packet: &mut Pk, l3: usize, next: u8) -> Result<(usize, usize, u8)> {
    let mut walk = (l3.saturating_add(size_of::<Ipv6>()), l3.saturating_add(6), next);
    let mut ends = walk;
    for _ in 0..MAX_EXTENSIONS {
        let (at, _, next) = walk;
        if !matches!(next, IP_HOP | IP_ROUTING | IP_DEST) {
            break;
        }
        let Some(&ext) = header::<Ext, Pk>(packet, at)? else { break };
        walk = (at.saturating_add(usize::from(ext.len) * 8 + 8), at, ext.next);
        // Destination options are for the routers only in front of a routing header.
        if next != IP_DEST {
            ends = walk;
        }
    }
    Ok(ends)
}

/// Headers up to `front`, `gap` zero bytes, and `n` bytes from `at` on.
fn take<Pk: Packet>(
    packet: &Pk,
    front: usize,
    at: usize,
    n: usize,
    gap: usize,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let start = front.saturating_add(gap);
    let len = start.saturating_add(n);
    bytes.clear();
    bytes.try_reserve(len)?;
    bytes.resize(len, 0);
    packet.copy_out(0, bytes.get_mut(..front).ok_or(Errno::EINVAL)?)?;
    packet.copy_out(at, bytes.get_mut(start..).ok_or(Errno::EINVAL)?)
}

fn emit<Pk: Packet>(packet: &Pk, bytes: &[u8], out: &mut dyn FnMut(Pk) -> Result<()>) -> Result<()> {
    let mut fragment = Pk::from_bytes(bytes)?;
    fragment.offload_mut().hash = packet.offload().hash;
    out(fragment)
}
