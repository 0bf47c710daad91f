//! What a datapath keeps for the layer above, and the way of its packets to user space.

use crate::key;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use pfnl_datapath::upcall::{Kind, Request, Sample};
use pfnl_datapath::{Datapath, FlowKey, Packet, Upcall};
use pfnl_platform::{Errno, Mutex, Platform, RcuBox, RcuCell, Result, Shared, try_to_vec};
use pfnl_proto::ovs::{
    DP_F_DISPATCH_UPCALL_PER_CPU, DP_F_UNALIGNED, DP_F_VPORT_PIDS, OvsHeader, packet, packet_cmd,
};
use pfnl_proto::{Writer, align};
use pfnl_sock::{Bus, FamilyInfo};

/// The way out, shared by all datapaths of a domain.
pub(crate) struct Links<P: Platform> {
    bus: Box<dyn Bus>,
    packet: P::Mutex<Option<FamilyInfo>>,
    psample: P::Mutex<Option<FamilyInfo>>,
}

impl<P: Platform> Links<P> {
    pub(crate) fn try_new(bus: Box<dyn Bus>) -> Result<Links<P>> {
        Ok(Links {
            bus,
            packet: P::Mutex::try_new(c"pfnl packet family", None)?,
            psample: P::Mutex::try_new(c"pfnl psample family", None)?,
        })
    }

    pub(crate) fn set_packet_family(&self, family: FamilyInfo) {
        *self.packet.lock() = Some(family);
    }

    pub(crate) fn set_psample_family(&self, family: FamilyInfo) {
        *self.psample.lock() = Some(family);
    }

    pub(crate) fn psample_family(&self) -> Option<FamilyInfo> {
        *self.psample.lock()
    }

    pub(crate) fn bus(&self) -> &dyn Bus {
        &*self.bus
    }
}

/// A datapath's upper side.
pub struct Upper<P: Platform> {
    links: Shared<Links<P>>,
    ifindex: u32,
    /// `DP_F_*`.
    features: AtomicU32,
    /// Portids by processor, with `DP_F_DISPATCH_UPCALL_PER_CPU`.
    per_cpu: RcuCell<P, Vec<u32>>,
}

impl<P: Platform> Upper<P> {
    pub(crate) fn new(links: Shared<Links<P>>, ifindex: u32) -> Upper<P> {
        Upper { links, ifindex, features: AtomicU32::new(0), per_cpu: RcuCell::new(None) }
    }

    /// The datapath's number.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    pub(crate) fn links(&self) -> &Links<P> {
        &self.links
    }

    pub(crate) fn features(&self) -> u32 {
        // Relaxed: a switch; packets under way see it one way or the other.
        self.features.load(Ordering::Relaxed)
    }

    pub(crate) fn set_features(&self, features: u32) {
        self.features.store(features, Ordering::Relaxed);
    }

    pub(crate) fn per_cpu<'g>(&'g self, section: &'g P::Guard) -> &'g [u32] {
        self.per_cpu.load(section).map_or(&[], |portids| portids)
    }

    pub(crate) fn set_per_cpu(&self, portids: &[u32]) -> Result<()> {
        self.per_cpu.store(Some(RcuBox::try_new(try_to_vec(portids)?)?));
        Ok(())
    }

    /// Whom to tell, 0 = nobody.
    fn portid<Pk: Packet>(&self, section: &P::Guard, request: &Request<'_, P, Pk>) -> u32 {
        if self.features() & DP_F_DISPATCH_UPCALL_PER_CPU != 0 {
            return pick(self.per_cpu(section), P::cpu());
        }
        match request.kind {
            Kind::Action { portid, .. } => portid,
            Kind::Miss => {
                let portids = request.vport.map_or(&[][..], |vport| vport.upcall_portids(section));
                let which = if self.features() & DP_F_VPORT_PIDS != 0 { request.hash as usize } else { 0 };
                pick(portids, which)
            }
        }
    }
}

fn pick(portids: &[u32], which: usize) -> u32 {
    which.checked_rem(portids.len()).and_then(|n| portids.get(n)).copied().unwrap_or(0)
}

/// The bits of `OVS_PACKET_ATTR_HASH` that say that the hash was computed in software, and covers ports.
const HASH_SW_L4: u64 = 0b11 << 32;

impl<P: Platform, Pk: Packet> Upcall<P, Pk> for Upper<P> {
    /// `ovs_packet MISS { KEY HASH PACKET }`, `ACTION { KEY USERDATA ACTIONS MRU LEN HASH PACKET }`; no seq, no portid.
    fn upcall(
        &self,
        _datapath: &Datapath<P, Pk, Self>,
        section: &P::Guard,
        request: &Request<'_, P, Pk>,
        key: &FlowKey,
        packet: &Pk,
    ) -> Result<()> {
        let portid = self.portid(section, request);
        if portid == 0 {
            return Err(Errno::ENOTCONN);
        }
        let family = self.links.packet.lock().ok_or(Errno::ENOTCONN)?;
        let keep = request.keep.min(packet.len());
        let cmd = match request.kind {
            Kind::Miss => packet_cmd::MISS,
            Kind::Action { .. } => packet_cmd::ACTION,
        };
        let mut bytes = Vec::new();
        bytes.try_reserve(keep.saturating_add(512))?;
        family.write(&mut Writer::new(&mut bytes), cmd, 0, 0, 0, |w| {
            w.raw_fixed(&OvsHeader { dp_ifindex: self.ifindex.cast_signed() });
            let mut put = packet::Put(w);
            put.key(|w| key::put_key(w, key));
            if let Kind::Action { userdata, actions, egress, .. } = request.kind {
                if let Some(userdata) = userdata {
                    put.userdata(userdata);
                }
                if let Some(tunnel) = egress {
                    put.egress_tun_key(|w| key::tunnel::put(w, tunnel, tunnel));
                }
                if let Some(actions) = actions {
                    put.actions(|w| {
                        w.raw(actions);
                    });
                }
            }
            if request.mru != 0 {
                put.mru(request.mru);
            }
            if keep < packet.len() {
                put.len(u32::try_from(packet.len()).unwrap_or(u32::MAX));
            }
            let hash = u64::from(request.hash);
            put.hash(if hash == 0 { 0 } else { hash | HASH_SW_L4 });
            w.filled(packet::PACKET, keep, |out| packet.copy_out(0, out));
            if self.features() & DP_F_UNALIGNED != 0 {
                w.cut(align(keep).saturating_sub(keep));
            }
        })?;
        self.links.bus.unicast(portid, bytes)
    }

    fn sample(&self, _section: &P::Guard, sample: &Sample<'_>, packet: &Pk) {
        crate::psample::send(self, sample, packet);
    }
}
