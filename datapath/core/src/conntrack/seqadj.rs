//! Sequence numbers of a connection whose payload was made longer or shorter on the way (as FTP's
//! addresses are, RFC 2663, 4.3): from a position on, what its sender sends is shifted, and what the other end acknowledges is shifted back.

use super::conn::{Conn, SEQ_ADJUST};
use super::event::bits;
use pfnl_platform::Platform;

/// How the numbers of one direction are shifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeqAdj {
    /// The sender's number at the latest change.
    pub position: u32,
    /// By how much numbers up to it are.
    pub before: i32,
    /// By how much those behind it are.
    pub after: i32,
}

/// Whether `a` comes after `b`.
fn after(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) < 0
}

impl SeqAdj {
    /// What a number of the sender's becomes.
    pub fn shift(&self, seq: u32) -> u32 {
        let by = if after(seq, self.position) { self.after } else { self.before };
        seq.wrapping_add_signed(by)
    }

    /// What of the sender's the other end means.
    pub fn unshift(&self, ack: u32) -> u32 {
        // The other end has seen shifted numbers.
        let by = if after(ack.wrapping_add_signed(self.before.wrapping_neg()), self.position) {
            self.after
        } else {
            self.before
        };
        ack.wrapping_add_signed(by.wrapping_neg())
    }

    /// What stands at `seq` became longer by `by`. A retransmission of what was changed before changes nothing.
    fn change(&mut self, seq: u32, by: i32) -> bool {
        if by == 0 || self.before != self.after && !after(seq, self.position) {
            return false;
        }
        *self = SeqAdj { position: seq, before: self.after, after: self.after.wrapping_add(by) };
        true
    }
}

impl<P: Platform> Conn<P> {
    /// Notes that payload at `seq` of one direction has become longer by `by`.
    pub(crate) fn stretch(&self, is_reply: bool, seq: u32, by: i32) {
        let changed = self.with_state(|state| {
            let [original, reply] = &mut state.shifts;
            if is_reply { reply } else { original }.change(seq, by)
        });
        if changed {
            self.set(SEQ_ADJUST);
            self.happened(bits::SEQADJ);
        }
    }

    /// The shifts of a direction's numbers, and of those it acknowledges; None: there are none.
    pub(crate) fn shifts(&self, is_reply: bool) -> Option<(SeqAdj, SeqAdj)> {
        if !self.has(SEQ_ADJUST) {
            return None;
        }
        let [original, reply] = self.with_state(|state| state.shifts);
        Some(if is_reply { (reply, original) } else { (original, reply) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_behind_a_change_are_shifted_there_and_back() {
        let mut adj = SeqAdj::default();
        assert!(adj.change(1000, 4) && !adj.change(1000, 4));
        assert_eq!((adj.shift(1000), adj.shift(1001), adj.shift(990)), (1000, 1005, 990));
        assert_eq!((adj.unshift(1005), adj.unshift(1000), adj.unshift(990)), (1001, 1000, 990));
        assert!(adj.change(1100, -6));
        assert_eq!((adj.shift(1100), adj.shift(1101)), (1104, 1099));
        assert_eq!((adj.unshift(1104), adj.unshift(1120)), (1100, 1122));
    }
}
