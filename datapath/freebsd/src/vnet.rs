//! The families of each virtual network stack, and their end.

use crate::count;
use crate::device::Device;
use crate::packet::Mbuf;
use crate::ports::Ports;
use crate::registry::Pfnl;
use crate::sys;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};
use pfnl_kernel::{Kernel, sys as kernel};
use pfnl_ovs::Ovs;
use pfnl_platform::{Errno, Result, Shared, try_box, try_push};

/// What there is of us in a vnet.
struct State {
    ovs: Shared<Ovs<Kernel, Mbuf>>,
    pfnl: Pfnl,
}

/// The vnets that have a state. A module that goes has to leave their domains with no lock of the kernel's held: that
/// waits for requests, which in their turn wait for such locks.
struct Everywhere {
    lock: AtomicBool,
    states: UnsafeCell<Vec<Shared<State>>>,
}

// SAFETY: the states are touched only by who has set the lock.
unsafe impl Sync for Everywhere {}

static EVERYWHERE: Everywhere =
    Everywhere { lock: AtomicBool::new(false), states: UnsafeCell::new(Vec::new()) };

impl Everywhere {
    /// Vnets come and go one at a time, and seldom: who meets another waits a moment.
    fn with<R>(&self, work: impl FnOnce(&mut Vec<Shared<State>>) -> R) -> R {
        while self.lock.swap(true, Ordering::Acquire) {
            // SAFETY: sleeps; the callers may.
            unsafe { kernel::pfnl_pause() };
        }
        // SAFETY: the lock is ours.
        let result = work(unsafe { &mut *self.states.get() });
        self.lock.store(false, Ordering::Release);
        result
    }
}

fn begin() -> Result<Box<Shared<State>>> {
    if count::is_stopping() {
        return Err(Errno::ENODEV);
    }
    let pfnl = Pfnl::hold()?;
    let ovs = Ovs::register(&pfnl, try_box(Ports::try_new()?)?)?;
    pfnl_nfnetlink::register(&pfnl, ovs.conntrack())?;
    let state = Shared::try_new(State { ovs, pfnl })?;
    EVERYWHERE.with(|states| try_push(states, state.clone()))?;
    try_box(state)
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

/// Once a second: connections whose time is over go, also where no new ones come.
#[unsafe(no_mangle)]
extern "C" fn ovs_tick() {
    for index in 0.. {
        let Some(state) = EVERYWHERE.with(|states| states.get(index).cloned()) else { break };
        state.ovs.tick();
    }
}

/// The module goes, and nothing is open: the families leave all domains.
#[unsafe(no_mangle)]
extern "C" fn ovs_retreat() {
    let states = EVERYWHERE.with(core::mem::take);
    for state in states {
        state.pfnl.end(false);
    }
}

/// A vnet ends, or the module goes. It has no sockets left, or no datapaths.
#[unsafe(no_mangle)]
extern "C" fn ovs_vnet_uninit() {
    // SAFETY: the slot holds null or what `ovs_vnet_init` put there, and nobody else looks at it any more: no socket
    // is there to ask, or no interface to depart.
    let state = unsafe {
        let slot = sys::ovs_vnet_slot();
        let state = (*slot).cast::<Shared<State>>();
        if state.is_null() {
            return;
        }
        // Interfaces that go now are no more our vnet's to tell of.
        *slot = null_mut();
        Box::from_raw(state)
    };
    EVERYWHERE.with(|states| {
        states.retain(|other| !Shared::same(other, &state));
        if states.is_empty() {
            *states = Vec::new();
        }
    });
    state.ovs.shut_down();
    // Where the module goes there is nothing left to do. A vnet that ends has nobody left to ask.
    state.pfnl.end(true);
}

/// An interface is being detached from its vnet: its port goes.
#[unsafe(no_mangle)]
unsafe extern "C" fn ovs_departed(state: *mut c_void, device: *mut sys::ovs_device, ifindex: u32) {
    // SAFETY: C has found the device by its interface, and its vnet is not the one that ends: that one's ports have been
    // closed. Departures are serialised with each other and with a vnet's end by the kernel.
    unsafe {
        (*device.cast::<Device>()).depart();
        if let Some(state) = state.cast::<Shared<State>>().as_ref() {
            state.ovs.interface_gone(ifindex);
        }
    }
}
