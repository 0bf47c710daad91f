//! bind(2), connect(2), getsockname(2), getpeername(2), and portids that the kernel chooses.

use super::Table;
use crate::message::{ask_ack, ping};
use crate::os::{ADDRESS, AF_NETLINK, SOL_NETLINK, address, nl};
use crate::say;
use crate::say::{me, port};
use crate::sock::Sock;
use crate::sys::{self, From, To};

const CALLS: [(&str, To); 2] = [("bind", To::Bind), ("connect", To::Connect)];

pub fn fill(table: &mut Table) {
    lengths(table);
    binding(table);
    connecting(table);
    names(table);
}

fn lengths(table: &mut Table) {
    for (name, call) in CALLS {
        table.add(format!("{name}/lengths"), move || {
            let mut whole = address(AF_NETLINK, port(1), 0).to_vec();
            whole.resize(200, 0);
            for length in [0, 1, 2, 3, 8, 11, 12, 13, 16, 128, 129, u32::MAX] {
                let a = Sock::open("a");
                a.address(call, Some(&whole), length);
                a.names();
            }
        });
        table.add(format!("{name}/families"), move || {
            for family in [0, 1, 2, 10, 255] {
                let a = Sock::open("a");
                a.address(call, Some(&address(family, port(1), 0)), ADDRESS as u32);
                a.names();
            }
        });
        table.add(format!("{name}/null-address"), move || {
            let a = Sock::open("a");
            a.address(call, None, 0);
            a.address(call, None, ADDRESS as u32);
        });
        table.add(format!("{name}/padding-is-ignored"), move || {
            let mut whole = address(AF_NETLINK, port(1), 0);
            whole[2] = 0xff;
            let a = Sock::open("a");
            a.address(call, Some(&whole), ADDRESS as u32);
            a.names();
        });
    }
}

fn binding(table: &mut Table) {
    table.add("bind/chosen", || {
        Sock::at("a", port(1)).names();
        Sock::at("b", u32::MAX).names();
        Sock::at("c", u32::MAX - 4096).names();
    });
    table.add("bind/again", || {
        let a = Sock::at("a", port(1));
        for other in [port(1), port(2), 0, me()] {
            a.bind(other, 0);
        }
        a.names();
    });
    table.add("bind/again-after-the-kernel-chose", || {
        let a = Sock::at("a", 0);
        for other in [me(), 0, port(1)] {
            a.bind(other, 0);
        }
        a.names();
    });
    table.add("bind/taken", || {
        let a = Sock::at("a", port(1));
        let b = Sock::open("b");
        b.bind(port(1), 0);
        b.names();
        b.bind(port(2), 0);
        b.names();
        drop(a);
        Sock::open("c").bind(port(1), 0);
    });
    table.add("bind/taken-with-groups", || {
        let _a = Sock::at("a", port(1));
        let b = Sock::open("b");
        b.bind(port(1), 0x8000);
        b.names();
    });
    table.add("bind/of-a-closed-socket", || {
        for _ in 0..20 {
            Sock::at("a", port(1)).send("a request", &ping(1));
        }
    });
    table.add("bind/closed-while-others-are-open", || {
        let sockets: Vec<Sock> = (1..=10).map(|number| Sock::at("a", port(number))).collect();
        drop(sockets);
        (1..=10).for_each(|number| drop(Sock::at("b", port(number))));
    });
    table.add("autobind/order", || {
        let sockets: Vec<Sock> = (0..3).map(|_| Sock::at("a", 0)).collect();
        sockets.iter().for_each(Sock::names);
        drop(sockets);
        Sock::at("b", 0).names();
    });
    table.add("autobind/process-id-is-taken", || {
        let _a = Sock::at("a", me());
        Sock::at("b", 0).names();
    });
    table.add("autobind/range", || {
        let sockets: Vec<Sock> = (0..40).map(|_| Sock::open("a")).collect();
        let mut odd = 0;
        for socket in &sockets {
            let to = address(AF_NETLINK, 0, 0);
            let _ = sys::give_address(To::Bind, socket.raw(), Some(&to), ADDRESS as u32);
            let (mut name, mut length) = ([0; ADDRESS], ADDRESS as u32);
            let _ = sys::take_address(From::Name, socket.raw(), Some(&mut name), &mut length);
            let portid = u32::from_ne_bytes([name[4], name[5], name[6], name[7]]);
            odd += usize::from(portid != me() && !(1 << 31..=u32::MAX - 4096).contains(&portid));
        }
        say!("{odd} out of the range");
    });
    table.add("autobind/by-connect", || {
        let a = Sock::open("a");
        a.connect(0, 0);
        a.names();
    });
    table.add("autobind/by-send", || {
        let a = Sock::open("a");
        a.send("a request", &ask_ack());
        a.names();
    });
    table.add("autobind/by-send-to-nobody", || {
        let a = Sock::open("a");
        a.send_to("a word", &ping(1), port(9), 0);
        a.names();
    });
    table.add("autobind/not-by-an-empty-send", || {
        let a = Sock::open("a");
        a.send("nothing", &[]);
        a.names();
    });
    table.add("autobind/by-an-oversize-send", || {
        let a = Sock::open("a");
        a.send("too much", &vec![0; 1 << 20]);
        a.names();
    });
    table.add("autobind/not-by-recv-or-options", || {
        let a = Sock::open("a");
        a.recv();
        a.on("EXT_ACK", nl::EXT_ACK);
        a.names();
        a.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        a.names();
    });
    table.add("bind/groups", || {
        let a = Sock::open("a");
        for groups in [0x8000, 0x8001, 0, 0xffff_ffff, 0x8000_0000] {
            a.bind(0, groups);
            a.names();
            a.bind(me(), groups);
            a.names();
        }
    });
    table.add("bind/groups-above-32-stay", || {
        let a = Sock::open("a");
        a.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        a.bind(0, 0);
        a.names();
    });
}

