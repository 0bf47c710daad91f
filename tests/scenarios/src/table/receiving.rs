//! recv(2) and its kin.

use super::Table;
use crate::message::{ask, ping};
use crate::os::{MSG_CMSG_CLOEXEC, SO_PASSCRED, nl};
use crate::say;
use crate::say::{outcome, port};
use crate::sock::Sock;
use crate::sys::{self, Incoming};
use libc::{MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SOL_SOCKET};
use std::time::Instant;

/// A socket with two answers in its queue.
fn asked() -> Sock {
    let a = Sock::at("a", port(1));
    a.send("a request", &ask());
    a.send("a ping", &ping(2));
    a
}

pub fn fill(table: &mut Table) {
    buffers(table);
    names_and_control(table);
    waiting(table);
    many(table);
}

fn buffers(table: &mut Table) {
    table.add("recv/empty", || {
        let a = Sock::open("a");
        a.recv();
        a.recv_into(Incoming::of(10), MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC);
    });
    for (name, flags) in
        [("plain", 0), ("peek", MSG_PEEK), ("trunc", MSG_TRUNC), ("peek-trunc", MSG_PEEK | MSG_TRUNC)]
    {
        for room in [0, 1, 16, 36, 100, 8192] {
            table.add(format!("recv/{name}-into-{room}"), move || {
                let a = asked();
                a.recv_into(Incoming::of(room), flags);
                a.drain();
            });
        }
        table.add(format!("recv/{name}-without-vectors"), move || {
            let a = asked();
            a.recv_into(Incoming { parts: vec![], ..Incoming::of(0) }, flags);
            a.drain();
        });
        table.add(format!("recv/{name}-into-vectors"), move || {
            let a = asked();
            let parts = vec![vec![0; 1], vec![0; 0], vec![0; 15], vec![0; 40]];
            a.recv_into(Incoming { parts, ..Incoming::of(0) }, flags);
            a.drain();
        });
    }
    for (name, flags) in [
        ("oob", MSG_OOB),
        ("waitall", MSG_WAITALL),
        ("cloexec", MSG_CMSG_CLOEXEC),
        ("nosignal", libc::MSG_NOSIGNAL),
        ("eor", libc::MSG_EOR),
    ] {
        table.add(format!("recv/flag-{name}"), move || {
            let a = asked();
            a.recv_into(Incoming::of(100), flags | MSG_DONTWAIT);
            a.drain();
        });
    }
    table.add("recv/peek-twice", || {
        let a = asked();
        for room in [20, 100, 20] {
            a.recv_into(Incoming::of(room), MSG_PEEK);
        }
        a.drain();
    });
    table.add("recv/a-block-at-a-time", || {
        let a = Sock::at("a", 0);
        (1..6).for_each(|seq| {
            a.send("a ping", &ping(seq));
        });
        a.drain();
    });
}

fn names_and_control(table: &mut Table) {
    table.add("recv/name-lengths", || {
        let a = Sock::at("a", port(1));
        for name_length in [0, 1, 2, 6, 8, 11, 12, 13, 16] {
            a.send("a ping", &ping(1));
            a.recv_into(Incoming { name_length, ..Incoming::of(100) }, 0);
        }
        a.send("a ping", &ping(1));
        a.recv_into(Incoming { name: None, ..Incoming::of(100) }, 0);
    });
    for (name, info, credentials) in
        [("none", false, false), ("pktinfo", true, false), ("credentials", false, true), ("both", true, true)]
    {
        for room in [
            None,
            Some(0),
            Some(8),
            Some(15),
            Some(16),
            Some(19),
            Some(20),
            Some(24),
            Some(28),
            Some(40),
            Some(52),
            Some(56),
        ] {
            let title = room.map_or("null".into(), |room| room.to_string());
            table.add(format!("recv/control-{name}-into-{title}"), move || {
                let a = Sock::at("a", 0);
                if info {
                    a.on("PKTINFO", nl::PKTINFO);
                }
                if credentials {
                    a.option("PASSCRED", SOL_SOCKET, SO_PASSCRED, 1);
                }
                a.send("a ping", &ping(1));
                let control = room.map(|_| vec![0; 256]);
                a.recv_into(Incoming { control, control_length: room.unwrap_or(0), ..Incoming::of(100) }, 0);
            });
        }
    }
    table.add("recv/credentials-of-a-user", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.option("PASSCRED", SOL_SOCKET, SO_PASSCRED, 1);
        a.on("PKTINFO", nl::PKTINFO);
        b.send_to("a word", &ping(1), port(1), 0);
        a.drain();
    });
    table.add("recv/credentials-asked-for-late", || {
        let a = asked();
        a.option("PASSCRED", SOL_SOCKET, SO_PASSCRED, 1);
        a.on("PKTINFO", nl::PKTINFO);
        a.drain();
    });
    table.add("recv/all-nsid", || {
        let a = Sock::at("a", 0);
        a.on("LISTEN_ALL_NSID", nl::LISTEN_ALL_NSID);
        a.send("a ping", &ping(1));
        a.drain();
        let b = Sock::at("b", port(2));
        b.send_to("a word", &ping(2), say::me(), 0);
        a.drain();
    });
}

