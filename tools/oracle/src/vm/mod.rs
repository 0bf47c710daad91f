//! A Debian kernel in QEMU, with nothing in it but its modules, busybox and the agent.
//!
//! ```text
//! apt-get download ─▶ vmlinuz, modules, busybox ┐
//! cargo build (static) ─▶ agent                 ├─▶ initramfs ─▶ QEMU ◀─ virtio-serial, lines ─▶ Guest
//! init: load modules, exec agent                ┘
//! ```
//!
//! Everything is kept under `target/oracle`, by version, and made again only where it is missing.

mod guest;
mod initramfs;

pub use guest::Guest;
pub use pfnl_vm::Kernel;
