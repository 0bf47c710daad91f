//! The cores' platform, for one processor.

use crate::kernel::pfnl_number;
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};
use pfnl_platform::{Mutex, Platform, Result, Retired};

/// A kernel.
pub enum Kernel {}

/// A read-side section, which a single processor needs not announce.
pub struct Section;

impl Platform for Kernel {
    type Mutex<T: Send> = Spin<T>;
    type SleepMutex<T: Send> = Spin<T>;
    type Guard = Section;

    fn enter() -> Section {
        Section
    }

    fn retire(object: Retired) {
        // Never run; what is retired would be freed by a later epoch.
        core::mem::forget(object);
    }

    fn now() -> u64 {
        pfnl_number()
    }

    fn cpu() -> usize {
        0
    }

    fn cpus() -> usize {
        1
    }

    fn random(out: &mut [u8]) {
        out.fill(pfnl_number() as u8);
    }
}

/// A spin lock.
///
/// # Invariants
/// `value` is touched only by the holder of `held`.
pub struct Spin<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time.
unsafe impl<T: Send> Send for Spin<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Spin<T> {}

/// The lock, held.
pub struct Held<'a, T>(&'a Spin<T>);

impl<T: Send> Mutex<T> for Spin<T> {
    type Guard<'a>
        = Held<'a, T>
    where
        T: 'a;

    fn try_new(_: &'static CStr, value: T) -> Result<Spin<T>> {
        Ok(Spin { held: AtomicBool::new(false), value: UnsafeCell::new(value) })
    }

    fn lock(&self) -> Held<'_, T> {
        while self.held.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        Held(self)
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: invariant of Spin: `held` is ours.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: invariant of Spin: `held` is ours.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.0.held.store(false, Ordering::Release);
    }
}
