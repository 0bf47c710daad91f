//! poll(2), epoll(7) and their kin: a pending error shows as POLLERR, as on Linux.
//!
//! What the kernel looks at is a connection, on which nobody but the kernel can set an error; the socket's stands in its
//! page. Something to be read always comes with it (messages, or a nudge), so whoever waits for that is woken, and what
//! is left to do here is to say why. Who does not wait for something to read is woken by looking every so often.
//!
//! A nudge whose error has been taken in some other way is nothing to be read: it is taken away before anybody is told.
//! select(2) has no word for errors: they count as something to read, which there is.

mod registry;

use crate::table;
use crate::{is_wild, next, receive};
use libc::{c_int, epoll_event, nfds_t, pollfd, sigset_t, timespec};
pub use registry::{after_fork, before_fork, forget};
use std::time::{Duration, Instant};

/// How often an error is looked for on behalf of who does not wait for something to read.
const SLICE: Duration = Duration::from_millis(20);

/// poll(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(entries: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller keeps to the C function's contract.
    unsafe {
        let Some(set) = ours(entries, count) else { return next::poll(entries, count, timeout) };
        let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
        poll_until(set, limit, |time| {
            // Rounded up, so that the end is not waited for in a hurry.
            let time = time.map_or(-1, |time| time.as_micros().div_ceil(1000) as c_int);
            next::poll(entries, count, time)
        })
    }
}

/// poll(2) as _FORTIFY_SOURCE calls it.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __poll_chk(
    entries: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
    room: libc::size_t,
) -> c_int {
    let fit = (room / size_of::<pollfd>()) as nfds_t;
    // SAFETY: the caller keeps to the C function's contract; what is not there is not touched.
    unsafe { poll(entries, count.min(fit), timeout) }
}

/// ppoll(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    entries: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    signals: *const sigset_t,
) -> c_int {
    // SAFETY: the caller keeps to the C function's contract.
    unsafe {
        let set = if !timeout.is_null() && is_wild(timeout) { None } else { ours(entries, count) };
        let (Some(set), Some(limit)) = (set, duration(timeout)) else {
            return next::ppoll(entries, count, timeout, signals);
        };
        poll_until(set, limit, |time| {
            let time = time.map(spec);
            next::ppoll(entries, count, time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref), signals)
        })
    }
}

/// ppoll(2) as _FORTIFY_SOURCE calls it.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __ppoll_chk(
    entries: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    signals: *const sigset_t,
    room: libc::size_t,
) -> c_int {
    let fit = (room / size_of::<pollfd>()) as nfds_t;
    // SAFETY: as above.
    unsafe { ppoll(entries, count.min(fit), timeout, signals) }
}

/// The entries, if one of them is of a socket of ours, as far as is known.
unsafe fn ours<'a>(entries: *mut pollfd, count: nfds_t) -> Option<&'a mut [pollfd]> {
    let count = usize::try_from(count).ok().filter(|&count| count > 0 && count < 1 << 20)?;
    if is_wild(entries) {
        return None;
    }
    // SAFETY: the caller's word: so many entries.
    let entries = unsafe { std::slice::from_raw_parts_mut(entries, count) };
    entries.iter().any(|entry| table::may_be_ours(entry.fd)).then_some(entries)
}

/// Polls until something is ready or the time is over.
fn poll_until(
    entries: &mut [pollfd],
    limit: Option<Duration>,
    mut wait: impl FnMut(Option<Duration>) -> c_int,
) -> c_int {
    let end = limit.map(|limit| Instant::now() + limit);
    loop {
        let known = || entries.iter().filter_map(|entry| Some((entry.events, table::known(entry.fd)?)));
        let pending = known().any(|(_, socket)| socket.has_error());
        let blind = known().any(|(events, _)| events & libc::POLLIN == 0);
        let (time, last) = slice(end, pending, blind);
        let result = wait(time);
        if result < 0 {
            return result;
        }
        entries.iter_mut().for_each(complete);
        let ready = entries.iter().filter(|entry| entry.revents != 0).count();
        if ready > 0 || last && result == 0 {
            return ready as c_int;
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return 0;
        }
    }
}

/// How long to wait now, and whether that is all there is.
fn slice(end: Option<Instant>, pending: bool, blind: bool) -> (Option<Duration>, bool) {
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    if pending {
        return (Some(Duration::ZERO), left.is_some_and(|left| left.is_zero()));
    }
    match left {
        Some(left) if !blind || left <= SLICE => (Some(left), true),
        None if !blind => (None, true),
        _ => (Some(SLICE), false),
    }
}

/// Completes what the kernel says of one descriptor.
fn complete(entry: &mut pollfd) {
    // What is not known is looked at once there is something to read: a socket that came through exec.
    let socket = match table::known(entry.fd) {
        Some(socket) => socket,
        None if entry.revents & libc::POLLIN != 0 && table::may_be_ours(entry.fd) => {
            match table::find(entry.fd) {
                Ok(Some(socket)) => socket,
                _ => return,
            }
        }
        None => return,
    };
    // Looked at again, with proof: the number may have become another file's.
    let has_error =
        socket.has_error() && matches!(table::find(entry.fd), Ok(Some(socket)) if socket.has_error());
    if has_error {
        entry.revents |= libc::POLLERR;
    }
    if entry.revents & libc::POLLIN != 0 && !receive::is_readable(entry.fd, &socket, has_error) {
        entry.revents &= !(libc::POLLIN | libc::POLLRDNORM);
    }
}

