//! A netlink kernel in a test: families of one's own, made of an attribute table and closures, and trouble on demand.
//! No root, no module, no Linux.
//!
//! A family, and a client in the same process:
//!
//! ```
//! use pfnl_testkernel::{Command, Errno, Error, Family, Fault, Kernel};
//!
//! pfnl_proto::attributes! {
//!     /// Attributes of the family under test.
//!     pub mod weather: "weather_attr" {
//!         /// Which city.
//!         1 CITY city: nul_string(31);
//!         /// How warm.
//!         2 DEGREES degrees: s32;
//!     }
//! }
//! const GET: u8 = 1;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = Kernel::new()?;
//! kernel.register(
//!     Family::new("weather", 1, &weather::TABLE).command(
//!         Command::new(GET, "GET")
//!             .run(|context| {
//!                 let asked = pfnl_testkernel::view!(weather, context.request)?;
//!                 match asked.city() {
//!                     Some(b"Pisa") => context.reply(GET, |w| {
//!                         weather::Put(w).city(b"Pisa").degrees(31);
//!                     }),
//!                     _ => Err(Error::new(Errno::ENOENT).text("no such city")),
//!                 }
//!             })
//!             .dump(|_request, records| {
//!                 for (city, degrees) in [("Pisa", 31), ("Oslo", -4)] {
//!                     records.add(|w| {
//!                         weather::Put(w).city(city.as_bytes()).degrees(degrees);
//!                     });
//!                 }
//!                 Ok(())
//!             }),
//!     ),
//! )?;
//!
//! let mut client = kernel.client()?;
//! let pisa = client.call("weather", GET, |w| {
//!     weather::Put(w).city(b"Pisa");
//! })?;
//! let view = weather::View::parse(pisa[0].attributes(), pfnl_proto::Level::Liberal)?;
//! assert_eq!(view.degrees(), Some(31));
//!
//! assert_eq!(client.dump("weather", GET, |_| {})?.len(), 2);
//!
//! let refused = client.call("weather", GET, |w| {
//!     weather::Put(w).city(b"Atlantis");
//! });
//! assert_eq!(refused.unwrap_err().to_string(), "No such file or directory: no such city");
//!
//! // What does the client do when the kernel is busy?
//! kernel.inject("weather", GET, Fault::Errno(Errno::EBUSY));
//! assert!(client.dump("weather", GET, |_| {}).is_err());
//!
//! // What did the client ask? Requests can be looked at, or read.
//! assert_eq!(kernel.requests().len(), 4);
//! assert!(kernel.transcript().contains("> weather GET REQUEST|ACK seq 1\n    city \"Pisa\"\n"));
//! # Ok(())
//! # }
//! ```
//!
//! For an unmodified program, [`Kernel::serve`] gives a [`Server`] whose [`Server::command`] starts it with
//! `libpfnl_preload.so` in it: its `socket(AF_NETLINK, …, NETLINK_GENERIC)` is then a socket of this kernel. See
//! `tests/neli.rs` in this crate, which tests the neli crate's client so.
//!
//! | What goes wrong | |
//! |---|---|
//! | [`Fault::Errno`] | the request fails with this errno, and has no effect |
//! | [`Fault::Silence`] | it is handled, but the answer and the acknowledgement are lost |
//! | [`Fault::Overrun`] | the same, and recv says ENOBUFS |
//! | [`Fault::Interrupt`] | a dump says that something changed in its middle (`NLM_F_DUMP_INTR`) |
//! | [`Kernel::overrun_next_notification`] | a listener misses a multicast and gets ENOBUFS |
//! | `SO_RCVBUF` | real congestion: the client's own buffer, as on Linux |
#![forbid(unsafe_code)]

mod client;
mod family;
mod kernel;
mod script;
mod server;

pub use client::{Client, Failure, Message};
pub use family::{Command, Family, Records};
pub use kernel::Kernel;
pub use pfnl_platform::Errno;
pub use pfnl_proto::Error;
pub use pfnl_sock::{Context, Request};
pub use script::{Fault, Seen};
pub use server::Server;

/// The attributes of a request, by the table of a module that `attributes!` made: `view!(weather, context.request)?`.
#[macro_export]
macro_rules! view {
    ($module:ident, $request:expr) => {
        $module::View::of(&$request.validated)
    };
}
