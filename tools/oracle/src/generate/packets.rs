//! Family `ovs_packet`: what EXECUTE takes, what key a packet gets, and what actions make of it.

use super::message::{Message, Node, fixed, leaf, nest, u32};
use super::{Around, EXTACK, Make, O0, Scenario, actions, keys, portid};
use pfnl_proto::ovs::{action, key, packet, packet_cmd, userspace};

pub(super) fn execute(bytes: &[u8], metadata: Vec<Node>, list: Vec<Node>) -> Message {
    Message::new("ovs_packet", &packet::TABLE, packet_cmd::EXECUTE, O0).with([
        leaf(packet::PACKET, bytes),
        nest(packet::KEY, &key::TABLE, metadata),
        nest(packet::ACTIONS, &action::TABLE, list),
    ])
}

/// Sends the packet, as it then is, to who asks.
pub(super) fn show() -> Node {
    nest(
        action::USERSPACE,
        &userspace::TABLE,
        [
            u32(userspace::PID, portid(EXTACK)),
            leaf(userspace::USERDATA, [1, 2, 3, 4, 5, 6, 7, 8]),
            leaf(userspace::ACTIONS, []),
        ],
    )
}

pub(crate) fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The Internet checksum.
pub(crate) fn sum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut total: u32 = words.sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    (!(total as u16)).to_be_bytes()
}

pub(crate) fn ipv4(proto: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len()) as u16;
    let mut header = vec![0x45, 0x10];
    header.extend(len.to_be_bytes());
    header.extend([0x12, 0x34]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let checksum = sum(&header);
    header[10..12].copy_from_slice(&checksum);
    [header.as_slice(), payload].concat()
}

pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x61, 0x23, 0x45, 0x67];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, 64]);
    for last in [1, 2] {
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    [header.as_slice(), payload].concat()
}

pub(crate) fn udp() -> Vec<u8> {
    vec![0x12, 0x34, 0, 80, 0, 12, 0xab, 0xcd, b'p', b'f', b'n', b'l']
}

pub(crate) fn tcp() -> Vec<u8> {
    vec![0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x51, 0x12, 4, 0, 0xab, 0xcd, 0, 0, b'p', b'f']
}

