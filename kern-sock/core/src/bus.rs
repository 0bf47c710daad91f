//! The bus between families and sockets: unicast, multicast, and who is a member of which group.

use crate::addr::{Credentials, SockAddr};
use crate::domain::Domain;
use crate::queue::Block;
use crate::registry::Registered;
use crate::socket::State;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared};

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

/// Groups and their members.
impl<P: Platform> Domain<P> {
    /// Sends a datagram to every member of a group but `exclude`.
    pub(crate) fn broadcast(
        &self,
        group: u32,
        bytes: &[u8],
        from: SockAddr,
        sender: [u32; 3],
        exclude: [u32; 2],
    ) {
        let charge = self.charging().of(bytes.len());
        for socket in self.members(group, exclude) {
            let Ok(copy) = pfnl_platform::try_to_vec(bytes) else {
                socket.overrun();
                continue;
            };
            // Who has no room has been told.
            let _ = socket.deliver(Block { bytes: copy, from, group, sender, charge });
        }
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
}
