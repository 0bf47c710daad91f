//! Text to attributes to text to attributes: the same, for texts made by chance; and nothing panics on what is no
//! text, or no attributes.

use pfnl_odp::{Ports, parse_actions, parse_flow, print_actions, print_flow};
use proptest::prelude::*;
use proptest::strategy::Union;

type Text = BoxedStrategy<String>;

/// A number of so many bits, at times with a mask of which some bit counts.
fn number(bits: u32) -> Text {
    let most = u64::MAX >> (64 - bits);
    prop_oneof![
        (0..=most).prop_map(|value| value.to_string()),
        (0..=most, 1..=most).prop_map(|(value, mask)| format!("{value:#x}/{mask:#x}")),
    ]
    .boxed()
}

fn plain(most: u64) -> Text {
    (0..=most).prop_map(|value| value.to_string()).boxed()
}

fn masked(value: impl Strategy<Value = String> + Clone + 'static, all: &'static str) -> Text {
    let nothing = move |mask: &String| mask != all;
    prop_oneof![
        value.clone(),
        (value.clone(), value.prop_filter("counts", nothing)).prop_map(|(v, m)| format!("{v}/{m}"))
    ]
    .boxed()
}

fn ethernet() -> impl Strategy<Value = String> + Clone {
    any::<[u8; 6]>().prop_map(|octets| octets.map(|octet| format!("{octet:02x}")).join(":"))
}

fn ipv4() -> impl Strategy<Value = String> + Clone {
    any::<[u8; 4]>().prop_map(|octets| core::net::Ipv4Addr::from(octets).to_string())
}

fn ipv6() -> impl Strategy<Value = String> + Clone {
    any::<[u8; 16]>().prop_map(|octets| core::net::Ipv6Addr::from(octets).to_string())
}

fn eth_field() -> Text {
    masked(ethernet(), "00:00:00:00:00:00")
}

fn ipv4_field() -> Text {
    masked(ipv4(), "0.0.0.0")
}

fn ipv6_field() -> Text {
    masked(ipv6(), "::")
}

/// `name(field=…,field=…)` with at least one of the fields, in their order.
fn fields(name: &'static str, fields: Vec<(&'static str, Text)>) -> Text {
    let count = fields.len();
    let all: Vec<_> =
        fields.into_iter().map(|(name, value)| value.prop_map(move |v| format!("{name}={v}"))).collect();
    (all, 1_u32..(1 << count))
        .prop_map(move |(all, chosen)| {
            let some: Vec<String> = all
                .into_iter()
                .enumerate()
                .filter(|(at, _)| chosen >> at & 1 == 1)
                .map(|(_, text)| text)
                .collect();
            format!("{name}({})", some.join(","))
        })
        .boxed()
}

fn one(name: &'static str, value: Text) -> Text {
    value.prop_map(move |value| format!("{name}({value})")).boxed()
}

fn ports() -> Vec<(&'static str, Text)> {
    vec![("src", number(16)), ("dst", number(16))]
}

fn tunnel() -> Text {
    let option = (any::<u16>(), any::<u8>(), 0..=31_usize).prop_flat_map(|(class, kind, words)| {
        proptest::collection::vec(any::<u8>(), words * 4).prop_map(move |data| {
            let data: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
            let data = if data.is_empty() { String::new() } else { format!(",0x{data}") };
            format!("{{class={class},type={kind},len={}{data}}}", words * 4)
        })
    });
    let flags = prop_oneof![Just("flags(df|csum|key)"), Just("flags(-df+csum)"), Just("flags(oam)")];
    let rest = prop_oneof![
        option.prop_map(|option| format!("geneve({option}{{class=0x1/0xff,type=0x2,len=4,0xff00/0xff00}})")),
        (1..=0xffff_u32, 1..=255_u8)
            .prop_map(|(id, flags)| format!("vxlan(gbp(id={id}/0xff,flags={flags}))")),
        any::<u32>().prop_map(|index| format!("erspan(ver=1,idx={index}/0xf)")),
        (0..=1_u8, 0..=15_u8).prop_map(|(dir, hwid)| format!("erspan(ver=2,dir={dir},hwid={hwid})")),
    ];
    (number(64), ipv4_field(), ipv6_field(), number(8), number(8), number(16), rest, flags)
        .prop_map(|(id, src, dst, tos, ttl, port, rest, flags)| {
            format!("tunnel(tun_id={id},src={src},ipv6_dst={dst},tos={tos},ttl={ttl},tp_dst={port},{rest},{flags})")
        })
        .boxed()
}

