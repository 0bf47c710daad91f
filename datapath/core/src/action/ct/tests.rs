//! What CT makes of packets: states, marks, translations there and back.

use super::state::*;
use super::*;
use crate::action::{Action, End, Nat, Range};
use crate::conntrack::zones::Limit;
use crate::offload::PartialCsum;
use crate::packet::VecPacket;
use crate::testing::*;
use proptest::prelude::*;
use std::boxed::Box;
use std::vec::Vec;

const FIN: u16 = 1;
const SYN: u16 = 2;
const RST: u16 = 4;
const ACK: u16 = 16;

fn ct() -> Ct {
    Ct { zone: 5, ..Ct::default() }
}

fn commit() -> Ct {
    Ct { commit: true, ..ct() }
}

fn act(ct: Ct) -> Action {
    Action::Ct(Box::new(ct))
}

/// The packet's key after CT.
fn key(dp: &Dp, packet: VecPacket, ct: Ct) -> FlowKey {
    run(dp, packet, [act(ct)])
}

/// Rewrites bytes of a frame that its transport checksum covers.
fn patch(spec: &Spec, bytes: &mut [u8], at: usize, new: &[u8]) {
    let at = spec.l4() + at;
    let old = bytes[at..at + new.len()].to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    let csum = match spec.proto {
        6 => 16,
        _ => 2,
    };
    csum::replace((&mut bytes[spec.l4() + csum..][..2]).try_into().unwrap(), &old, new);
}

/// A segment, in the direction of `spec` or the other.
fn tcp(v6: bool, is_reply: bool, flags: u16, seq: u32, ack: u32) -> VecPacket {
    let mut spec = Spec { payload: Vec::new(), ..spec(v6, 6) };
    if is_reply {
        spec = reversed(&spec);
    }
    let mut bytes = spec.bytes();
    patch(&spec, &mut bytes, 4, &seq.to_be_bytes());
    patch(&spec, &mut bytes, 8, &ack.to_be_bytes());
    patch(&spec, &mut bytes, 12, &(0x5000 | flags).to_be_bytes());
    VecPacket::from_bytes(&bytes).unwrap()
}

fn reversed(spec: &Spec) -> Spec {
    Spec { src: spec.dst, dst: spec.src, ports: (spec.ports.1, spec.ports.0), ..spec.clone() }
}

/// An echo request or reply.
fn echo(spec: &Spec, is_reply: bool) -> Vec<u8> {
    let spec = if is_reply { reversed(spec) } else { spec.clone() };
    let mut bytes = spec.bytes();
    let kind = match (spec.v6, is_reply) {
        (false, false) => 8,
        (false, true) => 0,
        (true, false) => 128,
        (true, true) => 129,
    };
    patch(&spec, &mut bytes, 0, &[kind, 0]);
    bytes
}

fn packet(bytes: &[u8]) -> VecPacket {
    VecPacket::from_bytes(bytes).unwrap()
}

/// The frame of an ICMP error about a frame, from a router.
fn icmp_error(about: &[u8], v6: bool, router: [u8; 16]) -> Vec<u8> {
    let ip = &about[14..];
    let to: [u8; 16] =
        core::array::from_fn(|n| if v6 { ip[8 + n] } else { *ip[12..16].get(n).unwrap_or(&0) });
    let inner = &ip[..ip.len().min(if v6 { 100 } else { 60 }) & !1];
    let spec = Spec { src: router, dst: to, payload: inner.to_vec(), ..spec(v6, if v6 { 58 } else { 1 }) };
    let mut bytes = spec.bytes();
    patch(&spec, &mut bytes, 0, &if v6 { [1, 4] } else { [3, 3] });
    patch(&spec, &mut bytes, 4, &[0; 4]);
    bytes
}

mod fragments;
mod helpers;

const ROUTER: [u8; 16] = [9; 16];

