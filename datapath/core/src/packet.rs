//! What the datapath asks of a packet buffer.
//!
//! Each platform has one buffer type: an mbuf chain in the FreeBSD kernel, bytes with headroom in user space
//! ([`VecPacket`]). The datapath only ever touches headers, so only a contiguous *head* is visible.

use crate::offload::Offload;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Result};

/// A packet buffer. A frame starts with its Ethernet header (an L3 packet: with its network header).
///
/// Whoever moves the front keeps [`Packet::offload`] right: implementations of [`Packet::push_front`] and
/// [`Packet::pop_front`] call [`Offload::front_grown`] and [`Offload::front_shrunk`].
pub trait Packet: Sized + Send + 'static {
    /// Bytes in the packet.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The contiguous front part: at least what was last pulled, at most everything.
    fn head(&self) -> &[u8];

    /// Makes the first `n` bytes contiguous.
    ///
    /// # Errors
    /// `EINVAL` when the packet is shorter, `ENOMEM`.
    fn pull(&mut self, n: usize) -> Result<()>;

    /// The first `n` bytes, contiguous, and writable without anyone else seeing it.
    ///
    /// # Errors
    /// `EINVAL` when the packet is shorter, `ENOMEM`.
    fn head_mut(&mut self, n: usize) -> Result<&mut [u8]>;

    /// Adds `n` zero bytes in front.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn push_front(&mut self, n: usize) -> Result<()>;

    /// Takes `n` bytes away from the front.
    ///
    /// # Errors
    /// `EINVAL` when the packet is shorter.
    fn pop_front(&mut self, n: usize) -> Result<()>;

    /// Cuts the packet to `len` bytes; a shorter packet stays as it is.
    fn truncate(&mut self, len: usize);

    /// A copy; the bytes may be shared until one side writes.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn try_clone(&self) -> Result<Self>;

    /// Copies `out.len()` bytes that start at `offset`.
    ///
    /// # Errors
    /// `EINVAL` when the packet ends before that.
    fn copy_out(&self, offset: usize, out: &mut [u8]) -> Result<()>;

    /// A packet with these bytes and no offloads.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn from_bytes(bytes: &[u8]) -> Result<Self>;

    /// What was left to do by whoever handed the packet over.
    fn offload(&self) -> &Offload;

    /// As [`Packet::offload`], to change it.
    fn offload_mut(&mut self) -> &mut Offload;
}

/// Room kept in front of a packet for what may be pushed: two VLAN tags, MPLS, a tunnel's headers.
pub const HEADROOM: usize = 128;

/// A packet in a vector with room in front.
///
/// # Invariants
/// `start <= bytes.len()`.
#[derive(Debug, Default)]
pub struct VecPacket {
    bytes: Vec<u8>,
    start: usize,
    offload: Offload,
}

impl VecPacket {
    /// The packet that a buffer holds from `start` on; what is before is headroom.
    ///
    /// # Errors
    /// `EINVAL` when `start` is past the end.
    pub fn from_buffer(bytes: Vec<u8>, start: usize, offload: Offload) -> Result<VecPacket> {
        if start > bytes.len() {
            return Err(Errno::EINVAL);
        }
        Ok(VecPacket { bytes, start, offload })
    }

    /// The buffer, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// Where in its buffer the packet starts.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// All bytes of the packet.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn copy_of(bytes: &[u8], offload: Offload) -> Result<VecPacket> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(HEADROOM.saturating_add(bytes.len()))?;
        copy.resize(HEADROOM, 0);
        copy.extend_from_slice(bytes);
        Ok(VecPacket { bytes: copy, start: HEADROOM, offload })
    }
}

impl Packet for VecPacket {
    fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    fn head(&self) -> &[u8] {
        self.bytes()
    }

