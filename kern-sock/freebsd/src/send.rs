//! send(2) and its relatives: what is sent to the kernel has been handled when the call returns.

use crate::socket::{Pcb, pcb};
use crate::{address, check, credentials, vnet};
use alloc::vec::Vec;
use core::ffi::c_int;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering;
use pfnl_kernel::{Kernel, sys};
use pfnl_platform::{Errno, Platform, Result};
use pfnl_proto::msg::{Messages, NLM_F_DUMP};
use pfnl_proto::{Attrs, genl, nlctrl};
use pfnl_sock::SockAddr;

/// The largest datagram, whatever the send buffer: what malloc(9) gives without a fuss.
const MAX: usize = 4 << 20;

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_sosend(
    so: *mut sys::socket,
    addr: *mut sys::sockaddr,
    uio: *mut sys::uio,
    top: *mut sys::mbuf,
    control: *mut sys::mbuf,
    flags: c_int,
    td: *mut sys::thread,
) -> c_int {
    // SAFETY: as pr_sosend is called: the mbufs are ours to free, the uio is this thread's.
    unsafe {
        let outcome = credentials::check(control, td).map_err(Errno::freebsd);
        sys::m_freem(control);
        let outcome = outcome.and_then(|()| send(so, addr, uio, top, flags, td));
        sys::m_freem(top);
        outcome.err().unwrap_or(0)
    }
}

/// # Safety
/// As pr_sosend; `top` stays the caller's.
unsafe fn send(
    so: *mut sys::socket,
    addr: *mut sys::sockaddr,
    uio: *mut sys::uio,
    top: *mut sys::mbuf,
    flags: c_int,
    td: *mut sys::thread,
) -> Result<(), c_int> {
    // SAFETY: the caller's.
    unsafe {
        match gather(pcb(so), uio, top) {
            Ok(bytes) => send_bytes(so, addr, &bytes, flags, td),
            // Too long; what comes before that in the order of checks has been done.
            Err(error) => destination(so, addr)
                .and_then(|to| pcb(so).socket.prepare(to, &credentials::of(td)))
                .map_or_else(|errno| Err(errno.freebsd()), |()| Err(error)),
        }
    }
}

/// # Safety
/// As pr_sosend.
unsafe fn send_bytes(
    so: *mut sys::socket,
    addr: *mut sys::sockaddr,
    bytes: &[u8],
    flags: c_int,
    td: *mut sys::thread,
) -> Result<(), c_int> {
    let fail = |errno: Errno| errno.freebsd();
    if flags & sys::MSG_OOB as c_int != 0 {
        return Err(fail(Errno::EOPNOTSUPP));
    }
    // SAFETY: the caller's.
    let (pcb, to, sender, may_wait) = unsafe {
        let pcb = pcb(so);
        (pcb, destination(so, addr).map_err(fail)?, credentials::of(td), may_wait(so, flags))
    };
    let mut since = None;
    // Relaxed: whoever looks has the socket to itself.
    pcb.used.store(true, Ordering::Relaxed);
    loop {
        match pcb.socket.send(to, bytes, &sender) {
            Ok(()) => return Ok(()),
            // Another user's queue is full: who may wait, waits.
            Err(Errno::EAGAIN) if may_wait => {
                let since = *since.get_or_insert_with(Kernel::now);
                // SAFETY: sleeps a moment in the thread that sends; no lock is held.
                check(unsafe { sys::pfnl_wait(so, since) })?;
            }
            Err(errno) => return Err(fail(errno)),
        }
    }
}

