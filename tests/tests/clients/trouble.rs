//! What goes wrong in practice: interfaces vanish, hosts and clients are killed. Nothing hangs.

use crate::families::script;
use anyhow::{Context, Result, ensure};
use pfnl_tests::client::{LIMIT, start};
use pfnl_tests::host::Host;
use pfnl_tests::net::Peer;
use pfnl_tests::runner::{OrSkip, Test};
use pfnl_tests::sandbox::{self, quiet};
use rustix::process::{Pid, Signal, kill_process};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("trouble: an interface vanishes, its vport goes away", interface_vanishes),
    ("trouble: the host is killed under a waiting client", host_killed_under_client),
    ("trouble: a client without a host", no_host),
    ("trouble: a client is killed in the middle of a dump", client_killed_in_dump),
    ("trouble: the host ends while datapaths exist, their devices go", host_ends_with_datapaths),
    ("trouble: no permission for TAP and AF_PACKET", no_permission),
];

fn interface_vanishes() -> Result<()> {
    sandbox::tap_allowed().or_skip()?;
    let left = Peer::new("left", "p1", "10.9.0.1")?;
    let host = Host::serve("vanish")?;
    host.dpctl(&["add-dp", "dp0"])?.succeeds()?;
    host.dpctl(&["add-if", "dp0", "p1"])?.succeeds()?;
    host.dpctl(&["show"])?.prints("port 1: p1\n")?;
    quiet("ip", &["link", "del", "p1"])?;
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        let show = host.dpctl(&["show"])?;
        if !show.succeeds()?.contains("p1") {
            break;
        }
        ensure!(Instant::now() < end, "the vport is still there:{}", show.said());
        sleep(Duration::from_millis(50));
    }
    drop(left);
    // Its number is free again.
    let again = Peer::new("again", "p1", "10.9.0.1")?;
    host.dpctl(&["add-if", "dp0", "p1"])?.succeeds()?;
    host.dpctl(&["show"])?.prints("port 1: p1\n")?;
    drop(again);
    Ok(())
}

fn host_killed_under_client() -> Result<()> {
    let host = Host::serve("killed")?;
    let mut client = host.start(&["/usr/bin/python3", &script("waits.py")])?;
    client.says("waiting")?;
    host.signal(Signal::KILL)?;
    let mut outcome = client.finish(Duration::from_secs(5))?;
    outcome.client = "python3 (raw genetlink)".to_owned();
    outcome.ends_with(3)?;
    // ECONNREFUSED or ENOBUFS.
    let known = ["error 111\n", "error 105\n"].iter().any(|words| outcome.stdout.ends_with(words));
    ensure!(known, "another error than ECONNREFUSED or ENOBUFS:{}", outcome.said());
    Ok(())
}

fn no_host() -> Result<()> {
    let host = Host::serve("gone")?;
    let client = host.client()?;
    drop(host);
    start(&client, &["genl-ctrl-list"])?.finish(Duration::from_secs(5))?.fails_with("gone.sock")
}

fn client_killed_in_dump() -> Result<()> {
    sandbox::tap_allowed().or_skip()?;
    let mut host = Host::serve("dump")?;
    host.dpctl(&["add-dp", "dp0"])?.succeeds()?;
    let file = format!("{}/dump-flows", sandbox::SCRATCH);
    let lines: String = (0..2000)
        .map(|n| {
            format!(
                "add in_port(0),eth(),eth_type(0x0800),ipv4(dst=10.0.{}.{},frag=no) 0\n",
                n / 256,
                n % 256
            )
        })
        .collect();
    std::fs::write(&file, lines)?;
    host.dpctl(&["add-flows", "dp0", &file])?.succeeds()?;
    for _ in 0..3 {
        let mut client = host.start(&["/usr/bin/python3", &script("stops.py"), "dp0"])?;
        sleep(Duration::from_millis(500));
        ensure!(client.is_running()?, "the client did not stop in its dump{}", client.finish(LIMIT)?.said());
        for id in client.children()? {
            kill_process(Pid::from_raw(id).context("no process id")?, Signal::KILL)?;
        }
        client.finish(Duration::from_secs(5))?.ends_with(128 + 9)?;
    }
    ensure!(host.is_running()?, "the host ended: {}", host.words());
    let dump = host.dpctl(&["dump-flows", "dp0"])?;
    let flows = dump.succeeds()?.lines().count();
    ensure!(flows == 2000, "{flows} of 2000 flows in the next client's dump");
    Ok(())
}

fn host_ends_with_datapaths() -> Result<()> {
    sandbox::tap_allowed().or_skip()?;
    let host = Host::serve("ends")?;
    host.dpctl(&["add-dp", "dp-ends"])?.succeeds()?;
    quiet("ip", &["link", "show", "dp-ends"])?;
    drop(host);
    let end = Instant::now() + Duration::from_secs(3);
    while quiet("ip", &["link", "show", "dp-ends"]).is_ok() {
        ensure!(Instant::now() < end, "dp-ends is still there");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn no_permission() -> Result<()> {
    use pfnl_tests::client;
    use pfnl_tests::host::run_privately;
    use pfnl_tests::runner::skip;
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !sandbox::is_root() || quiet(nobody[0], &[&nobody[1..], &["true"]].concat()).is_err() {
        return skip("there is no other user here");
    }
    let peer = Peer::new("left", "p1", "10.9.0.1")?;
    let prefix: Vec<String> = nobody.iter().map(|word| (*word).to_owned()).chain(run_privately()?).collect();
    let datapath = client::run(&prefix, &["ovs-dpctl", "add-dp", "dp0"], LIMIT)?;
    datapath.succeeds()?;
    ensure!(
        datapath.stderr.contains("no TAP interface"),
        "nothing said of the missing device:{}",
        datapath.said()
    );
    let command = "ovs-dpctl add-dp dp0 2>/dev/null && ovs-dpctl add-if dp0 p1";
    client::run(&prefix, &["sh", "-c", command], LIMIT)?
        .fails_with("adding p1 to dp0 failed (Operation not permitted)")?;
    drop(peer);
    Ok(())
}
