//! Takes a kernel through scenarios.

use crate::compare::Parts;
use crate::families::Families;
use crate::generate::{
    self, CAPPED, Case, EXTACK, LISTENER, NOBODY, PLAIN, STRICT, Scenario, blocks, portid,
};
use crate::golden::{Head, Recorded};
use crate::inside::Inside;
use crate::report::Report;
use anyhow::{Result, ensure};
use pfnl_oracle_agent::{Options, Outcome, Step, hex, unhex};

/// Large enough for every answer.
const BUFFER: usize = 262_144;

/// Something that does [`Step`]s.
pub trait Kernel {
    /// Does them in order.
    ///
    /// # Errors
    /// It is gone.
    fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>>;
}

impl Kernel for crate::vm::Guest {
    fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>> {
        crate::vm::Guest::run(self, steps)
    }
}

/// What came back, in datagrams.
pub type Answer = Vec<Vec<u8>>;

fn open(socket: u32, options: Options) -> Step {
    Step::Open { socket, options: Options { portid: portid(socket), ..options } }
}

fn send(socket: u32, tx: &[u8]) -> Step {
    Step::Send { socket, tx: hex(tx), read: BUFFER, times: 1 }
}

fn answer(outcome: &Outcome) -> Answer {
    outcome.rx.iter().map(|datagram| unhex(datagram)).collect()
}

/// A kernel's families.
///
/// # Errors
/// It is gone, or has no nlctrl.
pub fn families(kernel: &mut dyn Kernel) -> Result<Families> {
    let outcomes = kernel.run(&[open(9, Options::default()), send(9, &Families::request())])?;
    let families = Families::read(&answer(&outcomes[1]));
    ensure!(!families.0.is_empty(), "no families: {outcomes:?}");
    Ok(families)
}

/// The names and numbers of a kernel's interfaces.
///
/// # Errors
/// It is gone.
pub fn interfaces(kernel: &mut dyn Kernel) -> Result<Vec<(String, u32)>> {
    let outcome = kernel.run(&[Step::Interfaces])?.remove(0);
    let pair =
        |line: String| Some((line.split(' ').next()?.to_owned(), line.split(' ').nth(1)?.parse().ok()?));
    Ok(outcome.text.into_iter().filter_map(pair).collect())
}

/// The answers to a scenario's cases.
///
/// # Errors
/// The kernel is gone, or does not make the scenario's world.
pub fn scenario(kernel: &mut dyn Kernel, families: &Families, scenario: &Scenario) -> Result<Vec<Answer>> {
    let groups = families.0.iter().filter(|family| is_ours(&family.name)).flat_map(|family| &family.groups);
    let groups = groups.map(|(_, number)| *number).collect();
    let heard = scenario.cases.iter().any(|case| case.heard);
    let mut steps = vec![
        open(EXTACK, Options { extack: true, ..Options::default() }),
        open(PLAIN, Options::default()),
        open(CAPPED, Options { extack: true, capped: true, ..Options::default() }),
        open(NOBODY, Options { extack: true, unprivileged: true, ..Options::default() }),
        open(STRICT, Options { extack: true, strict: true, ..Options::default() }),
    ];
    if scenario.world {
        steps.extend(generate::world(families).iter().map(|tx| send(PLAIN, tx)));
    }
    // Last, so that it does not hear of the world's beginning; without it nobody listens, which is a case of its own.
    let listener = if heard { Options { groups, ..Options::default() } } else { Options::default() };
    steps.push(open(LISTENER, listener));
    let prepared = steps.len();
    for case in &scenario.cases {
        steps.push(send(case.socket, &case.tx));
        steps.extend(also_read(case).map(|socket| Step::Read { socket, size: BUFFER, count: usize::MAX }));
    }
    let cases = steps.len();
    if scenario.world {
        steps.push(send(PLAIN, &generate::end_of_world(families)));
    }
    let outcomes = kernel.run(&steps)?;
    for (step, outcome) in steps.iter().zip(&outcomes).take(prepared) {
        let acked = answer(outcome).first().is_none_or(|ack| ack.get(16..20) == Some(&[0; 4]));
        ensure!(outcome.errno == 0 && acked, "{}: {step:?}: {outcome:?}", scenario.name);
    }
    let mut outcomes = outcomes[prepared..cases].iter();
    let mut answers = Vec::new();
    for case in &scenario.cases {
        let mut all = outcomes.next().map(answer).unwrap_or_default();
        if also_read(case).is_some() {
            all.extend(outcomes.next().map(answer).unwrap_or_default());
        }
        answers.push(all);
    }
    Ok(answers)
}

