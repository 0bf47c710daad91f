//! Everything else: limits, ports that are not there, meters, samples, upcalls of all kinds, the masks cache.

use super::run::{ACTION_PORTID, DATAPATH, MISS_PORTID, OTHER_PORTID};
use super::tell::{Make, arrives, case, changed, output, payload, show, wide};
use super::{Case, Do, frames};
use crate::generate::keys;
use crate::generate::message::{Message, Node, fixed, leaf, nest, u32};
use crate::generate::packets::{frame, ipv4};
use pfnl_proto::NLA_F_NESTED;
use pfnl_proto::ovs::{
    HashAction, PushVlan, TruncAction, action, check_pkt_len, cmd, datapath, dec_ttl, key, psample, sample,
    userspace, vport,
};

/// A frame of so many bytes.
fn long(len: usize) -> Vec<u8> {
    let mut bytes = frame(0x9000, &[]);
    bytes.resize(len, 0x5a);
    bytes
}

fn clone(nodes: Vec<Node>) -> Node {
    nest(action::CLONE, &action::TABLE, nodes)
}

fn sampled(probability: u32, nodes: Vec<Node>) -> Node {
    let actions = nest(sample::ACTIONS, &action::TABLE, nodes);
    nest(action::SAMPLE, &sample::TABLE, [u32(sample::PROBABILITY, probability), actions])
}

fn recirc(id: u32) -> Node {
    u32(action::RECIRC, id)
}

fn vlan(tci: u16) -> Node {
    fixed(action::PUSH_VLAN, PushVlan { tpid: [0x81, 0], tci: (tci | 0x1000).to_be_bytes() })
}

fn up(portid: u32, more: Vec<Node>) -> Node {
    nest(action::USERSPACE, &userspace::TABLE, [vec![u32(userspace::PID, portid)], more].concat())
}

fn take_sample(group: u32, more: Vec<Node>) -> Node {
    nest(action::PSAMPLE | NLA_F_NESTED, &psample::TABLE, [vec![u32(psample::GROUP, group)], more].concat())
}

/// The key of packets of type 0x9000 at port 1, in a pass; matched by nothing but the pass, the port and the type.
fn pass(make: &Make<'_>, id: u32, actions: Vec<Node>) -> Do {
    let key = payload(vec![
        u32(key::RECIRC_ID, id),
        u32(key::IN_PORT, 1),
        keys::ethernet(),
        keys::ethertype(0x9000),
    ]);
    make.flow(&key, Some(wide(&key)), actions)
}

