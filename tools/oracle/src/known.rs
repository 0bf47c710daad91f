//! What is known to differ: `differences.txt`.
//!
//! A line has three columns, with tabs between them: a pattern of names (`*` stands for anything), a condition, the
//! reason. The condition is empty, or `said` and how pfnl's error text begins, or `in` and the attributes that differ
//! (several lines may share the work). A reason that begins with `BUG` names what is to be put right here; any other, why
//! the difference is meant or cannot be helped.

use crate::compare::{Parts, Verdict};
use crate::families::Families;
use crate::render;

const TEXT: &str = include_str!("../differences.txt");

struct Rule {
    pattern: &'static str,
    condition: &'static str,
    reason: &'static str,
}

fn rules() -> impl Iterator<Item = Rule> {
    TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.splitn(3, '\t');
        Some(Rule { pattern: columns.next()?, condition: columns.next()?, reason: columns.next()? })
    })
}

/// Whether a name fits a pattern with stars.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, "")) => name.starts_with(start),
        Some((start, rest)) => {
            let Some(name) = name.strip_prefix(start) else { return false };
            (0..=name.len()).any(|at| name.get(at..).is_some_and(|name| fits(rest, name)))
        }
    }
}

/// Where two answers of as many messages differ.
pub fn places(linux: &Parts, pfnl: &Parts, families: &Families) -> Vec<String> {
    let pairs = linux.messages.iter().zip(&pfnl.messages).filter(|(linux, pfnl)| linux != pfnl);
    let mut places: Vec<_> =
        pairs.flat_map(|(linux, pfnl)| render::difference(linux, pfnl, families)).collect();
    places.sort();
    places.dedup();
    places
}

/// Why a case may differ, if anybody knows.
pub fn reason(name: &str, linux: &Parts, pfnl: &Parts, families: &Families) -> Option<&'static str> {
    let said = pfnl.messages.iter().find_map(|message| render::said(message)).unwrap_or_default();
    let mut places = if pfnl.verdict(linux) == Verdict::Content && linux.messages.len() == pfnl.messages.len()
    {
        places(linux, pfnl, families)
    } else {
        Vec::new()
    };
    let found = !places.is_empty();
    let mut shared: Option<&'static str> = None;
    for rule in rules().filter(|rule| fits(rule.pattern, name)) {
        let whole = match rule.condition.split_once(' ') {
            None => rule.condition.is_empty(),
            Some(("said", text)) => !text.is_empty() && said.starts_with(text),
            Some(("in", covered)) => {
                let before = places.len();
                places.retain(|place| !covered.split(' ').any(|covered| covered == place));
                if places.len() < before {
                    // What is to be put right outweighs what is not.
                    shared = shared.filter(|reason| is_bug(reason)).or(Some(rule.reason));
                }
                false
            }
            Some(_) => false,
        };
        if whole {
            return Some(rule.reason);
        }
    }
    shared.filter(|_| found && places.is_empty())
}

/// Whether a reason names something to be put right.
pub fn is_bug(reason: &str) -> bool {
    reason.starts_with("BUG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        assert!(fits("a/*/c", "a/b/c") && fits("a*", "a") && fits("*c", "abc") && fits("a/b", "a/b"));
        assert!(!fits("a/*/c", "a/b/d") && !fits("b*", "abc") && !fits("a/b", "a/bc"));
        assert!(fits("*b*", "abc") && fits("a*b*c", "a-b-b-c"));
    }

    #[test]
    fn every_line_has_three_columns_and_a_known_condition() {
        for line in TEXT.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let columns: Vec<_> = line.split('\t').collect();
            assert_eq!(columns.len(), 3, "{line}");
            assert!(["", "said", "in"].contains(&columns[1].split(' ').next().unwrap()), "{line}");
            assert!(!columns[2].is_empty(), "{line}");
        }
    }
}
