//! Takes a kernel through scenarios.

use crate::families::Families;
use crate::generate::{self, CAPPED, EXTACK, LISTENER, NOBODY, PLAIN, Scenario, portid};
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

    /// Whether requests tell interfaces' numbers, or it knows them.
    fn is_told_numbers(&self) -> bool;
}

impl Kernel for crate::vm::Guest {
    fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>> {
        crate::vm::Guest::run(self, steps)
    }

    fn is_told_numbers(&self) -> bool {
        true
    }
}

/// What came back, in datagrams.
pub type Answer = Vec<Vec<u8>>;

fn open(socket: u32, options: Options) -> Step {
    Step::Open { socket, options: Options { portid: portid(socket), ..options } }
}

fn send(socket: u32, tx: &[u8]) -> Step {
    Step::Send { socket, tx: hex(tx), read: BUFFER }
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
    let pair = |line: String| Some((line.split(' ').next()?.to_owned(), line.split(' ').nth(1)?.parse().ok()?));
    Ok(outcome.text.into_iter().filter_map(pair).collect())
}

/// The answers to a scenario's cases.
///
/// # Errors
/// The kernel is gone, or does not make the scenario's world.
pub fn scenario(kernel: &mut dyn Kernel, families: &Families, scenario: &Scenario) -> Result<Vec<Answer>> {
    let groups = families.0.iter().filter(|family| family.name.starts_with("ovs_")).flat_map(|family| &family.groups);
    let groups = groups.map(|(_, number)| *number).collect();
    let heard = scenario.cases.iter().any(|case| case.heard);
    let mut steps = vec![
        open(EXTACK, Options { extack: true, ..Options::default() }),
        open(PLAIN, Options::default()),
        open(CAPPED, Options { extack: true, capped: true, ..Options::default() }),
        open(NOBODY, Options { extack: true, unprivileged: true, ..Options::default() }),
    ];
    if scenario.world {
        steps.extend(generate::world(families, kernel.is_told_numbers()).iter().map(|tx| send(PLAIN, tx)));
    }
    // Last, so that it does not hear of the world's beginning; without it nobody listens, which is a case of its own.
    let listener = if heard { Options { groups, ..Options::default() } } else { Options::default() };
    steps.push(open(LISTENER, listener));
    let prepared = steps.len();
    for case in &scenario.cases {
        steps.push(send(case.socket, &case.tx));
        if case.heard {
            steps.push(Step::Read { socket: LISTENER, size: BUFFER, count: usize::MAX });
        }
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
        if case.heard {
            all.extend(outcomes.next().map(answer).unwrap_or_default());
        }
        answers.push(all);
    }
    Ok(answers)
}
