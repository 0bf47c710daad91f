//! Several messages in one send.

use super::Table;
use crate::message::{
    ACK, DONE, ERROR, GETFAMILY, NLCTRL, NOOP, REQUEST, ask, ask_ack, ctrl, message, own_id, ping,
    with_length,
};
use crate::os::nl;
use crate::sock::Sock;

/// Padded to four.
fn batch(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend_from_slice(message);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

pub fn fill(table: &mut Table) {
    let bad = ctrl(0, 77, &[]);
    let odd = message(NOOP, REQUEST | ACK, 9, &[1, 2, 3]);
    let ping = ping(1);
    let batches: Vec<(&str, Vec<u8>)> = vec![
        ("good", batch(&[ask(), ask_ack(), ping.clone()])),
        ("one-fails", batch(&[ping.clone(), bad.clone(), ping.clone()])),
        ("all-fail", batch(&[bad.clone(), bad.clone()])),
        ("odd-lengths", batch(&[odd.clone(), odd.clone(), ping.clone()])),
        ("odd-length-at-the-end", [ping.clone(), odd.clone()].concat()),
        ("length-too-short", batch(&[ping.clone(), with_length(15, NOOP, 5, 2, &[]), ping.clone()])),
        ("length-0", batch(&[ping.clone(), with_length(0, NOOP, 5, 2, &[]), ping.clone()])),
        ("length-too-long", batch(&[ping.clone(), with_length(100, NOOP, 5, 2, &[]), ping.clone()])),
        ("length-beyond-by-one", batch(&[ping.clone(), with_length(17, NOOP, 5, 2, &[])])),
        ("length-huge", batch(&[ping.clone(), with_length(u32::MAX, NOOP, 5, 2, &[])])),
        ("rest-shorter-than-a-header", [ping.clone(), vec![0; 15]].concat()),
        ("rest-of-zeroes", [ping.clone(), vec![0; 64]].concat()),
        ("payload-covers-the-next", batch(&[with_length(36, NOOP, 5, 2, &[]), ping.clone(), ping.clone()])),
        (
            "not-requests",
            batch(&[
                message(NLCTRL, 0, 1, &[3, 1, 0, 0]),
                message(NLCTRL, ACK, 2, &[3, 1, 0, 0]),
                ping.clone(),
            ]),
        ),
        (
            "types-below-16",
            batch(&[
                message(NOOP, REQUEST, 1, &[]),
                message(ERROR, REQUEST | ACK, 2, &[0; 20]),
                message(DONE, REQUEST | ACK, 3, &[0; 4]),
                message(4, REQUEST | ACK, 4, &[]),
                message(15, REQUEST | ACK, 5, &[]),
                message(0, REQUEST | ACK, 6, &[]),
                message(15, ACK, 7, &[]),
            ]),
        ),
        (
            "types-around-16",
            batch(&[
                message(16, REQUEST | ACK, 1, &[3, 1, 0, 0]),
                message(1022, REQUEST, 3, &[]),
                message(1023, REQUEST | ACK, 4, &[0; 4]),
                message(1024, REQUEST | ACK, 4, &[0; 4]),
                message(65535, REQUEST | ACK, 5, &[0; 4]),
            ]),
        ),
        ("dump-in-the-middle", batch(&[ping.clone(), crate::message::dump_policies(0), ping.clone()])),
        (
            "two-dumps",
            batch(&[crate::message::dump_policies(0), crate::message::dump_policies(ACK), ping.clone()]),
        ),
        (
            "odd-flags",
            batch(&[
                message(NLCTRL, 0xf0f5, 1, &[3, 1, 0, 0]),
                message(NLCTRL, 0x0405, 2, &[&[3, 1, 0, 0][..], &own_id()].concat()),
            ]),
        ),
        ("portid-in-the-request", {
            let mut bytes = ctrl(ACK, GETFAMILY, &own_id());
            bytes[12..16].copy_from_slice(&77_u32.to_ne_bytes());
            bytes
        }),
        ("sequence-numbers", batch(&[message(NOOP, 5, u32::MAX, &[]), message(NOOP, 5, 0, &[])])),
    ];
    for (name, bytes) in batches {
        table.add(format!("batch/{name}"), move || {
            let a = Sock::at("a", 0);
            a.on("EXT_ACK", nl::EXT_ACK);
            a.send(name, &bytes);
            a.drain();
        });
    }
    table.add("batch/fifty", || {
        let a = Sock::at("a", 0);
        let bytes: Vec<Vec<u8>> = (0..50).map(crate::message::ping).collect();
        a.send("fifty", &batch(&bytes));
        a.drain();
    });
}