#[test]
fn tcp_is_new_then_established() {
    for v6 in [false, true] {
        let (dp, _) = datapath();
        let syn = || tcp(v6, false, SYN, 100, 0);
        // Nothing is remembered without COMMIT.
        for _ in 0..2 {
            assert_eq!(key(&dp, syn(), ct()).ct_state, TRACKED | NEW);
        }
        assert_eq!(key(&dp, tcp(v6, true, SYN | ACK, 500, 101), ct()).ct_state, TRACKED | INVALID);
        let first = key(&dp, syn(), commit());
        assert_eq!((first.ct_state, first.ct_zone, first.ct_orig_proto), (TRACKED | NEW, 5, 6));
        assert_eq!((first.ct_orig_tp_src.get(), first.ct_orig_tp_dst.get()), (1000, 2000));
        assert_eq!(
            first.ct_orig_src[..4],
            if v6 { first.ipv6_src[..4].to_vec() } else { first.ipv4_src.to_vec() }
        );
        assert_eq!(dp.conntrack().count(), 1);
        let second = key(&dp, tcp(v6, true, SYN | ACK, 500, 101), ct());
        assert_eq!(second.ct_state, TRACKED | ESTABLISHED | REPLY_DIR);
        assert_eq!((second.ct_orig_tp_src, second.ct_orig_src), (first.ct_orig_tp_src, first.ct_orig_src));
        assert_eq!(key(&dp, tcp(v6, false, ACK, 101, 501), ct()).ct_state, TRACKED | ESTABLISHED);
        // In another zone it is another connection, picked up in its middle.
        let other = Ct { zone: 6, ..ct() };
        assert_eq!(key(&dp, tcp(v6, false, ACK, 101, 501), other).ct_state, TRACKED | NEW);
        // Outside the window, as Linux has it for established connections.
        assert_eq!(key(&dp, tcp(v6, false, ACK, 0x7000_0000, 501), ct()).ct_state, TRACKED | ESTABLISHED);
        for (is_reply, flags, seq, ack) in
            [(false, FIN | ACK, 101, 501), (true, FIN | ACK, 501, 102), (false, ACK, 102, 502)]
        {
            assert_eq!(
                key(&dp, tcp(v6, is_reply, flags, seq, ack), ct()).ct_state & !REPLY_DIR,
                TRACKED | ESTABLISHED
            );
        }
        let conn = dp.conntrack().next(&mut Default::default()).unwrap();
        assert_eq!(conn.snapshot().tcp, Some(crate::conntrack::TcpState::TimeWait));
        // The same ports again: a new connection.
        assert_eq!(key(&dp, tcp(v6, false, SYN, 9000, 0), commit()).ct_state, TRACKED | NEW);
        assert_eq!((dp.conntrack().count(), conn.has(DYING)), (1, true));
        assert_eq!(
            key(&dp, tcp(v6, true, RST | ACK, 0, 9001), ct()).ct_state,
            TRACKED | ESTABLISHED | REPLY_DIR
        );
    }
}

#[test]
fn other_protocols() {
    for (v6, proto) in
        [(false, 17), (true, 17), (false, 132), (false, 200), (true, 200), (false, 1), (true, 58)]
    {
        let (dp, _) = datapath();
        let spec = spec(v6, proto);
        let frame = |is_reply: bool| match proto {
            1 | 58 => packet(&echo(&spec, is_reply)),
            _ if is_reply => reversed(&spec).packet(),
            _ => spec.packet(),
        };
        if proto == 132 {
            // The payload's first byte is no chunk that begins an association.
            assert_eq!(key(&dp, frame(false), commit()).ct_state, TRACKED | INVALID);
            continue;
        }
        if matches!(proto, 1 | 58) {
            assert_eq!(key(&dp, frame(true), commit()).ct_state, TRACKED | INVALID);
        }
        assert_eq!(key(&dp, frame(false), commit()).ct_state, TRACKED | NEW, "{proto}");
        assert_eq!(key(&dp, frame(false), ct()).ct_state, TRACKED | NEW);
        assert_eq!(key(&dp, frame(true), ct()).ct_state, TRACKED | ESTABLISHED | REPLY_DIR);
        let last = key(&dp, frame(false), ct());
        assert_eq!(last.ct_state, TRACKED | ESTABLISHED);
        let ports = (last.ct_orig_tp_src.get(), last.ct_orig_tp_dst.get());
        let expected = match proto {
            17 => (1000, 2000),
            1 => (8, 0),
            58 => (128, 0),
            _ => (0, 0),
        };
        assert_eq!(ports, expected);
    }
}

