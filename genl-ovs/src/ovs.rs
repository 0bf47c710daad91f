//! The state behind the families: which datapaths there are, and whom to tell.

use crate::devices::Devices;
use crate::upper::{Links, Upper};
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_datapath::conntrack::Conntrack;
use pfnl_datapath::port::{PORT_LOCAL, Port, PortKind, Vport};
use pfnl_datapath::{Datapath, Packet};
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_push};
use pfnl_proto::{Attr, Error, Level, Writer};
use pfnl_sock::{FamilyInfo, Op, Registry, Run, StartDump};

/// A datapath of ours.
pub(crate) type Dp<P, Pk> = Datapath<P, Pk, Upper<P>>;

/// A command as all these families have them: validated liberally, a dump's attributes not at all.
pub(crate) const fn op<F>(cmd: u8, flags: u32, run: Run<F>, dump: Option<StartDump<F>>) -> Op<F> {
    Op { cmd, flags, table: None, level: Level::Liberal, run: Some(run), dump, dump_validated: false }
}

/// The Open vSwitch families of one domain.
pub struct Ovs<P: Platform, Pk: Packet> {
    /// In the order of their creation.
    datapaths: P::Mutex<Vec<Shared<Dp<P, Pk>>>>,
    /// All datapaths' connections.
    conntrack: Shared<Conntrack<P>>,
    pub(crate) devices: Box<dyn Devices<P, Pk>>,
    pub(crate) links: Shared<Links<P>>,
    /// To tell of vports that vanish without being asked to; set once registered.
    vport_family: P::Mutex<Option<FamilyInfo>>,
}

/// What a datapath looks like from outside.
#[derive(Clone, Copy, Debug)]
pub struct DatapathInfo {
    /// Its number: the ifindex of its local port.
    pub ifindex: u32,
    /// How many flows it has.
    pub flows: u64,
    /// Packets that matched a flow.
    pub hit: u64,
    /// Packets that did not.
    pub missed: u64,
    /// Packets that could not go up.
    pub lost: u64,
}

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    /// Registers the families with a domain.
    ///
    /// # Errors
    /// `EEXIST`: they are registered already. `ENOMEM`.
    pub fn register(domain: &impl Registry, devices: Box<dyn Devices<P, Pk>>) -> Result<Shared<Ovs<P, Pk>>> {
        let bus = domain.bus()?;
        let ovs = Shared::try_new(Ovs {
            datapaths: P::Mutex::try_new(c"pfnl datapaths", Vec::new())?,
            conntrack: new_conntrack()?,
            devices,
            links: Shared::try_new(Links::try_new(bus)?)?,
            vport_family: P::Mutex::try_new(c"pfnl vport family", None)?,
        })?;
        let psample = domain.register(Self::PSAMPLE, ovs.clone())?;
        ovs.links.set_psample_family(psample);
        domain.register(Self::DATAPATH, ovs.clone())?;
        let vport = domain.register(Self::VPORT, ovs.clone())?;
        *ovs.vport_family.lock() = Some(vport);
        domain.register(Self::FLOW, ovs.clone())?;
        let packet = domain.register(Self::PACKET, ovs.clone())?;
        ovs.links.set_packet_family(packet);
        domain.register(Self::METER, ovs.clone())?;
        domain.register(Self::CT_LIMIT, ovs.clone())?;
        Ok(ovs)
    }

    /// The connections that the datapaths track.
    pub fn conntrack(&self) -> &Shared<Conntrack<P>> {
        &self.conntrack
    }

    /// The datapath of a number: its local port's, or that of any of its internal ports, as on Linux.
    pub(crate) fn datapath(&self, ifindex: i32) -> Result<Shared<Dp<P, Pk>>, Error> {
        let ifindex = u32::try_from(ifindex).map_err(|_| Errno::ENODEV)?;
        let local = self.datapaths.lock().iter().find(|dp| dp.upper().ifindex() == ifindex).cloned();
        let internal = || {
            let place = self.vport_by_ifindex(ifindex)?;
            Some(place).filter(|place| place.vport.port().kind() == PortKind::Internal)
        };
        local.or_else(|| internal().map(|place| place.dp)).ok_or(Error::new(Errno::ENODEV))
    }

    /// The datapath whose local port has a name.
    pub(crate) fn datapath_by_name(&self, name: &[u8]) -> Option<Shared<Dp<P, Pk>>> {
        let has_name = |dp: &&Shared<Dp<P, Pk>>| {
            dp.port(PORT_LOCAL).is_some_and(|local| local.port().name().bytes() == name)
        };
        self.datapaths.lock().iter().find(has_name).cloned()
    }

    /// The `index`th datapath.
    pub(crate) fn nth(&self, index: usize) -> Option<Shared<Dp<P, Pk>>> {
        self.datapaths.lock().get(index).cloned()
    }

    /// The port of a name, in whichever datapath.
    pub(crate) fn vport_by_name(&self, name: &[u8]) -> Option<Place<P, Pk>> {
        let datapaths = self.datapaths.lock();
        datapaths.iter().find_map(|dp| dp.port_by_name(name).map(|vport| Place { dp: dp.clone(), vport }))
    }

    pub(crate) fn add_datapath(&self, dp: Shared<Dp<P, Pk>>) -> Result<()> {
        try_push(&mut self.datapaths.lock(), dp)
    }

    /// Takes a datapath out of sight, then apart: ports first, so that no packet comes in any more, then flows.
    pub(crate) fn remove_datapath(&self, dp: &Shared<Dp<P, Pk>>) {
        self.datapaths.lock().retain(|other| !Shared::same(other, dp));
        let mut from = PORT_LOCAL;
        while let Some(vport) = dp.next_port(from) {
            from = vport.number().saturating_add(1);
            self.close(dp, &vport);
        }
        dp.flush_flows();
    }

    /// Opens an interface and makes it a port.
    pub(crate) fn open(
        &self,
        dp: &Shared<Dp<P, Pk>>,
        port_no: Option<u32>,
        port: Box<dyn Port<Pk>>,
        portids: &[u32],
    ) -> Result<Shared<Vport<P, Pk>>> {
        let ifindex = port.ifindex();
        let vport = dp.add_port(port_no, port, portids).inspect_err(|_| self.devices.detach(ifindex))?;
        if let Err(errno) = self.devices.attach(ifindex, dp, vport.number()) {
            self.close(dp, &vport);
            return Err(errno);
        }
        Ok(vport)
    }

    /// Takes a port out of its datapath and closes its interface.
    pub(crate) fn close(&self, dp: &Shared<Dp<P, Pk>>, vport: &Vport<P, Pk>) {
        if dp.remove_port(vport.number()).is_ok() {
            self.devices.detach(vport.port().ifindex());
        }
    }

    /// The interface behind a port has vanished: the port goes too, and who listens is told. A local port stays as a
    /// port without interface until its datapath is deleted.
    pub fn interface_gone(&self, ifindex: u32) {
        let Some(Place { dp, vport }) = self.vport_by_ifindex(ifindex) else { return };
        if vport.number() == PORT_LOCAL {
            return;
        }
        let family = *self.vport_family.lock();
        let mut bytes = Vec::new();
        let written = family.map(|family| {
            let fill = |w: &mut Writer<'_>| crate::vport::write(w, &dp, &vport);
            (family, family.write(&mut Writer::new(&mut bytes), pfnl_proto::ovs::cmd::DEL, 0, 0, 0, fill))
        });
        self.close(&dp, &vport);
        if let Some((family, Ok(()))) = written {
            self.links.bus().multicast(family.group(0), &bytes, 0);
        }
    }

    fn vport_by_ifindex(&self, ifindex: u32) -> Option<Place<P, Pk>> {
        let datapaths = self.datapaths.lock();
        datapaths.iter().find_map(|dp| {
            let mut from = PORT_LOCAL;
            while let Some(vport) = dp.next_port(from) {
                if vport.port().ifindex() == ifindex {
                    return Some(Place { dp: dp.clone(), vport });
                }
                from = vport.number().saturating_add(1);
            }
            None
        })
    }

    /// Takes all datapaths down. Nobody is told of connections any more.
    pub fn shut_down(&self) {
        let _ = self.conntrack.set_observer(None);
        while let Some(dp) = self.nth(0) {
            self.remove_datapath(&dp);
        }
    }

    /// Work of each second, for a platform that has no other clock: connections whose time is over are forgotten, and masks
    /// put in the order of their use.
    pub fn tick(&self) {
        self.conntrack.tick();
        for index in 0.. {
            let Some(dp) = self.nth(index) else { break };
            dp.reorder_masks();
        }
    }

    /// What the datapaths look like, with the names of their local ports.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn datapaths(&self) -> Result<Vec<(pfnl_datapath::port::PortName, DatapathInfo)>> {
        let mut infos = Vec::new();
        for index in 0.. {
            let Some(dp) = self.nth(index) else { break };
            let name = dp.port(PORT_LOCAL).map(|local| local.port().name()).unwrap_or_default();
            let stats = dp.stats();
            let info = DatapathInfo {
                ifindex: dp.upper().ifindex(),
                flows: stats.flows,
                hit: stats.hit,
                missed: stats.missed,
                lost: stats.lost,
            };
            try_push(&mut infos, (name, info))?;
        }
        Ok(infos)
    }
}

