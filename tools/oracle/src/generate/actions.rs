//! Actions of every kind, good and bad.

use super::keys::{self, ethertype};
use super::message::{Node, fixed, leaf, nest, text, u32};
use pfnl_proto::ovs::{
    CtAction, HashAction, PushEth, PushMpls, PushVlan, TruncAction, action, check_pkt_len, ct, dec_ttl, key,
    nat, nsh_key, psample, sample, tunnel_key, userspace,
};

/// An action list and its name.
pub type Named = (String, Vec<Node>);

/// The output that stands for some good action.
pub fn output() -> Node {
    u32(action::OUTPUT, 1)
}

fn set(node: Node) -> Node {
    nest(action::SET, &key::TABLE, [node])
}

/// The value and a mask of one byte throughout, as SET_MASKED wants them.
fn set_masked(node: &Node, mask: u8) -> Node {
    let inner = match node {
        Node::Leaf(number, value) => Node::Leaf(*number, [value.clone(), vec![mask; value.len()]].concat()),
        other => other.clone(),
    };
    nest(action::SET_MASKED, &key::TABLE, [inner])
}

fn ct(nodes: impl Into<Vec<Node>>) -> Node {
    nest(action::CT, &ct::TABLE, nodes)
}

fn committed(node: Node) -> Node {
    ct([leaf(ct::COMMIT, []), fixed(ct::ZONE, 5u16), node])
}

fn nat(nodes: impl Into<Vec<Node>>) -> Node {
    committed(nest(ct::NAT, &nat::TABLE, nodes))
}

fn clone(nodes: impl Into<Vec<Node>>) -> Node {
    nest(action::CLONE, &action::TABLE, nodes)
}

fn sampled(nodes: impl Into<Vec<Node>>) -> Node {
    let actions = nest(sample::ACTIONS, &action::TABLE, nodes);
    nest(action::SAMPLE, &sample::TABLE, [u32(sample::PROBABILITY, 1000), actions])
}

fn by_length(greater: Vec<Node>, less_equal: Vec<Node>) -> Node {
    nest(
        action::CHECK_PKT_LEN,
        &check_pkt_len::TABLE,
        [
            fixed(check_pkt_len::PKT_LEN, 100u16),
            nest(check_pkt_len::ACTIONS_IF_GREATER, &action::TABLE, greater),
            nest(check_pkt_len::ACTIONS_IF_LESS_EQUAL, &action::TABLE, less_equal),
        ],
    )
}

fn push_vlan(tpid: u16, tci: u16) -> Node {
    fixed(action::PUSH_VLAN, PushVlan { tpid: tpid.to_be_bytes(), tci: tci.to_be_bytes() })
}

fn push_mpls(number: u16, ethertype: u16, flags: u16) -> Node {
    fixed(number, PushMpls { lse: [0, 1, 1, 64], ethertype: ethertype.to_be_bytes(), pad: flags })
}

fn pop_mpls(ethertype: u16) -> Node {
    leaf(action::POP_MPLS, ethertype.to_be_bytes())
}

fn to_userspace(portid: u32, more: impl IntoIterator<Item = Node>) -> Node {
    let mut nodes = vec![u32(userspace::PID, portid)];
    nodes.extend(more);
    nest(action::USERSPACE, &userspace::TABLE, nodes)
}

fn push_nsh(md_type: u8) -> Node {
    let base =
        pfnl_proto::ovs::NshBase { flags: 0, ttl: 63, mdtype: md_type, np: 3, path_hdr: [0, 0, 1, 255] };
    let metadata =
        if md_type == 1 { leaf(nsh_key::MD1, [7; 16]) } else { leaf(nsh_key::MD2, [0, 1, 2, 4, 9, 9, 9, 9]) };
    header([fixed(nsh_key::BASE, base), metadata])
}

/// PUSH_NSH with these parts of a header.
fn header(parts: impl Into<Vec<Node>>) -> Node {
    nest(action::PUSH_NSH, &key::TABLE, [nest(key::NSH, &nsh_key::TABLE, parts)])
}

