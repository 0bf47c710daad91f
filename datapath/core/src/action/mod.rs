//! Actions: what is done with the packets of a flow.
//!
//! The list is the compiled form of OVS_ACTION_ATTR_* (linux/openvswitch.h). The control plane that compiled it keeps
//! its own form beside it ([`Actions::opaque`]), to be given back unchanged.

mod ct;
pub(crate) mod execute;
mod frame;
mod helper;
mod nat;
mod nsh;
mod resize;
mod set;
#[cfg(test)]
mod tests;

use crate::conntrack::Helper;
pub use crate::conntrack::nat::{End, Range};
use crate::conntrack::timeout::NAME_MAX;
use crate::key::{Be16, Be32, Mac, TunnelKey};
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Result, Shared};

/// How deep action lists may nest: this many in the outermost one.
pub const MAX_DEPTH: usize = 16;

/// The actions of a flow.
#[derive(Debug, Default)]
pub struct Actions {
    list: Vec<Action>,
    opaque: Vec<u8>,
}

impl Actions {
    /// A list, and the same in the words of whoever asked for it.
    ///
    /// # Errors
    /// `EOVERFLOW` when lists nest deeper than [`MAX_DEPTH`].
    pub fn try_new(list: Vec<Action>, opaque: Vec<u8>) -> Result<Actions> {
        if nests_deeper(&list, MAX_DEPTH + 1) {
            return Err(Errno::EOVERFLOW);
        }
        Ok(Actions { list: fitted(list), opaque: fitted(opaque) })
    }

    /// The compiled list.
    pub fn list(&self) -> &[Action] {
        &self.list
    }

    /// The control plane's own form.
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }
}

/// The same without spare room, as there are many flows; where there is no memory for that, as it is.
fn fitted<T>(mut vec: Vec<T>) -> Vec<T> {
    let mut exact = Vec::new();
    if vec.capacity() == vec.len() || exact.try_reserve_exact(vec.len()).is_err() {
        return vec;
    }
    exact.append(&mut vec);
    exact
}

/// Recursion is bounded by `limit`.
fn nests_deeper(list: &[Action], limit: usize) -> bool {
    let Some(limit) = limit.checked_sub(1) else { return true };
    list.iter().any(|action| match action {
        Action::Sample { actions, .. } | Action::Clone(actions) | Action::DecTtl { actions } => {
            nests_deeper(actions, limit)
        }
        Action::CheckPktLen(check) => {
            nests_deeper(&check.greater, limit) || nests_deeper(&check.less_equal, limit)
        }
        _ => false,
    })
}

/// One step. An action that fails drops the packet.
#[derive(Debug)]
pub enum Action {
    /// Send to a port. A port that is not there eats the packet.
    Output(u32),
    /// Send up.
    Userspace(Box<Userspace>),
    /// Change header fields or metadata.
    Set(Set),
    /// Put a tag outside all others. The CFI bit of `tci` says "there is a tag" and is not sent.
    PushVlan {
        /// 0x8100 or 0x88a8.
        tpid: Be16,
        /// With the CFI bit set.
        tci: Be16,
    },
    /// Take the outermost tag away, if there is one.
    PopVlan,
    /// Let the next OUTPUT or USERSPACE see only so many bytes.
    Trunc(u32),
    /// Look the packet up once more, under this id.
    Recirc(u32),
    /// Compute `dp_hash`.
    Hash {
        /// Over which fields.
        alg: HashAlg,
        /// Mixed into the hash.
        basis: u32,
    },
    /// Run the actions on a copy for this fraction (of `u32::MAX`) of packets.
    Sample {
        /// The fraction.
        probability: u32,
        /// What is done with those.
        actions: Vec<Action>,
    },
    /// Run the actions on a copy.
    Clone(Vec<Action>),
    /// Go on with one of two lists.
    CheckPktLen(Box<CheckPktLen>),
    /// Decrement the IP time to live; a packet whose is used up takes these actions and no more.
    DecTtl {
        /// For an expired packet.
        actions: Vec<Action>,
    },
    /// Put an MPLS label in front of the network header (PUSH_MPLS; ADD_MPLS with the L3 flag).
    PushMpls {
        /// The label stack entry.
        lse: Be32,
        /// 0x8847 or 0x8848.
        ethertype: Be16,
        /// In front of the Ethernet header instead (ADD_MPLS without the L3 flag); the result is an L3 packet.
        whole_frame: bool,
    },
    /// Take the outermost label away.
    PopMpls {
        /// What the frame carries then.
        ethertype: Be16,
    },
    /// Put an Ethernet header in front of an L3 packet.
    PushEth {
        /// Destination.
        dst: Mac,
        /// Source.
        src: Mac,
    },
    /// Take the Ethernet header away.
    PopEth,
    /// Put a service header in front of everything; the result is an L3 packet. What follows it says the packet.
    PushNsh(Box<PushNsh>),
    /// Take a service header away from the front of an L3 packet.
    PopNsh,
    /// Go on only if this meter lets the packet pass; a meter that is not there does.
    Meter(u32),
    /// Send a sample to who listens to samples.
    Psample(Box<Psample>),
    /// Track the connection: what is known of it is in the key afterwards.
    Ct(Box<Ct>),
    /// Forget that the packet was tracked.
    CtClear,
    /// Drop, for a reason that counters may tell apart.
    Drop(u32),
    /// What no packet survives, and Linux takes all the same: SET of a field that nothing sets.
    Fail,
}

