//! socket(2), and joining a socket whose descriptor came from elsewhere: through exec, or in an SCM_RIGHTS message.

use crate::table::{self, Pin};
use crate::{Errno, call, debug, next, waiting};
use libc::{c_int, sockaddr_un, socklen_t};
use pfnl_wire::{ANSWER, Answer, Kind, Mapping, Request, VERSION, recv, send, set_buffer, syscall};
use std::io;
use std::mem::{offset_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a host may take to welcome us.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the connection holds of ours, if the system allows as much.
const SEND_BUFFER: i32 = 1 << 19;

/// The host's address; `None` if nothing names one or its path is too long.
fn host() -> Option<&'static (sockaddr_un, socklen_t)> {
    static HOST: OnceLock<Option<(sockaddr_un, socklen_t)>> = OnceLock::new();
    HOST.get_or_init(|| {
        let path = match std::env::var_os(pfnl_wire::ENV_SOCKET) {
            Some(path) if !path.is_empty() => std::path::absolute(PathBuf::from(path)).ok()?,
            _ => pfnl_wire::default_path()?,
        };
        // SAFETY: all zeroes is a valid sockaddr_un.
        let mut address: sockaddr_un = unsafe { zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() >= address.sun_path.len() {
            return None;
        }
        for (place, &byte) in address.sun_path.iter_mut().zip(bytes) {
            *place = byte.cast_signed();
        }
        Some((address, (offset_of!(sockaddr_un, sun_path) + bytes.len() + 1) as socklen_t))
    })
    .as_ref()
}

extern "C" fn start() {
    table::note_process();
    next::find_all();
    host();
    // SAFETY: the handler is of this library, which is never unloaded before the process ends.
    unsafe {
        libc::pthread_atfork(Some(waiting::before_fork), Some(waiting::after_fork), Some(fork_child));
    }
}

unsafe extern "C" fn fork_child() {
    table::note_process();
    call::forget_thread();
    // SAFETY: no preconditions but that this is a fork.
    unsafe { waiting::after_fork() };
}

/// Runs before the program: what the environment says is read while nobody changes it.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// socket(2) of a netlink socket of ours.
///
/// # Errors
/// `ECONNREFUSED` without a host; what it refuses with (`ENFILE`: too many sockets), and what socket(2) says.
pub fn open(kind: c_int, protocol: c_int) -> Result<c_int, Errno> {
    let (address, length) = host().ok_or_else(|| {
        debug(|| format!("no host: {} names none, or its path is too long", pfnl_wire::ENV_SOCKET));
        libc::ECONNREFUSED
    })?;
    let socket = new(libc::SOCK_SEQPACKET).map_err(errno_of)?;
    // For messages up to the send buffer that the family gives, with our head before them.
    set_buffer(socket.as_fd(), SEND_BUFFER).map_err(errno_of)?;
    // SAFETY: the address lives through the call and is as long as stated.
    while let Err(error) = syscall(unsafe {
        libc::syscall(libc::SYS_connect, socket.as_raw_fd(), std::ptr::from_ref(address), *length)
    }) {
        if error.kind() != io::ErrorKind::Interrupted {
            debug(|| format!("cannot reach the host {}: {error}", host_path()));
            return Err(libc::ECONNREFUSED);
        }
    }
    let arguments = (VERSION, (kind & TYPE_MASK).cast_unsigned(), protocol.cast_unsigned());
    let hello = Request { a: arguments.0, b: arguments.1, c: arguments.2, ..Request::new(Kind::Hello) };
    let page = ask(socket.as_fd(), hello, None, socket.as_fd())?;

    let fd = socket.as_raw_fd();
    // SAFETY: no memory is involved.
    syscall(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFL, kind & libc::O_NONBLOCK) })
        .map_err(errno_of)?;
    if kind & libc::SOCK_CLOEXEC == 0 {
        // SAFETY: no memory is involved.
        syscall(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, 0) }).map_err(errno_of)?;
    }
    drop(table::enter(fd, page)?);
    Ok(socket.into_raw_fd())
}

/// The part of socket(2)'s type that is the type.
pub const TYPE_MASK: c_int = 0xf;