/// Single actions.
pub fn single() -> Vec<Named> {
    let one = |name: &str, node: Node| (name.to_owned(), vec![node]);
    let mut all = vec![
        ("none".to_owned(), vec![]),
        one("output", output()),
        one("output-self", u32(action::OUTPUT, 1)),
        one("output-absent", u32(action::OUTPUT, 60_000)),
        one("output-65534", u32(action::OUTPUT, 65_534)),
        one("output-65535", u32(action::OUTPUT, 65_535)),
        one("output-70000", u32(action::OUTPUT, 70_000)),
        one("userspace", to_userspace(7, [])),
        one("userspace-0", to_userspace(0, [])),
        one(
            "userspace-data",
            to_userspace(7, [leaf(userspace::USERDATA, [1, 2, 3]), leaf(userspace::ACTIONS, [])]),
        ),
        one("userspace-egress", to_userspace(7, [u32(userspace::EGRESS_TUN_PORT, 1)])),
        one("push-vlan", push_vlan(0x8100, 0x1005)),
        one("push-vlan-ad", push_vlan(0x88a8, 0x1005)),
        one("push-vlan-type", push_vlan(0x9100, 0x1005)),
        one("push-vlan-no-cfi", push_vlan(0x8100, 5)),
        one("pop-vlan", leaf(action::POP_VLAN, [])),
        one("recirc", u32(action::RECIRC, 9)),
        one("recirc-0", u32(action::RECIRC, 0)),
        one("hash-l4", fixed(action::HASH, HashAction { algorithm: 0, basis: 5 })),
        one("hash-symmetric", fixed(action::HASH, HashAction { algorithm: 1, basis: 5 })),
        one("hash-unknown", fixed(action::HASH, HashAction { algorithm: 2, basis: 5 })),
        one("push-mpls", push_mpls(action::PUSH_MPLS, 0x8847, 0)),
        one("push-mpls-multicast", push_mpls(action::PUSH_MPLS, 0x8848, 0)),
        one("push-mpls-type", push_mpls(action::PUSH_MPLS, 0x800, 0)),
        one("pop-mpls-ip", pop_mpls(0x800)),
        one("pop-mpls-mpls", pop_mpls(0x8847)),
        one("pop-mpls-teb", pop_mpls(0x6558)),
        one("add-mpls-l3", push_mpls(action::ADD_MPLS, 0x8847, 1)),
        one("add-mpls-l2", push_mpls(action::ADD_MPLS, 0x8847, 0)),
        one("add-mpls-flags", push_mpls(action::ADD_MPLS, 0x8847, 2)),
        one("add-mpls-type", push_mpls(action::ADD_MPLS, 0x800, 1)),
        one("trunc-14", fixed(action::TRUNC, TruncAction { max_len: 14 })),
        one("trunc-13", fixed(action::TRUNC, TruncAction { max_len: 13 })),
        one("trunc-max", fixed(action::TRUNC, TruncAction { max_len: u32::MAX })),
        one("push-eth", fixed(action::PUSH_ETH, PushEth { src: [2; 6], dst: [4; 6] })),
        one("pop-eth", leaf(action::POP_ETH, [])),
        one("ct-clear", leaf(action::CT_CLEAR, [])),
        one("push-nsh-1", push_nsh(1)),
        one("push-nsh-2", push_nsh(2)),
        one("pop-nsh", leaf(action::POP_NSH, [])),
        one("meter-absent", u32(action::METER, 4)),
        one("drop", u32(action::DROP, 0)),
        one("drop-reason", u32(action::DROP, 0x7fff_ffff)),
        ("drop-output".to_owned(), vec![u32(action::DROP, 0), output()]),
        ("output-drop".to_owned(), vec![output(), u32(action::DROP, 3)]),
        one("sample", sampled([output()])),
        one("sample-empty", sampled([])),
        one("sample-recirc", sampled([u32(action::RECIRC, 1)])),
        one("sample-push-vlan", sampled([push_vlan(0x8100, 0x1005), output()])),
        one("clone", clone([output()])),
        one("clone-empty", clone([])),
        one("clone-pop-vlan", clone([leaf(action::POP_VLAN, [])])),
        ("clone-push-vlan-output".to_owned(), vec![clone([push_vlan(0x8100, 0x1005)]), output()]),
        one("check-pkt-len", by_length(vec![output()], vec![u32(action::OUTPUT, 2)])),
        one("check-pkt-len-empty", by_length(vec![], vec![])),
        one("check-pkt-len-pop", by_length(vec![leaf(action::POP_VLAN, [])], vec![output()])),
        one(
            "dec-ttl",
            nest(action::DEC_TTL, &dec_ttl::TABLE, [nest(dec_ttl::ACTION, &action::TABLE, [output()])]),
        ),
        one(
            "dec-ttl-empty",
            nest(action::DEC_TTL, &dec_ttl::TABLE, [nest(dec_ttl::ACTION, &action::TABLE, [])]),
        ),
        one("dec-ttl-nothing", nest(action::DEC_TTL, &dec_ttl::TABLE, [])),
        one("psample", nest(action::PSAMPLE, &psample::TABLE, [u32(psample::GROUP, 1)])),
        one(
            "psample-marked",
            nest(
                action::PSAMPLE | 0x8000,
                &psample::TABLE,
                [u32(psample::GROUP, 1), leaf(psample::COOKIE, [1; 16])],
            ),
        ),
        one(
            "psample-cookie-17",
            nest(
                action::PSAMPLE | 0x8000,
                &psample::TABLE,
                [u32(psample::GROUP, 1), leaf(psample::COOKIE, [1; 17])],
            ),
        ),
        one("psample-nothing", nest(action::PSAMPLE | 0x8000, &psample::TABLE, [])),
        ("twice".to_owned(), vec![output(), u32(action::OUTPUT, 2)]),
        ("push-pop-vlan".to_owned(), vec![push_vlan(0x8100, 0x1005), leaf(action::POP_VLAN, [])]),
        ("push-3-vlans".to_owned(), vec![push_vlan(0x8100, 0x1005); 3]),
        ("push-pop-mpls".to_owned(), vec![push_mpls(action::PUSH_MPLS, 0x8847, 0), pop_mpls(0x800)]),
        ("push-4-mpls".to_owned(), vec![push_mpls(action::PUSH_MPLS, 0x8847, 0); 4]),
        (
            "pop-push-eth".to_owned(),
            vec![leaf(action::POP_ETH, []), fixed(action::PUSH_ETH, PushEth { src: [2; 6], dst: [4; 6] })],
        ),
        (
            "hash-recirc".to_owned(),
            vec![fixed(action::HASH, HashAction { algorithm: 0, basis: 0 }), u32(action::RECIRC, 2)],
        ),
        ("trunc-output".to_owned(), vec![fixed(action::TRUNC, TruncAction { max_len: 64 }), output()]),
    ];
    all.extend(conntrack());
    all.extend(sets());
    all
}

