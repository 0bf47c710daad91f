//! Protocols beside generic netlink.
//!
//! On Linux each protocol has portids, groups and a request lock of its own. Here each is a [`Domain`] of its own that
//! stands beside the one for generic netlink ([`Domain::serve`]); sockets of both are opened through the latter. What
//! their messages mean is up to a [`Protocol`], which a layer above implements.

use crate::addr::Credentials;
use crate::bus::Bus;
use crate::dump::Dump;
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_platform::Errno;
use pfnl_proto::ack::Extack;
use pfnl_proto::msg::{Header, Message};
use pfnl_proto::{Error, Writer};

/// Who answers a protocol's requests.
pub trait Protocol: Send + Sync + 'static {
    /// Its number in socket(2).
    fn number(&self) -> i32;

    /// The highest number of its groups.
    fn groups(&self) -> u32;

    /// Whether anybody may join its groups.
    fn groups_are_public(&self) -> bool {
        false
    }

    /// Looks at the first message of a datagram before anything is done about it.
    fn admit(&self, first: &Message<'_>, privileged: bool) -> Admission;

    /// Handles a request.
    ///
    /// # Errors
    /// Becomes its acknowledgement.
    fn request(&self, call: &mut Call<'_>) -> Result<Handled, Error>;
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its messages are handled one after the other.
    Run,
    /// Its first message gets this error, the others nothing.
    Refuse(Errno),
    /// Nothing at all.
    Ignore,
}

/// What a request led to.
pub enum Handled {
    /// It is done.
    Done,
    /// It is answered by a dump.
    Dump(Box<dyn Dump>),
}

/// A request being handled.
pub struct Call<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Portid of the socket it came from.
    pub portid: u32,
    /// Who sent it.
    pub sender: Credentials,
    /// What goes into the acknowledgement.
    pub extack: &'a mut Extack,
    pub(crate) bus: &'a dyn Bus,
}

impl<'a> Call<'a> {
    /// A request that came from another module of a kernel.
    pub fn new(
        message: Message<'a>,
        portid: u32,
        sender: Credentials,
        extack: &'a mut Extack,
        bus: &'a dyn Bus,
    ) -> Call<'a> {
        Call { message, portid, sender, extack, bus }
    }

    /// Sends an answer of type `kind` to the requester.
    ///
    /// # Errors
    /// `ENOMEM`, `EMSGSIZE`; `ENOBUFS`, `ECONNREFUSED`: the requester cannot take it.
    pub fn reply(&self, kind: u16, flags: u16, fill: impl FnOnce(&mut Writer<'_>)) -> Result<(), Error> {
        let header = Header { len: 0, kind, flags, seq: self.message.header.seq, portid: self.portid };
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.message(header, fill);
        writer.finish()?;
        Ok(self.bus.unicast(self.portid, bytes)?)
    }

    /// The way to sockets.
    pub fn bus(&self) -> &'a dyn Bus {
        self.bus
    }

    /// Whether all bits of a flag are set in the netlink header.
    pub fn has(&self, flag: u16) -> bool {
        self.message.header.flags & flag == flag
    }
}
