//! Against what was exchanged with Linux, against keys of real packets, and against chance.

mod model;

use super::*;
use pfnl_datapath::extract::extract;
use pfnl_datapath::{Packet, VecPacket};
use pfnl_proto::Writer;
use proptest::prelude::*;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The attributes of a line of `golden.txt`.
fn attrs(text: &str) -> Option<Vec<u8>> {
    (text != "-").then(|| unhex(text))
}

fn parse(key: &[u8], mask: Option<&[u8]>) -> Result<Box<Match>, Error> {
    parse_match(Attrs::new(key, 0), mask.map(|mask| Attrs::new(mask, 0)))
}

fn parse_exact(key: &[u8]) -> Result<FlowKey, Error> {
    let mut out = FlowKey { skb_mark: 7, ..FlowKey::ZERO };
    parse_key(Attrs::new(key, 0), &mut out).map(|()| out)
}

fn key_bytes(key: &FlowKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_key(&mut Writer::new(&mut bytes), key);
    bytes
}

fn mask_bytes(key: &FlowKey, mask: &FlowKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_mask(&mut Writer::new(&mut bytes), key, mask);
    bytes
}

/// Attributes, for requests put together by hand.
fn run(list: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes);
    list.iter().for_each(|(number, payload)| _ = w.bytes(*number, payload));
    drop(w);
    bytes
}

#[test]
fn linux_accepts_the_same_and_dumps_the_same() {
    let mut dumped_here = Vec::new();
    let (mut requests, mut flows) = (0, 0);
    let lines = include_str!("golden.txt").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["new", case, valid, key, mask] => {
                let parsed = parse(&attrs(key).unwrap(), attrs(mask).as_deref());
                assert_eq!(parsed.is_ok(), valid == "yes", "{case}: {parsed:?}");
                if let Ok(m) = parsed {
                    dumped_here.push((key_bytes(&m.key), mask_bytes(&m.key, &m.mask)));
                }
                requests += 1;
            }
            ["name", case, "yes", key] => {
                parse_exact(&unhex(key)).unwrap_or_else(|error| panic!("{case}: {error}"));
                requests += 1;
            }
            ["packet", case, "yes", key] => {
                let mut out = FlowKey::ZERO;
                parse_metadata(Attrs::new(&unhex(key), 0), &mut out)
                    .unwrap_or_else(|e| panic!("{case}: {e}"));
                requests += 1;
            }
            ["flow", case, key, mask] => {
                // It was asked for in other words, and comes back in these; these are stable.
                let (key, mask) = (unhex(key), unhex(mask));
                let again = parse(&key, Some(&mask)).unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(
                    (key_bytes(&again.key), mask_bytes(&again.key, &again.mask)),
                    (key.clone(), mask.clone())
                );
                // A flow with a UFID comes back masked.
                if case != "fl-get-ufid" {
                    assert!(
                        dumped_here.contains(&(key, mask)),
                        "{case}: nothing asked for this flow: {line}"
                    );
                }
                flows += 1;
            }
            ["upcall", _, key] => {
                let bytes = unhex(key);
                assert_eq!(key_bytes(&parse_exact(&bytes).unwrap()), bytes);
                flows += 1;
            }
            _ => panic!("what is {line}?"),
        }
    }
    assert!(requests > 50 && flows > 30, "{requests} requests, {flows} flows");
}

const ETH: (u16, &[u8]) = (key::ETHERNET, &[2; 12]);
const ONES: (u16, &[u8]) = (key::ETHERNET, &[0xff; 12]);
const TYPE_ONES: (u16, &[u8]) = (key::ETHERTYPE, &[0xff; 2]);

fn ethertype(bytes: &[u8; 2]) -> (u16, &[u8]) {
    (key::ETHERTYPE, bytes)
}

