//! Flows put together at random, the same ones each time.

use super::message::Node;
use super::{actions, keys};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// One time in so many.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// A key that is mostly in order, a mask that mostly fits, and some actions.
pub fn flow(
    random: &mut Random,
    named: &[keys::Named],
    acts: &[actions::Named],
) -> (Vec<Node>, Option<Vec<Node>>, Vec<Node>) {
    let mut key = named[random.below(named.len())].1.clone();
    if random.one_in(4) {
        let other = &named[random.below(named.len())].1;
        key.push(other[random.below(other.len())].clone());
    }
    if random.one_in(6) {
        key.remove(random.below(key.len()));
    }
    shuffle(random, &mut key);
    if random.one_in(8) {
        flip(random, &mut key);
    }
    let mask = (!random.one_in(4)).then(|| {
        let byte = [0xff, 0xff, 0, 0xf0][random.below(4)];
        let mut mask = keys::mask(&key, 0xff);
        for node in &mut mask {
            if random.one_in(3) {
                *node = keys::mask(std::slice::from_ref(node), byte).remove(0);
            }
        }
        while random.one_in(3) && !mask.is_empty() {
            mask.remove(random.below(mask.len()));
        }
        shuffle(random, &mut mask);
        mask
    });
    let actions = (0..random.below(4)).flat_map(|_| acts[random.below(acts.len())].1.clone()).collect();
    (key, mask, actions)
}

fn shuffle(random: &mut Random, nodes: &mut [Node]) {
    for at in (1..nodes.len()).rev() {
        nodes.swap(at, random.below(at + 1));
    }
}

/// Repeats, moves or removes an attribute on some level, or changes its flags.
pub fn disturb(random: &mut Random, nodes: &mut Vec<Node>) {
    if nodes.is_empty() {
        return;
    }
    let at = random.below(nodes.len());
    if let Node::Nest(_, _, inner) = &mut nodes[at]
        && !random.one_in(3)
    {
        return disturb(random, inner);
    }
    match random.below(5) {
        0 => nodes.push(nodes[at].clone()),
        1 => shuffle(random, nodes),
        2 => _ = nodes.remove(at),
        3 => match &mut nodes[at] {
            Node::Leaf(number, _) | Node::Nest(number, ..) => *number ^= pfnl_proto::NLA_F_NESTED,
            Node::Raw(_) => {}
        },
        _ => flip(random, nodes),
    }
}

/// Changes one byte somewhere.
fn flip(random: &mut Random, nodes: &mut [Node]) {
    let at = random.below(nodes.len());
    match nodes.get_mut(at) {
        Some(Node::Leaf(_, payload)) if !payload.is_empty() => {
            let at = random.below(payload.len());
            payload[at] ^= 1 << random.below(8);
        }
        Some(Node::Nest(_, _, inner)) => flip(random, inner),
        _ => {}
    }
}
