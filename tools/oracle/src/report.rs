//! What came of a comparison: a table for people, the differences by class, and whether it is good enough.

use crate::compare::{Parts, Verdict};
use crate::families::Families;
use crate::generate::Case;
use crate::{blank, known, render};
use pfnl_oracle_agent::hex;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A case's outcome.
pub struct Result {
    /// The case.
    pub case: Case,
    /// What Linux answered.
    pub linux: Parts,
    /// What pfnl answered.
    pub pfnl: Parts,
    /// Whether they are the same.
    pub verdict: Verdict,
    /// Why not, if somebody knows.
    pub reason: Option<&'static str>,
}

/// All outcomes.
#[derive(Default)]
pub struct Report {
    /// In order.
    pub results: Vec<Result>,
}

#[derive(Default)]
struct Count {
    total: usize,
    /// By verdict.
    by: [usize; 5],
    meant: usize,
    bugs: usize,
}

/// `family/command`, all odd commands together.
fn group(name: &str) -> String {
    let mut parts = name.split('/');
    let (family, command) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let start = command.split(['-', '"']).next().unwrap_or_default();
    let command = if matches!(start, "command" | "name" | "policy") { start } else { command };
    format!("{family}/{command}")
}

/// What differences are put together by: the command, the errnos, what pfnl says of its error, and where the messages
/// differ.
fn class(result: &Result, families: &Families) -> String {
    let (linux, pfnl) = (&result.linux, &result.pfnl);
    let mut text = format!(
        "{}: {:?} linux {:?} pfnl {:?}",
        group(&result.case.name),
        result.verdict,
        linux.errnos(),
        pfnl.errnos()
    );
    if let Some(said) = pfnl.messages.iter().find_map(|message| render::said(message)) {
        let _ = write!(text, " {said:?}");
    }
    if linux.messages.len() != pfnl.messages.len() {
        let _ = write!(text, " messages {} and {}", linux.messages.len(), pfnl.messages.len());
    } else if let Some((linux, pfnl)) =
        linux.messages.iter().zip(&pfnl.messages).find(|(linux, pfnl)| linux != pfnl)
    {
        let _ = write!(text, " in {}", render::difference(linux, pfnl, families).join(" "));
    }
    text
}

impl Report {
    /// Takes a case's outcome in.
    pub fn add(&mut self, case: &Case, mut linux: Parts, mut pfnl: Parts, families: &Families) {
        if blank::has_hash(&case.tx) {
            blank::hashes(&mut linux.messages, families);
            blank::hashes(&mut pfnl.messages, families);
        }
        let verdict = pfnl.verdict(&linux);
        let differs = verdict != Verdict::Equal;
        let reason = if differs { known::reason(&case.name, &linux, &pfnl, families) } else { None };
        self.results.push(Result { case: case.clone(), linux, pfnl, verdict, reason });
    }

    /// Counted cases that differ. The others only keep the world in order: where one differs, so did the case it is for.
    fn differing(&self) -> impl Iterator<Item = &Result> {
        self.results.iter().filter(|result| result.case.counted && result.verdict != Verdict::Equal)
    }

    /// Names of cases that differ and nobody knows why.
    pub fn unexplained(&self) -> Vec<&str> {
        self.differing()
            .filter(|result| result.reason.is_none())
            .map(|result| result.case.name.as_str())
            .collect()
    }

    /// How many cases differ for a reason that is a bug here.
    pub fn bugs(&self) -> usize {
        self.differing().filter(|result| result.reason.is_some_and(known::is_bug)).count()
    }

    /// The reasons, and how often each.
    pub fn reasons(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.differing()
            .filter_map(|result| result.reason)
            .for_each(|reason| *counts.entry(reason).or_default() += 1);
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
            .into_iter()
            .fold(String::new(), |text, (reason, count)| format!("{text}{count:>6}  {reason}\n"))
    }

    /// How many counted cases are equal, per family, and how many there are.
    pub fn equal(&self) -> BTreeMap<String, (usize, usize)> {
        let mut all: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for result in self.results.iter().filter(|result| result.case.counted) {
            let family = result.case.name.split('/').next().unwrap_or_default();
            let (equal, total) = all.entry(family.to_owned()).or_default();
            *equal += usize::from(result.verdict == Verdict::Equal);
            *total += 1;
        }
        all
    }

    /// The table: a line per family and command.
    pub fn table(&self) -> String {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for result in self.results.iter().filter(|result| result.case.counted) {
            let name = &result.case.name;
            for key in [group(name), name.split('/').next().unwrap_or_default().to_owned(), "all".to_owned()]
            {
                let count = counts.entry(key).or_default();
                count.total += 1;
                count.by[result.verdict as usize] += 1;
                count.bugs += usize::from(result.reason.is_some_and(known::is_bug));
                count.meant += usize::from(result.reason.is_some_and(|reason| !known::is_bug(reason)));
            }
        }
        let mut text = format!(
            "{:34} {:>6} {:>7} {:>7} {:>7} {:>7} {:>6} {:>7} {:>6}\n",
            "family/command", "cases", "equal", "extack", "content", "errno", "both", "meant", "bugs"
        );
        for (key, Count { total, by, meant, bugs }) in counts {
            let [equal, extack, content, errno, both] = by;
            let _ = writeln!(
                text,
                "{key:34} {total:>6} {equal:>7} {extack:>7} {content:>7} {errno:>7} {both:>6} {meant:>7} {bugs:>6}"
            );
        }
        text
    }

    /// The classes of differences, by weight, with `examples` of each: all, or those that nobody knows the reason of.
    pub fn differences(&self, families: &Families, examples: usize, all: bool) -> String {
        let mut classes: BTreeMap<String, Vec<&Result>> = BTreeMap::new();
        for result in self.differing().filter(|result| all || result.reason.is_none()) {
            classes.entry(class(result, families)).or_default().push(result);
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by_key(|(_, results)| std::cmp::Reverse(results.len()));
        let mut text = String::new();
        for (class, results) in classes {
            let _ = writeln!(text, "\n## {} × {class}", results.len());
            for result in results.iter().take(examples) {
                let _ = writeln!(text, "- {} (socket {})", result.case.name, result.case.socket);
                let sent = render::message(&result.case.tx, families);
                let tx = hex(&result.case.tx);
                let tx = tx.get(..1200).unwrap_or(&tx);
                let _ = writeln!(text, "  sent  {}\n        {tx}", cut(&sent));
                for (who, parts) in [("linux", &result.linux), ("pfnl ", &result.pfnl)] {
                    for message in &parts.messages {
                        let _ = writeln!(text, "  {who} {}", cut(&render::message(message, families)));
                    }
                    if parts.messages.is_empty() {
                        let _ = writeln!(text, "  {who} nothing");
                    }
                }
            }
        }
        text
    }
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(1600).map_or(text, |(at, _)| &text[..at])
}
