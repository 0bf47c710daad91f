//! The FreeBSD kernel as pfnl's platform: memory, locks, epochs, the clock, panics, and bindings to what the modules
//! call. One of the named boundary crates: `unsafe` is allowed here, each block with its reason.
//!
//! Rules: malloc(9), mutex(9), sx(9), epoch(9), panic(9), and the headers themselves through bindgen.
#![no_std]

extern crate alloc;

mod lock;
mod memory;
mod platform;
mod section;

pub use lock::{Held, Mtx, Sx};
pub use platform::Kernel;
pub use section::{Section, in_epoch};

/// The kernel's own declarations and the glue's, made at build time; sizes and offsets are asserted in them.
#[allow(missing_docs, non_camel_case_types, non_upper_case_globals, non_snake_case, dead_code, clippy::all)]
#[allow(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn, unnecessary_transmutes)]
pub mod sys {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
