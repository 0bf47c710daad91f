//! Several messages in one send.

use super::Table;
use crate::message::{
    ACK, DONE, ERROR, GETFAMILY, NLCTRL, NOOP, REQUEST, ask, ask_ack, ctrl, message, own_id, ping,
    with_length,
};
use crate::os::{SO_PASSCRED, nl};
use crate::say;
use crate::say::{outcome, port};
use crate::sock::Sock;
use crate::sys::{self, Incoming};
use libc::{MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SOL_SOCKET};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

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
    answers(table);
    readers(table);
    table.add("batch/fifty", || {
        let a = Sock::at("a", 0);
        let bytes: Vec<Vec<u8>> = (0..50).map(crate::message::ping).collect();
        a.send("fifty", &batch(&bytes));
        a.drain();
    });
}

/// A socket with five answers to one send in its queue: one long, the others short.
fn asked() -> Sock {
    let a = Sock::at("a", port(1));
    a.send("a batch", &five());
    a
}

fn five() -> Vec<u8> {
    batch(&[ping(1), ask_ack(), ping(2), ping(3)])
}

/// How the answers to a batch are taken.
fn answers(table: &mut Table) {
    for (name, flags) in
        [("plain", 0), ("peek", MSG_PEEK), ("trunc", MSG_TRUNC), ("peek-trunc", MSG_PEEK | MSG_TRUNC)]
    {
        for room in [0, 1, 16, 36, 100, 8192] {
            table.add(format!("batch/{name}-into-{room}"), move || {
                let a = asked();
                a.recv_into(Incoming::of(room), flags);
                a.recv_into(Incoming::of(room), flags);
                a.recv_into(Incoming::of(room), flags | MSG_DONTWAIT);
                a.drain();
            });
        }
        table.add(format!("batch/{name}-into-vectors"), move || {
            let a = asked();
            for _ in 0..2 {
                let parts = vec![vec![0; 1], vec![0; 0], vec![0; 15], vec![0; 40], vec![0; 2000]];
                a.recv_into(Incoming { parts, ..Incoming::of(0) }, flags);
                a.recv_into(Incoming { parts: vec![], ..Incoming::of(0) }, flags);
            }
            a.drain();
        });
    }
    table.add("batch/poll-after-each", || {
        let a = asked();
        a.poll();
        while a.recv() {
            a.poll();
        }
    });
    table.add("batch/peek-each", || {
        let a = asked();
        loop {
            a.recv_into(Incoming::of(20), MSG_PEEK | MSG_DONTWAIT);
            a.poll();
            if !a.recv() {
                break;
            }
        }
        a.poll();
    });
    table.add("batch/after-what-is-unread", || {
        let a = Sock::at("a", 0);
        a.send("a ping", &ping(9));
        a.send("a batch", &five());
        a.recv();
        a.send("a batch", &five());
        a.recv();
        a.poll();
        a.drain();
        a.poll();
        a.send("a batch", &five());
        a.drain();
    });
    table.add("batch/before-others", || {
        let (a, b) = (asked(), Sock::at("b", 0));
        b.send_to("a word", &ping(7), port(1), 0);
        a.recv();
        b.send_to("a word", &ping(8), port(1), 0);
        a.send("a ping", &ping(9));
        a.drain();
    });
    table.add("batch/names-and-control", || {
        let a = Sock::at("a", 0);
        a.on("PKTINFO", nl::PKTINFO);
        a.option("PASSCRED", SOL_SOCKET, SO_PASSCRED, 1);
        a.send("a batch", &five());
        for (name_length, control) in
            [(12, vec![0; 100]), (0, vec![0; 20]), (5, vec![0; 8]), (12, vec![0; 30])]
        {
            let control_length = control.len();
            let control = Some(control);
            a.recv_into(Incoming { name_length, control, control_length, ..Incoming::of(100) }, 0);
        }
        a.recv_into(Incoming { name: None, ..Incoming::of(100) }, 0);
    });
    for room in [0, 2048, 4096, 10_000] {
        table.add(format!("batch/rcvbuf-{room}"), move || {
            let a = Sock::at("a", 0);
            a.option("SO_RCVBUF", SOL_SOCKET, libc::SO_RCVBUF, room);
            for _ in 0..2 {
                a.send("a batch", &five());
                a.send("a batch", &five());
                a.drain();
                a.drain();
            }
        });
    }
    table.add("batch/many-at-once", || {
        let a = asked();
        for count in [2, 8] {
            let mut into = vec![Incoming::of(36); count];
            let received = sys::recvmmsg(a.raw(), &mut into, MSG_DONTWAIT, None);
            say!("recvmmsg {}", outcome(&received));
            for into in into.iter().take(received.unwrap_or(0)) {
                a.show_received(into.length, into);
            }
        }
    });
    table.add("batch/long", || {
        let a = Sock::at("a", 0);
        let bytes: Vec<Vec<u8>> = (0..60).flat_map(|seq| [crate::message::ping(seq), ask_ack()]).collect();
        a.send("a hundred and twenty", &batch(&bytes));
        a.drain();
        a.poll();
    });
    table.add("batch/more-than-fits", || {
        let a = Sock::at("a", 0);
        let bytes: Vec<Vec<u8>> = (0..2000).map(crate::message::ping).collect();
        a.send("two thousand", &batch(&bytes));
        for _ in 0..2 {
            let mut count = 0;
            while sys::recvmsg(a.raw(), &mut Incoming::of(100), MSG_DONTWAIT).is_ok() {
                count += 1;
            }
            say!("answers {count}");
            a.recv();
        }
    });
}

