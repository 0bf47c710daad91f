//! Actions that hold other attributes: USERSPACE, and the four that hold lists. Linux takes the latter apart and puts them
//! together again for a dump; so their parts come back in its order, whatever the order they came in.

use super::{Flow, INVALID, Shape, ensure, mute};
use alloc::vec::Vec;
use pfnl_datapath::action::{Action, CheckPktLen, Userspace};
use pfnl_platform::{try_box, try_to_vec};
use pfnl_proto::ovs::{action, check_pkt_len, dec_ttl, sample, userspace};
use pfnl_proto::{Attr, Attrs, Errno, Error, Level, Writer};

/// USERSPACE: { PID 7, USERDATA 01020304 }
pub(super) fn userspace(attr: &Attr<'_>) -> Result<Action, Error> {
    let to = userspace::View::parse(attr.attrs(), Level::Liberal).map_err(mute)?;
    let portid = to.pid().filter(|&portid| portid != 0).ok_or(INVALID)?;
    Ok(Action::Userspace(try_box(Userspace {
        portid,
        userdata: to.userdata().map(try_to_vec).transpose()?,
        egress_tun_port: to.egress_tun_port(),
        actions: to.actions(),
    })?))
}

impl Flow {
    /// SAMPLE, CLONE, CHECK_PKT_LEN or DEC_TTL. What the lists inside do to the packet is done to a copy.
    pub(super) fn nest(
        &self,
        shape: Shape,
        attr: &Attr<'_>,
        out: &mut Writer<'_>,
        depth: usize,
    ) -> Result<Action, Error> {
        // As on Linux, the lists inside know the Ethernet header only as it came, not what was pushed or popped.
        let inside = Inside { flow: self, shape: Shape { mac_proto: self.shape.mac_proto, ..shape }, depth };
        match attr.number() {
            action::SAMPLE => inside.sample(attr.attrs(), out),
            action::CLONE => Ok(Action::Clone(inside.list(action::CLONE, attr.attrs(), out)?)),
            action::CHECK_PKT_LEN => inside.check_pkt_len(attr.attrs(), out),
            _ => inside.dec_ttl(attr.attrs(), out),
        }
    }
}

/// Where a list inside stands.
struct Inside<'a> {
    flow: &'a Flow,
    shape: Shape,
    depth: usize,
}

impl Inside<'_> {
    /// SAMPLE: { PROBABILITY 0x80000000, ACTIONS: { OUTPUT 2 } }
    fn sample(&self, attrs: Attrs<'_>, out: &mut Writer<'_>) -> Result<Action, Error> {
        let sample = sample::View::parse(attrs, Level::Exact)?;
        let (Some(probability), Some(actions)) = (sample.probability(), sample.actions()) else {
            return Err(INVALID);
        };
        let actions = nested(out, action::SAMPLE, |out| {
            out.fixed(sample::PROBABILITY, &probability);
            self.list(sample::ACTIONS, actions, out)
        })?;
        Ok(Action::Sample { probability, actions })
    }

    /// CHECK_PKT_LEN: { PKT_LEN 200, ACTIONS_IF_LESS_EQUAL: { OUTPUT 3 }, ACTIONS_IF_GREATER: { OUTPUT 2 } }
    fn check_pkt_len(&self, attrs: Attrs<'_>, out: &mut Writer<'_>) -> Result<Action, Error> {
        let check = check_pkt_len::View::parse(attrs, Level::Liberal).map_err(mute)?;
        // Integers that are too long pass, as in old commands; nothing else that is odd does.
        let mut every = attrs;
        ensure(every.all(|attr| attr.number() <= check_pkt_len::TABLE.max()))?;
        ensure(check.0.warning().is_none())?;
        let len = check.pkt_len().filter(|&len| len != 0).ok_or(INVALID)?;
        let (Some(greater), Some(less_equal)) = (check.actions_if_greater(), check.actions_if_less_equal())
        else {
            return Err(INVALID);
        };
        let (less_equal, greater) = nested(out, action::CHECK_PKT_LEN, |out| {
            out.fixed(check_pkt_len::PKT_LEN, &len);
            let less_equal = self.list(check_pkt_len::ACTIONS_IF_LESS_EQUAL, less_equal, out)?;
            let greater = self.list(check_pkt_len::ACTIONS_IF_GREATER, greater, out)?;
            Ok((less_equal, greater))
        })?;
        Ok(Action::CheckPktLen(try_box(CheckPktLen { len, greater, less_equal })?))
    }

    /// DEC_TTL: { ACTION: { OUTPUT 1 } }; numbers that are not known yet are left out.
    fn dec_ttl(&self, attrs: Attrs<'_>, out: &mut Writer<'_>) -> Result<Action, Error> {
        let mut found = None;
        let mut rest = attrs;
        for attr in rest.by_ref() {
            match attr.number() {
                dec_ttl::ACTION if found.is_none() => found = Some(attr.attrs()),
                0 | dec_ttl::ACTION => return Err(INVALID),
                _ => {}
            }
        }
        ensure(rest.leftover() == 0)?;
        let actions = found.ok_or(INVALID)?;
        let actions = nested(out, action::DEC_TTL, |out| self.list(dec_ttl::ACTION, actions, out))?;
        Ok(Action::DecTtl { actions })
    }

    /// A list as the nest `number`.
    fn list(&self, number: u16, actions: Attrs<'_>, out: &mut Writer<'_>) -> Result<Vec<Action>, Error> {
        nested(out, number, |out| self.flow.list(self.shape, actions, out, self.depth))
    }
}

/// A nest in the writer, by something that can fail.
fn nested<'b, T>(
    out: &mut Writer<'b>,
    number: u16,
    fill: impl FnOnce(&mut Writer<'b>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut filled = None;
    out.nest(number, |out| filled = Some(fill(out)));
    match filled {
        Some(filled) => filled,
        // The writer had failed before.
        None => Err(out.result().err().unwrap_or(Errno::EMSGSIZE).into()),
    }
}
