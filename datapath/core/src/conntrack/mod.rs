//! Connection tracking: which packets belong together, and how far their conversation has come.
//!
//! ```text
//! packet ─► Tuple ─► Table::find ─► Conn ─► tracker: TCP, UDP, ICMP, SCTP, others ─► what ct() tells
//!             ▲                      ▲
//!             └── invert, NAT        └── confirm (COMMIT), sweep, flush
//! ```
//!
//! - [`tuple`]: both ends of a packet; its inverse is what the answer will look like.
//! - [`conn`]: a connection. It is found by either of two tuples: of its original direction, and of its replies.
//! - `tcp`, `proto`: what a packet does to a connection's state, and for how long the state then lasts.
//! - `table`: connections by tuple; read without a lock, bounded, swept by the way and by [`Conntrack::sweep`].
//! - [`nat`]: which tuple a connection's packets get.
//! - [`zones`]: how many connections a zone has, and may have.
//!
//! The action that uses all this is `action/ct.rs`. Rules: ovs-actions(7), ovs-fields(7) and what Linux 6.12 does; timeouts
//! are those of Linux's Documentation/networking/nf_conntrack-sysctl.rst.
//!
//! Locks: a connection's own, alone; or the table's writer lock, and inside it that of the zones. None is held
//! while anything outside this module is called.

pub mod conn;
pub mod nat;
mod proto;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
pub mod tuple;
pub mod zones;

pub use conn::{Conn, Snapshot};
pub use proto::SctpState;
pub(crate) use proto::{Seen, Verdict, has_ports};
pub use table::{Conntrack, Cursor, Place};
pub use tcp::TcpState;
pub(crate) use tcp::{OPTIONS_MAX, Segment};
pub use tuple::Tuple;
