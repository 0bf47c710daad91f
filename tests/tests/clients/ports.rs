//! Ports over their interfaces' lives: what becomes of them, and that nothing is left.

use anyhow::{Context, Result, ensure};
use pfnl_tests::client::{self, LIMIT};
use pfnl_tests::host::Host;
use pfnl_tests::net::Peer;
use pfnl_tests::runner::{OrSkip, Test};
use pfnl_tests::sandbox::{self, quiet};
use pfnl_tests::vswitch::until;
use std::thread::sleep;
use std::time::Duration;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("ports: renamed, its vport has the new name", renamed),
    ("ports: moved to another namespace", moved),
    ("ports: an internal one works in another namespace", internal_moved),
    ("ports: what is longer than the MTU is dropped", mtu),
    ("ports: down and up again", down_and_up),
    ("ports: a capture on one sees what comes and what goes", captured),
    ("ports: nothing is left of 18 datapaths", nothing_left),
    ("ports: idle ones take no processor time", idle),
    ("long: ports: 1,000 of them", thousand),
];

fn two_ports(name: &str) -> Result<(Host, Peer, Peer)> {
    sandbox::tap_allowed().or_skip()?;
    let left = Peer::new("left", "p1", "10.9.0.1")?;
    let right = Peer::new("right", "p2", "10.9.0.2")?;
    let host = Host::serve(name)?;
    host.dpctl(&["add-dp", "dp0"])?.succeeds()?;
    host.dpctl(&["add-if", "dp0", "p1"])?.succeeds()?;
    host.dpctl(&["add-if", "dp0", "p2"])?.succeeds()?;
    for (from, to) in [("1", "2"), ("2", "1")] {
        for kind in ["eth_type(0x0806),arp()", "eth_type(0x0800),ipv4(frag=no)"] {
            host.dpctl(&["add-flow", "dp0", &format!("in_port({from}),eth(),{kind}"), to])?.succeeds()?;
        }
    }
    Ok((host, left, right))
}

fn ping(from: &Peer, to: &str, options: &[&str]) -> Result<bool> {
    let command = [&["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1"], options, &[to]].concat();
    let outcome = client::run(&from.enter(), &command, LIMIT)?;
    outcome.count();
    Ok(outcome.stdout.contains(" 0% packet loss"))
}

fn shows(host: &Host, words: &str) -> Result<bool> {
    Ok(host.dpctl(&["show"])?.succeeds()?.contains(words))
}

fn captured() -> Result<()> {
    let (_host, left, right) = two_ports("captured")?;
    let mut tcpdump = client::start(&[], &["tcpdump", "-n", "-l", "-c", "2", "-i", "p2", "icmp"])?;
    tcpdump.says("listening on")?;
    ensure!(ping(&left, &right.address, &[])?, "no packet crosses");
    let seen = tcpdump.finish(LIMIT)?;
    seen.prints("10.9.0.1 > 10.9.0.2: ICMP echo request")?;
    seen.prints("10.9.0.2 > 10.9.0.1: ICMP echo reply")?;
    Ok(())
}

fn renamed() -> Result<()> {
    let (host, left, right) = two_ports("renamed")?;
    quiet("ip", &["link", "set", "p2", "down"])?;
    quiet("ip", &["link", "set", "p2", "name", "other"])?;
    quiet("ip", &["link", "set", "other", "up"])?;
    until("the vport has the new name", || shows(&host, "port 2: other\n"))?;
    until("packets cross again", || ping(&left, &right.address, &[]))?;
    host.dpctl(&["del-if", "dp0", "other"])?.succeeds()?;
    quiet("ip", &["link", "del", "other"])
}

fn moved() -> Result<()> {
    let (host, left, right) = two_ports("moved")?;
    let other = Peer::new("other", "p3", "10.9.0.3")?;
    quiet("ip", &["link", "set", "p2", "netns", &other.name])?;
    until("the vport is gone", || Ok(!shows(&host, "p2")?))?;
    ensure!(!ping(&left, &right.address, &[])?, "packets reach an interface that is elsewhere");
    // It comes back as any other interface would.
    quiet("ip", &["-n", &other.name, "link", "set", "p2", "netns", "1"])?;
    quiet("ip", &["link", "set", "p2", "up"])?;
    host.dpctl(&["add-if", "dp0", "p2"])?.succeeds()?;
    until("packets cross again", || ping(&left, &right.address, &[]))
}

fn internal_moved() -> Result<()> {
    let (host, left, _right) = two_ports("inside")?;
    host.dpctl(&["add-if", "dp0", "in0,type=internal"])?.succeeds()?;
    let show = host.dpctl(&["show"])?;
    let number = show
        .prints(": in0 (internal)")?
        .lines()
        .find_map(|line| line.trim().strip_suffix(": in0 (internal)"));
    let number = number.and_then(|line| line.strip_prefix("port ")).context("in0 has no number")?.to_owned();
    for (from, to) in [("1", number.as_str()), (number.as_str(), "1")] {
        for kind in ["eth_type(0x0806),arp()", "eth_type(0x0800),ipv4(frag=no)"] {
            host.dpctl(&["del-flow", "dp0", &format!("in_port({from}),eth(),{kind}")]).map(drop)?;
            host.dpctl(&["add-flow", "dp0", &format!("in_port({from}),eth(),{kind}"), to])?.succeeds()?;
        }
    }
    let other = Peer::new("other", "p3", "10.8.0.3")?;
    quiet("ip", &["link", "set", "in0", "netns", &other.name])?;
    other.ip(&["address", "add", "10.9.0.7/24", "dev", "in0"])?;
    other.ip(&["link", "set", "in0", "up"])?;
    until("packets reach it there", || ping(&left, "10.9.0.7", &[]))?;
    ensure!(shows(&host, ": in0 (internal)")?, "the vport is gone");
    // It goes with the namespace that it is in.
    drop(other);
    until("the vport is gone", || Ok(!shows(&host, "in0")?))
}

