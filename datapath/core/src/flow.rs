//! A flow: which packets it is for, what is done with them, and how many there were.

use crate::action::Actions;
use crate::hash::KeyHasher;
use crate::key::FlowKey;
use crate::mask::Mask;
use crate::percpu::PerCpu;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use pfnl_platform::{Errno, Platform, RcuBox, RcuCell, Result, Shared};

/// A unique flow identifier: 1 to 16 bytes that user space chose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ufid {
    len: u8,
    bytes: [u8; 16],
}

impl Ufid {
    /// An identifier of these bytes, unless there are none or too many.
    pub fn new(bytes: &[u8]) -> Option<Ufid> {
        let mut ufid = Ufid { len: u8::try_from(bytes.len()).ok().filter(|&len| len > 0)?, bytes: [0; 16] };
        ufid.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(ufid)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Length and bytes, to be hashed.
    fn words(&self) -> [u64; 3] {
        let [a, b]: [[u8; 8]; 2] = zerocopy::transmute!(self.bytes);
        [self.len.into(), u64::from_ne_bytes(a), u64::from_ne_bytes(b)]
    }
}

/// What a flow is called by.
#[derive(PartialEq, Eq, Debug)]
pub enum FlowId {
    /// Its UFID.
    Ufid(Ufid),
    /// The key it was made with, before masking.
    Key(PackedKey),
}

/// A whole key, without its zeroes.
#[derive(PartialEq, Eq, Debug)]
pub struct PackedKey {
    places: Mask,
}

impl PackedKey {
    fn try_new(key: &FlowKey) -> Result<PackedKey> {
        Ok(PackedKey { places: Mask::try_new(key)? })
    }

    /// The key in full.
    pub fn expand(&self, out: &mut FlowKey) {
        self.places.expand(out);
    }
}

/// A flow in the table.
pub struct Flow<P: Platform> {
    mask: Shared<Mask>,
    masked: Vec<u64>,
    id: FlowId,
    /// Given by the table, in the order of creation.
    pub(crate) serial: u64,
    /// The hash of `id`.
    pub(crate) id_hash: u64,
    actions: RcuCell<P, Actions>,
    stats: PerCpu<P, Shard>,
}

/// How many processors count apart; with more, some share.
const SHARDS: usize = 8;

#[derive(Default)]
struct Shard {
    packets: AtomicU64,
    bytes: AtomicU64,
    used: AtomicU64,
    tcp_flags: AtomicU16,
}

/// A flow's statistics, or those of all its shards so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowStats {
    /// Packets that matched.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last was seen, in [`Platform::now`]'s nanoseconds; 0 = never.
    pub used: u64,
    /// All TCP flags that were seen.
    pub tcp_flags: u16,
}

impl<P: Platform> Flow<P> {
    pub(crate) fn try_new(
        mask: Shared<Mask>,
        key: &FlowKey,
        ufid: Option<&Ufid>,
        actions: Actions,
        hasher: &KeyHasher,
    ) -> Result<Flow<P>> {
        let id = match ufid {
            Some(ufid) => FlowId::Ufid(*ufid),
            None => FlowId::Key(PackedKey::try_new(key)?),
        };
        Ok(Flow {
            masked: mask.try_masked(key)?,
            mask,
            id,
            serial: 0,
            id_hash: id_hash(ufid, key, hasher),
            actions: RcuCell::new(Some(RcuBox::try_new(actions)?)),
            stats: PerCpu::try_new(SHARDS)?,
        })
    }

    /// What the flow is called by.
    pub fn id(&self) -> &FlowId {
        &self.id
    }

    /// Its mask.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The hash of the masked key.
    pub(crate) fn key_hash(&self, hasher: &KeyHasher) -> u64 {
        hasher.words(self.masked.iter().copied())
    }

    pub(crate) fn shared_mask(&self) -> &Shared<Mask> {
        &self.mask
    }

    /// Writes the masked key out in full; `out` is overwritten.
    pub fn key(&self, out: &mut FlowKey) {
        self.mask.expand_words(&self.masked, out);
    }

    /// Its actions, as long as the section lasts.
    pub fn actions<'g>(&'g self, section: &'g P::Guard) -> Option<&'g Actions> {
        self.actions.load(section)
    }

    /// Replaces the actions. Whoever serialises writers calls this.
    pub(crate) fn set_actions(&self, actions: RcuBox<Actions>) {
        self.actions.store(Some(actions));
    }

    /// Whether a packet with this key is for this flow.
    #[inline]
    pub fn matches(&self, key: &FlowKey) -> bool {
        self.mask.matches(key, &self.masked)
    }

    /// Whether this is the flow's masked key, bit for bit.
    pub(crate) fn has_key(&self, key: &FlowKey) -> bool {
        self.mask.is_covered(key, &self.masked)
    }

    pub(crate) fn is_called(&self, ufid: Option<&Ufid>, key: &FlowKey) -> bool {
        match (&self.id, ufid) {
            (FlowId::Ufid(own), Some(ufid)) => own == ufid,
            (FlowId::Key(own), None) => own.places.is_exactly(key),
            _ => false,
        }
    }

    /// Counts a packet.
    #[inline]
    pub(crate) fn hit(&self, bytes: usize, tcp_flags: u16, now: u64) {
        // Relaxed: see `percpu::Counters`. A clearing that runs meanwhile may miss this packet, as on Linux.
        let shard = self.stats.local();
        shard.packets.fetch_add(1, Ordering::Relaxed);
        shard.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        shard.used.store(now, Ordering::Relaxed);
        if tcp_flags & !shard.tcp_flags.load(Ordering::Relaxed) != 0 {
            shard.tcp_flags.fetch_or(tcp_flags, Ordering::Relaxed);
        }
    }

    /// The statistics.
    pub fn stats(&self) -> FlowStats {
        let mut sum = FlowStats::default();
        for shard in self.stats.iter() {
            sum.packets = sum.packets.wrapping_add(shard.packets.load(Ordering::Relaxed));
            sum.bytes = sum.bytes.wrapping_add(shard.bytes.load(Ordering::Relaxed));
            sum.used = sum.used.max(shard.used.load(Ordering::Relaxed));
            sum.tcp_flags |= shard.tcp_flags.load(Ordering::Relaxed);
        }
        sum
    }

    /// Sets the statistics to nothing.
    pub fn clear_stats(&self) {
        for shard in self.stats.iter() {
            shard.packets.store(0, Ordering::Relaxed);
            shard.bytes.store(0, Ordering::Relaxed);
            shard.used.store(0, Ordering::Relaxed);
            shard.tcp_flags.store(0, Ordering::Relaxed);
        }
    }
}

/// The hash of what a flow is called by.
pub(crate) fn id_hash(ufid: Option<&Ufid>, key: &FlowKey, hasher: &KeyHasher) -> u64 {
    match ufid {
        Some(ufid) => hasher.words(ufid.words().into_iter()),
        None => hasher.words(key.words().iter().copied()),
    }
}

/// Reads a UFID as requests carry it.
///
/// # Errors
/// `EINVAL` for a length that is no UFID's.
impl TryFrom<&[u8]> for Ufid {
    type Error = Errno;
    fn try_from(bytes: &[u8]) -> Result<Ufid> {
        Ufid::new(bytes).ok_or(Errno::EINVAL)
    }
}
