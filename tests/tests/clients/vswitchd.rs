//! The life of an unmodified ovs-vswitchd (datapath_type=system) on pfnl.

use anyhow::{Context, Result, ensure};
use pfnl_tests::client::{self, LIMIT};
use pfnl_tests::net::Peer;
use pfnl_tests::runner::{OrSkip, Test};
use pfnl_tests::sandbox::{self, quiet};
use pfnl_tests::vswitch::{Vswitch, until};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("vswitchd: a bridge; ping, and what its tools say", a_bridge),
    ("vswitchd: packets go on while it restarts", restart),
    ("vswitchd: killed, it takes its datapath up again", kill),
    ("vswitchd: two bridges and patch ports", patch_ports),
    ("vswitchd: a mirror", mirror),
    ("vswitchd: a bond with LACP loses a link", bond),
    ("vswitchd: the host is killed and comes back", host_comes_back),
    ("long: vswitchd: STP breaks a loop", stp),
    ("long: vswitchd: 100,000 megaflows are put, dumped and revalidated", many_flows),
];

/// A switch, and two peers whose ports are not yet the switch's.
fn start(name: &str) -> Result<(Vswitch, Peer, Peer)> {
    sandbox::tap_allowed().or_skip()?;
    let left = Peer::new("left", "p1", "10.9.0.1")?;
    let right = Peer::new("right", "p2", "10.9.0.2")?;
    Ok((Vswitch::start(name)?, left, right))
}

fn ping(from: &Peer, to: &Peer, count: &str) -> Result<()> {
    let command = ["ping", "-n", "-c", count, "-i", "0.1", "-W", "2", &to.address];
    client::run(&from.enter(), &command, Duration::from_secs(60))?.prints(" 0% packet loss")?;
    Ok(())
}

/// Pings until one is answered: what has to be learned or negotiated first may take its time.
fn until_ping(from: &Peer, to: &Peer) -> Result<()> {
    let command = ["ping", "-n", "-c", "1", "-W", "1", &to.address];
    let end = Instant::now() + Duration::from_secs(60);
    while client::run(&from.enter(), &command, LIMIT)?.code != Some(0) {
        ensure!(Instant::now() < end, "{} does not reach {} in a minute", from.name, to.name);
    }
    Ok(())
}

fn a_bridge() -> Result<()> {
    let (mut switch, left, right) = start("vsw")?;
    switch.bridge("br0", &["actions=NORMAL"])?;
    switch.ports("br0", &["p1", "p2"])?;
    ping(&left, &right, "5")?;
    ping(&right, &left, "5")?;

    // OpenFlow: what was counted, by rule and by port.
    until("the rule's counters are read", || {
        let flows = switch.ofctl(&["dump-flows", "br0"])?;
        let counted = number_after(flows.prints("actions=NORMAL")?, "n_packets=").unwrap_or_default();
        Ok(counted >= 20)
    })?;
    let ports = switch.ofctl(&["dump-ports", "br0", "p1"])?;
    ensure!(number_after(ports.succeeds()?, "rx pkts=") >= Some(10), "too few packets:{}", ports.said());
    switch.ofctl(&["show", "br0"])?.prints("(p2)")?;
    // The datapath, asked by ovs-vswitchd itself and by another program.
    switch.appctl(&["dpctl/show"])?.prints("port 1: br0 (internal)")?;
    switch.host.dpctl(&["show"])?.prints("br0 (internal)")?;
    switch.appctl(&["dpctl/dump-flows"])?.prints("eth_type(0x0800),ipv4(frag=no)")?;
    switch.appctl(&["dpctl/dump-flows", "-m"])?.prints("ufid:")?;
    switch.appctl(&["dpctl/dump-dps"])?.prints("system@ovs-system")?;
    switch.appctl(&["dpif/dump-flows", "br0"])?.prints("in_port(")?;
    switch.appctl(&["dpctl/ct-get-limits"])?.prints("default limit=0")?;
    switch.appctl(&["dpctl/cache-get-size"])?.prints("masks-cache: size:256")?;
    switch.appctl(&["upcall/show"])?.prints("flows")?;
    switch.appctl(&["fdb/show", "br0"])?.prints("port  VLAN  MAC")?;
    let trace = ["ofproto/trace", "br0", "in_port=p1,icmp,nw_dst=10.9.0.2"];
    switch.appctl(&trace)?.prints("Datapath actions:")?;
    probes(&switch)?;
    // A port leaves, the bridge's own address is reached, and all goes at the end.
    quiet("ip", &["address", "add", "10.9.0.100/24", "dev", "br0"])?;
    quiet("ip", &["link", "set", "br0", "up"])?;
    let command = ["ping", "-n", "-c", "3", "-i", "0.1", "-W", "2", "10.9.0.100"];
    client::run(&left.enter(), &command, LIMIT)?.prints(" 0% packet loss")?;
    switch.vsctl(&["del-port", "br0", "p2"])?.succeeds()?;
    until("the port is gone", || Ok(!switch.host.dpctl(&["show"])?.succeeds()?.contains("p2")))?;
    let warnings = switch.warnings()?;
    ensure!(warnings.is_empty(), "ovs-vswitchd warns: {warnings:#?}");
    switch.exit(true)?;
    switch.host.dpctl(&["show", "ovs-system"])?.fails_with("No such device")?;
    ensure!(
        !fs::exists("/sys/class/net/br0")? || quiet("ip", &["link", "show", "br0"]).is_err(),
        "br0 is left"
    );
    Ok(())
}

