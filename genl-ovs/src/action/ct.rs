//! CT: { COMMIT, ZONE 5, MARK 1/1, NAT: { SRC, IP_MIN 10.0.0.1, PROTO_MIN 1000, PROTO_MAX 2000 } }
//!
//! Linux takes it apart and puts it together again for a dump: with the zone, which may have been left out, and without
//! what says nothing.

use super::dump::Dump;
use super::{ETH_IPV4, ETH_IPV6, INVALID, Shape, ensure, read};
use crate::key::fits;
use pfnl_datapath::action::{Action, Ct, End, Masked, Nat, Range};
use pfnl_datapath::conntrack::Helper;
use pfnl_datapath::conntrack::timeout::NAME_MAX;
use pfnl_platform::try_box;
use pfnl_proto::ovs::{CtAction, action, ct, nat};
use pfnl_proto::{Attr, Attrs, Errno, Error};

/// What the attributes say, in their order: what repeats counts as it stands last, and NAT wants to know what came before it.
#[derive(Default)]
struct Parsed<'a> {
    made: Ct,
    nat: Option<Translation>,
    helper: Option<&'a [u8]>,
    eventmask: Option<u32>,
    timeout: Option<&'a [u8]>,
}

/// `flow` is what the packets are when they come, `ip_proto` their protocol (0: not known).
#[inline(never)]
pub(super) fn compile(flow: Shape, ip_proto: u16, attr: &Attr<'_>, dump: &mut Dump) -> Result<Action, Error> {
    ensure(matches!(flow.eth_type, ETH_IPV4 | ETH_IPV6))?;
    let Parsed { mut made, nat, helper, eventmask, timeout } = parse(flow.eth_type, attr.attrs())?;
    ensure(made.commit || made.mark.is_none() && made.labels.is_none())?;

    dump.open(action::CT)?;
    if made.commit {
        dump.attr(if made.force { ct::FORCE_COMMIT } else { ct::COMMIT }, &[])?;
    }
    dump.attr(ct::ZONE, &made.zone.to_ne_bytes())?;
    if let Some(Masked { value, mask }) = &made.mark {
        dump.attr(ct::MARK, [value.to_ne_bytes(), mask.to_ne_bytes()].as_flattened())?;
    }
    if let Some(Masked { value, mask }) = &made.labels {
        dump.attr(ct::LABELS, [*value, *mask].as_flattened())?;
    }
    if let Some(name) = helper {
        // One for another protocol is as good as none.
        let found = Helper::by_name(name).filter(|helper| u16::from(helper.proto()) == ip_proto);
        let helper = found.ok_or(INVALID)?;
        made.helper = Some(helper);
        dump.text(ct::HELPER, name)?;
    }
    if let Some(mask) = eventmask {
        dump.attr(ct::EVENTMASK, &mask.to_ne_bytes())?;
    }
    // A policy that does not exist is not used, and no error.
    made.event_mask = eventmask;
    if let Some(name) = timeout.filter(|name| !name.is_empty()) {
        let mut own = [0; NAME_MAX];
        write_name(&mut own, name);
        made.timeout = Some(own);
        dump.text(ct::TIMEOUT, name)?;
    }
    if let Some(nat) = nat {
        made.nat = Some(nat.finish(flow.eth_type, dump)?);
    }
    dump.close()?;
    Ok(Action::Ct(try_box(made)?))
}

fn parse<'a>(eth_type: u16, attrs: Attrs<'a>) -> Result<Parsed<'a>, Error> {
    let mut parsed = Parsed::default();
    let made = &mut parsed.made;
    let mut rest = attrs;
    for attr in rest.by_ref() {
        ensure(fits(&attr, &ct::TABLE))?;
        match attr.number() {
            ct::COMMIT => made.commit = true,
            ct::FORCE_COMMIT => (made.commit, made.force) = (true, true),
            ct::ZONE => made.zone = attr.u16().ok_or(INVALID)?,
            ct::MARK => {
                let CtAction { value, mask } = read(&attr)?;
                ensure(mask != 0)?;
                made.mark = Some(Masked { value, mask });
            }
            ct::LABELS => {
                let labels = split(read(&attr)?)?;
                ensure(labels.mask != [0; 16])?;
                made.labels = Some(labels);
            }
            ct::HELPER => parsed.helper = Some(text(&attr)?),
            ct::EVENTMASK => parsed.eventmask = Some(attr.u32().ok_or(INVALID)?),
            ct::TIMEOUT => parsed.timeout = Some(text(&attr)?),
            ct::NAT => {
                let nat = parsed.nat.get_or_insert_default();
                nat.parse(eth_type, made.commit, attr.attrs())?;
            }
            _ => return Err(INVALID),
        }
    }
    ensure(rest.leftover() == 0)?;
    Ok(parsed)
}

/// Writes a name into a place of zeroes.
fn write_name(place: &mut [u8], name: &[u8]) {
    place.iter_mut().zip(name).for_each(|(to, &from)| *to = from);
}

