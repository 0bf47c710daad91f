//! pfnl's chores. `cargo xtask demo` and `cargo xtask test` are the two commands of the README; `.ci/run` calls
//! the second and nothing else, so that a laptop and CI do the same.

mod bench_datapath;
mod compat;
mod conformance;
mod demo;
mod freebsd;
mod fuzz;
mod kernel_bound;
mod kmod;
mod licences;
mod ovs_suite;
mod packages;
mod port;
mod sh;
mod soak;
mod test;
mod verify;

use clap::{Parser, Subcommand};
use packages::Part;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "pfnl's chores: demo, test, checks")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Shows the main job: ovs-dpctl programs pfnl's datapath, pings cross it
    Demo,
    /// Runs every test; the summary counts the checks with real clients
    Test {
        /// Only this part (may be given several times)
        #[arg(long, value_enum)]
        only: Vec<test::Section>,
        /// Names, or parts of names, of real-client tests
        names: Vec<String>,
    },
    /// What needs no build of the whole: fmt, clippy, licences
    Check,
    /// Builds the no_std cores as the FreeBSD modules take them and measures the result
    KernelBound {
        /// Also shows that the check can fail: injects a float, a big frame and std
        #[arg(long)]
        self_test: bool,
    },
    /// Builds the FreeBSD kernel module pfnl.ko and checks that a kernel can load it
    Kmod(kmod::Options),
    /// Checks compat-headers: generated ones, compiling for FreeBSD, numbers beside Linux's
    CompatHeaders(compat::Options),
    /// Runs the tests that need a FreeBSD kernel, in QEMU
    Freebsd(freebsd::Options),
    /// Builds Linux programs (libmnl's examples, ovs-dpctl) for FreeBSD from their unchanged sources
    Port(port::Options),
    /// Counts what is equal to Linux: socket scenarios, requests, OVS's text, constants
    Conformance,
    /// How fast the codec and the sockets are, beside others at the same work
    Bench {
        /// Only these
        parts: Vec<String>,
    },
    /// Asks a Linux kernel in QEMU and pfnl the same and compares (run, record, replay …)
    Oracle {
        /// For pfnl-oracle; `run` if there are none
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs Open vSwitch's own kernel datapath tests over pfnl, beside what a Linux kernel gave
    OvsSuite {
        /// For pfnl-ovs-suite: numbers, groups, parts of names; --list, --keep, --bounded …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures the datapath beside OVS's own in user space: forwarding, tcp, flows, explosion (root, a few minutes)
    BenchDatapath {
        /// Only these
        names: Vec<String>,
    },
    /// Fuzzes pfnl under libFuzzer, each target for some minutes; prints executions, coverage and findings
    Fuzz(fuzz::Options),
    /// A host under attack, beside a ping and a loop that programs flows: nothing lost, memory back
    Soak {
        /// For how long
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
    },
    /// Looks closer than tests do: Miri, sanitizers, models with many cases
    Verify {
        /// Only these
        #[arg(value_enum)]
        kinds: Vec<verify::Kind>,
    },
    /// Installs what the other chores need, and does nothing else
    Setup,
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Demo => demo::run(),
        Chore::Test { only, names } => test::run(&only, &names),
        Chore::Check => test::run(&[test::Section::Fmt, test::Section::Clippy, test::Section::Licences], &[]),
        Chore::KernelBound { self_test } => kernel_bound::run(self_test),
        Chore::Kmod(options) => kmod::run(&options).map(drop),
        Chore::CompatHeaders(options) => compat::run(&options),
        Chore::Freebsd(options) => freebsd::run(&options),
        Chore::Port(options) => port::run(&options),
        Chore::Bench { parts } => bench(&parts),
        Chore::Conformance => conformance::run(),
        Chore::Oracle { arguments } => conformance::oracle(&arguments),
        Chore::OvsSuite { arguments } => ovs_suite::run(&arguments),
        Chore::BenchDatapath { names } => bench_datapath::run(&names),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Soak { minutes } => soak::run(minutes),
        Chore::Verify { kinds } => verify::run(&kinds),
        Chore::Setup => {
            packages::need(&[Part::Demo, Part::Clients, Part::KernelBound, Part::Kmod, Part::Lint])
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds what is measured, and measures it.
fn bench(parts: &[String]) -> anyhow::Result<()> {
    packages::need(&[Part::Bench])?;
    sh::run(sh::cargo()?.args(["build", "--release", "-p", "pfnl", "-p", "pfnl-preload"]))?;
    sh::run(
        sh::cargo()?.args(["run", "--release", "-p", "pfnl-bench", "--features", "libmnl", "--"]).args(parts),
    )
}
