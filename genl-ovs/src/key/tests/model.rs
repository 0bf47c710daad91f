//! Keys as packets have them, packets, and attributes that nobody would send.

use super::*;
use pfnl_datapath::key::{Be16, Be32, Be64, Nsh, TunnelKey, Vlan};
use proptest::collection::vec;
use proptest::option::of as maybe;

/// A key of a valid shape.
pub fn key() -> impl Strategy<Value = FlowKey> {
    (
        metadata(),
        link(),
        any::<u8>(),
        proptest::sample::select(&[1u8, 6, 17, 47, 58, 132][..]),
        0u8..3,
        bytes64(),
    )
        .prop_map(|(mut key, (src, dst, vlan, cvlan, ethertype), kind, proto, frag, bytes)| {
            (key.mac_proto, key.eth_src, key.eth_dst) = (1, src, dst);
            (key.vlan, key.cvlan) = (vlan, if vlan.tci.get() == 0 { Vlan::default() } else { cvlan });
            key.eth_type = Be16::new(ethertype);
            if kind < 64 && ethertype != 0x0004 {
                // An L3 packet.
                (key.mac_proto, key.eth_src, key.eth_dst) = (0, [0; 6], [0; 6]);
                (key.vlan, key.cvlan) = Default::default();
            }
            payload(&mut key, proto, frag, &bytes);
            key
        })
}

/// Addresses, tags and the type.
fn link() -> impl Strategy<Value = ([u8; 6], [u8; 6], Vlan, Vlan, u16)> {
    let ethertype = proptest::sample::select(
        &[0x0004u16, 0x0800, 0x86dd, 0x0806, 0x8035, 0x8847, 0x8848, 0x894f, 0x9000][..],
    );
    (any::<[u8; 6]>(), any::<[u8; 6]>(), tag(), tag(), ethertype)
}

fn tag() -> impl Strategy<Value = Vlan> {
    maybe((any::<u16>(), any::<bool>())).prop_map(|tag| {
        tag.map_or(Vlan::default(), |(tci, outer)| Vlan {
            tci: Be16::new(tci | 0x1000),
            tpid: Be16::new(if outer { 0x88a8 } else { 0x8100 }),
        })
    })
}

fn bytes64() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 64)
}