/// A sample to take.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Psample {
    /// The group it is for.
    pub group: u32,
    /// What goes with it.
    pub cookie: Vec<u8>,
}

/// A service header to put in front.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PushNsh {
    /// The O bit and the unassigned one beside it.
    pub flags: u8,
    /// Time to live, 6 bits.
    pub ttl: u8,
    /// Type of the metadata.
    pub mdtype: u8,
    /// Service path and index.
    pub path_hdr: Be32,
    /// The metadata, in whole words.
    pub metadata: Vec<u8>,
}

/// How a connection is tracked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ct {
    /// Where.
    pub zone: u16,
    /// Whether the connection is to be remembered.
    pub commit: bool,
    /// Whether it is to begin anew if this packet is a reply.
    pub force: bool,
    /// Its new mark.
    pub mark: Option<Masked<u32>>,
    /// Its new labels.
    pub labels: Option<Masked<[u8; 16]>>,
    /// Whether its addresses are translated.
    pub nat: Option<Nat>,
    /// What is looked for in its packets.
    pub helper: Option<Helper>,
    /// Which events it tells of ([`event::bits`](crate::conntrack::event::bits)).
    pub event_mask: Option<u32>,
    /// The name of the policy that says how long it lasts, up to a zero.
    pub timeout: Option<[u8; NAME_MAX]>,
}

/// Translation of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Nat {
    /// How, for a connection that is new; others are translated as they began.
    pub new: Option<(End, Range)>,
}

/// Where and with what a packet is sent up.
#[derive(Debug, Default)]
pub struct Userspace {
    /// The receiver.
    pub portid: u32,
    /// A cookie to go with the packet.
    pub userdata: Option<Vec<u8>>,
    /// A tunnel port whose output header is asked for.
    pub egress_tun_port: Option<u32>,
    /// If the list that this stands in goes with the packet: where in [`Actions::opaque`] that is.
    pub actions: Option<core::ops::Range<u32>>,
}

/// Two lists and the length that decides.
#[derive(Debug, Default)]
pub struct CheckPktLen {
    /// The largest length that takes `less_equal`.
    pub len: u16,
    /// For longer packets.
    pub greater: Vec<Action>,
    /// For the others.
    pub less_equal: Vec<Action>,
}

/// Hash algorithms of the HASH action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashAlg {
    /// Over addresses and ports.
    L4,
    /// The same for both directions.
    SymL4,
}

/// New field values, and which of their bits are meant. Bits outside the mask are zero in the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Masked<T> {
    /// The new bits.
    pub value: T,
    /// Where they go.
    pub mask: T,
}

/// A header's changeable fields.
#[derive(Debug)]
pub enum Set {
    /// Metadata.
    Priority(Masked<u32>),
    /// Metadata.
    SkbMark(Masked<u32>),
    /// Ethernet addresses.
    Ethernet(Masked<EthernetFields>),
    /// IPv4; protocol and fragment type cannot be changed.
    Ipv4(Masked<Ipv4Fields>),
    /// IPv6; protocol and fragment type cannot be changed.
    Ipv6(Box<Masked<Ipv6Fields>>),
    /// TCP ports.
    Tcp(Masked<PortFields>),
    /// UDP ports.
    Udp(Masked<PortFields>),
    /// SCTP ports.
    Sctp(Masked<PortFields>),
    /// The outermost MPLS label stack entry.
    Mpls(Masked<Be32>),
    /// What a tunnel port wraps the packet in.
    Tunnel(Shared<TunnelKey>),
}

/// As struct ovs_key_ethernet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EthernetFields {
    /// Source.
    pub src: Mac,
    /// Destination.
    pub dst: Mac,
}

/// The changeable part of struct ovs_key_ipv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ipv4Fields {
    /// Source.
    pub src: [u8; 4],
    /// Destination.
    pub dst: [u8; 4],
    /// Type of service.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
}

/// The changeable part of struct ovs_key_ipv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ipv6Fields {
    /// Source.
    pub src: [u8; 16],
    /// Destination.
    pub dst: [u8; 16],
    /// Flow label, 20 bits.
    pub label: Be32,
    /// Traffic class.
    pub tclass: u8,
    /// Hop limit.
    pub hlimit: u8,
}

/// As struct ovs_key_tcp, ovs_key_udp, ovs_key_sctp.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortFields {
    /// Source.
    pub src: Be16,
    /// Destination.
    pub dst: Be16,
}
