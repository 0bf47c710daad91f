//! `OVS_FLOW_ATTR_ACTIONS` and `OVS_PACKET_ATTR_ACTIONS`, made into what the datapath runs.
//!
//! ```text
//!                          ┌─► Vec<Action>       what the datapath executes
//! attributes ─► compile() ─┤
//!                          └─► Actions::opaque() the attributes as Linux gives them back in a dump
//! ```
//!
//! A list is checked against its flow's key and against what its own earlier actions did to the packet ([`Shape`]): an
//! IPv4 address is set only where an IPv4 header is. Numbers and layouts are those of enum ovs_action_attr
//! (linux/openvswitch.h); which list Linux 6.12 accepts, and what a dump shows then, stands in `golden.txt`,
//! as recorded. Like Linux, this says no more than EINVAL about a list that is wrong; about one that is right
//! but can't be executed here it says why.

mod ct;
mod dump;
mod list;
mod nsh;
mod set;
#[cfg(test)]
mod tests;

use pfnl_datapath::FlowKey;
use pfnl_datapath::action::{Action, Actions, HashAlg, Psample, Userspace};
use pfnl_datapath::key::{Be16, Be32, MAC_ETHERNET, MAC_NONE};
use pfnl_platform::{try_box, try_to_vec};
use pfnl_proto::ovs::{HashAction, PushEth, PushMpls, PushVlan, action, psample, userspace};
use pfnl_proto::{Attr, Attrs, Errno, Error, Fixed, Level};

/// A port number that no port can have, and all above (`DP_MAX_PORTS`).
const MAX_PORTS: u32 = 65535;
/// What a truncated packet must keep: an Ethernet header.
const MIN_TRUNC: u32 = 14;

/// The bit of a TCI that says there is a tag.
const TAG_PRESENT: u16 = 0x1000;
/// ADD_MPLS: the label goes behind the Ethernet header (`OVS_MPLS_L3_TUNNEL_FLAG_MASK`).
const ADD_MPLS_L3: u16 = 1;

const ETH_IPV4: u16 = 0x0800;
const ETH_ARP: u16 = 0x0806;
const ETH_MPLS: u16 = 0x8847;
const ETH_TEB: u16 = 0x6558;
const ETH_RARP: u16 = 0x8035;
const ETH_IPV6: u16 = 0x86dd;
const ETH_NSH: u16 = 0x894f;

const INVALID: Error = Error::new(Errno::EINVAL);

/// Validates the actions of a flow, or of a packet (then there is no mask), and compiles them.
///
/// # Errors
/// `EINVAL`; `ERANGE` for a number that is too short; `EOVERFLOW` when lists nest deeper than [`MAX_DEPTH`](pfnl_datapath::action::MAX_DEPTH);
/// `EMSGSIZE` when they are too long to be given back; `EOPNOTSUPP`, with text and place, for what Linux executes and
/// the datapath does not; `ENOMEM`.
pub(crate) fn compile(actions: Attrs<'_>, key: &FlowKey, mask: Option<&FlowKey>) -> Result<Actions, Error> {
    list::Lists::new(Flow::new(key, mask), actions).compile()
}

/// What all packets of a flow are when they come: the part of its masked key that actions depend on.
struct Flow {
    shape: Shape,
    ip_proto: u16,
    ip_frag: u16,
    nsh_np: u16,
}

/// What a packet is at some place in the list.
#[derive(Clone, Copy)]
struct Shape {
    /// 0 when it isn't known.
    eth_type: u16,
    mac_proto: u8,
    /// Whether it has a VLAN tag, as far as known.
    tagged: bool,
    /// How many MPLS labels it has, as far as known.
    labels: u32,
}

impl Shape {
    /// Labels go in front of these. Behind a tag they don't: their order would not be known.
    fn takes_label(self) -> bool {
        let ether = matches!(self.eth_type, ETH_IPV4 | ETH_IPV6 | ETH_ARP | ETH_RARP);
        !self.tagged && (ether || is_mpls(self.eth_type))
    }
}

impl Flow {
    fn new(key: &FlowKey, mask: Option<&FlowKey>) -> Flow {
        let masked = |field: fn(&FlowKey) -> u16| field(key) & mask.map_or(u16::MAX, field);
        let eth_type = masked(|key| key.eth_type.get());
        let labels = masked(|key| key.mpls_labels.into()).count_ones();
        Flow {
            shape: Shape {
                eth_type,
                mac_proto: key.mac_proto,
                tagged: masked(|key| key.vlan.tci.get()) & TAG_PRESENT != 0,
                labels: if is_mpls(eth_type) { labels } else { 0 },
            },
            ip_proto: masked(|key| key.ip_proto.into()),
            ip_frag: masked(|key| key.ip_frag.into()),
            nsh_np: masked(|key| key.nsh.np.into()),
        }
    }

