//! Flows: every key, mask and action, whole and broken.

use super::{acts, flush, key, mask, new, ufid};
use crate::generate::message::{Node, fixed, leaf, nest, u32};
use crate::generate::random::{self, Random};
use crate::generate::{Case, Make, actions, keys, mutate};
use pfnl_proto::msg::NLM_F_EXCL;
use pfnl_proto::ovs::{action, check_pkt_len, flow, tunnel_key};

pub fn every_key(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    for (name, nodes) in keys::all() {
        let message = new().with([key(nodes), acts(vec![])]);
        make.one(cases, &format!("ovs_flow/key/{name}"), &message, &flush());
        for (what, changed) in mutate::attributes(&message, &[0]) {
            make.one(cases, &format!("ovs_flow/key/{name}/{what}"), &changed, &flush());
        }
    }
    for frag in 0..=5u8 {
        for proto in [1u8, 6, 17, 47, 132] {
            let mut nodes = keys::udp4();
            if let Node::Leaf(_, payload) = &mut nodes[3] {
                (payload[8], payload[11]) = (proto, frag);
            }
            make.one(
                cases,
                &format!("ovs_flow/key/udp4/proto-{proto}-frag-{frag}"),
                &new().with([key(nodes), acts(vec![])]),
                &flush(),
            );
        }
    }
    for state in (0..9).map(|bit| 1 << bit).chain([0, 0x1ff, 0x21, 0x22, 0x23, 0xff]) {
        let nodes = [vec![u32(key::CT_STATE, state)], keys::udp4()].concat();
        make.one(
            cases,
            &format!("ovs_flow/key/ct-state-{state:#x}"),
            &new().with([key(nodes), acts(vec![])]),
            &flush(),
        );
    }
    for len in [0, 3, 4, 8, 12, 16, 20, 100, 252, 256, 260] {
        let option = match len {
            0..4 => vec![0; len],
            len => {
                [vec![1, 2, 3, u8::try_from(len / 4 - 1).unwrap_or(31).min(31)], vec![7; len - 4]].concat()
            }
        };
        let tunnel = keys::tunnel4([leaf(tunnel_key::GENEVE_OPTS, option)]);
        let nodes = [vec![tunnel], keys::plain()].concat();
        make.one(
            cases,
            &format!("ovs_flow/key/geneve-{len}"),
            &new().with([key(nodes), acts(vec![])]),
            &flush(),
        );
    }
}

pub fn every_mask(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    for (name, nodes) in keys::all() {
        let with = |m: Vec<Node>| new().with([key(nodes.clone()), mask(m), acts(vec![])]);
        let exact = keys::mask(&nodes, 0xff);
        for (what, byte) in [("exact", 0xff), ("zero", 0), ("high", 0xf0), ("low", 0x0f), ("one", 1)] {
            make.one(
                cases,
                &format!("ovs_flow/mask/{name}/{what}"),
                &with(keys::mask(&nodes, byte)),
                &flush(),
            );
        }
        make.one(cases, &format!("ovs_flow/mask/{name}/empty"), &with(vec![]), &flush());
        for at in 0..exact.len() {
            let label =
                exact[at].number().and_then(|number| key::TABLE.row(number)).map_or("?", |row| row.name);
            make.one(
                cases,
                &format!("ovs_flow/mask/{name}/only-{label}"),
                &with(vec![exact[at].clone()]),
                &flush(),
            );
            for byte in [0, 0x0f, 0xf0] {
                let mut some = exact.clone();
                some[at] = keys::mask(&exact[at..=at], byte).remove(0);
                make.one(cases, &format!("ovs_flow/mask/{name}/{label}-{byte:02x}"), &with(some), &flush());
            }
        }
        for (what, changed) in mutate::attributes(&with(exact.clone()), &[1]) {
            make.one(cases, &format!("ovs_flow/mask/{name}/{what}"), &changed, &flush());
        }
        // With a name, the reply holds the masked key.
        let named = with(keys::mask(&nodes, 0xf0)).with([ufid(), u32(flow::UFID_FLAGS, 0)]);
        make.one(cases, &format!("ovs_flow/mask/{name}/high-ufid"), &named, &flush());
        let named = with(exact).with([ufid()]);
        make.one(cases, &format!("ovs_flow/mask/{name}/exact-ufid"), &named, &flush());
    }
}

/// Keys that differ in what actions they permit.
const CONTEXTS: &[&str] = &[
    "plain",
    "udp4",
    "tcp6",
    "icmp4",
    "later4",
    "arp",
    "nd-solicit",
    "mpls1",
    "mpls3",
    "nsh1",
    "vlan",
    "qinq",
    "l3-v4",
    "tunnel4",
    "sctp4",
];

