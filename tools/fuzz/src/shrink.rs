//! Makes a case that shows something smaller, as long as it still shows it.

/// Looks for decisions that are fewer and lower than those given and that still `fail`, in at most so many tries. What
/// `fail` says must depend on the decisions alone.
pub fn shrink(choices: &[u8], tries: usize, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = choices.to_vec();
    let mut left = tries;
    let mut attempt = |candidate: Vec<u8>, best: &mut Vec<u8>, left: &mut usize| {
        if *left == 0 || candidate == *best {
            return false;
        }
        *left -= 1;
        let better = fails(&candidate);
        if better {
            *best = candidate;
        }
        better
    };
    loop {
        let before = best.clone();
        cut(&mut best, &mut left, &mut attempt);
        lower(&mut best, &mut left, &mut attempt);
        if left == 0 || best == before {
            return best;
        }
    }
}

type Attempt<'a> = dyn FnMut(Vec<u8>, &mut Vec<u8>, &mut usize) -> bool + 'a;

/// Takes pieces away: large ones first, from the end, where what they decide is least.
fn cut(best: &mut Vec<u8>, left: &mut usize, attempt: &mut Attempt<'_>) {
    let mut size = best.len().next_power_of_two();
    while size > 0 && *left > 0 {
        let mut end = best.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let candidate = [&best[..start], &best[end..]].concat();
            attempt(candidate, best, left);
            end = start.min(best.len());
        }
        size /= 2;
    }
}

/// Zeroes runs, then lowers single bytes and pairs of them.
fn lower(best: &mut Vec<u8>, left: &mut usize, attempt: &mut Attempt<'_>) {
    for size in [64, 16, 4] {
        let mut at = 0;
        while at < best.len() && *left > 0 {
            let mut candidate = best.clone();
            let end = (at + size).min(candidate.len());
            candidate[at..end].fill(0);
            attempt(candidate, best, left);
            at += size;
        }
    }
    // Numbers are drawn as one byte or as two.
    let mut at = 0;
    while at < best.len() && *left > 0 {
        for step in [255_u8, 64, 16, 4, 1] {
            let mut candidate = best.clone();
            candidate[at] = candidate[at].saturating_sub(step);
            attempt(candidate, best, left);
        }
        let pair = [best[at], best.get(at + 1).copied().unwrap_or(0)];
        let number = u16::from_be_bytes(pair);
        for lower in [number / 2, number.saturating_sub(100), number.saturating_sub(1)] {
            if pair[0] > 0 && at < best.len() {
                let mut candidate = best.clone();
                candidate.resize(candidate.len().max(at + 2), 0);
                candidate[at..at + 2].copy_from_slice(&lower.to_be_bytes());
                attempt(candidate, best, left);
            }
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Choices;

    fn list(choices: &[u8]) -> Vec<usize> {
        let mut c = Choices::replay(choices);
        let mut items = Vec::new();
        while c.more(10) {
            items.push(c.below(1000));
        }
        items
    }

    #[test]
    fn a_long_case_becomes_the_short_one_in_it() {
        // What "fails": two items of at least 100. The least such lists are about [100, 100].
        let fails = |choices: &[u8]| list(choices).iter().filter(|&&item| item >= 100).count() >= 2;
        let mut shrunk = 0;
        for seed in 0..50 {
            let mut c = Choices::seeded(seed);
            while c.more(10) {
                c.below(1000);
            }
            if fails(c.made()) {
                let small = shrink(c.made(), 10_000, fails);
                assert!(matches!(list(&small)[..], [100..300, 100..300]), "seed {seed}: {:?}", list(&small));
                shrunk += 1;
            }
        }
        assert!(shrunk > 10, "{shrunk}");
    }

    #[test]
    fn tries_are_bounded_and_what_fails_stays() {
        let mut tries = 0;
        let small = shrink(&[7; 500], 20, |choices| {
            tries += 1;
            choices.len() > 400
        });
        assert!(tries <= 20 && small.len() > 400);
        assert_eq!(shrink(&[], 10, |_| true), []);
    }
}
