//! Recorded answers of Linux, so that they can be compared with where there is no QEMU.
//!
//! A line is a scenario's start or a request; in answers, `*` stands for the request's own bytes.

use crate::compare::Parts;
use crate::families::Families;
use crate::generate::{Case, Scenario};
use anyhow::{Context, Result};
use pfnl_oracle_agent::{hex, unhex};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    /// Which kernel it was.
    pub kernel: String,
    /// Its families.
    pub families: Families,
    /// Its interfaces.
    pub interfaces: Vec<(String, u32)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Scenario(String, bool),
    /// Name (empty: not counted), socket, whether the listener is read, request, answer.
    #[serde(rename = "c")]
    Case(String, u32, bool, String, Vec<String>),
}

/// A scenario and what Linux answered.
pub type Recorded = (Scenario, Vec<Parts>);

/// As text.
///
/// # Errors
/// Never, but for memory.
pub fn write(head: &Head, recorded: &[Recorded]) -> Result<String> {
    let mut text = serde_json::to_string(head)?;
    for (scenario, answers) in recorded {
        let _ = write!(text, "\n{}", serde_json::to_string(&Line::Scenario(scenario.name.to_owned(), scenario.world))?);
        for (case, answer) in scenario.cases.iter().zip(answers) {
            let name = if case.counted { case.name.clone() } else { String::new() };
            let tx = hex(&case.tx);
            let rx = answer.messages.iter().map(|message| hex(message).replace(&tx, "*")).collect();
            let _ = write!(text, "\n{}", serde_json::to_string(&Line::Case(name, case.socket, case.heard, tx, rx))?);
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
    let mut lines = text.lines();
    let head = serde_json::from_str(lines.next().context("an empty recording")?)?;
    let mut all: Vec<Recorded> = Vec::new();
    for line in lines {
        match serde_json::from_str(line)? {
            Line::Scenario(name, world) => {
                all.push((Scenario { name: Box::leak(name.into_boxed_str()), world, cases: Vec::new() }, Vec::new()));
            }
            Line::Case(name, socket, heard, tx, rx) => {
                let (scenario, answers) = all.last_mut().context("a case before the first scenario")?;
                let messages = rx.iter().map(|message| unhex(&message.replace('*', &tx))).collect();
                let counted = !name.is_empty();
                let name = if counted { name } else { format!("{}/(around)", scenario.name) };
                scenario.cases.push(Case { name, socket, tx: unhex(&tx), counted, heard });
                answers.push(Parts { messages });
            }
        }
    }
    Ok((head, all))
}