/// Lists that pass other than by OUTPUT.
fn passes(make: &Make<'_>) -> Vec<Case> {
    let one = |actions: Vec<Node>| vec![pass(make, 0, actions), arrives(1, &long(100))];
    let deep = |depth, last: Node| (0..depth).fold(last, |inner, _| clone(vec![output(2), inner]));
    let by_length = |len: u16, greater, less| {
        nest(
            action::CHECK_PKT_LEN,
            &check_pkt_len::TABLE,
            [
                fixed(check_pkt_len::PKT_LEN, len),
                nest(check_pkt_len::ACTIONS_IF_GREATER, &action::TABLE, greater),
                nest(check_pkt_len::ACTIONS_IF_LESS_EQUAL, &action::TABLE, less),
            ],
        )
    };
    let mut cases: Vec<_> = [
        ("absent-port", vec![output(60_000), output(2), output(9)]),
        ("own-port", vec![output(1), output(2)]),
        ("local-port", vec![output(0), output(2)]),
        ("all-ports", vec![output(1), output(2), output(3), output(4), output(2)]),
        ("clone-changes", vec![clone(vec![vlan(5), output(2)]), output(3)]),
        ("clone-last", vec![output(3), clone(vec![vlan(5), output(2), vlan(6), output(2)])]),
        ("clone-in-clone", vec![clone(vec![vlan(5), clone(vec![vlan(6), output(2)]), output(2)]), output(2)]),
        ("clone-deep", vec![deep(12, output(3)), output(4)]),
        (
            "clones",
            [
                vec![
                    clone(vec![vlan(5), clone(vec![vlan(6), clone(vec![vlan(7), clone(vec![output(2)])])])]);
                    12
                ],
                vec![output(3)],
            ]
            .concat(),
        ),
        ("sample-all", vec![sampled(u32::MAX, vec![vlan(5), output(2)]), output(3)]),
        ("sample-none", vec![sampled(0, vec![vlan(5), output(2)]), output(3)]),
        ("sample-last", vec![output(3), sampled(u32::MAX, vec![vlan(5), output(2)])]),
        (
            "sample-in-sample",
            vec![sampled(u32::MAX, vec![sampled(u32::MAX, vec![vlan(5), output(2)]), output(3)])],
        ),
        ("sample-up", vec![sampled(u32::MAX, vec![show()]), output(3)]),
        ("recirc-miss", vec![vlan(9), recirc(5)]),
        ("recirc-then-output", vec![recirc(5), output(2)]),
        ("recirc-twice", vec![recirc(5), vlan(3), recirc(6), output(2)]),
        ("recirc-0", vec![output(2), recirc(0)]),
        ("hash-recirc", vec![fixed(action::HASH, HashAction { algorithm: 0, basis: 1 }), recirc(5)]),
        ("trunc-recirc", vec![fixed(action::TRUNC, TruncAction { max_len: 20 }), recirc(5)]),
        (
            "trunc-clone",
            vec![fixed(action::TRUNC, TruncAction { max_len: 20 }), clone(vec![output(2)]), output(3)],
        ),
        (
            "trunc-vlan",
            vec![fixed(action::TRUNC, TruncAction { max_len: 20 }), vlan(5), output(2), output(3)],
        ),
        ("trunc-show", vec![fixed(action::TRUNC, TruncAction { max_len: 20 }), show(), show()]),
        ("drop", vec![output(2), u32(action::DROP, 3)]),
        ("drop-in-clone", vec![clone(vec![output(2), u32(action::DROP, 3)]), output(3)]),
        ("nothing", vec![]),
    ]
    .into_iter()
    .map(|(name, actions)| case(format!("pass/{name}"), one(actions)))
    .collect();
    for (name, to) in [("self", 1), ("back", 0)] {
        let steps = [
            pass(make, 0, vec![recirc(1)]),
            pass(make, 1, vec![output(2), recirc(to)]),
            arrives(1, &long(100)),
        ];
        cases.push(case(format!("pass/loop-to-{name}"), steps));
        let flow = pass(make, 1, vec![clone(vec![vlan(5), output(2)]), recirc(to), output(3)]);
        let steps = [pass(make, 0, vec![recirc(1)]), flow, arrives(1, &long(100))];
        cases.push(case(format!("pass/loop-with-clone-to-{name}"), steps));
    }
    let mut chain: Vec<_> = (0..14).map(|id| pass(make, id, vec![output(2), recirc(id + 1)])).collect();
    chain.push(arrives(1, &long(100)));
    cases.push(case("pass/chain", chain));
    for len in [99usize, 100, 101, 104, 105] {
        for (what, before) in [("plain", vec![]), ("tagged", vec![vlan(5)])] {
            let list = [before, vec![by_length(100, vec![output(2)], vec![output(3)]), output(4)]].concat();
            cases.push(case(
                format!("pass/length-{len}-{what}"),
                [pass(make, 0, list), arrives(1, &long(len))],
            ));
        }
    }
    for len in [1513, 1514, 1515, 1518, 1519, 1522, 3000] {
        let tagged = |bytes: Vec<u8>| [&bytes[..12], &[0x81, 0, 0, 5], &bytes[12..]].concat();
        let flow = || pass(make, 0, vec![output(2), vlan(5), output(3)]);
        cases.push(case(format!("pass/mtu-{len}"), [flow(), arrives(1, &long(len))]));
        cases.push(case(format!("pass/mtu-{len}-tagged"), [flow(), arrives(1, &tagged(long(len)))]));
    }
    cases
}