#[test]
fn vlan_tags_are_whole_or_not_there() {
    let inside = run(&[ethertype(&[0x90, 0])]);
    let tagged =
        |tci: &[u8], encap: &[u8]| run(&[ETH, ethertype(&[0x81, 0]), (key::VLAN, tci), (key::ENCAP, encap)]);
    let whole = tagged(&[0x10, 5], &inside);
    let parsed = parse_exact(&whole).unwrap();
    assert_eq!(
        (parsed.vlan.tci.get(), parsed.vlan.tpid.get(), parsed.eth_type.get()),
        (0x1005, 0x8100, 0x9000)
    );

    assert!(parse_exact(&tagged(&[0, 5], &inside)).is_err(), "a TCI without the CFI bit");
    assert!(parse_exact(&tagged(&[0, 0], &inside)).is_err(), "something behind a frame's end");
    let truncated = parse_exact(&tagged(&[0, 0], &[])).unwrap();
    assert_eq!((truncated.vlan.tpid.get(), truncated.eth_type.get()), (0x8100, 0x0004));
    assert!(parse_exact(&run(&[ETH, ethertype(&[0x81, 0]), (key::VLAN, &[0x10, 5])])).is_err(), "no ENCAP");
    assert!(parse_exact(&run(&[ETH, ethertype(&[0x90, 0]), (key::VLAN, &[0x10, 5])])).is_err(), "no tag");
    assert!(parse_exact(&tagged(&[0x10, 5], &run(&[ETH, ethertype(&[0x90, 0])]))).is_err(), "ETHERNET twice");

    let tag = |encap: &[u8]| run(&[ethertype(&[0x81, 0]), (key::VLAN, &[0x10, 6]), (key::ENCAP, encap)]);
    let two = tagged(&[0x10, 5], &tag(&inside));
    assert_eq!(parse_exact(&two).unwrap().cvlan.tci.get(), 0x1006);
    assert!(parse_exact(&tagged(&[0x10, 5], &tag(&tag(&inside)))).is_err(), "three tags");

    let masked = |tpid: [u8; 2], tci: [u8; 2]| {
        let mask = run(&[ethertype(&tpid), (key::VLAN, &tci), (key::ENCAP, &run(&[TYPE_ONES]))]);
        parse(&whole, Some(&mask)).map(|m| m.mask.vlan.tci.get())
    };
    assert_eq!(masked([0xff, 0xff], [0x1f, 0xff]).ok(), Some(0x1fff));
    assert!(masked([0xff, 0], [0xff, 0xff]).is_err(), "part of a TPID");
    assert!(masked([0xff, 0xff], [0x0f, 0xff]).is_err(), "without the CFI bit");
    let untagged = run(&[ETH, ethertype(&[0x90, 0])]);
    let mask = run(&[TYPE_ONES, (key::VLAN, &[0xff; 2]), (key::ENCAP, &run(&[TYPE_ONES]))]);
    assert!(parse(&untagged, Some(&mask)).is_err(), "the mask of a tag that is not there");
}

#[test]
fn what_always_counts() {
    let bytes = run(&[ETH, ethertype(&[0x90, 0]), (key::IN_PORT, &5u32.to_ne_bytes())]);
    let one = run(&[(key::IN_PORT, &1u32.to_ne_bytes()), ethertype(&[0, 1])]);
    let m = parse(&bytes, Some(&one)).unwrap();
    assert_eq!((m.mask.in_port, m.mask.eth_type.get(), m.mask.mac_proto), (u32::MAX, 0xffff, 0xff));
    assert_eq!((m.mask.vlan.tci.get(), m.mask.cvlan.tci.get(), m.mask.eth_src), (0xffff, 0xffff, [0; 6]));
    let m = parse(&bytes, Some(&run(&[(key::IN_PORT, &[0; 4])]))).unwrap();
    assert_eq!((m.mask.in_port, m.mask.eth_type.get()), (0, 0), "a mask of zero is none");
    let m = parse(&run(&[ETH]), None).unwrap();
    assert_eq!((m.key.in_port, m.key.eth_type.get(), m.mask.eth_type.get()), (65535, 0x0004, 0));
}

