//! The effective user and group, which are asked for again only after the functions by which they change.
//!
//! A thread that changes its own by a raw system call is known by the process's until then.

use crate::next;
use libc::{c_int, gid_t, uid_t};
use std::sync::atomic::{AtomicBool, Ordering::*};

/// Effective and real ones were seen to be the same.
static SAME: AtomicBool = AtomicBool::new(false);

/// The effective user and group, if they are others than the real ones, which the kernel tells the host by itself:
/// rights go by the effective user.
pub fn effective() -> Option<libc::ucred> {
    // Relaxed: nothing else is published with it.
    if SAME.load(Relaxed) {
        return None;
    }
    // SAFETY: no preconditions.
    let (sender, real) = unsafe {
        let sender = libc::ucred { pid: libc::getpid(), uid: libc::geteuid(), gid: libc::getegid() };
        (sender, (libc::getuid(), libc::getgid()))
    };
    if (sender.uid, sender.gid) == real {
        SAME.store(true, Relaxed);
        return None;
    }
    Some(sender)
}

macro_rules! changes {
    ($($(#[doc = $doc:literal])* fn $name:ident($($arg:ident: $type:ty),*);)*) => { $(
        $(#[doc = $doc])*
        ///
        /// # Safety
        /// As the C function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
            // SAFETY: the caller keeps to the C function's contract.
            let result = unsafe { next::$name($($arg),*) };
            SAME.store(false, Relaxed);
            result
        }
    )* };
}

changes! {
    /// setuid(2).
    fn setuid(uid: uid_t);
    /// seteuid(2).
    fn seteuid(uid: uid_t);
    /// setreuid(2).
    fn setreuid(real: uid_t, effective: uid_t);
    /// setresuid(2).
    fn setresuid(real: uid_t, effective: uid_t, saved: uid_t);
    /// setgid(2).
    fn setgid(gid: gid_t);
    /// setegid(2).
    fn setegid(gid: gid_t);
    /// setregid(2).
    fn setregid(real: gid_t, effective: gid_t);
    /// setresgid(2).
    fn setresgid(real: gid_t, effective: gid_t, saved: gid_t);
}
