//! malloc(9) as Rust's allocator, and panic(9) as its panic.

use crate::sys;
use core::alloc::{GlobalAlloc, Layout};
use core::fmt::Write;
use core::panic::PanicInfo;

/// malloc(9) with M_NOWAIT: the cores allocate under mutexes and inside epochs, and know what to do when it fails.
struct Malloc;

#[global_allocator]
static MALLOC: Malloc = Malloc;

// SAFETY: malloc(9) and malloc_aligned(9) give null, or memory of that size and alignment that nobody else has.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: takes any size, and any alignment that is a power of two, which a layout's is.
        unsafe { sys::pfnl_malloc(layout.size() as _, layout.align() as _, 0) }.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { sys::pfnl_malloc(layout.size() as _, layout.align() as _, 1) }.cast()
    }

    unsafe fn dealloc(&self, place: *mut u8, _: Layout) {
        // SAFETY: the caller's place came from `alloc`.
        unsafe { sys::pfnl_free(place.cast()) }
    }
}

/// A panic's text: what does not fit is cut.
struct Text {
    bytes: [u8; 256],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(s.bytes()) {
            *to = from;
            self.len += 1;
        }
        Ok(())
    }
}

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    let mut text = Text { bytes: [0; 256], len: 0 };
    // Writing to Text cannot fail.
    let _ = write!(text, "pfnl: {info}");
    // SAFETY: the text is that long.
    unsafe { sys::pfnl_panic(text.bytes.as_ptr().cast(), text.len as _) }
}
