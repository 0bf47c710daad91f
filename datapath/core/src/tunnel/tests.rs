//! Tunnels: against what Linux 6.12 sent and took, there and back, and against nonsense.

use super::*;
use crate::action::{Action, Set};
use crate::datapath::FlowName;
use crate::key::{Be16, Be64, FlowKey};
use crate::packet::VecPacket;
use crate::port::{Port, PortName};
use crate::testing::*;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use pfnl_platform::{Platform, Shared, User};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const VXLAN: Tunnel = Tunnel { protocol: Protocol::Vxlan { gbp: false }, dst_port: 4789 };
const POLICY: Tunnel = Tunnel { protocol: Protocol::Vxlan { gbp: true }, dst_port: 4800 };
const GENEVE: Tunnel = Tunnel { protocol: Protocol::Geneve, dst_port: 6081 };
const GPE: Tunnel = Tunnel { protocol: Protocol::VxlanGpe, dst_port: 4790 };
const GRE: Tunnel = Tunnel { protocol: Protocol::Gre { v6: false }, dst_port: 0 };
const ERSPAN: Tunnel = Tunnel { protocol: Protocol::Erspan { v6: false }, dst_port: 0 };
const STAMP: Stamp = Stamp { sequence: 6, time: 0x1020_3040 };

fn key(id: u64) -> TunnelKey {
    TunnelKey { ip_version: 4, id: Be64::new(id), flags: KEY, ttl: 64, ..FlowKey::ZERO.tunnel }
}

fn with_opts(kind: u16, opts: &[u8]) -> TunnelKey {
    let mut key = key(1);
    key.opts[..opts.len()].copy_from_slice(opts);
    (key.opts_kind, key.opts_len) = (kind, opts.len() as u8);
    key
}

fn wrap(tunnel: &Tunnel, key: &TunnelKey, frame: &[u8]) -> Result<(Outer, Vec<u8>)> {
    let mut packet = VecPacket::from_bytes(frame)?;
    let outer = encapsulate(tunnel, key, Inside::Ethernet, 7, STAMP, &mut packet)?;
    Ok((outer, packet.bytes().to_vec()))
}