fn waiting(table: &mut Table) {
    table.add("recv/time-limit", || {
        let a = Sock::at("a", 0);
        let limit = [0_i64.to_ne_bytes(), 60_000_i64.to_ne_bytes()].concat();
        say!("SO_RCVTIMEO {}", outcome(&sys::setsockopt(a.raw(), SOL_SOCKET, libc::SO_RCVTIMEO, &limit, 16)));
        let began = Instant::now();
        a.recv_into(Incoming::of(100), 0);
        say!("after a while: {}", (50..500).contains(&began.elapsed().as_millis()));
        a.send("a ping", &ping(1));
        a.recv_into(Incoming::of(100), 0);
    });
    table.add("recv/interrupted", || {
        let a = Sock::at("a", 0);
        sys::alarm(50);
        a.recv_into(Incoming::of(100), 0);
        a.send("a ping", &ping(1));
        a.recv();
    });
    table.add("recv/woken-by-another", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        let child = sys::start_child(|| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            send_silently(&b, port(1));
        });
        a.recv_into(Incoming::of(100), 0);
        sys::wait_for(child);
    });
    table.add("poll/readiness", || {
        let a = Sock::open("a");
        a.poll();
        a.send("a ping", &ping(1));
        a.poll();
        a.recv();
        a.poll();
    });
    table.add("poll/wakes", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        say!("nothing: {}", sys::poll(a.raw(), libc::POLLIN, 20));
        let child = sys::start_child(|| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            send_silently(&b, port(1));
        });
        say!("in: {}", sys::poll(a.raw(), libc::POLLIN, 5000) == libc::POLLIN);
        sys::wait_for(child);
        a.recv();
    });
}

fn many(table: &mut Table) {
    for (name, count, flags, timeout) in [
        ("fewer-than-there-are", 2, MSG_DONTWAIT, None),
        ("more-than-there-are", 5, MSG_DONTWAIT, None),
        ("wait-for-one", 5, MSG_WAITFORONE, None),
        ("peek", 2, MSG_DONTWAIT | MSG_PEEK, None),
        ("timeout", 3, 0, Some(50)),
        ("none", 0, MSG_DONTWAIT, None),
    ] {
        table.add(format!("recvmmsg/{name}"), move || {
            let a = Sock::at("a", 0);
            (1..4).for_each(|seq| {
                a.send("a ping", &ping(seq));
            });
            let mut into = vec![Incoming::of(36); count];
            let received = sys::recvmmsg(a.raw(), &mut into, flags, timeout);
            say!("recvmmsg {}", outcome(&received));
            for into in into.iter().take(received.unwrap_or(0)) {
                a.show_received(into.length, into);
            }
            a.drain();
        });
    }
    table.add("recvmmsg/empty", || {
        let a = Sock::at("a", 0);
        let mut into = vec![Incoming::of(36); 2];
        say!("recvmmsg {}", outcome(&sys::recvmmsg(a.raw(), &mut into, MSG_DONTWAIT, None)));
    });
}

/// recvmmsg's: no more waiting after the first message.
const MSG_WAITFORONE: i32 = libc::MSG_WAITFORONE;

/// Sends without a line in the transcript, whose order would be by chance.
fn send_silently(from: &Sock, portid: u32) {
    let to = crate::os::address(crate::os::AF_NETLINK, portid, 0);
    let bytes = ping(9);
    let parts = vec![&bytes[..]];
    let message = sys::Outgoing { parts, name: Some(&to), name_length: 12, ..sys::Outgoing::default() };
    let _ = sys::sendmsg(from.raw(), &message);
}
