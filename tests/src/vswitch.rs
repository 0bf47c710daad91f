//! ovs-vswitchd and its ovsdb-server, unmodified, over a [`Host`].

use crate::client::{self, LIMIT, Outcome, Running};
use crate::host::Host;
use crate::sandbox::{SCRATCH, quiet};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The schema of its database, as Debian installs it.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A switch: a database, a daemon, and the host that they take for the kernel.
#[derive(Debug)]
pub struct Vswitch {
    /// What is taken for the kernel.
    pub host: Host,
    folder: String,
    database: Running,
    daemon: Option<Running>,
}

impl Vswitch {
    /// Starts all three.
    ///
    /// # Errors
    /// One does not come up; its words.
    pub fn start(name: &str) -> Result<Vswitch> {
        let host = Host::serve(name)?;
        let folder = format!("{SCRATCH}/{name}.ovs");
        fs::create_dir_all(&folder)?;
        let database = format!("{folder}/conf.db");
        quiet("ovsdb-tool", &["create", &database, SCHEMA])?;
        let remote = format!("--remote=punix:{folder}/db.sock");
        let words = ["ovsdb-server", &database, &remote, "--pidfile", "--log-file", "-vconsole:off"];
        let database = client::start(&environment(&folder), &words)?;
        let mut switch = Vswitch { host, folder, database, daemon: None };
        until("ovsdb-server answers", || Ok(switch.vsctl(&["--no-wait", "init"])?.code == Some(0)))?;
        switch.daemon()?;
        Ok(switch)
    }

    /// Starts ovs-vswitchd, of which there is none, and waits until the bridges that its database holds can be asked.
    ///
    /// # Errors
    /// It does not come up.
    pub fn daemon(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "there is an ovs-vswitchd");
        let prefix = [self.host.client()?, environment(&self.folder)].concat();
        let words = ["ovs-vswitchd", "--pidfile", "--log-file", "-vconsole:off"];
        self.daemon = Some(client::start(&prefix, &words)?);
        until("ovs-vswitchd answers", || Ok(self.appctl(&["version"])?.code == Some(0)))?;
        // It answers before it has made its bridges, and what a killed one left behind is there but refuses.
        let bridges = self.vsctl(&["--no-wait", "list-br"])?;
        bridges.succeeds()?.lines().try_for_each(|bridge| {
            until("a bridge can be asked", || Ok(self.ofctl(&["show", bridge])?.code == Some(0)))
        })
    }

    /// Its process id: not that of the `pfnl run` it was started by.
    ///
    /// # Errors
    /// It has none.
    pub fn pid(&self) -> Result<i32> {
        let path = format!("{}/ovs-vswitchd.pid", self.folder);
        Ok(fs::read_to_string(&path).context(path)?.trim().parse()?)
    }

    /// Asks it to end. Its datapath and flows stay, unless `cleanup`.
    ///
    /// # Errors
    /// It does not end.
    pub fn exit(&mut self, cleanup: bool) -> Result<()> {
        let words: &[&str] = if cleanup { &["exit", "--cleanup"] } else { &["exit"] };
        self.appctl(words)?.succeeds()?;
        self.daemon.take().context("no ovs-vswitchd")?.finish(LIMIT)?.succeeds()?;
        Ok(())
    }

    /// Ends it as an invalid pointer would.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill(&mut self) -> Result<()> {
        let pid = Pid::from_raw(self.pid()?).context("no process id")?;
        kill_process(pid, Signal::KILL)?;
        self.daemon.take().context("no ovs-vswitchd")?.finish(LIMIT)?.ends_with(137)?;
        Ok(())
    }

    /// ovs-vsctl.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn vsctl(&self, words: &[&str]) -> Result<Outcome> {
        self.tool(&[&["ovs-vsctl", "--timeout=15"], words].concat())
    }

    /// ovs-appctl, asking ovs-vswitchd.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn appctl(&self, words: &[&str]) -> Result<Outcome> {
        self.tool(&[&["ovs-appctl", "--timeout=15"], words].concat())
    }

    /// ovs-ofctl with all versions of OpenFlow.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn ofctl(&self, words: &[&str]) -> Result<Outcome> {
        self.tool(&[&["ovs-ofctl", "--timeout=15", "-OOpenFlow10,OpenFlow13,OpenFlow15"], words].concat())
    }

    fn tool(&self, words: &[&str]) -> Result<Outcome> {
        client::run(&environment(&self.folder), words, LIMIT)
    }

    /// A bridge for all versions of OpenFlow that forwards nothing by itself; `flows` are what it does.
    ///
    /// # Errors
    /// ovs-vsctl fails.
    pub fn bridge(&self, name: &str, flows: &[&str]) -> Result<()> {
        let protocols = "protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";
        let words = ["add-br", name, "--", "set", "Bridge", name, protocols, "fail-mode=secure"];
        self.vsctl(&words)?.succeeds()?;
        flows.iter().try_for_each(|flow| self.ofctl(&["add-flow", name, flow])?.succeeds().map(drop))
    }

    /// Interfaces as ports of a bridge.
    ///
    /// # Errors
    /// ovs-vsctl fails.
    pub fn ports(&self, bridge: &str, names: &[&str]) -> Result<()> {
        names.iter().try_for_each(|name| self.vsctl(&["add-port", bridge, name])?.succeeds().map(drop))
    }

    /// Its log's lines of WARN and worse.
    ///
    /// # Errors
    /// There is none.
    pub fn warnings(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(format!("{}/ovs-vswitchd.log", self.folder))?;
        let bad = |line: &&str| ["|WARN|", "|ERR|", "|EMER|"].iter().any(|level| line.contains(level));
        // Time that a busy machine takes is no fault of ours.
        let slow = |line: &&str| {
            line.contains("Unreasonably long") || line.contains("|timeval|") || line.contains("blocked")
        };
        Ok(log.lines().filter(bad).filter(|line| !slow(line)).map(str::to_owned).collect())
    }
}

impl Drop for Vswitch {
    fn drop(&mut self) {
        // The host goes last (fields are dropped after this); what still runs ends with the sandbox at the latest.
        let pids = ["ovs-vswitchd", "ovsdb-server"].map(|name| format!("{}/{name}.pid", self.folder));
        for path in pids {
            let pid = fs::read_to_string(path).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if let Some(mut daemon) = self.daemon.take() {
            let end = Instant::now() + Duration::from_secs(3);
            while matches!(daemon.is_running(), Ok(true)) && Instant::now() < end {
                sleep(Duration::from_millis(5));
            }
            daemon.kill();
        }
        let _ = self.database.is_running();
    }
}

/// Where OVS's programs look for each other.
fn environment(folder: &str) -> Vec<String> {
    let variables = ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"];
    ["env".to_owned()].into_iter().chain(variables.map(|name| format!("{name}={folder}"))).collect()
}

/// Waits up to half a minute, as a busy machine needs, for something to become so.
///
/// # Errors
/// It does not, or cannot be told.
pub fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so()? {
        ensure!(Instant::now() < end, "{what}: not after half a minute");
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
