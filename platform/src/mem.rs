//! Fallible allocation: `Box` and a reference count that answer ENOMEM instead of aborting.

use crate::{Errno, Result};
use alloc::alloc::{Layout, alloc, dealloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

/// Boxes a value, or gives it up with `ENOMEM`.
///
/// # Errors
/// `ENOMEM`.
pub fn try_box<T>(value: T) -> Result<Box<T>> {
    let layout = Layout::new::<T>();
    let place = if layout.size() == 0 {
        NonNull::dangling()
    } else {
        // SAFETY: the layout's size is not zero.
        NonNull::new(unsafe { alloc(layout) }.cast::<T>()).ok_or(Errno::ENOMEM)?
    };
    // SAFETY: `place` is valid for writes of T (fresh from the allocator, or dangling and aligned for a
    // zero-sized T), and Box's documented memory layout is exactly such a pointer.
    unsafe {
        place.as_ptr().write(value);
        Ok(Box::from_raw(place.as_ptr()))
    }
}

/// `Vec::push` that can fail.
///
/// # Errors
/// `ENOMEM`.
pub fn try_push<T>(vec: &mut Vec<T>, value: T) -> Result<()> {
    vec.try_reserve(1)?;
    vec.push(value);
    Ok(())
}

/// `slice::to_vec` that can fail; the vector has no spare capacity.
///
/// # Errors
/// `ENOMEM`.
pub fn try_to_vec<T: Copy>(slice: &[T]) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(slice.len())?;
    vec.extend_from_slice(slice);
    Ok(vec)
}

/// A reference-counted value, as `Arc`, with an allocation that can fail. There are no weak references.
///
/// # Invariants
/// `inner` points to a live `Inner` whose count is the number of `Shared` that point to it.
pub struct Shared<T> {
    inner: NonNull<Inner<T>>,
    owns: PhantomData<Inner<T>>,
}

struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

// SAFETY: as for Arc: the value is shared between threads (Sync) and dropped on whichever is last (Send).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above; `&Shared` can be cloned into a `Shared`.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Moves a value into shared memory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_new(value: T) -> Result<Shared<T>> {
        let inner = Box::into_raw(try_box(Inner { count: AtomicUsize::new(1), value })?);
        // SAFETY: a box is never null.
        Ok(Shared { inner: unsafe { NonNull::new_unchecked(inner) }, owns: PhantomData })
    }

    /// Whether two handles are of the same value.
    pub fn same(a: &Shared<T>, b: &Shared<T>) -> bool {
        a.inner == b.inner
    }

    /// How many handles there are; only a hint when other threads hold some.
    pub fn handles(this: &Shared<T>) -> usize {
        // SAFETY: invariant of Shared. Relaxed: a hint orders nothing.
        unsafe { this.inner.as_ref() }.count.load(Ordering::Relaxed)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        // SAFETY: invariant of Shared. Relaxed: whoever clones holds a handle, so the value is published to it;
        // the count cannot overflow, as each handle takes a word of memory.
        unsafe { self.inner.as_ref() }.count.fetch_add(1, Ordering::Relaxed);
        Shared { inner: self.inner, owns: PhantomData }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: invariant of Shared.
        &unsafe { self.inner.as_ref() }.value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: invariant of Shared. Release: our use of the value happens before the last handle frees it.
        if unsafe { self.inner.as_ref() }.count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        // SAFETY: the count was one, so this was the last handle; the memory came from try_box with this layout.
        unsafe {
            self.inner.as_ptr().drop_in_place();
            dealloc(self.inner.as_ptr().cast(), Layout::new::<Inner<T>>());
        }
    }
}

impl<T: core::fmt::Debug> core::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;

    #[test]
    fn last_handle_drops_the_value() {
        let probe = Arc::new(());
        let a = Shared::try_new(Arc::clone(&probe)).unwrap();
        let b = a.clone();
        assert!(Shared::same(&a, &b));
        drop(a);
        assert_eq!(Arc::strong_count(&probe), 2);
        drop(b);
        assert_eq!(Arc::strong_count(&probe), 1);
    }

    #[test]
    fn boxes_of_any_size() {
        assert_eq!(*try_box([7u8; 300]).unwrap(), [7u8; 300]);
        assert_eq!(*try_box(()).unwrap(), ());
        assert_eq!(try_to_vec(&[1, 2, 3]).unwrap(), [1, 2, 3]);
    }
}
