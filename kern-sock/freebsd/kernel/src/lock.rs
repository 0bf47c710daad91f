//! mtx(9) and sx(9) around values.

use crate::sys;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use pfnl_platform::{Errno, Mutex, Result};

/// A kind of lock of the kernel.
///
/// # Safety
/// After `init`, `lock` and `unlock` admit one thread at a time.
pub unsafe trait Lock {
    /// The kernel's structure.
    type Raw;
    /// Prepares zeroed memory.
    ///
    /// # Safety
    /// The memory is zeroed and stays where it is until `destroy`.
    unsafe fn init(raw: *mut Self::Raw, name: &'static CStr);
    /// Undoes `init`.
    ///
    /// # Safety
    /// Initialised, not locked, not used afterwards.
    unsafe fn destroy(raw: *mut Self::Raw);
    /// Waits for the lock.
    ///
    /// # Safety
    /// Initialised, not locked by this thread.
    unsafe fn lock(raw: *mut Self::Raw);
    /// Gives the lock back.
    ///
    /// # Safety
    /// Locked by this thread.
    unsafe fn unlock(raw: *mut Self::Raw);
}

/// mtx(9): the holder must not sleep.
pub enum MtxKind {}
/// sx(9), exclusive: the holder may sleep.
pub enum SxKind {}

/// `__FILE__` for WITNESS; a lock's name tells more.
const FILE: &CStr = c"pfnl";

// SAFETY: mutex(9): MTX_DEF mutexes exclude each other.
unsafe impl Lock for MtxKind {
    type Raw = sys::mtx;

    unsafe fn init(raw: *mut sys::mtx, name: &'static CStr) {
        // SAFETY: the caller's memory is zeroed; a name that lives as long as the module does. MTX_DEF is 0.
        unsafe { sys::_mtx_init((&raw mut (*raw).mtx_lock).cast(), name.as_ptr(), core::ptr::null(), 0) }
    }

    unsafe fn destroy(raw: *mut sys::mtx) {
        // SAFETY: the caller's.
        unsafe { sys::_mtx_destroy((&raw mut (*raw).mtx_lock).cast()) }
    }

    unsafe fn lock(raw: *mut sys::mtx) {
        // SAFETY: the caller's.
        unsafe { sys::__mtx_lock_flags((&raw mut (*raw).mtx_lock).cast(), 0, FILE.as_ptr(), 0) }
    }

    unsafe fn unlock(raw: *mut sys::mtx) {
        // SAFETY: the caller's.
        unsafe { sys::__mtx_unlock_flags((&raw mut (*raw).mtx_lock).cast(), 0, FILE.as_ptr(), 0) }
    }
}

// SAFETY: sx(9): exclusive locks exclude each other.
unsafe impl Lock for SxKind {
    type Raw = sys::sx;

    unsafe fn init(raw: *mut sys::sx, name: &'static CStr) {
        // SAFETY: as for a mutex.
        unsafe { sys::sx_init_flags(raw, name.as_ptr(), 0) }
    }

    unsafe fn destroy(raw: *mut sys::sx) {
        // SAFETY: the caller's.
        unsafe { sys::sx_destroy(raw) }
    }

    unsafe fn lock(raw: *mut sys::sx) {
        // SAFETY: the caller's. Without SX_INTERRUPTIBLE it always succeeds.
        unsafe { sys::_sx_xlock(raw, 0, FILE.as_ptr(), 0) };
    }

    unsafe fn unlock(raw: *mut sys::sx) {
        // SAFETY: the caller's.
        unsafe { sys::_sx_xunlock(raw, FILE.as_ptr(), 0) }
    }
}

/// A lock of the kernel around a value. The kernel's structure has a place of its own, as it must not move.
///
/// # Invariants
/// `raw` is initialised and ours; `value` is touched only by the lock's holder.
pub struct Locked<K: Lock, T> {
    raw: NonNull<K::Raw>,
    value: UnsafeCell<T>,
}

/// mtx(9) around a value.
pub type Mtx<T> = Locked<MtxKind, T>;
/// sx(9) around a value.
pub type Sx<T> = Locked<SxKind, T>;

// SAFETY: the lock hands the value to one thread at a time, and nothing of it belongs to a thread.
unsafe impl<K: Lock, T: Send> Send for Locked<K, T> {}
// SAFETY: as above.
unsafe impl<K: Lock, T: Send> Sync for Locked<K, T> {}

/// A lock, held. It stays on its thread.
pub struct Held<'a, K: Lock, T> {
    lock: &'a Locked<K, T>,
    here: PhantomData<*mut ()>,
}

impl<K: Lock, T: Send> Mutex<T> for Locked<K, T> {
    type Guard<'a>
        = Held<'a, K, T>
    where
        Self: 'a;

    fn try_new(name: &'static CStr, value: T) -> Result<Self> {
        // SAFETY: the kernel's locks are not zero-sized.
        let raw = unsafe { alloc_zeroed(Layout::new::<K::Raw>()) };
        let raw = NonNull::new(raw.cast::<K::Raw>()).ok_or(Errno::ENOMEM)?;
        // SAFETY: zeroed, and in its place until `drop`.
        unsafe { K::init(raw.as_ptr(), name) };
        Ok(Locked { raw, value: UnsafeCell::new(value) })
    }

    fn lock(&self) -> Held<'_, K, T> {
        // SAFETY: invariant. The cores take no lock twice; WITNESS would say.
        unsafe { K::lock(self.raw.as_ptr()) };
        Held { lock: self, here: PhantomData }
    }
}

impl<K: Lock, T> Drop for Locked<K, T> {
    fn drop(&mut self) {
        // SAFETY: invariant; a guard would borrow the lock. The memory came from alloc_zeroed with this layout.
        unsafe {
            K::destroy(self.raw.as_ptr());
            dealloc(self.raw.as_ptr().cast(), Layout::new::<K::Raw>());
        }
    }
}

impl<K: Lock, T> Deref for Held<'_, K, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is ours.
        unsafe { &*self.lock.value.get() }
    }
}

impl<K: Lock, T> DerefMut for Held<'_, K, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is ours.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<K: Lock, T> Drop for Held<'_, K, T> {
    fn drop(&mut self) {
        // SAFETY: the lock is ours, and a guard does not leave its thread.
        unsafe { K::unlock(self.lock.raw.as_ptr()) }
    }
}
