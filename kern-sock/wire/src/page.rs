//! The page both sides map. All of it is atomics: either side may be killed, or lie, at any moment.
//!
//! A *slot* carries one synchronous operation. Its state word is `0` when free, else `tag << 2 | phase`:
//!
//! ```text
//!   FREE ──claim (client)──► WAIT ──about to sleep (client)──► SLEEP
//!                              └────────complete (host)───────────┴──► DONE ──release (client)──► FREE
//! ```
//!
//! The tag makes a completion that comes late, for a client that died and whose slot was taken over, miss.

use crate::Ahead;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::*};
use std::time::Duration;

/// Slots of a page: how many operations on one socket can be under way at once.
pub const SLOTS: usize = 8;
/// Bytes that the result of an operation can have.
pub const OUT: usize = 512;

/// In [`Page::more`]: a dump goes on when something is read.
pub const MORE_DUMP: u32 = 1;
/// In [`Page::more`]: there is more in the queue than the connection took.
pub const MORE_BACKLOG: u32 = 2;
/// In [`Page::more`]: what there is to read may be a nudge. Set by the host, cleared by who takes it.
pub const MORE_NUDGE: u32 = 4;

const WAIT: u32 = 1;
const DONE: u32 = 2;
const SLEEP: u32 = 3;

/// What host and client share of one socket.
#[repr(C, align(64))]
pub struct Page {
    name: AtomicU64,
    peer: AtomicU64,
    kind: AtomicU64,
    error: AtomicI32,
    more: AtomicU32,
    tags: AtomicU32,
    flags: AtomicU32,
    consumed: AtomicU64,
    buffer: AtomicU64,
    slots: [Slot; SLOTS],
    ahead: Ahead,
}

/// Room for one synchronous operation.
#[repr(C, align(64))]
pub struct Slot {
    state: AtomicU32,
    owner: AtomicU32,
    result: AtomicI32,
    length: AtomicU32,
    out: [AtomicU32; OUT / 4],
}

/// How waiting for a slot ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// The operation is done: its result (0, or a negative errno) and the bytes of its output.
    Done(i32, usize),
    /// Not yet, after the time given.
    Late,
    /// The slot was taken from us: see [`Page::reclaim`].
    Lost,
}

impl Page {
    /// Datagrams to be read before those in the connection.
    pub fn ahead(&self) -> &Ahead {
        &self.ahead
    }
}

/// The host's side.
impl Page {
    /// Tells the client its own address and that of its peer, as (portid, groups).
    pub fn set_names(&self, name: (u32, u32), peer: (u32, u32)) {
        // Relaxed, as everything mirrored here: the completion of the operation that changed it publishes it.
        self.name.store(join(name), Relaxed);
        self.peer.store(join(peer), Relaxed);
    }

    /// Tells processes that attach later what the socket is: its type and protocol.
    pub fn set_kind(&self, kind: u32, protocol: u32) {
        self.kind.store(join((kind, protocol)), Relaxed);
    }

    /// Sets the pending error (an errno), unless one is pending already.
    pub fn set_error(&self, errno: i32) {
        // Failing means that an error waits there already. Release: what was queued before is visible with it.
        let _ = self.error.compare_exchange(0, errno, Release, Relaxed);
    }

    /// Tells the client what reading would bring on: [`MORE_DUMP`] or [`MORE_BACKLOG`], or not any more.
    pub fn set_more(&self, what: u32, on: bool) {
        if (self.more.load(Relaxed) & what != 0) != on {
            // Release: what is sent already is there for who sees the flag.
            if on {
                self.more.fetch_or(what, Release)
            } else {
                self.more.fetch_and(!what, Release)
            };
        }
    }

    /// All charges of datagrams the client has read, since ever, and the largest buffer it read into.
    pub fn consumed(&self) -> (u64, usize) {
        (self.consumed.load(Acquire), usize::try_from(self.buffer.load(Relaxed)).unwrap_or(usize::MAX))
    }

