//! Headers that come and go: VLAN tags, MPLS labels, the Ethernet header. Each moves what is before it, which is at most
//! a few dozen bytes, and never what is behind.

use super::frame::{Frame, view};
use crate::key::{Be16, Be32, FlowKey, MAC_ETHERNET, MAC_NONE, Mac, VLAN_PRESENT};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::{Errno, Platform, Result};

/// Both Ethernet addresses.
const ADDRESSES: usize = 12;

pub(super) fn push_vlan<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &FlowKey,
    tpid: Be16,
    tci: Be16,
) -> Result<()> {
    ethernet_only(key)?;
    let head = insert(frame, ADDRESSES, VLAN_HLEN)?;
    let header: &mut TaggedEthernet = view(head, 0)?;
    (header.tpid, header.tci) = (tpid, tci & !Be16::new(VLAN_PRESENT));
    Ok(())
}

pub(super) fn pop_vlan<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
    ethernet_only(key)?;
    frame.layers(key)?;
    if key.vlan.tci == Be16::ZERO {
        return Ok(());
    }
    remove(frame, ADDRESSES, VLAN_HLEN)
}

/// `at` is where the label goes: in front of the network header, or of everything.
pub(super) fn push_mpls<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    lse: Be32,
    ethertype: Be16,
    whole_frame: bool,
) -> Result<()> {
    let at = if whole_frame { 0 } else { frame.layers(key)?.l2_len };
    let head = insert(frame, at, MPLS_HLEN)?;
    view::<Lse>(head, at)?.word = lse;
    if whole_frame {
        key.mac_proto = MAC_NONE;
    }
    set_ethertype(frame, key, at, ethertype)
}

pub(super) fn pop_mpls<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    ethertype: Be16,
) -> Result<()> {
    let at = frame.layers(key)?.l2_len;
    if key.mpls_labels == 0 {
        return Ok(());
    }
    remove(frame, at, MPLS_HLEN)?;
    set_ethertype(frame, key, at, ethertype)
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
    let head = insert(frame, 0, ETH_HLEN)?;
    *view(head, 0)? = Ethernet { dst, src, ethertype: key.eth_type };
    key.mac_proto = MAC_ETHERNET;
    Ok(())
}

pub(super) fn pop_eth<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
    ethernet_only(key)?;
    frame.layers(key)?;
    frame.packet.pop_front(ETH_HLEN)?;
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
    key: &mut FlowKey,
    at: usize,
    ethertype: Be16,
) -> Result<()> {
    key.eth_type = ethertype;
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
    frame.moved();
    let head = frame.packet.head_mut(at.saturating_add(n))?;
    shift(head, n, 0, at)?;
    Ok(head)
}

/// Takes away the `n` bytes at `at`.
fn remove<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, at: usize, n: usize) -> Result<()> {
    shift(frame.packet.head_mut(at.saturating_add(n))?, 0, n, at)?;
    frame.packet.pop_front(n)?;
    frame.moved();
    Ok(())
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
