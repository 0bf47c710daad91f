//! System calls on slices: the boundary of this program.
//!
//! Lengths that a caller claims may differ from those of its slices where the call's own rules allow it; they are never
//! above what the slice holds, or they are negative, which every kernel refuses before it touches memory.

#![allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "types of fields differ between systems"
)]

#[cfg(target_os = "linux")]
pub mod files;
#[cfg(target_os = "linux")]
pub mod waiting;
#[cfg(target_os = "linux")]
pub mod wild;

use crate::os;
use libc::{c_int, c_void, socklen_t};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};

/// A value, or an errno.
pub type Outcome<T = usize> = Result<T, c_int>;

pub fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn checked(result: isize) -> Outcome {
    usize::try_from(result).map_err(|_| errno())
}

/// A claimed length, which must not go beyond `room` unless it is negative.
fn claim(length: u32, room: usize) -> socklen_t {
    assert!(length.cast_signed() < 0 || length as usize <= room, "a length beyond its slice");
    length
}

pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Outcome<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::socket(domain, kind, protocol) };
    // SAFETY: fresh, and known to nobody else.
    if fd < 0 { Err(errno()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

/// Calls with an address to read.
#[derive(Clone, Copy)]
pub enum To {
    Bind,
    Connect,
}

pub fn give_address(call: To, fd: c_int, address: Option<&[u8]>, length: u32) -> Outcome {
    let (at, room) = address.map_or((null(), usize::MAX), |address| (address.as_ptr(), address.len()));
    let length = claim(length, room);
    // SAFETY: the address is null, or has as many bytes as stated.
    checked(unsafe {
        match call {
            To::Bind => libc::bind(fd, at.cast(), length),
            To::Connect => libc::connect(fd, at.cast(), length),
        }
    } as isize)
}

/// Calls with an address to write.
#[derive(Clone, Copy)]
pub enum From {
    Name,
    Peer,
}

pub fn take_address(call: From, fd: c_int, address: Option<&mut [u8]>, length: &mut u32) -> Outcome {
    let (at, room) =
        address.map_or((null_mut(), usize::MAX), |address| (address.as_mut_ptr(), address.len()));
    claim(*length, room);
    // SAFETY: the address is null, or has room for as many bytes as stated.
    checked(unsafe {
        match call {
            From::Name => libc::getsockname(fd, at.cast(), length),
            From::Peer => libc::getpeername(fd, at.cast(), length),
        }
    } as isize)
}

pub fn setsockopt(fd: c_int, level: c_int, name: c_int, value: &[u8], length: u32) -> Outcome {
    let (length, level) = (claim(length, value.len()), os::level(level, name));
    // SAFETY: the value has as many bytes as stated.
    checked(unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), length) } as isize)
}

pub fn getsockopt(fd: c_int, level: c_int, name: c_int, value: &mut [u8], length: &mut u32) -> Outcome {
    claim(*length, value.len());
    let level = os::level(level, name);
    // SAFETY: the value has room for as many bytes as stated.
    checked(unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), length) } as isize)
}

fn vectors<'a>(slices: impl Iterator<Item = (*mut u8, usize)> + 'a) -> Vec<libc::iovec> {
    slices.map(|(at, len)| libc::iovec { iov_base: at.cast(), iov_len: len }).collect()
}

/// A message to send.
#[derive(Clone, Default)]
pub struct Outgoing<'a> {
    pub parts: Vec<&'a [u8]>,
    pub name: Option<&'a [u8]>,
    /// The length to state of the name.
    pub name_length: u32,
    pub control: &'a [u8],
    pub flags: c_int,
}

pub fn sendmsg(fd: c_int, message: &Outgoing<'_>) -> Outcome {
    let mut parts = vectors(message.parts.iter().map(|part| (part.as_ptr().cast_mut(), part.len())));
    // The kernel copies an alignment of its own; ours must suit the CMSG macros of a library in between.
    let mut control: Vec<u64> = vec![0; message.control.len().div_ceil(8)];
    // SAFETY: all zeroes is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len() as _;
    if let Some(name) = message.name {
        header.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_namelen = claim(message.name_length, name.len());
    }
    if !control.is_empty() {
        // SAFETY: the words have at least as many bytes.
        unsafe {
            let to = control.as_mut_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping(message.control.as_ptr(), to, message.control.len());
        }
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = message.control.len() as _;
    }
    // SAFETY: everything the header points to lives through the call, which reads it.
    checked(unsafe { libc::sendmsg(fd, &raw const header, message.flags) })
}

