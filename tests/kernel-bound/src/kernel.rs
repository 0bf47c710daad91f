//! What a kernel gives: memory, input, a place for output. Only declared, as nothing here is ever run.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use pfnl_platform::Result;

unsafe extern "C" {
    fn pfnl_malloc(size: usize, align: usize) -> *mut u8;
    fn pfnl_free(place: *mut u8);
    fn pfnl_input(out: *mut u8, capacity: usize);
    fn pfnl_output(word: usize);
    safe fn pfnl_panic() -> !;
    /// A number the compiler cannot know.
    pub safe fn pfnl_number() -> u64;
}

struct Malloc;

#[global_allocator]
static MALLOC: Malloc = Malloc;

// SAFETY: malloc(9)'s contract is GlobalAlloc's: null, or a place of the size and alignment asked for.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: takes any size and alignment.
        unsafe { pfnl_malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, place: *mut u8, _: Layout) {
        // SAFETY: the caller's place came from `alloc`.
        unsafe { pfnl_free(place) }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    pfnl_panic()
}

/// Bytes the compiler cannot know.
pub fn input(out: &mut Vec<u8>) -> Result<()> {
    out.try_reserve_exact(2048)?;
    out.resize(2048, 0);
    // SAFETY: the vector has that many bytes.
    unsafe { pfnl_input(out.as_mut_ptr(), out.len()) };
    Ok(())
}

/// Makes the compiler believe that a word matters.
pub fn output(word: usize) {
    // SAFETY: takes any word.
    unsafe { pfnl_output(word) }
}
