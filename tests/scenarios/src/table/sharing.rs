//! One socket, several descriptors, processes and threads.

use super::Table;
use crate::message::{ask, dump_policies, ping};
use crate::os::{AF_NETLINK, NETLINK_ROUTE, nl};
use crate::say;
use crate::say::{outcome, port};
use crate::sock::Sock;
use crate::sys::{self, Incoming, Outgoing};
use libc::{MSG_DONTWAIT, SOCK_RAW, SOL_SOCKET};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// What a program started with a socket does with it.
pub fn inherited(fd: &str) {
    let fd = fd.parse().unwrap_or(-1);
    let sock = Sock { fd: sys::adopt(fd), name: "inherited" };
    sock.names();
    sock.send("a ping", &ping(8));
    sock.drain();
}

/// Sends a descriptor through a pair of sockets, as SCM_RIGHTS; gives what arrives.
fn pass(fd: i32) -> Option<OwnedFd> {
    let (left, right) = UnixDatagram::pair().ok()?;
    let control = sys::control(SOL_SOCKET, libc::SCM_RIGHTS, &fd.to_ne_bytes());
    sys::sendmsg(left.as_raw_fd(), &Outgoing { parts: vec![b"x"], control: &control, ..Outgoing::default() })
        .ok()?;
    let mut into = Incoming { name: None, ..Incoming::of(1) };
    sys::recvmsg(right.as_raw_fd(), &mut into, 0).ok()?;
    let control = into.control?;
    let (_, _, _, data) = sys::controls(&control[..into.control_length]).into_iter().next()?;
    Some(sys::adopt(i32::from_ne_bytes(data.try_into().ok()?)))
}