#[test]
fn an_sctp_association_opens_and_shuts_down() {
    let (dp, _) = datapath();
    let chunk = |is_reply: bool, kind: u8| {
        let spec = Spec { payload: [kind, 0, 0, 4].to_vec(), ..spec(false, 132) };
        if is_reply { reversed(&spec).packet() } else { spec.packet() }
    };
    use crate::conntrack::SctpState::*;
    let steps = [
        (false, 1, CookieWait),
        (true, 2, CookieWait),
        (false, 10, CookieEchoed),
        (true, 11, Established),
        (false, 0, Established),
        (true, 7, ShutdownRecd),
        (false, 8, ShutdownAckSent),
        (true, 14, Closed),
    ];
    for (is_reply, kind, state) in steps {
        let bits = key(&dp, chunk(is_reply, kind), commit()).ct_state;
        assert_eq!(bits & (TRACKED | INVALID), TRACKED, "chunk {kind}");
        let conn = dp.conntrack().next(&mut Default::default()).unwrap();
        assert_eq!(conn.snapshot().sctp, Some(state), "chunk {kind}");
    }
}

#[test]
fn marks_and_labels_are_the_connections() {
    let (dp, _) = datapath();
    let udp = spec(false, 17);
    let mut labels = Masked { value: [0; 16], mask: [0; 16] };
    (labels.value[3], labels.mask[3]) = (0x50, 0xf0);
    let marked = Ct { mark: Some(Masked { value: 0x0a00, mask: 0xff00 }), labels: Some(labels), ..commit() };
    let first = key(&dp, udp.packet(), marked.clone());
    assert_eq!((first.ct_mark, first.ct_labels[3]), (0x0a00, 0x50));
    let reply = key(&dp, reversed(&udp).packet(), ct());
    assert_eq!((reply.ct_mark, reply.ct_labels[3]), (0x0a00, 0x50));
    labels.mask[3] = 0xf;
    labels.value[3] = 0x7;
    let more = Ct { mark: Some(Masked { value: 0x0b, mask: 0xff }), labels: Some(labels), ..commit() };
    let second = key(&dp, udp.packet(), more);
    assert_eq!((second.ct_mark, second.ct_labels[3]), (0x0a0b, 0x57));
    let cleared = run(&dp, udp.packet(), [act(ct()), Action::CtClear]);
    assert_eq!((cleared.ct_state, cleared.ct_mark, cleared.ct_labels, cleared.ct_zone), (0, 0, [0; 16], 0));
    assert_eq!((cleared.ct_orig_proto, cleared.ct_orig_src), (0, [0; 16]));
}

