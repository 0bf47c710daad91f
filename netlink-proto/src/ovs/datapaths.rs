//! Family `ovs_datapath`, version 2.

/// Upcall payloads need no padding to 4 bytes.
pub const DP_F_UNALIGNED: u32 = 1 << 0;
/// A vport's UPCALL_PID is an array, one chosen by flow hash.
pub const DP_F_VPORT_PIDS: u32 = 1 << 1;
/// Recirculation ids are shared with tc.
pub const DP_F_TC_RECIRC_SHARING: u32 = 1 << 2;
/// Upcalls go to the socket of the processor that saw the packet (PER_CPU_PIDS).
pub const DP_F_DISPATCH_UPCALL_PER_CPU: u32 = 1 << 3;

crate::fixed! {
    /// `struct ovs_dp_stats`.
    pub struct DpStats {
        /// Packets that a flow matched.
        pub hit: u64,
        /// Packets that no flow matched.
        pub missed: u64,
        /// Of those, packets that could not be told to user space.
        pub lost: u64,
        /// Flows now.
        pub flows: u64,
    }
    /// `struct ovs_dp_megaflow_stats`.
    pub struct DpMegaflowStats {
        /// Masks tried for packets.
        pub mask_hit: u64,
        /// Masks now.
        pub masks: u32,
        /// Zero.
        pub pad0: u32,
        /// Packets whose mask the cache knew.
        pub cache_hit: u64,
        /// Zero.
        pub pad1: u64,
    }
}

crate::attributes! {
    /// Attributes of `ovs_datapath` messages.
    pub mod datapath: "ovs_datapath_attr" {
        /// Name of the local port's interface.
        1 NAME name: nul_string(15);
        /// Portid that gets the local port's upcalls; 0 = none.
        2 UPCALL_PID upcall_pid: u32;
        /// Packets and flows.
        3 STATS stats: fixed(DpStats) [Policy::None];
        /// Masks.
        4 MEGAFLOW_STATS megaflow_stats: fixed(DpMegaflowStats) [Policy::None];
        /// `DP_F_*`.
        5 USER_FEATURES user_features: u32;
        /// Pads 64-bit values.
        6 PAD pad: pad;
        /// Entries of the mask cache: 0 or a power of two.
        7 MASKS_CACHE_SIZE masks_cache_size: u32 [Policy::Uint(4, 0, 4096)];
        /// Portids by processor, with `DP_F_DISPATCH_UPCALL_PER_CPU`.
        8 PER_CPU_PIDS per_cpu_pids: u32s;
        /// ifindex for the local port to be created with.
        9 IFINDEX ifindex: s32 [Policy::Sint(4, 0, i32::MAX as i64)];
    }
}
