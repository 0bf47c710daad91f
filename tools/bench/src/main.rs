//! `cargo xtask bench`: how fast the codec and the sockets are, as ratios to others at the same work in the same run.
//! Names of parts (`codec`, `trips`) leave out the others.

mod codec;
mod table;
mod trips;
mod turns;

use anyhow::{Result, ensure};
use table::Table;

/// A part, by its name.
type Part = (&'static str, fn(&mut Table) -> Result<()>);

const PARTS: [Part; 2] = [("codec", codec::run), ("trips", trips::run)];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, role, rest @ ..] = &arguments[..]
        && flag == trips::ROLE
    {
        return trips::role(role, rest.first().map(String::as_str));
    }
    for name in &arguments {
        ensure!(PARTS.iter().any(|(part, _)| part == name), "there is no part {name}");
    }
    let mut table = Table::default();
    for (name, run) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            run(&mut table)?;
        }
    }
    ensure!(table.missed() == 0, "{} targets were missed", table.missed());
    Ok(())
}
