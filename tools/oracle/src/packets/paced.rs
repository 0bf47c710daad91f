//! The user-space platform with a clock that only moves when it is told to, and one processor, as the guest has.

use pfnl_platform::{Platform, Retired, User};
use std::cell::Cell;

/// pfnl in a process whose time is the test's.
#[derive(Clone, Copy, Debug)]
pub enum Paced {}

thread_local!(static NOW: Cell<u64> = const { Cell::new(1_000_000_000_000) });

impl Paced {
    /// Lets time pass on this thread.
    pub fn advance(nanoseconds: u64) {
        NOW.set(NOW.get() + nanoseconds);
    }
}

impl Platform for Paced {
    type Mutex<T: Send> = <User as Platform>::Mutex<T>;
    type SleepMutex<T: Send> = <User as Platform>::SleepMutex<T>;
    type Guard = <User as Platform>::Guard;

    fn enter() -> Self::Guard {
        User::enter()
    }

    fn retire(object: Retired) {
        User::retire(object);
    }

    fn now() -> u64 {
        NOW.get()
    }

    fn time_of_day() -> u64 {
        User::time_of_day()
    }

    fn cpu() -> usize {
        0
    }

    fn cpus() -> usize {
        1
    }

    fn random(out: &mut [u8]) {
        User::random(out);
    }
}
