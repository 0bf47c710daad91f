//! Waiting: poll(2), select(2), epoll(7), signals that come meanwhile, several threads.

use super::Table;
use crate::message::{ping, show};
use crate::os::{SOL_NETLINK, nl};
use crate::say;
use crate::say::{outcome, port};
use crate::sock::Sock;
use crate::sys::waiting::{self, Epoll, alarm, poll_all};
use crate::sys::{self, Incoming};
use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, EPOLLONESHOT, EPOLLOUT, POLLERR, POLLIN,
    POLLOUT, POLLPRI, POLLRDHUP, SO_ERROR, SO_RCVBUF, SOL_SOCKET,
};
use std::time::{Duration, Instant};

/// Makes a socket's queue overflow; ENOBUFS is pending.
fn overflow(sock: &Sock) {
    sock.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
    for seq in 0..20 {
        let _ = sys::send(sock.raw(), &ping(seq), 0);
    }
}

fn poll(sock: &Sock, events: i16, milliseconds: i32) {
    let (result, ready) = poll_all(&[(sock.raw(), events)], milliseconds);
    say!("{}: poll {events:#x}: {} {:#x}", sock.name, outcome(&result), ready[0]);
}

pub fn fill(table: &mut Table) {
    polls(table);
    errors(table);
    epolls(table);
    interruptions(table);
    threads(table);
}

fn polls(table: &mut Table) {
    for events in [0, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, 0x40, 0x80, 0x100, 0x200, 0x400, -1] {
        table.add(format!("poll/events-{events:#x}"), move || {
            let a = Sock::at("a", port(1));
            poll(&a, events, 0);
            a.send("a ping", &ping(1));
            poll(&a, events, 0);
            a.recv();
            poll(&a, events, 0);
            let (result, ready) = waiting::ppoll(a.raw(), events, 5);
            say!("ppoll {} {ready:#x}", outcome(&result));
        });
    }
    table.add("poll/several", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.send("a ping", &ping(1));
        let entries = [(a.raw(), POLLIN), (-1, POLLIN), (b.raw(), POLLIN), (b.raw(), POLLOUT), (999, POLLIN)];
        let (result, ready) = poll_all(&entries, 0);
        say!("{} {ready:x?}", outcome(&result));
    });
    table.add("poll/select", || {
        let a = Sock::at("a", port(1));
        let look = || {
            let (result, ready) = waiting::select(a.raw(), 5);
            say!("select {} {ready:?}", outcome(&result));
        };
        look();
        a.send("a ping", &ping(1));
        look();
        a.recv();
        overflow(&a);
        look();
        a.drain();
        a.drain();
        look();
    });
    table.add("poll/after-a-dump-began", || {
        let a = Sock::at("a", port(1));
        a.send("a dump", &crate::message::dump_policies(0));
        for _ in 0..4 {
            poll(&a, POLLIN | POLLOUT, 0);
            a.recv();
        }
    });
}

