//! socket(2), and what a netlink socket is to calls that are not about messages.

use super::Table;
use crate::os::{AF_NETLINK, NETLINK_GENERIC, NETLINK_ROUTE, SO_DOMAIN, SO_PROTOCOL};
use crate::say::outcome;
use crate::sock::Sock;
use crate::{say, sys};
use libc::{SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};

pub fn fill(table: &mut Table) {
    for (name, kind) in [
        ("raw", SOCK_RAW),
        ("dgram", SOCK_DGRAM),
        ("stream", SOCK_STREAM),
        ("seqpacket", SOCK_SEQPACKET),
        ("rdm", 4),
        ("zero", 0),
        ("packet", 10),
        ("eleven", 11),
        ("flags", SOCK_RAW | 0x10),
    ] {
        table.add(format!("open/type-{name}"), move || {
            let result = sys::socket(AF_NETLINK, kind, NETLINK_GENERIC).map(|_| "a descriptor");
            say!("{}", outcome(&result));
        });
    }
    for protocol in [-1, NETLINK_ROUTE, 1, 31, 32, 255, 256 + NETLINK_GENERIC] {
        table.add(format!("open/protocol-{protocol}"), move || {
            let result = sys::socket(AF_NETLINK, SOCK_RAW, protocol).map(|_| "a descriptor");
            say!("{}", outcome(&result));
        });
    }
    table.add("open/flags-of-the-descriptor", || {
        for kind in [SOCK_RAW, SOCK_RAW | SOCK_CLOEXEC, SOCK_DGRAM | SOCK_NONBLOCK] {
            let Some(a) = Sock::of("a", kind) else { continue };
            say!("FD {}", outcome(&sys::fcntl(a.raw(), libc::F_GETFD, 0)));
            let flags = sys::fcntl(a.raw(), libc::F_GETFL, 0);
            let flags = flags.unwrap_or(0) as i32;
            let (both, waits) = (flags & libc::O_ACCMODE == libc::O_RDWR, flags & libc::O_NONBLOCK == 0);
            say!("FL reads and writes {both} waits {waits}");
            if kind & SOCK_NONBLOCK != 0 {
                a.recv_into(sys::Incoming::of(100), 0);
            }
        }
    });
    table.add("open/identity", || {
        for kind in [SOCK_RAW, SOCK_DGRAM] {
            let Some(a) = Sock::of("a", kind) else { continue };
            a.show("type", SOL_SOCKET, libc::SO_TYPE);
            a.show("protocol", SOL_SOCKET, SO_PROTOCOL);
            say!("its domain {}", outcome(&a.get(SOL_SOCKET, SO_DOMAIN).map(|domain| domain == AF_NETLINK)));
            a.show("error", SOL_SOCKET, libc::SO_ERROR);
            a.show("listening", SOL_SOCKET, libc::SO_ACCEPTCONN);
            say!("file type {}", outcome(&sys::file_type(a.raw())));
        }
    });
    table.add("open/not-for-netlink", || {
        let a = Sock::open("a");
        say!("listen {}", outcome(&sys::listen(a.raw())));
        for how in [libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR, 7] {
            say!("shutdown {how} {}", outcome(&sys::shutdown(a.raw(), how)));
        }
        say!("lseek {}", outcome(&sys::lseek(a.raw())));
        say!("socketpair {}", outcome(&sys::socketpair(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)));
    });
    table.add("open/accept", || {
        let a = Sock::open("a");
        say!("accept {}", outcome(&sys::accept(a.raw())));
    });
    table.add("open/ioctls", || {
        let a = Sock::at("a", 0);
        for (name, request) in [("TIOCOUTQ", libc::TIOCOUTQ), ("nonsense", 0x1234)] {
            say!("{name} {}", outcome(&sys::ioctl(a.raw(), request)));
        }
        // FIONBIO of a word that is 0: waits; the descriptor's own business.
        say!("FIONBIO {}", outcome(&sys::ioctl(a.raw(), libc::FIONBIO)));
    });
    table.add("open/fionread", || {
        let a = Sock::at("a", 0);
        say!("FIONREAD {}", outcome(&sys::ioctl(a.raw(), libc::FIONREAD)));
        a.send("a request", &crate::message::ask());
        say!("FIONREAD {}", outcome(&sys::ioctl(a.raw(), libc::FIONREAD)));
    });
    table.add("open/read-and-write", || {
        let a = Sock::open("a");
        let request = crate::message::ping(3);
        say!("write {}", outcome(&sys::write(a.raw(), &request)));
        say!("write nothing {}", outcome(&sys::write(a.raw(), &[])));
        let mut answer = [0; 100];
        say!("read {}", outcome(&sys::read(a.raw(), &mut answer)));
        say!("{}", crate::message::show(&answer[..36]));
        say!("write {}", outcome(&sys::write(a.raw(), &request)));
        say!("read {}", outcome(&sys::read(a.raw(), &mut answer[..7])));
        a.recv();
        say!("write {}", outcome(&sys::write(a.raw(), &request)));
        say!("read nothing {}", outcome(&sys::read(a.raw(), &mut [])));
        a.recv();
    });
}
