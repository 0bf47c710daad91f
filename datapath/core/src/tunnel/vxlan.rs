//! VXLAN (RFC 7348), and its group policy extension (draft-smith-vxlan-group-policy-05).
//!
//! ```text
//!  0                   1                   2                   3
//! |G|R|R|R|I|R|R|R|R|D|R|R|A|R|R|R|       group policy id         |
//! |                 VNI                           |   reserved    |
//! ```
//!
//! and its generic protocol extension (draft-ietf-nvo3-vxlan-gpe-12), in which the packet need not be Ethernet:
//!
//! ```text
//! |R|R|Ver|I|P|B|O|       reserved                |next protocol  |
//! |                 VNI                           |   reserved    |
//! ```

use super::{Inside, KEY, OPTS_VXLAN};
use crate::key::{Be64, TunnelKey};
use crate::packet::Packet;
use crate::wire::{ETH_IPV4, ETH_IPV6, ETH_MPLS, ETH_NSH};
use pfnl_platform::{Errno, Result};

const LEN: usize = 8;
/// There is a VNI.
const I: u8 = 0x08;
/// There is a next protocol.
const P: u8 = 0x04;
/// There is a group policy.
const G: u8 = 0x80;
/// "Don't learn" and "policy applied", in the second byte.
const D_A: u8 = 0x48;

pub(super) fn push<Pk: Packet>(key: &TunnelKey, gbp: bool, packet: &mut Pk) -> Result<()> {
    let [.., a, b, c] = key.id.to_bytes();
    let mut header = [I, 0, 0, 0, a, b, c, 0];
    if gbp && key.opts_kind & OPTS_VXLAN != 0 {
        let policy = key.opts.first_chunk().map_or(0, |&policy| u32::from_ne_bytes(policy));
        let [_, flags, high, low] = policy.to_be_bytes();
        header = [G | I, flags & D_A, high, low, a, b, c, 0];
    }
    packet.push_front(LEN)?;
    packet.head_mut(LEN)?.copy_from_slice(&header);
    Ok(())
}

pub(super) fn pop<Pk: Packet>(key: &mut TunnelKey, gbp: bool, packet: &mut Pk) -> Result<()> {
    let mut header = [0; LEN];
    packet.copy_out(0, &mut header)?;
    let [flags, more, high, low, a, b, c, reserved] = header;
    let has_policy = gbp && flags & G != 0;
    let understood = if has_policy { flags == G | I } else { [flags, more, high, low] == [I, 0, 0, 0] };
    if !understood || reserved != 0 {
        return Err(Errno::EINVAL);
    }
    (key.id, key.flags) = (Be64::from_bytes([0, 0, 0, 0, 0, a, b, c]), key.flags | KEY);
    if has_policy {
        let policy = u32::from_be_bytes([0, more & D_A, high, low]).to_ne_bytes();
        *key.opts.first_chunk_mut().ok_or(Errno::EINVAL)? = policy;
        (key.opts_kind, key.opts_len) = (OPTS_VXLAN, 4);
    }
    packet.pop_front(LEN)
}

/// The numbers of what the extension carries, with their ethertypes.
const NEXT: [(u8, Inside); 5] = [
    (1, Inside::Network(ETH_IPV4)),
    (2, Inside::Network(ETH_IPV6)),
    (3, Inside::Ethernet),
    (4, Inside::Network(ETH_NSH)),
    (5, Inside::Network(ETH_MPLS)),
];

pub(super) fn next_protocol(inside: Inside) -> Option<u8> {
    NEXT.iter().find(|(_, kind)| *kind == inside).map(|(number, _)| *number)
}

pub(super) fn push_gpe<Pk: Packet>(key: &TunnelKey, inside: Inside, packet: &mut Pk) -> Result<()> {
    let [.., a, b, c] = key.id.to_bytes();
    let next = next_protocol(inside).ok_or(Errno::EPROTONOSUPPORT)?;
    packet.push_front(LEN)?;
    packet.head_mut(LEN)?.copy_from_slice(&[I | P, 0, 0, next, a, b, c, 0]);
    Ok(())
}

pub(super) fn pop_gpe<Pk: Packet>(key: &mut TunnelKey, packet: &mut Pk) -> Result<Inside> {
    let mut header = [0; LEN];
    packet.copy_out(0, &mut header)?;
    let [flags, high, low, next, a, b, c, reserved] = header;
    // Another version, operations and maintenance, and bits that nothing is known of.
    if [flags, high, low, reserved] != [I | P, 0, 0, 0] {
        return Err(Errno::EINVAL);
    }
    let inside = NEXT.iter().find(|(number, _)| *number == next).ok_or(Errno::EPROTONOSUPPORT)?.1;
    (key.id, key.flags) = (Be64::from_bytes([0, 0, 0, 0, 0, a, b, c]), key.flags | KEY);
    packet.pop_front(LEN)?;
    Ok(inside)
}
