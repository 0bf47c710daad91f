//! OVS's own kernel datapath tests over pfnl: what they need, then `tools/ovs-suite`.

use crate::packages::{self, Part};
use crate::sh;
use anyhow::Result;

/// Runs the suite with the user's arguments.
pub fn run(arguments: &[String]) -> Result<()> {
    let says = |word: &str| arguments.iter().any(|argument| argument == word);
    let mut parts = vec![Part::Suite];
    if !says("--bounded")
        && !says("--list")
        && !arguments.windows(2).any(|pair| pair == ["--machine", "here"])
    {
        parts.push(Part::Guest);
    }
    if says("--build") || says("--source") {
        parts.push(Part::SuiteBuild);
    }
    packages::need(&parts)?;
    sh::run(sh::cargo()?.args(["run", "--quiet", "-p", "pfnl-ovs-suite", "--"]).args(arguments))
}
