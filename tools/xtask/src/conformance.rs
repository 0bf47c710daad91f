//! How near pfnl is to Linux, in one table: `cargo xtask conformance`, and the oracle behind a part of it.

use crate::packages::{self, Part};
use crate::sh;
use anyhow::{Result, bail};

/// What is counted, by which tests, and how the line starts that says it.
const COUNTS: [(&str, &[&str], &str); 3] = [
    (
        "socket scenarios",
        &["-p", "pfnl-scenarios", "--test", "two_kernels"],
        "scenarios equal on both kernels",
    ),
    ("odp strings", &["-p", "pfnl-odp", "--test", "odp_at"], "odp.at:"),
    ("uapi constants", &["-p", "pfnl-proto", "--test", "uapi"], "uapi constants checked:"),
];

/// Prints the table; an error if a test behind it failed or a line did not come.
pub fn run() -> Result<()> {
    packages::need(&[Part::Clients])?;
    sh::run(sh::cargo()?.args(["build", "--quiet", "-p", "pfnl", "-p", "pfnl-preload"]))?;
    let mut missing = Vec::new();
    for (what, test, line) in COUNTS {
        let out = sh::read(sh::cargo()?.args(["test", "--quiet"]).args(test).args(["--", "--show-output"]))?;
        match out.lines().find_map(|printed| printed.find(line).and_then(|at| printed.get(at..))) {
            Some(count) => println!("{count}"),
            None => missing.push(what),
        }
    }
    println!(
        "\nRequests that Linux 6.12 was sent, sent to pfnl (`cargo xtask oracle run` asks a Linux in QEMU anew):"
    );
    // A difference without a known reason is an error, and less than 99 of 100 of a family too.
    let oracle = |command: &str| {
        let words = ["run", "--quiet", "-p", "pfnl-oracle", "--", command];
        sh::run(sh::cargo()?.args(words).env("RUST_BACKTRACE", "0"))
    };
    oracle("replay")?;
    println!("\nThe same, asked by a program under `pfnl run` (needs root):");
    oracle("through")?;
    if !missing.is_empty() {
        bail!(
            "nothing was counted for {}: run `cargo xtask test`, it prints why they are skipped",
            missing.join(", ")
        );
    }
    Ok(())
}

/// Runs the oracle with the user's arguments, or `run`.
pub fn oracle(arguments: &[String]) -> Result<()> {
    packages::need(&[Part::Oracle])?;
    let default = ["run".to_owned()];
    let arguments = if arguments.is_empty() { &default[..] } else { arguments };
    sh::run(sh::cargo()?.args(["run", "--quiet", "--release", "-p", "pfnl-oracle", "--"]).args(arguments))
}
