//! The kernel for other processes.

use pfnl_platform::{Shared, User};
use pfnl_sock::Domain;
use pfnl_sock_host::{Config, Host, Stopper};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use tempfile::TempDir;

const PRELOAD: &str = "libpfnl_preload.so";

/// A kernel served at a temporary path, until it is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Server {
    pub(crate) fn start(domain: Shared<Domain<User>>) -> io::Result<Server> {
        let directory = tempfile::Builder::new().prefix("pfnl-testkernel-").tempdir()?;
        let path = directory.path().join("kernel.sock");
        let mut host = Host::bind(&Config::new(&path), domain).map_err(io::Error::other)?;
        let stopper = host.stopper();
        let thread = thread::Builder::new().name("pfnl-testkernel".to_owned()).spawn(move || {
            if let Err(error) = host.run(|_| {}) {
                eprintln!("pfnl-testkernel: {error}");
            }
        })?;
        Ok(Server { path, stopper, thread: Some(thread), _directory: directory })
    }

    /// Where it is served (`PFNL_SOCKET`).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a process needs in its environment to be a client.
    ///
    /// # Errors
    /// There is no preload library: `cargo build -p pfnl-preload` makes it, and `PFNL_PRELOAD` says where else it is.
    pub fn env(&self) -> io::Result<[(&'static str, OsString); 2]> {
        let preload = find_preload()?;
        Ok([(pfnl_wire::ENV_SOCKET, self.path.clone().into()), ("LD_PRELOAD", preload.into())])
    }

    /// A program that will be a client.
    ///
    /// # Errors
    /// As [`Server::env`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> io::Result<Command> {
        let mut command = Command::new(program);
        command.envs(self.env()?);
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // It has said itself what was wrong.
            let _ = thread.join();
        }
    }
}

/// Where `PFNL_PRELOAD` says, or in the folders above a test program: target/debug for target/debug/deps/test-….
fn find_preload() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("PFNL_PRELOAD").filter(|path| !path.is_empty()) {
        return PathBuf::from(path).canonicalize();
    }
    let program = std::env::current_exe()?;
    program.ancestors().skip(1).take(3).map(|folder| folder.join(PRELOAD)).find(|path| path.exists()).ok_or_else(
        || {
            let why = format!(
                "{PRELOAD} is not beside {}: build it with `cargo build -p pfnl-preload`, or name it in PFNL_PRELOAD",
                program.display()
            );
            io::Error::new(io::ErrorKind::NotFound, why)
        },
    )
}
