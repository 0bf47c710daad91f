//! CT: which connection a packet belongs to.
//!
//! ```text
//! packet ─► Looked: tuple, TCP's numbers ─► Conntrack::find ─┬─► known: its tracker decides
//!             │                                              └─► a new Conn, the packet's own until COMMIT
//!             └─► an ICMP error: the tuple of the packet in it, RELATED
//!                                       then: NAT, mark and labels, COMMIT, the key's ct_* fields
//! ```
//!
//! A packet keeps its connection ([`Tracked`]) from one CT to the next, through recirculation too; one that user space sends
//! back finds it again by its key. What can't be tracked is INVALID: broken headers, wrong checksums, ICMP that belongs to
//! nothing, neighbour discovery. Fragments are put together first; the whole packet goes on.

#[cfg(test)]
mod tests;

use super::frame::Frame;
use super::{Ct, Masked, helper, nat};
use crate::conntrack::conn::{CLASH, CONFIRMED, Conn, DYING, NAT_DONE, SEEN_REPLY};
use crate::conntrack::tuple::is_error;
use crate::conntrack::{Chunk, Collected, Conntrack, Count, OPTIONS_MAX, Seen, Segment, Tuple, has_ports};
use crate::conntrack::{Place, Verdict, nat as choose};
use crate::csum;
use crate::extract::{Layers, header};
use crate::key::{Be16, Be32, FRAG_NONE, FlowKey};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::{Errno, Platform, Result, Shared};
use zerocopy::FromZeros;

/// Bits of ct_state: OVS_CS_F_* (linux/openvswitch.h).
pub(crate) mod state {
    pub const NEW: u8 = 0x01;
    pub const ESTABLISHED: u8 = 0x02;
    pub const RELATED: u8 = 0x04;
    pub const REPLY_DIR: u8 = 0x08;
    pub const INVALID: u8 = 0x10;
    pub const TRACKED: u8 = 0x20;
    pub const SRC_NAT: u8 = 0x40;
    pub const DST_NAT: u8 = 0x80;
}

/// The connection of a packet.
pub(crate) struct Tracked<P: Platform> {
    pub conn: Shared<Conn<P>>,
    /// Which direction the packet goes.
    pub is_reply: bool,
    /// It is an ICMP error about a packet of the connection.
    pub is_error: bool,
}

impl<P: Platform> Clone for Tracked<P> {
    fn clone(&self) -> Tracked<P> {
        Tracked { conn: self.conn.clone(), ..*self }
    }
}

/// Takes away what is behind an IP packet: an Ethernet frame's padding.
#[inline(never)] // apart from the stack of what tracks
fn trim<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
    let Some(at) = frame.layers(key)?.l3 else { return Ok(()) };
    let len = match key.eth_type.get() {
        ETH_IPV4 => header::<Ipv4, Pk>(&mut frame.packet, at)?
            .filter(|ip| usize::from(ip.len.get()) >= ip.header_len())
            .map(|ip| usize::from(ip.len.get())),
        ETH_IPV6 => header::<Ipv6, Pk>(&mut frame.packet, at)?
            .filter(|ip| ip.len.get() != 0)
            .map(|ip| usize::from(ip.len.get()).saturating_add(size_of::<Ipv6>())),
        _ => None,
    };
    if let Some(len) = len {
        frame.packet.truncate(at.saturating_add(len));
    }
    Ok(())
}