fn metadata() -> impl Strategy<Value = FlowKey> {
    let words = (0u32..65536, any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let ct = (any::<u16>(), any::<u8>(), any::<[u8; 16]>());
    (words, ct, maybe(tunnel())).prop_map(|(words, (zone, state, labels), tunnel)| {
        let (port, recirc_id, priority, skb_mark, dp_hash, ct_mark) = words;
        let mut key = FlowKey { recirc_id, priority, skb_mark, dp_hash, ct_mark, ..FlowKey::ZERO };
        // The last is a packet that came from no port: that is said by saying nothing, so it can't be read back.
        key.in_port = port.min(65534);
        (key.ct_zone, key.ct_state, key.ct_labels) = (zone, state, labels);
        if let Some(tunnel) = tunnel {
            key.tunnel = tunnel;
        }
        key
    })
}

fn tunnel() -> impl Strategy<Value = TunnelKey> {
    (
        maybe(any::<u64>()),
        any::<[u8; 16]>(),
        any::<[u8; 15]>(),
        any::<[u8; 6]>(),
        0u16..16,
        0u8..5,
        any::<u8>(),
    )
        .prop_map(|(id, src, dst, [tos, ttl, a, b, c, d], flags, kind, fill)| {
            let mut key = FlowKey::ZERO.tunnel;
            (key.tos, key.ttl, key.flags) = (tos, ttl, flags & !tunnel::KEY);
            (key.tp_src, key.tp_dst) = (Be16::from_bytes([a, b]), Be16::from_bytes([c, d]));
            if let Some(id) = id {
                (key.id, key.flags) = (Be64::new(id), key.flags | tunnel::KEY);
            }
            key.ip_version = if fill % 2 == 0 { 4 } else { 6 };
            let len = if key.ip_version == 4 { 4 } else { 16 };
            key.src[..len].copy_from_slice(&src[..len]);
            key.dst[0] = 1;
            key.dst[1..len].copy_from_slice(&dst[..len - 1]);
            (key.opts_kind, key.opts_len) = match kind {
                1 => (tunnel::OPTS_GENEVE, 4 + fill % 63 * 4),
                2 => (tunnel::OPTS_VXLAN, 4),
                3 => (tunnel::OPTS_ERSPAN, 12),
                _ => (0, 0),
            };
            key.opts[..usize::from(key.opts_len)].fill(fill);
            key
        })
}

/// Fills in what the Ethernet type announces.
fn payload(key: &mut FlowKey, proto: u8, frag: u8, bytes: &[u8]) {
    let at = |n: usize| <[u8; 16]>::try_from(&bytes[n..n + 16]).unwrap();
    match key.eth_type.get() {
        0x0800 => {
            (key.ipv4_src, key.ipv4_dst) = (parse::narrow(&at(0)), parse::narrow(&at(4)));
            tuple(key, parse::widen(parse::narrow(&at(40))), parse::widen(parse::narrow(&at(44))), bytes);
            transport(key, proto, frag, bytes);
        }
        0x86dd => {
            (key.ipv6_src, key.ipv6_dst) = (at(0), at(16));
            key.ipv6_label = Be32::new(u32::from_be_bytes(parse::narrow(&at(20))) >> 12);
            key.ipv6_exthdrs = u16::from_ne_bytes([bytes[1], bytes[2]]);
            transport(key, proto, frag, bytes);
            if proto == 58 && frag != 2 && bytes[50] < 128 {
                (key.tp_src, key.nd_target) = (Be16::new(135), at(40));
                (key.sha, key.tha) = ([bytes[3]; 6], [bytes[4]; 6]);
            } else {
                tuple(key, at(30), at(40), bytes);
            }
        }
        0x0806 | 0x8035 => {
            (key.ipv4_src, key.ipv4_dst, key.ip_proto) =
                (parse::narrow(&at(0)), parse::narrow(&at(4)), bytes[0]);
            (key.sha, key.tha) = ([bytes[3]; 6], [bytes[4]; 6]);
        }
        0x8847 | 0x8848 => {
            for (n, (label, byte)) in
                key.mpls.iter_mut().zip(bytes).take(1 + usize::from(bytes[0] % 3)).enumerate()
            {
                *label = Be32::from_bytes([*byte, 1, 2, 3]);
                key.mpls_labels |= 1 << n;
            }
        }
        0x894f => {
            key.nsh =
                Nsh { flags: bytes[0], ttl: bytes[1], mdtype: bytes[2] % 3, np: bytes[3], ..Nsh::default() };
            key.nsh.path_hdr = Be32::from_bytes(parse::narrow(&at(4)));
            if key.nsh.mdtype == 1 {
                key.nsh.context[2] = Be32::from_bytes(parse::narrow(&at(8)));
            }
        }
        _ => {}
    }
}

fn transport(key: &mut FlowKey, proto: u8, frag: u8, bytes: &[u8]) {
    (key.ip_proto, key.ip_frag, key.ip_tos, key.ip_ttl) = (proto, frag, bytes[60], bytes[61]);
    let ports = (Be16::from_bytes([bytes[50], bytes[51]]), Be16::from_bytes([bytes[52], bytes[53]]));
    if frag == 2 {
        return;
    }
    match (proto, key.eth_type.get()) {
        (6, _) => (key.tp_src, key.tp_dst, key.tcp_flags) = (ports.0, ports.1, Be16::new(0x0123)),
        (17 | 132, _) => (key.tp_src, key.tp_dst) = ports,
        // No neighbour discovery here.
        (1, 0x0800) | (58, 0x86dd) => {
            (key.tp_src, key.tp_dst) = (Be16::new(u16::from(bytes[50]) & 127), Be16::new(bytes[51].into()));
        }
        _ => {}
    }
}

fn tuple(key: &mut FlowKey, src: [u8; 16], dst: [u8; 16], bytes: &[u8]) {
    if bytes[59] < 128 {
        (key.ct_orig_src, key.ct_orig_dst, key.ct_orig_proto) = (src, dst, 6);
        (key.ct_orig_tp_src, key.ct_orig_tp_dst) = (Be16::new(1), Be16::from_bytes([bytes[57], bytes[58]]));
    }
}

/// Attributes with numbers and lengths that are often right.
pub fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let payload = |number: u16, nested: Vec<(u16, Vec<u8>)>, bytes: Vec<u8>, exact: bool| {
        let len = key::TABLE.row(number).map(|row| row.kind.len());
        match (number, len) {
            (key::ENCAP | key::TUNNEL | key::NSH, _) => {
                run(&nested.iter().map(|(number, bytes)| (*number, &bytes[..])).collect::<Vec<_>>())
            }
            (_, Some(pfnl_proto::Len::Exact(len))) if exact => {
                bytes.iter().copied().cycle().take(len.into()).collect()
            }
            _ => bytes,
        }
    };
    let ethertypes = proptest::sample::select(
        &[
            [8u8, 0],
            [0x86, 0xdd],
            [8, 6],
            [0x81, 0],
            [0x88, 0xa8],
            [0x88, 0x47],
            [0x89, 0x4f],
            [0xff, 0xff],
            [0, 1],
        ][..],
    );
    let nested = vec((0u16..34, vec(any::<u8>(), 0..20)), 0..5);
    // Mostly of the right length, or hardly any run would be valid.
    let attr = (0u16..34, nested, vec(any::<u8>(), 1..48), proptest::bool::weighted(0.9));
    let tail = vec(any::<u8>(), 0..3);
    (vec(attr, 0..6), ethertypes, proptest::bool::weighted(0.8), tail).prop_map(
        move |(list, ethertype, ethernet, tail)| {
            let mut all: Vec<(u16, Vec<u8>)> = vec![(key::ETHERTYPE, ethertype.to_vec())];
            if ethernet {
                all.push((key::ETHERNET, vec![1; 12]));
            }
            for (number, nested, bytes, exact) in list {
                if exact && all.iter().any(|(other, _)| *other == number) {
                    continue;
                }
                all.push((number, payload(number, nested, bytes, exact)));
            }
            let mut bytes = run(&all.iter().map(|(number, bytes)| (*number, &bytes[..])).collect::<Vec<_>>());
            if tail.len() == 2 {
                bytes.extend(tail);
            }
            bytes
        },
    )
}

