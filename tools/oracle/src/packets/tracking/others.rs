//! UDP, ICMP, fragments, what is no protocol of the tracker's, and talks that take time.

use super::streams::Named;
use super::{
    Client, Family, Server, Side, Talk, V4, V6, commit, flow, ip, ip_as_it_is, ip_between, recirc, said,
    track, tracked, udp,
};
use crate::generate::message::{Node, leaf, text, u32};
use crate::generate::packets::frame;
use crate::packets::tell::{Make, arrives, case, output};
use crate::packets::{Case, Do, frames};
use pfnl_proto::ovs::{action, ct};

fn datagram(family: Family, from: Side, data: &[u8]) -> (Side, Vec<u8>) {
    let (sport, dport) = if from == Client { (3000, 53) } else { (53, 3000) };
    (from, ip(family, from, 17, &udp(sport, dport, data)))
}

fn echo(family: Family, from: Side, kind: u8, code: u8, id: u16) -> (Side, Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    let proto = if family == V4 { 1 } else { 58 };
    (from, ip(family, from, proto, &[kind, code, 0, 0, high, low, 0, 1, b'e', b'c', b'h', b'o']))
}

/// An error about a packet that the other side sent.
fn error(family: Family, from: Side, kind: u8, code: u8, about: &[u8]) -> (Side, Vec<u8>) {
    let proto = if family == V4 { 1 } else { 58 };
    let body = [&[kind, code, 0, 0, 0, 0, 0, 0], &about[14..]].concat();
    (from, ip_between(family, if from == Client { [1, 2] } else { [9, 1] }, proto, &body))
}

