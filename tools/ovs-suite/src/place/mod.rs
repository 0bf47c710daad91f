//! Where tests run: in namespaces of this machine, or in a guest; and running them there.

mod guest;
mod here;

use crate::outcome::{Outcome, Outcomes, Verdict, read};
use crate::plan::Test;
use crate::tree::Tree;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// What runs tests.
pub const INSIDE: &str = include_str!("inside.sh");

/// The user's wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Machine {
    /// Here what can run here, the rest in the guest
    Auto,
    /// Here; what cannot run here is not run
    Here,
    /// All in the guest
    Guest,
}

/// Where a test runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In namespaces of this machine.
    Here,
    /// In the guest.
    Guest,
    /// Not at all; why.
    Nowhere(String),
}

/// Tests and where they run.
pub type Shares = Vec<(Test, Place)>;

/// Says where each test runs.
pub fn share(tests: Vec<Test>, machine: Machine) -> Result<Shares> {
    let missing = if machine == Machine::Guest { BTreeSet::new() } else { here::missing_kinds()? };
    let place = |test: &Test| {
        let lacking: Vec<&str> = test.kinds.iter().filter(|kind| missing.contains(**kind)).copied().collect();
        match machine {
            Machine::Guest => Place::Guest,
            _ if lacking.is_empty() => Place::Here,
            Machine::Auto => Place::Guest,
            Machine::Here => Place::Nowhere(format!("this kernel has no {}", lacking.join(", "))),
        }
    };
    Ok(tests.into_iter().map(|test| (test.clone(), place(&test))).collect())
}

/// Runs the tests where they are to run: `jobs` sandboxes at once, a failed test up to `retries` times more.
pub fn run(tree: &Tree, folder: &Path, shares: &Shares, jobs: usize, retries: usize) -> Result<Outcomes> {
    let folder = folder.canonicalize()?;
    let pfnl = programs(&folder)?;
    let mut outcomes = Outcomes::new();
    for (place, limit) in [(Place::Here, Duration::from_secs(300)), (Place::Guest, Duration::from_secs(1200))]
    {
        let mut wanted: Vec<usize> =
            shares.iter().filter(|share| share.1 == place).map(|(test, _)| test.number).collect();
        let jobs = if place == Place::Guest { 1 } else { jobs };
        for round in 0..=retries {
            if wanted.is_empty() {
                break;
            }
            let at = format!("{}-{round}", if place == Place::Here { "here" } else { "guest" });
            let got = together(
                tree,
                &pfnl,
                &folder.join(&at),
                &wanted,
                if round == 0 { jobs } else { 1 },
                |work| {
                    let output = match place {
                        Place::Guest => guest::start(&folder, &work)?,
                        _ => here::start(&work)?,
                    };
                    Ok(Running { output, limit })
                },
            )?;
            for (number, verdict) in got {
                let log = format!("{at}/*/tests/system-kmod-testsuite.dir/{number:03}");
                let known =
                    outcomes.entry(number).or_insert(Outcome { verdict: Verdict::Hung, failures: 0, log });
                known.verdict = verdict;
            }
            wanted.retain(|number| match outcomes.get_mut(number) {
                Some(Outcome { verdict: Verdict::Failed(_) | Verdict::Hung, failures, .. }) => {
                    *failures += 1;
                    true
                }
                _ => false,
            });
        }
    }
    Ok(outcomes)
}

/// Builds pfnl and copies it into the folder: a build meanwhile shall not change what is tested.
fn programs(folder: &Path) -> Result<PathBuf> {
    pfnl_tests::host::build()?;
    let built = pfnl_tests::host::built()?;
    let to = folder.join("pfnl");
    fs::create_dir_all(&to)?;
    for name in ["pfnl", "libpfnl_preload.so"] {
        // Not over one that may be running.
        let _ = fs::remove_file(to.join(name));
        fs::copy(built.join(name), to.join(name)).with_context(|| name.to_owned())?;
    }
    Ok(to)
}

