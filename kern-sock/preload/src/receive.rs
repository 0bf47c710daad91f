//! recv(2) and its kin: one datagram of the connection is one message block, with an [`Arrival`] in front. Blocks that
//! the page holds ahead of the connection come first; copying those is our own work, so what of a buffer is not the
//! program's memory ends it, but for what is seen at once ([`crate::is_wild`]), where a kernel answers `EFAULT`.

use crate::Errno;
use crate::call::{call, with_head};
use crate::options::{FLAG_NUDGED, FLAG_PASSCRED, FLAG_PKTINFO, FLAG_TOLD};
use crate::table::Pin;
use crate::transmit::{total, vectors};
use libc::{c_int, c_void, cmsghdr, iovec, msghdr, sockaddr_nl, socklen_t};
use pfnl_wire::{ARRIVAL, Arrival, Kind, MORE_BACKLOG, MORE_DUMP, MORE_NUDGE, Next, Request, os_error};
use std::ptr;

/// What recvmsg(2) does for a netlink socket: fills the message's buffers, name, control data and flags.
///
/// # Errors
/// A pending one first (`ENOBUFS`); `ECONNREFUSED` when the host is gone and everything is read; as recvmsg(2).
///
/// # Safety
/// As recvmsg(2).
pub unsafe fn receive(fd: c_int, socket: &Pin, message: &mut msghdr, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller's word.
    let mut vectors = unsafe { vectors(message.msg_iov, message.msg_iovlen)? };
    let room = total(vectors)?;
    if flags & libc::MSG_OOB != 0 {
        return Err(libc::EOPNOTSUPP);
    }
    // With our head before them they may be one too many; of so many vectors one will be empty.
    let filled: Vec<iovec>;
    if vectors.len() >= MOST {
        filled = vectors.iter().copied().filter(|vector| vector.iov_len > 0).collect();
        vectors = &filled;
    }
    // SAFETY: the caller's word.
    let (arrival, length) = unsafe { next(fd, socket, vectors, flags)? };
    socket.offer(room);
    if flags & libc::MSG_PEEK == 0 {
        socket.consume(arrival.charge);
    }
    // Who only looks makes a dump go on, too.
    if socket.more() & MORE_DUMP != 0 {
        read_on(fd, socket);
    }

    message.msg_flags = flags & libc::MSG_CMSG_CLOEXEC;
    if length > room {
        message.msg_flags |= libc::MSG_TRUNC;
    }
    // SAFETY: the caller's word: room for a name and for control data, of the lengths stated.
    unsafe {
        if !message.msg_name.is_null() {
            if message.msg_namelen > 0 && crate::is_wild(message.msg_name) {
                return Err(libc::EFAULT); // as Linux: the message is taken
            }
            let name = (arrival.pid, arrival.groups);
            write_address(name, message.msg_name.cast(), &mut message.msg_namelen);
        }
        write_control(socket.flags(), &arrival, message);
    }
    Ok(if flags & libc::MSG_TRUNC != 0 { length } else { length.min(room) })
}

/// As many vectors as the kernel takes (`UIO_MAXIOV`).
const MOST: usize = 1024;

/// The next message block: its arrival and its true length.
///
/// # Safety
/// As [`receive`].
unsafe fn next(fd: c_int, socket: &Pin, vectors: &[iovec], flags: c_int) -> Result<(Arrival, usize), Errno> {
    let flags = flags & (libc::MSG_PEEK | libc::MSG_DONTWAIT) | libc::MSG_TRUNC;
    let mut refills = 3; // each of which brings something, from a host that keeps its word
    loop {
        let error = socket.take_error();
        if error != 0 {
            return Err(error);
        }
        // SAFETY: the caller's word.
        if let Some(found) = unsafe { next_ahead(fd, socket, vectors, flags) } {
            return found;
        }
        let sleep = (flags & libc::MSG_DONTWAIT == 0).then(|| socket.ahead().sleep());
        let mut head = [0; ARRIVAL];
        let place = iovec { iov_base: head.as_mut_ptr().cast(), iov_len: head.len() };
        // SAFETY: the head lives on our stack, the vectors are the caller's word.
        let length = with_head(place, vectors, |vectors| unsafe { take(fd, vectors, flags) });
        drop(sleep);
        let length = match length {
            Err(libc::EAGAIN) if socket.more() & MORE_BACKLOG != 0 && refills > 0 => {
                refills -= 1;
                read_on(fd, socket);
                continue;
            }
            Err(libc::ECONNRESET) | Ok(0) => return Err(gone(fd, socket, flags)),
            Err(errno) => return Err(errno),
            Ok(length) => length,
        };
        let body = length.checked_sub(ARRIVAL).ok_or(libc::EPROTO)?;
        let arrival = Arrival::from_bytes(&head).ok_or(libc::EPROTO)?;
        if !socket.ahead().is_empty() {
            // While we asked, others were put ahead of this.
            if flags & libc::MSG_PEEK != 0 {
                continue;
            }
            nudge(fd, socket);
            if arrival.last {
                socket.ahead().unlock();
                continue;
            }
        }
        if !arrival.nudge {
            return Ok((arrival, body));
        }
        socket.nudge_taken();
        if flags & libc::MSG_PEEK != 0 {
            // A nudge has done its work when it is seen; what it is about stands in the page. Who else reads the
            // socket may have taken it already, and then this takes no message: a nudge is sent when none is queued.
            let mut vectors = [place];
            // SAFETY: the head still lives.
            let _ = unsafe { take(fd, &mut vectors, libc::MSG_DONTWAIT) };
        }
    }
}

