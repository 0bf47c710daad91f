//! ERSPAN (draft-foschiano-erspan-03): frames in GRE with a sequence number, and what the mirror says of them. Its types II
//! and III are called versions 1 and 2.
//!
//! ```text
//!  0                   1                   2                   3
//! | GRE: sequence number only     |  0x88be or 0x22eb             |
//! |                      sequence number                          |
//! |  Ver  |          VLAN         | COS | En|T|     session id    |
//! |      reserved         |                  index                |   version 1
//! |                           timestamp                           |   version 2
//! |             SGT               |P|    FT   |   hw id   |D|Gra|O|   version 2
//! ```
//!
//! [`TunnelKey::opts`] is `struct erspan_metadata` (linux/erspan.h): the version as a number of the host, and behind it the
//! last word or words as they are on the wire. Of the timestamp it is not, when a frame is sent.

use super::{KEY, OPTS_ERSPAN, Stamp};
use crate::key::{Be64, TunnelKey};
use crate::packet::Packet;
use crate::wire::{ETH_HLEN, ETH_VLAN};
use pfnl_platform::{Errno, Result};

const GRE_SEQUENCE: u16 = 0x1000;
const TYPE_II: u16 = 0x88be;
const TYPE_III: u16 = 0x22eb;
/// The protocols in GRE.
pub(super) const TYPES: [u16; 2] = [TYPE_II, TYPE_III];
/// GRE's header with the sequence number, and the first word.
const FIXED: usize = 12;
/// The session id's bits.
const SESSION: u16 = 0x03ff;
/// En: the frame has its VLAN tag still.
const TAGGED: u16 = 0b11 << 11;
/// What the options of a key take.
const METADATA: usize = 12;

pub(super) fn push<Pk: Packet>(key: &TunnelKey, stamp: Stamp, packet: &mut Pk) -> Result<()> {
    let opts = key.opts.first_chunk::<METADATA>().filter(|_| key.opts_kind & OPTS_ERSPAN != 0);
    let &[a, b, c, d, ref words @ ..] = opts.ok_or(Errno::EINVAL)?;
    let [_, w1, w2, w3, w4, w5, w6, w7] = *words;
    let [t0, t1, t2, t3] = stamp.time.to_be_bytes();
    let (protocol, version, rest, len) = match u32::from_ne_bytes([a, b, c, d]) {
        1 => (TYPE_II, 1u8, [0, w1 & 0x0f, w2, w3, 0, 0, 0, 0], 4),
        2 => (TYPE_III, 2u8, [t0, t1, t2, t3, w4, w5, w6, w7], 8),
        _ => return Err(Errno::EINVAL),
    };
    let mut tag = [0; 4];
    let (mut vlan, mut low) = (0u16, (key.id.get() & u64::from(SESSION)) as u16);
    if packet.copy_out(ETH_HLEN - 2, &mut tag).is_ok() {
        let [a, b, c, d] = tag;
        if u16::from_be_bytes([a, b]) == ETH_VLAN {
            let tci = u16::from_be_bytes([c, d]);
            vlan = tci & 0x0fff;
            low |= (tci & 0xe000) | TAGGED;
        }
    }
    let [flags0, flags1] = GRE_SEQUENCE.to_be_bytes();
    let [p0, p1] = protocol.to_be_bytes();
    let [s0, s1, s2, s3] = stamp.sequence.to_be_bytes();
    let [v0, v1] = (u16::from(version) << 12 | vlan).to_be_bytes();
    let [l0, l1] = low.to_be_bytes();
    let fixed = [flags0, flags1, p0, p1, s0, s1, s2, s3, v0, v1, l0, l1];
    packet.push_front(FIXED + len)?;
    let (head, place) = packet.head_mut(FIXED + len)?.split_at_mut_checked(FIXED).ok_or(Errno::EINVAL)?;
    head.copy_from_slice(&fixed);
    place.iter_mut().zip(rest).for_each(|(to, from)| *to = from);
    Ok(())
}

pub(super) fn pop<Pk: Packet>(key: &mut TunnelKey, packet: &mut Pk) -> Result<()> {
    let mut fixed = [0; FIXED];
    packet.copy_out(0, fixed.first_chunk_mut::<4>().ok_or(Errno::EINVAL)?)?;
    let [a, b, c, d, ..] = fixed;
    if !matches!(u16::from_be_bytes([c, d]), TYPE_II | TYPE_III) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    if u16::from_be_bytes([a, b]) != GRE_SEQUENCE {
        return Err(Errno::EINVAL);
    }
    packet.copy_out(0, &mut fixed)?;
    let [_, _, _, _, _, _, _, _, first, _, c, d] = fixed;
    // As Linux, by the version and not by the protocol.
    let (version, len) = match first >> 4 {
        1 => (1u32, 4),
        2 => (2u32, 8),
        _ => return Err(Errno::EINVAL),
    };
    let (number, words) =
        key.opts.get_mut(..METADATA).and_then(|opts| opts.split_at_mut_checked(4)).ok_or(Errno::EINVAL)?;
    number.copy_from_slice(&version.to_ne_bytes());
    packet.copy_out(FIXED, words.get_mut(..len).ok_or(Errno::EINVAL)?)?;
    (key.opts_kind, key.opts_len) = (OPTS_ERSPAN, METADATA as u8);
    let session = u16::from_be_bytes([c, d]) & SESSION;
    (key.id, key.flags) = (Be64::new(session.into()), key.flags | KEY);
    packet.pop_front(FIXED + len)
}