fn unwrap(tunnel: &Tunnel, tos: u8, bytes: &[u8]) -> Result<(TunnelKey, Vec<u8>)> {
    let mut packet = VecPacket::from_bytes(bytes)?;
    let mut key = TunnelKey { tos, ..FlowKey::ZERO.tunnel };
    decapsulate(tunnel, &mut key, &mut packet)?;
    Ok((key, packet.bytes().to_vec()))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The frame that Linux was given: UDP from 1.1.1.1 to 2.2.2.2, ECT(0), TTL 33.
const FRAME: &str =
    "020000000aaa020000000bbb080045020024123440002111418e010101010202020203e807d000105c7b6162636465666768";

#[test]
fn headers_are_those_that_linux_sent() {
    let frame = hex(FRAME);
    let flags = |key: TunnelKey, flags| TunnelKey { flags: key.flags | flags, ..key };
    let no_id = TunnelKey { flags: 0, ..key(0) };
    let gbp = |policy: u32| with_opts(OPTS_VXLAN, &policy.to_ne_bytes());
    let geneve = |opts| with_opts(OPTS_GENEVE, &hex(opts));
    let erspan =
        |version: u32, words| with_opts(OPTS_ERSPAN, &[version.to_ne_bytes().to_vec(), hex(words)].concat());
    for (tunnel, key, header) in [
        (VXLAN, key(0x12_3456), "0800000012345600"),
        (VXLAN, no_id.clone(), "0800000000000000"),
        (VXLAN, key(0x1122_3344_5566_7788), "0800000066778800"),
        (VXLAN, gbp(0x1_ffee), "0800000000000100"),
        (POLICY, gbp(0x1234), "8800123400000100"),
        (POLICY, gbp(u32::MAX), "8848ffff00000100"),
        (POLICY, geneve("0102030004050600"), "0800000000000100"),
        (GENEVE, key(0x12_3456), "0000655812345600"),
        (GENEVE, no_id.clone(), "0000655800000000"),
        (GENEVE, geneve("ffff800100112233"), "0240655800000100ffff800100112233"),
        (GENEVE, geneve("ffff000100112233"), "0200655800000100ffff000100112233"),
        (GENEVE, flags(geneve("0102030004050600"), OAM), "02806558000001000102030004050600"),
        (GENEVE, gbp(0x1234), "010065580000010000000000"),
        (GRE, key(0x12_3456), "2000655800123456"),
        (GRE, no_id, "00006558"),
        (GRE, key(0x1122_3344_5566_7788), "2000655855667788"),
        (GRE, flags(key(1), CSUM), "a0006558de67000000000001"),
        (GRE, flags(key(1), OAM), "2000655800000001"),
        (ERSPAN, erspan(1, "0000000700000000"), "100088be000000061000000100000007"),
        (ERSPAN, erspan(2, "6f54b41700008078"), "100022eb00000006200000011020304000008078"),
    ] {
        let (_, bytes) = wrap(&tunnel, &key, &frame).unwrap();
        let at = if tunnel.is_udp() { UDP_HEADER_LEN } else { 0 };
        assert_eq!(bytes[at..], [hex(header), frame.clone()].concat(), "{tunnel:?} {header}");
        if at > 0 {
            assert_eq!(bytes[4..8], [(bytes.len() >> 8) as u8, bytes.len() as u8, 0, 0]);
        }
    }
    // A tag is told of in front of the frame, which keeps it.
    let tagged = [&frame[..12], &[0x81, 0, 0xa0, 5], &frame[12..]].concat();
    let (_, bytes) = wrap(&ERSPAN, &erspan(1, "0000000700000000"), &tagged).unwrap();
    assert_eq!(bytes, [hex("100088be000000061005b80100000007"), tagged].concat());
    assert_eq!(wrap(&ERSPAN, &key(1), &frame).unwrap_err(), Errno::EINVAL);
    assert_eq!(wrap(&ERSPAN, &erspan(3, "0000000000000000"), &frame).unwrap_err(), Errno::EINVAL);
    // Ports: VXLAN goes where the key says, Geneve always to its own.
    let elsewhere = TunnelKey { tp_src: Be16::new(1111), tp_dst: Be16::new(2222), ..key(1) };
    assert_eq!(wrap(&VXLAN, &elsewhere, &frame).unwrap().1[2..4], 2222u16.to_be_bytes());
    assert_eq!(wrap(&GENEVE, &elsewhere, &frame).unwrap().1[2..4], 6081u16.to_be_bytes());
}

#[test]
fn the_outer_header_is_that_of_linux() {
    let with_tos = |tos| {
        let mut frame = hex(FRAME);
        frame[15] = tos;
        frame
    };
    let outer = |tunnel, tos, ttl, frame: &[u8]| {
        let (outer, _) = wrap(&tunnel, &TunnelKey { tos, ttl, ..key(1) }, frame).unwrap();
        (outer.tos, outer.ttl)
    };
    // The mark is the inner packet's, without congestion; UDP's tunnels take nothing else over.
    for (inner, tos, udp, gre) in [
        (0xe0, 0, 0, 0),
        (0xe0, 1, 0, 0xe0),
        (0xe0, 2, 0, 0),
        (0xe0, 3, 0, 0),
        (0xe1, 0, 1, 1),
        (0xe2, 0xb8, 0xba, 0xba),
        (0xe3, 0, 2, 2),
        (0xe3, 1, 2, 0xe2),
    ] {
        let frame = with_tos(inner);
        assert_eq!((outer(VXLAN, tos, 64, &frame), outer(GENEVE, tos, 9, &frame)), ((udp, 64), (udp, 9)));
        assert_eq!(outer(GRE, tos, 64, &frame), (gre, 64), "{inner:x} {tos:x}");
    }
    // No TTL: GRE takes the inner one.
    assert_eq!((outer(VXLAN, 0, 0, &hex(FRAME)).1, outer(GRE, 0, 0, &hex(FRAME)).1), (0, 0x21));
    let v6 = spec(true, 17).bytes();
    assert_eq!(outer(GRE, 0, 0, &v6).1, v6[21]);
    // A tag hides the header from GRE only.
    let tagged = [&hex(FRAME)[..12], &[0x81, 0, 0, 5], &hex(FRAME)[12..]].concat();
    assert_eq!((outer(VXLAN, 0, 0, &tagged), outer(GRE, 0, 0, &tagged)), ((2, 0), (0, 0)));
    let other = [&hex(FRAME)[..12], &[0x90, 0][..]].concat();
    assert_eq!((outer(VXLAN, 3, 64, &other), outer(GRE, 3, 0, &other)), ((0, 64), (0, 0)));
    // A frame cut inside its IP header is not sent.
    assert_eq!(wrap(&VXLAN, &key(1), &hex(FRAME)[..33]).unwrap_err(), Errno::EINVAL);
    assert_eq!(wrap(&GRE, &key(1), &hex(FRAME)[..13]).unwrap_err(), Errno::EINVAL);
    let mut unfinished = spec(false, 6).partial();
    assert_eq!(encapsulate(&VXLAN, &key(1), Inside::Ethernet, 0, STAMP, &mut unfinished), Err(Errno::EINVAL));
}

#[test]
fn takes_what_linux_takes() {
    let frame = FRAME;
    let kept = |tunnel: &Tunnel, header: &str| {
        unwrap(tunnel, 0, &hex(&[header, frame].concat())).map(|(key, inner)| {
            assert_eq!(inner, hex(frame));
            (key.id.get(), key.flags, key.opts_kind, key.opts[..key.opts_len.into()].to_vec())
        })
    };
    let plain = (0x123, KEY, 0, vec![]);
    let policy = |policy: u32| (0x123, KEY, OPTS_VXLAN, policy.to_ne_bytes().to_vec());
    let geneve = |opts| (0x123, KEY, OPTS_GENEVE, hex(opts));
    let metadata = |version: u32, words| [version.to_ne_bytes().to_vec(), hex(words)].concat();
    for (tunnel, header, expected) in [
        (VXLAN, "0800000000012300", Some(plain.clone())),
        (VXLAN, "0000000000012300", None),
        (VXLAN, "0800000100012300", None),
        (VXLAN, "0800000000012301", None),
        (VXLAN, "8800123400012300", None),
        (VXLAN, "0c00000000012300", None),
        (POLICY, "8848123400012300", Some(policy(0x48_1234))),
        (POLICY, "0800000000012300", Some(plain.clone())),
        (POLICY, "8840000000012300", Some(policy(0x40_0000))),
        (POLICY, "88b7ffff00012300", Some(policy(0xffff))),
        (POLICY, "8800000000012300", Some(policy(0))),
        (GENEVE, "0000655800012300", Some(plain.clone())),
        (GENEVE, "0080655800012300", Some((0x123, KEY | OAM, 0, vec![]))),
        (GENEVE, "0040655800012300", Some(plain.clone())),
        (GENEVE, "4000655800012300", None),
        (GENEVE, "003f655800012300", Some(plain.clone())),
        (GENEVE, "0000655800012345", Some(plain)),
        (GENEVE, "0240655800012300ffff800100112233", Some(geneve("ffff800100112233"))),
        (GENEVE, "0200655800012300ffff80e500112233", Some(geneve("ffff80e500112233"))),
        (GENEVE, "0000080000012300", None),
        (GRE, "00006558", Some((0, 0, 0, vec![]))),
        (GRE, "2000655800001234", Some((0x1234, KEY, 0, vec![]))),
        (GRE, "1000655800000007", Some((0, 0, 0, vec![]))),
        (GRE, "300065580000123400000007", Some((0x1234, KEY, 0, vec![]))),
        (GRE, "a0006558de67000000000001", Some((1, KEY | CSUM, 0, vec![]))),
        (GRE, "a0006558de68000000000001", None),
        (GRE, "00016558", None),
        (GRE, "40006558", None),
        (GRE, "07f86558", None),
        (GRE, "100088be000000061000000100000007", None),
        // From OVS's own tests (system-traffic.at), and from the draft.
        (
            ERSPAN,
            "100088be000000061000000100000007",
            Some((1, KEY, OPTS_ERSPAN, metadata(1, "0000000700000000"))),
        ),
        (
            ERSPAN,
            "100088be00000006200000016f54b41700008078",
            Some((1, KEY, OPTS_ERSPAN, metadata(2, "6f54b41700008078"))),
        ),
        (
            ERSPAN,
            "100022eb000000061fffffff00000007",
            Some((0x3ff, KEY, OPTS_ERSPAN, metadata(1, "0000000700000000"))),
        ),
        (ERSPAN, "100088be000000063000000100000007", None),
        (ERSPAN, "000088be1000000100000007", None),
        (ERSPAN, "00006558", None),
    ] {
        assert_eq!(kept(&tunnel, header).ok(), expected, "{tunnel:?} {header}");
    }
    // The frame must be one, and if it is IP it must have the header.
    for len in [0, 13, 14, 33] {
        let bytes = [hex("0800000000012300"), hex(FRAME)[..len].to_vec()].concat();
        assert!(unwrap(&VXLAN, 0, &bytes).is_err(), "{len}");
    }
}

#[test]
fn congestion_marks_come_out_of_the_tunnel() {
    // RFC 6040, figure 4: outer down, inner across; `X` drops.
    let table = [("00", "0123"), ("01", "0113"), ("02", "0123"), ("03", "X333")];
    for (outer, row) in table {
        for (inner, expected) in (0u8..).zip(row.chars()) {
            for frame in [spec(false, 6), spec(true, 17)] {
                let mut frame = frame.bytes();
                let mut packet = VecPacket::from_bytes(&frame).unwrap();
                inner::set_tos(&mut packet, 14, inner | 0xb8).unwrap();
                frame.copy_from_slice(packet.bytes());
                let bytes = [hex("0800000000012300"), frame].concat();
                match (unwrap(&VXLAN, hex(outer)[0], &bytes), expected.to_digit(4)) {
                    (Ok((_, frame)), Some(expected)) => {
                        // Its IP checksum is right.
                        verify(&frame);
                        let mark =
                            Inner::of(Inside::Ethernet, &VecPacket::from_bytes(&frame).unwrap()).unwrap().tos;
                        assert_eq!(u32::from(mark), expected | 0xb8);
                    }
                    (result, expected) => assert!(result.is_err() && expected.is_none()),
                }
            }
        }
    }
}

fn any_tunnel() -> impl Strategy<Value = Tunnel> {
    prop::sample::select(vec![VXLAN, POLICY, GPE, GENEVE, GRE, ERSPAN])
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        tunnel in any_tunnel(), spec in any_spec(), id in 0u64..1 << 24, flags in 0u16..16, tos: u8,
        words in prop::collection::vec(any::<[u8; 4]>(), 0..63), policy: u16,
    ) {
        let mut key = TunnelKey { flags, id: Be64::new(id), tos, ..key(0) };
        let opts = words.concat();
        if tunnel == GENEVE {
            key.opts[..opts.len()].copy_from_slice(&opts);
            (key.opts_kind, key.opts_len) = (OPTS_GENEVE, opts.len() as u8);
        } else if tunnel == ERSPAN {
            key.id = Be64::new(id & 0x3ff);
            key.opts[..4].copy_from_slice(&u32::from(1 + policy % 2).to_ne_bytes());
            key.opts[6..8].copy_from_slice(&policy.to_be_bytes());
            if policy % 2 == 1 {
                key.opts[4..8].copy_from_slice(&STAMP.time.to_be_bytes());
            }
            (key.opts_kind, key.opts_len) = (OPTS_ERSPAN, 12);
        } else if tunnel == POLICY {
            key.opts[..4].copy_from_slice(&u32::from(policy).to_ne_bytes());
            (key.opts_kind, key.opts_len) = (OPTS_VXLAN, 4);
        }
        let frame = spec.bytes();
        let (outer, bytes) = wrap(&tunnel, &key, &frame).unwrap();
        let at = if tunnel.is_udp() { UDP_HEADER_LEN } else { 0 };
        let (got, inner) = unwrap(&tunnel, outer.tos, &bytes[at..]).unwrap();
        prop_assert_eq!(&inner, &frame);
        prop_assert_eq!(&got.opts[..got.opts_len.into()], &key.opts[..key.opts_len.into()]);
        if tunnel == GRE {
            prop_assert_eq!(got.flags, flags & (KEY | CSUM));
            prop_assert_eq!(got.id.get(), if flags & KEY != 0 { id } else { 0 });
        } else {
            prop_assert_eq!((got.id, got.flags & KEY), (key.id, KEY));
        }
        // A byte less than the headers is refused.
        for len in 0..bytes.len() - frame.len() - at {
            prop_assert!(unwrap(&tunnel, 0, &bytes[at..at + len]).is_err());
        }
    }

    #[test]
    fn nonsense_is_refused_or_taken(
        tunnel in any_tunnel(), bytes in prop::collection::vec(any::<u8>(), 0..400), tos: u8, start in 0usize..7,
    ) {
        // Starts that are likely to be looked into.
        let starts = ["", "08000000", "0c000001", "00006558", "20000800", "3f006558", "100088be0000000010"];
        let bytes = [hex(starts[start]), bytes].concat();
        if let Ok((key, frame)) = unwrap(&tunnel, tos, &bytes) {
            let least = if matches!(tunnel, GPE | GRE) { 0 } else { 14 };
            prop_assert!(frame.len() >= least && frame.len() < bytes.len());
            prop_assert!(usize::from(key.opts_len) <= 252);
        }
    }

    #[test]
    fn udp_checksums_verify(frame in prop::collection::vec(any::<u8>(), 20..100), src: [u8; 16], dst: [u8; 16], v6: bool) {
        let mut packet = VecPacket::from_bytes(&frame).unwrap();
        udp::push(1, 2, &mut packet).unwrap();
        let n = if v6 { 16 } else { 4 };
        fill_checksum(&mut packet, &src[..n], &dst[..n]).unwrap();
        let sum = crate::csum::pseudo(&src[..n], &dst[..n], 17, packet.len()).bytes(packet.bytes());
        prop_assert_eq!(sum.finish(), 0);
        prop_assert!(packet.bytes()[6..8] != [0, 0]);
    }

    #[test]
    fn unfinished_checksums_are_found_and_finished_ones_left_alone(spec in any_spec()) {
        let mut whole = spec.packet();
        repair_checksum(Inside::Ethernet, &mut whole);
        prop_assert_eq!((whole.offload().csum, whole.bytes()), (None, &spec.bytes()[..]));
        if matches!(spec.proto, 6 | 17) && !spec.no_csum && spec.tags.len() < 2 {
            let mut partial = spec.partial();
            let csum = partial.offload_mut().csum.take();
            repair_checksum(Inside::Ethernet, &mut partial);
            prop_assert_eq!(partial.offload().csum, csum);
            crate::csum::complete(&mut partial).unwrap();
            verify(partial.bytes());
        }
    }

    #[test]
    fn ports_are_in_their_range(hash: u32) {
        let (src, dst) = VXLAN.ports(&key(1), hash).unwrap();
        prop_assert!((32_768..=60_999).contains(&src) && dst == 4789);
        prop_assert!(GENEVE.ports(&key(1), hash).unwrap().0 > 0);
    }
}

