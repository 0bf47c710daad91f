//! Ports for the Open vSwitch families: those of pfnl-datapath-host, or, where the kernel permits none, in memory.

use pfnl_datapath::Datapath;
use pfnl_datapath::port::{Port, PortKind};
use pfnl_datapath::tunnel::Tunnel;
use pfnl_datapath_host::{Event, Frame, Inlet, Ports};
use pfnl_ovs::{Devices, Ovs, Upper};
use pfnl_platform::{Errno, Result, Shared, User};
use std::sync::Arc;

/// The families over the host's ports.
pub type HostOvs = Ovs<User, Frame>;

/// Opens a host's interfaces for its datapaths.
pub struct HostDevices {
    /// The ports and their threads.
    pub ports: Arc<Ports>,
}

/// Takes vports out of their datapaths when their interfaces vanish.
pub fn follow_interfaces(ports: &Ports, ovs: Shared<HostOvs>) {
    ports.on_event(move |event| match event {
        Event::Removed { ifindex } => ovs.interface_gone(ifindex),
        // A port reads its name and its MTU afresh whenever it is asked.
        Event::Renamed { .. } | Event::Changed { .. } => {}
    });
}

fn text(name: &[u8]) -> Result<&str> {
    std::str::from_utf8(name).map_err(|_| Errno::EINVAL)
}

impl Devices<User, Frame> for HostDevices {
    fn open_netdev(&self, name: &[u8]) -> Result<Box<dyn Port<Frame>>> {
        let name = text(name)?;
        self.ports.open_netdev(name).inspect_err(|errno| match errno {
            Errno::EPERM | Errno::EACCES => {
                tracing::warn!(
                    "{name}: a packet socket needs CAP_NET_RAW: run as root, or in `unshare -Urn`"
                );
            }
            errno => tracing::info!("{name}: cannot be a port: {errno}"),
        })
    }

    fn open_internal(&self, name: &[u8], ifindex: Option<u32>) -> Result<Box<dyn Port<Frame>>> {
        let name = text(name)?;
        match self.ports.open_internal(name, ifindex) {
            Err(errno @ (Errno::EPERM | Errno::EOPNOTSUPP)) => {
                let (port, _nobody) = self.ports.open_memory(name, PortKind::Internal)?;
                tracing::warn!(
                    "{name}: no TAP interface ({errno}): the port exists in this host only and carries no packets; \
                     for a real one run as root, or in `unshare -Urn`"
                );
                Ok(port)
            }
            outcome => outcome.inspect_err(|errno| tracing::info!("{name}: cannot be made: {errno}")),
        }
    }

    fn open_tunnel(&self, name: &[u8], tunnel: Tunnel) -> Result<Box<dyn Port<Frame>>> {
        let name = text(name)?;
        self.ports.open_tunnel(name, tunnel).inspect_err(|errno| match errno {
            Errno::EPERM | Errno::EACCES => {
                tracing::warn!("{name}: a tunnel needs CAP_NET_RAW: run as root, or in `unshare -Urn`");
            }
            errno => tracing::info!("{name}: cannot be a tunnel: {errno}"),
        })
    }

    fn attach(
        &self,
        ifindex: u32,
        datapath: &Shared<Datapath<User, Frame, Upper<User>>>,
        port_no: u32,
    ) -> Result<()> {
        self.ports.attach(ifindex, Inlet::new(datapath.clone(), port_no))
    }

    fn detach(&self, ifindex: u32) {
        self.ports.detach(ifindex);
    }
}