#[test]
fn a_packet_is_counted_once() {
    let (dp, _) = datapath();
    let udp = spec(false, 17);
    // CT without, then with COMMIT: one connection, still new.
    let first = run(&dp, udp.packet(), [act(ct()), act(commit())]);
    assert_eq!((first.ct_state, dp.conntrack().count()), (TRACKED | NEW, 1));
    let reply = run(&dp, reversed(&udp).packet(), [act(ct()), act(commit())]);
    assert_eq!((reply.ct_state, dp.conntrack().count()), (TRACKED | ESTABLISHED | REPLY_DIR, 1));
    // The reply's direction becomes the original one.
    let forced = Ct { force: true, ..commit() };
    let turned = run(&dp, reversed(&udp).packet(), [act(ct()), act(forced.clone())]);
    assert_eq!((turned.ct_state, dp.conntrack().count()), (TRACKED | NEW, 1));
    assert_eq!(turned.ct_orig_tp_src.get(), 2000);
    assert_eq!(key(&dp, udp.packet(), ct()).ct_state, TRACKED | ESTABLISHED | REPLY_DIR);
    // So it does for a packet that user space sends back with what was known of it.
    let state = TRACKED | ESTABLISHED | REPLY_DIR;
    let mut back = FlowKey { ct_state: state, ct_zone: 5, mac_proto: 1, ..FlowKey::ZERO };
    dp.execute(udp.packet(), &mut back, &actions([act(forced.clone())])).unwrap();
    assert_eq!((back.ct_state, back.ct_orig_tp_src.get()), (TRACKED | NEW, 1000));
    // And for one of which nothing is known yet.
    let turned = key(&dp, reversed(&udp).packet(), forced.clone());
    assert_eq!((turned.ct_state, turned.ct_orig_tp_src.get()), (TRACKED | NEW, 2000));
    key(&dp, udp.packet(), ct());
    // The original direction stays what it is.
    let same = run(&dp, reversed(&udp).packet(), [act(ct()), act(forced)]);
    assert_eq!((same.ct_state, dp.conntrack().count()), (TRACKED | ESTABLISHED, 1));
    // From user space, with what was known of it: TCP's numbers are not looked at again.
    key(&dp, tcp(false, false, SYN, 100, 0), commit());
    key(&dp, tcp(false, true, SYN | ACK, 500, 101), ct());
    let mut back = FlowKey { ct_state: TRACKED | ESTABLISHED, ct_zone: 5, mac_proto: 1, ..FlowKey::ZERO };
    let odd = tcp(false, false, ACK, 0x7000_0000, 1);
    dp.execute(odd.try_clone().unwrap(), &mut back, &actions([act(ct())])).unwrap();
    assert_eq!(back.ct_state, TRACKED | ESTABLISHED);
    assert_eq!(key(&dp, odd, ct()).ct_state, TRACKED | INVALID);
}

#[test]
fn errors_are_related_to_what_they_are_about() {
    for (v6, proto) in [(false, 6), (true, 6), (false, 17), (true, 17), (false, 1), (true, 58), (false, 200)]
    {
        let (dp, _) = datapath();
        let spec = spec(v6, proto);
        let frame = match proto {
            1 | 58 => echo(&spec, false),
            _ => spec.bytes(),
        };
        let error = icmp_error(&frame, v6, ROUTER);
        assert_eq!(key(&dp, packet(&error), ct()).ct_state, TRACKED | INVALID, "{proto}");
        let marked = Ct { mark: Some(Masked { value: 7, mask: 7 }), ..commit() };
        assert_eq!(key(&dp, packet(&frame), marked).ct_state, TRACKED | NEW);
        let about = key(&dp, packet(&error), ct());
        assert_eq!(about.ct_state, TRACKED | RELATED | REPLY_DIR, "{proto}");
        assert_eq!((about.ct_mark, about.ct_orig_proto), (7, proto));
        // It is no reply.
        assert_eq!(key(&dp, packet(&frame), ct()).ct_state, TRACKED | NEW);
    }
}

#[test]
fn what_is_broken_is_invalid() {
    for (v6, proto) in [(false, 6), (true, 6), (false, 17), (true, 17), (false, 1)] {
        let (dp, _) = datapath();
        let spec = spec(v6, proto);
        let good = spec.bytes();
        let last = good.len() - 1;
        let invalid = |bytes: &[u8]| key(&dp, packet(bytes), commit()).ct_state == TRACKED | INVALID;
        let mut bad = good.clone();
        bad[last] ^= 1;
        assert!(invalid(&bad), "checksum, {proto}");
        assert!(invalid(&good[..last]), "length, {proto}");
        // Padding is not the packet's.
        assert!(!invalid(&[&good[..], &[7; 9]].concat()), "{proto}");
        assert_eq!(dp.conntrack().count(), 1);
        // What the hardware is to sum up is right by definition.
        if spec.csum_offset().is_some() {
            assert_ne!(key(&dp, spec.partial(), ct()).ct_state & INVALID, INVALID);
        }
    }
    let (dp, _) = datapath();
    let mut arp = spec(false, 17).bytes();
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(key(&dp, packet(&arp), commit()).ct_state, TRACKED | INVALID);
}

