//! Every option of SOL_SOCKET, by number: what get and set say of lengths and values. Numbers that no kernel has yet too.

use super::Table;
use crate::say;
use crate::say::{hex, outcome, port};
use crate::sock::Sock;
use crate::sys;
use libc::SOL_SOCKET;

/// Options whose values are chance: the processor, the socket's cookie.
const CHANCE: &[i32] = &[libc::SO_INCOMING_CPU, libc::SO_INCOMING_NAPI_ID, libc::SO_COOKIE];
/// One past the last number looked at; Linux 6.18 ends at 84.
const END: i32 = 90;

pub fn fill(table: &mut Table) {
    for name in 0..END {
        table.add(format!("sockopt/{name}-get"), move || get(name));
        table.add(format!("sockopt/{name}-set"), move || set(name));
    }
    table.add("sockopt/-1", || {
        get(-1);
        set(-1);
    });
    for (what, name, data) in [
        ("linger", libc::SO_LINGER, words(&[1, 5])),
        ("receive-time", libc::SO_RCVTIMEO, times(1, 250_000)),
        ("send-time", libc::SO_SNDTIMEO, times(0, 1)),
        ("receive-time-negative", libc::SO_RCVTIMEO, times(-1, 0)),
        ("receive-time-too-many-microseconds", libc::SO_RCVTIMEO, times(0, 1_000_000)),
        ("receive-time-new", 66, times(2, 500_000)),
        ("device", libc::SO_BINDTODEVICE, b"lo\0".to_vec()),
        ("device-unknown", libc::SO_BINDTODEVICE, b"pfnl-none\0".to_vec()),
        ("device-none", libc::SO_BINDTODEVICE, b"\0".to_vec()),
        ("mark", libc::SO_MARK, words(&[77])),
        ("priority", libc::SO_PRIORITY, words(&[6])),
        ("priority-high", libc::SO_PRIORITY, words(&[7])),
        ("least-to-receive", libc::SO_RCVLOWAT, words(&[100])),
        ("timestamping", libc::SO_TIMESTAMPING, words(&[0x18])),
        ("pacing", libc::SO_MAX_PACING_RATE, words(&[10_000, 0])),
        ("reserve-memory", 73, words(&[4096])),
    ] {
        table.add(format!("sockopt/{what}"), move || {
            let a = Sock::at("a", port(1));
            let length = data.len() as u32;
            let result = sys::setsockopt(a.raw(), SOL_SOCKET, name, &data, length);
            say!("set {}: {}", hex(&data), outcome(&result));
            show(&a, name, 64);
            a.send("a ping", &crate::message::ping(1));
            a.drain();
        });
    }
    table.add("sockopt/shown-by-a-copy", || {
        let a = Sock::at("a", port(1));
        a.option("SO_PRIORITY", SOL_SOCKET, libc::SO_PRIORITY, 3);
        a.option("SO_PASSCRED", SOL_SOCKET, libc::SO_PASSCRED, 1);
        a.option("SO_RCVBUF", SOL_SOCKET, libc::SO_RCVBUF, 5000);
        let Ok(fd) = a.fd.try_clone() else { return };
        let b = Sock { fd, name: "b" };
        for (what, name) in
            [("priority", libc::SO_PRIORITY), ("passcred", libc::SO_PASSCRED), ("rcvbuf", libc::SO_RCVBUF)]
        {
            b.show(what, SOL_SOCKET, name);
        }
    });
    for (what, name) in [
        ("timestamp", libc::SO_TIMESTAMP),
        ("timestampns", libc::SO_TIMESTAMPNS),
        ("timestamping", libc::SO_TIMESTAMPING),
        ("rxq-ovfl", libc::SO_RXQ_OVFL),
        ("passsec", libc::SO_PASSSEC),
        ("passpidfd", 76),
        ("wifi-status", libc::SO_WIFI_STATUS),
        ("mark", 75),
        ("priority", 82),
    ] {
        table.add(format!("sockopt/{what}-beside-a-message"), move || {
            let a = Sock::at("a", port(1));
            let b = Sock::at("b", port(2));
            a.option(what, SOL_SOCKET, name, 0x18);
            a.send("a ping", &crate::message::ping(1));
            b.send_to("a word", &crate::message::ping(2), port(1), 0);
            for _ in 0..2 {
                let mut into = sys::Incoming::of(100);
                let result = sys::recvmsg(a.raw(), &mut into, libc::MSG_DONTWAIT);
                let control = into.control.as_deref().unwrap_or_default();
                // Times differ; that there are some does not.
                let kinds: Vec<_> = sys::controls(&control[..into.control_length])
                    .into_iter()
                    .map(|(level, kind, length, _)| (level, kind, length))
                    .collect();
                say!("{} control {kinds:?} flags {}", outcome(&result), say::flags(into.flags));
            }
        });
    }
}

fn words(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn times(seconds: i64, microseconds: i64) -> Vec<u8> {
    [seconds.to_ne_bytes(), microseconds.to_ne_bytes()].concat()
}

fn show(sock: &Sock, name: i32, asked: u32) {
    let (mut value, mut length) = ([0xee; 64], asked);
    let result = sys::getsockopt(sock.raw(), SOL_SOCKET, name, &mut value, &mut length);
    let changed = value.iter().rposition(|&byte| byte != 0xee).map_or(0, |at| at + 1);
    let shown = match &result {
        Ok(_) if CHANCE.contains(&name) => "as it comes".to_owned(),
        _ => hex(&value[..changed]),
    };
    say!("get {}: {} {length} {shown}", asked.cast_signed(), outcome(&result));
}

fn get(name: i32) {
    let a = Sock::at("a", port(1));
    for asked in [4, 0, 1, 2, 3, 5, 8, 16, 64, u32::MAX] {
        show(&a, name, asked);
    }
}

fn set(name: i32) {
    let a = Sock::at("a", port(1));
    let one = [1_u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for length in [4, 0, 1, 2, 3, 5, 8, 16, u32::MAX] {
        let result = sys::setsockopt(a.raw(), SOL_SOCKET, name, &one, length);
        say!("set with {}: {}", length.cast_signed(), outcome(&result));
        show(&a, name, 4);
    }
    for value in [2, -1, 0, i32::MIN, i32::MAX] {
        say!("set to {value}: {}", outcome(&a.set(SOL_SOCKET, name, value)));
        show(&a, name, 4);
    }
    // It is a socket still.
    a.send("a ping", &crate::message::ping(1));
    a.drain();
}
