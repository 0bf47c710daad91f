//! One domain for each virtual network stack: a jail's sockets, portids, groups and families are its own.

use alloc::boxed::Box;
use core::ffi::c_int;
use pfnl_kernel::{Kernel, sys};
use pfnl_platform::{Errno, Result, Shared, try_box};
use pfnl_sock::Domain;

type State = Shared<Domain<Kernel>>;

/// The current vnet's domain.
pub fn domain() -> Result<State> {
    // SAFETY: called where curvnet is set; the slot holds null or what `pfnl_vnet_init` put there.
    let state = unsafe { (*sys::pfnl_vnet_slot()).cast::<State>().as_ref() };
    state.cloned().ok_or(Errno::EAFNOSUPPORT)
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