/// A name, which must end.
fn text<'a>(attr: &Attr<'a>) -> Result<&'a [u8], Error> {
    ensure(attr.payload().contains(&0))?;
    Ok(attr.string())
}

fn split(both: [u8; 32]) -> Result<Masked<[u8; 16]>, Error> {
    let (value, mask) = both.split_first_chunk().ok_or(INVALID)?;
    Ok(Masked { value: *value, mask: *mask.first_chunk().ok_or(INVALID)? })
}

/// NAT: { SRC, IP_MIN 10.0.0.1, IP_MAX 10.0.0.9, PROTO_MIN 1000, PROTO_MAX 2000, PERSISTENT }
///
/// A second NAT goes on where the first one ended.
#[derive(Default)]
struct Translation {
    end: Option<End>,
    /// NAT was there once, and did not say which end.
    plain: bool,
    ip_min: Option<[u8; 16]>,
    ip_max: Option<[u8; 16]>,
    proto_min: Option<u16>,
    proto_max: Option<u16>,
    persistent: bool,
    hash: bool,
    random: bool,
}

impl Translation {
    fn parse(&mut self, eth_type: u16, commit: bool, attrs: Attrs<'_>) -> Result<(), Error> {
        let mut rest = attrs;
        for attr in rest.by_ref() {
            ensure(fits(&attr, &nat::TABLE))?;
            match attr.number() {
                nat::SRC => self.which(End::Src)?,
                nat::DST => self.which(End::Dst)?,
                nat::IP_MIN => self.ip_min = Some(address(eth_type, &attr)?),
                nat::IP_MAX => self.ip_max = Some(address(eth_type, &attr)?),
                nat::PROTO_MIN => self.proto_min = Some(attr.u16().ok_or(INVALID)?),
                nat::PROTO_MAX => self.proto_max = Some(attr.u16().ok_or(INVALID)?),
                nat::PERSISTENT => self.persistent = true,
                nat::PROTO_HASH => self.hash = true,
                nat::PROTO_RANDOM => self.random = true,
                _ => return Err(INVALID),
            }
        }
        ensure(rest.leftover() == 0)?;
        if self.end.is_some() || self.plain {
            // Only a connection that is to be remembered can be translated in some way of its own.
            return ensure(commit);
        }
        self.plain = true;
        // Without an end there is nothing that the rest could be of.
        ensure(self.says_nothing())
    }

    /// Which end is translated is said once.
    fn which(&mut self, end: End) -> Result<(), Error> {
        if self.end.is_some() || self.plain {
            return Err(Errno::ERANGE.into());
        }
        self.end = Some(end);
        Ok(())
    }

    fn says_nothing(&self) -> bool {
        let addresses = self.ip_min.is_none() && self.ip_max.is_none();
        let ports = self.proto_min.is_none() && self.proto_max.is_none();
        addresses && ports && !self.persistent && !self.hash && !self.random
    }

    /// What this comes to; a dump shows a range's end only where it is not its beginning.
    fn finish(self, eth_type: u16, dump: &mut Dump) -> Result<Nat, Error> {
        dump.open(ct::NAT)?;
        let Some(end) = self.end else {
            dump.close()?;
            return Ok(Nat { new: None });
        };
        // An end without a beginning begins at zero.
        let range = Range {
            addresses: bounds(self.ip_min, self.ip_max),
            ports: bounds(self.proto_min, self.proto_max),
            persistent: self.persistent,
            hash: self.hash,
            random: self.random,
        };
        dump.attr(if end == End::Src { nat::SRC } else { nat::DST }, &[])?;
        if let Some((min, max)) = range.addresses {
            let len = address_len(eth_type);
            dump.attr(nat::IP_MIN, min.get(..len).unwrap_or(&min))?;
            if min != max {
                dump.attr(nat::IP_MAX, max.get(..len).unwrap_or(&max))?;
            }
        }
        if let Some((min, max)) = range.ports {
            dump.attr(nat::PROTO_MIN, &min.to_ne_bytes())?;
            if min != max {
                dump.attr(nat::PROTO_MAX, &max.to_ne_bytes())?;
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
}

fn bounds<T: Copy + Default>(min: Option<T>, max: Option<T>) -> Option<(T, T)> {
    let min = min.or(max.map(|_| T::default()))?;
    Some((min, max.unwrap_or(min)))
}

fn address_len(eth_type: u16) -> usize {
    if eth_type == ETH_IPV4 { 4 } else { 16 }
}

/// An address of the flow's own family. An IPv4 address stands in the first four bytes.
fn address(eth_type: u16, attr: &Attr<'_>) -> Result<[u8; 16], Error> {
    ensure(attr.payload().len() == address_len(eth_type))?;
    let mut address = [0; 16];
    address.get_mut(..attr.payload().len()).ok_or(INVALID)?.copy_from_slice(attr.payload());
    Ok(address)
}
