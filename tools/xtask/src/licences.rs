//! That every dependency may be used under a permissive licence: pfnl is BSD-2-Clause, in a kernel too.

use crate::sh;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Fails on a dependency that has no permissive choice; tells how many were looked at.
pub fn run() -> Result<String> {
    let mut packages = Vec::new();
    // The FreeBSD module is a workspace of its own; cargo-metadata reads its manifest, and builds nothing.
    for manifest in ["Cargo.toml", "kern-sock/freebsd/Cargo.toml"] {
        let mut cargo = sh::cargo()?;
        cargo.args(["metadata", "--format-version", "1", "--manifest-path", manifest]);
        let metadata: Value = serde_json::from_str(&sh::read(&mut cargo)?)?;
        packages.extend(
            metadata["packages"].as_array().context("cargo metadata without packages")?.iter().cloned(),
        );
    }
    let bad: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(permissive))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    ensure!(bad.is_empty(), "not permissive, or unknown:\n{}", bad.join("\n"));
    Ok(format!("{} packages, all usable under a permissive licence", packages.len()))
}

/// Whether an SPDX expression offers a choice all of whose parts are permissive.
fn permissive(expression: &str) -> bool {
    // A bracketed choice inside of an AND: every bracket must offer one by itself.
    if let Some((choice, rest)) = expression.strip_prefix('(').and_then(|rest| rest.split_once(") AND ")) {
        return permissive(choice) && permissive(rest);
    }
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" OR ").any(|choice| choice.split(" AND ").all(|part| PERMISSIVE.contains(&part.trim())))
}

#[cfg(test)]
mod tests {
    use super::permissive;

    #[test]
    fn choices() {
        assert!(permissive("MIT OR GPL-2.0-only"));
        assert!(permissive("MIT/Apache-2.0"));
        assert!(permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(permissive("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"));
        assert!(!permissive("GPL-2.0-only"));
        assert!(!permissive("MIT AND GPL-2.0-only"));
        assert!(!permissive("(MIT OR Apache-2.0) AND GPL-2.0-only"));
    }
}