fn connecting(table: &mut Table) {
    table.add("connect/to-another-and-back", || {
        let a = Sock::open("a");
        a.connect(port(5), 0);
        a.names();
        a.connect(port(6), 0);
        a.names();
        a.disconnect();
        a.names();
        a.connect(0, 0);
        a.names();
    });
    table.add("connect/unspec-does-not-bind", || {
        let a = Sock::open("a");
        a.disconnect();
        a.names();
    });
    table.add("connect/unspec-short", || {
        let a = Sock::open("a");
        a.connect(port(5), 0);
        let none = address(0, 0, 0);
        for length in [2, 1, 0] {
            a.address(To::Connect, Some(&none), length);
            a.names();
        }
    });
    table.add("connect/groups", || {
        for groups in [1, 0x8000, 0x30, 0x8000_0000, 0xffff_ffff] {
            let a = Sock::open("a");
            a.connect(0, groups);
            a.names();
        }
    });
    table.add("connect/portid-and-group", || {
        let a = Sock::open("a");
        a.connect(port(1), 0x8000);
        a.names();
    });
    table.add("connect/to-itself", || {
        let a = Sock::at("a", port(1));
        a.connect(port(1), 0);
        a.send("to itself", &ping(1));
        a.drain();
    });
    table.add("connect/to-nobody-then-send", || {
        let a = Sock::open("a");
        a.connect(port(9), 0);
        a.send("a word", &ping(1));
        a.send_to("a word", &ping(2), 0, 0);
        a.drain();
        a.disconnect();
        a.send("a word", &ping(3));
        a.drain();
    });
    table.add("connect/refuses-others", || {
        let (a, b, c) = (Sock::at("a", port(1)), Sock::at("b", port(2)), Sock::at("c", port(3)));
        a.connect(port(2), 0);
        b.send_to("a word", &ping(1), port(1), 0);
        c.send_to("a word", &ping(2), port(1), 0);
        a.drain();
        a.connect(0, 0);
        c.send_to("a word", &ping(3), port(1), 0);
        a.drain();
    });
    table.add("connect/still-hears-the-kernel", || {
        let a = Sock::at("a", port(1));
        a.connect(port(2), 0);
        a.send_to("a request", &ask_ack(), 0, 0);
        a.drain();
    });
}

fn names(table: &mut Table) {
    for (what, call) in [("getsockname", From::Name), ("getpeername", From::Peer)] {
        table.add(format!("{what}/lengths"), move || {
            let a = Sock::at("a", port(1));
            a.connect(port(2), 0x8000);
            for length in [0, 1, 2, 6, 7, 8, 11, 12, 13, 20, u32::MAX] {
                a.name_into(call, length);
            }
        });
        table.add(format!("{what}/unbound"), move || {
            let a = Sock::open("a");
            a.name_into(call, 12);
        });
        table.add(format!("{what}/null"), move || {
            let a = Sock::at("a", port(1));
            for mut length in [0, 12] {
                let result = sys::take_address(call, a.raw(), None, &mut length);
                say!("{} {length}", say::outcome(&result));
            }
        });
    }
    table.add("getsockname/groups", || {
        let a = Sock::open("a");
        for group in [1, 16, 17, 32] {
            a.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, group);
            a.names();
        }
        a.option("DROP_MEMBERSHIP", SOL_NETLINK, nl::DROP_MEMBERSHIP, 16);
        a.names();
    });
}
