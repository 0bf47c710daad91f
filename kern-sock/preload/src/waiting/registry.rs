//! Which sockets of ours are in which epoll set, and by what data they are told of.
//!
//! The kernel takes a socket out of a set when its last descriptor is closed; here it then leads nowhere, by its cookie.

use crate::receive::is_readable;
use crate::table::{self, Name, Pin};
use libc::{c_int, epoll_event};
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};

const IN: u32 = libc::EPOLLIN as u32;
const ERR: u32 = libc::EPOLLERR as u32;
/// Told once: by itself an error is not told again.
const ONCE: u32 = (libc::EPOLLONESHOT | libc::EPOLLET) as u32;

/// A socket in a set.
#[derive(Clone, Copy)]
pub struct Member {
    name: Name,
    fd: c_int,
    events: u32,
    pub data: u64,
}

impl Member {
    /// The socket, if it is there still.
    pub fn pin(&self) -> Option<Pin> {
        table::named(self.name)
    }

    /// Whether nobody waits for something to read from it.
    fn is_blind(&self) -> bool {
        self.events & (IN | ONCE) == 0
    }
}

#[derive(Default)]
struct Set {
    by_fd: BTreeMap<c_int, Member>,
    /// Those that are told of by the same data.
    by_data: BTreeMap<u64, Vec<c_int>>,
    blind: usize,
}

impl Set {
    fn remove(&mut self, fd: c_int) {
        let Some(member) = self.by_fd.remove(&fd) else { return };
        self.blind -= usize::from(member.is_blind());
        if let Some(same) = self.by_data.get_mut(&member.data) {
            same.retain(|&other| other != fd);
            if same.is_empty() {
                self.by_data.remove(&member.data);
            }
        }
    }

    fn put(&mut self, member: Member) {
        self.remove(member.fd);
        self.blind += usize::from(member.is_blind());
        self.by_data.entry(member.data).or_default().push(member.fd);
        self.by_fd.insert(member.fd, member);
    }
}

/// All sets, by their descriptors.
struct Registry {
    lock: AtomicU32,
    /// There has been a socket in a set. A program without one pays for nothing.
    used: AtomicBool,
    sets: UnsafeCell<BTreeMap<c_int, Set>>,
}

// SAFETY: the sets are touched with the lock held only.
unsafe impl Sync for Registry {}

static REGISTRY: Registry = Registry {
    lock: AtomicU32::new(0),
    used: AtomicBool::new(false),
    sets: UnsafeCell::new(BTreeMap::new()),
};

impl Registry {
    /// Held for moments, and across fork(2), so that a child finds it whole.
    fn lock(&self) {
        while self.lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
            std::thread::yield_now();
        }
    }

    fn unlock(&self) {
        self.lock.store(0, Release);
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<c_int, Set>) -> T) -> T {
        self.lock();
        // SAFETY: the lock is held, and `work` does not come back here.
        let result = work(unsafe { &mut *self.sets.get() });
        self.unlock();
        result
    }
}

/// Around fork(2).
pub unsafe extern "C" fn before_fork() {
    REGISTRY.lock();
}

/// In both processes.
pub unsafe extern "C" fn after_fork() {
    REGISTRY.unlock();
}

/// Whether there has been a socket in a set at all.
pub fn is_used() -> bool {
    REGISTRY.used.load(Relaxed)
}

/// A socket of ours is in a set, with this to be told.
pub fn put(set: c_int, fd: c_int, event: epoll_event) {
    let Some(name) = table::name(fd) else { return };
    let member = Member { name, fd, events: event.events, data: event.u64 };
    REGISTRY.used.store(true, Relaxed);
    REGISTRY.with(|sets| sets.entry(set).or_default().put(member));
}

/// A descriptor is not in a set any more.
pub fn remove(set: c_int, fd: c_int) {
    if is_used() {
        REGISTRY.with(|sets| sets.get_mut(&set).map(|set| set.remove(fd)));
    }
}

/// A set is being closed, if that is what the descriptor is.
pub fn forget(set: c_int) {
    if is_used() && table::own_memory() {
        drop(REGISTRY.with(|sets| sets.remove(&set)));
    }
}

/// Those in a set that nobody waits for something to read from; `None` if it has no socket of ours.
pub fn blind(set: c_int) -> Option<Vec<Member>> {
    REGISTRY.with(|sets| {
        let set = sets.get(&set).filter(|set| !set.by_fd.is_empty())?;
        if set.blind == 0 {
            return Some(Vec::new());
        }
        Some(set.by_fd.values().filter(|member| member.is_blind()).copied().collect())
    })
}

/// Completes what the kernel says of a member; false if there is nothing to say.
pub fn complete(set: c_int, event: &mut epoll_event) -> bool {
    let data = event.u64;
    let find = |sets: &mut BTreeMap<c_int, Set>| -> Option<Member> {
        let set = sets.get(&set)?;
        let same = set.by_data.get(&data)?;
        let members = || same.iter().filter_map(|fd| set.by_fd.get(fd));
        // Of several, which one it is shows by nothing but what is to be said.
        let in_trouble = |member: &&Member| member.pin().is_some_and(|socket| socket.has_error());
        members().find(in_trouble).or_else(|| members().next().filter(|_| same.len() == 1)).copied()
    };
    let Some(member) = REGISTRY.with(find) else { return true };
    let Some(socket) = member.pin() else { return true };
    let has_error = socket.has_error();
    if has_error {
        event.events |= ERR;
    }
    let is_there = table::name(member.fd) == Some(member.name);
    if event.events & IN != 0 && is_there && !is_readable(member.fd, &socket, has_error) {
        event.events &= !(IN | libc::EPOLLRDNORM as u32);
    }
    event.events != 0
}
