//! Who calls, and with what rights.
//!
//! CAP_NET_ADMIN becomes PRIV_NET_BRIDGE ("administer bridges"): what root has on the host and in a jail with a network
//! stack of its own, and root of a jail that shares its host's has not. CAP_NET_BROADCAST becomes PRIV_NET_RAW,
//! which is given to the same.

use core::ffi::c_int;
use pfnl_kernel::sys;
use pfnl_sock::Credentials;

/// A thread's.
///
/// # Safety
/// `thread` is the current thread, or null, which means it too.
pub unsafe fn of(thread: *mut sys::thread) -> Credentials {
    // SAFETY: the caller's; a thread's credentials do not go while it runs in the kernel.
    unsafe {
        let thread = if thread.is_null() { sys::pfnl_curthread() } else { thread };
        let cred = (*thread).td_ucred;
        let may = |privilege: u32| sys::priv_check_cred(cred, privilege as c_int) == 0;
        Credentials {
            pid: sys::pfnl_pid(thread).cast_unsigned(),
            uid: (*cred).cr_uid,
            gid: (*cred).cr_gid,
            net_admin: may(sys::PRIV_NET_BRIDGE),
            net_broadcast: may(sys::PRIV_NET_RAW),
        }
    }
}
