//! `cargo xtask soak`: the clients' soak test, for as long as is wanted.

use crate::packages::{self, Part};
use crate::sh;
use anyhow::Result;

/// Runs it for so many minutes; it prints its figures.
///
/// # Errors
/// Something was lost, or memory does not come back.
pub fn run(minutes: f64) -> Result<()> {
    packages::need(&[Part::Clients])?;
    let mut cargo = sh::cargo()?;
    cargo.env("PFNL_SOAK_SECONDS", format!("{:.0}", minutes * 60.0));
    cargo.args(["test", "--quiet", "--package", "pfnl-tests", "--test", "clients", "--", "soak:"]);
    sh::run(&mut cargo)
}