pub fn every_action(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let all = keys::all();
    let context = |name: &str| {
        all.iter().find(|(other, _)| *other == name).map(|(_, nodes)| nodes.clone()).unwrap_or_default()
    };
    for (name, list) in actions::single() {
        for on in CONTEXTS {
            let message = new().with([key(context(on)), acts(list.clone())]);
            make.one(cases, &format!("ovs_flow/action/{name}/on-{on}"), &message, &flush());
        }
        let message = new().with([key(keys::udp4()), acts(list)]);
        for (what, changed) in mutate::attributes(&message, &[1]) {
            make.one(cases, &format!("ovs_flow/action/{name}/{what}"), &changed, &flush());
        }
    }
    for (name, list) in actions::nested() {
        for on in ["udp4", "mpls1"] {
            let message = new().with([key(context(on)), acts(list.clone())]);
            make.one(cases, &format!("ovs_flow/action/{name}/on-{on}"), &message, &flush());
        }
    }
    let wide = || mask(vec![leaf(key::ETHERTYPE, [0xff; 2])]);
    for (name, list) in actions::single().into_iter().filter(|(name, _)| name.starts_with("set")) {
        // What is to be set, the mask says nothing about.
        let message = new().with([key(keys::udp4()), wide(), acts(list)]);
        make.one(cases, &format!("ovs_flow/action/{name}/on-wide"), &message, &flush());
    }
    for pkt_len in [0, 13, 14, 100, u16::MAX] {
        let list = vec![nest(
            action::CHECK_PKT_LEN,
            &check_pkt_len::TABLE,
            [
                fixed(check_pkt_len::PKT_LEN, pkt_len),
                nest(check_pkt_len::ACTIONS_IF_GREATER, &action::TABLE, [actions::output()]),
                nest(check_pkt_len::ACTIONS_IF_LESS_EQUAL, &action::TABLE, [actions::output()]),
            ],
        )];
        make.one(
            cases,
            &format!("ovs_flow/action/check-pkt-len-{pkt_len}"),
            &new().with([key(keys::udp4()), acts(list)]),
            &flush(),
        );
    }
}

pub fn at_random(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let mut random = Random(20_140_612);
    let (named, single) = (keys::all(), actions::single());
    for at in 0..1500 {
        let (nodes, masked, list) = random::flow(&mut random, &named, &single);
        let mut parts = vec![key(nodes), acts(list)];
        parts.extend(masked.map(mask));
        if random.one_in(3) {
            parts.push(ufid());
        }
        if random.one_in(10) {
            parts.reverse();
        }
        let message = if random.one_in(20) { new().flags(NLM_F_EXCL) } else { new() };
        make.one(cases, &format!("ovs_flow/random/{at}"), &message.with(parts), &flush());
    }
}

/// Chains of actions on all keys, and with what of the key is not known.
pub fn chains(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    for (on, nodes) in keys::all() {
        for (name, list) in actions::chains() {
            let message = new().with([key(nodes.clone()), acts(list)]);
            make.one(cases, &format!("ovs_flow/chain/{name}/on-{on}"), &message, &flush());
        }
    }
    for np in 0..=6 {
        for (name, list) in actions::chains().into_iter().filter(|(name, _)| name.contains("nsh")) {
            let message = new().with([key(keys::nsh_of(np)), acts(list.clone())]);
            make.one(cases, &format!("ovs_flow/chain/{name}/on-nsh-{np}"), &message, &flush());
            let message =
                new().with([key(keys::nsh_of(np)), mask(vec![leaf(key::ETHERTYPE, [0xff; 2])]), acts(list)]);
            make.one(cases, &format!("ovs_flow/chain/{name}/on-nsh-{np}-wide"), &message, &flush());
        }
    }
}

/// As [`at_random`], with attributes repeated and moved on all levels.
pub fn more_at_random(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let mut random = Random(20_260_612);
    let named = keys::all();
    let single: Vec<_> = actions::single().into_iter().chain(actions::chains()).collect();
    for at in 0..4000 {
        let (mut nodes, mut masked, mut list) = random::flow(&mut random, &named, &single);
        if random.one_in(3) {
            random::disturb(&mut random, &mut list);
        }
        if random.one_in(6) {
            random::disturb(&mut random, &mut nodes);
        }
        if let Some(masked) = masked.as_mut().filter(|_| random.one_in(6)) {
            random::disturb(&mut random, masked);
        }
        let mut parts = vec![key(nodes), acts(list)];
        parts.extend(masked.map(mask));
        if random.one_in(3) {
            parts.push(ufid());
        }
        make.one(cases, &format!("ovs_flow/random-more/{at}"), &new().with(parts), &flush());
    }
}
