//! TCP and SCTP: whole conversations, and what is wrong in one.

use super::{Client, Family, Server, Side, Talk, V4, V6, ip};

/// A conversation, its name, and over what.
pub type Named = (String, Family, Talk);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// A segment from one side, by sequence numbers that count from each side's first.
fn segment(from: Side, flags: u8, seq: u32, ack: u32, options: &[u8], data: usize, window: u16) -> Vec<u8> {
    let ports = if from == Client { [1000u16, 80] } else { [80, 1000] };
    let (own, other) = if from == Client { (50_000u32, 900_000u32) } else { (900_000, 50_000) };
    let ack = if flags & ACK == 0 { 0 } else { other.wrapping_add(ack) };
    let mut bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    bytes.extend(own.wrapping_add(seq).to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([(((20 + options.len()) / 4) << 4) as u8, flags]);
    bytes.extend(window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes.extend((0..data).map(|at| at as u8));
    bytes
}

/// Window scale 7, timestamps and SACK permitted.
const OPTIONS: [u8; 8] = [1, 3, 3, 7, 1, 1, 4, 2];

struct Tcp {
    family: Family,
    talk: Talk,
}

impl Tcp {
    fn new(family: Family) -> Tcp {
        Tcp { family, talk: Vec::new() }
    }

    fn say(mut self, from: Side, flags: u8, seq: u32, ack: u32, data: usize) -> Tcp {
        let options: &[u8] = if flags & SYN != 0 { &OPTIONS } else { &[] };
        let bytes = segment(from, flags, seq, ack, options, data, 1000);
        self.talk.push((from, ip(self.family, from, 6, &bytes)));
        self
    }

    /// The last one, changed.
    fn but(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Tcp {
        if let Some((_, bytes)) = self.talk.last_mut() {
            change(bytes);
        }
        self
    }

    fn open(self) -> Tcp {
        self.say(Client, SYN, 0, 0, 0).say(Server, SYN | ACK, 0, 1, 0).say(Client, ACK, 1, 1, 0)
    }

    fn data(self) -> Tcp {
        self.say(Client, PSH | ACK, 1, 1, 100)
            .say(Server, ACK, 1, 101, 0)
            .say(Server, PSH | ACK, 1, 101, 300)
            .say(Client, ACK, 101, 301, 0)
    }
}

fn tcp(family: Family) -> Vec<(&'static str, Talk)> {
    let new = || Tcp::new(family);
    let open = || new().open();
    vec![
        (
            "whole",
            open()
                .data()
                .say(Client, FIN | ACK, 101, 301, 0)
                .say(Server, ACK, 301, 102, 0)
                .say(Server, FIN | ACK, 301, 102, 0)
                .say(Client, ACK, 102, 302, 0)
                // In TIME_WAIT; then anew, with later numbers.
                .say(Client, ACK, 102, 302, 0)
                .say(Client, SYN, 70_000, 0, 0)
                .say(Server, SYN | ACK, 90_000, 70_001, 0),
        ),
        (
            "server-closes",
            open()
                .data()
                .say(Server, FIN | ACK, 301, 101, 0)
                .say(Client, ACK, 101, 302, 50)
                .say(Client, FIN | ACK, 151, 302, 0)
                .say(Server, ACK, 302, 152, 0)
                .say(Server, SYN, 5_000_000, 0, 0),
        ),
        (
            "both-close",
            open()
                .say(Client, FIN | ACK, 1, 1, 0)
                .say(Server, FIN | ACK, 1, 1, 0)
                .say(Client, ACK, 2, 2, 0)
                .say(Server, ACK, 2, 2, 0),
        ),
        (
            "syn-again",
            new()
                .say(Client, SYN, 0, 0, 0)
                .say(Client, SYN, 0, 0, 0)
                .say(Client, SYN, 9, 0, 0)
                .say(Server, SYN | ACK, 0, 10, 0)
                .say(Server, SYN | ACK, 0, 1, 0)
                .say(Client, ACK, 1, 1, 0),
        ),
        (
            "refused",
            new().say(Client, SYN, 0, 0, 0).say(Server, RST | ACK, 0, 1, 0).say(Client, SYN, 40, 0, 0),
        ),
        (
            "refused-wrongly",
            new().say(Client, SYN, 0, 0, 0).say(Server, RST | ACK, 0, 77, 0).say(Server, SYN | ACK, 0, 1, 0),
        ),
        (
            "reset",
            open()
                .data()
                .say(Client, RST, 101, 0, 0)
                .say(Server, ACK, 301, 101, 0)
                .say(Client, SYN, 200, 0, 0),
        ),
        ("reset-in-window", open().data().say(Client, RST, 150, 0, 0).say(Server, PSH | ACK, 301, 101, 9)),
        ("reset-outside", open().data().say(Client, RST, 600_000, 0, 0).say(Server, PSH | ACK, 301, 101, 9)),
        ("reset-with-ack", open().say(Server, RST | ACK, 1, 1, 0).say(Client, ACK, 1, 1, 0)),
        (
            "both-open",
            new()
                .say(Client, SYN, 0, 0, 0)
                .say(Server, SYN, 0, 0, 0)
                .say(Client, SYN | ACK, 0, 1, 0)
                .say(Server, SYN | ACK, 0, 1, 0)
                .say(Client, ACK, 1, 1, 5)
                .say(Server, ACK, 1, 6, 0),
        ),
        (
            "picked-up",
            new()
                .say(Client, ACK, 1, 1, 20)
                .say(Server, ACK, 1, 21, 40)
                .say(Client, ACK, 21, 41, 0)
                .say(Server, PSH | ACK, 41, 21, 9)
                .say(Client, PSH | ACK, 4_000_000, 50, 9),
        ),
        (
            "picked-up-late",
            new().say(Server, PSH | ACK, 1, 1, 20).say(Client, ACK, 1, 21, 40).say(Server, ACK, 21, 41, 0),
        ),
        ("begins-with-syn-ack", new().say(Server, SYN | ACK, 0, 1, 0).say(Client, ACK, 1, 1, 0)),
        ("begins-with-fin", new().say(Client, FIN | ACK, 1, 1, 0).say(Server, ACK, 1, 2, 0)),
        ("begins-with-reset", new().say(Client, RST, 1, 0, 0).say(Client, SYN, 1, 0, 0)),
        (
            "outside-window",
            open()
                .data()
                .say(Client, ACK, 3_000_000, 301, 10)
                .say(Client, ACK, 101, 301, 10)
                .say(Server, ACK, 400_000_000, 111, 10)
                .say(Server, ACK, 301, 111, 0),
        ),
        (
            "old-data",
            open().data().say(Client, PSH | ACK, 1, 301, 100).say(Server, ACK, 301, 101, 0).say(
                Client,
                ACK,
                4_294_900_000,
                301,
                10,
            ),
        ),
        (
            "ack-of-the-future",
            open().data().say(Client, ACK, 101, 5_000_000, 0).say(Client, ACK, 101, 301, 0),
        ),
        (
            "ack-of-the-past",
            open().data().say(Client, ACK, 101, 4_294_000_000, 0).say(Client, ACK, 101, 301, 0),
        ),
        ("keepalive", open().data().say(Client, ACK, 100, 301, 0).say(Server, ACK, 301, 101, 0)),
        (
            "syn-in-open",
            open()
                .data()
                .say(Client, SYN, 500, 0, 0)
                .say(Server, ACK, 301, 101, 0)
                .say(Client, RST, 101, 0, 0)
                .say(Client, SYN, 500, 0, 0)
                .say(Server, SYN | ACK, 0, 501, 0),
        ),
        ("syn-ack-in-open", open().data().say(Server, SYN | ACK, 301, 101, 0).say(Client, ACK, 101, 301, 0)),
        (
            "flags",
            open()
                .say(Client, 0, 1, 1, 0)
                .say(Client, SYN | FIN, 1, 1, 0)
                .say(Client, SYN | RST, 1, 1, 0)
                .say(Client, FIN, 1, 1, 0)
                .say(Client, FIN | RST | ACK, 1, 1, 0)
                .say(Client, 0x3f, 1, 1, 0)
                .say(Client, PSH, 1, 1, 0)
                .say(Client, 0xc0 | ACK, 1, 1, 3)
                .say(Client, 0x20 | ACK, 4, 1, 3),
        ),
        (
            "flags-first",
            new()
                .say(Client, 0xc0 | SYN, 0, 0, 0)
                .say(Server, 0x40 | SYN | ACK, 0, 1, 0)
                .say(Client, ACK, 1, 1, 0),
        ),
        (
            "syn-with-data",
            new().say(Client, SYN, 0, 0, 30).say(Server, SYN | ACK, 0, 31, 0).say(Client, ACK, 31, 1, 0),
        ),
        (
            "wrong-sum",
            open()
                .say(Client, ACK, 1, 1, 10)
                .but(|bytes| *bytes.last_mut().unwrap() ^= 1)
                .say(Client, ACK, 1, 1, 10),
        ),
        (
            "wrong-sum-first",
            new().say(Client, SYN, 0, 0, 0).but(|bytes| bytes[40] ^= 1).say(Client, SYN, 0, 0, 0),
        ),
        (
            "short",
            open()
                .say(Client, ACK, 1, 1, 0)
                .but(|bytes| bytes.truncate(bytes.len() - 4))
                .say(Client, ACK, 1, 1, 0),
        ),
        (
            "padded",
            open().say(Client, ACK, 1, 1, 0).but(|bytes| bytes.extend([0; 6])).say(Server, ACK, 1, 1, 0),
        ),
        (
            "half-open",
            new()
                .say(Client, SYN, 0, 0, 0)
                .say(Server, SYN | ACK, 0, 1, 0)
                .say(Server, ACK, 1, 1, 0)
                .say(Client, FIN | ACK, 1, 1, 0)
                .say(Server, ACK, 1, 2, 0),
        ),
        (
            "challenge",
            open()
                .data()
                .say(Client, SYN, 900, 0, 0)
                .say(Server, ACK, 301, 101, 0)
                .say(Server, RST, 301, 0, 0),
        ),
        (
            "fin-again",
            open()
                .say(Client, FIN | ACK, 1, 1, 0)
                .say(Client, FIN | ACK, 1, 1, 0)
                .say(Server, ACK, 1, 2, 0)
                .say(Server, FIN | ACK, 1, 2, 0)
                .say(Server, FIN | ACK, 1, 2, 0)
                .say(Client, ACK, 2, 2, 0),
        ),
    ]
    .into_iter()
    .map(|(name, tcp)| (name, tcp.talk))
    .collect()
}

/// CRC-32C (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> [u8; 4] {
    let bit = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)));
    (!crc).to_le_bytes()
}

