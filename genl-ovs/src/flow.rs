//! Family `ovs_flow`.

use crate::action;
use crate::key::{self, Match};
use crate::ovs::{Dp, Ovs, op};
use alloc::boxed::Box;
use pfnl_datapath::flow::{Flow, FlowId, Ufid};
use pfnl_datapath::{Cursor, FlowKey, FlowName, Packet};
use pfnl_platform::{Errno, Platform, Shared, try_box};
use pfnl_proto::genl::GENL_UNS_ADMIN_PERM;
use pfnl_proto::msg::{NLM_F_CREATE, NLM_F_EXCL};
use pfnl_proto::ovs::{
    FlowStats, OVS_HDRLEN, OvsHeader, UFID_F_OMIT_ACTIONS, UFID_F_OMIT_KEY, UFID_F_OMIT_MASK, cmd, flow,
};
use pfnl_proto::{Error, Level, Writer};
use pfnl_sock::{Context, Dump, DumpBlock, FamilyDef, Progress, Request};

/// `OVS_FLOW_VERSION`.
const VERSION: u8 = 1;

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    pub(crate) const FLOW: &'static FamilyDef<Ovs<P, Pk>> = &FamilyDef {
        name: "ovs_flow",
        version: VERSION,
        hdrsize: OVS_HDRLEN,
        table: Some(&flow::TABLE),
        ops: &[
            op(cmd::NEW, GENL_UNS_ADMIN_PERM, new, None),
            op(cmd::DEL, GENL_UNS_ADMIN_PERM, del, None),
            op(cmd::GET, 0, get, Some(dump)),
            op(cmd::SET, GENL_UNS_ADMIN_PERM, set, None),
        ],
        groups: &["ovs_flow"],
        admin_groups: &[],
    };
}

/// A UFID of 1 to 16 bytes; one of another length counts as none.
fn ufid(view: &flow::View<'_>) -> Option<Ufid> {
    view.ufid().and_then(Ufid::new)
}

/// The key in a request, boxed; zero when there is none.
fn key_of(view: &flow::View<'_>) -> Result<Box<FlowKey>, Error> {
    let mut key = FlowKey::try_boxed()?;
    if let Some(attrs) = view.key() {
        key::parse_key(attrs, &mut key)?;
    }
    Ok(key)
}

/// The datapath that a request is for, and by which number: answers have the same.
fn datapath<P: Platform, Pk: Packet>(
    ovs: &Ovs<P, Pk>,
    request: &Request<'_>,
) -> Result<(Shared<Dp<P, Pk>>, OvsHeader), Error> {
    let header = request.user_header::<OvsHeader>()?;
    Ok((ovs.datapath(header.dp_ifindex)?, header))
}

/// `NEW { [UFID] KEY [MASK] ACTIONS [PROBE] }`: adds a flow, or without CREATE and EXCL changes the one that is there.
fn new<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = flow::View::of(&context.request.validated)?;
    let (Some(key), Some(actions)) = (view.key(), view.actions()) else {
        return Err(Error::new(Errno::EINVAL));
    };
    let wanted = key::parse_match(key, view.mask())?;
    let Match { key, mask } = &*wanted;
    let actions = action::compile(actions, key, Some(mask))?;
    let (dp, header) = datapath(ovs, &context.request)?;
    let ufid = ufid(&view);
    let exclusive = context.request.header.flags & (NLM_F_CREATE | NLM_F_EXCL) != 0;
    let (flow, _) = dp.put_flow(FlowName { ufid: ufid.as_ref(), key }, mask, actions, exclusive)?;
    let omit = view.ufid_flags().unwrap_or(0);
    context.notify(0, cmd::NEW, |w| write(w, header, &flow, omit))
}

/// `SET { [UFID] KEY [MASK] [ACTIONS] [CLEAR] }`
fn set<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = flow::View::of(&context.request.validated)?;
    let ufid = ufid(&view);
    let wanted = match view.key() {
        Some(key) => key::parse_match(key, view.mask())?,
        // Actions are checked against the key; without them a UFID will do.
        None if ufid.is_some() && view.actions().is_none() => Match::try_zero()?,
        None => return Err(Error::new(Errno::EINVAL)),
    };
    let Match { key, mask } = &*wanted;
    let actions = view.actions().map(|actions| action::compile(actions, key, Some(mask))).transpose()?;
    let (dp, header) = datapath(ovs, &context.request)?;
    let flow = dp.set_flow(FlowName { ufid: ufid.as_ref(), key }, actions, view.clear())?;
    let omit = view.ufid_flags().unwrap_or(0);
    context.notify(0, cmd::SET, |w| write(w, header, &flow, omit))
}

