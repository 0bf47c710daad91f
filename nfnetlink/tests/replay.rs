//! The same requests to Linux 6.12 (recorded in `tests/golden/linux-6.12/nfnetlink.tsv`) and to us, with the same answers.
//!
//! A line is: R (a request) or E (what listeners were told since), the socket, a name, the request, the answers. What
//! cannot be the same is left out of the comparison, and nothing else:
//!
//! - a connection's ID and the seconds it has left; the order of a dump; how many processors there are, and how many
//!   connections there may be;
//! - SYNPROXY, which Linux shows as zeroes of connections that user space made, and nobody else has;
//! - window scales and flags of TCP, which cannot be set here;
//! - the kernel's portid of a socket that was not bound.

use pfnl_datapath::conntrack::Conntrack;
use pfnl_platform::{Shared, User};
use pfnl_sock::{Credentials, Delivery, Domain, NETLINK_NETFILTER, SockAddr, SockType, Socket};
use std::collections::HashMap;
use std::fmt::Write;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/linux-6.12/nfnetlink.tsv");

struct Silent;

impl Delivery for Silent {
    fn wake(&self) {}
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..][..2], 16).unwrap()).collect()
}

fn open(domain: &Shared<Domain<User>>, portid: u32, groups: u32, admin: bool) -> Socket<User> {
    let who = Credentials { pid: 1, uid: 0, gid: 0, net_admin: admin, net_broadcast: admin };
    let socket = Domain::open(domain, SockType::Raw, NETLINK_NETFILTER, who, Box::new(Silent)).unwrap();
    socket.bind(SockAddr { portid, groups }, &who).unwrap();
    socket.set_option(270, 11, &1u32.to_ne_bytes(), &who).unwrap();
    socket
}

fn received(socket: &Socket<User>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(block) = socket.take() {
        socket.read(block.charge, 262_144);
        all.extend(block.bytes);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Attributes as text; `path` is where they are.
fn attributes(out: &mut String, mut bytes: &[u8], kind: u16, path: &[u16]) {
    while bytes.len() >= 4 {
        let (len, number) = (usize::from(u16_at(bytes, 0)), u16_at(bytes, 2));
        assert!(len >= 4 && len <= bytes.len(), "a broken attribute");
        let payload = &bytes[4..len];
        let path = [path, &[number & 0x3fff]].concat();
        bytes = &bytes[len.next_multiple_of(4).min(bytes.len())..];
        match (kind, &path[..]) {
            (0x100..=0x102, [24]) => {}
            (0x100..=0x102, [7]) => {
                let left = u32::from_be_bytes(payload.try_into().unwrap());
                write!(out, " timeout~{}", left.div_ceil(10) * 10).unwrap();
            }
            (0x100..=0x102, [12]) | (0x105, [2]) | (0x100..=0x102, [4, 1, 2..=5]) => {
                write!(out, " {number:#x}={} bytes", payload.len()).unwrap();
            }
            _ if number & 0x8000 != 0 => {
                write!(out, " {number:#x}{{").unwrap();
                attributes(out, payload, kind, &path);
                out.push('}');
            }
            _ => write!(out, " {number:#x}={payload:02x?}").unwrap(),
        }
    }
}

/// Messages as text, records of dumps in order of their text.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while bytes.len() >= 16 {
        let (len, kind, flags) = (u32_at(bytes, 0) as usize, u16_at(bytes, 4), u16_at(bytes, 6));
        let mut text = format!("type {kind:#x} flags {flags:#x} seq {}", u32_at(bytes, 8));
        let message = &bytes[..len];
        match kind {
            2 => {
                write!(text, " error {}", u32_at(message, 16).cast_signed()).unwrap();
                let echo = if flags & 0x100 != 0 { 16 } else { u32_at(message, 20) as usize };
                let tlvs = (20 + echo).next_multiple_of(4).min(len);
                if flags & 0x200 != 0 {
                    attributes(&mut text, &message[tlvs..], kind, &[]);
                }
            }
            3 => write!(text, " {:?}", &message[16..]).unwrap(),
            // Of a processor: the first is enough.
            _ if kind == 0x104 || kind == 0x103 && message[18..20] != [0, 0] => {
                if message[18..20] != [0, 0] {
                    text.clear();
                } else {
                    text.push_str(" of processor 0");
                }
            }
            _ => {
                write!(text, " {:?}", &message[16..20]).unwrap();
                attributes(&mut text, &message[20..], kind, &[]);
            }
        }
        if !text.is_empty() {
            all.push(text);
        }
        bytes = &bytes[len.next_multiple_of(4).min(bytes.len())..];
    }
    all.sort();
    all
}

