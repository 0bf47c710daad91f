//! Subsystem CTNETLINK_TIMEOUT: how long connections last.

use crate::tuple::mute;
use crate::{Request, head};
use pfnl_datapath::conntrack::Conntrack;
use pfnl_datapath::conntrack::timeout::{Kind, Policy, SLOTS, Values};
use pfnl_platform::{Platform, Shared, try_box};
use pfnl_proto::msg::{NLM_F_EXCL, NLM_F_MULTI, NLM_F_REPLACE};
use pfnl_proto::netfilter::{NFNL_SUBSYS_CTNETLINK_TIMEOUT, kind, timeout_attr, timeout_cmd};
use pfnl_proto::{Attrs, Errno, Error, Level, Writer};
use pfnl_sock::{Dump, DumpBlock, Handled, Progress};

const INVALID: Error = Error::new(Errno::EINVAL);

pub(crate) fn handle<P: Platform>(
    table: &Shared<Conntrack<P>>,
    command: u8,
    request: &mut Request<'_, '_>,
) -> Result<Handled, Error> {
    if command > timeout_cmd::DEFAULT_GET {
        return Err(INVALID);
    }
    let view = timeout_attr::View::parse(request.attrs, Level::Liberal)?;
    let timeouts = table.timeouts();
    match command {
        timeout_cmd::NEW => return new(table, request, &view),
        timeout_cmd::GET if request.is_dump() => {
            return Ok(Handled::Dump(try_box(Policies { table: table.clone(), next: 0 })?));
        }
        timeout_cmd::GET => {
            let policy = timeouts.find(view.name().ok_or(INVALID)?).ok_or(Error::new(Errno::ENOENT))?;
            let kind = kind(NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::NEW);
            request.call.reply(kind, NLM_F_MULTI, |w| put(w, &policy))?;
        }
        timeout_cmd::DELETE => match view.name() {
            Some(name) => timeouts.remove(name)?,
            None => timeouts.clear(),
        },
        timeout_cmd::DEFAULT_SET => {
            let (Some(_), Some(proto), Some(data)) = (view.l3proto(), view.l4proto(), view.data()) else {
                return Err(INVALID);
            };
            let kind = kind_of(proto)?;
            let given = values(data, kind)?;
            if let Some(defaults) = timeouts.defaults(kind) {
                set(defaults, &given);
            }
        }
        _ => {
            let (Some(family), Some(proto)) = (view.l3proto(), view.l4proto()) else { return Err(INVALID) };
            let own = kind_of(proto)?;
            let kind = kind(NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::DEFAULT_SET);
            let Some(defaults) = timeouts.defaults(own) else { return Err(INVALID) };
            request.call.reply(kind, NLM_F_MULTI, |w| {
                head(w, 0, 0);
                timeout_attr::Put(w).l3proto(family).l4proto(own.number());
                data(w, own, defaults);
            })?;
        }
    }
    Ok(Handled::Done)
}

/// `NEW { NAME L3PROTO L4PROTO DATA }`; with NLM_F_REPLACE, of one that is there.
fn new<P: Platform>(
    table: &Shared<Conntrack<P>>,
    request: &Request<'_, '_>,
    view: &timeout_attr::View<'_>,
) -> Result<Handled, Error> {
    let (Some(name), Some(family), Some(proto), Some(data)) =
        (view.name(), view.l3proto(), view.l4proto(), view.data())
    else {
        return Err(INVALID);
    };
    let timeouts = table.timeouts();
    if let Some(old) = timeouts.find(name) {
        if request.call.has(NLM_F_EXCL) {
            return Err(Error::new(Errno::EEXIST));
        }
        if !request.call.has(NLM_F_REPLACE) {
            return Err(Error::new(Errno::EBUSY));
        }
        // It stays for the connections that it is for.
        if (old.family, old.kind.number()) != (family, proto) {
            return Err(INVALID);
        }
        let given = values(data, old.kind)?;
        if let Some(defaults) = timeouts.defaults(old.kind) {
            (1..=old.kind.slots()).for_each(|slot| old.values.set(slot, defaults.get(slot)));
        }
        set(&old.values, &given);
        return Ok(Handled::Done);
    }
    let kind = kind_of(proto)?;
    timeouts.add(name, family, kind, &values(data, kind)?)?;
    Ok(Handled::Done)
}

fn kind_of(proto: u8) -> Result<Kind, Error> {
    Kind::of(proto).ok_or(Error::new(Errno::EOPNOTSUPP))
}

/// Reads a protocol's values; numbers that it does not have are passed over.
fn values(attrs: Attrs<'_>, kind: Kind) -> Result<[Option<u32>; SLOTS], Error> {
    let mut given = [None; SLOTS];
    for attr in attrs {
        let slot = usize::from(attr.number());
        if slot > kind.slots() {
            continue;
        }
        if let Some(place) = slot.checked_sub(1).and_then(|at| given.get_mut(at)) {
            *place = Some(attr.be32().ok_or(Error::new(Errno::ERANGE)).map_err(mute)?);
        }
    }
    Ok(given)
}

fn set(values: &Values, given: &[Option<u32>]) {
    for (slot, value) in (1..).zip(given) {
        if let Some(value) = value {
            values.set(slot, *value);
        }
    }
}

fn put(w: &mut Writer<'_>, policy: &Shared<Policy>) {
    head(w, 0, 0);
    // The list has a handle, and we one.
    let users = u32::try_from(Shared::handles(policy).saturating_sub(1)).unwrap_or(u32::MAX);
    let mut put = timeout_attr::Put(w);
    put.name(policy.name()).l3proto(policy.family).l4proto(policy.kind.number()).used(users);
    data(w, policy.kind, &policy.values);
}

fn data(w: &mut Writer<'_>, kind: Kind, values: &Values) {
    w.nest_marked(timeout_attr::DATA, |w| {
        for slot in 1..=kind.slots() {
            let number = u16::try_from(slot).unwrap_or(0);
            w.bytes(number, &values.get(slot).to_be_bytes());
        }
    });
}

struct Policies<P: Platform> {
    table: Shared<Conntrack<P>>,
    next: usize,
}

impl<P: Platform> Dump for Policies<P> {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(policy) = self.table.timeouts().nth(self.next) {
            let kind = kind(NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::NEW);
            if !block.message(kind, |w| put(w, &policy))? {
                return Ok(Progress::More);
            }
            self.next = self.next.saturating_add(1);
        }
        Ok(Progress::Done)
    }
}