fn simple(family: Family) -> Vec<(&'static str, Talk)> {
    let say = |from, data: &[u8]| datagram(family, from, data);
    let (request, reply, unreachable, exceeded) = if family == V4 { (8, 0, 3, 11) } else { (128, 129, 1, 3) };
    let asked = || say(Client, b"question");
    let wrong = |mut packet: (Side, Vec<u8>)| {
        *packet.1.last_mut().unwrap() ^= 1;
        packet
    };
    let no_sum = {
        let mut packet = asked();
        let at = packet.1.len() - 8 - 2;
        packet.1[at..at + 2].fill(0);
        packet
    };
    let echo = |from, kind, code| echo(family, from, kind, code, 5);
    vec![
        ("udp", vec![asked(), asked(), say(Server, b"answer"), asked(), say(Server, b"answer")]),
        ("udp-answer-first", vec![say(Server, b"answer"), asked()]),
        ("udp-wrong-sum", vec![wrong(asked()), asked(), wrong(say(Server, b"answer"))]),
        ("udp-no-sum", vec![no_sum, say(Server, b"answer")]),
        (
            "udp-length",
            vec![{
                let mut packet = asked();
                let at = packet.1.len() - 8 - 3;
                packet.1[at] += 4;
                packet
            }],
        ),
        ("udp-short", vec![(Client, ip(family, Client, 17, &[0, 1, 0, 2]))]),
        (
            "udp-port-0",
            vec![
                (Client, ip(family, Client, 17, &udp(0, 53, b"x"))),
                (Client, ip(family, Client, 17, &udp(5, 0, b"x"))),
            ],
        ),
        ("echo", vec![echo(Client, request, 0), echo(Server, reply, 0), echo(Client, request, 0)]),
        ("echo-reply-first", vec![echo(Server, reply, 0), echo(Client, request, 0)]),
        ("echo-code", vec![echo(Client, request, 3), echo(Server, reply, 3)]),
        ("echo-wrong-sum", vec![wrong(echo(Client, request, 0)), echo(Client, request, 0)]),
        ("unreachable", vec![asked(), error(family, Server, unreachable, 3, &asked().1), asked()]),
        ("exceeded", vec![asked(), say(Server, b"answer"), error(family, Server, exceeded, 0, &asked().1)]),
        (
            "error-about-reply",
            vec![
                asked(),
                say(Server, b"answer"),
                error(family, Client, unreachable, 3, &say(Server, b"answer").1),
            ],
        ),
        ("error-about-nothing", vec![error(family, Server, unreachable, 3, &asked().1)]),
        (
            "error-about-error",
            vec![
                asked(),
                error(family, Server, unreachable, 3, &error(family, Client, unreachable, 3, &asked().1).1),
            ],
        ),
        (
            "error-cut",
            vec![asked(), {
                let mut packet = error(family, Server, unreachable, 3, &asked().1);
                packet.1.truncate(14 + 20 + 8 + 12);
                packet
            }],
        ),
        ("error-wrong-sum", vec![asked(), wrong(error(family, Server, unreachable, 3, &asked().1))]),
        ("redirect", vec![asked(), error(family, Server, if family == V4 { 5 } else { 137 }, 1, &asked().1)]),
        ("icmp-timestamp", vec![echo(Client, 13, 0), echo(Server, 14, 0)]),
        ("icmp-unknown", vec![echo(Client, 77, 0), echo(Client, 200, 0)]),
        (
            "solicit",
            vec![echo(Client, 135, 0), echo(Server, 136, 0), echo(Client, 133, 0), echo(Client, 143, 0)],
        ),
        (
            "gre",
            vec![
                (Client, ip(family, Client, 47, &[0, 0, 8, 0, 1, 2, 3, 4])),
                (Server, ip(family, Server, 47, &[0, 0, 8, 0, 1, 2, 3, 4])),
                (Client, ip(family, Client, 47, &[0x20, 1, 0x88, 0xb, 0, 4, 0, 9, 0, 0, 0, 0])),
            ],
        ),
        ("other", vec![(Client, ip(family, Client, 99, b"what")), (Server, ip(family, Server, 99, b"what"))]),
        (
            "udplite",
            vec![
                (Client, ip(family, Client, 136, &udp(1, 2, b"x"))),
                (Server, ip(family, Server, 136, &udp(2, 1, b"x"))),
            ],
        ),
        (
            "dccp",
            vec![(
                Client,
                ip(family, Client, 33, &[0, 1, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
            )],
        ),
        ("esp", vec![(Client, ip(family, Client, 50, &[0; 16]))]),
        (
            "land",
            vec![
                (Client, ip_between(family, [1, 1], 17, &udp(7, 7, b"self"))),
                (Client, ip_between(family, [1, 1], 17, &udp(7, 7, b"self"))),
            ],
        ),
    ]
}

/// All talks over both families; those over IPv6 are the same ones.
pub fn all() -> Vec<Named> {
    let mut all = Vec::new();
    for (family, suffix) in [(V4, ""), (V6, "6")] {
        all.extend(simple(family).into_iter().map(|(name, talk)| (format!("{name}{suffix}"), family, talk)));
    }
    all
}

/// From where to where in a payload.
type Cuts = &'static [(usize, usize)];

/// The pieces of a datagram from the client, cut at these places of the IP payload; the last without more to come.
fn pieces(family: Family, id: u8, data: usize, cuts: &[(usize, usize)]) -> Vec<Vec<u8>> {
    let data: Vec<u8> = (0..data).map(|at| at as u8).collect();
    let whole = ip(family, Client, 17, &udp(3000, 53, &data));
    let payload = &whole[if family == V4 { 34 } else { 54 }..];
    let piece = |&(start, end): &(usize, usize)| {
        let part = &payload[start..end.min(payload.len())];
        let more = u16::from(end < payload.len());
        let offset = (start / 8) as u16;
        match family {
            V4 => {
                let mut bytes = ip_as_it_is(V4, [1, 2], 17, offset | more << 13, part);
                bytes[19] = id;
                bytes[24..26].fill(0);
                let sum = crate::generate::packets::sum(&bytes[14..34]);
                bytes[24..26].copy_from_slice(&sum);
                bytes
            }
            V6 => {
                let [high, low] = (offset << 3 | more).to_be_bytes();
                ip_as_it_is(V6, [1, 2], 44, 0, &[&[17, 0, high, low, 0, 0, 0, id][..], part].concat())
            }
        }
    };
    cuts.iter().map(piece).collect()
}

fn fragments(make: &Make<'_>, zone: &mut impl FnMut() -> u16) -> Vec<Case> {
    let mut cases = Vec::new();
    let orders: [(&str, usize, Cuts); 13] = [
        ("two", 400, &[(0, 200), (200, 999)]),
        ("two-backwards", 400, &[(200, 999), (0, 200)]),
        ("three", 700, &[(0, 240), (240, 480), (480, 999)]),
        ("three-mixed", 700, &[(240, 480), (480, 999), (0, 240)]),
        ("first-only", 400, &[(0, 200)]),
        ("last-only", 400, &[(200, 999)]),
        ("again", 400, &[(0, 200), (0, 200), (200, 999)]),
        ("last-again", 400, &[(200, 999), (200, 999), (0, 200)]),
        ("overlapping", 400, &[(0, 208), (200, 999)]),
        ("overlapping-inside", 700, &[(0, 400), (80, 160), (400, 999)]),
        ("overlapping-around", 700, &[(80, 160), (0, 400), (400, 999)]),
        ("gap", 700, &[(0, 200), (240, 999), (200, 240)]),
        ("tiny", 60, &[(0, 8), (8, 16), (16, 999)]),
    ];
    for (at, (name, data, cuts)) in orders.into_iter().enumerate() {
        for (family, suffix) in [(V4, ""), (V6, "6")] {
            let packets = |id| pieces(family, id, data, cuts).into_iter().map(|bytes| arrives(1, &bytes));
            let here = zone();
            let actions = vec![track(here, [commit()]), recirc()];
            let steps: Vec<_> =
                [flow(make, family, 1, actions)].into_iter().chain(packets(at as u8)).collect();
            cases.push(case(format!("ct-fragment/{name}{suffix}"), steps));
            // Sent on, in fragments again.
            let here = zone();
            let actions = vec![track(here, [commit()]), output(2), output(3), track(here, []), recirc()];
            let steps: Vec<_> =
                [flow(make, family, 1, actions)].into_iter().chain(packets(at as u8 + 100)).collect();
            cases.push(case(format!("ct-fragment-out/{name}{suffix}"), steps));
        }
    }
    cases
}

/// A helper's control connection, and what it announces.
fn helped(make: &Make<'_>, zone: &mut impl FnMut() -> u16) -> Vec<Case> {
    let mut cases = Vec::new();
    let tcp = |from: Side, sport: u16, dport: u16, flags: u8, seq: u32, ack: u32, data: &[u8]| {
        let mut bytes = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
        bytes.extend(seq.to_be_bytes());
        bytes.extend(ack.to_be_bytes());
        bytes.extend([0x50, flags, 16, 0, 0, 0, 0, 0]);
        bytes.extend(data);
        (from, ip(V4, from, 6, &bytes))
    };
    let control = |commands: &[(Side, &[u8])]| -> Talk {
        let mut talk = vec![
            tcp(Client, 1000, 21, 2, 99, 0, b""),
            tcp(Server, 21, 1000, 18, 499, 100, b""),
            tcp(Client, 1000, 21, 16, 100, 500, b""),
        ];
        let (mut client, mut server) = (100, 500);
        for (from, line) in commands {
            if *from == Client {
                talk.push(tcp(Client, 1000, 21, 24, client, server, line));
                client += line.len() as u32;
            } else {
                talk.push(tcp(Server, 21, 1000, 24, server, client, line));
                server += line.len() as u32;
            }
        }
        talk
    };
    let data = |from, sport, dport| tcp(from, sport, dport, 2, 7, 0, b"");
    let port: &[u8] = b"PORT 10,1,0,1,7,208\r\n";
    let talks: [(&str, Talk); 8] = [
        (
            "port",
            [
                control(&[(Client, port)]),
                vec![data(Server, 20, 2000), data(Server, 20, 2001), data(Server, 20, 2000)],
            ]
            .concat(),
        ),
        ("port-twice", [control(&[(Client, port), (Client, port)]), vec![data(Server, 20, 2000)]].concat()),
        (
            "port-of-another",
            [control(&[(Client, b"PORT 10,1,0,9,7,208\r\n")]), vec![data(Server, 20, 2000)]].concat(),
        ),
        (
            "port-cut",
            [control(&[(Client, b"PORT 10,1,0,1,7"), (Client, b",208\r\n")]), vec![data(Server, 20, 2000)]]
                .concat(),
        ),
        ("port-low", [control(&[(Client, b"PORT 10,1,0,1,0,0\r\n")]), vec![data(Server, 20, 0)]].concat()),
        (
            "passive",
            [
                control(&[
                    (Client, b"PASV\r\n"),
                    (Server, b"227 Entering Passive Mode (10,1,0,2,7,208)\r\n"),
                ]),
                vec![data(Client, 4000, 2000)],
            ]
            .concat(),
        ),
        (
            "extended",
            [control(&[(Client, b"EPRT |1|10.1.0.1|2000|\r\n")]), vec![data(Server, 20, 2000)]].concat(),
        ),
        (
            "extended-passive",
            [
                control(&[
                    (Client, b"EPSV\r\n"),
                    (Server, b"229 Entering Extended Passive Mode (|||2000|)\r\n"),
                ]),
                vec![data(Client, 4000, 2000)],
            ]
            .concat(),
        ),
    ];
    for (name, talk) in talks {
        let here = zone();
        let actions = || vec![track(here, [commit(), text(ct::HELPER, "ftp")])];
        let steps = [tracked(make, V4, actions(), actions()), said(&talk)].concat();
        cases.push(case(format!("ct-helper/ftp-{name}"), steps));
    }
    let ask = |data: &[u8]| (Client, ip(V4, Client, 17, &udp(3000, 69, data)));
    let answer = |sport, dport| (Server, ip(V4, Server, 17, &udp(sport, dport, b"\0\x03\0\x01x")));
    for (name, talk) in [
        ("read", vec![ask(b"\0\x01file\0octet\0"), answer(5000, 3000), answer(5000, 3001)]),
        ("write", vec![ask(b"\0\x02file\0octet\0"), answer(5000, 3000)]),
        ("data", vec![ask(b"\0\x03\0\x01"), answer(5000, 3000)]),
    ] {
        let here = zone();
        let actions = || vec![track(here, [commit(), text(ct::HELPER, "tftp")])];
        let steps = [tracked(make, V4, actions(), actions()), said(&talk)].concat();
        cases.push(case(format!("ct-helper/tftp-{name}"), steps));
    }
    cases
}

/// What is done to connections beside tracking them.
fn treated(make: &Make<'_>, zone: &mut impl FnMut() -> u16) -> Vec<Case> {
    let mut cases = Vec::new();
    let asked = || datagram(V4, Client, b"question");
    let answered = || datagram(V4, Server, b"answer");
    let force = || leaf(ct::FORCE_COMMIT, []);
    let clear = || leaf(action::CT_CLEAR, []);
    let mut add = |name: &str, talk: Talk, actions: &mut dyn FnMut(u16, u32) -> Vec<Node>| {
        let here = zone();
        let steps = [tracked(make, V4, actions(here, 1), actions(here, 2)), said(&talk)].concat();
        cases.push(case(format!("ct-action/{name}"), steps));
    };
    let talk = || vec![asked(), answered(), asked()];
    add("force", vec![asked(), answered(), answered(), asked()], &mut |zone, _| vec![track(zone, [force()])]);
    add("force-by-server", vec![asked(), answered(), asked(), answered()], &mut |zone, port| {
        vec![track(zone, [if port == 2 { force() } else { commit() }])]
    });
    add("clear", talk(), &mut |zone, _| vec![track(zone, [commit()]), clear()]);
    add("clear-first", talk(), &mut |_, _| vec![clear()]);
    add("clear-then-again", talk(), &mut |zone, _| vec![track(zone, [commit()]), clear(), track(zone, [])]);
    add("twice", talk(), &mut |zone, _| vec![track(zone, []), track(zone, [commit()])]);
    add("commit-then-look", talk(), &mut |zone, _| vec![track(zone, [commit()]), track(zone, [])]);
    add("two-zones", talk(), &mut |zone, _| vec![track(zone, [commit()]), track(zone + 20_000, [commit()])]);
    add("no-zone-after", talk(), &mut |zone, _| {
        vec![track(zone, [commit()]), track(zone + 20_000, []), track(zone, [])]
    });
    add("eventmask", talk(), &mut |zone, _| vec![track(zone, [commit(), u32(ct::EVENTMASK, 0x107)])]);
    let arp =
        || vec![(Client, frame(0x806, &[0, 1, 8, 0, 6, 4, 0, 1])), (Client, frames::right()[0].1.clone())];
    add("not-ip", arp(), &mut |zone, _| vec![track(zone, [commit()])]);
    cases
}

/// Time passes: what is forgotten, and what is not yet. UDP that has gone on for two seconds is remembered longer.
fn patient(make: &Make<'_>, zone: &mut impl FnMut() -> u16) -> Case {
    let here = zone();
    let actions = || vec![track(here, [commit()])];
    let between = |ends: [u8; 2]| {
        let (side, ports) = if ends[0] < ends[1] { (Client, (3000, 53)) } else { (Server, (53, 3000)) };
        arrives(side.port(), &ip_between(V4, ends, 17, &udp(ports.0, ports.1, b"data")))
    };
    let mut steps = tracked(make, V4, actions(), actions());
    // 1: asked only. 2: answered at once. 3: answered, and asked again after two seconds. 4: as 3, answered after two seconds.
    // 5: answered at once, and again after a second. 6: asked only, twice.
    for other in [11, 12, 13, 14, 15, 16] {
        steps.push(between([1, other]));
    }
    steps.extend([between([12, 1]), between([13, 1]), between([15, 1]), Do::Wait(1000)]);
    steps.extend([between([15, 1]), between([1, 15]), Do::Wait(1600)]);
    steps.extend([between([1, 13]), between([14, 1]), between([1, 16]), Do::Wait(25_000)]);
    // 27.6 seconds after the beginning, 25 after the last.
    steps.extend([between([1, 14]), Do::Wait(6500)]);
    steps.extend([11, 12, 13, 14, 15, 16].map(|other| between([other, 1])));
    case("ct-time/udp", steps)
}

/// All other cases.
pub fn cases(make: &Make<'_>, zone: &mut impl FnMut() -> u16) -> Vec<Case> {
    let mut cases = fragments(make, zone);
    cases.extend(helped(make, zone));
    cases.extend(treated(make, zone));
    cases.push(patient(make, zone));
    cases
}
