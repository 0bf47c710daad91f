//! Explicit congestion notification through tunnels (RFC 6040).

use super::Inside;
use super::inner::{Inner, set_tos};
use crate::packet::Packet;
use pfnl_platform::{Errno, Result};

const MASK: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// The outer type of service: the tunnel's, with the inner packet's mark. A mark of congestion that was met before is not
/// copied, as Linux does it (RFC 3168, 9.1.1, full functionality).
pub(super) fn outer(tos: u8, inner: u8) -> u8 {
    let mark = match inner & MASK {
        CE => ECT_0,
        mark => mark,
    };
    tos & !MASK | mark
}

/// Lets the frame inside know what the outer header has met.
///
/// # Errors
/// `EINVAL`: congestion, and a packet that cannot say so is to be dropped; or the frame ends inside its IP header.
pub(super) fn propagate<Pk: Packet>(outer: u8, inside: Inside, packet: &mut Pk) -> Result<()> {
    let inner = Inner::of(inside, packet)?;
    let Some(at) = inner.at else { return Ok(()) };
    let mark = match (outer & MASK, inner.tos & MASK) {
        (CE, NOT_ECT) => return Err(Errno::EINVAL),
        (CE, _) => CE,
        (ECT_1, ECT_0) => ECT_1,
        (_, inner) => inner,
    };
    if mark == inner.tos & MASK { Ok(()) } else { set_tos(packet, at, inner.tos & !MASK | mark) }
}
