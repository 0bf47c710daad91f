//! Checksums: the Internet checksum (RFC 1071), its incremental update (RFC 1624), SCTP's CRC32c (RFC 9260, appendix A).

use crate::packet::Packet;
use pfnl_platform::{Errno, Result};

/// A one's complement sum that is not folded yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes; an odd last byte is padded with zero, so only the last piece may have one.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Sum {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut sum = self.0;
        for &word in words {
            // 2^32 pieces of 4 bytes fit before this wraps; packets are below 2^18 bytes.
            sum = sum.wrapping_add(u32::from_be_bytes(word).into());
        }
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Sum(sum.wrapping_add(u32::from_be_bytes(last).into()))
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, number: u32) -> Sum {
        Sum(self.0.wrapping_add(number.into()))
    }

    /// Takes bytes away that were added; an even number of them.
    #[must_use]
    fn sub(self, bytes: &[u8]) -> Sum {
        let (words, _) = bytes.as_chunks::<2>();
        words.iter().fold(self, |sum, &word| sum.number((!u16::from_be_bytes(word)).into()))
    }

    /// The sum in 16 bits.
    pub fn fold(self) -> u16 {
        let mut sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// The checksum: the complement.
    pub fn finish(self) -> u16 {
        !self.fold()
    }
}

/// Updates a checksum field for bytes it covers that change from `old` to `new`; both of the same even length.
pub fn replace(field: &mut [u8; 2], old: &[u8], new: &[u8]) {
    // RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
    let sum = Sum::default().number((!u16::from_be_bytes(*field)).into());
    *field = sum.sub(old).bytes(new).finish().to_be_bytes();
}

/// As [`replace`], for a field that holds a sum, not its complement: a partial checksum's pseudo-header.
pub fn replace_partial(field: &mut [u8; 2], old: &[u8], new: &[u8]) {
    let sum = Sum::default().number(u16::from_be_bytes(*field).into());
    *field = sum.sub(old).bytes(new).fold().to_be_bytes();
}

/// The sum of a pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1); both addresses are 4 or 16 bytes.
pub fn pseudo(src: &[u8], dst: &[u8], protocol: u8, len: usize) -> Sum {
    Sum::default()
        .bytes(src)
        .bytes(dst)
        .number(protocol.into())
        .number(u32::try_from(len).unwrap_or(u32::MAX))
}

/// The sum of a packet's bytes from `start` to its end.
///
/// # Errors
/// `EINVAL` when it ends before.
pub fn sum_from<Pk: Packet>(packet: &Pk, start: usize) -> Result<Sum> {
    sum_between(packet, Sum::default(), start, packet.len())
}

/// `sum`, and a packet's bytes from `start` to `end`.
///
/// # Errors
/// `EINVAL` when the packet ends before, or `end` is before `start`.
pub fn sum_between<Pk: Packet>(packet: &Pk, sum: Sum, start: usize, end: usize) -> Result<Sum> {
    if let Some(bytes) = packet.head().get(start..end) {
        return Ok(sum.bytes(bytes));
    }
    let (mut at, mut sum, mut piece) = (start, sum, [0; 256]);
    while at < end {
        let n = piece.len().min(end - at);
        let piece = piece.get_mut(..n).unwrap_or_default();
        packet.copy_out(at, piece)?;
        sum = sum.bytes(piece);
        at += n;
    }
    if start <= end { Ok(sum) } else { Err(Errno::EINVAL) }
}

/// Makes the checksum of an IPv4 header with its options anew.
///
/// # Errors
/// `EINVAL` when it is too short to be one.
pub fn ipv4(header: &mut [u8]) -> Result<()> {
    let field = |header: &mut [u8], sum: u16| {
        let field = header.get_mut(10..12).ok_or(Errno::EINVAL)?;
        field.copy_from_slice(&sum.to_be_bytes());
        Ok(())
    };
    field(header, 0)?;
    let sum = Sum::default().bytes(header).finish();
    field(header, sum)
}

/// Completes a partial checksum, if there is one. Not for a packet that is still to be cut.
///
/// # Errors
/// `EINVAL` for a checksum that is not inside the packet, `ENOMEM`.
pub fn complete<Pk: Packet>(packet: &mut Pk) -> Result<()> {
    let Some(partial) = packet.offload().csum else { return Ok(()) };
    let start = partial.start as usize;
    let at = start.saturating_add(partial.offset.into());
    let sum = sum_from(packet, start)?.finish();
    let field = packet.head_mut(at.saturating_add(2))?.get_mut(at..).ok_or(Errno::EINVAL)?;
    // Zero would say "no checksum" in UDP, and is the same number elsewhere.
    field.copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    packet.offload_mut().csum = None;
    Ok(())
}

