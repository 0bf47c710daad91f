//! `pfnl run --fault`: what Debian's clients make of trouble that a kernel can bring about. docs/FUZZING.md tells of it.

use anyhow::{Result, ensure};
use pfnl_tests::client::{self, LIMIT, Outcome};
use pfnl_tests::host::pfnl;
use pfnl_tests::runner::Test;
use std::time::Duration;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("faults: genl says that a dump was interrupted, cut short, or lost", iproute2),
    ("faults: genl-ctrl-list takes a dump that was cut short for a whole one", libnl),
    ("faults: ovs-dpctl takes a dump that was cut short for a whole one", ovs_dpctl),
    ("faults: the same seed brings the same, and slow is slow", seeds),
    ("faults: wrong words are refused", wrong_words),
];

fn with(faults: &[&str], command: &[&str]) -> Result<Outcome> {
    let pfnl = pfnl()?;
    let words = [pfnl.as_str(), "run"].into_iter().chain(faults.iter().copied()).chain(["--"]);
    client::run(&words.map(str::to_owned).collect::<Vec<_>>(), command, LIMIT)
}

/// It says what has happened, but not by its exit status.
fn iproute2() -> Result<()> {
    for (fault, words) in [
        ("intr=1", "Dump was interrupted and may be inconsistent."),
        ("short-dump=1", "RTNETLINK answers: Cannot allocate memory"),
        ("enobufs=1", "netlink receive error No buffer space available (105)"),
    ] {
        let list = with(&["--fault", fault, "--seed", "1"], &["genl", "ctrl", "list"])?;
        list.succeeds()?;
        ensure!(list.stderr.contains(words), "{fault} is not told:{}", list.said());
        let name = fault.trim_end_matches("=1");
        ensure!(list.stderr.contains(&format!("{name} 1,")), "{fault} has not happened:{}", list.said());
    }
    Ok(())
}

fn libnl() -> Result<()> {
    let families = |outcome: &Outcome| Ok::<_, anyhow::Error>(outcome.succeeds()?.lines().count());
    let whole = families(&with(&["--fault", "short-dump=0"], &["genl-ctrl-list"])?)?;
    let part = families(&with(&["--fault", "short-dump=1", "--seed", "1"], &["genl-ctrl-list"])?)?;
    ensure!(whole > 5 && part < whole, "{part} of {whole} families");
    with(&["--fault", "enobufs=1"], &["genl-ctrl-list"])?.fails_with("Out of memory")?;
    with(&["--fault", "eagain=1"], &["genl-ctrl-list"])?.fails_with("Try again")
}

fn ovs_dpctl() -> Result<()> {
    // Without devices: flows are enough.
    let script = "ovs-dpctl add-dp dpf 2>/dev/null; \
        for n in 1 2 3 4 5 6 7 8; do \
            ovs-dpctl add-flow dpf \"in_port(0),eth(),eth_type(0x0800),ipv4(dst=10.0.0.$n,frag=no)\" 0 || exit 9; \
        done; exec ovs-dpctl dump-flows dpf";
    let flows = |faults: &[&str]| {
        let mut outcome = with(faults, &["sh", "-c", script])?;
        outcome.client = "ovs-dpctl".to_owned();
        Ok::<_, anyhow::Error>(outcome)
    };
    let whole = flows(&["--fault", "short-dump=0"])?;
    ensure!(whole.succeeds()?.lines().count() == 8, "not 8 flows:{}", whole.said());
    // It looks for its datapath by dumps too, which some seeds cut short.
    for seed in 1..=40 {
        let part = flows(&["--fault", "short-dump=20%", "--seed", &seed.to_string()])?;
        if part.code == Some(0) && part.stdout.lines().count() < 8 {
            return Ok(());
        }
    }
    anyhow::bail!("with no seed did it take a part of the flows for all")
}

fn seeds() -> Result<()> {
    let list = |faults: &str, seed: &str| with(&["--fault", faults, "--seed", seed], &["genl-ctrl-list"]);
    let said: Vec<_> =
        (1..=8).map(|seed| Ok(list("short-dump=50%", &seed.to_string())?.stdout)).collect::<Result<_>>()?;
    for (seed, first) in (1..).zip(&said) {
        ensure!(
            list("short-dump=50%", &seed.to_string())?.stdout == *first,
            "seed {seed} differs from itself"
        );
    }
    ensure!(said.iter().any(|other| *other != said[0]), "all seeds bring the same");
    let slow = list("slow=700", "1")?;
    slow.succeeds()?;
    ensure!(slow.took >= Duration::from_millis(700), "{:?} is not slow", slow.took);
    Ok(())
}

fn wrong_words() -> Result<()> {
    for (faults, words) in [
        (&["--fault", "enobuf=1"][..], "there is no fault `enobuf`"),
        (&["--fault", "intr=200%"], "how often is wanted"),
        (&["--fault", "slow=soon"], "milliseconds are wanted"),
        (&["--fault", "intr=1", "--socket", "/nowhere"], "cannot be used with"),
        (&["--seed", "1"], "--fault"),
    ] {
        let outcome = with(faults, &["true"])?;
        outcome.ends_with(2)?;
        ensure!(outcome.stderr.contains(words), "{faults:?}:{}", outcome.said());
    }
    Ok(())
}