pub fn fill(table: &mut Table) {
    table.add("share/dup", || {
        let a = Sock::at("a", port(1));
        let Ok(fd) = a.fd.try_clone() else { return };
        let b = Sock { fd, name: "b" };
        b.names();
        b.send("a ping", &ping(1));
        a.drain();
        b.on("EXT_ACK", nl::EXT_ACK);
        a.show("EXT_ACK", crate::os::SOL_NETLINK, nl::EXT_ACK);
        drop(a);
        b.send("a ping", &ping(2));
        b.drain();
        Sock::at("c", port(1)).names();
        drop(b);
        Sock::at("d", port(1)).names();
    });
    table.add("share/dup2-over-another", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        say!("dup2 {}", sys::dup2(a.raw(), &b.fd).is_ok());
        b.names();
        b.send("a ping", &ping(1));
        a.drain();
        Sock::at("c", port(2)).names();
    });
    table.add("share/fork", || {
        let a = Sock::at("a", port(1));
        a.send("a ping", &ping(1));
        sys::in_child(|| {
            a.names();
            a.recv();
            a.send("a ping", &ping(2));
            a.on("PKTINFO", nl::PKTINFO);
        });
        a.drain();
        a.show("PKTINFO", crate::os::SOL_NETLINK, nl::PKTINFO);
    });
    table.add("share/fork-unbound", || {
        let a = Sock::open("a");
        sys::in_child(|| {
            a.bind(0, 0);
            let (mut name, mut length) = ([0; 12], 12);
            let _ = sys::take_address(sys::From::Name, a.raw(), Some(&mut name), &mut length);
            let portid = u32::from_ne_bytes([name[4], name[5], name[6], name[7]]);
            say!("the child's id {}", portid == std::process::id());
        });
        a.send("a ping", &ping(1));
        say!("received {}", sys::recvmsg(a.raw(), &mut Incoming::of(100), MSG_DONTWAIT).is_ok());
    });
    table.add("share/child-opens-its-own", || {
        sys::in_child(|| {
            let a = Sock::at("a", 0);
            let (mut name, mut length) = ([0; 12], 12);
            let _ = sys::take_address(sys::From::Name, a.raw(), Some(&mut name), &mut length);
            let portid = u32::from_ne_bytes([name[4], name[5], name[6], name[7]]);
            say!("its id {}", portid == std::process::id());
        });
    });
    table.add("share/child-closes-its-copy", || {
        let a = Sock::at("a", port(1));
        let fd = a.raw();
        sys::in_child(move || {
            let _ = sys::close(fd);
        });
        a.send("a ping", &ping(1));
        a.drain();
    });
    table.add("share/parent-ends-child-goes-on", || {
        let a = Sock::at("a", port(1));
        let child = sys::start_child(|| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            a.send("a ping", &ping(1));
            a.drain();
        });
        let _ = sys::close(a.raw());
        sys::wait_for(child);
        std::mem::forget(a);
        Sock::at("b", port(1)).names();
    });
    table.add("share/exec", || {
        let a = Sock::at("a", port(1));
        a.send("a ping", &ping(1));
        say!("CLOEXEC off {}", outcome(&sys::fcntl(a.raw(), libc::F_SETFD, 0)));
        let Ok(program) = std::env::current_exe() else { return };
        let fd = a.raw().to_string();
        let output = crate::os::command(&program).args(["child", "inherited", &fd]).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        // The child shows portids by its own process id.
        let text = String::from_utf8_lossy(&text).into_owned();
        for line in text.lines() {
            say!("{}", line.replace(&port(1).to_string(), "P1"));
        }
        a.drain();
    });
    table.add("share/passed-to-itself", || {
        let a = Sock::at("a", port(1));
        let Some(fd) = pass(a.raw()) else { return };
        let b = Sock { fd, name: "b" };
        b.names();
        b.send("a ping", &ping(1));
        a.drain();
        drop(a);
        b.send("a ping", &ping(2));
        b.drain();
    });
    table.add("share/passed-in-flight-keeps-it-open", || {
        let (left, right) = UnixDatagram::pair().unwrap_or_else(|error| panic!("{error}"));
        let a = Sock::at("a", port(1));
        let control = sys::control(SOL_SOCKET, libc::SCM_RIGHTS, &a.raw().to_ne_bytes());
        let sent = sys::sendmsg(
            left.as_raw_fd(),
            &Outgoing { parts: vec![b"x"], control: &control, ..Outgoing::default() },
        );
        say!("passed {}", outcome(&sent));
        drop(a);
        Sock::at("b", port(1)).names();
        drop((left, right));
        Sock::at("c", port(1)).names();
    });
    table.add("share/passed-to-a-child", || {
        let (left, right) = UnixDatagram::pair().unwrap_or_else(|error| panic!("{error}"));
        let child = sys::start_child(|| {
            let mut into = Incoming { name: None, ..Incoming::of(1) };
            let got = sys::recvmsg(right.as_raw_fd(), &mut into, 0);
            say!("got {}", outcome(&got));
            let control = into.control.unwrap_or_default();
            for (_, _, _, data) in sys::controls(&control[..into.control_length]) {
                let fd = data.try_into().map_or(-1, i32::from_ne_bytes);
                let sock = Sock { fd: sys::adopt(fd), name: "passed" };
                sock.names();
                sock.send("a ping", &ping(1));
                sock.drain();
            }
        });
        let a = Sock::at("a", port(1));
        let control = sys::control(SOL_SOCKET, libc::SCM_RIGHTS, &a.raw().to_ne_bytes());
        let _ = sys::sendmsg(
            left.as_raw_fd(),
            &Outgoing { parts: vec![b"x"], control: &control, ..Outgoing::default() },
        );
        sys::wait_for(child);
        a.drain();
    });
    table.add("share/threads", || {
        let a = Sock::at("a", port(1));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let a = &a;
                scope.spawn(move || {
                    for seq in 0..25 {
                        let _ = sys::send(a.raw(), &ping(thread * 100 + seq), 0);
                    }
                });
            }
        });
        let mut count = 0;
        while sys::recvmsg(a.raw(), &mut Incoming::of(100), MSG_DONTWAIT).is_ok() {
            count += 1;
        }
        say!("answers {count}");
    });
    table.add("share/threads-bind-at-once", || {
        let a = Sock::open("a");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| sys::send(a.raw(), &ping(1), 0));
            }
        });
        a.names();
    });
    table.add("share/a-thread-waits-another-sends", || {
        let a = Sock::at("a", port(1));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| sys::recvmsg(a.raw(), &mut Incoming::of(100), 0));
            std::thread::sleep(std::time::Duration::from_millis(30));
            a.send("a ping", &ping(1));
            say!("received {}", reader.join().map_or("nothing".into(), |got| outcome(&got)));
        });
    });
    table.add("share/two-protocols", || {
        let a = Sock::at("a", port(1));
        let Ok(fd) = sys::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) else { return };
        let b = Sock { fd, name: "route" };
        b.bind(port(1), 0);
        b.names();
        a.names();
        b.send_to("a word", &ping(1), port(1), 0);
        a.recv();
    });
    table.add("share/descriptor-numbers-come-again", || {
        for round in 1..=5 {
            let a = Sock::at("a", port(round));
            a.send("a ping", &ping(round));
            a.recv();
            drop(a);
            let file = std::fs::File::open("/dev/null");
            say!(
                "read {}",
                file.map_or(-1, |file| sys::read(file.as_raw_fd(), &mut [0; 4]).map_or(-1, |n| n as i32))
            );
        }
    });
    #[cfg(target_os = "linux")]
    table.add("share/closed-by-a-raw-call", || {
        use std::io::{Read, Write};
        use std::os::fd::IntoRawFd;
        use std::os::unix::net::UnixStream;
        let a = Sock::at("a", port(1));
        a.send("a ping", &ping(1));
        a.recv();
        let number = a.raw();
        sys::close_raw(a.fd.into_raw_fd());
        let Ok((left, mut right)) = UnixStream::pair() else { return };
        // Whichever of the two has the number now is what is used.
        let (mut left, mut byte) = (left, [0]);
        say!("the number came again {}", [left.as_raw_fd(), right.as_raw_fd()].contains(&number));
        say!("written {} {}", left.write_all(b"x").is_ok(), right.write_all(b"y").is_ok());
        say!("read {} {}", left.read_exact(&mut byte).is_ok(), right.read_exact(&mut byte).is_ok());
        say!("read {byte:?}");
        let b = Sock::at("b", port(1));
        let number = b.raw();
        b.send("a ping", &ping(2));
        sys::close_raw(b.fd.into_raw_fd());
        say!("send {}", outcome(&sys::send(number, &ping(3), 0)));
        say!("recv {}", outcome(&sys::recvmsg(number, &mut Incoming::of(100), MSG_DONTWAIT)));
        Sock::at("c", port(1)).names();
    });
    epoll(table);
}

