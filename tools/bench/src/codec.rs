//! The codecs, in turns.

use crate::table::Table;
use crate::turns::{Case, Times, measure};
use anyhow::{Context, Result};
use pfnl_bench::{FAMILIES, FLOW, bytes, neli, ours, packet, walker};
use std::hint::black_box;

const ROUNDS: usize = 41;

/// Measures them and fills the table.
pub fn run(table: &mut Table) -> Result<()> {
    let flow = bytes(FLOW);
    let dump = bytes(FAMILIES);
    let parsed = walker::parse(&flow).context("the sample is not read")?;

    let cases = vec![
        Case::new("by hand", || _ = black_box(walker::parse(black_box(&flow)))),
        Case::new("pfnl", || _ = black_box(ours::parse(black_box(&flow)))),
        Case::new("netlink-packet-core", || _ = black_box(packet::parse(black_box(&flow)))),
        Case::new("neli", || _ = black_box(neli::parse(black_box(&flow)))),
        #[cfg(feature = "libmnl")]
        Case::new("libmnl", || _ = black_box(pfnl_bench::mnl::parse(black_box(&flow)))),
    ];
    let title = format!("Read and check OVS_FLOW_CMD_NEW, {} bytes, every nested attribute", flow.len());
    if let Some(ratio) = read(table, &title, cases).ratio("pfnl", "by hand") {
        table.at_most("pfnl / by hand", ratio, 1.3);
    }

    let cases = vec![
        Case::new("by hand", || _ = black_box(walker::families(black_box(&dump)))),
        Case::new("pfnl", || _ = black_box(ours::families(black_box(&dump)))),
        Case::new("netlink-packet-generic", || _ = black_box(packet::families(black_box(&dump)))),
        Case::new("neli", || _ = black_box(neli::families(black_box(&dump)))),
        #[cfg(feature = "libmnl")]
        Case::new("libmnl", || _ = black_box(pfnl_bench::mnl::families(black_box(&dump)))),
    ];
    read(table, &format!("Read and check nlctrl's dump of 20 families, {} bytes", dump.len()), cases);

    let (mut own, mut other) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    #[cfg(feature = "libmnl")]
    let mut room = vec![0; 1024];
    let cases = vec![
        Case::new("pfnl", || ours::build(black_box(&parsed), black_box(&mut own))),
        Case::new("netlink-packet-core", || packet::build(black_box(&parsed), black_box(&mut other))),
        #[cfg(feature = "libmnl")]
        Case::new("libmnl", || _ = pfnl_bench::mnl::build(black_box(&parsed), black_box(&mut room))),
    ];
    let times = measure(cases, ROUNDS);
    report(table, "Write it into a buffer that is used again", &times);
    if let Some(ratio) = times.ratio("libmnl", "pfnl") {
        table.at_least("libmnl / pfnl", ratio, 4.0);
    }
    if cfg!(not(feature = "libmnl")) {
        println!("  libmnl is left out: build with --features libmnl (Debian: libmnl-dev)");
    }
    Ok(())
}

fn read(table: &mut Table, title: &str, cases: Vec<Case<'_>>) -> Times {
    let times = measure(cases, ROUNDS);
    report(table, title, &times);
    for (other, target) in [("libmnl", 4.0), ("neli", 8.0)] {
        if let Some(ratio) = times.ratio(other, "pfnl") {
            table.at_least(&format!("{other} / pfnl"), ratio, target);
        }
    }
    times
}

fn report(table: &Table, title: &str, times: &Times) {
    table.heading(title);
    for (name, time) in times.medians() {
        table.note(name, time, "ns");
    }
}
