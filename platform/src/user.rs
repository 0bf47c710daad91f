//! The user-space platform: std's mutex, crossbeam's epochs, the monotonic clock.

use crate::{Mutex, Platform, Result, Retired};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{MutexGuard, OnceLock, PoisonError};

/// pfnl in a process.
#[derive(Clone, Copy, Debug)]
pub enum User {}

impl Platform for User {
    type Mutex<T: Send> = std::sync::Mutex<T>;
    type SleepMutex<T: Send> = std::sync::Mutex<T>;
    type Guard = crossbeam_epoch::Guard;

    fn enter() -> Self::Guard {
        crossbeam_epoch::pin()
    }

    fn retire(object: Retired) {
        let section = crossbeam_epoch::pin();
        // SAFETY: the closure runs when every thread pinned before now has unpinned, which is what `free` asks;
        // `Retired` is Send, and crossbeam may run the closure on another thread.
        unsafe { section.defer_unchecked(move || object.free()) };
    }

    fn now() -> u64 {
        // CLOCK_MONOTONIC itself, not a time since the start: other programs compare what we report with theirs.
        let now = clock_gettime(ClockId::Monotonic);
        let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    fn time_of_day() -> u64 {
        let now = clock_gettime(ClockId::Realtime);
        let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        u64::try_from(nanoseconds).unwrap_or(0)
    }

    fn cpu() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static CPU: Cell<usize> = const { Cell::new(usize::MAX) });
        CPU.with(|cpu| {
            if cpu.get() == usize::MAX {
                // Relaxed: only the number counts.
                cpu.set(NEXT.fetch_add(1, Ordering::Relaxed) % Self::cpus());
            }
            cpu.get()
        })
    }

    fn cpus() -> usize {
        static CPUS: OnceLock<usize> = OnceLock::new();
        *CPUS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn random(out: &mut [u8]) {
        // Fails only where the kernel has no generator at all; nothing keyed may run there.
        getrandom::fill(out).expect("the system's random generator");
    }
}

impl<T: Send> Mutex<T> for std::sync::Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn try_new(_name: &'static CStr, value: T) -> Result<Self> {
        Ok(std::sync::Mutex::new(value))
    }

    fn lock(&self) -> Self::Guard<'_> {
        // The cores do not panic under a lock; a test that does has told its story already.
        std::sync::Mutex::lock(self).unwrap_or_else(PoisonError::into_inner)
    }
}
