//! The way of a packet through flows and their actions.
//!
//! ```text
//! receive ─► extract ─► lookup ─► run the list ─► OUTPUT, USERSPACE
//!                         ▲            │
//!                         └── RECIRC ──┤
//!                                      └─► CLONE, SAMPLE, CHECK_PKT_LEN: a list inside
//! ```
//!
//! A pass inside another (RECIRC, a nested list) runs at once, with a key of its own, down to [`MAX_DEPTH`]; deeper ones
//! wait in a queue until the outermost list is done. The queue takes [`MAX_DEFERRED`] passes for one packet that came in,
//! so flows that recirculate for ever end there. The numbers are Linux's.

use super::frame::Frame;
use super::{Action, Actions, HashAlg, Psample, Userspace, ct, nsh, resize, set};
use crate::datapath::{Datapath, LOST, MISSED, Tally};
use crate::deliver::{self, Out};
use crate::hash::Hasher;
use crate::key::{Be16, FlowKey, MAC_ETHERNET, MAC_NONE, TunnelKey};
use crate::packet::Packet;
use crate::port::{PORT_LOCAL, Vport};
use crate::tunnel::Inside;
use crate::upcall::{Kind, Sample, Upcall};
use crate::wire::ETH_HLEN;
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Platform, Result, try_box};

/// How deep passes run inside each other. One takes about 1.2 KiB of stack, less where a packet is a pointer.
const MAX_DEPTH: usize = 3;
/// How many passes wait, over the life of a packet. Linux's queue of ten takes no more than nine.
const MAX_DEFERRED: usize = 9;

/// A packet came in by a port, out of a tunnel perhaps.
#[inline(never)]
pub(crate) fn receive<P: Platform, Pk: Packet, U: Upcall<P, Pk>>(
    dp: &Datapath<P, Pk, U>,
    section: &P::Guard,
    vport: &Vport<P, Pk>,
    tunnel: Option<(&TunnelKey, Inside)>,
    packet: Pk,
    tally: &mut Tally<Pk>,
) {
    let mut key = FlowKey { in_port: vport.number(), mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    if let Some((tunnel, inside)) = tunnel {
        key.tunnel.clone_from(tunnel);
        if let Inside::Network(ethertype) = inside {
            (key.mac_proto, key.eth_type) = (MAC_NONE, Be16::new(ethertype));
        }
    }
    if packet.len() < tunnel.map_or(ETH_HLEN, |(_, inside)| inside.header_len()) {
        return vport.count_rx_error();
    }
    // One whose service header is not in order goes, and is nobody's error, as on Linux.
    let Ok(frame) = Frame::try_new(packet, &mut key) else { return };
    let patience = tally.patience;
    let mut run = Run { dp, section, deferred: Vec::new(), taken: 0, depth: 0, patience, tally };
    // A packet that is lost on the way is no error of the caller's.
    let _ = run.pass(frame, &mut key, Work::Lookup);
    run.finish();
}

/// A packet came from above, with its actions.
pub(crate) fn execute<P: Platform, Pk: Packet, U: Upcall<P, Pk>>(
    dp: &Datapath<P, Pk, U>,
    section: &P::Guard,
    packet: Pk,
    key: &mut FlowKey,
    actions: &Actions,
    mru: u16,
) -> Result<()> {
    let mut frame = Frame::try_new(packet, key)?;
    frame.mru = mru;
    let mut tally = Tally::new(usize::MAX);
    let patience = tally.patience;
    let mut run = Run { dp, section, deferred: Vec::new(), taken: 0, depth: 0, patience, tally: &mut tally };
    let result = run.pass(frame, key, Work::List(actions.list(), actions.opaque()));
    run.finish();
    tally.commit_lookups(&dp.counters);
    result
}

/// What is done in a pass.
#[derive(Clone, Copy)]
enum Work<'a> {
    Lookup,
    /// A list, and the control plane's form of the whole it is from.
    List(&'a [Action], &'a [u8]),
}

struct Deferred<'a, P: Platform, Pk> {
    frame: Frame<P, Pk>,
    key: Box<FlowKey>,
    work: Work<'a>,
}