/// Whether a scenario is one of those that are asked for.
pub fn is_wanted(scenario: &str, only: &str) -> bool {
    only.split(',').any(|part| scenario.contains(part))
}

/// Whether pfnl has a family.
pub fn is_ours(family: &str) -> bool {
    family.starts_with("ovs_") || family == pfnl_proto::psample::NAME
}

/// The socket that may get something through a case beside the one that sends it: upcalls go to [`EXTACK`].
fn also_read(case: &Case) -> Option<u32> {
    if case.heard { Some(LISTENER) } else { Some(EXTACK).filter(|socket| *socket != case.socket) }
}

/// What the probes of a socket's queue see, as text.
///
/// # Errors
/// The kernel is gone, or does not make the world.
pub fn probes(kernel: &mut dyn Kernel, families: &Families) -> Result<Vec<(String, Parts)>> {
    let mut steps = vec![open(PLAIN, Options::default())];
    let made = [generate::world(families), blocks::flows(families)].concat();
    steps.extend(made.iter().map(|tx| send(PLAIN, tx)));
    for (step, outcome) in steps.iter().zip(kernel.run(&steps)?) {
        let acked = answer(&outcome).first().is_none_or(|ack| ack.get(16..20) == Some(&[0; 4]));
        ensure!(outcome.errno == 0 && acked, "probes: {step:?}: {outcome:?}");
    }
    let mut seen = Vec::new();
    for probe in blocks::probes(families) {
        let outcomes = kernel.run(&probe.steps)?;
        let look = |outcome: &Outcome| {
            let lens: Vec<_> = outcome.rx.iter().map(|datagram| datagram.len() / 2).collect();
            format!("errno {} lengths {}", outcome.errno, runs(&lens)).into_bytes()
        };
        let messages = outcomes[outcomes.len() - probe.seen..].iter().map(look).collect();
        seen.push((probe.name, Parts { messages }));
    }
    kernel.run(&[send(PLAIN, &generate::end_of_world(families))])?;
    Ok(seen)
}

/// Numbers, with how often each follows itself.
fn runs(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|one, next| one == next).map(|run| format!("{}x{}", run.len(), run[0]));
    runs.collect::<Vec<_>>().join(" ")
}

/// What pfnl makes of what was recorded of Linux.
///
/// # Errors
/// pfnl does not come up, or does not make a scenario's world.
pub fn replay(head: &Head, recorded: &[Recorded], only: &str) -> Result<Report> {
    let families = &head.families;
    let mut report = Report::default();
    if is_wanted("socket", only) {
        let seen = probes(&mut Inside::<pfnl_platform::User>::new(families, &head.interfaces)?, families)?;
        for (name, pfnl) in seen {
            let Some((_, linux)) = head.probes.iter().find(|(probe, _)| *probe == name) else { continue };
            let case = Case { name, socket: EXTACK, tx: Vec::new(), counted: true, heard: false };
            report.add(&case, Parts::of_text(linux), pfnl, families);
        }
    }
    for (asked, answers) in recorded.iter().filter(|(scenario, _)| is_wanted(scenario.name, only)) {
        // A new one each time: what one scenario leaves behind must not be another's trouble.
        let mut pfnl = Inside::<pfnl_platform::User>::new(families, &head.interfaces)?;
        let got = scenario(&mut pfnl, families, asked)?;
        for ((case, linux), pfnl) in asked.cases.iter().zip(answers).zip(&got) {
            report.add(case, linux.clone(), Parts::of(pfnl, families), families);
        }
    }
    Ok(report)
}
