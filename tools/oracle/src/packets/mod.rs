//! The packet differential: the same flows and the same packets through Linux's openvswitch and through pfnl.
//!
//! ```text
//!          ┌─▶ Guest: TAP interfaces as ports ──▶ frames, upcalls, flows, statistics ┐
//! cases ───┤                                                                         ├─▶ compare ─▶ table
//!          └─▶ Inside: ports in memory ────────▶ frames, upcalls, flows, statistics ─┘   └▶ golden ─▶ replay
//! ```
//!
//! A case is requests and packets in order, in a world of four TAP ports; it leaves no flow behind. What both kernels then
//! show is compared as lines of text ([`observe`]): each frame that left a port, with what was left to do to it; each upcall,
//! attribute by attribute; each flow; by how much the datapath's and the ports' statistics grew.

mod acting;
mod extracting;
mod frames;
mod golden;
mod known;
mod observe;
mod offloading;
mod paced;
mod report;
mod run;
mod tell;
mod tracking;
mod troubling;

pub use golden::{Recording, read, write};
pub use paced::Paced;
pub use report::Report;
pub use run::{Observed, replay, run};

use crate::families::Families;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happens in a case, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    /// A request, in hex.
    Request(String),
    /// A frame comes in by a port; as [`pfnl_oracle_agent::Step::Inject`].
    Packet(u32, String),
    /// Milliseconds pass.
    Wait(u64),
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// `class/what`.
    pub name: String,
    /// What happens.
    pub steps: Vec<Do>,
}

impl Case {
    /// What the table puts it under.
    pub fn class(&self) -> &str {
        self.name.split_once('/').map_or(&*self.name, |(class, _)| class)
    }
}

/// The keys that Linux read from packets: the payload of their upcalls' KEY, by the packet's name.
pub type Keys = BTreeMap<String, Vec<u8>>;

/// Packets without flows: from their upcalls come [`Keys`].
pub fn extraction(families: &Families) -> Vec<Case> {
    extracting::cases(families)
}

/// All other cases.
pub fn all(families: &Families, keys: &Keys) -> Vec<Case> {
    let make = tell::Make::new(families, keys);
    [
        acting::forward(&make),
        acting::cases(&make),
        offloading::cases(&make),
        tracking::cases(&make),
        troubling::cases(&make),
    ]
    .concat()
}

/// The keys in what Linux told of [`extraction`].
pub fn keys(seen: &[(Case, Observed)]) -> Keys {
    let key = |(case, lines): &(Case, Observed)| {
        let name = case.name.strip_prefix("extract/")?;
        Some((name.to_owned(), lines.iter().find_map(|line| observe::key_of(line))?))
    };
    seen.iter().filter_map(key).collect()
}

/// The cases that are worth asking Linux: of actions at large, those that pfnl takes. Which are taken is the request
/// oracle's subject.
///
/// # Errors
/// pfnl does not come up.
pub fn worth_asking(
    families: &Families,
    interfaces: &[(String, u32)],
    cases: Vec<Case>,
) -> Result<Vec<Case>> {
    let seen = run::inside(families, interfaces, &cases)?;
    let both = cases.into_iter().zip(seen);
    let taken =
        |(case, seen): &(Case, Observed)| !case.name.starts_with("action") || !observe::is_refused(seen);
    Ok(both.filter(taken).map(|(case, _)| case).collect())
}
