//! `cargo xtask bench-datapath`: how fast the datapath is, beside OVS's own in user space and bare packet sockets.

use crate::packages::{self, Part};
use crate::sh;
use anyhow::Result;

/// Builds all that is measured, optimised, and runs the benchmarks that are named, or all.
pub fn run(names: &[String]) -> Result<()> {
    packages::need(&[Part::Clients])?;
    let packages = ["-p", "pfnl", "-p", "pfnl-preload", "-p", "pfnl-bench-datapath"];
    sh::run(sh::cargo()?.args(["build", "--quiet", "--release"]).args(packages))?;
    sh::run(sh::cargo()?.args(["run", "--quiet", "--release", "-p", "pfnl-bench-datapath", "--"]).args(names))
}