/// `GET { UFID }` or `{ KEY }`
fn get<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = flow::View::of(&context.request.validated)?;
    let (ufid, key) = (ufid(&view), key_of(&view)?);
    if ufid.is_none() && view.key().is_none() {
        return Err(Error::new(Errno::EINVAL));
    }
    let (dp, header) = datapath(ovs, &context.request)?;
    let flow = dp.flow(FlowName { ufid: ufid.as_ref(), key: &key })?;
    context.reply(cmd::GET, |w| write(w, header, &flow, view.ufid_flags().unwrap_or(0)))
}

/// `DEL { UFID }` or `{ KEY }`; without either all flows go.
fn del<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = flow::View::of(&context.request.validated)?;
    let (ufid, key) = (ufid(&view), key_of(&view)?);
    let (dp, header) = datapath(ovs, &context.request)?;
    if ufid.is_none() && view.key().is_none() {
        dp.flush_flows();
        return Ok(());
    }
    let flow = dp.remove_flow(FlowName { ufid: ufid.as_ref(), key: &key })?;
    context.notify(0, cmd::DEL, |w| write(w, header, &flow, view.ufid_flags().unwrap_or(0)))
}

fn dump<P: Platform, Pk: Packet>(
    ovs: &Shared<Ovs<P, Pk>>,
    request: &Request<'_>,
) -> Result<Box<dyn Dump>, Error> {
    let header = request.user_header::<OvsHeader>()?;
    let view = flow::View::parse(request.attrs, Level::Liberal).map_err(|error| Error::new(error.errno));
    let omit = view.map(|view| view.ufid_flags().unwrap_or(0));
    Ok(try_box(Flows { ovs: ovs.clone(), header, omit, cursor: Cursor::default(), pending: None })?)
}

struct Flows<P: Platform, Pk: Packet> {
    ovs: Shared<Ovs<P, Pk>>,
    header: OvsHeader,
    /// What to leave out, or why the request is refused: at the end of the dump, as on Linux.
    omit: Result<u32, Error>,
    cursor: Cursor,
    /// A flow that did not fit the last block.
    pending: Option<Shared<Flow<P>>>,
}

impl<P: Platform, Pk: Packet> Dump for Flows<P, Pk> {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        let omit = self.omit?;
        let dp = self.ovs.datapath(self.header.dp_ifindex)?;
        while let Some(flow) = self.pending.take().or_else(|| dp.next_flow(&mut self.cursor)) {
            let first = block.is_empty();
            let fits = match block.record(cmd::GET, |w| write(w, self.header, &flow, omit)) {
                // Actions too long for a block of their own are left out; who wants them asks for the flow.
                Err(error) if first && error.errno == Errno::EMSGSIZE => {
                    block.record(cmd::GET, |w| write(w, self.header, &flow, omit | UFID_F_OMIT_ACTIONS))?
                }
                outcome => outcome?,
            };
            if !fits {
                self.pending = Some(flow);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }
}

/// What is said of a flow, in Linux's order: its name, its masked key where the name is a UFID, mask, counters that
/// are not zero, actions.
fn write<P: Platform>(w: &mut Writer<'_>, header: OvsHeader, flow: &Flow<P>, omit: u32) {
    w.raw_fixed(&header);
    if write_match(w, flow, omit).is_err() {
        return w.fail(Errno::ENOMEM);
    }
    let stats = flow.stats();
    let mut put = flow::Put(w);
    if stats.used != 0 {
        put.used(stats.used / 1_000_000);
    }
    if stats.packets != 0 {
        put.stats(&FlowStats { packets: stats.packets, bytes: stats.bytes });
    }
    // Eight of the twelve bits.
    let [_, tcp_flags] = stats.tcp_flags.to_be_bytes();
    if tcp_flags != 0 {
        put.tcp_flags(tcp_flags);
    }
    if omit & UFID_F_OMIT_ACTIONS == 0 {
        let section = P::enter();
        if let Some(actions) = flow.actions(&section) {
            put.actions(|w| {
                w.raw(actions.opaque());
            });
        }
    }
}

fn write_match<P: Platform>(w: &mut Writer<'_>, flow: &Flow<P>, omit: u32) -> Result<(), Errno> {
    let mut key = FlowKey::try_boxed()?;
    let mut put = flow::Put(w);
    match flow.id() {
        FlowId::Ufid(ufid) => {
            put.ufid(ufid.bytes());
            if omit & UFID_F_OMIT_KEY == 0 {
                flow.key(&mut key);
                put.key(|w| key::put_key(w, &key));
            }
        }
        FlowId::Key(packed) => {
            packed.expand(&mut key);
            put.key(|w| key::put_key(w, &key));
        }
    }
    if omit & UFID_F_OMIT_MASK == 0 {
        let mut mask = FlowKey::try_boxed()?;
        flow.mask().expand(&mut mask);
        flow.key(&mut key);
        put.mask(|w| key::put_mask(w, &key, &mask));
    }
    Ok(())
}
