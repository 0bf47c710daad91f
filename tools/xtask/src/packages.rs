//! What pfnl's chores need from the machine, why, and how it is installed on Debian.
//!
//! Nothing is installed unannounced; where this may not install (no root, no apt), it prints the command and fails.

use crate::sh;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who needs a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// `cargo xtask demo`.
    Demo,
    /// The tests with real clients.
    Clients,
    /// `cargo xtask kernel-bound`.
    KernelBound,
    /// `cargo xtask kmod`.
    Kmod,
    /// `cargo xtask freebsd`.
    Freebsd,
    /// `cargo xtask port`.
    Port,
    /// `cargo xtask oracle`.
    Oracle,
    /// `cargo xtask ovs-suite`.
    Suite,
    /// Its guest, for devices that the machine's kernel lacks.
    Guest,
    /// Its `--build`.
    SuiteBuild,
    /// fmt and clippy.
    Lint,
    /// `cargo xtask bench`.
    Bench,
    /// `cargo xtask fuzz`.
    Fuzz,
}

/// How a package's presence shows.
enum Probe {
    Program(&'static str),
    File(&'static str),
    /// A module of Debian's Python.
    Python(&'static str),
    /// A program that must be new enough for this workspace.
    RustSince(&'static str, u32),
}

struct Package {
    name: &'static str,
    probe: Probe,
    why: &'static str,
    parts: &'static [Part],
}

const CLIENTS: &[Part] = &[Part::Clients];
/// A benchmark's own tests are with the others.
const MEASURED: &[Part] = &[Part::Bench, Part::Clients];
const PEERS: &[Part] = &[Part::Clients, Part::Suite];
const SOURCES: &[Part] = &[Part::Clients, Part::Suite, Part::Port];
const BOTH: &[Part] = &[Part::Demo, Part::Clients, Part::Suite];
const KERNEL: &[Part] = &[Part::KernelBound, Part::Kmod];
const KMOD: &[Part] = &[Part::Kmod];
const FREEBSD: &[Part] = &[Part::Freebsd];
const QEMU: &[Part] = &[Part::Freebsd, Part::Oracle, Part::Guest];
const SUITE: &[Part] = &[Part::Suite];
const BUILD: &[Part] = &[Part::SuiteBuild, Part::Port];

#[rustfmt::skip]
const PACKAGES: &[Package] = &[
    Package { name: "g++",                probe: Probe::Program("c++"),            parts: &[Part::Fuzz], why: "libFuzzer is C++" },
    Package { name: "util-linux",         probe: Probe::Program("unshare"),        parts: BOTH,    why: "unshare, nsenter, setpriv: the sandbox" },
    Package { name: "mount",              probe: Probe::Program("mount"),          parts: BOTH,    why: "the sandbox's own /run" },
    Package { name: "iproute2",           probe: Probe::Program("ip"),             parts: BOTH,    why: "ip: namespaces and veth pairs; genl: a client" },
    Package { name: "openvswitch-switch", probe: Probe::Program("ovs-dpctl"),      parts: BOTH,    why: "ovs-dpctl: the client" },
    Package { name: "libmnl-dev",         probe: Probe::File("/usr/include/libmnl/libmnl.h"), parts: MEASURED, why: "libmnl: a codec to compare with" },
    Package { name: "libnl-utils",        probe: Probe::Program("genl-ctrl-list"), parts: BOTH,    why: "genl-ctrl-list: a client" },
    Package { name: "iputils-ping",       probe: Probe::Program("ping"),           parts: BOTH,    why: "traffic" },
    Package { name: "iperf3",             probe: Probe::Program("iperf3"),         parts: CLIENTS, why: "TCP traffic with offloads" },
    Package { name: "ethtool",            probe: Probe::Program("ethtool"),        parts: PEERS,   why: "the ports' tests turn offloads off" },
    Package { name: "tcpdump",            probe: Probe::Program("tcpdump"),        parts: PEERS,   why: "what arrives at a peer" },
    Package { name: "strace",             probe: Probe::Program("strace"),         parts: CLIENTS, why: "that no socket of the host kernel is opened" },
    Package { name: "python3-venv",       probe: Probe::Python("ensurepip"),       parts: PEERS,   why: "pyroute2 in target/venv: a client" },
    Package { name: "linux-libc-dev",     probe: Probe::File("/usr/include/linux/openvswitch.h"), parts: CLIENTS, why: "Linux's own numbers, to compare ours with" },
    Package { name: "openvswitch-source", probe: Probe::File("/usr/src/openvswitch/openvswitch.tar.gz"), parts: SOURCES, why: "OVS's own tests of its flow text; what is ported to FreeBSD" },
    Package { name: "netcat-openbsd",     probe: Probe::Program("nc"),             parts: SUITE,   why: "the suite's UDP and TCP traffic" },
    Package { name: "wget",               probe: Probe::Program("wget"),           parts: SUITE,   why: "the suite's HTTP and FTP clients" },
    Package { name: "curl",               probe: Probe::Program("curl"),           parts: SUITE,   why: "the suite's TFTP client" },
    Package { name: "lftp",               probe: Probe::Program("lftp"),           parts: SUITE,   why: "the suite's FTP client" },
    Package { name: "net-tools",          probe: Probe::Program("netstat"),        parts: SUITE,   why: "the suite waits for servers with it" },
    Package { name: "iptables",           probe: Probe::Program("iptables"),       parts: SUITE,   why: "the suite opens tunnels in firewalls" },
    Package { name: "conntrack",          probe: Probe::Program("conntrack"),      parts: PEERS,   why: "a client of NETLINK_NETFILTER: shows and flushes connections" },
    Package { name: "procps",             probe: Probe::Program("sysctl"),         parts: SUITE,   why: "sysctl: the suite's namespaces" },
    Package { name: "make",               probe: Probe::Program("make"),           parts: BUILD,   why: "builds Open vSwitch" },
    Package { name: "gcc",                probe: Probe::Program("gcc"),            parts: BUILD,   why: "builds Open vSwitch" },
    Package { name: "libssl-dev",         probe: Probe::File("/usr/include/openssl/ssl.h"), parts: BUILD, why: "Open vSwitch is built with it" },
    Package { name: "rustc-web",          probe: Probe::RustSince("/usr/bin/rustc", 95), parts: KERNEL, why: "the compiler of the kernel modules" },
    Package { name: "cargo-web",          probe: Probe::RustSince("/usr/bin/cargo", 95), parts: KERNEL, why: "its cargo" },
    Package { name: "rust-web-src",       probe: Probe::File("/usr/lib/rustlib/src/rust/library/core/Cargo.toml"), parts: KERNEL, why: "core and alloc are built with kernel flags" },
    Package { name: "binutils",           probe: Probe::Program("objdump"),        parts: KERNEL,  why: "objdump: looks for floating point" },
    Package { name: "clang-19",           probe: Probe::Program("clang-19"),       parts: KMOD,    why: "compiles the C glue of the kernel modules" },
    Package { name: "lld-19",             probe: Probe::Program("ld.lld-19"),      parts: KMOD,    why: "links the kernel modules" },
    Package { name: "libclang1-19",       probe: Probe::File("/usr/lib/llvm-19/lib/libclang-19.so.1"), parts: KMOD, why: "bindgen reads FreeBSD's headers with it" },
    Package { name: "libck-dev",          probe: Probe::File("/usr/include/ck_queue.h"), parts: KMOD, why: "headers that FreeBSD's include" },
    Package { name: "python3-pip",        probe: Probe::Python("pip"),             parts: KMOD,    why: "fetches PyPI's ziglang, which has FreeBSD's headers" },
    Package { name: "makefs",             probe: Probe::Program("makefs"),         parts: FREEBSD, why: "the test machine's file system" },
    Package { name: "qemu-system-x86",    probe: Probe::Program("qemu-system-x86_64"), parts: QEMU, why: "the test machine" },
];

/// The release of pyroute2 whose behaviour the tests know.
const PYROUTE2: &str = "pyroute2==0.9.7";

/// Makes sure of everything `parts` need; silent when it is all there.
pub fn need(parts: &[Part]) -> Result<()> {
    let concerns = |package: &&Package| package.parts.iter().any(|part| parts.contains(part));
    let missing: Vec<&Package> =
        PACKAGES.iter().filter(concerns).filter(|package| !package.present()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    if parts.contains(&Part::Clients) {
        python()?;
    }
    if parts.contains(&Part::Lint) {
        components()?;
    }
    Ok(())
}

impl Package {
    fn present(&self) -> bool {
        match self.probe {
            Probe::Program(name) => sh::which(name).is_some(),
            Probe::File(path) => Path::new(path).exists(),
            Probe::Python(module) => {
                let import = format!("import {module}");
                sh::read(Command::new("/usr/bin/python3").args(["-c", &import])).is_ok()
            }
            Probe::RustSince(path, minor) => sh::read(Command::new(path).arg("--version"))
                .is_ok_and(|said| rust_minor(&said) >= Some(minor)),
        }
    }
}

/// 96 from "rustc 1.96.0 (…)".
fn rust_minor(said: &str) -> Option<u32> {
    said.split_whitespace().nth(1)?.split('.').nth(1)?.parse().ok()
}

fn install(missing: &[&Package]) -> Result<()> {
    println!("Missing on this machine:");
    for package in missing {
        println!("  {:<20} {}", package.name, package.why);
    }
    if missing.iter().any(|package| package.name == "rustc-web") {
        println!("  (rustc-web, cargo-web and rust-web-src: about 100 MB to fetch, 500 MB on disk)");
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let line = format!("apt-get update && apt-get install --no-install-recommends {}", names.join(" "));
    if sh::which("apt-get").is_none() {
        bail!("this machine has no apt-get; install what Debian calls: {}", names.join(" "));
    }
    if !pfnl_tests::sandbox::is_root() {
        bail!("not root, so nothing was installed. As root: {line}");
    }
    println!("Installing them (Debian packages) now.");
    let quiet = QuietServices::new()?;
    let mut update = Command::new("apt-get");
    sh::run(update.args(["update", "-q"]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-q", "--no-install-recommends"]).args(&names);
    let result = sh::run(install.env("DEBIAN_FRONTEND", "noninteractive"));
    drop(quiet);
    result?;
    if names.contains(&"openvswitch-switch") && Path::new("/run/systemd/system").exists() {
        // We came for ovs-dpctl: a machine that had no ovs-vswitchd shall not get one at its next start.
        sh::run(Command::new("systemctl").args(["disable", "--now", "openvswitch-switch.service"]))?;
    }
    match missing.iter().find(|package| !package.present()) {
        Some(package) => {
            bail!("{} is installed, yet too old or incomplete; is this Debian 12?", package.name)
        }
        None => Ok(()),
    }
}

/// Keeps packages from starting their services while it lives, unless the machine has a policy of its own.
struct QuietServices(Option<PathBuf>);

impl QuietServices {
    fn new() -> Result<QuietServices> {
        let policy = PathBuf::from("/usr/sbin/policy-rc.d");
        if policy.exists() {
            return Ok(QuietServices(None));
        }
        fs::write(&policy, "#!/bin/sh\nexit 101\n").context("/usr/sbin/policy-rc.d")?;
        sh::read(Command::new("chmod").arg("755").arg(&policy))?;
        Ok(QuietServices(Some(policy)))
    }
}

impl Drop for QuietServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.0 {
            let _ = fs::remove_file(policy);
        }
    }
}

/// pyroute2 in a virtual environment of the target folder: Debian's Python refuses pip.
fn python() -> Result<()> {
    let venv = sh::target()?.join("venv");
    let stamp = venv.join(PYROUTE2);
    if stamp.exists() {
        return Ok(());
    }
    println!("Installing {PYROUTE2} (a client of the tests) into {}", venv.display());
    sh::read(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = venv.join("bin/pip");
    sh::read(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", PYROUTE2]))?;
    Ok(fs::write(stamp, "")?)
}

/// rustfmt and clippy, which rustup's minimal profile leaves out.
fn components() -> Result<()> {
    for (name, probe) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if sh::read(sh::cargo()?.args([probe, "--version"])).is_err() {
            println!("Installing Rust's {name}.");
            sh::run(Command::new("rustup").args(["component", "add", name])).with_context(|| {
                format!("cargo {probe} is missing; with rustup: rustup component add {name}")
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_rust() {
        assert_eq!(rust_minor("rustc 1.96.0 (0000 2026-01-01)"), Some(96));
        assert_eq!(rust_minor("cargo 1.63.0"), Some(63));
        assert_eq!(rust_minor("something"), None);
    }
}