/// One packet's stay in the datapath, with all its copies.
struct Run<'a, P: Platform, Pk: Packet, U: Upcall<P, Pk>> {
    dp: &'a Datapath<P, Pk, U>,
    section: &'a P::Guard,
    /// Grows only: its length is what [`MAX_DEFERRED`] limits.
    deferred: Vec<Option<Deferred<'a, P, Pk>>>,
    /// How many of `deferred` are done.
    taken: usize,
    depth: usize,
    /// How many masks the next lookup may try: only the first of a packet can be given up.
    patience: usize,
    tally: &'a mut Tally<Pk>,
}

impl<'a, P: Platform, Pk: Packet, U: Upcall<P, Pk>> Run<'a, P, Pk, U> {
    fn pass(&mut self, frame: Frame<P, Pk>, key: &mut FlowKey, work: Work<'a>) -> Result<()> {
        match work {
            Work::Lookup => self.lookup(frame, key),
            Work::List(list, opaque) => self.list(frame, key, list, opaque),
        }
    }

    /// Does what was put off. Apart, as `lookup` is.
    #[inline(never)]
    fn finish(&mut self) {
        // What runs here may put off more. It is one deeper than what put it off, which is as if it were not done yet.
        self.depth = 1;
        while let Some(next) = self.deferred.get_mut(self.taken) {
            self.taken += 1;
            if let Some(mut next) = next.take() {
                let _ = self.pass(next.frame, &mut next.key, next.work);
            }
        }
    }

    /// Apart from `receive`, so that not both are on one stack frame with the key.
    #[inline(never)]
    fn lookup(&mut self, mut frame: Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
        let patience = core::mem::replace(&mut self.patience, usize::MAX);
        let found = self.dp.table.lookup(self.section, key, patience);
        if found.gave_up {
            return pfnl_platform::try_push(&mut self.tally.late, frame.packet);
        }
        self.tally.mask_hit = self.tally.mask_hit.wrapping_add(found.tried.into());
        self.tally.cache_hit = self.tally.cache_hit.wrapping_add(found.cached.into());
        let Some(flow) = found.flow else {
            self.dp.counters.local().add(MISSED, 1);
            let (packet, mru) = (&mut frame.packet, frame.mru);
            deliver::upcall(self.dp, self.section, Kind::Miss, key, packet, usize::MAX, mru);
            return Ok(());
        };
        self.tally.hit = self.tally.hit.wrapping_add(1);
        flow.hit(frame.packet.len(), key.tcp_flags.get(), self.tally.now::<P>());
        let Some(actions) = flow.actions(self.section) else { return Ok(()) };
        self.list(frame, key, actions.list(), actions.opaque())
    }