/// epoll_ctl(2): notes what sockets of ours are in which set.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_ctl(
    set: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: the caller keeps to the C function's contract.
    let result = unsafe { next::epoll_ctl(set, operation, fd, event) };
    if result == 0 {
        match operation {
            libc::EPOLL_CTL_DEL => registry::remove(set, fd),
            _ if table::may_be_ours(fd) => {
                if let Ok(Some(_)) = crate::quietly(|| table::find(fd)) {
                    // SAFETY: the kernel has read it.
                    registry::put(set, fd, unsafe { event.read_unaligned() });
                }
            }
            _ => registry::remove(set, fd),
        }
    }
    result
}

/// epoll_wait(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    set: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
    // SAFETY: the caller keeps to the C function's contract.
    unsafe {
        epoll_until(set, events, most, limit, |time| next::epoll_wait(set, events, most, milliseconds(time)))
            .unwrap_or_else(|| next::epoll_wait(set, events, most, timeout))
    }
}

/// epoll_pwait(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_pwait(
    set: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
    signals: *const sigset_t,
) -> c_int {
    let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
    let wait = |timeout| {
        // SAFETY: the caller keeps to the C function's contract.
        unsafe { next::epoll_pwait(set, events, most, timeout, signals) }
    };
    // SAFETY: as above.
    unsafe { epoll_until(set, events, most, limit, |time| wait(milliseconds(time))) }
        .unwrap_or_else(|| wait(timeout))
}

/// epoll_pwait2(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_pwait2(
    set: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: *const timespec,
    signals: *const sigset_t,
) -> c_int {
    let wait = |timeout| {
        // SAFETY: the caller keeps to the C function's contract.
        unsafe { next::epoll_pwait2(set, events, most, timeout, signals) }
    };
    if !timeout.is_null() && is_wild(timeout) {
        return wait(timeout);
    }
    // SAFETY: as above.
    let Some(limit) = (unsafe { duration(timeout) }) else { return wait(timeout) };
    let slice = |time: Option<Duration>| {
        let time = time.map(spec);
        wait(time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref))
    };
    // SAFETY: as above.
    unsafe { epoll_until(set, events, most, limit, slice) }.unwrap_or_else(|| wait(timeout))
}

/// Waits for a set until something is ready or the time is over; `None` if no socket of ours is in it.
unsafe fn epoll_until(
    set: c_int,
    events: *mut epoll_event,
    most: c_int,
    limit: Option<Duration>,
    mut wait: impl FnMut(Option<Duration>) -> c_int,
) -> Option<c_int> {
    if !registry::is_used() || is_wild(events) {
        return None;
    }
    let most = usize::try_from(most).ok().filter(|&most| most > 0)?;
    let end = limit.map(|limit| Instant::now() + limit);
    loop {
        let blind = registry::blind(set)?;
        let pending = blind.iter().any(|socket| socket.pin().is_some_and(|socket| socket.has_error()));
        let (time, last) = slice(end, pending, !blind.is_empty());
        let result = wait(time);
        let Ok(count) = usize::try_from(result) else { return Some(result) };
        let mut ready = 0;
        for index in 0..count {
            // SAFETY: the kernel has written so many events.
            unsafe {
                let mut event = events.add(index).read_unaligned();
                if registry::complete(set, &mut event) {
                    events.add(ready).write_unaligned(event);
                    ready += 1;
                }
            }
        }
        for socket in blind.iter().filter(|socket| socket.pin().is_some_and(|socket| socket.has_error())) {
            // SAFETY: as above.
            let told = |index| unsafe { events.add(index).read_unaligned() }.u64 == socket.data;
            if ready < most && !(0..ready).any(told) {
                let event = epoll_event { events: libc::EPOLLERR as u32, u64: socket.data };
                // SAFETY: the caller's word: room for as many as stated.
                unsafe { events.add(ready).write_unaligned(event) };
                ready += 1;
            }
        }
        if ready > 0 || last && count == 0 {
            return Some(ready as c_int);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Some(0);
        }
    }
}

fn milliseconds(time: Option<Duration>) -> c_int {
    time.map_or(-1, |time| c_int::try_from(time.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX))
}

fn spec(time: Duration) -> timespec {
    timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// A time to wait, none for ever; `None` if it is none that a kernel takes.
unsafe fn duration(time: *const timespec) -> Option<Option<Duration>> {
    // SAFETY: the caller's word: null, or a time.
    let Some(time) = (unsafe { time.as_ref() }) else { return Some(None) };
    let nanoseconds = u32::try_from(time.tv_nsec).ok().filter(|&nanoseconds| nanoseconds < 1_000_000_000)?;
    Some(Some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanoseconds)))
}
