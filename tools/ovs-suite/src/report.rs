//! The table beside Linux's, and what was not expected.

use crate::outcome::{Outcome, Outcomes, Verdict};
use crate::place::{Place, Shares};
use crate::plan::Test;
use std::collections::BTreeMap;
use std::path::Path;

/// What Linux 6.1 gave with OVS 3.1.0: number, place, group, name, result.
const LINUX: &str = include_str!("../data/linux-6.1.tsv");
/// Tests known to fail, with the cause.
const EXPECTED: &str = include_str!("../data/expected.txt");

/// Results of Linux by the tests' names.
fn linux() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let row = |line: &'static str| {
        let mut fields = line.split('\t').skip(2);
        let (group, name, result) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, (group, result)))
    };
    LINUX.lines().skip(1).filter_map(row).collect()
}

/// Causes by the tests' names: `name: cause`, lines with `#` are comments.
fn expected() -> BTreeMap<&'static str, &'static str> {
    let lines = EXPECTED.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(" :: "))
        .map(|(name, cause)| (name.trim(), cause.trim()))
        .collect()
}

/// What would run, and where.
pub fn list(shares: &Shares) {
    let (linux, expected) = (linux(), expected());
    for (test, place) in shares {
        let place = match place {
            Place::Here => "here".to_owned(),
            Place::Guest => "guest".to_owned(),
            Place::Nowhere(why) => why.clone(),
        };
        let known = linux.get(test.name.as_str()).map_or("-", |(_, result)| result);
        let cause = expected.get(test.name.as_str()).map(|cause| format!("  ({cause})")).unwrap_or_default();
        println!("{:>3}  {:<9} {place:<6} {}{cause}", test.number, known, test.name);
    }
}

#[derive(Default)]
struct Row {
    tests: usize,
    /// Passed, failed, skipped, not run.
    linux: [usize; 4],
    pfnl: [usize; 4],
    /// Passed on Linux and were run here; of those, passed.
    both: [usize; 2],
}

/// Prints it all; whether everything came out as expected.
pub fn print(shares: &Shares, outcomes: &Outcomes, folder: &Path) -> bool {
    let (linux, expected) = (linux(), expected());
    let mut rows: Vec<(String, Row)> = Vec::new();
    let mut wrong = 0;
    let mut notes = Vec::new();
    for (test, place) in shares {
        let (group, known) = linux.get(test.name.as_str()).copied().unwrap_or((test.group.as_str(), "-"));
        let at = rows.iter().position(|(name, _)| name == group).unwrap_or_else(|| {
            rows.push((group.to_owned(), Row::default()));
            rows.len() - 1
        });
        let row = &mut rows[at].1;
        let outcome = outcomes.get(&test.number);
        row.tests += 1;
        row.linux[match known {
            "ok" => 0,
            "FAILED" => 1,
            "skipped" => 2,
            _ => 3,
        }] += 1;
        let column = match outcome.map(|outcome| &outcome.verdict) {
            Some(Verdict::Ok) => 0,
            Some(Verdict::Failed(_) | Verdict::Hung) => 1,
            Some(Verdict::Skipped(_)) => 2,
            None => 3,
        };
        row.pfnl[column] += 1;
        if known == "ok" && column != 3 {
            row.both[0] += 1;
            row.both[1] += usize::from(column == 0);
        }
        let cause = expected.get(test.name.as_str()).copied();
        let (is_wrong, note) = judge(test, place, outcome, known, cause);
        wrong += usize::from(is_wrong);
        notes.extend(note);
    }
    println!("\n{:<18}{:>6}   {:^24}   {:^24}  of those that pass", "", "", "Linux 6.1", "pfnl");
    println!("{:<18}{:>6}   {}   {}  on Linux", "group", "tests", head(), head());
    let mut all = Row::default();
    for (name, row) in &rows {
        line(name, row);
        all.tests += row.tests;
        let add =
            |to: &mut [usize], from: &[usize]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut all.linux, &row.linux);
        add(&mut all.pfnl, &row.pfnl);
        add(&mut all.both, &row.both);
    }
    line("all", &all);
    println!();
    notes.iter().for_each(|note| println!("{note}"));
    let failed = outcomes.values().any(|outcome| outcome.verdict != Verdict::Ok);
    if failed {
        println!("Logs are under {}", folder.display());
    }
    println!("{} of {} came out as expected", shares.len() - wrong, shares.len());
    wrong == 0
}

fn head() -> String {
    ["ok", "failed", "skip", "-"].map(|word| format!("{word:>6}")).concat()
}

fn line(name: &str, row: &Row) {
    let four = |counts: &[usize; 4]| counts.map(|count| format!("{count:>6}")).concat();
    let [of, passed] = row.both;
    println!("{name:<18}{:>6}   {}   {}  {passed}/{of}", row.tests, four(&row.linux), four(&row.pfnl));
}

/// Whether a test came out otherwise than expected, and what there is to say of it.
fn judge(
    test: &Test,
    place: &Place,
    outcome: Option<&Outcome>,
    linux: &str,
    cause: Option<&str>,
) -> (bool, Option<String>) {
    let name = format!("{:>3} {}", test.number, test.name);
    let Some(outcome) = outcome else {
        return match place {
            Place::Nowhere(why) => (false, Some(format!("not run    {name}: {why}"))),
            _ => (true, Some(format!("NOT RUN    {name}"))),
        };
    };
    match (&outcome.verdict, cause) {
        (Verdict::Ok, None) if outcome.failures == 0 => (false, None),
        (Verdict::Ok, None) => (false, Some(format!("passed at attempt {}: {name}", outcome.failures + 1))),
        (Verdict::Ok, Some(cause)) => {
            (true, Some(format!("UNEXPECTED pass of {name}: take it off the list ({cause})")))
        }
        (Verdict::Failed(at), Some(cause)) => (false, Some(format!("known      {name} ({at}): {cause}"))),
        (Verdict::Hung, Some(cause)) => (false, Some(format!("known      {name} (does not end): {cause}"))),
        (Verdict::Failed(at), None) => (true, Some(format!("FAILED     {name} ({at}): {}", outcome.log))),
        (Verdict::Hung, None) => (true, Some(format!("HUNG       {name}: {}", outcome.log))),
        (Verdict::Skipped(at), _) if linux == "ok" => {
            (true, Some(format!("SKIPPED    {name} ({at}), which Linux runs")))
        }
        (Verdict::Skipped(at), _) => (false, Some(format!("skipped    {name} ({at}), as on Linux"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_linux_is_whole() {
        let results: Vec<_> = linux().into_values().map(|(_, result)| result).collect();
        assert_eq!(results.len(), 177);
        assert_eq!(results.iter().filter(|result| **result == "ok").count(), 159);
    }

    #[test]
    fn known_failures_are_tests_and_have_a_cause() {
        let linux = linux();
        for (name, cause) in expected() {
            assert!(linux.contains_key(name), "{name}");
            assert!(cause.len() > 10, "{name}: {cause}");
        }
    }
}
