//! What a real kernel answered, as text beside the tests, and the comparison with what pfnl answers.
//!
//! ```text
//! # a comment
//! % ip link add v0 type veth peer name v1     set up, not compared
//! $ ovs-dpctl add-dp dp0                      a client; "" is an empty argument
//! > system@dp0                                a line of its stdout; `*` stands for anything
//! ! ovs-dpctl: add_dp (File exists)           a line of its stderr, without OVS's time stamps
//! = 1                                         its exit status, when it is not 0
//! $~ ovs-dpctl dump-flows dp0                 the lines of its stdout may come in any order
//! ```

use crate::client::Outcome;
use crate::sandbox::quiet;
use anyhow::{Context, Result, bail, ensure};

/// One step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    /// The line it stands on.
    line: usize,
    /// The command.
    command: Vec<String>,
    /// Whether it only sets something up.
    setup: bool,
    /// Whether stdout's lines may come in any order.
    any_order: bool,
    stdout: Vec<String>,
    stderr: Vec<String>,
    code: i32,
}

/// Reads a transcript.
///
/// # Errors
/// A line is none of the forms above.
fn parse(text: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line_no = at + 1;
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if matches!(mark, "$" | "$~" | "%") {
            let command = words(rest);
            let (setup, any_order) = (mark == "%", mark == "$~");
            steps.push(Step { line: line_no, command, setup, any_order, ..Step::default() });
            continue;
        }
        if matches!(mark, "" | "#") {
            continue;
        }
        let step =
            steps.last_mut().with_context(|| format!("line {line_no}: an answer without a command"))?;
        match mark {
            ">" => step.stdout.push(rest.to_owned()),
            "!" => step.stderr.push(rest.to_owned()),
            "=" => step.code = rest.parse()?,
            _ => bail!("line {line_no}: {line}"),
        }
    }
    Ok(steps)
}

/// Plays a transcript: `run` runs a client. All differences come back in one message.
///
/// # Errors
/// A set-up step fails, a client cannot be started, or something differs.
pub fn play(text: &str, mut run: impl FnMut(&[&str]) -> Result<Outcome>) -> Result<()> {
    let mut differences = Vec::new();
    for step in parse(text)? {
        let command: Vec<&str> = step.command.iter().map(String::as_str).collect();
        let (program, args) =
            command.split_first().with_context(|| format!("line {}: no command", step.line))?;
        if step.setup {
            quiet(program, args)?;
            continue;
        }
        let outcome = run(&command)?;
        outcome.count();
        if let Err(difference) = step.compare(&outcome) {
            differences.push(format!("line {}: `{}`: {difference}", step.line, outcome.line));
        }
    }
    ensure!(
        differences.is_empty(),
        "{} differences from Linux\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}

impl Step {
    fn compare(&self, outcome: &Outcome) -> Result<()> {
        let mut problems = Vec::new();
        if outcome.code != Some(self.code) {
            problems.push(format!("exit status {:?}, Linux {}", outcome.code, self.code));
        }
        let mut got: Vec<&str> = outcome.stdout.lines().collect();
        let mut want: Vec<&str> = self.stdout.iter().map(String::as_str).collect();
        if self.any_order {
            got.sort_unstable();
            want.sort_unstable();
        }
        problems.extend(differences("stdout", &want, &got));
        let got: Vec<&str> = outcome.stderr.lines().map(without_time).collect();
        let want: Vec<&str> = self.stderr.iter().map(String::as_str).collect();
        problems.extend(differences("stderr", &want, &got));
        ensure!(problems.is_empty(), "{}", problems.join("\n  "));
        Ok(())
    }
}

fn differences(stream: &str, want: &[&str], got: &[&str]) -> Vec<String> {
    if want.len() == got.len() && want.iter().zip(got).all(|(want, got)| matches(want, got)) {
        return Vec::new();
    }
    let show = |lines: &[&str]| lines.iter().map(|line| format!("\n      {line}")).collect::<String>();
    vec![format!("{stream}\n    Linux:{}\n    pfnl:{}", show(want), show(got))]
}

/// Cuts `2026-11-22T11:08:13Z|00001|` from a log line of OVS.
fn without_time(line: &str) -> &str {
    let mut parts = line.splitn(3, '|');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(_), Some(rest)) if time.ends_with('Z') => rest,
        _ => line,
    }
}

/// Whether `lines` (with `*`) stand in `text`, one after the other.
pub fn has_lines(lines: &str, text: &str) -> bool {
    let want: Vec<&str> = lines.lines().collect();
    let got: Vec<&str> = text.lines().collect();
    got.windows(want.len()).any(|window| want.iter().zip(window).all(|(want, got)| matches(want, got)))
}

/// Whether a line matches a pattern in which `*` stands for anything.
pub fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
        }),
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| if word == "\"\"" { String::new() } else { word.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("lookups: hit:* missed:*", "lookups: hit:12 missed:"));
        assert!(!matches("lookups: hit:* missed:0", "lookups: hit:12 missed:1"));
        assert!(matches("*", ""));
        assert!(!matches("a", "ab"));
        assert!(has_lines("b*\nc", "a\nb1\nc\nd"));
        assert!(!has_lines("b\nd", "a\nb\nc\nd"));
    }

    #[test]
    fn a_transcript_is_read() {
        let steps = parse("# x\n% ip link\n$~ a b \"\"\n> out\n! err\n= 2\n").unwrap();
        assert_eq!(steps.len(), 2);
        assert!(steps[0].setup);
        assert_eq!(steps[1].command, ["a", "b", ""]);
        assert_eq!((steps[1].code, steps[1].any_order), (2, true));
        assert_eq!((&steps[1].stdout[..], &steps[1].stderr[..]), (&["out".into()][..], &["err".into()][..]));
        assert!(parse("> early").is_err());
        assert!(parse("$ a\nwhat is this").is_err());
    }

    #[test]
    fn time_stamps_are_cut() {
        assert_eq!(without_time("2026-11-22T11:08:13Z|00001|dpif|WARN|x: y"), "dpif|WARN|x: y");
        assert_eq!(without_time("a|b|c"), "a|b|c");
    }
}