#[cfg(target_os = "linux")]
fn epoll(table: &mut Table) {
    for (name, edge) in [("level", false), ("edge", true)] {
        table.add(format!("epoll/{name}"), move || {
            let a = Sock::at("a", port(1));
            let Some(set) = sys::waiting::Epoll::with(a.raw(), edge) else { return };
            set.look();
            a.send("a ping", &ping(1));
            set.look();
            set.look();
            a.send("a ping", &ping(2));
            set.look();
            a.recv();
            set.look();
            a.recv();
            set.look();
            a.send("a request", &ask());
            set.look();
            a.recv();
            set.look();
        });
        table.add(format!("epoll/{name}-dump"), move || {
            let a = Sock::at("a", port(1));
            let Some(set) = sys::waiting::Epoll::with(a.raw(), edge) else { return };
            a.send("a dump", &dump_policies(0));
            for _ in 0..4 {
                set.look();
                a.recv();
            }
            set.look();
        });
        table.add(format!("epoll/{name}-overflow"), move || {
            let a = Sock::at("a", port(1));
            a.option("SO_RCVBUF", SOL_SOCKET, libc::SO_RCVBUF, 0);
            let Some(set) = sys::waiting::Epoll::with(a.raw(), edge) else { return };
            for seq in 0..20 {
                let _ = sys::send(a.raw(), &ping(seq), 0);
            }
            set.look();
            a.drain();
            a.drain();
            set.look();
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn epoll(_table: &mut Table) {}

/// Uses what only Linux's scenarios use, so that other systems build without a warning.
#[cfg(not(target_os = "linux"))]
const _: (fn() -> Vec<u8>, fn(u16) -> Vec<u8>) = (ask, dump_policies);
