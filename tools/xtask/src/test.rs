//! `cargo xtask test`: every test there is, in sections, with one summary.

use crate::packages::{self, Part};
use crate::{compat, kernel_bound, kmod, licences, ovs_suite, sh};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Section {
    /// cargo fmt --check
    Fmt,
    /// cargo clippy, warnings are errors
    Clippy,
    /// The licences of all dependencies
    Licences,
    /// The tests beside the code
    Unit,
    /// The no_std cores, built and measured for a kernel
    KernelBound,
    /// The FreeBSD module, built and checked
    Kmod,
    /// The headers for programs on FreeBSD, compiled and compared with Linux's
    Headers,
    /// Real clients in a sandbox
    Clients,
    /// A few minutes of OVS's own tests (`cargo xtask ovs-suite` runs them all)
    OvsSuite,
}

/// What sections counted.
#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
    real_clients: Option<String>,
}

/// Runs the sections named, or all; `names` choose among the tests with real clients.
pub fn run(only: &[Section], names: &[String]) -> Result<()> {
    let only: &[Section] = if only.is_empty() && !names.is_empty() { &[Section::Clients] } else { only };
    let wanted = |section: &Section| only.is_empty() || only.contains(section);
    let sections: Vec<Section> = Section::value_variants().iter().copied().filter(wanted).collect();
    packages::need(&sections.iter().filter_map(|section| section.part()).collect::<Vec<Part>>())?;
    let mut counts = Counts::default();
    let mut lines = Vec::new();
    for section in sections {
        println!("\n== {}", section.title());
        let began = Instant::now();
        let result = section.run(names, &mut counts);
        let verdict = match &result {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("FAILED: {}", format!("{error:#}").lines().next().unwrap_or_default()),
        };
        if let Err(error) = &result {
            println!("FAILED: {error:#}");
        }
        lines.push(format!("{:<14} {:>4} s  {verdict}", section.name(), began.elapsed().as_secs()));
    }
    println!("\n== Summary");
    lines.iter().for_each(|line| println!("{line}"));
    if let Some(checks) = &counts.real_clients {
        println!("{checks}");
    }
    if counts.skipped > 0 {
        println!("{} skipped: their reasons stand above", counts.skipped);
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    ensure!(counts.failed == 0, "some tests failed");
    Ok(())
}

impl Section {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn title(self) -> &'static str {
        match self {
            Section::Fmt => "Formatting",
            Section::Clippy => "Clippy",
            Section::Licences => "Licences of the dependencies",
            Section::Unit => "Tests beside the code",
            Section::KernelBound => "The cores, as a kernel takes them",
            Section::Kmod => "pfnl.ko, as a FreeBSD kernel loads it",
            Section::Headers => "compat-headers, beside Linux's",
            Section::Clients => "Real clients",
            Section::OvsSuite => "OVS's own tests, a part",
        }
    }

    /// Whose packages it needs.
    fn part(self) -> Option<Part> {
        match self {
            Section::Fmt | Section::Clippy => Some(Part::Lint),
            Section::Licences => None,
            // The host's own tests make namespaces and send pings.
            Section::Unit | Section::Clients => Some(Part::Clients),
            Section::KernelBound => Some(Part::KernelBound),
            Section::Kmod | Section::Headers => Some(Part::Kmod),
            Section::OvsSuite => Some(Part::Suite),
        }
    }

    fn run(self, names: &[String], counts: &mut Counts) -> Result<()> {
        match self {
            Section::Fmt => counts.one(fmt()),
            Section::Clippy => counts.one(clippy()),
            Section::Licences => counts.one(licences::run().map(|said| println!("{said}"))),
            Section::KernelBound => counts.one(kernel_bound::run(true)),
            Section::Kmod => counts.one(kmod::run(&kmod::Options::default()).map(drop)),
            Section::Headers => counts.one(compat::run(&compat::Options::default())),
            Section::Unit => unit(counts),
            Section::Clients => clients(names, counts),
            Section::OvsSuite => counts.one(ovs_suite::run(&["--bounded".to_owned()])),
        }
    }
}

impl Counts {
    /// Counts a section that is one test.
    fn one(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Ok(()) => self.passed += 1,
            Err(_) => self.failed += 1,
        }
        result
    }

    /// Adds a `test result: …` line.
    fn add(&mut self, line: &str) {
        for part in line.split([';', '.']) {
            let mut words = part.split_whitespace();
            if let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "skipped" | "ignored" => self.skipped += count,
                    _ => {}
                }
            }
        }
    }
}

