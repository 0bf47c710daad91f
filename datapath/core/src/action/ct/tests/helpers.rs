//! FTP and TFTP: what they bring about is RELATED, translated or not.

use super::*;
use crate::conntrack::conn::EXPECTED;
use crate::conntrack::{Helper, SeqAdj};
use std::string::String;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const OUTSIDE: [u8; 4] = [10, 0, 0, 240];

fn address(v4: [u8; 4]) -> [u8; 16] {
    wide(&v4)
}

/// A TCP segment between two ends.
fn segment(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: u16, seq: u32, ack: u32, text: &str) -> Vec<u8> {
    let spec = Spec {
        src: address(from.0),
        dst: address(to.0),
        ports: (from.1, to.1),
        payload: text.as_bytes().to_vec(),
        ..spec(false, 6)
    };
    let mut bytes = spec.bytes();
    patch(&spec, &mut bytes, 4, &seq.to_be_bytes());
    patch(&spec, &mut bytes, 8, &ack.to_be_bytes());
    patch(&spec, &mut bytes, 12, &(0x5000 | flags).to_be_bytes());
    bytes
}

fn ftp() -> Ct {
    Ct { helper: Some(Helper::Ftp), ..commit() }
}

fn text_of(frame: &[u8]) -> String {
    String::from_utf8_lossy(&frame[14 + 20 + 20..]).into_owned()
}

#[test]
fn a_data_connection_is_related_to_its_conversation() {
    let (dp, _) = datapath();
    let (c, s) = ((CLIENT, 40_000), (SERVER, 21));
    let track = |frame: &[u8], ct: Ct| key(&dp, packet(frame), ct);
    track(&segment(c, s, SYN, 100, 0, ""), ftp());
    track(&segment(s, c, SYN | ACK, 500, 101, ""), ct());
    track(&segment(c, s, ACK, 101, 501, ""), ct());
    let marked = Ct { mark: Some(Masked { value: 7, mask: u32::MAX }), ..commit() };
    track(&segment(c, s, ACK, 101, 501, "PORT 10,0,0,1,156,65\r\n"), marked);
    assert!(dp.conntrack().expectation(0).is_some() && dp.conntrack().expectation(1).is_none());
    // Another port is not what was said; the one that was is, once.
    let other = track(&segment((SERVER, 20), (CLIENT, 40_002), SYN, 1, 0, ""), commit());
    assert_eq!(other.ct_state, TRACKED | NEW);
    let data = segment((SERVER, 20), (CLIENT, 40_001), SYN, 1, 0, "");
    // Without COMMIT it is told what it would be, and is expected on.
    for _ in 0..2 {
        let told = track(&data, ct());
        assert_eq!((told.ct_state, told.ct_mark), (TRACKED | NEW | RELATED, 7));
        assert_eq!(told.ct_orig_tp_dst.get(), 21);
    }
    let related = track(&data, commit());
    assert_eq!((related.ct_state, related.ct_mark), (TRACKED | NEW | RELATED, 7));
    // What is known of it is its master's.
    assert_eq!((related.ct_orig_src, related.ct_orig_tp_dst.get()), (address(CLIENT), 21));
    let answer = segment((CLIENT, 40_001), (SERVER, 20), SYN | ACK, 9, 2, "");
    assert_eq!(track(&answer, ct()).ct_state, TRACKED | ESTABLISHED | RELATED | REPLY_DIR);
    assert!(dp.conntrack().expectation(0).is_none());
    let mut cursor = Default::default();
    let conns = core::iter::from_fn(|| dp.conntrack().next(&mut cursor));
    let expected: Vec<_> = conns.filter(|conn| conn.has(EXPECTED)).collect();
    assert_eq!(expected.len(), 1);
    assert_eq!(expected[0].snapshot().master.unwrap().dst_port.get(), 21);
}

#[test]
fn a_conversation_without_helper_or_with_a_lie_brings_about_nothing() {
    let (dp, _) = datapath();
    let (c, s) = ((CLIENT, 40_000), (SERVER, 21));
    for (helper, line) in [(commit(), "PORT 10,0,0,1,156,65\r\n"), (ftp(), "PORT 10,0,0,3,156,65\r\n")] {
        dp.conntrack().flush(|_| true);
        key(&dp, packet(&segment(c, s, SYN, 100, 0, "")), helper.clone());
        key(&dp, packet(&segment(s, c, SYN | ACK, 500, 101, "")), ct());
        key(&dp, packet(&segment(c, s, ACK, 101, 501, line)), ct());
        assert!(dp.conntrack().expectation(0).is_none());
    }
}

