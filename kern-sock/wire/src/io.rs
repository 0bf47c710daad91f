//! Datagrams in and out, with descriptors and credentials (unix(7), cmsg(3)).

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// The calling thread's errno.
pub fn os_error() -> i32 {
    // SAFETY: the address is the thread's own errno.
    unsafe { *libc::__errno_location() }
}

/// What libc::syscall returned, as a result.
///
/// # Errors
/// The errno, if it returned −1.
pub fn syscall(result: libc::c_long) -> io::Result<i64> {
    if result == -1 { Err(io::Error::from_raw_os_error(os_error())) } else { Ok(result) }
}

/// Room for cmsgs, aligned as the kernel wants them: one descriptor and one set of credentials.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// A datagram as it came.
pub struct Received {
    /// Bytes in it, also those that did not fit.
    pub length: usize,
    /// The process, user and group of who sent it, if the socket asks for that; −1 stands for unknown.
    pub sender: Option<(i32, u32, u32)>,
    /// The descriptor that came with it. More than one are closed.
    pub rights: Option<OwnedFd>,
}

/// Sends one datagram made of parts, without waiting, maybe with a descriptor.
///
/// # Errors
/// What sendmsg(2) says.
pub fn send(fd: BorrowedFd<'_>, parts: [&[u8]; 2], rights: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let iov =
        parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    // SAFETY: the vectors are of slices that live through the call, which reads them.
    unsafe { send_raw(fd.as_raw_fd(), &iov, rights.map(|fd| fd.as_raw_fd()), None, false) }
}

/// As [`send`], for vectors that a program gave, and a descriptor that the program may have given to something else; maybe
/// with credentials to be known by, which the kernel checks. Nothing is sent but on a connection of our kind: those, and
/// no other sockets, take a datagram that names an address of AF_UNIX and wants a TCP connection opened by it.
///
/// # Errors
/// What sendmsg(2) says: `EFAULT` for vectors that point nowhere; an error of any kind for what is no connection.
///
/// # Safety
/// The vectors' memory is not changed to hold references-breaking data: it is only read, by the kernel.
pub unsafe fn send_connected(
    fd: RawFd,
    iov: &[libc::iovec],
    rights: Option<RawFd>,
    sender: Option<libc::ucred>,
) -> io::Result<usize> {
    // SAFETY: the caller's word.
    unsafe { send_raw(fd, iov, rights, sender, true) }
}

/// # Safety
/// As [`send_connected`].
unsafe fn send_raw(
    fd: RawFd,
    iov: &[libc::iovec],
    rights: Option<RawFd>,
    sender: Option<libc::ucred>,
    connected: bool,
) -> io::Result<usize> {
    let mut control = Control([0; 64]);
    // SAFETY: all zeroes is a valid msghdr.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = iov.as_ptr().cast_mut();
    header.msg_iovlen = iov.len();
    let mut used = 0;
    if let Some(rights) = rights {
        // SAFETY: `control` has room for one descriptor and one set of credentials, and is aligned.
        used += unsafe { put(&mut control, used, libc::SCM_RIGHTS, rights) };
    }
    if let Some(sender) = sender {
        // SAFETY: as above.
        used += unsafe { put(&mut control, used, libc::SCM_CREDENTIALS, sender) };
    }
    if used > 0 {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used;
    }
    let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // A sockaddr_un of "/".
    let [low, high] = (libc::AF_UNIX as libc::sa_family_t).to_ne_bytes();
    let mut root = [low, high, b'/', 0];
    if connected {
        header.msg_name = root.as_mut_ptr().cast();
        header.msg_namelen = root.len() as libc::socklen_t;
        flags |= libc::MSG_FASTOPEN;
    }
    // SAFETY: the header points to a live name, live vectors and control data, which the kernel only reads.
    let sent = syscall(unsafe { libc::syscall(libc::SYS_sendmsg, fd, &raw const header, flags) })?;
    Ok(sent as usize)
}

/// Writes a cmsg of SOL_SOCKET; gives the room it takes.
///
/// # Safety
/// There is that much room from `at` on, which is aligned.
unsafe fn put<T>(control: &mut Control, at: usize, kind: libc::c_int, data: T) -> usize {
    // SAFETY: CMSG_SPACE and CMSG_LEN compute; the rest is the caller's word.
    unsafe {
        let cmsg = control.0.as_mut_ptr().add(at).cast::<libc::cmsghdr>();
        (*cmsg).cmsg_level = libc::SOL_SOCKET;
        (*cmsg).cmsg_type = kind;
        (*cmsg).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as usize;
        libc::CMSG_DATA(cmsg).cast::<T>().write_unaligned(data);
        libc::CMSG_SPACE(size_of::<T>() as u32) as usize
    }
}

