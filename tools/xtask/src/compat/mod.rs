//! compat-headers: the generated ones are what the tables say, each compiles alone for FreeBSD, and its numbers and
//! layouts are Linux's.

mod compare;
mod generate;

use crate::kmod;
use crate::packages::{self, Part};
use crate::sh;
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to do with the headers.
#[derive(clap::Args, Default)]
pub struct Options {
    /// Write the generated headers
    #[arg(long)]
    pub write: bool,
}

/// Writes or checks.
pub fn run(options: &Options) -> Result<()> {
    let folder = sh::root().join("compat-headers");
    generate::run(&folder, options.write)?;
    if options.write {
        return Ok(());
    }
    packages::need(&[Part::Kmod])?;
    let include = folder.join("include");
    let mut headers = Vec::new();
    find(&include, &include, &mut headers)?;
    headers.sort();
    let flags = flags(&include)?;
    for header in &headers {
        alone(header, &flags)?;
    }
    println!("  {} headers, each compiles alone in C and C++", headers.len());
    for source in fs::read_dir(folder.join("lib"))? {
        let source = source?.path();
        // What is for Open vSwitch is compiled with its headers (cargo xtask port).
        if source.ends_with("epoll.c") {
            compile(&flags, "c", &fs::read_to_string(&source)?)
                .with_context(|| source.display().to_string())?;
        }
    }
    compare::run(&headers, &flags)
}

/// Paths of all headers, as programs write them.
fn find(root: &Path, folder: &Path, out: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(root, &path, out)?;
        } else {
            out.push(path.strip_prefix(root)?.display().to_string());
        }
    }
    Ok(())
}

/// How a program for FreeBSD is compiled, with our headers before the system's.
fn flags(include: &Path) -> Result<Vec<OsString>> {
    let target = sh::target()?.join("kmod");
    fs::create_dir_all(&target)?;
    let mut flags: Vec<OsString> =
        ["--target=x86_64-unknown-freebsd15.1", "-nostdinc", "-I"].map(OsString::from).into();
    flags.push(include.into());
    let own = sh::read(Command::new("clang-19").arg("-print-resource-dir"))?;
    for folder in [PathBuf::from(own.trim()).join("include")].into_iter().chain(kmod::ziglang(&target)?) {
        flags.extend(["-isystem".into(), folder.into_os_string()]);
    }
    Ok(flags)
}

/// A header without any other before it, and twice.
fn alone(header: &str, flags: &[OsString]) -> Result<()> {
    let text = format!("#include <{header}>\n#include <{header}>\nextern int used;\n");
    for language in ["c", "c++"] {
        compile(flags, language, &text)
            .with_context(|| format!("{header} does not compile in {language}"))?;
    }
    Ok(())
}

fn compile(flags: &[OsString], language: &str, text: &str) -> Result<()> {
    clang(flags, &["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-gnu-include-next"], language, text)
        .map(drop)
}

/// What the compiler prints for a text.
fn clang(flags: &[OsString], more: &[&str], language: &str, text: &str) -> Result<String> {
    let folder = sh::target()?.join("compat");
    fs::create_dir_all(&folder)?;
    let source = folder.join(if language == "c" { "text.c" } else { "text.cc" });
    fs::write(&source, text)?;
    let out = Command::new("clang-19").args(flags).args(more).args(["-x", language]).arg(&source).output();
    let out = out.context("clang-19")?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr).trim_end());
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
