//! Attributes: `struct nlattr { __u16 nla_len; __u16 nla_type; }`, then the payload, padded to 4.
//!
//! The two highest bits of the type are flags; the other 14 are the attribute's number in its table.

use crate::{align, array};

/// The payload is a nest of attributes (`NLA_F_NESTED`). Old families, openvswitch among them, leave it out.
pub const NLA_F_NESTED: u16 = 1 << 15;
/// The payload is in network byte order (`NLA_F_NET_BYTEORDER`).
pub const NLA_F_NET_BYTEORDER: u16 = 1 << 14;
/// The bits that are the attribute's number.
pub const NLA_TYPE_MASK: u16 = !(NLA_F_NESTED | NLA_F_NET_BYTEORDER);
/// `sizeof(struct nlattr)`.
pub const NLA_HDRLEN: usize = 4;

/// One attribute, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    raw_type: u16,
    offset: u32,
    payload: &'a [u8],
}

impl<'a> Attr<'a> {
    /// Its number in its table, without the flag bits.
    #[inline]
    pub fn number(&self) -> u16 {
        self.raw_type & NLA_TYPE_MASK
    }

    /// Whether the sender marked it as a nest.
    pub fn is_nested(&self) -> bool {
        self.raw_type & NLA_F_NESTED != 0
    }

    /// `nla_type` as sent, flags and all.
    pub fn raw_type(&self) -> u16 {
        self.raw_type
    }

    /// The bytes after the header, without padding.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the attribute's header starts, from the start of the message.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// The payload as a run of attributes.
    #[inline]
    pub fn attrs(&self) -> Attrs<'a> {
        Attrs { bytes: self.payload, base: self.offset.saturating_add(NLA_HDRLEN as u32) }
    }

    /// The payload as an integer in host byte order, if it is long enough. A longer payload is read at its start,
    /// as Linux's `nla_get_u32()` does.
    #[inline]
    pub fn u8(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// As [`Attr::u8`], 16 bits.
    #[inline]
    pub fn u16(&self) -> Option<u16> {
        array(self.payload, 0).map(u16::from_ne_bytes)
    }

    /// As [`Attr::u8`], 32 bits.
    #[inline]
    pub fn u32(&self) -> Option<u32> {
        array(self.payload, 0).map(u32::from_ne_bytes)
    }

    /// As [`Attr::u8`], 64 bits.
    #[inline]
    pub fn u64(&self) -> Option<u64> {
        array(self.payload, 0).map(u64::from_ne_bytes)
    }

    /// As [`Attr::u8`], 32 bits, signed.
    #[inline]
    pub fn s32(&self) -> Option<i32> {
        array(self.payload, 0).map(i32::from_ne_bytes)
    }

    /// As [`Attr::u16`], sent in network byte order.
    #[inline]
    pub fn be16(&self) -> Option<u16> {
        array(self.payload, 0).map(u16::from_be_bytes)
    }

    /// As [`Attr::u32`], sent in network byte order.
    #[inline]
    pub fn be32(&self) -> Option<u32> {
        array(self.payload, 0).map(u32::from_be_bytes)
    }

    /// As [`Attr::u64`], sent in network byte order.
    #[inline]
    pub fn be64(&self) -> Option<u64> {
        array(self.payload, 0).map(u64::from_be_bytes)
    }

    /// The payload up to its first NUL byte.
    pub fn string(&self) -> &'a [u8] {
        text(self.payload)
    }

    /// The payload as 32-bit integers in host byte order; an odd rest is ignored.
    pub fn u32s(&self) -> U32s<'a> {
        U32s(self.payload)
    }
}

/// What is left behind a last attribute whose padding is missing. Called, not computed: so that where the next one
/// starts is known before it is known whether it is there.
#[cold]
#[inline(never)]
fn unpadded() -> &'static [u8] {
    &[]
}

/// A header's length and type, read as one word: compilers do not put four bytes together by themselves.
#[inline]
pub(crate) fn split(header: &[u8; NLA_HDRLEN]) -> (usize, u16) {
    let word = u32::from_le_bytes(*header);
    let (len, raw_type) = (word as u16, (word >> 16) as u16);
    (usize::from(u16::from_le(len)), u16::from_le(raw_type))
}

/// Bytes up to the first NUL.
#[doc(hidden)]
#[inline]
pub fn text(bytes: &[u8]) -> &[u8] {
    // Nearly always it is the last byte, and the only one.
    match bytes.split_last() {
        Some((0, text)) if !text.contains(&0) => text,
        _ => bytes.split(|&byte| byte == 0).next().unwrap_or_default(),
    }
}

/// An array of 32-bit integers in a payload, at any alignment.
#[derive(Clone, Copy, Debug)]
pub struct U32s<'a>(&'a [u8]);

impl<'a> U32s<'a> {
    #[doc(hidden)]
    pub fn new(payload: &'a [u8]) -> U32s<'a> {
        U32s(payload)
    }
}

impl Iterator for U32s<'_> {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_ne_bytes(*word))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len() / 4, Some(self.0.len() / 4))
    }
}

impl ExactSizeIterator for U32s<'_> {}

/// A run of attributes, read in order. Iteration stops at the first header that does not fit;
/// [`Attrs::leftover`] tells whether that left bytes over.
#[derive(Clone, Copy, Debug)]
pub struct Attrs<'a> {
    bytes: &'a [u8],
    base: u32,
}

impl<'a> Attrs<'a> {
    /// The attributes in `bytes`, which start at `base` in their message.
    pub fn new(bytes: &'a [u8], base: u32) -> Attrs<'a> {
        Attrs { bytes, base }
    }

    /// The bytes not yet read.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the run starts in its message.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Bytes that are left after the last whole attribute, once iteration has ended.
    pub fn leftover(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attr<'a>> {
        let (len, raw_type) = split(self.bytes.first_chunk()?);
        let payload = self.bytes.get(NLA_HDRLEN..len)?;
        let attr = Attr { raw_type, offset: self.base, payload };
        let step = align(len);
        self.base = self.base.saturating_add(step as u32);
        self.bytes = match self.bytes.get(step..) {
            Some(rest) => rest,
            None => unpadded(),
        };
        Some(attr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_attributes_and_stops_at_a_bad_header() {
        let bytes = [5, 0, 1, 0, 0xaa, 0, 0, 0, 4, 0, 2, 0x80, 200, 0, 1, 0, 1];
        let mut attrs = Attrs::new(&bytes, 20);
        let a = attrs.next().unwrap();
        assert_eq!((a.number(), a.payload(), a.offset()), (1, &[0xaa][..], 20));
        let b = attrs.next().unwrap();
        assert_eq!((b.number(), b.is_nested(), b.offset()), (2, true, 28));
        assert_eq!(attrs.next(), None);
        assert_eq!(attrs.leftover(), 5);
    }

    #[test]
    fn the_last_padding_may_be_missing() {
        let mut attrs = Attrs::new(&[5, 0, 1, 0, 0xaa], 0);
        assert!(attrs.next().is_some());
        assert_eq!(attrs.leftover(), 0);
    }
}
