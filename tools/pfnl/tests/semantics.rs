//! The semantics of a netlink socket: the same cases, in the same binary, on the kernel's own AF_NETLINK and on a pfnl
//! host behind the preload library.
//!
//! A case is a function; each runs in a process of its own, started by `cases_on_the_kernel` as it is and by
//! `cases_under_pfnl` with `pfnl run` before it. A case can also be run by hand:
//! `PFNL_CASE=peek_and_trunc pfnl run -- target/debug/deps/semantics-… --exact one_case`.
#![allow(clippy::undocumented_unsafe_blocks, reason = "plain system calls on live local buffers")]

mod common;

use common::*;
use libc::{MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SOL_NETLINK, SOL_SOCKET};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CASES: &[(&str, fn())] = &[
    ("names", names),
    ("identity", identity),
    ("bind_and_connect_errors", bind_and_connect_errors),
    ("peek_and_trunc", peek_and_trunc),
    ("recvmsg_fills_name_and_control", recvmsg_fills_name_and_control),
    ("duplicates", duplicates),
    ("readiness", readiness),
    ("inherited_through_exec", inherited_through_exec),
    ("passed_in_a_message", passed_in_a_message),
    ("send_errors", send_errors),
    ("waiting", waiting),
    ("many_at_a_time", many_at_a_time),
    ("vectors_and_files", vectors_and_files),
    ("dump_in_small_reads", dump_in_small_reads),
    ("hundred_sockets", hundred_sockets),
    ("threads_share_a_socket", threads_share_a_socket),
    ("sockets_talk_to_each_other", sockets_talk_to_each_other),
    ("more_than_the_connection_takes", more_than_the_connection_takes),
    ("senders_wait_for_readers", senders_wait_for_readers),
    ("not_for_netlink", not_for_netlink),
    ("stale_descriptors", stale_descriptors),
    ("children_close_theirs", children_close_theirs),
    ("other_protocols_are_the_kernels", other_protocols_are_the_kernels),
    ("groups", groups),
    ("overflow", overflow),
    ("buffer_sizes", buffer_sizes),
    ("forked_child_shares", forked_child_shares),
];

