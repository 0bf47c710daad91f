//! The keys that are plain fields, one row each: their names in text, and where the fields lie.

use crate::field::{Field, Kind};
use crate::flags;
use pfnl_proto::ovs::key;

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    pub number: u16,
    pub name: &'static str,
    pub shape: Shape,
}

/// What stands between a key's parentheses.
#[derive(Debug)]
pub(crate) enum Shape {
    /// One field without a name.
    One(Field),
    /// Named fields in so many bytes.
    Fields(usize, &'static [Field]),
    /// A port: a number or a name.
    Port,
    /// A VLAN TCI's parts.
    Vlan,
    /// Label stack entries' parts.
    Mpls,
    /// A tunnel key.
    Tunnel,
    /// A network service header.
    Nsh,
    /// Keys.
    Encap,
}

const PORTS: &[Field] = &[Field::new("src", 0, 2, Kind::Dec), Field::new("dst", 2, 2, Kind::Dec)];
const ICMP: &[Field] = &[Field::new("type", 0, 1, Kind::Dec), Field::new("code", 1, 1, Kind::Dec)];

const fn one(width: usize, kind: Kind) -> Shape {
    Shape::One(Field::host("", 0, width, kind))
}

const fn one_be(width: usize, kind: Kind) -> Shape {
    Shape::One(Field::new("", 0, width, kind))
}

/// All keys, by number.
pub(crate) static KEYS: &[Key] = &[
    Key { number: key::ENCAP, name: "encap", shape: Shape::Encap },
    Key { number: key::PRIORITY, name: "skb_priority", shape: one(4, Kind::Hex) },
    Key { number: key::IN_PORT, name: "in_port", shape: Shape::Port },
    Key {
        number: key::ETHERNET,
        name: "eth",
        shape: Shape::Fields(
            12,
            &[Field::new("src", 0, 6, Kind::Ethernet), Field::new("dst", 6, 6, Kind::Ethernet)],
        ),
    },
    Key { number: key::VLAN, name: "vlan", shape: Shape::Vlan },
    Key { number: key::ETHERTYPE, name: "eth_type", shape: one_be(2, Kind::Hex4) },
    Key {
        number: key::IPV4,
        name: "ipv4",
        shape: Shape::Fields(
            12,
            &[
                Field::new("src", 0, 4, Kind::Ipv4),
                Field::new("dst", 4, 4, Kind::Ipv4),
                Field::new("proto", 8, 1, Kind::Dec),
                Field::new("tos", 9, 1, Kind::Hex),
                Field::new("ttl", 10, 1, Kind::Dec),
                Field::new("frag", 11, 1, Kind::Frag),
            ],
        ),
    },
    Key {
        number: key::IPV6,
        name: "ipv6",
        shape: Shape::Fields(
            40,
            &[
                Field::new("src", 0, 16, Kind::Ipv6),
                Field::new("dst", 16, 16, Kind::Ipv6),
                Field::new("label", 32, 4, Kind::Label),
                Field::new("proto", 36, 1, Kind::Dec),
                Field::new("tclass", 37, 1, Kind::Hex),
                Field::new("hlimit", 38, 1, Kind::Dec),
                Field::new("frag", 39, 1, Kind::Frag),
            ],
        ),
    },
    Key { number: key::TCP, name: "tcp", shape: Shape::Fields(4, PORTS) },
    Key { number: key::UDP, name: "udp", shape: Shape::Fields(4, PORTS) },
    Key { number: key::ICMP, name: "icmp", shape: Shape::Fields(2, ICMP) },
    Key { number: key::ICMPV6, name: "icmpv6", shape: Shape::Fields(2, ICMP) },
    Key {
        number: key::ARP,
        name: "arp",
        shape: Shape::Fields(
            24,
            &[
                Field::new("sip", 0, 4, Kind::Ipv4),
                Field::new("tip", 4, 4, Kind::Ipv4),
                Field::new("op", 8, 2, Kind::Dec),
                Field::new("sha", 10, 6, Kind::Ethernet),
                Field::new("tha", 16, 6, Kind::Ethernet),
            ],
        ),
    },
    Key {
        number: key::ND,
        name: "nd",
        shape: Shape::Fields(
            28,
            &[
                Field::new("target", 0, 16, Kind::Ipv6),
                Field::new("sll", 16, 6, Kind::Ethernet),
                Field::new("tll", 22, 6, Kind::Ethernet),
            ],
        ),
    },
    Key { number: key::SKB_MARK, name: "skb_mark", shape: one(4, Kind::Hex) },
    Key { number: key::TUNNEL, name: "tunnel", shape: Shape::Tunnel },
    Key { number: key::SCTP, name: "sctp", shape: Shape::Fields(4, PORTS) },
    Key { number: key::TCP_FLAGS, name: "tcp_flags", shape: one_be(2, Kind::Flags(&flags::TCP, false)) },
    Key { number: key::DP_HASH, name: "dp_hash", shape: one(4, Kind::Hex) },
    Key { number: key::RECIRC_ID, name: "recirc_id", shape: one(4, Kind::Hex) },
    Key { number: key::MPLS, name: "mpls", shape: Shape::Mpls },
    Key { number: key::CT_STATE, name: "ct_state", shape: one(4, Kind::Flags(&flags::CT_STATE, true)) },
    Key { number: key::CT_ZONE, name: "ct_zone", shape: one(2, Kind::Hex) },
    Key { number: key::CT_MARK, name: "ct_mark", shape: one(4, Kind::Hex) },
    Key { number: key::CT_LABELS, name: "ct_label", shape: one(16, Kind::Hex) },
    Key {
        number: key::CT_ORIG_TUPLE_IPV4,
        name: "ct_tuple4",
        // The structure's end is padded to 4 in memory; its size on the wire is 16, as is the kernel's sizeof.
        shape: Shape::Fields(
            16,
            &[
                Field::new("src", 0, 4, Kind::Ipv4),
                Field::new("dst", 4, 4, Kind::Ipv4),
                Field::new("proto", 12, 1, Kind::Dec),
                Field::new("tp_src", 8, 2, Kind::Dec),
                Field::new("tp_dst", 10, 2, Kind::Dec),
            ],
        ),
    },
    Key {
        number: key::CT_ORIG_TUPLE_IPV6,
        name: "ct_tuple6",
        shape: Shape::Fields(
            40,
            &[
                Field::new("src", 0, 16, Kind::Ipv6),
                Field::new("dst", 16, 16, Kind::Ipv6),
                Field::new("proto", 36, 1, Kind::Dec),
                Field::new("tp_src", 32, 2, Kind::Dec),
                Field::new("tp_dst", 34, 2, Kind::Dec),
            ],
        ),
    },
    Key { number: key::NSH, name: "nsh", shape: Shape::Nsh },
    Key {
        number: key::PACKET_TYPE,
        name: "packet_type",
        shape: Shape::Fields(4, &[Field::new("ns", 0, 2, Kind::Dec), Field::new("id", 2, 2, Kind::Hex)]),
    },
    Key {
        number: key::ND_EXTENSIONS,
        name: "nd_ext",
        shape: Shape::Fields(
            8,
            &[Field::new("nd_reserved", 0, 4, Kind::Hex0x), Field::new("nd_options_type", 4, 1, Kind::Dec)],
        ),
    },
];

impl Key {
    /// The key that text calls so.
    pub fn by_name(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The key of an attribute.
    pub fn by_number(number: u16) -> Option<&'static Key> {
        KEYS.binary_search_by_key(&number, |key| key.number).ok().and_then(|at| KEYS.get(at))
    }

