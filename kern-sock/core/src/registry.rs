//! What a domain knows of a family of generic netlink, and where families are registered.

use crate::Dump;
use crate::bus::{Bus, GroupId};
use crate::domain::Domain;
use crate::family::{Context, FamilyDef, Request};
use crate::protocol::Protocol;
use alloc::boxed::Box;
use pfnl_platform::{Errno, Platform, Result, Shared, try_box};
use pfnl_proto::msg::Header;
use pfnl_proto::{Error, Table, Writer, genl};

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

    /// Serves a protocol beside generic netlink; gives the bus of its groups.
    ///
    /// # Errors
    /// As [`Domain::serve`].
    fn serve(&self, protocol: Box<dyn Protocol>) -> Result<Box<dyn Bus>>;
}

impl<P: Platform> Registry for Shared<Domain<P>> {
    fn register<F: Send + Sync>(&self, def: &'static FamilyDef<F>, state: Shared<F>) -> Result<FamilyInfo> {
        Domain::register(self, def, state)
    }

    fn bus(&self) -> Result<Box<dyn Bus>> {
        Ok(try_box(self.clone())?)
    }

    fn serve(&self, protocol: Box<dyn Protocol>) -> Result<Box<dyn Bus>> {
        Ok(try_box(Domain::serve(self, protocol)?)?)
    }
}

/// What a domain assigned to a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyInfo {
    /// Type of its messages.
    pub id: u16,
    /// Its version.
    pub version: u8,
    /// The first of its groups; they are numbered without gaps.
    pub(crate) first_group: u32,
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

pub(crate) struct Registered {
    pub(crate) info: FamilyInfo,
    pub(crate) family: Box<dyn Family>,
}

/// A family that is a [`FamilyDef`].
pub(crate) struct Typed<F: 'static> {
    pub(crate) def: &'static FamilyDef<F>,
    pub(crate) state: Shared<F>,
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
