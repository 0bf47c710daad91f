//! A connection.

use super::event::bits;
use super::helper::Helper;
use super::proto::{Proto, Seen, Verdict};
use super::seqadj::SeqAdj;
use super::tcp::TcpState;
use super::timeout::{Policy, Timeouts};
use super::{SctpState, Tuple};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared};

// Bits of a connection's status, as Linux numbers them (enum ip_conntrack_status, linux/netfilter/nf_conntrack_common.h).

/// Another connection's helper expected it.
pub const EXPECTED: u32 = 1 << 0;
/// Packets of both directions were seen.
pub const SEEN_REPLY: u32 = 1 << 1;
/// It is not given up for a new one when the table is full.
pub const ASSURED: u32 = 1 << 2;
/// It is in the table.
pub const CONFIRMED: u32 = 1 << 3;
/// The source of its original direction is translated.
pub const SRC_NAT: u32 = 1 << 4;
/// The destination of its original direction is translated.
pub const DST_NAT: u32 = 1 << 5;
/// Its sequence numbers are shifted.
pub const SEQ_ADJUST: u32 = 1 << 6;
/// How its addresses are translated is settled.
pub const NAT_DONE: u32 = 1 << 7 | 1 << 8;
/// It was in the table, and is not any more.
pub const DYING: u32 = 1 << 9;
/// It was given a helper.
pub const HELPER: u32 = 1 << 13;

/// Nanoseconds in a second.
pub(super) const SECOND: u64 = 1_000_000_000;

/// A connection: of the packet that began it alone, until it is confirmed.
pub struct Conn<P: Platform> {
    original: Tuple,
    /// Whose helper expected it.
    master: Option<Shared<Conn<P>>>,
    status: AtomicU32,
    /// What happened and was not told yet.
    events: AtomicU32,
    /// What it tells at all.
    event_mask: AtomicU32,
    /// When it is forgotten, on [`Platform::now`]'s clock.
    expires: AtomicU64,
    id: u32,
    state: P::Mutex<State>,
}

pub(super) struct State {
    pub(super) reply: Tuple,
    mark: u32,
    labels: [u8; 16],
    proto: Proto,
    policy: Option<Shared<Policy>>,
    helper: Option<Helper>,
    /// Of packets of the original direction, and of replies.
    pub(super) shifts: [SeqAdj; 2],
}

/// What a connection is at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// The tuple of its first packet, as it came.
    pub original: Tuple,
    /// The tuple of an answer, as it comes.
    pub reply: Tuple,
    /// The tuple of the connection that expected it.
    pub master: Option<Tuple>,
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
    /// Of TCP's two ends: window scale, and flags (`IP_CT_TCP_FLAG_*`).
    pub tcp_ends: [(u8, u8); 2],
    /// SCTP's state.
    pub sctp: Option<SctpState>,
    /// SCTP's verification tags.
    pub sctp_tags: [u32; 2],
    /// Its helper.
    pub helper: Option<Helper>,
    /// How the sequence numbers of its two directions are shifted.
    pub shifts: [SeqAdj; 2],
}

/// What a connection is made of that no packet began ([`Conntrack::create`](super::Conntrack::create)).
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its tuples.
    pub original: Tuple,
    /// The tuple of its answers.
    pub reply: Tuple,
    /// Seconds it lasts.
    pub timeout: u32,
    /// [`SEEN_REPLY`], [`ASSURED`].
    pub status: u32,
    /// Its mark.
    pub mark: u32,
    /// Its labels.
    pub labels: [u8; 16],
    /// TCP's state.
    pub tcp: Option<TcpState>,
    /// SCTP's state.
    pub sctp: Option<SctpState>,
    /// SCTP's verification tags.
    pub sctp_tags: [u32; 2],
    /// Its helper.
    pub helper: Option<Helper>,
}

