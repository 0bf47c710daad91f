//! What pfnl is fuzzed with: functions of bytes that say what does not hold, if anything.
//!
//! | Target | Input | What must hold |
//! |---|---|---|
//! | [`codec`] | a datagram | it can be read; what was read and written again reads the same |
//! | [`policy`] | choices | tables accept and refuse what a plain reading of their rows does |
//! | [`sockets`] | choices | [`world`](crate::world)'s model, sockets and nlctrl alone |
//! | [`world`] | choices | [`world`](crate::world)'s model, all families, packets in between |
//! | [`extract`] | a frame | a key as a plain reading of the frame gives, however the frame lies in memory |
//! | [`flows`] | choices | the flow table finds what a list of flows finds |
//! | [`actions`] | choices | a list that was accepted can be executed, and leaves headers with right checksums |
//! | [`conntrack`] | choices | zones keep their limits, translated packets come back to where they are from |
//! | [`odp`] | text | what is read prints as something that reads the same |
//! | [`framing`] | a datagram | what host and preload say to each other |

mod actions;
mod codec;
mod conntrack;
mod extract;
mod flows;
mod framing;
mod odp;
mod play;
mod policy;

pub use actions::actions;
pub use codec::codec;
pub use conntrack::conntrack;
pub use extract::extract;
pub use flows::flows;
pub use framing::framing;
pub use odp::odp;
pub use play::{sockets, world};
pub use policy::policy;

/// A target: `Err` says what does not hold.
pub type Target = fn(&[u8]) -> Result<(), String>;

/// All of them, by name.
pub const ALL: [(&str, Target); 10] = [
    ("codec", codec),
    ("policy", policy),
    ("sockets", sockets),
    ("world", world),
    ("extract", extract),
    ("flows", flows),
    ("actions", actions),
    ("conntrack", conntrack),
    ("odp", odp),
    ("framing", framing),
];
