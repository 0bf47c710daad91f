//! Where pfnl is known to do otherwise than Linux: `packets-differences.txt`.
//!
//! A line has two columns with a tab between them: a pattern of names (`*` stands for anything, `{a,b}` for one of these) and
//! the reason. All recorded cases that a pattern fits have to differ: what does so no longer is taken out.

use crate::known;

const TEXT: &str = include_str!("../../packets-differences.txt");

/// The patterns and reasons.
pub fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'))
}

/// Whether a name fits a pattern with stars and braces.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('{') else { return known::fits(pattern, name) };
    let Some((choices, after)) = rest.split_once('}') else { return false };
    choices.split(',').any(|choice| fits(&[before, choice, after].concat(), name))
}

/// Why a case may differ, if anybody knows.
pub fn reason(name: &str) -> Option<&'static str> {
    rules().find(|(pattern, _)| fits(pattern, name)).map(|(_, reason)| reason)
}

/// The rules that are not true of all cases: of those seen equal, and those that fit none.
pub fn gone<'c>(cases: impl Iterator<Item = (&'c str, bool)> + Clone) -> Vec<String> {
    let mut gone = Vec::new();
    for (pattern, _) in rules() {
        let mut fitting = cases.clone().filter(|(name, _)| fits(pattern, name)).peekable();
        if fitting.peek().is_none() {
            gone.push(format!("{pattern}: fits no case"));
        }
        gone.extend(
            fitting.filter(|(_, equal)| *equal).map(|(name, _)| format!("{pattern}: {name} is equal")),
        );
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_stand_for_one_of_several() {
        assert!(fits("a/{b,c}/{d,e}*", "a/c/ef") && fits("a/{,b}", "a/"));
        assert!(!fits("a/{b,c}", "a/d") && !fits("a/{b,c}/{d,e}", "a/b/f"));
    }

    #[test]
    fn a_rule_that_is_not_true_is_found_out() {
        let pattern = rules().next().map(|(pattern, _)| pattern).unwrap();
        assert!(gone([].into_iter()).contains(&format!("{pattern}: fits no case")));
        let name = pattern.replace(['{', '*'], "").split([',', '}']).next().unwrap().to_owned();
        let equal = gone([(&*name, true)].into_iter());
        assert!(equal.iter().any(|line| line.ends_with(" is equal")), "{equal:?}");
    }

    #[test]
    fn every_line_has_a_pattern_and_a_reason() {
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<_> = line.split('\t').collect();
            assert!(columns.len() == 2 && columns.iter().all(|column| !column.is_empty()), "{line}");
        }
    }
}
