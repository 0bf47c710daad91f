//! A domain: the sockets, groups and families of one network namespace (vnet, host instance).

use crate::addr::{Credentials, SockAddr};
use crate::ctrl;
use crate::family::{Context, FamilyDef, Request};
use crate::hook::Hook;
use crate::protocol::Protocol;
use crate::queue::{self, Block, Delivery};
use crate::socket::{SockType, Socket, State};
use crate::{Dump, NETLINK_GENERIC};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_box, try_push};
use pfnl_proto::msg::{self, Header};
use pfnl_proto::{Error, Table, Writer, genl};

/// What a family, or who else speaks as the kernel, can do with sockets.
pub trait Bus: Send + Sync {
    /// Sends a datagram from the kernel to a socket.
    ///
    /// # Errors
    /// `ECONNREFUSED`: no such portid. `ENOBUFS`: its queue is full (it has been told). `ENOMEM`.
    fn unicast(&self, portid: u32, bytes: Vec<u8>) -> Result<()>;

    /// Sends a datagram from the kernel to all members of a group but the one with the portid `exclude`; 0 are, as on
    /// Linux, those that joined without being bound.
    fn multicast(&self, group: GroupId, bytes: &[u8], exclude: u32);

    /// Whether a group has members.
    fn has_listeners(&self, group: GroupId) -> bool;
}

/// A multicast group's number in its domain, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(pub u32);

/// What a domain assigned to a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyInfo {
    /// Type of its messages.
    pub id: u16,
    /// Its version.
    pub version: u8,
    /// The first of its groups; they are numbered without gaps.
    first_group: u32,
}

impl FamilyInfo {
    /// What a domain in another module of a kernel has assigned.
    pub fn new(id: u16, version: u8, first_group: GroupId) -> FamilyInfo {
        FamilyInfo { id, version, first_group: first_group.0 }
    }

    /// Of what is no family of generic netlink.
    pub(crate) const NONE: FamilyInfo = FamilyInfo { id: 0, version: 0, first_group: 0 };