#[test]
fn headers_are_masked_where_they_surely_are() {
    let ip = |proto: u8, frag: u8| [10, 0, 0, 1, 10, 0, 0, 2, proto, 0, 64, frag];
    let udp = run(&[ETH, ethertype(&[8, 0]), (key::IPV4, &ip(17, 0)), (key::UDP, &[0, 53, 0, 53])]);
    let mask = |list: &[(u16, &[u8])]| parse(&udp, Some(&run(list))).is_ok();
    let mut proto = [0; 12];
    assert!(mask(&[ONES]));
    assert!(!mask(&[(key::IPV4, &[0xff; 12])]), "an IP mask without the Ethernet type");
    assert!(!mask(&[TYPE_ONES, (key::UDP, &[0xff; 4])]), "ports without the protocol");
    proto[8] = 0x7f;
    assert!(
        !mask(&[TYPE_ONES, (key::IPV4, &proto), (key::UDP, &[0xff; 4])]),
        "ports with part of the protocol"
    );
    proto[8] = 0xff;
    assert!(mask(&[TYPE_ONES, (key::IPV4, &proto), (key::UDP, &[0xff; 4])]));
    assert!(!mask(&[(key::SKB_MARK, &[1; 4])]), "a mask of what the key does not have");
    assert!(mask(&[(key::SKB_MARK, &[0; 4])]));
    assert!(!mask(&[TYPE_ONES, TYPE_ONES]), "twice");
    assert!(!mask(&[(99, &[0; 4])]), "unknown");
    assert!(!mask(&[(key::SKB_MARK, &[0; 8])]), "too long, though zero");

    let later = run(&[ETH, ethertype(&[8, 0]), (key::IPV4, &ip(17, 2))]);
    assert!(parse(&later, None).is_ok(), "a later fragment has no ports");
    let tcp = run(&[ETH, ethertype(&[8, 0]), (key::IPV4, &ip(6, 0)), (key::TCP, &[0, 1, 0, 2])]);
    assert!(parse(&tcp, None).is_err(), "TCP without flags");

    let mut solicitation = [0; 40];
    (solicitation[36], solicitation[37]) = (58, 0);
    let nd = run(&[
        ETH,
        ethertype(&[0x86, 0xdd]),
        (key::IPV6, &solicitation),
        (key::ICMPV6, &[135, 0]),
        (key::ND, &[1; 28]),
    ]);
    solicitation.fill(0);
    solicitation[36] = 0xff;
    let mask = |icmp: &[u8]| {
        let list = [TYPE_ONES, (key::IPV6, &solicitation[..]), (key::ICMPV6, icmp), (key::ND, &[0xff; 28])];
        parse(&nd, Some(&run(&list))).is_ok()
    };
    assert!(mask(&[0xff, 0]) && !mask(&[0x0f, 0xff]));
    solicitation.fill(0);
    solicitation[33] = 0x10;
    let flow = run(&[ETH, ethertype(&[0x86, 0xdd]), (key::IPV6, &solicitation)]);
    assert!(parse(&flow, None).is_err(), "a flow label of 21 bits");
}

#[test]
fn labels_are_one_to_three() {
    let parse = |labels: &[u8]| parse_exact(&run(&[ETH, ethertype(&[0x88, 0x47]), (key::MPLS, labels)]));
    for n in 0..=4 {
        let parsed = parse(&[1; 16][..n * 4]);
        assert_eq!(
            parsed.ok().map(|key| key.mpls_labels.count_ones()),
            (1..=3).contains(&n).then_some(n as u32)
        );
    }
    assert!(parse(&[1; 6]).is_err());
}

