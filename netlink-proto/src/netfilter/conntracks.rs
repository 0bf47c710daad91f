//! Subsystems `CTNETLINK` and `CTNETLINK_EXP`.

/// Commands about connections (`enum cntl_msg_types`).
pub mod ct_cmd {
    /// Makes or changes a connection; what is told of one.
    pub const NEW: u8 = 0;
    /// Asks for one, or all.
    pub const GET: u8 = 1;
    /// Ends one, or all.
    pub const DELETE: u8 = 2;
    /// As GET; counters begin anew.
    pub const GET_CTRZERO: u8 = 3;
    /// Asks for counters of each processor.
    pub const GET_STATS_CPU: u8 = 4;
    /// Asks how many there are.
    pub const GET_STATS: u8 = 5;
    /// Asks for those that are ending.
    pub const GET_DYING: u8 = 6;
    /// Asks for those that are not in the table.
    pub const GET_UNCONFIRMED: u8 = 7;
}

/// Commands about expectations (`enum ctnl_exp_msg_types`).
pub mod exp_cmd {
    /// Makes one; what is told of one.
    pub const NEW: u8 = 0;
    /// Asks for one, or all.
    pub const GET: u8 = 1;
    /// Forgets one, or all.
    pub const DELETE: u8 = 2;
    /// Asks for counters of each processor.
    pub const GET_STATS_CPU: u8 = 3;
}