/// CT. Answers whether the packet goes on: a fragment waits for the others.
///
/// # Errors
/// `EINVAL` for a packet that can't be translated or committed, `ENOSPC` when its zone or the table is full, `ENOMEM`: all
/// drop it.
#[inline(never)]
pub(super) fn track<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    section: &P::Guard,
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    ct: &Ct,
) -> Result<bool> {
    trim(frame, key)?;
    if !whole(table, frame, key, ct.zone)? {
        return Ok(false);
    }
    let layers = frame.layers(key)?;
    let is_known = is_known(table, section, frame, key, &layers, ct)?;
    if !is_known {
        if !ct.commit && told_of_expected(table, section, frame, key, &layers, ct.zone)? {
            return Ok(true);
        }
        frame.tracked = find(table, section, frame, key, &layers, ct.zone)?;
        tell(frame.tracked.as_ref(), key, ct.zone, 0);
    }
    let Some(tracked) = frame.tracked.clone() else { return Ok(true) };
    let is_confirmed = tracked.conn.has(CONFIRMED);
    // As Linux: what goes the original way and is an error waits for COMMIT.
    let begins_related = tracked.is_error && !tracked.is_reply;
    if let Some(nat) = &ct.nat
        && key.ct_state & (state::SRC_NAT | state::DST_NAT) == 0
        && (is_confirmed && !begins_related || ct.commit)
    {
        if !is_confirmed && !tracked.conn.has(NAT_DONE) {
            let range = nat.new.as_ref().map(|(end, range)| (*end, range));
            choose::settle(table, section, &tracked.conn, range)?;
        }
        // What is translated to what it is anyway counts as translated when that is settled.
        let settled = match &nat.new {
            Some((choose::End::Src, _)) if !is_confirmed && !tracked.is_reply => state::SRC_NAT,
            Some((choose::End::Dst, _)) if !is_confirmed && !tracked.is_reply => state::DST_NAT,
            _ => 0,
        };
        let changed = nat::translate(frame, key, &tracked)? | settled;
        tell(Some(&tracked), key, ct.zone, changed);
    }
    let has_new_helper = helped(&tracked.conn, ct);
    if is_confirmed && (!is_known || has_new_helper) || !is_confirmed && ct.commit {
        helper::help(table, frame, key, &tracked)?;
    }
    if !ct.commit {
        return Ok(true);
    }
    match commit(table, section, &tracked, key, ct) {
        Err(CLASH) => {
            // Another packet of the same connection was faster.
            frame.tracked = Some(faster(table, section, &tracked.conn).ok_or(CLASH)?);
            table.count_one(Count::ClashResolve);
        }
        result => result?,
    }
    Ok(true)
}

/// Puts fragments together. Answers whether there is a whole packet.
#[inline(never)]
fn whole<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    zone: u16,
) -> Result<bool> {
    let layers = frame.layers(key)?;
    let Some(l3) = layers.l3.filter(|_| key.ip_frag != FRAG_NONE) else { return Ok(true) };
    let v6 = key.eth_type.get() == ETH_IPV6;
    let Collected::Whole { bytes, mru } = table.collect(&mut frame.packet, v6, l3, zone)? else {
        return Ok(false);
    };
    replace(frame, &bytes)?;
    frame.mru = mru;
    frame.layers(key)?;
    Ok(true)
}

/// Puts other bytes in a packet's place; what is known of their headers is read again.
pub(super) fn replace<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, bytes: &[u8]) -> Result<()> {
    let hash = frame.packet.offload().hash;
    frame.packet = Pk::from_bytes(bytes)?;
    frame.packet.offload_mut().hash = hash;
    frame.moved();
    Ok(())
}

/// Gives a connection its helper; answers whether it has one now that it had not.
fn helped<P: Platform>(conn: &Conn<P>, ct: &Ct) -> bool {
    let helper = ct.helper.filter(|helper| ct.commit && helper.proto() == conn.original().proto);
    match helper {
        Some(helper) if conn.helper().is_none() => {
            conn.attach(helper);
            true
        }
        _ => false,
    }
}

/// The connection that took the place of one that is not confirmed yet, if it is as good. TCP's is not: its sender
/// will try again.
#[inline(never)]
fn faster<P: Platform>(table: &Conntrack<P>, section: &P::Guard, conn: &Conn<P>) -> Option<Tracked<P>> {
    let original = conn.original();
    let (other, Place { is_reply }) = table.find(section, original)?;
    let same = !is_reply && original.proto != IP_TCP && other.reply() == conn.reply();
    same.then(|| Tracked { conn: other.clone(), is_reply, is_error: false })
}

/// CT_CLEAR.
pub(super) fn clear<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) {
    frame.tracked = None;
    (key.ct_state, key.ct_zone, key.ct_mark) = (0, 0, 0);
    key.ct_labels = [0; 16];
    no_original(key);
}

