//! What a kernel has shown, as lines of text.
//!
//! ```text
//! ack -22                                    a request failed
//! reply HEX                                  what else it was answered
//! out 2 csum 34+6 gso Tcp4 1000 HEX          a frame left port 2, with what is left to do to it
//! miss HEX, action HEX, sample HEX           an upcall, by who got it
//! flow HEX                                   a flow, with its statistics
//! datapath hit 1 missed 0 lost 0 mask_hit 1 cache_hit 0 flows 1 masks 1
//! port 2 tx_packets 1 tx_bytes 60            by how much a port's statistics grew
//! ```
//!
//! HEX is a message without what depends on time and chance.

use crate::blank;
use crate::families::Families;
use pfnl_oracle_agent::{Outcome, hex, unhex};
use pfnl_proto::msg::{Header, Messages, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN};
use pfnl_proto::ovs::{datapath, key, packet, vport};
use pfnl_proto::{Attr, Attrs, Fixed, genl};
use pfnl_rawio::VnetHeader;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where attributes start in a message of a family with OVS's user header.
const ATTRS: usize = genl::USER_HEADER + 4;

/// The attributes of a message.
pub fn attrs(message: &[u8]) -> Attrs<'_> {
    Attrs::new(message.get(ATTRS..).unwrap_or_default(), ATTRS as u32)
}

fn datagrams(outcome: &Outcome) -> Vec<Vec<u8>> {
    outcome.rx.iter().map(|datagram| unhex(datagram)).collect()
}

/// What a request was answered; a plain acknowledgement is nothing.
pub fn answers(outcome: &Outcome, families: &Families) -> Vec<String> {
    let line = |message: Vec<u8>| match Header::read(&message).map(|header| header.kind) {
        Some(NLMSG_ERROR) => {
            let error = message.get(NLMSG_HDRLEN..).and_then(i32::read).filter(|error| *error != 0)?;
            Some(format!("ack {error}"))
        }
        Some(NLMSG_DONE) => None,
        _ => Some(format!("reply {}", hex(&message))),
    };
    blank::messages(&datagrams(outcome), families).into_iter().filter_map(line).collect()
}

/// The frames that left, in order for each port.
pub fn frames(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    if outcome.errno != 0 {
        lines.push(format!("refused {}", outcome.errno));
    }
    for (port, bytes) in &outcome.frames {
        let bytes = unhex(bytes);
        let Some((header, frame)) = bytes.split_first_chunk() else { continue };
        let header = VnetHeader::decode(header);
        let mut line = format!("out {port}");
        if let Some((start, offset)) = header.csum() {
            let _ = write!(line, " csum {start}+{offset}");
        }
        // The headers' length is a hint only.
        if let Some((kind, ecn)) = header.gso() {
            let _ = write!(line, " gso {kind:?} {}{}", header.gso_size, if ecn { " ecn" } else { "" });
        }
        let _ = write!(line, " {}", hex(&without_identification(frame)));
        lines.push(line);
    }
    lines
}

/// The identification that an IPv6 packet got when it was cut is a random number; the cases' own ones are small.
fn without_identification(frame: &[u8]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    let is_fragment = bytes.get(12..14) == Some(&[0x86, 0xdd]) && bytes.get(20) == Some(&44);
    if let Some(place) = bytes.get_mut(58..62).filter(|place| is_fragment && place[..3] != [0; 3]) {
        place.fill(0xbb);
    }
    bytes
}

/// What came up.
pub fn upcalls(name: &str, outcome: &Outcome, families: &Families) -> Vec<String> {
    let line = |mut message: Vec<u8>| {
        without_hash(&mut message);
        format!("{name} {}", hex(&message))
    };
    let mut lines: Vec<_> = blank::messages(&datagrams(outcome), families).into_iter().map(line).collect();
    if outcome.errno != 0 {
        lines.push(format!("{name} errno {}", outcome.errno));
    }
    lines
}

/// The HASH action's value is the system's own hash of the packet, seeded at boot.
fn without_hash(message: &mut [u8]) {
    let place =
        |attr: Attr<'_>| attr.offset() as usize + 4..attr.offset() as usize + 4 + attr.payload().len();
    let keys = attrs(message).find(|attr| attr.number() == packet::KEY);
    let hash = keys.and_then(|keys| keys.attrs().find(|attr| attr.number() == key::DP_HASH)).map(place);
    if let Some(payload) = hash.and_then(|place| message.get_mut(place))
        && payload.iter().any(|byte| *byte != 0)
    {
        payload.fill(0xbb);
    }
}

/// The flows that are there, in order of their bytes.
pub fn flows(outcome: &Outcome, families: &Families) -> Vec<String> {
    let messages = blank::messages(&datagrams(outcome), families);
    let is_flow = |message: &&Vec<u8>| Header::read(message).is_some_and(|header| header.kind != NLMSG_DONE);
    messages.iter().filter(is_flow).map(|message| format!("flow {}", hex(message))).collect()
}

