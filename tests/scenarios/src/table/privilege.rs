//! Who opened a socket, and who sends: both count.

use super::Table;
use crate::message::{ask_ack, ping};
use crate::os::{SCM_CREDENTIALS, SO_PASSCRED, SO_RCVBUFFORCE, SOL_NETLINK, nl};
use crate::say::port;
use crate::sock::Sock;
use crate::{say, sys};
use libc::SOL_SOCKET;

/// Whether this process may give up rights at all.
fn is_root() -> bool {
    let root = sys::euid() == 0;
    if !root {
        say!("needs root");
    }
    root
}

fn add(table: &mut Table, name: &str, run: fn()) {
    table.add(format!("privilege/{name}"), move || {
        if is_root() {
            run();
        }
    });
}

fn nobody() {
    say!("nobody: {}", say::outcome(&sys::become_nobody()));
}

pub fn fill(table: &mut Table) {
    add(table, "nobody-opens-and-asks", || {
        nobody();
        let a = Sock::at("a", 0);
        a.send("a request", &ask_ack());
        a.drain();
    });
    add(table, "nobody-connects-to-groups", || {
        let a = Sock::open("a");
        nobody();
        let b = Sock::open("b");
        for sock in [&a, &b] {
            sock.connect(0, 0x8000);
            sock.connect(port(1), 0);
            sock.names();
        }
    });
    add(table, "nobody-sends-to-groups", || {
        let a = Sock::at("a", port(1));
        let c = Sock::at("c", port(3));
        c.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        nobody();
        let b = Sock::at("b", port(2));
        for sock in [&a, &b] {
            sock.send_to("a word", b"bytes", 0, 0x8000);
            c.drain();
        }
    });
    add(table, "nobody-sends-to-users", || {
        let (a, c) = (Sock::at("a", port(1)), Sock::at("c", port(3)));
        nobody();
        let b = Sock::at("b", port(2));
        for sock in [&a, &b] {
            sock.send_to("a word", b"bytes", port(3), 0);
            c.drain();
        }
    });
    add(table, "nobody-connects-to-users", || {
        nobody();
        let b = Sock::at("b", port(2));
        b.connect(port(3), 0);
        b.names();
    });
    add(table, "nobody-joins-groups", || {
        nobody();
        let a = Sock::open("a");
        a.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        a.bind(0, 0x8000);
        a.names();
    });
    add(table, "nobody-forces-buffers", || {
        let a = Sock::open("a");
        nobody();
        let b = Sock::open("b");
        for sock in [&a, &b] {
            sock.option("RCVBUFFORCE", SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20);
            sock.option("RCVBUF", SOL_SOCKET, libc::SO_RCVBUF, 1 << 20);
            sock.show("RCVBUF", SOL_SOCKET, libc::SO_RCVBUF);
        }
    });
    add(table, "nobody-listens-everywhere", || {
        let a = Sock::open("a");
        nobody();
        let b = Sock::open("b");
        for sock in [&a, &b] {
            for value in [1, 0] {
                sock.option("LISTEN_ALL_NSID", SOL_NETLINK, nl::LISTEN_ALL_NSID, value);
            }
            sock.show("LISTEN_ALL_NSID", SOL_NETLINK, nl::LISTEN_ALL_NSID);
        }
    });
    add(table, "credentials-are-the-senders", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.option("PASSCRED", SOL_SOCKET, SO_PASSCRED, 1);
        a.send_to("a word", b"root", port(2), 0);
        b.drain();
        say!("seteuid {}", say::outcome(&sys::seteuid(65534)));
        a.send_to("a word", b"half", port(2), 0);
        b.drain();
        say!("seteuid {}", say::outcome(&sys::seteuid(0)));
        a.send_to("a word", b"root", port(2), 0);
        b.drain();
    });
    add(table, "credentials-of-nobody", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.option("PASSCRED", SOL_SOCKET, SO_PASSCRED, 1);
        nobody();
        a.send_to("a word", b"bytes", port(2), 0);
        b.drain();
    });
    add(table, "nobody-lies-about-itself", || {
        let a = Sock::at("a", port(1));
        nobody();
        let bytes = ping(1);
        let ids =
            |pid: u32, uid: u32, gid: u32| [pid.to_ne_bytes(), uid.to_ne_bytes(), gid.to_ne_bytes()].concat();
        for (what, data) in [
            ("true", ids(say::me(), 65534, 65534)),
            ("root", ids(say::me(), 0, 0)),
            ("group", ids(say::me(), 65534, 0)),
            ("process", ids(1, 65534, 65534)),
        ] {
            let control = sys::control(SOL_SOCKET, SCM_CREDENTIALS, &data);
            let message =
                sys::Outgoing { parts: vec![&bytes], control: &control, ..sys::Outgoing::default() };
            a.send_with(what, &message);
        }
        a.drain();
    });
}