#[test]
fn tunnels_have_one_family_and_a_destination() {
    use pfnl_proto::ovs::{tunnel_key as t, vxlan_opt};
    const DST: (u16, &[u8]) = (t::IPV4_DST, &[1; 4]);
    const TTL: (u16, &[u8]) = (t::TTL, &[64]);
    let flow = |list: &[(u16, &[u8])]| run(&[ETH, ethertype(&[0x90, 0]), (key::TUNNEL, &run(list))]);
    let parse_flow = |list: &[(u16, &[u8])]| parse_exact(&flow(list));
    assert_eq!(parse_flow(&[DST, TTL]).unwrap().tunnel.ip_version, 4);
    assert_eq!(parse_flow(&[(t::IPV6_DST, &[1; 16]), TTL]).unwrap().tunnel.ip_version, 6);
    assert!(parse_flow(&[DST]).is_err(), "no TTL");
    assert!(parse_flow(&[TTL]).is_err(), "no destination");
    assert!(parse_flow(&[(t::IPV4_DST, &[0; 4]), TTL]).is_err(), "a destination of zero");
    assert!(parse_flow(&[DST, (t::IPV6_DST, &[1; 16]), TTL]).is_err(), "both families");
    assert!(parse_flow(&[DST, TTL, (t::GENEVE_OPTS, &[0; 6])]).is_err(), "half an option");
    assert!(parse_flow(&[DST, TTL, (t::GENEVE_OPTS, &[0; 256])]).is_err(), "too many options");
    let group = run(&[(vxlan_opt::GBP, &[1, 2, 3, 4])]);
    let vxlan: (u16, &[u8]) = (t::VXLAN_OPTS, &group);
    assert!(parse_flow(&[DST, TTL, vxlan]).is_ok());
    assert!(parse_flow(&[DST, TTL, vxlan, (t::GENEVE_OPTS, &[0; 8])]).is_err(), "options of two kinds");
    assert!(parse_flow(&[DST, TTL, (t::VXLAN_OPTS, &run(&[(2, &[0; 4])]))]).is_err(), "an unknown extension");
    assert!(parse_flow(&[DST, TTL, (17, &[])]).is_err(), "unknown");

    let m = parse(&flow(&[DST, TTL, (t::CSUM, &[]), vxlan]), None).unwrap();
    assert_eq!((m.mask.tunnel.ip_version, m.mask.tunnel.tos, m.mask.tunnel.src), (0xff, 0xff, [0xff; 16]));
    assert_eq!((m.mask.tunnel.flags, m.mask.tunnel.opts_len), (tunnel::CSUM, 0xff));
    assert_eq!(m.mask.tunnel.opts[..5], [0xff, 0xff, 0xff, 0xff, 0]);
    let geneve = flow(&[DST, TTL, (t::GENEVE_OPTS, &[7; 8])]);
    let mask = |len: usize| run(&[(key::TUNNEL, &run(&[(t::GENEVE_OPTS, &[0xff; 16][..len])]))]);
    assert!(parse(&geneve, Some(&mask(8))).is_ok());
    assert!(parse(&geneve, Some(&mask(4))).is_err(), "options are masked whole");
}

#[test]
fn l3_packets_have_a_type_and_no_addresses() {
    let flow = run(&[ethertype(&[8, 6]), (key::ARP, &[0; 24])]);
    let key = parse_exact(&flow).unwrap();
    assert_eq!((key.mac_proto, key.eth_type.get()), (0, 0x0806));
    assert!(!key_bytes(&key).windows(4).any(|header| header == [16, 0, 4, 0]), "no ETHERNET");
    let mut metadata = FlowKey::ZERO;
    parse_metadata(Attrs::new(&flow, 0), &mut metadata).unwrap();
    assert_eq!((metadata.mac_proto, metadata.eth_type.get(), metadata.in_port), (0, 0x0806, 65535));
}

#[test]
fn a_tuple_fits_its_packet() {
    let key = run(&[(key::CT_ORIG_TUPLE_IPV4, &[1; 16])]);
    let of = |ethertype: u16| FlowKey { eth_type: ethertype.into(), ..FlowKey::ZERO };
    assert!(check_tuple(Attrs::new(&key, 0), &of(ETH_IPV4)).is_ok());
    assert!(check_tuple(Attrs::new(&key, 0), &of(ETH_IPV6)).is_err());
}