/// Remembers a connection, with its new mark and labels.
#[inline(never)]
fn commit<P: Platform>(
    table: &Conntrack<P>,
    section: &P::Guard,
    tracked: &Tracked<P>,
    key: &mut FlowKey,
    ct: &Ct,
) -> Result<()> {
    let conn = &tracked.conn;
    let is_new = !conn.has(CONFIRMED);
    if is_new && !table.zone_has_room(ct.zone) {
        return Err(Errno::ENOMEM);
    }
    if let Some(mask) = ct.event_mask {
        conn.set_event_mask(mask);
    }
    if is_new && let Some(name) = &ct.timeout {
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if let Some(policy) = table.timeouts().for_connection(name, conn.original()) {
            conn.set_policy(policy, table.timeouts());
        }
    }
    // As Linux: what was expected begins with its master's labels.
    let inherited = conn.master().filter(|_| is_new).map(|master| master.mark_and_labels().1);
    (key.ct_mark, key.ct_labels) = conn.change(|mark, labels| {
        if let Some(inherited) = inherited
            && *labels == [0; 16]
        {
            *labels = inherited;
        }
        if let Some(new) = &ct.mark {
            *mark = new.value & new.mask | *mark & !new.mask;
        }
        if let Some(new) = &ct.labels {
            over(new, labels);
        }
    });
    table.confirm(section, conn)?;
    table.tell(section, conn, 0);
    Ok(())
}

fn over(new: &Masked<[u8; 16]>, labels: &mut [u8; 16]) {
    for ((old, value), mask) in labels.iter_mut().zip(&new.value).zip(&new.mask) {
        *old = value & mask | *old & !mask;
    }
}

/// Whether the packet was tracked in this zone before; it is not counted twice.
#[inline(never)]
fn is_known<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    section: &P::Guard,
    frame: &mut Frame<P, Pk>,
    key: &FlowKey,
    layers: &Layers,
    ct: &Ct,
) -> Result<bool> {
    if let Some(tracked) = &frame.tracked {
        let original = tracked.conn.original();
        if original.zone != ct.zone || tracked.conn.has(DYING) {
            frame.tracked = None;
        } else if ct.force && tracked.is_reply {
            table.remove(&tracked.conn);
            frame.tracked = None;
        }
        return Ok(frame.tracked.is_some());
    }
    // From user space, which got it after a CT of this zone.
    let was_tracked =
        key.ct_state & (state::TRACKED | state::INVALID) == state::TRACKED && key.ct_zone == ct.zone;
    // As Linux: one that is to turn its connection's direction is looked at too.
    let is_looked_at = was_tracked || ct.force && key.ct_state == 0;
    if !is_looked_at || key.ip_frag != FRAG_NONE {
        return Ok(false);
    }
    let Some(looked) = look(&mut frame.packet, key, layers, ct.zone)? else { return Ok(false) };
    // One that was translated is what answers to it are the answers of.
    let is_translated = key.ct_state & (state::SRC_NAT | state::DST_NAT) != 0;
    let tuple = if is_translated { looked.tuple.invert() } else { Some(looked.tuple) };
    let Some(tuple) = tuple else { return Ok(false) };
    if let Some((conn, Place { is_reply })) = table.find(section, &tuple) {
        let is_reply = is_reply != is_translated;
        if ct.force && is_reply {
            table.remove(conn);
            return Ok(false);
        }
        frame.tracked = Some(Tracked { conn: conn.clone(), is_reply, is_error: looked.is_error });
    }
    Ok(frame.tracked.is_some())
}

/// A packet that begins an expected connection, and does not commit it, is only told what it would be: it may be lost on its
/// way through user space, and the expectation must not be lost with it. Answers whether it is such.
#[inline(never)]
fn told_of_expected<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    section: &P::Guard,
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    layers: &Layers,
    zone: u16,
) -> Result<bool> {
    if !table.is_expecting() {
        return Ok(false);
    }
    let Some(looked) = look(&mut frame.packet, key, layers, zone)? else { return Ok(false) };
    if looked.is_error || table.find(section, &looked.tuple).is_some() {
        return Ok(false);
    }
    let Some(master) = table.expecting_master(&looked.tuple) else { return Ok(false) };
    frame.tracked = None;
    let tracked = Tracked { conn: master, is_reply: false, is_error: false };
    tell(Some(&tracked), key, zone, 0);
    key.ct_state = state::TRACKED | state::NEW | state::RELATED;
    Ok(true)
}