/// TTLs that end.
fn ttls(make: &Make<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (on, bytes) in frames::right() {
        let Some(key) = make.key(&on) else { continue };
        for ttl in [0u8, 1, 2, 255] {
            let mut bytes = bytes.clone();
            if bytes[12] == 8 {
                bytes[22] = ttl;
                bytes[24..26].fill(0);
                let sum = crate::generate::packets::sum(&bytes[14..34]);
                bytes[24..26].copy_from_slice(&sum);
            } else {
                bytes[21] = ttl;
            }
            let dec = nest(
                action::DEC_TTL,
                &dec_ttl::TABLE,
                [nest(dec_ttl::ACTION, &action::TABLE, [vlan(5), output(4)])],
            );
            let steps = [make.flow(key, Some(wide(key)), [dec, output(2), show()]), arrives(1, &bytes)];
            cases.push(case(format!("pass/ttl-{ttl}-{on}"), steps));
        }
    }
    cases
}

/// Upcalls: what USERSPACE can say, and to whom.
fn upcalls(make: &Make<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    let actions = || leaf(userspace::ACTIONS, []);
    let data = |len: usize| leaf(userspace::USERDATA, vec![7; len]);
    let lists = [
        ("plain", vec![up(ACTION_PORTID, vec![])]),
        ("actions", vec![up(ACTION_PORTID, vec![actions()]), output(2)]),
        ("actions-in-clone", vec![clone(vec![up(ACTION_PORTID, vec![actions()]), vlan(5)]), output(2)]),
        ("data-0", vec![up(ACTION_PORTID, vec![data(0)])]),
        ("data-1", vec![up(ACTION_PORTID, vec![data(1)])]),
        ("data-200", vec![up(ACTION_PORTID, vec![data(200), actions()])]),
        ("egress-no-tunnel", vec![up(ACTION_PORTID, vec![u32(userspace::EGRESS_TUN_PORT, 2)])]),
        ("egress-absent", vec![up(ACTION_PORTID, vec![u32(userspace::EGRESS_TUN_PORT, 99), data(4)])]),
        ("nobody", vec![up(9999, vec![]), output(2)]),
        ("two", vec![up(ACTION_PORTID, vec![data(1)]), vlan(5), up(OTHER_PORTID, vec![data(2)])]),
    ];
    for (on, bytes) in frames::acted_on() {
        let Some(key) = make.key(&on) else { continue };
        for (name, list) in &lists {
            let is_everywhere = matches!(*name, "plain" | "two");
            if is_everywhere || on == "right-tcp4" {
                let steps = [make.flow(key, Some(wide(key)), list.clone()), arrives(1, &bytes)];
                cases.push(case(format!("upcall/{name}/on-{on}"), steps));
            }
        }
    }
    let portids = |portids: &[u32]| {
        let payload: Vec<u8> = portids.iter().flat_map(|portid| portid.to_ne_bytes()).collect();
        let set = Message::new("ovs_vport", &vport::TABLE, cmd::SET, Some(DATAPATH));
        make.request(&set.with([u32(vport::PORT_NO, 1), leaf(vport::UPCALL_PID, payload)]))
    };
    let right = &frames::right()[0].1;
    for (name, to) in [("other", vec![OTHER_PORTID]), ("zero", vec![0]), ("nobody", vec![9999])] {
        let steps = [portids(&to), arrives(1, right), arrives(2, right), portids(&[MISS_PORTID])];
        cases.push(case(format!("upcall/miss-to-{name}"), steps));
    }
    let features = |features: u32, more: Vec<Node>| {
        let set = Message {
            version: 2,
            ..Message::new("ovs_datapath", &datapath::TABLE, cmd::SET, Some(DATAPATH))
        };
        make.request(&set.with([vec![u32(datapath::USER_FEATURES, features)], more].concat()))
    };
    let per_cpu = |portids: &[u32]| {
        let payload: Vec<u8> = portids.iter().flat_map(|portid| portid.to_ne_bytes()).collect();
        features(11, vec![leaf(datapath::PER_CPU_PIDS, payload)])
    };
    let before = || features(3, vec![]);
    for (name, to) in
        [("other", vec![OTHER_PORTID, 9999]), ("zero", vec![0, MISS_PORTID]), ("nobody", vec![9999])]
    {
        let key = make.key("right-udp4").unwrap_or_default();
        let flow = make.flow(key, None, [up(ACTION_PORTID, vec![])]);
        let steps = [
            per_cpu(&to),
            arrives(1, right),
            flow,
            arrives(1, right),
            before(),
            arrives(1, right),
            arrives(2, right),
        ];
        cases.push(case(format!("upcall/per-cpu-to-{name}"), steps));
    }
    let steps = [features(2, vec![]), arrives(1, &long(61)), arrives(1, &long(62)), before()];
    cases.push(case("upcall/aligned", steps));
    cases
}

