//! A pointer that readers follow without a lock.
//!
//! A writer, serialised by a lock of its own, builds a new value in an [`RcuBox`] (the only step that can fail),
//! then [`RcuCell::store`]s it; the old one is handed to [`Platform::retire`] and freed once no reader that
//! could have seen it is left.

use crate::{Platform, Result, try_box};
use alloc::boxed::Box;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

/// Room in front of every value for the platform's deferred-free node (`struct epoch_context` is two words).
type Node = [usize; 4];

/// The allocation behind a cell. `repr(C)`: [`Retired`] finds the header without knowing T.
#[repr(C)]
struct Inner<T> {
    header: Header,
    value: T,
}

#[repr(C)]
struct Header {
    node: Node,
    free: unsafe fn(NonNull<Header>),
}

unsafe fn free<T>(header: NonNull<Header>) {
    // SAFETY: `free::<T>` is stored only in headers of `Inner<T>`, whose first field the header is, and the caller
    // owns the allocation (it came from a Box).
    drop(unsafe { Box::from_raw(header.cast::<Inner<T>>().as_ptr()) });
}

/// A value ready to be stored in an [`RcuCell`].
pub struct RcuBox<T>(Box<Inner<T>>);

impl<T> RcuBox<T> {
    /// Moves a value to where readers will find it.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_new(value: T) -> Result<RcuBox<T>> {
        Ok(RcuBox(try_box(Inner { header: Header { node: [0; 4], free: free::<T> }, value })?))
    }

    /// The value back again.
    pub fn into_inner(self) -> T {
        self.0.value
    }
}

impl<T> Deref for RcuBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> DerefMut for RcuBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.value
    }
}

/// An object that no new reader can reach, on its way to be freed. Dropping it leaks it (safe, but a leak).
///
/// # Invariants
/// Owns the allocation whose header it points to; the value in it is `Send`.
#[must_use]
pub struct Retired(NonNull<Header>);

// SAFETY: invariant: the value may be dropped on any thread.
unsafe impl Send for Retired {}

impl Retired {
    /// Where the platform may keep its deferred-free node: four words at this address, the object's until freed.
    pub fn node(&self) -> NonNull<[usize; 4]> {
        self.0.cast()
    }

    /// Forgets the handle, for a platform that finds the object again by its node.
    pub fn into_node(self) -> NonNull<[usize; 4]> {
        self.0.cast()
    }

    /// The handle back from [`Retired::into_node`].
    ///
    /// # Safety
    /// `node` came from `into_node` and is turned back once.
    pub unsafe fn from_node(node: NonNull<[usize; 4]>) -> Retired {
        Retired(node.cast())
    }

    /// Drops the value and frees its memory.
    ///
    /// # Safety
    /// No read-side critical section is left that was entered before the object was retired.
    pub unsafe fn free(self) {
        // SAFETY: invariant of Retired; the caller vouches that no reader is left.
        unsafe { (self.0.as_ref().free)(self.0) }
    }
}

/// A place for one value, or none, that is read without a lock.
///
/// # Invariants
/// `place` is null or owns an `Inner<T>` that came from an [`RcuBox`].
pub struct RcuCell<P: Platform, T: Send + Sync + 'static> {
    place: AtomicPtr<Inner<T>>,
    owns: PhantomData<Box<T>>,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform, T: Send + Sync + 'static> RcuCell<P, T> {
    /// A cell with a value, or an empty one.
    pub fn new(value: Option<RcuBox<T>>) -> RcuCell<P, T> {
        RcuCell { place: AtomicPtr::new(into_raw(value)), owns: PhantomData, platform: PhantomData }
    }

    /// The value as a reader sees it, for as long as its critical section lasts.
    #[inline]
    pub fn load<'g>(&'g self, _section: &'g P::Guard) -> Option<&'g T> {
        // Acquire pairs with the release of `store`: the value's contents are visible with the pointer.
        let inner = self.place.load(Ordering::Acquire);
        // SAFETY: invariant of RcuCell; `retire` does not free before the section we are in has ended, and
        // dropping the cell needs it unborrowed.
        NonNull::new(inner).map(|inner| &unsafe { inner.as_ref() }.value)
    }

    /// Puts a value (or nothing) in place; the old one is freed when its readers are gone.
    pub fn store(&self, value: Option<RcuBox<T>>) {
        // Release publishes the new value; acquire makes the old one ours to retire.
        let old = self.place.swap(into_raw(value), Ordering::AcqRel);
        if let Some(old) = NonNull::new(old) {
            P::retire(Retired(old.cast()));
        }
    }

    /// Access without a section, when nobody else can have any.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: invariant of RcuCell, and the borrow is exclusive.
        NonNull::new(*self.place.get_mut()).map(|mut inner| &mut unsafe { inner.as_mut() }.value)
    }
}

impl<P: Platform, T: Send + Sync + 'static> Drop for RcuCell<P, T> {
    fn drop(&mut self) {
        if let Some(inner) = NonNull::new(*self.place.get_mut()) {
            // SAFETY: invariant of RcuCell; readers borrow the cell, so there are none.
            drop(unsafe { Box::from_raw(inner.as_ptr()) });
        }
    }
}

fn into_raw<T>(value: Option<RcuBox<T>>) -> *mut Inner<T> {
    value.map_or(ptr::null_mut(), |value| Box::into_raw(value.0))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::User;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn readers_see_whole_values_while_a_writer_replaces_them() {
        let cell = Arc::new(RcuCell::<User, [u64; 8]>::new(Some(RcuBox::try_new([0; 8]).unwrap())));
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (cell, stop) = (Arc::clone(&cell), Arc::clone(&stop));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let section = User::enter();
                        let value = cell.load(&section).unwrap();
                        assert!(value.iter().all(|&word| word == value[0]));
                    }
                })
            })
            .collect();
        for n in 1..2_000 {
            cell.store(Some(RcuBox::try_new([n; 8]).unwrap()));
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }

    #[test]
    fn dropping_a_cell_drops_its_value() {
        let probe = Arc::new(());
        let cell = RcuCell::<User, _>::new(Some(RcuBox::try_new(Arc::clone(&probe)).unwrap()));
        drop(cell);
        assert_eq!(Arc::strong_count(&probe), 1);
    }
}
