//! One domain for each virtual network stack: a jail's sockets, portids, groups and families are its own.

use alloc::boxed::Box;
use core::ffi::c_int;
use pfnl_kernel::{Kernel, sys};
use pfnl_platform::{Errno, Result, Shared, try_box};
use pfnl_sock::{Domain, Limits};

type State = Shared<Domain<Kernel>>;

/// The current vnet's domain.
pub fn domain() -> Result<State> {
    // SAFETY: called where curvnet is set; the slot holds null or what `pfnl_vnet_init` put there.
    let state = unsafe { (*sys::pfnl_vnet_slot()).cast::<State>().as_ref() };
    state.cloned().ok_or(Errno::EAFNOSUPPORT)
}

/// A limit of the current vnet, 0 without one.
#[unsafe(no_mangle)]
extern "C" fn pfnl_limit(which: u32) -> u32 {
    domain().map_or(0, |domain| u32::try_from(*limit(&mut domain.limits(), which)).unwrap_or(u32::MAX))
}

/// Sets it, for sockets that are opened and options that are set from now on.
#[unsafe(no_mangle)]
extern "C" fn pfnl_set_limit(which: u32, bytes: u32) -> c_int {
    let fits = match which {
        // No less than a message without a payload, no more than a page.
        sys::PFNL_LIMIT_CHARGE => (640..=4096).contains(&bytes),
        // What Linux doubles must still be an int.
        _ => (4096..=1 << 29).contains(&bytes),
    };
    if !fits {
        return Errno::EINVAL.freebsd();
    }
    crate::code(domain().map(|domain| {
        let mut limits = domain.limits();
        *limit(&mut limits, which) = bytes as usize;
        domain.set_limits(limits);
    }))
}

fn limit(limits: &mut Limits, which: u32) -> &mut usize {
    match which {
        sys::PFNL_LIMIT_RECEIVE_DEFAULT => &mut limits.receive_default,
        sys::PFNL_LIMIT_RECEIVE_MAX => &mut limits.receive_max,
        sys::PFNL_LIMIT_SEND_DEFAULT => &mut limits.send_default,
        sys::PFNL_LIMIT_CHARGE => &mut limits.least_charge,
        _ => &mut limits.send_max,
    }
}

/// A vnet begins; curvnet is it.
#[unsafe(no_mangle)]
extern "C" fn pfnl_vnet_init() -> c_int {
    match Domain::<Kernel>::try_new().and_then(try_box) {
        Ok(state) => {
            // SAFETY: the slot of a vnet that has no sockets yet.
            unsafe { *sys::pfnl_vnet_slot() = Box::into_raw(state).cast() };
            0
        }
        Err(errno) => errno.freebsd(),
    }
}

/// A vnet ends: it has no sockets left, as they hold its jail, and as the module does not go before them.
#[unsafe(no_mangle)]
extern "C" fn pfnl_vnet_uninit() {
    // SAFETY: the slot holds null or what `pfnl_vnet_init` put there, and nobody looks at it any more.
    unsafe {
        let slot = sys::pfnl_vnet_slot();
        let state = (*slot).cast::<State>();
        *slot = core::ptr::null_mut();
        if !state.is_null() {
            let state = Box::from_raw(state);
            state.shut_down();
        }
    }
}
