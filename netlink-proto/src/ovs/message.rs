//! Open vSwitch's messages with bytes of their own: what a client sends and keeps.
//!
//! ```text
//!  │ cmd │ver│0 0│ dp_ifindex │ attributes, read through the family's table │
//!  └ genlmsghdr ─┴ ovs_header ┴─────────────────────────────────────────────┘
//! ```
//!
//! ```
//! use pfnl_proto::ovs::message::DatapathMessage;
//! use pfnl_proto::ovs::cmd;
//! let request = DatapathMessage::build(cmd::NEW, 0, |put| _ = put.name(b"dp0").upcall_pid(0))?;
//! assert_eq!(request.view()?.name(), Some(&b"dp0"[..]));
//! # Ok::<(), pfnl_proto::Error>(())
//! ```

use super::{OVS_HDRLEN, OvsHeader, ct_limit, datapath, flow, meter, packet, vport};
use crate::{Attrs, Errno, Error, Fixed, Level, Table, Writer};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// What tells a family's messages from another's.
pub trait Family {
    /// Its name, by which nlctrl tells its number.
    const NAME: &'static str;
    /// Its version.
    const VERSION: u8;
    /// Its attributes.
    const TABLE: &'static Table;
}

/// A message of a family: a command, a datapath's number and attributes.
pub struct Message<F> {
    cmd: u8,
    dp_ifindex: i32,
    attributes: Vec<u8>,
    family: PhantomData<F>,
}

impl<F: Family> Message<F> {
    /// Reads what follows the generic netlink header: the user header, then attributes.
    ///
    /// # Errors
    /// `EINVAL` where a header or an attribute does not fit, `ENOMEM`.
    pub fn parse(cmd: u8, payload: &[u8]) -> Result<Message<F>, Error> {
        let header = OvsHeader::read(payload).ok_or(Error::new(Errno::EINVAL).text("no ovs_header"))?;
        let mut attrs = Attrs::new(payload.get(OVS_HDRLEN..).unwrap_or_default(), 0);
        let bytes = attrs.bytes();
        attrs.by_ref().for_each(drop);
        if attrs.leftover() > 0 {
            return Err(Error::new(Errno::EINVAL).text("bytes leftover after parsing attributes"));
        }
        let mut attributes = pfnl_platform::try_to_vec(bytes)?;
        // The last attribute's padding, if it was left out: what is sent has it.
        attributes.try_reserve(3).map_err(|_| Errno::ENOMEM)?;
        attributes.resize(crate::align(bytes.len()), 0);
        Ok(Message { cmd, dp_ifindex: header.dp_ifindex, attributes, family: PhantomData })
    }

    /// A message whose attributes `fill` writes.
    ///
    /// # Errors
    /// `EMSGSIZE` where an attribute is too long, `ENOMEM`.
    pub fn write(cmd: u8, dp_ifindex: i32, fill: impl FnOnce(&mut Writer<'_>)) -> Result<Message<F>, Error> {
        let mut attributes = Vec::new();
        let mut writer = Writer::new(&mut attributes);
        fill(&mut writer);
        writer.finish()?;
        Ok(Message { cmd, dp_ifindex, attributes, family: PhantomData })
    }
}

impl<F> Message<F> {
    /// What is asked for, or told of.
    pub fn cmd(&self) -> u8 {
        self.cmd
    }

    /// The datapath's number; 0 where it is named otherwise.
    pub fn dp_ifindex(&self) -> i32 {
        self.dp_ifindex
    }

    /// The attributes as they lie in the message.
    pub fn attributes(&self) -> &[u8] {
        &self.attributes
    }

    /// How long the message is behind the generic netlink header.
    pub fn payload_len(&self) -> usize {
        self.attributes.len().saturating_add(OVS_HDRLEN)
    }

    /// Writes what stands behind the generic netlink header; nothing if it does not fit.
    pub fn put_payload(&self, out: &mut [u8]) {
        if let Some((header, rest)) = out.split_at_mut_checked(OVS_HDRLEN)
            && let Some(attributes) = rest.get_mut(..self.attributes.len())
        {
            OvsHeader { dp_ifindex: self.dp_ifindex }.write(header);
            attributes.copy_from_slice(&self.attributes);
        }
    }

