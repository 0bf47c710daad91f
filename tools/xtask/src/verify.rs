//! `cargo xtask verify`: what looks closer than tests do. Each kind is a named command; what this machine lacks for one is
//! said, and is no success.

use crate::sh;
use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use std::process::Command;
use std::time::Instant;

/// A kind of closer look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// Miri over the tests of the cores and of the boundary crates' memory: undefined behaviour, leaks
    Miri,
    /// Miri with many schedules over what is shared between threads: RCU, reference counts, the host's page
    Races,
    /// AddressSanitizer and LeakSanitizer over the host, the wire and pfnl-fuzz's targets
    Asan,
    /// ThreadSanitizer over the same
    Tsan,
    /// The property tests and models (flow table, connection table, TCP states, codec, text) with many more cases
    Models,
    /// Bounded model checking of the codec's arithmetic
    Kani,
    /// All schedules of the flow table's and the queue's concurrency
    Loom,
}

/// Does these, or all.
///
/// # Errors
/// One has found something, or cannot be done here.
pub fn run(kinds: &[Kind]) -> Result<()> {
    let kinds = if kinds.is_empty() { Kind::value_variants() } else { kinds };
    let mut lines = Vec::new();
    let mut bad = 0;
    for kind in kinds {
        let name = kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        println!("\n== {name}");
        let begin = Instant::now();
        let verdict = match kind.look() {
            Ok(()) => "nothing found".to_owned(),
            Err(error) => {
                bad += 1;
                format!("{error:#}")
            }
        };
        lines.push(format!("{name:<8} {:>5} s  {verdict}", begin.elapsed().as_secs()));
    }
    println!("\n== Summary");
    lines.iter().for_each(|line| println!("{line}"));
    ensure!(bad == 0, "{bad} of {} have found something or cannot be done here", kinds.len());
    Ok(())
}

/// Where nothing but the cores' own memory is.
const CORES: [&str; 3] = ["pfnl-platform", "pfnl-proto", "pfnl-sock"];
/// What runs where there is an operating system.
const HOSTED: [&str; 4] = ["pfnl-platform", "pfnl-wire", "pfnl-sock-host", "pfnl-fuzz"];

impl Kind {
    fn look(self) -> Result<()> {
        match self {
            Kind::Miri => miri(&CORES, &[], "-Zmiri-disable-isolation -Zmiri-permissive-provenance"),
            Kind::Races => {
                let flags = "-Zmiri-disable-isolation -Zmiri-permissive-provenance -Zmiri-many-seeds=0..16";
                miri(&["pfnl-platform"], &["rcu", "mem"], flags)
            }
            Kind::Asan => sanitizer("address", "stable"),
            Kind::Tsan => sanitizer("thread", "nightly"),
            Kind::Models => models(),
            Kind::Kani => kani(),
            Kind::Loom => bail!(
                "not there: the cores' atomics are core's own, and no model of them is written for loom; `races` runs their \
                 tests in many schedules instead"
            ),
        }
    }
}

fn cargo_of(toolchain: &str) -> Result<Command> {
    let has = sh::read(Command::new("rustup").args(["run", toolchain, "cargo", "--version"]));
    ensure!(has.is_ok(), "no toolchain `{toolchain}`: rustup toolchain install {toolchain}");
    let mut cargo = Command::new("rustup");
    cargo.args(["run", toolchain, "cargo"]).current_dir(sh::root());
    // Those of the cargo that runs this program are another toolchain's.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    Ok(cargo)
}

fn packages<'a>(names: &[&'a str]) -> impl Iterator<Item = [&'a str; 2]> {
    names.iter().map(|name| ["--package", *name]).collect::<Vec<_>>().into_iter()
}

fn miri(names: &[&str], filters: &[&str], flags: &str) -> Result<()> {
    let mut cargo = cargo_of("nightly")?;
    let probe = sh::read(cargo_of("nightly")?.args(["miri", "--version"]));
    ensure!(probe.is_ok(), "no Miri: rustup component add miri rust-src --toolchain nightly");
    cargo
        .env("MIRIFLAGS", flags)
        .env("PROPTEST_CASES", "2")
        .env("CARGO_TARGET_DIR", sh::target()?.join("miri"));
    cargo.args(["miri", "test", "--lib"]);
    packages(names).for_each(|package| _ = cargo.args(package));
    cargo.arg("--").args(filters);
    sh::run(&mut cargo)
}

fn sanitizer(which: &str, toolchain: &str) -> Result<()> {
    let triple = sh::read(Command::new("rustc").args(["--print", "host-tuple"]))?.trim().to_owned();
    let mut cargo = cargo_of(toolchain)?;
    let mut flags = format!("-Zsanitizer={which}");
    cargo.args(["test", "--target", &triple, "--lib", "--tests"]);
    if which == "thread" {
        // A standard library that is not built for it would be full of what looks like races.
        let source = sh::read(Command::new("rustup").args(["component", "list", "--toolchain", toolchain]))?;
        let has = source.lines().any(|line| line.starts_with("rust-src") && line.contains("installed"));
        ensure!(
            has,
            "no source of the standard library: rustup component add rust-src --toolchain {toolchain}"
        );
        cargo.arg("-Zbuild-std");
        flags += " -Cunsafe-allow-abi-mismatch=sanitizer";
    }
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags);
    cargo.env("CARGO_TARGET_DIR", sh::target()?.join(which));
    packages(&HOSTED).for_each(|package| _ = cargo.args(package));
    sh::run(&mut cargo)
}

fn models() -> Result<()> {
    let mut cargo = sh::cargo()?;
    cargo.env("PROPTEST_CASES", "5000").env("PFNL_FUZZ_CASES", "20000").env("PFNL_FUZZ_SEED", "77");
    cargo.args([
        "test",
        "--quiet",
        "--package",
        "pfnl-datapath",
        "--package",
        "pfnl-ovs",
        "--package",
        "pfnl-odp",
    ]);
    cargo.args(["--package", "pfnl-proto", "--package", "pfnl-fuzz"]);
    sh::run(&mut cargo)
}

fn kani() -> Result<()> {
    ensure!(
        sh::which("cargo-kani").is_some(),
        "no Kani here, and no proofs for it are written yet: `models` tests the same arithmetic by cases"
    );
    bail!("no proofs for Kani are written yet: `models` tests the same arithmetic by cases")
}
