//! A host under attack: garbage at full speed, clients that are killed, sockets that never read; beside a ping and a loop
//! that programs flows, which must not notice. `cargo xtask soak` runs it for as long as is wanted.

use crate::families::script;
use crate::traffic::Switch;
use anyhow::{Context, Result, ensure};
use pfnl_tests::client::{self, LIMIT, Running, start};
use pfnl_tests::host::{Host, pfnl};
use pfnl_tests::runner::Test;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The tests of this file.
pub const TESTS: &[Test] = &[("long: soak: nothing is lost for who behaves, and memory comes back", soak)];

/// How long, where nothing else is said.
const SECONDS: u64 = 8;

fn soak() -> Result<()> {
    let seconds =
        std::env::var("PFNL_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let switch = Switch::new("soak")?;
    for (from, to) in [(1, "2"), (2, "1")] {
        switch.flow(&format!("in_port({from}),eth(),eth_type(0x0806),arp()"), to)?;
        switch.flow(&format!("in_port({from}),eth(),eth_type(0x0800),ipv4(frag=no)"), to)?;
    }
    // What a first round of everything leaves in caches is no leak.
    let first = round(&switch, Duration::from_secs(3), 1)?;
    settle(&switch.host, 1)?;
    let before = memory(&switch.host)?;
    let second = round(&switch, Duration::from_secs(seconds), 2)?;
    settle(&switch.host, 1)?;
    let mut after = memory(&switch.host)?;
    // Freed memory goes back to the system when its allocator sees fit.
    let end = Instant::now() + Duration::from_secs(30);
    while after > before + before / 20 && Instant::now() < end {
        thread::sleep(Duration::from_millis(500));
        after = memory(&switch.host)?;
    }
    println!(
        "soak: {seconds} s: {} pings, {} flows put and deleted, {} fuzz cases, {} clients killed, 100 silent; \
         memory {before} kB before, {after} kB after ({first:?})",
        second.pings, second.flows, second.cases, second.killed
    );
    ensure!(second.flows > 0 && second.killed > 0 && second.pings > 0, "nothing was done: {second:?}");
    ensure!(after <= before + before / 20, "memory: {before} kB before, {after} kB after");
    Ok(())
}

#[derive(Debug, Default)]
struct Done {
    pings: usize,
    flows: usize,
    cases: usize,
    killed: usize,
}

/// Everything at once for some time.
fn round(switch: &Switch, time: Duration, seed: u64) -> Result<Done> {
    let host = &switch.host;
    let (over, flows, cases, killed) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let silence = (time + Duration::from_secs(5)).as_secs().to_string();
    let silent = host.start(&["/usr/bin/python3", &script("abuse.py"), "silent", "100", &silence])?;
    let ping = pinging(switch, time)?;
    let deadline = Instant::now() + time;
    let going = || !over.load(Ordering::Relaxed) && Instant::now() < deadline;
    let outcome = thread::scope(|scope| -> Result<()> {
        let programs = scope.spawn(|| -> Result<()> {
            while going() {
                let key = format!(
                    "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.8.0.{})",
                    flows.load(Ordering::Relaxed) % 250
                );
                host.dpctl(&["add-flow", "dp0", &format!("{key},udp(dst=9)"), "2"])?.ends_with(0)?;
                host.dpctl(&["del-flow", "dp0", &format!("{key},udp(dst=9)")])?.ends_with(0)?;
                flows.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let garbage = scope.spawn(|| -> Result<()> {
            for nth in 0_u64.. {
                if !going() {
                    break;
                }
                let (pfnl, seed) = (pfnl()?, (seed * 1000 + nth).to_string());
                let command =
                    [&pfnl, "fuzz", "--yes", "--socket", &host.socket, "--seed", &seed, "--cases", "100"];
                let words = command.map(str::to_owned);
                let outcome = client::run(&words[..1], &command[1..], LIMIT * 3)?;
                ensure!(outcome.stdout.contains("nothing was found"), "fuzz: {}", outcome.said());
                cases.fetch_add(100, Ordering::Relaxed);
            }
            Ok(())
        });
        let vanishing = scope.spawn(|| -> Result<()> {
            while going() {
                let abuse = host.run(&["/usr/bin/python3", &script("abuse.py"), "vanish", "50"])?;
                ensure!(abuse.code == Some(0), "vanish: {}", abuse.said());
                killed.fetch_add(50, Ordering::Relaxed);
            }
            Ok(())
        });
        // The first that fails ends all.
        let mut all = Ok(());
        for part in [programs, garbage, vanishing] {
            let part = part.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")));
            if part.is_err() {
                over.store(true, Ordering::Relaxed);
            }
            all = all.and(part);
        }
        all
    });
    silent.kill();
    let pings = pinged(ping, time)?;
    outcome?;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    Ok(Done { pings, flows: count(&flows), cases: count(&cases), killed: count(&killed) })
}

fn pinging(switch: &Switch, time: Duration) -> Result<Running> {
    let count = (time.as_millis() / 50).to_string();
    start(
        &switch.left.enter(),
        &["ping", "-n", "-q", "-W", "10", "-i", "0.05", "-c", &count, &switch.right.address],
    )
}

/// How many there were; none may be lost.
fn pinged(ping: Running, time: Duration) -> Result<usize> {
    let outcome = ping.finish(time * 4 + Duration::from_secs(30))?;
    outcome.prints(" 0% packet loss")?;
    let sent =
        outcome.stdout.split_once(" packets transmitted").and_then(|(before, _)| before.rsplit('\n').next());
    sent.and_then(|sent| sent.trim().parse().ok()).context("no count of pings")
}

/// Waits until the host has no more clients than this.
fn settle(host: &Host, most: usize) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let status = client::run(&[pfnl()?], &["status", "--socket", &host.socket], LIMIT)?;
        let sockets = status.stdout.lines().find_map(|line| line.strip_prefix("sockets: "));
        let sockets: usize = sockets.context("no status")?.trim().parse()?;
        if sockets <= most {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{sockets} sockets are left: {}", status.stdout);
        thread::sleep(Duration::from_millis(100));
    }
}

/// Resident memory, in kB.
fn memory(host: &Host) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", host.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).context("VmRSS")
}
