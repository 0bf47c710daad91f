//! The receive queue: what blocks are charged, overflow, congestion.

use super::Table;
use crate::message::{GETFAMILY, NAME, NOOP, attr, ctrl, dump_policies, message, ping};
use crate::os::{AF_NETLINK, SO_MEMINFO, SOL_NETLINK, address, nl};
use crate::say;
use crate::say::{outcome, port};
use crate::sock::Sock;
use crate::sys::{self, Outgoing};
use libc::{MSG_DONTWAIT, SO_ERROR, SO_RCVBUF, SOL_SOCKET};

/// What a socket's queue is charged, and its drops.
fn charged(sock: &Sock) -> String {
    let (mut value, mut length) = ([0; 64], 64);
    match sys::getsockopt(sock.raw(), SOL_SOCKET, SO_MEMINFO, &mut value, &mut length) {
        Ok(_) => {
            let word =
                |at: usize| u32::from_ne_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
            format!("{} of {} drops {}", word(0), word(4), word(32))
        }
        Err(errno) => crate::os::errno_name(errno),
    }
}

/// Sends without a word in the transcript.
fn quietly(from: &Sock, bytes: &[u8], to: u32, groups: u32) -> String {
    let to = address(AF_NETLINK, to, groups);
    let message = Outgoing {
        parts: vec![bytes],
        name: Some(&to),
        name_length: 12,
        flags: MSG_DONTWAIT,
        ..Outgoing::default()
    };
    outcome(&sys::sendmsg(from.raw(), &message))
}

/// Asks for many answers, without a word in the transcript.
fn pings(sock: &Sock, count: u32) {
    for seq in 0..count {
        let _ = sys::send(sock.raw(), &ping(seq), 0);
    }
}

const SIZES: &[usize] = &[
    1, 16, 64, 128, 192, 193, 256, 257, 300, 320, 321, 384, 385, 448, 449, 512, 513, 640, 641, 700, 704, 705,
    960, 1000, 1024, 1025, 1472, 1728, 1729, 2000, 3000, 3776, 3777, 4000, 4096, 7872, 7873, 8000, 8192,
    12_000, 16_064, 16_065, 20_000, 32_448, 32_449, 40_000, 65_216, 65_217, 70_000, 100_000, 130_000,
    200_000,
];

pub fn fill(table: &mut Table) {
    charges(table);
    overflow(table);
}

fn charges(table: &mut Table) {
    table.add("charge/unicast", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        for &size in SIZES {
            let sent = quietly(&a, &vec![0; size], port(2), 0);
            say!("{size}: {sent} charged {}", charged(&b));
            let _ = sys::recvmsg(b.raw(), &mut sys::Incoming::of(10), MSG_DONTWAIT);
        }
        say!("{}", charged(&b));
    });
    table.add("charge/multicast", || {
        let (a, b, c) = (Sock::at("a", port(1)), Sock::at("b", port(2)), Sock::at("c", port(3)));
        b.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        c.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        for &size in SIZES {
            let sent = quietly(&a, &vec![0; size], 0, 0x8000);
            say!("{size}: {sent} charged {} and {}", charged(&b), charged(&c));
            let _ = sys::recvmsg(b.raw(), &mut sys::Incoming::of(10), MSG_DONTWAIT);
            let _ = sys::recvmsg(c.raw(), &mut sys::Incoming::of(10), MSG_DONTWAIT);
        }
    });
    table.add("charge/acks", || {
        let a = Sock::at("a", port(1));
        for size in [0, 100, 300, 400, 600, 700, 1000, 2000, 3000, 4000, 8000, 20_000, 100_000] {
            // Not acknowledged but refused: the whole of it comes back.
            a.send("a bad request", &message(999, 1, 1, &vec![0; size]));
            say!("{size}: charged {}", charged(&a));
            let _ = sys::recvmsg(a.raw(), &mut sys::Incoming::of(10), MSG_DONTWAIT);
        }
        a.send("a ping", &ping(1));
        say!("charged {}", charged(&a));
    });
    table.add("charge/acks-with-attributes", || {
        let a = Sock::at("a", port(1));
        a.on("EXT_ACK", nl::EXT_ACK);
        for size in [1, 40, 140, 250, 600, 1500] {
            a.send("a bad request", &ctrl(0, GETFAMILY, &attr(NAME, &vec![b'x'; size])));
            say!("{size}: charged {}", charged(&a));
            let _ = sys::recvmsg(a.raw(), &mut sys::Incoming::of(10), MSG_DONTWAIT);
        }
    });
    table.add("charge/replies", || {
        let a = Sock::at("a", port(1));
        a.send("a request", &crate::message::ask());
        say!("charged {}", charged(&a));
        a.send("a request", &crate::message::ask());
        say!("charged {}", charged(&a));
    });
    table.add("charge/dumps", || {
        let a = Sock::at("a", port(1));
        a.send("a dump", &dump_policies(0));
        say!("charged {}", charged(&a));
        let _ = sys::recvmsg(a.raw(), &mut sys::Incoming::of(10_000), MSG_DONTWAIT);
        say!("charged {}", charged(&a));
        let _ = sys::recvmsg(a.raw(), &mut sys::Incoming::of(10_000), MSG_DONTWAIT);
        a.send("a dump", &dump_policies(0));
        say!("charged {}", charged(&a));
    });
    for room in [100, 5000, 8192, 20_000, 32_768, 65_536] {
        table.add(format!("charge/dumps-after-recv-of-{room}"), move || {
            let a = Sock::at("a", port(1));
            a.send("a ping", &ping(1));
            let _ = sys::recvmsg(a.raw(), &mut sys::Incoming::of(room), MSG_DONTWAIT);
            a.send("a dump", &dump_policies(0));
            say!("charged {}", charged(&a));
        });
    }
}

