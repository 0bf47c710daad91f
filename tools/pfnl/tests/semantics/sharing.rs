//! One socket under several descriptors and in several processes.

use crate::common::*;
use libc::SOL_SOCKET;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

pub fn duplicates() {
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

pub fn child(fd: i32) {
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

pub fn inherited_through_exec() {
    let socket = Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC).unwrap();
    socket.bind(0, 0).unwrap();
    spawn_child(socket.fd());
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 2)]);
    // Duplicated for the child, and used by the child before us.
    let copy = unsafe { libc::dup(socket.fd()) };
    spawn_child(copy);
    assert_eq!(heads(&socket.now().unwrap()), [(NLCTRL, 0, 2)]);
}

pub fn passed_in_a_message() {
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

pub fn stale_descriptors() {
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

pub fn children_close_theirs() {
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

pub fn forked_child_shares() {
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

/// What a process may do is a matter of who calls, not only of who opened the socket.
pub fn privileges_are_the_callers() {
    if unsafe { libc::geteuid() } != 0 {
        return; // a user of the host administers it; another user needs root to become
    }
    let socket = Socket::bound();
    let force = |socket: &Socket| socket.set(SOL_SOCKET, libc::SO_RCVBUFFORCE, 1 << 20);
    let notify = |socket: &Socket| {
        let (bytes, to) = (message(100, 0, 1, &[]), address(0, 1 << 15));
        let to = (&raw const to).cast();
        checked(unsafe { libc::sendto(socket.fd(), bytes.as_ptr().cast(), 16, 0, to, NL) })
    };
    assert_eq!(force(&socket), Ok(0));
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0);
        let refused = force(&socket) == Err(libc::EPERM) && notify(&socket) == Err(libc::EPERM);
        socket.ask(1); // what everybody may do
        let asked = heads(&socket.now().unwrap())[0].2 == 1;
        unsafe { libc::_exit(i32::from(!(refused && asked))) };
    }
    let mut status = 1;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
}
