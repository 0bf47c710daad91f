//! `pfnl serve`, and what `pfnl run` shares with it.

use crate::assemble::Assembly;
use anyhow::{Context, Result};
use pfnl_sock_host::{Config, Host, Watchers};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

/// Serves until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
/// The path cannot be served, or the system gives up.
pub fn serve(socket: Option<PathBuf>, mode: u32, sockets_per_user: usize) -> Result<ExitCode> {
    let config = Config { mode, sockets_per_user, ..Config::new(path(socket)?) };
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let watchers = Watchers::new();
    let assembly = Assembly::with_hooks(|protocol| watchers.hook(protocol))?;
    let mut host = Host::bind(&config, assembly.domain.clone())?;
    host.let_watch(watchers);
    raise_descriptor_limit();
    let stopper = host.stopper();
    let waiter = thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            tracing::info!("ended by signal {signal}");
            stopper.stop();
        }
    });
    host.run(|text| assembly.status(text))?;
    waiter.join().ok().context("the signal thread")?;
    Ok(ExitCode::SUCCESS)
}

/// The path given, or the default.
///
/// # Errors
/// There is no default.
pub fn path(given: Option<PathBuf>) -> Result<PathBuf> {
    given
        .or_else(pfnl_wire::default_path)
        .context("no place for a socket: XDG_RUNTIME_DIR is not set; name a path with --socket")
}

/// Every client socket takes two descriptors here: takes as many as are allowed.
pub fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!("the limit of descriptors stays: {error}");
    }
}
