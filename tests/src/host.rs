//! A `pfnl serve` in the sandbox, and clients that `pfnl run` brings to it.

use crate::client::{self, LIMIT, Outcome, Running};
use crate::sandbox::{SCRATCH, quiet};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The folder this program was built into, where `pfnl` and its preload library are too.
///
/// # Errors
/// The system does not tell.
pub fn built() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let mut folder = exe.parent().context("a program without a folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps without a parent")?;
    }
    Ok(folder.to_owned())
}

/// Builds `pfnl` and the preload library into [`built`].
///
/// # Errors
/// The build fails.
pub fn build() -> Result<()> {
    let folder = built()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "pfnl", "--package", "pfnl-preload"]);
    build.args(["--target-dir".as_ref(), folder.parent().context("no target folder")?.as_os_str()]);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    match build.status().context("cargo")?.success() {
        true => Ok(()),
        false => bail!("pfnl does not build"),
    }
}

/// Where `pfnl` stands in the sandbox: a copy anyone may read, unlike a target folder under /root.
///
/// # Errors
/// It has not been built.
pub fn pfnl() -> Result<String> {
    let folder = built()?;
    for name in ["pfnl", "libpfnl_preload.so"] {
        let to = Path::new(SCRATCH).join(name);
        if !to.exists() {
            fs::copy(folder.join(name), &to).with_context(|| folder.join(name).display().to_string())?;
        }
    }
    Ok(format!("{SCRATCH}/pfnl"))
}

/// The start of a command line under `pfnl run` with a private host.
///
/// # Errors
/// As [`pfnl`].
pub fn run_privately() -> Result<Vec<String>> {
    Ok(vec![pfnl()?, "run".to_owned(), "--".to_owned()])
}

/// A host that serves.
#[derive(Debug)]
pub struct Host {
    child: Child,
    /// Its path.
    pub socket: String,
    log: String,
}

impl Host {
    /// Starts `pfnl serve` on a path of its own and waits until it answers.
    ///
    /// # Errors
    /// It does not answer; its words.
    pub fn serve(name: &str) -> Result<Host> {
        Host::serve_in(&[], name)
    }

    /// As [`Host::serve`], by a command line that `prefix` starts: in another namespace.
    ///
    /// # Errors
    /// As [`Host::serve`].
    pub fn serve_in(prefix: &[String], name: &str) -> Result<Host> {
        let pfnl = pfnl()?;
        let words = [prefix, std::slice::from_ref(&pfnl)].concat();
        let socket = format!("{SCRATCH}/{name}.sock");
        let log = format!("{SCRATCH}/{name}.log");
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(["serve", "--socket", &socket])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .stderr(fs::File::options().append(true).open(&log)?)
            .spawn()
            .context("pfnl serve")?;
        let mut host = Host { child, socket, log };
        let end = Instant::now() + Duration::from_secs(10);
        while quiet(&pfnl, &["status", "--socket", &host.socket]).is_err() {
            if let Some(status) = host.child.try_wait()? {
                bail!("pfnl serve ended with {status}: {}", host.words());
            }
            if Instant::now() > end {
                bail!("pfnl serve does not answer: {}", host.words());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(host)
    }

    /// Kills it and starts another on its path, with nothing in it.
    ///
    /// # Errors
    /// As [`Host::serve`].
    pub fn restart(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        let name = Path::new(&self.socket).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut fresh = Host::serve(&name)?;
        std::mem::swap(&mut self.child, &mut fresh.child);
        // Dropping it would take the path away from the one that has it now.
        std::mem::forget(fresh);
        Ok(())
    }

    /// What it wrote so far.
    pub fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The start of a command line whose program is a client of this host.
    ///
    /// # Errors
    /// As [`pfnl`].
    pub fn client(&self) -> Result<Vec<String>> {
        Ok([&pfnl()?, "run", "--socket", &self.socket, "--"].map(str::to_owned).to_vec())
    }

    /// How many sockets clients have open.
    ///
    /// # Errors
    /// The host does not answer `pfnl status`.
    pub fn sockets(&self) -> Result<u32> {
        let status = client::run(&[], &[&pfnl()?, "status", "--socket", &self.socket], LIMIT)?;
        let line = status.succeeds()?.lines().find_map(|line| line.trim().strip_prefix("sockets: "));
        Ok(line.context("no number of sockets")?.parse()?)
    }

    /// Runs a program as a client of this host.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, command: &[&str]) -> Result<Outcome> {
        client::run(&self.client()?, command, LIMIT)
    }

    /// Starts a program as a client of this host.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, command: &[&str]) -> Result<Running> {
        client::start(&self.client()?, command)
    }

    /// `ovs-dpctl` as a client of this host.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn dpctl(&self, args: &[&str]) -> Result<Outcome> {
        self.run(&[&["ovs-dpctl"], args].concat())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors and threads it has.
    ///
    /// # Errors
    /// It is gone.
    pub fn holds(&self) -> Result<(usize, usize)> {
        let count = |what: &str| {
            Ok::<_, std::io::Error>(fs::read_dir(format!("/proc/{}/{what}", self.id()))?.count())
        };
        Ok((count("fd")?, count("task")?))
    }

    /// The processor time it has used.
    ///
    /// # Errors
    /// It is gone.
    pub fn used(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name, in parentheses, may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: Vec<u64> =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        // USER_HZ is 100 on every architecture that matters.
        Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
    }

    /// Sends the host a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Whether it still serves.
    ///
    /// # Errors
    /// waitpid(2) fails.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.signal(Signal::TERM);
        let end = Instant::now() + Duration::from_secs(3);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}
