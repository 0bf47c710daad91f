//! A Debian kernel in QEMU whose file system is this machine's, read-only: for devices that the kernel here lacks.
//!
//! The guest has no disk. 9p gives it `/` of this machine and, writable, the folder for the tests' logs; results come
//! by a virtio-serial port. openvswitch.ko is not among the modules that it loads.

use super::{INSIDE, Output, Session, Work};
use anyhow::{Context, Result};
use pfnl_vm::initramfs::{Archive, modules};
use pfnl_vm::{Kernel, QEMU, accelerator};
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the tests may ask of the kernel. Those that are built in or that a kernel lacks are left out.
const MODULES: &[&str] = &[
    "9p",
    "9pnet_virtio",
    "virtio_pci",
    "virtio_console",
    "virtio_rng",
    "crc32c_generic",
    "unix",
    "af_packet",
    "ipv6",
    "tun",
    "veth",
    "dummy",
    "8021q",
    "bonding",
    "vxlan",
    "geneve",
    "ip_gre",
    "ip6_gre",
    "gre",
    "bareudp",
    "mpls_router",
    "mpls_iptunnel",
    "mpls_gso",
    "sch_ingress",
    "sch_htb",
    "sch_hfsc",
    "sch_netem",
    "cls_u32",
    "cls_matchall",
    "cls_basic",
    "cls_flower",
    "act_police",
    "act_gact",
    "act_mirred",
    "nf_tables",
    "nft_chain_nat",
    "nft_compat",
    "nft_ct",
    "ip_tables",
    "iptable_filter",
    "iptable_nat",
    "ip6table_filter",
    "xt_tcpudp",
    "xt_conntrack",
    "xt_state",
    "xt_CT",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_conntrack_ftp",
    "nf_conntrack_tftp",
    "inet_diag",
    "packet_diag",
];

/// Brings this machine's file system up under the guest's kernel, with places to write to.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
echo > /proc/sys/kernel/modprobe
while read module; do insmod /modules/$module || echo \"guest: $module does not load\"; done < /modules/order
share='-t 9p -o trans=virtio,version=9p2000.L,msize=512000'
mount $share,ro,cache=loose host /new
for place in tmp run boot var/tmp; do mount -t tmpfs -o mode=1777 tmpfs /new/$place; done
mkdir -p /new/tmp/work /new/tmp/out
mount $share,cache=none out /new/tmp/out
mkdir /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
for place in dev proc sys; do mount --move /$place /new/$place; done
while ! ls /new/dev/vport*p1 > /new/dev/null 2>&1; do sleep 0.05; done
port=$(echo /new/dev/vport*p1)
chroot /new /bin/bash /tmp/out/start.sh > $port 2>&1 < /new/dev/null
poweroff -f
";

/// How long QEMU's socket may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Boots a guest that runs tests and ends.
pub fn start(folder: &Path, work: &Work) -> Result<Output> {
    // Shared with the oracle: a kernel is large.
    let kernel = Kernel::find(&folder.with_file_name("oracle"))?;
    let initramfs = work.folder.join("initramfs");
    fs::write(&initramfs, archive(&kernel)?)?;
    let mut script = String::from("export WORK=/tmp/work PATIENCE=240\n");
    for (name, value) in &work.env {
        writeln!(script, "export {name}='{value}'")?;
    }
    script.push_str("bash /tmp/out/inside.sh\ncp -r /tmp/work/tests /tmp/work/pfnl.log /tmp/out/\n");
    fs::write(work.folder.join("start.sh"), script)?;
    fs::write(work.folder.join("inside.sh"), INSIDE)?;

    let socket = std::env::temp_dir().join(format!("pfnl-suite-{}.sock", std::process::id()));
    let _ = fs::remove_file(&socket);
    let share = |path: &Path, tag: &str, how: &str| {
        format!("local,path={},mount_tag={tag},security_model=none,{how}multidevs=remap", path.display())
    };
    let qemu = Command::new(QEMU)
        .args(["-nodefaults", "-no-user-config", "-M", "q35", "-m", "2048", "-smp", "2"])
        .args(["-display", "none", "-no-reboot"])
        .args(accelerator())
        .arg("-kernel")
        .arg(&kernel.vmlinuz)
        .arg("-initrd")
        .arg(&initramfs)
        .args(["-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off random.trust_cpu=on"])
        .args(["-serial", &format!("file:{}", work.folder.join("console.log").display())])
        .args(["-virtfs", &share(Path::new("/"), "host", "readonly=on,")])
        .args(["-virtfs", &share(&work.folder, "out", "")])
        .args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=suite,name=suite"])
        .args(["-chardev", &format!("socket,id=suite,path={},server=on,wait=off", socket.display())])
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| {
            format!("{QEMU} is missing: apt-get install --no-install-recommends qemu-system-x86")
        })?;
    let child = Arc::new(Mutex::new(qemu));
    let begin = Instant::now();
    let stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(error) if begin.elapsed() > PATIENCE => return Err(error).context("QEMU's socket"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    // Nobody else needs the name.
    let _ = fs::remove_file(&socket);
    Ok(Box::new(Guest { child, stream }))
}

fn archive(kernel: &Kernel) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "proc", "sys", "new", "modules"] {
        archive.entry(dir, 0o040_755, (0, 0), &[]);
    }
    archive.entry("dev/console", 0o020_600, (5, 1), &[]);
    archive.entry("bin/busybox", 0o100_755, (0, 0), &fs::read(&kernel.busybox)?);
    archive.entry("init", 0o100_755, (0, 0), INIT.as_bytes());
    let mut order = String::new();
    for (name, module) in modules(&kernel.modules, MODULES)? {
        archive.entry(&format!("modules/{name}"), 0o100_644, (0, 0), &module);
        order.push_str(&name);
        order.push('\n');
    }
    archive.entry("modules/order", 0o100_644, (0, 0), order.as_bytes());
    Ok(archive.finish())
}

struct Guest {
    child: Arc<Mutex<Child>>,
    stream: UnixStream,
}

impl Session for Guest {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }

    fn killer(&self) -> Box<dyn FnOnce() + Send> {
        let child = Arc::clone(&self.child);
        Box::new(move || end(&child))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        end(&self.child);
    }
}

fn end(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
