//! Subsystem CTNETLINK: connections.

use crate::dump::{Connections, Nothing, USES};
use crate::filter::Filter;
use crate::{Request, head, make, show, stats, tuple};
use pfnl_datapath::conntrack::{Conn, Conntrack, Cursor, Tuple};
use pfnl_platform::{Platform, Shared, try_box};
use pfnl_proto::msg::NLM_F_MULTI;
use pfnl_proto::netfilter::{NFNL_SUBSYS_CTNETLINK, ct_attr, ct_cmd, kind};
use pfnl_proto::{Errno, Error, Level};
use pfnl_sock::Handled;

pub(crate) fn handle<P: Platform>(
    table: &Shared<Conntrack<P>>,
    command: u8,
    request: &mut Request<'_, '_>,
) -> Result<Handled, Error> {
    match command {
        ct_cmd::NEW => make::handle(table, request),
        // Nothing is counted here that could begin anew.
        ct_cmd::GET | ct_cmd::GET_CTRZERO => get(table, request),
        ct_cmd::DELETE => delete(table, request),
        ct_cmd::GET_STATS_CPU => stats::of_processors(table, request),
        ct_cmd::GET_STATS => stats::of_table(table, request),
        ct_cmd::GET_DYING | ct_cmd::GET_UNCONFIRMED if request.is_dump() => {
            // Connections leave the table at once, and are their packet's own until they are in it.
            Ok(Handled::Dump(try_box(Nothing)?))
        }
        ct_cmd::GET_DYING | ct_cmd::GET_UNCONFIRMED => Err(Error::new(Errno::EOPNOTSUPP)),
        _ => Err(Error::new(Errno::EINVAL)),
    }
}

/// `GET { TUPLE_ORIG or TUPLE_REPLY, [ZONE] }`; a dump: `GET { [ZONE MARK MARK_MASK STATUS STATUS_MASK FILTER …] }`.
fn get<P: Platform>(table: &Shared<Conntrack<P>>, request: &mut Request<'_, '_>) -> Result<Handled, Error> {
    let view = ct_attr::View::parse(request.attrs, Level::Liberal)?;
    if request.is_dump() {
        let filter = Filter::of_dump(&request.header, &view)?;
        let (conntrack, cursor) = (table.clone(), Cursor::default());
        return Ok(Handled::Dump(try_box(Connections { conntrack, filter, cursor, held: None })?));
    }
    let wanted = named(&view, request.header.family)?.ok_or(Error::new(Errno::EINVAL))?;
    let conn = find(table, &wanted)?;
    let shown = conn.snapshot();
    request.call.reply(kind(NFNL_SUBSYS_CTNETLINK, ct_cmd::NEW), NLM_F_MULTI, |w| {
        head(w, tuple::family(&shown.original), 0);
        show::answer(w, &shown, USES.saturating_add(1));
    })?;
    Ok(Handled::Done)
}

/// `DELETE { TUPLE_ORIG or TUPLE_REPLY, [ZONE ID] }`; without a tuple all that `ZONE`, `MARK` and `STATUS` leave.
fn delete<P: Platform>(
    table: &Shared<Conntrack<P>>,
    request: &mut Request<'_, '_>,
) -> Result<Handled, Error> {
    let view = ct_attr::View::parse(request.attrs, Level::Liberal)?;
    let portid = request.call.portid;
    let Some(wanted) = named(&view, request.header.family)? else {
        let filter = Filter::of_deletion(&request.header, &view)?;
        table.flush_for(portid, |conn| filter.passes(conn));
        return Ok(Handled::Done);
    };
    let conn = find(table, &wanted)?;
    if view.id().is_some_and(|id| id != conn.snapshot().id) {
        return Err(Error::new(Errno::ENOENT));
    }
    table.remove_for(&conn, portid);
    Ok(Handled::Done)
}

/// The tuple that names a connection, of either direction.
fn named(view: &ct_attr::View<'_>, family: u8) -> Result<Option<Tuple>, Error> {
    let zone = view.zone().unwrap_or(0);
    let attrs = view.tuple_orig().or(view.tuple_reply());
    attrs.map(|attrs| tuple::read(attrs, family, zone, u32::MAX)).transpose()
}

/// The connection of a tuple.
pub(crate) fn find<P: Platform>(table: &Conntrack<P>, tuple: &Tuple) -> Result<Shared<Conn<P>>, Error> {
    let section = P::enter();
    let found = table.find(&section, tuple).map(|(conn, _)| conn.clone());
    found.ok_or(Error::new(Errno::ENOENT))
}
