//! What came of a comparison: a table for people, the differences by class, and whether it is good enough.

use crate::compare::{Parts, Verdict};
use crate::families::Families;
use crate::generate::Case;
use crate::render;
use pfnl_oracle_agent::hex;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Differences that are meant, or cannot be helped: the prefix of a case's name, a tab, the reason.
const KNOWN: &str = include_str!("../differences.txt");

/// A case's outcome.
pub struct Result {
    /// The case.
    pub case: Case,
    /// What Linux answered.
    pub linux: Parts,
    /// What pfnl answered.
    pub pfnl: Parts,
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
    known: usize,
}

/// The reason why a case may differ.
pub fn reason(name: &str) -> Option<&'static str> {
    let lines = KNOWN.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).find(|(prefix, _)| name.starts_with(prefix)).map(|(_, reason)| reason)
}

/// `family/command`.
fn group(name: &str) -> String {
    name.splitn(3, '/').take(2).collect::<Vec<_>>().join("/")
}

/// What a case is about, without which attribute or key it is: that is how differences are put together.
fn class(result: &Result) -> String {
    let (linux, pfnl) = (result.linux.errnos(), result.pfnl.errnos());
    let what = result.case.name.rsplit('/').next().unwrap_or_default();
    let what = if result.case.name.contains("/random/") { "random" } else { what };
    let verdict = result.pfnl.verdict(&result.linux);
    format!("{} … {what}: {verdict:?} linux {linux:?} pfnl {pfnl:?}", group(&result.case.name))
}

impl Report {
    /// Takes a case's outcome in.
    pub fn add(&mut self, case: &Case, linux: Parts, pfnl: Parts) {
        self.results.push(Result { case: case.clone(), linux, pfnl });
    }

    fn differing(&self) -> impl Iterator<Item = &Result> {
        let differs = |result: &&Result| result.pfnl.verdict(&result.linux) != Verdict::Equal;
        self.results.iter().filter(differs)
    }

    /// Names of counted and uncounted cases that differ without a reason.
    pub fn unexplained(&self) -> Vec<&str> {
        self.differing().map(|result| result.case.name.as_str()).filter(|name| reason(name).is_none()).collect()
    }

    /// How many counted cases are equal, per family, and how many there are.
    pub fn equal(&self) -> BTreeMap<String, (usize, usize)> {
        let mut all: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for result in self.results.iter().filter(|result| result.case.counted) {
            let family = result.case.name.split('/').next().unwrap_or_default();
            let (equal, total) = all.entry(family.to_owned()).or_default();
            *equal += usize::from(result.pfnl.verdict(&result.linux) == Verdict::Equal);
            *total += 1;
        }
        all
    }

    /// The table: a line per family and command.
    pub fn table(&self) -> String {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for result in self.results.iter().filter(|result| result.case.counted) {
            let name = &result.case.name;
            let verdict = result.pfnl.verdict(&result.linux);
            for key in [group(name), name.split('/').next().unwrap_or_default().to_owned(), "all".to_owned()] {
                let count = counts.entry(key).or_default();
                count.total += 1;
                count.by[verdict as usize] += 1;
                count.known += usize::from(verdict != Verdict::Equal && reason(name).is_some());
            }
        }
        let mut text = format!(
            "{:34} {:>6} {:>7} {:>7} {:>7} {:>7} {:>6} {:>9}\n",
            "family/command", "cases", "equal", "extack", "content", "errno", "both", "explained"
        );
        for (key, Count { total, by, known }) in counts {
            let [equal, extack, content, errno, both] = by;
            let _ = writeln!(text, "{key:34} {total:>6} {equal:>7} {extack:>7} {content:>7} {errno:>7} {both:>6} {known:>9}");
        }
        text
    }

    /// The classes of differences, by weight, with `examples` of each.
    pub fn differences(&self, families: &Families, examples: usize) -> String {
        let mut classes: BTreeMap<String, Vec<&Result>> = BTreeMap::new();
        for result in self.differing().filter(|result| reason(&result.case.name).is_none()) {
            classes.entry(class(result)).or_default().push(result);
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
