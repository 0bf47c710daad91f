//! Sending: its errors, to other sockets, to full ones, by many.

use crate::common::*;
use libc::{MSG_DONTWAIT, SOL_SOCKET};
use std::time::{Duration, Instant};

pub fn send_errors() {
    let socket = Socket::bound();
    let request = get_nlctrl(1);
    assert_eq!(socket.send_to(&request, 123_456_789), Err(libc::ECONNREFUSED));
    assert_eq!(socket.send(&[], 0), Err(libc::ENODATA));
    assert_eq!(socket.send(&request, libc::MSG_OOB), Err(libc::EOPNOTSUPP));
    let mut bad = address(0, 0);
    bad.nl_family = 1;
    let send = |address: &libc::sockaddr_nl, length| {
        let (bytes, to) = (request.as_ptr().cast(), std::ptr::from_ref(address).cast());
        checked(unsafe { libc::sendto(socket.fd(), bytes, request.len(), 0, to, length) })
    };
    assert_eq!(send(&bad, 12), Err(libc::EINVAL));
    assert_eq!(send(&address(0, 0), 8), Err(libc::EINVAL));
    assert_eq!(send(&address(0, 0), 12), Ok(request.len()));
    assert_eq!(socket.now().map(|block| heads(&block)), Ok(vec![(NLCTRL, 0, 1)]));
    let longest = message(0, 0, 0, &vec![0; 212_992 - 32 - 16]);
    assert_eq!(socket.send(&longest, 0), Ok(longest.len()));
    assert_eq!(socket.send(&[&longest[..], &[0]].concat(), 0), Err(libc::EMSGSIZE));
    socket.set(SOL_SOCKET, libc::SO_SNDBUF, 8192).unwrap();
    let mut long = message(0, 0, 0, &[0; 16384 - 32 - 16]);
    assert_eq!(socket.send(&long, 0), Ok(long.len()));
    long.push(0);
    assert_eq!(socket.send(&long, 0), Err(libc::EMSGSIZE));
    let nowhere = std::ptr::without_provenance(8);
    assert_eq!(checked(unsafe { libc::send(socket.fd(), nowhere, 100, 0) }), Err(libc::EFAULT));
    // Control data: one's own credentials may come along, descriptors may not.
    let me = unsafe { [libc::getpid().cast_unsigned(), libc::getuid(), libc::getgid()] };
    let with_control = |control: &mut [u32]| {
        let mut vector = libc::iovec { iov_base: request.as_ptr().cast_mut().cast(), iov_len: request.len() };
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control);
        checked(unsafe { libc::sendmsg(socket.fd(), &raw const message, 0) })
    };
    let credentials = libc::SCM_CREDENTIALS.cast_unsigned();
    assert_eq!(with_control(&mut [28, 0, 1, credentials, me[0], me[1], me[2], 0]), Ok(request.len()));
    assert!(socket.now().is_ok());
    assert_eq!(with_control(&mut [24, 0, 1, credentials, me[0], me[1]]), Err(libc::EINVAL));
    assert_eq!(with_control(&mut [20, 0, 1, libc::SCM_RIGHTS.cast_unsigned(), 0, 0]), Err(libc::EINVAL));
    // Two requests in two vectors, one unknown: each gets its answer.
    let unknown = message(999, REQUEST, 3, &[0; 4]);
    let parts = [request, unknown].map(|mut part| {
        let vector = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        (part, vector)
    });
    let vectors = [parts[0].1, parts[1].1];
    let length = parts[0].0.len() + parts[1].0.len();
    assert_eq!(checked(unsafe { libc::writev(socket.fd(), vectors.as_ptr(), 2) }), Ok(length));
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 1)]);
    let refused = socket.now().unwrap();
    assert_eq!((heads(&refused)[0], &refused[16..20]), ((2, 0, 3), &(-libc::ENOENT).to_ne_bytes()[..]));
}

