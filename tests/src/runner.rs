//! Runs tests one after the other inside the sandbox, and counts.

use crate::{client, host, sandbox};
use anyhow::Result;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// A test: what it shows, and the code.
pub type Test = (&'static str, fn() -> Result<()>);

/// Whether a test runs only when it is asked for by (a part of) its name.
fn is_long(name: &str) -> bool {
    name.starts_with("long: ")
}

/// Why a test did not run: an error that is no failure.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Skips the rest of the test with a reason that will be printed.
///
/// # Errors
/// Always: that is how a test ends early.
pub fn skip<T>(reason: impl Into<String>) -> Result<T> {
    Err(Skip(reason.into()).into())
}

/// Turns an error into a skip: for what a machine may not allow.
pub trait OrSkip<T> {
    /// The value, or a skip with the error's words.
    ///
    /// # Errors
    /// The skip.
    fn or_skip(self) -> Result<T>;
}

impl<T> OrSkip<T> for Result<T> {
    fn or_skip(self) -> Result<T> {
        self.or_else(|error| skip(format!("{error:#}")))
    }
}

/// The whole of a test program: outside, builds and enters the sandbox; inside, runs the tests.
/// Arguments: names (or parts of names) of tests; `--list`. Tests called `long: …` run only by name.
#[must_use]
pub fn main(tests: &[Test]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    match if sandbox::inside() { inside(tests, &args) } else { outside(tests, &args) } {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outside(tests: &[Test], args: &[String]) -> Result<ExitCode> {
    host::build()?;
    if let Err(why) = sandbox::flags() {
        tests.iter().for_each(|(name, _)| println!("test {name} ... skipped: {why:#}"));
        println!("\nreal-client checks: 0\ntest result: ok. 0 passed; 0 failed; {} skipped", tests.len());
        return Ok(ExitCode::SUCCESS);
    }
    let status = sandbox::enter(args)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a test.
enum Attempt {
    Passed,
    Skipped,
    Failed,
}

/// Runs a test and says what came of it.
fn attempt((name, test): &Test) -> Attempt {
    let began = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|_| anyhow::bail!("panicked"));
    let took = began.elapsed().as_secs_f32();
    let Err(error) = result else {
        println!("test {name} ... ok ({took:.1} s)");
        return Attempt::Passed;
    };
    if let Some(reason) = error.downcast_ref::<Skip>() {
        println!("test {name} ... skipped: {reason}");
        return Attempt::Skipped;
    }
    println!("test {name} ... FAILED ({took:.1} s)\n    {}", format!("{error:#}").replace('\n', "\n    "));
    Attempt::Failed
}

fn inside(tests: &[Test], args: &[String]) -> Result<ExitCode> {
    sandbox::prepare()?;
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let named = |name: &str| filters.iter().any(|filter| name.contains(filter.as_str()));
    let wanted = |name: &str| named(name) || filters.is_empty() && !is_long(name);
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for test in tests.iter().filter(|(name, _)| wanted(name)) {
        match attempt(test) {
            Attempt::Passed => passed += 1,
            Attempt::Skipped => skipped += 1,
            Attempt::Failed => failed.push(test),
        }
    }
    // Daemons and pings on a busy machine: what fails once and not again is no fault of pfnl's that a test could show, but it
    // is told.
    let unsteady =
        failed.extract_if(.., |test| matches!(attempt(test), Attempt::Passed)).map(|(name, _)| name);
    let unsteady: Vec<_> = unsteady.collect();
    passed += unsteady.len();
    unsteady.iter().for_each(|name| println!("passed at the second attempt: {name}"));
    failed.iter().for_each(|(name, _)| println!("failed twice: {name}"));
    let checks = client::checks();
    let by_program: Vec<String> = checks.iter().map(|(client, count)| format!("{client} {count}")).collect();
    println!("\nreal-client checks: {} ({})", checks.values().sum::<usize>(), by_program.join(", "));
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {} failed; {skipped} skipped", failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
