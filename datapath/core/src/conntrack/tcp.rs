//! TCP's state and windows, as seen from between the two ends (RFC 9293).
//!
//! What lies in the window is decided by the four bounds of Guido van Rooij's "Real Stateful TCP Packet Filtering in IP
//! Filter": for each end we know the highest sequence number it sent (`end`), the highest it may send (`limit`, by the other's
//! acknowledgements and windows), and the largest window it offered.
//!
//! A connection that is picked up in its middle is taken as it comes: its window scales are not known.

use super::proto::Verdict;

/// Options are at most this long.
pub(crate) const OPTIONS_MAX: usize = 40;

pub const FIN: u16 = 0x01;
pub const SYN: u16 = 0x02;
pub const RST: u16 = 0x04;
#[cfg(test)]
pub const PSH: u16 = 0x08;
pub const ACK: u16 = 0x10;
pub const URG: u16 = 0x20;
const SYN_ACK: u16 = SYN | ACK;
const SYN_URG: u16 = SYN | URG;
const RST_ACK: u16 = RST | ACK;
const ACK_URG: u16 = ACK | URG;
const FIN_ACK: u16 = FIN | ACK;
const FIN_ACK_URG: u16 = FIN | ACK | URG;

/// An acknowledgement may be older by this than the newest byte sent, whatever the window.
const MAX_ACK_WINDOW: u32 = 66_000;
/// The largest scale there is (RFC 7323, 2.3).
const MAX_SCALE: u8 = 14;

/// How far a connection has come. The numbers are those of enum tcp_conntrack (linux/netfilter/nf_conntrack_tcp.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing was seen: user space made it.
    Unset = 0,
    /// A SYN was seen.
    SynSent = 1,
    /// SYN and ACK were seen.
    SynRecv = 2,
    /// It is open.
    Established = 3,
    /// A FIN was seen.
    FinWait = 4,
    /// A FIN was acknowledged.
    CloseWait = 5,
    /// FINs of both were seen.
    LastAck = 6,
    /// The last FIN was acknowledged.
    TimeWait = 7,
    /// It was reset.
    Close = 8,
    /// SYNs of both were seen.
    SynSent2 = 9,
}

impl TcpState {
    /// The state of a number.
    pub fn from_number(number: u8) -> Option<TcpState> {
        use TcpState::*;
        const ALL: [TcpState; 10] =
            [Unset, SynSent, SynRecv, Established, FinWait, CloseWait, LastAck, TimeWait, Close, SynSent2];
        ALL.get(usize::from(number)).copied()
    }
}

/// What is looked at of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub seq: u32,
    pub ack: u32,
    pub flags: u16,
    pub window: u16,
    /// Bytes of payload.
    pub len: u32,
    /// Window scale, if the option is there.
    pub scale: Option<u8>,
    /// The other end may acknowledge selectively.
    pub sack: bool,
}

impl Segment {
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The sequence number behind it.
    fn end(&self) -> u32 {
        let control = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.seq.wrapping_add(self.len).wrapping_add(control)
    }

    /// Whether no end sends such flags (and Linux says so too).
    pub fn is_absurd(&self) -> bool {
        !matches!(
            self.flags & (FIN | SYN | RST | ACK | URG),
            SYN | RST | ACK | SYN_ACK | SYN_URG | RST_ACK | ACK_URG | FIN_ACK | FIN_ACK_URG
        )
    }

    /// Reads window scale and permission to acknowledge selectively from a header's options.
    pub fn read_options(&mut self, mut options: &[u8]) {
        loop {
            options = match options {
                [1, rest @ ..] => rest,
                [3, 3, scale, ..] => {
                    self.scale = Some((*scale).min(MAX_SCALE));
                    options.get(3..).unwrap_or_default()
                }
                [4, 2, rest @ ..] => {
                    self.sack = true;
                    rest
                }
                [kind, len, ..] if *kind >= 2 && *len >= 2 => match options.get(usize::from(*len)..) {
                    Some(rest) => rest,
                    None => return,
                },
                _ => return,
            };
        }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    seen: bool,
    end: u32,
    limit: Option<u32>,
    max_window: u32,
    scale: Option<u8>,
    sack: bool,
    fin: bool,
}

/// A TCP connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    pub state: TcpState,
    /// Windows are not checked.
    pub liberal: bool,
    original: End,
    reply: End,
}

/// Whether `a` comes after `b`.
fn after(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) < 0
}

