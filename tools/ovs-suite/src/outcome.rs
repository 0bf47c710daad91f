//! What became of tests, read from what autotest prints.

use std::collections::BTreeMap;

/// What became of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It passed.
    Ok,
    /// It failed, at this line of the suite.
    Failed(String),
    /// It found something missing, at this line of the suite.
    Skipped(String),
    /// It did not end.
    Hung,
}

/// A verdict and how it came about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The last verdict.
    pub verdict: Verdict,
    /// How often it failed before.
    pub failures: usize,
    /// The folder with its log, under the suite's own.
    pub log: String,
}

/// By the tests' numbers.
pub type Outcomes = BTreeMap<usize, Outcome>;

/// The number and verdict in a line of autotest's, if it is one of these:
///
/// ```text
///   1: datapath - ping between two ports               ok
///  13: datapath - ping over vxlan6 tunnel              FAILED (system-traffic.at:414)
///  55: conntrack - get_nconns and get/set_maxconns     skipped (system-traffic.at:2553)
/// ```
pub fn read(line: &str) -> Option<(usize, Verdict)> {
    let (number, rest) = line.trim_start().split_once(": ")?;
    let number = number.parse().ok()?;
    let (before, place) = match rest.trim_end().rsplit_once(" (") {
        Some((before, place)) if place.ends_with(')') && place.contains(".at:") => {
            (before, place.trim_end_matches(')').to_owned())
        }
        _ => (rest.trim_end(), String::new()),
    };
    let verdict = match before.split_whitespace().next_back()? {
        "ok" => Verdict::Ok,
        "FAILED" => Verdict::Failed(place),
        "skipped" => Verdict::Skipped(place),
        _ => return None,
    };
    Some((number, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let ok = "  1: datapath - ping between two ports               ok";
        assert_eq!(read(ok), Some((1, Verdict::Ok)));
        let failed = " 13: datapath - ping over vxlan6 tunnel (really)   FAILED (system-traffic.at:414)";
        assert_eq!(read(failed), Some((13, Verdict::Failed("system-traffic.at:414".to_owned()))));
        let skipped = " 55: conntrack - get_nconns     skipped (system-traffic.at:2553)";
        assert_eq!(read(skipped), Some((55, Verdict::Skipped("system-traffic.at:2553".to_owned()))));
        for other in [
            "datapath-sanity",
            "  1: datapath - ping between two ports   ",
            "ERROR: 3 tests were run,",
            "3 failed",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
