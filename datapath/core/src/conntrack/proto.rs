//! What a packet does to its connection, by protocol.

use super::conn::Spec;
use super::tcp::{Segment, Tcp, TcpState};
use super::tuple;
use super::tuple::Tuple;
use crate::wire::{IP_SCTP, IP_TCP, IP_UDP};

/// What is looked at of a packet beyond its tuple.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Tcp(Segment),
    Sctp(Chunk),
    Other,
}

/// What a tracker says of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Pass,
    Invalid,
    /// The connection is over, and this packet begins the next.
    Reopen,
}

/// How far an SCTP association has come. The numbers are those of enum sctp_conntrack
/// (linux/netfilter/nf_conntrack_sctp.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SctpState {
    /// Nothing was seen: user space made it.
    Unset = 0,
    /// It is over.
    Closed = 1,
    /// INIT was seen.
    CookieWait = 2,
    /// COOKIE ECHO was seen.
    CookieEchoed = 3,
    /// It is open.
    Established = 4,
    /// SHUTDOWN of the original side was seen.
    ShutdownSent = 5,
    /// SHUTDOWN of the other side was seen.
    ShutdownRecd = 6,
    /// SHUTDOWN ACK was seen.
    ShutdownAckSent = 7,
    /// HEARTBEAT, and nothing before.
    HeartbeatSent = 8,
}

impl SctpState {
    /// The state of a number.
    pub fn from_number(number: u8) -> Option<SctpState> {
        use SctpState::*;
        const ALL: [SctpState; 9] = [
            Unset,
            Closed,
            CookieWait,
            CookieEchoed,
            Established,
            ShutdownSent,
            ShutdownRecd,
            ShutdownAckSent,
            HeartbeatSent,
        ];
        ALL.get(usize::from(number)).copied()
    }
}

/// An SCTP association.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sctp {
    pub state: SctpState,
    /// Verification tags of packets of the original direction and of replies; 0 = not known.
    pub tags: [u32; 2],
}

/// What is looked at of an SCTP packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    /// The type of the first chunk.
    pub kind: u8,
    /// The packet's verification tag.
    pub tag: u32,
    /// The tag that INIT and INIT ACK ask for.
    pub init: u32,
}

/// A connection's state in its protocol's own terms.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proto {
    Tcp(Tcp),
    Sctp(Sctp),
    Udp {
        /// From when on an answered conversation is more than a question.
        stream: u64,
    },
    Other,
}

/// Nanoseconds after which a UDP conversation that still goes on is a stream.
const STREAM: u64 = 2_000_000_000;

impl Proto {
    /// The state of a connection that a packet may begin.
    pub fn begin(tuple: &Tuple, seen: &Seen, now: u64) -> Option<Proto> {
        match seen {
            Seen::Tcp(segment) => Tcp::begin(segment).map(Proto::Tcp),
            Seen::Sctp(chunk) => {
                let state = match chunk.kind {
                    chunk::INIT => SctpState::CookieWait,
                    chunk::HEARTBEAT => SctpState::HeartbeatSent,
                    chunk::HEARTBEAT_ACK => SctpState::Closed,
                    chunk::SHUTDOWN_ACK => SctpState::ShutdownAckSent,
                    _ => return None,
                };
                Some(Proto::Sctp(Sctp { state, tags: [chunk.tag, 0] }))
            }
            Seen::Other if tuple.is_icmp() && !tuple::begins(tuple.version, tuple.icmp_type()) => None,
            Seen::Other if tuple.proto == IP_UDP => Some(Proto::Udp { stream: now.saturating_add(STREAM) }),
            Seen::Other => Some(Proto::Other),
        }
    }

    /// The state of a connection that no packet began. None: that is of another protocol.
    pub fn create(spec: &Spec, now: u64) -> Option<Proto> {
        match (spec.original.proto, spec.tcp, spec.sctp) {
            (IP_TCP, state, None) => Some(Proto::Tcp(Tcp::create(state.unwrap_or(TcpState::Unset)))),
            (IP_SCTP, None, state) => {
                Some(Proto::Sctp(Sctp { state: state.unwrap_or(SctpState::Unset), tags: spec.sctp_tags }))
            }
            (IP_UDP, None, None) => Some(Proto::Udp { stream: now.saturating_add(STREAM) }),
            (_, None, None) => Some(Proto::Other),
            _ => None,
        }
    }

