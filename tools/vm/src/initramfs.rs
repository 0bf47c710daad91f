//! The guest's file system: a cpio archive (the format is in the kernel's early-userspace/buffer-format document).

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An archive as it grows.
#[derive(Default, Debug)]
pub struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

impl Archive {
    /// Adds a file, a folder or a device, as its mode says.
    pub fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), data: &[u8]) {
        self.files += 1;
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let fields =
            [self.files, mode, 0, 0, 1, 0, len(data.len()), 0, 0, major, minor, len(name.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        fields.iter().for_each(|field| self.bytes.extend_from_slice(format!("{field:08x}").as_bytes()));
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    /// The archive, whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Modules of a kernel and what they need, each after what it needs itself. Those that are part of the kernel itself are
/// left out.
///
/// # Errors
/// One cannot be read.
pub fn modules(dir: &Path, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut paths = BTreeMap::new();
    index(&dir.join("kernel"), &mut paths)?;
    let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
    for module in names {
        visit(module, &paths, &mut seen, &mut ordered)?;
    }
    Ok(ordered)
}

fn index(dir: &Path, paths: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, paths)?;
        } else if let Some((name, _)) = path.file_name().and_then(|name| name.to_str()?.split_once(".ko")) {
            paths.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

/// Depth first; a module's needs stand in it as `depends=a,b`.
fn visit(
    name: &str,
    paths: &BTreeMap<String, PathBuf>,
    seen: &mut BTreeSet<String>,
    ordered: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    // What is in the kernel itself is no file.
    let Some(path) = paths.get(name) else { return Ok(()) };
    let module = uncompressed(path)?;
    let key = b"\0depends=";
    if let Some(at) = module.windows(key.len()).position(|window| window == key) {
        let rest = &module[at + key.len()..];
        let value = rest.split(|&byte| byte == 0).next().unwrap_or_default();
        for need in String::from_utf8_lossy(value).split(',').filter(|need| !need.is_empty()) {
            visit(&need.replace('-', "_"), paths, seen, ordered)?;
        }
    }
    ordered.push((format!("{name}.ko"), module));
    Ok(())
}

fn uncompressed(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return Ok(fs::read(path)?),
    };
    let output = Command::new(program)
        .arg("-dcq")
        .arg(path)
        .output()
        .with_context(|| format!("{program} is missing"))?;
    ensure!(output.status.success(), "{program} cannot read {}", path.display());
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_s_entries_follow_each_other_aligned() {
        let mut archive = Archive::default();
        archive.entry("a/bc", 0o100_644, (0, 0), b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // 110 bytes of header and "a/bc\0" are padded to 116, five bytes of data to 124.
        assert_eq!(&text[..14], "07070100000001");
        assert_eq!((&text[14..22], &text[54..62], &text[94..102]), ("000081a4", "00000005", "00000005"));
        assert_eq!((&text[110..114], &text[116..121], &text[124..130]), ("a/bc", "hello", "070701"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