/// What ovs-vswitchd has found out by its probes. Each request of theirs has Linux 6.12's answer (tests/golden); this is what it
/// makes of them all.
fn probes(switch: &Vswitch) -> Result<()> {
    let features = switch.appctl(&["dpif/show-dp-features", "br0"])?;
    for feature in [
        "Masked set action: Yes",
        "Ufid: Yes",
        "Truncate action: Yes",
        "Clone action: Yes",
        "Sample nesting: 10",
        "Conntrack eventmask: Yes",
        "Conntrack clear: Yes",
        "Max dp_hash algorithm: 1",
        "Check pkt length action: Yes",
        "Conntrack timeout policy: Yes",
        "Conntrack all-zero IP SNAT: Yes",
        "MPLS Label add: Yes",
        "Max VLAN headers: 2",
        "Max MPLS depth: 3",
        "Recirc: Yes",
        "CT state: Yes",
        "CT zone: Yes",
        "CT mark: Yes",
        "CT label: Yes",
        "CT state NAT: Yes",
        "CT orig tuple: Yes",
        "CT orig tuple for IPv6: Yes",
        // Of the user-space datapath only.
        "Tunnel push pop: No",
        "Optimized Balance TCP mode: No",
        "IPv6 ND Extension: No",
    ] {
        features.prints(feature)?;
    }
    Ok(())
}

/// The number behind a word.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.split_once(word)?.1;
    rest.split(|digit: char| !digit.is_ascii_digit()).next()?.parse().ok()
}

/// The datapath's flows by ovs-dpctl.
fn flows(switch: &Vswitch) -> Result<Vec<String>> {
    let dump = switch.host.dpctl(&["dump-flows", "ovs-system"])?;
    Ok(dump.succeeds()?.lines().map(str::to_owned).collect())
}