/// Receives one datagram into a head and a body, with what came beside it. A length of 0 is the end of the connection.
///
/// # Errors
/// What recvmsg(2) says; `EAGAIN` when there is none and `wait` is false (or the socket's own time is over).
pub fn recv(fd: BorrowedFd<'_>, head: &mut [u8], body: &mut [u8], wait: bool) -> io::Result<Received> {
    let mut iov = [
        libc::iovec { iov_base: head.as_mut_ptr().cast(), iov_len: head.len() },
        libc::iovec { iov_base: body.as_mut_ptr().cast(), iov_len: body.len() },
    ];
    let mut control = MaybeUninit::<Control>::uninit();
    // SAFETY: all zeroes is a valid msghdr.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = iov.as_mut_ptr();
    header.msg_iovlen = iov.len();
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>();
    let flags = libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: the header points to live buffers of the lengths it states.
    let length = syscall(unsafe { libc::syscall(libc::SYS_recvmsg, fd.as_raw_fd(), &raw mut header, flags) })?
        as usize;

    let mut received = Received { length, sender: None, rights: None };
    // SAFETY: the kernel has set msg_controllen to what it wrote, and the CMSG macros stay within that; SCM_RIGHTS
    // hands us descriptors that nobody else knows, each wrapped once.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(head) = cmsg.as_ref() {
            let data = libc::CMSG_DATA(cmsg);
            let size = head.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            match (head.cmsg_level, head.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for index in 0..size / size_of::<RawFd>() {
                        let right = data.cast::<RawFd>().add(index).read_unaligned();
                        received.rights = Some(OwnedFd::from_raw_fd(right));
                    }
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if size >= size_of::<libc::ucred>() => {
                    let ucred = data.cast::<libc::ucred>().read_unaligned();
                    received.sender = Some((ucred.pid, ucred.uid, ucred.gid));
                }
                _ => {}
            }
            cmsg = libc::CMSG_NXTHDR(&raw const header, cmsg);
        }
    }
    Ok(received)
}

/// Makes the kernel tell who sends each datagram (SO_PASSCRED).
///
/// # Errors
/// What setsockopt(2) says.
pub fn credentials_on(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SO_PASSCRED, 1)
}

/// The process, user and group that connected (SO_PEERCRED).
///
/// # Errors
/// What getsockopt(2) says.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<(i32, u32, u32)> {
    let mut ucred = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the value and its length live through the call and state their true size.
    syscall(unsafe {
        libc::syscall(
            libc::SYS_getsockopt,
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            &raw mut ucred,
            &raw mut length,
        )
    })?;
    Ok((ucred.pid, ucred.uid, ucred.gid))
}

/// Makes the connection's send buffer hold as much as the system allows, up to `bytes`.
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_buffer(fd: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    // Beyond net.core.wmem_max with CAP_NET_ADMIN only; the plain option then gives what is allowed.
    set_option(fd, libc::SO_SNDBUFFORCE, bytes).or_else(|_| set_option(fd, libc::SO_SNDBUF, bytes))
}

fn set_option(fd: BorrowedFd<'_>, name: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>();
    let at = ptr::from_ref(&value);
    // SAFETY: the value lives through the call, which reads as much of it as is stated.
    syscall(unsafe {
        libc::syscall(libc::SYS_setsockopt, fd.as_raw_fd(), libc::SOL_SOCKET, name, at, size)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        let mut fds = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: `fds` has room for two; they are fresh and wrapped once.
        unsafe {
            assert_eq!(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()), 0);
            (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
        }
    }

    #[test]
    fn a_datagram_brings_its_descriptor_and_sender() {
        let (a, b) = pair();
        credentials_on(b.as_fd()).unwrap();
        set_buffer(a.as_fd(), 1 << 20).unwrap();
        send(a.as_fd(), [b"head", b"long body"], Some(a.as_fd())).unwrap();
        let (mut head, mut body) = ([0; 4], [0; 4]);
        let received = recv(b.as_fd(), &mut head, &mut body, true).unwrap();
        assert_eq!((&head, &body, received.length), (b"head", b"long", 13));
        // SAFETY: no preconditions.
        let me = unsafe { (libc::getpid(), libc::getuid(), libc::getgid()) };
        assert_eq!(received.sender, Some(me));
        assert!(received.rights.is_some());
        assert_eq!(peer_credentials(b.as_fd()).unwrap().0, me.0);
        assert_eq!(
            recv(b.as_fd(), &mut head, &mut body, false).err().unwrap().raw_os_error(),
            Some(libc::EAGAIN)
        );
        drop((a, received.rights));
        assert_eq!(recv(b.as_fd(), &mut head, &mut body, true).unwrap().length, 0);
    }

    #[test]
    fn only_connections_of_our_kind_are_sent_on() {
        use std::net::{TcpListener, TcpStream, UdpSocket};
        use std::os::unix::net::{UnixDatagram, UnixStream};
        let data = libc::iovec { iov_base: b"x".as_ptr().cast_mut().cast(), iov_len: 1 };
        // SAFETY: the vector is of a byte that lives on.
        let sent =
            |fd: BorrowedFd<'_>| unsafe { send_connected(fd.as_raw_fd(), &[data], None, None) }.is_ok();
        let (a, _b) = pair();
        assert!(sent(a.as_fd()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect(udp.local_addr().unwrap()).unwrap();
        let ((stream, _other), (dgram, _another)) =
            (UnixStream::pair().unwrap(), UnixDatagram::pair().unwrap());
        let file = std::fs::File::open("/dev/null").unwrap();
        for fd in [tcp.as_fd(), udp.as_fd(), stream.as_fd(), dgram.as_fd(), file.as_fd()] {
            assert!(!sent(fd));
        }
        // And they are as they were.
        let (mut peer, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut &tcp, b"y").unwrap();
        let mut byte = [0];
        std::io::Read::read_exact(&mut peer, &mut byte).unwrap();
        assert_eq!(&byte, b"y");
    }

    #[test]
    fn descriptors_beyond_the_first_are_not_leaked() {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let (a, b) = pair();
        let before = count();
        for _ in 0..50 {
            send(a.as_fd(), [b"x", b""], Some(a.as_fd())).unwrap();
            drop(recv(b.as_fd(), &mut [0; 1], &mut [], false).unwrap());
        }
        assert!(count() < before + 25, "other tests may hold some, not fifty");
    }
}
