//! Connections that the datapath tracks, as conntrack(8), ovs-dpctl and pyroute2 see them over NETLINK_NETFILTER.

use crate::families::{python_with_pyroute2, script};
use crate::traffic::{Switch, ping};
use anyhow::{Context, Result, ensure};
use pfnl_tests::client::{self, LIMIT, Outcome};
use pfnl_tests::runner::Test;
use pfnl_tests::vswitch::until;
use std::thread::sleep;
use std::time::Duration;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("conntrack: a conversation is seen, counted and ended", conversation),
    ("conntrack: events of a conversation's life", events),
    ("conntrack: connections that user space makes and changes", made_by_hand),
    ("conntrack: fragments are put together and leave as such", fragments),
    ("conntrack: a zone's timeout policy ends its connections", timeouts),
    ("conntrack: a translated address", translated),
    ("conntrack: pyroute2", pyroute2),
];

impl Switch {
    /// Tracks what crosses from port 1 to port 2 with `there`, and answers with `back`.
    fn track(&self, there: &str, back: &str) -> Result<()> {
        for (from, to) in [(1, "2"), (2, "1")] {
            self.flow(&format!("in_port({from}),eth(),eth_type(0x0806),arp()"), to)?;
        }
        for (from, actions) in [(1, format!("{there},2")), (2, format!("{back},1"))] {
            for frag in ["no", "first", "later"] {
                let key = format!("in_port({from}),eth(),eth_type(0x0800),ipv4(frag={frag})");
                self.flow(&key, &actions)?;
            }
        }
        Ok(())
    }

    fn conntrack(&self, args: &[&str]) -> Result<Outcome> {
        self.host.run(&[&["conntrack"], args].concat())
    }
}

fn conversation() -> Result<()> {
    let switch = Switch::new("ct")?;
    switch.track("ct(commit,zone=5,mark=0x7/0xff)", "ct(zone=5)")?;
    ping(&switch.left, &switch.right.address, &["-c", "2", "-i", "0.1"])?;
    let list = switch.conntrack(&["-L", "-p", "icmp"])?;
    list.prints("src=10.9.0.1 dst=10.9.0.2 type=8 code=0")?;
    list.prints("mark=7 zone=5 use=1")?;
    ensure!(switch.conntrack(&["-L", "-w", "6"])?.succeeds()?.is_empty(), "a connection of another zone");
    ensure!(switch.conntrack(&["-L", "-m", "8"])?.succeeds()?.is_empty(), "a connection of another mark");
    switch.conntrack(&["-L", "-m", "7"])?.prints("type=8")?;
    switch.conntrack(&["-C"])?.prints("1\n")?;
    switch.conntrack(&["-S"])?.prints("insert=1 ")?;
    let ovs = switch.host.dpctl(&["dump-conntrack", "dp0"])?;
    ovs.prints("icmp,orig=(src=10.9.0.1,dst=10.9.0.2,id=")?;
    ovs.prints(",zone=5,mark=7")?;
    switch.host.dpctl(&["ct-stats-show"])?.prints("ICMP: 1")?;
    switch.host.dpctl(&["flush-conntrack", "zone=6"])?.succeeds()?;
    switch.conntrack(&["-C"])?.prints("1\n")?;
    switch.host.dpctl(&["flush-conntrack", "zone=5"])?.succeeds()?;
    switch.conntrack(&["-C"])?.prints("0\n")?;
    ping(&switch.left, &switch.right.address, &["-c", "1"])?;
    switch.conntrack(&["-D", "-p", "icmp"])?.prints("type=8")?;
    ensure!(switch.host.dpctl(&["dump-conntrack", "dp0"])?.succeeds()?.is_empty(), "it was deleted");
    switch.conntrack(&["-L", "expect"])?.succeeds()?;
    Ok(())
}

fn events() -> Result<()> {
    let switch = Switch::new("ct-events")?;
    switch.track("ct(commit,zone=5)", "ct(zone=5)")?;
    let listener =
        switch.host.start(&["timeout", "--signal=INT", "5", "conntrack", "-E", "-o", "timestamp"])?;
    until("it listens", || Ok(switch.host.sockets()? > 0))?;
    sleep(Duration::from_millis(300));
    ping(&switch.left, &switch.right.address, &["-c", "2", "-i", "0.1"])?;
    switch.conntrack(&["-D", "-p", "icmp"])?.succeeds()?;
    let heard = listener.finish(LIMIT)?;
    for line in ["[NEW] icmp", "[UPDATE] icmp", "[DESTROY] icmp", "zone=5"] {
        ensure!(heard.stdout.contains(line), "no {line}:{}", heard.said());
    }
    Ok(())
}

