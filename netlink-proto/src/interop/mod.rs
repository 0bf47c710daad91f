//! The rust-netlink crates' traits for the messages of [`ovs::message`](crate::ovs::message): with the feature
//! `netlink-packet`, users of `genetlink` (tokio) get Open vSwitch's families.
//!
//! ```
//! use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
//! use netlink_packet_generic::GenlMessage;
//! use pfnl_proto::ovs::{cmd, message::DatapathMessage};
//! let mut header = NetlinkHeader::default();
//! header.flags = NLM_F_REQUEST | NLM_F_DUMP;
//! let payload = GenlMessage::from_payload(DatapathMessage::build(cmd::GET, 0, |_| ())?);
//! let request = NetlinkMessage::new(header, payload.into());
//! // … and `handle.request(request).await?`, which finds the family's number: examples/list_datapaths.rs
//! # assert_eq!(request.buffer_len(), 16 + 4 + 4);
//! # Ok::<(), pfnl_proto::Error>(())
//! ```
//!
//! **Bytes from elsewhere.** netlink-packet-generic 0.5 panics on some malformed messages of nlctrl. What comes from
//! a kernel, or from pfnl, is well-formed; bytes that do not go through [`check`] first, which refuses what it would
//! panic on.

mod check;
#[cfg(test)]
mod tests;

pub use check::{check, deserialize};

use crate::ovs::message::{Family, Message};
use netlink_packet_core::{DecodeError, Emitable, ParseableParametrized};
use netlink_packet_generic::{GenlFamily, GenlHeader};
use std::string::ToString;

impl<F: Family> GenlFamily for Message<F> {
    fn family_name() -> &'static str {
        F::NAME
    }

    fn command(&self) -> u8 {
        self.cmd()
    }

    fn version(&self) -> u8 {
        F::VERSION
    }
}

impl<F: Family> Emitable for Message<F> {
    fn buffer_len(&self) -> usize {
        self.payload_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.put_payload(buffer);
    }
}

impl<F: Family> ParseableParametrized<[u8], GenlHeader> for Message<F> {
    fn parse_with_param(payload: &[u8], header: GenlHeader) -> Result<Message<F>, DecodeError> {
        Message::parse(header.cmd, payload).map_err(|error| DecodeError::from(error.to_string()))
    }
}
