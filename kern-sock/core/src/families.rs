//! The families of a domain: they come and go, and are looked up.

use crate::ctrl;
use crate::domain::Domain;
use crate::dump::Dump;
use crate::family::FamilyDef;
use crate::registry::{Family, FamilyInfo, Registered, Typed};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_box, try_push};
use pfnl_proto::genl;

impl<P: Platform> Domain<P> {
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
    pub(crate) fn dump_of(&self, info: FamilyInfo) -> Option<Box<dyn Dump>> {
        self.tables.lock().open.iter().find_map(|socket| socket.dump.lock().as_mut()?.end(info))
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

    /// Whether a family of that name is registered.
    pub fn has_family(&self, name: &[u8]) -> bool {
        self.family_by_name(name).is_some()
    }

    pub(crate) fn family(&self, id: u16) -> Option<Shared<Registered>> {
        let tables = self.tables.lock();
        let at = tables.families.binary_search_by_key(&id, |family| family.info.id).ok()?;
        tables.families.get(at).cloned()
    }

    pub(crate) fn family_by_name(&self, name: &[u8]) -> Option<Shared<Registered>> {
        self.tables.lock().families.iter().find(|family| family.family.name().as_bytes() == name).cloned()
    }

    /// The first family with an id from `id` on.
    pub(crate) fn family_from(&self, id: u16) -> Option<Shared<Registered>> {
        let tables = self.tables.lock();
        tables.families.iter().find(|family| family.info.id >= id).cloned()
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