pub fn send(fd: c_int, bytes: &[u8], flags: c_int) -> Outcome {
    // SAFETY: the bytes live through the call.
    checked(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
}

pub fn write(fd: c_int, bytes: &[u8]) -> Outcome {
    // SAFETY: the bytes live through the call.
    checked(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

pub fn read(fd: c_int, bytes: &mut [u8]) -> Outcome {
    // SAFETY: the bytes live through the call.
    checked(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) })
}

/// Room for a message, and what became of it.
#[derive(Clone, Default, Debug)]
pub struct Incoming {
    pub parts: Vec<Vec<u8>>,
    pub name: Option<Vec<u8>>,
    pub name_length: u32,
    pub control: Option<Vec<u8>>,
    pub control_length: usize,
    /// What recvmsg left in `msg_flags`.
    pub flags: c_int,
    /// For recvmmsg: the message's length.
    pub length: usize,
}

impl Incoming {
    /// Room for `room` bytes, a whole name and much control data.
    pub fn of(room: usize) -> Incoming {
        Incoming {
            parts: vec![vec![0; room]],
            name: Some(vec![0xee; 16]),
            name_length: 16,
            control: Some(vec![0; 256]),
            control_length: 256,
            ..Incoming::default()
        }
    }

    fn header(&mut self, parts: &mut [libc::iovec]) -> libc::msghdr {
        // SAFETY: all zeroes is a valid msghdr.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = parts.as_mut_ptr();
        header.msg_iovlen = parts.len() as _;
        header.msg_flags = 0x7777;
        if let Some(name) = &mut self.name {
            header.msg_namelen = claim(self.name_length, name.len());
            header.msg_name = name.as_mut_ptr().cast();
        }
        if let Some(control) = &mut self.control {
            assert!(self.control_length <= control.len());
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = self.control_length as _;
        }
        header
    }

    fn vectors(&mut self) -> Vec<libc::iovec> {
        vectors(self.parts.iter_mut().map(|part| (part.as_mut_ptr(), part.len())))
    }

    fn note(&mut self, header: &libc::msghdr) {
        self.name_length = header.msg_namelen;
        self.control_length = header.msg_controllen as usize;
        self.flags = header.msg_flags & !os::ECHOED;
    }
}

pub fn recvmsg(fd: c_int, into: &mut Incoming, flags: c_int) -> Outcome {
    let mut parts = into.vectors();
    let mut header = into.header(&mut parts);
    // SAFETY: the header points to live buffers of the lengths it states.
    let result = checked(unsafe { libc::recvmsg(fd, &raw mut header, flags) });
    if result.is_ok() {
        into.note(&header);
    }
    result
}

/// recvmmsg(2); the timeout is in milliseconds.
pub fn recvmmsg(fd: c_int, into: &mut [Incoming], flags: c_int, timeout: Option<u64>) -> Outcome {
    let mut parts: Vec<_> = into.iter_mut().map(Incoming::vectors).collect();
    let mut headers: Vec<libc::mmsghdr> = into
        .iter_mut()
        .zip(&mut parts)
        .map(|(into, parts)| libc::mmsghdr { msg_hdr: into.header(parts), msg_len: 0 })
        .collect();
    let mut time = libc::timespec {
        tv_sec: (timeout.unwrap_or(0) / 1000) as _,
        tv_nsec: (timeout.unwrap_or(0) % 1000 * 1_000_000) as _,
    };
    let time = if timeout.is_some() { &raw mut time } else { null_mut() };
    // SAFETY: the headers point to live buffers of the lengths they state.
    let result = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), headers.len() as _, flags as _, time) };
    let result = checked(result as isize)?;
    for (into, header) in into.iter_mut().zip(&headers).take(result) {
        into.note(&header.msg_hdr);
        into.length = header.msg_len as usize;
    }
    Ok(result)
}

/// poll(2) on one descriptor: what it is ready for.
pub fn poll(fd: c_int, events: i16, milliseconds: c_int) -> i16 {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    unsafe { libc::poll(&raw mut entry, 1, milliseconds) };
    entry.revents
}

/// A call without memory.
pub fn listen(fd: c_int) -> Outcome {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::listen(fd, 1) } as isize)
}

pub fn accept(fd: c_int) -> Outcome {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::accept(fd, null_mut(), null_mut()) } as isize)
}

pub fn shutdown(fd: c_int, how: c_int) -> Outcome {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::shutdown(fd, how) } as isize)
}

pub fn socketpair(domain: c_int, kind: c_int, protocol: c_int) -> Outcome {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors.
    checked(unsafe { libc::socketpair(domain, kind, protocol, fds.as_mut_ptr()) } as isize)
}

/// ioctl(2) with an integer to write.
pub fn ioctl(fd: c_int, request: u64) -> Outcome {
    let mut word = [0u64; 8];
    // SAFETY: room for more than any of the requests used here writes.
    checked(unsafe { libc::ioctl(fd, request as _, word.as_mut_ptr().cast::<c_void>()) } as isize)
}

pub fn lseek(fd: c_int) -> Outcome {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::lseek(fd, 0, libc::SEEK_SET) } as isize)
}

