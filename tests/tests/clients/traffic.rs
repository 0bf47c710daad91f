//! Packets of the machine's own network stack cross pfnl's datapath between two namespaces.

use crate::families::script;
use anyhow::{Context, Result, ensure};
use pfnl_tests::client::{self, LIMIT};
use pfnl_tests::host::Host;
use pfnl_tests::net::Peer;
use pfnl_tests::runner::{OrSkip, Test};
use pfnl_tests::sandbox;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("traffic: ping both ways, every packet counted", ping_both_ways),
    ("traffic: no flow, no packet", no_flow_no_packet),
    ("traffic: 100 pings of 65,000 bytes", big_pings),
    ("traffic: iperf3 TCP with offloads", tcp),
    ("traffic: push_vlan is seen at the peer", push_vlan),
    ("traffic: pop_vlan is seen at the peer", pop_vlan),
    ("traffic: two VLAN tags", two_tags),
    ("traffic: set(eth, ipv4) is seen at the peer", set_fields),
    ("traffic: ping the datapath's own port", internal_port),
    ("traffic: a miss goes up to the port's socket", miss_goes_up),
];

/// Two peers on ports 1 and 2 of `dp0`.
pub struct Switch {
    pub host: Host,
    pub left: Peer,
    pub right: Peer,
}

impl Switch {
    pub fn new(name: &str) -> Result<Switch> {
        sandbox::tap_allowed().or_skip()?;
        let left = Peer::new("left", "p1", "10.9.0.1")?;
        let right = Peer::new("right", "p2", "10.9.0.2")?;
        let host = Host::serve(name)?;
        host.dpctl(&["add-dp", "dp0"])?.succeeds()?;
        host.dpctl(&["add-if", "dp0", "p1"])?.succeeds()?;
        host.dpctl(&["add-if", "dp0", "p2"])?.succeeds()?;
        Ok(Switch { host, left, right })
    }

    pub fn flow(&self, key: &str, actions: &str) -> Result<()> {
        self.host.dpctl(&["add-flow", "dp0", key, actions])?.succeeds()?;
        Ok(())
    }

    /// Everything from one port to the other: ARP, IPv4.
    fn patch(&self) -> Result<()> {
        for (from, to) in [(1, "2"), (2, "1")] {
            self.flow(&format!("in_port({from}),eth(),eth_type(0x0806),arp()"), to)?;
            self.flow(&format!("in_port({from}),eth(),eth_type(0x0800),ipv4(frag=no)"), to)?;
            self.flow(&format!("in_port({from}),eth(),eth_type(0x0800),ipv4(frag=first)"), to)?;
            self.flow(&format!("in_port({from}),eth(),eth_type(0x0800),ipv4(frag=later)"), to)?;
        }
        Ok(())
    }

    fn packets(&self, port: u32, kind: &str) -> Result<u64> {
        let flows = self.host.dpctl(&["dump-flows", "dp0"])?;
        let (port, all) = (format!("in_port({port})"), flows.succeeds()?);
        let flow = all.lines().find(|flow| flow.contains(&port) && flow.contains(kind));
        let flow = flow.with_context(|| format!("no flow with {port} and {kind} in\n{all}"))?;
        let count = flow.split_once("packets:").and_then(|(_, rest)| rest.split(',').next());
        Ok(count.context("a flow without packets")?.parse()?)
    }
}

pub fn ping(from: &Peer, to: &str, options: &[&str]) -> Result<()> {
    let command = [&["ping", "-n", "-W", "2"], options, &[to]].concat();
    client::run(&from.enter(), &command, Duration::from_secs(60))?.prints(" 0% packet loss")?;
    Ok(())
}

fn ping_both_ways() -> Result<()> {
    let switch = Switch::new("ping")?;
    switch.patch()?;
    ping(&switch.left, &switch.right.address, &["-c", "5", "-i", "0.1"])?;
    ping(&switch.right, &switch.left.address, &["-c", "5", "-i", "0.1"])?;
    for port in [1, 2] {
        let counted = switch.packets(port, "ipv4(frag=no)")?;
        ensure!(counted == 10, "port {port}: {counted} of 10 packets counted");
    }
    switch.host.dpctl(&["show"])?.prints("port 2: p2\n")?;
    Ok(())
}