fn mtu() -> Result<()> {
    let (host, left, right) = two_ports("mtu")?;
    let whole = ["-M", "do", "-s", "1400"];
    ensure!(ping(&left, &right.address, &whole)?, "1,428 bytes do not cross");
    quiet("ip", &["link", "set", "p2", "mtu", "1000"])?;
    until("long packets are dropped", || Ok(!ping(&left, &right.address, &whole)?))?;
    ensure!(ping(&left, &right.address, &["-s", "900"])?, "short packets do not cross");
    quiet("ip", &["link", "set", "p2", "mtu", "1500"])?;
    until("long packets cross again", || ping(&left, &right.address, &whole))?;
    drop(host);
    Ok(())
}

fn down_and_up() -> Result<()> {
    let (host, left, right) = two_ports("down")?;
    ensure!(ping(&left, &right.address, &[])?, "no packet crosses");
    for _ in 0..3 {
        quiet("ip", &["link", "set", "p2", "down"])?;
        ensure!(!ping(&left, &right.address, &[])?, "packets cross an interface that is down");
        quiet("ip", &["link", "set", "p2", "up"])?;
        until("packets cross again", || ping(&left, &right.address, &[]))?;
    }
    ensure!(shows(&host, "port 2: p2\n")?, "the vport is gone");
    Ok(())
}

fn nothing_left() -> Result<()> {
    let (host, _left, _right) = two_ports("leaks")?;
    // What is made once and stays is made now.
    host.dpctl(&["add-dp", "dp1"])?.succeeds()?;
    host.dpctl(&["del-dp", "dp1"])?.succeeds()?;
    settled(&host, "before")?;
    let before = host.holds()?;
    for round in 0..18 {
        host.dpctl(&["add-dp", "dp1"])?.succeeds()?;
        host.dpctl(&["add-if", "dp1", "in1,type=internal"])?.succeeds()?;
        quiet("ip", &["link", "add", "v1", "type", "veth", "peer", "name", "v2"])?;
        host.dpctl(&["add-if", "dp1", "v1"])?.succeeds()?;
        host.dpctl(&["add-flow", "dp1", "in_port(1),eth(),eth_type(0x0806),arp()", "2"])?.succeeds()?;
        // Every way for a port to go: by its interface, by name, with its datapath.
        match round % 3 {
            0 => quiet("ip", &["link", "del", "v1"])?,
            1 => host.dpctl(&["del-if", "dp1", "v1"])?.succeeds().map(drop)?,
            _ => {}
        }
        host.dpctl(&["del-dp", "dp1"])?.succeeds()?;
        if round % 3 != 0 {
            quiet("ip", &["link", "del", "v1"])?;
        }
    }
    settled(&host, "after")?;
    let after = host.holds()?;
    ensure!(before == after, "descriptors and threads: {before:?} before, {after:?} after");
    Ok(())
}

/// Waits until clients that have ended are gone from the host too.
fn settled(host: &Host, when: &str) -> Result<()> {
    until(&format!("no client is left {when}"), || {
        let one = host.holds()?;
        sleep(Duration::from_millis(200));
        Ok(host.holds()? == one)
    })
}

fn idle() -> Result<()> {
    let (host, left, right) = two_ports("idle")?;
    for number in 0..20 {
        host.dpctl(&["add-if", "dp0", &format!("idle{number},type=internal")])?.succeeds()?;
    }
    ensure!(ping(&left, &right.address, &[])?, "no packet crosses");
    sleep(Duration::from_millis(500));
    let before = host.used()?;
    sleep(Duration::from_secs(4));
    let used = host.used()? - before;
    ensure!(used <= Duration::from_millis(20), "{used:?} of processor time in four idle seconds");
    Ok(())
}

fn thousand() -> Result<()> {
    let (host, left, right) = two_ports("thousand")?;
    let before = host.holds()?;
    for hundred in 0..10 {
        let names: Vec<String> = (0..100).map(|one| format!("in{hundred}x{one},type=internal")).collect();
        let words: Vec<&str> =
            ["add-if", "dp0"].into_iter().chain(names.iter().map(String::as_str)).collect();
        host.run(&[&["ovs-dpctl"], words.as_slice()].concat())?.succeeds()?;
    }
    let show = host.dpctl(&["show"])?;
    let count = show.succeeds()?.matches("(internal)").count();
    ensure!(count == 1001, "{count} internal ports");
    ensure!(ping(&left, &right.address, &[])?, "no packet crosses beside a thousand ports");
    let began = host.used()?;
    sleep(Duration::from_secs(2));
    let used = host.used()? - began;
    ensure!(used <= Duration::from_millis(20), "{used:?} of processor time in two idle seconds");
    let (descriptors, threads) = host.holds()?;
    println!("    {} descriptors, {threads} threads with 1,002 ports", descriptors);
    ensure!(threads == before.1, "{threads} threads, {} before", before.1);
    host.dpctl(&["del-dp", "dp0"])?.succeeds()?;
    settled(&host, "at the end")?;
    let after = host.holds()?;
    ensure!(after.0 <= before.0, "descriptors: {} before the ports, {} after", before.0, after.0);
    ensure!(quiet("ip", &["link", "show", "in3x3"]).is_err(), "interfaces are left");
    Ok(())
}
