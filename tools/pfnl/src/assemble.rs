//! Puts a host together: the socket family, the Open vSwitch families on top of it, and the datapath's ports.

use crate::devices::{HostDevices, HostOvs, follow_interfaces};
use anyhow::{Context, Result};
use pfnl_datapath_host::Ports;
use pfnl_ovs::Ovs;
use pfnl_platform::{Shared, User};
use pfnl_sock::{Domain, Hook};
use std::fmt::Write;
use std::sync::Arc;

/// A domain with all its families, as a host serves it. Dropping it takes everything down.
pub struct Assembly {
    /// Where sockets are opened.
    pub domain: Shared<Domain<User>>,
    ovs: Shared<HostOvs>,
    /// Dropped last: the threads that forward.
    _ports: Arc<Ports>,
}

impl Assembly {
    /// Makes one, with somebody who sees what passes, perhaps.
    ///
    /// # Errors
    /// No memory, no threads, or no sockets to ask the kernel about interfaces.
    pub fn new(hook: Option<Box<dyn Hook>>) -> Result<Assembly> {
        let domain = hook.map_or_else(Domain::try_new, Domain::with_hook).context("no domain")?;
        let ports = Arc::new(Ports::start(1).context("no forwarding threads")?);
        let devices = HostDevices { ports: Arc::clone(&ports) };
        let ovs = Ovs::register(&domain, Box::new(devices)).context("no Open vSwitch families")?;
        follow_interfaces(&ports, ovs.clone());
        Ok(Assembly { domain, ovs, _ports: ports })
    }

    /// What `pfnl status` tells beyond sockets and families.
    pub fn status(&self, text: &mut String) {
        let datapaths = self.ovs.datapaths().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "datapaths: {}", datapaths.len());
        for (name, info) in datapaths {
            let _ = writeln!(
                text,
                "  {} ({}): flows {}, hit {}, missed {}, lost {}",
                String::from_utf8_lossy(name.bytes()),
                info.ifindex,
                info.flows,
                info.hit,
                info.missed,
                info.lost
            );
        }
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        self.ovs.shut_down();
        self.domain.shut_down();
    }
}
