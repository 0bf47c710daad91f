//! A packet on its way through a list of actions.

use super::ct::Tracked;
use crate::extract::{Layers, extract};
use crate::key::{Be16, FRAG_LATER, FlowKey, MAC_NONE, TunnelKey};
use crate::packet::Packet;
use crate::wire::{IP_ICMPV6, IP_TCP, IP_UDP, Icmp, Tcp, Udp};
use alloc::boxed::Box;
use pfnl_platform::{Errno, Platform, Result, Shared, try_box};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What Linux says of a packet that ends before a header that an action wants.
pub(crate) const SHORT: Errno = Errno::ENOMEM;

pub(crate) struct Frame<P: Platform, Pk> {
    pub packet: Pk,
    /// The connection it belongs to, once CT has found out.
    pub tracked: Option<Tracked<P>>,
    /// Where a tunnel port is to send it, once SET has said so.
    pub tunnel: Option<Shared<TunnelKey>>,
    /// Where its headers are, kept true as they come and go.
    layers: Layers,
    /// Something else follows the link layer header than did: only where that ends is known.
    lost: bool,
    /// What follows the Ethernet header and the outermost tag: with a second one, that one's TPID.
    pub protocol: Be16,
    /// The key is not that of the headers any more. As on Linux, it is read anew when a packet is looked up or tracked again,
    /// and else shown as it was.
    stale: bool,
    /// How many of 2^32-1 packets get where this one is: the probability of the SAMPLE around, all without one.
    pub rate: u32,
    /// How many bytes at its end the next output or upcall leaves out.
    pub cut: usize,
    /// The longest fragment that it was put together from, without the link layer header; 0 = it was no fragments.
    pub mru: u16,
}

impl<P: Platform, Pk: Packet> Frame<P, Pk> {
    /// Reads a packet's key.
    pub fn try_new(mut packet: Pk, key: &mut FlowKey) -> Result<Frame<P, Pk>> {
        let layers = extract(&mut packet, key)?;
        let protocol = protocol(key);
        Ok(Frame {
            packet,
            tracked: None,
            tunnel: None,
            layers,
            lost: false,
            protocol,
            stale: false,
            rate: u32::MAX,
            cut: 0,
            mru: 0,
        })
    }

    pub fn try_clone(&self) -> Result<Frame<P, Pk>> {
        let (tracked, tunnel) = (self.tracked.clone(), self.tunnel.clone());
        Ok(Frame { packet: self.packet.try_clone()?, tracked, tunnel, ..*self })
    }

    /// Headers came or went, so that the key tells of others.
    pub fn moved(&mut self) {
        self.stale = true;
    }

    /// How many bytes the next output or upcall shows; the one after that shows all.
    pub fn take_keep(&mut self) -> usize {
        match core::mem::take(&mut self.cut) {
            0 => usize::MAX,
            cut => self.packet.len().saturating_sub(cut),
        }
    }

    /// All bytes are others.
    pub fn replaced(&mut self) {
        (self.stale, self.lost) = (true, true);
    }

    /// The key is the packet's again; answers where the headers are.
    pub fn layers(&mut self, key: &mut FlowKey) -> Result<Layers> {
        if self.stale {
            if key.mac_proto == MAC_NONE {
                key.eth_type = self.protocol;
            }
            self.layers = extract(&mut self.packet, key)?;
            self.protocol = protocol(key);
            (self.stale, self.lost) = (false, false);
        }
        Ok(self.layers)
    }

    /// Where the headers are; the key stays as it is.
    pub fn at(&mut self, key: &FlowKey) -> Result<Layers> {
        if self.lost {
            self.layers = self.look(key)?.1;
            self.lost = false;
        }
        Ok(self.layers)
    }

    /// The packet's key as it would be read now.
    #[inline(never)]
    pub fn look(&mut self, key: &FlowKey) -> Result<(Box<FlowKey>, Layers)> {
        let mut own = try_box(key.clone())?;
        if key.mac_proto == MAC_NONE {
            own.eth_type = self.protocol;
        }
        let layers = extract(&mut self.packet, &mut own)?;
        Ok((own, layers))
    }

    /// Where the link layer header ends.
    pub fn l2_len(&self) -> usize {
        self.layers.l2_len
    }

    /// Whether the key tells of other headers than the packet has.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The link layer header has another length; what follows it is what it was.
    pub fn shift(&mut self, l2_len: usize) {
        let old = self.layers.l2_len;
        let moved = |at: usize| at.checked_sub(old).and_then(|at| at.checked_add(l2_len));
        self.layers = Layers {
            l2_len,
            l3: self.layers.l3.and_then(moved),
            l4: self.layers.l4.and_then(moved),
            payload: self.layers.payload.and_then(moved),
            ..self.layers
        };
    }

    /// Something else follows the link layer header now, `l2_len` bytes long.
    pub fn follow(&mut self, l2_len: usize, protocol: Be16) {
        self.layers = Layers { l2_len, ..Layers::default() };
        self.protocol = protocol;
        (self.stale, self.lost) = (true, true);
    }

    /// The checksum that covers the IP addresses, if the packet has one.
    pub fn l4_csum(&self, key: &FlowKey) -> Option<L4Csum> {
        let (offset, whole) = match key.ip_proto {
            IP_TCP => (16, size_of::<Tcp>()),
            IP_UDP => (6, size_of::<Udp>()),
            IP_ICMPV6 => (2, size_of::<Icmp>()),
            _ => return None,
        };
        let header = self.layers.l4.or(self.layers.payload).filter(|_| key.ip_frag != FRAG_LATER)?;
        let at = header.checked_add(offset)?;
        if header.checked_add(whole)? > self.packet.len() {
            return None;
        }
        let partial = self
            .packet
            .offload()
            .csum
            .is_some_and(|csum| (csum.start as usize).checked_add(csum.offset.into()) == Some(at));
        Some(L4Csum { at, partial, is_udp: key.ip_proto == IP_UDP })
    }
}

fn protocol(key: &FlowKey) -> Be16 {
    if key.cvlan.tci == Be16::ZERO { key.eth_type } else { key.cvlan.tpid }
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
