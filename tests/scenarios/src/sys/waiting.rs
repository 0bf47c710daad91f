//! poll(2), select(2), epoll(7) and their kin.

use super::{Outcome, adopt, checked};
use libc::c_int;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{null, null_mut};

/// poll(2) on several descriptors: what it returns, and what each is ready for.
pub fn poll_all(entries: &[(c_int, i16)], milliseconds: c_int) -> (Outcome, Vec<i16>) {
    let mut entries: Vec<_> =
        entries.iter().map(|&(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: the entries live through the call, and are as many as stated.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as _, milliseconds) };
    (checked(result as isize), entries.iter().map(|entry| entry.revents).collect())
}

/// ppoll(2) on one descriptor.
pub fn ppoll(fd: c_int, events: i16, milliseconds: i64) -> (Outcome, i16) {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    let time = libc::timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    // SAFETY: the entry and the time live through the call.
    let result = unsafe { libc::ppoll(&raw mut entry, 1, &raw const time, null()) };
    (checked(result as isize), entry.revents)
}

/// select(2) for reading, writing and exceptions on one descriptor.
pub fn select(fd: c_int, milliseconds: i64) -> (Outcome, [bool; 3]) {
    assert!((0..1024).contains(&fd), "a descriptor that no set holds");
    // SAFETY: sets of all zeroes are valid; the descriptor is within them; all live through the call.
    unsafe {
        let mut sets: [libc::fd_set; 3] = std::mem::zeroed();
        for set in &mut sets {
            libc::FD_SET(fd, set);
        }
        let mut time = libc::timeval { tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000 };
        let [read, write, except] = &mut sets;
        let result = libc::select(fd + 1, read, write, except, &raw mut time);
        (checked(result as isize), sets.map(|set| libc::FD_ISSET(fd, &raw const set)))
    }
}

/// An epoll set.
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> Epoll {
        // SAFETY: no memory is involved.
        Epoll(adopt(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))
    }

    /// A set with one descriptor, looked at for reading and writing.
    pub fn with(fd: c_int, edge: bool) -> Option<Epoll> {
        let set = Epoll::new();
        let edge = if edge { libc::EPOLLET } else { 0 };
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | edge;
        set.control(libc::EPOLL_CTL_ADD, fd, events, 5).is_ok().then_some(set)
    }

    /// epoll_ctl(2).
    pub fn control(&self, operation: c_int, fd: c_int, events: c_int, data: u64) -> Outcome {
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: data };
        // SAFETY: the event lives through the call.
        checked(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) } as isize)
    }

    /// epoll_wait(2): events and data, in order of the data.
    pub fn wait(&self, milliseconds: c_int) -> Vec<(u64, u32)> {
        let mut events = [const { libc::epoll_event { events: 0, u64: 0 } }; 8];
        // SAFETY: room for eight events.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 8, milliseconds) };
        let ready = events.iter().take(usize::try_from(count).unwrap_or(0));
        let mut ready: Vec<_> = ready.map(|event| (event.u64, event.events)).collect();
        ready.sort_unstable();
        ready
    }

    /// epoll_pwait(2), as [`Epoll::wait`].
    pub fn pwait(&self, milliseconds: c_int) -> Vec<(u64, u32)> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        let count = unsafe { libc::epoll_pwait(self.0.as_raw_fd(), &raw mut event, 1, milliseconds, null()) };
        if count > 0 { vec![(event.u64, event.events)] } else { Vec::new() }
    }

    /// The set's own descriptor, which can be waited for too.
    pub fn raw(&self) -> c_int {
        self.0.as_raw_fd()
    }

    /// What is ready now goes to the transcript.
    pub fn look(&self) {
        let ready = self.wait(0);
        println!("epoll {} {:#x}", ready.len(), ready.first().map_or(0, |(_, events)| *events));
    }
}

/// Has SIGALRM come after a while, whose handler does nothing, and which restarts calls if that is wanted.
pub fn alarm(milliseconds: i64, restart: bool) {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing; structures live through the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(c_int) as usize;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        libc::sigaction(libc::SIGALRM, &raw const action, null_mut());
        let time = libc::timeval { tv_sec: 0, tv_usec: milliseconds * 1000 };
        let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: time };
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut());
    }
}

/// Blocks a signal in this thread, so that [`take_signal`] can take it.
pub fn block_signal(signal: c_int) {
    // SAFETY: a set of all zeroes is valid, and lives through the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, null_mut());
    }
}

/// Takes a blocked signal, or none within the time given: its number.
pub fn take_signal(signal: c_int, milliseconds: i64) -> Outcome {
    let time = libc::timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    // SAFETY: as above.
    checked(unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, signal);
        libc::sigtimedwait(&raw const set, null_mut(), &raw const time)
    } as isize)
}
