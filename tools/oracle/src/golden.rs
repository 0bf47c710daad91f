//! Recorded answers of Linux, so that they can be compared with where there is no QEMU.
//!
//! A line is a scenario's start, a request or a reference to an earlier line; in answers, `*` stands for the request's own bytes.

use crate::compare::Parts;
use crate::families::Families;
use crate::generate::{Case, Scenario};
use anyhow::{Context, Result, bail};
use pfnl_oracle_agent::{hex, unhex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    /// Which kernel it was.
    pub kernel: String,
    /// Its families.
    pub families: Families,
    /// Its interfaces.
    pub interfaces: Vec<(String, u32)>,
    /// What the probes of a socket's queue saw.
    pub probes: Vec<(String, Vec<String>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// Name, and whether it has a world.
    Scenario(String, bool),
    /// Name (empty: not counted), socket, whether the listener is read, request, answer.
    Case(String, u32, bool, String, Vec<String>),
    /// The line of that number once more.
    Again(usize),
}

/// A scenario and what Linux answered.
pub type Recorded = (Scenario, Vec<Parts>);

/// Leaves so much of every scenario that it takes no more than `budget` bytes: which cases is decided by their names, so
/// that another recording holds the same.
pub fn thin(recorded: Vec<Recorded>, budget: usize) -> Vec<Recorded> {
    let thinned = |(scenario, answers): Recorded| {
        let size = |(case, answer): (&Case, &Parts)| {
            if case.counted {
                80 + 2 * case.tx.len() + answer.messages.iter().map(|m| 2 * m.len()).sum::<usize>()
            } else {
                14
            }
        };
        let total: usize = scenario.cases.iter().zip(&answers).map(size).sum();
        let keep = (budget as u64 * 1000 / total.max(1) as u64).min(1000);
        let kept = scenario.cases.into_iter().zip(answers).filter(|(case, _)| hash(case.of()) % 1000 < keep);
        let (cases, answers) = kept.unzip();
        (Scenario { cases, ..scenario }, answers)
    };
    recorded.into_iter().map(thinned).collect()
}

/// FNV-1a.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let hash = name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    hash ^ (hash >> 32)
}

/// As text.
///
/// # Errors
/// Never, but for memory.
pub fn write(head: &Head, recorded: &[Recorded]) -> Result<String> {
    let mut text = serde_json::to_string(head)?;
    let (mut seen, mut number) = (BTreeMap::new(), 1);
    let mut put = |line: &Line| -> Result<()> {
        number += 1;
        let written = serde_json::to_string(line)?;
        let line = match seen.get(&written) {
            Some(first) => serde_json::to_string(&Line::Again(*first))?,
            None => {
                seen.insert(written.clone(), number);
                written
            }
        };
        text.push('\n');
        text.push_str(&line);
        Ok(())
    };
    for (scenario, answers) in recorded {
        put(&Line::Scenario(scenario.name.to_owned(), scenario.world))?;
        for (case, answer) in scenario.cases.iter().zip(answers) {
            let name = if case.counted { case.name.clone() } else { String::new() };
            let tx = hex(&case.tx);
            let rx = answer.messages.iter().map(|message| hex(message).replace(&tx, "*")).collect();
            put(&Line::Case(name, case.socket, case.heard, tx, rx))?;
        }
    }
    text.push('\n');
    Ok(text)
}

/// From text.
///
/// # Errors
/// It is not as it was written.
pub fn read(text: &str) -> Result<(Head, Vec<Recorded>)> {
    let lines: Vec<_> = text.lines().collect();
    let head = serde_json::from_str(lines.first().context("an empty recording")?)?;
    let mut all: Vec<Recorded> = Vec::new();
    for written in lines.iter().skip(1) {
        let mut line = serde_json::from_str(written)?;
        if let Line::Again(number) = line {
            line = serde_json::from_str(lines.get(number.wrapping_sub(1)).context("no such line")?)?;
        }
        match line {
            Line::Scenario(name, world) => {
                // There are a dozen, for as long as the program runs.
                all.push((
                    Scenario { name: Box::leak(name.into_boxed_str()), world, cases: Vec::new() },
                    Vec::new(),
                ));
            }
            Line::Case(name, socket, heard, tx, rx) => {
                let (scenario, answers) = all.last_mut().context("a case before the first scenario")?;
                let messages = rx.iter().map(|message| unhex(&message.replace('*', &tx))).collect();
                let counted = !name.is_empty();
                let name = if counted { name } else { format!("{}/(around)", scenario.name) };
                scenario.cases.push(Case { name, socket, tx: unhex(&tx), counted, heard });
                answers.push(Parts { messages });
            }
            Line::Again(_) => bail!("a line that stands for a line that stands for a line"),
        }
    }
    Ok((head, all))
}
