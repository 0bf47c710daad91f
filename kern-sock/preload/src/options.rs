//! Names and options: bind(2), connect(2), getsockname(2), getsockopt(2) and their kin.

use crate::Errno;
use crate::call::call;
use crate::receive::write_address;
use crate::table::Pin;
use crate::transmit::address;
use libc::{c_int, c_void, iovec, sockaddr, socklen_t};
use pfnl_wire::{Kind, OUT, Op, Request};
use std::ptr;

/// The socket gives NETLINK_PKTINFO with what is received.
pub const FLAG_PKTINFO: u32 = 1;
/// The socket gives SCM_CREDENTIALS with what is received.
pub const FLAG_PASSCRED: u32 = 2;
/// In the page's flags: a reader that does not wait has been told that the host is gone.
pub const FLAG_TOLD: u32 = 16;
/// What SO_BUF_LOCK tells, by two bits from here on: that SO_SNDBUF (1) and SO_RCVBUF (2) were chosen.
const BUF_LOCK_SHIFT: u32 = 2;
/// `SO_BUF_LOCK` of asm-generic/socket.h; libc has none.
const SO_BUF_LOCK: c_int = 72;
/// `SO_PASSPIDFD`, `SO_PEERPIDFD`.
const SO_PASSPIDFD: c_int = 76;
const SO_PEERPIDFD: c_int = 77;
/// The longest address that a kernel looks at (`sizeof(struct sockaddr_storage)`).
const LONGEST_ADDRESS: socklen_t = 128;

/// Who answers an option.
enum Place {
    /// The host, which has the socket.
    Host,
    /// The kernel: it is about the descriptor or its waiting.
    Kernel,
    /// We do.
    Here,
    /// Nobody.
    Nowhere(Errno),
}

fn place(level: c_int, name: c_int, set: bool) -> Place {
    match (level, name) {
        (libc::SOL_NETLINK, _) => Place::Host,
        (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF | libc::SO_MEMINFO) => Place::Host,
        (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE | libc::SO_SNDBUFFORCE) if set => Place::Host,
        (libc::SOL_SOCKET, libc::SO_PASSCRED | SO_BUF_LOCK) => Place::Here,
        // The connection is between processes, netlink is not.
        (libc::SOL_SOCKET, libc::SO_PEERGROUPS | SO_PEERPIDFD) if !set => Place::Nowhere(libc::ENODATA),
        (libc::SOL_SOCKET, SO_PASSPIDFD) => Place::Nowhere(libc::EOPNOTSUPP),
        (libc::SOL_SOCKET, libc::SO_TYPE | libc::SO_PROTOCOL | libc::SO_DOMAIN | libc::SO_ERROR) if !set => {
            Place::Here
        }
        (libc::SOL_SOCKET, libc::SO_PEERCRED) if !set => Place::Here,
        (libc::SOL_SOCKET, libc::SO_PEERSEC) => Place::Nowhere(libc::ENOPROTOOPT),
        (libc::SOL_SOCKET, libc::SO_PEEK_OFF) => Place::Nowhere(libc::EOPNOTSUPP),
        // A filter would see our framing; the family has none of its own.
        (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER | libc::SO_ATTACH_BPF) => Place::Nowhere(libc::ENOPROTOOPT),
        (libc::SOL_SOCKET, _) => Place::Kernel,
        _ => Place::Nowhere(libc::ENOPROTOOPT),
    }
}

/// setsockopt(2). `Ok(false)`: it is the kernel's business.
///
/// # Errors
/// As netlink's setsockopt(2).
///
/// # Safety
/// As setsockopt(2).
pub unsafe fn set(
    fd: c_int,
    socket: &Pin,
    (level, name): (c_int, c_int),
    value: *const c_void,
    length: socklen_t,
) -> Result<bool, Errno> {
    let length = usize::try_from(length.cast_signed()).map_err(|_| libc::EINVAL)?;
    match place(level, name, true) {
        Place::Kernel => return Ok(false),
        Place::Nowhere(errno) => return Err(errno),
        Place::Here => {
            // SAFETY: the caller's word.
            let value = unsafe { integer(value, length) }.ok_or(libc::EINVAL)?;
            match name {
                SO_BUF_LOCK if value & !3 != 0 => return Err(libc::EINVAL),
                SO_BUF_LOCK => (0..2).for_each(|bit| {
                    socket.set_flag(1 << (BUF_LOCK_SHIFT + bit), value & 1 << bit != 0);
                }),
                _ => socket.set_flag(FLAG_PASSCRED, value != 0),
            }
        }
        Place::Host => {
            let payload = [iovec { iov_base: value.cast_mut(), iov_len: length.min(OUT) }];
            // SAFETY: the caller's word; the kernel checks it.
            unsafe { call(fd, socket, named(Op::SetOption, level, name), &payload, &mut [])? };
            if (level, name) == (libc::SOL_NETLINK, libc::NETLINK_PKTINFO) {
                // SAFETY: the caller's word, and the kernel has read it.
                let value = unsafe { integer(value, length) }.unwrap_or(0);
                socket.set_flag(FLAG_PKTINFO, value != 0);
            }
            if level == libc::SOL_SOCKET {
                let bit = u32::from(matches!(name, libc::SO_RCVBUF | libc::SO_RCVBUFFORCE));
                socket.set_flag(1 << (BUF_LOCK_SHIFT + bit), true);
            }
        }
    }
    Ok(true)
}

