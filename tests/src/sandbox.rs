//! A place where tests may make interfaces: fresh network, mount, process (and, without root, user) namespaces.
//!
//! The program runs itself again under unshare(1), as process 1 of the new namespaces. Network namespaces, veth
//! pairs, TAP devices, processes and the tmpfs on /run all end with that process, even when it is killed: there
//! is nothing to clean up, so nothing can be forgotten.

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Set inside of the sandbox.
const MARK: &str = "PFNL_SANDBOX";

/// Where tests keep sockets and copies of programs: inside the sandbox's own /run.
pub const SCRATCH: &str = "/run/pfnl";

/// Whether this process is the one inside.
pub fn inside() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Whether this process may do as root does: the user's own right, or a user namespace's.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs this program again inside a sandbox, with the arguments given.
///
/// # Errors
/// The machine allows no sandbox; the message says what is missing.
pub fn enter<A: AsRef<OsStr>>(args: &[A]) -> Result<ExitStatus> {
    let flags = flags()?;
    let mut inner = Command::new("unshare");
    inner.args(flags).arg(std::env::current_exe()?).args(args).env(MARK, "1");
    wait_or_kill(&mut inner)
}

/// The flags of unshare(1) that work here.
///
/// # Errors
/// None do.
pub fn flags() -> Result<Vec<&'static str>> {
    let mut flags = vec!["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
    if !is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    flags.push("--mount-proc");
    let why = match probe(&flags) {
        Ok(()) => return Ok(flags),
        Err(why) => why,
    };
    // Inside some containers a fresh /proc may not be mounted; the outer one serves as well.
    flags.pop();
    match probe(&flags) {
        Ok(()) => Ok(flags),
        Err(_) if why.to_string().contains("propagation") => {
            bail!("no mount namespace ({why}): a chroot must be a mount point (mount --bind ROOT ROOT)")
        }
        Err(_) if is_root() => {
            bail!("no namespaces ({why}): this needs CAP_SYS_ADMIN and CAP_NET_ADMIN (docker: --privileged)")
        }
        Err(_) => bail!(
            "no user namespaces ({why}): run as root, or allow them \
             (sysctl kernel.unprivileged_userns_clone=1 or user.max_user_namespaces=10000, \
             kernel.apparmor_restrict_unprivileged_userns=0)"
        ),
    }
}

fn probe(flags: &[&str]) -> Result<()> {
    let out =
        Command::new("unshare").args(flags).arg("true").output().context("unshare (package util-linux)")?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}

/// Waits for the sandbox; a signal to this process ends it and all that runs in it.
fn wait_or_kill(command: &mut Command) -> Result<ExitStatus> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
    }
    let mut child = command.spawn().context("unshare (package util-linux)")?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let number = signal.load(Ordering::Relaxed);
        if number != 0 {
            // unshare dies; --kill-child takes process 1 with it, and the kernel the rest.
            child.kill()?;
            child.wait()?;
            eprintln!("interrupted; the sandbox is gone");
            std::process::exit(128 + i32::try_from(number)?);
        }
        sleep(Duration::from_millis(20));
    }
}

/// Makes the inside usable: an own /run, `lo` up.
///
/// # Errors
/// A mount is refused.
pub fn prepare() -> Result<()> {
    ensure!(inside(), "not in a sandbox");
    quiet("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])?;
    fs::create_dir_all("/run/netns")?;
    fs::create_dir_all(SCRATCH)?;
    quiet("ip", &["link", "set", "lo", "up"])?;
    // Neighbour discovery of the machine's own would only blur the counters.
    for file in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{file}/disable_ipv6"), "1");
    }
    Ok(())
}

/// Whether TAP devices may be made here; why not, otherwise.
///
/// # Errors
/// They may not.
pub fn tap_allowed() -> Result<()> {
    ensure!(Path::new("/dev/net/tun").exists(), "/dev/net/tun is missing (modprobe tun)");
    quiet("ip", &["tuntap", "add", "pfnl-probe", "mode", "tap"]).context("/dev/net/tun may not be opened")?;
    quiet("ip", &["tuntap", "del", "pfnl-probe", "mode", "tap"])
}

/// Runs a helper program that has nothing to say unless it fails.
///
/// # Errors
/// It fails: its words.
pub fn quiet(program: &str, args: &[&str]) -> Result<()> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().context(program.to_owned())?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{program} {}: {}", args.join(" "), said.trim());
    Ok(())
}
