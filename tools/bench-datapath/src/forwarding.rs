//! 64-byte packets, and TCP, from one interface to another.

use crate::generator::{Change, Generator};
use crate::pin;
use crate::report::{Report, median, ratios};
use crate::switch::{LOADER, Way};
use anyhow::{Context, Result};
use pfnl_rawio::Links;
use pfnl_tests::client;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

/// A frame of 64 bytes (with the checksum that a wire would add): UDP from 10.0.0.1 to 10.0.0.2.
pub fn frame() -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, 17, 0x26, 0xbd, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([1, 1, 0, 9, 0, 26, 0, 0]);
    frame.resize(60, 0x5a);
    frame
}

/// Packets a second through a way, while the generator runs for `time`.
pub fn rate(way: &Way, generator: &Generator, time: Duration) -> Result<f64> {
    let (frame, before, start) = (frame(), way.sent()?, Instant::now());
    while start.elapsed() < time {
        generator.run(&frame, 1 << 16)?;
    }
    let took = start.elapsed().as_secs_f64();
    // What is still on its way counts for the next run of nobody: a millisecond's worth.
    let rate = (way.sent()? - before) as f64 / took;
    std::thread::sleep(Duration::from_millis(100));
    Ok(rate)
}

pub fn generator(way: &Way, change: Change) -> Result<Generator> {
    Generator::new(Links::open()?.by_name(&way.left.port)?.ifindex, change)
}

/// 64-byte packets, the generator on one processor, the forwarder on the other.
pub fn packets(report: &mut Report) -> Result<()> {
    let ways = [Way::mover()?, Way::pfnl('p', true)?, Way::ovs(false)?];
    let generators = ways.iter().map(|way| generator(way, Change::Nothing)).collect::<Result<Vec<_>>>()?;
    pin(None, LOADER);
    let mut rates = vec![Vec::new(); ways.len()];
    for round in 0..=ROUNDS {
        for ((way, generator), rates) in ways.iter().zip(&generators).zip(&mut rates) {
            let rate = rate(way, generator, Duration::from_millis(700))?;
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let [mover, pfnl, ovs] = [0, 1, 2].map(|n| &rates[n]);
    let kpps = |rates: &[f64]| format!("{:.0} kpps", median(rates) / 1000.0);
    let detail = format!("pfnl {}, OVS {}, mover {}", kpps(pfnl), kpps(ovs), kpps(mover));
    report.at_least(
        "64-byte packets: pfnl / OVS netdev, system ports",
        ratios(pfnl, ovs),
        2.5,
        detail.clone(),
    );
    report.at_least("64-byte packets: pfnl / bare mover, same sockets", ratios(pfnl, mover), 0.85, detail);
    Ok(())
}

/// One TCP stream, offloads on.
pub fn tcp(report: &mut Report) -> Result<()> {
    let ways = [Way::mover()?, Way::pfnl('p', true)?, Way::ovs(true)?];
    // With two ends and a forwarder on two processors, where each runs is best left to the scheduler.
    ways.iter().for_each(Way::unpin);
    let mut rates = vec![Vec::new(); ways.len()];
    for round in 0..=5 {
        for (way, rates) in ways.iter().zip(&mut rates) {
            let rate = stream(way).with_context(|| way.name)?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let [mover, pfnl, ovs] = [0, 1, 2].map(|n| &rates[n]);
    let gbits = |rates: &[f64]| format!("{:.1} Gbit/s", median(rates) / 1e9);
    let detail = format!("pfnl {}, OVS {}, mover {}", gbits(pfnl), gbits(ovs), gbits(mover));
    report.at_least("TCP: pfnl / OVS netdev with userspace-tso", ratios(pfnl, ovs), 1.7, detail.clone());
    report.plain("TCP: pfnl / bare mover, same sockets", ratios(pfnl, mover), detail);
    Ok(())
}

fn stream(way: &Way) -> Result<f64> {
    let server = client::start(&way.right.enter(), &["iperf3", "--server", "--one-off"])?;
    std::thread::sleep(Duration::from_millis(300));
    let command = ["iperf3", "--client", &way.right.address, "--time", "2", "--json"];
    let sent = client::run(&way.left.enter(), &command, Duration::from_secs(20))?;
    let text = sent.succeeds()?;
    let _ = server.finish(Duration::from_secs(5))?;
    // "end": { … "sum_received": { … "bits_per_second": 1.2e10
    let received = text.split("\"sum_received\"").nth(1).context("no sum_received")?;
    let value = received.split("\"bits_per_second\":").nth(1).context("no bits_per_second")?;
    Ok(value.split([',', '\n', '}']).next().unwrap_or_default().trim().parse()?)
}
