//! The scenarios of tests/scenarios on FreeBSD, beside those on this machine's Linux.

use crate::sh;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::process::Command;

/// How many of a hundred must be equal.
const ENOUGH: usize = 95;

/// What FreeBSD's own system calls decide, whatever the socket family: not pfnl's to answer.
const NOT_OURS: &[(&str, &str)] = &[("epoll/", "there is no epoll(7) in FreeBSD's kernel")];

/// Compares a transcript with what the same program says here.
pub fn compare(freebsd: &str) -> Result<()> {
    let target = sh::target()?;
    sh::run(sh::cargo()?.args(["build", "--quiet", "-p", "pfnl-scenarios"]))?;
    let program = target.join("debug/pfnl-scenarios");
    let linux = sh::read(Command::new(program).arg("all")).context("the scenarios on this machine")?;
    let (linux, freebsd) = (parts(&linux), parts(freebsd));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (mut equal, mut counted) = (0, 0);
    for (name, theirs) in &linux {
        let ours = freebsd.get(name).map_or("", String::as_str);
        if let Some((_, why)) = NOT_OURS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            println!("  {name}: left out: {why}");
            continue;
        }
        counted += 1;
        if theirs == ours {
            equal += 1;
        } else {
            println!("  {name}\n{}", difference(theirs, ours));
        }
    }
    println!("scenarios equal on FreeBSD and Linux {}: {equal}/{counted}", release.trim());
    ensure!(counted >= 150 && freebsd.len() == linux.len(), "{counted} of {}", freebsd.len());
    ensure!(equal * 100 >= counted * ENOUGH, "fewer than {ENOUGH}% are equal");
    Ok(())
}

fn parts(text: &str) -> BTreeMap<String, String> {
    let parts = text.split("== ").skip(1).filter_map(|part| part.split_once('\n'));
    parts.map(|(name, text)| (name.trim().to_owned(), text.trim_end().to_owned())).collect()
}

/// The lines where two transcripts part, and the one before.
fn difference(theirs: &str, ours: &str) -> String {
    let same = theirs.lines().zip(ours.lines()).take_while(|(theirs, ours)| theirs == ours).count();
    let before = theirs.lines().nth(same.wrapping_sub(1)).unwrap_or_default();
    let part = |text: &str, sign| -> String {
        text.lines().skip(same).take(2).map(|line| format!("    {sign} {line}\n")).collect()
    };
    format!("      {before}\n{}{}", part(theirs, "linux  "), part(ours, "freebsd"))
}
