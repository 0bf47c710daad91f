//! The functions a program sees instead of libc's: each asks whose descriptor it is, and goes one way or the other.
//!
//! A prototype with an ellipsis is defined here with a pointer-sized third argument: on the Linux ABIs of x86-64 and
//! AArch64 a variadic argument travels as any other.

use crate::table::{self, Pin, find, holds, trusted};
use crate::transmit::message;
use crate::{Errno, fail, is_wild, next, open, options, receive, route, transmit};
use libc::{
    c_int, c_uint, c_ulong, c_void, iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec,
};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

const NETLINK_GENERIC: c_int = libc::NETLINK_GENERIC;
const NETLINK_NETFILTER: c_int = libc::NETLINK_NETFILTER;
/// Requests that a connection knows and netlink does not.
const SIOCATMARK: c_ulong = 0x8905;
const SIOCPROTOPRIVATE: c_ulong = 0x89e0;
const SIOCPROTOPRIVATE_LAST: c_ulong = 0x89ef;

/// Defines functions that do one thing on a socket of ours, and libc's on any other descriptor, unless there is something
/// else to be done.
macro_rules! interpose {
    ($($(#[doc = $doc:literal])* fn $name:ident($fd:ident: c_int $(, $arg:ident: $type:ty)*) -> $result:ty
        { |$socket:ident| $ours:expr } $(or { $foreign:expr })?)*) => { $(
        $(#[doc = $doc])*
        ///
        /// # Safety
        /// As the C function.
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe, reason = "some answers are constants")]
        pub unsafe extern "C" fn $name($fd: c_int $(, $arg: $type)*) -> $result {
            match find($fd) {
                // SAFETY: the caller keeps to the C function's contract.
                Ok(None) => unsafe {
                    $(if let Some(result) = $foreign {
                        return result as $result;
                    })?
                    next::$name($fd $(, $arg)*)
                },
                // SAFETY: as above.
                Ok(Some($socket)) => unsafe { give($ours) as $result },
                Err(errno) => fail(errno) as $result,
            }
        }
    )* };
}

/// As [`interpose`], of what happens often: the descriptor is looked at more closely only if something fails.
macro_rules! interpose_data {
    ($($(#[doc = $doc:literal])* fn $name:ident($fd:ident: c_int $(, $arg:ident: $type:ty)*) -> $result:ty
        { |$socket:ident| $ours:expr } $(or { $foreign:expr })?)*) => { $(
        $(#[doc = $doc])*
        ///
        /// # Safety
        /// As the C function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($fd: c_int $(, $arg: $type)*) -> $result {
            // SAFETY: the caller keeps to the C function's contract.
            let ours = often($fd, |$socket| unsafe { $ours });
            if let Some(result) = ours {
                return result as $result;
            }
            // SAFETY: as above.
            unsafe {
                $(if let Some(result) = $foreign {
                    return result as $result;
                })?
                next::$name($fd $(, $arg)*)
            }
        }
    )* };
}

/// Does something on a socket of ours. `None`: the descriptor is none.
fn often(fd: c_int, work: impl Fn(&Pin) -> Result<usize, Errno>) -> Option<isize> {
    let mut found = trusted(fd);
    loop {
        match &found {
            Ok(None) => return None,
            Ok(Some(socket)) => match work(socket) {
                // A queue that is empty is nothing odd.
                Err(errno) if errno != libc::EAGAIN && !holds(fd, socket) => {}
                result => return Some(give(result)),
            },
            Err(errno) => return Some(fail(*errno)),
        }
        found = find(fd);
    }
}

/// A result in C's way: −1 and errno for an error.
pub fn give(result: Result<usize, Errno>) -> isize {
    result.map_or_else(fail, usize::cast_signed)
}

/// socket(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let plain = kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
    let ours = domain == libc::AF_NETLINK
        && matches!(protocol, NETLINK_GENERIC | NETLINK_NETFILTER)
        && matches!(plain, libc::SOCK_RAW | libc::SOCK_DGRAM);
    if ours {
        match open::open(kind, protocol) {
            Ok(fd) => return fd,
            // A host without connections to tell of: netfilter stays the machine's own.
            Err(libc::EPROTONOSUPPORT) if protocol == NETLINK_NETFILTER => {}
            Err(errno) => return fail(errno) as c_int,
        }
    }
    // SAFETY: no memory is involved.
    unsafe { next::socket(domain, kind, protocol) }
}