/// An id, a hash and a frame.
type Through = (u64, u32, Vec<u8>);

/// A tunnel port that remembers.
#[derive(Clone)]
struct End {
    tunnel: Tunnel,
    sent: Arc<Mutex<Vec<Through>>>,
}

impl Port<VecPacket> for End {
    fn send(&self, _packet: VecPacket) {}
    fn name(&self) -> PortName {
        PortName::new(b"tunnel").unwrap()
    }
    fn ifindex(&self) -> u32 {
        9
    }
    fn kind(&self) -> PortKind {
        self.tunnel.kind()
    }
    fn mtu(&self) -> usize {
        self.tunnel.mtu()
    }
    fn tunnel(&self) -> Option<Tunnel> {
        Some(self.tunnel)
    }
    fn send_through(&self, packet: VecPacket, _inside: Inside, key: &TunnelKey, hash: u32) {
        self.sent.lock().unwrap().push((key.id.get(), hash, packet.bytes().to_vec()));
    }
    fn egress(&self, key: &mut TunnelKey, hash: u32) -> Result<()> {
        let (src, dst) = self.tunnel.ports(key, hash).ok_or(Errno::EOPNOTSUPP)?;
        (key.tp_src, key.tp_dst) = (Be16::new(src), Be16::new(dst));
        Ok(())
    }
}

