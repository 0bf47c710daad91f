//! What a Debian kernel in QEMU is made of: the oracle asks one what Linux answers, OVS's suite runs in one where the
//! machine's own kernel lacks a device.
//!
//! ```text
//! apt-get download ─▶ vmlinuz, modules, busybox ─▶ initramfs (cpio) ─▶ QEMU
//! ```
//!
//! What is fetched is kept by version, and fetched again only where it is missing.

pub mod initramfs;
mod packages;

pub use packages::Kernel;
use std::fs;
use std::path::Path;

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";

/// QEMU's arguments for the fastest way to run code here: KVM where it can run a kernel that knows nothing of it,
/// emulation elsewhere.
pub fn accelerator() -> [&'static str; 4] {
    let paravirtual = Path::new("/sys/module/kvm_pvm").exists();
    if !paravirtual && fs::File::options().read(true).write(true).open("/dev/kvm").is_ok() {
        ["-accel", "kvm", "-cpu", "host"]
    } else {
        ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"]
    }
}
