//! What is told of connections that begin, change and end.

use super::conn::Conn;
use pfnl_platform::{Platform, Shared};

/// Bits of what happened, and of what a connection tells at all: `IPCT_*` (linux/netfilter/nf_conntrack_common.h).
pub mod bits {
    /// It has begun.
    pub const NEW: u32 = 1 << 0;
    /// It has begun, and was expected.
    pub const RELATED: u32 = 1 << 1;
    /// It is over.
    pub const DESTROY: u32 = 1 << 2;
    /// It was answered.
    pub const REPLY: u32 = 1 << 3;
    /// It has become assured.
    pub const ASSURED: u32 = 1 << 4;
    /// Its protocol's state changed.
    pub const PROTOINFO: u32 = 1 << 5;
    /// It got a helper.
    pub const HELPER: u32 = 1 << 6;
    /// Its mark changed.
    pub const MARK: u32 = 1 << 7;
    /// How its sequence numbers are shifted changed.
    pub const SEQADJ: u32 = 1 << 8;
    /// Its labels changed.
    pub const LABEL: u32 = 1 << 10;
    /// All.
    pub const ALL: u32 = u32::MAX;
}

/// Who is told. Called inside a read-side section and without any lock of the connection table: it must not sleep.
pub trait Observer<P: Platform>: Send + Sync + 'static {
    /// Whether there is anybody to tell of any of these [`bits`].
    fn listens(&self, bits: u32) -> bool;

    /// These things happened, at the request of `portid` (0: by themselves).
    fn tell(&self, conn: &Shared<Conn<P>>, bits: u32, portid: u32);
}
