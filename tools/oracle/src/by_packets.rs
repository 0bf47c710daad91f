//! `pfnl-oracle --packets`: the packet differential, now (`run`), recorded (`record`), or as it was recorded (`replay`).

use crate::{Arguments, Command};
use anyhow::{Context, Result, bail};
use pfnl_oracle::packets::{self, Recording};
use pfnl_oracle::run;
use pfnl_oracle::vm::{Guest, Kernel};
use std::path::PathBuf;

/// Where the recording is.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/linux-6.12/packets.jsonl.gz");

/// Does a command.
pub fn main(arguments: &Arguments, command: Command) -> Result<()> {
    let golden = arguments.recording.clone().unwrap_or_else(|| PathBuf::from(GOLDEN));
    match command {
        Command::Run => compare(arguments, &ask_linux(arguments)?),
        Command::Record => {
            let recording = ask_linux(arguments)?;
            let bytes = packets::write(&recording)?;
            std::fs::write(&golden, &bytes)?;
            println!("{}: {} cases, {} bytes", golden.display(), recording.cases.len(), bytes.len());
            compare(arguments, &recording)
        }
        Command::Replay => {
            let bytes =
                std::fs::read(&golden).with_context(|| format!("{}: record it first", golden.display()))?;
            compare(arguments, &packets::read(&bytes)?)
        }
        Command::Steps => bail!("steps are steps, with packets or without"),
        Command::Through => bail!("packets go through ports, not through a client"),
    }
}

/// What Linux does in all cases.
fn ask_linux(arguments: &Arguments) -> Result<Recording> {
    let kernel = Kernel::find(&arguments.cache)?;
    // One processor: what is kept for each of them is then what the datapath has.
    let mut guest = Guest::boot_with(&kernel, 1)?;
    let (families, interfaces) = (run::families(&mut guest)?, run::interfaces(&mut guest)?);
    let start = std::time::Instant::now();
    let mut done = |class: &str, cases| {
        eprintln!("oracle: {class}: {cases} cases, {:.1?} since the start", start.elapsed());
    };
    // Also where they are not asked for: the others need the keys.
    let mut extraction = packets::extraction(&families);
    if !run::is_wanted("extract-", &arguments.only) {
        extraction.retain(|case| case.class() == "extract");
    }
    let seen = packets::run(&mut guest, &families, &extraction, &mut done)?;
    let mut all: Vec<_> = extraction.into_iter().zip(seen).collect();
    let keys = packets::keys(&all);
    let cases: Vec<_> = packets::all(&families, &keys)
        .into_iter()
        .filter(|case| run::is_wanted(&case.name, &arguments.only))
        .collect();
    let cases = packets::worth_asking(&families, &interfaces, cases)?;
    let seen = packets::run(&mut guest, &families, &cases, &mut done)?;
    all.extend(cases.into_iter().zip(seen));
    all.retain(|(case, _)| run::is_wanted(&case.name, &arguments.only));
    Ok(Recording { kernel: kernel.release, families, interfaces, cases: all })
}

fn compare(arguments: &Arguments, recording: &Recording) -> Result<()> {
    let report = packets::replay(recording, &arguments.only)?;
    println!("{}\n{}", report.table(), report.reasons());
    if let Some(path) = &arguments.report {
        let differences = report.differences(&recording.families, arguments.all);
        std::fs::write(path, format!("# pfnl and Linux {}\n\n{differences}", recording.kernel))?;
    }
    let (unexplained, gone) = (report.unexplained(), report.gone());
    if !unexplained.is_empty() || !gone.is_empty() {
        let first: Vec<_> = unexplained.iter().take(20).collect();
        bail!(
            "{} cases differ and nobody knows why, the first {first:#?}; of the list is no longer true: {gone:#?}",
            unexplained.len()
        );
    }
    Ok(())
}
