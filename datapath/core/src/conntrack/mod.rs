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
//! - `tcp`, `proto`: what a packet does to a connection's state; [`timeout`]: for how long the state then lasts.
//! - `table`: connections by tuple; read without a lock, bounded, swept by the way and by [`Conntrack::sweep`].
//! - [`nat`]: which tuple a connection's packets get.
//! - [`helper`]: connections that others bring about; `seqadj`: sequence numbers where payload was changed.
//! - `frag`: fragments, until a packet is whole.
//! - [`event`]: what is told of connections.
//! - [`zones`]: how many connections a zone has, and may have.
//!
//! The action that uses all this is `action/ct.rs`. Rules: ovs-actions(7), ovs-fields(7) and what Linux 6.12 does.
//!
//! Locks: a connection's own, the expectations', the fragments' or the policies', each alone; or the table's writer lock, and
//! inside it that of the zones. None is held while anything outside this module is called.

pub mod conn;
pub mod event;
mod frag;
pub mod helper;
pub mod nat;
mod proto;
mod seqadj;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
pub mod timeout;
pub mod tuple;
pub mod zones;

pub use conn::{Conn, Snapshot, Spec};
pub(crate) use frag::Collected;
pub use helper::Helper;
pub use proto::SctpState;
pub(crate) use proto::{Chunk, Seen, Verdict, has_ports};
pub use seqadj::SeqAdj;
pub use table::{COUNTERS, Conntrack, Count, Cursor, Place};
pub use tcp::TcpState;
pub(crate) use tcp::{OPTIONS_MAX, Segment};
pub use tuple::Tuple;