    /// The number of a group by its index in [`FamilyDef::groups`].
    pub fn group(&self, index: usize) -> GroupId {
        GroupId(self.first_group.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    /// Writes a message of the family.
    ///
    /// # Errors
    /// What made the writer fail; nothing is left of the message then.
    pub fn write(
        &self,
        w: &mut Writer<'_>,
        cmd: u8,
        flags: u16,
        seq: u32,
        portid: u32,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<()> {
        w.message(Header { kind: self.id, flags, seq, portid, len: 0 }, |w| {
            w.raw_fixed(&genl::Header { cmd, version: self.version, reserved: 0 });
            fill(w);
        });
        w.result()
    }
}

/// A family as its domain sees it, whatever its state's type. Most are a [`FamilyDef`]; one that is not Rust's, or lives in
/// another module of a kernel, implements this.
pub trait Family: Send + Sync {
    /// Up to 15 bytes.
    fn name(&self) -> &str;
    /// Its own version.
    fn version(&self) -> u8;
    /// Length of the user header between the generic header and the attributes.
    fn hdrsize(&self) -> usize;
    /// The greatest attribute number of the family's own table.
    fn maxattr(&self) -> u16;
    /// How many multicast groups it has.
    fn groups(&self) -> usize;
    /// The name of one of them.
    fn group(&self, index: usize) -> &str;
    /// Whether only who has CAP_NET_ADMIN may join it.
    fn is_admin_group(&self, index: usize) -> bool {
        let _ = index;
        false
    }
    /// What is known of each command, in the order in which nlctrl lists them.
    fn op(&self, index: usize) -> Option<OpInfo>;
    /// Handles a request.
    ///
    /// # Errors
    /// What its acknowledgement says.
    fn run(&self, op: usize, context: &mut Context<'_>) -> Result<(), Error>;
    /// Starts a dump.
    ///
    /// # Errors
    /// What its acknowledgement says.
    fn dump(&self, op: usize, request: &Request<'_>) -> Result<Box<dyn Dump>, Error>;
}

/// A command, as far as its domain must know.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
    /// Its number.
    pub cmd: u8,
    /// `GENL_ADMIN_PERM` and the like, and `GENL_CMD_CAP_*`.
    pub flags: u32,
    /// How its attributes are validated.
    pub level: pfnl_proto::Level,
    /// The attributes it takes. They may be looked at as long as the family is held on to.
    pub table: Option<&'static Table>,
    /// Whether a dump's attributes are validated before it starts.
    pub dump_validated: bool,
}

/// Where families are registered: a domain, or the way to one in another module of a kernel.
pub trait Registry {
    /// Adds a family.
    ///
    /// # Errors
    /// As [`Domain::register`].
    fn register<F: Send + Sync>(&self, def: &'static FamilyDef<F>, state: Shared<F>) -> Result<FamilyInfo>;

    /// The way to its sockets.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn bus(&self) -> Result<Box<dyn Bus>>;
}

impl<P: Platform> Registry for Shared<Domain<P>> {
    fn register<F: Send + Sync>(&self, def: &'static FamilyDef<F>, state: Shared<F>) -> Result<FamilyInfo> {
        Domain::register(self, def, state)
    }

    fn bus(&self) -> Result<Box<dyn Bus>> {
        Ok(try_box(self.clone())?)
    }
}

struct Typed<F: 'static> {
    def: &'static FamilyDef<F>,
    state: Shared<F>,
}

impl<F: Send + Sync> Family for Typed<F> {
    fn name(&self) -> &str {
        self.def.name
    }

    fn version(&self) -> u8 {
        self.def.version
    }

    fn hdrsize(&self) -> usize {
        self.def.hdrsize
    }

    fn maxattr(&self) -> u16 {
        self.def.table.map_or(0, Table::max)
    }

    fn groups(&self) -> usize {
        self.def.groups.len()
    }

    fn group(&self, index: usize) -> &str {
        self.def.groups.get(index).copied().unwrap_or_default()
    }

    fn is_admin_group(&self, index: usize) -> bool {
        self.def.admin_groups.contains(&self.group(index))
    }

    fn op(&self, index: usize) -> Option<OpInfo> {
        self.def.op(index)
    }

    fn run(&self, op: usize, context: &mut Context<'_>) -> Result<(), Error> {
        match self.def.ops.get(op).and_then(|op| op.run) {
            Some(run) => run(&self.state, context),
            None => Err(Error::new(Errno::EOPNOTSUPP)),
        }
    }

    fn dump(&self, op: usize, request: &Request<'_>) -> Result<Box<dyn Dump>, Error> {
        match self.def.ops.get(op).and_then(|op| op.dump) {
            Some(dump) => dump(&self.state, request),
            None => Err(Error::new(Errno::EOPNOTSUPP)),
        }
    }
}

pub(crate) struct Registered {
    pub(crate) info: FamilyInfo,
    pub(crate) family: Box<dyn Family>,
}

struct Tables<P: Platform> {
    /// In portid order.
    sockets: Vec<(u32, Shared<State<P>>)>,
    /// All open sockets, bound or not, in no order.
    open: Vec<Shared<State<P>>>,
    /// In id order.
    families: Vec<Shared<Registered>>,
    /// Members of each group, by number.
    members: Vec<u32>,
}

/// Sockets, groups and families that know of each other.
pub struct Domain<P: Platform> {
    tables: P::Mutex<Tables<P>>,
    /// Held while a request is handled or a dump goes on.
    pub(crate) requests: P::SleepMutex<()>,
    limits: P::Mutex<Limits>,
    next_random: AtomicU32,
    pub(crate) hook: Option<Box<dyn Hook>>,
    /// Who answers; `None`: the families of generic netlink.
    pub(crate) protocol: Option<Box<dyn Protocol>>,
    /// Domains of other protocols.
    others: P::Mutex<Vec<Shared<Domain<P>>>>,
}

/// Receive and send buffers, in bytes: what a socket starts with, and the most that setsockopt(2) may ask for
/// (`net.core.rmem_default`, `rmem_max` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a new socket.
    pub receive_default: usize,
    /// Without privilege.
    pub receive_max: usize,
    /// Of a new socket.
    pub send_default: usize,
    /// Without privilege.
    pub send_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        const USUAL: usize = 212_992;
        Limits { receive_default: USUAL, receive_max: USUAL, send_default: USUAL, send_max: USUAL }
    }
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
        let (number, groups) = (protocol.number(), protocol.groups());
        let mut others = self.others.lock();
        if number == self.number() || others.iter().any(|other| other.number() == number) {
            return Err(Errno::EEXIST);
        }
        let domain = Self::build(None, Some(protocol))?;
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

    /// The protocol's number in socket(2).
    pub(crate) fn number(&self) -> i32 {
        self.protocol.as_ref().map_or(NETLINK_GENERIC, |protocol| protocol.number())
    }

    /// Whether somebody may join groups.
    pub(crate) fn may_join(&self, caller: &Credentials) -> bool {
        caller.net_admin || self.protocol.as_ref().is_none_or(|protocol| protocol.groups_are_public())
    }

    /// Whether somebody may join a group of a family.
    pub(crate) fn may_join_group(&self, group: u32, caller: &Credentials) -> bool {
        let is_kept = |registered: &Shared<Registered>| {
            let at = group.checked_sub(registered.info.first_group).and_then(|at| usize::try_from(at).ok());
            at.is_some_and(|at| at < registered.family.groups() && registered.family.is_admin_group(at))
        };
        caller.net_admin || !self.tables.lock().families.iter().any(is_kept)
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
            next_random: AtomicU32::new(u32::from_ne_bytes(seed)),
            hook,
            protocol,
            others: P::Mutex::try_new(c"pfnl protocols", Vec::new())?,
        })
    }