    /// Completes an operation and wakes who waits. `out` beyond [`OUT`] bytes is cut.
    pub fn complete(&self, slot: u32, tag: u32, result: i32, out: &[u8]) {
        let Some(slot) = usize::try_from(slot).ok().and_then(|slot| self.slots.get(slot)) else { return };
        let state = slot.state.load(Acquire);
        if state != (tag << 2 | WAIT) && state != (tag << 2 | SLEEP) {
            return; // nobody waits: the client died, or never was serious
        }
        slot.result.store(result, Relaxed);
        let out = out.get(..OUT).unwrap_or(out);
        for (place, bytes) in slot.out.iter().zip(out.chunks(4)) {
            let mut word = [0; 4];
            word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            place.store(u32::from_ne_bytes(word), Relaxed);
        }
        slot.length.store(out.len() as u32, Relaxed);
        // Release: the result above is visible to who sees DONE.
        if slot.state.compare_exchange(tag << 2 | WAIT, tag << 2 | DONE, Release, Relaxed).is_ok() {
            return;
        }
        if slot.state.compare_exchange(tag << 2 | SLEEP, tag << 2 | DONE, Release, Relaxed).is_ok() {
            futex_wake(&slot.state);
        }
    }
}

/// The client's side.
impl Page {
    /// The socket's own address: portid, groups.
    pub fn name(&self) -> (u32, u32) {
        split(self.name.load(Relaxed))
    }

    /// The peer's address: portid, groups.
    pub fn peer(&self) -> (u32, u32) {
        split(self.peer.load(Relaxed))
    }

    /// The socket's type and protocol, as in socket(2).
    pub fn kind(&self) -> (u32, u32) {
        split(self.kind.load(Relaxed))
    }

    /// Takes the pending error; 0 if there is none.
    pub fn take_error(&self) -> i32 {
        if self.error.load(Relaxed) == 0 { 0 } else { self.error.swap(0, Acquire) }
    }

    /// Whether an error is pending; it stays so.
    pub fn has_error(&self) -> bool {
        self.error.load(Relaxed) != 0
    }

    /// A nudge has been taken.
    pub fn nudge_taken(&self) {
        self.more.fetch_and(!MORE_NUDGE, Relaxed);
    }

    /// What reading would bring on: [`MORE_DUMP`], [`MORE_BACKLOG`], [`MORE_NUDGE`].
    pub fn more(&self) -> u32 {
        self.more.load(Acquire)
    }

    /// Counts a datagram as read.
    pub fn consume(&self, charge: u32) {
        self.consumed.fetch_add(u64::from(charge), Release);
    }

    /// Notes how much room a reader gave.
    pub fn offer(&self, buffer: usize) {
        let buffer = buffer as u64;
        if self.buffer.load(Relaxed) < buffer {
            self.buffer.fetch_max(buffer, Relaxed);
        }
    }

    /// Flags that clients keep for each other (the socket may be shared by processes); the host never looks.
    pub fn flags(&self) -> u32 {
        self.flags.load(Relaxed)
    }

    /// Sets or clears one of [`Page::flags`].
    pub fn set_flag(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Relaxed)
        } else {
            self.flags.fetch_and(!flag, Relaxed)
        };
    }

    /// Claims a free slot for a thread: its index and tag. `None`: all are in use.
    pub fn claim(&self, thread: u32) -> Option<(usize, u32)> {
        for (index, slot) in self.slots.iter().enumerate() {
            let tag = (self.tags.fetch_add(1, Relaxed).wrapping_add(1) & 0x3fff_ffff).max(1);
            if slot.state.compare_exchange(0, tag << 2 | WAIT, Acquire, Relaxed).is_ok() {
                slot.owner.store(thread, Relaxed);
                return Some((index, tag));
            }
        }
        None
    }

    /// Frees the slots whose owners will not come back for them, as `gone` says of a thread and of whether its operation
    /// is done.
    pub fn reclaim(&self, gone: impl Fn(u32, bool) -> bool) {
        for slot in &self.slots {
            let state = slot.state.load(Relaxed);
            if state != 0 && gone(slot.owner.load(Relaxed), state & 3 == DONE) {
                // Failing means that somebody was quicker.
                let _ = slot.state.compare_exchange(state, 0, Release, Relaxed);
            }
        }
    }

    /// Waits for a claimed slot: sleeps until woken, or for at most `patience`. It does not spin: the host may need
    /// this very processor.
    pub fn wait(&self, index: usize, tag: u32, patience: Duration) -> Wait {
        let Some(slot) = self.slots.get(index) else { return Wait::Late };
        // Failing means that it is done, or that we have slept before.
        let _ = slot.state.compare_exchange(tag << 2 | WAIT, tag << 2 | SLEEP, Relaxed, Relaxed);
        if slot.state.load(Relaxed) == (tag << 2 | SLEEP) {
            futex_wait(&slot.state, tag << 2 | SLEEP, patience);
        }
        match slot.state.load(Acquire) {
            state if state == tag << 2 | DONE => {
                let length = usize::try_from(slot.length.load(Relaxed)).unwrap_or(0).min(OUT);
                Wait::Done(slot.result.load(Relaxed), length)
            }
            state if state >> 2 == tag => Wait::Late,
            _ => Wait::Lost,
        }
    }

    /// Copies a finished slot's output.
    pub fn output(&self, index: usize, to: &mut [u8]) {
        let Some(slot) = self.slots.get(index) else { return };
        for (bytes, word) in to.chunks_mut(4).zip(&slot.out) {
            let word = word.load(Relaxed).to_ne_bytes();
            bytes.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        }
    }

    /// Gives a claimed slot back.
    pub fn release(&self, index: usize, tag: u32) {
        let Some(slot) = self.slots.get(index) else { return };
        // Failing means that it was taken over from us.
        let free = |state| (state >> 2 == tag).then_some(0);
        let _ = slot.state.fetch_update(Release, Relaxed, free);
    }
}

