//! Family `ovs_datapath`.

use crate::ovs::{Dp, Ovs, op, portids};
use crate::upper::Upper;
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_datapath::port::PORT_LOCAL;
use pfnl_datapath::{Datapath, Packet};
use pfnl_platform::{Errno, Platform, Shared, try_box};
use pfnl_proto::genl::GENL_UNS_ADMIN_PERM;
use pfnl_proto::ovs::{
    DP_F_DISPATCH_UPCALL_PER_CPU, DP_F_UNALIGNED, DP_F_VPORT_PIDS, DpMegaflowStats, DpStats, OVS_HDRLEN,
    OvsHeader, cmd, datapath,
};
use pfnl_proto::{Error, Writer};
use pfnl_sock::{Context, Dump, DumpBlock, FamilyDef, Progress, Request};

/// `OVS_DATAPATH_VERSION`.
const VERSION: u8 = 2;
/// Requests of earlier versions know no features.
const VERSION_FEATURES: u8 = 2;
/// What can be asked for. Sharing recirculation ids with tc is not: there is no tc here.
const FEATURES: u32 = DP_F_UNALIGNED | DP_F_VPORT_PIDS | DP_F_DISPATCH_UPCALL_PER_CPU;

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    pub(crate) const DATAPATH: &'static FamilyDef<Ovs<P, Pk>> = &FamilyDef {
        name: "ovs_datapath",
        version: VERSION,
        hdrsize: OVS_HDRLEN,
        table: Some(&datapath::TABLE),
        ops: &[
            op(cmd::NEW, GENL_UNS_ADMIN_PERM, new, None),
            op(cmd::DEL, GENL_UNS_ADMIN_PERM, del, None),
            op(cmd::GET, 0, get, Some(dump)),
            op(cmd::SET, GENL_UNS_ADMIN_PERM, set, None),
        ],
        groups: &["ovs_datapath"],
        admin_groups: &[],
    };
}

/// The datapath a request is about: by its local port's name, or by the number in the user header.
fn find<P: Platform, Pk: Packet>(
    ovs: &Ovs<P, Pk>,
    request: &Request<'_>,
    view: &datapath::View<'_>,
) -> Result<Shared<Dp<P, Pk>>, Error> {
    match view.name() {
        Some(name) => ovs.datapath_by_name(name).ok_or(Error::new(Errno::ENODEV)),
        None => ovs.datapath(request.user_header::<OvsHeader>()?.dp_ifindex),
    }
}

/// `NEW { NAME "dp0" UPCALL_PID 0 [USER_FEATURES 3] }`
fn new<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = datapath::View::of(&context.request.validated)?;
    let (Some(name), Some(upcall_pids)) = (view.name(), view.0.attr(datapath::UPCALL_PID)) else {
        return Err(Error::new(Errno::EINVAL));
    };
    let settings = Settings::read(&view)?;
    let portids = portids::<P>(&upcall_pids)?;
    if let Some(existing) = ovs.datapath_by_name(name) {
        // Who speaks an old version knows of no features, and must not find any on.
        if context.request.genl.version < VERSION_FEATURES {
            existing.upper().set_features(0);
        }
        return Err(Error::new(Errno::EEXIST));
    }
    let number =
        view.ifindex().and_then(|ifindex| u32::try_from(ifindex).ok()).filter(|&ifindex| ifindex != 0);
    let port = ovs.devices.open_internal(name, number).map_err(|errno| match errno {
        // A number that is taken is a datapath that is.
        Errno::EBUSY => Errno::EEXIST,
        errno => errno,
    })?;
    let ifindex = port.ifindex();
    let made = || -> Result<_, Errno> {
        let upper = Upper::new(ovs.links.clone(), ifindex);
        let dp = Shared::try_new(Datapath::with_conntrack(upper, ovs.conntrack().clone())?)?;
        settings.apply(&dp)?;
        Ok(dp)
    };
    let dp = made().inspect_err(|_| ovs.devices.detach(ifindex))?;
    ovs.open(&dp, Some(PORT_LOCAL), port, &portids)?;
    if let Err(errno) = ovs.add_datapath(dp.clone()) {
        ovs.remove_datapath(&dp);
        return Err(errno.into());
    }
    context.notify(0, cmd::NEW, |w| write(w, &dp))
}

/// `DEL { NAME "dp0" }`
fn del<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = datapath::View::of(&context.request.validated)?;
    let dp = find(ovs, &context.request, &view)?;
    // What is told of it is how it was.
    let told =
        if context.is_watched(0) { Some(context.message(cmd::DEL, 0, |w| write(w, &dp))?) } else { None };
    ovs.remove_datapath(&dp);
    told.map_or(Ok(()), |bytes| context.notify_message(0, bytes))
}

