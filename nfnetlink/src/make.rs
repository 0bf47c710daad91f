//! `NEW`: connections that user space makes, and changes.

use crate::Request;
use crate::ct::find;
use crate::tuple::{self, mute};
use pfnl_datapath::conntrack::conn::{ASSURED, CONFIRMED, DYING, EXPECTED, SEEN_REPLY};
use pfnl_datapath::conntrack::event::bits;
use pfnl_datapath::conntrack::{Conn, Conntrack, Helper, SctpState, Spec, TcpState, Tuple};
use pfnl_datapath::key::Be16;
use pfnl_platform::{Platform, Shared};
use pfnl_proto::msg::{NLM_F_CREATE, NLM_F_EXCL};
use pfnl_proto::netfilter::{ct_attr, ct_nat, ct_nat_proto, help, protoinfo, protoinfo_sctp, protoinfo_tcp};
use pfnl_proto::{Attrs, Errno, Error, Level};
use pfnl_sock::Handled;

const INVALID: Error = Error::new(Errno::EINVAL);

/// `NEW { TUPLE_ORIG TUPLE_REPLY TIMEOUT [ZONE STATUS MARK LABELS PROTOINFO HELP NAT_SRC NAT_DST] }`
pub(crate) fn handle<P: Platform>(
    table: &Shared<Conntrack<P>>,
    request: &mut Request<'_, '_>,
) -> Result<Handled, Error> {
    let view = ct_attr::View::parse(request.attrs, Level::Liberal)?;
    let (family, portid) = (request.header.family, request.call.portid);
    let zone = view.zone().unwrap_or(0);
    let read =
        |attrs: Option<Attrs<'_>>| attrs.map(|attrs| tuple::read(attrs, family, zone, u32::MAX)).transpose();
    let (original, reply) = (read(view.tuple_orig())?, read(view.tuple_reply())?);
    let found = match original.or(reply) {
        Some(tuple) => find(table, &tuple).ok(),
        None => None,
    };
    let Some(conn) = found else {
        if !request.call.has(NLM_F_CREATE) {
            return Err(Error::new(Errno::ENOENT));
        }
        let (Some(original), Some(reply)) = (original, reply) else { return Err(INVALID) };
        let spec = spec(&view, original, reply)?;
        table.create(&spec, portid)?;
        return Ok(Handled::Done);
    };
    if request.call.has(NLM_F_EXCL) {
        return Err(Error::new(Errno::EEXIST));
    }
    change(table, &conn, &view, portid)?;
    Ok(Handled::Done)
}

fn spec(view: &ct_attr::View<'_>, original: Tuple, mut reply: Tuple) -> Result<Spec, Error> {
    if original.proto != reply.proto {
        return Err(INVALID);
    }
    let (tcp, sctp, sctp_tags) = state(view)?;
    let status = status(view, CONFIRMED)?.unwrap_or(0);
    if view.tuple_master().is_some() {
        return Err(Error::new(Errno::EOPNOTSUPP).text("expected connections cannot be made"));
    }
    for (attrs, is_source) in [(view.nat_src(), true), (view.nat_dst(), false)] {
        if let Some(attrs) = attrs {
            translate(&mut reply, attrs, is_source)?;
        }
    }
    Ok(Spec {
        original,
        reply,
        timeout: view.timeout().ok_or(INVALID)?,
        status,
        mark: view.mark().unwrap_or(0),
        labels: labels(view, [0; 16])?.unwrap_or_default(),
        tcp,
        sctp,
        sctp_tags,
        helper: helper(view, original.proto)?,
    })
}

/// `NAT_SRC { V4_MINIP [PROTO { PORT_MIN }] }`: the first address and port of the range. Answers go there.
fn translate(reply: &mut Tuple, attrs: Attrs<'_>, is_source: bool) -> Result<(), Error> {
    let view = ct_nat::View::parse(attrs, Level::Liberal).map_err(mute)?;
    let address = if reply.version == 4 {
        view.v4_minip().map(|v4| {
            let mut wide = [0; 16];
            wide.iter_mut().zip(v4).for_each(|(to, from)| *to = from);
            wide
        })
    } else {
        view.v6_minip()
    };
    let port = match view.proto() {
        Some(attrs) => ct_nat_proto::View::parse(attrs, Level::Liberal).map_err(mute)?.port_min(),
        None => None,
    };
    let (place, port_place) =
        if is_source { (&mut reply.dst, &mut reply.dst_port) } else { (&mut reply.src, &mut reply.src_port) };
    *place = address.unwrap_or(*place);
    if let Some(port) = port {
        *port_place = Be16::new(port);
    }
    Ok(())
}