fn errors(table: &mut Table) {
    for events in [0, POLLIN, POLLOUT, POLLIN | POLLOUT, POLLERR] {
        table.add(format!("poll/of-an-error-{events:#x}"), move || {
            let a = Sock::at("a", port(1));
            overflow(&a);
            poll(&a, events, 0);
            let (result, ready) = waiting::ppoll(a.raw(), events, 5);
            say!("ppoll {} {ready:#x}", outcome(&result));
            a.recv();
            poll(&a, events, 0);
            a.drain();
            poll(&a, events, 0);
        });
    }
    table.add("poll/of-an-error-taken-by-SO_ERROR", || {
        let a = Sock::at("a", port(1));
        overflow(&a);
        poll(&a, POLLIN, 0);
        a.show("SO_ERROR", SOL_SOCKET, SO_ERROR);
        poll(&a, POLLIN, 0);
        a.drain();
        poll(&a, POLLIN, 0);
    });
    table.add("poll/of-an-error-without-enobufs", || {
        let a = Sock::at("a", port(1));
        a.on("NO_ENOBUFS", nl::NO_ENOBUFS);
        overflow(&a);
        poll(&a, POLLIN, 0);
        a.drain();
        poll(&a, POLLIN, 0);
    });
    table.add("poll/wakes-by-an-error", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
        a.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        let to = crate::os::address(crate::os::AF_NETLINK, 0, 0x8000);
        let shout = |count: u32| {
            for seq in 0..count {
                let bytes = ping(seq);
                let parts = vec![&bytes[..]];
                let message =
                    sys::Outgoing { parts, name: Some(&to), name_length: 12, ..sys::Outgoing::default() };
                let _ = sys::sendmsg(b.raw(), &message);
            }
        };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| poll_all(&[(a.raw(), 0)], 5000));
            std::thread::sleep(Duration::from_millis(60));
            shout(30);
            let (result, ready) = waiter.join().unwrap_or((Err(0), vec![0]));
            say!("poll {} {:#x}", outcome(&result), ready[0]);
        });
        a.drain();
        a.drain();
    });
    table.add("epoll/error-alone", || {
        let a = Sock::at("a", port(1));
        let set = Epoll::new();
        say!("add {}", outcome(&set.control(EPOLL_CTL_ADD, a.raw(), 0, 7)));
        overflow(&a);
        say!("{:x?}", set.wait(0));
        say!("{:x?}", set.pwait(0));
        a.recv();
        say!("{:x?}", set.wait(0));
        a.drain();
        say!("{:x?}", set.wait(0));
    });
    table.add("epoll/error-of-one-of-two", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        let set = Epoll::new();
        let _ = set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN, 1);
        let _ = set.control(EPOLL_CTL_ADD, b.raw(), EPOLLIN, 2);
        b.send("a ping", &ping(1));
        overflow(&a);
        say!("{:x?}", set.wait(0));
        let _ = set.control(EPOLL_CTL_MOD, a.raw(), EPOLLIN | EPOLLOUT, 9);
        say!("{:x?}", set.wait(0));
        a.recv();
        say!("{:x?}", set.wait(0));
        let _ = set.control(EPOLL_CTL_DEL, a.raw(), 0, 0);
        say!("{:x?}", set.wait(0));
    });
    table.add("epoll/error-through-a-copy", || {
        let a = Sock::at("a", port(1));
        let Ok(fd) = a.fd.try_clone() else { return };
        let b = Sock { fd, name: "b" };
        let set = Epoll::new();
        let _ = set.control(EPOLL_CTL_ADD, b.raw(), EPOLLIN, 1);
        overflow(&a);
        say!("{:x?}", set.wait(0));
        a.recv();
        say!("{:x?}", set.wait(0));
    });
    table.add("epoll/error-seen-by-a-child", || {
        let a = Sock::at("a", port(1));
        let set = Epoll::new();
        let _ = set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN, 1);
        overflow(&a);
        sys::in_child(|| say!("{:x?}", set.wait(0)));
        a.recv();
        sys::in_child(|| say!("{:x?}", set.wait(0)));
    });
}

