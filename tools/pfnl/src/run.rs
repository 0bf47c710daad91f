//! `pfnl run`: a host for one program, the preload library in it, and the program's exit status.

use crate::assemble::Assembly;
use crate::fault::{Faults, Trouble};
use crate::program::{Refusal, inspect};
use crate::{serve, status};
use anyhow::{Context, Result, bail};
use pfnl_platform::{Shared, User};
use pfnl_sock::Domain;
use pfnl_sock_host::{Config, Host, Stopper};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;

/// Exit status when something else than the program is wrong.
pub const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

const PRELOAD: &str = "libpfnl_preload.so";

/// Runs a program with its netlink sockets at the host of `socket`, or at one of its own.
///
/// # Errors
/// There is no host, or no preload library.
pub fn run(socket: Option<PathBuf>, command: &[OsString]) -> Result<ExitCode> {
    let host = |path: &Path| PrivateHost::start(path, Assembly::new()?);
    with_host(socket, command, host)
}

/// Runs a program at a host of its own where things go wrong by chance, and says afterwards what did.
///
/// # Errors
/// As [`run`].
pub fn with_faults(faults: Faults, seed: Option<u64>, command: &[OsString]) -> Result<ExitCode> {
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let trouble = Trouble::new(faults, seed);
    let host = |path: &Path| PrivateHost::start(path, Assembly::with_hooks(|_| Box::new(trouble.clone()))?);
    let status = with_host(None, command, host);
    eprintln!("pfnl: {trouble}");
    status
}

/// Runs a program at the host of a path, or at one that `start` makes at the path it is given.
///
/// # Errors
/// As [`run`].
pub fn with_host(
    socket: Option<PathBuf>,
    command: &[OsString],
    start: impl FnOnce(&Path) -> Result<PrivateHost>,
) -> Result<ExitCode> {
    let [name, arguments @ ..] = command else { bail!("no program") };
    match inspect(name) {
        Ok(program) if program.is_go => eprintln!(
            "pfnl: {} is a Go program: LD_PRELOAD sees only what it does through libc",
            program.path.display()
        ),
        Ok(_) => {}
        Err(refusal) => {
            eprintln!("pfnl: {refusal}");
            return Ok(ExitCode::from(match refusal {
                Refusal::NotFound(_) => NOT_FOUND,
                _ => NOT_EXECUTABLE,
            }));
        }
    }
    // From here on signals are the program's, and do not end us before the directory is removed.
    let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])?;
    let mut private = Private(None);
    let preload = without_separators(find_preload()?, &mut private)?;
    let (path, host) = match socket {
        Some(path) => {
            let path = std::path::absolute(path)?;
            drop(status::reach(&path)?);
            (path, None)
        }
        None => {
            let path = private.path()?.join("pfnl.sock");
            let host = start(&path)?;
            (path, Some(host))
        }
    };

    let mut child = Command::new(name);
    child.args(arguments).env(pfnl_wire::ENV_SOCKET, &path).env("LD_PRELOAD", appended(&preload));
    let status = match child.spawn() {
        Ok(child) => {
            serve::raise_descriptor_limit(); // not before: the program keeps the limit it was given
            wait(child, signals)?
        }
        Err(error) => {
            eprintln!("pfnl: {}: {error}", name.display());
            let found = error.kind() != std::io::ErrorKind::NotFound;
            return Ok(ExitCode::from(if found { NOT_EXECUTABLE } else { NOT_FOUND }));
        }
    };
    if let Some(host) = host {
        host.end()?;
    }
    private.close()?;
    Ok(ExitCode::from(exit_code(status)))
}

/// A directory for nobody else, made when it is needed and removed at the end.
struct Private(Option<TempDir>);

impl Private {
    fn path(&mut self) -> Result<&Path> {
        if self.0.is_none() {
            let mut builder = tempfile::Builder::new();
            builder.prefix("pfnl-").permissions(Permissions::from_mode(0o700));
            self.0 = Some(builder.tempdir().context("no temporary directory")?);
        }
        self.0.as_ref().map(TempDir::path).context("no temporary directory")
    }

    fn close(self) -> Result<()> {
        self.0.map_or(Ok(()), TempDir::close).context("the temporary directory stays")
    }
}

/// A host in a thread of this process. Dropping it without [`PrivateHost::end`] only tells it to stop.
pub struct PrivateHost {
    stopper: Stopper,
    thread: Option<JoinHandle<Result<()>>>,
}

impl PrivateHost {
    /// Serves what was assembled, at a path.
    ///
    /// # Errors
    /// The path cannot be served, or there is no thread.
    pub fn start(path: &Path, assembly: Assembly) -> Result<PrivateHost> {
        let domain = assembly.domain.clone();
        PrivateHost::serve(path, domain, assembly, Assembly::status)
    }