/// The client is behind OUTSIDE: what it says of itself is put right, and the numbers behind it too.
#[test]
fn a_translated_conversation_says_the_address_outside() {
    let (dp, [_, out, _]) = datapath();
    let (c, s, o) = ((CLIENT, 40_000), (SERVER, 21), (OUTSIDE, 40_000));
    let range = Range { addresses: Some((address(OUTSIDE), address(OUTSIDE))), ..Range::default() };
    let nat = Some(Nat { new: Some((End::Src, range)) });
    let out_of = |frame: &[u8], ct: Ct| {
        run(&dp, packet(frame), [act(ct), Action::Output(2)]);
        let sent = out.take_one();
        verify(&sent);
        sent
    };
    let there = |flags, seq, ack, text: &str| {
        out_of(&segment(c, s, flags, seq, ack, text), Ct { nat: nat.clone(), ..ftp() })
    };
    let back = |flags, seq, ack, text: &str| {
        out_of(&segment(s, o, flags, seq, ack, text), Ct { nat: Some(Nat::default()), ..ct() })
    };
    let numbers = |frame: &[u8]| {
        let at = |n: usize| u32::from_be_bytes(frame[34 + n..][..4].try_into().unwrap());
        (at(4), at(8))
    };
    there(SYN, 100, 0, "");
    back(SYN | ACK, 500, 101, "");
    there(ACK, 101, 501, "");
    let line = "PORT 10,0,0,1,156,65\r\n";
    let sent = there(ACK, 101, 501, line);
    assert_eq!(text_of(&sent), "PORT 10,0,0,240,156,65\r\n");
    assert_eq!(numbers(&sent), (101, 501));
    // Sent again, it is changed again, and nothing is shifted twice.
    assert_eq!(text_of(&there(ACK, 101, 501, line)), "PORT 10,0,0,240,156,65\r\n");
    // The server acknowledges two bytes more than the client sent.
    let next = 101 + line.len() as u32;
    assert_eq!(numbers(&back(ACK, 501, next + 2, "200 fine\r\n")), (501, next));
    assert_eq!(numbers(&there(ACK, next, 511, "LIST\r\n")), (next + 2, 511));
    let conn = dp.conntrack().next(&mut Default::default()).unwrap();
    assert_eq!(conn.snapshot().shifts[0], SeqAdj { position: 101, before: 0, after: 2 });
    // The data connection comes to the address outside and goes to the client.
    let data = segment((SERVER, 20), (OUTSIDE, 40_001), SYN, 1, 0, "");
    let plain = Ct { nat: Some(Nat::default()), ..commit() };
    let sent = out_of(&data, plain.clone());
    assert_eq!((&sent[30..34], &sent[36..38]), (&CLIENT[..], &40_001u16.to_be_bytes()[..]));
    let key = key_of(&packet(&sent));
    assert_eq!((key.tp_src.get(), key.tp_dst.get()), (20, 40_001));
    let answer = out_of(&segment((CLIENT, 40_001), (SERVER, 20), SYN | ACK, 9, 2, ""), plain);
    assert_eq!(&answer[26..30], &OUTSIDE[..]);
}

#[test]
fn a_tftp_server_answers_from_another_port() {
    let (dp, _) = datapath();
    let datagram = |from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]| {
        let spec = Spec {
            src: address(from.0),
            dst: address(to.0),
            ports: (from.1, to.1),
            payload: payload.to_vec(),
            ..spec(false, 17)
        };
        spec.packet()
    };
    let tftp = Ct { helper: Some(Helper::Tftp), ..commit() };
    let (c, s) = ((CLIENT, 5000), (SERVER, 69));
    assert_eq!(key(&dp, datagram(c, s, b"\0\x01f\0octet\0"), tftp).ct_state, TRACKED | NEW);
    let data = key(&dp, datagram((SERVER, 3456), c, b"\0\x03\0\x01x"), commit());
    assert_eq!(data.ct_state, TRACKED | NEW | RELATED);
    let again = key(&dp, datagram((SERVER, 3457), c, b"\0\x03\0\x01x"), commit());
    assert_eq!(again.ct_state, TRACKED | NEW);
}