interpose! {
    /// bind(2).
    fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
        |socket| options::bind(fd, &socket, address, length).map(|()| 0)
    }
    /// connect(2).
    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
        |socket| options::connect(fd, &socket, address, length).map(|()| 0)
    }
    /// listen(2): netlink has none.
    fn listen(fd: c_int, backlog: c_int) -> c_int { |_socket| Err(libc::EOPNOTSUPP) }
    /// accept(2): netlink has none.
    fn accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
        |_socket| Err(libc::EOPNOTSUPP)
    }
    /// accept4(2): netlink has none.
    fn accept4(fd: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int {
        |_socket| Err(libc::EOPNOTSUPP)
    }
    /// shutdown(2): netlink has none.
    fn shutdown(fd: c_int, how: c_int) -> c_int { |_socket| Err(libc::EOPNOTSUPP) }
    /// getsockname(2).
    fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
        |socket| options::name(socket.name(), address, length).map(|()| 0)
    }
    /// getpeername(2).
    fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
        |socket| options::name(socket.peer(), address, length).map(|()| 0)
    }
    /// setsockopt(2).
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: socklen_t) -> c_int {
        |socket| match options::set(fd, &socket, (level, name), value, length) {
            Ok(false) => return next::setsockopt(fd, level, name, value, length),
            result => result.map(|_| 0),
        }
    }
    /// getsockopt(2).
    fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut socklen_t) -> c_int {
        |socket| match options::get(fd, &socket, (level, name), value, length) {
            Ok(false) => return next::getsockopt(fd, level, name, value, length),
            result => result.map(|_| 0),
        }
    }

    /// ioctl(2): netlink sockets know neither FIONREAD nor SIOCOUTQ; the rest is the descriptor's (FIONBIO) or the
    /// network's (SIOCGIF…).
    fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
        |_socket| match request {
            libc::FIONREAD | libc::TIOCOUTQ | SIOCATMARK => Err(libc::ENOTTY),
            SIOCPROTOPRIVATE..=SIOCPROTOPRIVATE_LAST => Err(libc::ENOTTY),
            _ => return next::ioctl(fd, request, argument),
        }
    }
}

interpose_data! {
    /// send(2).
    fn send(fd: c_int, data: *const c_void, length: size_t, flags: c_int) -> ssize_t {
        |socket| send_to(fd, socket, (data, length), flags, (null(), 0))
    } or { reworded_bytes(fd, (data, length), flags, (null(), 0)) }
    /// sendto(2).
    fn sendto(fd: c_int, data: *const c_void, length: size_t, flags: c_int, to: *const sockaddr, to_length: socklen_t)
        -> ssize_t { |socket| send_to(fd, socket, (data, length), flags, (to, to_length)) }
        or { reworded_bytes(fd, (data, length), flags, (to, to_length)) }
    /// sendmsg(2).
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
        |socket| checked(message, flags).and_then(|()| transmit::transmit(fd, socket, &*message, flags))
    } or { message.as_ref().and_then(|message| reworded(fd, message, flags)) }
    /// sendmmsg(2).
    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
        |socket| checked_vector(messages, count, flags)
            .and_then(|()| many(messages, count, |message, _| transmit::transmit(fd, socket, message, flags)))
    } or { table::is_route(fd).then(|| give(many(messages, count, |message, _| one_by_one(fd, message, flags)))) }
    /// write(2).
    fn write(fd: c_int, data: *const c_void, length: size_t) -> ssize_t {
        |socket| send_to(fd, socket, (data, length), 0, (null(), 0))
    } or { reworded_bytes(fd, (data, length), 0, (null(), 0)) }
    /// writev(2).
    fn writev(fd: c_int, vectors: *const iovec, count: c_int) -> ssize_t {
        |socket| spread(vectors, count).and_then(|message| write_file(fd, socket, &message, 0))
    } or { spread(vectors, count).ok().and_then(|message| reworded(fd, &message, 0)) }

    /// recv(2).
    fn recv(fd: c_int, data: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
        |socket| receive_from(fd, socket, (data, length), flags, null_mut(), null_mut())
    }
    /// recvfrom(2).
    fn recvfrom(fd: c_int, data: *mut c_void, length: size_t, flags: c_int, from: *mut sockaddr,
        from_length: *mut socklen_t) -> ssize_t {
        |socket| receive_from(fd, socket, (data, length), flags, from, from_length)
    }
    /// read(2).
    fn read(fd: c_int, data: *mut c_void, length: size_t) -> ssize_t {
        |socket| read_file(length, || receive_from(fd, socket, (data, length), 0, null_mut(), null_mut()))
    }
    /// readv(2).
    fn readv(fd: c_int, vectors: *const iovec, count: c_int) -> ssize_t {
        |socket| spread(vectors, count).and_then(|mut message| {
            let room = transmit::vectors(message.msg_iov, message.msg_iovlen).and_then(transmit::total)?;
            read_file(room, || receive::receive(fd, socket, &mut message, 0))
        })
    }
    /// read(2) as _FORTIFY_SOURCE calls it.
    fn __read_chk(fd: c_int, data: *mut c_void, length: size_t, room: size_t) -> ssize_t {
        |socket| {
            let length = length.min(room);
            read_file(length, || receive_from(fd, socket, (data, length), 0, null_mut(), null_mut()))
        }
    }
    /// recv(2) as _FORTIFY_SOURCE calls it.
    fn __recv_chk(fd: c_int, data: *mut c_void, length: size_t, room: size_t, flags: c_int) -> ssize_t {
        |socket| receive_from(fd, socket, (data, length.min(room)), flags, null_mut(), null_mut())
    }
    /// recvfrom(2) as _FORTIFY_SOURCE calls it.
    fn __recvfrom_chk(fd: c_int, data: *mut c_void, length: size_t, room: size_t, flags: c_int, from: *mut sockaddr,
        from_length: *mut socklen_t) -> ssize_t {
        |socket| receive_from(fd, socket, (data, length.min(room)), flags, from, from_length)
    }
}

