//! Headers put in front of others and taken away, two and three actions in a row, at the top of a list and inside others: where
//! a tag that stands beside the frame goes, which header a SET finds, which length counts.

use super::message::Node;
use super::packets::{all, execute, leaves_some, show};
use super::random::Random;
use super::{Around, Make, Scenario, actions, keys};
use pfnl_proto::ovs::action;

/// The packets.
const ON: [&str; 26] = [
    "other",
    "minimal",
    "snap",
    "llc",
    "udp4",
    "udp4-options",
    "tcp4",
    "icmp4",
    "sctp4",
    "later4",
    "first4",
    "ip4-cut",
    "udp6",
    "tcp6",
    "later6",
    "arp",
    "mpls",
    "mpls-3",
    "vlan",
    "vlan-zero",
    "qinq",
    "vlan-3",
    "vlan-nsh",
    "vlan-mpls",
    "vlan-v6",
    "nsh1",
];

pub fn scenario(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    let packets: Vec<_> = all().into_iter().filter(|(name, _)| ON.contains(&name.as_str())).collect();
    let steps = actions::steps();
    let mut add = |on: &str, bytes: &[u8], name: &str, list: Vec<Node>| {
        // A service header that was pushed is popped, or the packet's own: what is neither might take all.
        let mut flat = Vec::new();
        flatten(&list, &mut flat);
        let pops = flat.iter().filter(|node| node.number() == Some(action::POP_NSH)).count();
        if (pops == 0 || on == "nsh1") && leaves_some(bytes, &flat, false) {
            let message = execute(bytes, vec![keys::in_port()], list);
            make.one(&mut cases, &format!("ovs_packet/tags/{name}/on-{on}"), &message, &Around::default());
        }
    };
    for (on, bytes) in &packets {
        for (first, one) in &steps {
            for (second, two) in &steps {
                let list = vec![one.clone(), two.clone(), show()];
                add(on, bytes, &format!("{first} {second}"), list);
            }
        }
    }
    let mut random = Random(20_260_612);
    for at in 0..6000 {
        let (on, bytes) = &packets[random.below(packets.len())];
        let mut name = format!("{at}");
        let mut pick = |random: &mut Random| {
            let (step, node) = &steps[random.below(steps.len())];
            name = format!("{name} {step}");
            node.clone()
        };
        let mut list: Vec<_> = (0..1 + random.below(3)).map(|_| pick(&mut random)).collect();
        // What is inside is checked as if Ethernet headers had neither come nor gone.
        if random.one_in(2) {
            let mut inside: Vec<_> = (0..1 + random.below(3)).map(|_| pick(&mut random)).collect();
            inside.push(show());
            list.push(actions::inside(random.below(3), inside));
            name.push_str(" inside");
        }
        list.push(show());
        add(on, bytes, &name, list);
    }
    Scenario { name: "ovs_packet tags", world: true, cases }
}

/// All actions, those inside others too.
fn flatten(nodes: &[Node], flat: &mut Vec<Node>) {
    for node in nodes {
        if let Node::Nest(_, _, inner) = node {
            flatten(inner, flat);
        }
        flat.push(node.clone());
    }
}
