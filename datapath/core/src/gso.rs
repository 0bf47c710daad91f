//! Cutting a large packet into segments in software: for upcalls, and for ports that cannot do it.
//!
//! Each segment gets the headers anew, with lengths, IPv4 identification, TCP sequence number and flags as they would have
//! been, and complete checksums.

use crate::csum::{Sum, pseudo};
use crate::key::{Be16, Be32};
use crate::offload::{Gso, GsoKind};
use crate::packet::Packet;
use crate::tunnel::Inside;
use crate::wire::*;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Headers longer than this are nobody's.
const MAX_HEADERS: usize = 1024;
/// More segments than a packet of 64 KiB has at the smallest segment size that TCP stacks use.
const MAX_SEGMENTS: usize = 2048;
/// VLAN tags and MPLS labels that are skipped on the way to the IP header.
const MAX_TAGS: usize = 16;

/// Cuts a packet and hands over the segments one by one. `mac_proto` is the key's.
///
/// # Errors
/// `EINVAL` for a packet that is not what its offload says, `ENOMEM`, and what `take` answers.
pub fn segment<Pk: Packet>(
    packet: &Pk,
    inside: Inside,
    take: &mut dyn FnMut(Pk) -> Result<()>,
) -> Result<()> {
    let gso = packet.offload().gso.ok_or(Errno::EINVAL)?;
    let mut cut = Cut::try_new(packet, inside, gso)?;
    let payload = packet.len().checked_sub(cut.headers).ok_or(Errno::EINVAL)?;
    let size = usize::from(gso.size);
    if size == 0 || payload.div_ceil(size) > MAX_SEGMENTS {
        return Err(Errno::EINVAL);
    }
    let mut at = 0;
    for n in 0u16.. {
        let len = size.min(payload.saturating_sub(at));
        cut.segment(packet, at, len, n, at.saturating_add(len) == payload)?;
        let mut segment = Pk::from_bytes(&cut.bytes)?;
        segment.offload_mut().hash = packet.offload().hash;
        take(segment)?;
        at = at.saturating_add(len);
        if at >= payload {
            break;
        }
    }
    Ok(())
}

/// How many bytes of a packet are headers.
///
/// # Errors
/// As [`segment`].
pub fn header_len<Pk: Packet>(packet: &Pk, inside: Inside) -> Result<usize> {
    let gso = packet.offload().gso.ok_or(Errno::EINVAL)?;
    Ok(Cut::try_new(packet, inside, gso)?.headers)
}

/// A cutting in progress.
struct Cut {
    /// The segment being made: the headers, then its payload.
    bytes: Vec<u8>,
    headers: usize,
    l3: usize,
    l4: usize,
    kind: GsoKind,
    is_v6: bool,
    /// From the uncut packet: IPv4's identification, TCP's sequence number and flags.
    id: u16,
    seq: u32,
    flags: u16,
}

const FIN_PSH: u16 = 0x009;
const CWR: u16 = 0x080;

