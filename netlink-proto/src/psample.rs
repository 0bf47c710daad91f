//! Family `psample`, version 1: samples of packets, multicast (linux/psample.h). Its messages have no user header.

/// Its name.
pub const NAME: &str = "psample";
/// The group that is told of groups of samples.
pub const GROUP_CONFIG: &str = "config";
/// The group that gets the samples.
pub const GROUP_PACKETS: &str = "packets";

/// Commands (`enum psample_command`).
pub mod cmd {
    /// To user space: a sample.
    pub const SAMPLE: u8 = 0;
    /// Dumps the groups that somebody holds.
    pub const GET_GROUP: u8 = 1;
    /// To user space: a group is held now.
    pub const NEW_GROUP: u8 = 2;
    /// To user space: it no longer is.
    pub const DEL_GROUP: u8 = 3;
}

crate::attributes! {
    /// Attributes of `psample` messages. They are only ever sent to user space.
    pub mod psample: "psample_attr" {
        /// Interface the packet came in by, its low 16 bits.
        0 IIFINDEX iifindex: u16 [Policy::None];
        /// Interface it goes out by.
        1 OIFINDEX oifindex: u16 [Policy::None];
        /// Its whole length.
        2 ORIGSIZE origsize: u32 [Policy::None];
        /// The group of the sample.
        3 SAMPLE_GROUP sample_group: u32 [Policy::None];
        /// Counts the samples of a group that somebody holds.
        4 GROUP_SEQ group_seq: u32 [Policy::None];
        /// One in so many packets is sampled; with [`SAMPLE_PROBABILITY`], so many of 2^32-1 are.
        5 SAMPLE_RATE sample_rate: u32 [Policy::None];
        /// The packet's first bytes.
        6 DATA data: bytes(0) [Policy::None];
        /// How many hold the group.
        7 GROUP_REFCOUNT group_refcount: u32 [Policy::None];
        /// The tunnel the packet came by.
        8 TUNNEL tunnel: nest(tunnel_key) [Policy::None];
        /// Pads 64-bit values.
        9 PAD pad: pad;
        /// The queue it goes out by.
        10 OUT_TC out_tc: u16 [Policy::None];
        /// Bytes in that queue.
        11 OUT_TC_OCC out_tc_occ: u64 [Policy::None];
        /// Nanoseconds it took.
        12 LATENCY latency: u64 [Policy::None];
        /// When, in nanoseconds of the wall clock.
        13 TIMESTAMP timestamp: u64 [Policy::None];
        /// Its Ethernet type, in host byte order.
        14 PROTO proto: u16 [Policy::None];
        /// What the action passed along.
        15 USER_COOKIE user_cookie: bytes(0) [Policy::None];
        /// The rate is a probability.
        16 SAMPLE_PROBABILITY sample_probability: flag [Policy::None];
    }
}
use crate::ovs::tunnel_key;
