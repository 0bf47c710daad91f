//! Headers that come and go: VLAN tags, MPLS labels, the Ethernet header. Each moves what is before it, which is at most
//! a few dozen bytes, and never what is behind.

use super::frame::{Frame, Outer, SHORT, view};
use crate::extract::header;
use crate::key::{Be16, Be32, FlowKey, MAC_ETHERNET, MAC_NONE, Mac, VLAN_PRESENT, Vlan};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::{Errno, Platform, Result};

/// Both Ethernet addresses.
const ADDRESSES: usize = 12;

pub(super) fn push_vlan<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    tpid: Be16,
    tci: Be16,
) -> Result<()> {
    let new = Vlan { tci, tpid };
    // As a tag goes into a frame: what says in a key that there is one is the drop eligible bit there.
    let bare = Vlan { tci: tci & !Be16::new(VLAN_PRESENT), tpid };
    if key.mac_proto != MAC_ETHERNET {
        lift(frame, key)?;
    }
    let before = match frame.tag {
        Outer::Beside(old) => {
            insert_tag(frame, old)?;
            (frame.tag, frame.protocol) = (Outer::Beside(bare), old.tpid);
            frame.moved();
            return Ok(());
        }
        _ if key.mac_proto != MAC_ETHERNET => {
            // A list inside another may try.
            (frame.tag, key.vlan) = (Outer::Beside(bare), new);
            return Ok(());
        }
        Outer::InFrame => outermost(frame)?.filter(|tag| tag.inside.is_some()),
        Outer::None => None,
    };
    let l2_len = frame.l2_len().saturating_add(VLAN_HLEN);
    put_tag(frame, bare)?;
    frame.tag = Outer::InFrame;
    match before {
        Some(Outermost { tpid, .. }) => {
            frame.shift_all_but_network(l2_len);
            frame.protocol = tpid;
            frame.moved();
        }
        None => {
            frame.shift(l2_len);
            key.vlan = new;
        }
    }
    Ok(())
}

pub(super) fn pop_vlan<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
    let is_tag_next = is_vlan(frame.protocol.get()) && key.mac_proto == MAC_ETHERNET;
    match frame.tag {
        Outer::Beside(_) if !is_tag_next => (frame.tag, key.vlan) = (Outer::None, Vlan::default()),
        // The one that is in the frame takes its place.
        Outer::Beside(_) => {
            frame.tag = Outer::InFrame;
            frame.protocol = outermost(frame)?.and_then(|tag| tag.inside).ok_or(SHORT)?;
            frame.moved();
        }
        Outer::None if !is_tag_next => {}
        _ if key.mac_proto != MAC_ETHERNET => {}
        _ => {
            let Some(tag) = outermost(frame)? else { return Ok(()) };
            tag.inside.ok_or(SHORT)?;
            let l2_len = frame.l2_len().saturating_sub(VLAN_HLEN);
            remove(frame, ADDRESSES, VLAN_HLEN)?;
            frame.shift(l2_len);
            let Some(tag) = outermost(frame)? else {
                key.vlan = Vlan::default();
                return Ok(());
            };
            frame.protocol = tag.inside.ok_or(SHORT)?;
            frame.moved();
        }
    }
    Ok(())
}

/// Puts the tag of an Ethernet frame beside it, before something else comes in front.
pub(super) fn lift<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &FlowKey) -> Result<()> {
    if frame.tag != Outer::InFrame || key.mac_proto != MAC_ETHERNET {
        return Ok(());
    }
    frame.tag = Outer::None;
    let Some(ethernet) = header::<TaggedEthernet, Pk>(&mut frame.packet, 0)? else { return Ok(()) };
    let tag = Vlan { tpid: ethernet.tpid, tci: ethernet.tci };
    if is_tagged(frame)? {
        let l2_len = frame.l2_len().saturating_sub(VLAN_HLEN);
        remove(frame, ADDRESSES, VLAN_HLEN)?;
        frame.shift(l2_len);
        frame.tag = Outer::Beside(tag);
    }
    Ok(())
}

/// Puts a tag behind the first twelve bytes, whatever they are.
pub(super) fn insert_tag<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, tag: Vlan) -> Result<()> {
    let l2_len = frame.l2_len().saturating_add(VLAN_HLEN);
    if frame.packet.len() < ETH_HLEN {
        return Err(SHORT);
    }
    put_tag(frame, tag)?;
    frame.shift_all_but_network(l2_len);
    Ok(())
}

fn put_tag<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, tag: Vlan) -> Result<()> {
    let head = insert(frame, ADDRESSES, VLAN_HLEN)?;
    let header: &mut TaggedEthernet = view(head, 0)?;
    (header.tpid, header.tci) = (tag.tpid, tag.tci);
    Ok(())
}

/// Whether a frame has a whole tag.
pub(super) fn is_tagged<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>) -> Result<bool> {
    Ok(outermost(frame)?.is_some_and(|tag| tag.inside.is_some()))
}

/// A tag as it stands in a frame.
struct Outermost {
    tpid: Be16,
    /// The Ethernet type behind it; none where the frame ends within its tag.
    inside: Option<Be16>,
}

