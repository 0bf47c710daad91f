//! Family `ovs_ct_limit`, version 1. It ignores the datapath in the user header: limits are the namespace's.

/// Commands (`enum ovs_ct_limit_cmd`).
pub mod ct_limit_cmd {
    /// Sets zones' limits.
    pub const SET: u8 = 1;
    /// Takes zones' limits away.
    pub const DEL: u8 = 2;
    /// Reads limits and counts.
    pub const GET: u8 = 3;
}

/// The zone that stands for all that have no limit of their own.
pub const ZONE_LIMIT_DEFAULT_ZONE: i32 = -1;

crate::fixed! {
    /// `struct ovs_zone_limit`. They stand packed in [`ct_limit::ZONE_LIMIT`], without attribute headers.
    pub struct ZoneLimit {
        /// Zone, or [`ZONE_LIMIT_DEFAULT_ZONE`].
        pub zone_id: i32,
        /// How many connections it may have, 0 = any number.
        pub limit: u32,
        /// How many it has.
        pub count: u32,
    }
}

crate::attributes! {
    /// Attributes of `ovs_ct_limit` messages.
    pub mod ct_limit: "ovs_ct_limit_attr" {
        /// [`ZoneLimit`]s, one after the other.
        1 ZONE_LIMIT zone_limit: bytes(0) [Policy::Nested];
    }
}