/// recvmsg(2). On foreign sockets too it is of interest: descriptors may come with a message.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller keeps to the C function's contract.
    unsafe {
        let ours = often(fd, |socket| {
            checked(message, flags).and_then(|()| receive::receive(fd, socket, &mut *message, flags))
        });
        if let Some(result) = ours {
            return result;
        }
        let length = next::recvmsg(fd, message, flags);
        if length >= 0 {
            forget_rights(&*message);
        }
        length
    }
}

/// recvmmsg(2), as [`recvmsg`]. The timeout is looked at after each message, as Linux does.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    let socket = match find(fd) {
        Ok(Some(socket)) => socket,
        Err(errno) => return fail(errno) as c_int,
        Ok(None) => {
            // SAFETY: the caller keeps to the C function's contract; the first `received` messages are filled.
            unsafe {
                let received = next::recvmmsg(fd, messages, count, flags, timeout);
                for index in 0..usize::try_from(received).unwrap_or(0) {
                    forget_rights(&(*messages.add(index)).msg_hdr);
                }
                return received;
            }
        }
    };
    if let Err(errno) = checked_vector(messages, count, flags) {
        return fail(errno) as c_int;
    }
    // SAFETY: as above.
    let limit = unsafe { timeout.as_ref() }.map(|time| {
        let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
        Instant::now() + whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
    });
    // SAFETY: as above.
    let received = unsafe {
        many(messages, count, |message, index| {
            if index > 0 && limit.is_some_and(|limit| Instant::now() >= limit) {
                return Err(libc::EAGAIN);
            }
            let wait = flags & libc::MSG_WAITFORONE == 0 || index == 0;
            let flags = flags & !libc::MSG_WAITFORONE | if wait { 0 } else { libc::MSG_DONTWAIT };
            receive::receive(fd, &socket, message, flags)
        })
    };
    give(received) as c_int
}

unsafe fn send_to(
    fd: c_int,
    socket: &Pin,
    (data, length): (*const c_void, usize),
    flags: c_int,
    (to, to_length): (*const sockaddr, socklen_t),
) -> Result<usize, Errno> {
    let mut vector = iovec { iov_base: data.cast_mut(), iov_len: length };
    let message = message(&mut vector, to.cast_mut().cast(), to_length);
    // SAFETY: the caller's word.
    unsafe { transmit::transmit(fd, socket, &message, flags) }
}

/// Sends what is to go to the machine's own NETLINK_ROUTE instead of this message; `None` if that is the message itself.
unsafe fn reworded(fd: c_int, message: &msghdr, flags: c_int) -> Option<ssize_t> {
    // SAFETY: the caller's word.
    let vectors = unsafe { transmit::vectors(message.msg_iov, message.msg_iovlen).ok()? };
    let mut bytes = route::instead(fd, vectors)?;
    let mut vector = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let instead = msghdr { msg_iov: &raw mut vector, msg_iovlen: 1, ..*message };
    // SAFETY: the bytes live through the call; the rest is the caller's word.
    Some(unsafe { next::sendmsg(fd, &raw const instead, flags) })
}

