//! What a netlink socket is as a descriptor: copies, files' calls, ioctls, signals, programs that inherit it.

use super::Table;
use crate::message::{ask, dump_policies, message, ping, show};
use crate::say;
use crate::say::{hex, outcome, port};
use crate::sock::Sock;
use crate::sys::files;
use crate::sys::waiting::{block_signal, take_signal};
use crate::sys::{self, Incoming};
use libc::{O_ASYNC, O_NONBLOCK, SIGIO, SOL_SOCKET};
use std::os::fd::AsRawFd;
use std::time::Duration;

pub fn fill(table: &mut Table) {
    copies(table);
    files_calls(table);
    ioctls(table);
    signals(table);
    programs(table);
}

fn copies(table: &mut Table) {
    table.add("descriptor/dup3", || {
        let a = Sock::at("a", port(1));
        for (to, flags) in [(500, 0), (501, libc::O_CLOEXEC), (502, libc::O_NONBLOCK), (a.raw(), 0)] {
            match files::dup3(a.raw(), to, flags) {
                Ok(fd) => {
                    let b = Sock { fd, name: "b" };
                    say!("dup3: {} FD {}", b.raw() == to, outcome(&sys::fcntl(b.raw(), libc::F_GETFD, 0)));
                    b.names();
                    b.send("a ping", &ping(1));
                    a.drain();
                }
                Err(errno) => say!("dup3: {}", crate::os::errno_name(errno)),
            }
        }
    });
    for (what, command) in [("F_DUPFD", libc::F_DUPFD), ("F_DUPFD_CLOEXEC", libc::F_DUPFD_CLOEXEC)] {
        table.add(format!("descriptor/{what}"), move || {
            let a = Sock::at("a", port(1));
            let Ok(fd) = files::duplicate(a.raw(), command, 700) else { return };
            let b = Sock { fd, name: "b" };
            say!("from 700 on: {}", b.raw() >= 700);
            say!("FD {}", outcome(&sys::fcntl(b.raw(), libc::F_GETFD, 0)));
            drop(a);
            b.names();
            b.send("a ping", &ping(1));
            b.drain();
            drop(b);
            Sock::at("c", port(1)).names();
        });
    }
    table.add("descriptor/flags-are-shared", || {
        let a = Sock::at("a", port(1));
        let Ok(fd) = a.fd.try_clone() else { return };
        say!("F_SETFL {}", outcome(&sys::fcntl(fd.as_raw_fd(), libc::F_SETFL, O_NONBLOCK)));
        let flags = sys::fcntl(a.raw(), libc::F_GETFL, 0);
        say!("F_GETFL {}", outcome(&flags.map(|flags| flags & O_NONBLOCK as usize)));
        a.recv_into(Incoming::of(100), 0);
    });
    table.add("descriptor/close-range", || {
        let a = Sock::at("a", port(1));
        let fd = a.raw();
        std::mem::forget(a);
        say!("as CLOEXEC {}", outcome(&files::close_range(fd, fd, 4)));
        say!("FD {}", outcome(&sys::fcntl(fd, libc::F_GETFD, 0)));
        say!("send {}", outcome(&sys::send(fd, &ping(1), 0)));
        say!("close {}", outcome(&files::close_range(fd, fd, 0)));
        say!("send {}", outcome(&sys::send(fd, &ping(1), 0)));
        Sock::at("b", port(1)).names();
    });
    table.add("descriptor/closed-twice", || {
        let a = Sock::at("a", port(1));
        let fd = a.raw();
        std::mem::forget(a);
        say!("{} {}", outcome(&sys::close(fd)), outcome(&sys::close(fd)));
        say!("send {}", outcome(&sys::send(fd, &ping(1), 0)));
        say!("recv {}", outcome(&sys::recvmsg(fd, &mut Incoming::of(10), 0)));
        say!("option {}", outcome(&sys::setsockopt(fd, 270, 3, &[1, 0, 0, 0], 4)));
    });
    table.add("descriptor/closed-under-a-reader", || {
        let a = Sock::at("a", port(1));
        let limit = [0_i64.to_ne_bytes(), 300_000_i64.to_ne_bytes()].concat();
        say!("{}", outcome(&sys::setsockopt(a.raw(), SOL_SOCKET, libc::SO_RCVTIMEO, &limit, 16)));
        let fd = a.raw();
        std::mem::forget(a);
        let reader = std::thread::spawn(move || sys::recvmsg(fd, &mut Incoming::of(100), 0));
        std::thread::sleep(Duration::from_millis(60));
        say!("close {}", outcome(&sys::close(fd)));
        // The socket lives as long as the call.
        say!("recv {}", reader.join().map_or("nothing".into(), |got| outcome(&got)));
        Sock::at("b", port(1)).names();
    });
    table.add("descriptor/replaced-under-a-reader", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        let limit = [0_i64.to_ne_bytes(), 300_000_i64.to_ne_bytes()].concat();
        let _ = sys::setsockopt(a.raw(), SOL_SOCKET, libc::SO_RCVTIMEO, &limit, 16);
        let fd = a.raw();
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || sys::recvmsg(fd, &mut Incoming::of(100), 0));
            std::thread::sleep(Duration::from_millis(60));
            say!("dup2 {}", sys::dup2(b.raw(), &a.fd).is_ok());
            a.names();
            a.send("a ping", &ping(1));
            say!("recv {}", reader.join().map_or("nothing".into(), |got| outcome(&got)));
            b.drain();
        });
    });
}