/// Looks at a descriptor that nothing is known about: a connection to our host is a netlink socket.
///
/// # Errors
/// `ECONNREFUSED`: it is one, but its host does not answer.
pub fn discover(fd: c_int) -> Result<Option<Pin>, Errno> {
    match option(fd, libc::SO_DOMAIN) {
        Ok(libc::AF_UNIX) => {}
        Err(libc::EBADF) => return Ok(None),
        Ok(libc::AF_NETLINK) if option(fd, libc::SO_PROTOCOL) == Ok(libc::NETLINK_ROUTE) => {
            table::set_route(fd);
            return Ok(None);
        }
        _ => {
            table::set_other(fd);
            return Ok(None);
        }
    }
    if option(fd, libc::SO_TYPE) != Ok(libc::SOCK_SEQPACKET) || !leads_to_host(fd) {
        table::set_other(fd);
        return Ok(None);
    }
    // SAFETY: it is open, and stays so while its user is in a call on it.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let [ours, theirs] = pair().map_err(errno_of)?;
    let attach = Request { a: VERSION, ..Request::new(Kind::Attach) };
    let page = ask(socket, attach, Some(theirs), ours.as_fd())?;
    table::enter(fd, page).map(Some)
}

/// Whether the peer's address is the host's path.
fn leads_to_host(fd: c_int) -> bool {
    let Some((host, host_length)) = host() else { return false };
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut peer: sockaddr_un = unsafe { zeroed() };
    let mut length = size_of::<sockaddr_un>() as socklen_t;
    // SAFETY: the address and its length live through the call and state their true size.
    let result = unsafe { libc::syscall(libc::SYS_getpeername, fd, &raw mut peer, &raw mut length) };
    result == 0 && length == *host_length && peer.sun_path == host.sun_path
}

/// Sends a request for the page over `socket`, maybe with the descriptor on which it is answered, and takes the answer.
fn ask(
    socket: BorrowedFd<'_>,
    request: Request,
    rights: Option<OwnedFd>,
    answers: BorrowedFd<'_>,
) -> Result<Mapping, Errno> {
    let refused = |why: &str| {
        debug(|| format!("the host {} {why}", host_path()));
        libc::ECONNREFUSED
    };
    while let Err(error) = send(socket, [&request.to_bytes(), &[]], rights.as_ref().map(AsFd::as_fd)) {
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => drop(wait(socket, libc::POLLOUT)),
            // It may have refused us before we asked, and left its reason.
            Some(libc::EPIPE | libc::ECONNRESET) => break,
            _ => return Err(refused("is gone")),
        }
    }
    drop(rights); // so that the host's end is the only one, and its death an end of file
    let mut answer = [0; ANSWER];
    let start = Instant::now();
    let mut reset = false;
    let received = loop {
        match recv(answers, &mut answer, &mut [], false) {
            Ok(received) => break received,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {
                if start.elapsed() > PATIENCE {
                    return Err(refused("does not answer"));
                }
                wait(answers, libc::POLLIN);
            }
            // Told once, before what is there to be read.
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) && !reset => reset = true,
            Err(_) => return Err(refused("is gone")),
        }
    };
    let answer = Answer::from_bytes(&answer).filter(|_| received.length == ANSWER);
    match (answer, received.rights) {
        (None, _) => Err(refused("closed the connection")),
        (Some(Answer { version, .. }), _) if version != VERSION => {
            Err(refused(&format!("speaks version {version}, this library {VERSION}")))
        }
        (Some(Answer { errno: 0, .. }), Some(memory)) => Mapping::open(memory).map_err(errno_of),
        (Some(Answer { errno, .. }), _) => {
            debug(|| format!("the host refuses: {}", io::Error::from_raw_os_error(errno)));
            Err(if errno > 0 { errno } else { libc::EPROTO })
        }
    }
}

/// Waits a moment for a descriptor to be ready; gives what it is ready for, or that its peer is gone.
pub fn wait(fd: BorrowedFd<'_>, events: i16) -> i16 {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    unsafe { next::poll(&raw mut poll, 1, 50) };
    poll.revents
}

fn new(kind: c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is involved.
    let fd = syscall(unsafe { libc::syscall(libc::SYS_socket, libc::AF_UNIX, kind, 0) })?;
    // SAFETY: fresh, and known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn pair() -> io::Result<[OwnedFd; 2]> {
    let mut fds: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: room for two descriptors.
    syscall(unsafe { libc::syscall(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    // SAFETY: fresh, and known to nobody else.
    Ok(fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn option(fd: c_int, name: c_int) -> Result<c_int, Errno> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as socklen_t;
    // SAFETY: the value and its length live through the call and state their true size.
    let result = syscall(unsafe {
        libc::syscall(libc::SYS_getsockopt, fd, libc::SOL_SOCKET, name, &raw mut value, &raw mut length)
    });
    result.map(|_| value).map_err(errno_of)
}

fn host_path() -> String {
    let path = host().map(|(address, _)| address.sun_path.map(|byte| byte.cast_unsigned()));
    let path = path.unwrap_or([0; 108]);
    String::from_utf8_lossy(path.split(|&byte| byte == 0).next().unwrap_or(&[])).into_owned()
}

fn errno_of(error: io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}