fn later(a: u32, b: u32) -> u32 {
    if after(a, b) { a } else { b }
}

impl Tcp {
    /// The connection that a segment begins, if it can: with a SYN, or in its middle.
    pub fn begin(segment: &Segment) -> Option<Tcp> {
        let state = match segment.flags & (SYN | ACK | FIN | RST) {
            SYN => TcpState::SynSent,
            ACK => TcpState::Established,
            _ => return None,
        };
        if segment.is_absurd() {
            return None;
        }
        let liberal = state == TcpState::Established;
        Some(Tcp { state, liberal, original: End::default(), reply: End::default() })
    }

    /// A connection that no segment began: windows are taken as they come.
    pub fn create(state: TcpState) -> Tcp {
        Tcp { state, liberal: true, original: End::default(), reply: End::default() }
    }

    /// Of both ends, window scale and flags as ctnetlink shows them (`IP_CT_TCP_FLAG_*`).
    pub fn ends(&self) -> [(u8, u8); 2] {
        const WINDOW_SCALE: u8 = 0x01;
        const SACK_PERM: u8 = 0x02;
        const BE_LIBERAL: u8 = 0x08;
        let of = |end: &End| {
            let flag = |is: bool, bit: u8| if is { bit } else { 0 };
            let flags = flag(end.scale.is_some(), WINDOW_SCALE)
                | flag(end.sack, SACK_PERM)
                | flag(self.liberal, BE_LIBERAL);
            (end.scale.unwrap_or(0), flags)
        };
        [of(&self.original), of(&self.reply)]
    }

    /// A segment passes. One that is invalid changes nothing.
    pub fn pass(&mut self, segment: &Segment, is_reply: bool) -> Verdict {
        if segment.is_absurd() {
            return Verdict::Invalid;
        }
        if segment.flags & (SYN | ACK | RST) == SYN
            && matches!(self.state, TcpState::TimeWait | TcpState::Close)
        {
            return Verdict::Reopen;
        }
        let Some(next) = self.next(segment, is_reply) else { return Verdict::Invalid };
        if self.state == TcpState::SynSent && is_reply && segment.flags & (SYN | ACK | FIN | RST) == ACK {
            // The other end may challenge what it remembers otherwise; a reset will follow.
            return Verdict::Pass;
        }
        if segment.flags & (SYN | ACK) == SYN && self.state == TcpState::SynSent && !is_reply {
            // A new attempt, maybe with a new initial sequence number.
            self.original = End::default();
        }
        if !self.windows(segment, is_reply) && !self.liberal {
            return Verdict::Invalid;
        }
        if segment.has(FIN) {
            self.end(is_reply).fin = true;
        }
        self.state = next;
        Verdict::Pass
    }

    fn end(&mut self, is_reply: bool) -> &mut End {
        if is_reply { &mut self.reply } else { &mut self.original }
    }

    /// The state after a segment. None: it does not belong into this state.
    fn next(&self, segment: &Segment, is_reply: bool) -> Option<TcpState> {
        use TcpState::*;
        if segment.has(RST) {
            return Some(Close);
        }
        let both_fins = {
            let fin = segment.has(FIN);
            (self.original.fin || fin && !is_reply) && (self.reply.fin || fin && is_reply)
        };
        let next = match (self.state, segment.flags & (SYN | ACK | FIN)) {
            (SynSent, SYN) => {
                if is_reply {
                    SynSent2
                } else {
                    SynSent
                }
            }
            (SynSent, SYN_ACK) if is_reply => SynRecv,
            (SynSent, ACK) if is_reply => SynSent,
            (SynSent, _) => return None,
            (SynSent2, SYN_ACK) => SynRecv,
            (SynSent2, _) => SynSent2,
            (SynRecv, ACK) if !is_reply => Established,
            // A FIN stands behind the handshake's last ACK.
            (SynRecv | Established, flags) if flags & FIN != 0 => FinWait,
            // SYNs in an open connection are the ends' to answer.
            (FinWait | CloseWait, flags) if flags & FIN != 0 && both_fins => LastAck,
            (FinWait, ACK) => CloseWait,
            (LastAck, ACK) => TimeWait,
            (Unset, SYN) => SynSent,
            (Unset, SYN_ACK) => SynRecv,
            (Unset, flags) if flags & FIN != 0 => FinWait,
            (Unset, ACK) => Established,
            (state, _) => state,
        };
        Some(next)
    }

