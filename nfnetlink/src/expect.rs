//! Subsystem CTNETLINK_EXP: connections that helpers wait for.

use crate::{Request, head, stats, tuple};
use pfnl_datapath::conntrack::helper::Expectation;
use pfnl_datapath::conntrack::{Conntrack, Tuple};
use pfnl_datapath::key::Be16;
use pfnl_platform::{Platform, Shared, try_box};
use pfnl_proto::msg::NLM_F_MULTI;
use pfnl_proto::netfilter::{NFNL_SUBSYS_CTNETLINK_EXP, exp_attr, exp_cmd, exp_nat, kind};
use pfnl_proto::{Errno, Error, Level, Writer};
use pfnl_sock::{Dump, DumpBlock, Handled, Progress};

const NANOSECONDS: u64 = 1_000_000_000;

pub(crate) fn handle<P: Platform>(
    table: &Shared<Conntrack<P>>,
    command: u8,
    request: &mut Request<'_, '_>,
) -> Result<Handled, Error> {
    match command {
        exp_cmd::NEW => Err(Error::new(Errno::EOPNOTSUPP).text("expectations are made by helpers only")),
        exp_cmd::GET if request.is_dump() => {
            let (conntrack, family) = (table.clone(), request.header.family);
            Ok(Handled::Dump(try_box(Expectations { conntrack, family, next: 0 })?))
        }
        exp_cmd::GET => get(table, request),
        exp_cmd::DELETE => delete(table, request),
        exp_cmd::GET_STATS_CPU => stats::of_expectations(table, request),
        _ => Err(Error::new(Errno::EINVAL)),
    }
}

/// `GET { TUPLE or MASTER, [ZONE ID] }`
fn get<P: Platform>(table: &Shared<Conntrack<P>>, request: &mut Request<'_, '_>) -> Result<Handled, Error> {
    let view = exp_attr::View::parse(request.attrs, Level::Liberal)?;
    let (wanted, of_master) = wanted(&view, request.header.family)?.ok_or(Error::new(Errno::EINVAL))?;
    for index in 0.. {
        let Some(found) = table.expectation(index) else { break };
        let fits = if of_master { *found.master.original() == wanted } else { is_for(&found, &wanted) };
        if !fits || view.id().is_some_and(|id| id != found.id) {
            continue;
        }
        request.call.reply(kind(NFNL_SUBSYS_CTNETLINK_EXP, exp_cmd::NEW), NLM_F_MULTI, |w| {
            head(w, tuple::family(&found.tuple), 0);
            put(w, &found);
        })?;
        return Ok(Handled::Done);
    }
    Err(Error::new(Errno::ENOENT))
}

/// `DELETE { TUPLE [ZONE ID] }`, `DELETE { HELP_NAME }`, or all.
fn delete<P: Platform>(
    table: &Shared<Conntrack<P>>,
    request: &mut Request<'_, '_>,
) -> Result<Handled, Error> {
    let view = exp_attr::View::parse(request.attrs, Level::Liberal)?;
    if let Some((wanted, of_master)) = wanted(&view, request.header.family)?
        && !of_master
    {
        let id = view.id();
        let is_it = |old: &Expectation<P>| is_for(old, &wanted) && id.is_none_or(|id| id == old.id);
        if table.forget_expectations(is_it) == 0 {
            return Err(Error::new(Errno::ENOENT));
        }
    } else if let Some(name) = view.help_name() {
        table.forget_expectations(|old| old.master.helper().is_some_and(|own| own.name().as_bytes() == name));
    } else {
        table.forget_expectations(|_| true);
    }
    Ok(Handled::Done)
}

fn wanted(view: &exp_attr::View<'_>, family: u8) -> Result<Option<(Tuple, bool)>, Error> {
    let zone = view.zone().unwrap_or(0);
    let (attrs, of_master) = match (view.tuple(), view.master()) {
        (Some(attrs), _) => (attrs, false),
        (None, Some(attrs)) => (attrs, true),
        (None, None) => return Ok(None),
    };
    Ok(Some((tuple::read(attrs, family, zone, u32::MAX)?, of_master)))
}

/// Whether a connection with this tuple is expected; its source port may be any.
fn is_for<P: Platform>(expected: &Expectation<P>, tuple: &Tuple) -> bool {
    let own = &expected.tuple;
    Tuple { src_port: own.src_port, ..*tuple } == *own
}

/// `TUPLE MASK MASTER [NAT] TIMEOUT ID FLAGS CLASS [HELP_NAME]`
fn put<P: Platform>(w: &mut Writer<'_>, expected: &Expectation<P>) {
    let own = &expected.tuple;
    tuple::put(w, exp_attr::TUPLE, own);
    let ones = Tuple {
        src: [if expected.any_source { 0 } else { 0xff }; 16],
        dst: [0xff; 16],
        src_port: Be16::ZERO,
        dst_port: Be16::new(u16::MAX),
        ..*own
    };
    tuple::put(w, exp_attr::MASK, &ones);
    tuple::put(w, exp_attr::MASTER, expected.master.original());
    if let Some(port) = expected.real_port {
        w.nest_marked(exp_attr::NAT, |w| {
            exp_nat::Put(w).dir(expected.is_reply.into());
            let master = &expected.master;
            let back = if expected.is_reply { *master.original() } else { master.reply() };
            let real = Tuple { src: back.src, dst: [0; 16], src_port: port, dst_port: Be16::ZERO, ..*own };
            tuple::put(w, exp_nat::TUPLE, &real);
        });
    }
    let left = expected.expires.saturating_sub(P::now()) / NANOSECONDS;
    let mut put = exp_attr::Put(w);
    put.timeout(u32::try_from(left).unwrap_or(u32::MAX)).id(expected.id).flags(0).class(0);
    if let Some(helper) = expected.master.helper() {
        put.help_name(helper.name().as_bytes());
    }
    if own.zone != 0 {
        put.zone(own.zone);
    }
}

struct Expectations<P: Platform> {
    conntrack: Shared<Conntrack<P>>,
    family: u8,
    next: usize,
}

impl<P: Platform> Dump for Expectations<P> {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(expected) = self.conntrack.expectation(self.next) {
            let family = tuple::family(&expected.tuple);
            if self.family == 0 || self.family == family {
                let written = block.message(kind(NFNL_SUBSYS_CTNETLINK_EXP, exp_cmd::NEW), |w| {
                    head(w, family, 0);
                    put(w, &expected);
                })?;
                if !written {
                    return Ok(Progress::More);
                }
            }
            self.next = self.next.saturating_add(1);
        }
        Ok(Progress::Done)
    }
}
