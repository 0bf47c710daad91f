//! `cargo xtask bench`: how fast the codec and the sockets are, as ratios to others at the same work in the same run.

mod codec;
mod table;
mod turns;

use anyhow::{Result, ensure};
use table::Table;

fn main() -> Result<()> {
    let mut table = Table::default();
    codec::run(&mut table)?;
    ensure!(table.missed() == 0, "{} targets were missed", table.missed());
    Ok(())
}
