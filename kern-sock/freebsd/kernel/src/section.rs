//! Read-side sections: the network stack's epoch(9).
//!
//! A thread in the epoch is known by a tracker that must not move, while a guard may. Packets come in with the epoch
//! entered; who else reads takes a tracker from a pool.

use crate::sys;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};

/// Trackers there are. A section does not sleep, so few exist at a time: one for each processor, and those of
/// threads that were preempted.
const TRACKERS: usize = 256;

struct Pool {
    /// A bit for each tracker in use.
    used: [AtomicU64; TRACKERS / 64],
    trackers: [UnsafeCell<MaybeUninit<sys::epoch_tracker>>; TRACKERS],
}

// SAFETY: a tracker is touched only by who set its bit.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool {
    used: [const { AtomicU64::new(0) }; TRACKERS / 64],
    trackers: [const { UnsafeCell::new(MaybeUninit::uninit()) }; TRACKERS],
};

/// A read-side section, which stays on its thread.
pub struct Section {
    tracker: Option<usize>,
    here: PhantomData<*mut ()>,
}

impl Section {
    /// Enters, unless the thread is inside already.
    pub fn enter() -> Section {
        // SAFETY: asks about the current thread.
        let held = unsafe { sys::pfnl_epoch_held() };
        let tracker = (!held).then(take);
        if let Some(tracker) = tracker.and_then(|index| POOL.trackers.get(index)) {
            // SAFETY: the tracker is ours and stays where it is.
            unsafe { sys::pfnl_epoch_enter(tracker.get().cast()) };
        }
        Section { tracker, here: PhantomData }
    }

    /// The section that the caller is in already: packets come in with the epoch entered.
    ///
    /// # Safety
    /// The thread is inside the net epoch for as long as this lives.
    #[inline]
    pub unsafe fn entered() -> Section {
        Section { tracker: None, here: PhantomData }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        let Some(index) = self.tracker else { return };
        if let Some(tracker) = POOL.trackers.get(index) {
            // SAFETY: entered with this tracker on this thread.
            unsafe { sys::pfnl_epoch_exit(tracker.get().cast()) };
        }
        if let Some(word) = POOL.used.get(index / 64) {
            // Release: our use of the tracker is over before another's begins.
            word.fetch_and(!(1 << (index % 64)), Ordering::Release);
        }
    }
}

/// A free tracker; waits for one, which a section elsewhere is about to give back.
fn take() -> usize {
    loop {
        for (number, word) in POOL.used.iter().enumerate() {
            // Relaxed: a guess; the exchange below decides.
            let bits = word.load(Ordering::Relaxed);
            let free = bits.trailing_ones();
            if free == 64 {
                continue;
            }
            let mine = 1u64 << free;
            // Acquire pairs with the release of the one before us.
            if word.fetch_or(mine, Ordering::Acquire) & mine == 0 {
                return number * 64 + free as usize;
            }
        }
        spin_loop();
    }
}
