//! Family `ovs_vport`.

use crate::options;
use crate::ovs::{Dp, Ovs, Place, op, portids, type_number};
use alloc::boxed::Box;
use pfnl_datapath::Packet;
use pfnl_datapath::port::{MAX_PORTS, PORT_LOCAL, PortKind, Vport};
use pfnl_platform::{Errno, Platform, Shared, try_box};
use pfnl_proto::genl::GENL_UNS_ADMIN_PERM;
use pfnl_proto::ovs::{
    DP_F_VPORT_PIDS, OVS_HDRLEN, OvsHeader, VPORT_TYPE_ERSPAN, VPORT_TYPE_GENEVE, VPORT_TYPE_GRE,
    VPORT_TYPE_INTERNAL, VPORT_TYPE_IP6ERSPAN, VPORT_TYPE_IP6GRE, VPORT_TYPE_NETDEV, VPORT_TYPE_VXLAN,
    VportStats, cmd, upcall_stats, vport,
};
use pfnl_proto::{Error, Writer};
use pfnl_sock::{Context, Dump, DumpBlock, FamilyDef, Progress, Request};

/// `OVS_VPORT_VERSION`.
const VERSION: u8 = 1;

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    pub(crate) const VPORT: &'static FamilyDef<Ovs<P, Pk>> = &FamilyDef {
        name: "ovs_vport",
        version: VERSION,
        hdrsize: OVS_HDRLEN,
        table: Some(&vport::TABLE),
        ops: &[
            op(cmd::NEW, GENL_UNS_ADMIN_PERM, new, None),
            op(cmd::DEL, GENL_UNS_ADMIN_PERM, del, None),
            op(cmd::GET, 0, get, Some(dump)),
            op(cmd::SET, GENL_UNS_ADMIN_PERM, set, None),
        ],
        groups: &["ovs_vport"],
        admin_groups: &[],
    };
}

/// The port a request is about: by name in any datapath (or that of the header, if it names one), or by number.
fn find<P: Platform, Pk: Packet>(
    ovs: &Ovs<P, Pk>,
    request: &Request<'_>,
    view: &vport::View<'_>,
) -> Result<Place<P, Pk>, Error> {
    let header = request.user_header::<OvsHeader>()?;
    if view.ifindex().is_some() {
        return Err(Error::new(Errno::EOPNOTSUPP));
    }
    if let Some(name) = view.name() {
        let place = ovs.vport_by_name(name).ok_or(Error::new(Errno::ENODEV))?;
        if header.dp_ifindex != 0 && place.dp.upper().ifindex() != header.dp_ifindex.cast_unsigned() {
            return Err(Error::new(Errno::ENODEV));
        }
        return Ok(place);
    }
    let port_no = view.port_no().ok_or(Error::new(Errno::EINVAL))?;
    if port_no >= MAX_PORTS {
        return Err(Error::new(Errno::EFBIG));
    }
    let dp = ovs.datapath(header.dp_ifindex)?;
    let vport = dp.port(port_no).ok_or(Error::new(Errno::ENODEV))?;
    Ok(Place { dp, vport })
}

/// `NEW { TYPE NETDEV NAME "eth1" UPCALL_PID [7] [PORT_NO 3] }`
fn new<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = vport::View::of(&context.request.validated)?;
    let (Some(name), Some(port_type), Some(upcall_pids)) =
        (view.name(), view.port_type(), view.0.attr(vport::UPCALL_PID))
    else {
        return Err(Error::new(Errno::EINVAL));
    };
    // 0 is the local port's, and here stands for any.
    let port_no = view.port_no().filter(|&port_no| port_no != PORT_LOCAL);
    if port_no.is_some_and(|port_no| port_no >= MAX_PORTS) {
        return Err(Error::new(Errno::EFBIG));
    }
    let dp = ovs.datapath(context.request.user_header::<OvsHeader>()?.dp_ifindex)?;
    if port_no.is_some_and(|port_no| dp.port(port_no).is_some()) {
        return Err(Error::new(Errno::EBUSY));
    }
    let portids = portids::<P>(&upcall_pids)?;
    // An interface that is a port of this datapath already is a name that is taken, not a device that is busy.
    let is_port = dp.port_by_name(name).is_some_and(|vport| vport.port().kind() == PortKind::Netdev);
    let number =
        view.ifindex().and_then(|ifindex| u32::try_from(ifindex).ok()).filter(|&ifindex| ifindex != 0);
    let port = match port_type {
        VPORT_TYPE_NETDEV if is_port => return Err(Error::new(Errno::EEXIST)),
        VPORT_TYPE_NETDEV => ovs.devices.open_netdev(name)?,
        VPORT_TYPE_INTERNAL => ovs.devices.open_internal(name, number)?,
        VPORT_TYPE_GRE | VPORT_TYPE_VXLAN | VPORT_TYPE_GENEVE | VPORT_TYPE_ERSPAN | VPORT_TYPE_IP6ERSPAN
        | VPORT_TYPE_IP6GRE => {
            // A tunnel's device has the number that is next.
            if view.ifindex().is_some() {
                return Err(Error::new(Errno::EOPNOTSUPP));
            }
            ovs.devices.open_tunnel(name, options::parse(port_type, view.options())?)?
        }
        _ => return Err(Error::new(Errno::EAFNOSUPPORT)),
    };
    let vport = ovs.open(&dp, port_no, port, &portids)?;
    context.notify(0, cmd::NEW, |w| write(w, &dp, &vport))
}