fn run_cases(command: impl Fn() -> Command) {
    let mut failed = Vec::new();
    for (name, _) in CASES {
        let output = command()
            .args(["--exact", "one_case", "--nocapture", "--test-threads=1"])
            .env("PFNL_CASE", name)
            .env("PFNL_DEBUG", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !output.status.success() {
            let words =
                [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
            failed.push(format!("{name}: {}\n{}", output.status, words.concat()));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), CASES.len(), failed.join("\n"));
}

#[test]
fn cases_under_pfnl() {
    run_cases(|| {
        let mut run = pfnl();
        run.args(["run", "--"]).arg(std::env::current_exe().unwrap());
        run
    });
}

#[test]
fn cases_on_the_kernel() {
    if Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC).is_err() {
        println!("skipped: this kernel has no generic netlink");
        return;
    }
    run_cases(|| Command::new(std::env::current_exe().unwrap()));
}

/// Runs the case that the environment names; nothing without one.
#[test]
fn one_case() {
    let Ok(wanted) = std::env::var("PFNL_CASE") else { return };
    if let Some(fd) = wanted.strip_prefix("child:") {
        return child(fd.parse().unwrap());
    }
    let (_, case) = CASES.iter().find(|(name, _)| *name == wanted).unwrap();
    case();
}

/// Whether a pfnl host is what is being looked at.
fn under_pfnl() -> bool {
    std::env::var_os("PFNL_SOCKET").is_some()
}

fn names() {
    let socket = Socket::new();
    assert_eq!((socket.name(), socket.peer()), ((0, 0), (0, 0)));
    socket.bind(0, 0).unwrap();
    assert_eq!(socket.name().0, std::process::id());
    let second = Socket::new();
    second.connect(0, 0).unwrap();
    assert!(second.name().0 > u32::MAX / 2, "{:#x}", second.name().0);
    let third = Socket::new();
    third.bind(77_777, 0).unwrap();
    assert_eq!(third.name(), (77_777, 0));
    third.connect(5, 0).unwrap();
    assert_eq!(third.peer(), (5, 0));
    // A short buffer gets what fits, and the length of the whole.
    let (mut name, mut length) = ([0xee_u8; 12], 6);
    assert_eq!(unsafe { libc::getsockname(third.fd(), name.as_mut_ptr().cast(), &raw mut length) }, 0);
    assert_eq!((length, &name[4..]), (12, &[0xd1, 0x2f, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee][..]));
    // Sending binds.
    let fourth = Socket::new();
    fourth.ask(1);
    assert_ne!(fourth.name().0, 0);
}

fn identity() {
    for kind in [libc::SOCK_RAW, libc::SOCK_DGRAM] {
        let socket = Socket::of(kind | libc::SOCK_NONBLOCK, libc::NETLINK_GENERIC).unwrap();
        assert_eq!(socket.get(SOL_SOCKET, libc::SO_TYPE), Ok(kind));
        assert_eq!(socket.get(SOL_SOCKET, libc::SO_PROTOCOL), Ok(libc::NETLINK_GENERIC));
        assert_eq!(socket.get(SOL_SOCKET, libc::SO_DOMAIN), Ok(libc::AF_NETLINK));
        assert_eq!(socket.get(SOL_SOCKET, libc::SO_ERROR), Ok(0));
        assert_eq!(socket.get(SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(0));
        assert_eq!(socket.get(SOL_SOCKET, libc::SO_PASSCRED), Ok(0));
        assert_eq!(socket.get(SOL_NETLINK, 99), Err(libc::ENOPROTOOPT));
        assert_eq!(socket.set(SOL_NETLINK, 99, 1), Err(libc::ENOPROTOOPT));
        assert_eq!(socket.get(SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP), Err(libc::ENOPROTOOPT));
        assert_eq!(socket.set(libc::IPPROTO_TCP, 1, 1), Err(libc::ENOPROTOOPT));
        assert_eq!(socket.get(libc::IPPROTO_IP, 1), Err(libc::ENOPROTOOPT));
        let flags = unsafe { libc::fcntl(socket.fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, libc::O_NONBLOCK);
        assert_eq!(unsafe { libc::fcntl(socket.fd(), libc::F_GETFD) }, 0);
        for name in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK, libc::NETLINK_PKTINFO] {
            assert_eq!(socket.get(SOL_NETLINK, name), Ok(0));
            assert_eq!(socket.set(SOL_NETLINK, name, 5), Ok(0));
            assert_eq!(socket.get(SOL_NETLINK, name), Ok(1));
        }
        // A value too short for an int counts as 0.
        let one = 1_i32;
        let at = (&raw const one).cast();
        assert_eq!(unsafe { libc::setsockopt(socket.fd(), SOL_NETLINK, libc::NETLINK_EXT_ACK, at, 1) }, 0);
        assert_eq!(socket.get(SOL_NETLINK, libc::NETLINK_EXT_ACK), Ok(0));
        let (mut short, mut length) = (0_u16, 2);
        let at = (&raw mut short).cast();
        let name = libc::NETLINK_EXT_ACK;
        let result = unsafe { libc::getsockopt(socket.fd(), SOL_NETLINK, name, at, &raw mut length) };
        assert_eq!(checked(result as isize), Err(libc::EINVAL));
    }
    assert!(Socket::of(libc::SOCK_STREAM, libc::NETLINK_GENERIC).is_err());
    let cloexec = Socket::new();
    assert_eq!(unsafe { libc::fcntl(cloexec.fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
}

fn bind_and_connect_errors() {
    let socket = Socket::new();
    let good = address(4242, 0);
    let mut bad = good;
    bad.nl_family = 2;
    let call = |function: unsafe extern "C" fn(i32, *const libc::sockaddr, u32) -> i32, address, length| {
        let address: libc::sockaddr_nl = address;
        checked(unsafe { function(socket.fd(), (&raw const address).cast(), length) } as isize)
    };
    assert_eq!(call(libc::bind, good, 11), Err(libc::EINVAL));
    assert_eq!(call(libc::bind, bad, 12), Err(libc::EINVAL));
    assert_eq!(call(libc::connect, good, 1), Err(libc::EINVAL));
    assert_eq!(call(libc::connect, bad, 12), Err(libc::EINVAL));
    assert_eq!(socket.bind(4242, 0), Ok(0));
    assert_eq!(socket.bind(4243, 0), Err(libc::EINVAL));
    assert_eq!(Socket::new().bind(4242, 0), Err(libc::EADDRINUSE));
    socket.connect(9, 0).unwrap();
    let mut none = good;
    none.nl_family = 0;
    assert_eq!(call(libc::connect, none, 2), Ok(0));
    assert_eq!(socket.peer(), (0, 0));
}

fn peek_and_trunc() {
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

fn recvmsg_fills_name_and_control() {
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

fn duplicates() {
    let socket = Socket::bound();
    let portid = socket.name();
    let wrap = |fd: i32| {
        assert!(fd >= 0);
        Socket(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // As pyroute2 does.
    let first = wrap(unsafe { libc::fcntl(socket.fd(), libc::F_DUPFD_CLOEXEC, 0) });
    drop(socket);
    assert_eq!(first.name(), portid);
    first.ask(1);
    let second = wrap(unsafe { libc::dup(first.fd()) });
    let third = wrap(unsafe { libc::fcntl(first.fd(), libc::F_DUPFD, 50) });
    assert!(third.fd() >= 50);
    let file = std::fs::File::open("/dev/null").unwrap();
    let number = file.as_raw_fd();
    assert_eq!(unsafe { libc::dup2(third.fd(), number) }, number);
    let fourth = Socket(OwnedFd::from(file));
    drop((first, third));
    assert_eq!(heads(&second.now().unwrap()), [(NLCTRL, 0, 1)]);
    fourth.ask(2);
    assert_eq!(heads(&second.now().unwrap()), [(NLCTRL, 0, 2)]);
    assert_eq!((second.name(), fourth.name()), (portid, portid));
    // The other way round: a socket's number becomes a file's.
    let file = std::fs::File::open("/dev/zero").unwrap();
    assert_eq!(unsafe { libc::dup3(file.as_raw_fd(), fourth.fd(), libc::O_CLOEXEC) }, fourth.fd());
    let mut bytes = [1_u8; 8];
    assert_eq!(unsafe { libc::read(fourth.fd(), bytes.as_mut_ptr().cast(), 8) }, 8);
    assert_eq!(bytes, [0; 8]);
    // The portid is free when the last descriptor is closed.
    drop(second);
    let again = Socket::new();
    until("the portid is free", || again.bind(portid.0, 0).is_ok());
}

fn readiness() {
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

/// The other process of some cases: has a netlink socket by number and uses it.
fn child(fd: i32) {
    let socket = Socket(unsafe { OwnedFd::from_raw_fd(fd) });
    // Under a number that it got only here, and by a call that looks at what it is.
    let portid = socket.name().0;
    assert_ne!(portid, 0);
    assert_eq!(socket.get(SOL_SOCKET, libc::SO_PROTOCOL), Ok(libc::NETLINK_GENERIC));
    socket.ask(1);
    let mut bytes = [0_u8; 4096];
    let length = checked(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), 4096) }).unwrap();
    assert_eq!(heads(&bytes[..length]), [(NLCTRL, 0, 1)]);
    socket.ask(2); // left for the parent
}

fn spawn_child(fd: i32) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_case", "--nocapture"])
        .env("PFNL_CASE", format!("child:{fd}"))
        .status();
    assert!(status.unwrap().success());
}

fn inherited_through_exec() {
    let socket = Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC).unwrap();
    socket.bind(0, 0).unwrap();
    spawn_child(socket.fd());
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 2)]);
    // Duplicated for the child, and used by the child before us.
    let copy = unsafe { libc::dup(socket.fd()) };
    spawn_child(copy);
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 2)]);
}

