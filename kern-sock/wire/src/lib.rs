//! What the pfnl host and its LD_PRELOAD side say to each other.
//!
//! A netlink socket of a client is an AF_UNIX SOCK_SEQPACKET connection to the host's path, so that poll, epoll,
//! fork, dup and SCM_RIGHTS work on it without help, plus one small page of memory that both sides map:
//!
//! ```text
//!   client                                                host
//!     │  connect(path)                                      │
//!     │  HELLO {type, protocol}  ────────────────────────►  │  opens a socket of the family
//!     │  ◄────────────────────────  Answer + memfd (page)   │
//!     │                                                     │
//!     │  SEND {slot, destination} + message ─────────────►  │  runs the request,
//!     │  ◄──────────────────────── Arrival + message block  │  pushes what it has queued,
//!     │  waits on the slot's futex  ◄──── page.slot = DONE  │  then completes the slot
//!     │                                                     │
//!     │  (of several blocks all but the last lie in the page: [`Ahead`])
//!     │                                                     │
//!     │  recvmsg: takes Arrival + block, adds its charge    │
//!     │  to page.consumed  ───────────────────────────────► │  reads it when it needs the room
//!     │  READ {slot}: only while a dump goes on ─────────►  │  puts the next block there
//! ```
//!
//! Why a page: Linux runs a request inside send(2), so a client that sends and then receives without waiting finds
//! its answer; here send waits for the slot. And receiving must cost no round trip, though the queue's bound counts
//! what the client has not read.
//!
//! The host trusts nothing a client can write: counters are bounded by what was sent, a slot's state only decides
//! whether that client is woken, and everything else in the page is written, never read, by the host.
//!
//! This is a boundary crate: `unsafe` maps the page, waits on futexes and moves datagrams. Everything here makes its
//! system calls by number, since inside the preload library libc's own names mean the library itself.

mod ahead;
mod io;
mod machine;
mod map;
mod message;
mod page;
mod route;

pub use ahead::{Ahead, Batch, Next};
pub use io::{
    Received, credentials_on, os_error, peer_credentials, recv, send, send_connected, set_buffer, syscall,
};
pub use machine::least_charge;
pub use map::Mapping;
pub use message::{
    ANSWER, ARRIVAL, Answer, Arrival, EVENT, Event, IN_FILE, Kind, Op, REQUEST, Request, Told, VERSION,
};
pub use page::{MORE_BACKLOG, MORE_DUMP, MORE_NUDGE, OUT, Page, SLOTS, Slot, Wait};
pub use route::{LINK_HEADERS, rename_tunnels};

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Names the host's path to clients.
pub const ENV_SOCKET: &str = "PFNL_SOCKET";

/// What a client or a host uses when nothing names a path: `/run/pfnl.sock` for root, else a file in the user's
/// runtime directory, if there is one.
pub fn default_path() -> Option<PathBuf> {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        return Some(PathBuf::from("/run/pfnl.sock"));
    }
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty())?;
    let mut path = OsString::into_vec(directory);
    path.extend_from_slice(b"/pfnl.sock");
    Some(PathBuf::from(OsString::from_vec(path)))
}
