//! A look at, and a hand in, what passes through a domain: for tracers, and for tests that want trouble.

use crate::addr::SockAddr;
use crate::queue::Block;
use pfnl_platform::Errno;
use pfnl_proto::{Error, msg};

/// A socket, as a hook gets to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its portid, 0 = not bound.
    pub portid: u32,
    /// The process: who sends, or for what arrives, who opened the socket.
    pub pid: u32,
}

/// What becomes of a datagram to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is queued.
    Pass,
    /// It vanishes, and nobody is told.
    Lose,
    /// It vanishes as if the queue were full: the user gets ENOBUFS.
    Overrun,
    /// It is queued, and the user's next recv first fails with this.
    After(Errno),
}

/// Sees everything that passes between users, and between them and families. Set when the domain is made
/// ([`Domain::with_hook`](crate::Domain::with_hook)) and called with no lock held but, for some, the request lock:
/// a hook must not send.
pub trait Hook: Send + Sync {
    /// A user sends a datagram; nothing has been done about it yet.
    fn sent(&self, from: Endpoint, to: SockAddr, bytes: &[u8]) {
        let _ = (from, to, bytes);
    }

    /// A user's send failed.
    fn refused(&self, from: Endpoint, errno: Errno) {
        let _ = (from, errno);
    }

    /// A request is about to be handled. What is returned is its outcome instead of its family's.
    fn request(&self, from: Endpoint, request: &msg::Message<'_>) -> Option<Result<(), Error>> {
        let _ = (from, request);
        None
    }

    /// The next block of a dump is about to be made for a user who asked by this number. What is returned ends the dump.
    fn dump(&self, to: Endpoint, seq: u32) -> Option<Error> {
        let _ = (to, seq);
        None
    }

    /// A datagram is about to be queued for a user.
    fn deliver(&self, to: Endpoint, block: &mut Block) -> Verdict {
        let _ = (to, block);
        Verdict::Pass
    }

    /// There was no room for what was delivered last.
    fn lost(&self, to: Endpoint, errno: Errno) {
        let _ = (to, errno);
    }
}