/// Apart, so that the table is not on its caller's stack.
#[inline(never)]
fn new_conntrack<P: Platform>() -> Result<Shared<Conntrack<P>>> {
    Shared::try_new(Conntrack::try_new()?)
}

/// A port and the datapath it is in.
pub(crate) struct Place<P: Platform, Pk: Packet> {
    pub(crate) dp: Shared<Dp<P, Pk>>,
    pub(crate) vport: Shared<Vport<P, Pk>>,
}

/// UPCALL_PID: one portid or several, at most one for each processor.
pub(crate) fn portids<P: Platform>(attr: &Attr<'_>) -> Result<Vec<u32>, Error> {
    let count = attr.u32s().len();
    if attr.payload().is_empty() || attr.payload().len() % 4 != 0 || count > P::cpus() {
        return Err(Error::new(Errno::EINVAL));
    }
    let mut portids = Vec::new();
    portids.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    portids.extend(attr.u32s());
    Ok(portids)
}

/// The number of a port's type in `OVS_VPORT_ATTR_TYPE`.
pub(crate) fn type_number(kind: PortKind) -> u32 {
    match kind {
        PortKind::Netdev => pfnl_proto::ovs::VPORT_TYPE_NETDEV,
        PortKind::Internal => pfnl_proto::ovs::VPORT_TYPE_INTERNAL,
        PortKind::Gre => pfnl_proto::ovs::VPORT_TYPE_GRE,
        PortKind::Vxlan => pfnl_proto::ovs::VPORT_TYPE_VXLAN,
        PortKind::Geneve => pfnl_proto::ovs::VPORT_TYPE_GENEVE,
        PortKind::Ip6Gre => pfnl_proto::ovs::VPORT_TYPE_IP6GRE,
        PortKind::Erspan => pfnl_proto::ovs::VPORT_TYPE_ERSPAN,
        PortKind::Ip6Erspan => pfnl_proto::ovs::VPORT_TYPE_IP6ERSPAN,
    }
}
