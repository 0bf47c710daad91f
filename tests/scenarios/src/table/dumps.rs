//! Dumps: flags, blocks, what happens between them.

use super::Table;
use crate::message::{
    ACK, CREATE, DONE, DUMP, GETFAMILY, GETPOLICY, attr, ctrl, dump_families, dump_policies, head, own_id,
    ping, split,
};
use crate::os::nl;
use crate::say;
use crate::say::port;
use crate::sock::Sock;
use crate::sys::{self, Incoming};
use libc::{MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SO_RCVBUF, SOL_SOCKET};

pub fn fill(table: &mut Table) {
    table.add("dump/policies", || {
        let a = Sock::at("a", 0);
        a.send("a dump", &dump_policies(0));
        a.drain();
    });
    for (name, flags) in [("ack", ACK), ("create", CREATE), ("all-flags", 0xfcfc)] {
        table.add(format!("dump/with-{name}"), move || {
            let a = Sock::at("a", 0);
            a.send("a dump", &dump_policies(flags));
            a.drain();
        });
    }
    for room in [16, 100, 1000, 4096] {
        table.add(format!("dump/read-into-{room}"), move || {
            let a = Sock::at("a", 0);
            a.send("a dump", &dump_policies(0));
            for _ in 0..20 {
                if !a.recv_into(Incoming::of(room), MSG_DONTWAIT) {
                    break;
                }
            }
        });
    }
    table.add("dump/peeked", || {
        let a = Sock::at("a", 0);
        a.send("a dump", &dump_policies(0));
        for _ in 0..3 {
            a.recv_into(Incoming::of(0), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
        }
        a.drain();
    });
    table.add("dump/one-at-a-time", || {
        // With the least buffer the first block is all that fits: the dump is not at its end.
        let a = Sock::at("a", 0);
        a.on("EXT_ACK", nl::EXT_ACK);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        a.send("a dump", &dump_policies(0));
        a.send("another dump", &dump_policies(0));
        a.send("a ping", &ping(3));
        a.drain();
        a.drain();
        a.send("a dump again", &dump_policies(0));
        a.drain();
    });
    for rcvbuf in [2591, 2592, 2593] {
        // An answer is charged 832 and a first block 4352; the buffer is twice what is asked for.
        table.add(format!("dump/needs-room-{rcvbuf}"), move || {
            let a = Sock::at("a", 0);
            a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, rcvbuf);
            a.send("a ping", &ping(3));
            a.send("a dump", &dump_policies(0));
            a.drain();
            a.drain();
        });
    }
    table.add("dump/goes-on-when-peeked", || {
        let a = Sock::at("a", 0);
        a.send("a dump", &dump_policies(0));
        a.recv_into(Incoming::of(8192), MSG_PEEK | MSG_DONTWAIT);
        a.send("a ping", &ping(1)); // behind the end
        a.drain();
    });
    table.add("dump/into-congestion", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 6000);
        a.send("a dump", &dump_policies(0));
        for seq in 0..20 {
            let _ = sys::send(a.raw(), &ping(seq), 0);
        }
        a.drain();
        a.drain();
    });
    table.add("dump/busy", || {
        let a = Sock::at("a", 0);
        a.on("EXT_ACK", nl::EXT_ACK);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 8192);
        a.send("a dump", &dump_policies(0));
        a.send("another dump", &dump_policies(ACK));
        a.drain();
        a.send("a dump again", &dump_policies(0));
        a.drain();
    });
    table.add("dump/at-its-end-it-is-not-busy", || {
        let a = Sock::at("a", 0);
        a.send("a dump", &dump_policies(0));
        a.recv();
        a.recv();
        a.send("another dump", &dump_policies(0));
        a.drain();
    });
    table.add("dump/end-unread", || {
        let a = Sock::at("a", 0);
        a.send("a dump", &dump_policies(0));
        a.send("another dump", &dump_policies(0));
        a.send("a third", &dump_policies(0));
        a.drain();
    });
    table.add("dump/small-buffers-resume", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        a.send("a dump", &dump_families(0));
        let (mut messages, mut ends) = (0, 0);
        for _ in 0..200 {
            let mut into = Incoming::of(8192);
            let Ok(length) = sys::recvmsg(a.raw(), &mut into, MSG_DONTWAIT) else { break };
            for message in split(&into.parts[0][..length]) {
                messages += 1;
                ends += usize::from(head(message).0 == DONE);
            }
        }
        // How many families there are, and so how many blocks, is each system's own affair.
        say!("several messages {} ends {ends}", messages > 3);
        a.recv();
    });
    table.add("dump/ends-with-the-socket", || {
        let a = Sock::at("a", port(1));
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        a.send("a dump", &dump_families(0));
        drop(a);
        let b = Sock::at("b", port(1));
        b.recv();
        b.send("a dump", &dump_policies(0));
        b.drain();
    });
    table.add("dump/other-requests-between", || {
        let a = Sock::at("a", 0);
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 5000);
        a.send("a dump", &dump_policies(0));
        a.send("a ping", &ping(3));
        a.recv();
        a.send("a ping", &ping(4));
        a.drain();
    });
    for (name, attrs) in [("bad-id", attr(1, &[1])), ("nothing", vec![]), ("unknown-id", attr(1, &[9, 9]))] {
        for (with, flags) in [("", 0), ("-with-ack", ACK)] {
            let attrs = attrs.clone();
            table.add(format!("dump/refused-for-{name}{with}"), move || {
                let a = Sock::at("a", 0);
                a.on("EXT_ACK", nl::EXT_ACK);
                a.send("a dump", &ctrl(DUMP | flags, GETPOLICY, &attrs));
                a.drain();
                a.send("a good dump", &dump_policies(0));
                a.drain();
            });
        }
    }
    for (name, cmd) in [("policies", GETPOLICY), ("families", GETFAMILY)] {
        table.add(format!("dump/strict-check-{name}"), move || {
            let a = Sock::at("a", 0);
            a.on("EXT_ACK", nl::EXT_ACK);
            a.on("GET_STRICT_CHK", nl::GET_STRICT_CHK);
            for attrs in [attr(77, &[1, 2]), [own_id(), vec![1, 2]].concat(), attr(1, &[1])] {
                a.send("a dump", &ctrl(DUMP, cmd, &attrs));
                a.drain_briefly(65536);
            }
        });
    }
    table.add("dump/first-block-before-any-recv", || {
        let a = Sock::at("a", 0);
        a.send("a dump", &dump_families(0));
        let mut into = Incoming::of(65536);
        let length = sys::recvmsg(a.raw(), &mut into, MSG_DONTWAIT).unwrap_or(0);
        say!("not above a page: {}", length <= 4096);
    });
    table.add("dump/two-sockets", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.send("a dump", &dump_policies(0));
        b.send("a dump", &dump_policies(0));
        a.recv();
        b.recv();
        a.drain();
        b.drain();
    });
    table.add("dump/poll-between", || {
        let a = Sock::at("a", 0);
        a.send("a dump", &dump_policies(0));
        while {
            a.poll();
            a.recv()
        } {}
        a.poll();
    });
}