fn restart() -> Result<()> {
    let (mut switch, left, right) = start("again")?;
    switch.bridge("br0", &["actions=NORMAL"])?;
    switch.ports("br0", &["p1", "p2"])?;
    ping(&left, &right, "5")?;
    // A minute's worth of pings; what is lost of them is told at the end.
    let command = ["ping", "-n", "-c", "60", "-i", "0.1", "-W", "2", &right.address];
    let pings = client::start(&left.enter(), &command)?;
    sleep(Duration::from_millis(300));
    switch.exit(false)?;
    let kept = flows(&switch)?;
    ensure!(kept.iter().any(|flow| flow.contains("eth_type(0x0800)")), "no flow was kept: {kept:#?}");
    // The kept flows forward with nobody there to ask.
    ping(&right, &left, "3")?;
    // A flow's rule as OpenFlow had it is not in the database: put back before the first miss.
    switch
        .vsctl(&["--no-wait", "set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true"])?
        .succeeds()?;
    switch.daemon()?;
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"])?.succeeds()?;
    switch
        .vsctl(&["--no-wait", "remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait"])?
        .succeeds()?;
    let said = pings.finish(LIMIT)?;
    let received = number_after(said.stdout.as_str(), "packets transmitted, ").unwrap_or_default();
    said.count();
    ensure!(received >= 57, "{received} of 60 pings while ovs-vswitchd restarted:{}", said.said());
    ping(&left, &right, "3")?;
    switch.host.dpctl(&["show"])?.prints("p2")?;
    switch.exit(true)
}

fn kill() -> Result<()> {
    let (mut switch, left, right) = start("kill")?;
    switch.bridge("br0", &["actions=NORMAL"])?;
    switch.ports("br0", &["p1", "p2"])?;
    ping(&left, &right, "3")?;
    let before = switch
        .host
        .dpctl(&["show"])?
        .succeeds()?
        .lines()
        .find(|line| line.contains(": p1"))
        .map(str::to_owned);
    switch.kill()?;
    // Its sockets are gone: misses have nowhere to go, are counted, and nothing piles up.
    until("its sockets are closed", || Ok(switch.host.sockets()? == 0))?;
    switch.host.dpctl(&["del-flows", "ovs-system"])?.succeeds()?;
    let lost = |switch: &Vswitch| {
        Ok::<_, anyhow::Error>(
            number_after(switch.host.dpctl(&["show"])?.succeeds()?, "lost:").unwrap_or_default(),
        )
    };
    let was = lost(&switch)?;
    let _ = client::run(
        &left.enter(),
        &["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", &right.address],
        LIMIT,
    )?
    .ends_with(1)?;
    ensure!(lost(&switch)? > was, "no miss was counted as lost");
    // Another takes the datapath and its ports as they are.
    switch.daemon()?;
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"])?.succeeds()?;
    until_ping(&left, &right)?;
    ping(&left, &right, "3")?;
    let after = switch
        .host
        .dpctl(&["show"])?
        .succeeds()?
        .lines()
        .find(|line| line.contains(": p1"))
        .map(str::to_owned);
    ensure!(before.is_some() && before == after, "port p1 was {before:?} and is {after:?}");
    switch.exit(true)
}

fn patch_ports() -> Result<()> {
    let (mut switch, left, right) = start("patch")?;
    for (bridge, port, other) in [("br0", "to1", "to0"), ("br1", "to0", "to1")] {
        switch.bridge(bridge, &["actions=NORMAL"])?;
        let peer = format!("options:peer={other}");
        switch
            .vsctl(&["add-port", bridge, port, "--", "set", "interface", port, "type=patch", &peer])?
            .succeeds()?;
    }
    switch.ports("br0", &["p1"])?;
    switch.ports("br1", &["p2"])?;
    until_ping(&left, &right)?;
    ping(&left, &right, "5")?;
    // Patch ports are OVS's own: the datapath goes straight from one port to the other.
    let show = switch.host.dpctl(&["show"])?;
    ensure!(!show.succeeds()?.contains("to1"), "a patch port in the datapath:{}", show.said());
    switch.exit(true)
}

