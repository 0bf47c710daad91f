//! Service headers that come and go (RFC 8300). They stand in front of everything, of an Ethernet header too: PUSH_NSH makes an
//! L3 packet of a frame, and what is to be sent needs PUSH_ETH then.

use super::frame::{Frame, SHORT, view};
use super::{PushNsh, resize};
use crate::extract::header;
use crate::key::{Be16, FlowKey, MAC_ETHERNET, MAC_NONE};
use crate::packet::Packet;
use crate::wire::*;
use pfnl_platform::{Errno, Platform, Result};

/// The longest header that its length, of 6 bits, can tell of.
const MAX_LEN: usize = 63 * 4;

pub(super) fn push<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    new: &PushNsh,
) -> Result<()> {
    // What has a link layer header is a frame, if only the end of one: SNAP, whose Ethernet header was taken away.
    let inside = if frame.l2_len() > 0 { ETH_TEB } else { frame.protocol.get() };
    let np = nsh_next(inside).ok_or(Errno::EAFNOSUPPORT)?;
    let len = size_of::<Nsh>().saturating_add(new.metadata.len());
    if len > MAX_LEN || !len.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let words = u16::try_from(len / 4).map_err(|_| Errno::EINVAL)?;
    let first = u16::from(new.flags & 3) << 12 | u16::from(new.ttl & 0x3f) << 6 | words;
    resize::lift(frame, key)?;
    frame.packet.push_front(len)?;
    let head = frame.packet.head_mut(len)?;
    *view(head, 0)? = Nsh { first: Be16::new(first), mdtype: new.mdtype, np, path: new.path_hdr };
    let place = head.get_mut(size_of::<Nsh>()..).ok_or(Errno::EINVAL)?;
    place.iter_mut().zip(&new.metadata).for_each(|(to, from)| *to = *from);
    key.mac_proto = MAC_NONE;
    frame.follow(0, Be16::new(ETH_NSH), 0, len);
    Ok(())
}

pub(super) fn pop<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<()> {
    // A list inside another may try it on a frame: whatever is in front is taken for a service header.
    resize::lift(frame, key)?;
    let nsh: Nsh = *header(&mut frame.packet, 0)?.ok_or(SHORT)?;
    if nsh.len() < size_of::<Nsh>() {
        return Err(Errno::EINVAL);
    }
    if nsh.len() > frame.packet.len() {
        return Err(SHORT);
    }
    let inside = nsh_ethertype(nsh.np).ok_or(Errno::EAFNOSUPPORT)?;
    frame.packet.pop_front(nsh.len())?;
    if inside == ETH_TEB {
        key.mac_proto = MAC_ETHERNET;
        frame.follow(ETH_HLEN, Be16::new(inside), nsh.len(), 0);
    } else {
        frame.follow(0, Be16::new(inside), nsh.len(), 0);
    }
    Ok(())
}
