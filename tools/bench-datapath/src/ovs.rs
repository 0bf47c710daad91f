//! Debian's ovs-vswitchd with its own datapath in user space (`datapath_type=netdev`), as the one to compare with.

use anyhow::{Context, Result};
use pfnl_tests::sandbox::{SCRATCH, quiet};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// A running ovs-vswitchd with one bridge, `brn`.
pub struct Ovs {
    folder: String,
    /// The daemon's process.
    pub pid: i32,
}

impl Ovs {
    /// Starts one in the sandbox.
    ///
    /// # Errors
    /// OVS is not installed, or does not start.
    pub fn start(ports: [&str; 2], tso: bool) -> Result<Ovs> {
        let folder = format!("{SCRATCH}/ovs");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let (db, file) = (format!("unix:{folder}/db.sock"), |name: &str| format!("{folder}/{name}"));
        quiet("ovsdb-tool", &["create", &file("conf.db"), "/usr/share/openvswitch/vswitch.ovsschema"])?;
        let pidfile = |name: &str| format!("--pidfile={folder}/{name}.pid");
        let log = |name: &str| format!("--log-file={folder}/{name}.log");
        let control = |name: &str| format!("--unixctl={folder}/{name}.ctl");
        quiet(
            "ovsdb-server",
            &[
                &file("conf.db"),
                &format!("--remote=p{db}"),
                &pidfile("db"),
                &log("db"),
                &control("db"),
                "--detach",
                "-vconsole:off",
            ],
        )?;
        let mut ovs = Ovs { folder: folder.clone(), pid: 0 };
        let vsctl = |args: &[&str]| {
            quiet("ovs-vsctl", &[&[&format!("--db={db}"), "--timeout=20", "--no-wait"], args].concat())
        };
        vsctl(&["init"])?;
        if tso {
            vsctl(&["set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"])?;
        }
        vsctl(&["add-br", "brn", "--", "set", "bridge", "brn", "datapath_type=netdev"])?;
        for (number, port) in ["1", "2"].into_iter().zip(ports) {
            let request = format!("ofport_request={number}");
            vsctl(&["add-port", "brn", port, "--", "set", "interface", port, &request])?;
        }
        quiet(
            "env",
            &[
                &format!("OVS_RUNDIR={folder}"),
                "ovs-vswitchd",
                &db,
                &pidfile("vswitchd"),
                &log("vswitchd"),
                &control("vswitchd"),
                "--detach",
                "-vconsole:off",
            ],
        )?;
        sleep(Duration::from_millis(1500));
        ovs.pid = fs::read_to_string(file("vswitchd.pid"))?.trim().parse().context("a pid file")?;
        // As a daemon it is in a session of its own, and has to have the share of the machine that the others have.
        let _ = fs::write(format!("/proc/{pid}/autogroup", pid = ovs.pid), "-20");
        ovs.flow("priority=0,actions=drop")?;
        ovs.flow("in_port=1,actions=output:2")?;
        ovs.flow("in_port=2,actions=output:1")?;
        Ok(ovs)
    }

    fn flow(&self, flow: &str) -> Result<()> {
        let bridge = format!("unix:{}/brn.mgmt", self.folder);
        quiet("ovs-ofctl", &["add-flow", &bridge, flow])
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for name in ["vswitchd", "db"] {
            let control = format!("{}/{name}.ctl", self.folder);
            // Whatever stays ends with the sandbox.
            let _ = quiet("ovs-appctl", &["-t", &control, "exit"]);
        }
    }
}