    /// An action that is given back as it came.
    #[inline(never)]
    fn plain(&self, shape: &mut Shape, attr: &Attr<'_>, is_last: bool) -> Result<Action, Error> {
        let action = match attr.number() {
            action::OUTPUT => {
                let port: u32 = read(attr)?;
                ensure(port < MAX_PORTS)?;
                Action::Output(port)
            }
            action::USERSPACE => userspace(attr)?,
            action::RECIRC => Action::Recirc(read(attr)?),
            action::HASH => {
                let HashAction { algorithm, basis } = read(attr)?;
                let alg = match algorithm {
                    0 => HashAlg::L4,
                    1 => HashAlg::SymL4,
                    _ => return Err(INVALID),
                };
                Action::Hash { alg, basis }
            }
            action::TRUNC => {
                let len: u32 = read(attr)?;
                ensure(len >= MIN_TRUNC)?;
                Action::Trunc(len)
            }
            action::DROP => {
                ensure(is_last)?;
                Action::Drop(read(attr)?)
            }
            // A meter need not exist (yet): a packet passes one that does not.
            action::METER => Action::Meter(read(attr)?),
            action::CT_CLEAR => Action::CtClear,
            action::PUSH_NSH => nsh::push(shape, attr)?,
            action::POP_NSH => nsh::pop(shape, self.nsh_np)?,
            action::PSAMPLE => psample(attr)?,
            _ => return header(shape, attr),
        };
        Ok(action)
    }
}

/// USERSPACE: { PID 7, USERDATA 01020304 }
fn userspace(attr: &Attr<'_>) -> Result<Action, Error> {
    let to = userspace::View::parse(attr.attrs(), Level::Liberal).map_err(mute)?;
    let portid = to.pid().filter(|&portid| portid != 0).ok_or(INVALID)?;
    Ok(Action::Userspace(try_box(Userspace {
        portid,
        userdata: to.userdata().map(try_to_vec).transpose()?,
        egress_tun_port: to.egress_tun_port(),
        // The range is known when the list is whole.
        actions: to.actions().then_some(0..0),
    })?))
}

/// PSAMPLE: { GROUP 7, COOKIE 0102 }; unlike the others, strictly read.
fn psample(attr: &Attr<'_>) -> Result<Action, Error> {
    ensure(attr.is_nested())?;
    let sample = psample::View::parse(attr.attrs(), Level::Strict).map_err(mute)?;
    let group = sample.group().ok_or(INVALID)?;
    let cookie = try_to_vec(sample.cookie().unwrap_or_default())?;
    Ok(Action::Psample(try_box(Psample { group, cookie })?))
}

/// Headers that come and go, and what is known of the packet then.
fn header(shape: &mut Shape, attr: &Attr<'_>) -> Result<Action, Error> {
    let ethernet = shape.mac_proto == MAC_ETHERNET;
    match attr.number() {
        action::PUSH_VLAN => {
            let PushVlan { tpid, tci } = read(attr)?;
            let (tpid, tci) = (Be16::from_bytes(tpid), Be16::from_bytes(tci));
            ensure(ethernet && matches!(tpid.get(), 0x8100 | 0x88a8) && tci.get() & TAG_PRESENT != 0)?;
            shape.tagged = true;
            Ok(Action::PushVlan { tpid, tci })
        }
        action::POP_VLAN => {
            ensure(ethernet)?;
            shape.tagged = false;
            Ok(Action::PopVlan)
        }
        action::PUSH_MPLS => {
            let PushMpls { lse, ethertype, .. } = read(attr)?;
            push_label(shape, lse, ethertype, false)
        }
        action::ADD_MPLS => {
            let PushMpls { lse, ethertype, pad: flags } = read(attr)?;
            push_label(shape, lse, ethertype, flags & ADD_MPLS_L3 == 0)
        }
        action::POP_MPLS => {
            let ethertype = Be16::from_bytes(read(attr)?);
            ensure(!shape.tagged && is_mpls(shape.eth_type))?;
            ensure(ethertype.get() != ETH_TEB || shape.mac_proto == MAC_NONE)?;
            // Linux counts below 0 too, where a flow did not match on its labels.
            shape.labels = shape.labels.wrapping_sub(1);
            // Behind the last label could be anything, and behind another only a label: nothing may rely on what the
            // sender says it is.
            let is_label = shape.labels != 0 && is_mpls(ethertype.get());
            shape.eth_type = if is_label { ethertype.get() } else { 0 };
            Ok(Action::PopMpls { ethertype })
        }
        action::PUSH_ETH => {
            let PushEth { src, dst } = read(attr)?;
            ensure(shape.mac_proto == MAC_NONE)?;
            shape.mac_proto = MAC_ETHERNET;
            Ok(Action::PushEth { dst, src })
        }
        action::POP_ETH => {
            ensure(ethernet && !shape.tagged)?;
            shape.mac_proto = MAC_NONE;
            Ok(Action::PopEth)
        }
        _ => Err(INVALID),
    }
}

/// A label in front of the network header, or of the whole frame.
fn push_label(
    shape: &mut Shape,
    lse: [u8; 4],
    ethertype: [u8; 2],
    whole_frame: bool,
) -> Result<Action, Error> {
    let ethertype = Be16::from_bytes(ethertype);
    ensure(is_mpls(ethertype.get()))?;
    ensure(whole_frame || shape.takes_label())?;
    if whole_frame && shape.mac_proto == MAC_ETHERNET {
        // What was a frame is an L3 packet now.
        (shape.mac_proto, shape.labels) = (MAC_NONE, 1);
    } else {
        shape.labels = shape.labels.wrapping_add(1);
    }
    shape.eth_type = ethertype.get();
    Ok(Action::PushMpls { lse: Be32::from_bytes(lse), ethertype, whole_frame })
}

fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, 0x8847 | 0x8848)
}

fn read<T: Fixed>(attr: &Attr<'_>) -> Result<T, Error> {
    T::read(attr.payload()).ok_or(INVALID)
}

fn ensure(holds: bool) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(INVALID) }
}

/// An error with nothing but its number, as Linux gives for all that is wrong inside an action.
fn mute(error: Error) -> Error {
    Error::new(error.errno)
}
