//! Classes `offload`: packets with a checksum or segments left to do, as TAPs and virtual machines send them.

use super::acting::lists;
use super::tell::{Make, arrives_with, case, output, show, wide};
use super::{Case, frames};
use crate::generate::packets::{frame, ipv4, ipv6, leaves_some, sum};
use pfnl_rawio::{GsoType, VnetHeader};

/// A frame, what is left to do to it, and its name.
pub struct Left {
    /// Its name.
    pub name: String,
    /// What is left to do.
    pub header: VnetHeader,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The sum of the pseudo-header, which stands in the checksum's place until the rest is added.
fn pseudo(addresses: &[u8], proto: u8, len: usize) -> [u8; 2] {
    let len = (len as u32).to_be_bytes();
    let [high, low] = sum(&[addresses, &len, &[0, 0, 0, proto]].concat());
    [!high, !low]
}

/// Leaves the checksum of a frame undone: TCP or UDP, at the end of as many bytes as are in front of it.
fn partial(name: &str, mut bytes: Vec<u8>) -> Left {
    let tags = if bytes[12..14] == [0x81, 0] { 4 } else { 0 };
    let (addresses, proto, at) = match bytes[12 + tags..14 + tags] {
        [8, 0] => (26 + tags..34 + tags, bytes[23 + tags], 34 + tags),
        _ => (22 + tags..54 + tags, bytes[20 + tags], 54 + tags),
    };
    let offset = if proto == 6 { 16 } else { 6 };
    let sum = pseudo(&bytes[addresses], proto, bytes.len() - at);
    bytes[at + offset..at + offset + 2].copy_from_slice(&sum);
    let mut header = VnetHeader::default();
    header.set_csum(at as u16, offset as u16);
    Left { name: name.to_owned(), header, bytes }
}

/// Leaves segments to be cut.
fn large(name: &str, bytes: Vec<u8>, kind: GsoType, ecn: bool, size: u16) -> Left {
    let mut left = partial(name, bytes);
    let (start, _) = left.header.csum().unwrap_or_default();
    let transport = if kind == GsoType::UdpL4 { 8 } else { 20 };
    left.header.set_gso(kind, ecn, size, start + transport);
    left
}

fn tcp(flags: u8, len: usize) -> Vec<u8> {
    let payload = (0..len).map(|at| (at % 251) as u8);
    let header = [0x12, 0x34, 0, 80, 0, 0, 0, 9, 0, 0, 0, 7, 0x50, flags, 4, 0, 0, 0, 0, 0];
    header.into_iter().chain(payload).collect()
}

fn udp(len: usize) -> Vec<u8> {
    let size = (len as u16 + 8).to_be_bytes();
    let payload = (0..len).map(|at| (at % 251) as u8);
    [0x12, 0x34, 0, 80, size[0], size[1], 0, 0].into_iter().chain(payload).collect()
}

fn tagged(bytes: &[u8]) -> Vec<u8> {
    [&bytes[..12], &[0x81, 0, 0, 7], &bytes[12..]].concat()
}

/// All such frames.
pub fn frames() -> Vec<Left> {
    let v4 = |proto, payload: &[u8]| frame(0x800, &ipv4(proto, 0x4000, payload));
    let v6 = |proto, payload: &[u8]| frame(0x86dd, &ipv6(proto, payload));
    vec![
        partial("part-tcp4", v4(6, &tcp(0x18, 21))),
        partial("part-tcp6", v6(6, &tcp(0x18, 21))),
        partial("part-udp4", v4(17, &udp(21))),
        partial("part-udp6", v6(17, &udp(22))),
        partial("part-tagged", tagged(&v4(17, &udp(21)))),
        large("tso4", v4(6, &tcp(0x18, 2500)), GsoType::Tcp4, false, 1000),
        large("tso4-even", v4(6, &tcp(0x10, 2000)), GsoType::Tcp4, false, 500),
        large("tso4-fin-cwr", v4(6, &tcp(0x99, 2500)), GsoType::Tcp4, true, 1000),
        large("tso6", v6(6, &tcp(0x18, 2501)), GsoType::Tcp6, false, 1000),
        large("uso4", v4(17, &udp(2500)), GsoType::UdpL4, false, 1000),
        large("uso6", v6(17, &udp(2500)), GsoType::UdpL4, false, 1200),
        large("tso4-tagged", tagged(&v4(6, &tcp(0x18, 2500))), GsoType::Tcp4, false, 1000),
        large("tso4-one", v4(6, &tcp(0x18, 500)), GsoType::Tcp4, false, 1000),
    ]
}

/// Each through each action list that it is good for.
pub fn cases(make: &Make<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    for Left { name: on, header, bytes } in frames() {
        let Some(key) = make.key(&on) else { continue };
        for (at, (name, list)) in lists().iter().enumerate() {
            if !leaves_some(&bytes, list, false) {
                continue;
            }
            let list = [list.as_slice(), &[output(2), output(3), show()]].concat();
            let mask = (at % 2 == 1).then(|| wide(key));
            let steps = [make.flow(key, mask, list), arrives_with(1, header, &bytes)];
            cases.push(case(format!("action-offload/{name}/on-{on}"), steps));
        }
    }
    // A checksum that was right or wrong before something under it is set stays so.
    for (on, bytes) in frames::right() {
        let mut wrong = bytes.clone();
        if let Some(last) = wrong.last_mut() {
            *last ^= 1;
        }
        let Some(key) = make.key(&on) else { continue };
        for (name, list) in
            lists().iter().filter(|(name, _)| name.contains("set-") || name.contains("dec-ttl"))
        {
            let list = [list.as_slice(), &[output(2), output(3)]].concat();
            let steps = [make.flow(key, None, list), arrives_with(1, VnetHeader::default(), &wrong)];
            cases.push(case(format!("action-offload/{name}/on-wrong-{on}"), steps));
        }
    }
    cases
}