fn conntrack() -> Vec<Named> {
    let one = |name: &str, node: Node| (name.to_owned(), vec![node]);
    let address = |number, last| leaf(number, [10, 9, 0, last]);
    let address6 = |number, last| leaf(number, [0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    vec![
        one("ct", ct([])),
        one("ct-zone", ct([fixed(ct::ZONE, 5u16)])),
        one("ct-commit", ct([leaf(ct::COMMIT, [])])),
        one("ct-force-commit", ct([leaf(ct::FORCE_COMMIT, [])])),
        one("ct-both-commits", ct([leaf(ct::COMMIT, []), leaf(ct::FORCE_COMMIT, [])])),
        one("ct-mark", committed(fixed(ct::MARK, CtAction { value: 5, mask: 0xff }))),
        one("ct-mark-outside-mask", committed(fixed(ct::MARK, CtAction { value: 0x1ff, mask: 0xff }))),
        one("ct-mark-no-mask", committed(fixed(ct::MARK, CtAction { value: 0, mask: 0 }))),
        one("ct-mark-uncommitted", ct([fixed(ct::MARK, CtAction { value: 5, mask: 0xff })])),
        one("ct-labels", committed(leaf(ct::LABELS, [[1; 16], [0xff; 16]].concat()))),
        one("ct-labels-no-mask", committed(leaf(ct::LABELS, [0; 32]))),
        one("ct-labels-uncommitted", ct([leaf(ct::LABELS, [[1; 16], [0xff; 16]].concat())])),
        one("ct-helper-ftp", committed(text(ct::HELPER, "ftp"))),
        one("ct-helper-unknown", committed(text(ct::HELPER, "nobody"))),
        one("ct-helper-no-nul", committed(leaf(ct::HELPER, b"ftp"))),
        one("ct-helper-uncommitted", ct([text(ct::HELPER, "ftp")])),
        one("ct-timeout-unknown", committed(text(ct::TIMEOUT, "nobody"))),
        one("ct-timeout-no-nul", committed(leaf(ct::TIMEOUT, b"tp"))),
        one("ct-eventmask", committed(u32(ct::EVENTMASK, 7))),
        one("ct-eventmask-uncommitted", ct([u32(ct::EVENTMASK, 7)])),
        one("ct-nat", nat([])),
        one("ct-nat-src", nat([leaf(nat::SRC, []), address(nat::IP_MIN, 1)])),
        one("ct-nat-src-range", nat([leaf(nat::SRC, []), address(nat::IP_MIN, 1), address(nat::IP_MAX, 9)])),
        one(
            "ct-nat-src-backwards",
            nat([leaf(nat::SRC, []), address(nat::IP_MIN, 9), address(nat::IP_MAX, 1)]),
        ),
        one("ct-nat-max-only", nat([leaf(nat::SRC, []), address(nat::IP_MAX, 1)])),
        one("ct-nat-src6", nat([leaf(nat::SRC, []), address6(nat::IP_MIN, 1)])),
        one(
            "ct-nat-dst-ports",
            nat([
                leaf(nat::DST, []),
                address(nat::IP_MIN, 1),
                fixed(nat::PROTO_MIN, 1000u16),
                fixed(nat::PROTO_MAX, 2000u16),
            ]),
        ),
        one("ct-nat-port-max-only", nat([leaf(nat::DST, []), fixed(nat::PROTO_MAX, 2000u16)])),
        one("ct-nat-both", nat([leaf(nat::SRC, []), leaf(nat::DST, [])])),
        one("ct-nat-src-alone", nat([leaf(nat::SRC, [])])),
        one("ct-nat-address-only", nat([address(nat::IP_MIN, 1)])),
        one("ct-nat-persistent-only", nat([leaf(nat::PERSISTENT, [])])),
        one(
            "ct-nat-all-flags",
            nat([
                leaf(nat::SRC, []),
                address(nat::IP_MIN, 1),
                leaf(nat::PERSISTENT, []),
                leaf(nat::PROTO_HASH, []),
            ]),
        ),
        one(
            "ct-nat-hash-and-random",
            nat([
                leaf(nat::SRC, []),
                address(nat::IP_MIN, 1),
                leaf(nat::PROTO_HASH, []),
                leaf(nat::PROTO_RANDOM, []),
            ]),
        ),
        one(
            "ct-nat-src-uncommitted",
            ct([nest(ct::NAT, &nat::TABLE, [leaf(nat::SRC, []), address(nat::IP_MIN, 1)])]),
        ),
        one("ct-nat-uncommitted", ct([nest(ct::NAT, &nat::TABLE, [])])),
    ]
}

/// Actions in a row, each of which changes what the next one finds.
pub fn chains() -> Vec<Named> {
    let vlan = || push_vlan(0x8100, 0x1005);
    let pop = || leaf(action::POP_VLAN, []);
    let mpls = || push_mpls(action::PUSH_MPLS, 0x8847, 0);
    let pop_eth = || leaf(action::POP_ETH, []);
    let push_eth = || fixed(action::PUSH_ETH, PushEth { src: [2; 6], dst: [4; 6] });
    let pop_nsh = || leaf(action::POP_NSH, []);
    let part = |number, len: usize, byte: u8| set_masked(&leaf(number, vec![byte; len]), 0xff);
    let eth = || set_masked(&leaf(key::ETHERNET, [9; 12]), 0xff);
    let ip4 = || {
        nest(
            action::SET_MASKED,
            &key::TABLE,
            [leaf(
                key::IPV4,
                [[0, 0, 0, 0, 9, 9, 9, 9, 0, 8, 7, 0], [0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 255, 0]]
                    .concat(),
            )],
        )
    };
    let dec = || nest(action::DEC_TTL, &dec_ttl::TABLE, [nest(dec_ttl::ACTION, &action::TABLE, [output()])]);
    let base = |flags, ttl, mdtype, np| pfnl_proto::ovs::NshBase {
        flags,
        ttl,
        mdtype,
        np,
        path_hdr: [0, 0, 2, 254],
    };
    let nsh =
        |flags, ttl, np| header([fixed(nsh_key::BASE, base(flags, ttl, 1, np)), leaf(nsh_key::MD1, [3; 16])]);
    let md2 = |len: usize| header([leaf(nsh_key::MD2, vec![6; len]), fixed(nsh_key::BASE, base(0, 1, 2, 0))]);
    let named = |name: &str, nodes: Vec<Node>| (name.to_owned(), nodes);
    let mut all = vec![
        named("pop-vlan-2", vec![pop(), pop()]),
        named("pop-push-vlan", vec![pop(), vlan()]),
        named("push-pop-pop-vlan", vec![vlan(), pop(), pop()]),
        named("push-vlan-set-ip", vec![vlan(), ip4()]),
        named("pop-vlan-set-ip", vec![pop(), ip4()]),
        named("push-2-vlans-set-ip", vec![vlan(), vlan(), ip4()]),
        named("pop-vlan-mpls", vec![pop(), mpls()]),
        named("mpls-2-pop-2", vec![mpls(), mpls(), pop_mpls(0x8847), pop_mpls(0x800)]),
        named("pop-mpls-ip-set-ip", vec![pop_mpls(0x800), ip4()]),
        named("pop-mpls-mpls-set-mpls", vec![pop_mpls(0x8847), part(key::MPLS, 4, 5)]),
        named("mpls-set-mpls-pop", vec![mpls(), part(key::MPLS, 4, 5), pop_mpls(0x800)]),
        named("pop-eth-mpls-push-eth", vec![pop_eth(), mpls(), push_eth()]),
        named("add-mpls-push-eth", vec![push_mpls(action::ADD_MPLS, 0x8847, 0), push_eth()]),
        named("add-mpls-pop-teb", vec![push_mpls(action::ADD_MPLS, 0x8847, 0), pop_mpls(0x6558)]),
        named(
            "add-mpls-pop-teb-set-eth",
            vec![push_mpls(action::ADD_MPLS, 0x8847, 0), pop_mpls(0x6558), eth()],
        ),
        named("pop-push-eth-set-eth", vec![pop_eth(), push_eth(), eth()]),
        named("pop-push-eth-set-ip", vec![pop_eth(), push_eth(), ip4()]),
        named("pop-push-eth-vlan", vec![pop_eth(), push_eth(), vlan()]),
        named("nsh", vec![nsh(0, 63, 3)]),
        named("nsh-large", vec![nsh(0xff, 0xff, 0xff)]),
        named("nsh-2", vec![nsh(0, 63, 3), nsh(1, 5, 4)]),
        named("nsh-push-eth", vec![nsh(0, 63, 3), push_eth()]),
        named("nsh-push-eth-vlan", vec![nsh(0, 63, 3), push_eth(), vlan()]),
        named("nsh-mpls", vec![nsh(0, 63, 3), mpls()]),
        named("nsh-clone", vec![clone([nsh(0, 63, 3)])]),
        named("nsh-dec-ttl", vec![nsh(0, 63, 3), dec()]),
        named("pop-nsh", vec![pop_nsh()]),
        named("pop-eth-pop-nsh", vec![pop_eth(), pop_nsh()]),
        named("pop-eth-pop-nsh-2", vec![pop_eth(), pop_nsh(), pop_nsh()]),
        named("pop-eth-pop-nsh-push-eth", vec![pop_eth(), pop_nsh(), push_eth()]),
        named("pop-eth-pop-nsh-set-eth", vec![pop_eth(), pop_nsh(), eth()]),
        named("pop-eth-pop-nsh-vlan", vec![pop_eth(), pop_nsh(), vlan()]),
        named("pop-eth-pop-nsh-nsh", vec![pop_eth(), pop_nsh(), nsh(0, 9, 0)]),
        named("dec-ttl", vec![dec()]),
        named("dec-ttl-2", vec![dec(), dec()]),
        named("vlan-dec-ttl", vec![vlan(), dec()]),
        named("pop-vlan-dec-ttl", vec![pop(), dec()]),
        named("mpls-dec-ttl", vec![mpls(), dec()]),
        named("set-ip", vec![ip4()]),
        named("clone-set-ip", vec![clone([ip4()])]),
        named("set-ip-in-greater", vec![by_length(vec![ip4()], vec![output()])]),
        named("trunc-clone", vec![fixed(action::TRUNC, TruncAction { max_len: 20 }), clone([output()])]),
        named(
            "trunc-2",
            vec![
                fixed(action::TRUNC, TruncAction { max_len: 20 }),
                fixed(action::TRUNC, TruncAction { max_len: 30 }),
            ],
        ),
    ];
    all.extend([1, 3, 4, 5, 8, 247].map(|len| named(&format!("nsh-md2-{len}"), vec![md2(len)])));
    for (what, number) in [("tcp", key::TCP), ("udp", key::UDP), ("sctp", key::SCTP)] {
        all.push(named(&format!("set-{what}"), vec![part(number, 4, 3)]));
    }
    all
}

/// Single actions that change what a packet's headers are, or look at them.
pub fn steps() -> Vec<(&'static str, Node)> {
    let part = |number, len: usize, byte: u8| set_masked(&leaf(number, vec![byte; len]), 0xff);
    let masked = |number, value: &[u8], mask: &[u8]| {
        nest(action::SET_MASKED, &key::TABLE, [leaf(number, [value, mask].concat())])
    };
    let longer = vec![part(key::ETHERNET, 12, 9)];
    vec![
        ("push-vlan", push_vlan(0x8100, 0x1005)),
        ("push-vlan-ad", push_vlan(0x88a8, 0x1806)),
        ("pop-vlan", leaf(action::POP_VLAN, [])),
        ("push-mpls", push_mpls(action::PUSH_MPLS, 0x8847, 0)),
        ("add-mpls", push_mpls(action::ADD_MPLS, 0x8847, 0)),
        ("pop-mpls-ip", pop_mpls(0x800)),
        ("pop-mpls", pop_mpls(0x8847)),
        ("pop-mpls-teb", pop_mpls(0x6558)),
        ("push-eth", fixed(action::PUSH_ETH, PushEth { src: [2; 6], dst: [4; 6] })),
        ("pop-eth", leaf(action::POP_ETH, [])),
        ("push-nsh", push_nsh(1)),
        ("pop-nsh", leaf(action::POP_NSH, [])),
        ("set-eth", part(key::ETHERNET, 12, 9)),
        (
            "set-ip4",
            masked(
                key::IPV4,
                &[0, 0, 0, 0, 9, 9, 9, 9, 0, 8, 7, 0],
                &[0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 255, 0],
            ),
        ),
        (
            "set-ip6",
            masked(key::IPV6, &[[9; 32].as_slice(), &[0, 9, 9, 9, 0, 9, 9, 0]].concat(), &{
                [[0xff; 32].as_slice(), &[0, 15, 255, 255, 0, 255, 255, 0]].concat()
            }),
        ),
        ("set-udp", part(key::UDP, 4, 3)),
        ("set-tcp", part(key::TCP, 4, 3)),
        ("set-sctp", part(key::SCTP, 4, 3)),
        ("set-mpls", part(key::MPLS, 4, 5)),
        (
            "dec-ttl",
            nest(action::DEC_TTL, &dec_ttl::TABLE, [nest(dec_ttl::ACTION, &action::TABLE, [output()])]),
        ),
        ("trunc", fixed(action::TRUNC, TruncAction { max_len: 40 })),
        // Fifty bytes are what a UDP packet with one tag has.
        (
            "by-length",
            nest(
                action::CHECK_PKT_LEN,
                &check_pkt_len::TABLE,
                [
                    fixed(check_pkt_len::PKT_LEN, 48u16),
                    nest(
                        check_pkt_len::ACTIONS_IF_GREATER,
                        &action::TABLE,
                        [longer, vec![super::packets::show()]].concat(),
                    ),
                    nest(check_pkt_len::ACTIONS_IF_LESS_EQUAL, &action::TABLE, [output()]),
                ],
            ),
        ),
    ]
}

/// An action of one of three kinds with others inside.
pub fn inside(kind: usize, nodes: Vec<Node>) -> Node {
    match kind {
        0 => clone(nodes),
        1 => nest(
            action::SAMPLE,
            &sample::TABLE,
            [u32(sample::PROBABILITY, u32::MAX), nest(sample::ACTIONS, &action::TABLE, nodes)],
        ),
        _ => by_length(nodes.clone(), nodes),
    }
}

/// SET and SET_MASKED of every key attribute, from keys that have it.
fn sets() -> Vec<Named> {
    let mut all = vec![
        ("set-nothing".to_owned(), vec![nest(action::SET, &key::TABLE, [])]),
        (
            "set-two".to_owned(),
            vec![nest(action::SET, &key::TABLE, [u32(key::PRIORITY, 1), u32(key::SKB_MARK, 1)])],
        ),
        ("set-ethertype".to_owned(), vec![set(ethertype(0x800))]),
        ("set-tunnel".to_owned(), vec![set(keys::tunnel4([]))]),
        ("set-tunnel-ports".to_owned(), vec![set(keys::tunnel4([leaf(tunnel_key::TP_DST, [1, 2])]))]),
        (
            "set-tunnel-geneve".to_owned(),
            vec![set(keys::tunnel4([leaf(tunnel_key::GENEVE_OPTS, [1, 2, 0x80, 1, 9, 9, 9, 9])]))],
        ),
        ("set-masked-tunnel".to_owned(), vec![nest(action::SET_MASKED, &key::TABLE, [keys::tunnel4([])])]),
    ];
    let mut seen = Vec::new();
    for (_, nodes) in keys::all() {
        for node in nodes {
            let (Node::Leaf(number, value), false) = (&node, seen.contains(&node.number())) else { continue };
            seen.push(Some(*number));
            let name = key::TABLE.row(*number).map_or("unknown", |row| row.name);
            // Another value than the key's, where that is not for a proto or frag to change.
            let mut other = value.clone();
            if !matches!(*number, key::IPV4 | key::IPV6) {
                other.iter_mut().for_each(|byte| *byte ^= 1);
            }
            let other = leaf(*number, &other);
            all.push((format!("set-{name}"), vec![set(node.clone())]));
            all.push((format!("set-{name}-other"), vec![set(other.clone())]));
            all.push((format!("set-masked-{name}-all"), vec![set_masked(&other, 0xff)]));
            all.push((
                format!("set-masked-{name}-none"),
                vec![set_masked(&leaf(*number, vec![0; value.len()]), 0)],
            ));
            all.push((
                format!("set-masked-{name}-some"),
                vec![set_masked(&leaf(*number, vec![0x10; value.len()]), 0xf0)],
            ));
            all.push((
                format!("set-masked-{name}-outside"),
                vec![set_masked(&leaf(*number, vec![1; value.len()]), 0xf0)],
            ));
        }
    }
    all
}

/// Actions inside actions.
pub fn nested() -> Vec<Named> {
    let mut all = Vec::new();
    for (name, nodes) in single() {
        if name.starts_with("set-masked") || name.starts_with("ct-nat-") {
            continue;
        }
        all.push((format!("clone[{name}]"), vec![clone(nodes.clone())]));
        all.push((format!("sample[{name}]"), vec![sampled(nodes.clone())]));
        all.push((format!("greater[{name}]"), vec![by_length(nodes.clone(), vec![output()])]));
        let dec = nest(dec_ttl::ACTION, &action::TABLE, nodes.clone());
        all.push((format!("dec-ttl[{name}]"), vec![nest(action::DEC_TTL, &dec_ttl::TABLE, [dec])]));
        all.push((
            format!("after-pop-eth[{name}]"),
            [vec![leaf(action::POP_ETH, [])], nodes.clone()].concat(),
        ));
        all.push((
            format!("after-push-mpls[{name}]"),
            [vec![push_mpls(action::PUSH_MPLS, 0x8847, 0)], nodes].concat(),
        ));
    }
    for depth in [2, 8, 15, 16, 17, 20] {
        let deep = (0..depth).fold(output(), |inner, _| clone([inner]));
        all.push((format!("clone-depth-{depth}"), vec![deep]));
        let deep = (0..depth).fold(output(), |inner, _| sampled([inner]));
        all.push((format!("sample-depth-{depth}"), vec![deep]));
    }
    for count in [100, 1000, 4000, 8000] {
        all.push((format!("output-times-{count}"), vec![output(); count]));
    }
    all
}