/// Where a datagram goes to; none: where the socket is connected to. AF_UNSPEC is nobody's address here.
///
/// # Safety
/// As pr_sosend.
unsafe fn destination(so: *mut sys::socket, addr: *const sys::sockaddr) -> Result<Option<SockAddr>> {
    if addr.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's.
    let to = unsafe { address::read(addr, pcb(so).link.family)? };
    to.map(Some).ok_or(Errno::EINVAL)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_gather(
    so: *mut sys::socket,
    uio: *mut sys::uio,
    top: *mut sys::mbuf,
    out: *mut sys::pfnl_bytes,
    foreign: *mut sys::pfnl_str,
) -> c_int {
    // SAFETY: as pr_sosend is called; the bytes have a new owner, and the name is among them.
    unsafe {
        let pcb = pcb(so);
        let mut bytes = match gather(pcb, uio, top) {
            Ok(bytes) => ManuallyDrop::new(bytes),
            Err(error) => return error,
        };
        let name = if pcb.used.load(Ordering::Relaxed) { None } else { asked_for(&bytes) };
        let name = name.filter(|name| !vnet::domain().is_ok_and(|domain| domain.has_family(name)));
        if let Some(name) = name {
            *foreign = sys::pfnl_str { text: name.as_ptr().cast(), len: name.len() };
        }
        *out = sys::pfnl_bytes { place: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() };
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_send_bytes(
    so: *mut sys::socket,
    addr: *mut sys::sockaddr,
    bytes: sys::pfnl_bytes,
    flags: c_int,
    td: *mut sys::thread,
) -> c_int {
    // SAFETY: from `pfnl_gather`, and ours again.
    unsafe {
        let bytes = Vec::from_raw_parts(bytes.place, bytes.len, bytes.capacity);
        send_bytes(so, addr, &bytes, flags, td).err().unwrap_or(0)
    }
}

/// The name of the family that a datagram asks nlctrl for, if that is what it does. It is empty when all are asked for
/// without a dump, as FreeBSD's genl(8) does; Linux knows no such request.
fn asked_for(datagram: &[u8]) -> Option<&[u8]> {
    let message = Messages::new(datagram).next()?;
    let attrs = message.bytes.get(genl::USER_HEADER..)?;
    let asks = message.header.kind == genl::GENL_ID_CTRL
        && message.payload().first() == Some(&nlctrl::cmd::GETFAMILY)
        && message.header.flags & NLM_F_DUMP != NLM_F_DUMP;
    let mut attrs = Attrs::new(attrs, 0);
    match attrs.clone().find(|attr| attr.number() == nlctrl::ctrl::FAMILY_NAME) {
        _ if !asks => None,
        Some(name) => Some(name.string()),
        None => attrs.next().is_none().then_some(&[]),
    }
}

/// # Safety
/// `so` is a socket.
unsafe fn may_wait(so: *mut sys::socket, flags: c_int) -> bool {
    // SAFETY: the caller's.
    let state = unsafe { (*so).so_state };
    let nonblocking = (sys::MSG_DONTWAIT | sys::MSG_NBIO) as c_int;
    flags & nonblocking == 0 && i32::from(state) & sys::SS_NBIO as i32 == 0
}

/// The datagram, copied once.
///
/// # Safety
/// As pr_sosend: `top`, or `uio` if that is null.
unsafe fn gather(pcb: &Pcb, uio: *mut sys::uio, top: *mut sys::mbuf) -> Result<Vec<u8>, c_int> {
    // SAFETY: the caller's.
    let len = unsafe {
        if top.is_null() {
            usize::try_from((*uio).uio_resid).map_err(|_| Errno::EINVAL.freebsd())?
        } else {
            sys::m_length(top, core::ptr::null_mut()) as usize
        }
    };
    if len > MAX || len > pcb.send_buffer() {
        return Err(Errno::EMSGSIZE.freebsd());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOBUFS.freebsd())?;
    bytes.resize(len, 0);
    // SAFETY: the vector has that many bytes, and so have the mbufs or the uio.
    unsafe {
        if top.is_null() {
            check(sys::uiomove(bytes.as_mut_ptr().cast(), len as c_int, uio))?;
        } else {
            sys::m_copydata(top, 0, len as c_int, bytes.as_mut_ptr().cast());
        }
    }
    Ok(bytes)
}

impl Pcb {
    /// What the core would refuse as too long need not be copied first.
    fn send_buffer(&self) -> usize {
        const SOL_SOCKET: i32 = 1;
        const SO_SNDBUF: i32 = 7;
        let mut value = Vec::new();
        match self.socket.option(SOL_SOCKET, SO_SNDBUF, &mut value) {
            Ok(()) => value.first_chunk().map_or(0, |size| u32::from_ne_bytes(*size) as usize),
            Err(_) => 0,
        }
    }
}

const _: sys::pr_sosend_t = Some(pfnl_sosend);
