//! getsockopt(2) and setsockopt(2).

use super::Table;
use crate::os::{
    self, SO_MEMINFO, SO_PASSCRED, SO_PEERCRED, SO_RCVBUFFORCE, SO_SNDBUFFORCE, SOL_NETLINK, nl,
};
use crate::say;
use crate::say::{hex, outcome, port};
use crate::sock::Sock;
use crate::sys;
use libc::{SO_RCVBUF, SO_SNDBUF, SOL_SOCKET};

pub fn fill(table: &mut Table) {
    netlink(table);
    buffers(table);
    others(table);
}

fn netlink(table: &mut Table) {
    for name in (0..=13).chain([99, -1]) {
        table.add(format!("option/netlink-{name}-set"), move || {
            let a = Sock::open("a");
            let value = [1, 0, 0, 0, 0, 0, 0, 0];
            for length in [4, 0, 1, 3, 8, 5, u32::MAX] {
                let set = sys::setsockopt(a.raw(), SOL_NETLINK, name, &value, length);
                let get = a.get(SOL_NETLINK, name);
                say!("set with {}: {} gives {}", length.cast_signed(), outcome(&set), outcome(&get));
            }
            for value in [2, -1, 0, i32::MIN] {
                let set = a.set(SOL_NETLINK, name, value);
                say!("set to {value}: {} gives {}", outcome(&set), outcome(&a.get(SOL_NETLINK, name)));
            }
        });
        if name != nl::LIST_MEMBERSHIPS {
            table.add(format!("option/netlink-{name}-get"), move || {
                let a = Sock::open("a");
                let _ = a.set(SOL_NETLINK, name, 1);
                for asked in [4, 0, 1, 2, 3, 5, 8, u32::MAX] {
                    let (mut value, mut length) = ([0xee; 8], asked);
                    let get = sys::getsockopt(a.raw(), SOL_NETLINK, name, &mut value, &mut length);
                    say!("{}: {} {length} {}", asked.cast_signed(), outcome(&get), hex(&value));
                }
            });
        }
    }
    table.add("option/memberships", || {
        let a = Sock::at("a", 0);
        let show = |asked| {
            let (mut value, mut length) = ([0xee; 64], asked);
            let get = sys::getsockopt(a.raw(), SOL_NETLINK, nl::LIST_MEMBERSHIPS, &mut value, &mut length);
            // How many groups there are is the system's own affair: only the first word is everybody's.
            let whole = length >= 4 && length % 4 == 0;
            say!("{}: {} whole words {whole} {}", asked.cast_signed(), outcome(&get), hex(&value[..4]));
        };
        [64, 4, 3, 1, 0, u32::MAX].into_iter().for_each(show);
        a.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        [64, 4, 3, 5, 0].into_iter().for_each(show);
        a.option("ADD_MEMBERSHIP again", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        a.option("DROP_MEMBERSHIP", SOL_NETLINK, nl::DROP_MEMBERSHIP, 16);
        [64, 4].into_iter().for_each(show);
        a.option("DROP_MEMBERSHIP again", SOL_NETLINK, nl::DROP_MEMBERSHIP, 16);
    });
    table.add("option/memberships-of-the-unbound", || {
        let a = Sock::open("a");
        let (mut value, mut length) = ([0xee; 64], 64);
        let get = sys::getsockopt(a.raw(), SOL_NETLINK, nl::LIST_MEMBERSHIPS, &mut value, &mut length);
        say!("{} {}", outcome(&get), hex(&value[..4]));
        a.names();
    });
    table.add("option/memberships-by-bind", || {
        let a = Sock::open("a");
        a.bind(0, 0x8001);
        let (mut value, mut length) = ([0xee; 64], 64);
        let get = sys::getsockopt(a.raw(), SOL_NETLINK, nl::LIST_MEMBERSHIPS, &mut value, &mut length);
        say!("{} {}", outcome(&get), hex(&value[..4]));
    });
    for group in [-1, 0, 1, 16, 31, 32, 1000, 1 << 20, i32::MIN] {
        table.add(format!("option/join-{group}"), move || {
            let a = Sock::open("a");
            a.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, group);
            a.names();
            a.option("DROP_MEMBERSHIP", SOL_NETLINK, nl::DROP_MEMBERSHIP, group);
            a.names();
        });
    }
}