/// The connection of a packet; a new one if need be. None: the packet is invalid.
#[inline(never)]
fn find<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    section: &P::Guard,
    frame: &mut Frame<P, Pk>,
    key: &FlowKey,
    layers: &Layers,
    zone: u16,
) -> Result<Option<Tracked<P>>> {
    let Some(Looked { tuple, seen, is_error }) = look(&mut frame.packet, key, layers, zone)? else {
        table.count_one(Count::Invalid);
        return Ok(None);
    };
    if let Some((conn, Place { is_reply })) = table.find(section, &tuple) {
        let tracked = Tracked { conn: conn.clone(), is_reply, is_error };
        match if is_error { Verdict::Pass } else { conn.pass(&seen, is_reply, table.timeouts()) } {
            Verdict::Pass => return Ok(Some(tracked)),
            Verdict::Invalid => {
                table.count_one(Count::Invalid);
                return Ok(None);
            }
            Verdict::Reopen => table.remove(conn),
        }
    } else if is_error {
        table.count_one(Count::Error);
        return Ok(None);
    }
    let conn = begin(table, section, tuple, &seen)?;
    if conn.is_none() {
        table.count_one(Count::Invalid);
    }
    Ok(conn.map(|conn| Tracked { conn, is_reply: false, is_error: false }))
}

/// A new connection. None: the packet cannot begin one. A function of its own for the stack's sake.
#[inline(never)]
fn begin<P: Platform>(
    table: &Conntrack<P>,
    section: &P::Guard,
    tuple: Tuple,
    seen: &Seen,
) -> Result<Option<Shared<Conn<P>>>> {
    let expected = table.expected(&tuple);
    let master = expected.as_ref().map(|expected| expected.master.clone());
    let Some(conn) = Conn::begin(tuple, seen, table.timeouts(), master)? else { return Ok(None) };
    if let Some(expected) = &expected
        && let Some(port) = expected.real_port
    {
        choose::follow(table, section, &conn, &expected.master, expected.is_reply, port)?;
    }
    Shared::try_new(conn).map(Some)
}

/// Puts what is known of a packet's connection into its key. `nat` says what was translated.
fn tell<P: Platform>(tracked: Option<&Tracked<P>>, key: &mut FlowKey, zone: u16, nat: u8) {
    key.ct_zone = zone;
    let Some(Tracked { conn, is_reply, is_error }) = tracked else {
        key.ct_state = state::TRACKED | state::INVALID;
        (key.ct_mark, key.ct_labels) = (0, [0; 16]);
        return no_original(key);
    };
    let mut bits = state::TRACKED | nat;
    bits |= match (is_error, conn.has(SEEN_REPLY)) {
        (true, _) => state::RELATED,
        (false, true) => state::ESTABLISHED,
        (false, false) => state::NEW,
    };
    if *is_reply {
        bits |= state::REPLY_DIR;
    }
    if !conn.has(CONFIRMED) {
        bits |= state::NEW;
    }
    // For as long as it lasts.
    if conn.master().is_some() {
        bits |= state::RELATED;
    }
    key.ct_state = bits;
    (key.ct_mark, key.ct_labels) = conn.mark_and_labels();
    let original = conn.master().map_or(conn.original(), |master| master.original());
    (key.ct_orig_src, key.ct_orig_dst) = (original.src, original.dst);
    key.ct_orig_proto = original.proto;
    let (src, dst) = (original.src_port, original.dst_port);
    (key.ct_orig_tp_src, key.ct_orig_tp_dst) = if original.is_icmp() {
        (Be16::new(dst.get() >> 8), Be16::new(dst.get() & 0xff))
    } else {
        (src, dst)
    };
}

fn no_original(key: &mut FlowKey) {
    (key.ct_orig_src, key.ct_orig_dst) = ([0; 16], [0; 16]);
    (key.ct_orig_tp_src, key.ct_orig_tp_dst) = (Be16::ZERO, Be16::ZERO);
    key.ct_orig_proto = 0;
}

/// What tracking needs of a packet.
struct Looked {
    tuple: Tuple,
    seen: Seen,
    /// The tuple is that of an answer to the packet inside an ICMP error.
    is_error: bool,
}