fn files_calls(table: &mut Table) {
    table.add("descriptor/sendfile", || {
        let a = Sock::at("a", port(1));
        let file = files::file_of(&ping(1));
        for count in [16, 100, 0, 7] {
            say!("sendfile {count}: {}", outcome(&files::sendfile(a.raw(), &file, count)));
            a.drain();
        }
        a.send("a ping", &ping(2));
        a.drain();
    });
    table.add("descriptor/sendfile-of-several-messages", || {
        let a = Sock::at("a", port(1));
        let file = files::file_of(&[ping(1), ping(2), ask()].concat());
        say!("sendfile {}", outcome(&files::sendfile(a.raw(), &file, 1000)));
        a.drain();
    });
    table.add("descriptor/sendfile-from-it", || {
        let a = Sock::at("a", port(1));
        let (_read, write) = files::pipe();
        a.send("a ping", &ping(1));
        say!("sendfile {}", outcome(&files::sendfile(write.as_raw_fd(), &a.fd, 100)));
        a.drain();
    });
    table.add("descriptor/splice-to-it", || {
        let a = Sock::at("a", port(1));
        let (read, write) = files::pipe();
        let _ = sys::write(write.as_raw_fd(), &ping(1));
        say!("splice {}", outcome(&files::splice(read.as_raw_fd(), a.raw(), 16, 0)));
        a.drain();
        let _ = sys::write(write.as_raw_fd(), &ping(2));
        say!("splice {}", outcome(&files::splice(read.as_raw_fd(), a.raw(), 100, libc::SPLICE_F_NONBLOCK)));
        a.drain();
        say!(
            "splice of nothing {}",
            outcome(&files::splice(read.as_raw_fd(), a.raw(), 100, libc::SPLICE_F_NONBLOCK))
        );
    });
    table.add("descriptor/splice-from-it", || {
        let a = Sock::at("a", port(1));
        let (read, write) = files::pipe();
        a.send("a ping", &ping(1));
        a.send("a ping", &ping(2));
        for count in [100, 10] {
            let spliced = files::splice(a.raw(), write.as_raw_fd(), count, libc::SPLICE_F_NONBLOCK);
            say!("splice {count}: {}", outcome(&spliced));
            if spliced.is_ok() {
                let mut bytes = [0; 100];
                let got = sys::read(read.as_raw_fd(), &mut bytes);
                say!("{} {}", outcome(&got), hex(&bytes[..got.unwrap_or(0).min(8)]));
            }
        }
        a.drain();
    });
    table.add("descriptor/tee", || {
        let a = Sock::at("a", port(1));
        let (_read, write) = files::pipe();
        a.send("a ping", &ping(1));
        say!("tee {}", outcome(&files::tee(a.raw(), write.as_raw_fd(), 100)));
        say!("splice to itself {}", outcome(&files::splice(a.raw(), a.raw(), 100, 0)));
        a.drain();
    });
    table.add("descriptor/vectors", || {
        let a = Sock::at("a", port(1));
        let bytes = ping(1);
        let (left, right) = bytes.split_at(5);
        say!("writev {}", outcome(&files::writev(a.raw(), &[left, &[], right])));
        say!("writev of none {}", outcome(&files::writev(a.raw(), &[])));
        say!("writev of empty ones {}", outcome(&files::writev(a.raw(), &[&[], &[]])));
        let many: Vec<&[u8]> = vec![&[]; 1025];
        say!("writev of 1025 {}", outcome(&files::writev(a.raw(), &many)));
        say!("readv of none {}", outcome(&files::readv(a.raw(), &mut [])));
        say!("readv of empty ones {}", outcome(&files::readv(a.raw(), &mut [vec![], vec![]])));
        let mut parts = [vec![0; 4], vec![], vec![0; 100]];
        say!("readv {}", outcome(&files::readv(a.raw(), &mut parts)));
        say!("{}", show(&parts.concat()[..36]));
    });
    table.add("descriptor/at-offsets", || {
        let a = Sock::at("a", port(1));
        let mut bytes = ping(1);
        say!("pwrite {}", outcome(&files::at_offset(a.raw(), &mut bytes, true)));
        say!("pread {}", outcome(&files::at_offset(a.raw(), &mut bytes, false)));
        for flags in [0, libc::RWF_NOWAIT, libc::RWF_HIPRI, libc::RWF_APPEND, 0x4000_0000] {
            let mut bytes = ping(1);
            let wrote = files::with_flags(a.raw(), &mut bytes, true, flags);
            let mut room = [0; 100];
            let read = files::with_flags(a.raw(), &mut room, false, flags | libc::RWF_NOWAIT);
            say!("{flags:#x}: {} {}", outcome(&wrote), outcome(&read));
            a.drain();
        }
    });
    table.add("descriptor/read-does-not-wait", || {
        let a = Sock::at("a", port(1));
        let _ = sys::fcntl(a.raw(), libc::F_SETFL, O_NONBLOCK);
        say!("read {}", outcome(&sys::read(a.raw(), &mut [0; 10])));
        say!("readv {}", outcome(&files::readv(a.raw(), &mut [vec![0; 10]])));
    });
    table.add("descriptor/reading-a-dump", || {
        let a = Sock::at("a", port(1));
        let _ = sys::fcntl(a.raw(), libc::F_SETFL, O_NONBLOCK);
        say!("write {}", outcome(&sys::write(a.raw(), &dump_policies(0))));
        for _ in 0..4 {
            let mut bytes = [0; 8192];
            let got = sys::read(a.raw(), &mut bytes);
            say!("read {} {}", outcome(&got), hex(&bytes[..got.unwrap_or(0).min(8)]));
        }
    });
    table.add("descriptor/described", || {
        let a = Sock::at("a", port(1));
        say!("{}", files::described(a.raw()));
        say!("file type {}", outcome(&sys::file_type(a.raw())));
    });
}

