//! An interface's received frames in memory shared with the kernel: TPACKET_V2 (packet(7),
//! Documentation/networking/packet_mmap.rst, include/uapi/linux/if_packet.h).
//!
//! ```text
//! slot: tpacket2_hdr … virtio_net_hdr | frame        one after the other, in a circle
//! ```
//!
//! The kernel fills a slot and sets TP_STATUS_USER; whoever has read it sets TP_STATUS_KERNEL. A frame too long for a slot
//! is put into the socket's queue as well (PACKET_COPY_THRESH), for [`PacketSocket::recv`]. Version 3 of the ring packs
//! frames of all lengths into blocks, but hands over a block that is not full only after milliseconds.

use crate::sys::{check, set_option};
use crate::{PacketSocket, VnetHeader};
use std::io::Result;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a slot: the longest frame without segmentation offload on an Ethernet, and its headers.
const SLOT: usize = 2048;
/// Bytes the kernel allocates at once; they are contiguous, so there should not be too many.
const BLOCK: usize = 32 << 10;

/// How many slots ahead of the one being read memory is asked for: slots are too far apart for the processor to guess.
const AHEAD: usize = 4;

/// A [`PacketSocket`] with a ring for what it receives.
#[derive(Debug)]
pub struct PacketRing {
    socket: PacketSocket,
    memory: Mapping,
    /// Which slot is to be read next. One thread at a time reads.
    next: Mutex<usize>,
}

/// A frame in a ring, for as long as it is lent.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The frame, or the first part of it.
    pub bytes: &'a [u8],
    /// What is left to do to it; offsets count from the start of `bytes`.
    pub header: VnetHeader,
    /// TPID and TCI of a tag that the kernel keeps beside the frame: it stood after the addresses.
    pub tag: Option<[u16; 2]>,
    /// What is here of a longer frame.
    pub part: Part,
}

/// How much of a frame is in its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All.
    Whole,
    /// The whole of it is the next in the socket's queue.
    Queued,
    /// The rest is lost: there was no room in the queue.
    Lost,
}