    /// The sizes of buffers.
    pub fn limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// Sets them, for sockets that are opened and options that are set from now on.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock() = limits;
        for other in &*self.others.lock() {
            *other.limits.lock() = limits;
        }
    }

    /// Adds a family and tells nlctrl's listeners.
    ///
    /// # Errors
    /// `EEXIST`: the name is taken. `EINVAL`: a name is longer than 15 bytes. `ENOSPC`: no id is left. `ENOMEM`.
    #[inline(never)] // who registers many families would need a stack frame for each
    pub fn register<F: Send + Sync>(
        &self,
        def: &'static FamilyDef<F>,
        state: Shared<F>,
    ) -> Result<FamilyInfo> {
        self.register_family(try_box(Typed { def, state })?)
    }

    /// As [`Domain::register`], for a family of any kind.
    ///
    /// # Errors
    /// As [`Domain::register`].
    pub fn register_family(&self, family: Box<dyn Family>) -> Result<FamilyInfo> {
        self.register_at(family, None)
    }

    /// As [`Domain::register_family`], with the id and the groups that it is to have, if any: a family that is one in
    /// many domains has the same everywhere. [`Domain::place`] finds them.
    ///
    /// # Errors
    /// As [`Domain::register`]; `EEXIST` also if another family has these.
    pub fn register_at(&self, family: Box<dyn Family>, place: Option<FamilyInfo>) -> Result<FamilyInfo> {
        let mut names =
            core::iter::once(family.name()).chain((0..family.groups()).map(|at| family.group(at)));
        if names.any(|name| name.is_empty() || name.len() >= genl::GENL_NAMSIZ) {
            return Err(Errno::EINVAL);
        }
        drop(names);
        let registered = {
            let mut tables = self.tables.lock();
            if tables.families.iter().any(|other| other.family.name() == family.name()) {
                return Err(Errno::EEXIST);
            }
            let (id, first_group) = match place {
                Some(wanted) => {
                    if found(&tables.families, wanted, family.groups()) != Some(wanted) {
                        return Err(Errno::EEXIST);
                    }
                    (wanted.id, wanted.first_group)
                }
                None if family.name() == pfnl_proto::nlctrl::NAME => {
                    (genl::GENL_ID_CTRL, genl::GENL_ID_CTRL.into())
                }
                None => {
                    let any = FamilyInfo { id: genl::GENL_START_ALLOC, version: 0, first_group: 2 };
                    let found = found(&tables.families, any, family.groups()).ok_or(Errno::ENOSPC)?;
                    (found.id, found.first_group)
                }
            };
            let info = FamilyInfo { id, version: family.version(), first_group };
            let last_group = info.group(family.groups()).0 as usize;
            let registered = Shared::try_new(Registered { info, family })?;
            if tables.members.len() < last_group {
                let more = last_group.saturating_sub(tables.members.len());
                tables.members.try_reserve(more)?;
                tables.members.resize(last_group, 0);
            }
            let at = tables.families.partition_point(|other| other.info.id < id);
            tables.families.try_reserve(1)?;
            tables.families.insert(at, registered.clone());
            registered
        };
        ctrl::announce(self, &registered, true);
        Ok(registered.info)
    }

    /// The first id and run of groups, from those given on, that a family with so many groups could have.
    pub fn place(&self, from: FamilyInfo, groups: usize) -> Option<FamilyInfo> {
        found(&self.tables.lock().families, from, groups)
    }

    /// Removes a family; its groups lose their members, and dumps of it end with ENOENT.
    ///
    /// # Errors
    /// `ENOENT`: it is not there.
    pub fn unregister(&self, info: FamilyInfo) -> Result<()> {
        let _requests = self.requests.lock();
        let registered = {
            let mut tables = self.tables.lock();
            let at = tables.families.iter().position(|other| other.info == info).ok_or(Errno::ENOENT)?;
            tables.families.remove(at)
        };
        for index in 0..registered.family.groups() {
            let group = info.group(index);
            let mut tables = self.tables.lock();
            for socket in &tables.open {
                socket.leave(group.0);
            }
            if let Some(members) = tables.members.get_mut(group.0 as usize) {
                *members = 0;
            }
        }
        // One at a time: what a dump holds may take long to let go, and not under this lock.
        while let Some(dump) = self.dump_of(info) {
            drop(dump);
        }
        ctrl::announce(self, &registered, false);
        Ok(())
    }

    /// Takes a dump of a family away from its socket, which reads an error for its end.
    fn dump_of(&self, info: FamilyInfo) -> Option<Box<dyn Dump>> {
        self.tables.lock().open.iter().find_map(|socket| socket.dump.lock().as_mut()?.end(info))
    }

    /// Removes all families, nlctrl too, so that the domain can be freed once its last socket is closed.
    pub fn shut_down(&self) {
        let families = core::mem::take(&mut self.tables.lock().families);
        drop(families);
        let others = core::mem::take(&mut *self.others.lock());
        drop(others);
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

    /// Names and ids of the registered families.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn families(&self) -> Result<Vec<(String, u16)>> {
        let tables = self.tables.lock();
        let mut names = Vec::new();
        for family in &tables.families {
            let mut name = String::new();
            name.try_reserve_exact(family.family.name().len())?;
            name.push_str(family.family.name());
            try_push(&mut names, (name, family.info.id))?;
        }
        Ok(names)
    }

    pub(crate) fn family(&self, id: u16) -> Option<Shared<Registered>> {
        let tables = self.tables.lock();
        let at = tables.families.binary_search_by_key(&id, |family| family.info.id).ok()?;
        tables.families.get(at).cloned()
    }

    /// Whether a family of that name is registered.
    pub fn has_family(&self, name: &[u8]) -> bool {
        self.family_by_name(name).is_some()
    }

    pub(crate) fn family_by_name(&self, name: &[u8]) -> Option<Shared<Registered>> {
        self.tables.lock().families.iter().find(|family| family.family.name().as_bytes() == name).cloned()
    }

    /// The first family with an id from `id` on.
    pub(crate) fn family_from(&self, id: u16) -> Option<Shared<Registered>> {
        let tables = self.tables.lock();
        tables.families.iter().find(|family| family.info.id >= id).cloned()
    }

    /// How many groups a socket can ask for: rounded up as Linux rounds, to a word of bits.
    pub(crate) fn max_group(&self) -> u32 {
        let groups = self.tables.lock().members.len();
        u32::try_from(groups.next_multiple_of(32).max(32)).unwrap_or(u32::MAX)
    }

    pub(crate) fn count_member(&self, group: u32, joined: bool) {
        let mut tables = self.tables.lock();
        let group = group as usize;
        if tables.members.len() <= group {
            // Numbers that no family has yet; nobody counts on them.
            return;
        }
        if let Some(members) = tables.members.get_mut(group) {
            *members = if joined { members.saturating_add(1) } else { members.saturating_sub(1) };
        }
    }

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

    /// Members of a group, other than those with the portids `exclude`; 0 are all that are not bound.
    pub(crate) fn members(&self, group: u32, exclude: [u32; 2]) -> Vec<Shared<State<P>>> {
        let tables = self.tables.lock();
        let wanted =
            |socket: &&Shared<State<P>>| socket.is_member(group) && !exclude.contains(&socket.portid());
        let members = || tables.open.iter().filter(wanted);
        let mut sockets = Vec::new();
        if sockets.try_reserve_exact(members().count()).is_err() {
            // No memory to remember them: they all miss a message, and are told so.
            members().for_each(|socket| socket.overrun());
            return sockets;
        }
        sockets.extend(members().cloned());
        sockets
    }

    /// Sends a datagram to every member of a group but `exclude`.
    pub(crate) fn broadcast(
        &self,
        group: u32,
        bytes: &[u8],
        from: SockAddr,
        sender: [u32; 3],
        exclude: [u32; 2],
    ) {
        for socket in self.members(group, exclude) {
            let Ok(copy) = pfnl_platform::try_to_vec(bytes) else {
                socket.overrun();
                continue;
            };
            let charge = queue::charge(copy.len());
            // Who has no room has been told.
            let _ = socket.deliver(Block { bytes: copy, from, group, sender, charge });
        }
    }
}