fn ioctls(table: &mut Table) {
    for (what, request, word) in [
        ("FIONREAD", 0x541b, 0),
        ("SIOCOUTQ", 0x5411, 0),
        ("SIOCOUTQNSD", 0x894b, 0),
        ("FIONBIO-on", 0x5421, 1),
        ("FIOASYNC-on", 0x5452, 1),
        ("FIOASYNC-off", 0x5452, 0),
        ("FIOCLEX", 0x5451, 0),
        ("FIONCLEX", 0x5450, 0),
        ("FIOGETOWN", 0x8903, 0),
        ("SIOCGPGRP", 0x8904, 0),
        ("SIOCATMARK", 0x8905, 0),
        ("SIOCGSTAMP", 0x8906, 0),
        ("SIOCGSTAMPNS", 0x8907, 0),
        ("FIOQSIZE", 0x5460, 0),
        ("FIGETBSZ", 2, 0),
        ("TCGETS", 0x5401, 0),
        ("SIOCGIFCONF", 0x8912, 0),
        ("SIOCETHTOOL", 0x8946, 0),
        ("SIOCADDRT", 0x890b, 0),
        ("SIOCGARP", 0x8954, 0),
        ("SIOCDEVPRIVATE", 0x89f0, 0),
        ("SIOCPROTOPRIVATE", 0x89e0, 0),
        ("SIOCUNIXFILE", 0x89e0, 1),
        ("BLKGETSIZE", 0x1260, 0),
    ] {
        table.add(format!("ioctl/{what}"), move || {
            let a = Sock::at("a", port(1));
            say!("{what} {}", outcome(&files::ioctl_word(a.raw(), request, word)));
            a.send("a ping", &ping(1));
            say!("{what} {}", outcome(&files::ioctl_word(a.raw(), request, word)));
            let flags = sys::fcntl(a.raw(), libc::F_GETFL, 0);
            say!("FL {}", outcome(&flags.map(|flags| flags & (O_NONBLOCK | O_ASYNC) as usize)));
            say!("FD {}", outcome(&sys::fcntl(a.raw(), libc::F_GETFD, 0)));
            a.drain();
        });
    }
}