fn mirror() -> Result<()> {
    let (mut switch, left, right) = start("mirror")?;
    let watcher = Peer::new("watcher", "p3", "10.9.9.9")?;
    switch.bridge("br0", &["actions=NORMAL"])?;
    switch.ports("br0", &["p1", "p2", "p3"])?;
    switch
        .vsctl(&[
            "--",
            "--id=@out",
            "get",
            "port",
            "p3",
            "--",
            "--id=@m",
            "create",
            "mirror",
            "name=m0",
            "select_all=true",
            "output_port=@out",
            "--",
            "set",
            "bridge",
            "br0",
            "mirrors=@m",
        ])?
        .succeeds()?;
    let command = ["tcpdump", "-n", "-l", "-c", "4", "-Q", "in", "-i", "eth0", "icmp"];
    let mut tcpdump = client::start(&watcher.enter(), &command)?;
    tcpdump.says("listening on")?;
    ping(&left, &right, "5")?;
    let seen = tcpdump.finish(LIMIT)?;
    for part in ["10.9.0.1 > 10.9.0.2: ICMP echo request", "10.9.0.2 > 10.9.0.1: ICMP echo reply"] {
        seen.prints(part)?;
    }
    switch.exit(true)
}

fn veth(one: &str, other: &str) -> Result<()> {
    quiet("ip", &["link", "add", one, "type", "veth", "peer", "name", other])?;
    quiet("ip", &["link", "set", one, "up"])?;
    quiet("ip", &["link", "set", other, "up"])
}

/// Removes veth pairs at the end, however it comes.
struct Cables(&'static [&'static str]);

impl Drop for Cables {
    fn drop(&mut self) {
        for name in self.0 {
            let _ = quiet("ip", &["link", "del", name]);
        }
    }
}

fn bond() -> Result<()> {
    let (mut switch, left, right) = start("bond")?;
    let _cables = Cables(&["m1", "m2"]);
    veth("m1", "n1")?;
    veth("m2", "n2")?;
    switch.bridge("br0", &["actions=NORMAL"])?;
    switch.bridge("br1", &["actions=NORMAL"])?;
    let fast = ["lacp=active", "bond_mode=balance-tcp", "other_config:lacp-time=fast"];
    for (bridge, name, one, other) in [("br0", "bond0", "m1", "m2"), ("br1", "bond1", "n1", "n2")] {
        switch.vsctl(&[&["add-bond", bridge, name, one, other], fast.as_slice()].concat())?.succeeds()?;
    }
    switch.ports("br0", &["p1"])?;
    switch.ports("br1", &["p2"])?;
    until_ping(&left, &right)?;
    until("LACP is agreed", || {
        Ok(switch.appctl(&["bond/show", "bond0"])?.prints("lacp_status:")?.contains("negotiated"))
    })?;
    ping(&left, &right, "5")?;
    // balance-tcp chooses the link by a hash and a second pass through the datapath.
    ensure!(
        flows(&switch)?.iter().any(|flow| flow.contains("hash(")),
        "no flow hashes: {:#?}",
        flows(&switch)?
    );
    quiet("ip", &["link", "set", "m1", "down"])?;
    until("the link is seen to be down", || {
        Ok(switch.appctl(&["bond/show", "bond0"])?.succeeds()?.contains("m1: disabled"))
    })?;
    until_ping(&left, &right)?;
    ping(&left, &right, "5")?;
    switch.exit(true)
}

fn host_comes_back() -> Result<()> {
    let (mut switch, left, right) = start("back")?;
    switch.bridge("br0", &["actions=NORMAL"])?;
    switch.ports("br0", &["p1", "p2"])?;
    ping(&left, &right, "3")?;
    // As when a module is unloaded by force: ovs-vswitchd lives and says so, and starts anew on the next one.
    switch.host.restart()?;
    switch.appctl(&["version"])?.succeeds().context("ovs-vswitchd hangs without its datapath")?;
    switch.kill()?;
    switch.daemon()?;
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"])?.succeeds()?;
    until_ping(&left, &right)?;
    switch.exit(true)
}

