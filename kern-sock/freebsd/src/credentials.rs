//! Who calls, and with what rights.
//!
//! CAP_NET_ADMIN becomes PRIV_NET_BRIDGE ("administer bridges"): what root has on the host and in a jail with a network
//! stack of its own, and root of a jail that shares its host's has not. CAP_NET_BROADCAST becomes PRIV_NET_RAW,
//! which is given to the same.

use core::ffi::c_int;
use pfnl_kernel::sys;
use pfnl_platform::{Errno, Result};
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

/// What a control message begins with, aligned: length, level, type.
const HEAD: usize = 16;
const SOL_SOCKET: u32 = sys::SOL_SOCKET;

/// Control messages of a send: they may name the sender (SCM_CREDENTIALS), if they name it truly; others than root may
/// not lie. Other levels are no concern of ours.
///
/// # Errors
/// `EINVAL`: broken, or of another kind. `EPERM`: a lie.
///
/// # Safety
/// `control` is null or a chain; `thread` is as for [`of`].
pub unsafe fn check(control: *mut sys::mbuf, thread: *mut sys::thread) -> Result<()> {
    if control.is_null() {
        return Ok(());
    }
    // SAFETY: a chain.
    let len = unsafe { sys::m_length(control, core::ptr::null_mut()) } as usize;
    let mut at = 0;
    while at + HEAD <= len {
        let mut words = [0u32; 7];
        // SAFETY: the head is there, and the words are as long as they say.
        unsafe { copy(control, at, HEAD, &mut words) };
        let [stated, level, kind, ..] = words;
        let stated = stated as usize;
        if stated < HEAD || stated > len - at {
            return Err(Errno::EINVAL);
        }
        if level == SOL_SOCKET {
            if kind != sys::PFNL_SCM_CREDENTIALS || stated != size_of_val(&words) {
                return Err(Errno::EINVAL);
            }
            // SAFETY: as above; the ids are behind the head.
            let honest = unsafe {
                copy(control, at, stated, &mut words);
                let [.., pid, uid, gid] = words;
                sys::pfnl_is_honest(
                    if thread.is_null() { sys::pfnl_curthread() } else { thread },
                    pid,
                    uid,
                    gid,
                )
            };
            if !honest {
                return Err(Errno::EPERM);
            }
        }
        at += stated.next_multiple_of(8);
    }
    Ok(())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_check(control: *mut sys::mbuf, thread: *mut sys::thread) -> c_int {
    // SAFETY: the caller's.
    crate::code(unsafe { check(control, thread) })
}

/// # Safety
/// The chain has `len` bytes at `at`.
unsafe fn copy(control: *mut sys::mbuf, at: usize, len: usize, words: &mut [u32; 7]) {
    let (at, len) = (at as c_int, len.min(size_of_val(words)) as c_int);
    // SAFETY: the caller's; the words have room for as many.
    unsafe { sys::m_copydata(control, at, len, words.as_mut_ptr().cast()) }
}
