//! A hash index of flows that is read without a lock.
//!
//! ```text
//! Index ─► Buckets ─► [Bucket][Bucket][Bucket]…     a power of two of them; which one the hash's top bits say
//!
//! Bucket, one cache line:
//!   tags   t0 t1 t2 t3 t4 t5 -- more     a byte of each slot's hash, 0 = the slot is free
//!   slots  ─► (hash, flow) × 6
//!   more   ─► Bucket                     when six are not enough
//! ```
//!
//! Who looks for a flow that is not here reads the tags and, but for one in some eighty cases, nothing else.
//!
//! A slot is filled before its tag is set, and its tag is cleared before it is emptied; a reader compares the whole hash and
//! the key, so one that comes in between sees the old, the new, or nothing. Growing and shrinking build all buckets
//! anew. Because buckets go by the top bits, the order of all flows is (hash, serial) whatever the number of buckets. A
//! [`Cursor`] is a place in that order: it survives every change, and a walk meets each flow that stays exactly once.
//!
//! Adding comes in two steps: *prepare* allocates and may fail, *commit* cannot. So two indexes change together or not at
//! all. Taking away needs no memory. Writers are serialised by the caller.

use crate::flow::Flow;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use pfnl_platform::{Errno, Platform, RcuBox, RcuCell, Result, Shared};

const MAX_BUCKETS: usize = 1 << 22;
/// Flows for each bucket, on average, before there are twice as many buckets.
const FULL: usize = 3;
/// Buckets in a row. With random hashes a second one is rare and a third unheard of: this is the end when there is no
/// memory to grow.
const MAX_CHAIN: usize = 16;

const SLOTS: usize = 6;
/// The tag in every byte.
const EACH: u64 = 0x0101_0101_0101_0101;
/// The top bits of the slots' tags.
const TOPS: u64 = 0x0000_8080_8080_8080;
/// There is another bucket behind this one.
const MORE: u64 = 1 << 56;

pub(super) struct Index<P: Platform> {
    buckets: RcuCell<P, Buckets<P>>,
}

struct Buckets<P: Platform> {
    all: Vec<Bucket<P>>,
    /// 64 − log2 of their number.
    shift: u32,
}

#[repr(C, align(64))]
struct Bucket<P: Platform> {
    tags: AtomicU64,
    slots: [RcuCell<P, Entry<P>>; SLOTS],
    more: RcuCell<P, Bucket<P>>,
}

struct Entry<P: Platform> {
    hash: u64,
    flow: Shared<Flow<P>>,
}

impl<P: Platform> Entry<P> {
    fn place(&self) -> (u64, u64) {
        (self.hash, self.flow.serial)
    }
}

/// How far a walk over the table has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// (hash, serial) of the last flow that was seen.
    last: Option<(u64, u64)>,
}

/// An addition that cannot fail any more.
pub(super) struct Prepared<P: Platform>(Change<P>);

enum Change<P: Platform> {
    /// There is a free slot.
    Slot(RcuBox<Entry<P>>),
    /// A bucket to append, the flow in it.
    More(RcuBox<Bucket<P>>),
    All(RcuBox<Buckets<P>>),
}

impl<P: Platform> Index<P> {
    pub fn new() -> Index<P> {
        Index { buckets: RcuCell::new(None) }
    }

