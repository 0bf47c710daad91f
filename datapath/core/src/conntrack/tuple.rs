//! A packet's two ends, in one form for all protocols.

use crate::hash::Hasher;
use crate::key::Be16;
use crate::wire::{IP_ICMP, IP_ICMPV6};
use zerocopy::{FromBytes, Immutable, IntoBytes, transmute_ref};

/// Who speaks to whom, seen from one side.
///
/// ICMP has no ports: the source port is the identifier, the destination port type and code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(8))]
pub struct Tuple {
    /// Source; an IPv4 address stands in the first four bytes.
    pub src: [u8; 16],
    /// Destination.
    pub dst: [u8; 16],
    /// Source port; ICMP: the identifier.
    pub src_port: Be16,
    /// Destination port; ICMP: type, then code.
    pub dst_port: Be16,
    /// The zone it was tracked in.
    pub zone: u16,
    /// IP protocol.
    pub proto: u8,
    /// 4 or 6.
    pub version: u8,
}

impl Tuple {
    /// Whether the destination port is ICMP's type and code.
    pub fn is_icmp(&self) -> bool {
        matches!((self.version, self.proto), (4, IP_ICMP) | (6, IP_ICMPV6))
    }

    /// ICMP's type.
    pub fn icmp_type(&self) -> u8 {
        (self.dst_port.get() >> 8) as u8
    }

    /// The tuple of an answer. ICMP messages that are no query have none.
    pub fn invert(&self) -> Option<Tuple> {
        let (src_port, dst_port) = if self.is_icmp() {
            let kind = answer(self.version, self.icmp_type())?;
            (self.src_port, Be16::new(u16::from(kind) << 8 | self.dst_port.get() & 0xff))
        } else {
            (self.dst_port, self.src_port)
        };
        Some(Tuple { src: self.dst, dst: self.src, src_port, dst_port, ..*self })
    }

    /// The address as it stands in a packet.
    pub fn address<'a>(&self, address: &'a [u8; 16]) -> &'a [u8] {
        if self.version == 4 { address.first_chunk::<4>().map_or(&[], |v4| v4) } else { address }
    }

    pub(crate) fn hash(&self, mut hasher: Hasher) -> u64 {
        let words: &[u64; 5] = transmute_ref!(self);
        words.iter().for_each(|&word| hasher.word(word));
        hasher.finish()
    }
}

/// Whether an ICMP message of this type may begin a connection.
pub(crate) fn begins(version: u8, kind: u8) -> bool {
    matches!((version, kind), (4, 8 | 13 | 15 | 17) | (6, 128 | 139))
}

/// The type of a query's answer, and of an answer's query (RFC 792, 950, 4443, 4620).
fn answer(version: u8, kind: u8) -> Option<u8> {
    Some(match (version, kind) {
        (4, 8) => 0,
        (4, 0) => 8,
        (4, 13) | (4, 15) | (4, 17) => kind.wrapping_add(1),
        (4, 14) | (4, 16) | (4, 18) => kind.wrapping_sub(1),
        (6, 128) | (6, 139) => kind.wrapping_add(1),
        (6, 129) | (6, 140) => kind.wrapping_sub(1),
        _ => return None,
    })
}

/// Whether an ICMP message tells of another packet, which it carries (RFC 792; RFC 4443, 2.1).
pub(crate) fn is_error(version: u8, kind: u8) -> bool {
    match version {
        4 => matches!(kind, 3 | 4 | 5 | 11 | 12),
        _ => (1..=4).contains(&kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_tuple() -> impl Strategy<Value = Tuple> {
        let proto = prop_oneof![Just(6u8), Just(17), Just(1), Just(58), Just(132), any::<u8>()];
        (any::<([u8; 16], [u8; 16], u16, u16, u16)>(), proto, prop_oneof![Just(4u8), Just(6)]).prop_map(
            |((src, dst, src_port, dst_port, zone), proto, version)| Tuple {
                src,
                dst,
                src_port: Be16::new(src_port),
                dst_port: Be16::new(dst_port),
                zone,
                proto,
                version,
            },
        )
    }

    proptest! {
        #[test]
        fn an_answers_answer_is_the_question(tuple in any_tuple()) {
            match tuple.invert() {
                Some(answer) => {
                    prop_assert_eq!(answer.invert(), Some(tuple));
                    prop_assert_eq!((answer.src, answer.dst), (tuple.dst, tuple.src));
                }
                None => prop_assert!(tuple.is_icmp()),
            }
        }
    }
}
