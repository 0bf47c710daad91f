use super::*;
use crate::gso;
use crate::key::{FlowKey, MAC_ETHERNET, MAC_NONE};
use crate::offload::{Gso, GsoKind};
use crate::packet::{Packet, VecPacket};
use crate::testing::*;
use crate::tunnel::Inside;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

fn be16(n: u16) -> Be16 {
    Be16::new(n)
}

#[test]
fn the_last_output_moves_and_the_others_copy() {
    let (dp, [one, two, three]) = datapath();
    let bytes = spec(false, 6).bytes();
    let set = |last| {
        let fields = |byte| EthernetFields { src: [byte; 6], dst: [0; 6] };
        Action::Set(Set::Ethernet(Masked { value: fields(last), mask: fields(0xff) }))
    };
    run(
        &dp,
        VecPacket::from_bytes(&bytes).unwrap(),
        [Action::Output(1), set(7), Action::Output(2), Action::Output(9), set(9), Action::Output(3)],
    );
    assert_eq!(one.take_one(), bytes);
    assert_eq!(two.take_one()[6..12], [7; 6]);
    assert_eq!(three.take_one()[6..12], [9; 6]);
}

#[test]
fn trunc_is_for_the_next_output_only() {
    let (dp, [one, two, _]) = datapath();
    let bytes = spec(false, 6).bytes();
    run(
        &dp,
        VecPacket::from_bytes(&bytes).unwrap(),
        [Action::Trunc(20), Action::Output(1), Action::Output(2), Action::Trunc(9000), Action::Output(1)],
    );
    assert_eq!(one.take().iter().map(|(sent, _)| sent.len()).collect::<Vec<_>>(), [20, bytes.len()]);
    assert_eq!(two.take_one(), bytes);
    // A checksum beyond the cut is no longer asked for.
    run(&dp, spec(false, 6).partial(), [Action::Trunc(40), Action::Output(1)]);
    assert_eq!(one.take()[0].1.csum, None);
}

#[test]
fn userspace_gets_what_the_action_says() {
    let (dp, _) = datapath();
    let up = Userspace {
        portid: 77,
        userdata: Some(b"cookie".to_vec()),
        actions: Some(0..6),
        egress_tun_port: None,
    };
    run(
        &dp,
        spec(false, 17).partial(),
        [
            Action::PushVlan { tpid: be16(0x8100), tci: be16(0x1005) },
            Action::Trunc(16),
            Action::Userspace(Box::new(up)),
        ],
    );
    let up = dp.upper().take().remove(0);
    assert_eq!((up.miss, up.portid, up.keep), (false, 77, 16));
    assert_eq!(up.userdata.as_deref(), Some(&b"cookie"[..]));
    assert_eq!(up.actions.as_deref(), Some(&b"opaque"[..]));
    // The key is that of the packet as it is now, and its checksum is complete.
    assert_eq!(up.key.vlan.tci.get(), 0x1005);
    assert_eq!(verify(&up.packet), 2);
    assert_eq!(up.offload.csum, None);
    assert_eq!(dp.stats().lost, 0);
}

/// SET of whatever fits the packet.
fn any_sets() -> impl Strategy<Value = Vec<(u8, [u8; 40], [u8; 40])>> {
    prop::collection::vec((0u8..4, any::<[u8; 40]>(), any::<[u8; 40]>()), 1..4)
}

fn set_of(spec: &Spec, kind: u8, value: [u8; 40], mask: [u8; 40]) -> Option<Set> {
    fn take<const N: usize>(bytes: &[u8; 40], at: usize) -> [u8; N] {
        bytes[at..at + N].try_into().unwrap()
    }
    fn both<T>(value: [u8; 40], mask: [u8; 40], make: impl Fn(&[u8; 40]) -> T) -> Masked<T> {
        let value = core::array::from_fn(|n| value[n] & mask[n]);
        Masked { value: make(&value), mask: make(&mask) }
    }
    let ports = both(value, mask, |b| PortFields {
        src: Be16::from_bytes(take(b, 0)),
        dst: Be16::from_bytes(take(b, 2)),
    });
    Some(match kind {
        0 => Set::Ethernet(both(value, mask, |b| EthernetFields { src: take(b, 0), dst: take(b, 6) })),
        1 if spec.v6 => Set::Ipv6(Box::new(both(value, mask, |b| Ipv6Fields {
            src: take(b, 0),
            dst: take(b, 16),
            label: Be32::new(u32::from_be_bytes(take(b, 32)) & 0xfffff),
            tclass: b[36],
            hlimit: b[37],
        }))),
        1 => Set::Ipv4(both(value, mask, |b| Ipv4Fields {
            src: take(b, 0),
            dst: take(b, 4),
            tos: b[8],
            ttl: b[9],
        })),
        2 if spec.proto == 6 => Set::Tcp(ports),
        2 if spec.proto == 17 => Set::Udp(ports),
        2 if spec.proto == 132 => Set::Sctp(ports),
        _ => return None,
    })
}