    /// The first flow with this hash that `is_it`.
    #[inline]
    pub fn find<'g>(
        &'g self,
        section: &'g P::Guard,
        hash: u64,
        is_it: impl Fn(&Flow<P>) -> bool,
    ) -> Option<&'g Shared<Flow<P>>> {
        self.peek(section, hash)?.find(section, hash, is_it)
    }

    /// Fetches the tags among which a flow with this hash would be.
    #[inline]
    pub fn peek<'g>(&'g self, section: &'g P::Guard, hash: u64) -> Option<Peek<'g, P>> {
        let bucket = self.buckets.load(section)?.bucket(hash)?;
        // Acquire: a slot's entry is there when its tag is.
        Some(Peek { bucket, tags: bucket.tags.load(Ordering::Acquire) })
    }

    /// The next flow of a walk, which moves on.
    pub fn next<'g>(&'g self, section: &'g P::Guard, cursor: &mut Cursor) -> Option<&'g Shared<Flow<P>>> {
        let buckets = self.buckets.load(section)?;
        let from = cursor.last.map_or(0, |(hash, _)| buckets.position(hash));
        let after = |entry: &&Entry<P>| cursor.last.is_none_or(|last| entry.place() > last);
        let mut firsts = buckets
            .all
            .get(from..)?
            .iter()
            .filter_map(|bucket| bucket.entries(section).filter(after).min_by_key(|entry| entry.place()));
        let entry = firsts.next()?;
        cursor.last = Some(entry.place());
        Some(&entry.flow)
    }

    /// Gets ready to add a flow to the `count` that are here.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn prepare_insert(
        &self,
        section: &P::Guard,
        hash: u64,
        flow: &Shared<Flow<P>>,
        count: usize,
    ) -> Result<Prepared<P>> {
        let new = || RcuBox::try_new(Entry { hash, flow: flow.clone() });
        let Some(buckets) = self.buckets.load(section) else {
            let mut first = Buckets::try_new(1)?;
            first.add(new()?)?;
            return Ok(Prepared(Change::All(first)));
        };
        let len = buckets.all.len();
        if count >= len.saturating_mul(FULL) && len < MAX_BUCKETS {
            // Without memory to grow, a bucket that is longer than it should be will do.
            if let Ok(mut grown) = buckets.resized(section, len.saturating_mul(2)) {
                grown.add(new()?)?;
                return Ok(Prepared(Change::All(grown)));
            }
        }
        let Some(first) = buckets.bucket(hash) else { return Err(Errno::ENOMEM) };
        if first.chain(section).any(|bucket| bucket.free().is_some()) {
            return Ok(Prepared(Change::Slot(new()?)));
        }
        if first.chain(section).count() >= MAX_CHAIN {
            return Err(Errno::ENOMEM);
        }
        let mut more = RcuBox::try_new(Bucket::new())?;
        more.add(new()?)?;
        Ok(Prepared(Change::More(more)))
    }

    /// Adds what was prepared for `hash`. Nothing else may have changed in between.
    pub fn commit(&self, section: &P::Guard, hash: u64, prepared: Prepared<P>) {
        let chain = || self.buckets.load(section).and_then(|b| b.bucket(hash)).map(|b| b.chain(section));
        match prepared.0 {
            Change::All(buckets) => self.buckets.store(Some(buckets)),
            Change::Slot(entry) => {
                let free = chain().into_iter().flatten().find_map(|bucket| Some((bucket, bucket.free()?)));
                if let Some((bucket, slot)) = free {
                    bucket.fill(slot, entry);
                }
            }
            Change::More(more) => {
                if let Some(last) = chain().into_iter().flatten().last() {
                    last.more.store(Some(more));
                    // Release: who sees the mark finds the bucket.
                    last.tags.fetch_or(MORE, Ordering::Release);
                }
            }
        }
    }

    /// Takes a flow away, which leaves `count`; false if it is not here.
    pub fn remove(&self, section: &P::Guard, hash: u64, flow: &Shared<Flow<P>>, count: usize) -> bool {
        let Some(buckets) = self.buckets.load(section) else { return false };
        let mut chain = buckets.bucket(hash).into_iter().flat_map(|bucket| bucket.chain(section));
        if !chain.any(|bucket| bucket.remove(section, flow)) {
            return false;
        }
        // Half a flow in each bucket is little. Without memory for fewer, there are many.
        let len = buckets.all.len();
        if count.saturating_mul(2) <= len
            && len > 1
            && let Ok(fewer) = buckets.resized(section, len / 2)
        {
            self.buckets.store(Some(fewer));
        }
        true
    }

    /// Forgets all flows.
    pub fn clear(&self) {
        self.buckets.store(None);
    }
}

/// A bucket and its tags as they were.
pub(super) struct Peek<'g, P: Platform> {
    bucket: &'g Bucket<P>,
    tags: u64,
}

impl<'g, P: Platform> Peek<'g, P> {
    /// The first flow with this hash that `is_it`, in this bucket and those behind it.
    #[inline]
    pub fn find(
        self,
        section: &'g P::Guard,
        hash: u64,
        is_it: impl Fn(&Flow<P>) -> bool,
    ) -> Option<&'g Shared<Flow<P>>> {
        let Peek { mut bucket, mut tags } = self;
        loop {
            let mut hits = hits(tags, tag(hash));
            while hits != 0 {
                let slot = bucket.slots.get((hits.trailing_zeros() >> 3) as usize);
                if let Some(entry) = slot.and_then(|slot| slot.load(section))
                    && entry.hash == hash
                    && is_it(&entry.flow)
                {
                    return Some(&entry.flow);
                }
                hits &= hits.wrapping_sub(1);
            }
            if tags & MORE == 0 {
                return None;
            }
            bucket = bucket.more.load(section)?;
            // Acquire: as in `peek`.
            tags = bucket.tags.load(Ordering::Acquire);
        }
    }
}

impl<P: Platform> Buckets<P> {
    /// Empty buckets; `len` is a power of two.
    fn try_new(len: usize) -> Result<RcuBox<Buckets<P>>> {
        let mut all = Vec::new();
        all.try_reserve_exact(len)?;
        all.resize_with(len, Bucket::new);
        RcuBox::try_new(Buckets { all, shift: 64 - len.trailing_zeros() })
    }