fn epolls(table: &mut Table) {
    table.add("epoll/once", || {
        let a = Sock::at("a", port(1));
        let set = Epoll::new();
        say!("add {}", outcome(&set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN | EPOLLONESHOT, 1)));
        a.send("a ping", &ping(1));
        say!("{:x?} {:x?}", set.wait(0), set.wait(0));
        a.send("a ping", &ping(2));
        say!("{:x?}", set.wait(0));
        say!("again {}", outcome(&set.control(EPOLL_CTL_MOD, a.raw(), EPOLLIN | EPOLLONESHOT, 2)));
        say!("{:x?} {:x?}", set.wait(0), set.wait(0));
        a.drain();
        say!("again {}", outcome(&set.control(EPOLL_CTL_MOD, a.raw(), EPOLLIN | EPOLLONESHOT, 3)));
        say!("{:x?}", set.wait(0));
    });
    table.add("epoll/edge-armed-again", || {
        let a = Sock::at("a", port(1));
        let set = Epoll::new();
        say!("add {}", outcome(&set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN | EPOLLET, 1)));
        a.send("a ping", &ping(1));
        say!("{:x?} {:x?}", set.wait(0), set.wait(0));
        say!("again {}", outcome(&set.control(EPOLL_CTL_MOD, a.raw(), EPOLLIN | EPOLLET, 1)));
        say!("{:x?} {:x?}", set.wait(0), set.wait(0));
        a.send("a ping", &ping(2));
        say!("{:x?}", set.wait(0));
        a.recv();
        say!("{:x?}", set.wait(0));
    });
    table.add("epoll/exclusive", || {
        let a = Sock::at("a", port(1));
        let set = Epoll::new();
        say!("add {}", outcome(&set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN | 1 << 28, 1)));
        say!("change {}", outcome(&set.control(EPOLL_CTL_MOD, a.raw(), EPOLLIN, 1)));
        a.send("a ping", &ping(1));
        say!("{:x?}", set.wait(0));
    });
    table.add("epoll/changes", || {
        let a = Sock::at("a", port(1));
        let set = Epoll::new();
        say!("change {}", outcome(&set.control(EPOLL_CTL_MOD, a.raw(), EPOLLIN, 1)));
        say!("delete {}", outcome(&set.control(EPOLL_CTL_DEL, a.raw(), 0, 1)));
        say!("add {}", outcome(&set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN, 1)));
        say!("add {}", outcome(&set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN, 2)));
        a.send("a ping", &ping(1));
        say!("{:x?}", set.wait(0));
        say!("change {}", outcome(&set.control(EPOLL_CTL_MOD, a.raw(), EPOLLOUT, 3)));
        say!("{:x?}", set.wait(0));
        say!("delete {}", outcome(&set.control(EPOLL_CTL_DEL, a.raw(), 0, 0)));
        say!("{:x?}", set.wait(0));
        say!("nonsense {}", outcome(&set.control(9, a.raw(), EPOLLIN, 1)));
        say!("itself {}", outcome(&set.control(EPOLL_CTL_ADD, set.raw(), EPOLLIN, 1)));
    });
    table.add("epoll/closing-takes-it-out", || {
        let a = Sock::at("a", port(1));
        let set = Epoll::new();
        let _ = set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN, 1);
        a.send("a ping", &ping(1));
        say!("{:x?}", set.wait(0));
        drop(a);
        say!("{:x?}", set.wait(0));
        let b = Sock::at("b", port(2));
        b.send("a ping", &ping(1));
        say!("{:x?}", set.wait(0));
        say!("add {}", outcome(&set.control(EPOLL_CTL_ADD, b.raw(), EPOLLIN, 2)));
        say!("{:x?}", set.wait(0));
    });
    table.add("epoll/in-another-set", || {
        let a = Sock::at("a", port(1));
        let (inner, outer) = (Epoll::new(), Epoll::new());
        let _ = inner.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN, 1);
        let _ = outer.control(EPOLL_CTL_ADD, inner.raw(), EPOLLIN, 2);
        say!("{:x?}", outer.wait(0));
        a.send("a ping", &ping(1));
        say!("{:x?} {:x?}", outer.wait(0), inner.wait(0));
        let (result, ready) = poll_all(&[(inner.raw(), POLLIN)], 0);
        say!("{} {ready:x?}", outcome(&result));
    });
    table.add("epoll/waits", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        let set = Epoll::new();
        let _ = set.control(EPOLL_CTL_ADD, a.raw(), EPOLLIN, 1);
        say!("{:x?}", set.wait(20));
        let child = sys::start_child(|| {
            std::thread::sleep(Duration::from_millis(40));
            let to = crate::os::address(crate::os::AF_NETLINK, port(1), 0);
            let bytes = ping(9);
            let parts = vec![&bytes[..]];
            let message =
                sys::Outgoing { parts, name: Some(&to), name_length: 12, ..sys::Outgoing::default() };
            let _ = sys::sendmsg(b.raw(), &message);
        });
        say!("{:x?}", set.wait(5000));
        sys::wait_for(child);
        a.drain();
    });
}