/// Memory shared with the kernel.
///
/// # Invariants
/// `start` is a mapping of `len` bytes, a whole number of slots, of the RX ring of a socket. Slots whose status is TP_STATUS_USER are
/// ours: the kernel does not write to them.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory; who reads which slot when is settled by `PacketRing::next` and the status words.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl PacketRing {
    /// Opens a socket with a ring of `slots`, rounded up to a power of two.
    ///
    /// # Errors
    /// As [`PacketSocket::open`]; `ENOMEM` or `ENOBUFS` for a ring that is too large, `EINVAL` on a kernel that cannot have metadata in
    /// one.
    pub fn open(ifindex: u32, slots: usize) -> Result<PacketRing> {
        let slots = slots.clamp(BLOCK / SLOT, 1 << 16).next_power_of_two();
        let socket = PacketSocket::open_with(ifindex, |fd| {
            let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
            set_option(fd, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
            let always: libc::c_int = 1;
            set_option(fd, libc::SOL_PACKET, libc::PACKET_COPY_THRESH, &always)?;
            let request = libc::tpacket_req {
                tp_block_size: BLOCK as libc::c_uint,
                tp_block_nr: (slots / (BLOCK / SLOT)) as libc::c_uint,
                tp_frame_size: SLOT as libc::c_uint,
                tp_frame_nr: slots as libc::c_uint,
            };
            set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
        })?;
        let memory = Mapping::new(socket.as_fd(), slots * SLOT)?;
        Ok(PacketRing { socket, memory, next: Mutex::new(0) })
    }

    /// The socket, to send, and to read what did not fit.
    pub fn socket(&self) -> &PacketSocket {
        &self.socket
    }

    /// Lends up to `limit` received frames to `take`, in order, and tells how many there were. Does not wait. A frame that `take` refuses
    /// by `false` stays, and is the first of the next time.
    pub fn recv(&self, limit: usize, mut take: impl FnMut(Slot<'_>) -> bool) -> usize {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for done in 0..limit {
            // SAFETY: `next` is below the number of slots.
            let status = unsafe { self.memory.status(*next) };
            // Acquire: the frame is there when the status says so.
            let flags = status.load(Ordering::Acquire);
            if flags & libc::TP_STATUS_USER == 0 {
                return done;
            }
            self.memory.prefetch((*next + AHEAD) % (self.memory.len / SLOT));
            // SAFETY: as above, and the status has just said that the slot is ours; it is given back further down.
            let slot = unsafe { self.memory.slot(*next) };
            if !take(Slot::read(flags, slot)) {
                return done;
            }
            // Release: the kernel may write again, after all our reads.
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            *next = (*next + 1) % (self.memory.len / SLOT);
        }
        limit
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Slot<'_> {
    /// Reads a slot that is ours. The kernel is trusted, but not beyond the slot's end.
    fn read(flags: u32, slot: &[u8; SLOT]) -> Slot<'_> {
        let word = |at: usize| u32::from_ne_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([slot[at], slot[at + 1]]);
        // struct tpacket2_hdr: status, len, snaplen: u32; mac, net: u16; sec, nsec: u32; vlan_tci, vlan_tpid: u16.
        let (len, kept, start) = (word(4) as usize, word(8) as usize, usize::from(half(12)));
        let bytes = slot.get(start..).and_then(|rest| rest.get(..kept)).unwrap_or_default();
        let header = start.checked_sub(VnetHeader::LEN).and_then(|at| slot.get(at..)?.first_chunk());
        let known = flags & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let tpid = if known { half(26) } else { libc::ETH_P_8021Q as u16 };
        let part = match (flags & libc::TP_STATUS_COPY != 0, bytes.len() == len) {
            (true, _) => Part::Queued,
            (false, true) => Part::Whole,
            (false, false) => Part::Lost,
        };
        Slot {
            bytes,
            header: header.map(VnetHeader::decode).unwrap_or_default(),
            tag: (flags & libc::TP_STATUS_VLAN_VALID != 0).then(|| [tpid, half(24)]),
            part,
        }
    }

    /// Bytes of the frame with its tag put back.
    pub fn len(&self) -> usize {
        self.bytes.len() + if self.tag.is_some() { 4 } else { 0 }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Copies the frame, its tag put back, to `out`, which is [`Slot::len`] bytes long; tells its metadata.
    ///
    /// # Panics
    /// If `out` is of another length.
    pub fn copy_to(&self, out: &mut [u8]) -> VnetHeader {
        let mut header = self.header;
        match self.tag.filter(|_| self.bytes.len() >= 12) {
            None => out[..self.bytes.len()].copy_from_slice(self.bytes),
            Some([tpid, tci]) => {
                let (addresses, rest) = self.bytes.split_at(12);
                out[..12].copy_from_slice(addresses);
                out[12..14].copy_from_slice(&tpid.to_be_bytes());
                out[14..16].copy_from_slice(&tci.to_be_bytes());
                out[16..].copy_from_slice(rest);
                header.shift(4);
            }
        }
        header
    }
}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, len: usize) -> Result<Mapping> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, fd.as_raw_fd(), 0) };
        check(if start == libc::MAP_FAILED { -1 } else { 0 })?;
        NonNull::new(start.cast())
            .map(|start| Mapping { start, len })
            .ok_or(std::io::ErrorKind::OutOfMemory.into())
    }

    /// Asks for a slot's header and the start of its frame, which another processor has written.
    #[inline]
    fn prefetch(&self, number: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for line in [0, 64] {
                let place = self.start.as_ptr().wrapping_add(number * SLOT + line);
                // SAFETY: a hint that reads nothing and cannot fault, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = number;
    }

    /// A slot's status.
    ///
    /// # Safety
    /// `number` is below the number of slots.
    unsafe fn status(&self, number: usize) -> &AtomicU32 {
        // SAFETY: invariant of Mapping and the caller's promise: in the mapping, aligned as slots are. Kernel and we access this word
        // atomically only.
        unsafe { self.start.add(number * SLOT).cast::<AtomicU32>().as_ref() }
    }

    /// A slot.
    ///
    /// # Safety
    /// `number` is below the number of slots; the slot is ours, and its status is not changed as long as it is borrowed.
    unsafe fn slot(&self, number: usize) -> &[u8; SLOT] {
        // SAFETY: invariant of Mapping and the caller's promise: in the mapping, and nobody writes to it.
        unsafe { self.start.add(number * SLOT).cast::<[u8; SLOT]>().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: invariant of Mapping; nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
