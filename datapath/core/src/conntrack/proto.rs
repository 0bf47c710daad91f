//! What a packet does to its connection, by protocol, and how long the state lasts.

use super::tcp::{Segment, Tcp, TcpState};
use super::tuple;
use super::tuple::Tuple;
use crate::wire::{IP_SCTP, IP_TCP, IP_UDP};

/// What is looked at of a packet beyond its tuple.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Tcp(Segment),
    /// The type of the first chunk.
    Sctp(u8),
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

/// A connection's state in its protocol's own terms.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proto {
    Tcp(Tcp),
    Sctp(SctpState),
    Other,
}

impl Proto {
    /// The state of a connection that a packet may begin.
    pub fn begin(tuple: &Tuple, seen: &Seen) -> Option<Proto> {
        match seen {
            Seen::Tcp(segment) => Tcp::begin(segment).map(Proto::Tcp),
            Seen::Sctp(chunk) => match *chunk {
                chunk::INIT => Some(Proto::Sctp(SctpState::CookieWait)),
                chunk::HEARTBEAT => Some(Proto::Sctp(SctpState::HeartbeatSent)),
                _ => None,
            },
            Seen::Other if tuple.is_icmp() && !tuple::begins(tuple.version, tuple.icmp_type()) => None,
            Seen::Other => Some(Proto::Other),
        }
    }

    /// A packet passes.
    pub fn pass(&mut self, seen: &Seen, is_reply: bool) -> Verdict {
        match (self, seen) {
            (Proto::Tcp(tcp), Seen::Tcp(segment)) => tcp.pass(segment, is_reply),
            (Proto::Sctp(state), Seen::Sctp(chunk)) => {
                if *state == SctpState::Closed && *chunk == chunk::INIT {
                    return Verdict::Reopen;
                }
                *state = sctp(*state, *chunk, is_reply);
                Verdict::Pass
            }
            (Proto::Other, Seen::Other) => Verdict::Pass,
            _ => Verdict::Invalid,
        }
    }
}

/// Chunk types (RFC 9260, 3.2).
mod chunk {
    pub const INIT: u8 = 1;
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

/// Seconds that a state lasts without packets: Linux's defaults (nf_conntrack_*_timeout).
pub(crate) fn lifetime(tuple: &Tuple, proto: &Proto, replied: bool) -> u64 {
    match proto {
        Proto::Tcp(tcp) => match tcp.state {
            TcpState::SynSent | TcpState::SynSent2 | TcpState::FinWait | TcpState::TimeWait => 120,
            TcpState::SynRecv | TcpState::CloseWait => 60,
            // Nobody has answered a connection that was picked up (nf_conntrack_tcp_timeout_unacknowledged).
            TcpState::Established if !replied => 300,
            TcpState::Established => 432_000,
            TcpState::LastAck => 30,
            TcpState::Close => 10,
        },
        Proto::Sctp(state) => match state {
            SctpState::Closed => 10,
            SctpState::CookieWait | SctpState::CookieEchoed => 3,
            SctpState::Established => 210,
            SctpState::ShutdownSent | SctpState::ShutdownRecd | SctpState::ShutdownAckSent => 3,
            SctpState::HeartbeatSent => 30,
        },
        Proto::Other if tuple.is_icmp() => 30,
        Proto::Other if tuple.proto == IP_UDP && replied => 120,
        Proto::Other if tuple.proto == IP_UDP => 30,
        Proto::Other => 600,
    }
}

/// Whether an answered connection has proved that both ends mean it, so that it is not given up for a new one.
pub(crate) fn is_assured(tuple: &Tuple, proto: &Proto) -> bool {
    match proto {
        Proto::Tcp(tcp) => {
            !matches!(tcp.state, TcpState::SynSent | TcpState::SynSent2 | TcpState::SynRecv | TcpState::Close)
        }
        Proto::Sctp(state) => *state == SctpState::Established,
        Proto::Other => tuple.proto == IP_UDP,
    }
}

/// Whether a protocol has ports, at the start of its header.
pub(crate) fn has_ports(proto: u8) -> bool {
    matches!(proto, IP_TCP | IP_UDP | IP_SCTP)
}