/// Queues are not to overflow by chance.
fn wait_for(count: &AtomicU32, wanted: u32) {
    while count.load(Relaxed) < wanted {
        std::thread::yield_now();
    }
}

/// Who reads the answers to a batch.
fn readers(table: &mut Table) {
    table.add("batch/a-duplicate-reads", || {
        let a = asked();
        let Ok(fd) = a.fd.try_clone() else { return };
        let b = Sock { fd, name: "b" };
        b.recv();
        a.recv();
        drop(a);
        b.drain();
        b.poll();
    });
    table.add("batch/a-child-reads-half", || {
        let a = asked();
        sys::in_child(|| {
            a.recv();
            a.recv_into(Incoming::of(20), MSG_PEEK);
            a.recv();
            a.poll();
        });
        a.poll();
        a.drain();
        a.poll();
        a.send("a batch", &five());
        sys::in_child(|| a.drain());
        a.recv();
    });
    table.add("batch/a-child-sends", || {
        let a = Sock::at("a", port(1));
        sys::in_child(|| {
            a.send("a batch", &five());
            a.recv();
        });
        a.drain();
    });
    table.add("batch/a-thread-waits", || {
        for round in 0..3 {
            let a = Sock::at("a", port(1));
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut seen = Vec::new();
                    while seen.len() < 5 {
                        let mut into = Incoming::of(1000);
                        let Ok(length) = sys::recvmsg(a.raw(), &mut into, 0) else { break };
                        seen.push((length, crate::message::head(&into.parts[0])));
                    }
                    seen
                });
                std::thread::sleep(std::time::Duration::from_millis(round * 10));
                let sent = sys::send(a.raw(), &five(), 0);
                say!("sent {} received {:x?}", outcome(&sent), reader.join().unwrap_or_default());
            });
            a.recv();
            a.poll();
        }
    });
    table.add("batch/a-thread-asks-again-and-again", || {
        let a = Sock::at("a", port(1));
        let count = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = Vec::new();
                while seen.len() < 500 {
                    let mut into = Incoming::of(1000);
                    if sys::recvmsg(a.raw(), &mut into, MSG_DONTWAIT).is_ok() {
                        seen.push(crate::message::head(&into.parts[0]).2);
                        count.fetch_add(1, Relaxed);
                    }
                }
                seen
            });
            for round in 1..=100 {
                let _ = sys::send(a.raw(), &five(), 0);
                wait_for(&count, round * 5);
            }
            let seen = reader.join().unwrap_or_default();
            say!("in order {}", seen.chunks(5).all(|seen| seen == [1, 7, 7, 2, 3]));
        });
        a.recv();
        a.poll();
    });
    table.add("batch/threads-read", || {
        let a = Sock::at("a", 0);
        let count = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for flags in [0, MSG_DONTWAIT, 0] {
                let (a, count) = (&a, &count);
                scope.spawn(move || {
                    while count.load(Relaxed) < 1000 {
                        // What waits is woken by the pings at the end.
                        if sys::recvmsg(a.raw(), &mut Incoming::of(100), flags).is_ok() {
                            count.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
            for round in 1..=200 {
                let _ = sys::send(a.raw(), &five(), 0);
                wait_for(&count, round * 5);
            }
            for seq in 0..3 {
                let _ = sys::send(a.raw(), &ping(seq), 0);
            }
        });
        // Those at the end may be left.
        while sys::recvmsg(a.raw(), &mut Incoming::of(100), MSG_DONTWAIT).is_ok() {}
        a.poll();
        a.send("a batch", &five());
        a.drain();
    });
    #[cfg(target_os = "linux")]
    for (name, edge) in [("level", false), ("edge", true)] {
        table.add(format!("batch/epoll-{name}"), move || {
            let a = Sock::at("a", port(1));
            let Some(set) = sys::waiting::Epoll::with(a.raw(), edge) else { return };
            for _ in 0..2 {
                a.send("a batch", &five());
                set.look();
                a.recv();
                a.drain();
                set.look();
            }
        });
    }
    #[cfg(target_os = "linux")]
    table.add("batch/epoll-level-each", || {
        let a = asked();
        let Some(set) = sys::waiting::Epoll::with(a.raw(), false) else { return };
        set.look();
        while a.recv() {
            set.look();
        }
    });
}
