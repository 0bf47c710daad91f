//! The flow table: tuple space search.
//!
//! ```text
//! cache ─► which mask to try first
//! masks ─► [Probe][Probe]…               tried in this order, the first flow that matches wins
//!            │ mask
//!            └ index: masked key ─► flow
//! ids   ─► index: UFID or whole key ─► flow
//! ```
//!
//! One subtable for each different mask. Several flows may match a packet; which one wins is as undefined as on
//! Linux, user space is to keep them apart. Subtables that are hit often are moved to the front, by writers, at most
//! once in [`REORDER_NS`].
//!
//! Readers take no lock; writers hold the datapath's, as `&mut Writer` proves.

mod cache;
mod index;
#[cfg(test)]
mod model;
mod probe;

use crate::action::Actions;
use crate::flow::{Flow, Ufid, id_hash};
use crate::hash::KeyHasher;
use crate::key::{FlowKey, WORDS};
use crate::mask::Mask;
use crate::percpu::{Counters, PerCpu};
use alloc::vec::Vec;
use cache::Cache;
pub use cache::DEFAULT_SIZE as MASKS_CACHE_SIZE;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub use index::Cursor;
use index::Index;
use pfnl_platform::{Errno, Platform, RcuBox, RcuCell, Result, Shared};
use probe::Probe;

/// More masks than this would make a packet that all of them are tried for dearer than a tenth of a millisecond.
pub const MAX_MASKS: usize = 8192;
/// How often subtables are put in the order of their hits.
const REORDER_NS: u64 = 1_000_000_000;

pub(crate) struct Table<P: Platform> {
    masks: RcuCell<P, Masks<P>>,
    ids: Index<P>,
    cache: Cache<P>,
    hasher: KeyHasher,
    /// Written under the lock, read by anyone.
    flows: AtomicUsize,
}

struct Subtable<P: Platform> {
    mask: Shared<Mask>,
    index: Index<P>,
    hits: PerCpu<P, Counters<1>>,
    /// Written under the lock only.
    flows: AtomicUsize,
    /// What the sum of `hits` was when masks were last put in order.
    hits_before: AtomicU64,
}

/// What only one writer at a time has.
pub(crate) struct Writer {
    next_serial: u64,
    reordered: u64,
}

impl Writer {
    pub fn new() -> Writer {
        Writer { next_serial: 1, reordered: 0 }
    }
}

/// What a lookup found, and what it took.
pub struct Found<'g, P: Platform> {
    /// The flow.
    pub flow: Option<&'g Shared<Flow<P>>>,
    /// How many masks were tried.
    pub tried: u32,
    /// Whether the cache knew the mask.
    pub cached: bool,
    /// Whether there are masks that were not tried, as there were too many.
    pub gave_up: bool,
}

impl<P: Platform> Table<P> {
    pub fn try_new() -> Result<Table<P>> {
        Ok(Table {
            masks: RcuCell::new(None),
            ids: Index::new(),
            cache: Cache::try_new()?,
            hasher: KeyHasher::random::<P>(WORDS)?,
            flows: AtomicUsize::new(0),
        })
    }

    /// The flow for a packet; only the mask that the cache knows and the first `limit` others are tried.
    #[inline]
    pub fn lookup<'g>(&'g self, section: &'g P::Guard, key: &FlowKey, limit: usize) -> Found<'g, P> {
        let probes = self.probes(section);
        let place = self.cache.place(section, &self.hasher, key);
        let first = place.as_ref().and_then(|place| place.get());
        let mut tried = 0;
        if let Some(probe) = first.and_then(|first| probes.get(first)) {
            tried = 1;
            if let Some(flow) = probe.find(section, key, &self.hasher) {
                // Not counted: for what the cache knows, the order of masks does not matter.
                return Found { flow: Some(flow), tried, cached: true, gave_up: false };
            }
        }
        let some = probes.get(..limit).unwrap_or(probes);
        let Some((position, flow)) = probe::search(some, section, key, &self.hasher) else {
            let others =
                if first.is_some_and(|first| first < some.len()) { some.len() - 1 } else { some.len() };
            tried += others as u32;
            return Found { flow: None, tried, cached: false, gave_up: probes.len() > limit };
        };
        // The one that the cache knew is not tried twice.
        tried += position as u32 + u32::from(first.is_none_or(|first| first >= position));
        if let Some(probe) = some.get(position) {
            probe.hit();
        }
        if let Some(place) = place {
            place.set(position);
        }
        Found { flow: Some(flow), tried, cached: false, gave_up: false }
    }

