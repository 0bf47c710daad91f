//! How long connections last without packets: the defaults, and policies by name (nfnetlink_cttimeout).
//!
//! Values stand where linux/netfilter/nfnetlink_cttimeout.h numbers them, from 1: `CTA_TIMEOUT_TCP_SYN_SENT` is the first
//! of [`Kind::Tcp`]. Those of TCP's and SCTP's states have the states' numbers. Defaults are those of Linux's
//! Documentation/networking/nf_conntrack-sysctl.rst, asked of a running 6.12.

use super::proto::Proto;
use super::tcp::TcpState;
use super::tuple::Tuple;
use crate::wire::{IP_ICMP, IP_ICMPV6, IP_SCTP, IP_TCP, IP_UDP};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_push};

/// The most values a protocol has.
pub const SLOTS: usize = 11;
/// A policy's name, without what ends it, is shorter than this (`CTNL_TIMEOUT_NAME_MAX`).
pub const NAME_MAX: usize = 32;
/// How many policies there may be: two for each zone, and each protocol that OVS makes some for.
const MAX_POLICIES: usize = 1 << 18;

const DCCP: u8 = 33;
const GRE: u8 = 47;
const UDPLITE: u8 = 136;
const RAW: u8 = 255;

/// Protocols with timeouts of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// By state; then retransmissions, and data that nobody acknowledges.
    Tcp,
    /// Unanswered, answered.
    Udp,
    /// As UDP.
    UdpLite,
    /// One.
    Icmp,
    /// One.
    IcmpV6,
    /// By state.
    Sctp,
    /// By state; these connections are tracked as any others here.
    Dccp,
    /// Unanswered, answered.
    Gre,
    /// All other protocols.
    Generic,
}

impl Kind {
    /// The kind of an IP protocol's connections; 255 is that of all others.
    pub fn of(proto: u8) -> Option<Kind> {
        Some(match proto {
            IP_TCP => Kind::Tcp,
            IP_UDP => Kind::Udp,
            UDPLITE => Kind::UdpLite,
            IP_ICMP => Kind::Icmp,
            IP_ICMPV6 => Kind::IcmpV6,
            IP_SCTP => Kind::Sctp,
            DCCP => Kind::Dccp,
            GRE => Kind::Gre,
            RAW => Kind::Generic,
            _ => return None,
        })
    }

    /// The protocol, as a policy names it.
    pub fn number(self) -> u8 {
        match self {
            Kind::Tcp => IP_TCP,
            Kind::Udp => IP_UDP,
            Kind::UdpLite => UDPLITE,
            Kind::Icmp => IP_ICMP,
            Kind::IcmpV6 => IP_ICMPV6,
            Kind::Sctp => IP_SCTP,
            Kind::Dccp => DCCP,
            Kind::Gre => GRE,
            Kind::Generic => RAW,
        }
    }

    /// Its values with their defaults, in seconds.
    fn defaults(self) -> &'static [u32] {
        match self {
            Kind::Tcp => &[120, 60, 432_000, 120, 60, 30, 120, 10, 120, 300, 300],
            Kind::Udp | Kind::UdpLite => &[30, 120],
            Kind::Icmp | Kind::IcmpV6 => &[30],
            // The last is of no use any more; Linux keeps its place.
            Kind::Sctp => &[10, 3, 3, 210, 3, 3, 3, 30, 0],
            Kind::Dccp => &[240, 480, 480, 43_200, 64, 64, 240],
            Kind::Gre => &[30, 180],
            Kind::Generic => &[600],
        }
    }

    /// How many values it has.
    pub fn slots(self) -> usize {
        self.defaults().len()
    }
}

/// The kind of a packet's connection, and which of its values counts now.
fn which(tuple: &Tuple, proto: &Proto, replied: bool, now: u64) -> (Kind, usize) {
    match proto {
        Proto::Tcp(tcp) => (
            Kind::Tcp,
            match tcp.state {
                // Nobody has answered a connection that was picked up.
                TcpState::Established if !replied => 11,
                state => (state as usize).max(1),
            },
        ),
        Proto::Sctp(sctp) => (Kind::Sctp, (sctp.state as usize).max(1)),
        // What goes on after two seconds is no single question.
        Proto::Udp { stream } => (Kind::Udp, if replied && now >= *stream { 2 } else { 1 }),
        Proto::Other if tuple.is_icmp() && tuple.version == 6 => (Kind::IcmpV6, 1),
        Proto::Other if tuple.is_icmp() => (Kind::Icmp, 1),
        Proto::Other if tuple.proto == GRE => (Kind::Gre, if replied { 2 } else { 1 }),
        Proto::Other => (Kind::Generic, 1),
    }
}

/// A protocol's values, which may change while they are used.
#[derive(Debug)]
pub struct Values([AtomicU32; SLOTS]);

impl Values {
    fn of(kind: Kind) -> Values {
        let values = Values([const { AtomicU32::new(0) }; SLOTS]);
        for (slot, &value) in (1..).zip(kind.defaults()) {
            values.set(slot, value);
        }
        values
    }

