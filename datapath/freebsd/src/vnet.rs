//! The families of each virtual network stack, and their end.

use crate::device::Device;
use crate::packet::Mbuf;
use crate::ports::Ports;
use crate::registry::Pfnl;
use crate::sys;
use alloc::boxed::Box;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use pfnl_kernel::Kernel;
use pfnl_ovs::Ovs;
use pfnl_platform::{Result, Shared, try_box};

/// What there is of us in a vnet.
struct State {
    ovs: Shared<Ovs<Kernel, Mbuf>>,
    pfnl: Pfnl,
}

fn begin() -> Result<Box<State>> {
    let pfnl = Pfnl::hold()?;
    let ovs = Ovs::register(&pfnl, try_box(Ports::try_new()?)?)?;
    try_box(State { ovs, pfnl })
}

/// A vnet begins; curvnet is it.
#[unsafe(no_mangle)]
extern "C" fn ovs_vnet_init() -> c_int {
    match begin() {
        Ok(state) => {
            // SAFETY: the slot of a vnet that has nothing of ours yet.
            unsafe { *sys::ovs_vnet_slot() = Box::into_raw(state).cast() };
            0
        }
        Err(errno) => errno.freebsd(),
    }
}

/// A vnet ends, or the module goes. It has no sockets left, or no datapaths.
#[unsafe(no_mangle)]
extern "C" fn ovs_vnet_uninit(dying: bool) {
    // SAFETY: the slot holds null or what `ovs_vnet_init` put there, and nobody else looks at it any more: no socket
    // is there to ask, or no interface to depart.
    let state = unsafe {
        let slot = sys::ovs_vnet_slot();
        let state = (*slot).cast::<State>();
        if state.is_null() {
            return;
        }
        // Interfaces that go now are no more our vnet's to tell of.
        *slot = null_mut();
        Box::from_raw(state)
    };
    state.ovs.shut_down();
    state.pfnl.end(dying);
}

/// An interface is being detached from its vnet: its port goes.
#[unsafe(no_mangle)]
unsafe extern "C" fn ovs_departed(state: *mut c_void, device: *mut sys::ovs_device, ifindex: u32) {
    // SAFETY: C has found the device by its interface, and its vnet is not the one that ends: that one's ports have been
    // closed. Departures are serialised with each other and with a vnet's end by the kernel.
    unsafe {
        (*device.cast::<Device>()).depart();
        if let Some(state) = state.cast::<State>().as_ref() {
            state.ovs.interface_gone(ifindex);
        }
    }
}
