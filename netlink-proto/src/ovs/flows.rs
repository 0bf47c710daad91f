//! Family `ovs_flow`, version 1.

use super::actions::action;
use super::keys::key;

/// The reply need not hold the key.
pub const UFID_F_OMIT_KEY: u32 = 1 << 0;
/// The reply need not hold the mask.
pub const UFID_F_OMIT_MASK: u32 = 1 << 1;
/// The reply need not hold the actions.
pub const UFID_F_OMIT_ACTIONS: u32 = 1 << 2;

crate::fixed! {
    /// `struct ovs_flow_stats`.
    pub struct FlowStats {
        /// Packets matched.
        pub packets: u64,
        /// Their bytes.
        pub bytes: u64,
    }
}

crate::attributes! {
    /// Attributes of `ovs_flow` messages.
    pub mod flow: "ovs_flow_attr" {
        /// What packets must look like.
        1 KEY key: nest(key);
        /// What is done with them.
        2 ACTIONS actions: list(action);
        /// Packets and bytes matched.
        3 STATS stats: fixed(FlowStats) [Policy::None];
        /// All TCP flags seen.
        4 TCP_FLAGS tcp_flags: u8 [Policy::None];
        /// When last matched, in ms of the system's monotonic clock.
        5 USED used: u64 [Policy::None];
        /// Zero the counters.
        6 CLEAR clear: flag;
        /// Which bits of the key count.
        7 MASK mask: nest(key);
        /// Only a probe: do not log errors.
        8 PROBE probe: flag;
        /// The flow's name, 1 to 16 bytes of the installer's choosing.
        9 UFID ufid: bytes(16) [Policy::Min(1)];
        /// `UFID_F_*`: what a reply may leave out.
        10 UFID_FLAGS ufid_flags: u32;
        /// Pads 64-bit values.
        11 PAD pad: pad;
    }
}
