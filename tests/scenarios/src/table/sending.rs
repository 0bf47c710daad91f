//! send(2) and its kin.

use super::Table;
use crate::message::{ask, message, ping};
use crate::os::{AF_NETLINK, SCM_CREDENTIALS, SO_SNDBUFFORCE, address};
use crate::say::port;
use crate::sock::Sock;
use crate::sys::{self, Outgoing};
use crate::{say, say::outcome};
use libc::{MSG_DONTWAIT, MSG_EOR, MSG_NOSIGNAL, MSG_OOB, SOL_SOCKET};

pub fn fill(table: &mut Table) {
    table.add("send/nothing", || {
        let a = Sock::at("a", 0);
        a.send("nothing", &[]);
        a.send_with("no vectors", &Outgoing::default());
        a.send_with("empty vectors", &Outgoing { parts: vec![&[], &[]], ..Outgoing::default() });
        a.send_to("nothing", &[], port(9), 0);
        say!("send: {}", outcome(&sys::send(a.raw(), &[], 0)));
        a.drain();
    });
    for flags in [MSG_OOB, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_EOR, MSG_OOB | MSG_DONTWAIT, libc::MSG_DONTROUTE] {
        table.add(format!("send/flags-{}", say::flags(flags)), move || {
            let a = Sock::at("a", 0);
            let bytes = ping(1);
            a.send_with("a request", &Outgoing { parts: vec![&bytes], flags, ..Outgoing::default() });
            a.send_with("nothing", &Outgoing { flags, ..Outgoing::default() });
            a.drain();
        });
    }
    table.add("send/vectors", || {
        let a = Sock::at("a", 0);
        let bytes = ask();
        for cut in [0, 1, 4, 15, 16, 20, bytes.len()] {
            let (left, right) = bytes.split_at(cut);
            a.send_with(
                &format!("cut at {cut}"),
                &Outgoing { parts: vec![left, right], ..Outgoing::default() },
            );
            a.drain();
        }
        let parts = bytes.chunks(1).collect();
        a.send_with("byte by byte", &Outgoing { parts, ..Outgoing::default() });
        a.drain();
    });
    table.add("send/a-thousand-vectors", || {
        let a = Sock::at("a", 0);
        let (bytes, none) = (ping(1), Vec::new());
        for count in [1000, 1023, 1024, 1025] {
            let mut parts: Vec<&[u8]> = vec![&none; count - 1];
            parts.push(&bytes);
            a.send_with(&format!("{count} vectors"), &Outgoing { parts, ..Outgoing::default() });
            a.drain();
        }
    });
    for (title, lengths) in [
        ("send/name-of-no-length", &[0][..]),
        ("send/name-lengths", &[1, 2, 8, 11, 12, 13, 16, 128]),
        ("send/name-beyond-all", &[129]),
    ] {
        table.add(title, move || {
            let a = Sock::at("a", 0);
            let bytes = ping(1);
            let mut name = address(AF_NETLINK, 0, 0).to_vec();
            name.resize(200, 0);
            for &name_length in lengths {
                let what = format!("with a name of {name_length}");
                let parts = vec![&bytes[..]];
                let name = Some(&name[..]);
                a.send_with(&what, &Outgoing { parts, name, name_length, ..Outgoing::default() });
            }
            a.drain();
        });
    }
    table.add("send/name-families", || {
        let a = Sock::at("a", 0);
        let bytes = ping(1);
        for family in [0, 1, 2, 255] {
            let name = address(family, 0, 0);
            let what = format!("to family {family}");
            let parts = vec![&bytes[..]];
            a.send_with(
                &what,
                &Outgoing { parts, name: Some(&name), name_length: 12, ..Outgoing::default() },
            );
        }
        a.drain();
    });
    table.add("send/no-such-portid", || {
        let a = Sock::at("a", port(1));
        a.send_to("a word", &ping(1), port(9), 0);
        a.send_to("a word", &ping(1), u32::MAX, 0);
        a.drain();
    });
    table.add("send/to-a-closed-socket", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.send_to("a word", &ping(1), port(2), 0);
        drop(b);
        a.send_to("a word", &ping(1), port(2), 0);
        Sock::at("c", port(2)).recv();
    });
    table.add("send/larger-than-the-send-buffer", || {
        let a = Sock::at("a", 0);
        a.option("SO_SNDBUF", SOL_SOCKET, libc::SO_SNDBUF, 4096);
        let Ok(size) = a.get(SOL_SOCKET, libc::SO_SNDBUF) else { return };
        for less in [33, 32, 31, 0, -1] {
            let length = (size - less) as usize;
            let bytes = message(1, 0, 1, &vec![0; length - 16]);
            a.send(&format!("{less} less than the buffer"), &bytes);
        }
        a.drain();
    });
    table.add("send/larger-than-the-default-send-buffer", || {
        let a = Sock::at("a", 0);
        for length in [212_959, 212_960, 212_961, 300_000] {
            a.send(&format!("{length} bytes"), &message(1, 5, 1, &vec![0; length - 16]));
            a.drain();
        }
    });
    table.add("send/a-large-request", || {
        let a = Sock::at("a", 0);
        a.option("SO_SNDBUFFORCE", SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20);
        a.show("SO_SNDBUF", SOL_SOCKET, libc::SO_SNDBUF);
        a.send("a megabyte", &message(1, 5, 1, &vec![0; 1 << 20]));
        a.drain();
    });
    table.add("send/credentials-of-its-own", || {
        let a = Sock::at("a", 0);
        let bytes = ping(1);
        let ids = |pid: u32, uid: u32| [pid.to_ne_bytes(), uid.to_ne_bytes(), 0_u32.to_ne_bytes()].concat();
        let me = say::me();
        for (what, data) in [
            ("true", ids(me, 0)),
            ("of init", ids(1, 0)),
            ("of another user", ids(me, 7)),
            ("short", ids(me, 0)[..8].to_vec()),
        ] {
            let control = sys::control(SOL_SOCKET, SCM_CREDENTIALS, &data);
            let message = Outgoing { parts: vec![&bytes], control: &control, ..Outgoing::default() };
            a.send_with(&format!("credentials: {what}"), &message);
        }
        a.drain();
    });
    table.add("send/control-of-others", || {
        let a = Sock::at("a", 0);
        let bytes = ping(1);
        let fd = a.raw().to_ne_bytes();
        for (what, level, kind) in [
            ("rights", SOL_SOCKET, libc::SCM_RIGHTS),
            ("netlink", 270, 3),
            ("ip", 0, 8),
            ("unknown", SOL_SOCKET, 99),
        ] {
            let control = sys::control(level, kind, &fd);
            let message = Outgoing { parts: vec![&bytes], control: &control, ..Outgoing::default() };
            a.send_with(what, &message);
        }
        let broken = [1_u8; 16];
        a.send_with("broken", &Outgoing { parts: vec![&bytes], control: &broken, ..Outgoing::default() });
        a.drain();
    });
    table.add("send/control-too-short-for-a-head", || {
        let a = Sock::at("a", 0);
        let bytes = ping(1);
        a.send_with("short", &Outgoing { parts: vec![&bytes], control: &[1; 7], ..Outgoing::default() });
        a.drain();
    });
    table.add("send/garbage", || {
        let a = Sock::at("a", 0);
        for length in [1, 3, 4, 15, 16, 17] {
            a.send(&format!("{length} bytes of 0"), &vec![0; length]);
            a.send(&format!("{length} bytes of ff"), &vec![0xff; length]);
        }
        a.drain();
    });
}
