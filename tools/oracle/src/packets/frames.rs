//! Frames: those of the request oracle, and more that only a wire brings.

use crate::generate::packets::{self, frame, ipv4, ipv6, sum};

/// A frame and its name.
pub type Named = (String, Vec<u8>);

/// The pseudo-header's sum and the payload's, as a checksum.
fn checksum(addresses: &[u8], proto: u8, segment: &[u8]) -> [u8; 2] {
    let len = (segment.len() as u32).to_be_bytes();
    sum(&[addresses, &len, &[0, 0, 0, proto], segment].concat())
}

/// Puts the right checksum of a transport protocol into a frame with an IP header without extensions.
pub fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let (addresses, proto, at) = match bytes[12..14] {
        [8, 0] => (26..34, bytes[23], 34),
        _ => (22..54, bytes[20], 54),
    };
    let place = at
        + match proto {
            6 => 16,
            17 => 6,
            58 | 1 => 2,
            _ => return bytes,
        };
    if bytes.len() < place + 2 {
        return bytes;
    }
    bytes[place..place + 2].fill(0);
    let value = match proto {
        1 => sum(&bytes[at..]),
        _ => checksum(&bytes[addresses], proto, &bytes[at..]),
    };
    bytes[place..place + 2].copy_from_slice(&value);
    bytes
}

/// Frames whose checksums are right.
pub fn right() -> Vec<Named> {
    let udp: Vec<u8> = [&[0x12, 0x34, 0, 80, 0, 28, 0, 0][..], b"twenty bytes of data"].concat();
    let tcp: Vec<u8> =
        [&[0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 4, 0, 0, 0, 0, 0][..], b"odd data!"]
            .concat();
    let echo: Vec<u8> = [&[8, 0, 0, 0, 0, 7, 0, 1][..], b"abcdefg"].concat();
    let echo6: Vec<u8> = [&[128, 0, 0, 0, 0, 7, 0, 1][..], b"abcdefg"].concat();
    let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &[0xfe; 16], &[1, 1, 2, 2, 2, 2, 2, 2]].concat();
    let named = |name: &str, bytes| (name.to_owned(), summed(bytes));
    vec![
        named("right-udp4", frame(0x800, &ipv4(17, 0x4000, &udp))),
        named("right-tcp4", frame(0x800, &ipv4(6, 0x4000, &tcp))),
        named("right-icmp4", frame(0x800, &ipv4(1, 0, &echo))),
        named("right-udp6", frame(0x86dd, &ipv6(17, &udp))),
        named("right-tcp6", frame(0x86dd, &ipv6(6, &tcp))),
        named("right-icmp6", frame(0x86dd, &ipv6(58, &echo6))),
        named("right-solicit", frame(0x86dd, &ipv6(58, &solicit))),
    ]
}

/// Chains of IPv6's extension headers, in order and not.
fn chains() -> Vec<Named> {
    let l4 = [0x12, 0x34, 0, 80, 0, 8, 0, 0];
    let orders: [(&str, &[u8]); 14] = [
        ("hop-dst", &[0, 60]),
        ("hop-dst-routing-fragment", &[0, 60, 43, 44]),
        ("dst-hop", &[60, 0]),
        ("hop-hop", &[0, 0]),
        ("dst-dst", &[60, 60]),
        ("dst-dst-dst", &[60, 60, 60]),
        ("dst-routing-dst", &[60, 43, 60]),
        ("routing-routing", &[43, 43]),
        ("fragment-dst", &[44, 60]),
        ("auth", &[51]),
        ("auth-auth", &[51, 51]),
        ("routing-auth-dst", &[43, 51, 60]),
        ("fragment-fragment", &[44, 44]),
        ("auth-hop", &[51, 0]),
    ];
    let mut all = Vec::new();
    for (name, order) in orders {
        for (end, proto, rest) in
            [("udp", 17, &l4[..]), ("none", 59, &[]), ("esp", 50, &l4), ("other", 200, &l4)]
        {
            let mut payload = Vec::new();
            for (at, header) in order.iter().enumerate() {
                let next = order.get(at + 1).copied().unwrap_or(proto);
                payload.extend(match header {
                    // Its length counts in words of four bytes, less two.
                    51 => vec![next, 2, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0],
                    44 => vec![next, 0, 0, 0, 0, 0, 0, 9],
                    _ => vec![next, 0, 1, 4, 0, 0, 0, 0],
                });
            }
            payload.extend(rest);
            all.push((format!("chain-{name}-{end}"), frame(0x86dd, &ipv6(order[0], &payload))));
        }
    }
    all
}