crate::attributes! {
    /// Attributes of a connection.
    pub mod ct_attr: "ctattr_type" {
        /// Its first packet's ends.
        1 TUPLE_ORIG tuple_orig: nest(tuple);
        /// Its answers' ends.
        2 TUPLE_REPLY tuple_reply: nest(tuple);
        /// `IPS_*`.
        3 STATUS status: be32;
        /// Its protocol's state.
        4 PROTOINFO protoinfo: nest(protoinfo);
        /// Its helper.
        5 HELP help: nest(help);
        /// How its source is translated.
        6 NAT_SRC nat_src: nest(ct_nat);
        /// Seconds it lasts.
        7 TIMEOUT timeout: be32;
        /// Its mark.
        8 MARK mark: be32;
        /// Packets and bytes there.
        9 COUNTERS_ORIG counters_orig: bytes(0) [Policy::None];
        /// Packets and bytes back.
        10 COUNTERS_REPLY counters_reply: bytes(0) [Policy::None];
        /// Its users.
        11 USE used: be32;
        /// Tells it from others of the same ends.
        12 ID id: be32;
        /// How its destination is translated.
        13 NAT_DST nat_dst: nest(ct_nat);
        /// Of the connection that expected it.
        14 TUPLE_MASTER tuple_master: nest(tuple);
        /// Shifts of its numbers there.
        15 SEQ_ADJ_ORIG seq_adj_orig: nest(seq_adj);
        /// Shifts of its numbers back.
        16 SEQ_ADJ_REPLY seq_adj_reply: nest(seq_adj);
        /// Obsolete.
        17 SECMARK secmark: bytes(0) [Policy::None];
        /// Its zone.
        18 ZONE zone: be16;
        /// Its security context.
        19 SECCTX secctx: bytes(0) [Policy::None];
        /// When it began.
        20 TIMESTAMP timestamp: bytes(0) [Policy::None];
        /// Which bits of MARK count.
        21 MARK_MASK mark_mask: be32;
        /// Its labels.
        22 LABELS labels: bytes(16);
        /// Which bits of LABELS count.
        23 LABELS_MASK labels_mask: bytes(16);
        /// A SYN proxy's numbers.
        24 SYNPROXY synproxy: bytes(0) [Policy::None];
        /// Which parts of the tuples count in a dump.
        25 FILTER filter: nest(ct_filter);
        /// Which bits of STATUS count.
        26 STATUS_MASK status_mask: be32;
    }

    /// Both ends.
    pub mod tuple: "ctattr_tuple" {
        /// Addresses.
        1 IP ip: nest(tuple_ip);
        /// Protocol and ports.
        2 PROTO proto: nest(tuple_proto);
        /// Zone.
        3 ZONE zone: be16;
    }

    /// Addresses.
    pub mod tuple_ip: "ctattr_ip" {
        /// IPv4.
        1 V4_SRC v4_src: fixed([u8; 4]) [Policy::Min(4)];
        /// IPv4.
        2 V4_DST v4_dst: fixed([u8; 4]) [Policy::Min(4)];
        /// IPv6.
        3 V6_SRC v6_src: fixed([u8; 16]) [Policy::Min(16)];
        /// IPv6.
        4 V6_DST v6_dst: fixed([u8; 16]) [Policy::Min(16)];
    }

    /// Protocol and ports.
    pub mod tuple_proto: "ctattr_l4proto" {
        /// IP protocol.
        1 NUM num: u8;
        /// Source port.
        2 SRC_PORT src_port: be16;
        /// Destination port.
        3 DST_PORT dst_port: be16;
        /// ICMP identifier.
        4 ICMP_ID icmp_id: be16;
        /// ICMP type.
        5 ICMP_TYPE icmp_type: u8;
        /// ICMP code.
        6 ICMP_CODE icmp_code: u8;
        /// ICMPv6 identifier.
        7 ICMPV6_ID icmpv6_id: be16;
        /// ICMPv6 type.
        8 ICMPV6_TYPE icmpv6_type: u8;
        /// ICMPv6 code.
        9 ICMPV6_CODE icmpv6_code: u8;
    }

    /// A protocol's state.
    pub mod protoinfo: "ctattr_protoinfo" {
        /// TCP.
        1 TCP tcp: nest(protoinfo_tcp);
        /// DCCP.
        2 DCCP dccp: bytes(0) [Policy::Nested];
        /// SCTP.
        3 SCTP sctp: nest(protoinfo_sctp);
    }

    /// TCP's state.
    pub mod protoinfo_tcp: "ctattr_protoinfo_tcp" {
        /// `TCP_CONNTRACK_*`.
        1 STATE state: u8;
        /// Window scale there.
        2 WSCALE_ORIGINAL wscale_original: u8;
        /// Window scale back.
        3 WSCALE_REPLY wscale_reply: u8;
        /// Flags, and which of them count, there.
        4 FLAGS_ORIGINAL flags_original: fixed([u8; 2]) [Policy::Min(2)];
        /// Flags, and which of them count, back.
        5 FLAGS_REPLY flags_reply: fixed([u8; 2]) [Policy::Min(2)];
    }

    /// SCTP's state.
    pub mod protoinfo_sctp: "ctattr_protoinfo_sctp" {
        /// `SCTP_CONNTRACK_*`.
        1 STATE state: u8;
        /// Verification tag there.
        2 VTAG_ORIGINAL vtag_original: be32;
        /// Verification tag back.
        3 VTAG_REPLY vtag_reply: be32;
    }

    /// A helper.
    pub mod help: "ctattr_help" {
        /// Its name.
        1 NAME name: nul_string(15);
        /// Its own bytes.
        2 INFO info: bytes(0) [Policy::None];
    }

    /// Translation.
    pub mod ct_nat: "ctattr_nat" {
        /// Least address.
        1 V4_MINIP v4_minip: fixed([u8; 4]) [Policy::Min(4)];
        /// Greatest address.
        2 V4_MAXIP v4_maxip: fixed([u8; 4]) [Policy::Min(4)];
        /// Ports.
        3 PROTO proto: nest(ct_nat_proto);
        /// Least address.
        4 V6_MINIP v6_minip: fixed([u8; 16]) [Policy::Min(16)];
        /// Greatest address.
        5 V6_MAXIP v6_maxip: fixed([u8; 16]) [Policy::Min(16)];
    }

    /// Ports of a translation.
    pub mod ct_nat_proto: "ctattr_protonat" {
        /// Least port.
        1 PORT_MIN port_min: be16;
        /// Greatest port.
        2 PORT_MAX port_max: be16;
    }

    /// Shifts of sequence numbers.
    pub mod seq_adj: "ctattr_seqadj" {
        /// Where the latest begins.
        1 CORRECTION_POS correction_pos: be32;
        /// By how much up to there.
        2 OFFSET_BEFORE offset_before: be32;
        /// By how much behind.
        3 OFFSET_AFTER offset_after: be32;
    }

    /// Which parts of the tuples count in a dump: bits of [`filter_bit`](super::filter_bit).
    pub mod ct_filter: "ctattr_filter" {
        /// Of the original tuple.
        1 ORIG_FLAGS orig_flags: u32;
        /// Of the reply tuple.
        2 REPLY_FLAGS reply_flags: u32;
    }

    /// Counters of a processor.
    pub mod ct_stats_cpu: "ctattr_stats_cpu" {
        /// Not used any more.
        1 SEARCHED searched: be32;
        /// Tuples found to be taken.
        2 FOUND found: be32;
        /// Not used any more.
        3 NEW new: be32;
        /// Packets that could not be tracked.
        4 INVALID invalid: be32;
        /// Not used any more.
        5 IGNORE ignore: be32;
        /// Not used any more.
        6 DELETE delete: be32;
        /// Not used any more.
        7 DELETE_LIST delete_list: be32;
        /// Connections made.
        8 INSERT insert: be32;
        /// Connections not made.
        9 INSERT_FAILED insert_failed: be32;
        /// Packets dropped.
        10 DROP drop: be32;
        /// Connections given up.
        11 EARLY_DROP early_drop: be32;
        /// ICMP errors about nothing.
        12 ERROR error: be32;
        /// Searches begun anew.
        13 SEARCH_RESTART search_restart: be32;
        /// Clashes resolved.
        14 CLASH_RESOLVE clash_resolve: be32;
        /// Chains too long.
        15 CHAIN_TOOLONG chain_toolong: be32;
    }

    /// How many connections there are.
    pub mod ct_stats: "ctattr_stats_global" {
        /// Now.
        1 ENTRIES entries: be32;
        /// At most.
        2 MAX_ENTRIES max_entries: be32;
    }

    /// Attributes of an expectation.
    pub mod exp_attr: "ctattr_expect" {
        /// Who expects.
        1 MASTER master: nest(tuple);
        /// What is expected.
        2 TUPLE tuple: nest(tuple_of_expect);
        /// Which bits of that count.
        3 MASK mask: nest(tuple_of_expect);
        /// Seconds.
        4 TIMEOUT timeout: be32;
        /// Tells it from others.
        5 ID id: be32;
        /// By which helper.
        6 HELP_NAME help_name: nul_string(15);
        /// Its zone.
        7 ZONE zone: be16;
        /// `NF_CT_EXPECT_*`.
        8 FLAGS flags: be32;
        /// The helper's class.
        9 CLASS class: be32;
        /// How it is translated.
        10 NAT nat: nest(exp_nat);
        /// What is done when it comes.
        11 FN fun: nul_string(15);
    }

    /// How an expected connection is translated.
    pub mod exp_nat: "ctattr_expect_nat" {
        /// Its direction.
        1 DIR dir: be32;
        /// Where it really goes.
        2 TUPLE tuple: nest(tuple_of_expect);
    }

    /// Counters of expectations of a processor.
    pub mod exp_stats: "ctattr_expect_stats" {
        /// Not used any more.
        1 NEW new: be32;
        /// Made.
        2 CREATE create: be32;
        /// Forgotten.
        3 DELETE delete: be32;
    }
}
use tuple as tuple_of_expect;

/// Bits of [`ct_filter`].
pub mod filter_bit {
    /// Source address.
    pub const IP_SRC: u32 = 1 << 0;
    /// Destination address.
    pub const IP_DST: u32 = 1 << 1;
    /// Zone.
    pub const ZONE: u32 = 1 << 2;
    /// Protocol.
    pub const PROTO: u32 = 1 << 3;
    /// Source port.
    pub const SRC_PORT: u32 = 1 << 4;
    /// Destination port.
    pub const DST_PORT: u32 = 1 << 5;
    /// ICMP and ICMPv6 type.
    pub const ICMP_TYPE: u32 = 1 << 6 | 1 << 9;
    /// ICMP and ICMPv6 code.
    pub const ICMP_CODE: u32 = 1 << 7 | 1 << 10;
    /// ICMP and ICMPv6 identifier.
    pub const ICMP_ID: u32 = 1 << 8 | 1 << 11;
    /// All there are.
    pub const ALL: u32 = (1 << 12) - 1;
}
