//! The scenarios of tests/scenarios on FreeBSD, beside those on this machine's Linux.

use crate::sh;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// How many of a hundred must be equal.
const ENOUGH: usize = 95;

/// What FreeBSD's own system calls decide before or after they ask the socket family. One of them that has become equal
/// fails the run.
const NOT_OURS: &[(&str, &str)] = &[
    ("open/protocol-0", ROUTE),
    ("share/two-protocols", ROUTE),
    ("open/type-eleven", TYPES),
    ("open/type-flags", TYPES),
    ("open/accept", "accept(2) refuses what does not listen with EINVAL, and asks no protocol"),
    ("open/fionread", "FIONREAD is answered by soo_ioctl() for every socket"),
    ("option/type-lengths", SOL_SOCKET),
    ("option/socket-broadcast", SOL_SOCKET),
    ("option/socket-dontroute", SOL_SOCKET),
    ("option/socket-keepalive", SOL_SOCKET),
    ("option/socket-oobinline", SOL_SOCKET),
    ("option/socket-reuseaddr", SOL_SOCKET),
    ("option/socket-reuseport", SOL_SOCKET),
    ("option/socket-rcvlowat", SOL_SOCKET),
    ("option/socket-sndlowat", SOL_SOCKET),
    ("option/socket-timestamp", SOL_SOCKET),
    ("recv/control-both-into-16", CONTROL),
    ("recv/control-both-into-19", CONTROL),
    ("recv/control-both-into-20", CONTROL),
    ("recv/control-both-into-40", CONTROL),
    ("recv/control-both-into-52", CONTROL),
    ("recv/control-credentials-into-16", CONTROL),
    ("recv/control-credentials-into-19", CONTROL),
    ("recv/control-credentials-into-20", CONTROL),
    ("recv/control-credentials-into-24", CONTROL),
    ("recv/control-credentials-into-28", CONTROL),
    ("recv/control-pktinfo-into-16", CONTROL),
    ("recv/control-pktinfo-into-19", CONTROL),
    ("recv/control-pktinfo-into-20", CONTROL),
    ("recv/name-lengths", "recvmsg(2) states what it has copied of a name; on Linux, how long the name is"),
    ("recvmmsg/none", "recvmmsg(2) is a function of FreeBSD's libc"),
    ("send/name-of-no-length", NAME),
    ("user/connected-sender-with-a-name-of-no-length", NAME),
    ("send/name-beyond-all", "a name of up to 255 bytes is let in where Linux cuts one of 129 to 128"),
    ("send/control-too-short-for-a-head", "sendmsg(2) refuses it before the protocol sees it"),
];

const ROUTE: &str = "protocol 0 is NETLINK_ROUTE, which FreeBSD's own netlink has: EPROTONOSUPPORT";
const TYPES: &str = "socket(2) looks types up in a table, and has no error for what no type can be";
const SOL_SOCKET: &str = "an option that FreeBSD has, kept by its kernel: no protocol is asked";
const CONTROL: &str = "recvmsg(2) gives a control message whole, with its padding, or not at all";
const NAME: &str = "sendmsg(2) refuses a name of no length before the protocol sees it";

/// Compares a transcript with what the same program says here.
pub fn compare(freebsd: &str) -> Result<()> {
    let linux = sh::read(Command::new(program()?).arg("all")).context("the scenarios on this machine")?;
    let (linux, freebsd) = (parts(&linux), parts(freebsd));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (mut equal, mut counted, mut surprises) = (0, 0, Vec::new());
    let mut linuxs = 0;
    for (name, theirs) in &linux {
        let Some(ours) = freebsd.get(name) else {
            // Not in the table that is built for FreeBSD: Linux's own numbers and calls.
            linuxs += 1;
            continue;
        };
        if let Some((_, why)) = NOT_OURS.iter().find(|(listed, _)| name == listed) {
            println!("  {name}: left out: {why}");
            if theirs == ours {
                surprises.push(name.as_str());
            }
            continue;
        }
        counted += 1;
        if theirs == ours {
            equal += 1;
        } else {
            println!("  {name}\n{}", difference(theirs, ours));
        }
    }
    println!("scenarios equal on FreeBSD and Linux {}: {equal}/{counted}", release.trim());
    println!("{linuxs} more are of calls and numbers that Linux alone has");
    ensure!(counted >= 500, "only {counted} were run on FreeBSD");
    ensure!(surprises.is_empty(), "listed as different, and equal: {}", surprises.join(", "));
    ensure!(equal * 100 >= counted * ENOUGH, "fewer than {ENOUGH}% are equal");
    Ok(())
}

/// The scenarios as a program of this machine.
fn program() -> Result<PathBuf> {
    sh::run(sh::cargo()?.args(["build", "--quiet", "-p", "pfnl-scenarios"]))?;
    Ok(sh::target()?.join("debug/pfnl-scenarios"))
}

/// This machine's greatest buffers and what it charges for a short datagram, as variables for a shell.
pub fn limits() -> Result<String> {
    let limit = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).unwrap_or_default();
        text.trim().parse().unwrap_or(212_992_u32)
    };
    let acks = sh::read(Command::new(program()?).args(["run", "charge/acks"]))?;
    let charged = acks.lines().find_map(|line| line.strip_prefix("0: charged ")?.split(' ').next());
    let charged = charged.context("what this machine charges")?;
    Ok(format!("RMEM_MAX={} WMEM_MAX={} LEAST_CHARGE={charged}", limit("rmem_max"), limit("wmem_max")))
}

fn parts(text: &str) -> BTreeMap<String, String> {
    let parts = text.split("== ").skip(1).filter_map(|part| part.split_once('\n'));
    parts.map(|(name, text)| (name.trim().to_owned(), text.trim_end().to_owned())).collect()
}

/// The lines where two transcripts part, and the one before.
fn difference(theirs: &str, ours: &str) -> String {
    let same = theirs.lines().zip(ours.lines()).take_while(|(theirs, ours)| theirs == ours).count();
    let before = theirs.lines().nth(same.wrapping_sub(1)).unwrap_or_default();
    let part = |text: &str, sign| -> String {
        text.lines().skip(same).take(2).map(|line| format!("    {sign} {line}\n")).collect()
    };
    format!("      {before}\n{}{}", part(theirs, "linux  "), part(ours, "freebsd"))
}