#[test]
fn a_zone_has_its_limit() {
    let (dp, [_, out, _]) = datapath();
    dp.conntrack().set_default_zone_limit(100);
    dp.conntrack().set_zone_limit(5, Some(3)).unwrap();
    for n in 0..10 {
        let udp = Spec { ports: (n, 1), ..spec(false, 17) };
        run(&dp, udp.packet(), [act(commit()), Action::Output(2)]);
    }
    // What is too much is dropped; what is known goes on.
    assert_eq!((out.take().len(), dp.conntrack().zone_limit(5)), (3, Limit { limit: 3, count: 3 }));
    run(&dp, Spec { ports: (0, 1), ..spec(false, 17) }.packet(), [act(commit()), Action::Output(2)]);
    assert_eq!(out.take().len(), 1);
}

fn nat(end: End, first: [u8; 16], last: [u8; 16], ports: Option<(u16, u16)>) -> Ct {
    let range = Range { addresses: Some((first, last)), ports, ..Range::default() };
    Ct { nat: Some(Nat { new: Some((end, range)) }), ..commit() }
}

/// Follows a connection as it is.
fn follow() -> Ct {
    Ct { nat: Some(Nat::default()), ..ct() }
}

fn fixed_spec(v6: bool, proto: u8, ports: (u16, u16), payload: Vec<u8>, no_csum: bool) -> Spec {
    Spec { ports, payload, no_csum, ..spec(v6, proto) }
}

fn short(v6: bool, address: [u8; 16]) -> [u8; 16] {
    if v6 { address } else { wide(address.first_chunk().unwrap()) }
}