#[test]
fn a_tunnel_port_needs_to_be_told_where_to() {
    let (dp, [_, two, _]) = datapath();
    let end = End { tunnel: VXLAN, sent: Arc::default() };
    let vport = dp.add_port(Some(7), Box::new(end.clone()), &[]).unwrap();
    let set = |id| Action::Set(Set::Tunnel(Shared::try_new(key(id)).unwrap()));
    let frame = || spec(false, 6).packet();
    let ids = || end.sent.lock().unwrap().drain(..).map(|(id, ..)| id).collect::<Vec<_>>();

    run(&dp, frame(), [Action::Output(7)]);
    assert_eq!((ids(), vport.stats().tx_dropped), (vec![], 1));
    // What a copy is told does not reach beyond it; what came before reaches into copies. Other ports do not care.
    run(&dp, frame(), [Action::Clone(vec![set(1)]), Action::Output(7)]);
    assert_eq!(ids(), []);
    run(
        &dp,
        frame(),
        [set(1), Action::Output(2), Action::Clone(vec![Action::Output(7)]), set(2), Action::Output(7)],
    );
    assert_eq!((ids(), two.take().len()), (vec![1, 2], 1));
    // Through another pass, too; the key there is still the tunnel that the packet came by.
    let came = TunnelKey { ip_version: 4, ..key(5) };
    let mut by = FlowKey { in_port: 7, ..FlowKey::ZERO };
    let mut mask = FlowKey { in_port: u32::MAX, recirc_id: u32::MAX, ..FlowKey::ZERO };
    (by.tunnel.id, mask.tunnel.id) = (Be64::new(5), Be64::new(u64::MAX));
    let mut put = |recirc_id, list: Vec<Action>| {
        by.recirc_id = recirc_id;
        let list = crate::action::Actions::try_new(list, Vec::new()).unwrap();
        dp.put_flow(FlowName { ufid: None, key: &by }, &mask, list, true).unwrap();
    };
    put(0, vec![set(3), Action::Recirc(1)]);
    put(1, vec![Action::Output(7)]);
    dp.receive_tunnelled(&User::enter(), 7, &came, Inside::Ethernet, frame());
    assert_eq!((ids(), dp.upper().take().len()), (vec![3], 0));
    dp.receive_tunnelled(&User::enter(), 7, &key(6), Inside::Ethernet, frame());
    assert_eq!(dp.upper().take().remove(0).key.tunnel, key(6));
    // An L3 packet is none for a tunnel of frames, and goes through one that says what it carries.
    run(&dp, frame(), [set(1), Action::PopEth, Action::Output(7)]);
    assert_eq!(ids(), []);
    let gre = End { tunnel: GRE, sent: Arc::default() };
    dp.add_port(Some(8), Box::new(gre.clone()), &[]).unwrap();
    run(&dp, frame(), [set(1), Action::PopEth, Action::Output(8)]);
    assert_eq!(gre.sent.lock().unwrap().remove(0).2, frame().bytes()[14..]);
    // One that comes has no link layer, and goes to no port with one.
    let ip = || VecPacket::from_bytes(&frame().bytes()[14..]).unwrap();
    dp.receive_tunnelled(&User::enter(), 8, &key(6), Inside::Network(0x0800), ip());
    let up = dp.upper().take().remove(0).key;
    assert_eq!((up.mac_proto, up.eth_type.get(), up.ip_proto), (crate::key::MAC_NONE, 0x0800, 6));
    // It may be shorter than an Ethernet header.
    let label = VecPacket::from_bytes(&[0, 0x10, 0x01, 64]).unwrap();
    dp.receive_tunnelled(&User::enter(), 8, &key(6), Inside::Network(0x8847), label);
    assert_eq!(dp.upper().take().remove(0).key.mpls_labels, 1);
    two.take();
}

