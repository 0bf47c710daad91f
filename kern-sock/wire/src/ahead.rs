//! Datagrams that are read before those in the connection: all of a batch but its last.
//!
//! The answers to several requests in one send come together, and what AF_UNIX takes for a datagram (a system call on
//! each side) is more than the kernel needs for an answer. So the host puts all but the last into the page, and only the
//! last into the connection, where it keeps the descriptor readable until it is read itself:
//!
//! ```text
//!   page         base ─► 1 2 3 4 │ 5 (again) ◄─ end       head: the next to be read
//!   connection           5
//! ```
//! The host does so only when all that it has sent was read, and the page is read before the connection, so the order
//! is kept. Positions are bytes since ever, and whoever moves `head` on has the datagram: a reader that was overtaken
//! fails at that and begins anew.
//!
//! Who sleeps in recv(2) while a batch is made would get its last datagram first. The host leaves batches be while
//! somebody does ([`Ahead::sleep`]); for who got it all the same, the last one stands in the page, too ([`Ahead::unlock`]).

use crate::{ARRIVAL, Arrival};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};

/// Bytes of a batch.
const ROOM: usize = 32 << 10;
const WORD: usize = 8;
/// A length and an arrival.
const HEAD: usize = (WORD + ARRIVAL) / WORD;

/// What of a page holds a batch.
#[repr(C, align(64))]
pub struct Ahead {
    base: AtomicU64,
    end: AtomicU64,
    head: AtomicU64,
    sleepers: AtomicU32,
    words: [AtomicU64; ROOM / WORD],
}

/// Words that a datagram takes.
fn taken(length: usize) -> usize {
    HEAD + length.div_ceil(WORD)
}

/// The host's side: a batch being made.
pub struct Batch<'a> {
    ahead: &'a Ahead,
    base: u64,
    /// Words in use.
    used: usize,
}

impl Ahead {
    /// Begins a batch behind the last; `None` unless that has been read, and nobody sleeps.
    pub fn begin(&self) -> Option<Batch<'_>> {
        // Acquire: what readers did is done before the words are written again. All of this is the client's word: a
        // false one spoils what that client reads.
        let base = self.head.load(Acquire);
        let free = self.end.load(Relaxed) == base && self.sleepers.load(Relaxed) == 0;
        free.then_some(Batch { ahead: self, base, used: 0 })
    }
}

impl Batch<'_> {
    /// Whether datagrams of such lengths fit.
    pub fn fits(&self, lengths: [usize; 2]) -> bool {
        let all = lengths.map(|length| taken(length.min(ROOM)));
        self.used + all[0] + all[1] <= self.ahead.words.len()
    }

    /// Puts a datagram at the end.
    pub fn put(&mut self, arrival: &Arrival, bytes: &[u8]) {
        self.write(arrival, bytes);
        self.used += taken(bytes.len());
    }

    /// Whether nothing was put.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Lets readers have it. Behind its end stands a copy of what is sent through the connection next.
    pub fn publish(self, arrival: &Arrival, bytes: &[u8]) {
        self.write(arrival, bytes);
        self.ahead.base.store(self.base, Relaxed);
        // Release: base and words are there for who sees the end.
        self.ahead.end.store(self.base.wrapping_add((self.used * WORD) as u64), Release);
    }

    fn write(&self, arrival: &Arrival, bytes: &[u8]) {
        let Some((head, body)) =
            self.ahead.words.get(self.used..).and_then(|words| words.split_at_checked(HEAD))
        else {
            return;
        };
        let arrival = arrival.to_bytes();
        let length = (bytes.len() as u64).to_ne_bytes();
        for (place, word) in head.iter().zip(std::iter::once(&length).chain(arrival.as_chunks::<WORD>().0)) {
            place.store(u64::from_ne_bytes(*word), Relaxed);
        }
        for (place, bytes) in body.iter().zip(bytes.chunks(WORD)) {
            let mut word = [0; WORD];
            word[..bytes.len()].copy_from_slice(bytes);
            place.store(u64::from_ne_bytes(word), Relaxed);
        }
    }
}

/// The client's side: the next datagram of a batch, as long as nobody else takes it.
pub struct Next<'a> {
    ahead: &'a Ahead,
    position: u64,
    /// What stands in front of it.
    pub arrival: Arrival,
    /// Its bytes.
    pub length: usize,
    words: &'a [AtomicU64],
}