/// Keys that `set` takes too.
fn settable() -> Vec<Text> {
    let frag = || prop_oneof![Just("no"), Just("first"), Just("later")].prop_map(str::to_string).boxed();
    vec![
        one("skb_priority", number(32)),
        one("skb_mark", number(32)),
        one("ct_mark", number(32)),
        one("ct_label", any::<u128>().prop_map(|label| format!("{label:#x}")).boxed()),
        fields("eth", vec![("src", eth_field()), ("dst", eth_field())]),
        fields("vlan", vec![("vid", number(12)), ("pcp", number(3))]),
        one("eth_type", number(16)),
        fields(
            "ipv4",
            vec![
                ("src", ipv4_field()),
                ("dst", ipv4_field()),
                ("proto", number(8)),
                ("tos", number(8)),
                ("ttl", number(8)),
                ("frag", frag()),
            ],
        ),
        fields(
            "ipv6",
            vec![
                ("src", ipv6_field()),
                ("dst", ipv6_field()),
                ("label", number(20)),
                ("proto", number(8)),
                ("tclass", number(8)),
                ("hlimit", number(8)),
                ("frag", frag()),
            ],
        ),
        fields("tcp", ports()),
        fields("udp", ports()),
        fields("sctp", ports()),
        fields("icmp", vec![("type", number(8)), ("code", number(8))]),
        fields("icmpv6", vec![("type", number(8)), ("code", number(8))]),
        fields(
            "arp",
            vec![
                ("sip", ipv4_field()),
                ("tip", ipv4_field()),
                ("op", number(16)),
                ("sha", eth_field()),
                ("tha", eth_field()),
            ],
        ),
        fields("nd", vec![("target", ipv6_field()), ("sll", eth_field()), ("tll", eth_field())]),
        fields(
            "nsh",
            vec![
                ("flags", number(8)),
                ("ttl", number(8)),
                ("spi", number(24)),
                ("si", number(8)),
                ("c2", number(32)),
            ],
        ),
    ]
}

fn key() -> Text {
    let mut all = settable();
    all.extend([
        one("in_port", number(32)),
        one("recirc_id", number(32)),
        one("dp_hash", number(32)),
        one("ct_zone", number(16)),
        one(
            "ct_state",
            prop_oneof![Just("+trk-new"), Just("trk|est"), Just("0x1/0x81")].prop_map(str::to_string).boxed(),
        ),
        one(
            "tcp_flags",
            prop_oneof![Just("+syn-ack"), Just("syn|0x800"), Just("0")].prop_map(str::to_string).boxed(),
        ),
        fields("mpls", vec![("label", number(20)), ("tc", number(3)), ("ttl", number(8)), ("bos", plain(1))]),
        fields(
            "ct_tuple4",
            vec![("src", ipv4_field()), ("dst", ipv4_field()), ("proto", number(8)), ("tp_src", number(16))],
        ),
        fields(
            "ct_tuple6",
            vec![("src", ipv6_field()), ("dst", ipv6_field()), ("proto", number(8)), ("tp_dst", number(16))],
        ),
        tunnel(),
        Just("key40(00 01/ff 00)".to_string()).boxed(),
    ]);
    Union::new(all).boxed()
}

fn flow() -> Text {
    let level = proptest::collection::vec(key(), 1..6).prop_map(|mut keys| {
        let mut seen = std::collections::BTreeSet::new();
        keys.retain(|key| seen.insert(key.split('(').next().unwrap().to_string()));
        keys.join(",")
    });
    (level.clone(), proptest::option::of(level))
        .prop_map(|(outer, inner)| match inner {
            Some(inner) => format!("{outer},encap({inner})"),
            None => outer,
        })
        .boxed()
}

