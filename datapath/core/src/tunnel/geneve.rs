//! Geneve (RFC 8926). Options are carried, not interpreted.
//!
//! ```text
//!  0                   1                   2                   3
//! |Ver| words of  |O|C|  reserved |          protocol             |
//! |                 VNI                           |   reserved    |
//! |                          options                              |
//! ```

use super::{KEY, OAM, OPTS_GENEVE};
use crate::key::{Be64, TunnelKey};
use crate::packet::Packet;
use crate::wire::ETH_TEB;
use pfnl_platform::{Errno, Result};

const LEN: usize = 8;
/// Operations and maintenance.
const O: u8 = 0x80;
/// There is a critical option.
const C: u8 = 0x40;
/// The bits of the option's length in words.
const WORDS: u8 = 0x3f;
/// The bit of an option's type that makes it critical.
const CRITICAL: u8 = 0x80;

pub(super) fn push<Pk: Packet>(key: &TunnelKey, packet: &mut Pk) -> Result<()> {
    let [.., a, b, c] = key.id.to_bytes();
    let [high, low] = ETH_TEB.to_be_bytes();
    let words = (key.opts_len / 4).min(WORDS);
    let options = usize::from(words) * 4;
    // Of another protocol's options Linux keeps the room only.
    let bytes = key.opts.get(..options).filter(|_| key.opts_kind & OPTS_GENEVE != 0).unwrap_or_default();
    let mut flags = 0;
    if key.flags & OAM != 0 {
        flags |= O;
    }
    if Options(bytes).any(|kind| kind & CRITICAL != 0) {
        flags |= C;
    }
    let len = LEN + options;
    packet.push_front(len)?;
    let (header, place) = packet.head_mut(len)?.split_at_mut_checked(LEN).ok_or(Errno::EINVAL)?;
    header.copy_from_slice(&[words, flags, high, low, a, b, c, 0]);
    place.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Ok(())
}

pub(super) fn pop<Pk: Packet>(key: &mut TunnelKey, packet: &mut Pk) -> Result<()> {
    let mut header = [0; LEN];
    packet.copy_out(0, &mut header)?;
    let [version, flags, high, low, a, b, c, _] = header;
    if version & !WORDS != 0 {
        return Err(Errno::EINVAL);
    }
    if u16::from_be_bytes([high, low]) != ETH_TEB {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let options = usize::from(version & WORDS) * 4;
    if options > 0 {
        packet.copy_out(LEN, key.opts.get_mut(..options).ok_or(Errno::EINVAL)?)?;
        (key.opts_kind, key.opts_len) = (OPTS_GENEVE, u8::try_from(options).map_err(|_| Errno::EINVAL)?);
    }
    (key.id, key.flags) = (Be64::from_bytes([0, 0, 0, 0, 0, a, b, c]), key.flags | KEY);
    if flags & O != 0 {
        key.flags |= OAM;
    }
    packet.pop_front(LEN + options)
}

/// The types of options: class, class, type, words.
struct Options<'a>(&'a [u8]);

impl Iterator for Options<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let &[_, _, kind, words] = self.0.first_chunk()?;
        let len = usize::from(words & 0x1f) * 4 + 4;
        self.0 = self.0.get(len..).unwrap_or_default();
        Some(kind)
    }
}

/// Whether options are whole: each as long as it says, together as long as they are.
pub fn are_whole(mut bytes: &[u8]) -> bool {
    while let Some(&[.., words]) = bytes.first_chunk::<4>() {
        let Some(rest) = bytes.get(usize::from(words & 0x1f) * 4 + 4..) else { return false };
        bytes = rest;
    }
    bytes.is_empty()
}
