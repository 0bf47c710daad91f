//! Names and options: bind(2), connect(2), getsockname(2), getsockopt(2) and their kin.

use crate::Errno;
use crate::call::call;
use crate::receive::write_address;
use crate::table::Pin;
use crate::transmit::address;
use libc::{c_int, c_void, iovec, sockaddr, sockaddr_nl, socklen_t};
use pfnl_wire::{Kind, OUT, Op, Request};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The socket gives NETLINK_PKTINFO with what is received.
pub const FLAG_PKTINFO: u32 = 1;
/// The socket gives SCM_CREDENTIALS with what is received.
pub const FLAG_PASSCRED: u32 = 2;
/// In the page's flags: a reader that does not wait has been told that the host is gone.
pub const FLAG_TOLD: u32 = 16;
/// In the page's flags: a nudge was asked for, to be taken out of the connection with the last datagram ahead of it.
pub const FLAG_NUDGED: u32 = 32;
/// What SO_BUF_LOCK tells, by two bits from here on: that SO_SNDBUF (1) and SO_RCVBUF (2) were chosen.
const BUF_LOCK_SHIFT: u32 = 2;
/// `SO_BUF_LOCK` of asm-generic/socket.h; libc has none.
const SO_BUF_LOCK: c_int = 72;
/// Others that libc lacks.
const SO_PEERNAME: c_int = 28;
const SO_PASSPIDFD: c_int = 76;
const SO_PEERPIDFD: c_int = 77;
const SO_PASSRIGHTS: c_int = 83;
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
        (libc::SOL_SOCKET, libc::SO_DETACH_FILTER | libc::SO_LOCK_FILTER) if set => Place::Host,
        (libc::SOL_SOCKET, libc::SO_LOCK_FILTER | libc::SO_ATTACH_FILTER) => Place::Host,
        (libc::SOL_SOCKET, SO_PEERNAME) if !set => Place::Here,
        // The connection is between processes, netlink is not.
        (libc::SOL_SOCKET, libc::SO_PEERGROUPS | SO_PEERPIDFD) if !set => Place::Nowhere(libc::ENODATA),
        (libc::SOL_SOCKET, SO_PASSPIDFD) => Place::Nowhere(libc::EOPNOTSUPP),
        (libc::SOL_SOCKET, SO_PASSRIGHTS) => Place::Nowhere(since(SO_PASSRIGHTS, libc::EOPNOTSUPP)),
        (libc::SOL_SOCKET, libc::SO_TYPE | libc::SO_PROTOCOL | libc::SO_DOMAIN | libc::SO_ERROR) if !set => {
            Place::Here
        }
        (libc::SOL_SOCKET, libc::SO_PEERCRED) if !set => Place::Here,
        (libc::SOL_SOCKET, libc::SO_PEERSEC) => Place::Nowhere(libc::ENOPROTOOPT),
        (libc::SOL_SOCKET, libc::SO_PEEK_OFF) => Place::Nowhere(libc::EOPNOTSUPP),
        (libc::SOL_SOCKET, libc::SO_ATTACH_BPF) => Place::Nowhere(libc::ENOPROTOOPT),
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
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) => {
            // SAFETY: the caller's word.
            return unsafe { attach_filter(fd, socket, value, length) }.map(|()| true);
        }
        // SAFETY: the caller's word.
        (libc::SOL_SOCKET, libc::SO_ATTACH_BPF) => return Err(unsafe { no_program(value, length) }),
        _ => {}
    }
    let place = place(level, name, true);
    if level == libc::SOL_SOCKET && !matches!(place, Place::Kernel) {
        if length < size_of::<c_int>() {
            return Err(libc::EINVAL);
        }
        if crate::is_wild(value) {
            return Err(libc::EFAULT);
        }
    }
    match place {
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
        Place::Nowhere(errno) if level != libc::SOL_SOCKET => return Err(errno),
        _ if crate::is_wild(length) => return Err(libc::EFAULT),
        _ => {}
    }
    // SAFETY: the caller's word.
    let length = unsafe { &mut *length };
    let room = usize::try_from(length.cast_signed()).map_err(|_| libc::EINVAL)?;
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) => {
            // SAFETY: the caller's word.
            return unsafe { show_filter(fd, socket, value.cast(), length) }.map(|()| true);
        }
        (libc::SOL_SOCKET, SO_PEERNAME) if room > size_of::<sockaddr_nl>() => return Err(libc::EINVAL),
        _ => {}
    }
    if let Place::Nowhere(errno) = place {
        return Err(errno);
    }
    let mut out = [0; OUT];
    let size = match place {
        Place::Host => {
            // SAFETY: there is no payload.
            unsafe { call(fd, socket, named(Op::GetOption, level, name), &[], &mut out)? }.min(OUT)
        }
        _ if name == libc::SO_PEERCRED => put(&mut out, &[0, -1, -1]),
        _ if name == SO_PEERNAME => {
            let (pid, groups) = socket.peer();
            put(&mut out, &[libc::AF_NETLINK, pid.cast_signed(), groups.cast_signed()])
        }
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
    if copied > 0 && crate::is_wild(value) {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's word: room for as much as stated, which `copied` is not above.
    unsafe { ptr::copy_nonoverlapping(out.as_ptr(), value.cast(), copied) };
    Ok(true)
}

/// An option that only newer kernels know: what is said of it, or that it is none.
fn since(name: c_int, errno: Errno) -> Errno {
    static KNOWN: AtomicI32 = AtomicI32::new(0);
    // Relaxed: whoever asks gets the same.
    let known = match KNOWN.load(Relaxed) {
        0 => {
            // Any socket tells; one of the connection's kind does without doubt.
            let mut value: c_int = 0;
            let mut length = size_of::<c_int>() as socklen_t;
            let (level, at) = (libc::SOL_SOCKET, &raw mut value);
            // SAFETY: the value and its length live through the calls; the descriptor is ours, and closed at once.
            let known = crate::quietly(|| unsafe {
                let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
                let fd = libc::syscall(libc::SYS_socket, libc::AF_UNIX, kind, 0);
                let result = libc::syscall(libc::SYS_getsockopt, fd, level, name, at, &raw mut length);
                libc::syscall(libc::SYS_close, fd);
                if result == 0 { 1 } else { -1 }
            });
            KNOWN.store(known, Relaxed);
            known
        }
        known => known,
    };
    if known > 0 { errno } else { libc::ENOPROTOOPT }
}

/// `struct sock_fprog`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Program {
    count: u16,
    instructions: *const c_void,
}

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;

