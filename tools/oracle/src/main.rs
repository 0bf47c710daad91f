//! `pfnl-oracle`: compares pfnl with a real Linux kernel, now (`run`) or as it was recorded (`record`, `replay`).

mod by_packets;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use pfnl_oracle::compare::Parts;
use pfnl_oracle::golden::{self, Head, Recorded};
use pfnl_oracle::report::Report;
use pfnl_oracle::vm::{Guest, Kernel};
use pfnl_oracle::{generate, run, through};
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    command: Option<Command>,
    /// With packets: where the recording is, instead of its place.
    #[arg(long, global = true)]
    recording: Option<PathBuf>,
    /// Packets instead of requests: the same flows and the same packets through both.
    #[arg(long, global = true)]
    packets: bool,
    /// Where what is fetched and built is kept.
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/oracle"))]
    cache: PathBuf,
    /// Where the recording is.
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/linux-6.12/generated.jsonl"))]
    golden: PathBuf,
    /// Only scenarios whose name contains this, or one of these with commas between.
    #[arg(long, global = true, default_value = "")]
    only: String,
    /// Write all classes of differences, decoded, to a file.
    #[arg(long, global = true)]
    report: Option<PathBuf>,
    /// In that file also the differences whose reason is known.
    #[arg(long, global = true)]
    all: bool,
    /// How many examples of each class.
    #[arg(long, global = true, default_value_t = 2)]
    examples: usize,
    /// Instead of booting Linux, put the scenarios of these recordings together, a later one's in an earlier one's place.
    #[arg(long, global = true, value_delimiter = ',')]
    from: Vec<PathBuf>,
    /// Record everything to this file too.
    #[arg(long, global = true)]
    whole: Option<PathBuf>,
    /// How many bytes a scenario may take in the recording, 0 = any number.
    #[arg(long, global = true, default_value_t = 240_000)]
    budget: usize,
    /// How many of a hundred cases of each family must be equal.
    #[arg(long, global = true, default_value_t = 99.0)]
    threshold: f64,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Boots Linux and compares pfnl with it.
    Run,
    /// Boots Linux and records what it answers.
    Record,
    /// Compares pfnl with the recording.
    Replay,
    /// Compares pfnl with the recording, asked by a program under `pfnl run`.
    Through,
    /// Boots Linux and does steps: lines of JSON on the standard input, answered likewise.
    Steps,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Run);
    if arguments.packets {
        return by_packets::main(&arguments, command);
    }
    match command {
        Command::Run => {
            let (head, recorded) = ask_linux(&arguments)?;
            compare(&arguments, &head, &run::replay(&head, &recorded, &arguments.only)?)
        }
        Command::Record => {
            let (head, recorded) =
                if arguments.from.is_empty() { ask_linux(&arguments)? } else { join(&arguments.from)? };
            if let Some(whole) = &arguments.whole {
                std::fs::write(whole, golden::write(&head, &recorded)?)?;
            }
            let recorded =
                if arguments.budget > 0 { golden::thin(recorded, arguments.budget) } else { recorded };
            let text = golden::write(&head, &recorded)?;
            std::fs::write(&arguments.golden, &text)?;
            println!("{}: {} requests, {} bytes", arguments.golden.display(), count(&recorded), text.len());
            Ok(())
        }
        Command::Replay => {
            let text = std::fs::read_to_string(&arguments.golden)
                .with_context(|| format!("{}: record it first", arguments.golden.display()))?;
            let (head, recorded) = golden::read(&text)?;
            compare(&arguments, &head, &run::replay(&head, &recorded, &arguments.only)?)
        }
        Command::Through => {
            through::possible()?;
            let text = std::fs::read_to_string(&arguments.golden)?;
            let (head, recorded) = golden::read(&text)?;
            let report = through::replay(&through::build()?, &head, &recorded, &arguments.only)?;
            compare(&arguments, &head, &report)
        }
        Command::Steps => {
            let mut guest = Guest::boot(&Kernel::find(&arguments.cache)?)?;
            for line in std::io::stdin().lines() {
                let outcome = guest.run(&[serde_json::from_str(&line?)?])?;
                println!("{}", serde_json::to_string(&outcome[0])?);
            }
            Ok(())
        }
    }
}

/// Recordings of one kernel, joined.
fn join(from: &[PathBuf]) -> Result<(Head, Vec<Recorded>)> {
    let mut joined: Option<(Head, Vec<Recorded>)> = None;
    for path in from {
        let (head, recorded) = golden::read(&std::fs::read_to_string(path)?)?;
        let Some((first, all)) = &mut joined else {
            joined = Some((head, recorded));
            continue;
        };
        if (&first.kernel, &first.families) != (&head.kernel, &head.families) {
            bail!("{} is of another kernel", path.display());
        }
        for scenario in recorded {
            match all.iter_mut().find(|(other, _)| other.name == scenario.0.name) {
                Some(place) => *place = scenario,
                None => all.push(scenario),
            }
        }
    }
    joined.context("no recordings")
}

fn count(recorded: &[Recorded]) -> usize {
    recorded.iter().flat_map(|(scenario, _)| &scenario.cases).filter(|case| case.counted).count()
}

/// Linux's answers to everything that is generated.
fn ask_linux(arguments: &Arguments) -> Result<(Head, Vec<Recorded>)> {
    let kernel = Kernel::find(&arguments.cache)?;
    let mut guest = Guest::boot(&kernel)?;
    let (families, interfaces) = (run::families(&mut guest)?, run::interfaces(&mut guest)?);
    let probes =
        run::probes(&mut guest, &families)?.into_iter().map(|(name, seen)| (name, seen.text())).collect();
    let mut recorded = Vec::new();
    for scenario in generate::all(&families) {
        if run::is_wanted(scenario.name, &arguments.only) {
            let start = std::time::Instant::now();
            let answers = run::scenario(&mut guest, &families, &scenario)?;
            let answers = answers.iter().map(|answer| Parts::of(answer, &families)).collect();
            eprintln!(
                "oracle: {}: {} requests in {:.1?}",
                scenario.name,
                scenario.cases.len(),
                start.elapsed()
            );
            recorded.push((scenario, answers));
        }
    }
    Ok((Head { kernel: kernel.release, families, interfaces, probes }, recorded))
}

fn compare(arguments: &Arguments, head: &Head, report: &Report) -> Result<()> {
    println!("{}\n{}", report.table(), report.reasons());
    if let Some(path) = &arguments.report {
        let differences = report.differences(&head.families, arguments.examples, arguments.all);
        let text = format!(
            "# pfnl and Linux {}\n\n{}\n{}\n{differences}",
            head.kernel,
            report.table(),
            report.reasons()
        );
        std::fs::write(path, text)?;
    }
    for (family, (equal, total)) in report.equal() {
        println!("oracle requests equal {equal}/{total} {family}");
    }
    let unexplained = report.unexplained();
    let threshold = arguments.threshold;
    let low = report
        .equal()
        .into_iter()
        .filter(|(_, (equal, total))| (*equal as f64) * 100.0 < threshold * (*total as f64));
    let low: Vec<_> = low.map(|(family, (equal, total))| format!("{family} {equal}/{total}")).collect();
    if !unexplained.is_empty() || !low.is_empty() {
        let first: Vec<_> = unexplained.iter().take(20).collect();
        let count = unexplained.len();
        bail!(
            "{count} cases differ and nobody knows why, the first {first:#?}; below {threshold} %: {low:?}"
        );
    }
    Ok(())
}