/// Packets of every kind that is extracted differently.
pub(crate) fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[2; 6], &[10, 0, 0, 1], &[4; 6], &[10, 0, 0, 2]].concat();
    let sctp = [0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0];
    let solicit = [&[135, 0, 0xab, 0xcd, 0, 0, 0, 0][..], &[0xfe; 16], &[1, 1, 2, 2, 2, 2, 2, 2]].concat();
    let advert = [&[136, 0, 0xab, 0xcd, 0, 0, 0, 0][..], &[0xfe; 16], &[2, 1, 4, 4, 4, 4, 4, 4]].concat();
    let twice = [solicit.as_slice(), &[1, 1, 9, 9, 9, 9, 9, 9]].concat();
    let zero_len = [&solicit[..24], &[1, 0, 2, 2, 2, 2, 2, 2]].concat();
    let tag = |tci: u16, rest: &[u8]| [&tci.to_be_bytes(), rest].concat();
    let typed = |ethertype: u16, rest: &[u8]| [&ethertype.to_be_bytes(), rest].concat();
    let lse = |label: u8, bottom: u8| [0, label, bottom, 64];
    let v4 = ipv4(17, 0, &udp());
    let hop = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp()].concat();
    let fragment = |offset: u16| [&[17, 0][..], &offset.to_be_bytes(), &[0, 0, 0, 9], &udp()].concat();
    let routing = [&[17, 0, 0, 0, 0, 0, 0, 0][..], &udp()].concat();
    let options = {
        let mut packet = ipv4(17, 0, &udp());
        packet[0] = 0x46;
        packet[3] += 4;
        packet.splice(20..20, [1, 1, 1, 0]);
        packet
    };
    let nsh = [&[0x0f, 0xc6, 1, 1, 0, 0, 1, 255][..], &[7; 16], &v4].concat();
    let nsh2 = [&[0x0f, 0xc3, 2, 3, 0, 0, 1, 255][..], &[0, 1, 2, 0], &frame(0x9000, &[0; 20])].concat();
    vec![
        ("other", frame(0x9000, &[0; 46])),
        ("minimal", frame(0x9000, &[])),
        ("llc", frame(46, &[&[0x42, 0x42, 3][..], &[0; 43]].concat())),
        ("snap", frame(46, &[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &v4].concat())),
        ("snap-small", frame(46, &[0xaa, 0xaa, 3, 0, 0, 0, 0, 5, 0, 0])),
        ("udp4", frame(0x800, &v4)),
        ("udp4-padded", frame(0x800, &[v4.as_slice(), &[0; 14]].concat())),
        ("udp4-options", frame(0x800, &options)),
        ("udp4-no-sum", frame(0x800, &ipv4(17, 0, &[0x12, 0x34, 0, 80, 0, 8, 0, 0]))),
        ("tcp4", frame(0x800, &ipv4(6, 0x4000, &tcp()))),
        ("tcp4-cut", frame(0x800, &ipv4(6, 0, &tcp()[..12]))),
        ("sctp4", frame(0x800, &ipv4(132, 0, &sctp))),
        ("icmp4", frame(0x800, &ipv4(1, 0, &[8, 0, 0xab, 0xcd, 0, 1, 0, 1]))),
        ("gre4", frame(0x800, &ipv4(47, 0, &[0; 8]))),
        ("first4", frame(0x800, &ipv4(17, 0x2000, &udp()))),
        ("later4", frame(0x800, &ipv4(17, 0x0010, &udp()))),
        ("ip4-cut", frame(0x800, &v4[..12])),
        ("ip4-version-5", frame(0x800, &[&[0x55][..], &v4[1..]].concat())),
        ("ip4-short-header", frame(0x800, &[&[0x44][..], &v4[1..]].concat())),
        ("udp6", frame(0x86dd, &ipv6(17, &udp()))),
        ("tcp6", frame(0x86dd, &ipv6(6, &tcp()))),
        ("sctp6", frame(0x86dd, &ipv6(132, &sctp))),
        ("icmp6", frame(0x86dd, &ipv6(58, &[128, 0, 0xab, 0xcd, 0, 1, 0, 1]))),
        ("icmp6-cut", frame(0x86dd, &ipv6(58, &[128, 0]))),
        ("solicit", frame(0x86dd, &ipv6(58, &solicit))),
        ("solicit-code", frame(0x86dd, &ipv6(58, &[&[135, 1][..], &solicit[2..]].concat()))),
        ("solicit-twice", frame(0x86dd, &ipv6(58, &twice))),
        ("solicit-zero-option", frame(0x86dd, &ipv6(58, &zero_len))),
        ("advert", frame(0x86dd, &ipv6(58, &advert))),
        ("hop-by-hop", frame(0x86dd, &ipv6(0, &hop))),
        ("routing", frame(0x86dd, &ipv6(43, &routing))),
        ("destination", frame(0x86dd, &ipv6(60, &hop))),
        ("first6", frame(0x86dd, &ipv6(44, &fragment(1)))),
        ("later6", frame(0x86dd, &ipv6(44, &fragment(0x81)))),
        ("atomic6", frame(0x86dd, &ipv6(44, &fragment(0)))),
        ("none6", frame(0x86dd, &ipv6(59, &[]))),
        ("ip6-cut", frame(0x86dd, &ipv6(17, &udp())[..30])),
        ("arp", frame(0x806, &arp)),
        ("arp-op-258", frame(0x806, &[&arp[..6], &[1, 2], &arp[8..]].concat())),
        ("arp-not-ether", frame(0x806, &[&[0, 6], &arp[2..]].concat())),
        ("arp-cut", frame(0x806, &arp[..20])),
        ("rarp", frame(0x8035, &arp)),
        ("mpls", frame(0x8847, &[&lse(1, 1)[..], &v4].concat())),
        ("mpls-3", frame(0x8847, &[&lse(1, 0)[..], &lse(2, 0), &lse(3, 1), &v4].concat())),
        (
            "mpls-5",
            frame(0x8847, &[&lse(1, 0)[..], &lse(2, 0), &lse(3, 0), &lse(4, 0), &lse(5, 1), &v4].concat()),
        ),
        ("mpls-endless", frame(0x8848, &[lse(1, 0), lse(2, 0)].concat())),
        ("vlan", frame(0x8100, &tag(0x64, &typed(0x800, &v4)))),
        ("vlan-zero", frame(0x8100, &tag(0, &typed(0x800, &v4)))),
        ("vlan-ad", frame(0x88a8, &tag(0x2064, &typed(0x800, &v4)))),
        ("qinq", frame(0x88a8, &tag(0x64, &typed(0x8100, &tag(0x65, &typed(0x800, &v4)))))),
        (
            "vlan-3",
            frame(0x8100, &tag(1, &typed(0x8100, &tag(2, &typed(0x8100, &tag(3, &typed(0x800, &v4))))))),
        ),
        ("vlan-cut", frame(0x8100, &[0, 1])),
        ("nsh1", frame(0x894f, &nsh)),
        ("nsh2", frame(0x894f, &nsh2)),
        ("nsh-cut", frame(0x894f, &nsh[..6])),
    ]
}