    /// A packet passes.
    pub fn pass(&mut self, seen: &Seen, is_reply: bool) -> Verdict {
        match (self, seen) {
            (Proto::Tcp(tcp), Seen::Tcp(segment)) => tcp.pass(segment, is_reply),
            (Proto::Sctp(sctp), Seen::Sctp(chunk)) => sctp.pass(chunk, is_reply),
            (Proto::Udp { .. } | Proto::Other, Seen::Other) => Verdict::Pass,
            _ => Verdict::Invalid,
        }
    }

    /// The state as a number, where a protocol has states.
    pub fn state_number(&self) -> u8 {
        match self {
            Proto::Tcp(tcp) => tcp.state as u8,
            Proto::Sctp(sctp) => sctp.state as u8,
            Proto::Udp { .. } | Proto::Other => 0,
        }
    }

    /// Whether an answered connection has proved that both ends mean it, so that it is not given up for a new one.
    pub fn is_assured(&self, now: u64) -> bool {
        match self {
            Proto::Tcp(tcp) => !matches!(
                tcp.state,
                TcpState::Unset
                    | TcpState::SynSent
                    | TcpState::SynSent2
                    | TcpState::SynRecv
                    | TcpState::Close
            ),
            Proto::Sctp(sctp) => sctp.state == SctpState::Established,
            Proto::Udp { stream } => now >= *stream,
            Proto::Other => false,
        }
    }
}

impl Chunk {
    /// Whether nothing may be beside a chunk of this type (RFC 9260, 6.10).
    pub fn is_alone(kind: u8) -> bool {
        matches!(kind, chunk::INIT | chunk::INIT_ACK | chunk::SHUTDOWN_COMPLETE)
    }
}

impl Sctp {
    fn pass(&mut self, chunk: &Chunk, is_reply: bool) -> Verdict {
        let [original, reply] = &mut self.tags;
        let (own, other) = if is_reply { (reply, original) } else { (original, reply) };
        let fits = match chunk.kind {
            // Its receiver's tag is not known to its sender (RFC 9260, 8.5.1).
            chunk::INIT => chunk.tag == 0,
            // With the T bit they carry their sender's own tag.
            chunk::ABORT | chunk::SHUTDOWN_COMPLETE => {
                *own == 0 || *other == 0 || chunk.tag == *own || chunk.tag == *other
            }
            _ => *own == 0 || chunk.tag == *own,
        };
        if !fits {
            return Verdict::Invalid;
        }
        match chunk.kind {
            // What the sender of these wants to see in packets to it.
            chunk::INIT | chunk::INIT_ACK => *other = chunk.init,
            _ if *own == 0 => *own = chunk.tag,
            _ => {}
        }
        self.state = sctp(self.state, chunk.kind, is_reply);
        Verdict::Pass
    }
}

/// Chunk types (RFC 9260, 3.2).
mod chunk {
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const HEARTBEAT: u8 = 4;
    pub const HEARTBEAT_ACK: u8 = 5;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

fn sctp(state: SctpState, kind: u8, is_reply: bool) -> SctpState {
    use SctpState::*;
    match (kind, state) {
        (chunk::ABORT | chunk::SHUTDOWN_COMPLETE, _) => Closed,
        (chunk::INIT, Closed) => CookieWait,
        (chunk::COOKIE_ECHO, CookieWait) => CookieEchoed,
        (chunk::COOKIE_ACK, CookieEchoed) if is_reply => Established,
        (chunk::HEARTBEAT_ACK, HeartbeatSent) if is_reply => Established,
        (chunk::SHUTDOWN, Established) => {
            if is_reply {
                ShutdownRecd
            } else {
                ShutdownSent
            }
        }
        (chunk::SHUTDOWN_ACK, ShutdownSent | ShutdownRecd) => ShutdownAckSent,
        (_, state) => state,
    }
}

/// Whether a protocol has ports, at the start of its header.
pub(crate) fn has_ports(proto: u8) -> bool {
    matches!(proto, IP_TCP | IP_UDP | IP_SCTP)
}
