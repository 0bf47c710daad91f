//! A mask in compressed form: the words of a [`FlowKey`] that are not zero. All work of a lookup (hash, compare) is
//! done over these only.

use crate::hash::KeyHasher;
use crate::key::{FlowKey, WORDS};
use alloc::vec::Vec;
use pfnl_platform::Result;

/// Which bits of a key count.
#[derive(PartialEq, Eq, Debug)]
pub struct Mask {
    /// Positions of the words, ascending.
    index: Vec<u8>,
    /// The words.
    bits: Vec<u64>,
}

const _: () = assert!(WORDS <= 256);

impl Mask {
    /// Compresses a mask.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_new(mask: &FlowKey) -> Result<Mask> {
        let words = || (0u8..).zip(mask.words()).filter(|&(_, &bits)| bits != 0);
        let (mut index, mut bits) = (Vec::new(), Vec::new());
        index.try_reserve_exact(words().count())?;
        bits.try_reserve_exact(words().count())?;
        index.extend(words().map(|(n, _)| n));
        bits.extend(words().map(|(_, &bits)| bits));
        Ok(Mask { index, bits })
    }

    /// How many words count.
    pub fn len(&self) -> usize {
        self.bits.len()
    }

    /// Whether this mask lets everything match.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Writes the mask out in full; `out` is overwritten.
    pub fn expand(&self, out: &mut FlowKey) {
        self.expand_words(&self.bits, out);
    }

    /// Writes words that stand where this mask's do out in full.
    pub(crate) fn expand_words(&self, words: &[u64], out: &mut FlowKey) {
        *out.words_mut() = [0; WORDS];
        for (&n, &word) in self.index.iter().zip(words) {
            if let Some(place) = out.words_mut().get_mut(usize::from(n)) {
                *place = word;
            }
        }
    }

    /// The masked words of a key, in order.
    #[inline]
    pub(crate) fn masked<'a>(&'a self, key: &'a FlowKey) -> impl Iterator<Item = u64> + 'a {
        let words = key.words();
        // The index is below WORDS, so nothing is ever defaulted.
        self.index.iter().zip(&self.bits).map(|(&n, &bits)| words.get(usize::from(n)).unwrap_or(&0) & bits)
    }

    /// The masked words of a key, to keep.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn try_masked(&self, key: &FlowKey) -> Result<Vec<u64>> {
        let mut words = Vec::new();
        words.try_reserve_exact(self.len())?;
        words.extend(self.masked(key));
        Ok(words)
    }

    /// Whether these words, and zeroes elsewhere, are the key.
    pub(crate) fn is_exactly(&self, key: &FlowKey) -> bool {
        self.is_covered(key, &self.bits)
    }

    /// Whether the key is these words where this mask's are, and zero elsewhere.
    pub(crate) fn is_covered(&self, key: &FlowKey, words: &[u64]) -> bool {
        let mut own = self.index.iter().zip(words).peekable();
        (0u8..)
            .zip(key.words())
            .all(|(n, &word)| word == own.next_if(|&(&at, _)| at == n).map_or(0, |(_, &masked)| masked))
    }

    /// Whether a key, masked, is these words.
    #[inline]
    pub(crate) fn matches(&self, key: &FlowKey, words: &[u64]) -> bool {
        self.masked(key).zip(words).all(|(a, &b)| a == b)
    }

    /// The hash of a masked key.
    pub(crate) fn hash(&self, hasher: &KeyHasher, key: &FlowKey) -> u64 {
        hasher.words(self.masked(key))
    }

    /// Where the words stand, and the words.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u8, u64)> {
        self.index.iter().copied().zip(self.bits.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_count_are_kept() {
        let mut mask = FlowKey { in_port: u32::MAX, ..FlowKey::ZERO };
        mask.tunnel.opts[255] = 0x0f;
        let packed = Mask::try_new(&mask).unwrap();
        assert_eq!(packed.len(), 2);
        let mut out = FlowKey { skb_mark: 1, ..FlowKey::ZERO };
        packed.expand(&mut out);
        assert_eq!(out, mask);

        let mut key = FlowKey { in_port: 3, recirc_id: 9, ..FlowKey::ZERO };
        key.tunnel.opts[255] = 0xab;
        let words = packed.try_masked(&key).unwrap();
        packed.expand_words(&words, &mut out);
        assert_eq!((out.in_port, out.recirc_id, out.tunnel.opts[255]), (3, 0, 0x0b));
        assert!(packed.matches(&key, &words));
        key.recirc_id = 1;
        assert!(packed.matches(&key, &words));
        key.in_port = 1;
        assert!(!packed.matches(&key, &words));
        assert!(Mask::try_new(&FlowKey::ZERO).unwrap().is_empty());
    }
}
