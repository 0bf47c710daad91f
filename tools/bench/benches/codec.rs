//! `cargo bench -p pfnl-bench`: each codec at the same work, by criterion. Ratios that count come from `cargo xtask
//! bench`, which runs them in turns.

use criterion::{Criterion, criterion_group, criterion_main};
use pfnl_bench::{FAMILIES, FLOW, bytes, neli, ours, packet, walker};
use std::hint::black_box;

fn codecs(c: &mut Criterion) {
    let flow = bytes(FLOW);
    let mut group = c.benchmark_group("read a flow");
    group.bench_function("by hand", |b| b.iter(|| walker::parse(black_box(&flow))));
    group.bench_function("pfnl", |b| b.iter(|| ours::parse(black_box(&flow))));
    group.bench_function("netlink-packet", |b| b.iter(|| packet::parse(black_box(&flow))));
    group.bench_function("neli", |b| b.iter(|| neli::parse(black_box(&flow))));
    #[cfg(feature = "libmnl")]
    group.bench_function("libmnl", |b| b.iter(|| pfnl_bench::mnl::parse(black_box(&flow))));
    group.finish();

    let dump = bytes(FAMILIES);
    let mut group = c.benchmark_group("read 20 families");
    group.bench_function("by hand", |b| b.iter(|| walker::families(black_box(&dump))));
    group.bench_function("pfnl", |b| b.iter(|| ours::families(black_box(&dump))));
    group.bench_function("netlink-packet", |b| b.iter(|| packet::families(black_box(&dump))));
    group.bench_function("neli", |b| b.iter(|| neli::families(black_box(&dump))));
    #[cfg(feature = "libmnl")]
    group.bench_function("libmnl", |b| b.iter(|| pfnl_bench::mnl::families(black_box(&dump))));
    group.finish();

    let Some(flow) = walker::parse(&flow) else { panic!("the sample is not read") };
    let mut out = Vec::with_capacity(4096);
    let mut group = c.benchmark_group("write a flow");
    group.bench_function("pfnl", |b| b.iter(|| ours::build(black_box(&flow), black_box(&mut out))));
    group.bench_function("netlink-packet", |b| {
        b.iter(|| packet::build(black_box(&flow), black_box(&mut out)))
    });
    #[cfg(feature = "libmnl")]
    {
        let mut room = vec![0; 1024];
        group.bench_function("libmnl", |b| {
            b.iter(|| pfnl_bench::mnl::build(black_box(&flow), black_box(&mut room)))
        });
    }
    group.finish();
}

criterion_group!(benches, codecs);
criterion_main!(benches);