proptest! {
    #[test]
    fn translation_is_undone_on_the_way_back(
        v6 in any::<bool>(),
        proto in prop_oneof![Just(6u8), Just(17), Just(132), Just(1), Just(200)],
        ports in any::<(u16, u16)>(),
        payload in prop::collection::vec(any::<u8>(), 1..60),
        (no_csum, is_src, partial) in any::<(bool, bool, bool)>(),
        (first, span) in any::<([u8; 16], u8)>(),
        (low, high) in any::<(u16, u16)>(),
        with_ports in any::<bool>(),
    ) {
        let proto = if v6 && proto == 1 { 58 } else { proto };
        let init = [1, 0, 0, 4 + payload.len() as u8];
        let payload = if proto == 132 { [&init[..], &payload].concat() } else { payload };
        let spec = fixed_spec(v6, proto, ports, payload, no_csum);
        let icmp = matches!(proto, 1 | 58);
        let mut frame = if icmp { echo(&spec, false) } else { spec.bytes() };
        if proto == 6 {
            patch(&spec, &mut frame, 12, &[0x50, 2]);
        }
        let there = packet(&frame);
        let (dp, [_, out, _]) = datapath();
        let mut last = first;
        last[if v6 { 15 } else { 3 }] = last[if v6 { 15 } else { 3 }].saturating_add(span);
        let end = if is_src { End::Src } else { End::Dst };
        let range = with_ports.then_some((low.min(high), low.max(high)));

        let mut there = there;
        if partial && proto == 17 {
            there = spec.partial();
        }
        let key = run(&dp, there, [act(nat(end, first, last, range)), Action::Output(2)]);
        let mut sent = out.take();
        prop_assert_eq!(sent.len(), 1);
        let (sent, offload) = sent.remove(0);
        prop_assert_eq!(offload.csum, (partial && proto == 17).then_some(PartialCsum { start: spec.l4() as u32, offset: 6 }));
        let whole = {
            let mut whole = packet(&sent);
            *whole.offload_mut() = offload;
            csum::complete(&mut whole).unwrap();
            whole.bytes().to_vec()
        };
        verify(&whole);
        let changed = key_of(&packet(&whole));
        prop_assert_eq!((changed.ipv4_src, changed.ipv6_dst, changed.tp_src), (key.ipv4_src, key.ipv6_dst, key.tp_src));
        let address = |key: &FlowKey, end: End| match (v6, end) {
            (true, End::Src) => key.ipv6_src,
            (true, End::Dst) => key.ipv6_dst,
            (false, End::Src) => wide(&key.ipv4_src),
            (false, End::Dst) => wide(&key.ipv4_dst),
        };
        let (now, min, max) = (address(&changed, end), short(v6, first), short(v6, last));
        prop_assert!(min <= now && now <= max, "{now:?} not in {min:?} to {max:?}");
        if let Some((low, high)) = range && matches!(proto, 6 | 17 | 132) {
            let port = if is_src { changed.tp_src.get() } else { changed.tp_dst.get() };
            prop_assert!((low..=high).contains(&port));
        }
        let bit = if is_src { SRC_NAT } else { DST_NAT };
        let was = key_of(&packet(&frame));
        let differs = now != address(&was, end);
        prop_assert!(!differs || key.ct_state & bit != 0);
        // What is known of the connection is how it was before.
        prop_assert_eq!(key.ct_orig_src, address(&was, End::Src));

        // The same packet again, and an answer to what was sent.
        run(&dp, packet(&frame), [act(follow()), Action::Output(2)]);
        let again = out.take_one();
        prop_assert!(proto == 17 || again == whole);

        let translated = Spec {
            src: address(&changed, End::Src), dst: address(&changed, End::Dst),
            ports: (changed.tp_src.get(), changed.tp_dst.get()), ..spec.clone()
        };
        let mut answer = if icmp { echo(&translated, true) } else { reversed(&translated).bytes() };
        let mut expected = if icmp { echo(&spec, true) } else { reversed(&spec).bytes() };
        if icmp {
            let id = &whole[spec.l4() + 4..spec.l4() + 6];
            patch(&translated, &mut answer, 4, id);
        }
        if proto == 6 {
            for (frame, spec) in [(&mut answer, &translated), (&mut expected, &spec)] {
                patch(&reversed(spec), frame, 12, &[0x50, 0x12]);
                patch(&reversed(spec), frame, 8, &0x0001_0204u32.to_be_bytes());
            }
        }
        if proto == 6 {
            // The acknowledgement must be of what was sent: the SYN and its payload.
            let ack = 0x0001_0203u32.wrapping_add(1 + spec.payload.len() as u32).to_be_bytes();
            for (frame, spec) in [(&mut answer, &translated), (&mut expected, &spec)] {
                patch(&reversed(spec), frame, 8, &ack);
            }
        }
        verify(&answer);
        let back = run(&dp, packet(&answer), [act(follow()), Action::Output(3)]);
        prop_assert_eq!(back.ct_state & (TRACKED | INVALID | ESTABLISHED | REPLY_DIR), TRACKED | ESTABLISHED | REPLY_DIR);
        let back = dp_three(&dp, &answer);
        verify(&back);
        let sum = |frame: &[u8]| {
            // Zero has two forms in checksums.
            let mut frame = frame.to_vec();
            if let Some(at) = match proto { 6 => Some(16), 17 => Some(6), 1 | 58 => Some(2), _ => None } {
                frame[spec.l4() + at..][..2].fill(0);
            }
            frame
        };
        prop_assert_eq!(sum(&back), sum(&expected));

        // An error about the packet as it was sent on.
        let error = icmp_error(&whole, v6, ROUTER);
        let (dp_error, related) = one(&dp, &error, follow());
        prop_assert_eq!(related.ct_state & (RELATED | REPLY_DIR), RELATED | REPLY_DIR);
        verify(&dp_error);
        let plain = icmp_error(&frame, v6, if is_src { ROUTER } else { address(&was, End::Dst) });
        let inner = spec.l2_len() + if v6 { 40 } else { 20 } + 8;
        let (mut got, mut want) = (dp_error[inner..].to_vec(), plain[inner..].to_vec());
        for bytes in [&mut got, &mut want] {
            // Its own checksums: compared by the sums above, and by those inside.
            let l4 = if v6 { 40 } else { 20 };
            if let Some(at) = match proto { 6 => Some(16), 17 => Some(6), 1 | 58 => Some(2), 132 => Some(8), _ => None } {
                let end = bytes.len().min(l4 + at + if proto == 132 { 4 } else { 2 });
                bytes[(l4 + at).min(end)..end].fill(0);
            }
        }
        prop_assert_eq!(got, want);
    }

    #[test]
    fn no_packet_is_too_odd(
        spec in any_spec(), cut in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        wrap in any::<bool>(), end in any::<bool>(),
    ) {
        let (dp, _) = datapath();
        let mut bytes = spec.bytes();
        if wrap && spec.tags.is_empty() {
            bytes = icmp_error(&bytes, spec.v6, ROUTER);
        }
        let how = nat(if end { End::Src } else { End::Dst }, [3; 16], [4; 16], Some((5, 6)));
        run(&dp, packet(&bytes), [act(how.clone())]);
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        bytes.truncate(14 + cut.index(bytes.len() - 13));
        run(&dp, packet(&bytes), [act(how), act(follow()), act(Ct { force: true, ..commit() })]);
    }
}