fn passed_in_a_message() {
    let socket = Socket::bound();
    let (here, there) = UnixStream::pair().unwrap();
    // A file is read under the number that the socket will come back under.
    let zero = std::fs::File::open("/dev/zero").unwrap();
    let number = zero.as_raw_fd();
    (&zero).read_exact(&mut [0; 4]).unwrap();
    send_right(&here, socket.fd());
    assert_eq!(unsafe { libc::syscall(libc::SYS_close, number) }, 0); // not by the name that is watched
    std::mem::forget(zero);
    let received = receive_right(&there);
    assert_eq!(received, number);
    let received = Socket(unsafe { OwnedFd::from_raw_fd(received) });
    assert_eq!(received.name(), socket.name());
    received.ask(1);
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 1)]);
    socket.ask(2);
    drop(socket);
    assert_eq!(heads(&received.now().unwrap()), [(NLCTRL, 0, 2)]);
}

fn send_right(stream: &UnixStream, fd: i32) {
    let mut control = [20_u32, 0, 1, 1, fd.cast_unsigned(), 0];
    let mut byte = 1_u8;
    let mut vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = 24;
    assert_eq!(unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const message, 0) }, 1);
}

fn receive_right(stream: &UnixStream) -> i32 {
    let mut control = [0_u32; 6];
    let mut byte = 1_u8;
    let mut vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = 24;
    assert_eq!(unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) }, 1);
    assert_eq!(control[..4], [20, 0, 1, 1]);
    control[4].cast_signed()
}

