//! Family `psample`: its one command, and the samples that the action of that name sends to its group.

use super::message::{Message, Node, fixed, leaf, nest, u32};
use super::packets::{self, execute};
use super::{Around, EXTACK, Make, NOBODY, PLAIN, Scenario, actions, keys, mutate};
use pfnl_proto::NLA_F_NESTED;
use pfnl_proto::msg::NLM_F_DUMP;
use pfnl_proto::ovs::{PushVlan, TruncAction, action, key, psample, sample};
use pfnl_proto::psample as family;

fn take(nodes: impl Into<Vec<Node>>) -> Node {
    nest(action::PSAMPLE | NLA_F_NESTED, &psample::TABLE, nodes)
}

fn of(group: u32) -> Node {
    take([u32(psample::GROUP, group)])
}

fn sampled(probability: u32, nodes: Vec<Node>) -> Node {
    let inside = nest(sample::ACTIONS, &action::TABLE, nodes);
    nest(action::SAMPLE, &sample::TABLE, [u32(sample::PROBABILITY, probability), inside])
}

pub fn scenario(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    let get = Message::new(family::NAME, &family::psample::TABLE, family::cmd::GET_GROUP, None);
    for cmd in [0, 1, 2, 3, 4, 9] {
        let message = Message { cmd, ..get.clone() };
        make.one(&mut cases, &format!("psample/command-{cmd}"), &message, &Around::default());
        let message = message.flags(NLM_F_DUMP);
        for socket in [EXTACK, PLAIN, NOBODY] {
            let name = format!("psample/dump-{cmd}/socket-{socket}");
            make.on(&mut cases, &name, &message, &Around::default(), socket);
        }
    }
    let cookie = leaf(psample::COOKIE, b"abc");
    let lists = [
        ("plain", vec![of(7)]),
        ("cookie", vec![take([u32(psample::GROUP, 8), cookie.clone()])]),
        ("cookie-16", vec![take([u32(psample::GROUP, 8), leaf(psample::COOKIE, [9; 16])])]),
        ("cookie-empty", vec![take([u32(psample::GROUP, 8), leaf(psample::COOKIE, [])])]),
        ("cookie-first", vec![take([cookie.clone(), u32(psample::GROUP, u32::MAX)])]),
        ("group-twice", vec![take([u32(psample::GROUP, 1), cookie, u32(psample::GROUP, 2)])]),
        ("two", vec![of(1), of(2)]),
        ("sampled", vec![sampled(u32::MAX, vec![of(7)])]),
        ("sampled-then-not", vec![sampled(u32::MAX, vec![of(7)]), of(8)]),
        ("never", vec![sampled(0, vec![of(7)])]),
        ("truncated", vec![fixed(action::TRUNC, TruncAction { max_len: 20 }), of(7), of(8)]),
        ("tagged", vec![fixed(action::PUSH_VLAN, PushVlan { tpid: [0x81, 0], tci: [0x10, 5] }), of(7)]),
        ("l3", vec![leaf(action::POP_ETH, []), of(7)]),
        ("cloned", vec![nest(action::CLONE, &action::TABLE, [of(7)])]),
        ("then-output", vec![of(7), actions::output()]),
    ];
    for (on, bytes) in packets::all() {
        for (name, list) in &lists {
            for port in [Some(1), Some(60_000), None] {
                let only = *name == "plain" || on == "udp4";
                if !only && port != Some(1) {
                    continue;
                }
                let metadata = port.map(|port| u32(key::IN_PORT, port)).into_iter().collect();
                let name = format!("psample/action/{name}/on-{on}/port-{port:?}");
                let mut case = make.case(name, EXTACK, &execute(&bytes, metadata, list.clone()), true);
                case.heard = true;
                cases.push(case);
            }
        }
    }
    let whole = execute(
        &packets::named("udp4"),
        vec![keys::in_port()],
        vec![take([u32(psample::GROUP, 8), leaf(psample::COOKIE, b"abc")])],
    );
    for (what, message) in mutate::attributes(&whole, &[2]) {
        let mut case = make.case(format!("psample/action/broken/{what}"), EXTACK, &message, true);
        case.heard = true;
        cases.push(case);
    }
    Scenario { name: "psample", world: true, cases }
}