/// What a CRC32c changes by when four bytes at the start of `len` covered bytes change. A CRC is linear: the
/// difference is the CRC, begun with zero, of the difference.
pub fn crc32c_delta(difference: [u8; 4], len: usize) -> u32 {
    let step = |crc: u32, byte: u8| {
        let place = (crc ^ u32::from(byte)) & 0xff;
        (crc >> 8) ^ CRC32C.get(place as usize).unwrap_or(&0)
    };
    let crc = difference.into_iter().fold(0, step);
    (4..len).fold(crc, |crc, _| step(crc, 0))
}

/// Whether the CRC32c of an SCTP packet, from `start` up to `end`, is right.
///
/// # Errors
/// `EINVAL`: the packet is shorter.
#[inline(never)] // its buffer is on nobody else's stack
pub fn sctp_fits<Pk: Packet>(packet: &Pk, start: usize, end: usize) -> Result<bool> {
    const FIELD: usize = 8;
    let (mut crc, mut at, mut field) = (u32::MAX, start, [0; 4]);
    packet.copy_out(start.saturating_add(FIELD), &mut field)?;
    while at < end {
        let mut piece = [0; 256];
        let piece = piece.get_mut(..end.saturating_sub(at).min(256)).unwrap_or_default();
        packet.copy_out(at, piece)?;
        if at == start {
            piece.get_mut(FIELD..FIELD + 4).unwrap_or_default().fill(0);
        }
        for byte in piece.iter() {
            let place = (crc ^ u32::from(*byte)) & 0xff;
            crc = (crc >> 8) ^ CRC32C.get(place as usize).unwrap_or(&0);
        }
        at = at.saturating_add(256);
    }
    Ok((!crc).to_le_bytes() == field)
}

/// The reflected polynomial 0x1edc6f41, a byte at a time.
static CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    #[expect(clippy::indexing_slicing, reason = "computed at compile time")]
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::offload::PartialCsum;
    use crate::packet::VecPacket;
    use proptest::prelude::*;

    /// CRC32c of a whole message, bit by bit.
    pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8)
                .fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
        })
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn an_update_is_as_good_as_summing_anew(
            mut bytes in prop::collection::vec(any::<u8>(), 4..64), new: [u8; 4], at in 0usize..8, partial: bool,
        ) {
            let at = (at * 2).min((bytes.len() - 4) & !1);
            let before = Sum::default().bytes(&bytes);
            let old: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            bytes[at..at + 4].copy_from_slice(&new);
            let after = Sum::default().bytes(&bytes);
            // 0 and 0xffff are the same number.
            let same = |a: u16, b: u16| a % 0xffff == b % 0xffff;
            if partial {
                let mut field = before.fold().to_be_bytes();
                replace_partial(&mut field, &old, &new);
                prop_assert!(same(u16::from_be_bytes(field), after.fold()));
            } else {
                let mut field = before.finish().to_be_bytes();
                replace(&mut field, &old, &new);
                prop_assert!(same(u16::from_be_bytes(field), after.finish()));
            }
        }

        #[test]
        fn a_crc_follows_the_difference(mut bytes in prop::collection::vec(any::<u8>(), 4..200), new: [u8; 4]) {
            let before = crc32c(&bytes);
            let difference = core::array::from_fn(|n| bytes[n] ^ new[n]);
            bytes[..4].copy_from_slice(&new);
            prop_assert_eq!(before ^ crc32c_delta(difference, bytes.len()), crc32c(&bytes));
        }
    }

    #[test]
    fn a_completed_checksum_verifies() {
        let mut packet = VecPacket::from_bytes(&[9, 9, 9, 1, 2, 3, 4, 0x12, 0x34, 5]).unwrap();
        packet.offload_mut().csum = Some(PartialCsum { start: 3, offset: 4 });
        let whole = Sum::default().bytes(&[1, 2, 3, 4, 0, 0, 5]).number(0x1234).finish();
        complete(&mut packet).unwrap();
        assert_eq!(packet.bytes()[7..9], whole.to_be_bytes());
        assert_eq!(packet.offload().csum, None);
        packet.offload_mut().csum = Some(PartialCsum { start: 9, offset: 0 });
        assert_eq!(complete(&mut packet), Err(Errno::EINVAL));
        packet.offload_mut().csum = Some(PartialCsum { start: 11, offset: 0 });
        assert_eq!(complete(&mut packet), Err(Errno::EINVAL));
    }
}