    fn pull(&mut self, n: usize) -> Result<()> {
        if n > self.len() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn head_mut(&mut self, n: usize) -> Result<&mut [u8]> {
        let end = self.start.checked_add(n).ok_or(Errno::EINVAL)?;
        self.bytes.get_mut(self.start..end).ok_or(Errno::EINVAL)
    }

    fn push_front(&mut self, n: usize) -> Result<()> {
        match self.start.checked_sub(n) {
            Some(start) => {
                self.bytes.get_mut(start..self.start).unwrap_or_default().fill(0);
                self.start = start;
            }
            None => {
                // A second headroom, so that a further push is cheap again.
                let room = n.checked_add(HEADROOM).ok_or(Errno::ENOMEM)?;
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(room.checked_add(self.len()).ok_or(Errno::ENOMEM)?)?;
                bytes.resize(room, 0);
                bytes.extend_from_slice(self.bytes());
                (self.bytes, self.start) = (bytes, HEADROOM);
            }
        }
        self.offload.front_grown(n);
        Ok(())
    }

    fn pop_front(&mut self, n: usize) -> Result<()> {
        if n > self.len() {
            return Err(Errno::EINVAL);
        }
        self.start = self.start.saturating_add(n);
        self.offload.front_shrunk(n);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start.saturating_add(len));
    }

    fn try_clone(&self) -> Result<VecPacket> {
        VecPacket::copy_of(self.bytes(), self.offload)
    }

    fn copy_out(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len()).ok_or(Errno::EINVAL)?;
        out.copy_from_slice(self.bytes().get(offset..end).ok_or(Errno::EINVAL)?);
        Ok(())
    }

    fn from_bytes(bytes: &[u8]) -> Result<VecPacket> {
        VecPacket::copy_of(bytes, Offload::default())
    }

    fn offload(&self) -> &Offload {
        &self.offload
    }

    fn offload_mut(&mut self) -> &mut Offload {
        &mut self.offload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::{Gso, GsoKind, PartialCsum};

    #[test]
    fn the_front_moves_and_offload_follows() {
        let mut packet = VecPacket::from_bytes(b"abcdef").unwrap();
        packet.offload_mut().csum = Some(PartialCsum { start: 34, offset: 6 });
        packet.offload_mut().gso = Some(Gso { kind: GsoKind::Tcp4, ecn: false, size: 1448, hdr_len: 66 });
        packet.push_front(4).unwrap();
        assert_eq!(packet.head(), b"\0\0\0\0abcdef");
        assert_eq!(packet.offload().csum.unwrap().start, 38);
        assert_eq!(packet.offload().gso.unwrap().hdr_len, 70);
        packet.pop_front(4).unwrap();
        assert_eq!(packet.offload().csum.unwrap().start, 34);
        packet.pop_front(6).unwrap();
        assert!(packet.is_empty());
        assert_eq!(packet.pop_front(1), Err(Errno::EINVAL));
    }

    #[test]
    fn pushing_past_the_headroom_makes_new_room() {
        let mut packet = VecPacket::from_buffer(b"xabc".to_vec(), 1, Offload::default()).unwrap();
        packet.push_front(3).unwrap();
        assert_eq!(packet.bytes(), b"\0\0\0abc");
        assert_eq!(packet.headroom(), HEADROOM);
        packet.truncate(4);
        assert_eq!(packet.try_clone().unwrap().bytes(), b"\0\0\0a");
        packet.truncate(40);
        assert_eq!(packet.len(), 4);
        assert!(VecPacket::from_buffer(Vec::new(), 1, Offload::default()).is_err());
    }

    #[test]
    fn access_is_bounded() {
        let mut packet = VecPacket::from_bytes(b"abc").unwrap();
        assert_eq!(packet.pull(4), Err(Errno::EINVAL));
        assert_eq!(packet.head_mut(4), Err(Errno::EINVAL));
        assert_eq!(packet.head_mut(2).unwrap(), b"ab");
        let mut out = [0; 2];
        packet.copy_out(1, &mut out).unwrap();
        assert_eq!(&out, b"bc");
        assert_eq!(packet.copy_out(2, &mut out), Err(Errno::EINVAL));
        assert_eq!(packet.copy_out(usize::MAX, &mut out), Err(Errno::EINVAL));
    }
}