/// Reads a packet. None: it is invalid.
fn look<Pk: Packet>(packet: &mut Pk, key: &FlowKey, layers: &Layers, zone: u16) -> Result<Option<Looked>> {
    let Some(l3) = layers.l3.filter(|_| key.ip_frag == FRAG_NONE) else { return Ok(None) };
    let Some((mut tuple, end)) = ends(packet, key, l3, zone)? else { return Ok(None) };
    let looked = |tuple, seen| Ok(Some(Looked { tuple, seen, is_error: false }));
    if !has_ports(tuple.proto) && !tuple.is_icmp() {
        return looked(tuple, Seen::Other);
    }
    let Some(l4) = layers.l4.filter(|&l4| l4 < end) else { return Ok(None) };
    if !checksum_fits(packet, &tuple, layers, l4, end)? {
        return Ok(None);
    }
    if has_ports(tuple.proto) {
        (tuple.src_port, tuple.dst_port) = (key.tp_src, key.tp_dst);
        let seen = match tuple.proto {
            IP_TCP => segment(packet, l4, end)?,
            IP_UDP => datagram(packet, l4, end)?,
            _ => association(packet, l4, end)?,
        };
        return seen.map_or(Ok(None), |seen| looked(tuple, seen));
    }
    let Some(&icmp) = header::<Icmp, Pk>(packet, l4)? else { return Ok(None) };
    if is_error(tuple.version, icmp.kind) {
        let inner = inner(packet, tuple.version, l4.saturating_add(size_of::<Icmp>()), zone)?;
        let answer = inner.and_then(|inner| inner.tuple.invert());
        return Ok(answer.map(|tuple| Looked { tuple, seen: Seen::Other, is_error: true }));
    }
    query(&mut tuple, &icmp);
    looked(tuple, Seen::Other)
}

/// Addresses and protocol, and where the IP packet ends. None: it says it is longer than it is.
fn ends<Pk: Packet>(packet: &mut Pk, key: &FlowKey, l3: usize, zone: u16) -> Result<Option<(Tuple, usize)>> {
    let mut tuple = Tuple::new_zeroed();
    (tuple.zone, tuple.proto) = (zone, key.ip_proto);
    let len = match key.eth_type.get() {
        ETH_IPV4 => {
            (tuple.version, tuple.src, tuple.dst) = (4, wide(&key.ipv4_src), wide(&key.ipv4_dst));
            header::<Ipv4, Pk>(packet, l3)?.map_or(0, |ip| usize::from(ip.len.get()))
        }
        ETH_IPV6 => {
            (tuple.version, tuple.src, tuple.dst) = (6, key.ipv6_src, key.ipv6_dst);
            header::<Ipv6, Pk>(packet, l3)?.map_or(0, |ip| size_of::<Ipv6>() + usize::from(ip.len.get()))
        }
        _ => return Ok(None),
    };
    if packet.offload().gso.is_some() {
        // Its header may say less than it is: 64 KiB are all it can say.
        return Ok(Some((tuple, packet.len())));
    }
    let end = l3.saturating_add(len);
    Ok((end <= packet.len()).then_some((tuple, end)))
}