    /// Serves a domain at a path, and keeps what it belongs to until it is over.
    ///
    /// # Errors
    /// The path cannot be served, or there is no thread.
    pub fn serve<T: Send + 'static>(
        path: &Path,
        domain: Shared<Domain<User>>,
        keep: T,
        status: fn(&T, &mut String),
    ) -> Result<PrivateHost> {
        let mut host = Host::bind(&Config::new(path), domain)?;
        let stopper = host.stopper();
        let thread = thread::Builder::new().name("pfnl-host".into()).spawn(move || {
            host.run(|text| status(&keep, text))?;
            drop(host); // before those whose sockets it has
            drop(keep);
            Ok(())
        })?;
        Ok(PrivateHost { stopper, thread: Some(thread) })
    }

    fn end(mut self) -> Result<()> {
        self.stopper.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => bail!("the host's thread has failed"),
        }
    }
}

impl Drop for PrivateHost {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

/// Waits for the program, passing signals on to it.
fn wait(mut child: Child, mut signals: Signals) -> Result<ExitStatus> {
    let pid = Pid::from_child(&child);
    // None once the program has ended: its number may be another's soon.
    let target = Arc::new(Mutex::new(Some(pid)));
    let closer = signals.handle();
    let forwarder = thread::spawn({
        let target = Arc::clone(&target);
        move || {
            for signal in signals.forever() {
                if !came_to_both(signal)
                    && let Some(pid) = *target.lock().unwrap_or_else(PoisonError::into_inner)
                    && let Some(signal) = Signal::from_named_raw(signal)
                    && let Err(error) = kill_process(pid, signal)
                {
                    tracing::debug!("signal not passed on: {error}");
                }
            }
        }
    });
    // Ended, but not reaped: the number is still its own while we take it from the forwarder.
    while let Err(rustix::io::Errno::INTR) =
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
    target.lock().unwrap_or_else(PoisonError::into_inner).take();
    let status = child.wait()?;
    closer.close();
    forwarder.join().ok().context("the signal thread")?;
    Ok(status)
}

/// Whether the terminal has sent a signal to the program too: keys go to the whole foreground process group.
fn came_to_both(signal: i32) -> bool {
    matches!(signal, SIGINT | SIGQUIT)
        && rustix::termios::tcgetpgrp(std::io::stdin()).is_ok_and(|foreground| foreground == getpgrp())
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED)
}

/// The preload library: where `PFNL_PRELOAD` says, beside this program, or where packages put it.
fn find_preload() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PFNL_PRELOAD").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return path.canonicalize().with_context(|| format!("PFNL_PRELOAD: {}", path.display()));
    }
    let program = std::env::current_exe()?;
    let directory = program.parent().context("a program without a directory")?;
    let places = [".", "..", "../lib/pfnl", "../lib"].map(|place| directory.join(place).join(PRELOAD));
    places.iter().find_map(|path| path.canonicalize().ok()).with_context(|| {
        format!("{PRELOAD} is not beside {}; build it with `cargo build`", program.display())
    })
}

/// ld.so(8) separates the libraries of LD_PRELOAD by spaces and colons, and has no way to quote them.
fn without_separators(path: PathBuf, private: &mut Private) -> Result<PathBuf> {
    let separated = |path: &Path| path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b' ' | b':'));
    if !separated(&path) {
        return Ok(path);
    }
    let link = private.path()?.join(PRELOAD);
    if separated(&link) {
        bail!("{}: LD_PRELOAD takes no path with a space or a colon", link.display());
    }
    symlink(path, &link)?;
    Ok(link)
}

/// LD_PRELOAD with our library after what is there.
fn appended(preload: &Path) -> OsString {
    let mut all = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    let ours = preload.as_os_str();
    if all.as_bytes().split(|byte| matches!(byte, b' ' | b':')).any(|part| OsStr::from_bytes(part) == ours) {
        return all; // one `pfnl run` in another
    }
    if !all.is_empty() {
        all.push(":");
    }
    all.push(ours);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn paths_that_ld_so_would_split_get_a_link() {
        let mut private = Private(None);
        assert_eq!(without_separators("/a/lib.so".into(), &mut private).unwrap(), Path::new("/a/lib.so"));
        assert!(private.0.is_none());
        let link = without_separators("/a b/lib.so".into(), &mut private).unwrap();
        assert_eq!(link.parent(), Some(private.path().unwrap()));
        assert_eq!(link.read_link().unwrap(), Path::new("/a b/lib.so"));
        let directory = private.path().unwrap().to_owned();
        private.close().unwrap();
        assert!(!directory.exists());
    }
}
