//! Lookups in the flow table: masks × flows, found and not found, by the tuple space alone and with the cache in front.
//!
//! The same shapes as in baselines of OVS's own classifier (libopenvswitch 3.1, ns a lookup, found / not found, on another day
//! of the same kind of machine): 1 × 10k 73 / 45, 10 × 10k 239 / 385, 100 × 10k 1629 / 2636, 100 × 100k 1650 / 2885.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pfnl_datapath::action::Actions;
use pfnl_datapath::key::Be16;
use pfnl_datapath::upcall::{Request, Upcall};
use pfnl_datapath::{Datapath, FlowKey, FlowName, VecPacket};
use pfnl_platform::{Platform, Result, User};
use std::hint::black_box;
use std::time::Instant;

/// Takes no packet: none is sent.
struct Nobody;

type Dp = Datapath<User, VecPacket, Nobody>;

impl Upcall<User, VecPacket> for Nobody {
    fn upcall(
        &self,
        _: &Dp,
        _: &<User as Platform>::Guard,
        _: &Request<'_, User, VecPacket>,
        _: &FlowKey,
        _: &VecPacket,
    ) -> Result<()> {
        Ok(())
    }
}

/// The packet of a flow: IPv4 and UDP.
fn packet(n: u32) -> FlowKey {
    FlowKey {
        in_port: 1,
        eth_dst: [2, 0, 0, 0, 0, 2],
        eth_src: [2, 0, 0, 0, 0, 1],
        mac_proto: 1,
        eth_type: Be16::new(0x800),
        ip_proto: 17,
        ip_ttl: 64,
        ipv4_src: n.to_be_bytes(),
        ipv4_dst: [10, 0, 0, 2],
        tp_src: Be16::new((n >> 4) as u16),
        tp_dst: Be16::new(53),
        ..FlowKey::ZERO
    }
}

/// Masks on port, Ethernet type, protocol, addresses and ports, that differ in bits of the TTL, which is 64 in every packet, and of the
/// Ethernet source.
fn mask(n: u32) -> FlowKey {
    FlowKey {
        in_port: u32::MAX,
        eth_src: [0, 0, 0, 0, (n >> 6) as u8, 0],
        mac_proto: 0xff,
        eth_type: Be16::new(0xffff),
        ip_proto: 0xff,
        ip_ttl: (n & 0x3f) as u8,
        ipv4_src: [0xff; 4],
        ipv4_dst: [0xff; 4],
        tp_src: Be16::new(0xffff),
        tp_dst: Be16::new(0xffff),
        ..FlowKey::ZERO
    }
}

fn table(masks: u32, flows: u32) -> Dp {
    let dp = Dp::try_new(Nobody).unwrap();
    let start = Instant::now();
    for n in 0..flows {
        let name = FlowName { ufid: None, key: &packet(n) };
        dp.put_flow(name, &mask(n % masks), Actions::default(), true).unwrap();
    }
    println!("{masks} masks: a flow put in {} ns", start.elapsed().as_nanos() / u128::from(flows));
    dp
}

fn lookups(criterion: &mut Criterion) {
    for (masks, flows) in [(1, 10_000), (10, 10_000), (100, 10_000), (100, 100_000)] {
        let dp = table(masks, flows);
        // In an order that neither a cache nor a prefetcher knows.
        let order = |n: u32| (n.wrapping_mul(0x9e37_79b1) >> 8) % flows;
        let hits: Vec<FlowKey> = (0..8192).map(|n| packet(order(n))).collect();
        let misses: Vec<FlowKey> = (0..8192).map(|n| packet(order(n) + flows)).collect();
        let few: Vec<FlowKey> = hits.iter().take(64).cloned().collect();
        let mut group = criterion.benchmark_group(format!("{masks} masks, {flows} flows"));
        for (name, cache, keys) in
            [("found", 0, &hits), ("not found", 0, &misses), ("found, 64 connections cached", 256, &few)]
        {
            dp.set_masks_cache_size(cache).unwrap();
            let found = keys.iter().filter(|key| dp.lookup(&User::enter(), key).flow.is_some()).count();
            assert_eq!(found, if name == "not found" { 0 } else { keys.len() });
            let (section, mut at) = (User::enter(), 0);
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| {
                    at = (at + 1) % keys.len();
                    black_box(dp.lookup(&section, &keys[at]).tried)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, lookups);
criterion_main!(benches);
