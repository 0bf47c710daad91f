//! Whether the `no_std` cores can go into a FreeBSD kernel as they are.
//!
//! `tests/kernel-bound` puts them together as a module would. It is compiled with the kernel modules' flags for a
//! target that has no std, linked so that only what is reachable remains, and the result is measured: floating
//! point, stack frames, relocations, what is left undefined, ways to panic.

pub mod measure;

use crate::packages::{self, Part};
use crate::sh;
use anyhow::{Context, Result, bail, ensure};
use measure::Measured;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the FreeBSD modules are compiled with, and the stack sizes noted.
pub const FLAGS: &str = "-Crelocation-model=static -Ccode-model=kernel -Zplt=yes \
    -Zdirect-access-external-data=yes -Cforce-frame-pointers=yes -Cpanic=abort -Cforce-unwind-tables=no \
    -Zemit-stack-sizes";

/// The features of `tests/kernel-bound` that must not pass, and a word the refusal must hold.
const INJECTED: &[(&str, &str)] = &[
    ("inject-float", "floating point"),
    ("inject-frame", "stack frame"),
    ("inject-std", "find crate for `std`"),
];

/// Builds, measures, prints, judges.
pub fn run(self_test: bool) -> Result<()> {
    packages::need(&[Part::KernelBound])?;
    let measured = Measured::read(&build(None)?)?;
    measured.print();
    let problems = measured.problems();
    ensure!(problems.is_empty(), "not fit for a kernel:\n  {}", problems.join("\n  "));
    println!("  fit for a kernel");
    if self_test {
        for (feature, word) in INJECTED {
            refuses(feature, word)?;
            println!("  {feature}: noticed");
        }
    }
    Ok(())
}

/// The check itself is tested: what is injected must be refused, for its own reason.
fn refuses(feature: &str, word: &str) -> Result<()> {
    let problems = match build(Some(feature)) {
        Ok(object) => Measured::read(&object)?.problems(),
        Err(error) => vec![format!("{error:#}")],
    };
    ensure!(problems.iter().any(|problem| problem.contains(word)), "{feature} went unnoticed: {problems:?}");
    Ok(())
}

/// The linked object.
fn build(feature: Option<&str>) -> Result<PathBuf> {
    let target = sh::target()?.join("kernel-bound");
    let archive = compile(&target, feature)?;
    let object = target.join("kernel-bound.o");
    let mut link = Command::new(linker()?);
    link.args(["-flavor", "gnu", "-m", "elf_x86_64", "-r", "--gc-sections", "--strip-debug"]);
    link.args(["-u", "pfnl_kernel_bound", "-e", "pfnl_kernel_bound", "-o"]).arg(&object).arg(archive);
    sh::read(&mut link)?;
    Ok(object)
}

fn compile(target: &Path, feature: Option<&str>) -> Result<PathBuf> {
    // Debian's toolchain, which the modules are built with, must not find rustup's first.
    let mut path = OsString::from("/usr/bin:");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(sh::root().join("tests/kernel-bound"));
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    cargo
        .env("PATH", path)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", target);
    cargo.args([
        "build",
        "--quiet",
        "--release",
        "-Zbuild-std=core,alloc",
        "--target",
        "x86_64-unknown-none",
    ]);
    if let Some(feature) = feature {
        cargo.args(["--features", feature]);
    }
    let out = cargo.output().context("/usr/bin/cargo")?;
    if !out.status.success() {
        bail!("the cores do not build without std:\n{}", String::from_utf8_lossy(&out.stderr).trim_end());
    }
    let archive = target.join("x86_64-unknown-none/release/libpfnl_kernel_bound.a");
    fs::metadata(&archive).with_context(|| archive.display().to_string())?;
    Ok(archive)
}

/// rustup brings lld along; else the system's.
fn linker() -> Result<PathBuf> {
    let sysroot = sh::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let own = Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    if own.exists() {
        return Ok(own);
    }
    ["lld", "lld-19"].iter().find_map(|name| sh::which(name)).context("no rust-lld beside rustc, and no lld")
}
