//! Writes messages and attributes into a growing buffer, up to a limit.
//!
//! The writer is sticky: after the first failure (`EMSGSIZE`: the limit, `ENOMEM`: the allocator) everything is a
//! no-op and [`Writer::result`] tells. Nests close themselves, so a length cannot be forgotten.

use crate::attr::{NLA_F_NESTED, NLA_HDRLEN};
use crate::fixed::Fixed;
use crate::{align, msg};
use alloc::vec::Vec;
use core::mem;
use pfnl_platform::Errno;

/// Appends to a buffer, which is empty until the writer is dropped.
pub struct Writer<'b> {
    /// The buffer, in our own hands so that its length can stay in a register from one attribute to the next.
    buf: Vec<u8>,
    /// Where it is put back.
    home: &'b mut Vec<u8>,
    /// The buffer's length that must not be passed.
    limit: usize,
    /// The length up to which limit and allocation reach; 0 once failed. One comparison tells that all is well.
    room: usize,
    failed: Option<Errno>,
}

/// A place to go back to when a record does not fit.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl<'b> Writer<'b> {
    /// Appends to `buf` without a limit but memory.
    pub fn new(buf: &'b mut Vec<u8>) -> Writer<'b> {
        Writer::with_limit(buf, usize::MAX)
    }

    /// Appends to `buf` until it is `limit` bytes long.
    pub fn with_limit(buf: &'b mut Vec<u8>, limit: usize) -> Writer<'b> {
        let (buf, home) = (mem::take(buf), buf);
        let room = limit.min(buf.capacity());
        Writer { buf, home, limit, room, failed: None }
    }

    /// How much is in the buffer.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing is in the buffer.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// How many bytes there is room for.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.buf.len())
    }

    /// The first failure, if there was one.
    ///
    /// # Errors
    /// `EMSGSIZE` or `ENOMEM`, or what [`Writer::fail`] was given.
    pub fn result(&self) -> Result<(), Errno> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Puts the buffer back and tells how it went.
    ///
    /// # Errors
    /// As [`Writer::result`].
    pub fn finish(self) -> Result<(), Errno> {
        self.result()
    }

    /// Records a failure of the caller's, unless there was one before.
    pub fn fail(&mut self, errno: Errno) {
        self.failed.get_or_insert(errno);
        self.room = 0;
    }

    /// Where the writer stands.
    pub fn mark(&self) -> Mark {
        Mark(self.buf.len())
    }

    /// Takes back everything after `mark`, a failure too.
    pub fn rewind(&mut self, mark: Mark) {
        self.buf.truncate(mark.0);
        self.failed = None;
        self.room = self.limit.min(self.buf.capacity());
    }

    /// Whether there is room for so many more bytes. It is made if it can be.
    #[inline]
    fn reserve(&mut self, len: usize) -> bool {
        let end = self.buf.len().saturating_add(len);
        end <= self.room || self.make_room(end)
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, end: usize) -> bool {
        if self.failed.is_some() {
            return false;
        }
        if end > self.limit {
            self.fail(Errno::EMSGSIZE);
            return false;
        }
        if self.buf.try_reserve(end.saturating_sub(self.buf.len())).is_err() {
            self.fail(Errno::ENOMEM);
            return false;
        }
        self.room = self.limit.min(self.buf.capacity());
        true
    }

    /// Appends bytes and what pads them to 4. There is room.
    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        if let Some(padding @ [_, ..]) = [0; 3].get(..align(bytes.len()).wrapping_sub(bytes.len())) {
            self.buf.extend_from_slice(padding);
        }
    }

    /// Room for `len` more bytes, zeroed and padded to 4; `None` once failed.
    #[inline]
    fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = self.buf.len();
        let padded = align(len);
        if !self.reserve(padded) {
            return None;
        }
        self.buf.resize(start.saturating_add(padded), 0);
        self.buf.get_mut(start..)
    }

    /// Bytes as they are, padded to 4: a user header, an echoed request.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        if self.reserve(align(bytes.len())) {
            self.append(bytes);
        }
        self
    }

    /// A fixed structure without an attribute header: a user header.
    #[inline]
    pub fn raw_fixed<T: Fixed>(&mut self, value: &T) -> &mut Self {
        match align(T::LEN) {
            4 => self.raw_small::<T, 4>(value),
            16 => self.raw_small::<T, 16>(value),
            _ => {
                if let Some(out) = self.grow(T::LEN) {
                    value.write(out);
                }
            }
        }
        self
    }

    #[inline]
    fn raw_small<T: Fixed, const N: usize>(&mut self, value: &T) {
        let mut whole = [0; N];
        value.write(&mut whole);
        if self.reserve(N) {
            self.buf.extend_from_slice(&whole);
        }
    }

    /// The header of an attribute with so many bytes of payload, for which there is room.
    #[inline]
    fn header(&mut self, number: u16, len: usize) -> Option<[u8; NLA_HDRLEN]> {
        let Ok(nla_len) = u16::try_from(len.saturating_add(NLA_HDRLEN)) else {
            self.fail(Errno::EMSGSIZE);
            return None;
        };
        let ([a, b], [c, d]) = (nla_len.to_ne_bytes(), number.to_ne_bytes());
        self.reserve(align(usize::from(nla_len))).then_some([a, b, c, d])
    }

    /// An attribute's header, and its payload to be filled in.
    #[inline]
    fn attr(&mut self, number: u16, len: usize) -> Option<&mut [u8]> {
        let header = self.header(number, len)?;
        self.buf.extend_from_slice(&header);
        self.grow(len)?.get_mut(..len)
    }

    /// An attribute with these bytes.
    #[inline]
    pub fn bytes(&mut self, number: u16, payload: &[u8]) -> &mut Self {
        if let Some(header) = self.header(number, payload.len()) {
            self.buf.extend_from_slice(&header);
            self.append(payload);
        }
        self
    }

    /// An attribute with text and the NUL that ends it.
    pub fn string(&mut self, number: u16, text: &[u8]) -> &mut Self {
        if let Some(out) = self.attr(number, text.len().saturating_add(1))
            && let Some(out) = out.get_mut(..text.len())
        {
            out.copy_from_slice(text);
        }
        self
    }

    /// An attribute with an integer in host byte order or a structure.
    #[inline]
    pub fn fixed<T: Fixed>(&mut self, number: u16, value: &T) -> &mut Self {
        // Put together whole, in an array of the very length, it goes out in a few stores.
        match align(T::LEN) {
            4 => self.small::<T, 8>(number, value),
            8 => self.small::<T, 12>(number, value),
            12 => self.small::<T, 16>(number, value),
            16 => self.small::<T, 20>(number, value),
            20 => self.small::<T, 24>(number, value),
            _ => self.large(number, value),
        }
        self
    }

    #[inline]
    fn small<T: Fixed, const N: usize>(&mut self, number: u16, value: &T) {
        let mut whole = [0; N];
        if let Some(header) = self.header(number, T::LEN)
            && let Some((place, out)) = whole.split_first_chunk_mut()
        {
            *place = header;
            value.write(out);
            self.buf.extend_from_slice(&whole);
        }
    }

    fn large<T: Fixed>(&mut self, number: u16, value: &T) {
        if let Some(out) = self.attr(number, T::LEN) {
            value.write(out);
        }
    }

    /// An attribute whose `len` bytes of payload `fill` provides; it is zero where that writes nothing.
    pub fn filled(
        &mut self,
        number: u16,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
    ) -> &mut Self {
        if let Some(out) = self.attr(number, len)
            && let Err(errno) = fill(out)
        {
            self.fail(errno);
        }
        self
    }

    /// Takes the last bytes back: the padding of a last attribute, for receivers that do without.
    pub fn cut(&mut self, bytes: usize) -> &mut Self {
        self.buf.truncate(self.buf.len().saturating_sub(bytes));
        self
    }

    /// An attribute without payload.
    pub fn flag(&mut self, number: u16) -> &mut Self {
        self.bytes(number, &[])
    }

    /// An attribute with an array of integers in host byte order.
    pub fn u32s(&mut self, number: u16, values: impl ExactSizeIterator<Item = u32>) -> &mut Self {
        if let Some(out) = self.attr(number, values.len().saturating_mul(4)) {
            out.chunks_exact_mut(4).zip(values).for_each(|(out, value)| value.write(out));
        }
        self
    }

    /// A nest of attributes, without `NLA_F_NESTED`, as openvswitch and nlctrl's older commands send them.
    pub fn nest(&mut self, number: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.buf.len();
        if !self.reserve(NLA_HDRLEN) {
            return self;
        }
        self.buf.extend_from_slice(&[0; NLA_HDRLEN]);
        fill(self);
        if self.failed.is_some() {
            return self;
        }
        let Ok(nla_len) = u16::try_from(self.buf.len().saturating_sub(start)) else {
            self.fail(Errno::EMSGSIZE);
            return self;
        };
        let ([a, b], [c, d]) = (nla_len.to_ne_bytes(), number.to_ne_bytes());
        if let Some(header) = self.buf.get_mut(start..).and_then(|bytes| bytes.first_chunk_mut()) {
            *header = [a, b, c, d];
        }
        self
    }

    /// A nest marked with `NLA_F_NESTED`, as newer families send them.
    pub fn nest_marked(&mut self, number: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.nest(number | NLA_F_NESTED, fill)
    }

    /// A whole message: header, what `fill` writes, and the length put right. Taken back when it does not fit.
    pub fn message(&mut self, header: msg::Header, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mark = self.mark();
        self.raw_fixed(&header);
        fill(self);
        match self.failed {
            Some(_) => self.buf.truncate(mark.0),
            None => self.set_message_len(mark),
        }
        self
    }

    /// Puts the length of the message that starts at `mark` right, after more was appended to it.
    pub fn set_message_len(&mut self, mark: Mark) {
        let Ok(len) = u32::try_from(self.buf.len().saturating_sub(mark.0)) else {
            return self.fail(Errno::EMSGSIZE);
        };
        if let Some(place) = self.buf.get_mut(mark.0..).and_then(|bytes| bytes.first_chunk_mut::<4>()) {
            *place = len.to_ne_bytes();
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        *self.home = mem::take(&mut self.buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::Attrs;

    #[test]
    fn nests_close_themselves_and_padding_is_zero() {
        let mut buf = Vec::new();
        Writer::new(&mut buf).nest(1, |w| {
            w.bytes(2, b"abc").flag(3);
        });
        assert_eq!(buf, [16, 0, 1, 0, 7, 0, 2, 0, b'a', b'b', b'c', 0, 4, 0, 3, 0]);
        let nest = Attrs::new(&buf, 0).next().unwrap();
        assert_eq!(nest.attrs().map(|attr| attr.number()).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_limit_is_sticky_and_a_rewind_lifts_it() {
        let mut buf = Vec::new();
        let mut w = Writer::with_limit(&mut buf, 12);
        w.fixed(1, &7u32);
        let mark = w.mark();
        w.nest(2, |w| {
            w.fixed(1, &1u32);
        });
        assert_eq!(w.result(), Err(Errno::EMSGSIZE));
        w.flag(3);
        assert_eq!(w.result(), Err(Errno::EMSGSIZE));
        w.rewind(mark);
        w.flag(3);
        assert_eq!(w.finish(), Ok(()));
        assert_eq!(buf.len(), 12);
    }

    #[test]
    fn a_payload_too_long_for_its_length_field_is_refused() {
        let mut buf = Vec::new();
        assert_eq!(Writer::new(&mut buf).bytes(1, &[0; 65532]).result(), Err(Errno::EMSGSIZE));
        assert_eq!(Writer::new(&mut buf).bytes(1, &[0; 65531]).result(), Ok(()));
    }
}
