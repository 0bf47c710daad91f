//! Netlink messages as trees of names and values.
//!
//! ```
//! use pfnl_decode::Decoder;
//! use pfnl_proto::nlctrl::{self, ctrl};
//! use pfnl_proto::{Writer, genl, msg};
//!
//! let mut bytes = Vec::new();
//! let header = msg::Header { kind: genl::GENL_ID_CTRL, flags: msg::NLM_F_REQUEST, seq: 7, ..Default::default() };
//! Writer::new(&mut bytes).message(header, |w| {
//!     w.raw_fixed(&genl::Header { cmd: nlctrl::cmd::GETFAMILY, version: 1, reserved: 0 });
//!     ctrl::Put(w).family_name(b"ovs_flow");
//! });
//! let text = Decoder::new().decode(&bytes).to_string();
//! assert_eq!(text, "nlctrl GETFAMILY REQUEST seq 7\n    family_name \"ovs_flow\"\n");
//! ```
//!
//! | Module | |
//! |---|---|
//! | `decoder` | from bytes to [`Message`]s: headers, acknowledgements |
//! | `attributes` | attributes by their tables |
//! | `families` | which families have tables here; [`Decoder::add`] takes more |
//! | `netfilter` | messages of NETLINK_NETFILTER |
//! | `hints` | what an integer or a run of bytes is for people: an address, flags, a number in hex |
//! | `guess` | attributes of which nothing is known |
//! | `value`, `show` | the tree, and how it is printed; as JSON through serde |
//! | `pcap` | capture files that Wireshark opens |
//!
//! The same rows that validate a message ([`pfnl_proto::Table`]) name what is in it, so what the protocol crate learns
//! is shown here without more work. Numbers are read in host byte order: messages of this machine.
#![forbid(unsafe_code)]

mod attributes;
mod decoder;
mod families;
mod guess;
mod hints;
mod netfilter;
mod pcap;
mod show;
mod value;

pub use decoder::Decoder;
pub use families::Family;
pub use pcap::{LINKTYPE_NETLINK, Pcap};
pub use value::{Attribute, Body, Datagram, Failure, GenericHeader, Message, Value};
