//! Flow keys of every kind that Linux's parser tells apart.

use super::message::{Node, fixed, leaf, nest, u32};
use pfnl_proto::ovs::{
    FRAG_FIRST, FRAG_LATER, FRAG_NONE, KeyArp, KeyCtTuple4, KeyCtTuple6, KeyEthernet, KeyIcmp, KeyIpv4,
    KeyIpv6, KeyNd, KeyPorts, NshBase, key, nsh_key, tunnel_key, vxlan_opt,
};

/// A key and its name.
pub type Named = (&'static str, Vec<Node>);

/// The port in all keys.
pub fn in_port() -> Node {
    u32(key::IN_PORT, 1)
}

/// Ethernet addresses.
pub fn ethernet() -> Node {
    fixed(key::ETHERNET, KeyEthernet { src: [2, 0, 0, 0, 0, 1], dst: [2, 0, 0, 0, 0, 2] })
}

/// An Ethernet type.
pub fn ethertype(value: u16) -> Node {
    leaf(key::ETHERTYPE, value.to_be_bytes())
}

fn ipv4(proto: u8, frag: u8) -> Node {
    fixed(key::IPV4, KeyIpv4 { src: [10, 0, 0, 1], dst: [10, 0, 0, 2], proto, tos: 0, ttl: 64, frag })
}

fn ipv6(proto: u8, frag: u8) -> Node {
    let address = |last| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let (src, dst) = (address(1), address(2));
    fixed(key::IPV6, KeyIpv6 { src, dst, label: [0, 1, 2, 3], proto, tclass: 0, hlimit: 64, frag })
}

fn ports(number: u16) -> Node {
    fixed(number, KeyPorts { src: [0x12, 0x34], dst: [0, 80] })
}

fn icmp(number: u16, icmp_type: u8) -> Node {
    fixed(number, KeyIcmp { icmp_type, code: 0 })
}

fn tcp_flags() -> Node {
    leaf(key::TCP_FLAGS, [0, 2])
}

fn nd() -> Node {
    fixed(key::ND, KeyNd { target: [0xfe; 16], sll: [2; 6], tll: [4; 6] })
}

fn arp() -> Node {
    let (sip, tip, op) = ([10, 0, 0, 1], [10, 0, 0, 2], [0, 1]);
    fixed(key::ARP, KeyArp { sip, tip, op, sha: [2; 6], tha: [4; 6], pad: [0; 2] })
}

fn mpls(labels: usize) -> Node {
    // Label 16 and up, traffic class 0, TTL 64; the last has the bottom-of-stack bit.
    let lses = (0..labels).flat_map(|at| [0, 1, u8::from(at + 1 == labels), 64]);
    leaf(key::MPLS, lses.collect::<Vec<_>>())
}

fn nsh(md_type: u8) -> Node {
    let base = NshBase { flags: 0, ttl: 63, mdtype: md_type, np: 1, path_hdr: [0, 0, 1, 255] };
    let metadata = match md_type {
        1 => leaf(nsh_key::MD1, [7; 16]),
        _ => leaf(nsh_key::MD2, [0, 1, 2, 4, 9, 9, 9, 9]),
    };
    nest(key::NSH, &nsh_key::TABLE, [fixed(nsh_key::BASE, base), metadata])
}

/// A service header that something follows.
pub fn nsh_of(np: u8) -> Vec<Node> {
    let base = NshBase { flags: 0, ttl: 63, mdtype: 1, np, path_hdr: [0, 0, 1, 255] };
    let header = nest(key::NSH, &nsh_key::TABLE, [fixed(nsh_key::BASE, base), leaf(nsh_key::MD1, [7; 16])]);
    on_ethernet(vec![ethertype(0x894f), header])
}

/// A tunnel key over IPv4, with more in it.
pub fn tunnel4(more: impl IntoIterator<Item = Node>) -> Node {
    let mut nodes = vec![
        leaf(tunnel_key::ID, [0, 0, 0, 0, 0, 0, 0, 5]),
        leaf(tunnel_key::IPV4_SRC, [192, 0, 2, 1]),
        leaf(tunnel_key::IPV4_DST, [192, 0, 2, 2]),
        leaf(tunnel_key::TOS, [0]),
        leaf(tunnel_key::TTL, [64]),
    ];
    nodes.extend(more);
    nest(key::TUNNEL, &tunnel_key::TABLE, nodes)
}

fn tunnel6() -> Node {
    nest(
        key::TUNNEL,
        &tunnel_key::TABLE,
        [
            leaf(tunnel_key::ID, [0, 0, 0, 0, 0, 0, 0, 5]),
            leaf(tunnel_key::IPV6_SRC, [0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            leaf(tunnel_key::IPV6_DST, [0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
            leaf(tunnel_key::TTL, [64]),
        ],
    )
}

fn vlan(tpid: u16, tci: u16, inside: Vec<Node>) -> Vec<Node> {
    vec![ethertype(tpid), leaf(key::VLAN, tci.to_be_bytes()), nest(key::ENCAP, &key::TABLE, inside)]
}

fn on_ethernet(nodes: Vec<Node>) -> Vec<Node> {
    [vec![in_port(), ethernet()], nodes].concat()
}

/// A plain flow that nothing is special about.
pub fn plain() -> Vec<Node> {
    on_ethernet(vec![ethertype(0x9000)])
}

/// A UDP flow.
pub fn udp4() -> Vec<Node> {
    on_ethernet(vec![ethertype(0x800), ipv4(17, FRAG_NONE), ports(key::UDP)])
}

/// Keys that are complete.
pub fn all() -> Vec<Named> {
    let l2 = on_ethernet;
    let v4 = |proto, frag, more: Vec<Node>| l2([vec![ethertype(0x800), ipv4(proto, frag)], more].concat());
    let v6 = |proto, frag, more: Vec<Node>| l2([vec![ethertype(0x86dd), ipv6(proto, frag)], more].concat());
    let with = |more: Vec<Node>| [more, plain()].concat();
    let udp = || vec![ethertype(0x800), ipv4(17, FRAG_NONE), ports(key::UDP)];
    let tuple4 = KeyCtTuple4 {
        src: [10, 1, 0, 1],
        dst: [10, 1, 0, 2],
        sport: [1, 2],
        dport: [3, 4],
        proto: 17,
        pad: [0; 3],
    };
    let tuple6 = KeyCtTuple6 {
        src: [0x20; 16],
        dst: [0x21; 16],
        sport: [1, 2],
        dport: [3, 4],
        proto: 17,
        pad: [0; 3],
    };
    let conntrack = || {
        vec![
            u32(key::CT_STATE, 0x21),
            fixed(key::CT_ZONE, 7u16),
            u32(key::CT_MARK, 0x1234),
            leaf(key::CT_LABELS, [5; 16]),
        ]
    };
    vec![
        ("plain", plain()),
        ("tcp4", v4(6, FRAG_NONE, vec![ports(key::TCP), tcp_flags()])),
        ("udp4", udp4()),
        ("sctp4", v4(132, FRAG_NONE, vec![ports(key::SCTP)])),
        ("icmp4", v4(1, FRAG_NONE, vec![icmp(key::ICMP, 8)])),
        ("gre4", v4(47, FRAG_NONE, vec![])),
        ("first4", v4(17, FRAG_FIRST, vec![ports(key::UDP)])),
        ("later4", v4(17, FRAG_LATER, vec![])),
        ("tcp6", v6(6, FRAG_NONE, vec![ports(key::TCP), tcp_flags()])),
        ("udp6", v6(17, FRAG_NONE, vec![ports(key::UDP)])),
        ("sctp6", v6(132, FRAG_NONE, vec![ports(key::SCTP)])),
        ("icmp6", v6(58, FRAG_NONE, vec![icmp(key::ICMPV6, 128)])),
        ("nd-solicit", v6(58, FRAG_NONE, vec![icmp(key::ICMPV6, 135), nd()])),
        ("nd-advert", v6(58, FRAG_NONE, vec![icmp(key::ICMPV6, 136), nd()])),
        ("none6", v6(59, FRAG_NONE, vec![])),
        ("later6", v6(17, FRAG_LATER, vec![])),
        ("exthdr6", v6(17, FRAG_NONE, vec![ports(key::UDP), fixed(key::IPV6_EXTHDRS, 5u16)])),
        ("arp", l2(vec![ethertype(0x806), arp()])),
        ("rarp", l2(vec![ethertype(0x8035), arp()])),
        ("mpls1", l2(vec![ethertype(0x8847), mpls(1)])),
        ("mpls3", l2(vec![ethertype(0x8847), mpls(3)])),
        ("mpls4", l2(vec![ethertype(0x8847), mpls(4)])),
        ("mpls-multicast", l2(vec![ethertype(0x8848), mpls(1)])),
        ("nsh1", l2(vec![ethertype(0x894f), nsh(1)])),
        ("nsh2", l2(vec![ethertype(0x894f), nsh(2)])),
        ("vlan", l2(vlan(0x8100, 0x1064, udp()))),
        ("vlan-ad", l2(vlan(0x88a8, 0x1064, udp()))),
        ("qinq", l2(vlan(0x88a8, 0x1064, vlan(0x8100, 0x1065, udp())))),
        ("vlan3", l2(vlan(0x88a8, 0x1064, vlan(0x8100, 0x1065, vlan(0x8100, 0x1066, udp()))))),
        ("vlan-zero", l2(vlan(0x8100, 0, vec![]))),
        ("vlan-no-cfi", l2(vlan(0x8100, 0x64, udp()))),
        ("vlan-type", l2(vlan(0x9000, 0x1064, udp()))),
        ("llc", l2(vec![])),
        ("ethertype-small", l2(vec![ethertype(0x5ff)])),
        ("l3-v4", vec![in_port(), ethertype(0x800), ipv4(17, FRAG_NONE), ports(key::UDP)]),
        ("l3-v6", vec![in_port(), ethertype(0x86dd), ipv6(17, FRAG_NONE), ports(key::UDP)]),
        ("l3-other", vec![in_port(), ethertype(0x9000)]),
        ("no-port", vec![ethernet(), ethertype(0x9000)]),
        ("local", vec![u32(key::IN_PORT, 0), ethernet(), ethertype(0x9000)]),
        ("port-65534", vec![u32(key::IN_PORT, 65534), ethernet(), ethertype(0x9000)]),
        ("port-65535", vec![u32(key::IN_PORT, 65535), ethernet(), ethertype(0x9000)]),
        (
            "meta",
            with(vec![
                u32(key::PRIORITY, 1),
                u32(key::SKB_MARK, 2),
                u32(key::DP_HASH, 3),
                u32(key::RECIRC_ID, 4),
            ]),
        ),
        ("conntrack", [conntrack(), udp4()].concat()),
        ("conntrack-plain", with(conntrack())),
        (
            "conntrack-tuple4",
            [vec![u32(key::CT_STATE, 0x22), fixed(key::CT_ORIG_TUPLE_IPV4, tuple4)], udp4()].concat(),
        ),
        (
            "conntrack-tuple6",
            [
                vec![u32(key::CT_STATE, 0x22), fixed(key::CT_ORIG_TUPLE_IPV6, tuple6)],
                v6(17, FRAG_NONE, vec![ports(key::UDP)]),
            ]
            .concat(),
        ),
        ("tunnel4", with(vec![tunnel4([])])),
        (
            "tunnel4-flags",
            with(vec![tunnel4([
                leaf(tunnel_key::DONT_FRAGMENT, []),
                leaf(tunnel_key::CSUM, []),
                leaf(tunnel_key::OAM, []),
                leaf(tunnel_key::TP_SRC, [0x30, 0x39]),
                leaf(tunnel_key::TP_DST, [0x12, 0xb5]),
            ])]),
        ),
        ("tunnel6", with(vec![tunnel6()])),
        ("tunnel-geneve", with(vec![tunnel4([leaf(tunnel_key::GENEVE_OPTS, [1, 2, 0x80, 1, 9, 9, 9, 9])])])),
        (
            "tunnel-vxlan",
            with(vec![tunnel4([nest(tunnel_key::VXLAN_OPTS, &vxlan_opt::TABLE, [u32(vxlan_opt::GBP, 9)])])]),
        ),
        ("tunnel-erspan1", with(vec![tunnel4([leaf(tunnel_key::ERSPAN_OPTS, [1, 0, 0, 0, 0, 0, 0, 7])])])),
        (
            "tunnel-erspan2",
            with(vec![tunnel4([leaf(tunnel_key::ERSPAN_OPTS, [2, 0, 0, 0, 0, 0, 0, 7, 0, 0, 1, 0])])]),
        ),
        ("tunnel-bridge", with(vec![tunnel4([leaf(tunnel_key::IPV4_INFO_BRIDGE, [])])])),
    ]
}

/// The mask with these bytes throughout that a key's attributes have room for.
pub fn mask(key: &[Node], byte: u8) -> Vec<Node> {
    let masked = |node: &Node| match node {
        Node::Leaf(number, payload) => Node::Leaf(*number, vec![byte; payload.len()]),
        Node::Nest(number, table, nodes) => Node::Nest(*number, table, mask(nodes, byte)),
        Node::Raw(bytes) => Node::Raw(bytes.clone()),
    };
    key.iter().map(masked).collect()
}