/// Packets of all kinds: what is extracted from them goes to user space and comes back the same.
#[test]
fn extracted_keys_survive_the_way_to_user_space() {
    let frames = model::frames();
    for frame in &frames {
        let mut packet = VecPacket::from_bytes(frame).unwrap();
        let mut key = FlowKey { in_port: 3, recirc_id: 1, mac_proto: 1, skb_mark: 9, ..FlowKey::ZERO };
        extract(&mut packet, &mut key).unwrap();
        let back = parse_exact(&key_bytes(&key)).unwrap_or_else(|error| panic!("{frame:02x?}: {error}"));
        assert_eq!(back, key);
        let m = parse(&key_bytes(&key), None).unwrap();
        assert!(
            m.key == key && m.mask.eth_type.get() == if key.eth_type.get() == 0x0004 { 0 } else { 0xffff }
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(key in model::key()) {
        let bytes = key_bytes(&key);
        prop_assert_eq!(&parse_exact(&bytes).unwrap(), &key);
        // An ENCAP with nothing in it is a mask of zero, and zero is as good as absent; so the tag has no mask.
        if key.vlan.tci.get() != 0 && key.eth_type.get() == 0x0004 {
            prop_assert!(parse(&bytes, None).is_err());
            return Ok(());
        }
        // Without a mask all of it counts, which can be written and read as well.
        let m = parse(&bytes, None).unwrap();
        let again = parse(&bytes, Some(&mask_bytes(&m.key, &m.mask))).unwrap();
        prop_assert_eq!(&again.key, &key);
        prop_assert_eq!(mask_bytes(&again.key, &again.mask), mask_bytes(&m.key, &m.mask));
    }

    /// A mask that is accepted comes back as the same mask, but for what a dump always says.
    #[test]
    fn masks_read_back(key in model::key(), choices in model::choices()) {
        let bytes = key_bytes(&key);
        let Ok(m) = parse(&bytes, Some(&model::mask(&bytes, &choices))) else { return Ok(()) };
        // A port that does not count is shown as one whose upper half does, and that counts as a whole.
        prop_assume!(m.mask.in_port == u32::MAX);
        let dump = mask_bytes(&m.key, &m.mask);
        let Ok(mut again) = parse(&bytes, Some(&dump)) else {
            // The nest of a service header is there, though what is in it is zero; an empty ENCAP is as good as absent.
            prop_assert!(matches!(key.eth_type.get(), ETH_NSH | 0x0004) && m.mask.eth_type.get() == 0);
            return Ok(());
        };
        prop_assert_eq!(mask_bytes(&again.key, &again.mask), dump);
        // That there is a tunnel, and what the tags are.
        again.mask.tunnel.ip_version = m.mask.tunnel.ip_version;
        (again.mask.vlan.tpid, again.mask.cvlan.tpid) = (m.mask.vlan.tpid, m.mask.cvlan.tpid);
        prop_assert_eq!(&again.mask, &m.mask);
    }

    /// Nothing panics, and what is accepted can be written and read again.
    #[test]
    fn any_attributes_are_read(key in model::attributes(), mask in proptest::option::of(model::attributes())) {
        if let Ok(m) = parse(&key, mask.as_deref()) {
            let (key, mask) = (key_bytes(&m.key), mask_bytes(&m.key, &m.mask));
            prop_assert!(key.len() < 2048 && mask.len() < 2048);
        }
        let mut out = FlowKey::ZERO;
        _ = parse_metadata(Attrs::new(&key, 0), &mut out);
        _ = check_tuple(Attrs::new(&key, 0), &out);
    }

    /// Valid attributes with one byte changed: nothing panics, and where it is still a key, it is written and read.
    #[test]
    fn a_broken_byte_does_no_harm(key in model::key(), at: proptest::sample::Index, byte: u8) {
        let mut bytes = key_bytes(&key);
        *at.get_mut(&mut bytes) = byte;
        if let Ok(m) = parse(&bytes, None) {
            prop_assert!(mask_bytes(&m.key, &m.mask).len() < 2048);
        }
    }
}
