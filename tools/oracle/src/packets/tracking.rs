//! Classes `ct`: packets in order through the CT action. Each is recirculated to where there is no flow, so that the upcall
//! shows what became of it and what its key says of its connection.
//!
//! A case has a zone of its own: what it leaves in the table of connections is in nobody's way.

use super::tell::{Make, arrives, case, output, payload, show};
use super::{Case, Do, frames};
use crate::generate::keys;
use crate::generate::message::{Node, fixed, leaf, nest, u32};
use crate::generate::packets::{frame, ipv4, ipv6};
use pfnl_proto::ovs::{CtAction, FRAG_NONE, KeyIpv4, KeyIpv6, action, ct, key, nat};

mod others;
mod streams;
mod translated;

/// The side that begins, and the other: addresses' last byte and port of the datapath.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// 10.1.0.1, at port 1.
    Client,
    /// 10.1.0.2, at port 2.
    Server,
}
use Side::{Client, Server};

impl Side {
    fn port(self) -> u32 {
        match self {
            Client => 1,
            Server => 2,
        }
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 10.1.0.0/24.
    V4,
    /// 2001:db8::/64.
    V6,
}
use Family::{V4, V6};

/// A frame from one to the other, with the right checksums.
pub fn ip(family: Family, from: Side, proto: u8, segment: &[u8]) -> Vec<u8> {
    ip_between(family, if from == Client { [1, 2] } else { [2, 1] }, proto, segment)
}

/// As [`ip`], between addresses with these last bytes.
pub fn ip_between(family: Family, ends: [u8; 2], proto: u8, segment: &[u8]) -> Vec<u8> {
    frames::summed(ip_as_it_is(family, ends, proto, 0, segment))
}

/// As [`ip_between`], with the checksum that the segment brings, as a fragment perhaps.
pub fn ip_as_it_is(family: Family, [src, dst]: [u8; 2], proto: u8, fragment: u16, segment: &[u8]) -> Vec<u8> {
    match family {
        V4 => {
            let mut bytes = frame(0x800, &ipv4(proto, fragment, segment));
            bytes[26..34].copy_from_slice(&[10, 1, 0, src, 10, 1, 0, dst]);
            bytes[24..26].fill(0);
            let sum = crate::generate::packets::sum(&bytes[14..34]);
            bytes[24..26].copy_from_slice(&sum);
            bytes
        }
        V6 => {
            let mut bytes = frame(0x86dd, &ipv6(proto, segment));
            (bytes[37], bytes[53]) = (src, dst);
            bytes
        }
    }
}

/// A UDP datagram's header and payload, the checksum left open.
pub fn udp(sport: u16, dport: u16, data: &[u8]) -> Vec<u8> {
    let len = (8 + data.len() as u16).to_be_bytes();
    [&sport.to_be_bytes()[..], &dport.to_be_bytes(), &len, &[0, 0], data].concat()
}

/// A flow that takes all packets of a family at a port.
pub fn flow(make: &Make<'_>, family: Family, port: u32, actions: Vec<Node>) -> Do {
    let ethertype = if family == V4 { 0x800 } else { 0x86dd };
    let network = match family {
        V4 => {
            fixed(key::IPV4, KeyIpv4 { src: [0; 4], dst: [0; 4], proto: 0, tos: 0, ttl: 0, frag: FRAG_NONE })
        }
        V6 => fixed(
            key::IPV6,
            KeyIpv6 {
                src: [0; 16],
                dst: [0; 16],
                label: [0; 4],
                proto: 0,
                tclass: 0,
                hlimit: 0,
                frag: FRAG_NONE,
            },
        ),
    };
    let key = payload(vec![
        u32(key::RECIRC_ID, 0),
        u32(key::IN_PORT, port),
        keys::ethernet(),
        keys::ethertype(ethertype),
        network,
    ]);
    let mask = payload(vec![
        u32(key::RECIRC_ID, u32::MAX),
        u32(key::IN_PORT, u32::MAX),
        leaf(key::ETHERTYPE, [0xff; 2]),
    ]);
    make.flow(&key, Some(mask), actions)
}

/// CT in a zone.
pub fn track(zone: u16, more: impl IntoIterator<Item = Node>) -> Node {
    let nodes: Vec<_> = [fixed(ct::ZONE, zone)].into_iter().chain(more).collect();
    nest(action::CT, &ct::TABLE, nodes)
}

/// COMMIT.
pub fn commit() -> Node {
    leaf(ct::COMMIT, [])
}

/// RECIRC, to where there is no flow.
pub fn recirc() -> Node {
    u32(action::RECIRC, 77)
}

/// Flows of both ports that track packets and recirculate them.
pub fn tracked(make: &Make<'_>, family: Family, client: Vec<Node>, server: Vec<Node>) -> Vec<Do> {
    let with = |port, mut actions: Vec<Node>| {
        actions.push(recirc());
        flow(make, family, port, actions)
    };
    vec![with(1, client), with(2, server)]
}

/// Packets in order.
pub type Talk = Vec<(Side, Vec<u8>)>;

/// A talk, packet by packet.
pub fn said(talk: &Talk) -> Vec<Do> {
    talk.iter().map(|(from, bytes)| arrives(from.port(), bytes)).collect()
}

/// All cases.
pub fn cases(make: &Make<'_>) -> Vec<Case> {
    let mut zones = 1u16..;
    let mut zone = || zones.next().unwrap_or_default();
    let mut cases = Vec::new();
    for (name, family, talk) in [streams::all(), others::all()].concat() {
        for (how, committed) in [("commit", vec![commit()]), ("look", vec![])] {
            let zone = zone();
            let actions = || vec![track(zone, committed.clone())];
            let steps = [tracked(make, family, actions(), actions()), said(&talk)].concat();
            cases.push(case(format!("ct-{how}/{name}"), steps));
        }
        let marks = || {
            let mark = fixed(ct::MARK, CtAction { value: 0x15, mask: 0xff });
            let labels = leaf(ct::LABELS, [[7; 16], [0x0f; 16]].concat());
            [commit(), mark, labels]
        };
        let here = zone();
        // Forwarded as well, and looked at again in another zone.
        let actions =
            |zone| vec![track(zone, marks()), show(), output(3), track(zone + 30_000, []), output(4)];
        let steps = [tracked(make, family, actions(here), actions(here)), said(&talk)].concat();
        cases.push(case(format!("ct-marks/{name}"), steps));
        for (what, translation) in translated::kinds(family) {
            let zone = zone();
            let client = vec![track(zone, [commit(), nest(ct::NAT, &nat::TABLE, translation)])];
            let server = vec![track(zone, [nest(ct::NAT, &nat::TABLE, [])])];
            let steps =
                [tracked(make, family, client, server), said(&translated::answered(&talk, family, what))];
            cases.push(case(format!("ct-nat/{what}/{name}"), steps.concat()));
        }
    }
    cases.extend(translated::cases(make, &mut zone));
    cases.extend(others::cases(make, &mut zone));
    cases.sort_by(|one, other| one.class().cmp(other.class()));
    cases
}
