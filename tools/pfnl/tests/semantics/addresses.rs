//! Names, options and memberships.

use crate::common::*;
use crate::under_pfnl;
use libc::{MSG_DONTWAIT, SOL_NETLINK, SOL_SOCKET};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

pub fn names() {
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

pub fn identity() {
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

pub fn bind_and_connect_errors() {
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

pub fn groups() {
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
    let sender = Socket::bound();
    let (bytes, to) = (message(100, 0, 1, &[]), address(0, 1 << 15));
    let to = (&raw const to).cast();
    let sent = checked(unsafe { libc::sendto(sender.fd(), bytes.as_ptr().cast(), 16, 0, to, NL) });
    if sent == Err(libc::EPERM) && !under_pfnl() {
        return; // needs CAP_NET_ADMIN on the kernel's own
    }
    assert_eq!(sent, Ok(16));
    let (mut from, mut length) = (address(0, 0), NL);
    let mut block = [0_u8; 64];
    let (at, from_at) = (block.as_mut_ptr().cast(), (&raw mut from).cast());
    let got = unsafe { libc::recvfrom(socket.fd(), at, 64, MSG_DONTWAIT, from_at, &raw mut length) };
    assert_eq!((checked(got), &block[..16]), (Ok(16), &bytes[..]));
    assert_eq!((from.nl_pid, from.nl_groups), (sender.name().0, 1 << 15));
    assert_eq!(sender.now(), Err(libc::EAGAIN), "the sender gets none");
}

pub fn buffer_sizes() {
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

pub fn not_for_netlink() {
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

pub fn other_protocols_are_the_kernels() {
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