/// The packet of a name.
pub(super) fn named(name: &str) -> Vec<u8> {
    all().into_iter().find(|(other, _)| *other == name).map(|(_, bytes)| bytes).unwrap_or_default()
}

/// [`packets`], and service headers of all kinds, and what ends too early.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let nsh = |first: u16, md: u8, np: u8, rest: &[u8]| {
        frame(0x894f, &[&first.to_be_bytes()[..], &[md, np, 0, 0, 1, 255], rest].concat())
    };
    let v4 = ipv4(17, 0, &udp());
    let mut all: Vec<_> = packets().into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    let mut add = |name: String, bytes: Vec<u8>| all.push((name, bytes));
    for np in 0..=6 {
        add(format!("nsh-np-{np}"), nsh(0x0fc6, 1, np, &[&[7; 16][..], &frame(0x800, &v4)].concat()));
    }
    for (first, md) in [
        (0x4fc6, 1),
        (0x3fc6, 1),
        (0x0006, 1),
        (0x0fc5, 1),
        (0x0fc7, 1),
        (0x0fc0, 1),
        (0x0fc6, 0),
        (0x0fc6, 3),
    ] {
        add(format!("nsh-{first:#x}-{md}"), nsh(first, md, 1, &[&[7; 16][..], &v4].concat()));
    }
    for words in [0, 1, 2, 3, 10, 40, 63] {
        add(format!("nsh-md2-{words}"), nsh(0x0fc0 | words, 2, 1, &[&[9; 60][..], &v4].concat()));
    }
    for len in [0, 4, 7, 8, 12, 23, 24] {
        add(format!("nsh-len-{len}"), nsh(0x0fc6, 1, 3, &[7; 16])[..14 + len].to_vec());
    }
    let tagged = |inside: &[u8]| frame(0x8100, &[&[0, 5][..], inside].concat());
    add("vlan-nsh".into(), tagged(&nsh(0x0fc6, 1, 1, &[&[7; 16][..], &v4].concat())[12..]));
    add("vlan-arp".into(), tagged(&[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]));
    add("vlan-mpls".into(), tagged(&[&[0x88, 0x47, 0, 1, 1, 64][..], &v4].concat()));
    add("vlan-v6".into(), tagged(&[&[0x86, 0xdd][..], &ipv6(17, &udp())].concat()));
    add(
        "ttl-1".into(),
        frame(0x800, &{
            let mut packet = ipv4(17, 0, &udp());
            (packet[8], packet[10], packet[11]) = (1, 0, 0);
            packet
        }),
    );
    for (name, proto) in [("udp", 17), ("tcp", 6), ("sctp", 132), ("icmp", 1)] {
        for len in [0, 1, 3, 4, 7, 8, 11, 12, 19] {
            add(format!("{name}4-cut-{len}"), frame(0x800, &ipv4(proto, 0, &[5; 19][..len])));
        }
    }
    // A header that says it is shorter than it is, or longer.
    for offset in [0u8, 0x40, 0x60, 0xf0] {
        let mut bytes = tcp();
        bytes[12] = offset;
        add(format!("tcp4-offset-{offset:#x}"), frame(0x800, &ipv4(6, 0, &bytes)));
        add(format!("tcp6-offset-{offset:#x}"), frame(0x86dd, &ipv6(6, &bytes)));
    }
    for (name, next) in [
        ("hop", 0),
        ("routing", 43),
        ("fragment", 44),
        ("auth", 51),
        ("destination", 60),
        ("esp", 50),
        ("mobility", 135),
    ] {
        for len in [0, 1, 7, 8, 16] {
            add(
                format!("v6-{name}-{len}"),
                frame(
                    0x86dd,
                    &ipv6(next, &[&[17, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 80, 0, 8, 0, 0][..len]].concat()),
                ),
            );
        }
    }
    for len in [0, 1, 2, 3] {
        add(format!("mpls-len-{len}"), frame(0x8847, &[0, 1, 1, 64][..len]));
        add(format!("vlan-len-{len}"), frame(0x8100, &[0, 1, 8, 0][..len]));
        add(format!("qinq-len-{len}"), frame(0x88a8, &[&[0, 1, 0x81, 0][..], &[0, 1, 8, 0][..len]].concat()));
    }
    all
}

