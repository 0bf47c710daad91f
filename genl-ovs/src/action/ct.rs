//! CT: { COMMIT, ZONE 5, MARK 1/1, NAT: { SRC, IP_MIN 10.0.0.1, PROTO_MIN 1000, PROTO_MAX 2000 } }
//!
//! Linux takes it apart and puts it together again for a dump: with the zone, which may have been left out, and without
//! what says nothing.

use super::dump::Dump;
use super::{ETH_IPV4, ETH_IPV6, INVALID, Shape, ensure, mute};
use pfnl_datapath::action::{Action, Ct, End, Masked, Nat, Range};
use pfnl_platform::try_box;
use pfnl_proto::ovs::{CtAction, action, ct, nat};
use pfnl_proto::{Attr, Attrs, Errno, Error, Level};

/// Helpers that Linux has.
const HELPERS: &[&[u8]] = &[
    b"ftp",
    b"tftp",
    b"sip",
    b"irc",
    b"amanda",
    b"RAS",
    b"Q.931",
    b"H.245",
    b"pptp",
    b"snmp",
    b"netbios-ns",
    b"sane",
];

/// `flow` is what the packets are when they come.
#[inline(never)]
pub(super) fn compile(flow: Shape, attr: &Attr<'_>, dump: &mut Dump) -> Result<Action, Error> {
    ensure(matches!(flow.eth_type, ETH_IPV4 | ETH_IPV6))?;
    let view = ct::View::parse(attr.attrs(), Level::Exact).map_err(mute)?;
    let mark = view.mark().map(|CtAction { value, mask }| Masked { value, mask });
    let labels = view.labels().map(split).transpose()?;
    ensure(mark.is_none_or(|mark| mark.mask != 0))?;
    ensure(labels.is_none_or(|labels| labels.mask != [0; 16]))?;
    let commit = view.commit() || view.force_commit();
    ensure(commit || mark.is_none() && labels.is_none())?;
    let helper = text(attr, ct::HELPER)?;
    let timeout = text(attr, ct::TIMEOUT)?;
    let mut made =
        Ct { zone: view.zone().unwrap_or(0), commit, force: view.force_commit(), mark, labels, nat: None };

    dump.open(action::CT)?;
    if commit {
        dump.attr(if made.force { ct::FORCE_COMMIT } else { ct::COMMIT }, &[])?;
    }
    dump.attr(ct::ZONE, &made.zone.to_ne_bytes())?;
    for number in [ct::MARK, ct::LABELS] {
        again(attr, number, dump)?;
    }
    if let Some(name) = helper {
        ensure(HELPERS.contains(&name))?;
        return Err(Error::new(Errno::EOPNOTSUPP)
            .text("connection tracking helpers (CT with HELPER) are not supported")
            .at(attr.offset()));
    }
    again(attr, ct::EVENTMASK, dump)?;
    // A policy that does not exist is not used, and no error: none exist here.
    if timeout.is_some() {
        again(attr, ct::TIMEOUT, dump)?;
    }
    if let Some(attrs) = view.nat() {
        made.nat = Some(translation(flow.eth_type, attrs, dump)?);
    }
    dump.close()?;
    Ok(Action::Ct(try_box(made)?))
}

/// Gives an attribute back as it came.
fn again(attr: &Attr<'_>, number: u16, dump: &mut Dump) -> Result<(), Error> {
    match attr.attrs().find(|attr| attr.number() == number) {
        Some(attr) => Ok(dump.attr(number, attr.payload())?),
        None => Ok(()),
    }
}

/// A name, which must end.
fn text<'a>(attr: &Attr<'a>, number: u16) -> Result<Option<&'a [u8]>, Error> {
    let Some(attr) = attr.attrs().find(|attr| attr.number() == number) else { return Ok(None) };
    ensure(attr.payload().contains(&0))?;
    Ok(Some(attr.string()))
}

fn split(both: [u8; 32]) -> Result<Masked<[u8; 16]>, Error> {
    let (value, mask) = both.split_first_chunk().ok_or(INVALID)?;
    Ok(Masked { value: *value, mask: *mask.first_chunk().ok_or(INVALID)? })
}

/// NAT: { SRC, IP_MIN 10.0.0.1, IP_MAX 10.0.0.9, PROTO_MIN 1000, PROTO_MAX 2000, PERSISTENT }
fn translation(eth_type: u16, attrs: Attrs<'_>, dump: &mut Dump) -> Result<Nat, Error> {
    let view = nat::View::parse(attrs, Level::Exact).map_err(mute)?;
    ensure(!(view.src() && view.dst()))?;
    let (min, max) = (address(view.ip_min())?, address(view.ip_max())?);
    let (low, high) = (view.proto_min(), view.proto_max());
    let range = Range {
        addresses: min.map(|min| (min, max.unwrap_or(min))),
        ports: low.map(|low| (low, high.unwrap_or(low))),
        persistent: view.persistent(),
        hash: view.proto_hash(),
        random: view.proto_random(),
    };
    let end = match (view.src(), view.dst()) {
        (true, _) => End::Src,
        (_, true) => End::Dst,
        _ => {
            // Nothing says which end this would be for.
            ensure(range == Range::default() && max.is_none() && high.is_none())?;
            dump.open(ct::NAT)?;
            dump.close()?;
            return Ok(Nat { new: None });
        }
    };

    dump.open(ct::NAT)?;
    dump.attr(if end == End::Src { nat::SRC } else { nat::DST }, &[])?;
    if let Some((min, max)) = range.addresses {
        let len = if eth_type == ETH_IPV4 { 4 } else { 16 };
        dump.attr(nat::IP_MIN, min.get(..len).unwrap_or(&min))?;
        if min != max {
            dump.attr(nat::IP_MAX, max.get(..len).unwrap_or(&max))?;
        }
    }
    if let Some((low, high)) = range.ports {
        dump.attr(nat::PROTO_MIN, &low.to_ne_bytes())?;
        if low != high {
            dump.attr(nat::PROTO_MAX, &high.to_ne_bytes())?;
        }
    }
    let flags = [
        (nat::PERSISTENT, range.persistent),
        (nat::PROTO_HASH, range.hash),
        (nat::PROTO_RANDOM, range.random),
    ];
    for (number, _) in flags.iter().filter(|(_, is_set)| *is_set) {
        dump.attr(*number, &[])?;
    }
    dump.close()?;
    Ok(Nat { new: Some((end, range)) })
}

/// An IPv4 address stands in the first four bytes.
fn address(bytes: Option<&[u8]>) -> Result<Option<[u8; 16]>, Error> {
    let Some(bytes) = bytes else { return Ok(None) };
    let mut address = [0; 16];
    ensure(bytes.len() >= 4)?;
    address.get_mut(..bytes.len()).ok_or(INVALID)?.copy_from_slice(bytes);
    Ok(Some(address))
}