/// `nl_groups` as a receiver sees it: the bit of the group, if it is one of the first 32.
pub(crate) fn group_bit(group: u32) -> u32 {
    group.checked_sub(1).and_then(|bit| 1u32.checked_shl(bit)).unwrap_or(0)
}

impl<P: Platform> Bus for Domain<P> {
    fn unicast(&self, portid: u32, bytes: Vec<u8>) -> Result<()> {
        self.socket(portid).ok_or(Errno::ECONNREFUSED)?.deliver_from_kernel(bytes, 0)
    }

    fn multicast(&self, group: GroupId, bytes: &[u8], exclude: u32) {
        let from = SockAddr { portid: 0, groups: group_bit(group.0) };
        self.broadcast(group.0, bytes, from, [0; 3], [exclude, exclude]);
    }

    fn has_listeners(&self, group: GroupId) -> bool {
        self.tables.lock().members.get(group.0 as usize).is_some_and(|&members| members > 0)
    }
}

impl<B: Bus> Bus for Shared<B> {
    fn unicast(&self, portid: u32, bytes: Vec<u8>) -> Result<()> {
        (**self).unicast(portid, bytes)
    }

    fn multicast(&self, group: GroupId, bytes: &[u8], exclude: u32) {
        (**self).multicast(group, bytes, exclude);
    }

    fn has_listeners(&self, group: GroupId) -> bool {
        (**self).has_listeners(group)
    }
}

/// The least free id and the first of `count` free group numbers in a row, from those of `from` on. Linux hands out no
/// group below 2; 16 to 18 are nlctrl's and two that it sets aside.
fn found(families: &[Shared<Registered>], from: FamilyInfo, count: usize) -> Option<FamilyInfo> {
    let first_id = from.id.max(genl::GENL_START_ALLOC);
    let id = (first_id..=genl::GENL_MAX_ID).find(|&id| families.iter().all(|family| family.info.id != id))?;
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let mut first = from.first_group.max(2);
    loop {
        let end = first.checked_add(count)?;
        let taken = families
            .iter()
            .map(|family| (family.info.group(0).0, family.info.group(family.family.groups()).0))
            .chain([(16, 19)])
            .find(|&(start, stop)| start < end && first < stop);
        match taken {
            Some((_, stop)) => first = stop,
            None => return Some(FamilyInfo { id, version: from.version, first_group: first }),
        }
    }
}

/// A request's header as its acknowledgement needs it.
pub(crate) type RawRequest<'a> = msg::Message<'a>;
