//! An operation that the host must finish before we return.

use crate::{Errno, identity, next, open};
use libc::{c_int, iovec};
use pfnl_wire::{Page, Request, Wait, send_connected};
use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How long to sleep before looking whether the host is still there.
const PATIENCE: Duration = Duration::from_millis(50);
/// After how long with no free slot the results of others count as abandoned.
const ABANDONED: Duration = Duration::from_secs(1);
/// Vectors that need no allocation.
const FEW: usize = 16;

/// Has the host do something: sends the request with its payload, waits for the result. `output` gets the beginning of
/// what came out; the length of all of it is returned. A signal does not end the wait, as none would end it in a kernel.
///
/// # Errors
/// The operation's; `ECONNREFUSED` when the host is gone; `EFAULT`, `EMSGSIZE` and `ENOBUFS` from the connection.
///
/// # Safety
/// `payload` may be handed to sendmsg(2).
pub unsafe fn call(
    fd: c_int,
    page: &Page,
    request: Request,
    payload: &[iovec],
    output: &mut [u8],
) -> Result<usize, Errno> {
    // SAFETY: the caller's word.
    unsafe { call_with(fd, page, request, payload, output, None) }
}

/// As [`call`], with a descriptor for the host.
///
/// # Errors
/// As [`call`].
///
/// # Safety
/// As [`call`].
pub unsafe fn call_with(
    fd: c_int,
    page: &Page,
    request: Request,
    payload: &[iovec],
    output: &mut [u8],
    rights: Option<c_int>,
) -> Result<usize, Errno> {
    let (slot, tag) = claim(page);
    let head = Request { slot: slot as u32, tag, ..request }.to_bytes();
    let head = iovec { iov_base: head.as_ptr().cast_mut().cast(), iov_len: head.len() };
    let result = with_head(head, payload, |vectors| {
        // SAFETY: the head lives on our stack, the payload is the caller's word.
        unsafe { deliver(fd, vectors, rights) }
    });
    let result = result.and_then(|()| finish(fd, page, slot, tag)).inspect(|&length| {
        let length = length.min(output.len());
        page.output(slot, &mut output[..length]);
    });
    page.release(slot, tag);
    result
}

/// Calls `then` with a head before some vectors.
pub fn with_head<T>(head: iovec, vectors: &[iovec], then: impl FnOnce(&mut [iovec]) -> T) -> T {
    if vectors.len() < FEW {
        let mut few = [head; FEW];
        few[1..=vectors.len()].copy_from_slice(vectors);
        then(&mut few[..=vectors.len()])
    } else {
        let mut many = Vec::with_capacity(vectors.len() + 1);
        many.push(head);
        many.extend_from_slice(vectors);
        then(&mut many)
    }
}

/// Sends a datagram, waiting while the connection is full.
///
/// # Safety
/// As [`call`].
unsafe fn deliver(fd: c_int, vectors: &[iovec], rights: Option<c_int>) -> Result<(), Errno> {
    let sender = identity::effective();
    loop {
        // SAFETY: the caller's word.
        let Err(error) = (unsafe { send_connected(fd, vectors, rights, sender) }) else { return Ok(()) };
        match error.raw_os_error().unwrap_or(libc::EIO) {
            libc::EINTR => {}
            libc::EAGAIN => {
                if open::wait(borrow(fd), libc::POLLOUT) & libc::POLLHUP != 0 {
                    return Err(libc::ECONNREFUSED);
                }
            }
            libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN => return Err(libc::ECONNREFUSED),
            errno => return Err(errno),
        }
    }
}

/// Waits for the slot to be completed, or for the host to be gone.
fn finish(fd: c_int, page: &Page, slot: usize, tag: u32) -> Result<usize, Errno> {
    let mut gone = false;
    loop {
        match page.wait(slot, tag, if gone { Duration::ZERO } else { PATIENCE }) {
            Wait::Done(0, length) => return Ok(length),
            Wait::Done(errno, _) => return Err(errno.checked_neg().unwrap_or(libc::EPROTO)),
            Wait::Lost => return Err(libc::EIO),
            // It may have completed the slot and then gone: looked at once more.
            Wait::Late if gone => return Err(libc::ECONNREFUSED),
            Wait::Late => gone = peer_gone(fd),
        }
    }
}

/// Whether the other end of the connection is closed (or the descriptor itself, under us).
fn peer_gone(fd: c_int) -> bool {
    let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    unsafe { next::poll(&raw mut poll, 1, 0) };
    poll.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}

/// A slot of the page: waits for one if all are in use. Those of threads that were killed are taken over: if their
/// number is free, or if they have left a result lie for long (a process that ended and that nobody has waited for
/// keeps its number).
fn claim(page: &Page) -> (usize, u32) {
    let thread = thread();
    let mut start = None;
    loop {
        for _ in 0..64 {
            if let Some(claimed) = page.claim(thread) {
                return claimed;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let long = start.get_or_insert_with(Instant::now).elapsed() > ABANDONED;
        page.reclaim(|owner, done| {
            // SAFETY: signal 0 only asks whether the thread exists.
            let result = unsafe { libc::kill(owner.cast_signed(), 0) };
            (result == -1 && pfnl_wire::os_error() == libc::ESRCH) || (long && done)
        });
    }
}

/// The calling thread's number, asked for once; [`forget_thread`] in a fork(2) child.
fn thread() -> u32 {
    THREAD.with(|thread| {
        if thread.get() == 0 {
            // SAFETY: no preconditions.
            thread.set(unsafe { libc::gettid() }.cast_unsigned());
        }
        thread.get()
    })
}

thread_local!(static THREAD: Cell<u32> = const { Cell::new(0) });

/// The calling thread is another's copy.
pub fn forget_thread() {
    THREAD.set(0);
}

fn borrow(fd: c_int) -> BorrowedFd<'static> {
    // SAFETY: used for one poll(2), which takes any number.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
