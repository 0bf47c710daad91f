//! A subtable as a lookup sees it: what it takes to look into it, side by side.

use super::Subtable;
use crate::flow::Flow;
use crate::hash::KeyHasher;
use crate::key::FlowKey;
use crate::mask::Mask;
use pfnl_platform::{Platform, Shared};

/// Masks of up to this many pairs of words lie in the probe itself. That is all but some that match on tunnels.
const PAIRS: usize = 6;

/// Two cache lines; most masks end in the first.
#[repr(C, align(64))]
pub(super) struct Probe<P: Platform> {
    subtable: Shared<Subtable<P>>,
    /// None for a mask that is too long.
    pairs: Option<u8>,
    /// Which words of the key count, and which of their bits. A pair that is not full has no bits.
    index: [[u8; 2]; PAIRS],
    bits: [[u64; 2]; PAIRS],
}

/// Probes at once: so many that the processor waits for their memory together, and no more than fit its view.
const GROUP: usize = 8;

/// The first flow that matches, and the position of its mask. For each group of masks first the hashes are computed, then
/// the buckets' tags are fetched, and only then looked at.
#[inline]
pub(super) fn search<'g, P: Platform>(
    probes: &'g [Probe<P>],
    section: &'g P::Guard,
    key: &FlowKey,
    hasher: &KeyHasher,
) -> Option<(usize, &'g Shared<Flow<P>>)> {
    for (number, group) in probes.chunks(GROUP).enumerate() {
        let mut hashes = [0; GROUP];
        for (hash, probe) in hashes.iter_mut().zip(group) {
            *hash = probe.hash(key, hasher);
        }
        let mut peeks = [const { None }; GROUP];
        for ((peek, hash), probe) in peeks.iter_mut().zip(hashes).zip(group) {
            *peek = probe.subtable.index.peek(section, hash);
        }
        for (position, (peek, hash)) in peeks.into_iter().zip(hashes).enumerate() {
            if let Some(flow) = peek.and_then(|peek| peek.find(section, hash, |flow| flow.matches(key))) {
                return Some((number.saturating_mul(GROUP).saturating_add(position), flow));
            }
        }
    }
    None
}

impl<P: Platform> Probe<P> {
    pub fn new(subtable: &Shared<Subtable<P>>) -> Probe<P> {
        let (mut index, mut bits) = ([[0; 2]; PAIRS], [[0; 2]; PAIRS]);
        let places = index.as_flattened_mut().iter_mut().zip(bits.as_flattened_mut());
        places.zip(subtable.mask.places()).for_each(|((at, bits), place)| (*at, *bits) = place);
        let pairs = u8::try_from(subtable.mask.len().div_ceil(2)).ok();
        let pairs = pairs.filter(|&pairs| usize::from(pairs) <= PAIRS);
        Probe { subtable: subtable.clone(), pairs, index, bits }
    }

    pub fn subtable(&self) -> &Shared<Subtable<P>> {
        &self.subtable
    }

    /// Whether this is the subtable of a mask.
    pub fn is_for(&self, mask: &Mask) -> bool {
        // What lies here tells most masks apart without a look at the subtable.
        let places = self.index.as_flattened().iter().copied().zip(self.bits.as_flattened().iter().copied());
        mask.places().zip(places).all(|(a, b)| a == b) && *self.subtable.mask == *mask
    }

    /// A packet was found here.
    #[inline]
    pub fn hit(&self) {
        self.subtable.hits.local().add(0, 1);
    }

    #[inline]
    pub fn find<'g>(
        &'g self,
        section: &'g P::Guard,
        key: &FlowKey,
        hasher: &KeyHasher,
    ) -> Option<&'g Shared<Flow<P>>> {
        self.subtable.index.find(section, self.hash(key, hasher), |flow| flow.matches(key))
    }

    /// As [`crate::mask::Mask::hash`].
    #[inline]
    fn hash(&self, key: &FlowKey, hasher: &KeyHasher) -> u64 {
        let Some(pairs) = self.pairs else { return self.subtable.mask.hash(hasher, key) };
        let words = key.words();
        // The index is below WORDS, so nothing is ever defaulted.
        let word = |at: u8, bits: u64| words.get(usize::from(at)).unwrap_or(&0) & bits;
        let masked = self.index.iter().zip(&self.bits).map(|([a, b], [c, d])| [word(*a, *c), word(*b, *d)]);
        hasher.pairs(masked.take(pairs.into()))
    }
}
