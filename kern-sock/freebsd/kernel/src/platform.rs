//! The kernel's clock, processors, chance and deferred freeing.

use crate::lock::{Mtx, Sx};
use crate::section::{Section, are_there_readers};
use crate::sys;
use core::ptr::NonNull;
use pfnl_platform::{Platform, Retired};

/// pfnl in the FreeBSD kernel.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {}

// The node in front of each retired object is where epoch(9) keeps its own.
const _: () = assert!(size_of::<sys::epoch_context>() <= size_of::<[usize; 4]>());
const _: () = assert!(align_of::<sys::epoch_context>() <= align_of::<[usize; 4]>());

impl Platform for Kernel {
    type Mutex<T: Send> = Mtx<T>;
    type SleepMutex<T: Send> = Sx<T>;
    type Guard = Section;

    fn enter() -> Section {
        Section::enter()
    }

    fn retire(object: Retired) {
        let node = object.into_node().cast::<sys::epoch_context>();
        // SAFETY: the node is the kernel's until it calls `free`, once, when every section has ended.
        unsafe { sys::pfnl_epoch_call(Some(free), node.as_ptr()) }
    }

    fn now() -> u64 {
        // SAFETY: reads the clock.
        unsafe { sys::pfnl_uptime() }.max(1)
    }

    fn cpu() -> usize {
        // SAFETY: reads the processor's number.
        unsafe { sys::pfnl_curcpu() as usize }
    }

    fn cpus() -> usize {
        // SAFETY: reads how many processors there are.
        unsafe { sys::pfnl_cpus() as usize }
    }

    fn random(out: &mut [u8]) {
        // SAFETY: fills exactly the slice.
        unsafe { sys::arc4random_buf(out.as_mut_ptr().cast(), out.len() as _) }
    }
}

unsafe extern "C" fn free(context: sys::epoch_context_t) {
    let Some(node) = NonNull::new(context.cast()) else { return };
    if are_there_readers() {
        // Again when the epoch has passed once more; they will be gone.
        // SAFETY: as in `retire`.
        return unsafe { sys::pfnl_epoch_call(Some(free), context) };
    }
    // SAFETY: the node of an object that `retire` handed over; epoch(9) calls once and after all sections.
    unsafe { Retired::from_node(node).free() }
}
