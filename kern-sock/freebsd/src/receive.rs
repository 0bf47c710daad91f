//! recv(2) and its relatives: the kernel's own, and then the core learns what was read.

use crate::socket::pcb;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};
use pfnl_kernel::sys;

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_soreceive(
    so: *mut sys::socket,
    from: *mut *mut sys::sockaddr,
    uio: *mut sys::uio,
    mbufs: *mut *mut sys::mbuf,
    control: *mut *mut sys::mbuf,
    flags: *mut c_int,
) -> c_int {
    // SAFETY: as pr_soreceive is called: a socket between attach and detach, a uio of this thread.
    unsafe {
        // An error comes before data, as on Linux; soreceive_generic gives data first.
        let pending = sys::pfnl_take_error(so);
        if pending != 0 {
            if !from.is_null() {
                *from = core::ptr::null_mut();
            }
            if !control.is_null() {
                *control = core::ptr::null_mut();
            }
            if !mbufs.is_null() {
                *mbufs = core::ptr::null_mut();
            }
            return pending;
        }
        let buffer = usize::try_from((*uio).uio_resid).unwrap_or(0);
        let peeking = !flags.is_null() && *flags & sys::MSG_PEEK as c_int != 0;
        let mut name = core::ptr::null_mut();
        let error = sys::soreceive_generic(so, &raw mut name, uio, mbufs, core::ptr::null_mut(), flags);
        let pcb = pcb(so);
        // Relaxed: what is received about now may or may not know of an option that is set.
        let told = |option: &AtomicBool| option.load(Ordering::Relaxed);
        sys::pfnl_tell(name, from, control, flags, told(&pcb.link.pktinfo), told(&pcb.link.passcred));
        if !peeking {
            // The charge is in the link: the mbufs have been freed.
            pcb.socket.read(0, buffer);
        }
        error
    }
}

const _: sys::pr_soreceive_t = Some(pfnl_soreceive);
