//! `pfnl fuzz`: scripts from seeds, played to a host or to a kernel; and to two that should answer the same.

mod diff;
mod play;

use crate::run::{self, PrivateHost, with_host};
use anyhow::{Result, bail, ensure};
use clap::Args;
use pfnl_fuzz::script::{Act, Limits, script};
use pfnl_fuzz::{Choices, nth, ovs, shrink};
use play::{Finding, Player, Totals};
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What to fuzz, and how.
#[derive(Args)]
pub struct Options {
    /// The host that serves this path; if neither this nor --kernel is given, one of pfnl's own, without interfaces
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The machine's own kernel. It may not survive it: use a virtual machine, or at least `unshare -Urn`
    #[arg(long, conflicts_with = "socket")]
    kernel: bool,
    /// Does not ask before a kernel or somebody's host is fuzzed
    #[arg(long)]
    yes: bool,
    /// Which cases; those of one number are the same each time
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many cases: sequences of up to 40 requests by several sockets
    #[arg(long, value_name = "N", default_value_t = 1000)]
    cases: u64,
    /// Only the case of this number
    #[arg(long, value_name = "N", conflicts_with = "cases")]
    case: Option<u64>,
    /// At most so many cases a second
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Only these families, separated by commas; else all that there are
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    family: Vec<String>,
    /// Sends the same to pfnl and to a Linux kernel in QEMU, and shows the first answers that differ
    #[arg(long, conflicts_with_all = ["socket", "kernel", "rate"])]
    diff: bool,
    /// Where --diff keeps Linux
    #[arg(long, value_name = "FOLDER", default_value = "target/oracle/kernel", requires = "diff")]
    cache: PathBuf,
    /// Takes the sockets of this process as they are: what `pfnl run` gives it, or the kernel's.
    #[arg(long, hide = true)]
    here: bool,
}

/// Fuzzes.
///
/// # Errors
/// There is nobody to fuzz.
pub fn fuzz(options: &Options) -> Result<ExitCode> {
    if options.diff {
        return diff::run(
            options.seed,
            options.case.map_or(0..options.cases, |case| case..case + 1),
            &options.cache,
        );
    }
    if options.here {
        return play(options);
    }
    if options.kernel {
        warn(
            options,
            "the machine's own kernel: families that configure interfaces, radios and disks among them",
        )?;
        return play(options);
    }
    // Through the preload library, as any client.
    let mut command = vec![std::env::current_exe()?.into_os_string(), "fuzz".into(), "--here".into()];
    let own = std::env::args_os().skip_while(|word| word != "fuzz").skip(1);
    let mut own = own.filter(|word| word != "--yes").peekable();
    while let Some(word) = own.next() {
        let text = word.to_string_lossy();
        if text == "--socket" {
            own.next();
        } else if !text.starts_with("--socket=") {
            command.push(word);
        }
    }
    let Some(socket) = &options.socket else { return with_own_host(&command) };
    warn(options, "a running host: its datapaths, and the interfaces that are their ports")?;
    run::run(Some(socket.clone()), &command)
}

fn with_own_host(command: &[OsString]) -> Result<ExitCode> {
    with_host(None, command, |path| {
        let world = pfnl_fuzz::world::World::new();
        PrivateHost::serve(path, world.domain().clone(), world, |_, _| {})
    })
}

/// Says what is about to be fuzzed and lets somebody think about it.
fn warn(options: &Options, what: &str) -> Result<()> {
    eprintln!("pfnl: about to send wrong and random requests, with all rights you have, to {what}.");
    if options.yes {
        return Ok(());
    }
    ensure!(std::io::stdin().is_terminal(), "say --yes if that is what you want");
    eprint!("Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { bail!("nothing has been sent") }
}

/// The acts that an outside client can do.
const LIMITS: Limits = Limits { acts: 40, sockets: 4, packets: false, datapath: true };

/// Plays cases to the sockets of this process.
fn play(options: &Options) -> Result<ExitCode> {
    let mut player = Player::new(&options.family)?;
    let cases = options.case.map_or(0..options.cases, |case| case..case + 1);
    let names: Vec<_> = player.families().iter().map(|family| family.name.as_str()).collect();
    eprintln!("pfnl: seed {}, {} families: {}", options.seed, names.len(), names.join(", "));
    let begin = Instant::now();
    let mut totals = Totals::default();
    for (done, case) in (0_u32..).zip(cases) {
        if let Some(rate) = options.rate.filter(|rate| *rate > 0.0) {
            let due = Duration::from_secs_f64(f64::from(done) / rate);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        let mut choices = Choices::seeded(nth(options.seed, case));
        let acts = script(player.families(), &ovs::OVS, LIMITS, &mut choices);
        if let Err(finding) = player.play(&acts, &mut totals) {
            println!("seed {}, case {case}: {finding}", options.seed);
            if !finding.is_end() {
                show_smaller(&mut player, choices.made());
            } else {
                player.show(&acts);
            }
            println!("{totals} in {:.1} s", begin.elapsed().as_secs_f64());
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("{totals} in {:.1} s; nothing was found", begin.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// Looks for a smaller case that shows something, at a kernel that may be another by now.
fn show_smaller(player: &mut Player, choices: &[u8]) {
    let acts = |player: &Player, choices: &[u8]| -> Vec<Act> {
        script(player.families(), &ovs::OVS, LIMITS, &mut Choices::replay(choices))
    };
    let mut last: Option<Finding> = None;
    let small = shrink(choices, 400, |choices| {
        let acts = acts(player, choices);
        match player.play(&acts, &mut Totals::default()) {
            Ok(()) => false,
            Err(finding) => {
                last = Some(finding);
                true
            }
        }
    });
    let acts = acts(player, &small);
    player.show(&acts);
    match last {
        Some(finding) => println!("{finding}"),
        None => println!("it did not happen again"),
    }
}

/// The kernel says no families: there is nobody.
fn nobody<T>(families: &[T]) -> Result<()> {
    ensure!(
        !families.is_empty(),
        "none of these families is there; `pfnl status` names those of a host, `genl ctrl list` those of a kernel"
    );
    Ok(())
}
