//! An mbuf chain as the datapath's packet.

use crate::{offload, sys};
use core::ptr::{NonNull, null_mut};
use pfnl_datapath::offload::Offload;
use pfnl_datapath::packet::Packet;
use pfnl_platform::{Errno, Result};

/// A packet.
///
/// # Invariants
/// `chain` is ours alone and begins with a packet header, or it is null: then memory was wanting for a change, the
/// packet is gone, and what is left is an empty one.
pub struct Mbuf {
    chain: *mut sys::mbuf,
    /// The checksums and segments that the chain's flags left to the hardware when it came in, in the kernel's words:
    /// what is still to do in `offload` goes out in the same.
    pending: u32,
    offload: Offload,
}

// SAFETY: a chain belongs to no thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// A packet that an interface has received or the host sends. None: what is to be done to it makes no sense, or
    /// there is no memory to do it.
    ///
    /// # Safety
    /// `chain` begins with a packet header and is the caller's to give.
    pub unsafe fn received(chain: *mut sys::mbuf) -> Option<Mbuf> {
        let mut packet = Mbuf { chain, pending: 0, offload: Offload::default() };
        let header = packet.header()?;
        // SAFETY: invariant.
        let flags = unsafe { (*header.as_ptr()).csum_flags };
        if flags & offload::PENDING != 0 {
            // SAFETY: invariant.
            let segment = unsafe { sys::ovs_segment(header.as_ptr()) };
            packet.pending = flags & offload::PENDING;
            packet.offload = offload::read(&mut packet, flags, segment).ok()?;
        }
        Some(packet)
    }

    /// The chain, ready to be sent; null if there is none any more.
    pub fn into_chain(self) -> *mut sys::mbuf {
        if let Some(header) = self.header() {
            let (flags, data, segment) = offload::write(&self.offload, self.pending);
            // SAFETY: invariant.
            unsafe {
                let header = header.as_ptr();
                (*header).csum_flags = (*header).csum_flags & !offload::PENDING | flags;
                if flags != 0 {
                    sys::ovs_set_csum_data(header, data);
                    sys::ovs_set_segment(header, segment);
                }
            }
        }
        let chain = self.chain;
        core::mem::forget(self);
        chain
    }

    #[inline]
    fn header(&self) -> Option<NonNull<sys::pkthdr>> {
        let chain = NonNull::new(self.chain)?;
        // SAFETY: where C says that it is; invariant.
        Some(unsafe { chain.cast::<u8>().add(sys::OVS_PKTHDR as usize).cast() })
    }

    /// Lets a function of the glue change the chain.
    fn change(&mut self, change: impl FnOnce(*mut *mut sys::mbuf) -> bool) -> Result<()> {
        if self.chain.is_null() {
            return Err(Errno::ENOMEM);
        }
        if change(&raw mut self.chain) {
            return Ok(());
        }
        // The glue has freed it.
        self.chain = null_mut();
        Err(Errno::ENOMEM)
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: invariant; null is nothing to free.
        unsafe { sys::m_freem(self.chain) }
    }
}

fn int(n: usize) -> Result<u32> {
    // What mbuf(9) counts in int.
    u32::try_from(n).ok().filter(|&n| n <= i32::MAX as u32).ok_or(Errno::EINVAL)
}

impl Packet for Mbuf {
    #[inline]
    fn len(&self) -> usize {
        // SAFETY: invariant.
        self.header().map_or(0, |header| unsafe { (*header.as_ptr()).len } as usize)
    }

    #[inline]
    fn head(&self) -> &[u8] {
        let Some(chain) = NonNull::new(self.chain) else { return &[] };
        // SAFETY: an mbuf's data are m_len bytes at m_data; they are ours to read while the packet is borrowed.
        unsafe {
            let chain = chain.as_ptr();
            core::slice::from_raw_parts((*chain).m_data.cast::<u8>(), (*chain).m_len as usize)
        }
    }

    #[inline]
    fn pull(&mut self, n: usize) -> Result<()> {
        if self.head().len() >= n {
            return Ok(());
        }
        if n > self.len() {
            return Err(Errno::EINVAL);
        }
        let n = int(n)?;
        // SAFETY: the chain is ours and at least that long.
        self.change(|chain| unsafe { sys::ovs_pull(chain, n) })
    }

    fn head_mut(&mut self, n: usize) -> Result<&mut [u8]> {
        if n > self.len() {
            return Err(Errno::EINVAL);
        }
        let count = int(n)?;
        // SAFETY: as in `pull`.
        self.change(|chain| unsafe { sys::ovs_own(chain, count) })?;
        let chain = NonNull::new(self.chain).ok_or(Errno::ENOMEM)?;
        // SAFETY: the first n bytes are contiguous, and nobody else has them.
        Ok(unsafe { core::slice::from_raw_parts_mut((*chain.as_ptr()).m_data.cast::<u8>(), n) })
    }

    fn push_front(&mut self, n: usize) -> Result<()> {
        let count = int(n)?;
        // SAFETY: the chain is ours.
        self.change(|chain| unsafe { sys::ovs_push(chain, count) })?;
        self.offload.front_grown(n);
        Ok(())
    }

    fn pop_front(&mut self, n: usize) -> Result<()> {
        if n > self.len() {
            return Err(Errno::EINVAL);
        }
        let count = int(n)?;
        // SAFETY: the chain is ours and at least that long.
        self.change(|chain| unsafe { sys::ovs_pop(chain, count) })?;
        self.offload.front_shrunk(n);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        if let Ok(surplus) = int(self.len().saturating_sub(len))
            && surplus > 0
        {
            // SAFETY: the chain is ours; a negative count takes from its end.
            unsafe { sys::m_adj(self.chain, -surplus.cast_signed()) }
        }
    }

    fn try_clone(&self) -> Result<Mbuf> {
        if self.chain.is_null() {
            return Err(Errno::ENOMEM);
        }
        // SAFETY: invariant.
        let chain = unsafe { sys::ovs_share(self.chain) };
        if chain.is_null() {
            return Err(Errno::ENOMEM);
        }
        Ok(Mbuf { chain, pending: self.pending, offload: self.offload })
    }

    fn copy_out(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len()).ok_or(Errno::EINVAL)?;
        if end > self.len() {
            return Err(Errno::EINVAL);
        }
        if let Some(bytes) = self.head().get(offset..end) {
            out.copy_from_slice(bytes);
            return Ok(());
        }
        let (offset, count) = (int(offset)?.cast_signed(), int(out.len())?.cast_signed());
        // SAFETY: the chain is at least `end` bytes long, and `out` as long as said.
        unsafe { sys::m_copydata(self.chain, offset, count, out.as_mut_ptr().cast()) };
        Ok(())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Mbuf> {
        let len = int(bytes.len())?;
        // SAFETY: reads that many bytes.
        let chain = unsafe { sys::ovs_packet(bytes.as_ptr().cast(), len) };
        if chain.is_null() {
            return Err(Errno::ENOMEM);
        }
        Ok(Mbuf { chain, pending: 0, offload: Offload::default() })
    }

    fn offload(&self) -> &Offload {
        &self.offload
    }

    fn offload_mut(&mut self) -> &mut Offload {
        &mut self.offload
    }
}