/// All is looked at before anything changes.
fn change<P: Platform>(
    table: &Conntrack<P>,
    conn: &Shared<Conn<P>>,
    view: &ct_attr::View<'_>,
    portid: u32,
) -> Result<(), Error> {
    if view.nat_src().is_some() || view.nat_dst().is_some() || view.tuple_master().is_some() {
        return Err(Error::new(Errno::EOPNOTSUPP));
    }
    let before = conn.snapshot();
    let given = helper(view, before.original.proto)?;
    if given.is_some() && before.helper.is_some() && given != before.helper {
        return Err(Error::new(Errno::EBUSY));
    }
    let status = status(view, conn.status())?;
    let (tcp, sctp, _) = state(view)?;
    if tcp.is_some() && before.tcp.is_none() || sctp.is_some() && before.sctp.is_none() {
        return Err(INVALID);
    }
    let labels = labels(view, before.labels)?;
    let mark = view.mark().map(|mark| (mark, view.mark_mask().unwrap_or(u32::MAX)));

    if let Some(helper) = given {
        conn.attach(helper);
    }
    if let Some(seconds) = view.timeout() {
        conn.expire_in(seconds);
    }
    conn.set(status.unwrap_or(0) & (SEEN_REPLY | ASSURED));
    conn.set_state(tcp, sctp)?;
    conn.change(|own, own_labels| {
        if let Some((value, mask)) = mark {
            // As Linux: what is outside of the mask is turned by the value's bits there.
            *own = *own & !mask ^ value;
        }
        *own_labels = labels.unwrap_or(*own_labels);
    });
    conn.happened(CHANGED);
    table.report(conn, portid);
    Ok(())
}

/// What a change tells, whatever it changed.
const CHANGED: u32 = bits::ASSURED | bits::HELPER | bits::PROTOINFO | bits::SEQADJ | bits::MARK | bits::LABEL;

/// The status asked for, if it can be had from what it is: what has happened cannot be undone.
fn status(view: &ct_attr::View<'_>, now: u32) -> Result<Option<u32>, Error> {
    let Some(wanted) = view.status() else { return Ok(None) };
    let differs = wanted ^ now;
    if differs & (EXPECTED | CONFIRMED | DYING) != 0 || now & !wanted & (SEEN_REPLY | ASSURED) != 0 {
        return Err(Error::new(Errno::EBUSY));
    }
    Ok(Some(wanted))
}

/// `LABELS [LABELS_MASK]`
fn labels(view: &ct_attr::View<'_>, before: [u8; 16]) -> Result<Option<[u8; 16]>, Error> {
    let Some(given) = view.labels() else { return Ok(None) };
    let mask = view.labels_mask();
    if given.len() % 4 != 0 || mask.is_some_and(|mask| mask.is_empty() || mask.len() != given.len()) {
        return Err(INVALID);
    }
    let mut labels = before;
    let masks = mask.unwrap_or_default().iter().copied().chain(core::iter::repeat(0xff));
    for ((place, &value), mask) in labels.iter_mut().zip(given).zip(masks) {
        *place = *place & !mask ^ value;
    }
    Ok(Some(labels))
}

/// A connection's state, by its protocol, and SCTP's verification tags.
type States = (Option<TcpState>, Option<SctpState>, [u32; 2]);

/// `PROTOINFO { TCP { STATE } }` or `PROTOINFO { SCTP { STATE VTAG_ORIGINAL VTAG_REPLY } }`
fn state(view: &ct_attr::View<'_>) -> Result<States, Error> {
    let Some(attrs) = view.protoinfo() else { return Ok((None, None, [0; 2])) };
    let view = protoinfo::View::parse(attrs, Level::Liberal).map_err(mute)?;
    let range = Error::new(Errno::ERANGE);
    let tcp = match view.tcp() {
        Some(attrs) => {
            let view = protoinfo_tcp::View::parse(attrs, Level::Liberal).map_err(mute)?;
            view.state().map(|state| TcpState::from_number(state).ok_or(range)).transpose()?
        }
        None => None,
    };
    let mut tags = [0; 2];
    let sctp = match view.sctp() {
        Some(attrs) => {
            let view = protoinfo_sctp::View::parse(attrs, Level::Liberal).map_err(mute)?;
            tags = [view.vtag_original().unwrap_or(0), view.vtag_reply().unwrap_or(0)];
            view.state().map(|state| SctpState::from_number(state).ok_or(range)).transpose()?
        }
        None => None,
    };
    Ok((tcp, sctp, tags))
}

/// `HELP { NAME }`
fn helper(view: &ct_attr::View<'_>, proto: u8) -> Result<Option<Helper>, Error> {
    let Some(attrs) = view.help() else { return Ok(None) };
    let name = help::View::parse(attrs, Level::Liberal).map_err(mute)?.name().ok_or(INVALID)?;
    let helper = Helper::by_name(name).filter(|helper| helper.proto() == proto);
    helper.map(Some).ok_or(Error::new(Errno::EOPNOTSUPP))
}