pub fn sockets_talk_to_each_other() {
    let (a, b, c) = (Socket::bound(), Socket::bound(), Socket::bound());
    let hello = message(100, 0, 1, b"hello...");
    assert_eq!(a.send_to(&hello, b.name().0), Ok(hello.len()));
    let (mut from, mut length) = (address(0, 0), NL);
    let mut bytes = [0_u8; 100];
    let (at, from_at) = (bytes.as_mut_ptr().cast(), (&raw mut from).cast());
    let got = unsafe { libc::recvfrom(b.fd(), at, 100, MSG_DONTWAIT, from_at, &raw mut length) };
    assert_eq!((checked(got), from.nl_pid), (Ok(hello.len()), a.name().0));
    assert_eq!(bytes[..hello.len()], hello);
    // A socket that has a peer takes messages from nobody else.
    b.connect(c.name().0, 0).unwrap();
    assert_eq!(a.send_to(&hello, b.name().0), Err(libc::ECONNREFUSED));
    assert_eq!(c.send_to(&hello, b.name().0), Ok(hello.len()));
    assert_eq!(b.send(&hello, 0), Ok(hello.len()));
    assert_eq!(c.now(), Ok(hello));
}

pub fn more_than_the_connection_takes() {
    const COUNT: u32 = 6000;
    let (sender, receiver) = (Socket::bound(), Socket::bound());
    if receiver.set(SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20).is_err() {
        return; // needs CAP_NET_ADMIN on the kernel's own
    }
    let portid = receiver.name().0;
    for seq in 0..COUNT {
        let message = message(100, 0, seq, &[7; 1000]);
        assert_eq!(sender.send_to(&message, portid), Ok(message.len()));
    }
    for seq in 0..COUNT {
        assert_eq!(heads(&receiver.now().unwrap()), [(100, 0, seq)]);
    }
    assert_eq!(receiver.now(), Err(libc::EAGAIN));
}

pub fn senders_wait_for_readers() {
    let (sender, receiver) = (Socket::bound(), Socket::bound());
    receiver.set(SOL_SOCKET, libc::SO_RCVBUF, 4096).unwrap();
    let portid = receiver.name().0;
    let message = message(100, 0, 1, &[0; 500]);
    let send = |flags: i32| {
        let to = address(portid, 0);
        let (bytes, to) = (message.as_ptr().cast(), (&raw const to).cast());
        checked(unsafe { libc::sendto(sender.fd(), bytes, message.len(), flags, to, NL) })
    };
    let mut sent = 0;
    while send(MSG_DONTWAIT).is_ok() {
        sent += 1;
    }
    assert_eq!((errno(), (2..20).contains(&sent)), (libc::EAGAIN, true), "{sent}");
    let reader = Socket(receiver.0.try_clone().unwrap());
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(60));
        while reader.now().is_ok() {}
    });
    let start = Instant::now();
    assert_eq!(send(0), Ok(message.len()));
    assert!(start.elapsed() > Duration::from_millis(40));
    thread.join().unwrap();
}

pub fn hundred_sockets() {
    let sockets: Vec<_> = (0..100).map(|_| Socket::bound()).collect();
    let mut names: Vec<_> = sockets.iter().map(|socket| socket.name().0).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 100);
    for (seq, socket) in (0..).zip(&sockets) {
        socket.ask(seq);
    }
    for (seq, socket) in (0..).zip(&sockets) {
        assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, seq)]);
    }
}

pub fn threads_share_a_socket() {
    const THREADS: u32 = 12; // more than a page has slots
    let socket = Socket::bound();
    socket.set(SOL_SOCKET, libc::SO_RCVBUF, 1 << 20).unwrap();
    let mut seen: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let socket = &socket;
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    for round in 0..50 {
                        socket.ask(thread * 1000 + round);
                        seen.push(heads(&socket.now().unwrap())[0].2);
                    }
                    seen
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    seen.sort_unstable();
    let expected: Vec<_> =
        (0..THREADS).flat_map(|thread| (0..50).map(move |round| thread * 1000 + round)).collect();
    assert_eq!(seen, expected);
}
