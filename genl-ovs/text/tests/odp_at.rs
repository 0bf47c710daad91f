//! OVS's own test of the syntax, `tests/odp.at`, run as it stands: its shell commands by a shell, and for
//! `ovstest test-odp`, the program they call, this one.
//!
//! The file is OVS's (Apache-2.0) and not copied here: it is read from Debian's package openvswitch-source, or from
//! where `PFNL_ODP_AT` says. Without either the test is skipped, and says so.
//!
//! Every line that a check expects counts. Those that cannot be are in [`EXCEPT`], with the reason.

#[path = "odp_at/ovstest.rs"]
mod ovstest;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Debian's openvswitch-source.
const TARBALL: &str = "/usr/src/openvswitch/openvswitch.tar.gz";

/// What a line starts with that is not to be as OVS expects, and why.
const EXCEPT: &[(&str, &str)] = &[
    (
        "tnl_push(",
        "builds tunnel headers in OVS's user-space datapath; its number is another action's in the kernel",
    ),
    ("tnl_pop(", "the same, the other way"),
    ("lb_output(", "bond output of OVS's user-space datapath; the kernel has no such action"),
];

/// Groups of the file that do not test the syntax.
const OTHER_GROUPS: &[(&str, &str)] =
    &[("odp-execute - actions implementation", "starts ovs-vswitchd: executes actions, reads no text")];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|arg| arg == "test-odp") {
        return ovstest::run(&args[2..]);
    }
    if args.iter().any(|arg| arg == "--list") {
        println!("odp_at: test");
        return ExitCode::SUCCESS;
    }
    let Some(text) = odp_at() else {
        println!("skipped: neither PFNL_ODP_AT nor {TARBALL} (Debian's openvswitch-source) is there");
        return ExitCode::SUCCESS;
    };
    let mut count = Count::default();
    for (number, group) in text.split("\nAT_SETUP(").skip(1).enumerate() {
        let (title, rest) = argument(group).expect("AT_SETUP has a title");
        let body = rest.split("\nAT_CLEANUP").next().unwrap_or(rest);
        if let Some((_, why)) = OTHER_GROUPS.iter().find(|(other, _)| *other == title) {
            println!("left out: {title}: {why}");
            continue;
        }
        let before = count;
        let dir = Sandbox::new(number);
        check_group(&dir, body.trim_start_matches(')'), &mut count);
        println!("{}/{} {title}", count.right - before.right, count.all - before.all);
    }
    println!(
        "odp.at: {}/{} lines as expected, {} left out for a reason",
        count.right, count.all, count.except
    );
    for (start, why) in EXCEPT {
        println!("left out: {start}…): {why}");
    }
    if count.right == count.all && count.all > 400 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy, Default)]
struct Count {
    right: usize,
    all: usize,
    except: usize,
}

fn odp_at() -> Option<String> {
    if let Some(path) = std::env::var_os("PFNL_ODP_AT") {
        return Some(std::fs::read_to_string(path).expect("PFNL_ODP_AT names a file"));
    }
    if !Path::new(TARBALL).exists() {
        return None;
    }
    let tar =
        Command::new("tar").args(["-xzOf", TARBALL, "openvswitch/tests/odp.at"]).output().expect("tar runs");
    assert!(tar.status.success(), "tar: {}", String::from_utf8_lossy(&tar.stderr));
    Some(String::from_utf8(tar.stdout).expect("odp.at is text"))
}

/// A directory in which a group's commands run, with this program as `ovstest`.
struct Sandbox(PathBuf);

impl Sandbox {
    fn new(number: usize) -> Sandbox {
        let dir = std::env::temp_dir().join(format!("pfnl-odp-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory of this process's own");
        let this = std::env::current_exe().expect("this program has a path");
        std::os::unix::fs::symlink(this, dir.join("ovstest")).expect("a link");
        Sandbox(dir)
    }

    /// Runs commands and gives what they print.
    fn sh(&self, script: &str) -> String {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).current_dir(&self.0).env("PATH", path).env("LC_ALL", "C");
        let output = shell.stderr(Stdio::null()).output().expect("sh runs");
        String::from_utf8(output.stdout).expect("text comes out")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The first argument of a macro, and what follows the bracket that ends it.
fn argument(text: &str) -> Option<(String, &str)> {
    let start = text.find('[')?;
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            // Inside, m4 takes off one more pair of brackets, and comments.
            let inner = text[start + 1..at].replace("[[", "[").replace("]]", "]");
            return Some((uncomment(&inner), &text[at + 1..]));
        }
    }
    None
}

/// Without m4's comments: `dnl` up to the end of the line, that included.
fn uncomment(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        match line.find("dnl") {
            Some(at) if at == 0 || !line.as_bytes()[at - 1].is_ascii_alphanumeric() => {
                out.push_str(&line[..at])
            }
            _ => out.push_str(line),
        }
    }
    out
}

/// Runs a group: files are written, commands run, checks compared, in their order.
fn check_group(dir: &Sandbox, mut body: &str, count: &mut Count) {
    loop {
        let next = ["AT_DATA(", "AT_CHECK_UNQUOTED(", "AT_CHECK(", "AT_CAPTURE_FILE("]
            .into_iter()
            .filter_map(|name| Some((body.find(&format!("\n{name}"))?, name)))
            .min();
        let Some((at, name)) = next else {
            return;
        };
        let commands = uncomment(&body[..at]).replace("[[", "[").replace("]]", "]");
        if !commands.trim().is_empty() {
            dir.sh(commands.trim_start());
        }
        let rest = &body[at + 1 + name.len()..];
        let (first, rest) = argument(rest).expect("an argument");
        body = match name {
            "AT_DATA(" => {
                let (content, rest) = argument(rest).expect("AT_DATA has a content");
                std::fs::write(dir.0.join(first), content).expect("a file in the sandbox");
                rest
            }
            "AT_CAPTURE_FILE(" => rest,
            // What else is checked there is a Python parser of OVS's.
            _ if first.contains("test-dpparse.py") => rest,
            _ => {
                let (_, rest) = argument(rest).expect("a check has a status");
                let (expected, rest) = argument(rest).expect("a check has an output");
                let expected = if name == "AT_CHECK(" {
                    expected
                } else {
                    dir.sh(&format!("cat <<EOF\n{}\nEOF\n", expected.trim_end_matches('\n')))
                };
                compare(&first, &dir.sh(&first), &expected, count);
                rest
            }
        };
        // Past the parenthesis that ends the macro.
        body = body.trim_start().strip_prefix(')').unwrap_or(body);
    }
}

fn compare(command: &str, printed: &str, expected: &str, count: &mut Count) {
    let expected: Vec<&str> = expected.trim().lines().collect();
    let printed: Vec<&str> = printed.trim().lines().collect();
    for (at, expected) in expected.iter().enumerate() {
        let printed = printed.get(at).copied().unwrap_or("<nothing>");
        if expected.is_empty() || expected.starts_with('#') {
            continue;
        }
        if EXCEPT.iter().any(|(start, _)| expected.starts_with(start)) {
            assert_eq!(printed, "odp_actions_from_string: error", "{expected}");
            count.except += 1;
            continue;
        }
        count.all += 1;
        if printed == *expected {
            count.right += 1;
        } else {
            let cut = |text: &str| text.chars().take(1000).collect::<String>();
            println!("{command}\n  expected {}\n  printed  {}", cut(expected), cut(printed));
        }
    }
    if printed.len() > expected.len() {
        println!("{command}: {} more lines than expected", printed.len() - expected.len());
        count.all += 1;
    }
}
