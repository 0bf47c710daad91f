//! Puts a host together: the socket family, the Open vSwitch families on top of it, and the datapath's ports.

use crate::devices::{HostDevices, HostOvs, follow_interfaces};
use anyhow::{Context, Result};
use pfnl_datapath::conntrack::Conntrack;
use pfnl_datapath_host::Ports;
use pfnl_ovs::Ovs;
use pfnl_platform::{Shared, User};
use pfnl_sock::{Domain, Hook, NETLINK_GENERIC, NETLINK_NETFILTER};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A domain with all its families, as a host serves it. Dropping it takes everything down.
pub struct Assembly {
    /// Where sockets are opened.
    pub domain: Shared<Domain<User>>,
    ovs: Shared<HostOvs>,
    _sweeper: Sweeper,
    /// Dropped last: the threads that forward.
    _ports: Arc<Ports>,
}

impl Assembly {
    /// Makes one.
    ///
    /// # Errors
    /// No memory, no threads, or no sockets to ask the kernel about interfaces.
    pub fn new() -> Result<Assembly> {
        Assembly::build(None, None)
    }

    /// Makes one, with somebody who sees what passes in each of its protocols, by their numbers.
    ///
    /// # Errors
    /// As [`Assembly::new`].
    pub fn with_hooks(hook: impl Fn(i32) -> Box<dyn Hook>) -> Result<Assembly> {
        Assembly::build(Some(hook(NETLINK_GENERIC)), Some(hook(NETLINK_NETFILTER)))
    }

    fn build(hook: Option<Box<dyn Hook>>, netfilter: Option<Box<dyn Hook>>) -> Result<Assembly> {
        let domain = hook.map_or_else(Domain::try_new, Domain::with_hook).context("no domain")?;
        let ports = Arc::new(Ports::start(1).context("no forwarding threads")?);
        let devices = HostDevices { ports: Arc::clone(&ports) };
        let ovs = Ovs::register(&domain, Box::new(devices)).context("no Open vSwitch families")?;
        pfnl_nfnetlink::register_with_hook(&domain, ovs.conntrack(), netfilter)
            .context("no conntrack over netlink")?;
        follow_interfaces(&ports, ovs.clone());
        let sweeper = Sweeper::start(ovs.conntrack().clone()).context("no thread")?;
        Ok(Assembly { domain, ovs, _sweeper: sweeper, _ports: ports })
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

/// A thread that forgets connections whose time is over, also when no new ones come.
struct Sweeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    fn start(conntrack: Shared<Conntrack<User>>) -> std::io::Result<Sweeper> {
        let (stop, stopped) = channel();
        let sweep = move || {
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                conntrack.tick();
            }
        };
        let thread = std::thread::Builder::new().name("pfnl-sweep".to_owned()).spawn(sweep)?;
        Ok(Sweeper { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It has panicked, or it has ended.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        self.ovs.shut_down();
        self.domain.shut_down();
    }
}