/// What a place is told.
pub struct Work {
    /// The folder it is all in; empty, or to be emptied.
    pub folder: PathBuf,
    /// For inside.sh.
    pub env: Vec<(&'static str, String)>,
}

/// What tests say, and how long they may be silent.
struct Running {
    output: Output,
    limit: Duration,
}

/// A place at work. Dropping it ends it.
pub trait Session: Send {
    /// What comes next of what it prints; nothing at the end.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize>;
    /// Ends it from another thread.
    fn killer(&self) -> Box<dyn FnOnce() + Send>;
}

/// See [`Session`].
pub type Output = Box<dyn Session>;

/// Runs tests in several places at once.
fn together(
    tree: &Tree,
    programs: &Path,
    folder: &Path,
    wanted: &[usize],
    jobs: usize,
    start: impl Fn(Work) -> Result<Running> + Sync,
) -> Result<BTreeMap<usize, Verdict>> {
    let _ = fs::remove_dir_all(folder);
    let jobs = jobs.min(wanted.len());
    let results: Vec<Result<_>> = std::thread::scope(|scope| {
        // Dealt out like cards: neighbours take about the same time.
        let hands = (0..jobs).map(|job| wanted.iter().copied().skip(job).step_by(jobs).collect::<Vec<_>>());
        let start = &start;
        let threads: Vec<_> = hands
            .enumerate()
            .map(|(job, hand)| {
                scope.spawn(move || {
                    one_after_another(tree, programs, &folder.join(job.to_string()), hand, start)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread failed")))
            .collect()
    });
    let mut all = BTreeMap::new();
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}

/// How often a place may fail to come up.
const BOOTS: usize = 3;

/// Runs tests in one place; where one does not end, the rest in another.
fn one_after_another(
    tree: &Tree,
    programs: &Path,
    folder: &Path,
    mut wanted: Vec<usize>,
    start: &(impl Fn(Work) -> Result<Running> + Sync),
) -> Result<BTreeMap<usize, Verdict>> {
    let mut verdicts = BTreeMap::new();
    for attempt in 0.. {
        if wanted.is_empty() {
            break;
        }
        let work = work(tree, programs, &folder.join(attempt.to_string()), &wanted)?;
        let log = work.folder.join("output.log");
        let mut running = start(work)?;
        let text = follow(&mut running, &log, &mut verdicts)?;
        drop(running);
        wanted.retain(|number| !verdicts.contains_key(number));
        // A guest's boot may fail under emulation: that says nothing of any test.
        let began = text.contains(" test suite. ##");
        match wanted.first() {
            Some(_) if !began && attempt < BOOTS => println!("suite: no test ran, beginning anew"),
            Some(_) if !began => {
                let end: Vec<&str> = text.lines().rev().take(15).collect();
                anyhow::bail!("no test ran: {}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            Some(first) => {
                println!("{first:>3}: did not end");
                verdicts.insert(*first, Verdict::Hung);
                wanted.remove(0);
            }
            None => {}
        }
    }
    Ok(verdicts)
}

fn work(tree: &Tree, pfnl: &Path, folder: &Path, tests: &[usize]) -> Result<Work> {
    fs::create_dir_all(folder)?;
    let text = |path: &Path| path.display().to_string();
    let programs: Vec<String> = tree.programs.iter().map(|path| text(path)).collect();
    let tests: Vec<String> = tests.iter().map(usize::to_string).collect();
    let env = vec![
        ("PFNL", text(pfnl)),
        ("SOURCE", text(tree.source())),
        ("PROGRAMS", programs.join(":")),
        ("PYTHON", text(&tree.python)),
        ("TESTS", tests.join(" ")),
    ];
    Ok(Work { folder: folder.to_owned(), env })
}

/// Reads until the end or until nothing comes for too long, and prints the lines that say something.
fn follow(running: &mut Running, log: &Path, verdicts: &mut BTreeMap<usize, Verdict>) -> Result<String> {
    let kill = running.output.killer();
    let (sender, receiver) = channel();
    let limit = running.limit;
    let mut all = String::new();
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(move || watch(&receiver, limit, kill));
        let result = lines(running.output.as_mut(), &sender, |line| {
            all.push_str(line);
            all.push('\n');
            if let Some((number, verdict)) = read(line) {
                verdicts.insert(number, verdict);
                println!("{line}");
            } else if line.starts_with("suite: ") {
                println!("{line}");
            }
        });
        drop(sender);
        result
    })?;
    fs::write(log, &all)?;
    Ok(all)
}

/// Ends what is silent for too long.
fn watch(receiver: &Receiver<()>, limit: Duration, kill: Box<dyn FnOnce() + Send>) {
    loop {
        match receiver.recv_timeout(limit) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => return kill(),
        }
    }
}

fn lines(output: &mut dyn Session, alive: &Sender<()>, mut line: impl FnMut(&str)) -> Result<()> {
    let (mut rest, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = output.read(&mut buffer).context("what the tests print")?;
        if count == 0 {
            line(&String::from_utf8_lossy(&rest));
            return Ok(());
        }
        // Nobody may be watching any more.
        let _ = alive.send(());
        rest.extend_from_slice(buffer.get(..count).unwrap_or_default());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = rest.drain(..=end).collect();
            line(String::from_utf8_lossy(&whole).trim_end());
        }
    }
}

/// Removes what tests that passed have left.
pub fn tidy(folder: &Path, outcomes: &Outcomes) -> Result<()> {
    let passed = |name: &str| {
        let number = name.parse().ok();
        number
            .and_then(|number: usize| outcomes.get(&number))
            .is_some_and(|outcome| outcome.verdict == Verdict::Ok)
    };
    let find = Command::new("find")
        .arg(folder)
        .args(["-path", "*/system-kmod-testsuite.dir/*", "-prune"])
        .output()?;
    for line in String::from_utf8_lossy(&find.stdout).lines() {
        let path = Path::new(line);
        if passed(&path.file_name().unwrap_or_default().to_string_lossy()) {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}