/// Hands a classic BPF program to the host, which has what it filters.
///
/// # Errors
/// As setsockopt(2).
///
/// # Safety
/// As setsockopt(2).
unsafe fn attach_filter(fd: c_int, socket: &Pin, value: *const c_void, length: usize) -> Result<(), Errno> {
    if length != size_of::<Program>() {
        return Err(libc::EINVAL);
    }
    if crate::is_wild(value) {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's word: a program's head; any bytes are one.
    let Program { count, instructions } = unsafe { value.cast::<Program>().read_unaligned() };
    let count = if instructions.is_null() { 0 } else { usize::from(count) }; // which is one that the host refuses
    let payload = [iovec { iov_base: instructions.cast_mut(), iov_len: count * INSTRUCTION }];
    let request = named(Op::SetOption, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the caller's word; the kernel checks it.
    unsafe { call(fd, socket, request, &payload, &mut []) }.map(|_| ())
}

/// What there is to say of a program of extended BPF, which only a kernel can run: EOPNOTSUPP of one that is in order.
unsafe fn no_program(value: *const c_void, length: usize) -> Errno {
    if length != size_of::<c_int>() {
        return libc::EINVAL;
    }
    if crate::is_wild(value) {
        return libc::EFAULT;
    }
    // SAFETY: the caller's word.
    let program = unsafe { value.cast::<c_int>().read_unaligned() };
    let mut link = [0_u8; 64];
    let path = format!("/proc/self/fd/{program}\0");
    // SAFETY: the path is a C string; the link's room is as stated.
    let length = crate::quietly(|| unsafe {
        libc::readlink(path.as_ptr().cast(), link.as_mut_ptr().cast(), link.len())
    });
    match usize::try_from(length).ok().and_then(|length| link.get(..length)) {
        None => libc::EBADF,
        Some(link) if link.windows(8).any(|part| part == b"bpf-prog") => libc::EOPNOTSUPP,
        Some(_) => libc::EINVAL,
    }
}

/// Shows the filter: lengths are of instructions, and 0 asks for the length alone.
///
/// # Errors
/// As getsockopt(2).
///
/// # Safety
/// `value` has room for `length` instructions.
unsafe fn show_filter(fd: c_int, socket: &Pin, value: *mut u8, length: &mut socklen_t) -> Result<(), Errno> {
    let mut program = Vec::new();
    loop {
        let mut out = [0; OUT];
        let from = Request {
            c: program.len() as u32,
            ..named(Op::GetOption, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER)
        };
        // SAFETY: there is no payload.
        let more = unsafe { call(fd, socket, from, &[], &mut out)? }.min(OUT);
        program.extend_from_slice(&out[..more]);
        if more < OUT {
            break;
        }
    }
    let count = program.len() / INSTRUCTION;
    let room = *length as usize;
    if count > 0 && room > 0 {
        if room < count {
            return Err(libc::EINVAL);
        }
        if crate::is_wild(value) {
            return Err(libc::EFAULT);
        }
        // SAFETY: the caller's word.
        unsafe { ptr::copy_nonoverlapping(program.as_ptr(), value, program.len()) };
    }
    *length = count as socklen_t;
    Ok(())
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
    if crate::is_wild(length) {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's word.
    let length = unsafe { &mut *length };
    if length.cast_signed() < 0 {
        return Err(libc::EINVAL);
    }
    if *length > 0 && crate::is_wild(to) {
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
        1.. if crate::is_wild(address) => Err(libc::EFAULT),
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