fn signals(table: &mut Table) {
    table.add("signal/SIGIO-when-something-comes", || {
        let a = Sock::at("a", port(1));
        block_signal(SIGIO);
        let me = say::me().cast_signed();
        say!("F_SETOWN {}", outcome(&sys::fcntl(a.raw(), libc::F_SETOWN, me)));
        say!("F_GETOWN {}", sys::fcntl(a.raw(), libc::F_GETOWN, 0) == Ok(say::me() as usize));
        say!("F_SETFL {}", outcome(&sys::fcntl(a.raw(), libc::F_SETFL, O_ASYNC)));
        say!("before {}", outcome(&take_signal(SIGIO, 20)));
        a.send("a ping", &ping(1));
        say!("after {}", outcome(&take_signal(SIGIO, 1000)));
        a.drain();
    });
    table.add("signal/chosen-one", || {
        let a = Sock::at("a", port(1));
        block_signal(libc::SIGUSR1);
        say!("F_SETSIG {}", outcome(&sys::fcntl(a.raw(), 10, libc::SIGUSR1)));
        say!("F_GETSIG {}", outcome(&sys::fcntl(a.raw(), 11, 0)));
        let _ = sys::fcntl(a.raw(), libc::F_SETOWN, say::me().cast_signed());
        let _ = sys::fcntl(a.raw(), libc::F_SETFL, O_ASYNC);
        a.send("a ping", &ping(1));
        say!("after {}", outcome(&take_signal(libc::SIGUSR1, 1000)));
        a.drain();
    });
    table.add("signal/nobody-asked", || {
        let a = Sock::at("a", port(1));
        block_signal(SIGIO);
        a.send("a ping", &ping(1));
        say!("after {}", outcome(&take_signal(SIGIO, 20)));
        a.drain();
    });
    table.add("signal/no-SIGPIPE", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        a.connect(port(2), 0);
        drop(b);
        for _ in 0..2 {
            a.send("a word", &ping(1));
        }
        a.recv();
        a.poll();
    });
}

fn programs(table: &mut Table) {
    table.add("descriptor/standard-input-of-a-program", || {
        let a = Sock::at("a", port(1));
        let (Ok(fd), Ok(program)) = (a.fd.try_clone(), std::env::current_exe()) else { return };
        let output = std::process::Command::new(program).args(["child", "inherited", "0"]).stdin(fd).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&text).lines() {
            say!("{}", line.replace(&port(1).to_string(), "P1"));
        }
        a.send("a ping", &ping(2));
        a.drain();
    });
    table.add("descriptor/closed-for-a-program", || {
        let a = Sock::at("a", port(1)); // CLOEXEC
        let Ok(program) = std::env::current_exe() else { return };
        let fd = a.raw().to_string();
        let output = std::process::Command::new(program).args(["child", "inherited", &fd]).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&text).lines() {
            say!("{line}");
        }
        a.send("a ping", &ping(2));
        a.drain();
    });
    table.add("descriptor/grandchildren", || {
        let a = Sock::at("a", port(1));
        sys::in_child(|| {
            sys::in_child(|| {
                a.send("a ping", &ping(1));
                a.names();
            });
            a.drain();
        });
        a.send("a word", &message(999, 1, 1, &[]));
        a.drain();
    });
}