/// Actions that need one another, or are too much for some packets.
pub(crate) fn chains() -> Vec<actions::Named> {
    let mut all = actions::chains();
    // Not what is recirculated, tracked or random: a world must not remember it.
    all.retain(|(name, _)| !name.contains("ct") && !name.contains("recirc"));
    all
}

/// Whether a list leaves something of a packet. Linux 6.12 panics on an upcall of one that has no bytes left.
pub(crate) fn leaves_some(bytes: &[u8], list: &[Node], is_l3: bool) -> bool {
    let count = |which: u16| list.iter().filter(|node| node.number() == Some(which)).count();
    let start = if is_l3 { 0 } else { 14 };
    let nsh = bytes.get(start + 1).map_or(0, |byte| usize::from(byte & 0x3f) * 4);
    let taken = count(action::POP_ETH) * 14
        + (count(action::POP_VLAN) + count(action::POP_MPLS)) * 4
        + count(action::POP_NSH) * nsh;
    let is_cut = count(action::TRUNC) > 0 && taken > 0;
    bytes.len() > taken && !is_cut
}

/// Packets that are odd, by all actions; and at random.
pub fn more(make: &mut Make<'_>) -> Vec<Scenario> {
    let mut extract = Vec::new();
    for (name, bytes) in all().into_iter().skip(packets().len()) {
        let message = execute(&bytes, vec![keys::in_port()], vec![show()]);
        make.one(&mut extract, &format!("ovs_packet/extract-more/{name}"), &message, &Around::default());
        let metadata = vec![keys::in_port(), leaf(key::ETHERTYPE, &bytes[12..14])];
        let message = execute(&bytes[14..], metadata, vec![show()]);
        make.one(&mut extract, &format!("ovs_packet/extract-l3/{name}"), &message, &Around::default());
    }
    let mut chained = Vec::new();
    for (on, bytes) in all() {
        for (name, list) in chains() {
            let shown = [list.clone(), vec![show()]].concat();
            if leaves_some(&bytes, &list, false) {
                let message = execute(&bytes, vec![keys::in_port()], shown.clone());
                let name = format!("ovs_packet/chain/{name}/on-{on}");
                make.one(&mut chained, &name, &message, &Around::default());
            }
            let also_l3 = on.starts_with("nsh") || matches!(&*on, "udp4" | "udp6" | "mpls" | "other");
            if also_l3 && leaves_some(&bytes[14..], &list, true) {
                let metadata = vec![keys::in_port(), leaf(key::ETHERTYPE, &bytes[12..14])];
                let message = execute(&bytes[14..], metadata, shown);
                let name = format!("ovs_packet/chain-l3/{name}/on-{on}");
                make.one(&mut chained, &name, &message, &Around::default());
            }
        }
    }
    let mut random = super::random::Random(20_180_612);
    let (packets, single) = (all(), actions::single());
    let usable = |name: &str| !["ct", "recirc", "sample"].iter().any(|part| name.contains(part));
    let single: Vec<_> = single.into_iter().chain(chains()).filter(|(name, _)| usable(name)).collect();
    let mut mixed = Vec::new();
    for at in 0..4000 {
        let (on, bytes) = &packets[random.below(packets.len())];
        let mut bytes = bytes.clone();
        if random.one_in(4) {
            bytes.truncate(14 + random.below(bytes.len() - 13));
        }
        if random.one_in(4) && bytes.len() > 14 {
            let place = 14 + random.below(bytes.len() - 14);
            bytes[place] ^= 1 << random.below(8);
        }
        let mut list: Vec<_> =
            (0..1 + random.below(3)).flat_map(|_| single[random.below(single.len())].1.clone()).collect();
        if !leaves_some(&bytes, &list, false)
            || list.iter().any(|node| node.number() == Some(action::POP_NSH))
        {
            continue;
        }
        list.push(show());
        let message = execute(&bytes, vec![keys::in_port()], list);
        make.one(&mut mixed, &format!("ovs_packet/random/{at}/on-{on}"), &message, &Around::default());
    }
    [("ovs_packet more", extract), ("ovs_packet chains", chained), ("ovs_packet random", mixed)]
        .map(|(name, cases)| Scenario { name, world: true, cases })
        .into()
}

