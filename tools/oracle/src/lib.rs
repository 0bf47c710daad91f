//! The oracle: sends pfnl and a real Linux kernel the same requests and compares the answers.
//!
//! ```text
//!              ┌─▶ Guest (QEMU: Debian's kernel, agent) ─▶ answers ┐
//! generate ────┤                                                   ├─▶ blank ─▶ compare ─▶ report
//!              └─▶ Inside (pfnl in this process) ───────▶ answers ─┘      └─▶ golden ─▶ replay, without QEMU
//! ```
//!
//! Portids, interface numbers, family ids and group numbers are arranged to be the same on both sides, so that the bytes
//! can be too; what depends on time and traffic is blanked. Linux is right: what differs is a bug here, or stands with
//! its reason in `differences.txt`.

pub mod compare;
pub mod families;
pub mod generate;
pub mod golden;
pub mod inside;
pub mod interfaces;
pub mod known;
pub mod packets;
pub mod render;
pub mod report;
pub mod run;
pub mod through;
pub mod vm;

mod blank;