fn interruptions(table: &mut Table) {
    for restart in [false, true] {
        let how = if restart { "with-restart" } else { "without-restart" };
        table.add(format!("interrupted/recv-{how}"), move || {
            let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
            let child = sys::start_child(|| {
                std::thread::sleep(Duration::from_millis(150));
                let to = crate::os::address(crate::os::AF_NETLINK, port(1), 0);
                let bytes = ping(9);
                let parts = vec![&bytes[..]];
                let message =
                    sys::Outgoing { parts, name: Some(&to), name_length: 12, ..sys::Outgoing::default() };
                let _ = sys::sendmsg(b.raw(), &message);
            });
            alarm(40, restart);
            a.recv_into(Incoming::of(100), 0);
            sys::wait_for(child);
            a.drain();
        });
        table.add(format!("interrupted/timed-recv-{how}"), move || {
            let a = Sock::at("a", port(1));
            let limit = [0_i64.to_ne_bytes(), 200_000_i64.to_ne_bytes()].concat();
            let _ = sys::setsockopt(a.raw(), SOL_SOCKET, libc::SO_RCVTIMEO, &limit, 16);
            alarm(40, restart);
            a.recv_into(Incoming::of(100), 0);
        });
        table.add(format!("interrupted/poll-{how}"), move || {
            let a = Sock::at("a", port(1));
            alarm(40, restart);
            poll(&a, POLLIN, 5000);
            alarm(40, restart);
            let (result, ready) = waiting::select(a.raw(), 0);
            say!("select {} {ready:?}", outcome(&result));
        });
        table.add(format!("interrupted/send-{how}"), move || {
            let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
            b.option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 0);
            let to = crate::os::address(crate::os::AF_NETLINK, port(2), 0);
            let bytes = ping(1);
            let message = |flags| sys::Outgoing {
                parts: vec![&bytes[..]],
                name: Some(&to),
                name_length: 12,
                flags,
                ..sys::Outgoing::default()
            };
            while sys::sendmsg(a.raw(), &message(libc::MSG_DONTWAIT)).is_ok() {}
            let child = sys::start_child(|| {
                std::thread::sleep(Duration::from_millis(150));
                for _ in 0..3 {
                    let _ = sys::recvmsg(b.raw(), &mut Incoming::of(100), libc::MSG_DONTWAIT);
                }
            });
            alarm(40, restart);
            say!("send {}", outcome(&sys::sendmsg(a.raw(), &message(0))));
            sys::wait_for(child);
        });
    }
}

fn threads(table: &mut Table) {
    table.add("threads/two-readers", || {
        let a = Sock::at("a", port(1));
        let limit = [0_i64.to_ne_bytes(), 100_000_i64.to_ne_bytes()].concat();
        let _ = sys::setsockopt(a.raw(), SOL_SOCKET, libc::SO_RCVTIMEO, &limit, 16);
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut count = 0;
                        while sys::recvmsg(a.raw(), &mut Incoming::of(100), 0) == Ok(36) {
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            for seq in 0..50 {
                let _ = sys::send(a.raw(), &ping(seq), 0);
            }
            readers.into_iter().map(|reader| reader.join().unwrap_or(0)).collect()
        });
        say!("answers {}", counts.iter().sum::<usize>());
    });
    table.add("threads/each-its-own-socket", || {
        let seen: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    scope.spawn(move || {
                        let Ok(fd) =
                            sys::socket(crate::os::AF_NETLINK, libc::SOCK_RAW, crate::os::NETLINK_GENERIC)
                        else {
                            return 0;
                        };
                        let sock = Sock { fd, name: "one" };
                        let asked =
                            (0..20).filter(|seq| sys::send(sock.raw(), &ping(thread * 100 + seq), 0).is_ok());
                        let asked = asked.count();
                        let read = |_: &usize| {
                            sys::recvmsg(sock.raw(), &mut Incoming::of(100), libc::MSG_DONTWAIT).is_ok()
                        };
                        (0..asked).filter(read).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(0)).collect()
        });
        say!("{seen:?}");
    });
    table.add("threads/a-reader-waits-for-long", || {
        let a = Sock::at("a", port(1));
        let began = Instant::now();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut into = Incoming::of(100);
                let got = sys::recvmsg(a.raw(), &mut into, 0);
                got.map(|length| show(&into.parts[0][..length]))
            });
            std::thread::sleep(Duration::from_millis(120));
            let _ = sys::send(a.raw(), &ping(5), 0);
            say!("{}", reader.join().map_or("nothing".into(), |got| outcome(&got)));
        });
        say!("waited {}", began.elapsed() >= Duration::from_millis(100));
    });
}
