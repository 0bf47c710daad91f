//! Family `ovs_flow`: its commands here, what flows are made of in [`parts`].

mod parts;

use super::message::{Message, Node, leaf, nest, u32};
use super::{Around, Case, Make, O0, Scenario, actions, keys};
use pfnl_proto::msg::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO};
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
        ("ovs_flow keys", parts::every_key),
        ("ovs_flow masks", parts::every_mask),
        ("ovs_flow actions", parts::every_action),
        ("ovs_flow random", parts::at_random),
    ];
    let scenario = |(name, fill): (&'static str, Fill)| {
        let mut cases = Vec::new();
        fill(make, &mut cases);
        Scenario { name, world: true, cases }
    };
    worlds.map(scenario).into()
}

/// More at random, and all chains of actions on all keys.
pub fn more(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    parts::chains(make, &mut cases);
    parts::more_at_random(make, &mut cases);
    Scenario { name: "ovs_flow more", world: true, cases }
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