fn wide([a, b, c, d]: &[u8; 4]) -> [u8; 16] {
    [*a, *b, *c, *d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Whether the transport checksum is right, as far as it is there and not still to be made.
fn checksum_fits<Pk: Packet>(
    packet: &Pk,
    tuple: &Tuple,
    layers: &Layers,
    l4: usize,
    end: usize,
) -> Result<bool> {
    let offload = packet.offload();
    if offload.csum.is_some() || offload.gso.is_some() {
        return Ok(true);
    }
    if tuple.proto == IP_SCTP {
        return csum::sctp_fits(packet, l4, end);
    }
    if layers.routed {
        return Ok(true);
    }
    let mut udp = [0; 8];
    if tuple.proto == IP_UDP {
        packet.copy_out(l4, &mut udp)?;
        // Without a checksum: Linux takes it over IPv6 too, where RFC 8200 does not.
        if let [.., 0, 0] = udp {
            return Ok(true);
        }
    }
    let sum = if (tuple.version, tuple.proto) == (4, IP_ICMP) {
        csum::Sum::default()
    } else {
        let (src, dst) = (tuple.address(&tuple.src), tuple.address(&tuple.dst));
        csum::pseudo(src, dst, tuple.proto, end.saturating_sub(l4))
    };
    Ok(csum::sum_between(packet, sum, l4, end)?.fold() == 0xffff)
}

fn segment<Pk: Packet>(packet: &mut Pk, l4: usize, end: usize) -> Result<Option<Seen>> {
    let Some(tcp) = header::<Tcp, Pk>(packet, l4)? else { return Ok(None) };
    let payload = l4.saturating_add(tcp.header_len());
    let Some(len) = end.checked_sub(payload) else { return Ok(None) };
    let mut segment = Segment {
        seq: tcp.seq.get(),
        ack: tcp.ack.get(),
        flags: tcp.flags.get() & 0x3f,
        window: tcp.window.get(),
        len: u32::try_from(len).unwrap_or(u32::MAX),
        scale: None,
        sack: false,
    };
    if segment.flags & 2 != 0 {
        let mut options = [0; OPTIONS_MAX];
        let at = l4.saturating_add(size_of::<Tcp>());
        let options = options.get_mut(..payload.saturating_sub(at)).unwrap_or_default();
        packet.copy_out(at, options)?;
        segment.read_options(options);
    }
    Ok(Some(Seen::Tcp(segment)))
}

/// The first chunk, and the tag that an INIT or INIT ACK behind its header of four bytes asks for.
fn association<Pk: Packet>(packet: &mut Pk, l4: usize, end: usize) -> Result<Option<Seen>> {
    let Some(&Sctp { tag, .. }) = header::<Sctp, Pk>(packet, l4)? else { return Ok(None) };
    let at = l4.saturating_add(size_of::<Sctp>());
    let Some(&[kind, _, high, low]) = header::<[u8; 4], Pk>(packet, at)? else { return Ok(None) };
    let asks = at.saturating_add(4);
    let next = at.saturating_add(usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4));
    if asks > end || Chunk::is_alone(kind) && next < end {
        return Ok(None);
    }
    let init = header::<Be32, Pk>(packet, asks)?.filter(|_| asks.saturating_add(4) <= end);
    let init = init.map_or(0, |init| init.get());
    Ok(Some(Seen::Sctp(Chunk { kind, tag: tag.get(), init })))
}

/// A datagram is not longer than its packet, nor shorter than its header.
fn datagram<Pk: Packet>(packet: &mut Pk, l4: usize, end: usize) -> Result<Option<Seen>> {
    let gso = packet.offload().gso.is_some();
    let room = end.saturating_sub(l4);
    let Some(udp) = header::<Udp, Pk>(packet, l4)? else { return Ok(None) };
    let len = usize::from(udp.len.get());
    Ok((gso || (size_of::<Udp>()..=room).contains(&len)).then_some(Seen::Other))
}

/// What stands for ports in ICMP.
fn query(tuple: &mut Tuple, icmp: &Icmp) {
    let [a, b, ..] = icmp.rest;
    tuple.src_port = Be16::from_bytes([a, b]);
    tuple.dst_port = Be16::from_bytes([icmp.kind, icmp.code]);
}

/// The packet that an ICMP error is about.
pub(super) struct Inner {
    /// Its tuple.
    pub tuple: Tuple,
    /// Where its transport header is.
    pub l4: usize,
}

/// Reads the packet in an ICMP error, which starts at `at`. At least 8 bytes of its transport header are there (RFC 792).
pub(super) fn inner<Pk: Packet>(packet: &mut Pk, version: u8, at: usize, zone: u16) -> Result<Option<Inner>> {
    let mut tuple = Tuple::new_zeroed();
    (tuple.version, tuple.zone) = (version, zone);
    let l4 = if version == 4 {
        let Some(ip) = header::<Ipv4, Pk>(packet, at)? else { return Ok(None) };
        if ip.frag.get() & IPV4_OFFSET != 0 || ip.header_len() < size_of::<Ipv4>() {
            return Ok(None);
        }
        (tuple.src, tuple.dst, tuple.proto) = (wide(&ip.src), wide(&ip.dst), ip.proto);
        at.saturating_add(ip.header_len())
    } else {
        let Some(ip) = header::<Ipv6, Pk>(packet, at)? else { return Ok(None) };
        (tuple.src, tuple.dst, tuple.proto) = (ip.src, ip.dst, ip.next);
        at.saturating_add(size_of::<Ipv6>())
    };
    if !tuple.is_icmp() && !has_ports(tuple.proto) {
        return Ok(Some(Inner { tuple, l4 }));
    }
    let Some(&icmp) = header::<Icmp, Pk>(packet, l4)? else { return Ok(None) };
    if tuple.is_icmp() {
        query(&mut tuple, &icmp);
    } else {
        let Icmp { kind, code, csum: [a, b], .. } = icmp;
        (tuple.src_port, tuple.dst_port) = (Be16::from_bytes([kind, code]), Be16::from_bytes([a, b]));
    }
    Ok(Some(Inner { tuple, l4 }))
}
