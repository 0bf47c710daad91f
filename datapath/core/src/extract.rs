//! From a packet to its flow key.

use crate::key::FlowKey;
use crate::packet::Packet;
use pfnl_platform::Result;

/// The Ethernet type, in a key, of a frame that has none: 802.2 without SNAP.
pub const ETH_TYPE_802_2: u16 = 0x05ff;

/// Where in a packet its headers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layers {
    /// The end of the Ethernet header and its VLAN tags.
    pub l2_len: u32,
    /// The IP or ARP header.
    pub l3: Option<u32>,
    /// The transport header, if the packet has a whole one.
    pub l4: Option<u32>,
}

/// Fills in the packet's part of a key; metadata stays.
///
/// # Errors
/// `EINVAL` for a packet without a link layer header, `ENOMEM`.
pub fn extract<Pk: Packet>(packet: &mut Pk, key: &mut FlowKey) -> Result<Layers> {
    key.clear_packet_fields();
    packet.pull(14)?;
    Ok(Layers::default())
}
