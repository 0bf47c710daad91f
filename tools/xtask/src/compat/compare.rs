//! Numbers and layouts of our headers beside those of Linux's (Debian's linux-libc-dev).
//!
//! The compiler is asked, not the text: constants, sizes and offsets become global variables of a C file, once with our
//! headers for FreeBSD and once with Linux's, and their values are read from what it makes of them.

use super::clang;
use crate::sh;
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;

/// What is not Linux's, and why.
const OTHER: &[(&str, &str)] = &[("struct sockaddr_nl", "FreeBSD's addresses begin with a length byte")];

/// An expression whose value is compared: a constant, `sizeof(struct x)`, `offsetof(struct x, y)`.
type Values = BTreeMap<String, i64>;

/// Compares every header below linux/.
pub fn run(headers: &[String], flags: &[OsString]) -> Result<()> {
    let (mut equal, mut newer, mut wrong) = (0, Vec::new(), Vec::new());
    for header in headers.iter().filter(|header| header.starts_with("linux/")) {
        let text = fs::read_to_string(sh::root().join("compat-headers/include").join(header))?;
        let wanted = expressions(&text);
        if wanted.is_empty() {
            continue;
        }
        let ours = values(header, &wanted, flags)?;
        let linux_flags = [OsString::from("--target=x86_64-linux-gnu")];
        let linux = clang(&linux_flags, &["-E", "-dD"], "c", &include(header))?;
        let words: BTreeSet<&str> = linux.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let known = |expression: &&String| {
            let names = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
            names
                .filter(|name| !name.is_empty() && !matches!(*name, "sizeof" | "struct" | "offsetof"))
                .all(|name| words.contains(name))
        };
        let (there, missing): (Vec<&String>, Vec<&String>) = wanted.iter().partition(known);
        newer.extend(missing.into_iter().cloned());
        let there: Vec<String> = there.into_iter().cloned().collect();
        let theirs = values(header, &there, &linux_flags)?;
        for (expression, value) in theirs {
            let own = ours.get(&expression).copied();
            if OTHER.iter().any(|(name, _)| expression.contains(name)) || own == Some(value) {
                equal += 1;
            } else if !(expression.ends_with("_MAX") && own.is_some_and(|own| own > value)) {
                wrong.push(format!("{header}: {expression} is {own:?}, and {value} on Linux"));
            }
        }
    }
    ensure!(wrong.is_empty(), "not Linux's numbers:\n  {}", wrong.join("\n  "));
    ensure!(equal > 700, "only {equal} numbers were found in Linux's headers: is linux-libc-dev installed?");
    println!(
        "  {equal} numbers, sizes and offsets are Linux's; not in its headers here: {}",
        newer.join(" ")
    );
    Ok(())
}

fn include(header: &str) -> String {
    format!("#include <stddef.h>\n#include <sys/socket.h>\n#include <{header}>\n")
}

/// What the compiler makes of expressions.
fn values(header: &str, wanted: &[String], flags: &[OsString]) -> Result<Values> {
    let mut text = include(header);
    for (number, expression) in wanted.iter().enumerate() {
        text += &format!("const long long v{number} = (long long)({expression});\n");
    }
    let out = clang(flags, &["-S", "-emit-llvm", "-o", "-"], "c", &text)?;
    let line = |line: &str| {
        // @v7 = dso_local constant i64 16, align 8
        let (number, rest) = line.strip_prefix("@v")?.split_once(" = ")?;
        let (_, value) = rest.split_once("constant i64 ")?;
        let value = value.split(',').next()?.parse().ok()?;
        Some((wanted.get(number.parse::<usize>().ok()?)?.clone(), value))
    };
    let values: Values = out.lines().filter_map(line).collect();
    ensure!(values.len() == wanted.len(), "{header}: {} of {} values", values.len(), wanted.len());
    Ok(values)
}

/// What of a header has a value: macros that are numbers, enumerators, structures and their members. It is written one
/// to a line, as our headers are.
fn expressions(text: &str) -> Vec<String> {
    let mut out = BTreeSet::new();
    let mut structure = None;
    let mut enumerators = false;
    for line in text.lines() {
        let code = line.split("/*").next().unwrap_or_default().trim();
        if let Some(rest) = code.strip_prefix("#define ") {
            let Some((name, value)) = rest.split_once(' ') else { continue };
            let number = value.chars().any(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
            let odd = name.contains('(')
                || name.starts_with("__")
                || value.contains(['"', ':', '{', '@'])
                || !number;
            if !odd {
                out.insert(name.to_owned());
            }
        } else if code.starts_with("enum") && code.ends_with('{') {
            enumerators = true;
        } else if let Some(name) = code.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {")) {
            out.insert(format!("sizeof(struct {name})"));
            structure = Some(name.to_owned());
        } else if code.starts_with('}') {
            (structure, enumerators) = if code == "};" && structure.is_some() && line.starts_with('\t') {
                (structure, false)
            } else {
                (None, false)
            };
        } else if enumerators {
            let name = code.trim_end_matches(',').split(" =").next().unwrap_or_default().trim();
            if !name.is_empty() && !name.starts_with('#') {
                out.insert(name.to_owned());
            }
        } else if let (Some(structure), Some(member)) = (&structure, code.strip_suffix(';')) {
            let member =
                member.split('[').next().and_then(|m| m.split_whitespace().last()).unwrap_or_default();
            if !code.contains(':') && !code.starts_with('}') {
                out.insert(format!("offsetof(struct {structure}, {member})"));
            }
        }
    }
    out.into_iter().collect()
}