/// The next block that the page holds ahead of the connection, as [`next`].
///
/// # Safety
/// As [`receive`].
unsafe fn next_ahead(
    fd: c_int,
    socket: &Pin,
    vectors: &[iovec],
    flags: c_int,
) -> Option<Result<(Arrival, usize), Errno>> {
    loop {
        let block = socket.ahead().next()?;
        // SAFETY: the caller's word.
        let copied = unsafe { copy(&block, vectors) };
        let ours = if flags & libc::MSG_PEEK != 0 { block.valid() } else { block.take() };
        if !ours {
            continue;
        }
        if socket.flags() & FLAG_NUDGED != 0 && socket.ahead().is_empty() {
            socket.set_flag(FLAG_NUDGED, false);
            drop_nudge(fd, socket);
        }
        return Some(copied.map(|()| (block.arrival, block.length)));
    }
}

/// Copies a block to vectors, as far as there is room.
///
/// # Safety
/// As [`receive`].
unsafe fn copy(block: &Next<'_>, vectors: &[iovec]) -> Result<(), Errno> {
    let mut vectors = vectors.iter().copied();
    let mut vector = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
    let mut outcome = Ok(());
    block.pieces(usize::MAX, |_, mut bytes| {
        while !bytes.is_empty() && outcome.is_ok() {
            if vector.iov_len == 0 {
                let Some(next) = vectors.next() else { return };
                vector = next;
                continue;
            }
            let length = bytes.len().min(vector.iov_len);
            if crate::is_wild(vector.iov_base) {
                outcome = Err(libc::EFAULT);
                return;
            }
            // SAFETY: the caller's word: room for so many bytes; they are not the page's own.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), vector.iov_base.cast(), length) };
            vector.iov_base = vector.iov_base.wrapping_byte_add(length);
            vector.iov_len -= length;
            bytes = &bytes[length..];
        }
    });
    outcome
}

/// Has the connection be readable while the page holds something ahead of it.
fn nudge(fd: c_int, socket: &Pin) {
    socket.set_flag(FLAG_NUDGED, true);
    // If the host is gone, the end of the connection is readable as well.
    // SAFETY: there is no payload.
    let _ = crate::quietly(|| unsafe { call(fd, socket, Request::new(Kind::Nudge), &[], &mut []) });
}

/// Takes a nudge out of the connection, if one is next.
fn drop_nudge(fd: c_int, socket: &Pin) -> bool {
    if !nudge_is_next(fd) {
        return false;
    }
    socket.nudge_taken();
    // Who else reads the socket may have taken it already, as above.
    // SAFETY: there are no vectors.
    crate::quietly(|| unsafe { take(fd, &mut [], libc::MSG_DONTWAIT) }).is_ok()
}

/// Whether there is something to read but nudges. Those that nothing is left for, no error either, are taken away.
pub fn is_readable(fd: c_int, socket: &Pin, has_error: bool) -> bool {
    if socket.more() & MORE_NUDGE == 0 || !socket.ahead().is_empty() {
        return true;
    }
    if has_error {
        return !nudge_is_next(fd);
    }
    while drop_nudge(fd, socket) {}
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    crate::quietly(|| unsafe { crate::next::poll(&raw mut entry, 1, 0) }) > 0
}

/// Whether what is next in the connection is a nudge.
fn nudge_is_next(fd: c_int) -> bool {
    let mut head = [0; ARRIVAL];
    let mut vectors = [iovec { iov_base: head.as_mut_ptr().cast(), iov_len: head.len() }];
    // SAFETY: the head lives through the call.
    let length = crate::quietly(|| unsafe { take(fd, &mut vectors, libc::MSG_PEEK | libc::MSG_DONTWAIT) });
    length == Ok(ARRIVAL) && Arrival::from_bytes(&head).is_some_and(|arrival| arrival.nudge)
}

