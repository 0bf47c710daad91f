//! Running programs: echoed, quiet, or read.

use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The workspace's target folder: where this program was built.
pub fn target() -> Result<PathBuf> {
    let built = pfnl_tests::host::built()?;
    Ok(built.parent().context("a program outside of a target folder")?.to_owned())
}

/// The cargo that runs this program, in the workspace's root.
pub fn cargo() -> Result<Command> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", target()?);
    Ok(cargo)
}

/// A command line as a user would type it.
pub fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words: Vec<_> = [program].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Prints the command, runs it on this terminal, and wants success.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", show(command));
    let status = command.status().with_context(|| show(command))?;
    ensure!(status.success(), "`{}` failed ({status})", show(command));
    Ok(())
}

/// What a command prints; its stderr is the error when it fails.
pub fn read(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| show(command))?;
    if !out.status.success() {
        bail!("`{}` failed: {}", show(command), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Where a program is; administrators' folders count even when a user's PATH lacks them.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let admin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(admin).map(|folder| folder.join(program)).find(|file| file.is_file())
}