fn no_flow_no_packet() -> Result<()> {
    let switch = Switch::new("dark")?;
    let command = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", &switch.right.address];
    let outcome = client::run(&switch.left.enter(), &command, LIMIT)?;
    outcome.ends_with(1)?;
    ensure!(
        outcome.stdout.contains("100% packet loss"),
        "packets crossed an empty flow table:{}",
        outcome.said()
    );
    let show = switch.host.dpctl(&["show"])?;
    ensure!(!show.succeeds()?.contains("missed:0 "), "no miss was counted:{}", show.said());
    Ok(())
}

fn big_pings() -> Result<()> {
    let switch = Switch::new("big")?;
    switch.patch()?;
    // Adaptive: one at a time, as ping's own receive buffer holds no more than two of this size.
    ping(&switch.left, &switch.right.address, &["-A", "-c", "100", "-s", "65000"])
}

fn tcp() -> Result<()> {
    let switch = Switch::new("tcp")?;
    switch.patch()?;
    let mut server =
        client::start(&switch.right.enter(), &["iperf3", "--server", "--one-off", "--forceflush"])?;
    server.says("Server listening")?;
    let command = ["iperf3", "--client", &switch.right.address, "--time", "3", "--json"];
    let sent = client::run(&switch.left.enter(), &command, LIMIT)?;
    let text = sent.succeeds()?;
    let received: f64 = field(text, "sum_received", "bytes").context("iperf3 says nothing received")?;
    server.finish(LIMIT)?.succeeds()?;
    println!("    iperf3: {:.2} Gbit/s", received * 8.0 / 3.0 / 1e9);
    // Offloads: far fewer packets than 1500-byte ones would be. Segments of 1448 bytes, headers in front.
    let packets = switch.packets(1, "ipv4(frag=no)")?;
    ensure!(received > 1e7, "{received} bytes in 3 s");
    ensure!(
        (packets as f64) < received / 1448.0,
        "{packets} packets for {received} bytes: no offload came through"
    );
    Ok(())
}

/// A number of iperf3's JSON: the first `name` after `section`.
fn field(json: &str, section: &str, name: &str) -> Option<f64> {
    let rest = json.split_once(&format!("\"{section}\""))?.1;
    let value = rest.split_once(&format!("\"{name}\":"))?.1;
    value.split([',', '\n', '}']).next()?.trim().parse().ok()
}

/// Listens at a peer while `send` runs; what tcpdump printed.
fn seen(peer: &Peer, filter: &[&str], send: impl FnOnce() -> Result<()>) -> Result<String> {
    let command = [&["tcpdump", "-n", "-e", "-l", "-c", "1", "-Q", "in", "-i", "eth0"], filter].concat();
    let mut tcpdump = client::start(&peer.enter(), &command)?;
    tcpdump.says("listening on")?;
    send()?;
    let outcome = tcpdump.finish(Duration::from_secs(8))?;
    outcome.ends_with(0)?;
    Ok(outcome.stdout)
}

/// A ping nobody answers.
fn cry(from: &Peer, to: &str) -> Result<()> {
    sandbox::quiet(
        "nsenter",
        &[&from.enter()[1], "ip", "neigh", "replace", to, "lladdr", "02:00:00:00:00:02", "dev", "eth0"],
    )?;
    // It ends with 1, as it must.
    let _ =
        sandbox::quiet("nsenter", &[&from.enter()[1], "ping", "-n", "-c", "2", "-i", "0.3", "-W", "1", to]);
    Ok(())
}

fn push_vlan() -> Result<()> {
    let switch = Switch::new("push")?;
    switch.flow("in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)", "push_vlan(vid=100,pcp=3),2")?;
    let line = seen(&switch.right, &["vlan"], || cry(&switch.left, "10.9.0.77"))?;
    for part in ["802.1Q", "vlan 100, p 3", "10.9.0.1 > 10.9.0.77: ICMP echo request"] {
        ensure!(line.contains(part), "no {part} in: {line}");
    }
    Ok(())
}

fn pop_vlan() -> Result<()> {
    let switch = Switch::new("pop")?;
    switch.flow(
        "in_port(1),eth(),eth_type(0x8100),vlan(vid=7,pcp=0),encap(eth_type(0x0800),ipv4(frag=no))",
        "pop_vlan,2",
    )?;
    let line = seen(&switch.right, &["icmp"], || frame(&switch.left, &["10.8.0.1", "10.8.0.9", "7"]))?;
    ensure!(line.contains("10.8.0.1 > 10.8.0.9: ICMP echo request"), "not the ping: {line}");
    ensure!(!line.contains("vlan"), "the tag is still there: {line}");
    Ok(())
}

