//! A socket's life, as `struct protosw` calls it: attach, bind, connect, names, detach.

use crate::delivery::{Handle, Link};
use crate::kept::Kept;
use crate::{address, code, count, credentials, vnet};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicU32};
use pfnl_kernel::{Kernel, sys};
use pfnl_platform::{Errno, Result, Shared, try_box};
use pfnl_sock::{Domain, SockAddr, SockType, Socket};

/// `so_pcb`: what the kernel's socket is to us.
pub struct Pcb {
    /// The core's socket.
    pub socket: Socket<Kernel>,
    /// How the two are joined.
    pub link: Shared<Link>,
    /// Calls under way, of a socket of AF_NETLINK: glue/takeover.c counts.
    pub calls: AtomicU32,
    /// Something was sent.
    pub used: AtomicBool,
    /// Options without effect.
    pub kept: Kept,
}

/// A socket's pcb.
///
/// # Safety
/// Between attach and detach.
pub unsafe fn pcb<'a>(so: *mut sys::socket) -> &'a Pcb {
    // SAFETY: the caller's: so_pcb is what `attach` put there.
    unsafe { &*(*so).so_pcb.cast::<Pcb>() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_attach(so: *mut sys::socket, protocol: c_int, td: *mut sys::thread) -> c_int {
    // SAFETY: a new socket of ours, and the thread that opens it.
    code(
        count::socket_opens()
            .and_then(|()| unsafe { attach(so, protocol, td) }.inspect_err(|_| count::socket_gone())),
    )
}

/// # Safety
/// As pr_attach: `so` is new, `td` is the current thread, curvnet is set.
unsafe fn attach(so: *mut sys::socket, protocol: c_int, td: *mut sys::thread) -> Result<()> {
    // SAFETY: the caller's.
    let (opener, kind, linux, family) =
        unsafe { (credentials::of(td), (*so).so_type, sys::pfnl_is_linux(td), sys::pfnl_family_of(so)) };
    let kind = if u32::from(kind.cast_unsigned()) == sys::SOCK_RAW { SockType::Raw } else { SockType::Dgram };
    let domain = vnet::domain()?;
    let link = Link::try_new(linux, family)?;
    let delivery = try_box(Handle(link.clone()))?;
    let socket = Domain::open(&domain, kind, protocol, opener, delivery)?;
    let prepared = || {
        // SAFETY: the socket is new.
        match unsafe { sys::pfnl_buffers(so) } {
            0 => try_box(Pcb {
                socket: socket.clone(),
                link: link.clone(),
                calls: AtomicU32::new(0),
                used: AtomicBool::new(false),
                kept: Kept::new(),
            }),
            error => Err(Errno::from_freebsd(error).unwrap_or(Errno::ENOBUFS)),
        }
    };
    let pcb = prepared().inspect_err(|_| socket.close())?;
    // What the kernel shows as the buffers' sizes.
    let limits = domain.limits();
    for (receive, size) in [(true, limits.receive_default), (false, limits.send_default)] {
        // SAFETY: the socket is new.
        unsafe { sys::pfnl_set_buffer(so, receive, u32::try_from(size).unwrap_or(u32::MAX)) };
    }
    // SAFETY: the socket is new; nobody else looks at it yet.
    unsafe { (*so).so_pcb = Box::into_raw(pcb).cast::<c_void>() };
    if let Some(so) = NonNull::new(so) {
        link.join(socket, so);
    }
    Ok(())
}

/// The last descriptor is closed: nothing is delivered any more. Threads may still be on their way out of calls.
#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_close(so: *mut sys::socket) {
    // SAFETY: before detach.
    let pcb = unsafe { pcb(so) };
    pcb.socket.close();
    pcb.link.part();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_abort(so: *mut sys::socket) {
    // SAFETY: the caller's.
    unsafe { pfnl_close(so) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_detach(so: *mut sys::socket) {
    // SAFETY: the last call for this socket, with so_pcb as `attach` left it.
    let pcb = unsafe { Box::from_raw((*so).so_pcb.cast::<Pcb>()) };
    // Again, for a socket that goes without having been closed; the second time it does nothing.
    pcb.socket.close();
    pcb.link.part();
    // SAFETY: the socket still is; its datagrams are freed now, while our code is sure to be there.
    unsafe {
        (*so).so_pcb = null_mut();
        sys::pfnl_flush(so);
    }
    drop(pcb);
    count::socket_gone();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_bind(
    so: *mut sys::socket,
    addr: *mut sys::sockaddr,
    td: *mut sys::thread,
) -> c_int {
    // SAFETY: as pr_bind is called.
    unsafe {
        let pcb = pcb(so);
        code(address::read(addr, pcb.link.family).and_then(|addr| {
            let addr = addr.ok_or(Errno::EINVAL)?;
            pcb.socket.bind(addr, &credentials::of(td))
        }))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_connect(
    so: *mut sys::socket,
    addr: *mut sys::sockaddr,
    td: *mut sys::thread,
) -> c_int {
    // SAFETY: as pr_connect is called.
    unsafe {
        let pcb = pcb(so);
        let addr = address::read(addr, pcb.link.family);
        code(addr.and_then(|addr| pcb.socket.connect(addr, &credentials::of(td))))
    }
}

/// connect(2) begins with this on a socket that is connected, and ours always are. There is nothing to do: what
/// follows sets the peer, or forgets it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_disconnect(_: *mut sys::socket) -> c_int {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_sockaddr(so: *mut sys::socket, out: *mut sys::sockaddr) -> c_int {
    // SAFETY: as pr_sockaddr is called.
    unsafe { show(pcb(so), Socket::name, out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_peeraddr(so: *mut sys::socket, out: *mut sys::sockaddr) -> c_int {
    // SAFETY: as pr_peeraddr is called.
    unsafe { show(pcb(so), Socket::peer, out) }
}

/// # Safety
/// `out` has room for a `struct sockaddr_storage`.
unsafe fn show(pcb: &Pcb, which: fn(&Socket<Kernel>) -> SockAddr, out: *mut sys::sockaddr) -> c_int {
    let addr = address::show(which(&pcb.socket), pcb.link.family);
    // SAFETY: the caller's.
    unsafe { out.cast::<sys::sockaddr_nl>().write_unaligned(addr) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_calls(so: *mut sys::socket) -> *mut u32 {
    // SAFETY: between attach and detach.
    unsafe { pcb(so).calls.as_ptr() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_settings(so: *mut sys::socket, out: *mut sys::pfnl_settings) {
    const SOL_NETLINK: i32 = 270;
    // SAFETY: between attach and detach.
    let socket = unsafe { &pcb(so).socket };
    let is_on = |name| {
        let mut value = Vec::new();
        socket.option(SOL_NETLINK, name, &mut value).is_ok() && value.iter().any(|&byte| byte != 0)
    };
    let portid = socket.name().portid;
    let settings =
        sys::pfnl_settings { portid, cap_ack: is_on(10), ext_ack: is_on(11), strict_check: is_on(12) };
    // SAFETY: the caller's.
    unsafe { *out = settings };
}

// What C puts into its tables is what is here.
const _: sys::pr_attach_t = Some(pfnl_attach);
const _: sys::pr_bind_t = Some(pfnl_bind);
const _: sys::pr_connect_t = Some(pfnl_connect);
const _: sys::pr_sockaddr_t = Some(pfnl_sockaddr);
const _: sys::pr_peeraddr_t = Some(pfnl_peeraddr);