/// What a reader is told when the host is gone. One that does not wait is told once, as of any error of a socket: it
/// reads until there is nothing more, and would never end (ovs-vswitchd). Who sends is told every time.
fn gone(fd: c_int, socket: &Pin, flags: c_int) -> Errno {
    // SAFETY: no memory is passed.
    let waits =
        flags & libc::MSG_DONTWAIT == 0 && unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_NONBLOCK == 0;
    if !waits && socket.flags() & FLAG_TOLD != 0 {
        return libc::EAGAIN;
    }
    socket.set_flag(FLAG_TOLD, !waits);
    libc::ECONNREFUSED
}

/// recvmsg(2) on the connection.
///
/// # Safety
/// As readv(2).
unsafe fn take(fd: c_int, vectors: &mut [iovec], flags: c_int) -> Result<usize, Errno> {
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len();
    // SAFETY: the vectors live through the call; what they point to is the caller's word, checked by the kernel.
    let length = unsafe { libc::syscall(libc::SYS_recvmsg, fd, &raw mut message, flags) };
    usize::try_from(length).map_err(|_| os_error())
}

/// Tells the host that something was read, and lets it put there what comes next.
fn read_on(fd: c_int, socket: &Pin) {
    // What can fail here shows at the next call on the socket.
    // SAFETY: there is no payload.
    let _ = crate::quietly(|| unsafe { call(fd, socket, Request::new(Kind::Read), &[], &mut []) });
}

/// Writes a portid and groups as a sockaddr_nl where a caller wants them, as far as there is room; `length` becomes that
/// of the whole.
///
/// # Safety
/// `to` has room for `*length` bytes.
pub unsafe fn write_address((pid, groups): (u32, u32), to: *mut c_void, length: &mut socklen_t) {
    // SAFETY: all zeroes is a valid sockaddr_nl.
    let mut address: sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_pid = pid;
    address.nl_groups = groups;
    let size = size_of::<sockaddr_nl>();
    let room = size.min(*length as usize);
    if room > 0 {
        // SAFETY: `room` bytes are in both.
        unsafe { ptr::copy_nonoverlapping(ptr::from_ref(&address).cast::<u8>(), to.cast(), room) };
    }
    *length = size as socklen_t;
}

/// Writes the control data that was asked for, in Linux's order.
///
/// # Safety
/// The message has room for the control data it says.
unsafe fn write_control(flags: u32, arrival: &Arrival, message: &mut msghdr) {
    let room = if crate::is_wild(message.msg_control) { 0 } else { message.msg_controllen };
    let mut control = Control { to: message.msg_control.cast(), room, written: 0, cut: false };
    // SAFETY: the caller's word.
    unsafe {
        if flags & FLAG_PKTINFO != 0 {
            control.put(libc::SOL_NETLINK, libc::NETLINK_PKTINFO, &[arrival.group]);
        }
        if flags & FLAG_PASSCRED != 0 {
            control.put(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &arrival.sender);
        }
    }
    if control.cut {
        message.msg_flags |= libc::MSG_CTRUNC;
    }
    message.msg_controllen = control.written;
}

struct Control {
    to: *mut u8,
    room: usize,
    written: usize,
    cut: bool,
}

impl Control {
    /// Puts one cmsg, cut to the room there is.
    ///
    /// # Safety
    /// `to` has room for `room` bytes.
    unsafe fn put(&mut self, level: c_int, kind: c_int, data: &[u32]) {
        let left = self.room - self.written;
        let header = size_of::<cmsghdr>();
        if left < header {
            self.cut = true;
            return;
        }
        let whole = header + size_of_val(data);
        self.cut |= left < whole;
        let length = whole.min(left);
        // SAFETY: all zeroes is a valid cmsghdr.
        let mut head: cmsghdr = unsafe { std::mem::zeroed() };
        head.cmsg_len = length;
        head.cmsg_level = level;
        head.cmsg_type = kind;
        // SAFETY: `length` bytes, of which `header` are the head, fit after `written`.
        unsafe {
            let to = self.to.add(self.written);
            to.cast::<cmsghdr>().write_unaligned(head);
            ptr::copy_nonoverlapping(data.as_ptr().cast::<u8>(), to.add(header), length - header);
        }
        self.written += length.next_multiple_of(size_of::<usize>()).min(left);
    }
}
