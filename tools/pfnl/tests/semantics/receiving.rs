//! What receiving gives: lengths, names, control data, readiness, waiting, dumps, overflow.

use crate::common::*;
use libc::{MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SOL_NETLINK, SOL_SOCKET};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

pub fn peek_and_trunc() {
    let socket = Socket::bound();
    assert_eq!(socket.now(), Err(libc::EAGAIN));
    socket.ask(7);
    // As iproute2 does: no room at all, to learn the length.
    let mut vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    let flags = MSG_PEEK | MSG_TRUNC;
    let length = checked(unsafe { libc::recvmsg(socket.fd(), &raw mut message, flags) }).unwrap();
    assert!(length > 100);
    assert_eq!(message.msg_flags, MSG_TRUNC);
    assert_eq!(socket.recv(20, MSG_PEEK).unwrap().len(), 20);
    assert_eq!(socket.recv(65536, MSG_PEEK).unwrap().len(), length);
    let block = socket.recv(65536, 0).unwrap();
    assert_eq!(heads(&block), [(NLCTRL, 0, 7)]);
    assert_eq!(block.len(), length);
    assert_eq!(socket.now(), Err(libc::EAGAIN), "a request without F_ACK gets no acknowledgement");
    // What does not fit is lost.
    socket.ask(8);
    assert_eq!(socket.recv(16, 0).unwrap(), [&block[..8], &8_u32.to_ne_bytes(), &block[12..16]].concat());
    assert_eq!(socket.now(), Err(libc::EAGAIN));
    socket.ask(9);
    let mut bytes = [0_u8; 16];
    let at = bytes.as_mut_ptr().cast();
    assert_eq!(checked(unsafe { libc::recv(socket.fd(), at, 16, MSG_TRUNC) }), Ok(length));
    // A message of no room at all is taken, too.
    socket.ask(10);
    assert_eq!(socket.recv(0, 0), Ok(vec![]));
    assert_eq!(socket.now(), Err(libc::EAGAIN));
    assert_eq!(socket.recv(16, libc::MSG_OOB), Err(libc::EOPNOTSUPP));
}

pub fn recvmsg_fills_name_and_control() {
    let socket = Socket::bound();
    let receive = |control: &mut [u64], name: &mut [u8; 16]| {
        let mut bytes = [0_u8; 4096];
        let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_name = name.as_mut_ptr().cast();
        message.msg_namelen = 16;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control);
        checked(unsafe { libc::recvmsg(socket.fd(), &raw mut message, 0) }).unwrap();
        (message.msg_flags, message.msg_namelen, message.msg_controllen)
    };
    let (mut control, mut name) = ([0_u64; 16], [0xee_u8; 16]);
    socket.ask(1);
    assert_eq!(receive(&mut control, &mut name), (0, 12, 0));
    assert_eq!(name, [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xee, 0xee, 0xee, 0xee]);

    socket.set(SOL_NETLINK, libc::NETLINK_PKTINFO, 1).unwrap();
    socket.set(SOL_SOCKET, libc::SO_PASSCRED, 1).unwrap();
    assert_eq!(socket.get(SOL_SOCKET, libc::SO_PASSCRED), Ok(1));
    socket.ask(2);
    assert_eq!(receive(&mut control, &mut name), (0, 12, 24 + 32));
    let words: Vec<u32> = control.iter().flat_map(|word| [*word as u32, (*word >> 32) as u32]).collect();
    assert_eq!(words[..5], [20, 0, 270, 3, 0], "NETLINK_PKTINFO: group 0");
    assert_eq!(words[6..10], [28, 0, 1, 2], "SCM_CREDENTIALS");
    assert_eq!(words[10..13], [0, 0, 0], "from the kernel");

    // Too little room: the second is cut, then both, then there is none.
    socket.ask(3);
    assert_eq!(receive(&mut control[..4], &mut name), (MSG_CTRUNC, 12, 24));
    socket.ask(4);
    assert_eq!(receive(&mut control[..2], &mut name).0, MSG_CTRUNC);
    socket.ask(5);
    assert_eq!(receive(&mut [], &mut name), (MSG_CTRUNC, 12, 0));

    // From another socket, the sender and its process.
    let other = Socket::bound();
    other.set(SOL_SOCKET, libc::SO_PASSCRED, 0).unwrap();
    other.send_to(&message(0, 0, 0, &[]), socket.name().0).unwrap();
    receive(&mut control, &mut name);
    assert_eq!(name[4..8], other.name().0.to_ne_bytes());
    let words: Vec<u32> = control.iter().flat_map(|word| [*word as u32, (*word >> 32) as u32]).collect();
    assert_eq!(words[10..13], unsafe { [libc::getpid().cast_unsigned(), libc::getuid(), libc::getgid()] });
}

