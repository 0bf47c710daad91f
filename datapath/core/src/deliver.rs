//! The two ways out of a datapath: to a port, and up.

use crate::csum;
use crate::datapath::{Datapath, LOST};
use crate::extract::header;
use crate::hash;
use crate::key::{FlowKey, TunnelKey};
use crate::offload::GsoKind;
use crate::packet::Packet;
use crate::port::{Features, Vport};
use crate::tunnel::Inside;
use crate::upcall::{Kind, Request, Upcall};
use crate::wire::{ETH_HLEN, Ethernet, Tag, VLAN_HLEN, is_mpls, is_vlan};
use crate::{fragment, gso};
use pfnl_platform::{Errno, Platform, Result};
use zerocopy::FromBytes;

/// How a packet is to leave.
pub(crate) struct Out<'a> {
    /// Where a tunnel port is to send it.
    pub tunnel: Option<&'a TunnelKey>,
    /// Bytes of it that are.
    pub keep: usize,
    /// The longest fragment it came in, 0 = none.
    pub mru: u16,
}

/// Sends a packet to a port.
pub(crate) fn output<P: Platform, Pk: Packet, U: Upcall<P, Pk>>(
    dp: &Datapath<P, Pk, U>,
    section: &P::Guard,
    number: u32,
    key: &FlowKey,
    mut packet: Pk,
    out: &Out<'_>,
) {
    let Some(vport) = dp.ports.get(section, number) else { return };
    let port = vport.port();
    // A device that is down sends nothing, and one with Ethernet headers nothing without. As on Linux, that
    // is not counted.
    let (tunnel, inside) = (port.tunnel(), Inside::of(key));
    let takes = tunnel.map_or(inside == Inside::Ethernet, |tunnel| tunnel.takes(inside));
    if !port.is_up() || !takes {
        return;
    }
    let through = match (tunnel, out.tunnel) {
        (None, _) => None,
        (Some(_), Some(tunnel)) => Some((tunnel, flow_hash(key, &packet))),
        (Some(_), None) => {
            // Nobody has said where to: the port counts what it drops.
            vport.count_tx_dropped();
            return port.send(packet);
        }
    };
    cut(&mut packet, out.keep);
    let mru = usize::from(out.mru);
    if mru > 0 && fragment::network_len(inside, &mut packet) > mru {
        // As Linux: where the longest fragment it came in does not fit, smaller ones are not made either.
        if mru > port.mtu() {
            return vport.count_tx_error();
        }
        let each = &mut |piece| send(vport, through, inside, piece);
        let sent = fragment::cut::<P, Pk>(inside, &mut packet, mru, each);
        if sent.is_err() {
            vport.count_tx_error();
        }
        return;
    }
    if packet.offload().gso.is_none() && payload_len(inside, &packet) > port.mtu() {
        return vport.count_tx_error();
    }
    if send(vport, through, inside, packet).is_err() {
        vport.count_tx_error();
    }
}

/// A tunnel's key, and the hash of what goes through it.
type Through<'a> = Option<(&'a TunnelKey, u32)>;

/// What tells the flows in a tunnel apart: the device's own hash, or one over the addresses.
pub(crate) fn flow_hash<Pk: Packet>(key: &FlowKey, packet: &Pk) -> u32 {
    match packet.offload().hash {
        0 => hash::of_flow(key),
        hash => hash,
    }
}

/// Tags that labels are looked for behind.
const MAX_TAGS: usize = 8;

/// Whether a label stands behind a packet's link layer header.
fn is_labelled<Pk: Packet>(inside: Inside, packet: &mut Pk) -> Result<bool> {
    let (mut kind, mut end) = match inside {
        Inside::Network(ethertype) => (ethertype, 0),
        Inside::Ethernet => {
            (header::<Ethernet, Pk>(packet, 0)?.map_or(0, |ethernet| ethernet.ethertype.get()), ETH_HLEN)
        }
    };
    for _ in 0..MAX_TAGS {
        if !is_vlan(kind) || inside != Inside::Ethernet {
            break;
        }
        kind = header::<Tag, Pk>(packet, end)?.map_or(0, |tag| tag.ethertype.get());
        end = end.saturating_add(VLAN_HLEN);
    }
    Ok(is_mpls(kind))
}