fn fmt() -> Result<()> {
    sh::run(sh::cargo()?.args(["fmt", "--all", "--check"]))?;
    for outside in
        ["fuzz", "tests/kernel-bound", "kern-sock/freebsd", "kern-sock/freebsd/kernel", "datapath/freebsd"]
    {
        let manifest = format!("{outside}/Cargo.toml");
        sh::run(sh::cargo()?.args(["fmt", "--check", "--manifest-path", &manifest]))?;
    }
    Ok(())
}

fn clippy() -> Result<()> {
    let flags = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    sh::run(sh::cargo()?.args(flags))
}

/// The tests beside the code: one line for each program, all that was said in a log.
fn unit(counts: &mut Counts) -> Result<()> {
    // Some of them run the command and the preload library.
    pfnl_tests::host::build()?;
    let mut cargo = sh::cargo()?;
    cargo.args(["test", "--workspace", "--exclude", "pfnl-tests", "--no-fail-fast"]);
    cargo.args(["--", "--show-output"]);
    let others = stream(&mut cargo, "unit", counts);
    let mut cargo = sh::cargo()?;
    cargo.args(["test", "--package", "pfnl-tests", "--lib", "--test", "interop", "--", "--show-output"]);
    let own = stream(&mut cargo, "unit-tests", counts);
    others.and(own)
}

/// Runs tests of the usual harness: prints what failed, what was skipped, and the counts.
fn stream(cargo: &mut Command, name: &str, counts: &mut Counts) -> Result<()> {
    println!("$ {}", sh::show(cargo));
    let log = sh::target()?.join(format!("xtask-{name}.log"));
    // The harness's words and cargo's "Running …" lines in the order they come.
    let (reader, writer) = std::io::pipe()?;
    cargo.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = cargo.spawn().context("cargo test")?;
    // The command still holds the pipe's writing ends; reading would never end.
    cargo.stdout(Stdio::null()).stderr(Stdio::null());
    let mut all = String::new();
    for line in BufReader::new(reader).lines() {
        let line = line?;
        if line.starts_with("test result:") {
            counts.add(&line);
        }
        let telling =
            ["test result:", "     Running", "   Doc-tests"].iter().any(|start| line.starts_with(start));
        if telling
            || line.ends_with("FAILED")
            || line.to_lowercase().contains("skipp") && !line.starts_with("test ")
        {
            println!("{}", line.trim_start());
        }
        if !line.starts_with("   Compiling") {
            all.push_str(&line);
            all.push('\n');
        }
    }
    let status = child.wait()?;
    fs::write(&log, &all)?;
    if !status.success() {
        println!("{all}");
        if !all.lines().any(|line| line.starts_with("test result: FAILED")) {
            counts.failed += 1;
        }
    }
    ensure!(status.success(), "cargo test failed; the whole output is in {}", log.display());
    Ok(())
}

/// The runner of pfnl-tests names its tests itself; here only its counts are read.
fn clients(names: &[String], counts: &mut Counts) -> Result<()> {
    let mut cargo = sh::cargo()?;
    cargo.args(["test", "--quiet", "--package", "pfnl-tests", "--test", "clients", "--"]).args(names);
    println!("$ {}", sh::show(&cargo));
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cargo test")?;
    let mut counted = false;
    for line in BufReader::new(child.stdout.take().context("no pipe")?).lines() {
        let line = line?;
        if line.starts_with("test result:") {
            counts.add(&line);
            counted = true;
        }
        if line.starts_with("real-client checks:") {
            counts.real_clients = Some(line.clone());
        }
        println!("{line}");
    }
    let status = child.wait()?;
    if !counted {
        counts.failed += 1;
    }
    ensure!(counted && status.success(), "tests with real clients failed");
    let none = counts.real_clients.as_deref().is_some_and(|line| line.trim_end().ends_with("checks: 0"));
    if none && std::env::var_os("CI").is_some() {
        counts.failed += 1;
        bail!("no client could be tried, which is no success where CI is set");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn results_are_added() {
        let mut counts = Counts::default();
        counts.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        );
        counts.add("test result: FAILED. 3 passed; 2 failed; 4 skipped");
        assert_eq!((counts.passed, counts.failed, counts.skipped), (15, 2, 5));
    }
}
