//! Subsystem `CTNETLINK_TIMEOUT`.

/// Commands (`enum ctnl_timeout_msg_types`).
pub mod timeout_cmd {
    /// Makes or changes a policy; what answers GET.
    pub const NEW: u8 = 0;
    /// Asks for one, or all.
    pub const GET: u8 = 1;
    /// Takes one away, or all.
    pub const DELETE: u8 = 2;
    /// Changes what holds without a policy; what answers DEFAULT_GET.
    pub const DEFAULT_SET: u8 = 3;
    /// Asks what holds without a policy.
    pub const DEFAULT_GET: u8 = 4;
}

crate::attributes! {
    /// Attributes of a policy.
    pub mod timeout_attr: "ctattr_timeout" {
        /// Its name.
        1 NAME name: nul_string(31);
        /// Address family.
        2 L3PROTO l3proto: be16;
        /// IP protocol.
        3 L4PROTO l4proto: u8;
        /// Values, by the protocol's numbers.
        4 DATA data: nest(timeout_data);
        /// Its users.
        5 USE used: be32;
    }

    /// A protocol's values, in seconds; which is what differs from protocol to protocol (`CTA_TIMEOUT_TCP_*` …).
    pub mod timeout_data: "ctattr_timeout_data" {
        /// The first.
        1 V1 v1: be32;
        /// The second, and so on.
        2 V2 v2: be32;
        /// A value.
        3 V3 v3: be32;
        /// A value.
        4 V4 v4: be32;
        /// A value.
        5 V5 v5: be32;
        /// A value.
        6 V6 v6: be32;
        /// A value.
        7 V7 v7: be32;
        /// A value.
        8 V8 v8: be32;
        /// A value.
        9 V9 v9: be32;
        /// A value.
        10 V10 v10: be32;
        /// A value.
        11 V11 v11: be32;
    }
}