/// Headers that do not tell the truth about lengths, and fields at their ends.
fn odd() -> Vec<Named> {
    let mut all = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| all.push((name, bytes));
    let udp = packets::udp();
    for len in [0u16, 19, 20, 21, 27, 28, 31, 33, 1500, 65535] {
        let mut bytes = frame(0x800, &ipv4(17, 0, &udp));
        bytes[16..18].copy_from_slice(&len.to_be_bytes());
        add(format!("ip4-total-{len}"), bytes);
        let mut bytes = frame(0x86dd, &ipv6(17, &udp));
        bytes[18..20].copy_from_slice(&len.to_be_bytes());
        add(format!("ip6-payload-{len}"), bytes);
    }
    for ihl in [0u8, 4, 5, 6, 8, 10, 15] {
        let mut bytes = frame(0x800, &ipv4(17, 0, &udp));
        bytes[14] = 0x40 | ihl;
        add(format!("ip4-ihl-{ihl}"), bytes);
    }
    for fragment in [0x8000u16, 0x4000, 0x2000, 0x2001, 0x0001, 0x1fff, 0x3fff, 0xffff] {
        add(format!("ip4-fragment-{fragment:#x}"), frame(0x800, &ipv4(17, fragment, &udp)));
        add(format!("ip4-tcp-fragment-{fragment:#x}"), frame(0x800, &ipv4(6, fragment, &packets::tcp())));
        let head = [&[6, 0][..], &fragment.to_be_bytes(), &[0, 0, 0, 9], &packets::tcp()].concat();
        add(format!("ip6-tcp-fragment-{fragment:#x}"), frame(0x86dd, &ipv6(44, &head)));
    }
    for flags in [0u8, 1, 2, 4, 8, 16, 32, 64, 128, 255] {
        for low in [0x50, 0x5f, 0x51] {
            let mut tcp = packets::tcp();
            (tcp[12], tcp[13]) = (low, flags);
            add(format!("tcp4-flags-{low:x}-{flags:02x}"), frame(0x800, &ipv4(6, 0, &tcp)));
        }
    }
    for tos in [0u8, 1, 3, 0xfc, 0xff] {
        let mut bytes = frame(0x800, &ipv4(17, 0, &udp));
        bytes[15] = tos;
        add(format!("ip4-tos-{tos:x}"), bytes);
        let mut bytes = frame(0x86dd, &ipv6(17, &udp));
        (bytes[14], bytes[15]) = (0x60 | tos >> 4, tos << 4 | 5);
        add(format!("ip6-class-{tos:x}"), bytes);
    }
    for proto in [2u8, 4, 41, 47, 50, 51, 89, 94, 103, 112, 115, 136, 255] {
        add(format!("ip4-proto-{proto}"), frame(0x800, &ipv4(proto, 0, &udp)));
        add(format!("ip6-next-{proto}"), frame(0x86dd, &ipv6(proto, &udp)));
    }
    for (what, icmp_type) in
        [("echo", 8u8), ("unreachable", 3), ("redirect", 5), ("exceeded", 11), ("stamp", 13)]
    {
        let bytes = [&[icmp_type, 1, 0, 0, 0, 0, 0, 0][..], &ipv4(17, 0, &udp)].concat();
        add(format!("icmp4-{what}"), summed(frame(0x800, &ipv4(1, 0, &bytes))));
    }
    for icmp_type in [1u8, 2, 3, 128, 133, 134, 137, 143] {
        let bytes = [&[icmp_type, 0, 0, 0, 0, 0, 0, 0][..], &[1, 1, 2, 2, 2, 2, 2, 2], &[0; 24]].concat();
        add(format!("icmp6-type-{icmp_type}"), summed(frame(0x86dd, &ipv6(58, &bytes))));
    }
    let target = [0xfeu8; 16];
    for (what, icmp_type, options) in [
        ("none", 135u8, vec![]),
        ("sll-2-words", 135, [&[1, 2][..], &[7; 14]].concat()),
        ("sll-cut", 135, vec![1, 1, 2, 2, 2, 2]),
        ("tll-in-solicit", 135, vec![2, 1, 3, 3, 3, 3, 3, 3]),
        ("sll-in-advert", 136, vec![1, 1, 3, 3, 3, 3, 3, 3]),
        ("other-then-sll", 135, [&[5, 1, 0, 0, 0, 0, 5, 0xdc][..], &[1, 1, 3, 3, 3, 3, 3, 3]].concat()),
        ("tll-and-sll", 136, [&[2, 1, 4, 4, 4, 4, 4, 4][..], &[1, 1, 3, 3, 3, 3, 3, 3]].concat()),
        ("tll-twice", 136, [&[2, 1, 4, 4, 4, 4, 4, 4][..], &[2, 1, 3, 3, 3, 3, 3, 3]].concat()),
        ("zero-later", 136, [&[2, 1, 4, 4, 4, 4, 4, 4][..], &[9, 0, 3, 3, 3, 3, 3, 3]].concat()),
        ("too-long", 136, vec![2, 9, 4, 4, 4, 4, 4, 4]),
    ] {
        let bytes = [&[icmp_type, 0, 0, 0, 0, 0, 0, 0][..], &target, &options].concat();
        add(format!("nd-{what}"), summed(frame(0x86dd, &ipv6(58, &bytes))));
    }
    let arp = |kind: u16, proto: u16, sizes: [u8; 2], op: u16| {
        let head = [kind.to_be_bytes(), proto.to_be_bytes(), sizes, op.to_be_bytes()].concat();
        [&head[..], &[2; 6], &[10, 0, 0, 1], &[4; 6], &[10, 0, 0, 2], &[0; 18]].concat()
    };
    for (what, bytes) in [
        ("request", arp(1, 0x800, [6, 4], 1)),
        ("reply", arp(1, 0x800, [6, 4], 2)),
        ("op-0", arp(1, 0x800, [6, 4], 0)),
        ("op-255", arp(1, 0x800, [6, 4], 255)),
        ("op-256", arp(1, 0x800, [6, 4], 256)),
        ("protocol", arp(1, 0x86dd, [6, 4], 1)),
        ("hardware-length", arp(1, 0x800, [8, 4], 1)),
        ("protocol-length", arp(1, 0x800, [6, 16], 1)),
    ] {
        add(format!("arp-{what}"), frame(0x806, &bytes));
    }
    all.extend(tagged());
    all
}