impl Cut {
    fn try_new<Pk: Packet>(packet: &Pk, inside: Inside, gso: Gso) -> Result<Cut> {
        let (l3, is_v6) = network(packet, inside)?;
        // The checksum says where the transport header is, behind options and extension headers.
        let l4 = packet.offload().csum.ok_or(Errno::EINVAL)?.start as usize;
        let first = if is_v6 { size_of::<Ipv6>() } else { size_of::<Ipv4>() };
        if l4 < l3.saturating_add(first) || is_v6 == (gso.kind == GsoKind::Tcp4) && gso.kind != GsoKind::Udp {
            return Err(Errno::EINVAL);
        }
        let (mut id, mut seq, mut flags) = (0, 0, 0);
        if !is_v6 {
            id = read::<Ipv4, Pk>(packet, l3)?.id.get();
        }
        let l4_len = match gso.kind {
            GsoKind::Udp => size_of::<Udp>(),
            GsoKind::Tcp4 | GsoKind::Tcp6 => {
                let tcp = read::<Tcp, Pk>(packet, l4)?;
                (seq, flags) = (tcp.seq.get(), tcp.flags.get());
                tcp.header_len().max(size_of::<Tcp>())
            }
        };
        let headers = l4.saturating_add(l4_len);
        if headers > MAX_HEADERS {
            return Err(Errno::EINVAL);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(headers.saturating_add(gso.size.into()))?;
        bytes.resize(headers, 0);
        packet.copy_out(0, &mut bytes)?;
        Ok(Cut { bytes, headers, l3, l4, kind: gso.kind, is_v6, id, seq, flags })
    }

    /// Makes segment `n`, with `len` bytes of payload from `at` on.
    fn segment<Pk: Packet>(&mut self, packet: &Pk, at: usize, len: usize, n: u16, last: bool) -> Result<()> {
        // Never more than was reserved: len <= gso.size.
        self.bytes.resize(self.headers.saturating_add(len), 0);
        let place = self.bytes.get_mut(self.headers..).ok_or(Errno::EINVAL)?;
        packet.copy_out(self.headers.saturating_add(at), place)?;

        let l3_len = self.bytes.len().saturating_sub(self.l3);
        let l4_len = self.bytes.len().saturating_sub(self.l4);
        let protocol = if self.kind == GsoKind::Udp { IP_UDP } else { IP_TCP };
        let sum = if self.is_v6 {
            let ip = edit::<Ipv6>(&mut self.bytes, self.l3)?;
            ip.len = length(l3_len.saturating_sub(size_of::<Ipv6>()))?;
            pseudo(&ip.src, &ip.dst, protocol, l4_len)
        } else {
            let ip = edit::<Ipv4>(&mut self.bytes, self.l3)?;
            (ip.len, ip.id, ip.csum) = (length(l3_len)?, Be16::new(self.id.wrapping_add(n)), [0; 2]);
            let sum = pseudo(&ip.src, &ip.dst, protocol, l4_len);
            let header = self.bytes.get(self.l3..self.l4).ok_or(Errno::EINVAL)?;
            let csum = Sum::default().bytes(header).finish().to_be_bytes();
            edit::<Ipv4>(&mut self.bytes, self.l3)?.csum = csum;
            sum
        };
        match self.kind {
            GsoKind::Udp => {
                let udp = edit::<Udp>(&mut self.bytes, self.l4)?;
                (udp.len, udp.csum) = (length(l4_len)?, [0; 2]);
            }
            GsoKind::Tcp4 | GsoKind::Tcp6 => {
                let tcp = edit::<Tcp>(&mut self.bytes, self.l4)?;
                tcp.seq = Be32::new(self.seq.wrapping_add(at as u32));
                let unwanted = if last { 0 } else { FIN_PSH } | if n == 0 { 0 } else { CWR };
                (tcp.flags, tcp.csum) = (Be16::new(self.flags & !unwanted), [0; 2]);
            }
        }
        let sum = sum.bytes(self.bytes.get(self.l4..).ok_or(Errno::EINVAL)?).finish();
        match self.kind {
            GsoKind::Udp => {
                edit::<Udp>(&mut self.bytes, self.l4)?.csum =
                    if sum == 0 { 0xffff } else { sum }.to_be_bytes();
            }
            GsoKind::Tcp4 | GsoKind::Tcp6 => edit::<Tcp>(&mut self.bytes, self.l4)?.csum = sum.to_be_bytes(),
        }
        Ok(())
    }
}

/// Where the IP header is, and whether it is IPv6.
fn network<Pk: Packet>(packet: &Pk, inside: Inside) -> Result<(usize, bool)> {
    let mut at = 0;
    if inside == Inside::Ethernet {
        let mut ethertype = read::<Ethernet, Pk>(packet, 0)?.ethertype.get();
        at = ETH_HLEN;
        for _ in 0..MAX_TAGS {
            if is_vlan(ethertype) {
                ethertype = read::<Tag, Pk>(packet, at)?.ethertype.get();
                at += VLAN_HLEN;
            } else if is_mpls(ethertype) {
                let bottom = read::<Lse, Pk>(packet, at)?.word.get() & 0x100 != 0;
                ethertype = if bottom { 0 } else { ethertype };
                at += MPLS_HLEN;
            }
        }
    }
    // The version stands in the same place in both; below labels there is nothing else to tell them apart.
    match read::<[u8; 1], Pk>(packet, at)? {
        [first] if first >> 4 == 4 => Ok((at, false)),
        [first] if first >> 4 == 6 => Ok((at, true)),
        _ => Err(Errno::EINVAL),
    }
}

fn read<T: FromBytes + IntoBytes, Pk: Packet>(packet: &Pk, at: usize) -> Result<T> {
    let mut value = T::new_zeroed();
    packet.copy_out(at, value.as_mut_bytes())?;
    Ok(value)
}

fn edit<T>(bytes: &mut [u8], at: usize) -> Result<&mut T>
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
{
    let place = bytes.get_mut(at..at.saturating_add(size_of::<T>())).ok_or(Errno::EINVAL)?;
    T::mut_from_bytes(place).map_err(|_| Errno::EINVAL)
}

fn length(len: usize) -> Result<Be16> {
    u16::try_from(len).map(Be16::new).map_err(|_| Errno::EINVAL)
}
