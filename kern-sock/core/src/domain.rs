//! A domain: the sockets, groups and families of one network namespace (vnet, host instance).

use crate::NETLINK_GENERIC;
use crate::addr::Credentials;
use crate::ctrl;
use crate::hook::Hook;
use crate::limits::Limits;
use crate::protocol::Protocol;
use crate::queue::{Charging, Delivery};
use crate::registry::{FamilyInfo, Registered};
use crate::socket::{SockType, Socket, State};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_push};

/// Sockets, groups and families that know of each other.
pub struct Domain<P: Platform> {
    pub(crate) tables: P::Mutex<Tables<P>>,
    /// Held while a request is handled or a dump goes on.
    pub(crate) requests: P::SleepMutex<()>,
    limits: P::Mutex<Limits>,
    /// Its `least_charge`, for all who charge.
    least_charge: AtomicUsize,
    next_random: AtomicU32,
    pub(crate) hook: Option<Box<dyn Hook>>,
    /// Who answers; `None`: the families of generic netlink.
    pub(crate) protocol: Option<Box<dyn Protocol>>,
    /// Nobody answers any more. Set under the request lock.
    ended: AtomicBool,
    /// Domains of other protocols.
    others: P::Mutex<Vec<Shared<Domain<P>>>>,
}

pub(crate) struct Tables<P: Platform> {
    /// In portid order.
    sockets: Vec<(u32, Shared<State<P>>)>,
    /// All open sockets, bound or not, in no order.
    pub(crate) open: Vec<Shared<State<P>>>,
    /// In id order.
    pub(crate) families: Vec<Shared<Registered>>,
    /// Members of each group, by number.
    pub(crate) members: Vec<u32>,
}

impl<P: Platform> Domain<P> {
    /// A domain with nlctrl as its only family.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_new() -> Result<Shared<Domain<P>>> {
        let domain = Domain::build(None, None)?;
        ctrl::register(&domain)?;
        Ok(domain)
    }

    /// As [`Domain::try_new`], with somebody who sees all that passes.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn with_hook(hook: Box<dyn Hook>) -> Result<Shared<Domain<P>>> {
        let domain = Domain::build(Some(hook), None)?;
        ctrl::register(&domain)?;
        Ok(domain)
    }

    /// Serves a protocol beside generic netlink. What is given back is the bus of its groups.
    ///
    /// # Errors
    /// `EEXIST`: it is served already. `ENOMEM`.
    pub fn serve(&self, protocol: Box<dyn Protocol>) -> Result<Shared<Domain<P>>> {
        self.serve_with_hook(protocol, None)
    }

    /// As [`Domain::serve`], with somebody who sees what passes there.
    ///
    /// # Errors
    /// As [`Domain::serve`].
    pub fn serve_with_hook(
        &self,
        protocol: Box<dyn Protocol>,
        hook: Option<Box<dyn Hook>>,
    ) -> Result<Shared<Domain<P>>> {
        let (number, groups) = (protocol.number(), protocol.groups());
        let mut others = self.others.lock();
        if number == self.number() || others.iter().any(|other| other.number() == number) {
            return Err(Errno::EEXIST);
        }
        let domain = Self::build(hook, Some(protocol))?;
        domain.set_limits(self.limits());
        {
            let mut tables = domain.tables.lock();
            // By number, from 1.
            let len = (groups as usize).saturating_add(1);
            tables.members.try_reserve(len)?;
            tables.members.resize(len, 0);
        }
        try_push(&mut others, domain.clone())?;
        Ok(domain)
    }

    fn build(hook: Option<Box<dyn Hook>>, protocol: Option<Box<dyn Protocol>>) -> Result<Shared<Domain<P>>> {
        let tables =
            Tables { sockets: Vec::new(), open: Vec::new(), families: Vec::new(), members: Vec::new() };
        let mut seed = [0; 4];
        P::random(&mut seed);
        Shared::try_new(Domain {
            tables: P::Mutex::try_new(c"pfnl tables", tables)?,
            requests: P::SleepMutex::try_new(c"pfnl requests", ())?,
            limits: P::Mutex::try_new(c"pfnl limits", Limits::default())?,
            least_charge: AtomicUsize::new(Limits::default().least_charge),
            next_random: AtomicU32::new(u32::from_ne_bytes(seed)),
            hook,
            protocol,
            ended: AtomicBool::new(false),
            others: P::Mutex::try_new(c"pfnl protocols", Vec::new())?,
        })
    }

    /// Takes back what [`Domain::serve`] gave. When this returns no request is being handled and its dumps have been
    /// freed; sockets that are open are refused with `EOPNOTSUPP` whatever they ask for.
    pub fn end(&self, protocol: &Shared<Domain<P>>) {
        self.others.lock().retain(|other| !Shared::same(other, protocol));
        let _requests = protocol.requests.lock();
        // Relaxed: read and written under the request lock.
        protocol.ended.store(true, Ordering::Relaxed);
        while let Some(dump) = protocol.dump_of(FamilyInfo::NONE) {
            drop(dump);
        }
    }

    /// Whether nobody answers any more; the request lock is held.
    pub(crate) fn has_ended(&self) -> bool {
        // Relaxed: as in `end`.
        self.ended.load(Ordering::Relaxed)
    }

    /// The protocol's number in socket(2).
    pub(crate) fn number(&self) -> i32 {
        self.protocol.as_ref().map_or(NETLINK_GENERIC, |protocol| protocol.number())
    }

    /// The sizes of buffers.
    pub fn limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// Sets them, for sockets that are opened and options that are set from now on.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock() = limits;
        // Relaxed: datagrams under way may be charged either way, and are paid back as they were charged.
        self.least_charge.store(limits.least_charge, Ordering::Relaxed);
        for other in &*self.others.lock() {
            other.set_limits(limits); // these have no others
        }
    }

    /// What datagrams are charged.
    pub(crate) fn charging(&self) -> Charging {
        Charging { least: self.least_charge.load(Ordering::Relaxed) }
    }

    /// Opens a socket for a process.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT`: not a protocol that is served. `ENOMEM`.
    pub fn open(
        this: &Shared<Self>,
        kind: SockType,
        protocol: i32,
        opener: Credentials,
        delivery: Box<dyn Delivery>,
    ) -> Result<Socket<P>> {
        if protocol != this.number() {
            let other = this.others.lock().iter().find(|other| other.number() == protocol).cloned();
            let other = other.ok_or(Errno::EPROTONOSUPPORT)?;
            return Domain::open(&other, kind, protocol, opener, delivery);
        }
        let state = Shared::try_new(State::try_new(this.clone(), kind, opener, delivery)?)?;
        try_push(&mut this.tables.lock().open, state.clone())?;
        Ok(Socket(state))
    }

    /// What each open socket looks like, for status displays.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn sockets(&self) -> Result<Vec<crate::SocketInfo>> {
        let mut infos = Vec::new();
        self.add_infos(&mut infos)?;
        for other in &*self.others.lock() {
            other.add_infos(&mut infos)?;
        }
        Ok(infos)
    }

    fn add_infos(&self, infos: &mut Vec<crate::SocketInfo>) -> Result<()> {
        let tables = self.tables.lock();
        infos.try_reserve(tables.open.len())?;
        infos.extend(tables.open.iter().map(|socket| socket.info()));
        Ok(())
    }

    /// Removes all families, nlctrl too, so that the domain can be freed once its last socket is closed.
    pub fn shut_down(&self) {
        let families = core::mem::take(&mut self.tables.lock().families);
        drop(families);
        let others = core::mem::take(&mut *self.others.lock());
        drop(others);
    }
}