fn send_errors() {
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

fn waiting() {
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

fn many_at_a_time() {
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

fn vectors_and_files() {
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

fn dump_in_small_reads() {
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

fn hundred_sockets() {
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

fn threads_share_a_socket() {
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

fn sockets_talk_to_each_other() {
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

/// Far more than a connection holds: what it does not take waits in the queue, and is there when it is read for.
fn more_than_the_connection_takes() {
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

/// A sender waits for room in another's queue, if it may.
fn senders_wait_for_readers() {
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

fn not_for_netlink() {
    let socket = Socket::bound();
    let fd = socket.fd();
    let null = std::ptr::null_mut::<u8>();
    let unsupported = Err(libc::EOPNOTSUPP);
    assert_eq!(checked(unsafe { libc::listen(fd, 1) } as isize), unsupported);
    assert_eq!(checked(unsafe { libc::accept(fd, null.cast(), null.cast()) } as isize), unsupported);
    assert_eq!(checked(unsafe { libc::shutdown(fd, libc::SHUT_RDWR) } as isize), unsupported);
    let mut count = 0_i32;
    assert_eq!(
        checked(unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut count) } as isize),
        Err(libc::ENOTTY)
    );
    assert_eq!(checked(unsafe { libc::lseek(fd, 0, 0) } as isize), Err(libc::ESPIPE));
    // Network ioctls work on any socket.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l', b'o'].map(u8::cast_signed));
    assert_eq!(unsafe { libc::ioctl(fd, libc::SIOCGIFFLAGS, &raw mut request) }, 0);
}

fn stale_descriptors() {
    // Closed by a system call of the program's own; the number becomes a file's, then a socket's again.
    let socket = Socket::bound();
    let number = socket.fd();
    std::mem::forget(socket);
    assert_eq!(unsafe { libc::syscall(libc::SYS_close, number) }, 0);
    let mut byte = [7_u8];
    let read = |byte: &mut [u8; 1]| checked(unsafe { libc::read(number, byte.as_mut_ptr().cast(), 1) });
    assert_eq!(read(&mut byte), Err(libc::EBADF));
    let zero = std::fs::File::open("/dev/zero").unwrap();
    assert_eq!(zero.as_raw_fd(), number);
    assert_eq!((read(&mut byte), byte), (Ok(1), [0]));
    drop(zero);
    let again = Socket::bound();
    assert_eq!(again.fd(), number);
    again.ask(1);
    assert_eq!(heads(&again.now().unwrap()), [(NLCTRL, 0, 1)]);
    // All at once.
    let others: Vec<_> = (0..20).map(|_| Socket::new()).collect();
    let (low, high) = (others[0].fd(), others[19].fd());
    others.into_iter().for_each(std::mem::forget);
    assert_eq!(unsafe { libc::close_range(low as u32, high as u32, 0) }, 0);
    let (mut name, mut length) = (address(0, 0), NL);
    let result = unsafe { libc::getsockname(low, (&raw mut name).cast(), &raw mut length) };
    assert_eq!(checked(result as isize), Err(libc::EBADF));
    again.ask(2);
    assert_eq!(heads(&again.now().unwrap()), [(NLCTRL, 0, 2)]);
}

fn children_close_theirs() {
    let socket = Socket::bound();
    socket.ask(1);
    // As vfork(2) and posix_spawn(3) do: a child in our memory closes everything before it executes.
    extern "C" fn child(fd: *mut libc::c_void) -> i32 {
        unsafe {
            libc::close(fd.addr() as i32);
            libc::close_range(3, u32::MAX, 0);
        }
        0
    }
    let mut stack = vec![0_u128; 4096];
    unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let pid = libc::clone(child, top, flags, std::ptr::without_provenance_mut(socket.fd() as usize));
        let mut status = 1;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0);
    }
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 1)]);
    socket.ask(2);
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 2)]);
}

