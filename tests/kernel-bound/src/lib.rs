//! The `no_std` cores, put together as a kernel module puts them together: with a platform, an allocator and a
//! panic handler that are not std's. It is linked and measured, never run: see `cargo xtask kernel-bound`.
//!
//! Generic code exists only where it is used, so [`pfnl_kernel_bound`] uses the cores' entry points, on values the
//! compiler cannot know.
#![no_std]

extern crate alloc;

mod inject;
mod interfaces;
mod kernel;
mod platform;
mod sockets;

use alloc::vec::Vec;
use pfnl_ovs::Ovs;
use pfnl_platform::{Result, try_box};
use pfnl_sock::Domain;
pub use platform::Kernel;

/// What the linker keeps: everything that can be reached from here.
#[unsafe(no_mangle)]
pub extern "C" fn pfnl_kernel_bound() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(errno) => errno.linux(),
    }
}

fn run() -> Result<()> {
    let mut input = Vec::new();
    kernel::input(&mut input)?;
    inject::inject(&input);
    let domain = Domain::try_new()?;
    let ovs = Ovs::register(&domain, try_box(interfaces::Interfaces)?)?;
    pfnl_nfnetlink::register(&domain, ovs.conntrack())?;
    sockets::run(&domain, &input)?;
    ovs.conntrack().tick();
    ovs.interface_gone(kernel::pfnl_number() as u32);
    kernel::output(ovs.datapaths()?.len());
    ovs.shut_down();
    domain.shut_down();
    Ok(())
}