pub fn readiness() {
    let socket = Socket::bound();
    let poll = |time: i32| {
        let mut poll = libc::pollfd { fd: socket.fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        unsafe { libc::poll(&raw mut poll, 1, time) };
        poll.revents
    };
    let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(0)) };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 7 };
    let fd = socket.fd();
    unsafe { assert_eq!(libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event), 0) };
    let mut edges = || unsafe { libc::epoll_wait(epoll.as_raw_fd(), &raw mut event, 1, 0) };
    let select = || unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(socket.fd(), &raw mut set);
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let null = std::ptr::null_mut();
        libc::select(socket.fd() + 1, &raw mut set, null, null, &raw mut time)
    };
    assert_eq!((poll(0), edges(), select()), (libc::POLLOUT, 0, 0));
    socket.ask(1);
    assert_eq!((poll(0), edges(), edges(), select()), (libc::POLLIN | libc::POLLOUT, 1, 0, 1));
    socket.ask(2);
    assert_eq!(edges(), 1, "an edge for each message");
    socket.now().unwrap();
    assert_eq!(poll(0), libc::POLLIN | libc::POLLOUT);
    socket.now().unwrap();
    assert_eq!((poll(0), edges(), select()), (libc::POLLOUT, 0, 0));
}

pub fn waiting() {
    let socket = Socket::bound();
    socket.patience(Duration::from_millis(80));
    let start = Instant::now();
    assert_eq!(socket.recv(100, 0), Err(libc::EAGAIN));
    assert!(start.elapsed() >= Duration::from_millis(70));
    socket.patience(Duration::from_secs(10));
    let copy = Socket(socket.0.try_clone().unwrap());
    let thread = std::thread::spawn(move || copy.recv(4096, 0));
    std::thread::sleep(Duration::from_millis(50));
    socket.ask(1);
    assert_eq!(heads(&thread.join().unwrap().unwrap()), [(NLCTRL, 0, 1)]);
    let one = 1_i32;
    assert_eq!(unsafe { libc::ioctl(socket.fd(), libc::FIONBIO, &raw const one) }, 0);
    assert_eq!(socket.recv(100, 0), Err(libc::EAGAIN));
    // A signal ends the wait, as it is told to.
    extern "C" fn nothing(_: i32) {}
    unsafe {
        let zero = 0_i32;
        assert_eq!(libc::ioctl(socket.fd(), libc::FIONBIO, &raw const zero), 0);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        let me = libc::pthread_self();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            libc::pthread_kill(me, libc::SIGUSR1);
        });
        assert_eq!(socket.recv(100, 0), Err(libc::EINTR));
        thread.join().unwrap();
    }
}

pub fn many_at_a_time() {
    let socket = Socket::bound();
    let mut requests = [1, 2, 3].map(get_nlctrl);
    let mut vectors = requests
        .each_mut()
        .map(|request| libc::iovec { iov_base: request.as_mut_ptr().cast(), iov_len: request.len() });
    let mut messages = [0, 1, 2].map(|index| {
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_iov = &raw mut vectors[index];
        message.msg_hdr.msg_iovlen = 1;
        message
    });
    assert_eq!(unsafe { libc::sendmmsg(socket.fd(), messages.as_mut_ptr(), 3, 0) }, 3);
    assert_eq!(messages.map(|message| message.msg_len as usize), [requests[0].len(); 3]);

    let mut blocks = [[0_u8; 4096]; 5];
    let mut vectors = blocks
        .each_mut()
        .map(|block| libc::iovec { iov_base: block.as_mut_ptr().cast(), iov_len: block.len() });
    let mut messages = [0, 1, 2, 3, 4].map(|index| {
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_iov = &raw mut vectors[index];
        message.msg_hdr.msg_iovlen = 1;
        message
    });
    let null = std::ptr::null_mut();
    let mut receive =
        |flags: i32| unsafe { libc::recvmmsg(socket.fd(), messages.as_mut_ptr(), 5, flags as _, null) };
    assert_eq!(receive(libc::MSG_WAITFORONE), 3);
    assert_eq!(checked(receive(MSG_DONTWAIT) as isize), Err(libc::EAGAIN));
    for (index, block) in blocks.iter().take(3).enumerate() {
        let length = messages[index].msg_len as usize;
        assert_eq!(heads(&block[..length]), [(NLCTRL, 0, index as u32 + 1)]);
    }
}