pub fn fcntl(fd: c_int, command: c_int, argument: c_int) -> Outcome {
    // SAFETY: no memory is involved in the commands used here.
    checked(unsafe { libc::fcntl(fd, command, argument) } as isize)
}

/// The type of file (`S_IFMT`).
pub fn file_type(fd: c_int) -> Outcome<u32> {
    // SAFETY: all zeroes is a valid stat; it lives through the call.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        if libc::fstat(fd, &raw mut stat) < 0 {
            Err(errno())
        } else {
            Ok(u32::from(stat.st_mode) & 0o170_000)
        }
    }
}

/// dup2(2) onto a descriptor that must be open.
pub fn dup2(from: c_int, to: &OwnedFd) -> Outcome {
    // SAFETY: no memory is involved; `to` stays an open descriptor.
    checked(unsafe { libc::dup2(from, to.as_raw_fd()) } as isize)
}

/// Runs something in a fork(2)ed copy of this single-threaded process; gives how it ended.
pub fn in_child(work: impl FnOnce()) -> i32 {
    let child = start_child(work);
    let mut status = 0;
    // SAFETY: the status lives through the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status
}

/// As [`in_child`], without waiting.
pub fn start_child(work: impl FnOnce()) -> c_int {
    use std::io::Write;
    let _ = io::stdout().flush();
    // SAFETY: the process has one thread, so its copy is whole.
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        let _ = io::stdout().flush();
        // SAFETY: ends the copy without running the parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    child
}

pub fn wait_for(child: c_int) {
    let mut status = 0;
    // SAFETY: the status lives through the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
}

/// Gives up being root; only the effective ids change if `back` is wanted.
pub fn become_nobody() -> Outcome {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: no memory is involved.
    checked(unsafe {
        let groups = libc::setresgid(NOBODY, NOBODY, NOBODY);
        if groups < 0 { groups } else { libc::setresuid(NOBODY, NOBODY, NOBODY) }
    } as isize)
}

/// Changes the effective user only.
pub fn seteuid(user: u32) -> Outcome {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::seteuid(user) } as isize)
}

pub fn euid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() }
}

/// Sends SIGALRM to this process after a while; its handler does nothing, so that calls are interrupted.
pub fn alarm(milliseconds: i64) {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing; structures live through the calls; no SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(c_int) as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, null_mut());
        let time = libc::timeval { tv_sec: 0, tv_usec: (milliseconds * 1000) as _ };
        let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: time };
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut());
    }
}

/// A control message as it travels.
pub fn control(level: c_int, kind: c_int, data: &[u8]) -> Vec<u8> {
    // SAFETY: computes.
    let (length, space) = unsafe { (libc::CMSG_LEN(data.len() as u32), libc::CMSG_SPACE(data.len() as u32)) };
    let mut bytes = vec![0; space as usize];
    let head = size_of::<libc::cmsghdr>();
    // SAFETY: all zeroes is a valid cmsghdr; `bytes` has room for it and more.
    unsafe {
        let mut cmsg: libc::cmsghdr = std::mem::zeroed();
        cmsg.cmsg_len = length as _;
        cmsg.cmsg_level = level;
        cmsg.cmsg_type = kind;
        bytes.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(cmsg);
    }
    let at = length as usize - data.len();
    debug_assert!(at >= head);
    bytes[at..at + data.len()].copy_from_slice(data);
    bytes
}

/// Control messages as they came: level, type, length as stated, data.
pub fn controls(bytes: &[u8]) -> Vec<(c_int, c_int, usize, Vec<u8>)> {
    let head = size_of::<libc::cmsghdr>();
    // SAFETY: computes.
    let offset = unsafe { libc::CMSG_LEN(0) } as usize;
    let mut found = Vec::new();
    let mut at = 0;
    while at + head <= bytes.len() {
        // SAFETY: `head` bytes are there, just checked; any bytes are a valid cmsghdr.
        let cmsg = unsafe { bytes[at..].as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
        let length = cmsg.cmsg_len as usize;
        if length < offset {
            break;
        }
        let data = bytes.get(at + offset..(at + length).min(bytes.len())).unwrap_or_default().to_vec();
        found.push((cmsg.cmsg_level, cmsg.cmsg_type, length, data));
        at += length.next_multiple_of(size_of::<usize>());
    }
    found
}

/// A descriptor that came from elsewhere and is ours now.
pub fn adopt(fd: c_int) -> OwnedFd {
    assert!(fd >= 0, "no descriptor");
    // SAFETY: received or inherited, and adopted once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub fn close(fd: c_int) -> Outcome {
    // SAFETY: no memory is involved; the caller's owner of the number is in another process or forgotten.
    checked(unsafe { libc::close(fd) } as isize)
}

/// close(2) past libc.
#[cfg(target_os = "linux")]
pub fn close_raw(fd: c_int) {
    // SAFETY: no memory is involved; the descriptor is nobody's from now on.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}