    /// Runs a list. The packet is dropped at its end, or by an error.
    fn list(
        &mut self,
        mut frame: Frame<P, Pk>,
        key: &mut FlowKey,
        list: &'a [Action],
        opaque: &'a [u8],
    ) -> Result<()> {
        let mut rest = list.iter();
        while let Some(action) = rest.next() {
            let is_last = rest.as_slice().is_empty();
            match action {
                Action::Output(port) => {
                    let keep = frame.take_keep();
                    if is_last {
                        self.output(frame, key, *port, keep);
                        return Ok(());
                    }
                    // Without memory for a copy, this port goes without.
                    if let Ok(copy) = frame.try_clone() {
                        self.output(copy, key, *port, keep);
                    }
                }
                Action::Userspace(to) => self.userspace(&mut frame, key, to, opaque),
                Action::Trunc(len) => frame.keep = *len as usize,
                Action::Set(set) => set::set(&mut frame, key, set)?,
                Action::PushVlan { tpid, tci } => resize::push_vlan(&mut frame, key, *tpid, *tci)?,
                Action::PopVlan => resize::pop_vlan(&mut frame, key)?,
                Action::PushMpls { lse, ethertype, whole_frame } => {
                    resize::push_mpls(&mut frame, key, *lse, *ethertype, *whole_frame)?;
                }
                Action::PopMpls { ethertype } => resize::pop_mpls(&mut frame, key, *ethertype)?,
                Action::PushEth { dst, src } => resize::push_eth(&mut frame, key, *dst, *src)?,
                Action::PopEth => resize::pop_eth(&mut frame, key)?,
                Action::Meter(id) => {
                    if let Some(meter) = self.dp.meters.get(self.section, *id)
                        && !meter.pass(frame.untagged_len(key)?)
                    {
                        return Ok(());
                    }
                }
                Action::Hash { alg, basis } => {
                    key.dp_hash = hash(&mut frame, key, *alg, *basis)?;
                }
                Action::Recirc(id) => {
                    frame.layers(key)?;
                    let before = core::mem::replace(&mut key.recirc_id, *id);
                    if is_last {
                        return self.inside(frame, key, Work::Lookup);
                    }
                    self.beside(&frame, key, Work::Lookup)?;
                    key.recirc_id = before;
                }
                Action::Sample { probability, actions } => {
                    if self.dp.dice() <= *probability && *probability != 0 {
                        let before = core::mem::replace(&mut frame.rate, *probability);
                        if is_last {
                            return self.inside(frame, key, Work::List(actions, opaque));
                        }
                        self.beside(&frame, key, Work::List(actions, opaque))?;
                        frame.rate = before;
                    }
                }
                Action::Clone(actions) => {
                    if is_last {
                        return self.inside(frame, key, Work::List(actions, opaque));
                    }
                    self.beside(&frame, key, Work::List(actions, opaque))?;
                }
                Action::CheckPktLen(check) => {
                    let tag = frame.packet.len().saturating_sub(frame.untagged_len(key)?);
                    let len = deliver::wire_len(Inside::of(key), &frame.packet)?.saturating_sub(tag);
                    let fits = len <= check.len.into();
                    let actions = if fits { &check.less_equal } else { &check.greater };
                    if is_last {
                        return self.inside(frame, key, Work::List(actions, opaque));
                    }
                    self.beside(&frame, key, Work::List(actions, opaque))?;
                }
                Action::DecTtl { actions } => {
                    if !set::dec_ttl(&mut frame, key)? {
                        return self.inside(frame, key, Work::List(actions, opaque));
                    }
                }
                Action::Ct(ct) => {
                    if !ct::track(&self.dp.conntrack, self.section, &mut frame, key, ct)? {
                        // A fragment, which waits for others.
                        return Ok(());
                    }
                }
                Action::CtClear => ct::clear(&mut frame, key),
                Action::Psample(psample) => self.psample(&mut frame, key, psample)?,
                Action::PushNsh(new) => nsh::push(&mut frame, key, new)?,
                Action::PopNsh => nsh::pop(&mut frame, key)?,
                Action::Drop(_) => return Ok(()),
                Action::Fail => return Err(Errno::EINVAL),
            }
        }
        Ok(())
    }

    /// Out of line, as what it does is not what a list's stack is for.
    #[inline(never)]
    fn output(&self, mut frame: Frame<P, Pk>, key: &FlowKey, port: u32, keep: usize) {
        let Ok(untagged) = frame.untagged_len(key) else { return };
        if frame.seal().is_err() {
            return;
        }
        // The tag is put in once the rest is cut.
        let tag = frame.packet.len().saturating_sub(untagged);
        let keep = keep.saturating_add(tag);
        let out = Out { tunnel: frame.tunnel.as_deref(), keep, mru: frame.mru };
        deliver::output(self.dp, self.section, port, key, frame.packet, &out);
    }

    #[inline(never)]
    fn userspace(&self, frame: &mut Frame<P, Pk>, key: &FlowKey, to: &Userspace, opaque: &[u8]) {
        let keep = frame.take_keep();
        let egress = to.egress_tun_port.and_then(|port| self.egress(port, frame, key));
        let shown = to.actions.as_ref().map(|shown| {
            let (start, end) = (shown.start as usize, shown.end as usize);
            opaque.get(start..end).unwrap_or_default()
        });
        let kind = Kind::Action {
            portid: to.portid,
            userdata: to.userdata.as_deref(),
            actions: shown,
            egress: egress.as_deref(),
        };
        let up = |frame: &mut Frame<P, Pk>| {
            deliver::upcall(self.dp, self.section, kind, key, &mut frame.packet, keep, frame.mru);
        };
        if !frame.is_open() {
            return up(frame);
        }
        match frame.try_clone().and_then(|mut copy| copy.seal().map(|()| copy)) {
            Ok(mut copy) => up(&mut copy),
            Err(_) => self.dp.counters.local().add(LOST, 1),
        }
    }

