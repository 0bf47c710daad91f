use super::*;
use crate::key::{FRAG_FIRST, FRAG_LATER, FRAG_NONE, MAC_ETHERNET};
use crate::packet::VecPacket;
use crate::testing::{DST_MAC, SRC_MAC, any_spec, key_of, spec};
use alloc::vec::Vec;
use proptest::prelude::*;

fn layers_of(bytes: &[u8]) -> (FlowKey, Layers) {
    let mut key = FlowKey { mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    let layers = extract(&mut VecPacket::from_bytes(bytes).unwrap(), &mut key).unwrap();
    (key, layers)
}

fn frame(rest: &[&[u8]]) -> Vec<u8> {
    [&[DST_MAC, SRC_MAC].concat(), &rest.concat()[..]].concat()
}

#[test]
fn tcp_over_ipv4() {
    let (key, layers) = layers_of(&spec(false, 6).bytes());
    assert_eq!((key.eth_src, key.eth_dst, key.eth_type.get()), (SRC_MAC, DST_MAC, 0x800));
    assert_eq!((key.ipv4_src, key.ipv4_dst), ([0x20, 0x21, 0x22, 1], [0x20, 0x21, 0x22, 2]));
    assert_eq!((key.ip_proto, key.ip_tos, key.ip_ttl, key.ip_frag), (6, 0x10, 64, FRAG_NONE));
    assert_eq!((key.tp_src.get(), key.tp_dst.get(), key.tcp_flags.get()), (1000, 2000, 0x018));
    assert_eq!(layers, Layers { l2_len: 14, l3: Some(14), l4: Some(34), payload: Some(34), routed: false });
    assert_eq!((key.vlan, key.cvlan), Default::default());
}

#[test]
fn metadata_stays_and_old_packet_fields_go() {
    let mut key = FlowKey { in_port: 3, skb_mark: 4, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    (key.mpls_labels, key.nd_target) = (7, [1; 16]);
    extract(&mut spec(false, 17).packet(), &mut key).unwrap();
    assert_eq!((key.in_port, key.skb_mark), (3, 4));
    assert_eq!((key.mpls_labels, key.nd_target, key.mac_proto), (0, [0; 16], MAC_ETHERNET));
}

#[test]
fn tags() {
    let mut with = spec(true, 17);
    with.tags = Vec::from([(0x88a8, 0x2003), (0x8100, 0x0004)]);
    let (key, layers) = layers_of(&with.bytes());
    assert_eq!((key.vlan.tpid.get(), key.vlan.tci.get()), (0x88a8, 0x3003));
    assert_eq!((key.cvlan.tpid.get(), key.cvlan.tci.get()), (0x8100, 0x1004));
    assert_eq!((key.eth_type.get(), layers.l2_len, layers.l4), (0x86dd, 22, Some(62)));
    // A third one is not looked into.
    with.tags.push((0x8100, 5));
    let (key, layers) = layers_of(&with.bytes());
    assert_eq!((key.eth_type.get(), layers.l2_len, layers.l3), (0x8100, 22, None));
    // Half a tag is none.
    let (key, layers) = layers_of(&frame(&[&[0x81, 0, 0, 1]]));
    assert_eq!((key.eth_type.get(), key.vlan, layers.l2_len), (0x8100, Vlan::default(), 14));
}

#[test]
fn lengths_in_the_types_place() {
    let types = |rest: &[&[u8]]| {
        let (key, layers) = layers_of(&frame(rest));
        (key.eth_type.get(), layers.l2_len)
    };
    assert_eq!(types(&[&[0, 3, 0x42, 0x42, 3]]), (ETH_TYPE_802_2, 14));
    assert_eq!(types(&[&[0, 8, 0x42, 0x42, 3, 0, 0, 0, 8, 0]]), (ETH_TYPE_802_2, 14));
    assert_eq!(types(&[&[0, 8, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]]), (0x0800, 22));
    assert_eq!(types(&[&[0, 8, 0xaa, 0xaa, 3, 0, 0, 1, 8, 0]]), (ETH_TYPE_802_2, 14));
    assert_eq!(types(&[&[0, 8, 0xaa, 0xaa, 3, 0, 0, 0, 0, 9]]), (ETH_TYPE_802_2, 22));
    assert_eq!(types(&[&[5, 0xff]]), (ETH_TYPE_802_2, 14));
    assert_eq!(types(&[&[6, 0]]), (0x600, 14));
}

#[test]
fn arp_and_what_is_not_quite() {
    let arp = |head: &[u8]| {
        let tail = [&SRC_MAC[..], &[10, 0, 0, 1], &DST_MAC, &[10, 0, 0, 2]].concat();
        layers_of(&frame(&[&[8, 6], head, &tail])).0
    };
    let key = arp(&[0, 1, 8, 0, 6, 4, 0, 2]);
    assert_eq!((key.ip_proto, key.ipv4_src, key.ipv4_dst), (2, [10, 0, 0, 1], [10, 0, 0, 2]));
    assert_eq!((key.sha, key.tha), (SRC_MAC, DST_MAC));
    assert_eq!(arp(&[0, 1, 8, 0, 6, 4, 1, 2]).ip_proto, 0);
    assert_eq!(arp(&[0, 2, 8, 0, 6, 4, 0, 2]).sha, [0; 6]);
    assert_eq!(arp(&[0, 1, 8, 0, 6]).sha, [0; 6]);
}

#[test]
fn ipv4_that_lies() {
    let good = spec(false, 17).bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        layers_of(&bytes)
    };
    for ihl in [0x44, 0x4f] {
        let (key, layers) = with(14, ihl);
        assert_eq!((key.ip_proto, key.ipv4_src, layers.l3, layers.l4), (0, [0; 4], Some(14), None));
        assert_eq!(key.eth_type.get(), 0x800);
    }
    let (key, layers) = with(20, 0x20);
    assert_eq!((key.ip_frag, key.tp_src.get(), layers.l4), (FRAG_FIRST, 1000, Some(34)));
    let (key, layers) = with(21, 1);
    assert_eq!((key.ip_frag, key.ip_proto, key.tp_src.get(), layers.l4), (FRAG_LATER, 17, 0, None));
    assert_eq!(layers.l3, Some(14));
    // TCP whose options would reach past the end.
    let mut tcp = spec(false, 6).bytes();
    tcp[46] = 0xf0;
    assert_eq!(layers_of(&tcp).0.tp_src.get(), 0);
    tcp[46] = 0x40;
    assert_eq!(layers_of(&tcp).0.tcp_flags.get(), 0);
}

#[test]
fn icmp_types_stand_where_ports_do() {
    let key = key_of(&spec(false, 1).packet());
    assert_eq!((key.tp_src.get(), key.tp_dst.get()), (8, 0));
    let (key, layers) = layers_of(&spec(false, 1).bytes()[..41]);
    assert_eq!((key.tp_src.get(), key.ip_proto, layers.l4), (0, 1, None));
}

fn ipv6(next: u8, rest: &[u8]) -> (FlowKey, Layers) {
    let mut bytes = frame(&[&[0x86, 0xdd, 0x6a, 0xb1, 0x23, 0x45, 0, 0, next, 9], &[1; 16], &[2; 16]]);
    bytes.extend_from_slice(rest);
    layers_of(&bytes)
}

#[test]
fn ipv6_and_its_extensions() {
    let (key, layers) = ipv6(59, &[]);
    assert_eq!((key.ip_tos, key.ipv6_label.get(), key.ip_ttl), (0xab, 0x12345, 9));
    assert_eq!((key.ipv6_src, key.ipv6_dst, key.ip_proto), ([1; 16], [2; 16], 59));
    assert_eq!((key.ipv6_exthdrs, layers.l3), (1, Some(14)));

    // hop-by-hop, destination options, routing (a segment left), first fragment, AH, UDP
    let chain = [
        [60, 0, 0, 0, 0, 0, 0, 0],
        [43, 0, 0, 0, 0, 0, 0, 0],
        [44, 0, 0, 1, 0, 0, 0, 0],
        [51, 0, 0, 1, 0, 0, 0, 9],
        [17, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 7, 0, 8],
        [0, 8, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let (key, layers) = ipv6(0, &chain);
    assert_eq!((key.ip_proto, key.ip_frag), (17, FRAG_FIRST));
    assert_eq!((key.tp_src.get(), key.tp_dst.get()), (7, 8));
    assert_eq!(
        layers,
        Layers { l2_len: 14, l3: Some(14), l4: Some(54 + 44), payload: Some(54 + 44), routed: true }
    );
    assert_eq!(key.ipv6_exthdrs, 0x4 | 0x8 | 0x10 | 0x20 | 0x40);

    // A later fragment.
    let (key, layers) = ipv6(44, &[17, 0, 0, 8, 0, 0, 0, 9, 0, 7, 0, 8, 0, 8, 0, 0]);
    assert_eq!((key.ip_proto, key.ip_frag, key.tp_src.get(), layers.l4), (44, FRAG_LATER, 0, None));
    // A chain that breaks off, in the middle of a header and by a length.
    for rest in [&[17, 0, 0][..], &[17, 1, 0, 0, 0, 0, 0, 0]] {
        let (key, layers) = ipv6(0, rest);
        assert_eq!((key.ip_proto, key.ipv6_src, layers.l4), (59, [1; 16], None));
    }
    // One that is cut off is the first; a later one that says to go on is broken.
    let (key, _) = ipv6(44, &[17, 0]);
    assert_eq!((key.ip_proto, key.ip_frag), (59, FRAG_FIRST));
    let (key, _) = ipv6(44, &[60, 0, 0, 8, 0, 0, 0, 9, 17, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((key.ip_proto, key.ip_frag), (59, FRAG_FIRST));
    // A chain without an end.
    assert_eq!(ipv6(60, &[60, 0, 0, 0, 0, 0, 0, 0].repeat(100)).0.ip_proto, 59);
}

/// Repetition and disorder, as the packet oracle saw Linux note them.
#[test]
fn odd_orders_of_extension_headers() {
    for (order, noted) in [
        (&[0u8, 60][..], 0x48),
        (&[60, 0], 0x108),
        (&[0, 0], 0x1c0),
        (&[60, 60], 0x8),
        (&[60, 60, 60], 0x88),
        (&[60, 43, 60], 0x28),
        (&[43, 0], 0x120),
        (&[43, 43], 0x1a0),
        (&[44, 60], 0x118),
        (&[44, 44], 0x190),
        (&[43, 51], 0x24),
        (&[51, 43], 0x124),
    ] {
        // Each as long as the walk takes it to be; the second byte is the length.
        let header = |at: usize| [order.get(at + 1).copied().unwrap_or(17), 0, 0, 0, 0, 0, 0, 0];
        let chain: Vec<u8> = (0..order.len()).flat_map(header).collect();
        assert_eq!(ipv6(order[0], &chain).0.ipv6_exthdrs, noted, "{order:?}");
    }
}

#[test]
fn neighbour_discovery() {
    let advert = |code: u8, options: &[u8]| {
        ipv6(58, &[&[136, code, 0, 0, 0, 0, 0, 0], &[9u8; 16][..], options].concat()).0
    };
    let both = [&[1, 1], &SRC_MAC[..], &[2, 1], &DST_MAC].concat();
    let key = advert(0, &both);
    assert_eq!((key.tp_src.get(), key.nd_target), (136, [9; 16]));
    assert_eq!((key.sha, key.tha), (SRC_MAC, DST_MAC));
    assert_eq!(advert(1, &both).nd_target, [0; 16]);
    let twice = [&[1, 1], &SRC_MAC[..], &[1, 1], &SRC_MAC].concat();
    assert_eq!((advert(0, &twice).nd_target, advert(0, &twice).sha), ([0; 16], [0; 6]));
    // Options that do not fit are the end of it.
    let key = advert(0, &[&both[..8], &[2, 9], &DST_MAC[..]].concat());
    assert_eq!((key.sha, key.tha), (SRC_MAC, [0; 6]));
    assert_eq!(advert(0, &[2, 0, 1, 1, 1, 1, 1, 1]).tha, [0; 6]);
}

#[test]
fn labels() {
    let lse = |label: u8, bottom: u8| [0, 0, label << 4 | bottom, 64];
    let (key, layers) = layers_of(&frame(&[&[0x88, 0x47], &lse(1, 0), &lse(2, 1), &lse(3, 1)]));
    assert_eq!((key.mpls_labels, layers.l3), (0b11, None));
    assert_eq!(key.mpls.map(|lse| lse.get()), [0x1040, 0x2140, 0]);
    let deep = [lse(1, 0), lse(2, 0), lse(3, 0), lse(4, 1)].concat();
    assert_eq!(layers_of(&frame(&[&[0x88, 0x48], &deep])).0.mpls_labels, 0b111);
    assert_eq!(layers_of(&frame(&[&[0x88, 0x47, 0, 0]])).0.mpls_labels, 0);
    // A stack without a bottom has none, wherever it ends.
    assert_eq!(layers_of(&frame(&[&[0x88, 0x47], &deep[..12]])).0.mpls_labels, 0);
}

#[test]
fn a_packet_without_ethernet_header() {
    let bytes = spec(false, 6).bytes();
    let mut packet = VecPacket::from_bytes(&bytes[14..]).unwrap();
    let mut key = FlowKey { eth_type: Be16::new(0x800), ..FlowKey::ZERO };
    let layers = extract(&mut packet, &mut key).unwrap();
    assert_eq!((key.mac_proto, key.tp_dst.get(), layers.l2_len), (MAC_NONE, 2000, 0));
    let mut short = VecPacket::from_bytes(&bytes[..13]).unwrap();
    let mut key = FlowKey { mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    assert_eq!(extract(&mut short, &mut key), Err(Errno::EINVAL));
}

proptest! {
    #[test]
    fn nothing_in_a_packet_can_panic(bytes in prop::collection::vec(any::<u8>(), 14..200)) {
        layers_of(&bytes);
    }

    /// Packets that are almost right reach further into the parser.
    #[test]
    fn nor_can_a_damaged_or_cut_one(
        spec in any_spec(), cut in 14usize..200, damage in prop::collection::vec((12usize..120, any::<u8>()), 0..4),
    ) {
        let mut bytes = spec.bytes();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut);
        let (_, layers) = layers_of(&bytes);
        for at in [Some(layers.l2_len), layers.l3, layers.l4].into_iter().flatten() {
            prop_assert!(at <= bytes.len());
        }
    }

    #[test]
    fn what_was_built_is_what_is_read(spec in any_spec()) {
        let (key, layers) = layers_of(&spec.bytes());
        prop_assert_eq!(layers.l2_len, spec.l2_len());
        prop_assert_eq!(key.ip_proto, spec.proto);
        let ported = matches!(spec.proto, 6 | 17 | 132);
        if ported {
            prop_assert_eq!((key.tp_src.get(), key.tp_dst.get()), spec.ports);
            prop_assert_eq!(layers.l4, Some(spec.l4()));
        }
    }
}

#[test]
fn a_service_header_is_right_or_there_is_no_key() {
    let frame = |first: u16, md: u8, rest: usize| {
        let mut bytes =
            [&[0u8; 12][..], &[0x89, 0x4f], &first.to_be_bytes(), &[md, 3, 0, 0, 1, 255]].concat();
        bytes.resize(bytes.len() + rest, 9);
        let mut key = FlowKey { mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
        extract(&mut VecPacket::from_bytes(&bytes).unwrap(), &mut key).map(|_| key.nsh)
    };
    let nsh = frame(0x3fc6, 1, 16).unwrap();
    assert_eq!((nsh.flags, nsh.ttl, nsh.mdtype, nsh.np, nsh.path_hdr.get()), (3, 63, 1, 3, 0x1ff));
    assert_eq!(nsh.context, [crate::key::Be32::new(0x0909_0909); 4]);
    // Variable metadata is no part of the key.
    assert_eq!(frame(0x0043, 2, 4).unwrap().context, [crate::key::Be32::ZERO; 4]);
    assert!(frame(0x0042, 2, 0).is_ok());
    // Another version, lengths that do not fit the type, types that there are not, what is cut off.
    for (first, md, rest) in
        [(0x4046, 1, 16), (0x0045, 1, 16), (0x0047, 1, 20), (0x0046, 0, 16), (0x0046, 3, 16)]
    {
        assert_eq!(frame(first, md, rest), Err(Errno::EINVAL), "{first:#x} {md}");
    }
    for rest in 0..16 {
        assert_eq!(frame(0x0046, 1, rest), Err(Errno::EINVAL), "{rest}");
    }
}
