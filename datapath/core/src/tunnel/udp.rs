//! The outer UDP header.

use crate::csum::{pseudo, sum_from};
use crate::key::Be16;
use crate::packet::Packet;
use crate::wire::{IP_UDP, Udp};
use pfnl_platform::{Errno, Result};
use zerocopy::IntoBytes;

/// Its length.
pub const HEADER_LEN: usize = size_of::<Udp>();

/// Puts a UDP header without a checksum in front.
///
/// # Errors
/// `EMSGSIZE`, `ENOMEM`.
pub(super) fn push<Pk: Packet>(src: u16, dst: u16, packet: &mut Pk) -> Result<()> {
    let len = packet.len().saturating_add(HEADER_LEN);
    let header = Udp {
        src: Be16::new(src),
        dst: Be16::new(dst),
        len: Be16::new(u16::try_from(len).map_err(|_| Errno::EMSGSIZE)?),
        csum: [0; 2],
    };
    packet.push_front(HEADER_LEN)?;
    packet.head_mut(HEADER_LEN)?.copy_from_slice(header.as_bytes());
    Ok(())
}

/// Fills in the checksum of a packet that begins with its UDP header. Both addresses are 4 or 16 bytes.
///
/// # Errors
/// `EINVAL` for a packet without a UDP header, `ENOMEM`.
pub fn fill_checksum<Pk: Packet>(packet: &mut Pk, src: &[u8], dst: &[u8]) -> Result<()> {
    let len = packet.len();
    let field = |head: &mut [u8], value: [u8; 2]| {
        head.get_mut(6..8).ok_or(Errno::EINVAL).map(|field| field.copy_from_slice(&value))
    };
    field(packet.head_mut(HEADER_LEN)?, [0; 2])?;
    let sum = pseudo(src, dst, IP_UDP, len).fold();
    let sum = sum_from(packet, 0)?.number(sum.into()).finish();
    // Zero would say "no checksum".
    field(packet.head_mut(HEADER_LEN)?, if sum == 0 { 0xffff } else { sum }.to_be_bytes())
}
