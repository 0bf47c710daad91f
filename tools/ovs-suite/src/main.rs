//! Runs Open vSwitch's own kernel datapath tests (`tests/system-kmod-testsuite`) over pfnl, and says beside each group
//! what a real Linux kernel gave.
//!
//! ```text
//! openvswitch-source ─▶ tree ─▶ plan: which tests, what devices each needs
//!                                 ├─▶ sandbox (namespaces of this machine)       ┐
//!                                 └─▶ guest (Debian's kernel, where this one     ├─▶ outcomes ─▶ table, exit status
//!                                      has no such devices)                      ┘
//! ```
//!
//! The tests are OVS's, unchanged. What is put before them is a PATH: `modprobe` does nothing, and the programs that
//! talk to the datapath are started by `pfnl run --socket`. No openvswitch.ko is loaded anywhere.

mod outcome;
mod place;
mod plan;
mod report;
mod tree;

use anyhow::{Result, ensure};
use clap::Parser;
use place::Machine;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask ovs-suite", about = "OVS's own kernel datapath tests over pfnl")]
struct Options {
    /// Which tests: numbers (7), ranges (44-49), groups (MPLS), parts of names; all if none is given
    filter: Vec<String>,
    /// Shows the tests chosen, what Linux gave, and where each would run; runs nothing
    #[arg(long)]
    list: bool,
    /// Keeps the folders of all tests, not only of those that failed
    #[arg(long)]
    keep: bool,
    /// The few minutes of it that CI runs: one test or more of each group, on this machine's kernel only
    #[arg(long)]
    bounded: bool,
    /// Compiles the tree and tests its programs; otherwise those installed, if they are of its version
    #[arg(long)]
    build: bool,
    /// Another OVS: a tar archive of its distribution (`make dist`), which is then built
    #[arg(long, value_name = "TAR")]
    source: Option<PathBuf>,
    /// Where: `auto` takes the guest for what this machine's kernel has no devices for
    #[arg(long, value_enum, default_value_t = Machine::Auto)]
    machine: Machine,
    /// Sandboxes at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// How often a test that failed is tried again; one that then passes is counted, and named
    #[arg(long, default_value_t = 1)]
    retries: usize,
    /// Where trees, builds and logs go
    #[arg(long, value_name = "DIR", hide = true)]
    target: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ovs-suite: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False when something came out otherwise than expected.
fn run(options: &Options) -> Result<bool> {
    let folder = match &options.target {
        Some(target) => target.clone(),
        None => pfnl_tests::host::built()?.with_file_name("ovs-suite"),
    };
    let tree = tree::Tree::prepare(&folder, options.source.as_deref(), options.build, options.list)?;
    let mut tests = plan::read(&tree.script())?;
    let filter = if options.bounded && options.filter.is_empty() {
        plan::BOUNDED.map(str::to_owned).to_vec()
    } else {
        options.filter.clone()
    };
    plan::choose(&mut tests, &filter);
    ensure!(!tests.is_empty(), "no test is called {}", filter.join(" or "));
    let machine = if options.bounded { Machine::Here } else { options.machine };
    let shares = place::share(tests, machine)?;
    if options.list {
        report::list(&shares);
        return Ok(true);
    }
    let outcomes = place::run(&tree, &folder, &shares, options.jobs.max(1), options.retries)?;
    if !options.keep {
        place::tidy(&folder, &outcomes)?;
    }
    Ok(report::print(&shares, &outcomes, &folder))
}