fn other_protocols_are_the_kernels() {
    let route = Socket::of(libc::SOCK_RAW, libc::NETLINK_ROUTE).unwrap();
    route.bind(0, 0).unwrap();
    assert_eq!(route.get(SOL_SOCKET, libc::SO_PROTOCOL), Ok(libc::NETLINK_ROUTE));
    // RTM_GETLINK of lo.
    let mut request = [0_u8; 16];
    request[4] = 1;
    route.send(&message(18, REQUEST, 1, &request), 0).unwrap();
    assert_eq!(heads(&route.recv(65536, 0).unwrap())[0].0, 16, "RTM_NEWLINK");
    let (mut here, mut there) = UnixStream::pair().unwrap();
    here.write_all(b"word").unwrap();
    let mut word = [0; 4];
    there.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"word");
}

fn groups() {
    let socket = Socket::new();
    let join = libc::NETLINK_ADD_MEMBERSHIP;
    assert_eq!(socket.set(SOL_NETLINK, join, 0), Err(libc::EINVAL));
    assert_eq!(socket.set(SOL_NETLINK, join, 1 << 20), Err(libc::EINVAL));
    assert_eq!(socket.set(SOL_NETLINK, join, 16), Ok(0)); // nlctrl's "notify"
    assert_eq!(socket.name(), (0, 1 << 15));
    let list = |room: u32| {
        let (mut words, mut length) = ([0_u32; 64], room);
        let at = words.as_mut_ptr().cast();
        let name = libc::NETLINK_LIST_MEMBERSHIPS;
        let result = unsafe { libc::getsockopt(socket.fd(), SOL_NETLINK, name, at, &raw mut length) };
        assert_eq!(result, 0);
        (words[0], length)
    };
    let (word, length) = list(256);
    assert_eq!((word, length % 4), (1 << 15, 0));
    assert_eq!(list(4), (1 << 15, length));
    assert_eq!(list(3), (0, length));
    assert_eq!(socket.set(SOL_NETLINK, libc::NETLINK_DROP_MEMBERSHIP, 16), Ok(0));
    assert_eq!(socket.name(), (0, 0));
    socket.bind(0, 1 << 15).unwrap();
    assert_eq!(socket.name().1, 1 << 15);

    // Sent to a group by another socket: the receiver sees sender and group.
    if unsafe { libc::geteuid() } == 0 || under_pfnl() {
        socket.set(SOL_NETLINK, libc::NETLINK_PKTINFO, 1).unwrap();
        let sender = Socket::bound();
        let (bytes, to) = (message(100, 0, 1, &[]), address(0, 1 << 15));
        let to = (&raw const to).cast();
        let sent = unsafe { libc::sendto(sender.fd(), bytes.as_ptr().cast(), 16, 0, to, NL) };
        if under_pfnl() {
            assert_eq!(checked(sent), Ok(16));
        }
    }
}

fn overflow() {
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

fn buffer_sizes() {
    let socket = Socket::new();
    assert_eq!(socket.get(SOL_SOCKET, libc::SO_RCVBUF), Ok(212_992));
    assert_eq!(socket.get(SOL_SOCKET, libc::SO_SNDBUF), Ok(212_992));
    socket.set(SOL_SOCKET, libc::SO_RCVBUF, 32_768).unwrap();
    assert_eq!(socket.get(SOL_SOCKET, libc::SO_RCVBUF), Ok(65_536));
    if unsafe { libc::geteuid() } == 0 || under_pfnl() {
        // What OVS asks for, and reads back.
        socket.set(SOL_SOCKET, libc::SO_RCVBUFFORCE, 4 << 20).unwrap();
        assert_eq!(socket.get(SOL_SOCKET, libc::SO_RCVBUF), Ok(8 << 20));
    }
}

fn forked_child_shares() {
    let socket = Socket::bound();
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        socket.ask(1);
        let read = socket.now().map(|block| heads(&block));
        socket.ask(2);
        drop(socket);
        unsafe { libc::_exit(i32::from(read != Ok(vec![(NLCTRL, 0, 1)]))) };
    }
    let mut status = 1;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 2)]);
    socket.ask(3);
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 3)]);
}
