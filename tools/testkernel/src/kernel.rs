//! The kernel: a domain, its families, and the script of what goes wrong.

use crate::client::Client;
use crate::family::Family;
use crate::script::{Fault, Script, Seen};
use crate::server::Server;
use pfnl_platform::{Errno, Shared, User};
use pfnl_proto::{Writer, genl, nlctrl};
use pfnl_sock::{Bus, Credentials, Domain, FamilyInfo};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A PF_NETLINK family with nlctrl and the families that a test registers. Many can be in one process; they know
/// nothing of each other.
pub struct Kernel {
    domain: Shared<Domain<User>>,
    script: Script,
    families: Families,
}

/// Families by name, and the lengths of their headers; shared with clients.
#[derive(Clone, Default)]
pub(crate) struct Families(Arc<Mutex<HashMap<String, (FamilyInfo, usize)>>>);

impl Families {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<String, (FamilyInfo, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kernel {
    /// A kernel with nlctrl alone.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new() -> Result<Kernel, Errno> {
        let script = Script::default();
        let domain = Domain::with_hook(Box::new(script.clone()))?;
        Ok(Kernel { domain, script, families: Families::default() })
    }

    /// Adds a family and tells nlctrl's listeners; its id.
    ///
    /// # Errors
    /// `EEXIST`: the name is taken. `EINVAL`: a name is empty or longer than 15 bytes. `ENOMEM`.
    pub fn register(&self, family: Family) -> Result<u16, Errno> {
        let parts = family.into_parts();
        let info = self.domain.register(parts.def, Shared::try_new(parts.closures)?)?;
        let mut script = self.script.lock();
        script.decoder.add(parts.decode);
        script.decoder.learn(info.id, parts.def.name);
        drop(script);
        self.families.lock().insert(parts.def.name.to_owned(), (info, parts.def.hdrsize));
        Ok(info.id)
    }

    /// Takes a family away and tells nlctrl's listeners: as when its module is unloaded.
    ///
    /// # Errors
    /// `ENOENT`: it is not there.
    pub fn unregister(&self, name: &str) -> Result<(), Errno> {
        let (info, _) = self.families.lock().remove(name).ok_or(Errno::ENOENT)?;
        self.domain.unregister(info)
    }

    /// Sends a message of a family to one of its groups, by its index.
    ///
    /// # Errors
    /// `ENOENT`: no such family. `EMSGSIZE`, `ENOMEM`: the message cannot be made.
    pub fn notify(
        &self,
        family: &str,
        group: usize,
        cmd: u8,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), Errno> {
        let (info, _) = self.families.lock().get(family).copied().ok_or(Errno::ENOENT)?;
        let mut bytes = Vec::new();
        info.write(&mut Writer::new(&mut bytes), cmd, 0, 0, 0, fill)?;
        self.domain.multicast(info.group(group), &bytes, 0);
        Ok(())
    }

    /// A client in this process, with all rights.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn client(&self) -> Result<Client, Errno> {
        let pid = std::process::id();
        self.client_as(Credentials { pid, uid: 0, gid: 0, net_admin: true, net_broadcast: true })
    }

    /// A client with the rights of somebody else.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn client_as(&self, who: Credentials) -> Result<Client, Errno> {
        Client::open(&self.domain, self.families.clone(), who)
    }

    /// Serves processes that have the preload library: see [`Server::command`].
    ///
    /// # Errors
    /// No temporary directory, no socket or no thread.
    pub fn serve(&self) -> io::Result<Server> {
        Server::start(self.domain.clone())
    }

    /// Lets something go wrong with the next request of a family and command that has no earlier order. Orders for
    /// a family that is not there are never met.
    pub fn inject(&self, family: &str, cmd: u8, fault: Fault) {
        let id = match family {
            nlctrl::NAME => genl::GENL_ID_CTRL,
            name => self.families.lock().get(name).map_or(0, |(info, _)| info.id),
        };
        self.script.lock().orders.push((Some((id, cmd)), fault));
    }

    /// As [`Kernel::inject`], for the next request, whatever it is.
    pub fn inject_any(&self, fault: Fault) {
        self.script.lock().orders.push((None, fault));
    }

    /// How many orders have not been met yet. A test that ends with some did not test what it meant to.
    pub fn pending(&self) -> usize {
        self.script.lock().orders.len()
    }

    /// Lets the next multicast be lost to the first who would get it: its recv says ENOBUFS.
    pub fn overrun_next_notification(&self) {
        self.script.lock().overrun_notification = true;
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.script.lock().seen.clone()
    }

    /// All that passed so far, as text: `>` what clients sent, `<` what they were given.
    pub fn transcript(&self) -> String {
        self.script.lock().transcript.clone()
    }

    /// The domain below, for what is not here: families as const tables ([`pfnl_sock::FamilyDef`]), sockets.
    pub fn domain(&self) -> &Shared<Domain<User>> {
        &self.domain
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // nlctrl knows the domain and the domain nlctrl: the circle is broken here.
        self.domain.shut_down();
    }
}
