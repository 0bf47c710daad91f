//! Tuple-space explosion (Csikor et al., CoNEXT 2019): an attacker's packets have made user space install thousands of flows
//! with a mask each, and every further packet of his is looked up in all of them. Half of the packets that come are
//! his; what is left for the victim's other half?

use crate::flows::{Spec, put};
use crate::forwarding::{generator, rate};
use crate::generator::Change;
use crate::pin;
use crate::report::{Report, median, ratios};
use crate::switch::{LOADER, Way};
use anyhow::{Context, Result};
use pfnl_rawio::Links;
use pfnl_tests::client;
use std::time::Duration;

const ROUNDS: usize = 5;
/// Prefix lengths of source and destination address, of the port; flows of each combination.
const SHAPE: [u32; 4] = [32, 32, 4, 2];

/// `put-flows craft IFINDEX`: the client's side, puts the crafted flows.
pub fn craft(ifindex: u32) -> Result<()> {
    let [src, dst, port, each] = SHAPE;
    let specs = (0..src * dst * port * each).map(|n| {
        let (a, b, c, d) = (n % src, n / src % dst, n / src / dst % port, n / src / dst / port);
        let (src_mask, dst_mask) = (u32::MAX << (31 - a), u32::MAX << (31 - b));
        let port_mask = u16::MAX << (12 - 4 * c);
        Spec {
            // As an access list that allows 10.0.0.1, 10.0.0.2 and port 0x101 makes them: equal up to the last bit of the prefix.
            src: ((0x0a00_0001 ^ (1 << (31 - a))) & src_mask, src_mask),
            dst: ((0x0a00_0002 ^ (1 << (31 - b))) & dst_mask, dst_mask),
            port: ((0x0101 ^ (1 << (12 - 4 * c))) & port_mask, port_mask),
            eth_src: (u8::try_from(d).unwrap_or(0), 1),
            output: None,
        }
    });
    put(ifindex, specs, false).map(drop)
}

/// The victim's rate beside the attacker's packets, in turns without and with the attacker's flows.
pub fn run(report: &mut Report) -> Result<()> {
    let ways = [Way::pfnl('c', false)?, Way::pfnl('p', false)?];
    let me = std::env::current_exe()?;
    let me = me.to_str().context("a path")?;
    let [_, attacked] = &ways;
    let ifindex = Links::open()?.by_name(&attacked.bridge)?.ifindex.to_string();
    let prefix = attacked.client()?;
    for way in &ways {
        let exact = "eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,frag=no),udp(src=257)";
        let add = ["ovs-dpctl", "add-flow", &way.bridge, &format!("in_port(1),eth(),{exact}"), "2"];
        client::run(&way.client()?, &add, client::LIMIT)?.succeeds()?;
    }
    client::run(&prefix, &[me, "put-flows", "craft", &ifindex], Duration::from_secs(120))?.succeeds()?;
    let show = client::run(&prefix, &["ovs-dpctl", "show", &attacked.bridge], client::LIMIT)?;
    let masks =
        show.succeeds()?.lines().find(|line| line.contains("total:")).unwrap_or_default().trim().to_owned();
    let generators = ways.iter().map(|way| generator(way, Change::Half)).collect::<Result<Vec<_>>>()?;
    pin(None, LOADER);
    let mut rates = [const { Vec::new() }; 2];
    for round in 0..=ROUNDS {
        for ((way, generator), rates) in ways.iter().zip(&generators).zip(&mut rates) {
            let rate = rate(way, generator, Duration::from_millis(1000))?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let [before, after] = &rates;
    let detail = format!("{:.0} and {:.0} kpps; {masks}", median(before) / 1e3, median(after) / 1e3);
    report.at_most(
        "victim's packets: without / with 8,192 crafted flows",
        ratios(before, after),
        2.0,
        detail,
    );
    Ok(())
}