/// Statistics as they were when last looked at.
#[derive(Default)]
pub struct Totals {
    datapath: Vec<u64>,
    ports: BTreeMap<u32, Vec<u64>>,
}

const DATAPATH: [&str; 5] = ["hit", "missed", "lost", "mask_hit", "cache_hit"];
const PORT: [&str; 10] = [
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "upcalls",
    "upcalls_lost",
];

impl Totals {
    /// By how much they have grown since, from the answers to a GET of the datapath and a dump of its ports.
    pub fn grown(&mut self, of_datapath: &Outcome, of_ports: &Outcome, families: &Families) -> Vec<String> {
        let mut lines = Vec::new();
        for datagram in datagrams(of_datapath) {
            let (totals, now) = datapath_totals(&datagram);
            let names: Vec<_> = DATAPATH.iter().zip(grown(&self.datapath, &totals)).collect();
            self.datapath = totals;
            let mut line = "datapath".to_owned();
            names.iter().for_each(|(name, grown)| _ = write!(line, " {name} {grown}"));
            let _ = write!(line, " flows {} masks {}", now[0], now[1]);
            lines.push(line);
        }
        let id = families.id("ovs_vport");
        let datagrams = datagrams(of_ports);
        let messages = datagrams.iter().flat_map(|datagram| Messages::new(datagram));
        for message in messages.filter(|message| message.header.kind == id) {
            let (number, totals) = port_totals(message.bytes);
            let mut line = String::new();
            for (name, grown) in
                PORT.iter().zip(grown(self.ports.get(&number).unwrap_or(&Vec::new()), &totals))
            {
                if grown != 0 {
                    let _ = write!(line, " {name} {grown}");
                }
            }
            if !line.is_empty() {
                lines.push(format!("port {number}{line}"));
            }
            self.ports.insert(number, totals);
        }
        lines
    }
}

fn grown(before: &[u64], now: &[u64]) -> Vec<u64> {
    let before = before.iter().copied().chain(std::iter::repeat(0));
    now.iter().zip(before).map(|(now, before)| now.wrapping_sub(before)).collect()
}

fn numbers(payload: &[u8]) -> Vec<u64> {
    payload.as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect()
}

/// What is counted, in the order of [`DATAPATH`]; and how many flows and masks there are.
fn datapath_totals(message: &[u8]) -> (Vec<u64>, [u64; 2]) {
    let (mut totals, mut now) = (vec![0; 5], [0; 2]);
    for attr in attrs(message) {
        match (attr.number(), &*numbers(attr.payload())) {
            (datapath::STATS, [hit, missed, lost, flows, ..]) => {
                totals[..3].copy_from_slice(&[*hit, *missed, *lost]);
                now[0] = *flows;
            }
            // mask_hit, masks (32 bits) and padding, cache_hit.
            (datapath::MEGAFLOW_STATS, [mask_hit, masks, cache_hit, ..]) => {
                totals[3..].copy_from_slice(&[*mask_hit, *cache_hit]);
                now[1] = masks & 0xffff_ffff;
            }
            _ => {}
        }
    }
    (totals, now)
}

/// A port's number, and what is counted, in the order of [`PORT`].
fn port_totals(message: &[u8]) -> (u32, Vec<u64>) {
    let (mut number, mut totals) = (0, vec![0; PORT.len()]);
    for attr in attrs(message) {
        match attr.number() {
            vport::PORT_NO => number = u32::read(attr.payload()).unwrap_or_default(),
            vport::STATS => {
                totals.iter_mut().zip(numbers(attr.payload())).for_each(|(total, number)| *total = number);
            }
            vport::UPCALL_STATS => {
                for inner in attr.attrs() {
                    let place = totals.get_mut(8 + usize::from(inner.number()));
                    if let (Some(place), [number, ..]) = (place, &*numbers(inner.payload())) {
                        *place = *number;
                    }
                }
            }
            _ => {}
        }
    }
    (number, totals)
}

/// The key in an upcall's line.
pub fn key_of(line: &str) -> Option<Vec<u8>> {
    let message = unhex(line.strip_prefix("miss ")?);
    let key = attrs(&message).find(|attr| attr.number() == packet::KEY)?;
    Some(key.payload().to_vec())
}

/// Whether a case's flow was not taken.
pub fn is_refused(lines: &[String]) -> bool {
    lines.iter().any(|line| line.starts_with("ack ") || line.starts_with("refused "))
}

/// A line for people.
pub fn told(line: &str, families: &Families) -> String {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    match name {
        "reply" | "flow" | "miss" | "action" | "other" | "sample" if !rest.starts_with("errno") => {
            format!("{name} {}", crate::render::message(&unhex(rest), families))
        }
        _ => line.to_owned(),
    }
}