/// Runs a frame through CT and out of port 3; the frame and its key.
fn one(dp: &Dp, frame: &[u8], how: Ct) -> (Vec<u8>, FlowKey) {
    let sink = Sink::new("more");
    let port = dp.add_port(None, Box::new(sink.clone()), &[1]).unwrap().number();
    let key = run(dp, packet(frame), [act(how), Action::Output(port)]);
    dp.remove_port(port).unwrap();
    (sink.take_one(), key)
}

fn dp_three(dp: &Dp, frame: &[u8]) -> Vec<u8> {
    one(dp, frame, follow()).0
}

#[test]
fn hosts_behind_one_address_get_ports_of_their_own() {
    let (dp, [_, out, _]) = datapath();
    let mut ports = Vec::new();
    for n in 0..5u8 {
        let mut udp = spec(false, 17);
        udp.src[3] = 100 + n;
        run(&dp, udp.packet(), [act(nat(End::Src, [7; 16], [7; 16], Some((4000, 4003)))), Action::Output(2)]);
        ports.extend(out.take().iter().map(|(frame, _)| key_of(&packet(frame)).tp_src.get()));
    }
    ports.sort_unstable();
    // The fifth finds none: it is dropped.
    assert_eq!(ports, [4000, 4001, 4002, 4003]);
    assert_eq!(dp.conntrack().count(), 4);
    // NAT without a range changes ports where it must, and only there.
    let null = Ct { nat: Some(Nat::default()), ..commit() };
    let mut plain = spec(false, 17);
    plain.src[..4].fill(7);
    plain.ports.0 = 4001;
    let key = run(&dp, plain.packet(), [act(null), Action::Output(2)]);
    assert_ne!(key.tp_src.get(), 4001);
    assert_eq!(key.ct_state, TRACKED | NEW | SRC_NAT);
    verify(&out.take_one());
}

#[test]
fn a_packet_in_pieces_is_tracked_as_a_whole_one() {
    for (v6, proto) in [(false, 6), (true, 6), (false, 17), (true, 17), (false, 132), (false, 1), (true, 58)]
    {
        let (whole, [_, whole_out, _]) = datapath();
        let (pieces, [_, pieces_out, _]) = datapath_of::<Chain>();
        let spec = Spec { payload: Vec::from([1; 700]), ..spec(v6, proto) };
        let mut frame = if matches!(proto, 1 | 58) { echo(&spec, false) } else { spec.bytes() };
        if proto == 6 {
            patch(&spec, &mut frame, 12, &[0x50, 2]);
        }
        let there = actions([act(nat(End::Src, [7; 16], [7; 16], Some((9, 9)))), Action::Output(2)]);
        let back = actions([act(follow()), Action::Output(2)]);
        let mut sent = Vec::new();
        for list in [&there, &back] {
            let metadata = || FlowKey { in_port: 1, mac_proto: 1, ..FlowKey::ZERO };
            let (mut a, mut b) = (metadata(), metadata());
            whole.execute(packet(&frame), &mut a, list).unwrap();
            pieces.execute(Chain::from_bytes(&frame).unwrap(), &mut b, list).unwrap();
            assert_eq!(a, b, "{proto}");
            sent = whole_out.take_one();
            assert_eq!(pieces_out.take_one(), sent, "{proto}");
            verify(&sent);
            // Then an error about what was sent.
            frame = icmp_error(&sent, v6, ROUTER);
        }
        let key = key_of(&packet(&sent));
        assert_eq!((key.ipv6_dst == spec.src, key.ipv4_dst[..] == spec.src[..4]), (v6, !v6));
    }
}