    /// The same flows in another number of buckets.
    fn resized(&self, section: &P::Guard, len: usize) -> Result<RcuBox<Buckets<P>>> {
        let mut new = Buckets::try_new(len)?;
        for Entry { hash, flow } in self.all.iter().flat_map(|bucket| bucket.entries(section)) {
            new.add(RcuBox::try_new(Entry { hash: *hash, flow: flow.clone() })?)?;
        }
        Ok(new)
    }

    /// Adds to buckets that nobody reads yet.
    fn add(&mut self, entry: RcuBox<Entry<P>>) -> Result<()> {
        let position = self.position(entry.hash);
        self.all.get_mut(position).ok_or(Errno::ENOMEM)?.add(entry)
    }

    #[inline]
    fn position(&self, hash: u64) -> usize {
        hash.checked_shr(self.shift).unwrap_or(0) as usize
    }

    #[inline]
    fn bucket(&self, hash: u64) -> Option<&Bucket<P>> {
        self.all.get(self.position(hash))
    }
}

impl<P: Platform> Bucket<P> {
    fn new() -> Bucket<P> {
        Bucket {
            tags: AtomicU64::new(0),
            slots: core::array::from_fn(|_| RcuCell::new(None)),
            more: RcuCell::new(None),
        }
    }

    /// This bucket and those behind it.
    fn chain<'g>(&'g self, section: &'g P::Guard) -> impl Iterator<Item = &'g Bucket<P>> {
        core::iter::successors(Some(self), |bucket| bucket.more.load(section))
    }

    fn entries<'g>(&'g self, section: &'g P::Guard) -> impl Iterator<Item = &'g Entry<P>> {
        self.chain(section).flat_map(|bucket| &bucket.slots).filter_map(|slot| slot.load(section))
    }

    /// A slot that nothing is in.
    fn free(&self) -> Option<usize> {
        // Relaxed: only writers clear and set tags, and they are serialised.
        let tags = self.tags.load(Ordering::Relaxed);
        (0..SLOTS).find(|slot| (tags >> (8 * slot)) & 0xff == 0)
    }

    fn fill(&self, slot: usize, entry: RcuBox<Entry<P>>) {
        let tag = tag(entry.hash) << (8 * slot);
        if let Some(cell) = self.slots.get(slot) {
            cell.store(Some(entry));
            // Release: who sees the tag finds the entry.
            self.tags.fetch_or(tag, Ordering::Release);
        }
    }

    fn remove(&self, section: &P::Guard, flow: &Shared<Flow<P>>) -> bool {
        let is_it =
            |cell: &RcuCell<P, Entry<P>>| cell.load(section).is_some_and(|e| Shared::same(&e.flow, flow));
        let Some((slot, cell)) = self.slots.iter().enumerate().find(|(_, cell)| is_it(cell)) else {
            return false;
        };
        // Release and the order do not matter here: a reader takes an empty slot for what it is.
        self.tags.fetch_and(!(0xff << (8 * slot)), Ordering::Release);
        cell.store(None);
        true
    }

    /// Adds to a bucket that nobody reads yet.
    fn add(&mut self, entry: RcuBox<Entry<P>>) -> Result<()> {
        let mut bucket = self;
        for _ in 0..MAX_CHAIN {
            if let Some(slot) = bucket.free() {
                bucket.fill(slot, entry);
                return Ok(());
            }
            if bucket.more.get_mut().is_none() {
                bucket.more = RcuCell::new(Some(RcuBox::try_new(Bucket::new())?));
                *bucket.tags.get_mut() |= MORE;
            }
            bucket = bucket.more.get_mut().ok_or(Errno::ENOMEM)?;
        }
        Err(Errno::ENOMEM)
    }
}

/// The byte of a hash that stands in a bucket; never 0. The top bits have been used up.
#[inline]
fn tag(hash: u64) -> u64 {
    (hash & 0xff).max(1)
}

/// The top bit of each slot's byte that may be the tag: all that are, and seldom another.
#[inline]
fn hits(tags: u64, tag: u64) -> u64 {
    let others = tags ^ tag.wrapping_mul(EACH);
    others.wrapping_sub(EACH) & !others & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use pfnl_platform::User;

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!((size_of::<Bucket<User>>(), align_of::<Bucket<User>>()), (64, 64));
    }

    #[test]
    fn every_tag_is_found_in_every_slot() {
        for slot in 0..SLOTS {
            for tag in 1..256u64 {
                let tags = (tag << (8 * slot)) | MORE;
                assert_ne!(hits(tags, tag) & (0x80 << (8 * slot)), 0, "slot {slot} tag {tag}");
            }
        }
        // Free slots are not hits for any tag, and what is not a slot is none either.
        assert!((1..256).all(|tag| hits(MORE, tag) == 0));
    }
}
