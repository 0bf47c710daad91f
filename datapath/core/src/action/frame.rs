//! A packet on its way through a list of actions.

use super::ct::Tracked;
use crate::extract::{Layers, extract};
use crate::key::{FRAG_LATER, FlowKey};
use crate::packet::Packet;
use crate::wire::{IP_ICMPV6, IP_TCP, IP_UDP};
use pfnl_platform::{Errno, Platform, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) struct Frame<P: Platform, Pk> {
    pub packet: Pk,
    /// The connection it belongs to, once CT has found out.
    pub tracked: Option<Tracked<P>>,
    layers: Layers,
    /// A header came or went: the key and the layers are to be read again before they are used.
    stale: bool,
    /// How much of it the next output or upcall shows.
    pub keep: usize,
    /// The longest fragment that it was put together from, without the link layer header; 0 = it was no fragments.
    pub mru: u16,
}

impl<P: Platform, Pk: Packet> Frame<P, Pk> {
    /// Reads a packet's key.
    pub fn try_new(mut packet: Pk, key: &mut FlowKey) -> Result<Frame<P, Pk>> {
        let layers = extract(&mut packet, key)?;
        Ok(Frame { packet, tracked: None, layers, stale: false, keep: usize::MAX, mru: 0 })
    }

    pub fn try_clone(&self) -> Result<Frame<P, Pk>> {
        Ok(Frame { packet: self.packet.try_clone()?, tracked: self.tracked.clone(), ..*self })
    }

    /// The headers were moved: nothing that was known of them holds.
    pub fn moved(&mut self) {
        self.stale = true;
    }

    /// Where the headers are; the key is the packet's again.
    pub fn layers(&mut self, key: &mut FlowKey) -> Result<Layers> {
        if self.stale {
            self.layers = extract(&mut self.packet, key)?;
            self.stale = false;
        }
        Ok(self.layers)
    }

    /// The checksum that covers the IP addresses, if the packet has one.
    pub fn l4_csum(&self, key: &FlowKey) -> Option<L4Csum> {
        let at = self.layers.l4.filter(|_| key.ip_frag != FRAG_LATER)?.checked_add(match key.ip_proto {
            IP_TCP => 16,
            IP_UDP => 6,
            IP_ICMPV6 => 2,
            _ => return None,
        })?;
        let partial = self
            .packet
            .offload()
            .csum
            .is_some_and(|csum| (csum.start as usize).checked_add(csum.offset.into()) == Some(at));
        Some(L4Csum { at, partial, is_udp: key.ip_proto == IP_UDP })
    }
}

/// A transport checksum.
#[derive(Clone, Copy)]
pub(crate) struct L4Csum {
    /// Where its field is.
    at: usize,
    /// The field holds the sum of the pseudo-header only.
    partial: bool,
    is_udp: bool,
}

impl L4Csum {
    /// How much of the packet must be writable.
    pub fn end(&self) -> usize {
        self.at.saturating_add(2)
    }

    /// Bytes of the pseudo-header changed.
    pub fn pseudo(&self, head: &mut [u8], old: &[u8], new: &[u8]) -> Result<()> {
        if self.partial {
            crate::csum::replace_partial(view(head, self.at)?, old, new);
            return Ok(());
        }
        self.content(head, old, new)
    }

    /// Bytes of the transport header changed. A partial checksum is not concerned.
    pub fn content(&self, head: &mut [u8], old: &[u8], new: &[u8]) -> Result<()> {
        let field: &mut [u8; 2] = view(head, self.at)?;
        if self.partial || self.is_udp && *field == [0; 2] {
            return Ok(());
        }
        crate::csum::replace(field, old, new);
        if self.is_udp && *field == [0; 2] {
            *field = [0xff; 2];
        }
        Ok(())
    }
}

/// The header at an offset, to change it.
pub(crate) fn view<T>(head: &mut [u8], at: usize) -> Result<&mut T>
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
{
    let place = head.get_mut(at..at.saturating_add(size_of::<T>())).ok_or(Errno::EINVAL)?;
    T::mut_from_bytes(place).map_err(|_| Errno::EINVAL)
}
