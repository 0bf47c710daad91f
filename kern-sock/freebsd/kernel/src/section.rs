//! Read-side sections: the network stack's epoch(9) for packets, a count of readers for requests.
//!
//! epoch(9) wants its tracker on the kernel's stack and unmoved, while a section here is a value that moves. So packets
//! come in with the epoch entered, and work that sends packets is done by [`in_epoch`]; a section of theirs has nothing to
//! do. Any other reader (a request, a dump) is counted, and what is retired is freed neither before the epoch has
//! passed nor while such a reader is there. Those sections are short and sleep as little as others.

use crate::sys;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Readers outside of the epoch.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// A read-side section, which stays on its thread.
pub struct Section {
    counted: bool,
    here: PhantomData<*mut ()>,
}

impl Section {
    /// Enters, unless the thread is inside already.
    pub fn enter() -> Section {
        // SAFETY: asks about the current thread.
        let counted = !unsafe { sys::pfnl_epoch_held() };
        if counted {
            // Sequentially consistent, as in `are_there_readers`: who frees sees us, or we see that it is unlinked.
            READERS.fetch_add(1, Ordering::SeqCst);
        }
        Section { counted, here: PhantomData }
    }

    /// The section that the caller is in already: packets come in with the epoch entered.
    ///
    /// # Safety
    /// The thread is inside the net epoch for as long as this lives.
    #[inline]
    pub unsafe fn entered() -> Section {
        Section { counted: false, here: PhantomData }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if self.counted {
            READERS.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Whether what was unlinked before may still be read outside of the epoch.
pub(crate) fn are_there_readers() -> bool {
    READERS.load(Ordering::SeqCst) > 0
}

/// Does something inside the net epoch. It must not sleep.
pub fn in_epoch<R>(work: impl FnOnce() -> R) -> R {
    struct Job<W, R>(Option<W>, Option<R>);
    unsafe extern "C" fn run<W: FnOnce() -> R, R>(job: *mut c_void) {
        // SAFETY: the job below, on the stack of the same thread.
        let job = unsafe { &mut *job.cast::<Job<W, R>>() };
        job.1 = job.0.take().map(|work| work());
    }
    fn start<W: FnOnce() -> R, R>(job: &mut Job<W, R>) {
        // SAFETY: calls the function once, with the job, before it returns.
        unsafe { sys::pfnl_epoch_run(Some(run::<W, R>), (&raw mut *job).cast()) }
    }
    let mut job = Job(Some(work), None);
    start(&mut job);
    match job.1 {
        Some(result) => result,
        None => panic!("the epoch's work was not done"),
    }
}