fn join((pid, groups): (u32, u32)) -> u64 {
    u64::from(pid) << 32 | u64::from(groups)
}

fn split(both: u64) -> (u32, u32) {
    ((both >> 32) as u32, both as u32)
}

fn futex_wait(word: &AtomicU32, expected: u32, patience: Duration) {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    // SAFETY: the word and the time live through the call, which writes to neither. Whatever ends it (a wake, a signal,
    // the time, another value), the caller looks again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const time) };
}

fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word lives through the call, which does not touch it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn an_operation_travels_through_a_slot() {
        let (page, _) = Mapping::create().unwrap();
        let (index, tag) = page.claim(1).unwrap();
        assert_eq!(page.wait(index, tag, SHORT), Wait::Late);
        page.complete(index as u32, tag, -22, b"seven b");
        assert_eq!(page.wait(index, tag, SHORT), Wait::Done(-22, 7));
        let mut out = [0; 7];
        page.output(index, &mut out);
        assert_eq!(&out, b"seven b");
        page.release(index, tag);
        assert!((0..SLOTS).all(|_| page.claim(1).is_some()));
        assert_eq!(page.claim(1), None);
    }

    #[test]
    fn a_late_completion_misses_the_next_owner() {
        let (page, _) = Mapping::create().unwrap();
        let (index, tag) = page.claim(7).unwrap();
        page.reclaim(|owner, done| owner == 7 && !done);
        let (again, newer) = page.claim(8).unwrap();
        assert_eq!(index, again);
        assert_eq!(page.wait(index, tag, SHORT), Wait::Lost);
        page.complete(index as u32, tag, 0, &[]);
        assert_eq!(page.wait(index, newer, SHORT), Wait::Late);
        page.complete(99, newer, 0, &[]);
        page.release(index, tag);
        page.complete(index as u32, newer, 0, &[]);
        assert_eq!(page.wait(index, newer, SHORT), Wait::Done(0, 0));
    }

    #[test]
    fn a_sleeper_is_woken_from_the_other_mapping() {
        let (page, memory) = Mapping::create().unwrap();
        let host = Mapping::open(memory).unwrap();
        let (index, tag) = page.claim(1).unwrap();
        let waker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            host.complete(index as u32, tag, 5, &[9; OUT + 100]);
        });
        let start = std::time::Instant::now();
        while page.wait(index, tag, Duration::from_secs(10)) == Wait::Late {}
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(page.wait(index, tag, SHORT), Wait::Done(5, OUT));
        waker.join().unwrap();
    }

    #[test]
    fn the_first_error_stays_until_taken() {
        let (page, _) = Mapping::create().unwrap();
        page.set_error(105);
        page.set_error(111);
        assert_eq!((page.take_error(), page.take_error()), (105, 0));
    }
}
