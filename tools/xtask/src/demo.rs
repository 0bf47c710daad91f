//! `cargo xtask demo`: an unmodified ovs-dpctl programs pfnl's datapath, and pings cross it in both directions.
//!
//! Everything happens in a sandbox (pfnl_tests::sandbox), so the machine's own network is never touched and
//! nothing stays, also when the demo is interrupted.

use crate::packages::{self, Part};
use anyhow::{Context, Result, ensure};
use pfnl_tests::client::{self, LIMIT, Outcome};
use pfnl_tests::host::{self, Host};
use pfnl_tests::net::Peer;
use pfnl_tests::sandbox;
use std::time::Instant;

const PINGS: u64 = 5;

/// The flows: ARP and ICMP over IPv4, both ways.
const FLOWS: [(&str, &str); 4] = [
    ("in_port(1),eth(),eth_type(0x0806),arp()", "2"),
    ("in_port(2),eth(),eth_type(0x0806),arp()", "1"),
    ("in_port(1),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()", "2"),
    ("in_port(2),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()", "1"),
];

/// Builds, enters the sandbox, shows.
pub fn run() -> Result<()> {
    if sandbox::inside() {
        return inside();
    }
    packages::need(&[Part::Demo])?;
    sandbox::flags().context("the demo needs namespaces of its own")?;
    println!("Building pfnl (a minute the first time) …");
    host::build()?;
    let status = sandbox::enter(&["demo"])?;
    ensure!(status.success(), "the demo failed ({status})");
    Ok(())
}

fn inside() -> Result<()> {
    let began = Instant::now();
    sandbox::prepare()?;
    if let Err(why) = sandbox::tap_allowed() {
        println!(
            "Note: {why:#}: dp0, the datapath's own port, will be no interface here. The demo can do without."
        );
    }

    title("Two namespaces, each joined to the switch by a veth pair");
    let left = Peer::new("left", "p1", "10.9.0.1")?;
    let right = Peer::new("right", "p2", "10.9.0.2")?;
    for peer in [&left, &right] {
        println!("{:<12} {} on eth0, switch side: {}", peer.name, peer.address, peer.port);
    }

    title("A pfnl host; every ovs-dpctl below is Debian's own, run as `pfnl run --socket … -- ovs-dpctl …`");
    let host = Host::serve("demo")?;
    println!("$ pfnl serve --socket {}", host.socket);
    show(&host.run(&["genl-ctrl-list"])?)?;
    show(&host.dpctl(&["add-dp", "dp0"])?)?;
    show(&host.dpctl(&["add-if", "dp0", "p1"])?)?;
    show(&host.dpctl(&["add-if", "dp0", "p2"])?)?;
    for (flow, actions) in FLOWS {
        show(&host.dpctl(&["add-flow", "dp0", flow, actions])?)?;
    }
    let ports = show(&host.dpctl(&["show"])?)?;
    ensure!(ports.contains("port 1: p1") && ports.contains("port 2: p2"), "the ports are not there");

    title("Pings in both directions");
    ping(&left, &right)?;
    ping(&right, &left)?;

    title("The flows and what they counted");
    let flows = show(&host.dpctl(&["dump-flows", "dp0"])?)?;
    for port in [1, 2] {
        // Requests one way and replies to the other's requests: both pings cross both flows.
        let counted = packets(&flows, port, "eth_type(0x0800)")?;
        ensure!(counted == 2 * PINGS, "port {port}: {counted} ICMP packets counted, {} sent", 2 * PINGS);
        ensure!(packets(&flows, port, "eth_type(0x0806)")? >= 1, "port {port}: no ARP packet was counted");
    }

    title("And away");
    show(&host.dpctl(&["del-dp", "dp0"])?)?;
    let rest = show(&host.dpctl(&["dump-dps"])?)?;
    ensure!(rest.is_empty(), "a datapath is left: {rest}");
    drop((host, left, right));
    let took = began.elapsed().as_secs_f32();
    println!("\ndemo: ok: {} pings, 0% lost, all {} ICMP packets counted, {took:.1} s", 2 * PINGS, 4 * PINGS);
    Ok(())
}

fn title(text: &str) {
    println!("\n== {text}");
}

/// Prints a client's command and words; it must succeed.
fn show(outcome: &Outcome) -> Result<String> {
    let quoted = outcome.line.replace("in_port", "'in_port").replace(") ", ")' ");
    println!("$ {quoted}");
    print!("{}{}", outcome.stdout, outcome.stderr);
    outcome.succeeds().map(str::to_owned)
}

fn ping(from: &Peer, to: &Peer) -> Result<()> {
    println!("# in {}:", from.name);
    let count = PINGS.to_string();
    let command = ["ping", "-n", "-c", &count, "-i", "0.2", "-W", "2", &to.address];
    let said = show(&client::run(&from.enter(), &command, LIMIT)?)?;
    ensure!(said.contains(" 0% packet loss"), "packets were lost");
    Ok(())
}

/// `packets:N` of the flow that matches a port and an Ethernet type.
fn packets(flows: &str, port: u32, kind: &str) -> Result<u64> {
    let port = format!("in_port({port})");
    let flow = flows.lines().find(|flow| flow.contains(&port) && flow.contains(kind));
    let flow = flow.with_context(|| format!("no flow with {port} and {kind}"))?;
    let count = flow.split_once("packets:").and_then(|(_, rest)| rest.split(',').next());
    Ok(count.context("a flow without a packet count")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::packets;

    #[test]
    fn counts_are_read() {
        let flows = "in_port(1),eth(),eth_type(0x0806), packets:0, bytes:0, used:never, actions:2\n\
                     in_port(2),eth(),eth_type(0x0800),ipv4(proto=1,frag=no), packets:10, bytes:980, used:0.1s, actions:1\n";
        assert_eq!(packets(flows, 2, "eth_type(0x0800)").unwrap(), 10);
        assert_eq!(packets(flows, 1, "eth_type(0x0806)").unwrap(), 0);
        assert!(packets(flows, 1, "eth_type(0x0800)").is_err());
    }
}