/// `SET { NAME "eth1" UPCALL_PID [7 8] }`
fn set<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = vport::View::of(&context.request.validated)?;
    let Place { dp, vport } = find(ovs, &context.request, &view)?;
    if view.port_type().is_some_and(|wanted| wanted != type_number(vport.port().kind())) {
        return Err(Error::new(Errno::EINVAL));
    }
    if view.options().is_some() {
        return Err(Error::new(Errno::EOPNOTSUPP));
    }
    if let Some(upcall_pids) = view.0.attr(vport::UPCALL_PID) {
        vport.set_upcall_portids(&portids::<P>(&upcall_pids)?)?;
    }
    context.notify(0, cmd::SET, |w| write(w, &dp, &vport))
}

/// `DEL { NAME "eth1" }`
fn del<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = vport::View::of(&context.request.validated)?;
    let Place { dp, vport } = find(ovs, &context.request, &view)?;
    if vport.number() == PORT_LOCAL {
        return Err(Error::new(Errno::EINVAL));
    }
    // What is told of it is how it was.
    let told = if context.is_watched(0) {
        Some(context.message(cmd::DEL, 0, |w| write(w, &dp, &vport))?)
    } else {
        None
    };
    ovs.close(&dp, &vport);
    told.map_or(Ok(()), |bytes| context.notify_message(0, bytes))
}

/// `GET { NAME "eth1" }` or `{ PORT_NO 3 }`
fn get<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = vport::View::of(&context.request.validated)?;
    let Place { dp, vport } = find(ovs, &context.request, &view)?;
    context.reply(cmd::GET, |w| write(w, &dp, &vport))
}

fn dump<P: Platform, Pk: Packet>(
    ovs: &Shared<Ovs<P, Pk>>,
    request: &Request<'_>,
) -> Result<Box<dyn Dump>, Error> {
    let dp_ifindex = request.user_header::<OvsHeader>()?.dp_ifindex;
    Ok(try_box(Vports { ovs: ovs.clone(), dp_ifindex, next: PORT_LOCAL })?)
}

struct Vports<P: Platform, Pk: Packet> {
    ovs: Shared<Ovs<P, Pk>>,
    dp_ifindex: i32,
    next: u32,
}

impl<P: Platform, Pk: Packet> Dump for Vports<P, Pk> {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        let dp = self.ovs.datapath(self.dp_ifindex)?;
        while let Some(vport) = dp.next_port(self.next) {
            if !block.record(cmd::GET, |w| write(w, &dp, &vport))? {
                return Ok(Progress::More);
            }
            self.next = vport.number().saturating_add(1);
        }
        Ok(Progress::Done)
    }
}

/// What is said of a port, in Linux's order.
pub(crate) fn write<P: Platform, Pk: Packet>(w: &mut Writer<'_>, dp: &Dp<P, Pk>, vport: &Vport<P, Pk>) {
    let (stats, (delivered, lost)) = (vport.stats(), vport.upcall_stats());
    w.raw_fixed(&OvsHeader { dp_ifindex: dp.upper().ifindex().cast_signed() });
    let mut put = vport::Put(w);
    put.port_no(vport.number())
        .port_type(type_number(vport.port().kind()))
        .name(vport.port().name().bytes())
        .ifindex(vport.port().ifindex().cast_signed())
        .stats(&VportStats {
            rx_packets: stats.rx_packets,
            tx_packets: stats.tx_packets,
            rx_bytes: stats.rx_bytes,
            tx_bytes: stats.tx_bytes,
            rx_errors: stats.rx_errors,
            tx_errors: stats.tx_errors,
            rx_dropped: stats.rx_dropped,
            tx_dropped: stats.tx_dropped,
        })
        .upcall_stats(|w| {
            upcall_stats::Put(w).success(delivered).fail(lost);
        });
    let section = P::enter();
    let portids = vport.upcall_portids(&section);
    // Without the feature there is one portid, whatever was set.
    let shown = if dp.upper().features() & DP_F_VPORT_PIDS != 0 { portids.len() } else { 1 };
    put.upcall_pid(portids.iter().copied().take(shown));
    if let Some(tunnel) = vport.port().tunnel() {
        options::put(put.0, &tunnel);
    }
}