/// Tags of all kinds, and what may stand behind them.
fn tagged() -> Vec<Named> {
    let mut all = Vec::new();
    let udp = packets::udp();
    let v4 = [&[8, 0][..], &ipv4(17, 0, &udp)].concat();
    let v6 = [&[0x86, 0xdd][..], &ipv6(17, &udp)].concat();
    let inside: [(&str, Vec<u8>); 6] = [
        ("v4", v4),
        ("v6", v6),
        ("other", [&[0x90, 0][..], &[0; 46]].concat()),
        ("llc", [&[0, 46, 0x42, 0x42, 3][..], &[0; 43]].concat()),
        ("snap", [&[0, 20, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &[0; 20]].concat()),
        ("mpls", [&[0x88, 0x47, 0, 1, 0x11, 64][..], &ipv4(17, 0, &udp)].concat()),
    ];
    for (what, rest) in inside {
        for tci in [0u16, 0x0fff, 0x1005, 0xe005, 0xffff] {
            let tag = |tpid: u16, rest: &[u8]| frame(tpid, &[&tci.to_be_bytes()[..], rest].concat());
            all.push((format!("tag-{tci:x}-{what}"), tag(0x8100, &rest)));
            all.push((format!("tag-ad-{tci:x}-{what}"), tag(0x88a8, &rest)));
            let two = |tpid: u16| [&tpid.to_be_bytes()[..], &[0x20, 7], &rest].concat();
            all.push((format!("tags-{tci:x}-{what}"), tag(0x8100, &two(0x8100))));
            all.push((format!("tags-ad-{tci:x}-{what}"), tag(0x88a8, &two(0x88a8))));
        }
        let tag = |tpid: u16| frame(tpid, &[&[0, 5][..], &rest].concat());
        all.push((format!("tag-9100-{what}"), tag(0x9100)));
        all.push((format!("tag-9200-{what}"), tag(0x9200)));
    }
    for labels in 1..=6u8 {
        for bottom in [0, labels] {
            let stack = (1..=labels).flat_map(|at| [0, at, u8::from(at == bottom) | at << 1, 64]);
            let payload: Vec<u8> = stack.chain(ipv4(17, 0, &udp)).collect();
            all.push((format!("stack-{labels}-{bottom}"), frame(0x8847, &payload)));
            all.push((format!("stack-multicast-{labels}-{bottom}"), frame(0x8848, &payload)));
        }
    }
    all
}

/// All frames.
pub fn all() -> Vec<Named> {
    [packets::all(), right(), chains(), odd()].concat()
}

/// Those that actions are tried on.
pub fn acted_on() -> Vec<Named> {
    let more = ["tag-1005-v6", "tags-ad-1005-v4", "stack-2-2", "ttl-1", "arp-request", "nd-tll-and-sll"];
    let packets = packets::packets().into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    let all = all();
    let more = all.iter().filter(|(name, _)| more.contains(&&**name)).cloned();
    packets.chain(right()).chain(more).collect()
}
