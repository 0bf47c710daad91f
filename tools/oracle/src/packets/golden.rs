//! What Linux was seen to do, so that pfnl can be compared with it where there is no QEMU: JSON lines, compressed.
//!
//! The requests and packets are in it as they were sent, so that a recording stays good when the generator changes.

use super::Case;
use super::run::Observed;
use crate::families::Families;
use anyhow::{Context, Result};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    kernel: String,
    families: Families,
    interfaces: Vec<(String, u32)>,
}

/// Cases, and what a kernel did.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Which kernel.
    pub kernel: String,
    /// Its families.
    pub families: Families,
    /// Its interfaces.
    pub interfaces: Vec<(String, u32)>,
    /// Each case and what was seen of it.
    pub cases: Vec<(Case, Observed)>,
}

/// As bytes.
///
/// # Errors
/// Never, but for memory.
pub fn write(recording: &Recording) -> Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    let Recording { kernel, families, interfaces, cases } = recording.clone();
    serde_json::to_writer(&mut out, &Head { kernel, families, interfaces })?;
    for case in &cases {
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, case)?;
    }
    Ok(out.finish()?)
}

/// From bytes.
///
/// # Errors
/// They are not as they were written.
pub fn read(bytes: &[u8]) -> Result<Recording> {
    let mut lines = BufReader::new(GzDecoder::new(bytes)).lines();
    let Head { kernel, families, interfaces } =
        serde_json::from_str(&lines.next().context("an empty recording")??)?;
    let cases = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_>>()?;
    Ok(Recording { kernel, families, interfaces, cases })
}
