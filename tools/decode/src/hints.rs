//! What an integer or a run of bytes is for people. The tables say how it travels; this says how it is read.

use crate::value::{Value, to_hex};
use pfnl_proto::{Fixed, Layout, Table, ovs};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a payload is shown, where its kind alone does not tell.
#[derive(Clone, Copy)]
pub(crate) enum Hint {
    /// As the kind says; bytes by their number: 2 a port, 4, 6 and 16 an address.
    Plain,
    /// An integer, in hex.
    Hex,
    /// An integer below zero, perhaps.
    Signed,
    /// An integer with a unit.
    Unit(&'static str),
    /// Part of 2^32-1.
    Share,
    /// Bits with names.
    Bits(&'static [(u64, &'static str)]),
    /// Numbers with names.
    Names(&'static [(u64, &'static str)]),
    /// Bytes that are no address.
    Bytes,
    /// Structures, one after the other.
    Items(&'static Layout),
    /// A value, then as many bytes of mask.
    Masked,
    /// Attributes of a table, where the row says bytes.
    Nest(&'static Table),
    /// Attributes of a table, each a value and then its mask.
    MaskedNest,
    /// nlctrl's policies: nests by policy, of nests by attribute.
    Policies,
    /// An Ethernet frame.
    Frame,
}

const PROTOCOLS: &[(u64, &str)] =
    &[(1, "icmp"), (2, "igmp"), (6, "tcp"), (17, "udp"), (47, "gre"), (58, "icmpv6"), (132, "sctp")];
const FRAGMENTS: &[(u64, &str)] = &[(0, "no"), (1, "first"), (2, "later")];
const ETHERTYPES: &[(u64, &str)] = &[
    (0x0800, "ip"),
    (0x0806, "arp"),
    (0x8035, "rarp"),
    (0x8100, "802.1q"),
    (0x86dd, "ipv6"),
    (0x8847, "mpls"),
    (0x8848, "mpls-mc"),
    (0x88a8, "802.1ad"),
    (0x894f, "nsh"),
];
const TCP_FLAGS: &[(u64, &str)] = &[
    (0x001, "fin"),
    (0x002, "syn"),
    (0x004, "rst"),
    (0x008, "psh"),
    (0x010, "ack"),
    (0x020, "urg"),
    (0x040, "ece"),
    (0x080, "cwr"),
    (0x100, "ns"),
];
const CT_STATE: &[(u64, &str)] = &[
    (0x01, "new"),
    (0x02, "est"),
    (0x04, "rel"),
    (0x08, "rpl"),
    (0x10, "inv"),
    (0x20, "trk"),
    (0x40, "snat"),
    (0x80, "dnat"),
];
/// `IPS_*` of linux/netfilter/nf_conntrack_common.h.
const CT_STATUS: &[(u64, &str)] = &[
    (1 << 0, "EXPECTED"),
    (1 << 1, "SEEN_REPLY"),
    (1 << 2, "ASSURED"),
    (1 << 3, "CONFIRMED"),
    (1 << 4, "SRC_NAT"),
    (1 << 5, "DST_NAT"),
    (1 << 6, "SEQ_ADJUST"),
    (1 << 7, "SRC_NAT_DONE"),
    (1 << 8, "DST_NAT_DONE"),
    (1 << 9, "DYING"),
    (1 << 10, "FIXED_TIMEOUT"),
    (1 << 11, "TEMPLATE"),
    (1 << 12, "UNTRACKED"),
    (1 << 13, "HELPER"),
    (1 << 14, "OFFLOAD"),
    (1 << 15, "HW_OFFLOAD"),
];
/// `enum tcp_conntrack`.
const TCP_STATES: &[(u64, &str)] = &[
    (0, "NONE"),
    (1, "SYN_SENT"),
    (2, "SYN_RECV"),
    (3, "ESTABLISHED"),
    (4, "FIN_WAIT"),
    (5, "CLOSE_WAIT"),
    (6, "LAST_ACK"),
    (7, "TIME_WAIT"),
    (8, "CLOSE"),
    (9, "SYN_SENT2"),
];
const OP_FLAGS: &[(u64, &str)] =
    &[(1, "ADMIN_PERM"), (2, "CAP_DO"), (4, "CAP_DUMP"), (8, "CAP_HASPOL"), (16, "UNS_ADMIN_PERM")];
const ATTR_TYPES: &[(u64, &str)] = &[
    (0, "invalid"),
    (1, "flag"),
    (2, "u8"),
    (3, "u16"),
    (4, "u32"),
    (5, "u64"),
    (6, "s8"),
    (7, "s16"),
    (8, "s32"),
    (9, "s64"),
    (10, "binary"),
    (11, "string"),
    (12, "nul_string"),
    (13, "nested"),
    (14, "nested_array"),
    (15, "bitfield32"),
];
const MPLS_ENTRY: &Layout = &Layout::Fields("MplsEntry", &[("lse", Layout::Bytes(4))]);

/// What is known of a field of a table (by its C name) or a structure (by its Rust name).
pub(crate) fn hint(scope: &str, field: &str) -> Hint {
    match (scope, field) {
        ("ctattr_type", "status" | "status_mask") => Hint::Bits(CT_STATUS),
        ("ctattr_type", "mark" | "mark_mask") => Hint::Hex,
        ("ctattr_type" | "ctattr_expect", "timeout") | ("ctattr_timeout_data", _) => Hint::Unit("s"),
        ("ctattr_l4proto", "num") | ("ctattr_timeout", "l4proto") => Hint::Names(PROTOCOLS),
        ("ctattr_timeout", "l3proto") => Hint::Names(&[(2, "ipv4"), (10, "ipv6")]),
        ("ctattr_protoinfo_tcp", "state") => Hint::Names(TCP_STATES),
        ("ctattr_protoinfo_tcp", "flags_original" | "flags_reply") => Hint::Bytes,
        ("ctattr_filter", _) => Hint::Hex,
        ("ctrl_attr", "policy") => Hint::Policies,
        ("ctrl_attr_op", "flags") => Hint::Bits(OP_FLAGS),
        ("netlink_policy_type_attr", "attr_type") => Hint::Names(ATTR_TYPES),
        ("netlink_policy_type_attr", "min_value_s" | "max_value_s") => Hint::Signed,
        ("netlink_policy_type_attr", "mask" | "bitfield32_mask") => Hint::Hex,

        ("ovs_datapath_attr", "user_features") => Hint::Bits(&[
            (ovs::DP_F_UNALIGNED as u64, "UNALIGNED"),
            (ovs::DP_F_VPORT_PIDS as u64, "VPORT_PIDS"),
            (ovs::DP_F_TC_RECIRC_SHARING as u64, "TC_RECIRC_SHARING"),
            (ovs::DP_F_DISPATCH_UPCALL_PER_CPU as u64, "DISPATCH_UPCALL_PER_CPU"),
        ]),
        ("ovs_vport_attr", "port_type") => Hint::Names(&[
            (ovs::VPORT_TYPE_NETDEV as u64, "netdev"),
            (ovs::VPORT_TYPE_INTERNAL as u64, "internal"),
            (ovs::VPORT_TYPE_GRE as u64, "gre"),
            (ovs::VPORT_TYPE_VXLAN as u64, "vxlan"),
            (ovs::VPORT_TYPE_GENEVE as u64, "geneve"),
            (ovs::VPORT_TYPE_ERSPAN as u64, "erspan"),
            (ovs::VPORT_TYPE_IP6ERSPAN as u64, "ip6erspan"),
            (ovs::VPORT_TYPE_IP6GRE as u64, "ip6gre"),
        ]),
        ("ovs_flow_attr", "ufid_flags") => Hint::Bits(&[
            (ovs::UFID_F_OMIT_KEY as u64, "OMIT_KEY"),
            (ovs::UFID_F_OMIT_MASK as u64, "OMIT_MASK"),
            (ovs::UFID_F_OMIT_ACTIONS as u64, "OMIT_ACTIONS"),
        ]),
        ("ovs_flow_attr" | "ovs_meter_attr", "used") => Hint::Unit("ms"),
        ("ovs_flow_attr", "ufid") => Hint::Bytes,
        ("ovs_flow_attr" | "ovs_key_attr", "tcp_flags") => Hint::Bits(TCP_FLAGS),
        ("ovs_band_attr", "band_type") => Hint::Names(&[(ovs::METER_BAND_TYPE_DROP as u64, "drop")]),
        ("ovs_ct_limit_attr", "zone_limit") => Hint::Items(&ovs::ZoneLimit::LAYOUT),
        ("ovs_packet_attr", "packet") => Hint::Frame,
        ("ovs_packet_attr", "hash") => Hint::Hex,

        ("ovs_key_attr", "encap") => Hint::Nest(&ovs::key::TABLE),
        ("ovs_key_attr", "mpls") => Hint::Items(MPLS_ENTRY),
        ("ovs_key_attr", "ethertype") => Hint::Names(ETHERTYPES),
        ("ovs_key_attr", "ct_state") => Hint::Bits(CT_STATE),
        ("ovs_key_attr", "ct_labels") | ("ovs_nsh_key_attr", "md1") => Hint::Bytes,
        ("ovs_key_attr", "vlan" | "skb_mark" | "dp_hash" | "recirc_id" | "ct_mark" | "ipv6_exthdrs") => {
            Hint::Hex
        }
        ("ovs_tunnel_key_attr", "id" | "tos") => Hint::Hex,
        ("KeyIpv4" | "KeyIpv6" | "KeyCtTuple4" | "KeyCtTuple6", "proto") => Hint::Names(PROTOCOLS),
        ("KeyIpv4" | "KeyIpv6", "frag") => Hint::Names(FRAGMENTS),
        ("KeyIpv4", "tos") | ("KeyIpv6", "tclass" | "label") => Hint::Hex,
        ("KeyArp", "op") => Hint::Names(&[(1, "request"), (2, "reply")]),
        ("NshBase", "path_hdr") => Hint::Hex,

        ("ovs_action_attr", "set_masked") => Hint::MaskedNest,
        ("ovs_action_attr", "pop_mpls") => Hint::Names(ETHERTYPES),
        ("ovs_action_attr", "recirc") => Hint::Hex,
        ("ovs_sample_attr", "probability") => Hint::Share,
        ("ovs_ct_attr", "eventmask") => Hint::Hex,
        ("ovs_ct_attr", "labels") => Hint::Masked,
        ("ovs_userspace_attr", "userdata") | ("ovs_packet_attr", "userdata") => Hint::Bytes,
        ("ovs_psample_attr", "cookie") => Hint::Bytes,
        ("PushVlan", "tpid") | ("PushMpls", "ethertype") => Hint::Names(ETHERTYPES),
        ("PushVlan", "tci") | ("PushMpls" | "MplsEntry", "lse") | ("CtAction", _) => Hint::Hex,
        ("HashAction", "algorithm") => Hint::Names(&[(0, "l4"), (1, "symmetric l4")]),
        _ => Hint::Plain,
    }
}

/// An integer of so many bytes. In a mask every bit counts by itself.
pub(crate) fn integer(number: u64, width: u8, hint: Hint, in_mask: bool) -> Value {
    let bits = u32::from(width) * 8;
    match hint {
        Hint::Bits(names) => Value::Bits(
            number,
            names.iter().filter(|(bit, _)| number & bit != 0).map(|(_, name)| *name).collect(),
        ),
        Hint::Share => Value::Share(u32::try_from(number).unwrap_or(u32::MAX)),
        _ if in_mask => Value::Hex(number, width),
        Hint::Hex => Value::Hex(number, width),
        Hint::Signed => Value::Signed(signed(number, bits)),
        Hint::Unit(unit) => Value::Unit(number, unit),
        Hint::Names(names) => match names.iter().find(|(value, _)| *value == number) {
            Some((_, name)) => Value::Named(number, name),
            None => Value::Hex(number, width),
        },
        _ => Value::Number(number),
    }
}

/// The number of `bits` bits, read as a signed one.
pub(crate) fn signed(number: u64, bits: u32) -> i64 {
    let unused = 64 - bits.clamp(1, 64);
    (number << unused).cast_signed() >> unused
}

/// The integer that bytes in network order are.
pub(crate) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The integer that bytes in host order are.
pub(crate) fn host(bytes: &[u8]) -> u64 {
    let big =
        |bytes: &mut dyn Iterator<Item = &u8>| bytes.fold(0, |number, byte| number << 8 | u64::from(*byte));
    if cfg!(target_endian = "little") { big(&mut bytes.iter().rev()) } else { big(&mut bytes.iter()) }
}

/// Bytes of a fixed number.
pub(crate) fn bytes(bytes: &[u8], hint: Hint, in_mask: bool) -> Value {
    match (hint, bytes) {
        (Hint::Bytes, _) => Value::Bytes(bytes.to_vec()),
        (Hint::Hex | Hint::Names(_) | Hint::Bits(_), _) if bytes.len() <= 8 => {
            integer(big_endian(bytes), bytes.len() as u8, hint, in_mask)
        }
        (_, [_, _]) => integer(big_endian(bytes), 2, hint, in_mask),
        (_, &[a, b, c, d]) => Value::Address(Ipv4Addr::new(a, b, c, d).to_string()),
        (_, [_, _, _, _, _, _]) => Value::Address(mac(bytes)),
        _ => match <[u8; 16]>::try_from(bytes) {
            Ok(octets) => Value::Address(Ipv6Addr::from(octets).to_string()),
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
    }
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| to_hex(&[*byte])).collect::<Vec<_>>().join(":")
}

/// A frame, with its addresses and its ethertype.
pub(crate) fn frame(bytes: &[u8]) -> Value {
    let Some((header, _)) = bytes.split_first_chunk::<14>() else {
        return Value::Bad("shorter than an Ethernet header", bytes.to_vec());
    };
    let (addresses, ethertype) = header.split_at(12);
    let (to, from) = addresses.split_at(6);
    let number = big_endian(ethertype);
    let name = ETHERTYPES.iter().find(|(value, _)| *value == number);
    let kind = name.map_or_else(|| format!("{number:#06x}"), |(_, name)| (*name).to_owned());
    Value::Frame(format!("{} > {} {kind}", mac(from), mac(to)), bytes.to_vec())
}
