//! What a platform must give pfnl's cores, and what stable Rust does not give a kernel.
//!
//! The cores (`pfnl-proto`, `pfnl-sock`, `pfnl-datapath`, `pfnl-ovs`) are `no_std`, hold no `unsafe` and never
//! panic on memory exhaustion. This crate is the one they all stand on:
//!
//! - [`Errno`]: what goes wrong, by name; the number depends on whom it is told.
//! - [`Platform`]: clock, processor number, [`Mutex`], read-side critical sections.
//! - [`Shared`], [`try_box`]: reference counting and boxes whose allocation can fail.
//! - [`RcuCell`]: a pointer read without a lock and replaced by writers (epoch(9) in the FreeBSD kernel,
//!   crossbeam's epochs in user space).
//!
//! It is one of the named boundary crates: `unsafe` is allowed here, each block with its reason.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod errno;
mod mem;
mod rcu;
#[cfg(feature = "std")]
mod user;

pub use errno::Errno;
pub use mem::{Shared, try_box, try_push, try_to_vec};
pub use rcu::{RcuBox, RcuCell, Retired};
#[cfg(feature = "std")]
pub use user::User;

/// What can fail here fails with an errno, unless said otherwise.
pub type Result<T, E = Errno> = core::result::Result<T, E>;

/// The services of the place the cores run in. All are associated functions: a binary has one platform.
pub trait Platform: Send + Sync + Sized + 'static {
    /// A lock whose holder must not sleep (mtx(9) in the kernel): queues, tables, anything the packet path takes.
    type Mutex<T: Send>: Mutex<T>;
    /// A lock whose holder may sleep (sx(9) in the kernel): one request at a time, opening of ports.
    type SleepMutex<T: Send>: Mutex<T>;
    /// Proof of being inside a read-side critical section; the section ends when it is dropped.
    type Guard;

    /// Enters a read-side critical section. Sections nest; nothing may sleep inside.
    fn enter() -> Self::Guard;

    /// Hands over an unlinked object, to be freed when every section entered before now has ended.
    fn retire(object: Retired);

    /// The system's monotonic time in nanoseconds (`CLOCK_MONOTONIC`, what other programs read); never 0.
    fn now() -> u64;

    /// The time of day in nanoseconds since 1970; 0 where nobody tells.
    fn time_of_day() -> u64 {
        0
    }

    /// The number of the processor (or forwarding thread) this runs on, below [`Platform::cpus`].
    fn cpu() -> usize;

    /// How many different values [`Platform::cpu`] can give.
    fn cpus() -> usize;

    /// Fills `out` with random bytes, unpredictable to an attacker.
    fn random(out: &mut [u8]);
}

/// A lock around a value.
pub trait Mutex<T>: Send + Sync + Sized {
    /// Access to the value while the lock is held.
    type Guard<'a>: core::ops::DerefMut<Target = T>
    where
        Self: 'a;

    /// Makes a lock; `name` is what lock-order checkers print.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn try_new(name: &'static core::ffi::CStr, value: T) -> Result<Self>;

    /// Waits for the lock.
    fn lock(&self) -> Self::Guard<'_>;
}