/// The outermost tag, if there is one.
fn outermost<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>) -> Result<Option<Outermost>> {
    let Some(ethernet) = header::<Ethernet, Pk>(&mut frame.packet, 0)? else { return Ok(None) };
    let tpid = ethernet.ethertype;
    if !is_vlan(tpid.get()) {
        return Ok(None);
    }
    let tag = header::<Tag, Pk>(&mut frame.packet, ETH_HLEN)?;
    Ok(Some(Outermost { tpid, inside: tag.map(|tag| tag.ethertype) }))
}

/// `at` is where the label goes: in front of the network header, or of everything.
pub(super) fn push_mpls<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    lse: Be32,
    ethertype: Be16,
    whole_frame: bool,
) -> Result<()> {
    if whole_frame {
        lift(frame, key)?;
    }
    let at = if whole_frame { 0 } else { frame.l2_len() };
    let ethernet = key.mac_proto == MAC_ETHERNET;
    let place = if ethernet { type_or_length(frame, at)? } else { 0 };
    let head = insert(frame, at, MPLS_HLEN)?;
    view::<Lse>(head, at)?.word = lse;
    if whole_frame {
        key.mac_proto = MAC_NONE;
    }
    // In front of SNAP, it takes the length's place.
    set_ethertype(frame, key, place.saturating_add(2), ethertype)?;
    frame.follow(at, ethertype, 0, MPLS_HLEN);
    Ok(())
}

pub(super) fn pop_mpls<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    ethertype: Be16,
) -> Result<()> {
    let at = frame.l2_len();
    if !is_mpls(frame.protocol.get()) {
        if ethertype.get() == ETH_TEB {
            key.mac_proto = MAC_ETHERNET;
        }
        return Ok(());
    }
    remove(frame, at, MPLS_HLEN).map_err(|_| SHORT)?;
    set_ethertype(frame, key, at, ethertype)?;
    frame.follow(at, ethertype, MPLS_HLEN, 0);
    if ethertype.get() == ETH_TEB {
        // A whole frame was behind the label.
        key.mac_proto = MAC_ETHERNET;
    }
    Ok(())
}

pub(super) fn push_eth<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    dst: Mac,
    src: Mac,
) -> Result<()> {
    if key.mac_proto != MAC_NONE {
        return Err(Errno::EINVAL);
    }
    if frame.l2_len() > 0 || frame.is_open() {
        // There is a tag, for which there would be no place. And what is left of another header's end, SNAP, would be in the middle.
        return Err(Errno::EPROTO);
    }
    let (l2_len, ethertype) = (frame.l2_len().saturating_add(ETH_HLEN), frame.protocol);
    let head = insert(frame, 0, ETH_HLEN)?;
    *view(head, 0)? = Ethernet { dst, src, ethertype };
    frame.shift(l2_len);
    frame.moved();
    key.mac_proto = MAC_ETHERNET;
    Ok(())
}

pub(super) fn pop_eth<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
    if key.mac_proto != MAC_ETHERNET {
        // A list inside another may try.
        return Err(Errno::EPROTO);
    }
    if frame.is_open() || frame.tag == Outer::InFrame && outermost(frame)?.is_some() {
        return Err(Errno::EPROTO);
    }
    let l2_len = frame.l2_len().saturating_sub(ETH_HLEN);
    frame.packet.pop_front(ETH_HLEN)?;
    frame.shift(l2_len);
    frame.moved();
    key.mac_proto = MAC_NONE;
    Ok(())
}

/// Where, in a link layer header, its Ethernet type is, or the length that some have instead.
fn type_or_length<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, l2_len: usize) -> Result<usize> {
    let mut at = ADDRESSES;
    while at.saturating_add(VLAN_HLEN + 2) <= l2_len {
        match header::<Be16, Pk>(&mut frame.packet, at)? {
            Some(ethertype) if is_vlan(ethertype.get()) => at += VLAN_HLEN,
            _ => break,
        }
    }
    Ok(at)
}

/// Says what follows the link layer header that ends at `at`.
fn set_ethertype<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &FlowKey,
    at: usize,
    ethertype: Be16,
) -> Result<()> {
    if let Some(place) = at.checked_sub(2).filter(|_| key.mac_proto == MAC_ETHERNET) {
        *view(frame.packet.head_mut(at)?, place)? = ethertype;
    }
    Ok(())
}

/// Makes room for `n` bytes at `at`; answers the head up to their end.
fn insert<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, at: usize, n: usize) -> Result<&mut [u8]> {
    // First what can fail.
    frame.packet.pull(at)?;
    frame.packet.push_front(n)?;
    let head = frame.packet.head_mut(at.saturating_add(n))?;
    shift(head, n, 0, at)?;
    Ok(head)
}

/// Takes away the `n` bytes at `at`.
fn remove<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, at: usize, n: usize) -> Result<()> {
    shift(frame.packet.head_mut(at.saturating_add(n))?, 0, n, at)?;
    frame.packet.pop_front(n)
}

/// Moves `len` bytes; what does not fit into the head is refused.
fn shift(head: &mut [u8], from: usize, to: usize, len: usize) -> Result<()> {
    // As copy_within checks it, so that the compiler sees that it need not.
    let end = from.checked_add(len).filter(|&end| end <= head.len()).ok_or(Errno::EINVAL)?;
    if from > end || to > head.len() - (end - from) {
        return Err(Errno::EINVAL);
    }
    head.copy_within(from..end, to);
    Ok(())
}
