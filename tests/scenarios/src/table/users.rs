//! Users among themselves: unicast by portid, multicast to groups.

use super::Table;
use crate::message::{ask, message, ping};
use crate::os::{AF_NETLINK, SO_PASSCRED, SOL_NETLINK, address, nl};
use crate::say::port;
use crate::sock::Sock;
use crate::sys::Outgoing;
use libc::SOL_SOCKET;

/// A socket in group 16, nlctrl's `notify`.
fn member(name: &'static str, portid: u32) -> Sock {
    let sock = Sock::at(name, portid);
    sock.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
    sock
}

const NOTIFY: u32 = 0x8000;

pub fn fill(table: &mut Table) {
    table.add("user/a-word", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.send_to("a word", b"any bytes", port(2), 0);
        a.send_to("another", &message(77, 0, 5, &[1, 2, 3]), port(2), 0);
        b.drain();
        b.send_to("back", b"!", port(1), 0);
        a.drain();
    });
    table.add("user/to-itself", || {
        let a = Sock::at("a", port(1));
        a.send_to("a word", b"any bytes", port(1), 0);
        a.drain();
    });
    table.add("user/in-order-with-the-kernels", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.send("a request", &ping(1));
        b.send_to("a word", &ping(2), port(1), 0);
        a.send("a request", &ping(3));
        a.drain();
    });
    table.add("user/large", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        for size in [1, 4096, 65_000, 200_000] {
            a.send_to("bytes", &message(77, 0, 1, &vec![0; size]), port(2), 0);
            b.drain_briefly(65536);
        }
    });
    table.add("user/unbound-sender", || {
        let (a, b) = (Sock::open("a"), Sock::at("b", port(2)));
        a.send_to("a word", &ping(1), port(2), 0);
        b.drain();
    });
    table.add("user/to-the-process-id", || {
        let (a, b) = (Sock::at("a", 0), Sock::at("b", port(2)));
        b.send_to("a word", &ping(1), crate::say::me(), 0);
        a.drain();
    });
    table.add("user/connected-sender", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.connect(port(2), 0);
        a.send("a word", &ping(1));
        b.drain();
    });
    table.add("user/connected-sender-with-a-name-of-no-length", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.connect(port(2), 0);
        let name = address(AF_NETLINK, port(2), 0);
        let bytes = ping(2);
        let parts = vec![&bytes[..]];
        a.send_with(
            "a name of no length",
            &Outgoing { parts, name: Some(&name), name_length: 0, ..Outgoing::default() },
        );
        b.drain();
    });
    table.add("user/vectors-make-one-datagram", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        let name = address(AF_NETLINK, port(2), 0);
        let parts: Vec<&[u8]> = vec![b"abc", b"", b"defgh"];
        a.send_with("parts", &Outgoing { parts, name: Some(&name), name_length: 12, ..Outgoing::default() });
        b.drain();
    });
    table.add("group/member-hears", || {
        let (a, b, c) = (Sock::at("a", port(1)), member("b", port(2)), Sock::at("c", port(3)));
        a.send_to("a word", &ping(1), 0, NOTIFY);
        [&a, &b, &c].into_iter().for_each(Sock::drain);
    });
    table.add("group/several-members", || {
        let sockets = [member("a", port(1)), member("b", port(2)), member("c", port(3))];
        sockets[0].send_to("a word", b"bytes", 0, NOTIFY);
        sockets.iter().for_each(Sock::drain);
        sockets[1].bind(port(2), 0);
        sockets[0].send_to("a word", b"bytes", 0, NOTIFY);
        sockets.iter().for_each(Sock::drain);
    });
    table.add("group/unbound-member", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::open("b"));
        b.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        a.send_to("a word", b"bytes", 0, NOTIFY);
        b.names();
        b.drain();
    });
    table.add("group/sender-is-a-member", || {
        let a = member("a", port(1));
        a.send_to("a word", &ping(1), 0, NOTIFY);
        a.drain();
    });
    table.add("group/and-a-portid", || {
        let (a, b, c) = (Sock::at("a", port(1)), member("b", port(2)), member("c", port(3)));
        a.send_to("a word", b"bytes", port(2), NOTIFY);
        [&a, &b, &c].into_iter().for_each(Sock::drain);
        a.send_to("a word", b"bytes", port(9), NOTIFY);
        [&a, &b, &c].into_iter().for_each(Sock::drain);
    });
    table.add("group/and-a-portid-that-is-no-member", || {
        let (a, b, c) = (Sock::at("a", port(1)), Sock::at("b", port(2)), member("c", port(3)));
        a.send_to("a word", b"bytes", port(2), NOTIFY);
        [&a, &b, &c].into_iter().for_each(Sock::drain);
    });
    table.add("group/several-bits", || {
        let (a, b) = (Sock::at("a", port(1)), member("b", port(2)));
        b.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 3);
        a.send_to("a word", b"bytes", 0, NOTIFY | 0x4);
        b.drain();
        a.send_to("a word", b"bytes", 0, NOTIFY | 0x1);
        b.drain();
    });
    table.add("group/without-members", || {
        let a = Sock::at("a", port(1));
        a.send_to("a word", &ping(1), 0, 0x1000_0000);
        a.drain();
    });
    table.add("group/connected", || {
        let (a, b) = (Sock::at("a", port(1)), member("b", port(2)));
        a.connect(0, NOTIFY);
        a.send("a word", b"bytes");
        b.drain();
        a.send_to("a request", &ping(1), 0, 0);
        a.drain();
    });
    table.add("group/pktinfo-and-credentials", || {
        let (a, b) = (Sock::at("a", port(1)), member("b", port(2)));
        b.on("PKTINFO", nl::PKTINFO);
        b.option("PASSCRED", SOL_SOCKET, SO_PASSCRED, 1);
        a.send_to("a word", b"bytes", 0, NOTIFY);
        b.drain();
    });
    table.add("group/left", || {
        let (a, b) = (Sock::at("a", port(1)), member("b", port(2)));
        a.send_to("a word", b"one", 0, NOTIFY);
        b.option("DROP_MEMBERSHIP", SOL_NETLINK, nl::DROP_MEMBERSHIP, 16);
        a.send_to("a word", b"two", 0, NOTIFY);
        b.drain();
    });
    table.add("group/connected-member-hears-strangers", || {
        let (a, b) = (Sock::at("a", port(1)), member("b", port(2)));
        b.connect(port(3), 0);
        a.send_to("a word", b"bytes", 0, NOTIFY);
        b.drain();
    });
    table.add("group/requests-reach-the-kernel-too", || {
        let (a, b) = (Sock::at("a", port(1)), member("b", port(2)));
        a.send_to("a request", &ask(), 0, NOTIFY);
        a.drain();
        b.drain();
    });
    table.add("group/no-enobufs-and-broadcast-error", || {
        let (a, b) = (Sock::at("a", port(1)), member("b", port(2)));
        b.option("SO_RCVBUF", SOL_SOCKET, libc::SO_RCVBUF, 0);
        let fill = |count| {
            (0..count).for_each(|_| {
                a.send_to("a word", b"bytes", 0, NOTIFY);
            })
        };
        fill(6);
        b.option("BROADCAST_ERROR", SOL_NETLINK, 4, 1);
        fill(2);
        b.on("NO_ENOBUFS", nl::NO_ENOBUFS);
        fill(2);
        b.drain();
        b.drain();
    });
}
