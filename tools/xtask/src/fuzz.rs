//! `cargo xtask fuzz`: pfnl's targets under libFuzzer.
//!
//! The flags are cargo-fuzz's, given by hand: those for coverage are stable, so that no other toolchain is needed than
//! the workspace's own. Only AddressSanitizer asks for RUSTC_BOOTSTRAP; nothing fuzzed here but the wire has `unsafe`.

use crate::packages::{self, Part};
use crate::sh;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use pfnl_proto::{Kind, Layout, Table, netfilter, nlctrl, ovs, psample};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

/// The targets, as in pfnl-fuzz's `targets::ALL`.
const TARGETS: [&str; 10] =
    ["codec", "policy", "sockets", "world", "extract", "flows", "actions", "conntrack", "odp", "framing"];

/// What to fuzz.
#[derive(Args)]
pub struct Options {
    /// Minutes for each target
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Also checks memory (AddressSanitizer, LeakSanitizer)
    #[arg(long)]
    asan: bool,
    /// Afterwards keeps what reaches most with least in fuzz/corpus
    #[arg(long)]
    keep: bool,
    /// How many at once; as many as there are processors if not given
    #[arg(long)]
    jobs: Option<usize>,
    /// Only these targets
    targets: Vec<String>,
}

/// Builds the targets and runs them.
///
/// # Errors
/// They do not build, or one has found something.
pub fn run(options: &Options) -> Result<()> {
    packages::need(&[Part::Fuzz])?;
    if let Some(unknown) = options.targets.iter().find(|name| !TARGETS.contains(&name.as_str())) {
        bail!("there is no target {unknown}; there are {}", TARGETS.join(", "));
    }
    ensure!(options.minutes > 0.0 && options.minutes < 10_000.0, "--minutes {}", options.minutes);
    let wanted =
        |name: &&str| options.targets.is_empty() || options.targets.iter().any(|target| target == name);
    let targets: Vec<_> = TARGETS.into_iter().filter(wanted).collect();
    let place = Place::build(options.asan, &targets)?;
    let waiting = Mutex::new(targets.iter().rev().copied().collect::<Vec<_>>());
    let jobs = options.jobs.or(thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop());
    println!(
        "{:>10} {:>13} {:>9} {:>16} {:>7}  findings",
        "target", "executions", "per s", "coverage", "inputs"
    );
    let results = thread::scope(|scope| {
        let worker = || {
            let mut results = Vec::new();
            while let Some(target) = next() {
                let result = place.fuzz(target, options.minutes);
                match &result {
                    Ok(figures) => println!("{}", figures.line(target)),
                    Err(error) => println!("{target:>10} {error:#}"),
                }
                results.push(result);
            }
            results
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let results = results.into_iter().collect::<Result<Vec<_>>>()?;
    let executions: u64 = results.iter().map(|figures| figures.executions).sum();
    let findings: usize = results.iter().map(|figures| figures.findings.len()).sum();
    println!("{executions} executions, {findings} findings");
    for finding in results.iter().flat_map(|figures| &figures.findings) {
        println!("{finding}");
    }
    if options.keep {
        targets.iter().try_for_each(|target| place.keep(target))?;
    }
    ensure!(
        findings == 0,
        "{findings} findings: `cargo run -p pfnl-fuzz --example case -- TARGET FILE` shrinks and shows one"
    );
    Ok(())
}

/// Where the targets were built.
struct Place {
    programs: PathBuf,
    work: PathBuf,
}

/// What a run came to.
#[derive(Default)]
struct Figures {
    executions: u64,
    per_second: u64,
    reached: u64,
    places: u64,
    inputs: u64,
    findings: Vec<String>,
}

impl Place {
    fn build(asan: bool, targets: &[&str]) -> Result<Place> {
        let work = sh::target()?.join(if asan { "fuzz-asan" } else { "fuzz" });
        let triple = sh::read(Command::new("rustc").args(["--print", "host-tuple"]))?.trim().to_owned();
        let mut flags = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
            .to_owned();
        let mut cargo = sh::cargo()?;
        if asan {
            flags += " -Zsanitizer=address";
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        cargo.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", &work);
        cargo.args([
            "build",
            "--quiet",
            "--release",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--target",
            &triple,
        ]);
        targets.iter().for_each(|target| _ = cargo.args(["--bin", target]));
        sh::run(&mut cargo)?;
        Ok(Place { programs: work.join(triple).join("release"), work })
    }

    fn command(&self, target: &str) -> Command {
        Command::new(self.programs.join(target))
    }

    fn corpus(&self, target: &str) -> PathBuf {
        self.work.join("corpus").join(target)
    }

    fn fuzz(&self, target: &str, minutes: f64) -> Result<Figures> {
        let (corpus, artifacts) = (self.corpus(target), self.work.join("artifacts").join(target));
        fs::create_dir_all(&corpus)?;
        // What was found is told of once.
        let _ = fs::remove_dir_all(&artifacts);
        fs::create_dir_all(&artifacts)?;
        let mut command = self.command(target);
        command.arg(&corpus);
        command
            .args(["corpus", "found"].map(|kind| kept(kind, target)).iter().filter(|folder| folder.is_dir()));
        command.args([
            format!("-max_total_time={}", (minutes * 60.0).ceil()),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
            "-max_len=4096".to_owned(),
            "-timeout=25".to_owned(),
            "-rss_limit_mb=3000".to_owned(),
        ]);
        if let Some(words) = dictionary(target) {
            let path = self.work.join(format!("{target}.dict"));
            fs::write(&path, words)?;
            command.arg(format!("-dict={}", path.display()));
        }
        let out = command.stdin(Stdio::null()).output().with_context(|| target.to_owned())?;
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        fs::write(self.work.join(format!("{target}.log")), &words)?;
        let mut figures = Figures::read(&words);
        for file in fs::read_dir(&artifacts)? {
            let told = words.lines().find(|line| line.contains("panicked at") || line.contains("ERROR: "));
            let next = words.lines().skip_while(|line| Some(*line) != told).nth(1);
            let path = file?.path();
            let why = [told, next].map(|line| line.unwrap_or_default().chars().take(300).collect::<String>());
            figures.findings.push(format!("{target}: {}\n  {}\n  {}", path.display(), why[0], why[1]));
        }
        if !out.status.success() && figures.findings.is_empty() {
            bail!(
                "{target} ended with {}:\n{}",
                out.status,
                words.lines().rev().take(20).collect::<Vec<_>>().join("\n")
            );
        }
        Ok(figures)
    }

    /// Chooses of all inputs those that together reach all that is reached.
    fn keep(&self, target: &str) -> Result<()> {
        let (from, to) = (self.corpus(target), kept("corpus", target));
        let fresh = self.work.join("kept").join(target);
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(&fresh)?;
        let mut command = self.command(target);
        command.args(["-set_cover_merge=1", "-max_len=1024"]).args([&fresh, &from]);
        if to.is_dir() {
            command.arg(&to);
        }
        let out = command.stdin(Stdio::null()).output()?;
        ensure!(out.status.success(), "{target}: merging: {}", String::from_utf8_lossy(&out.stderr));
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(&to)?;
        let mut files: Vec<_> = fs::read_dir(&fresh)?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
        // The small ones: what is kept is in everybody's clone.
        files.sort_by_key(|file| fs::metadata(file).map_or(u64::MAX, |metadata| metadata.len()));
        files.truncate(MOST_KEPT);
        for file in &files {
            fs::copy(file, to.join(file.file_name().context("no name")?))?;
        }
        println!("{target}: {} inputs kept", files.len());
        Ok(())
    }
}

/// How many inputs of a target are in the repository.
const MOST_KEPT: usize = 80;

fn kept(kind: &str, target: &str) -> PathBuf {
    sh::root().join("fuzz").join(kind).join(target)
}

impl Figures {
    fn read(words: &str) -> Figures {
        let number = |text: &str| text.trim().parse().unwrap_or(0);
        let after = |line: &str, word: &str| {
            line.split_once(word).and_then(|(_, rest)| rest.split_whitespace().next()).map_or(0, number)
        };
        let mut figures = Figures::default();
        for line in words.lines() {
            if let Some((_, rest)) = line.split_once("Loaded 1 modules") {
                figures.places =
                    rest.trim_start().trim_start_matches('(').split(' ').next().map_or(0, number);
            } else if line.starts_with("stat::number_of_executed_units:") {
                figures.executions = line.rsplit(':').next().map_or(0, number);
            } else if line.starts_with("stat::average_exec_per_sec:") {
                figures.per_second = line.rsplit(':').next().map_or(0, number);
            } else if line.starts_with('#') && line.contains(" cov: ") {
                figures.reached = after(line, " cov: ");
                let corpus = line.split_once(" corp: ").map_or("", |(_, rest)| rest);
                figures.inputs = corpus.split('/').next().map_or(0, number);
            }
        }
        figures
    }

    fn line(&self, target: &str) -> String {
        let percent = self.reached as f64 * 100.0 / self.places.max(1) as f64;
        format!(
            "{target:>10} {:>13} {:>9} {:>7}/{:<6} {percent:>2.0}% {:>6}  {}",
            self.executions,
            self.per_second,
            self.reached,
            self.places,
            self.inputs,
            self.findings.len()
        )
    }
}

/// Words for targets whose input is no choices: attributes' headers for messages, names for text.
fn dictionary(target: &str) -> Option<String> {
    const TABLES: [&Table; 5] = [
        &ovs::flow::TABLE,
        &ovs::packet::TABLE,
        &nlctrl::ctrl::TABLE,
        &psample::psample::TABLE,
        &netfilter::ct_attr::TABLE,
    ];
    let mut words = BTreeSet::new();
    match target {
        "codec" => TABLES.iter().for_each(|table| headers(table, 4, &mut words)),
        "odp" => TABLES.iter().take(2).for_each(|table| names(table, 4, &mut words)),
        _ => return None,
    }
    let mut text = String::new();
    for word in words {
        let _ = writeln!(text, "\"{word}\"");
    }
    Some(text)
}

fn inner(kind: Kind) -> Option<&'static Table> {
    match kind {
        Kind::Nest(table) | Kind::List(table) | Kind::Array(table) => Some(table),
        _ => None,
    }
}

fn headers(table: &Table, depth: usize, words: &mut BTreeSet<String>) {
    for row in table.rows {
        let len = match row.kind.len() {
            pfnl_proto::Len::Exact(len) => len,
            pfnl_proto::Len::Max(len) => len.min(16),
            pfnl_proto::Len::Any => 8,
        };
        let header = [(len + 4).to_ne_bytes(), row.number.to_ne_bytes()].concat();
        words.insert(header.iter().map(|byte| format!("\\x{byte:02x}")).collect());
        if let Some(table) = inner(row.kind).filter(|_| depth > 0) {
            headers(table, depth - 1, words);
        }
    }
}

fn names(table: &Table, depth: usize, words: &mut BTreeSet<String>) {
    for row in table.rows {
        words.insert(format!("{}(", row.name));
        words.insert(format!("{}=", row.name));
        if let Some(Layout::Fields(_, fields)) = row.layout {
            words.extend(fields.iter().map(|(field, _)| format!("{field}=")));
        }
        if let Some(table) = inner(row.kind).filter(|_| depth > 0) {
            names(table, depth - 1, words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_figures_are_read() {
        let figures = Figures::read(
            "INFO: Loaded 1 modules   (45013 inline 8-bit counters): 45013 [0x1, 0x2), \n\
             #2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 40Mb\n\
             #1234\tDONE   cov: 2000 ft: 5000 corp: 77/9Kb lim: 4 exec/s: 1234 rss: 50Mb\n\
             stat::number_of_executed_units: 1234\nstat::average_exec_per_sec:     617\n",
        );
        assert_eq!((figures.executions, figures.per_second, figures.reached), (1234, 617, 2000));
        assert_eq!((figures.places, figures.inputs), (45_013, 77));
    }

    #[test]
    fn dictionaries_are_of_the_tables() {
        let words = dictionary("odp").unwrap();
        assert!(words.contains("\"recirc_id(\"\n") && words.contains("\"ct_state(\"\n"), "{words}");
        assert!(dictionary("codec").unwrap().contains("\\x08\\x00\\x03\\x00"));
        assert_eq!(dictionary("world"), None);
    }

    #[test]
    fn targets_are_those_of_the_fuzz_folder() {
        let files = fs::read_dir(sh::root().join("fuzz/fuzz_targets")).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut own = TARGETS;
        own.sort_unstable();
        assert_eq!(names, own);
    }
}
