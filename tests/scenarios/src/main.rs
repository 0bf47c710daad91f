//! Socket-level scenarios: what a netlink socket does, call by call, as a transcript.
//!
//! The same program runs on a kernel's own AF_NETLINK and on pfnl's; its transcripts must be equal
//! (`tests/two_kernels.rs` compares). A scenario asserts nothing: it only says what it saw. Each runs in a process of
//! its own, so that portids, buffers and privileges are fresh.
//!
//! `pfnl-scenarios all [PART…]` runs those whose names contain a part, `pfnl-scenarios run NAME` runs one here,
//! `pfnl-scenarios list` names them. To look at a difference:
//! `pfnl-scenarios all bind` beside `pfnl run -- pfnl-scenarios all bind`.
#![expect(clippy::print_stdout, reason = "the transcript is the point")]

mod message;
mod os;
mod say;
mod sock;
mod sys;
mod table;

use std::io::Read;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use table::Table;

/// How long one scenario may take.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    say::start();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let table = Table::whole();
    match arguments[..] {
        ["list"] => table.names().for_each(|name| println!("{name}")),
        ["run", name] => {
            let Some(run) = table.find(name) else {
                eprintln!("no scenario is called {name}");
                return ExitCode::FAILURE;
            };
            run();
        }
        ["child", "inherited", fd] => table::sharing::inherited(fd),
        ["all", ref parts @ ..] => {
            let wanted = |name: &&str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
            for name in table.names().filter(wanted) {
                println!("== {name}\n{}", transcript(name));
            }
        }
        _ => {
            eprintln!("usage: pfnl-scenarios all [PART…] | run NAME | list");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Runs one scenario in a process of its own.
fn transcript(name: &str) -> String {
    let program = std::env::current_exe().expect("the program's own path");
    let child = os::command(&program)
        .args(["run", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program itself");
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(stdout) = &mut stdout {
            let _ = stdout.read_to_string(&mut text);
        }
        if let Some(stderr) = &mut stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    });
    let began = Instant::now();
    let end = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break String::new(),
            Ok(Some(status)) => break format!("ended: {status}\n"),
            _ if began.elapsed() > LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                break "ended: took too long\n".into();
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    reader.join().unwrap_or_default() + &end
}