/// A second tag in front of the first, and both of them off again on the way back.
fn two_tags() -> Result<()> {
    let switch = Switch::new("qinq")?;
    let inner = "vlan(vid=7,pcp=0),encap(eth_type(0x0800),ipv4(frag=no))";
    switch.flow(
        &format!("in_port(1),eth(),eth_type(0x8100),{inner}"),
        "push_vlan(tpid=0x88a8,vid=99,pcp=0),2",
    )?;
    let line = seen(&switch.right, &["vlan", "99"], || frame(&switch.left, &["10.8.0.1", "10.8.0.9", "7"]))?;
    for part in ["802.1Q-QinQ", "vlan 99", "vlan 7", "10.8.0.1 > 10.8.0.9: ICMP echo request"] {
        ensure!(line.contains(part), "no {part} in: {line}");
    }
    let tags = "eth_type(0x8100),vlan(vid=99,pcp=0),encap(eth_type(0x8100),vlan(vid=7,pcp=0),encap(eth_type(0x0800),ipv4(frag=no)))";
    switch.flow(&format!("in_port(2),eth(),{tags}"), "pop_vlan,pop_vlan,1")?;
    let line = seen(&switch.left, &["icmp"], || frame(&switch.right, &["10.8.0.9", "10.8.0.1", "99", "7"]))?;
    ensure!(
        line.contains("10.8.0.9 > 10.8.0.1: ICMP echo request") && !line.contains("vlan"),
        "still tagged: {line}"
    );
    Ok(())
}

/// Sends raw frames from a peer.
fn frame(from: &Peer, arguments: &[&str]) -> Result<()> {
    let script = script("frame.py");
    sandbox::quiet("nsenter", &[&[&from.enter()[1], "/usr/bin/python3", &script, "eth0"], arguments].concat())
}

fn set_fields() -> Result<()> {
    let switch = Switch::new("set")?;
    let actions =
        "set(eth(src=02:00:00:00:00:aa,dst=02:00:00:00:00:bb)),set(ipv4(src=10.5.5.5,dst=10.6.6.6,ttl=9)),2";
    let key = "in_port(1),eth(src=00:00:00:00:00:00/00:00:00:00:00:00,dst=02:00:00:00:00:02),eth_type(0x0800),\
        ipv4(src=10.9.0.1,dst=10.9.0.77,frag=no)";
    switch.flow(key, actions)?;
    let line = seen(&switch.right, &["-v", "icmp"], || cry(&switch.left, "10.9.0.77"))?;
    for part in ["02:00:00:00:00:aa > 02:00:00:00:00:bb", "ttl 9", "10.5.5.5 > 10.6.6.6: ICMP echo request"] {
        ensure!(line.contains(part), "no {part} in: {line}");
    }
    ensure!(!line.contains("bad cksum"), "a wrong checksum: {line}");
    Ok(())
}

fn internal_port() -> Result<()> {
    let switch = Switch::new("internal")?;
    sandbox::quiet("ip", &["address", "add", "10.9.0.100/24", "dev", "dp0"])?;
    sandbox::quiet("ip", &["link", "set", "dp0", "up"])?;
    for (from, to) in [(0, "1"), (1, "0")] {
        switch.flow(&format!("in_port({from}),eth(),eth_type(0x0806),arp()"), to)?;
        switch.flow(&format!("in_port({from}),eth(),eth_type(0x0800),ipv4(frag=no)"), to)?;
    }
    ping(&switch.left, "10.9.0.100", &["-c", "3", "-i", "0.1"])
}

fn miss_goes_up() -> Result<()> {
    sandbox::tap_allowed().or_skip()?;
    let left = Peer::new("left", "p1", "10.9.0.1")?;
    let host = Host::serve("miss")?;
    let (script, ready) = (script("upcall.py"), format!("{}/upcall-ready", sandbox::SCRATCH));
    let client = host.start(&["/usr/bin/python3", &script, "dp0", "p1", &ready])?;
    // Not by ovs-dpctl, which would turn on dispatch by processor.
    let end = Instant::now() + Duration::from_secs(5);
    while !std::fs::exists(&ready)? && Instant::now() < end {
        sleep(Duration::from_millis(20));
    }
    let _ = sandbox::quiet("nsenter", &[&left.enter()[1], "ping", "-n", "-c", "2", "-W", "1", "10.9.0.2"]);
    let mut outcome = client.finish(LIMIT)?;
    outcome.client = "python3 (raw genetlink)".to_owned();
    outcome.prints("miss on port 1, ethertype 0x0806, ")?;
    Ok(())
}
