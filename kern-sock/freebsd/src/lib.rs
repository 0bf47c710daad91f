//! pfnl.ko: the PF_NETLINK socket family in the FreeBSD kernel.
//!
//! ```text
//!   socket(2) ─▶ struct protosw (glue/module.c) ─▶ socket.rs ─▶ pfnl_sock::Socket
//!   recv(2)   ─▶ soreceive_generic ◀─ so_rcv ◀─ delivery.rs ◀─ pfnl_sock's queue
//! ```
//!
//! The C glue holds what linker sets and macros force to be C; this crate is the rest. It is a boundary crate: each
//! `unsafe` block says why it is right. What the kernel guarantees to a protocol is what those blocks stand on:
//!
//! - a socket passed in lives through the call; between a successful attach and detach `so_pcb` is ours;
//! - attach, bind, connect, send, receive and option calls may sleep; detach comes last and once.
//!
//! Rules: domain(9), socket(9), sys/protosw.h, vnet(9).
#![no_std]

extern crate alloc;

mod abi;
mod address;
mod count;
mod credentials;
mod delivery;
mod family;
mod kept;
mod option;
mod protocol;
mod receive;
mod send;
mod socket;
mod vnet;

use core::ffi::c_int;
use pfnl_platform::{Errno, Result};

/// A result as a system call's error.
fn code(result: Result<()>) -> c_int {
    result.err().map_or(0, Errno::freebsd)
}

/// A kernel function's error as a result.
fn check(error: c_int) -> Result<(), c_int> {
    if error == 0 { Ok(()) } else { Err(error) }
}