/// How an attribute is masked.
#[derive(Clone, Copy, Debug)]
pub enum Masked {
    No,
    Whole,
    With(u8),
}

/// A mask for a key's attributes: each is left out, masked whole, or with some byte throughout.
pub fn mask(key: &[u8], choices: &[Masked]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes);
    for (attr, &choice) in Attrs::new(key, 0).zip(choices.iter().cycle()) {
        match (choice, attr.number()) {
            (Masked::No, _) => {}
            (_, key::ENCAP) => _ = w.bytes(key::ENCAP, &mask(attr.payload(), choices)),
            (Masked::Whole, key::TUNNEL) => _ = w.bytes(key::TUNNEL, attr.payload()),
            (Masked::Whole, number) => _ = w.bytes(number, &vec![0xff; attr.payload().len()]),
            (Masked::With(byte), number) => _ = w.bytes(number, &vec![byte; attr.payload().len()]),
        }
    }
    drop(w);
    bytes
}

pub fn choices() -> impl Strategy<Value = Vec<Masked>> {
    let choice =
        prop_oneof![2 => Just(Masked::No), 6 => Just(Masked::Whole), 1 => any::<u8>().prop_map(Masked::With)];
    vec(choice, 1..24)
}

/// One frame of each kind that has a key of its own.
pub fn frames() -> Vec<Vec<u8>> {
    let eth = |ethertype: [u8; 2], rest: &[u8]| [&[2; 6][..], &[4; 6], &ethertype, rest].concat();
    let v4 = |proto: u8, frag: [u8; 2], rest: &[u8]| {
        [&[0x45, 3, 0, 60, 0, 1][..], &frag, &[64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], rest].concat()
    };
    let v6 = |next: u8, rest: &[u8]| {
        [&[0x60, 0x12, 0x34, 0x56, 0, 40, next, 9][..], &[0xfc; 16], &[0xfd; 16], rest].concat()
    };
    let tcp = [0, 80, 1, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 0, 0, 0, 0, 0, 0];
    let udp = [0, 53, 0, 54, 0, 8, 0, 0];
    let sctp = [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    let icmp = [8, 0, 0, 0, 0, 0, 0, 0];
    let ns = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &[0xfe; 16], &[1, 1, 6, 5, 4, 3, 2, 1]].concat();
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[2; 6], &[10, 0, 0, 1], &[0; 6], &[10, 0, 0, 2]].concat();
    let fragment = |offset: [u8; 2], rest: &[u8]| [&[17, 0][..], &offset, &[0; 4], rest].concat();
    let tagged = |rest: &[u8]| [&[0x20, 5, 8, 0][..], rest].concat();
    let (ip, ip6) = ([8, 0], [0x86, 0xdd]);
    vec![
        eth([0x90, 0], &[]),
        eth([0, 3], &[0x42, 0x42, 3]),
        eth([0, 10], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0, 0]),
        eth(ip, &v4(6, [0, 0], &tcp)),
        eth(ip, &v4(6, [0, 0], &tcp[..10])),
        eth(ip, &v4(17, [0, 0], &udp)),
        eth(ip, &v4(17, [0x20, 0], &udp)),
        eth(ip, &v4(17, [0, 9], &udp)),
        eth(ip, &v4(132, [0, 0], &sctp)),
        eth(ip, &v4(1, [0, 0], &icmp)),
        eth(ip, &v4(47, [0, 0], &icmp)),
        eth(ip, &[0x45, 0]),
        eth(ip6, &v6(6, &tcp)),
        eth(ip6, &v6(17, &udp)),
        eth(ip6, &v6(58, &ns)),
        eth(ip6, &v6(58, &[129, 0, 0, 0, 0, 0, 0, 0])),
        eth(ip6, &v6(44, &fragment([0, 1], &udp))),
        eth(ip6, &v6(44, &fragment([0, 9], &udp))),
        eth(ip6, &v6(0, &[60, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 53, 0, 54, 0, 8, 0, 0])),
        eth([8, 6], &arp),
        eth([0x80, 0x35], &arp),
        eth([0x88, 0x47], &[0, 1, 1, 64, 8, 0]),
        eth([0x88, 0x48], &[0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 0, 64, 0, 4, 1, 64]),
        eth([0x81, 0], &tagged(&v4(17, [0, 0], &udp))),
        eth([0x88, 0xa8], &[&[0x10, 7, 0x81, 0][..], &tagged(&v4(17, [0, 0], &udp))].concat()),
        eth([0x88, 0xa8], &[&[0, 7, 0x81, 0, 0, 8, 0x81, 0][..], &tagged(&v4(6, [0, 0], &tcp))].concat()),
    ]
}
