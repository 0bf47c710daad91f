//! Family `ovs_packet`, version 1.

use super::actions::action;
use super::keys::key;

crate::attributes! {
    /// Attributes of `ovs_packet` messages.
    pub mod packet: "ovs_packet_attr" {
        /// The frame.
        1 PACKET packet: bytes(0) [Policy::Min(14)];
        /// Its key: extracted (to user space), or metadata for execution (from it).
        2 KEY key: nest(key);
        /// Actions: to execute, or those of the flow that sent it up.
        3 ACTIONS actions: list(action);
        /// The USERDATA of the action that sent it up.
        4 USERDATA userdata: bytes(0) [Policy::None];
        /// Key of the tunnel it would leave by.
        5 EGRESS_TUN_KEY egress_tun_key: nest(tunnel_key) [Policy::None];
        /// Not used.
        6 UNUSED1 unused1: bytes(0) [Policy::None];
        /// Not used.
        7 UNUSED2 unused2: bytes(0) [Policy::None];
        /// Only a probe: do not log errors.
        8 PROBE probe: flag;
        /// Greatest fragment received, if it was reassembled.
        9 MRU mru: u16;
        /// Its length before it was truncated.
        10 LEN len: u32 [Policy::None];
        /// Its flow hash, and in bits 32 and 33 what is known of it.
        11 HASH hash: u64;
    }
}
use super::keys::tunnel_key;