#[test]
fn packets_that_begin_a_connection_at_once_all_pass() {
    const THREADS: usize = 3;
    const FLOWS: u16 = 1000;
    let (dp, [_, out, _]) = datapath();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for n in 0..FLOWS {
                    let udp = Spec { ports: (n, 1), ..spec(false, 17) };
                    run(&dp, udp.packet(), [act(ct()), act(commit()), Action::Output(2)]);
                }
            });
        }
        // Meanwhile somebody walks and sweeps.
        scope.spawn(|| {
            for _ in 0..200 {
                let mut cursor = Default::default();
                while dp.conntrack().next(&mut cursor).is_some() {}
                dp.conntrack().sweep(64);
            }
        });
    });
    assert_eq!(out.take().len(), THREADS * usize::from(FLOWS));
    assert_eq!(dp.conntrack().count(), FLOWS.into());
    assert_eq!(dp.conntrack().flush(|_| true), FLOWS.into());
    assert_eq!((dp.conntrack().count(), dp.conntrack().zone_limit(5).count), (0, 0));
}

/// What user space got after translation finds its connection again, in its direction.
#[test]
fn a_translated_packet_comes_back_from_user_space() {
    let (dp, [_, out, _]) = datapath();
    let udp = spec(false, 17);
    let to = [10, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    run(&dp, udp.packet(), [act(nat(End::Src, to, to, None)), Action::Output(2)]);
    let sent = key_of(&packet(&out.take_one()));
    let answer =
        Spec { dst: wide(&sent.ipv4_src), ports: (udp.ports.1, sent.tp_src.get()), ..reversed(&udp) };
    let plain = Ct { nat: Some(Nat::default()), ..ct() };
    let up = run(&dp, answer.packet(), [act(plain), Action::Output(2)]);
    assert_eq!(up.ct_state, TRACKED | ESTABLISHED | REPLY_DIR | DST_NAT);
    let back = out.take_one();
    let mut again = FlowKey { ct_state: up.ct_state, ct_zone: 5, mac_proto: 1, ..FlowKey::ZERO };
    let marked = Ct { mark: Some(Masked { value: 9, mask: u32::MAX }), ..commit() };
    dp.execute(packet(&back), &mut again, &actions([act(marked)])).unwrap();
    assert_eq!((again.ct_mark, dp.conntrack().count()), (9, 1));
    let conn = dp.conntrack().next(&mut Default::default()).unwrap();
    assert_eq!(conn.mark_and_labels().0, 9);
}

/// An all-zero range leaves the address alone, and gives another port where answers would belong to two.
#[test]
fn an_all_zero_source_is_the_packets_own() {
    let (dp, [_, out, _]) = datapath();
    let zero = Range { addresses: Some(([0; 16], [0; 16])), ..Range::default() };
    let first = Spec { ports: (4000, 80), ..spec(false, 17) };
    let to = |last: u8| {
        let mut dst = first.dst;
        dst[3] = last;
        dst
    };
    let same = Range { addresses: Some((to(9), to(9))), ..Range::default() };
    let dnat = Ct { nat: Some(Nat { new: Some((End::Dst, same)) }), ..commit() };
    let snat = Ct { zone: 6, nat: Some(Nat { new: Some((End::Src, zero)) }), ..commit() };
    let ports: Vec<_> = [1, 2]
        .map(|last| {
            let packet = Spec { dst: to(last), ..first.clone() }.packet();
            let list = [act(dnat.clone()), Action::CtClear, act(snat.clone()), Action::Output(2)];
            run(&dp, packet, list);
            let sent = out.take_one();
            verify(&sent);
            let key = key_of(&super::tests::packet(&sent));
            assert_eq!((wide(&key.ipv4_src), key.ipv4_dst[3]), (short(false, first.src), 9));
            key.tp_src.get()
        })
        .to_vec();
    assert_eq!(ports[0], 4000);
    assert_ne!(ports[1], 4000);
}
