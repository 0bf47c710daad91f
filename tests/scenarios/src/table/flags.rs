//! Every flag of send(2) and recv(2), by bit.

use super::Table;
use crate::message::{ask, ping};
use crate::say;
use crate::say::port;
use crate::sock::Sock;
use crate::sys::{self, Incoming, Outgoing};
use libc::{MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC};

pub fn fill(table: &mut Table) {
    for bit in 0..32 {
        table.add(format!("flag/send-bit-{bit}"), move || {
            let flags = 1_i32 << bit | MSG_DONTWAIT;
            let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
            let bytes = ping(1);
            let send = |sock: &Sock, what| {
                sock.send_with(what, &Outgoing { parts: vec![&bytes], flags, ..Outgoing::default() })
            };
            send(&a, "a ping");
            b.connect(port(1), 0);
            send(&b, "a word");
            a.drain();
        });
        table.add(format!("flag/recv-bit-{bit}"), move || {
            let flags = 1_i32 << bit | MSG_DONTWAIT;
            let a = Sock::at("a", port(1));
            a.recv_into(Incoming::of(100), flags);
            a.send("a request", &ask());
            a.send("a ping", &ping(2));
            a.recv_into(Incoming::of(20), flags);
            a.drain();
        });
        table.add(format!("flag/mmsg-bit-{bit}"), move || {
            let flags = 1_i32 << bit | MSG_DONTWAIT;
            let a = Sock::at("a", port(1));
            a.send("a request", &ask());
            a.send("a ping", &ping(2));
            let mut into = vec![Incoming::of(20), Incoming::of(100), Incoming::of(100)];
            let result = sys::recvmmsg(a.raw(), &mut into, flags, None);
            say!("recvmmsg {}", say::outcome(&result));
            for into in into.iter().take(result.unwrap_or(0)) {
                a.show_received(into.length, into);
            }
            a.drain();
        });
    }
    table.add("flag/send-all", || {
        let a = Sock::at("a", port(1));
        let bytes = ping(1);
        for flags in [-1, i32::MAX, !1, !(1 | i32::MIN), i32::MIN | MSG_DONTWAIT] {
            let what = format!("{flags:#x}");
            a.send_with(&what, &Outgoing { parts: vec![&bytes], flags, ..Outgoing::default() });
        }
        a.drain();
    });
    table.add("flag/recv-all", || {
        let a = Sock::at("a", port(1));
        for flags in [-1, i32::MAX, !1, !(1 | i32::MIN), i32::MIN | MSG_DONTWAIT, MSG_PEEK | MSG_TRUNC] {
            a.send("a ping", &ping(1));
            a.recv_into(Incoming::of(20), flags | MSG_DONTWAIT);
            a.drain();
        }
    });
}