    /// The flow for a key that is no packet's: nothing is counted, nothing remembered.
    pub fn search<'g>(&'g self, section: &'g P::Guard, key: &FlowKey) -> Option<&'g Shared<Flow<P>>> {
        probe::search(self.probes(section), section, key, &self.hasher).map(|(_, flow)| flow)
    }

    /// The flow that is called so: by its UFID, or without one by its whole key.
    pub fn find<'g>(
        &'g self,
        section: &'g P::Guard,
        ufid: Option<&Ufid>,
        key: &FlowKey,
    ) -> Option<&'g Shared<Flow<P>>> {
        let hash = id_hash(ufid, key, &self.hasher);
        self.ids.find(section, hash, |flow| flow.id_hash == hash && flow.is_called(ufid, key))
    }

    /// The next flow of a walk.
    pub fn next<'g>(&'g self, section: &'g P::Guard, cursor: &mut Cursor) -> Option<&'g Shared<Flow<P>>> {
        self.ids.next(section, cursor)
    }

    pub fn flows(&self) -> usize {
        // Relaxed: a count to show.
        self.flows.load(Ordering::Relaxed)
    }

    pub fn masks(&self, section: &P::Guard) -> usize {
        self.probes(section).len()
    }

    /// Gives the cache this many entries: a power of two, or 0.
    pub fn resize_cache(&self, _writer: &mut Writer, entries: u32) -> Result<()> {
        self.cache.resize(entries)
    }

    pub fn cache_size(&self) -> u32 {
        self.cache.size()
    }

    /// Adds a flow whose name is new.
    pub fn insert(
        &self,
        writer: &mut Writer,
        key: &FlowKey,
        mask: &FlowKey,
        ufid: Option<&Ufid>,
        actions: Actions,
    ) -> Result<Shared<Flow<P>>> {
        let section = P::enter();
        self.reorder(writer, &section);
        let (mask, hits) = (Mask::try_new(mask)?, || PerCpu::try_new(4));
        let old = self.probes(&section).iter().find(|probe| probe.is_for(&mask)).map(Probe::subtable);
        let subtable = match old {
            Some(subtable) => subtable.clone(),
            None => Shared::try_new(Subtable {
                mask: Shared::try_new(mask)?,
                index: Index::new(),
                hits: hits()?,
                flows: AtomicUsize::new(0),
                hits_before: Default::default(),
            })?,
        };
        let mut flow = Flow::try_new(subtable.mask.clone(), key, ufid, actions, &self.hasher)?;
        flow.serial = writer.next_serial;
        let (id_hash, key_hash) = (flow.id_hash, subtable.mask.hash(&self.hasher, key));
        let flow = Shared::try_new(flow)?;

        let inner_count = subtable.flows.load(Ordering::Relaxed);
        let inner = subtable.index.prepare_insert(&section, key_hash, &flow, inner_count)?;
        let id = self.ids.prepare_insert(&section, id_hash, &flow, self.flows())?;
        let masks = if old.is_none() { Some(self.with_mask(&section, &subtable)?) } else { None };

        // Nothing fails from here on.
        writer.next_serial = writer.next_serial.wrapping_add(1);
        subtable.index.commit(&section, key_hash, inner);
        subtable.flows.fetch_add(1, Ordering::Relaxed);
        self.ids.commit(&section, id_hash, id);
        self.flows.fetch_add(1, Ordering::Relaxed);
        if masks.is_some() {
            self.masks.store(masks);
        }
        Ok(flow)
    }

    /// Takes a flow away.
    pub fn remove(&self, writer: &mut Writer, flow: &Shared<Flow<P>>) -> Result<()> {
        let section = P::enter();
        let subtable = self.subtables(&section).find(|s| Shared::same(&s.mask, flow.shared_mask()));
        let subtable = subtable.ok_or(Errno::ENOENT)?;
        let (inner, all) = (subtable.flows.load(Ordering::Relaxed), self.flows());
        let hash = flow.key_hash(&self.hasher);
        if !subtable.index.remove(&section, hash, flow, inner.saturating_sub(1)) {
            return Err(Errno::ENOENT);
        }
        self.ids.remove(&section, flow.id_hash, flow, all.saturating_sub(1));
        self.flows.fetch_sub(1, Ordering::Relaxed);
        if subtable.flows.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.drop_mask(&section, subtable);
        }
        self.reorder(writer, &section);
        Ok(())
    }

    /// Takes all flows away.
    pub fn flush(&self, _writer: &mut Writer) {
        self.masks.store(None);
        self.ids.clear();
        self.flows.store(0, Ordering::Relaxed);
    }

    /// Puts the masks in order of recent hits, if it is time to.
    pub fn reorder(&self, writer: &mut Writer, section: &P::Guard) {
        let now = P::now();
        if now.wrapping_sub(writer.reordered) < REORDER_NS {
            return;
        }
        writer.reordered = now;
        let mut ranked = Vec::new();
        let masks = self.masks(section);
        // Order is a matter of speed: without memory it stays as it is.
        if masks < 2 || ranked.try_reserve_exact(masks).is_err() {
            return;
        }
        ranked.extend(self.subtables(section).map(|subtable| (subtable.recent_hits(), subtable)));
        if ranked.is_sorted_by(|a, b| a.0 >= b.0) {
            return;
        }
        ranked.sort_unstable_by_key(|&(hits, _)| core::cmp::Reverse(hits));
        if let Ok(masks) = boxed(ranked.iter().map(|&(_, subtable)| subtable)) {
            self.masks.store(Some(masks));
        }
    }

    fn with_mask(&self, section: &P::Guard, new: &Shared<Subtable<P>>) -> Result<RcuBox<Masks<P>>> {
        if self.masks(section) >= MAX_MASKS {
            return Err(Errno::ENOSPC);
        }
        boxed(self.subtables(section).chain(core::iter::once(new)))
    }

    fn drop_mask(&self, section: &P::Guard, old: &Shared<Subtable<P>>) {
        // An empty subtable that stays for want of memory is found again by the next flow of its mask.
        if let Ok(masks) = boxed(self.subtables(section).filter(|s| !Shared::same(s, old))) {
            self.masks.store(Some(masks));
        }
    }

    fn subtables<'g>(&'g self, section: &'g P::Guard) -> impl Iterator<Item = &'g Shared<Subtable<P>>> {
        self.probes(section).iter().map(Probe::subtable)
    }

    #[inline]
    fn probes<'g>(&'g self, section: &'g P::Guard) -> &'g [Probe<P>] {
        self.masks.load(section).map_or(&[], |masks| masks)
    }
}

type Masks<P> = Vec<Probe<P>>;

fn boxed<'a, P: Platform>(
    subtables: impl Iterator<Item = &'a Shared<Subtable<P>>>,
) -> Result<RcuBox<Masks<P>>> {
    let mut masks = Vec::new();
    for subtable in subtables {
        pfnl_platform::try_push(&mut masks, Probe::new(subtable))?;
    }
    RcuBox::try_new(masks)
}

impl<P: Platform> Subtable<P> {
    fn recent_hits(&self) -> u64 {
        let [sum] = self.hits.sums();
        sum.wrapping_sub(self.hits_before.swap(sum, Ordering::Relaxed))
    }
}
