//! Work that a packet's sender left to the hardware, in the kernel's words (mbuf(9): csum_flags, csum_data, tso_segsz) and in
//! the datapath's.
//!
//! The kernel says which checksum is to be made, the datapath where it stands; so headers are read once on the way in. On the
//! way out the kernel's words are said again for what is still to do.

use crate::sys;
use pfnl_datapath::offload::{Gso, GsoKind, Offload, PartialCsum};
use pfnl_datapath::packet::Packet;
use pfnl_platform::{Errno, Result};

const TCP: u32 = sys::CSUM_IP_TCP | sys::CSUM_IP6_TCP;
const UDP: u32 = sys::CSUM_IP_UDP | sys::CSUM_IP6_UDP;
const TSO: u32 = sys::CSUM_IP_TSO | sys::CSUM_IP6_TSO;
/// What may be left to do.
pub const PENDING: u32 = sys::CSUM_IP | TCP | UDP | TSO;

const ETHERTYPE: usize = 12;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAGS: [u16; 2] = [0x8100, 0x88a8];
/// Offsets of the checksum in the transport headers.
const TCP_SUM: u16 = 16;
const UDP_SUM: u16 = 6;

/// Reads a packet's headers for what `flags` leave to do. IPv4's own checksum is made here: the datapath knows of none that
/// is not.
///
/// # Errors
/// `EINVAL` for a packet that is not what its flags say, `ENOMEM`.
pub fn read<Pk: Packet>(packet: &mut Pk, flags: u32, segment: u16) -> Result<Offload> {
    let (l3, ethertype) = network(packet)?;
    let l4 = match ethertype {
        IPV4 => {
            let [first] = bytes::<1, Pk>(packet, l3)?;
            let len = usize::from(first & 0xf) * 4;
            if first >> 4 != 4 || len < 20 {
                return Err(Errno::EINVAL);
            }
            if flags & (sys::CSUM_IP | sys::CSUM_IP_TSO) != 0 {
                sum_ipv4(packet, l3, len)?;
            }
            l3 + len
        }
        IPV6 => transport6(packet, l3)?,
        _ => return Err(Errno::EINVAL),
    };
    let start = u32::try_from(l4).map_err(|_| Errno::EINVAL)?;
    let mut offload = Offload::default();
    if flags & (TCP | TSO) != 0 {
        offload.csum = Some(PartialCsum { start, offset: TCP_SUM });
    } else if flags & UDP != 0 {
        offload.csum = Some(PartialCsum { start, offset: UDP_SUM });
    }
    if flags & TSO != 0 {
        let [words] = bytes::<1, Pk>(packet, l4 + 12)?;
        let kind = if ethertype == IPV4 { GsoKind::Tcp4 } else { GsoKind::Tcp6 };
        let hdr_len = start.saturating_add(u32::from(words >> 4) * 4);
        if segment == 0 {
            return Err(Errno::EINVAL);
        }
        // What fits one segment needs no cutting.
        if packet.len().saturating_sub(hdr_len as usize) > usize::from(segment) {
            offload.gso = Some(Gso { kind, ecn: false, size: segment, hdr_len });
        }
    }
    Ok(offload)
}

/// What is still to do, in the kernel's words: flags, csum_data, tso_segsz. `pending` is what was to do at first.
pub fn write(offload: &Offload, pending: u32) -> (u32, u32, u16) {
    let Some(csum) = offload.csum else { return (0, 0, 0) };
    let mut flags = pending & (TCP | UDP);
    if pending & sys::CSUM_IP_TSO != 0 {
        flags |= sys::CSUM_IP_TCP;
    }
    if pending & sys::CSUM_IP6_TSO != 0 {
        flags |= sys::CSUM_IP6_TCP;
    }
    let segment = offload.gso.map_or(0, |gso| gso.size);
    if segment != 0 {
        // The hardware sums each segment's IPv4 header.
        flags |= pending & TSO | if pending & sys::CSUM_IP_TSO != 0 { sys::CSUM_IP } else { 0 };
    }
    (flags, csum.offset.into(), segment)
}

fn bytes<const N: usize, Pk: Packet>(packet: &Pk, at: usize) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    packet.copy_out(at, &mut bytes)?;
    Ok(bytes)
}

/// Where the network header is, and which.
fn network<Pk: Packet>(packet: &Pk) -> Result<(usize, u16)> {
    let mut at = ETHERTYPE;
    for _ in 0..4 {
        let ethertype = u16::from_be_bytes(bytes(packet, at)?);
        if !TAGS.contains(&ethertype) {
            return Ok((at + 2, ethertype));
        }
        at += 4;
    }
    Err(Errno::EINVAL)
}

/// Where the transport header is, behind extension headers.
fn transport6<Pk: Packet>(packet: &Pk, l3: usize) -> Result<usize> {
    let [mut next] = bytes::<1, Pk>(packet, l3 + 6)?;
    let mut at = l3 + 40;
    for _ in 0..8 {
        // Hop-by-hop, routing, destination options.
        if !matches!(next, 0 | 43 | 60) {
            return Ok(at);
        }
        let [following, words] = bytes::<2, Pk>(packet, at)?;
        (next, at) = (following, at + (usize::from(words) + 1) * 8);
    }
    Err(Errno::EINVAL)
}

fn sum_ipv4<Pk: Packet>(packet: &mut Pk, l3: usize, len: usize) -> Result<()> {
    let header = packet.head_mut(l3 + len)?.get_mut(l3..).ok_or(Errno::EINVAL)?;
    header.get_mut(10..12).ok_or(Errno::EINVAL)?.fill(0);
    let words = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    // 30 words: it is folded after two rounds.
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(sum as u16);
    header.get_mut(10..12).ok_or(Errno::EINVAL)?.copy_from_slice(&sum.to_be_bytes());
    Ok(())
}
