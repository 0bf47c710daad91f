//! Namespaces of this machine.

use super::{INSIDE, Output, Session, Work};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::io::{PipeReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// Asks the kernel for a device of each kind: one that it knows fails otherwise, if at all.
const PROBE: &str =
    "for kind in vlan bond gre gretap ip6gre ip6gretap erspan ip6erspan geneve vxlan bareudp dummy; do
ip link add name pfnlprobe type $kind 2>&1 | grep -q 'Unknown device type' && echo $kind
ip link del pfnlprobe 2> /dev/null
done; true";

/// The kinds of network devices that this kernel does not have.
pub fn missing_kinds() -> Result<BTreeSet<String>> {
    let out = sandbox()?.args(["sh", "-c", PROBE]).output().context("unshare")?;
    ensure!(out.status.success(), "ip link add: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
}

fn sandbox() -> Result<Command> {
    let mut command = Command::new("unshare");
    command.args(pfnl_tests::sandbox::flags()?).stdin(Stdio::null());
    Ok(command)
}

/// Starts tests in a sandbox of their own, which ends with them.
pub fn start(work: &Work) -> Result<Output> {
    let script = work.folder.join("inside.sh");
    fs::write(&script, INSIDE)?;
    let (reader, writer) = std::io::pipe()?;
    let prelude = "mount -t tmpfs -o mode=755 tmpfs /run && exec bash \"$0\"";
    let child = sandbox()?
        .args(["bash", "-c", prelude])
        .arg(&script)
        .env("WORK", &work.folder)
        .envs(work.env.iter().map(|(name, value)| (name, value)))
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .context("unshare")?;
    Ok(Box::new(Sandbox { child: Arc::new(Mutex::new(child)), reader }))
}

struct Sandbox {
    child: Arc<Mutex<Child>>,
    reader: PipeReader,
}

impl Session for Sandbox {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }

    fn killer(&self) -> Box<dyn FnOnce() + Send> {
        let child = Arc::clone(&self.child);
        Box::new(move || end(&child))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        end(&self.child);
    }
}

/// The first process of the sandbox ends with its parent (--kill-child), and the kernel ends the rest.
fn end(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
