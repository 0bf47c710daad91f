//! Netlink messages made from attribute tables: right ones, nearly right ones and wrong ones, each from a seed, each
//! shrunk to a small one when it finds something. For pfnl, and for families of your own.
//!
//! ```text
//!   seed ──▶ Choices ──▶ generate (a table, Hints) ──▶ Message ──▶ script (sockets, packets) ──▶ whoever is tested
//!               ▲                                                                                  │
//!               └──────────────── shrink: fewer and lower choices ◀──────────── it has failed ─────┘
//! ```
//!
//! A family of your own needs a table (or a kernel that answers GETPOLICY: [`Family::learn`](family::Family::learn)):
//!
//! ```
//! use pfnl_fuzz::{Choices, NoHints, family::{Family, Op}, generate, nth, shrink};
//! pfnl_proto::attributes! {
//!     /// Attributes of a family of weather stations.
//!     pub mod weather: "weather_attr" {
//!         /// Where.
//!         1 CITY city: nul_string(15);
//!         /// How warm.
//!         2 DEGREES degrees: s32;
//!     }
//! }
//! let op = Op { cmd: 1, table: Some(&weather::TABLE), run: true, dump: false };
//! let family =
//!     Family { name: "weather".into(), id: 30, version: 1, hdrsize: 0, ops: vec![op], groups: vec![] };
//! // Your own receiver in place of this one, which cannot stand DEGREES without CITY.
//! let fails = |message: &[u8]| {
//!     let Some(bytes) = message.get(20..) else { return false };
//!     let attrs = pfnl_proto::Attrs::new(bytes, 20);
//!     match weather::View::parse(attrs, pfnl_proto::Level::Liberal) {
//!         Ok(view) => view.degrees().is_some() && view.city().is_none(),
//!         Err(_) => false,
//!     }
//! };
//! let run = |c: &mut Choices| fails(&generate::message(&family, &NoHints, c).bytes());
//! let found = (0..1000).map(|case| Choices::seeded(nth(7, case))).find_map(|mut c| {
//!     run(&mut c).then(|| c.made().to_vec())
//! });
//! let small = shrink(&found.expect("one in a thousand"), 2000, |choices| run(&mut Choices::replay(choices)));
//! let message = generate::message(&family, &NoHints, &mut Choices::replay(&small));
//! assert_eq!(message.nodes, [pfnl_fuzz::message::leaf(weather::DEGREES, [0; 4])]);
//! ```
//!
//! [`targets`] are what pfnl itself is fuzzed with: functions of bytes, called with a coverage-guided fuzzer's inputs
//! (`fuzz/`), with kept inputs and with seeds (`cargo test -p pfnl-fuzz`). docs/FUZZING.md says how to run all of it.
#![forbid(unsafe_code)]

pub mod check;
mod choices;
pub mod family;
pub mod frames;
pub mod generate;
pub mod message;
pub mod model;
pub mod ovs;
pub mod script;
mod shrink;
pub mod targets;
mod wires;
pub mod world;

pub use choices::{Choices, nth};
pub use generate::{Hints, NoHints};
pub use shrink::shrink;
