//! GRE (RFC 2784), with key and sequence number (RFC 2890).
//!
//! ```text
//!  0                   1                   2                   3
//! |C|R|K|S|      reserved 0       | Ver |       protocol          |
//! |   checksum (C)                |   reserved 1 (C)              |
//! |   key (K)                                                     |
//! |   sequence number (S)                                         |
//! ```

use super::{CSUM, Inside, KEY, erspan};
use crate::csum::sum_from;
use crate::key::{Be64, TunnelKey};
use crate::packet::Packet;
use crate::wire::{ETH_802_3_MIN, ETH_TEB, is_vlan};
use pfnl_platform::{Errno, Result};

const C: u16 = 0x8000;
const K: u16 = 0x2000;
const S: u16 = 0x1000;
/// With all optional words.
const MAX: usize = 16;

pub(super) fn push<Pk: Packet>(key: &TunnelKey, inside: Inside, packet: &mut Pk) -> Result<()> {
    let mut flags = 0;
    let mut header = [0; MAX];
    let mut len = 4;
    let mut word = |word: [u8; 4]| {
        if let Some(place) = header.get_mut(len..).and_then(|rest| rest.first_chunk_mut()) {
            *place = word;
            len += 4;
        }
    };
    if key.flags & CSUM != 0 {
        flags |= C;
        word([0; 4]);
    }
    if key.flags & KEY != 0 {
        flags |= K;
        let [.., a, b, c, d] = key.id.to_bytes();
        word([a, b, c, d]);
    }
    let ([a, b], [c, d]) = (u16::to_be_bytes(flags), inside.ethertype().to_be_bytes());
    if let Some(first) = header.first_chunk_mut() {
        *first = [a, b, c, d];
    }
    packet.push_front(len)?;
    packet.head_mut(len)?.copy_from_slice(header.get(..len).ok_or(Errno::EINVAL)?);
    if flags & C != 0 {
        let sum = sum_from(packet, 0)?.finish().to_be_bytes();
        packet.head_mut(len)?.get_mut(4..6).ok_or(Errno::EINVAL)?.copy_from_slice(&sum);
    }
    Ok(())
}

pub(super) fn pop<Pk: Packet>(key: &mut TunnelKey, packet: &mut Pk) -> Result<Inside> {
    let mut first = [0; 4];
    packet.copy_out(0, &mut first)?;
    let [a, b, c, d] = first;
    let flags = u16::from_be_bytes([a, b]);
    // Routing, another version, and bits that nothing is known of.
    if flags & !(C | K | S) != 0 {
        return Err(Errno::EINVAL);
    }
    let inside = match u16::from_be_bytes([c, d]) {
        ETH_TEB => Inside::Ethernet,
        // ERSPAN's are another port's; a tag is the link layer's, and there is none.
        other if other < ETH_802_3_MIN || erspan::TYPES.contains(&other) || is_vlan(other) => {
            return Err(Errno::EPROTONOSUPPORT);
        }
        other => Inside::Network(other),
    };
    let mut len = 4;
    if flags & C != 0 {
        if sum_from(packet, 0)?.finish() != 0 {
            return Err(Errno::EINVAL);
        }
        key.flags |= CSUM;
        len += 4;
    }
    if flags & K != 0 {
        let mut id = [0; 8];
        packet.copy_out(len, id.last_chunk_mut::<4>().ok_or(Errno::EINVAL)?)?;
        (key.id, key.flags) = (Be64::from_bytes(id), key.flags | KEY);
        len += 4;
    }
    if flags & S != 0 {
        len += 4;
    }
    packet.pop_front(len)?;
    Ok(inside)
}
