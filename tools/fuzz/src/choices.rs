//! Where a generator's decisions come from: a seed, or a recording of earlier ones.
//!
//! Each decision is one or more bytes; those that were made can be replayed, which gives the same case again. So
//! everything that is generated can be shrunk without knowing what it is ([`crate::shrink`](fn@crate::shrink)): fewer
//! bytes and lower ones are decided upon as long as the case still shows what it showed. And a coverage-guided fuzzer's
//! input can be the decisions, so that what it changes is the structure of a case and not the bytes of a message.
//!
//! Whoever draws keeps to one rule: **0 is the simplest choice**. It ends lists, takes the first of the alternatives
//! and sets no flag; a recording that has come to its end answers 0 for ever.

/// The most decisions of a seed, in bytes: whatever a generator does, it comes to an end.
const MOST: usize = 64 << 10;

/// A source of decisions.
#[derive(Clone, Debug)]
pub struct Choices {
    made: Vec<u8>,
    at: usize,
    random: Option<u64>,
}

impl Choices {
    /// Decisions at random, the same ones for the same seed.
    pub fn seeded(seed: u64) -> Choices {
        Choices { made: Vec::new(), at: 0, random: Some(seed) }
    }

    /// Decisions that were [made](Choices::made) before, or that somebody else wants.
    pub fn replay(bytes: &[u8]) -> Choices {
        Choices { made: bytes.to_vec(), at: 0, random: None }
    }

    /// The decisions so far: what to [replay](Choices::replay).
    pub fn made(&self) -> &[u8] {
        self.made.get(..self.at).unwrap_or(&self.made)
    }

    /// Whether all that follows is 0.
    pub fn is_exhausted(&self) -> bool {
        match self.random {
            Some(_) => self.at >= MOST,
            None => self.at >= self.made.len(),
        }
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        if self.is_exhausted() {
            return 0;
        }
        if let Some(state) = &mut self.random {
            let byte = (split_mix(state) >> 32) as u8;
            self.made.push(byte);
        }
        let byte = self.made.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// An integer of so many bytes.
    pub fn word(&mut self, bytes: usize) -> u64 {
        (0..bytes.min(8)).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    /// A number below a bound. A bound of 0 or 1 takes no decision.
    pub fn below(&mut self, bound: usize) -> usize {
        let bytes = match bound {
            0 | 1 => return 0,
            2..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        (self.word(bytes) % bound as u64) as usize
    }

    /// True one time in so many; false is the simple choice.
    pub fn one_in(&mut self, many: usize) -> bool {
        many == 1 || many > 1 && self.below(many) == many - 1
    }

    /// Whether a list goes on: on average for that many items.
    pub fn more(&mut self, average: usize) -> bool {
        self.below(average + 1) != 0
    }

    /// One of several; the first is the simple choice.
    ///
    /// # Panics
    /// There is nothing to choose from.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// All that is left of a recording, which may be empty; nothing of a seed.
    pub fn rest(&mut self) -> Vec<u8> {
        let rest = if self.random.is_some() { &[] } else { self.made.get(self.at..).unwrap_or_default() };
        let rest = rest.to_vec();
        self.at += rest.len();
        rest
    }
}

/// The seed of the n-th case of a run: the cases of two seeds have nothing in common.
pub fn nth(seed: u64, case: u64) -> u64 {
    let mut state = seed ^ case.wrapping_mul(0xd6e8_feb8_6659_fd93);
    split_mix(&mut state)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(c: &mut Choices) -> Vec<u64> {
        let mut drawn = vec![c.word(4), c.below(7) as u64, c.below(70_000) as u64];
        while c.more(20) {
            drawn.push(u64::from(c.byte()));
        }
        drawn
    }

    #[test]
    fn what_was_made_is_made_again() {
        for seed in 0..100 {
            let mut first = Choices::seeded(seed);
            let drawn = draw(&mut first);
            assert_eq!(draw(&mut Choices::seeded(seed)), drawn);
            let mut again = Choices::replay(first.made());
            assert_eq!(draw(&mut again), drawn);
            assert!(again.is_exhausted());
            assert_eq!(again.made(), first.made());
        }
    }

    #[test]
    fn the_end_of_a_recording_is_simple() {
        let mut c = Choices::replay(&[]);
        assert_eq!((c.byte(), c.below(9), c.one_in(2), c.more(5), *c.pick(&[4, 5])), (0, 0, false, false, 4));
        assert!(c.made().is_empty());
    }

    #[test]
    fn a_seed_comes_to_an_end_too() {
        let mut c = Choices::seeded(1);
        assert!(c.bytes(MOST).iter().any(|byte| *byte != 0));
        assert!(c.is_exhausted());
        assert_eq!(c.word(8), 0);
    }
}