/// getsockopt(2). `Ok(false)`: it is the kernel's business.
///
/// # Errors
/// As netlink's getsockopt(2).
///
/// # Safety
/// As getsockopt(2).
pub unsafe fn get(
    fd: c_int,
    socket: &Pin,
    (level, name): (c_int, c_int),
    value: *mut c_void,
    length: *mut socklen_t,
) -> Result<bool, Errno> {
    let place = place(level, name, false);
    match place {
        Place::Kernel => return Ok(false),
        Place::Nowhere(errno) => return Err(errno),
        _ => {}
    }
    // SAFETY: the caller's word.
    let length = unsafe { length.as_mut() }.ok_or(libc::EFAULT)?;
    let room = usize::try_from(length.cast_signed()).map_err(|_| libc::EINVAL)?;
    let mut out = [0; OUT];
    let size = match place {
        Place::Host => {
            // SAFETY: there is no payload.
            unsafe { call(fd, socket, named(Op::GetOption, level, name), &[], &mut out)? }.min(OUT)
        }
        _ if name == libc::SO_PEERCRED => put(&mut out, &[0, -1, -1]),
        _ => {
            let (kind, protocol) = socket.kind();
            let answer = match name {
                libc::SO_TYPE => kind.cast_signed(),
                libc::SO_PROTOCOL => protocol.cast_signed(),
                libc::SO_DOMAIN => libc::AF_NETLINK,
                libc::SO_ERROR => socket.take_error(),
                SO_BUF_LOCK => (socket.flags() >> BUF_LOCK_SHIFT & 3).cast_signed(),
                _ => c_int::from(socket.flags() & FLAG_PASSCRED != 0),
            };
            put(&mut out, &[answer])
        }
    };
    let copied = if (level, name) == (libc::SOL_NETLINK, libc::NETLINK_LIST_MEMBERSHIPS) {
        // As many whole words as fit, and always the full length.
        *length = size as socklen_t;
        room.min(size) / 4 * 4
    } else {
        if level == libc::SOL_NETLINK && room < size {
            return Err(libc::EINVAL);
        }
        *length = room.min(size) as socklen_t;
        room.min(size)
    };
    // SAFETY: the caller's word: room for as much as stated, which `copied` is not above.
    unsafe { ptr::copy_nonoverlapping(out.as_ptr(), value.cast(), copied) };
    Ok(true)
}

/// bind(2).
///
/// # Errors
/// As netlink's bind(2).
///
/// # Safety
/// As bind(2).
pub unsafe fn bind(fd: c_int, socket: &Pin, to: *const sockaddr, length: socklen_t) -> Result<(), Errno> {
    check_length(to, length)?;
    // SAFETY: the caller's word.
    let (pid, groups) = unsafe { address(to.cast(), length)? };
    let request = Request { a: pid, b: groups, ..Request::new(Kind::Call(Op::Bind)) };
    // SAFETY: there is no payload.
    unsafe { call(fd, socket, request, &[], &mut []) }.map(|_| ())
}

/// connect(2); an address of family AF_UNSPEC disconnects.
///
/// # Errors
/// As netlink's connect(2).
///
/// # Safety
/// As connect(2).
pub unsafe fn connect(fd: c_int, socket: &Pin, to: *const sockaddr, length: socklen_t) -> Result<(), Errno> {
    check_length(to, length)?;
    if (length as usize) < size_of::<libc::sa_family_t>() {
        return Err(libc::EINVAL);
    }
    // SAFETY: long enough, as just checked.
    let family = unsafe { (&raw const (*to).sa_family).read_unaligned() };
    let (connect, pid, groups) = if c_int::from(family) == libc::AF_UNSPEC {
        (0, 0, 0)
    } else {
        // SAFETY: the caller's word.
        let (pid, groups) = unsafe { address(to.cast(), length)? };
        (1, pid, groups)
    };
    let request = Request { a: connect, b: pid, c: groups, ..Request::new(Kind::Call(Op::Connect)) };
    // SAFETY: there is no payload.
    unsafe { call(fd, socket, request, &[], &mut []) }.map(|_| ())
}

/// getsockname(2) and getpeername(2), of a name that stands in the page.
///
/// # Errors
/// As getsockname(2).
///
/// # Safety
/// As getsockname(2).
pub unsafe fn name(name: (u32, u32), to: *mut sockaddr, length: *mut socklen_t) -> Result<(), Errno> {
    // SAFETY: the caller's word.
    let length = unsafe { length.as_mut() }.ok_or(libc::EFAULT)?;
    if length.cast_signed() < 0 {
        return Err(libc::EINVAL);
    }
    if *length > 0 && to.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's word.
    unsafe { write_address(name, to.cast(), length) };
    Ok(())
}

/// What any kernel says of an address before its family sees it.
fn check_length(address: *const sockaddr, length: socklen_t) -> Result<(), Errno> {
    match length {
        LONGEST_ADDRESS.. if length != LONGEST_ADDRESS => Err(libc::EINVAL),
        1.. if address.is_null() => Err(libc::EFAULT),
        _ => Ok(()),
    }
}

fn named(op: Op, level: c_int, name: c_int) -> Request {
    Request { a: level.cast_unsigned(), b: name.cast_unsigned(), ..Request::new(Kind::Call(op)) }
}

/// An option's value, if it is as long as one.
unsafe fn integer(value: *const c_void, length: usize) -> Option<c_int> {
    // SAFETY: the caller's word: `length` bytes.
    (length >= size_of::<c_int>() && !value.is_null())
        .then(|| unsafe { value.cast::<c_int>().read_unaligned() })
}

fn put(out: &mut [u8; OUT], values: &[c_int]) -> usize {
    for (place, value) in out.chunks_exact_mut(4).zip(values) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
    size_of_val(values)
}
