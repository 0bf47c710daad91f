//! send(2) and its kin. Linux runs a request inside send, so it returns when the host has run it.

use crate::Errno;
use crate::call::call_with;
use crate::table::Pin;
use libc::{c_int, c_void, iovec, msghdr, sockaddr_nl, socklen_t};
use pfnl_wire::{IN_FILE, Kind, Request, os_error};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Sends one message; the checks that come before the message is looked at are in Linux's order.
///
/// # Errors
/// As netlink's sendmsg(2).
///
/// # Safety
/// As sendmsg(2).
pub unsafe fn transmit(fd: c_int, socket: &Pin, message: &msghdr, flags: c_int) -> Result<usize, Errno> {
    if !message.msg_name.is_null() && message.msg_namelen > 0 && crate::is_wild(message.msg_name) {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's word.
    let mut vectors = unsafe { vectors(message.msg_iov, message.msg_iovlen)? };
    let length = total(vectors)?;
    if message.msg_controllen > 0 && crate::is_wild(message.msg_control) {
        return Err(libc::EFAULT);
    }
    if flags & libc::MSG_OOB != 0 {
        return Err(libc::EOPNOTSUPP);
    }
    if length == 0 {
        return Err(libc::ENODATA);
    }
    // SAFETY: the caller's word.
    unsafe { check_credentials(message)? };
    // SAFETY: the caller's word.
    let destination = unsafe { destination(message)? };
    let (named, pid, groups) = destination.map_or((0, 0, 0), |(pid, groups)| (1, pid, groups));
    // What the connection may not take in one datagram, or in as many vectors, goes beside it.
    let file = if length > LARGE || vectors.len() >= MANY {
        // SAFETY: the caller's word.
        Some(unsafe { in_memory(vectors)? })
    } else {
        None
    };
    if file.is_some() {
        vectors = &[];
    }
    let a = named | if file.is_some() { IN_FILE } else { 0 };
    let request = Request { a, b: pid, c: groups, ..Request::new(Kind::Send) };
    let mut patience = None;
    loop {
        let mut taken = [0; 4];
        // SAFETY: the caller's word.
        match unsafe {
            call_with(fd, socket, request, vectors, &mut taken, file.as_ref().map(AsRawFd::as_raw_fd))
        } {
            // Another socket's queue is full. Linux waits for room there.
            Err(libc::EAGAIN) if flags & libc::MSG_DONTWAIT == 0 => {
                patience.get_or_insert_with(|| Patience::of(fd)).pause()?;
            }
            // Another user's filter has left less of it than it was.
            Ok(4) => return Ok(u32::from_ne_bytes(taken) as usize),
            result => return result.map(|_| length),
        }
    }
}

/// More than this does not go through the connection, whose buffer the system may have cut to twice 212,992.
const LARGE: usize = 200 << 10;
/// So many vectors leave no place for our head (`UIO_MAXIOV`).
const MANY: usize = 1024;

/// Copies vectors to a file in memory.
///
/// # Safety
/// As writev(2).
unsafe fn in_memory(vectors: &[iovec]) -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"pfnl-message".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(os_error());
    }
    // SAFETY: fresh, and known to nobody else.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut done = 0_usize;
    let length = total(vectors)?;
    let mut rest = vectors.to_vec();
    while done < length {
        // SAFETY: the vectors are the caller's word, checked by the kernel. By number: writev(2) by name is ours.
        let written = unsafe { libc::syscall(libc::SYS_writev, fd, rest.as_ptr(), rest.len()) };
        let mut written = usize::try_from(written).map_err(|_| os_error())?;
        if written == 0 {
            return Err(libc::ENOBUFS);
        }
        done += written;
        rest.retain_mut(|vector| {
            let part = written.min(vector.iov_len);
            written -= part;
            vector.iov_base = vector.iov_base.wrapping_byte_add(part);
            vector.iov_len -= part;
            vector.iov_len > 0
        });
    }
    Ok(file)
}

/// How long a sender waits (O_NONBLOCK, SO_SNDTIMEO). Signals come only while it pauses, so that none is missed between.
struct Patience {
    end: Option<Instant>,
    /// Those that were blocked before.
    signals: libc::sigset_t,
}

