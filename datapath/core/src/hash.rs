//! Keyed hashes, all of folded 64×64→128-bit multiplication, as wyhash and foldhash do it. Without the key, which is random
//! and never leaves a table, nobody can choose packets that fall into one bucket; where a hash shows (the HASH action) a
//! key of its own is used.

use crate::key::{FRAG_NONE, FlowKey};
use crate::wire::{ETH_IPV4, ETH_IPV6};
use alloc::vec::Vec;
use pfnl_platform::{Platform, Result};

/// A hash in the making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    state: u64,
    factor: u64,
}

impl Hasher {
    /// A hasher with a random key.
    pub fn random<P: Platform>() -> Hasher {
        let (mut a, mut b) = ([0; 8], [0; 8]);
        P::random(&mut a);
        P::random(&mut b);
        // Odd, so that no word is multiplied away.
        Hasher { state: u64::from_ne_bytes(a), factor: u64::from_ne_bytes(b) | 1 }
    }

    /// A hasher with a key of the caller's.
    pub fn keyed(key: u64) -> Hasher {
        // Digits of π.
        Hasher { state: key ^ 0x243f_6a88_85a3_08d3, factor: 0x1319_8a2e_0370_7345 }
    }

    /// Takes in a word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.factor) ^ word.rotate_left(32);
    }

    /// Takes in bytes; their number too, so that no two different sequences are the same by padding.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    /// The hash; its high bits are as good as its low ones.
    #[inline]
    pub fn finish(self) -> u64 {
        fold(self.state ^ 0xa409_3822_299f_31d0, self.factor.rotate_left(23) | 1)
    }
}

/// A hash that is the same for all packets of a flow, and differs between flows; never 0. Not keyed: it shows.
pub(crate) fn of_flow(key: &FlowKey) -> u32 {
    let mut hasher = Hasher::keyed(u64::from(key.eth_type.get()));
    match key.eth_type.get() {
        ETH_IPV4 => {
            hasher.bytes(&key.ipv4_src);
            hasher.bytes(&key.ipv4_dst);
        }
        ETH_IPV6 => {
            hasher.bytes(&key.ipv6_src);
            hasher.bytes(&key.ipv6_dst);
        }
        _ => {
            hasher.bytes(&key.eth_src);
            hasher.bytes(&key.eth_dst);
        }
    }
    let ports = if key.ip_frag == FRAG_NONE { [key.tp_src.get(), key.tp_dst.get()] } else { [0; 2] };
    let [src, dst] = ports.map(u64::from);
    hasher.word(u64::from(key.ip_proto) << 32 | src << 16 | dst);
    ((hasher.finish() >> 32) as u32).max(1)
}

/// The hash of a flow table's keys: NH (Black et al., UMAC: Fast and Secure Message Authentication, 1999; RFC 4418), that is
/// a sum of products of pairs of words, each with a secret of its own added. The products do not wait for each other, unlike
/// the steps of [`Hasher`], and two keys of the same number of words collide with a chance of 2⁻⁶⁴ whoever chose them.
#[derive(Debug)]
pub(crate) struct KeyHasher {
    secrets: Vec<[u64; 2]>,
    last: [u64; 2],
}

impl KeyHasher {
    /// A hasher with random secrets, for up to `words` words.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn random<P: Platform>(words: usize) -> Result<KeyHasher> {
        let pair = || {
            let mut bytes = [[0; 8]; 2];
            bytes.iter_mut().for_each(|bytes| P::random(bytes));
            bytes.map(u64::from_ne_bytes)
        };
        let mut secrets = Vec::new();
        secrets.try_reserve_exact(words.div_ceil(2))?;
        secrets.resize_with(words.div_ceil(2), pair);
        Ok(KeyHasher { secrets, last: pair() })
    }

    /// The hash of words that come in pairs.
    #[inline]
    pub fn pairs(&self, pairs: impl Iterator<Item = [u64; 2]>) -> u64 {
        let product = |([a, b], [c, d]): ([u64; 2], &[u64; 2])| {
            u128::from(a.wrapping_add(*c)).wrapping_mul(u128::from(b.wrapping_add(*d)))
        };
        let sum = pairs.zip(&self.secrets).map(product).fold(0, u128::wrapping_add);
        let [a, b] = self.last;
        fold(sum as u64 ^ a, (sum >> 64) as u64 ^ b)
    }

    /// The hash of words; a zero makes an odd number even.
    #[inline]
    pub fn words(&self, mut words: impl Iterator<Item = u64>) -> u64 {
        self.pairs(core::iter::from_fn(|| Some([words.next()?, words.next().unwrap_or(0)])))
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pfnl_platform::User;

    #[test]
    fn high_bits_spread_neighbouring_keys() {
        let hasher = Hasher::random::<User>();
        let mut buckets = [0u32; 256];
        for n in 0..25_600u64 {
            let mut hasher = hasher;
            hasher.word(n << 32);
            hasher.word(0);
            buckets[(hasher.finish() >> 56) as usize] += 1;
        }
        // 100 expected in each; a Poisson tail beyond 200 is far below one in a billion.
        assert!(buckets.iter().all(|&n| n > 30 && n < 200), "{buckets:?}");
    }

    #[test]
    fn keys_spread_over_buckets_and_tags() {
        let hasher = KeyHasher::random::<User>(67).unwrap();
        let (mut buckets, mut tags) = ([0u32; 256], [0u32; 256]);
        for n in 0..25_600u64 {
            // A counter in the middle of zeroes, as addresses and ports of real flows are.
            let hash = hasher.words([7, 0, (n % 160) << 16, (n / 160) << 40, 0].into_iter());
            buckets[(hash >> 56) as usize] += 1;
            tags[(hash & 0xff) as usize] += 1;
        }
        assert!(buckets.iter().chain(&tags).all(|&n| n > 30 && n < 200), "{buckets:?} {tags:?}");
        assert_eq!(hasher.words([1, 2, 3].into_iter()), hasher.pairs([[1, 2], [3, 0]].into_iter()));
        assert_ne!(hasher.words([1, 2].into_iter()), hasher.words([2, 1].into_iter()));
    }

    #[test]
    fn bytes_are_told_apart_by_length() {
        let hash = |bytes: &[u8]| {
            let mut hasher = Hasher::keyed(1);
            hasher.bytes(bytes);
            hasher.finish()
        };
        assert_ne!(hash(&[1]), hash(&[1, 0]));
        assert_ne!(hash(&[]), hash(&[0]));
        assert_eq!(hash(&[1; 20]), hash(&[1; 20]));
    }
}