    /// The payload's length, where it is fixed.
    pub fn len(&self) -> Option<usize> {
        match &self.shape {
            Shape::One(field) => Some(field.width),
            Shape::Fields(len, _) => Some(*len),
            Shape::Port => Some(4),
            Shape::Vlan => Some(2),
            Shape::Mpls | Shape::Tunnel | Shape::Nsh | Shape::Encap => None,
        }
    }

    /// Whether the payload is attributes.
    pub fn is_nest(&self) -> bool {
        matches!(self.shape, Shape::Tunnel | Shape::Nsh | Shape::Encap)
    }

    /// Whether a mask says that all of a key counts.
    pub fn is_exact(&self, mask: &[u8]) -> bool {
        match &self.shape {
            Shape::One(field) => field.load(mask) & field.full() == field.full(),
            Shape::Fields(_, fields) => {
                fields.iter().all(|field| field.load(mask) & field.full() == field.full())
            }
            Shape::Encap => false,
            _ => mask.iter().all(|&byte| byte == 0xff),
        }
    }

    /// Whether a mask says that nothing of a key counts.
    pub fn is_wildcard(&self, mask: &[u8]) -> bool {
        match &self.shape {
            Shape::One(field) => field.load(mask) & field.full() == 0,
            Shape::Fields(_, fields) => fields.iter().all(|field| field.load(mask) & field.full() == 0),
            Shape::Encap => false,
            _ => mask.iter().all(|&byte| byte == 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_of_the_codecs_lengths() {
        assert!(KEYS.is_sorted_by_key(|key| key.number));
        for key in KEYS {
            let row = key::TABLE.row(key.number).unwrap();
            if let (Some(len), pfnl_proto::Len::Exact(exact)) = (key.len(), row.kind.len()) {
                assert_eq!(len, usize::from(exact), "{}", key.name);
            }
        }
    }
}