#[test]
fn packets_without_ethernet_go_there_and_back() {
    let ip = &hex(FRAME)[14..];
    let six = [&[0x60, 0, 0, 0, 0, 0, 59, 64][..], &[0; 32]].concat();
    for (tunnel, inside, packet, header) in [
        (GRE, Inside::Network(0x0800), ip, "2000080000000007"),
        (GRE, Inside::Network(0x86dd), &six, "200086dd00000007"),
        (GRE, Inside::Network(0x8847), &[0, 0x10, 0x01, 64][..], "2000884700000007"),
        (GPE, Inside::Network(0x0800), ip, "0c00000100000700"),
        (GPE, Inside::Network(0x86dd), &six, "0c00000200000700"),
        (GPE, Inside::Ethernet, &hex(FRAME), "0c00000300000700"),
        (GPE, Inside::Network(0x894f), &[0; 24][..], "0c00000400000700"),
        (GPE, Inside::Network(0x8847), &[0, 0x10, 0x01, 64][..], "0c00000500000700"),
    ] {
        let mut wrapped = VecPacket::from_bytes(packet).unwrap();
        encapsulate(&tunnel, &key(7), inside, 1, STAMP, &mut wrapped).unwrap();
        let at = if tunnel.is_udp() { UDP_HEADER_LEN } else { 0 };
        assert_eq!(wrapped.bytes()[at..at + 8], hex(header));
        wrapped.pop_front(at).unwrap();
        let mut came = TunnelKey { tos: 0, ..FlowKey::ZERO.tunnel };
        assert_eq!(decapsulate(&tunnel, &mut came, &mut wrapped), Ok(inside));
        assert_eq!((wrapped.bytes(), came.id.get()), (packet, 7));
    }
    // What a tunnel does not carry: others' packets, and of the extension protocols without a number.
    for (tunnel, ethertype) in [(VXLAN, 0x0800), (GENEVE, 0x0800), (ERSPAN, 0x0800), (GPE, 0x0806)] {
        let mut packet = VecPacket::from_bytes(ip).unwrap();
        let wrapped = encapsulate(&tunnel, &key(7), Inside::Network(ethertype), 1, STAMP, &mut packet);
        assert_eq!(wrapped, Err(Errno::EPROTONOSUPPORT));
    }
    for (tunnel, header, why) in [
        (GRE, "00008100", Errno::EPROTONOSUPPORT),
        (GRE, "000088be", Errno::EPROTONOSUPPORT),
        (GRE, "00000004", Errno::EPROTONOSUPPORT),
        (GPE, "0800000000000700", Errno::EINVAL),
        (GPE, "0d00000100000700", Errno::EINVAL),
        (GPE, "1c00000100000700", Errno::EINVAL),
        (GPE, "0c00000600000700", Errno::EPROTONOSUPPORT),
    ] {
        assert_eq!(unwrap(&tunnel, 0, &[hex(header), ip.to_vec()].concat()), Err(why), "{header}");
    }
}

#[test]
fn large_packets_go_through_in_segments() {
    let (dp, _) = datapath();
    let end = End { tunnel: GENEVE, sent: Arc::default() };
    dp.add_port(Some(7), Box::new(end.clone()), &[]).unwrap();
    let mut packet = Spec { payload: vec![7; 3000], ..spec(false, 6) }.partial();
    packet.offload_mut().gso = Some(crate::offload::Gso {
        kind: crate::offload::GsoKind::Tcp4,
        ecn: false,
        size: 1400,
        hdr_len: 54,
    });
    run(&dp, packet, [Action::Set(Set::Tunnel(Shared::try_new(key(1)).unwrap())), Action::Output(7)]);
    let sent = end.sent.lock().unwrap();
    assert_eq!(sent.iter().map(|(_, _, bytes)| bytes.len()).collect::<Vec<_>>(), [1454, 1454, 254]);
    assert!(sent.iter().all(|(_, hash, bytes)| *hash == sent[0].1 && verify(bytes) > 0));
}