pub fn vectors_and_files() {
    let socket = Socket::bound();
    let request = get_nlctrl(5);
    let file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(socket.fd()) });
    (&*file).write_all(&request).unwrap();
    let (mut head, mut body) = ([0_u8; 16], [0_u8; 4096]);
    let vectors = [
        libc::iovec { iov_base: head.as_mut_ptr().cast(), iov_len: 16 },
        libc::iovec { iov_base: body.as_mut_ptr().cast(), iov_len: 4096 },
    ];
    let length = checked(unsafe { libc::readv(socket.fd(), vectors.as_ptr(), 2) }).unwrap();
    assert_eq!(heads(&[&head[..], &body[..length - 16]].concat()), [(NLCTRL, 0, 5)]);
    (&*file).write_all(&request).unwrap();
    let (mut from, mut from_length) = (address(9, 9), NL);
    let (at, from_at) = (body.as_mut_ptr().cast(), (&raw mut from).cast());
    let got = unsafe { libc::recvfrom(socket.fd(), at, 4096, 0, from_at, &raw mut from_length) };
    assert_eq!((checked(got), from.nl_pid, from.nl_groups, from_length), (Ok(length), 0, 0, NL));
}

pub fn dump_in_small_reads() {
    let socket = Socket::bound();
    for small in [true, false] {
        let request = dump_families(3);
        socket.send(&request, 0).unwrap();
        let mut families = 0;
        // As OVS does: never waiting, since every read brings the next block.
        'dump: loop {
            let room = if small { 4096 } else { 65536 };
            for (kind, flags, seq) in heads(&socket.recv(room, MSG_DONTWAIT).unwrap()) {
                assert_eq!((flags & MULTI, seq), (MULTI, 3));
                match kind {
                    NLCTRL => families += 1,
                    3 => break 'dump,
                    other => panic!("type {other}"),
                }
            }
        }
        assert!(families >= 1);
        assert_eq!(socket.now(), Err(libc::EAGAIN));
    }
}

pub fn overflow() {
    let socket = Socket::bound();
    socket.set(SOL_SOCKET, libc::SO_RCVBUF, 1).unwrap(); // the least there is
    assert_eq!(socket.get(SOL_SOCKET, libc::SO_RCVBUF), Ok(2304));
    for seq in 0..10 {
        socket.ask(seq);
    }
    // The error comes first, then what was queued before it.
    assert_eq!(socket.now(), Err(libc::ENOBUFS));
    let mut read = 0;
    while let Ok(block) = socket.now() {
        assert_eq!(heads(&block)[0].2, read);
        read += 1;
    }
    assert!((2..=5).contains(&read), "{read}");
    assert_eq!(errno(), libc::EAGAIN);
    socket.ask(50);
    assert_eq!(heads(&socket.now().unwrap())[0].2, 50);
    // SO_ERROR takes it, too.
    for seq in 0..10 {
        socket.ask(seq);
    }
    assert_eq!(socket.get(SOL_SOCKET, libc::SO_ERROR), Ok(libc::ENOBUFS));
    assert_eq!(heads(&socket.now().unwrap())[0].2, 0);
    while socket.now().is_ok() {}
    socket.set(SOL_NETLINK, libc::NETLINK_NO_ENOBUFS, 1).unwrap();
    for seq in 0..10 {
        socket.ask(seq);
    }
    assert_eq!(heads(&socket.now().unwrap())[0].2, 0);
}
