//! LD_PRELOAD library that turns netlink sockets into sockets of a pfnl host.
//!
//! It takes the place of libc's socket calls in a program. `socket(AF_NETLINK, SOCK_RAW | SOCK_DGRAM,
//! NETLINK_GENERIC)` gives a connection to the host that `$PFNL_SOCKET` names ([`pfnl_wire`] draws the protocol);
//! calls on such a descriptor keep Linux's semantics, everything else goes on to libc untouched.
//!
//! | Module | |
//! |---|---|
//! | [`exports`] | the socket functions a program sees: whose descriptor is it? |
//! | [`descriptors`] | dup(2), close(2) and their kin |
//! | [`open`] | socket(2), and joining a socket whose descriptor came from elsewhere |
//! | [`table`] | which descriptor is which socket, without locks, in signal handlers too |
//! | [`call`] | an operation that the host must finish before we return |
//! | [`transmit`], [`receive`], [`options`] | send(2), recv(2), [gs]etsockopt(2) and their kin |
//! | [`route`] | NETLINK_ROUTE, which goes on to the kernel: tunnel devices that it must not make |
//! | [`identity`] | setuid(2) and its kin: as whom requests are sent |
//! | [`next`] | libc's own functions |
//! | [`waiting`] | poll(2) and epoll(7), where a pending error must show |
//! | [`splice`] | sendfile(2), splice(2) and others that move bytes without showing them |
//!
//! Rules come from netlink(7), recvmsg(2), cmsg(3) and from what a Linux kernel was seen to answer.
//! Panics cannot unwind into the program: every exported function is `extern "C"`, at which they abort.
//!
//! This is a boundary crate. What callers pass is trusted as libc trusts it: pointers are followed where the C
//! prototype says that they point to something. Data buffers are only handed to the kernel, which answers `EFAULT`.

mod call;
mod descriptors;
mod exports;
mod identity;
mod next;
mod open;
mod options;
mod receive;
mod route;
mod splice;
mod table;
mod transmit;
mod waiting;

use libc::c_int;

/// An errno.
type Errno = c_int;

/// Leaves an errno for the caller and gives the −1 that says so.
fn fail(errno: Errno) -> isize {
    // SAFETY: the address is the thread's own errno.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// Whether a pointer leads where no program has memory: nowhere, below what may be mapped, into the kernel's half. A kernel
/// says EFAULT; we would fall over it. (What else leads nowhere is not found out: it would cost a system call each time.)
fn is_wild<T>(pointer: *const T) -> bool {
    const LOWEST: usize = 4096 * 2; // vm.mmap_min_addr is more, but may be set low
    pointer.addr() < LOWEST || pointer.addr() > usize::MAX >> 1
}

/// Runs something that may disturb errno on behalf of a caller that did not ask for it.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let before = pfnl_wire::os_error();
    let result = work();
    fail(before);
    result
}

/// Says something on standard error if `PFNL_DEBUG` is set. Slow; for failures only.
fn debug(text: impl FnOnce() -> String) {
    if std::env::var_os("PFNL_DEBUG").is_none_or(|value| value.is_empty() || value == "0") {
        return;
    }
    let line = format!("pfnl-preload: {}\n", text());
    // SAFETY: the line lives through the call, which reads it. By number: write(2) by name is ours.
    quietly(|| unsafe { libc::syscall(libc::SYS_write, libc::STDERR_FILENO, line.as_ptr(), line.len()) });
}
