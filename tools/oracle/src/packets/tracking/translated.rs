//! NAT: addresses and ports of talks, of errors about them, and what is in the way of each other.

use super::{Family, Server, Side, Talk, V4, V6, commit, ip_between, track, tracked, udp};
use crate::generate::message::{Node, fixed, leaf, nest};
use crate::packets::tell::{Make, arrives, case, output};
use crate::packets::{Case, frames};
use pfnl_proto::ovs::{ct, nat};

/// What a source or destination is translated to.
const OTHER: u8 = 77;

fn address(family: Family, number: u16, last: u8) -> Node {
    match family {
        V4 => leaf(number, [10, 1, 0, last]),
        V6 => leaf(number, [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]),
    }
}

fn ports(from: u16, to: u16) -> [Node; 2] {
    [fixed(nat::PROTO_MIN, from), fixed(nat::PROTO_MAX, to)]
}

/// Translations that leave nothing to chance: what they are called, and their attributes.
pub fn kinds(family: Family) -> Vec<(&'static str, Vec<Node>)> {
    let to = || address(family, nat::IP_MIN, OTHER);
    let with_port = |kind: u16, port: u16| [vec![leaf(kind, []), to()], ports(port, port).into()].concat();
    vec![
        ("none", vec![]),
        ("src", vec![leaf(nat::SRC, []), to()]),
        ("dst", vec![leaf(nat::DST, []), to()]),
        ("src-port", with_port(nat::SRC, 40_000)),
        ("dst-port", with_port(nat::DST, 8080)),
    ]
}

/// The talk as it is when the other side answers to what was translated: to another destination, or from another source.
pub fn answered(talk: &Talk, family: Family, what: &str) -> Talk {
    let is_port = what.ends_with("-port");
    let change = |(from, bytes): &(Side, Vec<u8>)| {
        let mut bytes = bytes.clone();
        if *from == Server && what != "none" {
            let (src, dst, at, proto) = match family {
                V4 => (29, 33, 34, bytes[23]),
                V6 => (37, 53, 54, bytes[20]),
            };
            let has_ports = matches!(proto, 6 | 17 | 132) && bytes.len() >= at + 4;
            if what.starts_with("src") {
                bytes[dst] = OTHER;
                if is_port && has_ports {
                    bytes[at + 2..at + 4].copy_from_slice(&40_000u16.to_be_bytes());
                }
            } else {
                bytes[src] = OTHER;
                if is_port && has_ports {
                    bytes[at..at + 2].copy_from_slice(&8080u16.to_be_bytes());
                }
            }
            if family == V4 {
                bytes[24..26].fill(0);
                let sum = crate::generate::packets::sum(&bytes[14..34]);
                bytes[24..26].copy_from_slice(&sum);
            }
            let is_whole = bytes.len() >= at + 8 && (proto != 6 || bytes.len() >= at + 20);
            if is_whole {
                bytes = frames::summed(bytes);
            }
        }
        (*from, bytes)
    };
    talk.iter().map(change).collect()
}

fn nat(nodes: impl Into<Vec<Node>>) -> Node {
    nest(ct::NAT, &nat::TABLE, nodes)
}

/// Connections that get in each other's way, and errors about translated ones.
pub fn cases(make: &Make<'_>, zone: &mut impl FnMut() -> u16) -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, suffix) in [(V4, ""), (V6, "6")] {
        let say = |ends: [u8; 2], sport, dport| ip_between(family, ends, 17, &udp(sport, dport, b"data"));
        let to = |last| address(family, nat::IP_MIN, last);
        let source = |more: Vec<Node>| nat([vec![leaf(nat::SRC, []), to(OTHER)], more].concat());
        let destination = |more: Vec<Node>| nat([vec![leaf(nat::DST, []), to(OTHER)], more].concat());
        let mut add = |name: &str, packets: Vec<(u32, Vec<u8>)>, client: Vec<Node>| {
            let here = zone();
            let client = vec![track(here, [vec![commit()], client].concat()), output(3)];
            let server = vec![track(here, [nat([])]), output(3)];
            let packets = packets.iter().map(|(port, bytes)| arrives(*port, bytes));
            let steps: Vec<_> = tracked(make, family, client, server).into_iter().chain(packets).collect();
            cases.push(case(format!("ct-nat-more/{name}{suffix}"), steps));
        };
        // Two clients with the same port, translated to one address: the second keeps its port only where it may not.
        add(
            "one-port-for-two",
            vec![(1, say([1, 2], 500, 53)), (1, say([3, 2], 500, 53)), (2, say([2, OTHER], 53, 40_000))],
            vec![source(ports(40_000, 40_000).into())],
        );
        add(
            "two-servers",
            vec![
                (1, say([1, 2], 500, 53)),
                (1, say([3, 4], 500, 53)),
                (2, say([2, OTHER], 53, 500)),
                (2, say([4, OTHER], 53, 500)),
            ],
            vec![source(vec![])],
        );
        add(
            "same-clients",
            vec![(1, say([1, 2], 500, 53)), (1, say([1, 2], 501, 53)), (2, say([2, OTHER], 53, 501))],
            vec![source(vec![])],
        );
        add(
            "to-itself",
            vec![(1, say([OTHER, 2], 500, 53)), (2, say([2, OTHER], 53, 500))],
            vec![source(vec![])],
        );
        add(
            "destination-to-itself",
            vec![(1, say([1, OTHER], 500, 53)), (2, say([OTHER, 1], 53, 500))],
            vec![destination(vec![])],
        );
        add(
            "persistent",
            vec![(1, say([1, 2], 500, 53)), (1, say([1, 4], 500, 53))],
            vec![source(vec![leaf(nat::PERSISTENT, [])])],
        );
        add(
            "answer-to-untranslated",
            vec![(1, say([1, 2], 500, 53)), (2, say([2, 1], 53, 500))],
            vec![source(vec![])],
        );
        // An error that a router sends about a translated packet, to who it takes for the sender; and one from the client.
        let (unreachable, proto) = if family == V4 { (3, 1) } else { (1, 58) };
        let error = |ends: [u8; 2], about: &[u8]| {
            ip_between(family, ends, proto, &[&[unreachable, 3, 0, 0, 0, 0, 0, 0], &about[14..]].concat())
        };
        add(
            "error-about-source",
            vec![(1, say([1, 2], 500, 53)), (2, error([9, OTHER], &say([OTHER, 2], 500, 53)))],
            vec![source(vec![])],
        );
        add(
            "error-about-port",
            vec![(1, say([1, 2], 500, 53)), (2, error([9, OTHER], &say([OTHER, 2], 40_000, 53)))],
            vec![source(ports(40_000, 40_000).into())],
        );
        add(
            "error-about-destination",
            vec![(1, say([1, 2], 500, 53)), (2, error([9, 1], &say([1, OTHER], 500, 53)))],
            vec![destination(vec![])],
        );
        add(
            "error-from-client",
            vec![
                (1, say([1, 2], 500, 53)),
                (2, say([OTHER, 1], 53, 500)),
                (1, error([1, 2], &say([2, 1], 53, 500))),
            ],
            vec![destination(vec![])],
        );
        // No checksum stays none.
        if family == V4 {
            let mut silent = say([1, 2], 500, 53);
            silent[40..42].fill(0);
            add("no-sum", vec![(1, silent)], vec![source(vec![])]);
        }
    }
    cases
}