impl Patience {
    fn of(fd: c_int) -> Patience {
        // SAFETY: no memory is involved.
        let flags = unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL) };
        let signals = block_signals();
        if flags & i64::from(libc::O_NONBLOCK) != 0 {
            return Patience { end: Some(Instant::now()), signals };
        }
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let mut length = size_of::<libc::timeval>() as socklen_t;
        let (level, name) = (libc::SOL_SOCKET, libc::SO_SNDTIMEO);
        // SAFETY: the value and its length live through the call and state their true size.
        unsafe {
            libc::syscall(libc::SYS_getsockopt, fd, level, name, &raw mut time, &raw mut length);
        }
        let time = Duration::from_secs(time.tv_sec.cast_unsigned())
            + Duration::from_micros(time.tv_usec.cast_unsigned());
        Patience { end: (!time.is_zero()).then(|| Instant::now() + time), signals }
    }

    /// Waits a little.
    fn pause(&self) -> Result<(), Errno> {
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Err(libc::EAGAIN);
        }
        std::thread::sleep(Duration::from_millis(1));
        let Some(restart) = self.awaited() else { return Ok(()) };
        let time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // Lets them in.
        // SAFETY: time and set live through the call; there are no descriptors.
        unsafe { libc::ppoll(std::ptr::null_mut(), 0, &raw const time, &raw const self.signals) };
        // Who waits for a certain time is never sent back to wait.
        if restart && self.end.is_none() { Ok(()) } else { Err(libc::EINTR) }
    }

    /// Whether signals have come that a handler is there for, and if so, whether they all want calls to be restarted.
    fn awaited(&self) -> Option<bool> {
        // SAFETY: sets and actions of all zeroes are valid, and live through the calls.
        unsafe {
            let mut pending: libc::sigset_t = std::mem::zeroed();
            libc::sigpending(&raw mut pending);
            let come = |signal: &c_int| {
                libc::sigismember(&raw const pending, *signal) == 1
                    && libc::sigismember(&raw const self.signals, *signal) == 0
            };
            (1..=64).filter(come).fold(None, |all, signal| {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &raw mut action);
                let restart = action.sa_flags & libc::SA_RESTART != 0 || action.sa_sigaction <= libc::SIG_IGN;
                Some(all.unwrap_or(true) && restart)
            })
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        // SAFETY: the set lives through the call.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.signals, std::ptr::null_mut()) };
    }
}

/// Blocks all signals; gives those that were blocked before.
fn block_signals() -> libc::sigset_t {
    // SAFETY: sets of all zeroes are valid, and live through the calls.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

/// A message of one buffer, or with an address beside it.
pub fn message(vector: &mut iovec, name: *mut c_void, name_length: socklen_t) -> msghdr {
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vector;
    message.msg_iovlen = 1;
    message.msg_name = name;
    message.msg_namelen = name_length;
    message
}

/// The vectors of a message.
///
/// # Errors
/// `EMSGSIZE`: more than the kernel takes.
///
/// # Safety
/// As readv(2).
pub unsafe fn vectors<'a>(start: *const iovec, count: usize) -> Result<&'a [iovec], Errno> {
    match count {
        0 => Ok(&[]),
        1..=MANY if crate::is_wild(start) => Err(libc::EFAULT),
        // SAFETY: the caller's word.
        1..=MANY => Ok(unsafe { std::slice::from_raw_parts(start, count) }),
        _ => Err(libc::EMSGSIZE),
    }
}

/// Bytes in all vectors.
///
/// # Errors
/// `EINVAL`, as readv(2).
pub fn total(vectors: &[iovec]) -> Result<usize, Errno> {
    let sum = vectors.iter().try_fold(0_usize, |sum, vector| sum.checked_add(vector.iov_len));
    sum.filter(|&sum| isize::try_from(sum).is_ok()).ok_or(libc::EINVAL)
}

/// The portid and groups that a message names.
unsafe fn destination(message: &msghdr) -> Result<Option<(u32, u32)>, Errno> {
    if message.msg_name.is_null() || message.msg_namelen == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's word: an address of the length stated.
    unsafe { address(message.msg_name.cast(), message.msg_namelen) }.map(Some)
}

/// A sockaddr_nl's portid and groups.
///
/// # Errors
/// `EINVAL`: too short, or of another family.
///
/// # Safety
/// `address` points to `length` bytes.
pub unsafe fn address(address: *const sockaddr_nl, length: socklen_t) -> Result<(u32, u32), Errno> {
    if (length as usize) < size_of::<sockaddr_nl>() || address.is_null() {
        return Err(libc::EINVAL);
    }
    // SAFETY: long enough, as just checked.
    let address = unsafe { address.read_unaligned() };
    if c_int::from(address.nl_family) != libc::AF_NETLINK {
        return Err(libc::EINVAL);
    }
    Ok((address.nl_pid, address.nl_groups))
}

/// Control data may name the sender (SCM_CREDENTIALS), if it names it truly. Others than root may not lie.
unsafe fn check_credentials(message: &msghdr) -> Result<(), Errno> {
    if message.msg_control.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's word: control data of the length stated; the macros stay within it.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(message);
        while let Some(head) = cmsg.as_ref() {
            let room = message.msg_control.addr() + message.msg_controllen - cmsg.addr();
            if head.cmsg_len < size_of_val(head) || head.cmsg_len > room {
                return Err(libc::EINVAL);
            }
            if head.cmsg_level == libc::SOL_SOCKET {
                let size = libc::CMSG_LEN(size_of::<libc::ucred>() as u32) as usize;
                if head.cmsg_type != libc::SCM_CREDENTIALS || head.cmsg_len != size {
                    return Err(libc::EINVAL); // no descriptors, for one
                }
                let named = libc::CMSG_DATA(cmsg).cast::<libc::ucred>().read_unaligned();
                let true_user = named.uid == libc::getuid() || named.uid == libc::geteuid();
                let true_group = named.gid == libc::getgid() || named.gid == libc::getegid();
                let honest = named.pid == libc::getpid() && true_user && true_group;
                if !honest && libc::geteuid() != 0 {
                    return Err(libc::EPERM);
                }
            }
            cmsg = libc::CMSG_NXTHDR(message, cmsg);
        }
    }
    Ok(())
}