/// Portids.
impl<P: Platform> Domain<P> {
    pub(crate) fn socket(&self, portid: u32) -> Option<Shared<State<P>>> {
        let tables = self.tables.lock();
        let at = tables.sockets.binary_search_by_key(&portid, |(portid, _)| *portid).ok()?;
        tables.sockets.get(at).map(|(_, socket)| socket.clone())
    }

    /// Gives a socket a portid of its choosing.
    pub(crate) fn bind(&self, portid: u32, socket: &Shared<State<P>>) -> Result<()> {
        let mut tables = self.tables.lock();
        match tables.sockets.binary_search_by_key(&portid, |(portid, _)| *portid) {
            Ok(_) => Err(Errno::EADDRINUSE),
            Err(at) => {
                tables.sockets.try_reserve(1)?;
                tables.sockets.insert(at, (portid, socket.clone()));
                Ok(())
            }
        }
    }

    /// Gives a socket a portid: its process's id, else one from the range of negative numbers.
    pub(crate) fn autobind(&self, pid: u32, socket: &Shared<State<P>>) -> Result<u32> {
        let mut portid = pid;
        loop {
            match self.bind(portid, socket) {
                Ok(()) => return Ok(portid),
                Err(Errno::EADDRINUSE) => {
                    // Relaxed: a number to try, nothing hangs on it. From -4097 downward, as Linux.
                    let random = self.next_random.fetch_add(0x9E37_79B1, Ordering::Relaxed) % 0x7fff_0000;
                    portid = 0xffff_efff_u32.wrapping_sub(random);
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    pub(crate) fn forget(&self, socket: &State<P>) {
        let mut tables = self.tables.lock();
        tables.sockets.retain(|(_, other)| !core::ptr::eq(&raw const **other, socket));
        tables.open.retain(|other| !core::ptr::eq(&raw const **other, socket));
    }
}