fn made_by_hand() -> Result<()> {
    let switch = Switch::new("ct-made")?;
    let ends = ["-p", "tcp", "-s", "1.1.1.1", "-d", "2.2.2.2", "--sport", "10", "--dport", "20"];
    let make =
        [&["-I"][..], &ends, &["--state", "ESTABLISHED", "-u", "SEEN_REPLY,ASSURED", "-t", "100"]].concat();
    switch.conntrack(&make)?.succeeds()?;
    let again = switch.conntrack(&make)?;
    again.ends_with(1)?;
    let get = [&["-G"][..], &ends].concat();
    switch.conntrack(&get)?.prints("ESTABLISHED src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20")?;
    switch.conntrack(&[&["-U"][..], &ends, &["-m", "5", "-t", "200"]].concat())?.succeeds()?;
    switch.conntrack(&get)?.prints("[ASSURED] mark=5")?;
    switch.host.dpctl(&["dump-conntrack", "dp0"])?.prints("protoinfo=(state=ESTABLISHED)")?;
    let tuple = "ct_nw_src=1.1.1.1,ct_nw_dst=2.2.2.2,ct_nw_proto=6,ct_tp_src=10,ct_tp_dst=20";
    switch.host.dpctl(&["flush-conntrack", tuple])?.succeeds()?;
    switch.conntrack(&get)?.ends_with(1)?;
    Ok(())
}

fn fragments() -> Result<()> {
    let switch = Switch::new("ct-frag")?;
    switch.track("ct(commit,zone=5)", "ct(zone=5)")?;
    ping(&switch.left, &switch.right.address, &["-c", "3", "-i", "0.1", "-s", "4000"])?;
    // One connection, not one of each fragment.
    switch.conntrack(&["-C"])?.prints("1\n")?;
    Ok(())
}

fn timeouts() -> Result<()> {
    let switch = Switch::new("ct-timeout")?;
    switch.host.run(&["/usr/bin/python3", &script("timeout_policy.py")])?.prints("made")?;
    let key = |from| format!("in_port({from}),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()");
    for (from, to) in [(1, "2"), (2, "1")] {
        switch.flow(&format!("in_port({from}),eth(),eth_type(0x0806),arp()"), to)?;
    }
    switch.flow(&key(1), "ct(commit,zone=5,timeout=short),2")?;
    switch.flow(&key(2), "ct(zone=5),1")?;
    ping(&switch.left, &switch.right.address, &["-c", "1"])?;
    switch.conntrack(&["-C"])?.prints("1\n")?;
    // Two seconds, and the sweep of each second; nothing else comes.
    until("the connection is gone", || Ok(switch.conntrack(&["-C"])?.succeeds()? == "0\n"))
}

fn translated() -> Result<()> {
    let switch = Switch::new("ct-nat")?;
    switch.track("ct(commit,zone=5,nat(src=10.9.0.77))", "ct(zone=5,nat)")?;
    // Nobody has that address: who is asked for it is told by hand.
    let link = client::run(&switch.left.enter(), &["ip", "-o", "link", "show", "eth0"], LIMIT)?;
    let mac = link.succeeds()?.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    let mac = mac.context("an interface without an address")?;
    switch.right.ip(&["neigh", "add", "10.9.0.77", "lladdr", mac, "dev", "eth0"])?;
    ping(&switch.left, &switch.right.address, &["-c", "2", "-i", "0.1"])?;
    switch.conntrack(&["-L", "-n"])?.prints("src=10.9.0.2 dst=10.9.0.77 type=0")?;
    Ok(())
}

fn pyroute2() -> Result<()> {
    let switch = Switch::new("ct-pyroute2")?;
    switch.track("ct(commit,zone=5)", "ct(zone=5)")?;
    ping(&switch.left, &switch.right.address, &["-c", "1"])?;
    let python = python_with_pyroute2()?;
    let outcome = switch.host.run(&[&python, &script("conntrack.py")])?;
    outcome.prints("count 1")?;
    outcome.prints("10.9.0.1 10.9.0.2 5")?;
    outcome.prints("left 0")?;
    Ok(())
}
