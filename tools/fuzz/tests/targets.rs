//! Each target over the inputs that are kept, what was found once, and so many seeds. This is what CI has of
//! `cargo xtask fuzz`, which needs a C++ compiler: the same functions without a fuzzer to guide them.
//!
//! `PFNL_FUZZ_CASES` says how many seeds (300), `PFNL_FUZZ_SEED` which.

use pfnl_fuzz::targets::{ALL, Target};
use pfnl_fuzz::{Choices, frames, nth, shrink};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

fn variable(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(kind).join(target)
}

/// What is wrong with an input, a panic too.
fn outcome(target: Target, input: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// An input of a seed: choices as a generator would make them, a frame, text, or messages, as the target takes it.
fn input(name: &str, seed: u64) -> Vec<u8> {
    let mut c = Choices::seeded(seed);
    match name {
        "extract" => [frames::frame(&mut c), vec![c.byte()]].concat(),
        "odp" => text(&mut c),
        "codec" => {
            let world = pfnl_fuzz::world::World::new();
            let limits = pfnl_fuzz::script::Limits { acts: 8, ..Default::default() };
            let acts = pfnl_fuzz::script::script(world.families(), &pfnl_fuzz::ovs::OVS, limits, &mut c);
            let mut sent = acts.into_iter().filter_map(|act| match act {
                pfnl_fuzz::script::Act::Send(_, bytes) => Some(bytes),
                _ => None,
            });
            sent.next_back().unwrap_or_default()
        }
        _ => {
            let len = 16 + c.below(3000);
            c.bytes(len)
        }
    }
}

/// Words of the grammar, in no order that makes sense.
fn text(c: &mut Choices) -> Vec<u8> {
    const WORDS: [&str; 40] = [
        "in_port(",
        "1",
        ")",
        ",",
        "eth(src=",
        "00:01:02:03:04:05",
        "/",
        "ff:ff:ff:00:00:00",
        "eth_type(",
        "0x0800",
        "ipv4(src=",
        "10.0.0.1",
        "255.255.0.0",
        "proto=6",
        "tcp(dst=",
        "80",
        "0xfff0",
        "recirc_id(",
        "ct_state(+trk-new)",
        "tunnel(tun_id=",
        "0x1",
        "geneve({class=0x1,type=0x2,len=4,0xa}",
        "flags(df|csum)",
        "ct(commit",
        "zone=5",
        "nat(src=10.0.0.1-10.0.0.9:1-5)",
        "set(",
        "push_vlan(vid=5,pcp=0)",
        "clone(",
        "sample(sample=50.0%,actions(",
        "userspace(pid=1,slow_path(cfm))",
        "trunc(100)",
        "check_pkt_len(size=64,gt(",
        "le(drop)",
        "nsh(flags=0,ttl=63",
        "mpls(label=16,tc=0,ttl=64,bos=1)",
        "=",
        "-",
        "99999999999999999999",
        "\u{7f}",
    ];
    let mut text = String::new();
    while text.len() < 600 && c.more(12) {
        text += WORDS[c.below(WORDS.len())];
    }
    text.into_bytes()
}

fn run(name: &str) {
    let (_, target) = ALL.into_iter().find(|(other, _)| *other == name).expect("a target");
    let mut count = 0;
    for kind in ["corpus", "found"] {
        let Ok(files) = fs::read_dir(folder(kind, name)) else { continue };
        for file in files {
            let path = file.unwrap().path();
            let kept = fs::read(&path).unwrap();
            outcome(target, &kept).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
    }
    assert!(count > 0, "no inputs are kept in fuzz/corpus/{name}");
    let (cases, seed) = (variable("PFNL_FUZZ_CASES", 300), variable("PFNL_FUZZ_SEED", 1));
    for case in 0..cases {
        let bytes = input(name, nth(seed, case));
        if outcome(target, &bytes).is_err() {
            let small = shrink(&bytes, 3000, |bytes| outcome(target, bytes).is_err());
            let error = outcome(target, &small).expect_err("it has failed before");
            let hex: String = small.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{name}, seed {seed}, case {case}: {error}\ninput: {hex}");
        }
    }
    println!("{name}: {count} kept inputs, {cases} seeds");
}

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name));
        }
    )*};
}

tests!(codec policy sockets world extract flows actions conntrack odp framing);
