//! Flow keys and masks from attributes, and back.
//!
//! ```text
//!  OVS_FLOW_ATTR_KEY ──► Fields ──► vlan::peel ──► parse ──► FlowKey ─┐
//!                        one pass   two levels     values             ├─► rules ──► Match
//!  OVS_FLOW_ATTR_MASK ─► Fields ──► vlan::peel ──► parse ──► FlowKey ─┘   what must be there,
//!    (or all ones)                                                        what may be masked
//!  OVS_*_ATTR_KEY, _MASK ◄── put ◄── FlowKey
//! ```
//!
//! A key that was parsed equals, bit for bit, the key that [`pfnl_datapath::extract`] makes of a packet it describes.
//! Numbers and layouts are those of enum ovs_key_attr (linux/openvswitch.h). Which keys Linux 6.12 accepts, and how it
//! dumps them, stands in `golden.txt`, as recorded. Like Linux, this says no more than EINVAL.

mod fields;
mod nsh;
mod ones;
mod parse;
mod put;
mod rules;
#[cfg(test)]
mod tests;
pub(crate) mod tunnel;
mod vlan;

pub(crate) use fields::fits;
pub(crate) use put::{put_key, put_mask};

use alloc::boxed::Box;
use fields::{Fields, Form};
use pfnl_datapath::FlowKey;
use pfnl_datapath::key::{MAC_ETHERNET, WORDS};
use pfnl_proto::ovs::key;
use pfnl_proto::{Attrs, Errno, Error};
use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

/// All that is said of a key that is wrong.
const INVALID: Error = Error::new(Errno::EINVAL);

const ETH_IPV4: u16 = 0x0800;
const ETH_ARP: u16 = 0x0806;
const ETH_RARP: u16 = 0x8035;
const ETH_VLAN: u16 = 0x8100;
const ETH_IPV6: u16 = 0x86dd;
const ETH_MPLS: u16 = 0x8847;
const ETH_MPLS_MC: u16 = 0x8848;
const ETH_QINQ: u16 = 0x88a8;
const ETH_NSH: u16 = 0x894f;
/// Smaller numbers are no Ethernet types.
const ETH_802_3_MIN: u16 = 0x0600;

const IP_ICMP: u8 = 1;
const IP_TCP: u8 = 6;
const IP_UDP: u8 = 17;
const IP_ICMPV6: u8 = 58;
const IP_SCTP: u8 = 132;

const ND_SOLICITATION: u16 = 135;
const ND_ADVERTISEMENT: u16 = 136;

/// What a flow matches. Boxed, since two keys are too much for a kernel stack.
#[derive(Debug, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Match {
    /// The key, unmasked, as user space gave it.
    pub key: FlowKey,
    /// Which of its bits count.
    pub mask: FlowKey,
}

impl Match {
    /// A match of zeroes, for where only a UFID counts.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn try_zero() -> Result<Box<Match>, Error> {
        Ok(Match::new_box_zeroed().map_err(|_| Errno::ENOMEM)?)
    }
}

/// A new flow's key and mask. Without a mask, all that the key has counts.
///
/// # Errors
/// `EINVAL`, `ENOMEM`.
pub(crate) fn parse_match(key: Attrs<'_>, mask: Option<Attrs<'_>>) -> Result<Box<Match>, Error> {
    let mut parsed = Match::try_zero()?;
    let Match { key: out, mask: out_mask } = &mut *parsed;
    let present = key_fields(key, out)?;

    let ones;
    let mask = match mask {
        Some(mask) => mask,
        None => {
            ones = ones::of(key)?;
            // A tunnel's attributes that are zero may be left out; they count all the same.
            if out.tunnel.ip_version != 0 {
                tunnel::all_ones(&mut out_mask.tunnel);
            }
            Attrs::new(&ones, key.base())
        }
    };
    let masked = fields(mask, Form::Mask(out), out_mask)?;
    rules::check(present, out, Some((masked, out_mask)))?;
    Ok(parsed)
}

/// A key that names a flow without UFID.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn parse_key(key: Attrs<'_>, out: &mut FlowKey) -> Result<(), Error> {
    let present = key_fields(key, out)?;
    rules::check(present, out, None)
}

/// What a packet to be executed brings along: everything but what is in its own bytes, which is ignored here. For an L3
/// packet the Ethernet type is part of it.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn parse_metadata(key: Attrs<'_>, out: &mut FlowKey) -> Result<(), Error> {
    *out.words_mut() = [0; WORDS];
    let mut fields = Fields::new(key);
    fields.read(key, Form::Key)?;
    parse::metadata(&fields, Form::Key, out)
}

/// Whether the connection tracking tuple of a packet, if [`parse_metadata`] found any, fits what
/// [`pfnl_datapath::extract`] then found.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn check_tuple(mut key: Attrs<'_>, extracted: &FlowKey) -> Result<(), Error> {
    let ethertype = extracted.eth_type.get();
    let fits = key.all(|attr| match attr.number() {
        key::CT_ORIG_TUPLE_IPV4 => ethertype == ETH_IPV4,
        key::CT_ORIG_TUPLE_IPV6 => ethertype == ETH_IPV6 && !is_nd(extracted),
        _ => true,
    });
    if fits { Ok(()) } else { Err(INVALID) }
}

/// Reads a key; answers which attributes it had.
fn key_fields(key: Attrs<'_>, out: &mut FlowKey) -> Result<u64, Error> {
    *out.words_mut() = [0; WORDS];
    let present = fields(key, Form::Key, out)?;
    if out.mac_proto == MAC_ETHERNET && present & fields::bit(key::ETHERNET) == 0 {
        return Err(INVALID);
    }
    Ok(present)
}

/// Reads a key or a mask onto `out`; answers which attributes it had, inside the VLAN tags if there are any.
fn fields(attrs: Attrs<'_>, form: Form<'_>, out: &mut FlowKey) -> Result<u64, Error> {
    let mut fields = Fields::new(attrs);
    fields.read(attrs, form)?;
    vlan::peel(&mut fields, form, out)?;
    parse::metadata(&fields, form, out)?;
    parse::packet(&fields, form, out)?;
    Ok(fields.present())
}

const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETH_VLAN | ETH_QINQ)
}

const fn is_mpls(ethertype: u16) -> bool {
    matches!(ethertype, ETH_MPLS | ETH_MPLS_MC)
}

/// Whether a key is of a neighbour solicitation or advertisement; its code does not matter.
fn is_nd(key: &FlowKey) -> bool {
    key.eth_type.get() == ETH_IPV6
        && key.ip_proto == IP_ICMPV6
        && matches!(key.tp_src.get(), ND_SOLICITATION | ND_ADVERTISEMENT)
}