impl Ahead {
    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.head.load(Acquire) == self.end.load(Acquire)
    }

    /// The next datagram.
    pub fn next(&self) -> Option<Next<'_>> {
        loop {
            let position = self.head.load(Acquire);
            if position == self.end.load(Acquire) {
                return None;
            }
            if let Some(next) = self.at(position) {
                return Some(next);
            }
            // Overtaken by readers and another batch; or somebody has spoilt the page.
            if self.head.load(Acquire) == position {
                return None;
            }
        }
    }

    fn at(&self, position: u64) -> Option<Next<'_>> {
        let offset = position.checked_sub(self.base.load(Relaxed))?;
        let (head, body) = self.words.get(usize::try_from(offset).ok()? / WORD..)?.split_at_checked(HEAD)?;
        let (length, words) = head.split_first()?;
        let mut arrival = [0; ARRIVAL];
        for (bytes, word) in arrival.as_chunks_mut::<WORD>().0.iter_mut().zip(words) {
            *bytes = word.load(Relaxed).to_ne_bytes();
        }
        let length = usize::try_from(length.load(Relaxed)).ok()?;
        let words = body.get(..length.div_ceil(WORD))?;
        Some(Next { ahead: self, position, arrival: Arrival::from_bytes(&arrival)?, length, words })
    }

    /// The last datagram of a batch came before the others: they are followed by its copy.
    pub fn unlock(&self) {
        let end = self.end.load(Acquire);
        if let Some(copy) = self.at(end) {
            // Release for who sees the new end. Failing means that somebody spoils the page.
            let _ = self.end.compare_exchange(end, copy.behind(), Release, Relaxed);
        }
    }

    /// Says that somebody may sleep in recv(2), until the value is dropped. Who is killed leaves it said: that costs
    /// speed, no more.
    pub fn sleep(&self) -> impl Drop {
        struct Sleep<'a>(&'a Ahead);
        impl Drop for Sleep<'_> {
            fn drop(&mut self) {
                self.0.sleepers.fetch_sub(1, Relaxed);
            }
        }
        // Relaxed: who is seen too late is helped by `unlock`.
        self.sleepers.fetch_add(1, Relaxed);
        Sleep(self)
    }
}

