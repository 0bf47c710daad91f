//! A packet on its way through a list of actions.

use super::ct::Tracked;
use super::resize;
use crate::extract::{Layers, extract};
use crate::key::{Be16, FlowKey, MAC_ETHERNET, MAC_NONE, TunnelKey, Vlan};
use crate::packet::Packet;
use crate::wire::{IP_ICMPV6, IP_TCP, IP_UDP, Icmp, Tcp, Udp, VLAN_HLEN};
use alloc::boxed::Box;
use pfnl_platform::{Errno, Platform, Result, Shared, try_box};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What Linux says of a packet that ends before a header that an action wants.
pub(crate) const SHORT: Errno = Errno::ENOMEM;

/// Where a frame's outermost tag is. Linux keeps it beside the frame from when it was read or pushed, and puts it back when the
/// frame leaves. As long as nothing else comes or goes in front, that is as if it had stayed where it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outer {
    /// Where it belongs, if there is one.
    InFrame,
    /// Beside the frame, or beside what was put in front of that. Whatever leaves gets it at byte 12.
    Beside(Vlan),
    /// There is none: what looks like it is part of a frame that has not been read yet.
    None,
}

pub(crate) struct Frame<P: Platform, Pk> {
    pub packet: Pk,
    /// The connection it belongs to, once CT has found out.
    pub tracked: Option<Tracked<P>>,
    /// Where a tunnel port is to send it, once SET has said so.
    pub tunnel: Option<Shared<TunnelKey>>,
    /// Where its headers were found, moved as others come and go in front of them.
    layers: Layers,
    /// Where a network header is looked for: behind the link layer header, or where Linux has it otherwise.
    network: usize,
    /// What follows the Ethernet header and the outermost tag: with a second one, that one's TPID.
    pub protocol: Be16,
    /// The key is not that of the headers any more. As on Linux, it is read anew when a packet is looked up or tracked again,
    /// and else shown as it was.
    stale: bool,
    /// How many of 2^32-1 packets get where this one is: the probability of the SAMPLE around, all without one.
    pub rate: u32,
    /// How many bytes of it the next output or upcall shows.
    pub keep: usize,
    /// Where its outermost tag is.
    pub tag: Outer,
    /// The longest fragment that it was put together from, without the link layer header; 0 = it was no fragments.
    pub mru: u16,
}

impl<P: Platform, Pk: Packet> Frame<P, Pk> {
    /// Reads a packet's key.
    pub fn try_new(mut packet: Pk, key: &mut FlowKey) -> Result<Frame<P, Pk>> {
        let layers = extract(&mut packet, key)?;
        let (protocol, network) = (protocol(key), layers.l2_len);
        Ok(Frame {
            packet,
            tracked: None,
            tunnel: None,
            layers,
            network,
            protocol,
            stale: false,
            rate: u32::MAX,
            keep: usize::MAX,
            tag: Outer::InFrame,
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
        core::mem::replace(&mut self.keep, usize::MAX)
    }

    /// How long it is without its outermost tag, as lengths are counted.
    pub fn untagged_len(&mut self, key: &FlowKey) -> Result<usize> {
        let tagged = self.tag == Outer::InFrame && key.mac_proto == MAC_ETHERNET && resize::is_tagged(self)?;
        Ok(self.packet.len().saturating_sub(if tagged { VLAN_HLEN } else { 0 }))
    }

    /// Whether a tag stands beside it.
    pub fn is_open(&self) -> bool {
        matches!(self.tag, Outer::Beside(_))
    }

    /// Puts the tag beside it back, where tags are.
    pub fn seal(&mut self) -> Result<()> {
        let Outer::Beside(tag) = self.tag else { return Ok(()) };
        resize::insert_tag(self, tag)?;
        self.tag = Outer::InFrame;
        Ok(())
    }

    /// The key is the packet's again; answers where the headers are.
    pub fn layers(&mut self, key: &mut FlowKey) -> Result<Layers> {
        if self.stale {
            if key.mac_proto == MAC_NONE {
                key.eth_type = self.protocol;
            } else {
                self.seal()?;
                self.tag = Outer::InFrame;
            }
            self.layers = extract(&mut self.packet, key)?;
            (self.protocol, self.network) = (protocol(key), self.layers.l2_len);
            self.stale = false;
        }
        Ok(self.layers)
    }

    /// Where a network header is looked for.
    pub fn network(&self) -> usize {
        self.network
    }

    /// Where the transport header is, or what is taken for it.
    pub fn transport(&self) -> Option<usize> {
        self.layers.l4.or(self.layers.payload)
    }

    /// Whether an IPv6 routing header has segments left.
    pub fn is_routed(&self) -> bool {
        self.layers.routed
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
        self.network = (self.network.saturating_add(l2_len)).saturating_sub(old);
        self.move_all(old, l2_len);
    }

    /// As [`Frame::shift`], for a tag that comes between the addresses and another one. As on Linux, the network header is
    /// looked for where it was before.
    pub fn shift_all_but_network(&mut self, l2_len: usize) {
        self.move_all(self.layers.l2_len, l2_len);
    }

    /// Something else follows the link layer header now, which is `l2_len` bytes long; of what was behind it, `from` is `to`.
    pub fn follow(&mut self, l2_len: usize, protocol: Be16, from: usize, to: usize) {
        self.move_all(from, to);
        (self.layers.l2_len, self.network) = (l2_len, l2_len);
        self.protocol = protocol;
        self.stale = true;
    }

    fn move_all(&mut self, from: usize, to: usize) {
        let moved = |at: usize| at.checked_add(to).and_then(|at| at.checked_sub(from));
        self.layers = Layers {
            l2_len: moved(self.layers.l2_len).unwrap_or(0),
            l3: self.layers.l3.and_then(moved),
            l4: self.layers.l4.and_then(moved),
            payload: self.layers.payload.and_then(moved),
            ..self.layers
        };
    }

    /// The checksum of the transport header, if the packet has one.
    pub fn l4_csum(&self, protocol: u8) -> Option<L4Csum> {
        let (offset, whole) = match protocol {
            IP_TCP => (16, size_of::<Tcp>()),
            IP_UDP => (6, size_of::<Udp>()),
            IP_ICMPV6 => (2, size_of::<Icmp>()),
            _ => return None,
        };
        let header = self.transport()?;
        let at = header.checked_add(offset)?;
        if header.checked_add(whole)? > self.packet.len() {
            return None;
        }
        let partial = self
            .packet
            .offload()
            .csum
            .is_some_and(|csum| (csum.start as usize).checked_add(csum.offset.into()) == Some(at));
        Some(L4Csum { at, partial, is_udp: protocol == IP_UDP })
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