    /// A value by its number, from 1.
    pub fn get(&self, slot: usize) -> u32 {
        let value = slot.checked_sub(1).and_then(|at| self.0.get(at));
        // Relaxed, as in `set`: each value stands for itself.
        value.map_or(0, |value| value.load(Ordering::Relaxed))
    }

    /// Changes it.
    pub fn set(&self, slot: usize, seconds: u32) {
        if let Some(value) = slot.checked_sub(1).and_then(|at| self.0.get(at)) {
            value.store(seconds, Ordering::Relaxed);
        }
    }
}

/// A policy: values by a name.
#[derive(Debug)]
pub struct Policy {
    name: Vec<u8>,
    /// Of layer 3, as `AF_INET` or `AF_INET6`; what connections it is for.
    pub family: u16,
    /// Of which protocol.
    pub kind: Kind,
    /// The values.
    pub values: Values,
    deleted: AtomicBool,
}

impl Policy {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    fn is_for(&self, tuple: &Tuple) -> bool {
        let family = if tuple.version == 4 { AF_INET } else { AF_INET6 };
        self.family == family && self.kind.number() == tuple.proto
    }
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// All of them.
pub struct Timeouts<P: Platform> {
    /// By kind; apart from the table, which is made on a small stack.
    defaults: Vec<Values>,
    policies: P::Mutex<Vec<Shared<Policy>>>,
}

impl<P: Platform> Timeouts<P> {
    pub(super) fn try_new() -> Result<Timeouts<P>> {
        use Kind::*;
        let kinds = [Tcp, Udp, UdpLite, Icmp, IcmpV6, Sctp, Dccp, Gre, Generic];
        let mut defaults = Vec::new();
        defaults.try_reserve_exact(kinds.len())?;
        defaults.extend(kinds.into_iter().map(Values::of));
        Ok(Timeouts { defaults, policies: P::Mutex::try_new(c"pfnl timeouts", Vec::new())? })
    }

    /// What holds for connections without a policy.
    pub fn defaults(&self, kind: Kind) -> Option<&Values> {
        self.defaults.get(kind as usize)
    }

    /// Seconds that a connection lasts now.
    pub(crate) fn lifetime(
        &self,
        tuple: &Tuple,
        proto: &Proto,
        replied: bool,
        policy: Option<&Policy>,
        now: u64,
    ) -> u64 {
        let (kind, slot) = which(tuple, proto, replied, now);
        // Relaxed: a policy that goes away may count for a packet more.
        let policy = policy.filter(|policy| !policy.deleted.load(Ordering::Relaxed));
        let values = policy.map(|policy| &policy.values).or(self.defaults(kind));
        values.map_or(0, |values| values.get(slot).into())
    }

    /// The policy of a name for connections like this; one for others is none.
    pub(crate) fn for_connection(&self, name: &[u8], tuple: &Tuple) -> Option<Shared<Policy>> {
        self.find(name).filter(|policy| policy.is_for(tuple))
    }

    /// The policy of a name.
    pub fn find(&self, name: &[u8]) -> Option<Shared<Policy>> {
        self.policies.lock().iter().find(|policy| policy.name == name).cloned()
    }

    /// The `index`th policy.
    pub fn nth(&self, index: usize) -> Option<Shared<Policy>> {
        self.policies.lock().get(index).cloned()
    }

    /// Adds a policy; values that are not given are the defaults of now.
    ///
    /// # Errors
    /// `EEXIST`: the name is taken. `ENOSPC`, `ENOMEM`.
    pub fn add(&self, name: &[u8], family: u16, kind: Kind, given: &[Option<u32>]) -> Result<()> {
        let policy = Policy {
            name: pfnl_platform::try_to_vec(name)?,
            family,
            kind,
            values: Values::of(kind),
            deleted: AtomicBool::new(false),
        };
        for slot in 1..=kind.slots() {
            let default = self.defaults(kind).map_or(0, |values| values.get(slot));
            let given = slot.checked_sub(1).and_then(|at| *given.get(at)?);
            policy.values.set(slot, given.unwrap_or(default));
        }
        let policy = Shared::try_new(policy)?;
        let mut policies = self.policies.lock();
        if policies.iter().any(|other| other.name == name) {
            return Err(Errno::EEXIST);
        }
        if policies.len() >= MAX_POLICIES {
            return Err(Errno::ENOSPC);
        }
        try_push(&mut policies, policy)
    }

    /// Takes a policy away; its connections last as if they never had one.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        let mut policies = self.policies.lock();
        let at = policies.iter().position(|policy| policy.name == name).ok_or(Errno::ENOENT)?;
        // Relaxed: as in `lifetime`.
        policies.remove(at).deleted.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Takes all policies away.
    pub fn clear(&self) {
        for policy in self.policies.lock().drain(..) {
            policy.deleted.store(true, Ordering::Relaxed);
        }
    }
}