proptest! {
    /// After any SETs every checksum of the packet verifies, also if it was still partial; the key that followed
    /// along is the key of the packet that came out.
    #[test]
    fn checksums_follow_what_is_set(spec in any_spec(), sets in any_sets(), partial: bool) {
        let (dp, [one, ..]) = datapath();
        let packet = if partial { spec.partial() } else { spec.packet() };
        let list: Vec<_> = sets
            .iter()
            .filter_map(|&(kind, value, mask)| set_of(&spec, kind, value, mask))
            .map(Action::Set)
            .chain([Action::Output(1)])
            .collect();
        let actions = Actions::try_new(list, Vec::new()).unwrap();
        let mut key = FlowKey { in_port: 1, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
        dp.execute(packet, &mut key, &actions).unwrap();
        let (bytes, offload) = one.take().remove(0);
        let mut out = VecPacket::from_bytes(&bytes).unwrap();
        *out.offload_mut() = offload;
        prop_assert_eq!(partial && spec.csum_offset().is_some(), offload.csum.is_some());
        prop_assert_eq!(&key, &key_of(&out));
        crate::csum::complete(&mut out).unwrap();
        verify(out.bytes());
        prop_assert_eq!(bytes.len(), spec.bytes().len());
    }

    /// A packet in pieces fares as one in one piece.
    #[test]
    fn buffers_in_pieces_are_no_different(spec in any_spec(), sets in any_sets(), partial: bool, plain: bool) {
        // Tags are parsed two deep, and one is pushed.
        let mut spec = spec;
        spec.tags.truncate(1);
        let list = || -> Vec<Action> {
            let sets = sets.iter().filter_map(|&(kind, value, mask)| set_of(&spec, kind, value, mask));
            let push = Action::PushMpls { lse: Be32::new(0x1140), ethertype: be16(0x8847), whole_frame: false };
            let inner = be16(if spec.v6 { 0x86dd } else { 0x800 });
            let mut list = vec![Action::PushVlan { tpid: be16(0x8100), tci: be16(0x1004) }, Action::Output(1)];
            list.extend([push, Action::Output(2), Action::PopMpls { ethertype: inner }, Action::PopVlan]);
            list.extend(sets.map(Action::Set));
            list.extend([Action::Output(3), Action::Userspace(Box::default())]);
            list
        };
        let whole = if partial { spec.partial() } else { spec.packet() };
        let mut chain = Chain::from_bytes(whole.bytes()).unwrap();
        *chain.offload_mut() = *whole.offload();
        let a = outcome(whole, list(), plain);
        let b = outcome(chain, list(), plain);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn tags_pushed_and_popped_leave_nothing(spec in any_spec(), tci: u16, partial: bool) {
        let (dp, [one, two, _]) = datapath();
        let packet = if partial { spec.partial() } else { spec.packet() };
        let offload = *packet.offload();
        run(&dp, packet, [
            Action::PushVlan { tpid: be16(0x88a8), tci: be16(tci | 0x1000) },
            Action::Output(1),
            Action::PopVlan,
            Action::Output(2),
        ]);
        let (tagged, tagged_offload) = one.take().remove(0);
        prop_assert_eq!(&tagged[12..16], &[&[0x88, 0xa8][..], &(tci & 0xefff).to_be_bytes()].concat());
        prop_assert_eq!(tagged_offload.csum.map(|c| c.start), offload.csum.map(|c| c.start + 4));
        let (bytes, same) = two.take().remove(0);
        prop_assert_eq!(same, offload);
        if !partial {
            prop_assert_eq!(bytes, spec.bytes());
        }
    }

    #[test]
    fn labels_pushed_and_popped_leave_nothing(spec in any_spec(), label: u32) {
        let (dp, [one, two, _]) = datapath();
        let inner = if spec.v6 { 0x86dd } else { 0x800 };
        run(&dp, spec.packet(), [
            Action::PushMpls { lse: Be32::new(label | 0x100), ethertype: be16(0x8847), whole_frame: false },
            Action::Output(1),
            Action::PopMpls { ethertype: be16(inner) },
            Action::Output(2),
        ]);
        let labelled = VecPacket::from_bytes(&one.take_one()).unwrap();
        let key = key_of(&labelled);
        prop_assert_eq!((key.eth_type.get(), key.mpls_labels, key.mpls[0].get()), (0x8847, 1, label | 0x100));
        prop_assert_eq!(two.take_one(), spec.bytes());
    }
}

/// All that comes out of a datapath, with and without hardware checksums.
fn outcome<Pk: Packet>(packet: Pk, list: Vec<Action>, plain: bool) -> (Vec<Sent>, Vec<Up>) {
    let (dp, sinks) = datapath_of::<Pk>();
    if plain {
        dp.remove_port(3).unwrap();
        dp.add_port(Some(3), Box::new(Sink { features: Features::default(), ..sinks[2].clone() }), &[])
            .unwrap();
    }
    let mut key = FlowKey { in_port: 1, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    dp.execute(packet, &mut key, &Actions::try_new(list, Vec::new()).unwrap()).unwrap();
    let sent: Vec<Sent> = sinks.iter().map(Sink::take).collect();
    assert!(sent.iter().all(|sent| sent.len() == 1));
    (sent, dp.upper().take())
}

#[test]
fn a_chain_is_cut_as_a_vector_is() {
    let (_, packet) = large(true, vec![(0x8100, 7)]);
    let mut chain = Chain::from_bytes(packet.bytes()).unwrap();
    *chain.offload_mut() = *packet.offload();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    gso::segment(&packet, Inside::Ethernet, &mut |segment| {
        a.push(segment.bytes().to_vec());
        Ok(())
    })
    .unwrap();
    gso::segment(&chain, Inside::Ethernet, &mut |segment: Chain| {
        let mut bytes = vec![0; segment.len()];
        segment.copy_out(0, &mut bytes).unwrap();
        b.push(bytes);
        Ok(())
    })
    .unwrap();
    assert_eq!((a.len(), a), (4, b));
}

#[test]
fn a_later_fragment_has_no_checksum_to_follow() {
    let (dp, [one, ..]) = datapath();
    let mut bytes = spec(false, 17).bytes();
    bytes[21] = 3;
    let fields = |byte: u8| Ipv4Fields { dst: [byte; 4], ..Default::default() };
    let set = || Action::Set(Set::Ipv4(Masked { value: fields(9), mask: fields(0xff) }));
    run(&dp, VecPacket::from_bytes(&bytes).unwrap(), [set(), Action::Output(1)]);
    let sent = one.take_one();
    assert_eq!((&sent[30..34], &sent[34..]), (&[9; 4][..], &bytes[34..]));
    // Where a first fragment has ports, a later one has data, which Linux takes for them.
    let ports = Masked {
        value: PortFields { src: be16(1), dst: be16(2) },
        mask: PortFields { src: be16(0xffff), dst: be16(0xffff) },
    };
    run(&dp, VecPacket::from_bytes(&bytes).unwrap(), [Action::Set(Set::Udp(ports)), Action::Output(1)]);
    let sent = one.take_one();
    assert_eq!((&sent[..34], &sent[34..38], &sent[42..]), (&bytes[..34], &[0, 1, 0, 2][..], &bytes[42..]));
    // SET of a header that is not there drops.
    run(&dp, spec(false, 6).packet(), [Action::Set(Set::Udp(ports)), Action::Output(1)]);
    run(&dp, spec(true, 6).packet(), [set(), Action::Output(1)]);
    assert_eq!(one.take(), []);
}

#[test]
fn a_routing_header_keeps_the_destination_out_of_the_sum() {
    let (dp, [one, ..]) = datapath();
    // UDP behind a routing header with a segment left; the "checksum" is just a number here.
    let mut bytes = spec(true, 17).bytes()[..54].to_vec();
    (bytes[20], bytes[19]) = (43, 16);
    bytes.extend([17, 0, 4, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0x12, 0x34]);
    let fields = |src: u8, dst: u8| Ipv6Fields { src: [src; 16], dst: [dst; 16], ..Default::default() };
    let set = |value, mask| Action::Set(Set::Ipv6(Box::new(Masked { value, mask })));
    let packet = || VecPacket::from_bytes(&bytes).unwrap();
    run(&dp, packet(), [set(fields(0, 1), fields(0, 0xff)), Action::Output(1)]);
    assert_eq!(one.take_one()[68..], [0x12, 0x34]);
    run(&dp, packet(), [set(fields(1, 0), fields(0xff, 0)), Action::Output(1)]);
    assert_ne!(one.take_one()[68..], [0x12, 0x34]);
}

#[test]
fn metadata_is_set_in_the_key() {
    let (dp, _) = datapath();
    let key = run(
        &dp,
        spec(false, 6).packet(),
        [
            Action::Set(Set::Priority(Masked { value: 0x0f, mask: 0xff })),
            Action::Set(Set::SkbMark(Masked { value: 0xab00, mask: 0xff00 })),
        ],
    );
    assert_eq!((key.priority, key.skb_mark), (0x0f, 0xab00));
}

#[test]
fn mpls_entries_change_in_place() {
    let (dp, [one, ..]) = datapath();
    let push = |lse| Action::PushMpls { lse: Be32::new(lse), ethertype: be16(0x8847), whole_frame: false };
    let set = Action::Set(Set::Mpls(Masked { value: Be32::new(0x5000), mask: Be32::new(0xfffff000) }));
    run(&dp, spec(false, 6).packet(), [push(0x1140), push(0x2040), set, Action::Output(1)]);
    let key = key_of(&VecPacket::from_bytes(&one.take_one()).unwrap());
    assert_eq!((key.mpls[0].get(), key.mpls[1].get(), key.mpls_labels), (0x5040, 0x1140, 3));
}

#[test]
fn ethernet_headers_come_and_go() {
    let (dp, [one, ..]) = datapath();
    let bytes = spec(true, 17).bytes();
    let push = || Action::PushEth { dst: [4; 6], src: [5; 6] };
    run(&dp, spec(true, 17).partial(), [Action::PopEth, push(), Action::Output(1)]);
    let (sent, offload) = one.take().remove(0);
    assert_eq!((&sent[..12], &sent[12..14]), (&[[4u8; 6], [5; 6]].concat()[..], &[0x86, 0xdd][..]));
    assert_eq!((sent.len(), offload.csum.unwrap().start), (bytes.len(), 54));
    // An L3 packet goes out by no Ethernet port; a frame gets no second header.
    run(&dp, spec(true, 17).packet(), [Action::PopEth, Action::Output(1)]);
    run(&dp, spec(true, 17).packet(), [push(), Action::Output(1)]);
    assert_eq!(one.take(), []);
    // A label in front of the whole frame, and an Ethernet header in front of that.
    let label = Action::PushMpls { lse: Be32::new(0x1140), ethertype: be16(0x8847), whole_frame: true };
    let key = run(&dp, spec(true, 17).packet(), [label, push(), Action::Output(1)]);
    assert_eq!(key.mac_proto, MAC_ETHERNET);
    let sent = one.take_one();
    assert_eq!(sent[12..18], [0x88, 0x47, 0, 0, 0x11, 0x40]);
    assert_eq!(sent[18..], bytes);
    assert_eq!(run(&dp, spec(true, 17).packet(), [Action::PopEth]).mac_proto, MAC_NONE);
}

#[test]
fn nested_lists_leave_packet_and_key_alone() {
    let (dp, [one, two, three]) = datapath();
    let bytes = spec(false, 6).bytes();
    let tag = || Action::PushVlan { tpid: be16(0x8100), tci: be16(0x1001) };
    let mark = || Action::Set(Set::SkbMark(Masked { value: 5, mask: 5 }));
    let key = run(
        &dp,
        spec(false, 6).packet(),
        [
            Action::Clone(vec![mark(), tag(), Action::Output(1)]),
            Action::Sample { probability: u32::MAX, actions: vec![tag(), Action::Output(2)] },
            Action::Sample { probability: 0, actions: vec![Action::Output(2)] },
            Action::CheckPktLen(Box::new(CheckPktLen {
                len: bytes.len() as u16,
                greater: vec![],
                less_equal: vec![tag(), tag(), Action::Output(2)],
            })),
            Action::CheckPktLen(Box::new(CheckPktLen {
                len: bytes.len() as u16 - 1,
                greater: vec![Action::Output(2)],
                less_equal: vec![],
            })),
            Action::Output(3),
        ],
    );
    assert_eq!(one.take_one().len(), bytes.len() + 4);
    let lengths: Vec<_> = two.take().iter().map(|(sent, _)| sent.len() - bytes.len()).collect();
    assert_eq!(lengths, [4, 8, 0]);
    assert_eq!(three.take_one(), bytes);
    assert_eq!(key.skb_mark, 0);
}

#[test]
fn sampling_takes_about_the_fraction() {
    let (dp, [one, ..]) = datapath();
    for _ in 0..2000 {
        let sample = Action::Sample { probability: u32::MAX / 4, actions: vec![Action::Output(1)] };
        run(&dp, spec(false, 1).packet(), [sample]);
    }
    // 500 expected, standard deviation 19.
    let n = one.take().len();
    assert!((350..650).contains(&n), "{n}");
}

#[test]
fn time_to_live_is_used_up() {
    let (dp, [one, two, _]) = datapath();
    for v6 in [false, true] {
        let at = if v6 { 21 } else { 22 };
        let dec = || Action::DecTtl { actions: vec![Action::Output(2)] };
        run(&dp, spec(v6, 17).packet(), [dec(), dec(), Action::Output(1)]);
        let sent = one.take_one();
        assert_eq!(sent[at], 62);
        verify(&sent);
        let ttl = |n| Ipv4Fields { ttl: n, ..Default::default() };
        let set = if v6 {
            let ttl = |n| Ipv6Fields { hlimit: n, ..Default::default() };
            Set::Ipv6(Box::new(Masked { value: ttl(1), mask: ttl(0xff) }))
        } else {
            Set::Ipv4(Masked { value: ttl(1), mask: ttl(0xff) })
        };
        run(&dp, spec(v6, 17).packet(), [Action::Set(set), dec(), Action::Output(1)]);
        assert_eq!((one.take().len(), two.take_one()[at]), (0, 1));
    }
}

#[test]
fn drop_ends_the_list() {
    let (dp, [one, ..]) = datapath();
    run(&dp, spec(false, 6).packet(), [Action::Output(1), Action::Drop(1), Action::Output(1)]);
    assert_eq!(one.take().len(), 1);
}

#[test]
fn hashes() {
    let (dp, _) = datapath();
    let hash = |spec: &Spec, alg, basis| run(&dp, spec.packet(), [Action::Hash { alg, basis }]).dp_hash;
    for v6 in [false, true] {
        let there = spec(v6, 17);
        let back =
            Spec { src: there.dst, dst: there.src, ports: (there.ports.1, there.ports.0), ..there.clone() };
        assert_eq!(hash(&there, HashAlg::SymL4, 1), hash(&back, HashAlg::SymL4, 1));
        assert_ne!(hash(&there, HashAlg::L4, 1), hash(&back, HashAlg::L4, 1));
        assert_ne!(hash(&there, HashAlg::L4, 1), hash(&there, HashAlg::L4, 2));
        assert_ne!(hash(&there, HashAlg::L4, 1), 0);
    }
}

#[test]
fn lists_nest_so_deep_and_no_deeper() {
    let nest = |n| (0..n).fold(vec![Action::Output(1)], |inner, _| vec![Action::Clone(inner)]);
    assert!(Actions::try_new(nest(MAX_DEPTH), Vec::new()).is_ok());
    assert_eq!(Actions::try_new(nest(MAX_DEPTH + 1), Vec::new()).unwrap_err(), Errno::EOVERFLOW);
    // The deepest still runs: what does not fit the stack waits.
    let (dp, [one, ..]) = datapath();
    let list: [Action; 1] = nest(MAX_DEPTH).try_into().unwrap();
    run(&dp, spec(false, 6).packet(), list);
    assert_eq!(one.take().len(), 1);
}

/// A TCP packet to be cut, with 3 full segments and a short one.
fn large(v6: bool, tags: Vec<(u16, u16)>) -> (Spec, VecPacket) {
    let payload: Vec<u8> = (0..3 * 500 + 20).map(|n: u32| n as u8).collect();
    let spec = Spec { tags, payload, options: true, ..spec(v6, 6) };
    let mut packet = spec.partial();
    let kind = if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 };
    let hdr_len = (spec.l4() + 20) as u32;
    packet.offload_mut().gso = Some(Gso { kind, ecn: false, size: 500, hdr_len });
    (spec, packet)
}

#[test]
fn large_packets_pass_whole_where_they_can_and_else_in_segments() {
    for v6 in [false, true] {
        for tags in [vec![], vec![(0x8100, 7)], vec![(0x88a8, 7), (0x8100, 8)]] {
            let (dp, [one, ..]) = datapath();
            let mut plain = Sink::new("plain");
            plain.features = Features::default();
            dp.add_port(Some(9), Box::new(plain.clone()), &[]).unwrap();
            let (spec, packet) = large(v6, tags);
            let whole = packet.bytes().to_vec();
            run(&dp, packet, [Action::Output(1), Action::Output(9)]);

            let (bytes, offload) = one.take().remove(0);
            assert_eq!((bytes, offload.gso.unwrap().size), (whole, 500));
            let segments = plain.take();
            check_segments(&spec, segments.iter().map(|(bytes, _)| &bytes[..]));
            assert!(segments.iter().all(|(_, offload)| *offload == Offload::default()));
            assert_eq!(dp.port(9).unwrap().stats().tx_packets, 4);
        }
    }
}

use crate::offload::Offload;
use crate::port::Features;

fn check_segments<'a>(spec: &Spec, segments: impl Iterator<Item = &'a [u8]>) {
    let (l4, mut payload) = (spec.l4(), Vec::new());
    for (n, segment) in segments.enumerate() {
        let last = n == 3;
        assert_eq!(verify(segment), if spec.v6 { 1 } else { 2 });
        assert_eq!(segment[..spec.l2_len()], spec.bytes()[..spec.l2_len()]);
        let seq = u32::from_be_bytes(segment[l4 + 4..l4 + 8].try_into().unwrap());
        assert_eq!(seq, 0x0001_0203 + 500 * n as u32);
        assert_eq!(segment[l4 + 13], if last { 0x18 } else { 0x10 });
        if !spec.v6 {
            let id = spec.l2_len() + 4;
            assert_eq!(segment[id..id + 2], (0x1234 + n as u16).to_be_bytes());
        }
        payload.extend_from_slice(&segment[l4 + 20..]);
    }
    assert_eq!(payload, spec.payload);
}

#[test]
fn congestion_is_told_once_and_the_end_last() {
    let (spec, packet) = large(true, vec![]);
    let mut bytes = packet.bytes().to_vec();
    // CWR, ECE, PSH, ACK, FIN.
    bytes[spec.l4() + 13] = 0x80 | 0x40 | 0x10 | 0x08 | 0x01;
    let packet = VecPacket::from_buffer(bytes, 0, *packet.offload()).unwrap();
    let mut flags = Vec::new();
    gso::segment(&packet, Inside::Ethernet, &mut |segment: VecPacket| {
        verify(segment.bytes());
        flags.push(segment.bytes()[spec.l4() + 13]);
        Ok(())
    })
    .unwrap();
    assert_eq!(flags, [0xd0, 0x50, 0x50, 0x59]);
}

#[test]
fn large_packets_go_up_in_segments() {
    let (dp, _) = datapath();
    let (spec, packet) = large(false, vec![(0x8100, 7)]);
    dp.receive(2, packet);
    let ups = dp.upper().take();
    check_segments(&spec, ups.iter().map(|up| &up.packet[..]));
    assert!(ups.iter().all(|up| up.miss && up.key.in_port == 2 && up.keep == up.packet.len()));
    assert_eq!((dp.stats().missed, dp.stats().lost), (1, 0));
}

#[test]
fn udp_is_cut_into_datagrams() {
    for v6 in [false, true] {
        let spec = Spec { payload: (0..250).collect(), ..spec(v6, 17) };
        let mut packet = spec.partial();
        let hdr_len = spec.l4() as u32 + 8;
        packet.offload_mut().gso = Some(Gso { kind: GsoKind::Udp, ecn: false, size: 100, hdr_len });
        let mut payload = Vec::new();
        gso::segment(&packet, Inside::Ethernet, &mut |segment: VecPacket| {
            verify(segment.bytes());
            let len = segment.len() - spec.l4();
            assert_eq!(segment.bytes()[spec.l4() + 4..][..2], (len as u16).to_be_bytes());
            payload.extend_from_slice(&segment.bytes()[spec.l4() + 8..]);
            Ok(())
        })
        .unwrap();
        assert_eq!(payload, spec.payload);
    }
}

#[test]
fn check_pkt_len_means_the_segments() {
    let (dp, [one, two, _]) = datapath();
    let (spec, _) = large(false, vec![]);
    let segment = (spec.l4() + 20 + 500) as u16;
    for (len, goes_to_one) in [(segment, true), (segment - 1, false)] {
        let check =
            CheckPktLen { len, less_equal: vec![Action::Output(1)], greater: vec![Action::Output(2)] };
        run(&dp, large(false, vec![]).1, [Action::CheckPktLen(Box::new(check))]);
        assert_eq!((one.take().len(), two.take().len()), if goes_to_one { (1, 0) } else { (0, 1) });
    }
}

proptest! {
    /// Offload fields come from whoever writes into a TAP: no lie may panic.
    #[test]
    fn lies_about_segments_are_refused_or_harmless(
        spec in any_spec(), kind in 0..3, size: u16, start in 0u32..200, offset in 0u16..40, cut in 14usize..150,
    ) {
        let mut bytes = spec.bytes();
        bytes.truncate(cut);
        let mut packet = VecPacket::from_bytes(&bytes).unwrap();
        let kind = [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp][kind as usize];
        packet.offload_mut().gso = Some(Gso { kind, ecn: false, size, hdr_len: 0 });
        packet.offload_mut().csum = Some(crate::offload::PartialCsum { start, offset });
        let (dp, _) = datapath();
        dp.receive(1, packet.try_clone().unwrap());
        packet.offload_mut().gso = None;
        dp.receive(1, packet);
        prop_assert_eq!(dp.stats().missed, 2);
    }

    /// Nor may any action panic on any bytes, whatever the flow said they are.
    #[test]
    fn no_action_panics_on_anything(
        bytes in prop::collection::vec(any::<u8>(), 14..120), ethertype in 0..7usize, v6: bool, proto in 0..5usize,
        kinds in prop::collection::vec((0..18u8, any::<[u8; 40]>(), any::<[u8; 40]>()), 0..6),
        csum: Option<(u8, u8)>, gso: Option<u16>,
    ) {
        let mut bytes = bytes;
        let types = [0x0800u16, 0x86dd, 0x8100, 0x8847, 0x0806, 0x0003, 0x894f];
        bytes[12..14].copy_from_slice(&types[ethertype].to_be_bytes());
        let like = Spec { v6, ..spec(v6, [6, 17, 132, 1, 58][proto]) };
        let (dp, _) = datapath();
        dp.add_port(Some(9), Box::new(Sink { features: Features::default(), ..Sink::new("plain") }), &[]).unwrap();
        let mut packet = VecPacket::from_bytes(&bytes).unwrap();
        packet.offload_mut().csum =
            csum.map(|(start, offset)| crate::offload::PartialCsum { start: start.into(), offset: offset.into() });
        packet.offload_mut().gso = gso.map(|size| Gso { kind: GsoKind::Tcp4, ecn: false, size, hdr_len: 0 });
        let list = kinds.iter().map(|&(kind, value, mask)| match kind {
            0..4 => set_of(&like, kind, value, mask).map_or(Action::Output(9), Action::Set),
            4 => Action::PushVlan { tpid: be16(0x8100), tci: be16(0x1001) },
            5 => Action::PopVlan,
            6 => Action::PushMpls { lse: Be32::new(0x40), ethertype: be16(0x8847), whole_frame: value[0] > 127 },
            7 => Action::PopMpls { ethertype: be16(0x0800) },
            8 => Action::PushEth { dst: [1; 6], src: [2; 6] },
            9 => Action::PopEth,
            10 => Action::Trunc(value[0].into()),
            11 => Action::DecTtl { actions: vec![Action::Output(1)] },
            12 => Action::Userspace(Box::default()),
            13 => Action::CheckPktLen(Box::default()),
            14 => Action::Set(Set::Mpls(Masked { value: Be32::new(1), mask: Be32::new(1) })),
            15 => Action::PopNsh,
            16 => Action::PushNsh(Box::new(PushNsh { mdtype: 2, metadata: value.to_vec(), ..PushNsh::default() })),
            _ => Action::Clone(vec![Action::PopEth, Action::Recirc(3)]),
        });
        let list = list.chain([Action::Output(9), Action::Output(2)]).collect();
        let mut key = FlowKey { in_port: 1, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
        let _ = dp.execute(packet, &mut key, &Actions::try_new(list, Vec::new()).unwrap());
    }
}

#[test]
fn a_meter_drops_what_exceeds_it_and_one_that_is_not_there_nothing() {
    let (dp, [one, ..]) = datapath();
    let bytes = spec(false, 6).bytes();
    let band = Some(crate::meter::Band { rate: 1, burst: 2 });
    assert!(dp.set_meter(crate::meter::Meter::try_new(7, false, band).unwrap()).unwrap().is_none());
    let send = |meter| {
        run(&dp, VecPacket::from_bytes(&bytes).unwrap(), [Action::Meter(meter), Action::Output(1)]);
        one.take().len()
    };
    assert_eq!((0..20).map(|_| send(7)).sum::<usize>(), 2);
    assert_eq!((0..20).map(|_| send(8)).sum::<usize>(), 20);
    let (all, exceeded, _) = dp.meter(7).unwrap().stats();
    assert_eq!((all.packets, exceeded.packets), (20, 18));
    assert!(dp.remove_meter(7).unwrap().is_some() && dp.meter(7).is_none());
    assert_eq!(send(7), 1);
}

/// A frame of [`spec`] behind a service header, and behind an Ethernet header of its own.
fn nsh_frame(np: u8, inside: &[u8]) -> Vec<u8> {
    let ethernet = [&[4u8; 6][..], &[6; 6], &[0x89, 0x4f]].concat();
    [&ethernet[..], &[0x0f, 0xc6, 1, np, 0, 0, 1, 255], &[7; 16], inside].concat()
}

fn push_nsh() -> Action {
    Action::PushNsh(Box::new(PushNsh {
        flags: 0xff,
        ttl: 63,
        mdtype: 1,
        path_hdr: Be32::new(0x1ff),
        metadata: vec![7; 16],
    }))
}

#[test]
fn service_headers_come_and_go() {
    let (dp, [one, ..]) = datapath();
    let bytes = spec(false, 17).bytes();
    let eth = Action::PushEth { dst: [4; 6], src: [6; 6] };
    run(&dp, spec(false, 17).packet(), [push_nsh(), eth, Action::Output(1)]);
    let sent = one.take_one();
    let mut expected = nsh_frame(3, &bytes);
    expected[14] |= 0x30;
    assert_eq!(sent, expected);
    // Back again. What is sent needs an Ethernet header.
    let nsh = VecPacket::from_bytes(&sent).unwrap();
    run(&dp, nsh.try_clone().unwrap(), [Action::PopEth, Action::Output(1)]);
    assert_eq!(one.take(), []);
    run(&dp, nsh, [Action::PopEth, Action::PopNsh, Action::Output(1)]);
    assert_eq!(one.take_one(), bytes);
    // An IP packet in it has no Ethernet header of its own.
    let ip = VecPacket::from_bytes(&nsh_frame(1, &bytes[14..])).unwrap();
    let eth = || Action::PushEth { dst: [2, 0, 0, 0, 0, 2], src: [2, 0, 0, 0, 0, 1] };
    run(&dp, ip, [Action::PopEth, Action::PopNsh, eth(), Action::Output(1)]);
    assert_eq!(one.take_one(), bytes);
    // A header that says nothing known follows, one longer than the packet, one that is too long to be.
    for (at, byte) in [(17, 9), (15, 0x3f)] {
        let mut bytes = nsh_frame(3, &bytes);
        bytes[at] = byte;
        let key = FlowKey { mac_proto: 0, eth_type: be16(0x894f), ..FlowKey::ZERO };
        let packet = VecPacket::from_bytes(&bytes[14..]).unwrap();
        assert!(dp.execute(packet, &mut key.clone(), &actions([Action::PopNsh, Action::Output(1)])).is_err());
    }
    let long = PushNsh { mdtype: 2, metadata: vec![0; 248], ..PushNsh::default() };
    run(&dp, spec(false, 17).packet(), [Action::PushNsh(Box::new(long)), eth(), Action::Output(1)]);
    assert_eq!(one.take(), []);
}

#[test]
fn an_upcall_shows_the_key_that_the_packet_came_with() {
    let (dp, _) = datapath();
    let up = || Action::Userspace(Box::new(Userspace { portid: 7, ..Userspace::default() }));
    let push = || Action::PushMpls { lse: Be32::new(0x140), ethertype: be16(0x8847), whole_frame: false };
    let vlan = |tci| Action::PushVlan { tpid: be16(0x8100), tci: be16(tci) };
    run(&dp, spec(false, 17).packet(), [push(), up(), Action::Recirc(4)]);
    run(&dp, spec(false, 17).packet(), [vlan(0x1005), vlan(0x1006), up(), Action::Recirc(4)]);
    let eth = Action::PushEth { dst: [4; 6], src: [6; 6] };
    run(&dp, spec(false, 17).packet(), [Action::PopEth, eth, up()]);
    let ups = dp.upper().take();
    let shown: Vec<_> = ups.iter().map(|up| (up.key.eth_type.get(), up.key.vlan.tci.get())).collect();
    // Looked up again, it is read again.
    assert_eq!(shown, [(0x800, 0), (0x8847, 0), (0x800, 0x1005), (0x800, 0x1006), (0x800, 0)]);
    assert_eq!((ups[3].key.cvlan.tci.get(), ups[4].key.eth_dst), (0x1005, DST_MAC));
}

#[test]
fn a_packet_that_an_action_fails_on_is_an_error_to_who_sent_it() {
    let (dp, [one, ..]) = datapath();
    let short = || VecPacket::from_bytes(&spec(false, 17).bytes()[..26]).unwrap();
    let set = || Action::Set(Set::Ipv4(Masked::default()));
    let run = |list: Vec<Action>| {
        let mut key = FlowKey { in_port: 1, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
        dp.execute(short(), &mut key, &Actions::try_new(list, Vec::new()).unwrap())
    };
    assert_eq!(run(vec![set(), Action::Output(1)]), Err(Errno::ENOMEM));
    assert_eq!(run(vec![Action::Fail, Action::Output(1)]), Err(Errno::EINVAL));
    // Done to a copy, it is the end of the packet all the same.
    assert_eq!(run(vec![Action::Clone(vec![set()]), Action::Output(1)]), Err(Errno::ENOMEM));
    assert_eq!(run(vec![Action::DecTtl { actions: vec![] }, Action::Output(1)]), Err(Errno::ENOMEM));
    assert_eq!(one.take(), []);
    // Dropped on purpose is no failure; nor is a port that is not there.
    assert_eq!(run(vec![Action::Output(77), Action::Drop(1)]), Ok(()));
}

/// What leaves after PUSH_NSH of a tagged frame, and what came before: as Linux sends it, with the tag in the middle of the
/// service header.
#[test]
fn a_tag_stands_beside_the_frame_once_something_is_in_front_of_it() {
    let (dp, _) = datapath();
    let tag = |tci| Action::PushVlan { tpid: be16(0x8100), tci: be16(tci) };
    let up = || Action::Userspace(Box::new(Userspace { portid: 7, ..Userspace::default() }));
    let plain = spec(false, 17).bytes();
    run(&dp, spec(false, 17).packet(), [tag(0x1005), push_nsh(), up(), Action::PopNsh, up()]);
    run(&dp, spec(false, 17).packet(), [tag(0x1005), push_nsh(), Action::Clone(vec![Action::PopVlan, up()])]);
    // A second tag sends the first one into the frame.
    run(&dp, spec(false, 17).packet(), [push_nsh(), Action::Clone(vec![tag(0x1005), tag(0x1006), up()])]);
    let ups: Vec<_> = dp.upper().take().into_iter().map(|up| up.packet).collect();
    let nsh = [&[0x3f, 0xc6, 1, 3, 0, 0, 1, 255][..], &[7; 16], &plain].concat();
    let with = |tags: &[u8]| [&nsh[..12], tags, &nsh[12..]].concat();
    assert_eq!(ups[0], with(&[0x81, 0, 0, 5]));
    assert_eq!(ups[1], [&plain[..12], &[0x81, 0, 0, 5], &plain[12..]].concat());
    assert_eq!(ups[2], nsh);
    assert_eq!(ups[3], with(&[0x81, 0, 0, 6, 0x81, 0, 0, 5]));
    // There is no place for an Ethernet header in front of a tag that stands beside.
    let eth = Action::PushEth { dst: [4; 6], src: [6; 6] };
    let mut key = FlowKey { in_port: 1, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    let list = actions([tag(0x1005), push_nsh(), eth]);
    assert_eq!(dp.execute(spec(false, 17).packet(), &mut key, &list), Err(Errno::EPROTO));
}

/// Linux looks for a network header before a tag that it puts into the frame, and behind a service header that it pushed.
#[test]
fn a_set_goes_where_the_network_header_is_thought_to_be() {
    let (dp, _) = datapath();
    let tag = || Action::PushVlan { tpid: be16(0x8100), tci: be16(0x1005) };
    let up = || Action::Userspace(Box::new(Userspace { portid: 7, ..Userspace::default() }));
    let ttl = |ttl| Ipv4Fields { ttl, ..Default::default() };
    let set = || Action::Set(Set::Ipv4(Masked { value: ttl(9), mask: ttl(0xff) }));
    run(&dp, spec(false, 17).packet(), [tag(), set(), up()]);
    run(&dp, spec(false, 17).packet(), [tag(), tag(), set(), up()]);
    run(&dp, spec(false, 17).packet(), [push_nsh(), set(), up()]);
    let ups = dp.upper().take();
    // The time to live is byte 8 of what is taken for a header.
    assert_eq!(ups[0].packet[18 + 8], 9);
    assert_eq!((ups[1].packet[22 + 8], ups[1].packet[18 + 8]), (64, 9));
    assert_eq!((ups[2].packet[8], ups[2].packet[24 + 14 + 8]), (9, 64));
    assert!(ups.iter().all(|up| up.key.ip_ttl == 9));
}

#[test]
fn a_label_lies_in_the_key_on_what_an_ip_header_has_there() {
    let (dp, _) = datapath();
    let up = || Action::Userspace(Box::new(Userspace { portid: 7, ..Userspace::default() }));
    let push = || Action::PushMpls { lse: Be32::new(0x140), ethertype: be16(0x8847), whole_frame: false };
    let set = || Action::Set(Set::Mpls(Masked { value: Be32::new(0x0102_0304), mask: Be32::new(u32::MAX) }));
    for v6 in [false, true] {
        run(&dp, spec(v6, 17).packet(), [push(), set(), up()]);
    }
    let ups = dp.upper().take();
    assert_eq!((ups[0].key.ipv4_dst, &ups[0].packet[14..18]), ([1, 2, 3, 4], &[1, 2, 3, 4][..]));
    assert_eq!(ups[1].key.ipv6_src[4..8], [1, 2, 3, 4]);
}