    /// The same message in a place of its own.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_clone(&self) -> Result<Message<F>, Error> {
        let attributes = pfnl_platform::try_to_vec(&self.attributes)?;
        Ok(Message { attributes, family: PhantomData, ..*self })
    }
}

impl<F> PartialEq for Message<F> {
    fn eq(&self, other: &Message<F>) -> bool {
        (self.cmd, self.dp_ifindex, &self.attributes) == (other.cmd, other.dp_ifindex, &other.attributes)
    }
}

impl<F> Eq for Message<F> {}

impl<F: Family> core::fmt::Debug for Message<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut out = f.debug_struct(F::NAME);
        out.field("cmd", &self.cmd).field("dp_ifindex", &self.dp_ifindex);
        for attr in Attrs::new(&self.attributes, 0) {
            out.field(F::TABLE.row(attr.number()).map_or("unknown", |row| row.name), &attr.payload());
        }
        out.finish()
    }
}

macro_rules! families {
    ($($name:ident, $message:ident: $c_name:literal $version:literal $module:ident;)*) => {$(
        #[doc = concat!("The family `", $c_name, "`.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {}

        impl Family for $name {
            const NAME: &'static str = $c_name;
            const VERSION: u8 = $version;
            const TABLE: &'static Table = &$module::TABLE;
        }

        #[doc = concat!("A message of the family `", $c_name, "`.")]
        pub type $message = Message<$name>;

        impl Message<$name> {
            /// A message whose attributes `fill` puts.
            ///
            /// # Errors
            /// As [`Message::write`].
            pub fn build(
                cmd: u8,
                dp_ifindex: i32,
                fill: impl FnOnce(&mut $module::Put<'_, '_>),
            ) -> Result<$message, Error> {
                Message::write(cmd, dp_ifindex, |writer| fill(&mut $module::Put(writer)))
            }

            /// The attributes by their names.
            ///
            /// # Errors
            /// An attribute that does not fit its row.
            pub fn view(&self) -> Result<$module::View<'_>, Error> {
                $module::View::parse(Attrs::new(&self.attributes, 0), Level::Liberal)
            }
        }
    )*};
}

families! {
    Datapath, DatapathMessage: "ovs_datapath" 2 datapath;
    Vport, VportMessage: "ovs_vport" 1 vport;
    Flow, FlowMessage: "ovs_flow" 1 flow;
    Packet, PacketMessage: "ovs_packet" 1 packet;
    Meter, MeterMessage: "ovs_meter" 1 meter;
    CtLimit, CtLimitMessage: "ovs_ct_limit" 1 ct_limit;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovs::{cmd, key};

    #[test]
    fn what_is_built_is_written_and_read_back() {
        let flow = FlowMessage::build(cmd::NEW, 7, |put| {
            put.key(|w| _ = key::Put(w).in_port(1)).actions(|w| _ = w.fixed(1, &2u32)).ufid(&[3; 5]);
        })
        .unwrap();
        let mut payload = vec![0xff; flow.payload_len()];
        flow.put_payload(&mut payload);
        let read = FlowMessage::parse(cmd::NEW, &payload).unwrap();
        assert_eq!(read, flow);
        assert_eq!(read.try_clone().unwrap(), flow);
        assert_eq!(
            (read.cmd(), read.dp_ifindex(), read.view().unwrap().ufid()),
            (cmd::NEW, 7, Some(&[3; 5][..]))
        );
        assert!(format!("{read:?}").starts_with("ovs_flow { cmd: 1, dp_ifindex: 7, key: ["));
    }

    #[test]
    fn a_message_cut_anywhere_is_read_or_refused() {
        let port = VportMessage::build(cmd::NEW, 1, |put| _ = put.name(b"eth0").port_type(1)).unwrap();
        let mut payload = vec![0; port.payload_len()];
        port.put_payload(&mut payload);
        for len in 0..payload.len() {
            match VportMessage::parse(cmd::NEW, &payload[..len]) {
                // Whole attributes, or all but the padding of the last.
                Ok(read) => assert!([4, 13, 14, 15, 16].contains(&len), "{len}: {read:?}"),
                Err(error) => assert_eq!(error.errno, Errno::EINVAL),
            }
        }
        let mut short = [0xff; 3];
        port.put_payload(&mut short);
        assert_eq!(short, [0xff; 3]);
    }
}
