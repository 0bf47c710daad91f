//! How fast the datapath is, beside others that do the same work in turns on the same machine. Absolute figures move with
//! the machine from minute to minute; what counts is their ratios, and those are what has targets.
//!
//! `cargo xtask bench-datapath` builds all that is needed and runs it (names select: forwarding, tcp, flows, explosion). It runs
//! in a sandbox, whose network and processes end with it.

mod explosion;
mod flows;
mod forwarding;
mod generator;
mod mover;
mod ovs;
mod report;
mod switch;

use anyhow::{Result, bail};
use pfnl_tests::sandbox;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pfnl-bench-datapath: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["put-flows", rest @ ..] = &words[..] {
        return flows::client(rest).map(|()| ExitCode::SUCCESS);
    }
    if !sandbox::inside() {
        let status = sandbox::enter(args)?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    sandbox::prepare()?;
    // The measured are to run when the machine has other work too: before others of this session, and of other sessions.
    let _ = rustix::process::setsid();
    let _ = std::fs::write("/proc/self/autogroup", "-20");
    let _ = rustix::process::nice(-15);
    let mut report = report::Report::default();
    let all = ["forwarding", "tcp", "flows", "explosion"];
    let chosen: Vec<&str> = if words.is_empty() { all.to_vec() } else { words };
    for name in chosen {
        match name {
            "forwarding" => forwarding::packets(&mut report)?,
            "tcp" => forwarding::tcp(&mut report)?,
            "flows" => flows::run(&mut report)?,
            "explosion" => explosion::run(&mut report)?,
            other => bail!("no benchmark {other}: there are {}", all.join(", ")),
        }
    }
    Ok(if report.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Keeps all threads of a process, or the calling thread, on one processor.
fn pin(process: Option<u32>, cpu: usize) {
    place(process, cpu..=cpu);
}

/// Lets all threads of a process run on any processor.
fn unpin(process: u32) {
    place(Some(process), 0..=rustix::thread::CpuSet::MAX_CPU - 1);
}

fn place(process: Option<u32>, cpus: std::ops::RangeInclusive<usize>) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    cpus.for_each(|cpu| set.set(cpu));
    let threads: Vec<i32> = match process {
        None => vec![0],
        Some(pid) => std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
    };
    for thread in threads {
        // With one processor only, everything is on it anyway.
        let _ = sched_setaffinity(rustix::process::Pid::from_raw(thread), &set);
    }
}
