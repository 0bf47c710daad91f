//! A connection.

use super::proto::{self, Proto, Seen, Verdict};
use super::tcp::TcpState;
use super::{SctpState, Tuple};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, Result};

/// It is in the table.
pub const CONFIRMED: u32 = 1 << 0;
/// Packets of both directions were seen.
pub const SEEN_REPLY: u32 = 1 << 1;
/// It is not given up for a new one when the table is full.
pub const ASSURED: u32 = 1 << 2;
/// The source of its original direction is translated.
pub const SRC_NAT: u32 = 1 << 3;
/// The destination of its original direction is translated.
pub const DST_NAT: u32 = 1 << 4;
/// It was in the table, and is not any more.
pub const DYING: u32 = 1 << 5;
/// How its addresses are translated is settled.
pub const NAT_DONE: u32 = 1 << 6;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// A connection: of the packet that began it alone, until it is confirmed.
pub struct Conn<P: Platform> {
    original: Tuple,
    status: AtomicU32,
    /// When it is forgotten, on [`Platform::now`]'s clock.
    expires: AtomicU64,
    id: u32,
    state: P::Mutex<State>,
}

struct State {
    reply: Tuple,
    mark: u32,
    labels: [u8; 16],
    proto: Proto,
}

/// What a connection is at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// The tuple of its first packet, as it came.
    pub original: Tuple,
    /// The tuple of an answer, as it comes.
    pub reply: Tuple,
    /// Which of [`CONFIRMED`], [`SEEN_REPLY`] … hold.
    pub status: u32,
    /// A number that tells it from others with the same tuples.
    pub id: u32,
    /// Its mark.
    pub mark: u32,
    /// Its labels.
    pub labels: [u8; 16],
    /// Seconds until it is forgotten.
    pub timeout: u32,
    /// TCP's state.
    pub tcp: Option<TcpState>,
    /// SCTP's state.
    pub sctp: Option<SctpState>,
}

impl<P: Platform> Conn<P> {
    /// The connection that a packet begins. None: it can't begin one.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn begin(original: Tuple, seen: &Seen) -> Result<Option<Conn<P>>> {
        let (Some(mut proto), Some(reply)) = (Proto::begin(&original, seen), original.invert()) else {
            return Ok(None);
        };
        if proto.pass(seen, false) != Verdict::Pass {
            return Ok(None);
        }
        let lifetime = proto::lifetime(&original, &proto, false);
        let mut id = [0; 4];
        P::random(&mut id);
        let state = State { reply, mark: 0, labels: [0; 16], proto };
        Ok(Some(Conn {
            original,
            status: AtomicU32::new(0),
            expires: AtomicU64::new(P::now().saturating_add(lifetime * SECOND)),
            id: u32::from_ne_bytes(id),
            state: P::Mutex::try_new(c"pfnl connection", state)?,
        }))
    }

    /// A further packet.
    pub(crate) fn pass(&self, seen: &Seen, is_reply: bool) -> Verdict {
        let mut state = self.state.lock();
        let verdict = state.proto.pass(seen, is_reply);
        if verdict == Verdict::Pass {
            if is_reply {
                self.set(SEEN_REPLY);
            }
            let replied = self.has(SEEN_REPLY);
            // As Linux: an established connection's windows are not checked in Open vSwitch, since a packet outside them
            // could not be told from one of no connection.
            if let Proto::Tcp(tcp) = &mut state.proto
                && tcp.state == TcpState::Established
                && self.has(CONFIRMED)
            {
                tcp.liberal = true;
            }
            if replied && proto::is_assured(&self.original, &state.proto) {
                self.set(ASSURED);
            }
            let lifetime = proto::lifetime(&self.original, &state.proto, replied);
            // Relaxed: a moment more or less does not matter.
            self.expires.store(P::now().saturating_add(lifetime * SECOND), Ordering::Relaxed);
        }
        verdict
    }

    /// The tuple of its first packet.
    pub fn original(&self) -> &Tuple {
        &self.original
    }

    /// The tuple of an answer.
    pub fn reply(&self) -> Tuple {
        self.state.lock().reply
    }

    /// What the tuple of a packet of one direction becomes.
    pub(crate) fn target(&self, is_reply: bool) -> Option<Tuple> {
        if is_reply { self.original.invert() } else { self.reply().invert() }
    }

    /// Settles the translation of a connection that is not in the table yet.
    pub(crate) fn translate(&self, reply: Tuple, status: u32) {
        self.state.lock().reply = reply;
        self.set(status | NAT_DONE);
    }

    /// Its mark and labels.
    pub fn mark_and_labels(&self) -> (u32, [u8; 16]) {
        let state = self.state.lock();
        (state.mark, state.labels)
    }

    /// Changes mark and labels; answers what they are now.
    pub fn change(&self, change: impl FnOnce(&mut u32, &mut [u8; 16])) -> (u32, [u8; 16]) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        change(&mut state.mark, &mut state.labels);
        (state.mark, state.labels)
    }

    /// Whether any of these bits of the status are set.
    pub fn has(&self, bits: u32) -> bool {
        // Relaxed: bits are only ever added, and each stands for itself.
        self.status.load(Ordering::Relaxed) & bits != 0
    }

    pub(crate) fn set(&self, bits: u32) {
        if !self.has(bits) || bits.count_ones() > 1 {
            // Relaxed: as in `has`.
            self.status.fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// Whether it is forgotten, or should be.
    pub fn is_over(&self, now: u64) -> bool {
        // Relaxed: as in `pass`.
        self.has(DYING) || self.expires.load(Ordering::Relaxed) <= now
    }

    /// Lets it expire after so many seconds from now.
    pub fn expire_in(&self, seconds: u32) {
        let moment = P::now().saturating_add(u64::from(seconds) * SECOND);
        // Relaxed: as in `pass`.
        self.expires.store(moment, Ordering::Relaxed);
    }

    /// Everything that is known of it.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.lock();
        let left = self.expires.load(Ordering::Relaxed).saturating_sub(P::now()) / SECOND;
        Snapshot {
            original: self.original,
            reply: state.reply,
            status: self.status.load(Ordering::Relaxed),
            id: self.id,
            mark: state.mark,
            labels: state.labels,
            timeout: u32::try_from(left).unwrap_or(u32::MAX),
            tcp: if let Proto::Tcp(tcp) = &state.proto { Some(tcp.state) } else { None },
            sctp: if let Proto::Sctp(sctp) = &state.proto { Some(*sctp) } else { None },
        }
    }
}

/// A connection's way into the table can fail.
pub(crate) const CLASH: Errno = Errno::EEXIST;