/// Samples that go to who listens to psample's group.
fn samples(make: &Make<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    let cookie = || leaf(psample::COOKIE, b"cookie");
    let lists = [
        ("plain", vec![take_sample(7, vec![])]),
        ("cookie", vec![take_sample(8, vec![cookie()]), output(2)]),
        (
            "truncated",
            vec![fixed(action::TRUNC, TruncAction { max_len: 20 }), take_sample(7, vec![]), output(2)],
        ),
        ("tagged", vec![vlan(5), take_sample(7, vec![]), output(2)]),
        ("sampled", vec![sampled(u32::MAX, vec![take_sample(7, vec![cookie()])]), output(2)]),
    ];
    for (on, bytes) in frames::acted_on() {
        let Some(key) = make.key(&on) else { continue };
        for (name, list) in &lists {
            let steps = [make.flow(key, Some(wide(key)), list.clone()), arrives(1, &bytes)];
            cases.push(case(format!("psample/{name}/on-{on}"), steps));
        }
    }
    cases
}

/// Meters: so many pass at once, and so many more after a while. Rates are so low that what a kernel needs does not count.
fn meters(make: &Make<'_>) -> Vec<Case> {
    use crate::generate::meters::{band, meter};
    let mut cases = Vec::new();
    let request = |cmd: u8, nodes: Vec<Node>| {
        make.request(&Message::new("ovs_meter", &meter::TABLE, cmd, Some(DATAPATH)).with(nodes))
    };
    const SET: u8 = 2;
    const DEL: u8 = 3;
    for (name, is_kbps, rate, burst, len) in [
        ("packets", false, 1, 3, 100usize),
        ("packets-no-burst", false, 1, 0, 100),
        ("kilobits", true, 1, 10, 1000),
        ("kilobits-short", true, 4, 20, 500),
    ] {
        let mut nodes = vec![u32(meter::ID, 3)];
        nodes.extend(is_kbps.then(|| leaf(meter::KBPS, [])));
        nodes.push(nest(
            meter::BANDS,
            &band::TABLE,
            [nest(1, &band::TABLE, [u32(band::TYPE, 1), u32(band::RATE, rate), u32(band::BURST, burst)])],
        ));
        let mut steps = vec![request(SET, nodes), pass(make, 0, vec![u32(action::METER, 3), output(2)])];
        steps.extend((0..8).map(|_| arrives(1, &long(len))));
        steps.push(Do::Wait(2500));
        steps.extend((0..6).map(|_| arrives(1, &long(len))));
        steps.push(request(DEL, vec![u32(meter::ID, 3)]));
        cases.push(case(format!("meter/{name}"), steps));
    }
    let steps = [pass(make, 0, vec![u32(action::METER, 9), output(2)]), arrives(1, &long(100))];
    cases.push(case("meter/absent", steps));
    cases
}

