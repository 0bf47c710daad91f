//! Class `extract`: packets that no flow matches. What comes up shows the key that was read from them.

use super::offloading::{self, Left};
use super::tell::{arrives, arrives_with, case};
use super::{Case, frames};
use crate::families::Families;
use crate::generate::random::Random;

/// Packets of all kinds, cut short at many places, and with bits turned.
pub fn cases(_: &Families) -> Vec<Case> {
    let mut cases = Vec::new();
    let all = frames::all();
    for (name, bytes) in &all {
        cases.push(case(format!("extract/{name}"), [arrives(1, bytes)]));
    }
    for Left { name, header, bytes } in offloading::frames() {
        cases.push(case(format!("extract/{name}"), [arrives_with(1, header, &bytes)]));
    }
    for (name, bytes) in frames::acted_on() {
        let end = bytes.len().min(14 + 90);
        for len in (14..end).step_by(6).chain([end.saturating_sub(1).max(14)]) {
            cases.push(case(format!("extract-cut/{name}-{len}"), [arrives(1, &bytes[..len])]));
        }
    }
    let mut random = Random(20_261_123);
    for at in 0..900 {
        let (name, bytes) = &all[random.below(all.len())];
        let mut bytes = bytes.clone();
        for _ in 0..1 + random.below(3) {
            // Where headers are; the addresses of the Ethernet header tell nothing.
            let place = 12 + random.below(bytes.len().min(90) - 12);
            bytes[place] ^= 1 << random.below(8);
        }
        cases.push(case(format!("extract-random/{at}-{name}"), [arrives(1, &bytes)]));
    }
    cases
}
