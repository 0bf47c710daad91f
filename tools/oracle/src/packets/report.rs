//! What came of a comparison: a table of classes, and the cases that differ.

use super::run::Observed;
use super::{Case, known, observe};
use crate::families::Families;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A case's outcome.
struct Outcome {
    case: Case,
    linux: Observed,
    pfnl: Observed,
    reason: Option<&'static str>,
}

/// All outcomes.
pub struct Report {
    outcomes: Vec<Outcome>,
    /// Whether it is of all cases, so that a reason that fits none can be told.
    whole: bool,
}

#[derive(Default)]
struct Count {
    cases: usize,
    equal: usize,
    explained: usize,
    differ: usize,
}

impl Outcome {
    fn is_equal(&self) -> bool {
        self.linux == self.pfnl
    }
}

impl Report {
    /// Of what two kernels did in the same cases.
    pub fn new(cases: Vec<Case>, linux: Vec<Observed>, pfnl: Vec<Observed>, whole: bool) -> Report {
        let outcomes = cases.into_iter().zip(linux).zip(pfnl).map(|((case, linux), pfnl)| {
            let reason = if linux == pfnl { None } else { known::reason(&case.name) };
            Outcome { case, linux, pfnl, reason }
        });
        Report { outcomes: outcomes.collect(), whole }
    }

    /// How many cases there are.
    pub fn count(&self) -> usize {
        self.outcomes.len()
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut classes: BTreeMap<&str, Count> = BTreeMap::new();
        for outcome in &self.outcomes {
            for name in [outcome.case.class(), "~all"] {
                let count = classes.entry(name).or_default();
                count.cases += 1;
                match outcome.reason {
                    _ if outcome.is_equal() => count.equal += 1,
                    Some(_) => count.explained += 1,
                    None => count.differ += 1,
                }
            }
        }
        let mut text =
            format!("{:<24}{:>8}{:>8}{:>11}{:>8}\n", "packets", "cases", "equal", "explained", "differ");
        for (name, Count { cases, equal, explained, differ }) in classes {
            let name = name.trim_start_matches('~');
            let _ = writeln!(text, "{name:<24}{cases:>8}{equal:>8}{explained:>11}{differ:>8}");
        }
        text
    }

    /// The reasons, and how often each.
    pub fn reasons(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.outcomes
            .iter()
            .filter_map(|outcome| outcome.reason)
            .for_each(|reason| *counts.entry(reason).or_default() += 1);
        counts.into_iter().fold(String::new(), |mut text, (reason, count)| {
            let _ = writeln!(text, "{count:>6}  {reason}");
            text
        })
    }

    /// Names of cases that differ and nobody knows why.
    pub fn unexplained(&self) -> Vec<&str> {
        let unexplained =
            self.outcomes.iter().filter(|outcome| !outcome.is_equal() && outcome.reason.is_none());
        unexplained.map(|outcome| outcome.case.name.as_str()).collect()
    }

    /// Lines of the list of known differences that are not true any more.
    pub fn gone(&self) -> Vec<String> {
        if !self.whole {
            return Vec::new();
        }
        known::gone(self.outcomes.iter().map(|outcome| (outcome.case.name.as_str(), outcome.is_equal())))
    }

    /// Cases that differ, line by line; with `all`, also those whose reason is known.
    pub fn differences(&self, families: &Families, all: bool) -> String {
        let mut text = String::new();
        for outcome in &self.outcomes {
            if outcome.is_equal() || (outcome.reason.is_some() && !all) {
                continue;
            }
            let _ = writeln!(text, "## {}", outcome.case.name);
            for what in &outcome.case.steps {
                let _ = writeln!(text, "  {}", told(what, families));
            }
            let (linux, pfnl) = (&outcome.linux, &outcome.pfnl);
            let only = |mark, lines: &Observed, others: &Observed, text: &mut String| {
                for line in lines.iter().filter(|line| !others.contains(line)) {
                    let _ = writeln!(text, "  {mark} {}", observe::told(line, families));
                }
            };
            only("linux:", linux, pfnl, &mut text);
            only("pfnl: ", pfnl, linux, &mut text);
            if linux.len() == pfnl.len() && linux.iter().all(|line| pfnl.contains(line)) {
                text.push_str("  the same, in another order\n");
            }
        }
        text
    }
}

fn told(what: &super::Do, families: &Families) -> String {
    match what {
        super::Do::Request(tx) => {
            format!("request {}", crate::render::message(&pfnl_oracle_agent::unhex(tx), families))
        }
        super::Do::Packet(port, frame) => format!("packet at {port}: {} {}", &frame[..20], &frame[20..]),
        super::Do::Wait(ms) => format!("{ms} ms"),
    }
}
