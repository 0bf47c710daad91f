//! The keyed hash of the flow table: folded 64×64→128-bit multiplication, as wyhash and foldhash do it. Without the
//! key, which is random and never leaves the table, nobody can choose packets that fall into one bucket; where
//! a hash shows (the HASH action) a key of its own is used.

use pfnl_platform::Platform;

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