/// An SCTP packet of chunks: type, flags, value.
fn sctp(from: Side, tag: u32, chunks: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let ports = if from == Client { [2000u16, 90] } else { [90, 2000] };
    let mut bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    for (kind, flags, value) in chunks {
        let len = (4 + value.len() as u16).to_be_bytes();
        bytes.extend([*kind, *flags, len[0], len[1]]);
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    sealed(bytes)
}

/// With the right checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[8..12].fill(0);
    let sum = crc32c(&bytes);
    bytes[8..12].copy_from_slice(&sum);
    bytes
}

fn associations(family: Family) -> Vec<(&'static str, Talk)> {
    const INIT: u8 = 1;
    const INIT_ACK: u8 = 2;
    let init = |tag: u32| [&tag.to_be_bytes()[..], &[0, 0, 0x40, 0, 0, 1, 0, 1, 0, 0, 0, 1]].concat();
    let (first, second) = (init(0x11), init(0x22));
    let say = |from, tag, chunks: &[(u8, u8, &[u8])]| (from, ip(family, from, 132, &sctp(from, tag, chunks)));
    let data: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'd', b'a', b't', b'a'];
    let open = || {
        vec![
            say(Client, 0, &[(INIT, 0, &first)]),
            say(Server, 0x11, &[(INIT_ACK, 0, &second)]),
            say(Client, 0x22, &[(10, 0, b"cookie")]),
            say(Server, 0x11, &[(11, 0, b"")]),
        ]
    };
    let then = |more: Vec<(Side, Vec<u8>)>| [open(), more].concat();
    vec![
        (
            "sctp-whole",
            then(vec![
                say(Client, 0x22, &[(0, 3, data)]),
                say(Server, 0x11, &[(3, 0, &[0; 12])]),
                say(Client, 0x22, &[(7, 0, &[0; 4])]),
                say(Server, 0x11, &[(8, 0, b"")]),
                say(Client, 0x22, &[(14, 0, b"")]),
                say(Client, 0, &[(INIT, 0, &first)]),
            ]),
        ),
        (
            "sctp-wrong-tag",
            then(vec![
                say(Client, 0x99, &[(0, 3, data)]),
                say(Server, 0x99, &[(0, 3, data)]),
                say(Client, 0x22, &[(0, 3, data)]),
            ]),
        ),
        (
            "sctp-abort",
            then(vec![
                say(Client, 0x99, &[(6, 0, b"")]),
                say(Client, 0x22, &[(6, 0, b"")]),
                say(Client, 0x22, &[(0, 3, data)]),
            ]),
        ),
        (
            "sctp-abort-reflected",
            then(vec![say(Client, 0x11, &[(6, 1, b"")]), say(Client, 0x22, &[(0, 3, data)])]),
        ),
        (
            "sctp-init-with-tag",
            vec![say(Client, 5, &[(INIT, 0, &first)]), say(Client, 0, &[(INIT, 0, &first)])],
        ),
        ("sctp-init-not-alone", vec![say(Client, 0, &[(INIT, 0, &first), (0, 3, data)])]),
        (
            "sctp-init-again",
            then(vec![say(Client, 0, &[(INIT, 0, &first)]), say(Server, 0x11, &[(INIT_ACK, 0, &second)])]),
        ),
        ("sctp-data-first", vec![say(Client, 0x22, &[(0, 3, data)]), say(Server, 0x11, &[(3, 0, &[0; 12])])]),
        (
            "sctp-heartbeat",
            vec![
                say(Client, 0x22, &[(4, 0, &[0; 8])]),
                say(Server, 0x11, &[(5, 0, &[0; 8])]),
                say(Client, 0x22, &[(0, 3, data)]),
                say(Server, 0x33, &[(0, 3, data)]),
            ],
        ),
        ("sctp-shutdown-first", vec![say(Client, 0x22, &[(8, 0, b"")]), say(Client, 0x22, &[(14, 0, b"")])]),
        ("sctp-no-chunk", vec![say(Client, 0x22, &[])]),
        ("sctp-zero-chunk", {
            let mut bytes = sctp(Client, 0x22, &[(0, 3, data)]);
            bytes[14..16].fill(0);
            vec![(Client, ip(family, Client, 132, &sealed(bytes)))]
        }),
        (
            "sctp-wrong-sum",
            then(vec![{
                let mut packet = say(Client, 0x22, &[(0, 3, data)]);
                *packet.1.last_mut().unwrap() ^= 1;
                packet
            }]),
        ),
        (
            "sctp-cookie-again",
            then(vec![say(Client, 0x22, &[(10, 0, b"cookie")]), say(Client, 0x44, &[(10, 0, b"cookie")])]),
        ),
        (
            "sctp-shutdown-by-server",
            then(vec![
                say(Server, 0x11, &[(7, 0, &[0; 4])]),
                say(Client, 0x22, &[(8, 0, b"")]),
                say(Server, 0x22, &[(14, 1, b"")]),
            ]),
        ),
    ]
}

/// All of them; those over IPv6 are the same ones.
pub fn all() -> Vec<Named> {
    let mut all = Vec::new();
    for (family, suffix) in [(V4, ""), (V6, "6")] {
        for (name, talk) in [tcp(family), associations(family)].concat() {
            all.push((format!("{name}{suffix}"), family, talk));
        }
    }
    all
}