    /// Notes sequence numbers and windows; answers whether the segment is in the window.
    fn windows(&mut self, segment: &Segment, is_reply: bool) -> bool {
        let (seq, end) = (segment.seq, segment.end());
        let (mut from, mut to) =
            if is_reply { (self.reply, self.original) } else { (self.original, self.reply) };
        if !from.seen {
            let scale = if segment.has(SYN) { segment.scale } else { Some(MAX_SCALE) };
            let limit = from.limit.map_or(end, |limit| later(limit, end));
            from = End {
                seen: true,
                end,
                limit: Some(limit),
                max_window: 1,
                scale,
                sack: segment.sack,
                fin: from.fin,
            };
        }
        // Scales hold if both have one (RFC 7323, 2.2), and not in segments with SYN.
        let scaled = !segment.has(SYN) && (self.liberal || to.scale.is_some());
        let scale = if scaled { from.scale.unwrap_or(0) } else { 0 };
        let window = u32::from(segment.window) << scale;
        let ack = if segment.has(ACK) { segment.ack } else { to.end };
        if to.seen {
            let oldest_ack = from.max_window.max(MAX_ACK_WINDOW);
            let fits = !after(seq, from.limit.unwrap_or(end).wrapping_add(1))
                && !after(from.end.wrapping_sub(to.max_window).wrapping_sub(1), end)
                && !after(ack, to.end)
                && !after(to.end.wrapping_sub(oldest_ack).wrapping_sub(1), ack);
            if !fits {
                return false;
            }
        }
        from.max_window = from.max_window.max(window);
        from.end = later(end, from.end);
        if segment.has(ACK) {
            let limit = ack.wrapping_add(window.max(1));
            to.limit = Some(to.limit.map_or(limit, |old| later(limit, old)));
        }
        *self.end(is_reply) = from;
        *self.end(!is_reply) = to;
        true
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn segment(flags: u16, seq: u32, ack: u32, len: u32) -> Segment {
        Segment { seq, ack, flags, window: 1000, len, scale: None, sack: false }
    }

    fn open(isn: u32, peer: u32) -> Tcp {
        let mut tcp = Tcp::begin(&segment(SYN, isn, 0, 0)).unwrap();
        for (flags, seq, ack, is_reply) in [
            (SYN, isn, 0, false),
            (SYN | ACK, peer, isn.wrapping_add(1), true),
            (ACK, isn.wrapping_add(1), peer.wrapping_add(1), false),
        ] {
            assert_eq!(tcp.pass(&segment(flags, seq, ack, 0), is_reply), Verdict::Pass);
        }
        assert_eq!(tcp.state, TcpState::Established);
        tcp
    }

    #[test]
    fn a_connection_opens_and_closes() {
        // Sequence numbers that wrap.
        for (isn, peer) in [(100, 5000), (u32::MAX, u32::MAX - 3), (0, 0x7fff_ffff)] {
            let mut tcp = open(isn, peer);
            let (a, b) = (isn.wrapping_add(1), peer.wrapping_add(1));
            let states = [
                (FIN | ACK, a, b, false, TcpState::FinWait),
                (FIN | ACK, a, b, false, TcpState::FinWait),
                (ACK, b, a.wrapping_add(1), true, TcpState::CloseWait),
                (FIN | ACK, b, a.wrapping_add(1), true, TcpState::LastAck),
                (ACK, a.wrapping_add(1), b.wrapping_add(1), false, TcpState::TimeWait),
            ];
            for (flags, seq, ack, is_reply, state) in states {
                assert_eq!(tcp.pass(&segment(flags, seq, ack, 0), is_reply), Verdict::Pass, "{state:?}");
                assert_eq!(tcp.state, state);
            }
            assert_eq!(tcp.pass(&segment(SYN, 7, 0, 0), false), Verdict::Reopen);
        }
    }

    #[test]
    fn what_begins_nothing() {
        for flags in [0, SYN | ACK, FIN | ACK, RST, RST | ACK, SYN | FIN, FIN] {
            assert!(Tcp::begin(&segment(flags, 1, 1, 0)).is_none(), "{flags:x}");
        }
        assert!(Tcp::begin(&segment(ACK | PSH, 1, 1, 5)).unwrap().liberal);
    }

    #[test]
    fn what_is_outside_the_window_is_invalid_and_changes_nothing() {
        let tcp = open(100, 5000);
        for (name, bad) in [
            ("data beyond what the receiver allows", segment(ACK, 101 + 1002, 5001, 10)),
            ("data from before the window", segment(ACK, 101u32.wrapping_sub(2000), 5001, 10)),
            ("an acknowledgement of what was never sent", segment(ACK, 101, 5002, 0)),
            (
                "an acknowledgement out of the distant past",
                segment(ACK, 101, 5001u32.wrapping_sub(70_000), 0),
            ),
        ] {
            let mut now = tcp;
            assert_eq!(now.pass(&bad, false), Verdict::Invalid, "{name}");
            assert_eq!(now.pass(&segment(ACK, 101, 5001, 1000), false), Verdict::Pass);
            let mut liberal = Tcp { liberal: true, ..tcp };
            assert_eq!(liberal.pass(&bad, false), Verdict::Pass, "{name}");
        }
        let mut now = tcp;
        assert_eq!(now.pass(&segment(RST, 3, 0, 0), true), Verdict::Invalid);
        assert_eq!(now.pass(&segment(RST, 5001, 0, 0), true), Verdict::Pass);
        assert_eq!(now.state, TcpState::Close);
    }

    #[test]
    fn window_scales_count_if_both_have_them() {
        for (ours, theirs, fits) in [(Some(7), Some(7), true), (Some(7), None, false), (None, Some(7), false)]
        {
            let syn = Segment { scale: ours, ..segment(SYN, 100, 0, 0) };
            let mut tcp = Tcp::begin(&syn).unwrap();
            tcp.pass(&syn, false);
            tcp.pass(&Segment { scale: theirs, ..segment(SYN | ACK, 5000, 101, 0) }, true);
            tcp.pass(&segment(ACK, 101, 5001, 0), false);
            tcp.pass(&segment(ACK, 5001, 101, 0), true);
            // The receiver offers 1000 << 7.
            let far = tcp.pass(&segment(ACK, 101 + 50_000, 5001, 1000), false);
            assert_eq!(far == Verdict::Pass, fits, "{ours:?} {theirs:?}");
        }
        let mut segment = Segment::default();
        segment.read_options(&[1, 2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 200]);
        assert_eq!(segment.scale, Some(14));
        for options in [&[2, 0, 3, 3, 1][..], &[2, 1], &[3, 3], &[5], &[], &[0, 3, 3, 7]] {
            let mut segment = Segment::default();
            segment.read_options(options);
            assert_eq!(segment.scale, None);
        }
    }

    /// Two ends that behave: whatever they send, in order or again, is valid.
    #[derive(Clone, Copy, Debug)]
    struct Peer {
        next: u32,
        /// What was acknowledged to it.
        acked: u32,
    }

    proptest! {
        #[test]
        fn what_two_honest_ends_send_is_valid(
            isn: u32, peer: u32, steps in prop::collection::vec((any::<bool>(), 0u32..900, 0u8..4), 1..60),
        ) {
            let mut tcp = open(isn, peer);
            let end = |isn: u32| Peer { next: isn.wrapping_add(1), acked: isn.wrapping_add(1) };
            let mut ends = [end(isn), end(peer)];
            for (is_reply, len, what) in steps {
                let me = usize::from(is_reply);
                let (from, to) = (ends[me], ends[1 - me]);
                let room = 1000 - from.next.wrapping_sub(from.acked);
                let (seq, len) = match what {
                    // Again what is not acknowledged.
                    0 => (from.acked, from.next.wrapping_sub(from.acked)),
                    _ => (from.next, len.min(room)),
                };
                let sent = segment(ACK, seq, to.next, len);
                prop_assert_eq!(tcp.pass(&sent, is_reply), Verdict::Pass);
                ends[me].next = later(seq.wrapping_add(len), from.next);
                ends[1 - me].acked = to.next;
            }
            prop_assert_eq!(tcp.state, TcpState::Established);
        }

        #[test]
        fn no_segment_is_too_odd(
            segments in prop::collection::vec(any::<(u32, u32, u16, u16, u16, bool)>(), 1..40), options: [u8; 40],
        ) {
            let mut tcp = open(1, 2);
            for (seq, ack, flags, window, len, is_reply) in segments {
                let mut segment = Segment { seq, ack, flags, window, len: len.into(), scale: None, sack: false };
                segment.read_options(&options);
                let before = tcp.state;
                if tcp.pass(&segment, is_reply) != Verdict::Pass {
                    prop_assert_eq!(before, tcp.state);
                }
            }
        }
    }
}
