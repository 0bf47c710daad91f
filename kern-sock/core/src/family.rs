//! Generic netlink families as const tables, and what their handlers are given.

use crate::addr::Credentials;
use crate::bus::{Bus, GroupId};
use crate::dump::Dump;
use crate::registry::{FamilyInfo, OpInfo};
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Shared};
use pfnl_proto::ack::Extack;
use pfnl_proto::msg::{self, NLM_F_ECHO};
use pfnl_proto::{Attrs, Error, Fixed, Level, Table, Validated, Writer, genl};

/// A family over a state of type `F`.
pub struct FamilyDef<F: 'static> {
    /// Up to 15 bytes.
    pub name: &'static str,
    /// Its own version.
    pub version: u8,
    /// Length of the user header between the generic header and the attributes.
    pub hdrsize: usize,
    /// Its attributes; `None`: it has none, or each command its own.
    pub table: Option<&'static Table>,
    /// Its commands, in the order in which nlctrl lists them.
    pub ops: &'static [Op<F>],
    /// Names of its multicast groups; a handler names a group by its index here.
    pub groups: &'static [&'static str],
    /// Those of its groups, by name, that only who has CAP_NET_ADMIN may join.
    pub admin_groups: &'static [&'static str],
}

impl<F> FamilyDef<F> {
    /// What a domain must know of a command.
    pub fn op(&self, index: usize) -> Option<OpInfo> {
        let &Op { cmd, mut flags, level, table, run, dump, dump_validated } = self.ops.get(index)?;
        // A table of what is only sent is no policy.
        let table = table.or(self.table).filter(|table| table.has_policy());
        for (there, flag) in [
            (run.is_some(), genl::GENL_CMD_CAP_DO),
            (dump.is_some(), genl::GENL_CMD_CAP_DUMP),
            (table.is_some(), genl::GENL_CMD_CAP_HASPOL),
        ] {
            if there {
                flags |= flag;
            }
        }
        Some(OpInfo { cmd, flags, level, table, dump_validated })
    }
}

/// Handles a request; an error becomes its acknowledgement.
pub type Run<F> = fn(&Shared<F>, &mut Context<'_>) -> Result<(), Error>;
/// Starts a dump; an error here is acknowledged, a later one stands in `NLMSG_DONE`.
pub type StartDump<F> = fn(&Shared<F>, &Request<'_>) -> Result<Box<dyn Dump>, Error>;

/// A command.
pub struct Op<F: 'static> {
    /// Its number.
    pub cmd: u8,
    /// `GENL_ADMIN_PERM`, `GENL_UNS_ADMIN_PERM` or 0; what it can do is seen from its handlers.
    pub flags: u32,
    /// The attributes it takes, if not the family's.
    pub table: Option<&'static Table>,
    /// How its attributes are validated.
    pub level: Level,
    /// Handles a request.
    pub run: Option<Run<F>>,
    /// Starts a dump.
    pub dump: Option<StartDump<F>>,
    /// Whether a dump's attributes are validated before it starts; else its handler looks for itself.
    pub dump_validated: bool,
}

/// A validated request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its netlink header.
    pub header: msg::Header,
    /// Its generic netlink header.
    pub genl: genl::Header,
    /// Its user header, as long as the family says.
    pub user_header: &'a [u8],
    /// Its attributes.
    pub attrs: Attrs<'a>,
    /// The same, validated by the command's table: what a view of that table is made [of](Validated::index).
    pub validated: Validated<'a>,
    /// Portid of the socket it came from.
    pub portid: u32,
    /// Who sent it.
    pub sender: Credentials,
}

impl Request<'_> {
    /// The user header as a structure.
    ///
    /// # Errors
    /// `EINVAL`: it is too short.
    pub fn user_header<T: Fixed>(&self) -> Result<T, Error> {
        T::read(self.user_header).ok_or(Error::new(Errno::EINVAL))
    }

    /// Whether a flag is set in the netlink header.
    pub fn has(&self, flag: u16) -> bool {
        self.header.flags & flag == flag
    }
}

/// A request being handled: what it says, and the ways to answer.
pub struct Context<'a> {
    /// The request.
    pub request: Request<'a>,
    /// The handler's family.
    pub family: FamilyInfo,
    /// What goes into the acknowledgement.
    pub extack: &'a mut Extack,
    pub(crate) bus: &'a dyn Bus,
}

impl<'a> Context<'a> {
    /// A request that came from another module of a kernel.
    pub fn new(
        request: Request<'a>,
        family: FamilyInfo,
        extack: &'a mut Extack,
        bus: &'a dyn Bus,
    ) -> Context<'a> {
        Context { request, family, extack, bus }
    }
}

impl Context<'_> {
    /// Writes a message of the family: headers, then what `fill` writes (user header first).
    ///
    /// # Errors
    /// `ENOMEM`, `EMSGSIZE`.
    pub fn message(&self, cmd: u8, flags: u16, fill: impl FnOnce(&mut Writer<'_>)) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.family.write(
            &mut Writer::new(&mut bytes),
            cmd,
            flags,
            self.request.header.seq,
            self.request.portid,
            fill,
        )?;
        Ok(bytes)
    }

    /// Sends an answer to the requester.
    ///
    /// # Errors
    /// `ENOMEM`, `EMSGSIZE`; `ENOBUFS`, `ECONNREFUSED`: the requester cannot take it.
    pub fn reply(&self, cmd: u8, fill: impl FnOnce(&mut Writer<'_>)) -> Result<(), Error> {
        let bytes = self.message(cmd, 0, fill)?;
        Ok(self.bus.unicast(self.request.portid, bytes)?)
    }

    /// Tells a group what the request brought about, and the requester if it asked for an echo. The message is only
    /// built if anybody will see it.
    ///
    /// # Errors
    /// `ENOMEM`, `EMSGSIZE`; with an echo also what the requester's queue says.
    pub fn notify(&self, group: usize, cmd: u8, fill: impl FnOnce(&mut Writer<'_>)) -> Result<(), Error> {
        if !self.is_watched(group) {
            return Ok(());
        }
        self.notify_message(group, self.message(cmd, 0, fill)?)
    }

    /// As [`Context::notify`], with a message made before: of what is gone by now.
    ///
    /// # Errors
    /// With an echo, what the requester's queue says.
    pub fn notify_message(&self, group: usize, bytes: Vec<u8>) -> Result<(), Error> {
        let (echo, group) = (self.request.has(NLM_F_ECHO), self.family.group(group));
        // OVS wants an echo of every flow, and mostly nobody listens: then no socket is looked at.
        if self.bus.has_listeners(group) {
            self.bus.multicast(group, &bytes, if echo { self.request.portid } else { 0 });
        }
        if echo {
            self.bus.unicast(self.request.portid, bytes)?;
        }
        Ok(())
    }

    /// Whether anybody listens to a group of the family, or the requester wants an echo.
    pub fn is_watched(&self, group: usize) -> bool {
        self.request.has(NLM_F_ECHO) || self.bus.has_listeners(self.family.group(group))
    }

    /// The way to sockets other than the requester's.
    pub fn bus(&self) -> &dyn Bus {
        self.bus
    }

    /// A group's number in the domain.
    pub fn group(&self, group: usize) -> GroupId {
        self.family.group(group)
    }
}