/// How lookups count, without the masks cache and with one.
fn caches(make: &Make<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    let size = |size: u32| {
        let set = Message {
            version: 2,
            ..Message::new("ovs_datapath", &datapath::TABLE, cmd::SET, Some(DATAPATH))
        };
        make.request(&set.with([u32(datapath::USER_FEATURES, 3), u32(datapath::MASKS_CACHE_SIZE, size)]))
    };
    let udp = |last: u8| {
        let mut bytes = frame(0x800, &ipv4(17, 0, &[0x12, 0x34, 0, 80, 0, 8, 0, 0]));
        bytes[33] = last;
        bytes
    };
    let Some(key) = make.key("right-udp4") else { return cases };
    // Masks of one field each, so that a packet is looked for in several.
    let flow = |which: u16, value: &[u8]| {
        let key = changed(key, &mut |number, payload| {
            if number == which {
                value.iter().chain(&payload[value.len()..]).copied().collect()
            } else {
                payload.to_vec()
            }
        });
        let mask = changed(&key, &mut |number, payload| {
            let exact = matches!(number, key::IN_PORT | key::ETHERTYPE | key::RECIRC_ID) || number == which;
            vec![if exact { 0xff } else { 0 }; payload.len()]
        });
        make.flow(&key, Some(mask), [output(2)])
    };
    let two = || [flow(key::SKB_MARK, &[9, 0, 0, 0]), flow(key::PRIORITY, &[0; 4])];
    for cache in [0u32, 256, 1024] {
        let runs: [(&str, Vec<Do>); 6] = [
            (
                "one",
                vec![
                    flow(key::PRIORITY, &[0; 4]),
                    arrives(1, &udp(2)),
                    arrives(1, &udp(2)),
                    arrives(1, &udp(2)),
                ],
            ),
            (
                "second-mask",
                [two().to_vec(), vec![arrives(1, &udp(2)), arrives(1, &udp(2)), arrives(1, &udp(2))]]
                    .concat(),
            ),
            (
                "two-connections",
                [two().to_vec(), [2, 3, 2, 3, 2].map(|last| arrives(1, &udp(last))).to_vec()].concat(),
            ),
            ("miss", [two()[..1].to_vec(), vec![arrives(1, &udp(2)), arrives(1, &udp(2))]].concat()),
            (
                "later-flow",
                vec![
                    arrives(1, &udp(5)),
                    two()[0].clone(),
                    arrives(1, &udp(5)),
                    two()[1].clone(),
                    arrives(1, &udp(5)),
                    arrives(1, &udp(5)),
                ],
            ),
            ("not-ip", vec![pass(make, 0, vec![output(2)]), arrives(1, &long(100)), arrives(1, &long(100))]),
        ];
        for (name, steps) in runs {
            // Set to nothing first: a cache that keeps its size keeps what is in it.
            let steps = [vec![size(0), size(cache)], steps, vec![size(0)]].concat();
            cases.push(case(format!("cache-{cache}/{name}"), steps));
        }
    }
    cases
}

/// Packets that come from above.
fn executed(make: &Make<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (on, bytes) in frames::acted_on() {
        let with = |actions: Vec<Node>| make.execute(&bytes, vec![u32(key::IN_PORT, 1)], actions);
        cases.push(case(format!("execute/output/{on}"), [with(vec![output(2), vlan(5), output(3)])]));
        cases.push(case(format!("execute/recirc/{on}"), [with(vec![recirc(5)])]));
    }
    cases
}

/// All of these.
pub fn cases(make: &Make<'_>) -> Vec<Case> {
    let mut all = passes(make);
    all.extend(ttls(make));
    all.extend(upcalls(make));
    all.extend(samples(make));
    all.extend(meters(make));
    all.extend(caches(make));
    all.extend(executed(make));
    all
}
