//! Headers that come and go: VLAN tags, MPLS labels, the Ethernet header. Each moves what is before it, which is at most
//! a few dozen bytes, and never what is behind.

use super::frame::{Frame, SHORT, view};
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
    if key.mac_proto != MAC_ETHERNET {
        // A list inside another may try. There is no place for a tag, and nothing that would send it.
        return Ok(());
    }
    let before = outermost(frame)?;
    let l2_len = frame.l2_len().saturating_add(VLAN_HLEN);
    let head = insert(frame, ADDRESSES, VLAN_HLEN)?;
    let header: &mut TaggedEthernet = view(head, 0)?;
    (header.tpid, header.tci) = (tpid, tci & !Be16::new(VLAN_PRESENT));
    frame.shift(l2_len);
    match before {
        Some(Outermost { tpid, inside: Some(_) }) => {
            frame.protocol = tpid;
            frame.moved();
        }
        _ => key.vlan = Vlan { tci, tpid },
    }
    Ok(())
}

pub(super) fn pop_vlan<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
    if key.mac_proto != MAC_ETHERNET {
        return Ok(());
    }
    let Some(tag) = outermost(frame)? else { return Ok(()) };
    tag.inside.ok_or(SHORT)?;
    let l2_len = frame.l2_len().saturating_sub(VLAN_HLEN);
    remove(frame, ADDRESSES, VLAN_HLEN)?;
    frame.shift(l2_len);
    match outermost(frame)? {
        Some(tag) => {
            frame.protocol = tag.inside.ok_or(SHORT)?;
            frame.moved();
        }
        None => key.vlan = Vlan::default(),
    }
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
    let at = if whole_frame { 0 } else { frame.l2_len() };
    let head = insert(frame, at, MPLS_HLEN)?;
    view::<Lse>(head, at)?.word = lse;
    if whole_frame {
        key.mac_proto = MAC_NONE;
    }
    set_ethertype(frame, key, at, ethertype)?;
    frame.follow(at, ethertype);
    Ok(())
}

pub(super) fn pop_mpls<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    ethertype: Be16,
) -> Result<()> {
    let at = frame.l2_len();
    if !is_mpls(frame.protocol.get()) {
        return Ok(());
    }
    remove(frame, at, MPLS_HLEN).map_err(|_| SHORT)?;
    set_ethertype(frame, key, at, ethertype)?;
    frame.follow(at, ethertype);
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
    if frame.l2_len() > 0 {
        // What is left of another header's end, SNAP, would be in the middle.
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
    ethernet_only(key)?;
    if outermost(frame)?.is_some() {
        return Err(Errno::EPROTO);
    }
    let l2_len = frame.l2_len().saturating_sub(ETH_HLEN);
    frame.packet.pop_front(ETH_HLEN)?;
    frame.shift(l2_len);
    frame.moved();
    key.mac_proto = MAC_NONE;
    Ok(())
}

fn ethernet_only(key: &FlowKey) -> Result<()> {
    if key.mac_proto == MAC_ETHERNET { Ok(()) } else { Err(Errno::EINVAL) }
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
