//! The packet buffer: contiguous bytes with room in front, from a pool of the thread.

use pfnl_datapath::key::TunnelKey;
use pfnl_datapath::offload::{Gso, GsoKind, Offload, PartialCsum};
use pfnl_datapath::packet::{HEADROOM, Packet};
use pfnl_datapath::tunnel::Inside;
use pfnl_platform::{Errno, Result};
use pfnl_rawio::{GsoType, Received, Slot, VnetHeader};
use std::cell::RefCell;

/// The longest frame: 64 KiB of IP packet, its link header, two VLAN tags, and some.
pub(crate) const FRAME_MAX: usize = 65_536 + 64;

/// Capacities of the pool's buffers. Neither is a power of two: the starts of frames spread over the cache.
const SMALL: usize = HEADROOM + 2048 + 64;
const LARGE: usize = HEADROOM + FRAME_MAX;

/// Buffers of each kind that a thread keeps.
const KEEP: usize = 256;

thread_local! {
    static POOL: RefCell<[Vec<Box<[u8]>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A frame with its offload metadata.
///
/// # Invariants
/// `start <= end <= buffer.len()`.
#[derive(Debug)]
pub struct Frame {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    offload: Offload,
    /// The tunnel it came out of, and what was in it. A copy does not have it: it is for the way into the datapath.
    tunnel: Option<(Box<TunnelKey>, Inside)>,
}

impl Frame {
    /// An empty frame that can take `capacity` bytes after the usual headroom.
    fn with_capacity(capacity: usize) -> Result<Frame> {
        let wanted = HEADROOM.checked_add(capacity).ok_or(Errno::ENOMEM)?;
        let class = [SMALL, LARGE].iter().position(|&size| wanted <= size);
        let pooled = class.and_then(|class| POOL.with_borrow_mut(|pool| pool[class].pop()));
        let buffer = match pooled {
            Some(buffer) => buffer,
            None => zeroed(class.map_or(wanted, |class| [SMALL, LARGE][class]))?,
        };
        Ok(Frame { buffer, start: HEADROOM, end: HEADROOM, offload: Offload::default(), tunnel: None })
    }

    /// The frame's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The tunnel it came out of, once.
    pub(crate) fn take_tunnel(&mut self) -> Option<(Box<TunnelKey>, Inside)> {
        self.tunnel.take()
    }

    pub(crate) fn set_tunnel(&mut self, key: Box<TunnelKey>, inside: Inside) {
        self.tunnel = Some((key, inside));
    }

    /// A copy of a frame in a ring; none where it has metadata that the datapath has no words for, or there is no memory.
    pub(crate) fn from_slot(slot: &Slot<'_>) -> Option<Frame> {
        let mut frame = Frame::with_capacity(slot.len()).ok()?;
        frame.end = HEADROOM.checked_add(slot.len()).filter(|&end| end <= frame.buffer.len())?;
        let header = slot.copy_to(&mut frame.buffer[HEADROOM..frame.end]);
        frame.offload = offload(&header)?;
        Some(frame)
    }

    fn copy_of(bytes: &[u8], offload: Offload) -> Result<Frame> {
        let mut frame = Frame::with_capacity(bytes.len())?;
        frame.end = HEADROOM + bytes.len();
        frame.buffer[HEADROOM..frame.end].copy_from_slice(bytes);
        frame.offload = offload;
        Ok(frame)
    }

    /// The metadata as the kernel takes it.
    pub(crate) fn vnet_header(&self) -> VnetHeader {
        let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let mut header = VnetHeader::default();
        if let Some(csum) = self.offload.csum {
            header.set_csum(short(csum.start), csum.offset);
        }
        if let Some(gso) = self.offload.gso {
            let kind = match gso.kind {
                GsoKind::Tcp4 => GsoType::Tcp4,
                GsoKind::Tcp6 => GsoType::Tcp6,
                GsoKind::Udp => GsoType::UdpL4,
            };
            // The kernel refuses a hint past the frame's end.
            let hdr_len = short(gso.hdr_len).min(short(u32::try_from(self.len()).unwrap_or(u32::MAX)));
            header.set_gso(kind, gso.ecn, gso.size, hdr_len);
        }
        header
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if let Some(class) = [SMALL, LARGE].iter().position(|&size| size == buffer.len()) {
            // The pool is gone when its thread is ending.
            let _ = POOL.try_with(|pool| {
                let free = &mut pool.borrow_mut()[class];
                if free.len() < KEEP {
                    free.push(buffer);
                }
            });
        }
    }
}

/// The metadata as the datapath has it; none where it has no words for it.
fn offload(header: &VnetHeader) -> Option<Offload> {
    if header.is_gso() && header.gso().is_none() {
        return None;
    }
    Some(Offload {
        csum: header.csum().map(|(start, offset)| PartialCsum { start: start.into(), offset }),
        gso: header.gso().map(|(kind, ecn)| Gso {
            kind: match kind {
                GsoType::Tcp4 => GsoKind::Tcp4,
                GsoType::Tcp6 => GsoKind::Tcp6,
                GsoType::UdpL4 => GsoKind::Udp,
            },
            ecn,
            size: header.gso_size,
            hdr_len: header.hdr_len.into(),
        }),
        hash: 0,
    })
}

/// A frame yet to be read: lends the room where its metadata and bytes go.
#[derive(Debug)]
pub(crate) struct Blank(Frame);

impl Blank {
    pub(crate) fn new() -> Result<Blank> {
        Frame::with_capacity(FRAME_MAX).map(Blank)
    }

    /// The frame as it was read; none where it did not come through whole, or with metadata that the datapath
    /// has no words for.
    pub(crate) fn finish(mut self, got: &Received) -> Option<Frame> {
        if got.truncated {
            return None;
        }
        let frame = &mut self.0;
        let start = HEADROOM - VnetHeader::LEN + got.start;
        let end = start.checked_add(got.len).filter(|&end| end <= frame.buffer.len())?;
        (frame.start, frame.end) = (start, end);
        frame.offload = offload(&got.header)?;
        Some(self.0)
    }
}

impl AsMut<[u8]> for Blank {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0.buffer[HEADROOM - VnetHeader::LEN..]
    }
}

impl Packet for Frame {
    fn len(&self) -> usize {
        self.end - self.start
    }

    fn head(&self) -> &[u8] {
        self.bytes()
    }

    fn pull(&mut self, n: usize) -> Result<()> {
        if n > self.len() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn head_mut(&mut self, n: usize) -> Result<&mut [u8]> {
        self.buffer[self.start..self.end].get_mut(..n).ok_or(Errno::EINVAL)
    }

    fn push_front(&mut self, n: usize) -> Result<()> {
        if n > self.start {
            // A new headroom after the `n`, so that a further push is cheap again.
            let mut larger = Frame::with_capacity(n.checked_add(self.len()).ok_or(Errno::ENOMEM)?)?;
            larger.start = HEADROOM + n;
            larger.end = larger.start + self.len();
            larger.buffer[larger.start..larger.end].copy_from_slice(self.bytes());
            larger.offload = self.offload;
            *self = larger;
        }
        self.start -= n;
        self.buffer[self.start..self.start + n].fill(0);
        self.offload.front_grown(n);
        Ok(())
    }

    fn pop_front(&mut self, n: usize) -> Result<()> {
        if n > self.len() {
            return Err(Errno::EINVAL);
        }
        self.start += n;
        self.offload.front_shrunk(n);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    fn try_clone(&self) -> Result<Frame> {
        Frame::copy_of(self.bytes(), self.offload)
    }

    fn copy_out(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let rest = self.bytes().get(offset..).ok_or(Errno::EINVAL)?;
        out.copy_from_slice(rest.get(..out.len()).ok_or(Errno::EINVAL)?);
        Ok(())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Frame> {
        Frame::copy_of(bytes, Offload::default())
    }

    fn offload(&self) -> &Offload {
        &self.offload
    }

    fn offload_mut(&mut self) -> &mut Offload {
        &mut self.offload
    }
}

fn zeroed(len: usize) -> Result<Box<[u8]>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    Ok(bytes.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_and_goes_unchanged() {
        let mut header = VnetHeader::default();
        header.set_csum(34, 16);
        header.set_gso(GsoType::Tcp6, true, 1400, 74);
        let mut blank = Blank::new().unwrap();
        blank.as_mut()[VnetHeader::LEN..][..200].fill(7);
        let got = Received { start: VnetHeader::LEN, len: 200, header, truncated: false };
        let frame = blank.finish(&got).unwrap();
        assert_eq!(frame.bytes(), [7; 200]);
        assert_eq!(frame.vnet_header(), header);

        let unknown = VnetHeader { gso_type: 3, ..header };
        assert!(Blank::new().unwrap().finish(&Received { header: unknown, ..got }).is_none());
        assert!(Blank::new().unwrap().finish(&Received { len: LARGE, ..got }).is_none());
        assert!(Blank::new().unwrap().finish(&Received { truncated: true, ..got }).is_none());
    }

    #[test]
    fn the_front_moves_within_and_past_the_headroom() {
        let mut frame = Frame::from_bytes(b"abcdef").unwrap();
        frame.offload_mut().csum = Some(PartialCsum { start: 34, offset: 6 });
        frame.pop_front(2).unwrap();
        frame.push_front(HEADROOM).unwrap();
        frame.push_front(HEADROOM).unwrap();
        assert_eq!(frame.len(), 4 + 2 * HEADROOM);
        assert_eq!(frame.offload().csum.unwrap().start as usize, 32 + 2 * HEADROOM);
        assert_eq!(&frame.bytes()[2 * HEADROOM..], b"cdef");
        assert!(frame.bytes()[..2 * HEADROOM].iter().all(|&byte| byte == 0));
        assert_eq!(frame.pop_front(frame.len() + 1), Err(Errno::EINVAL));
        frame.truncate(3);
        assert_eq!((frame.len(), frame.head_mut(4).is_err()), (3, true));
        assert_eq!(frame.copy_out(2, &mut [0; 2]), Err(Errno::EINVAL));
        assert_eq!(frame.pull(4), Err(Errno::EINVAL));
        assert!(frame.push_front(usize::MAX).is_err());
    }

    #[test]
    fn buffers_are_used_again() {
        let first = Frame::from_bytes(&[1; 100]).unwrap();
        let place = first.buffer.as_ptr();
        drop(first);
        let second = Frame::from_bytes(&[2; 2000]).unwrap();
        assert_eq!(second.buffer.as_ptr(), place);
        assert_eq!(Frame::from_bytes(&[3; 70_000]).unwrap().len(), 70_000, "longer than any pooled");
    }
}