unsafe fn reworded_bytes(
    fd: c_int,
    (data, length): (*const c_void, usize),
    flags: c_int,
    (to, to_length): (*const sockaddr, socklen_t),
) -> Option<ssize_t> {
    let mut vector = iovec { iov_base: data.cast_mut(), iov_len: length };
    let message = message(&mut vector, to.cast_mut().cast(), to_length);
    // SAFETY: the caller's word.
    unsafe { reworded(fd, &message, flags) }
}

/// sendmsg(2), with its error as a value.
unsafe fn one_by_one(fd: c_int, message: &msghdr, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller's word.
    let sent = unsafe { sendmsg(fd, message, flags) };
    usize::try_from(sent).map_err(|_| pfnl_wire::os_error())
}

unsafe fn receive_from(
    fd: c_int,
    socket: &Pin,
    (data, length): (*mut c_void, usize),
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> Result<usize, Errno> {
    let is_lost = !from.is_null() && crate::is_wild(from_length);
    // SAFETY: the caller's word: a length beside an address.
    let room = if is_lost { None } else { unsafe { from_length.as_mut() } };
    let name = if room.is_some() { from } else { null_mut() };
    let mut vector = iovec { iov_base: data, iov_len: length };
    let mut message = message(&mut vector, name.cast(), room.as_ref().map_or(0, |room| **room));
    // SAFETY: the caller's word.
    let received = unsafe { receive::receive(fd, socket, &mut message, flags)? };
    if is_lost {
        return Err(libc::EFAULT); // as Linux: the message is taken
    }
    if let Some(room) = room.filter(|_| !from.is_null()) {
        *room = message.msg_namelen;
    }
    Ok(received)
}

/// read(2) of nothing is nothing, and takes no message.
pub fn read_file(room: usize, receive: impl FnOnce() -> Result<usize, Errno>) -> Result<usize, Errno> {
    if room == 0 { Ok(0) } else { receive() }
}

/// A message of readv(2)'s or writev(2)'s vectors.
pub fn spread(vectors: *const iovec, count: c_int) -> Result<msghdr, Errno> {
    let count = usize::try_from(count).ok().filter(|&count| count <= 1024).ok_or(libc::EINVAL)?;
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.cast_mut();
    message.msg_iovlen = count;
    Ok(message)
}

/// What a kernel says of a message before it looks at it.
fn checked<T>(message: *const T, flags: c_int) -> Result<(), Errno> {
    checked_vector(message, 1, flags)
}

/// As [`checked`], of so many of them.
fn checked_vector<T>(messages: *const T, count: c_uint, flags: c_int) -> Result<(), Errno> {
    /// `MSG_CMSG_COMPAT`, the kernel's own flag.
    const COMPAT: c_int = c_int::MIN;
    match flags & COMPAT {
        0 if count > 0 && is_wild(messages) => Err(libc::EFAULT),
        0 => Ok(()),
        _ => Err(libc::EINVAL),
    }
}

/// writev(2) of nothing does nothing.
pub unsafe fn write_file(fd: c_int, socket: &Pin, message: &msghdr, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller's word.
    let length =
        unsafe { transmit::vectors(message.msg_iov, message.msg_iovlen) }.and_then(transmit::total)?;
    if length == 0 {
        return Ok(0);
    }
    // SAFETY: the caller's word.
    unsafe { transmit::transmit(fd, socket, message, flags) }
}

/// Does something with each message of a vector, up to the first error; that is given only if nothing came before it.
unsafe fn many(
    messages: *mut mmsghdr,
    count: c_uint,
    mut each: impl FnMut(&mut msghdr, usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let count = (count as usize).min(1024); // UIO_MAXIOV, as the kernel
    for index in 0..count {
        // SAFETY: the caller's word: `count` messages.
        let message = unsafe { &mut *messages.add(index) };
        match each(&mut message.msg_hdr, index) {
            Ok(length) => message.msg_len = length as c_uint,
            Err(errno) if index == 0 => return Err(errno),
            Err(_) => return Ok(index),
        }
    }
    Ok(count)
}

/// Descriptors came with a message: what was known about their numbers is not true any more.
unsafe fn forget_rights(message: &msghdr) {
    if message.msg_control.is_null() {
        return;
    }
    // SAFETY: the kernel has written the control data and its length; the macros stay within it.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(message);
        while let Some(head) = cmsg.as_ref() {
            if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_RIGHTS {
                let size = head.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                for index in 0..size / size_of::<c_int>() {
                    table::forget(libc::CMSG_DATA(cmsg).cast::<c_int>().add(index).read_unaligned());
                }
            }
            cmsg = libc::CMSG_NXTHDR(message, cmsg);
        }
    }
}