impl Next<'_> {
    /// Gives its bytes, up to `room` of them, in pieces: each with where it belongs. They are what they seem only if it
    /// is still the next afterwards.
    pub fn pieces(&self, room: usize, mut piece: impl FnMut(usize, &[u8])) {
        const FEW: usize = 32;
        let room = room.min(self.length);
        for (number, words) in self.words.chunks(FEW).enumerate() {
            let at = number * FEW * WORD;
            if at >= room {
                break;
            }
            let mut bytes = [0; FEW * WORD];
            for (place, word) in bytes.as_chunks_mut::<WORD>().0.iter_mut().zip(words) {
                *place = word.load(Relaxed).to_ne_bytes();
            }
            piece(at, &bytes[..(room - at).min(words.len() * WORD)]);
        }
    }

    /// Whether it is still the next.
    pub fn valid(&self) -> bool {
        fence(Acquire); // its words have been read before we look
        self.ahead.head.load(Relaxed) == self.position
    }

    /// Takes it; false: somebody else did.
    pub fn take(&self) -> bool {
        // Release: its words have been read before the host may write others there.
        self.ahead.head.compare_exchange(self.position, self.behind(), AcqRel, Relaxed).is_ok()
    }

    fn behind(&self) -> u64 {
        self.position.wrapping_add((taken(self.length) * WORD) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;

    fn arrival(charge: u32) -> Arrival {
        Arrival { charge, ..Arrival::default() }
    }

    fn batch(ahead: &Ahead, blocks: &[&[u8]]) -> bool {
        let (last, blocks) = blocks.split_last().unwrap();
        let Some(mut batch) = ahead.begin() else { return false };
        for (charge, block) in (1..).zip(blocks) {
            assert!(batch.fits([block.len(), last.len()]));
            batch.put(&arrival(charge), block);
        }
        assert_eq!(batch.is_empty(), blocks.is_empty());
        batch.publish(&arrival(99), last);
        true
    }

    fn bytes(next: &Next<'_>, room: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        next.pieces(room, |at, piece| {
            assert_eq!(at, bytes.len());
            bytes.extend_from_slice(piece);
        });
        bytes
    }

    #[test]
    fn a_batch_is_read_in_order_and_makes_room_for_the_next() {
        let (page, memory) = Mapping::create().unwrap();
        let host = Mapping::open(memory).unwrap();
        let ahead = page.ahead();
        assert!(ahead.next().is_none() && ahead.is_empty());
        let long: Vec<u8> = (0..1001_u32).map(|number| number as u8).collect();
        for _ in 0..3 {
            assert!(batch(host.ahead(), &[b"one", &long, b"", b"last"]));
            assert!(!batch(host.ahead(), &[b"not yet", b"x"]));
            for (charge, block) in [(1, &b"one"[..]), (2, &long), (3, b"")] {
                let next = ahead.next().unwrap();
                assert_eq!((next.length, next.arrival.charge), (block.len(), charge));
                assert_eq!(bytes(&next, usize::MAX), block);
                assert_eq!(bytes(&next, 300), &block[..block.len().min(300)]);
                let other = ahead.next().unwrap();
                assert!(next.valid() && next.take());
                assert!(!next.valid() && !other.take());
            }
            assert!(ahead.next().is_none());
        }
        // Who came first to the last one puts it behind the others, and the host goes on from there.
        assert!(batch(host.ahead(), &[b"one", b"last"]));
        ahead.unlock();
        for block in [&b"one"[..], b"last"] {
            let next = ahead.next().unwrap();
            assert_eq!(bytes(&next, usize::MAX), block);
            assert!(next.take());
        }
        assert!(ahead.is_empty() && batch(host.ahead(), &[b"again", b"x"]));
    }

    #[test]
    fn sleepers_and_a_lack_of_room_leave_a_batch_to_the_connection() {
        let (page, _) = Mapping::create().unwrap();
        let sleep = page.ahead().sleep();
        assert!(!batch(page.ahead(), &[b"one", b"last"]));
        drop(sleep);
        let mut batch = page.ahead().begin().unwrap();
        assert!(batch.fits([ROOM - 2 * HEAD * WORD, 0]) && !batch.fits([ROOM - 2 * HEAD * WORD, 1]));
        assert!(!batch.fits([usize::MAX, usize::MAX]));
        while batch.fits([1000, 1000]) {
            batch.put(&arrival(1), &[7; 1000]);
        }
        batch.publish(&arrival(2), &[8; 1000]);
        page.ahead().unlock();
        let mut count = 0;
        while let Some(next) = page.ahead().next() {
            assert!(next.take());
            count += 1;
        }
        assert_eq!(count, ROOM / (1000 + HEAD * WORD));
    }

    #[test]
    fn a_spoilt_page_is_read_without_harm() {
        let (page, _) = Mapping::create().unwrap();
        let ahead = page.ahead();
        for (base, head, end) in
            [(0, 5, 9), (u64::MAX, 0, 1), (0, u64::MAX, 3), (0, 0, u64::MAX), (7, 9, 1 << 40)]
        {
            for length in [0, 1, 1 << 20, u64::MAX] {
                ahead.words[0].store(length, Relaxed);
                ahead.base.store(base, Relaxed);
                ahead.head.store(head, Relaxed);
                ahead.end.store(end, Relaxed);
                if let Some(next) = ahead.next() {
                    bytes(&next, usize::MAX);
                    next.take();
                }
                ahead.unlock();
            }
        }
        ahead.head.store(u64::MAX, Relaxed);
        ahead.end.store(u64::MAX, Relaxed);
        assert!(batch(ahead, &[b"one", b"last"]));
    }

    #[test]
    fn readers_in_a_race_get_each_datagram_once() {
        let (page, _) = Mapping::create().unwrap();
        let (ahead, seen) = (page.ahead(), AtomicU64::new(0));
        let (batches, each) = (200, 40_u64);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while seen.load(Relaxed) < batches * each {
                        let Some(next) = ahead.next() else { continue };
                        let got = bytes(&next, usize::MAX);
                        if next.take() {
                            assert!(got.iter().all(|&byte| u32::from(byte) == next.arrival.charge));
                            seen.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
            for number in 0..batches {
                let mut batch = loop {
                    if let Some(batch) = ahead.begin() {
                        break batch;
                    }
                    std::thread::yield_now();
                };
                for block in 0..each {
                    let value = (number + block) as u8;
                    batch.put(&arrival(value.into()), &vec![value; block as usize * 9]);
                }
                batch.publish(&arrival(0), &[]);
            }
        });
        assert_eq!(seen.load(Relaxed), batches * each);
    }
}