fn overflow(table: &mut Table) {
    // 1248: three times 832, to the byte.
    for rcvbuf in [0, 1247, 1248, 1249, 4000, 20_000] {
        table.add(format!("overflow/of-acks-{rcvbuf}"), move || {
            let a = Sock::at("a", 0);
            a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, rcvbuf);
            pings(&a, 60);
            say!("charged {}", charged(&a));
            a.drain(); // ENOBUFS comes first
            a.drain();
            a.send("a ping", &ping(100));
            a.drain();
        });
        table.add(format!("overflow/of-multicasts-{rcvbuf}"), move || {
            let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
            b.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
            b.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, rcvbuf);
            for seq in 0..60 {
                quietly(&a, &message(NOOP, 0, seq, &[]), 0, 0x8000);
            }
            say!("charged {}", charged(&b));
            b.drain();
            b.drain();
            b.send("a ping", &ping(100));
            b.drain();
        });
        table.add(format!("overflow/of-unicasts-{rcvbuf}"), move || {
            let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
            b.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, rcvbuf);
            let sent: Vec<String> = (0..60).map(|seq| quietly(&a, &ping(seq), port(2), 0)).collect();
            say!("{}", sent.join(" "));
            say!("charged {}", charged(&b));
            b.drain();
        });
    }
    table.add("overflow/congested-until-empty", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        a.recv(); // ENOBUFS
        a.recv();
        a.send("a ping", &ping(100));
        a.recv();
        a.send("a ping", &ping(101));
        a.drain();
        a.send("a ping", &ping(102));
        a.drain();
    });
    table.add("overflow/poll", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        a.poll();
        a.drain();
        a.drain();
        a.poll();
    });
    table.add("overflow/by-so-error", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        for _ in 0..2 {
            say!("SO_ERROR {}", outcome(&a.get(SOL_SOCKET, SO_ERROR).map(crate::os::errno_name)));
        }
        a.drain();
    });
    table.add("overflow/the-error-meets-a-sender", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        a.send("a ping", &ping(100));
        a.names();
        a.recv();
        a.recv();
    });
    table.add("overflow/no-enobufs", || {
        let a = Sock::at("a", 0);
        a.on("NO_ENOBUFS", nl::NO_ENOBUFS);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        say!("charged {}", charged(&a));
        a.recv();
        a.send("a ping", &ping(100));
        a.drain();
    });
    table.add("overflow/no-enobufs-ends-congestion", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        a.recv();
        a.recv();
        a.on("NO_ENOBUFS", nl::NO_ENOBUFS);
        a.send("a ping", &ping(100));
        a.drain();
    });
    table.add("overflow/oversize-into-an-empty-queue", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        say!("{}", quietly(&a, &vec![0; 50_000], port(2), 0));
        say!("{}", quietly(&a, &ping(1), port(2), 0));
        say!("charged {}", charged(&b));
        b.drain_briefly(65536);
        say!("{}", quietly(&a, &ping(1), port(2), 0));
    });
    table.add("overflow/a-dump-after-it", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        a.send("a dump", &dump_policies(0));
        a.drain();
        a.drain();
        a.send("a dump", &dump_policies(0));
        a.drain();
    });
    table.add("overflow/larger-buffer-later", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        pings(&a, 20);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 100_000);
        a.send("a ping", &ping(100));
        a.drain();
        a.drain();
    });
    table.add("overflow/of-batch-answers", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        let bytes: Vec<u8> = (0..30).flat_map(ping).collect();
        a.send("thirty", &bytes);
        say!("charged {}", charged(&a));
        a.drain();
        a.drain();
    });
    table.add("queue/unicast-waits-for-room", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        while quietly(&a, &ping(1), port(2), 0) == "16" {}
        let child = sys::start_child(|| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let _ = sys::recvmsg(b.raw(), &mut sys::Incoming::of(100), 0);
        });
        a.send_to("a word", &ping(2), port(2), 0);
        sys::wait_for(child);
        b.drain();
    });
    table.add("queue/unicast-waits-in-vain", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        let limit = [0_i64.to_ne_bytes(), 50_000_i64.to_ne_bytes()].concat();
        say!("{}", outcome(&sys::setsockopt(a.raw(), SOL_SOCKET, libc::SO_SNDTIMEO, &limit, 16)));
        while quietly(&a, &ping(1), port(2), 0) == "16" {}
        a.send_to("a word", &ping(2), port(2), 0);
        sys::alarm(50);
        let c = Sock::at("c", port(3));
        c.send_to("a word", &ping(3), port(2), 0);
    });
    table.add("queue/full-one-is-closed-under-a-waiting-sender", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        while quietly(&a, &ping(1), port(2), 0) == "16" {}
        let child = sys::start_child(|| std::thread::sleep(std::time::Duration::from_millis(60)));
        drop(b); // the child has it still
        a.send_to("a word", &ping(2), port(2), 0);
        sys::wait_for(child);
    });
}
