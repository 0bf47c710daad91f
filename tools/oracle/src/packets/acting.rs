//! Classes `forward` and `action`: packets that a flow matches, and what its actions make of them.

use super::tell::{Make, arrives, case, output, show, wide};
use super::{Case, frames};
use crate::generate::message::Node;
use crate::generate::{actions, packets};
use pfnl_proto::ovs::action;

/// Each packet through a flow of exactly its key, and through one that leaves open what can be: to a port that completes
/// checksums itself and to one that does not.
pub fn forward(make: &Make<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, bytes) in frames::all() {
        let Some(key) = make.key(&name) else { continue };
        for (what, mask) in [("exact", None), ("wide", Some(wide(key)))] {
            let flow = make.flow(key, mask, [output(2), output(3)]);
            // Twice, so that the flow's statistics are a sum.
            let steps = [flow, arrives(1, &bytes), arrives(1, &bytes)];
            cases.push(case(format!("forward-{what}/{name}"), steps));
        }
    }
    together(cases)
}

/// Whether both kernels can be expected to do the same with an action list: no chance, nothing remembered.
fn is_comparable(name: &str) -> bool {
    const NOT: [&str; 6] = ["sample", "output-times", "recirc", "ct", "userspace-egress", "psample"];
    !NOT.iter().any(|part| name.contains(part))
}

/// The action lists that are compared; none ends by dropping the packet.
pub fn lists() -> Vec<actions::Named> {
    let all = actions::single().into_iter().chain(packets::chains());
    let ends = |list: &[Node]| list.last().and_then(Node::number) == Some(action::DROP);
    all.filter(|(name, list)| is_comparable(name) && !ends(list)).collect()
}

/// Each action list by packets that it is good for: what leaves, and what comes up.
pub fn cases(make: &Make<'_>) -> Vec<Case> {
    let lists = lists();
    let mut cases = Vec::new();
    for (on, bytes) in frames::acted_on() {
        let Some(key) = make.key(&on) else { continue };
        for (at, (name, list)) in lists.iter().enumerate() {
            if !packets::leaves_some(&bytes, list, false) {
                continue;
            }
            let list = [list.as_slice(), &[output(2), show(), output(3)]].concat();
            // Every other one by a flow that leaves open what it can.
            let mask = (at % 2 == 1).then(|| wide(key));
            let steps = [make.flow(key, mask, list), arrives(1, &bytes)];
            let class = if name.starts_with("set") { "action-set" } else { "action" };
            cases.push(case(format!("{class}/{name}/on-{on}"), steps));
        }
    }
    together(cases)
}

/// What is of one class stands together: it shares a world.
fn together(mut cases: Vec<Case>) -> Vec<Case> {
    cases.sort_by(|one, other| one.class().cmp(other.class()));
    cases
}