/// Does what the device cannot do, and hands the packet over.
fn send<P: Platform, Pk: Packet>(
    vport: &Vport<P, Pk>,
    through: Through<'_>,
    inside: Inside,
    mut packet: Pk,
) -> Result<()> {
    let port = vport.port();
    // As on Linux, a device does nothing to packets with labels. Most have nothing left to do, and are not looked at.
    let left = packet.offload().csum.is_some() || packet.offload().gso.is_some();
    let labelled = left && is_labelled(inside, &mut packet)?;
    let features = if labelled { Features::default() } else { port.features() };
    let hand_over = |packet| match through {
        Some((tunnel, hash)) => port.send_through(packet, inside, tunnel, hash),
        None => port.send(packet),
    };
    let cuts = packet.offload().gso.map(|gso| match gso.kind {
        GsoKind::Tcp4 => features.tso4,
        GsoKind::Tcp6 => features.tso6,
        GsoKind::Udp => features.uso,
    });
    if cuts == Some(false) {
        return gso::segment(&packet, inside, &mut |segment| {
            vport.count_tx(segment.len());
            hand_over(segment);
            Ok(())
        });
    }
    if !features.csum {
        csum::complete(&mut packet)?;
    }
    vport.count_tx(packet.len());
    hand_over(packet);
    Ok(())
}

/// Sends a packet, or the first `keep` bytes of it, up. A large one goes in segments; checksums are completed.
pub(crate) fn upcall<P: Platform, Pk: Packet, U: Upcall<P, Pk>>(
    dp: &Datapath<P, Pk, U>,
    section: &P::Guard,
    kind: Kind<'_>,
    key: &FlowKey,
    packet: &mut Pk,
    keep: usize,
    mru: u16,
) {
    let vport = dp.ports.get(section, key.in_port);
    let hash = packet.offload().hash;
    let up = |packet: &Pk| {
        let keep = keep.min(packet.len());
        let request = Request { kind, vport: vport.map(|vport| &**vport), keep, hash, mru };
        dp.upper().upcall(dp, section, &request, key, packet)
    };
    let result = if packet.offload().gso.is_some() {
        gso::segment(packet, Inside::of(key), &mut |segment| up(&segment))
    } else {
        csum::complete(packet).and_then(|()| up(packet))
    };
    // As on Linux, one that goes in segments is one upcall, and one that is for nobody is none of the port's.
    if let (Some(vport), true) = (vport, result != Err(Errno::ENOTCONN)) {
        vport.count_upcall(result.is_ok());
    }
    if result.is_err() {
        dp.counters.local().add(LOST, 1);
    }
}

/// Cuts a packet short. What its end was needed for is not to be done any more.
fn cut<Pk: Packet>(packet: &mut Pk, keep: usize) {
    if keep >= packet.len() {
        return;
    }
    packet.truncate(keep);
    let offload = packet.offload_mut();
    let covers = |csum: &crate::offload::PartialCsum| {
        (csum.start as usize).saturating_add(usize::from(csum.offset) + 2) <= keep
    };
    offload.csum = offload.csum.filter(covers);
    offload.gso = offload.gso.filter(|gso| (gso.hdr_len as usize).saturating_add(gso.size.into()) < keep);
}

/// The length that a device's MTU limits: without the Ethernet header and one tag.
fn payload_len<Pk: Packet>(inside: Inside, packet: &Pk) -> usize {
    if inside != Inside::Ethernet {
        return packet.len();
    }
    let tagged = Ethernet::ref_from_prefix(packet.head()).is_ok_and(|(e, _)| is_vlan(e.ethertype.get()));
    packet.len().saturating_sub(ETH_HLEN + if tagged { VLAN_HLEN } else { 0 })
}

/// The length a packet has on the wire: of its largest segment.
///
/// # Errors
/// `EINVAL` for a packet that is not what its offload says.
pub(crate) fn wire_len<Pk: Packet>(inside: Inside, packet: &Pk) -> Result<usize> {
    match packet.offload().gso {
        None => Ok(packet.len()),
        Some(gso) => gso::header_len(packet, inside)?.checked_add(gso.size.into()).ok_or(Errno::EINVAL),
    }
}