pub fn scenario(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    let cases = &mut cases;
    let around = Around::default();
    let plain = frame(0x9000, &[0; 46]);
    make.all_of(
        cases,
        "ovs_packet/execute",
        &execute(&plain, vec![keys::in_port()], vec![actions::output()]),
        &around,
    );
    make.all_of(
        cases,
        "ovs_packet/execute-show",
        &execute(&plain, vec![keys::in_port()], vec![show()]),
        &around,
    );
    for len in [0, 1, 13, 14, 15, 60, 1514, 1515, 9000, 40_000] {
        let bytes = vec![2; len];
        let message = execute(&bytes, vec![keys::in_port()], vec![show()]);
        make.one(cases, &format!("ovs_packet/execute/len-{len}"), &message, &around);
    }
    for (name, bytes) in packets() {
        for port in [0, 1, 60_000, 65_535] {
            let message = execute(&bytes, vec![u32(key::IN_PORT, port)], vec![show()]);
            make.one(cases, &format!("ovs_packet/extract/{name}/port-{port}"), &message, &around);
        }
        make.one(
            cases,
            &format!("ovs_packet/extract/{name}/no-metadata"),
            &execute(&bytes, vec![], vec![show()]),
            &around,
        );
    }
    // Metadata that EXECUTE takes, and what it does not.
    let bytes = frame(0x800, &ipv4(17, 0, &udp()));
    for (name, nodes) in keys::all() {
        make.one(
            cases,
            &format!("ovs_packet/metadata/{name}"),
            &execute(&bytes, nodes, vec![show()]),
            &around,
        );
    }
    for (name, extra) in [
        ("mru-0", fixed(packet::MRU, 0u16)),
        ("mru-1400", fixed(packet::MRU, 1400u16)),
        ("hash", fixed(packet::HASH, 0x1_0000_1234u64)),
        ("probe", leaf(packet::PROBE, [])),
        ("len", u32(packet::LEN, 9)),
        ("userdata", leaf(packet::USERDATA, [1, 2, 3])),
    ] {
        let message = execute(&bytes, vec![keys::in_port()], vec![show()]).with([extra]);
        make.one(cases, &format!("ovs_packet/execute/{name}"), &message, &around);
    }
    for number in (0..=7).chain([127, 128, 255]) {
        let message = Message { cmd: number, ..execute(&plain, vec![keys::in_port()], vec![]) };
        make.one(cases, &format!("ovs_packet/command-{number}"), &message, &around);
    }
    Scenario { name: "ovs_packet", world: true, cases: std::mem::take(cases) }
}

/// What actions make of packets: each followed by an upcall that shows it.
pub fn actions(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    let all = packets();
    for on in [
        "other",
        "udp4",
        "udp4-no-sum",
        "tcp4",
        "tcp6",
        "icmp4",
        "later4",
        "solicit",
        "arp",
        "mpls-3",
        "vlan",
        "qinq",
        "nsh1",
        "sctp4",
        "hop-by-hop",
    ] {
        let Some((_, bytes)) = all.iter().find(|(name, _)| *name == on) else { continue };
        for (name, mut list) in actions::single().into_iter().chain(actions::nested()) {
            // Connections live on after the case; recirculation ends the list; upcalls to others show nothing.
            let one_in_many = name.contains('[') && !matches!(on, "udp4" | "vlan");
            let shown_elsewhere = ["ct", "times-", "recirc"].iter().any(|part| name.contains(part));
            if one_in_many || shown_elsewhere {
                continue;
            }
            list.push(show());
            let message = execute(bytes, vec![keys::in_port()], list);
            make.one(&mut cases, &format!("ovs_packet/action/{name}/on-{on}"), &message, &Around::default());
        }
    }
    Scenario { name: "ovs_packet actions", world: true, cases }
}