#[test]
fn linux_6_12_answers_the_same() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let domain = Domain::<User>::try_new().unwrap();
    let conntrack = Shared::try_new(Conntrack::<User>::try_new().unwrap()).unwrap();
    pfnl_nfnetlink::register(&domain, &conntrack).unwrap();
    let listener = open(&domain, 7, 0x3f, true);
    let mut sockets: HashMap<&str, Socket<User>> = HashMap::new();
    let (mut requests, mut failures) = (0, Vec::new());
    for line in golden.lines() {
        let [kind, who, name, tx, rx] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let expected: Vec<u8> = rx.split(',').flat_map(unhex).collect();
        let answer = if kind == "R" {
            let tx = unhex(tx);
            let admin = who == "root";
            let socket = sockets
                .entry(who)
                .or_insert_with(|| open(&domain, u32_at(&tx, 12) ^ u32::from(!admin), 0, admin));
            let sender = Credentials { pid: 1, uid: 0, gid: 0, net_admin: admin, net_broadcast: admin };
            socket.send(None, &tx, &sender).unwrap();
            requests += 1;
            received(socket)
        } else {
            received(&listener)
        };
        let (ours, linuxs) = (messages(&answer), messages(&expected));
        if ours != linuxs {
            let only = |these: &[String], those: &[String]| {
                these
                    .iter()
                    .filter(|this| !those.contains(this))
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n        ")
            };
            let (linuxs_only, ours_only) = (only(&linuxs, &ours), only(&ours, &linuxs));
            failures.push(format!("{name}\n  Linux {linuxs_only}\n  pfnl  {ours_only}"));
        }
    }
    assert!(requests > 150, "only {requests} requests were recorded");
    assert!(failures.is_empty(), "{} of {requests} differ:\n{}", failures.len(), failures.join("\n"));
    conntrack.set_observer(None).unwrap();
    domain.shut_down();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    /// Requests with bytes changed or cut off: whatever is answered, each message is whole, and the table stays sound.
    #[test]
    fn broken_requests_are_answered(
        changes in proptest::collection::vec((proptest::prelude::any::<(u16, u8)>(), 0usize..4), 150),
    ) {
        let golden = std::fs::read_to_string(GOLDEN).unwrap();
        let domain = Domain::<User>::try_new().unwrap();
        let conntrack = Shared::try_new(Conntrack::<User>::try_new().unwrap()).unwrap();
        pfnl_nfnetlink::register(&domain, &conntrack).unwrap();
        let listener = open(&domain, 7, 0x3f, true);
        let socket = open(&domain, 8, 0, true);
        let sender = Credentials { pid: 1, uid: 0, gid: 0, net_admin: true, net_broadcast: true };
        for (line, ((at, value), what)) in golden.lines().filter(|line| line.starts_with('R')).zip(changes) {
            let mut tx = unhex(line.split('\t').nth(3).unwrap());
            // Behind the header's length, so that there is something to answer.
            let at = 4 + usize::from(at) % (tx.len() - 4);
            match what {
                0 => {}
                1 => tx[at] = value,
                2 => tx[at] ^= 1 << (value % 8),
                _ => {
                    tx.truncate(at.max(16));
                    let len = (tx.len() as u32).to_ne_bytes();
                    tx[..4].copy_from_slice(&len);
                }
            }
            let _ = socket.send(None, &tx, &sender);
            for _ in 0..20 {
                messages(&received(&socket));
            }
            messages(&received(&listener));
        }
        let mut cursor = Default::default();
        let walked = core::iter::from_fn(|| conntrack.next(&mut cursor)).count();
        proptest::prop_assert!(walked <= conntrack.count() as usize);
        conntrack.flush(|_| true);
        conntrack.tick();
        proptest::prop_assert_eq!(conntrack.count(), 0);
        conntrack.set_observer(None).unwrap();
        domain.shut_down();
    }
}
