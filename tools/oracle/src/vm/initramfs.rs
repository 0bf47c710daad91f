//! The guest's file system.

use anyhow::Result;
use pfnl_vm::Kernel;
use pfnl_vm::initramfs::{self, Archive};
use std::fs;
use std::path::Path;

/// What openvswitch, and what it may be asked to use, is made of. What these need is found in them.
const MODULES: &[&str] = &[
    // Needed through the crypto API, not by a symbol.
    "crc32c_generic",
    "openvswitch",
    "vport_vxlan",
    "vport_geneve",
    "vport_gre",
    "psample",
    "nf_conntrack_ftp",
    "nf_nat_ftp",
    "nf_conntrack_tftp",
    "nf_nat_tftp",
    "dummy",
    "veth",
    "tun",
];

/// Loads the modules in order and becomes the agent. Modules that the kernel asks for are never there: do not look.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
echo > /proc/sys/kernel/modprobe
while read module; do insmod /modules/$module || echo \"oracle: $module does not load\"; done < /modules/order
ip link set lo up
while [ ! -c /dev/vport0p1 ]; do sleep 0.05; done
exec /agent /dev/vport0p1
";

/// Writes the archive.
pub fn build(kernel: &Kernel, agent: &Path, to: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "proc", "sys", "tmp", "modules"] {
        archive.entry(dir, 0o040_755, (0, 0), &[]);
    }
    archive.entry("dev/console", 0o020_600, (5, 1), &[]);
    archive.entry("bin/busybox", 0o100_755, (0, 0), &fs::read(&kernel.busybox)?);
    archive.entry("agent", 0o100_755, (0, 0), &fs::read(agent)?);
    archive.entry("init", 0o100_755, (0, 0), INIT.as_bytes());
    let mut order = String::new();
    for (name, module) in initramfs::modules(&kernel.modules, MODULES)? {
        archive.entry(&format!("modules/{name}"), 0o100_644, (0, 0), &module);
        order.push_str(&name);
        order.push('\n');
    }
    archive.entry("modules/order", 0o100_644, (0, 0), order.as_bytes());
    fs::write(to, archive.finish())?;
    Ok(())
}
