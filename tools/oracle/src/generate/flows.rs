//! Family `ovs_flow`.

use super::message::{Message, Node, fixed, leaf, nest, u32};
use super::random::Random;
use super::{Around, Case, Make, O0, Scenario, actions, keys, mutate, random};
use pfnl_proto::msg::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL};
use pfnl_proto::ovs::{action, cmd, flow, key};

fn request(cmd: u8) -> Message {
    Message::new("ovs_flow", &flow::TABLE, cmd, O0).flags(NLM_F_ECHO)
}

fn new() -> Message {
    request(cmd::NEW).flags(NLM_F_CREATE)
}

fn key(nodes: Vec<Node>) -> Node {
    nest(flow::KEY, &key::TABLE, nodes)
}

fn mask(nodes: Vec<Node>) -> Node {
    nest(flow::MASK, &key::TABLE, nodes)
}

fn acts(nodes: Vec<Node>) -> Node {
    nest(flow::ACTIONS, &action::TABLE, nodes)
}

fn ufid() -> Node {
    leaf(flow::UFID, (0..16).collect::<Vec<u8>>())
}

/// Takes all flows out.
fn flush() -> Around {
    Around::after(Message::new("ovs_flow", &flow::TABLE, cmd::DEL, O0))
}

type Fill = fn(&mut Make<'_>, &mut Vec<Case>);

/// All scenarios about flows.
pub fn scenarios(make: &mut Make<'_>) -> Vec<Scenario> {
    let worlds: [(&'static str, Fill); 5] = [
        ("ovs_flow", commands),
        ("ovs_flow keys", every_key),
        ("ovs_flow masks", every_mask),
        ("ovs_flow actions", every_action),
        ("ovs_flow random", at_random),
    ];
    let scenario = |(name, fill): (&'static str, Fill)| {
        let mut cases = Vec::new();
        fill(make, &mut cases);
        Scenario { name, world: true, cases }
    };
    worlds.map(scenario).into()
}

fn commands(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let plain = || key(keys::plain());
    let install = || new().with([plain(), acts(vec![actions::output()])]);
    let install_ufid = || new().with([ufid(), plain(), acts(vec![actions::output()])]);
    let exists = Around { before: vec![install()], ..flush() };
    let exists_ufid = Around { before: vec![install_ufid()], ..flush() };
    make.all_of(cases, "ovs_flow/new", &install(), &flush());
    let full = install().with([
        mask(keys::mask(&keys::plain(), 0xff)),
        leaf(flow::PROBE, []),
        ufid(),
        u32(flow::UFID_FLAGS, 0),
    ]);
    make.all_of(cases, "ovs_flow/new-full", &full, &flush());
    make.all_of(cases, "ovs_flow/new-again", &install(), &exists);
    make.all_of(cases, "ovs_flow/get", &request(cmd::GET).with([plain()]), &exists);
    make.all_of(cases, "ovs_flow/get-ufid", &request(cmd::GET).with([ufid()]), &exists_ufid);
    let set = request(cmd::SET).with([plain(), acts(vec![u32(action::OUTPUT, 2)])]);
    make.all_of(cases, "ovs_flow/set", &set, &exists);
    make.all_of(
        cases,
        "ovs_flow/set-clear",
        &request(cmd::SET).with([plain(), leaf(flow::CLEAR, [])]),
        &exists,
    );
    make.all_of(cases, "ovs_flow/del", &request(cmd::DEL).with([plain()]), &exists);
    make.all_of(cases, "ovs_flow/del-ufid", &request(cmd::DEL).with([ufid()]), &exists_ufid);
    make.all_of(cases, "ovs_flow/flush", &request(cmd::DEL), &exists);
    for flags in 0..16 {
        let flags_node = || u32(flow::UFID_FLAGS, flags);
        let masked = || mask(keys::mask(&keys::plain(), 0xff));
        make.one(
            cases,
            &format!("ovs_flow/new/ufid-flags-{flags}"),
            &install_ufid().with([masked(), flags_node()]),
            &flush(),
        );
        make.one(
            cases,
            &format!("ovs_flow/get/ufid-flags-{flags}"),
            &request(cmd::GET).with([ufid(), flags_node()]),
            &exists_ufid,
        );
        make.one(
            cases,
            &format!("ovs_flow/get/key-flags-{flags}"),
            &request(cmd::GET).with([plain(), flags_node()]),
            &exists,
        );
        make.one(
            cases,
            &format!("ovs_flow/del/ufid-flags-{flags}"),
            &request(cmd::DEL).with([ufid(), flags_node()]),
            &exists_ufid,
        );
        let dump = Message { flags: 0x301, ..request(cmd::GET) }.with([flags_node()]);
        make.one(cases, &format!("ovs_flow/dump/ufid-flags-{flags}"), &dump, &exists_ufid);
        make.one(cases, &format!("ovs_flow/dump/key-flags-{flags}"), &dump, &exists);
        // The low 4 bits of the second flag byte: REPLACE, EXCL, CREATE, APPEND.
        let message = Message { flags: 0x0d | ((flags as u16) << 8), ..install() };
        make.one(cases, &format!("ovs_flow/new/flags-{flags}"), &message, &flush());
        make.one(cases, &format!("ovs_flow/new/flags-{flags}-existing"), &message, &exists);
        make.one(cases, &format!("ovs_flow/new/flags-{flags}-existing-ufid"), &message, &exists_ufid);
    }
    for len in (0..=18).chain([32, 100]) {
        let named = || leaf(flow::UFID, vec![7; len]);
        make.one(cases, &format!("ovs_flow/new/ufid-len-{len}"), &install().with([named()]), &flush());
        make.one(
            cases,
            &format!("ovs_flow/get/ufid-len-{len}"),
            &request(cmd::GET).with([named()]),
            &exists_ufid,
        );
    }
    // A UFID that is another flow's, a key that is another UFID's.
    let other = || new().with([ufid(), key(keys::udp4()), acts(vec![actions::output()])]);
    make.one(cases, "ovs_flow/new/ufid-of-another", &other(), &exists_ufid);
    make.one(
        cases,
        "ovs_flow/new/ufid-of-another-replace",
        &Message { flags: 0x0d, ..other() },
        &exists_ufid,
    );
    let renamed = new().with([leaf(flow::UFID, [9; 16]), plain(), acts(vec![])]);
    make.one(cases, "ovs_flow/new/key-of-another-ufid", &renamed, &exists_ufid);
    make.one(
        cases,
        "ovs_flow/new/key-of-another-ufid-replace",
        &Message { flags: 0x0d, ..renamed },
        &exists_ufid,
    );
    make.one(cases, "ovs_flow/new/named-one-unnamed", &install(), &exists_ufid);
    make.one(cases, "ovs_flow/new/unnamed-one-named", &install_ufid(), &exists);
    make.one(
        cases,
        "ovs_flow/set/ufid-other-key",
        &request(cmd::SET).with([ufid(), key(keys::udp4()), acts(vec![])]),
        &exists_ufid,
    );
    make.one(cases, "ovs_flow/set/ufid-only", &request(cmd::SET).with([ufid()]), &exists_ufid);
    make.one(
        cases,
        "ovs_flow/set/ufid-actions-no-key",
        &request(cmd::SET).with([ufid(), acts(vec![])]),
        &exists_ufid,
    );
    make.one(
        cases,
        "ovs_flow/set/ufid-clear",
        &request(cmd::SET).with([ufid(), leaf(flow::CLEAR, [])]),
        &exists_ufid,
    );
    let wide = new().with([plain(), mask(vec![leaf(key::ETHERTYPE, [0xff; 2])]), acts(vec![])]);
    make.one(cases, "ovs_flow/new/overlapping", &wide, &exists);
    make.one(
        cases,
        "ovs_flow/get/masked",
        &request(cmd::GET).with([plain()]),
        &Around { before: vec![wide.clone()], ..flush() },
    );
    let others =
        request(cmd::GET).with([key(vec![u32(key::IN_PORT, 2), keys::ethernet(), keys::ethertype(0x9000)])]);
    make.one(cases, "ovs_flow/get/unmasked-other", &others, &Around { before: vec![wide], ..flush() });
    dumps(make, cases);
    for number in (0..=7).chain([127, 128, 255]) {
        make.one(cases, &format!("ovs_flow/command-{number}"), &request(number).with([plain()]), &flush());
    }
}

/// Dumps of several flows of all kinds.
fn dumps(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    for count in [1, 10, 200] {
        let before = (0..count).map(|at| {
            let mut nodes = keys::plain();
            nodes[2] = keys::ethertype(0x9100 + at);
            new().with([key(nodes), acts(vec![actions::output()])])
        });
        // Linux's order is its hash table's, which is seeded: only one flow's dump can be compared as it is.
        let around = Around { before: before.collect(), ..flush() };
        let dump = Message { flags: 0x301, ..request(cmd::GET) };
        make.one(cases, &format!("ovs_flow/dump/{count}-flows"), &dump, &around);
        make.one(
            cases,
            &format!("ovs_flow/dump/{count}-flows-ack"),
            &dump.flags(NLM_F_ACK),
            &Around::default(),
        );
    }
    for (name, nodes) in keys::all() {
        let before = vec![new().with([key(nodes), acts(vec![])])];
        let dump = request(cmd::GET).flags(NLM_F_DUMP);
        make.one(cases, &format!("ovs_flow/dump/key-{name}"), &dump, &Around { before, ..flush() });
    }
}

fn every_key(make: &mut Make<'_>, cases: &mut Vec<Case>) {
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
        let tunnel = keys::tunnel4([leaf(pfnl_proto::ovs::tunnel_key::GENEVE_OPTS, option)]);
        let nodes = [vec![tunnel], keys::plain()].concat();
        make.one(
            cases,
            &format!("ovs_flow/key/geneve-{len}"),
            &new().with([key(nodes), acts(vec![])]),
            &flush(),
        );
    }
}

fn every_mask(make: &mut Make<'_>, cases: &mut Vec<Case>) {
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

fn every_action(make: &mut Make<'_>, cases: &mut Vec<Case>) {
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
        use pfnl_proto::ovs::check_pkt_len as by;
        let list = vec![nest(
            action::CHECK_PKT_LEN,
            &by::TABLE,
            [
                fixed(by::PKT_LEN, pkt_len),
                nest(by::ACTIONS_IF_GREATER, &action::TABLE, [actions::output()]),
                nest(by::ACTIONS_IF_LESS_EQUAL, &action::TABLE, [actions::output()]),
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

fn at_random(make: &mut Make<'_>, cases: &mut Vec<Case>) {
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
