//! A hash index of flows that is read without a lock.
//!
//! ```text
//! Index ─► Buckets ─► [cell][cell][cell]…      a power of two of them; the bucket is the hash's top bits
//!                        │
//!                        └─► [(hash, flow)…]   immutable, sorted by (hash, serial)
//! ```
//!
//! A change builds the one bucket it touches anew; growing builds all of them. Because buckets go by the top bits, the
//! order of all flows is (hash, serial) whatever the number of buckets. A [`Cursor`] is a place in that order: it
//! survives every change, and a walk meets each flow that stays exactly once.
//!
//! Changes come in two steps: *prepare* allocates and may fail, *commit* cannot. So two indexes change together or not
//! at all. Writers are serialised by the caller.

use crate::flow::Flow;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Platform, RcuBox, RcuCell, Result, Shared};

const MIN_BUCKETS: usize = 4;
const MAX_BUCKETS: usize = 1 << 22;

pub(super) struct Index<P: Platform> {
    buckets: RcuCell<P, Buckets<P>>,
}

struct Buckets<P: Platform> {
    cells: Vec<RcuCell<P, Bucket<P>>>,
    /// 64 − log2 of the number of cells: 62 at most.
    shift: u32,
}

type Bucket<P> = Vec<Entry<P>>;

struct Entry<P: Platform> {
    hash: u64,
    flow: Shared<Flow<P>>,
}

impl<P: Platform> Clone for Entry<P> {
    fn clone(&self) -> Entry<P> {
        Entry { hash: self.hash, flow: self.flow.clone() }
    }
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

/// A change that cannot fail any more.
pub(super) struct Prepared<P: Platform>(Change<P>);

enum Change<P: Platform> {
    Bucket(Option<RcuBox<Bucket<P>>>),
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
        let bucket = self.buckets.load(section)?.bucket(section, hash)?;
        bucket.iter().find(|entry| entry.hash == hash && is_it(&entry.flow)).map(|entry| &entry.flow)
    }

    /// The next flow of a walk, which moves on.
    pub fn next<'g>(&'g self, section: &'g P::Guard, cursor: &mut Cursor) -> Option<&'g Shared<Flow<P>>> {
        let buckets = self.buckets.load(section)?;
        let from = cursor.last.map_or(0, |(hash, _)| buckets.position(hash));
        let mut entries = buckets.cells.get(from..)?.iter().filter_map(|cell| cell.load(section)).flatten();
        let entry = entries.find(|entry| cursor.last.is_none_or(|last| entry.place() > last))?;
        cursor.last = Some(entry.place());
        Some(&entry.flow)
    }

    /// Gets ready to add a flow to the `count` that are here.
    pub fn prepare_insert(
        &self,
        section: &P::Guard,
        hash: u64,
        flow: &Shared<Flow<P>>,
        count: usize,
    ) -> Result<Prepared<P>> {
        let new = Entry { hash, flow: flow.clone() };
        let Some(buckets) = self.buckets.load(section) else {
            return Ok(Prepared(Change::All(Buckets::try_new(MIN_BUCKETS, core::iter::once(new))?)));
        };
        if count >= buckets.cells.len() && buckets.cells.len() < MAX_BUCKETS {
            let all = || buckets.cells.iter().filter_map(|cell| cell.load(section)).flatten();
            let before = all().take_while(|entry| entry.place() < new.place()).cloned();
            let after = all().skip_while(|entry| entry.place() < new.place()).cloned();
            let entries = before.chain(core::iter::once(new.clone())).chain(after);
            // Without memory to grow, a bucket that is longer than it should be will do.
            if let Ok(grown) = Buckets::try_new(buckets.cells.len().saturating_mul(2), entries) {
                return Ok(Prepared(Change::All(grown)));
            }
        }
        let old = buckets.bucket(section, hash).map_or(&[][..], |bucket| bucket);
        let mut bucket = Vec::new();
        bucket.try_reserve_exact(old.len().saturating_add(1))?;
        bucket.extend(old.iter().take_while(|entry| entry.place() < new.place()).cloned());
        bucket.push(new);
        bucket.extend(old.iter().skip(bucket.len().saturating_sub(1)).cloned());
        Ok(Prepared(Change::Bucket(Some(RcuBox::try_new(bucket)?))))
    }

    /// Gets ready to take a flow away; `ENOENT` if it is not here.
    pub fn prepare_remove(
        &self,
        section: &P::Guard,
        hash: u64,
        flow: &Shared<Flow<P>>,
    ) -> Result<Prepared<P>> {
        let old = self.buckets.load(section).and_then(|buckets| buckets.bucket(section, hash));
        let old = old.filter(|old| old.iter().any(|entry| Shared::same(&entry.flow, flow)));
        let old = old.ok_or(Errno::ENOENT)?;
        let mut bucket = Vec::new();
        bucket.try_reserve_exact(old.len().saturating_sub(1))?;
        for entry in old.iter().filter(|entry| !Shared::same(&entry.flow, flow)) {
            pfnl_platform::try_push(&mut bucket, entry.clone())?;
        }
        Ok(Prepared(Change::Bucket(if bucket.is_empty() { None } else { Some(RcuBox::try_new(bucket)?) })))
    }

    /// Makes a prepared change of the bucket of `hash`. Nothing else may have changed in between.
    pub fn commit(&self, section: &P::Guard, hash: u64, prepared: Prepared<P>) {
        match prepared.0 {
            Change::All(buckets) => self.buckets.store(Some(buckets)),
            Change::Bucket(bucket) => {
                let cell = self.buckets.load(section).and_then(|b| b.cells.get(b.position(hash)));
                if let Some(cell) = cell {
                    cell.store(bucket);
                }
            }
        }
    }

    /// Forgets all flows.
    pub fn clear(&self) {
        self.buckets.store(None);
    }
}

impl<P: Platform> Buckets<P> {
    /// Buckets with these entries, which come in order. `len` is a power of two, at least [`MIN_BUCKETS`].
    fn try_new(len: usize, entries: impl Iterator<Item = Entry<P>>) -> Result<RcuBox<Buckets<P>>> {
        let mut cells = Vec::new();
        cells.try_reserve_exact(len)?;
        cells.resize_with(len, || RcuCell::new(None));
        let mut buckets = Buckets { cells, shift: 64 - len.trailing_zeros() };
        let (mut bucket, mut at) = (Vec::new(), 0);
        for entry in entries {
            let position = buckets.position(entry.hash);
            if position != at {
                buckets.put(at, core::mem::take(&mut bucket))?;
                at = position;
            }
            bucket.try_reserve_exact(1)?;
            bucket.push(entry);
        }
        buckets.put(at, bucket)?;
        RcuBox::try_new(buckets)
    }

    fn put(&mut self, at: usize, bucket: Bucket<P>) -> Result<()> {
        if !bucket.is_empty()
            && let Some(cell) = self.cells.get_mut(at)
        {
            *cell = RcuCell::new(Some(RcuBox::try_new(bucket)?));
        }
        Ok(())
    }

    #[inline]
    fn position(&self, hash: u64) -> usize {
        hash.checked_shr(self.shift).unwrap_or(0) as usize
    }

    #[inline]
    fn bucket<'g>(&'g self, section: &'g P::Guard, hash: u64) -> Option<&'g [Entry<P>]> {
        self.cells.get(self.position(hash))?.load(section).map(|bucket| &**bucket)
    }
}