fn stp() -> Result<()> {
    let (mut switch, left, right) = start("stp")?;
    let _cables = Cables(&["m1", "m2"]);
    veth("m1", "n1")?;
    veth("m2", "n2")?;
    for bridge in ["br0", "br1"] {
        switch.bridge(bridge, &["actions=NORMAL"])?;
        let quick = [
            "other_config:stp-forward-delay=4",
            "other_config:stp-max-age=6",
            "other_config:stp-hello-time=1",
        ];
        switch
            .vsctl(&[&["set", "bridge", bridge, "stp_enable=true"], quick.as_slice()].concat())?
            .succeeds()?;
    }
    switch.ports("br0", &["p1", "m1", "m2"])?;
    switch.ports("br1", &["p2", "n1", "n2"])?;
    until_ping(&left, &right)?;
    ping(&left, &right, "5")?;
    let show = switch.appctl(&["stp/show"])?;
    show.prints("blocking")?;
    ensure!(show.stdout.matches("forwarding").count() >= 4, "too few ports forward:{}", show.said());
    switch.exit(true)
}

/// Sends a datagram from each of 50,000 ports to each of two addresses.
const BLAST: &str = "
import socket, sys, time
for to in ('10.9.0.2', '10.9.0.3'):
    for port in range(10000, 60000):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(('', port)); s.sendto(b'x', (to, 9)); s.close()
        if port % 16 == 0: time.sleep(0.001)
";

fn many_flows() -> Result<()> {
    let (mut switch, left, _right) = start("many")?;
    switch
        .vsctl(&[
            "set",
            "Open_vSwitch",
            ".",
            "other_config:flow-limit=200000",
            "other_config:max-idle=300000",
        ])?
        .succeeds()?;
    // Choosing by the transport's ports makes a megaflow for each.
    let by_hash = "udp,in_port=p1,actions=multipath(symmetric_l3l4+udp,1024,hash_threshold,4,0,NXM_NX_REG0[]),output:p2";
    switch.bridge("br0", &[])?;
    switch.ports("br0", &["p1", "p2"])?;
    switch.ofctl(&["add-flow", "br0", by_hash])?.succeeds()?;
    for to in ["10.9.0.2", "10.9.0.3"] {
        left.ip(&["neigh", "replace", to, "lladdr", "02:00:00:00:00:02", "dev", "eth0"])?;
    }
    let count = |switch: &Vswitch| {
        Ok::<_, anyhow::Error>(
            number_after(switch.host.dpctl(&["show"])?.succeeds()?, "flows: ").unwrap_or_default(),
        )
    };
    let (began, mut put) = (Instant::now(), 0);
    for _ in 0..10 {
        let sent = client::run(&left.enter(), &["/usr/bin/python3", "-c", BLAST], Duration::from_secs(300))?;
        ensure!(sent.code == Some(0), "the sender:{}", sent.said());
        put = count(&switch)?;
        if put >= 100_000 {
            break;
        }
    }
    let upcalls = switch.appctl(&["upcall/show"])?;
    ensure!(put >= 100_000, "{put} flows:{}", upcalls.said());
    println!("    {put} megaflows after {:.1} s", began.elapsed().as_secs_f32());
    let began = Instant::now();
    let dumped = flows(&switch)?.len() as u64;
    println!("    dumped {dumped} in {:.1} s", began.elapsed().as_secs_f32());
    ensure!(dumped >= put, "{dumped} of {put} flows dumped");
    // A new rule changes what all of them do; each is looked at again.
    let began = Instant::now();
    switch.ofctl(&["add-flow", "br0", "udp,in_port=p1,priority=40000,actions=drop"])?.succeeds()?;
    let end = Instant::now() + Duration::from_secs(120);
    while flows(&switch)?.iter().any(|flow| !flow.ends_with("actions:drop")) {
        ensure!(Instant::now() < end, "flows still forward two minutes after the rule");
        sleep(Duration::from_millis(500));
    }
    println!("    revalidated after {:.1} s", began.elapsed().as_secs_f32());
    switch.appctl(&["upcall/show"])?.prints("(limit ")?;
    switch.exit(true).context("with 100,000 flows")
}