fn buffers(table: &mut Table) {
    for (what, get, set) in [
        ("rcvbuf", SO_RCVBUF, SO_RCVBUF),
        ("sndbuf", SO_SNDBUF, SO_SNDBUF),
        ("rcvbufforce", SO_RCVBUF, SO_RCVBUFFORCE),
        ("sndbufforce", SO_SNDBUF, SO_SNDBUFFORCE),
    ] {
        table.add(format!("option/{what}"), move || {
            let a = Sock::open("a");
            a.show(what, SOL_SOCKET, get);
            for value in [
                0,
                1,
                -1,
                1000,
                1151,
                1152,
                1153,
                2304,
                4608,
                65_536,
                106_496,
                212_992,
                212_993,
                1 << 20,
                4 << 20,
                1 << 30,
                i32::MAX,
                i32::MIN,
            ] {
                a.option(what, SOL_SOCKET, set, value);
                a.show(what, SOL_SOCKET, get);
            }
        });
    }
    for (what, name) in
        [("rcvbuf", SO_RCVBUF), ("sndbuf", SO_SNDBUF), ("passcred", SO_PASSCRED), ("type", libc::SO_TYPE)]
    {
        table.add(format!("option/{what}-lengths"), move || {
            let a = Sock::open("a");
            let value = [0, 0x40, 0, 0, 1, 1, 1, 1];
            for length in [0, 1, 3, 4, 5, 8, u32::MAX] {
                let set = sys::setsockopt(a.raw(), SOL_SOCKET, name, &value, length);
                say!("set with {}: {}", length.cast_signed(), outcome(&set));
                let (mut value, mut got) = ([0xee; 8], length);
                let get = sys::getsockopt(a.raw(), SOL_SOCKET, name, &mut value, &mut got);
                say!("get with {}: {} {got} {}", length.cast_signed(), outcome(&get), hex(&value));
            }
        });
    }
    table.add("option/meminfo", || {
        let a = Sock::at("a", 0);
        let show = || {
            let (mut value, mut length) = ([0; 64], 64);
            let get = sys::getsockopt(a.raw(), SOL_SOCKET, SO_MEMINFO, &mut value, &mut length);
            say!("{} {length} {}", outcome(&get), hex(&value[..36]));
        };
        show();
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 10_000);
        a.option("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, 20_000);
        show();
        let (mut value, mut length) = ([0xee; 64], 6);
        let get = sys::getsockopt(a.raw(), SOL_SOCKET, SO_MEMINFO, &mut value, &mut length);
        say!("{} {length} {}", outcome(&get), hex(&value[..8]));
    });
}

fn others(table: &mut Table) {
    for (what, name) in [
        ("debug", 1),
        ("reuseaddr", 2),
        ("dontroute", 5),
        ("broadcast", 6),
        ("keepalive", 9),
        ("oobinline", 10),
        ("no-check", 11),
        ("priority", 12),
        ("reuseport", 15),
        ("passcred", SO_PASSCRED),
        ("rcvlowat", 18),
        ("sndlowat", 19),
        ("timestamp", 29),
        ("peersec", 31),
        ("passsec", 34),
        ("mark", 36),
        ("rxq-ovfl", 40),
        ("peek-off", 42),
        ("nofcs", 43),
        ("lock-filter", 44),
        ("select-err-queue", 45),
        ("busy-poll", 46),
        ("incoming-cpu", 49),
        ("zerocopy", 60),
        ("peergroups", 59),
        ("prefer-busy-poll", 69),
        ("buf-lock", 72),
        ("passpidfd", 76),
        ("peerpidfd", 77),
        ("unknown", 1000),
    ] {
        table.add(format!("option/socket-{what}"), move || {
            let a = Sock::open("a");
            let name = os::socket_option(name);
            a.show("before", SOL_SOCKET, name);
            for value in [1, 0, 7] {
                a.option(what, SOL_SOCKET, name, value);
                a.show("after", SOL_SOCKET, name);
            }
        });
    }
    table.add("option/peercred", || {
        let a = Sock::at("a", port(1));
        for mut length in [12, 4, 20] {
            let mut value = [0xee; 20];
            let get = sys::getsockopt(a.raw(), SOL_SOCKET, SO_PEERCRED, &mut value, &mut length);
            say!("{} {length} {}", outcome(&get), hex(&value));
        }
        a.option("set", SOL_SOCKET, SO_PEERCRED, 1);
    });
    for level in [0, 6, 17, 41, 263, 271, 999, -1] {
        table.add(format!("option/level-{level}"), move || {
            let a = Sock::open("a");
            a.show("get 1", level, 1);
            a.option("set 1", level, 1, 1);
        });
    }
    table.add("option/read-only", || {
        let a = Sock::open("a");
        for (what, name) in [
            ("type", libc::SO_TYPE),
            ("error", libc::SO_ERROR),
            ("protocol", crate::os::SO_PROTOCOL),
            ("domain", crate::os::SO_DOMAIN),
        ] {
            a.option(what, SOL_SOCKET, name, 1);
        }
        for (what, name) in [("RCVBUFFORCE", SO_RCVBUFFORCE), ("SNDBUFFORCE", SO_SNDBUFFORCE)] {
            a.show(what, SOL_SOCKET, name);
        }
    });
    table.add("option/times", || {
        let a = Sock::open("a");
        for name in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
            let value = [1_i64.to_ne_bytes(), 500_000_i64.to_ne_bytes()].concat();
            for length in [16, 8, 0] {
                let set = sys::setsockopt(a.raw(), SOL_SOCKET, name, &value, length);
                let (mut value, mut got) = ([0; 16], 16);
                let get = sys::getsockopt(a.raw(), SOL_SOCKET, name, &mut value, &mut got);
                say!("{} {} {got} {}", outcome(&set), outcome(&get), hex(&value));
            }
        }
    });
}