impl<P: Platform> Conn<P> {
    /// The connection that a packet begins. None: it can't begin one.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn begin(
        original: Tuple,
        seen: &Seen,
        timeouts: &Timeouts<P>,
        master: Option<Shared<Conn<P>>>,
    ) -> Result<Option<Conn<P>>> {
        let now = P::now();
        let (Some(mut proto), Some(reply)) = (Proto::begin(&original, seen, now), original.invert()) else {
            return Ok(None);
        };
        if proto.pass(seen, false) != Verdict::Pass {
            return Ok(None);
        }
        let lifetime = timeouts.lifetime(&original, &proto, false, None, now);
        let status = if master.is_some() { EXPECTED } else { 0 };
        // As on Linux, what is expected begins with its master's mark.
        let mark = master.as_ref().map_or(0, |master| master.mark_and_labels().0);
        let state = State {
            reply,
            mark,
            labels: [0; 16],
            proto,
            policy: None,
            helper: None,
            shifts: [SeqAdj::default(); 2],
        };
        Ok(Some(Conn::with(original, master, status, now.saturating_add(lifetime * SECOND), state)?))
    }

    pub(super) fn create(spec: &Spec) -> Result<Conn<P>> {
        let now = P::now();
        let proto = Proto::create(spec, now).ok_or(Errno::EINVAL)?;
        let state = State {
            reply: spec.reply,
            mark: spec.mark,
            labels: spec.labels,
            proto,
            policy: None,
            helper: spec.helper,
            shifts: [SeqAdj::default(); 2],
        };
        let helper = if spec.helper.is_some() { HELPER } else { 0 };
        let expires = now.saturating_add(u64::from(spec.timeout) * SECOND);
        let mut status = spec.status & (SEEN_REPLY | ASSURED) | helper;
        if let Some(answer) = spec.original.invert() {
            if (answer.dst, answer.dst_port) != (spec.reply.dst, spec.reply.dst_port) {
                status |= SRC_NAT;
            }
            if (answer.src, answer.src_port) != (spec.reply.src, spec.reply.src_port) {
                status |= DST_NAT;
            }
            if status & (SRC_NAT | DST_NAT) != 0 {
                status |= NAT_DONE;
            }
        }
        Conn::with(spec.original, None, status, expires, state)
    }

    fn with(
        original: Tuple,
        master: Option<Shared<Conn<P>>>,
        status: u32,
        expires: u64,
        state: State,
    ) -> Result<Conn<P>> {
        let mut id = [0; 4];
        P::random(&mut id);
        Ok(Conn {
            original,
            master,
            status: AtomicU32::new(status),
            events: AtomicU32::new(0),
            event_mask: AtomicU32::new(bits::ALL),
            expires: AtomicU64::new(expires),
            id: u32::from_ne_bytes(id),
            state: P::Mutex::try_new(c"pfnl connection", state)?,
        })
    }

    /// A further packet.
    pub(crate) fn pass(&self, seen: &Seen, is_reply: bool, timeouts: &Timeouts<P>) -> Verdict {
        let now = P::now();
        let mut state = self.state.lock();
        let before = state.proto.state_number();
        let verdict = state.proto.pass(seen, is_reply);
        if verdict == Verdict::Pass {
            if is_reply && !self.has(SEEN_REPLY) {
                self.set(SEEN_REPLY);
                self.happened(bits::REPLY);
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
            if replied && !self.has(ASSURED) && state.proto.is_assured(now) {
                self.set(ASSURED);
                self.happened(bits::ASSURED);
            }
            if state.proto.state_number() != before {
                self.happened(bits::PROTOINFO);
            }
            let policy = state.policy.as_deref();
            let lifetime = timeouts.lifetime(&self.original, &state.proto, replied, policy, now);
            // Relaxed: a moment more or less does not matter.
            self.expires.store(now.saturating_add(lifetime * SECOND), Ordering::Relaxed);
        }
        verdict
    }

    /// Gives a connection that is not in the table yet a policy, and the time that this allows.
    pub(crate) fn set_policy(&self, policy: Shared<Policy>, timeouts: &Timeouts<P>) {
        let now = P::now();
        let mut state = self.state.lock();
        let replied = self.has(SEEN_REPLY);
        let lifetime = timeouts.lifetime(&self.original, &state.proto, replied, Some(&policy), now);
        state.policy = Some(policy);
        // Relaxed: as in `pass`.
        self.expires.store(now.saturating_add(lifetime * SECOND), Ordering::Relaxed);
    }

    /// The tuple of its first packet.
    pub fn original(&self) -> &Tuple {
        &self.original
    }

    /// The tuple of an answer.
    pub fn reply(&self) -> Tuple {
        self.state.lock().reply
    }

    /// The connection whose helper expected it.
    pub fn master(&self) -> Option<&Shared<Conn<P>>> {
        self.master.as_ref()
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
        let before = (state.mark, state.labels);
        change(&mut state.mark, &mut state.labels);
        if before.0 != state.mark {
            self.happened(bits::MARK);
        }
        if before.1 != state.labels {
            self.happened(bits::LABEL);
        }
        (state.mark, state.labels)
    }

    /// Its helper.
    pub fn helper(&self) -> Option<Helper> {
        if !self.has(HELPER) {
            return None;
        }
        self.state.lock().helper
    }

    /// Gives it a helper, if it has none.
    pub fn attach(&self, helper: Helper) {
        let mut state = self.state.lock();
        if state.helper.is_none() {
            state.helper = Some(helper);
            self.set(HELPER);
            self.happened(bits::HELPER);
        }
    }

    /// Changes its protocol's state.
    ///
    /// # Errors
    /// `EINVAL`: it is of another protocol.
    pub fn set_state(&self, tcp: Option<TcpState>, sctp: Option<SctpState>) -> Result<()> {
        let mut state = self.state.lock();
        match (&mut state.proto, tcp, sctp) {
            (Proto::Tcp(tcp), Some(new), None) => tcp.state = new,
            (Proto::Sctp(sctp), None, Some(new)) => sctp.state = new,
            (_, None, None) => return Ok(()),
            _ => return Err(Errno::EINVAL),
        }
        self.happened(bits::PROTOINFO);
        Ok(())
    }

    pub(super) fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock())
    }

    /// Notes what is to be told.
    pub fn happened(&self, events: u32) {
        // Relaxed: each bit stands for itself.
        self.events.fetch_or(events, Ordering::Relaxed);
    }

    /// What is to be told, and was not yet.
    pub(super) fn take_events(&self) -> u32 {
        // Relaxed: as in `happened`.
        self.events.swap(0, Ordering::Relaxed) & self.event_mask()
    }

    pub(super) fn event_mask(&self) -> u32 {
        self.event_mask.load(Ordering::Relaxed)
    }

    /// Says what it tells at all.
    pub(crate) fn set_event_mask(&self, mask: u32) {
        // Relaxed: as in `happened`.
        self.event_mask.store(mask, Ordering::Relaxed);
    }

    /// Whether any of these bits of the status are set.
    pub fn has(&self, bits: u32) -> bool {
        self.status() & bits != 0
    }

    /// All of its status.
    pub fn status(&self) -> u32 {
        // Relaxed: bits are only ever added, and each stands for itself.
        self.status.load(Ordering::Relaxed)
    }

    /// Adds bits to its status.
    pub fn set(&self, bits: u32) {
        if self.status() & bits != bits {
            // Relaxed: as in `status`.
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
        let tcp = if let Proto::Tcp(tcp) = &state.proto { Some(tcp) } else { None };
        let sctp = if let Proto::Sctp(sctp) = &state.proto { Some(sctp) } else { None };
        Snapshot {
            original: self.original,
            reply: state.reply,
            master: self.master.as_ref().map(|master| master.original),
            status: self.status(),
            id: self.id,
            mark: state.mark,
            labels: state.labels,
            timeout: u32::try_from(left).unwrap_or(u32::MAX),
            tcp: tcp.map(|tcp| tcp.state),
            tcp_ends: tcp.map_or([(0, 0); 2], super::tcp::Tcp::ends),
            sctp: sctp.map(|sctp| sctp.state),
            sctp_tags: sctp.map_or([0; 2], |sctp| sctp.tags),
            helper: state.helper,
            shifts: state.shifts,
        }
    }
}

/// A connection's way into the table can fail.
pub(crate) const CLASH: Errno = Errno::EEXIST;