fn nat() -> Text {
    let how = prop_oneof![Just(""), Just(",persistent"), Just(",hash"), Just(",persistent,random")];
    prop_oneof![
        Just("nat".to_string()),
        Just("nat(dst)".to_string()),
        (ipv4(), 1..=1000_u16, how.clone())
            .prop_map(|(min, port, how)| format!("nat(src={min}:{port}-2000{how})")),
        (any::<u32>(), how.clone()).prop_map(|(low, how)| {
            let max = core::net::Ipv4Addr::from(low | 0xff);
            format!("nat(src={}-{max}{how})", core::net::Ipv4Addr::from(low))
        }),
        (ipv6(), 1..=1000_u16).prop_map(|(min, port)| format!("nat(dst=[{min}]:{port})")),
        (ipv6(), how).prop_map(|(min, how)| format!("nat(dst={min}{how})")),
    ]
    .boxed()
}

fn action() -> Text {
    let set = || Union::new(settable()).prop_map(|key| format!("set({key})"));
    let tunnel = "set(tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=64,geneve({class=0x1,type=0x2,len=4,0x5}),flags(df|key)))";
    let userdata = prop_oneof![
        "userdata\\(([0-9a-f]{2}){1,20}\\)",
        Just("slow_path(cfm|action)".to_string()),
        (0..=4095_u16, 0..=7_u8, any::<u32>())
            .prop_map(|(v, p, o)| format!("sFlow(vid={v},pcp={p},output={o})")),
        any::<u32>().prop_map(|port| format!("ipfix(output_port={port})")),
    ];
    let leaf = prop_oneof![
        4 => any::<u32>().prop_map(|port| port.to_string()),
        4 => set(),
        1 => Just(tunnel.to_string()),
        2 => (any::<u32>(), userdata).prop_map(|(pid, data)| format!("userspace(pid={pid},{data},actions,tunnel_out_port=3)")),
        1 => any::<u32>().prop_map(|pid| format!("userspace(pid={pid})")),
        1 => (any::<u16>(), 0..=4095_u16, 0..=7_u8).prop_map(|(tpid, v, p)| format!("push_vlan(tpid={tpid:#x},vid={v},pcp={p},cfi=0)")),
        1 => (0..=0xfffff_u32, 0..=7_u8, any::<u8>(), 0..=1_u8).prop_map(|(l, tc, ttl, b)| {
            format!("push_mpls(label={l},tc={tc},ttl={ttl},bos={b},eth_type=0x8847),add_mpls(label=1,tc=2,ttl=3,bos=1,eth_type=0x8848)")
        }),
        1 => (ethernet(), ethernet()).prop_map(|(src, dst)| format!("push_eth(src={src},dst={dst})")),
        1 => (any::<u16>(), nat()).prop_map(|(zone, nat)| format!("ct(commit,zone={zone},mark=0x1/0xff,label=0x12/0xff,helper=ftp,{nat})")),
        1 => any::<[u8; 16]>().prop_map(|c| {
            let cookie: String = c.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("psample(group=5,cookie=0x{cookie})")
        }),
        1 => any::<[u32; 3]>().prop_map(|[a, b, c]| format!("recirc({a}),meter({b}),trunc({c}),hash(sym_l4({a})),hash(l4({b}))")),
        1 => Just("pop_vlan,pop_eth,pop_nsh(),ct_clear,ct,pop_mpls(eth_type=0x800),action60(01 02)".to_string()),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(ttl, c)| {
            format!("push_nsh(flags=0,ttl={ttl},mdtype=1,np=3,spi=0x10,si=5,c1={c:#x},c2=0x0,c3=0x1,c4=0x2),push_nsh(mdtype=2,md2=0x00010203)")
        }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let list = proptest::collection::vec(inner, 0..3)
            .prop_map(|l| if l.is_empty() { "drop".into() } else { l.join(",") });
        prop_oneof![
            list.clone().prop_map(|list| format!("clone({list})")),
            (0..=1000_u32, list.clone())
                .prop_map(|(n, list)| format!("sample(sample={:.1}%,actions({list}))", f64::from(n) / 10.0)),
            (any::<u16>(), list.clone(), list.clone())
                .prop_map(|(n, a, b)| format!("check_pkt_len(size={n},gt({a}),le({b}))")),
            list.prop_map(|list| format!("dec_ttl(le_1({list}))")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flows_come_back(text in flow()) {
        let ports = Ports::default();
        let flow = parse_flow(&text, &ports).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = print_flow(&flow.key, Some(&flow.mask), &ports, false);
        let again = parse_flow(&printed, &ports).unwrap_or_else(|error| panic!("{printed}: {error}"));
        prop_assert_eq!(&again, &flow, "{} printed as {}", text, printed);
        prop_assert_eq!(print_flow(&again.key, Some(&again.mask), &ports, false), printed);
    }

    #[test]
    fn keys_come_back_when_all_is_printed(text in flow()) {
        let ports = Ports::default();
        let flow = parse_flow(&text, &ports).unwrap();
        let printed = print_flow(&flow.key, None, &ports, true);
        let again = parse_flow(&printed, &ports).unwrap_or_else(|error| panic!("{printed}: {error}"));
        prop_assert_eq!(again.key, flow.key, "{} printed as {}", text, printed);
    }

    #[test]
    fn actions_come_back(text in proptest::collection::vec(action(), 1..4).prop_map(|list| list.join(","))) {
        let ports = Ports::default();
        let actions = parse_actions(&text, &ports).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = print_actions(&actions, &ports);
        let again = parse_actions(&printed, &ports).unwrap_or_else(|error| panic!("{printed}: {error}"));
        prop_assert_eq!(again, actions, "{} printed as {}", text, printed);
    }

    #[test]
    fn cut_or_spoilt_text_is_read_or_refused(
        text in prop_oneof![flow(), action()],
        at in any::<prop::sample::Index>(),
        with in proptest::option::of(any::<char>()),
    ) {
        let ports = Ports::default();
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        match with {
            Some(with) => chars[at] = with,
            None => chars.truncate(at),
        }
        let text: String = chars.into_iter().collect();
        for result in [parse_flow(&text, &ports).map(drop), parse_actions(&text, &ports).map(drop)] {
            if let Err(error) = result {
                prop_assert!(error.at <= text.len() && error.item <= error.at && text.is_char_boundary(error.item));
            }
        }
    }

    #[test]
    fn bytes_are_printed_whatever_they_are(
        text in flow(),
        list in action(),
        spoilt in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let ports = Ports::default();
        let flow = parse_flow(&text, &ports).unwrap();
        let actions = parse_actions(&list, &ports).unwrap();
        for start in [flow.key, flow.mask.clone(), actions, bytes] {
            let mut bytes = start;
            for (at, byte) in &spoilt {
                let at = at.index(bytes.len().max(1));
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
            }
            print_flow(&bytes, Some(&flow.mask), &ports, false);
            print_flow(&flow.mask, Some(&bytes), &ports, false);
            print_flow(&bytes, None, &ports, true);
            print_actions(&bytes, &ports);
        }
    }
}

/// Nesting is bounded in both directions.
#[test]
fn deep_nests_are_refused_and_cut() {
    let ports = Ports::default();
    let deep = |levels: usize| format!("{}1{}", "clone(".repeat(levels), ")".repeat(levels));
    assert!(parse_actions(&deep(30), &ports).is_ok());
    assert_eq!(parse_actions(&deep(40), &ports).unwrap_err().what, "nested too deeply");
    let mut bytes = Vec::new();
    while bytes.len() < 65_000 {
        let inner = core::mem::take(&mut bytes);
        pfnl_proto::Writer::new(&mut bytes).bytes(pfnl_proto::ovs::action::CLONE, &inner);
    }
    assert!(print_actions(&bytes, &ports).contains("<nested too deeply>"));
}