    /// What a packet would leave with through a tunnel port; none where it would not leave.
    #[inline(never)]
    fn egress(&self, port: u32, frame: &Frame<P, Pk>, key: &FlowKey) -> Option<Box<TunnelKey>> {
        let vport = self.dp.ports.get(self.section, port)?;
        let mut tunnel = try_box((**frame.tunnel.as_ref()?).clone()).ok()?;
        vport.port().egress(&mut tunnel, deliver::flow_hash(key, &frame.packet)).ok()?;
        Some(tunnel)
    }

    #[inline(never)]
    fn psample(&self, frame: &mut Frame<P, Pk>, key: &FlowKey, psample: &Psample) -> Result<()> {
        let keep = frame.take_keep();
        let ports = &self.dp.ports;
        let vport = ports.get(self.section, key.in_port).or_else(|| ports.get(self.section, PORT_LOCAL));
        let sample = Sample {
            psample,
            rate: frame.rate,
            ifindex: vport.map_or(0, |vport| vport.port().ifindex()),
            protocol: frame.protocol.get(),
            is_tagged: frame.untagged_len(key)? < frame.packet.len(),
            keep,
        };
        self.dp.upper().sample(self.section, &sample, &frame.packet);
        Ok(())
    }

    /// A pass that takes the packet and the key over.
    fn inside(&mut self, frame: Frame<P, Pk>, key: &mut FlowKey, work: Work<'a>) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            self.defer(frame, boxed_copy(key)?, work);
            return Ok(());
        }
        self.depth += 1;
        let result = self.pass(frame, key, work);
        self.depth -= 1;
        result
    }

    /// A pass over copies. If it fails, so does the list it stands in; without memory for copies it is left out.
    fn beside(&mut self, frame: &Frame<P, Pk>, key: &FlowKey, work: Work<'a>) -> Result<()> {
        let (Ok(frame), Ok(mut key)) = (frame.try_clone(), boxed_copy(key)) else { return Ok(()) };
        if self.depth >= MAX_DEPTH {
            self.defer(frame, key, work);
            return Ok(());
        }
        self.inside(frame, &mut key, work)
    }

    /// Puts a pass off; one too many is dropped.
    fn defer(&mut self, frame: Frame<P, Pk>, key: Box<FlowKey>, work: Work<'a>) {
        if self.deferred.len() < MAX_DEFERRED {
            let _ = pfnl_platform::try_push(&mut self.deferred, Some(Deferred { frame, key, work }));
        }
    }
}

/// Apart from `list`, so that the copy is not on its stack.
#[inline(never)]
fn boxed_copy(key: &FlowKey) -> Result<Box<FlowKey>> {
    try_box(key.clone())
}

/// The HASH action's value: of the packet as it is, whatever the key has kept.
#[inline(never)]
fn hash<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &FlowKey,
    alg: HashAlg,
    basis: u32,
) -> Result<u32> {
    if !frame.is_stale() {
        return Ok(flow_hash(key, alg, basis));
    }
    Ok(flow_hash(&frame.look(key)?.0, alg, basis))
}

/// The HASH action's value; never 0, which means "none".
fn flow_hash(key: &FlowKey, alg: HashAlg, basis: u32) -> u32 {
    let end = |v4: &[u8; 4], v6: &[u8; 16], port: u16| {
        let mut hasher = Hasher::keyed(basis.into());
        hasher.bytes(v4);
        hasher.bytes(v6);
        hasher.word(port.into());
        hasher.finish()
    };
    let src = end(&key.ipv4_src, &key.ipv6_src, key.tp_src.get());
    let dst = end(&key.ipv4_dst, &key.ipv6_dst, key.tp_dst.get());
    let (first, second) = match alg {
        HashAlg::L4 => (src, dst),
        HashAlg::SymL4 => (src.min(dst), src.max(dst)),
    };
    let mut hasher = Hasher::keyed(basis.into());
    hasher.word(first);
    hasher.word(second);
    hasher.word(key.ip_proto.into());
    ((hasher.finish() >> 32) as u32).max(1)
}
