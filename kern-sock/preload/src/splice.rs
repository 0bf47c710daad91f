//! Calls that move bytes between descriptors without showing them, and those of files with flags. On a netlink socket they
//! are sends and receives; past us they would reach the connection without our framing.

use crate::exports::{give, read_file, spread, write_file};
use crate::table::{Pin, find};
use crate::{Errno, fail, is_wild, next, receive, transmit};
use libc::{c_int, c_uint, c_void, iovec, off_t, off64_t, size_t, ssize_t};
use std::ptr::null_mut;

/// The most that goes in one message: 16 pages, as a pipe holds.
const MOST: usize = 16 * 4096;

/// sendfile(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
    // SAFETY: the caller keeps to the C function's contract.
    unsafe {
        match find(to) {
            Ok(None) => next::sendfile(to, from, offset, count),
            Ok(Some(socket)) => give(send_file(&socket, to, from, offset, count)),
            Err(errno) => fail(errno),
        }
    }
}

/// sendfile(2) as programs with large file support call it.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(to: c_int, from: c_int, offset: *mut off64_t, count: size_t) -> ssize_t {
    // SAFETY: as above; where there are two such types, they are one.
    unsafe { sendfile(to, from, offset, count) }
}

/// Reads from a file and sends what was read, a message at a time.
unsafe fn send_file(
    socket: &Pin,
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    count: usize,
) -> Result<usize, Errno> {
    if !offset.is_null() && is_wild(offset) {
        return Err(libc::EFAULT);
    }
    let mut room = vec![0_u8; count.min(MOST)];
    let mut done = 0;
    while done < count {
        let part = room.len().min(count - done);
        let at: *mut c_void = room.as_mut_ptr().cast();
        // SAFETY: `part` bytes are there; the offset is the caller's word, or null.
        let read = unsafe {
            match offset.as_mut() {
                Some(offset) => libc::pread(from, at, part, *offset),
                None => libc::read(from, at, part),
            }
        };
        let sent = match usize::try_from(read) {
            Err(_) => Err(pfnl_wire::os_error()),
            Ok(0) => break,
            Ok(read) => {
                let mut vector = iovec { iov_base: at, iov_len: read };
                let message = transmit::message(&mut vector, null_mut(), 0);
                // SAFETY: the bytes live through the call.
                unsafe { transmit::transmit(to, socket, &message, 0) }
            }
        };
        match sent {
            Ok(sent) => {
                done += sent;
                // SAFETY: the caller's word, looked at above.
                if let Some(offset) = unsafe { offset.as_mut() } {
                    *offset += sent as off_t;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// splice(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut off64_t,
    to: c_int,
    to_offset: *mut off64_t,
    count: size_t,
    flags: c_uint,
) -> ssize_t {
    let (source, sink) = match (find(from), find(to)) {
        (Err(errno), _) | (_, Err(errno)) => return fail(errno),
        (Ok(source), Ok(sink)) => (source, sink),
    };
    // SAFETY: the caller keeps to the C function's contract.
    unsafe {
        match (source, sink) {
            (None, None) => next::splice(from, from_offset, to, to_offset, count, flags),
            // One of the two must be a pipe, and a pipe and a socket have no places to be at.
            (Some(_), Some(_)) => fail(libc::EINVAL),
            _ if !from_offset.is_null() || !to_offset.is_null() => fail(libc::ESPIPE),
            (None, Some(socket)) if is_pipe(from) => give(from_pipe(&socket, from, to, count, flags)),
            (Some(socket), None) if is_pipe(to) => give(to_pipe(&socket, from, to, count, flags)),
            _ => fail(libc::EINVAL),
        }
    }
}

fn is_pipe(fd: c_int) -> bool {
    // SAFETY: all zeroes is a valid stat, which lives through the call.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO
    }
}

/// Waits for a pipe, unless that is not wanted.
fn wait_for_pipe(fd: c_int, events: i16, flags: c_uint) -> Result<(), Errno> {
    let wait = if flags & libc::SPLICE_F_NONBLOCK != 0 { 0 } else { -1 };
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    match unsafe { next::poll(&raw mut poll, 1, wait) } {
        1.. => Ok(()),
        0 => Err(libc::EAGAIN),
        _ => Err(pfnl_wire::os_error()),
    }
}

unsafe fn from_pipe(
    socket: &Pin,
    pipe: c_int,
    fd: c_int,
    count: usize,
    flags: c_uint,
) -> Result<usize, Errno> {
    if count == 0 {
        return Ok(0);
    }
    wait_for_pipe(pipe, libc::POLLIN, flags)?;
    let mut room = vec![0_u8; count.min(MOST)];
    // SAFETY: so many bytes are there.
    let read = unsafe { libc::read(pipe, room.as_mut_ptr().cast(), room.len()) };
    let read = usize::try_from(read).map_err(|_| pfnl_wire::os_error())?;
    if read == 0 {
        return Ok(0);
    }
    let mut vector = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: read };
    let message = transmit::message(&mut vector, null_mut(), 0);
    // SAFETY: the bytes live through the call.
    unsafe { transmit::transmit(fd, socket, &message, 0) }
}

unsafe fn to_pipe(socket: &Pin, fd: c_int, pipe: c_int, count: usize, flags: c_uint) -> Result<usize, Errno> {
    if count == 0 {
        return Ok(0);
    }
    wait_for_pipe(pipe, libc::POLLOUT, flags)?;
    let mut room = vec![0_u8; count.min(MOST)];
    let mut vector = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let mut message = transmit::message(&mut vector, null_mut(), 0);
    let wait = if flags & libc::SPLICE_F_NONBLOCK != 0 { libc::MSG_DONTWAIT } else { 0 };
    // SAFETY: the bytes live through the call.
    let length = unsafe { receive::receive(fd, socket, &mut message, wait)? };
    let mut done = 0;
    while done < length {
        // What was received is on its way: the pipe is waited for. By name it would be the program's own write(2).
        // SAFETY: so many bytes are there.
        let wrote =
            unsafe { libc::syscall(libc::SYS_write, pipe, room.as_ptr().wrapping_add(done), length - done) };
        match usize::try_from(wrote) {
            Ok(wrote) => done += wrote,
            Err(_) if matches!(pfnl_wire::os_error(), libc::EAGAIN | libc::EINTR) => {
                // Failing means that it is tried again, and says so then.
                let _ = wait_for_pipe(pipe, libc::POLLOUT, 0);
            }
            Err(_) if done == 0 => return Err(pfnl_wire::os_error()),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `RWF_*` that a socket takes: HIPRI, DSYNC, SYNC, NOWAIT, APPEND.
const TAKEN: c_int = 0x1f;

macro_rules! with_flags {
    ($($name:ident($offset:ty) $doc:literal |$fd:ident, $socket:ident, $message:ident, $flags:ident| $ours:expr;)*) => { $(
        #[doc = $doc]
        ///
        /// # Safety
        /// As the C function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $fd: c_int,
            vectors: *const iovec,
            count: c_int,
            offset: $offset,
            flags: c_int,
        ) -> ssize_t {
            let $socket = match find($fd) {
                // SAFETY: the caller keeps to the C function's contract.
                Ok(None) => return unsafe { next::$name($fd, vectors, count, offset, flags) },
                Ok(Some(socket)) => socket,
                Err(errno) => return fail(errno),
            };
            if offset != -1 {
                return fail(libc::ESPIPE);
            }
            if flags & !TAKEN != 0 {
                return fail(libc::EOPNOTSUPP);
            }
            let $flags = if flags & libc::RWF_NOWAIT != 0 { libc::MSG_DONTWAIT } else { 0 };
            // SAFETY: as above.
            give(spread(vectors, count).and_then(|$message| unsafe { $ours }))
        }
    )* };
}

with_flags! {
    preadv2(off_t) "preadv2(2)." |fd, socket, message, flags| read_message(fd, &socket, message, flags);
    preadv64v2(off64_t) "preadv2(2) with large file support."
        |fd, socket, message, flags| read_message(fd, &socket, message, flags);
    pwritev2(off_t) "pwritev2(2)." |fd, socket, message, flags| write_file(fd, &socket, &message, flags);
    pwritev64v2(off64_t) "pwritev2(2) with large file support."
        |fd, socket, message, flags| write_file(fd, &socket, &message, flags);
}

unsafe fn read_message(
    fd: c_int,
    socket: &Pin,
    mut message: libc::msghdr,
    flags: c_int,
) -> Result<usize, Errno> {
    // SAFETY: the caller's word.
    let room = unsafe { transmit::vectors(message.msg_iov, message.msg_iovlen) }.and_then(transmit::total)?;
    // SAFETY: as above.
    read_file(room, || unsafe { receive::receive(fd, socket, &mut message, flags) })
}