/// `GET { NAME "dp0" }`
fn get<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = datapath::View::of(&context.request.validated)?;
    let dp = find(ovs, &context.request, &view)?;
    context.reply(cmd::GET, |w| write(w, &dp))
}

/// `SET { NAME "dp0" USER_FEATURES 3 MASKS_CACHE_SIZE 256 PER_CPU_PIDS [7 8] }`; features not given are off.
fn set<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = datapath::View::of(&context.request.validated)?;
    let dp = find(ovs, &context.request, &view)?;
    Settings::read(&view)?.apply(&dp)?;
    context.notify(0, cmd::SET, |w| write(w, &dp))
}

/// What NEW and SET choose, checked whole.
struct Settings {
    features: u32,
    masks_cache_size: Option<u32>,
    per_cpu: Option<Vec<u32>>,
}

impl Settings {
    fn read(view: &datapath::View<'_>) -> Result<Settings, Error> {
        let features = view.user_features().unwrap_or(0);
        if features & !FEATURES != 0 {
            return Err(Error::new(Errno::EOPNOTSUPP));
        }
        let masks_cache_size = view.masks_cache_size();
        if masks_cache_size.is_some_and(|size| size != 0 && !size.is_power_of_two()) {
            return Err(Error::new(Errno::EINVAL));
        }
        let per_cpu = match view.0.attr(datapath::PER_CPU_PIDS) {
            Some(attr) if features & DP_F_DISPATCH_UPCALL_PER_CPU != 0 => {
                if attr.payload().is_empty() || attr.payload().len() % 4 != 0 {
                    return Err(Error::new(Errno::EINVAL));
                }
                let mut portids = Vec::new();
                portids.try_reserve_exact(attr.u32s().len()).map_err(|_| Errno::ENOMEM)?;
                portids.extend(attr.u32s());
                Some(portids)
            }
            _ => None,
        };
        Ok(Settings { features, masks_cache_size, per_cpu })
    }

    fn apply<P: Platform, Pk: Packet>(&self, dp: &Dp<P, Pk>) -> Result<(), Errno> {
        if let Some(size) = self.masks_cache_size {
            dp.set_masks_cache_size(size)?;
        }
        let upper = dp.upper();
        if let Some(portids) = &self.per_cpu {
            upper.set_per_cpu(portids)?;
        }
        upper.set_features(self.features);
        Ok(())
    }
}

fn dump<P: Platform, Pk: Packet>(
    ovs: &Shared<Ovs<P, Pk>>,
    _request: &Request<'_>,
) -> Result<Box<dyn Dump>, Error> {
    Ok(try_box(Datapaths { ovs: ovs.clone(), next: 0 })?)
}

struct Datapaths<P: Platform, Pk: Packet> {
    ovs: Shared<Ovs<P, Pk>>,
    next: usize,
}

impl<P: Platform, Pk: Packet> Dump for Datapaths<P, Pk> {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(dp) = self.ovs.nth(self.next) {
            if !block.record(cmd::GET, |w| write(w, &dp))? {
                return Ok(Progress::More);
            }
            self.next = self.next.saturating_add(1);
        }
        Ok(Progress::Done)
    }
}

/// What is said of a datapath, in Linux's order.
fn write<P: Platform, Pk: Packet>(w: &mut Writer<'_>, dp: &Dp<P, Pk>) {
    let (stats, upper) = (dp.stats(), dp.upper());
    w.raw_fixed(&OvsHeader { dp_ifindex: upper.ifindex().cast_signed() });
    let mut put = datapath::Put(w);
    if let Some(local) = dp.port(PORT_LOCAL) {
        put.name(local.port().name().bytes());
    }
    put.stats(&DpStats { hit: stats.hit, missed: stats.missed, lost: stats.lost, flows: stats.flows })
        .megaflow_stats(&DpMegaflowStats {
            mask_hit: stats.mask_hit,
            masks: stats.masks,
            pad0: 0,
            cache_hit: stats.cache_hit,
            pad1: 0,
        })
        .user_features(upper.features())
        .masks_cache_size(dp.masks_cache_size());
    if upper.features() & DP_F_DISPATCH_UPCALL_PER_CPU != 0 {
        let section = P::enter();
        let portids = upper.per_cpu(&section);
        if !portids.is_empty() {
            // As many as there are processors; OVS names one for each.
            put.per_cpu_pids(portids.iter().copied().take(P::cpus()));
        }
    }
}
