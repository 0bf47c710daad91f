//! Which flows to show: `ovs-dpctl dump-flows filter=ip,nw_src=10.0.0.1`, in OpenFlow's words.
//!
//! A flow is shown unless it says otherwise: what it does not look at may be anything.

use crate::error::{Error, Trouble};
use crate::field::{Field, Kind};
use crate::flow::CFI;
use pfnl_proto::Attrs;
use pfnl_proto::ovs::key;

/// A condition on a key.
#[derive(Clone, Debug)]
struct Condition {
    number: u16,
    field: Field,
    value: u128,
}

/// Conditions that a flow must not contradict.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Condition>);

const ETH_TYPE: Field = Field::new("", 0, 2, Kind::Hex);
const TCI: Field = Field::new("", 0, 2, Kind::Hex);
const V4_PROTO: Field = Field::new("", 8, 1, Kind::Dec);
const V6_PROTO: Field = Field::new("", 36, 1, Kind::Dec);

/// Short names: an Ethernet type, and the protocol in it.
const PROTOCOLS: &[(&str, u16, Option<u8>)] = &[
    ("ip", 0x0800, None),
    ("icmp", 0x0800, Some(1)),
    ("tcp", 0x0800, Some(6)),
    ("udp", 0x0800, Some(17)),
    ("sctp", 0x0800, Some(132)),
    ("ipv6", 0x86dd, None),
    ("tcp6", 0x86dd, Some(6)),
    ("udp6", 0x86dd, Some(17)),
    ("sctp6", 0x86dd, Some(132)),
    ("icmp6", 0x86dd, Some(58)),
    ("arp", 0x0806, None),
    ("mpls", 0x8847, None),
    ("mplsm", 0x8848, None),
];

/// Names of fields, and in which keys they lie; a flow has at most one of these.
const FIELDS: &[(&str, &[(u16, Field)])] = &[
    ("in_port", &[(key::IN_PORT, Field::host("", 0, 4, Kind::Dec))]),
    ("pkt_mark", &[(key::SKB_MARK, Field::host("", 0, 4, Kind::Dec))]),
    ("recirc_id", &[(key::RECIRC_ID, Field::host("", 0, 4, Kind::Dec))]),
    ("ct_mark", &[(key::CT_MARK, Field::host("", 0, 4, Kind::Dec))]),
    ("ct_zone", &[(key::CT_ZONE, Field::host("", 0, 2, Kind::Dec))]),
    ("dl_src", &[(key::ETHERNET, Field::new("", 0, 6, Kind::Ethernet))]),
    ("dl_dst", &[(key::ETHERNET, Field::new("", 6, 6, Kind::Ethernet))]),
    ("dl_type", &[(key::ETHERTYPE, ETH_TYPE)]),
    (
        "nw_src",
        &[(key::IPV4, Field::new("", 0, 4, Kind::Ipv4)), (key::ARP, Field::new("", 0, 4, Kind::Ipv4))],
    ),
    (
        "nw_dst",
        &[(key::IPV4, Field::new("", 4, 4, Kind::Ipv4)), (key::ARP, Field::new("", 4, 4, Kind::Ipv4))],
    ),
    ("nw_proto", &[(key::IPV4, V4_PROTO), (key::IPV6, V6_PROTO)]),
    (
        "nw_ttl",
        &[(key::IPV4, Field::new("", 10, 1, Kind::Dec)), (key::IPV6, Field::new("", 38, 1, Kind::Dec))],
    ),
    ("ipv6_src", &[(key::IPV6, Field::new("", 0, 16, Kind::Ipv6))]),
    ("ipv6_dst", &[(key::IPV6, Field::new("", 16, 16, Kind::Ipv6))]),
    ("arp_spa", &[(key::ARP, Field::new("", 0, 4, Kind::Ipv4))]),
    ("arp_tpa", &[(key::ARP, Field::new("", 4, 4, Kind::Ipv4))]),
    ("arp_op", &[(key::ARP, Field::new("", 8, 2, Kind::Dec))]),
    ("arp_sha", &[(key::ARP, Field::new("", 10, 6, Kind::Ethernet))]),
    ("arp_tha", &[(key::ARP, Field::new("", 16, 6, Kind::Ethernet))]),
    ("tp_src", &[(key::TCP, PORTS[0]), (key::UDP, PORTS[0]), (key::SCTP, PORTS[0])]),
    ("tp_dst", &[(key::TCP, PORTS[1]), (key::UDP, PORTS[1]), (key::SCTP, PORTS[1])]),
    (
        "icmp_type",
        &[(key::ICMP, Field::new("", 0, 1, Kind::Dec)), (key::ICMPV6, Field::new("", 0, 1, Kind::Dec))],
    ),
    (
        "icmp_code",
        &[(key::ICMP, Field::new("", 1, 1, Kind::Dec)), (key::ICMPV6, Field::new("", 1, 1, Kind::Dec))],
    ),
    ("nd_target", &[(key::ND, Field::new("", 0, 16, Kind::Ipv6))]),
];
const PORTS: [Field; 2] = [Field::new("", 0, 2, Kind::Dec), Field::new("", 2, 2, Kind::Dec)];

impl Filter {
    /// Reads a filter: protocols and `field=value`, with commas between.
    ///
    /// # Errors
    /// Where a name is not known or a value does not fit its field.
    pub fn parse(text: &str) -> Result<Filter, Error> {
        let mut filter = Filter::default();
        let mut rest = text;
        for part in text.split([',', ' ']) {
            let fail = |what, at| Error::new(text, at, &Trouble { what, at });
            let at = rest;
            rest = rest.get(part.len() + 1..).unwrap_or_default();
            if part.is_empty() {
                continue;
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if let Some((_, ethertype, protocol)) = PROTOCOLS.iter().find(|(known, ..)| *known == name) {
                filter.add(key::ETHERTYPE, ETH_TYPE, u128::from(*ethertype));
                if let Some(protocol) = protocol {
                    filter.add(key::IPV4, V4_PROTO, u128::from(*protocol));
                    filter.add(key::IPV6, V6_PROTO, u128::from(*protocol));
                }
            } else if name == "dl_vlan" {
                match value.parse::<u16>() {
                    Ok(vid) if vid < 0x1000 => filter.add(key::VLAN, TCI, u128::from(vid) | u128::from(CFI)),
                    _ => return Err(fail("VLAN id expected", at)),
                }
            } else if let Some((_, fields)) = FIELDS.iter().find(|(known, _)| *known == name) {
                for (number, field) in *fields {
                    match field.scan(value) {
                        Ok(("", (value, mask))) if mask == field.full() => filter.add(*number, *field, value),
                        _ => return Err(fail("an exact value expected", at)),
                    }
                }
            } else {
                return Err(fail("no such field", at));
            }
        }
        Ok(filter)
    }

    fn add(&mut self, number: u16, field: Field, value: u128) {
        self.0.push(Condition { number, field, value });
    }

    /// Whether a flow with this key and mask may match what is looked for. An empty mask is none.
    pub fn matches(&self, key: &[u8], mask: &[u8]) -> bool {
        // A tag is looked for outside of it, the rest also inside.
        let mut run = Some((key, mask));
        while let Some((key, mask)) = run {
            let find = |run, number| Attrs::new(run, 0).find(|attr| attr.number() == number);
            let tagged = find(key, key::ENCAP).is_some();
            let holds = |condition: &Condition| {
                let Some(value) = find(key, condition.number) else { return true };
                if tagged && condition.number == key::ETHERTYPE {
                    return true;
                }
                let field = &condition.field;
                let bits = match find(mask, condition.number) {
                    Some(mask) => field.load(mask.payload()),
                    None if mask.is_empty() => field.full(),
                    None => 0,
                };
                // Of a tag only its id counts, and that it is there.
                let part = if condition.number == key::VLAN { 0x1fff } else { u128::MAX };
                (field.load(value.payload()) ^ condition.value) & bits & part == 0
            };
            if !self.0.iter().all(holds) {
                return false;
            }
            let payload = |run, number| find(run, number).map(|attr| attr.payload());
            run =
                payload(key, key::ENCAP).map(|inner| (inner, payload(mask, key::ENCAP).unwrap_or_default()));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ports, parse_flow};

    fn shows(filter: &str, flow: &str) -> bool {
        let flow = parse_flow(flow, &Ports::default()).unwrap();
        Filter::parse(filter).unwrap().matches(&flow.key, &flow.mask)
    }

    #[test]
    fn a_flow_is_shown_unless_it_says_otherwise() {
        let tagged = "eth(),eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x86dd),ipv6(proto=6),tcp(dst=80/0xfff0))";
        assert!(shows("", tagged));
        assert!(shows("dl_vlan=5,tcp6,tp_dst=95", tagged));
        assert!(!shows("dl_vlan=6", tagged));
        assert!(!shows("tcp", tagged));
        assert!(!shows("udp6", tagged));
        assert!(!shows("tp_dst=96", tagged));
        let plain = "in_port(1),eth(),eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0)";
        assert!(shows("ip,nw_src=10.1.2.3,nw_proto=6,in_port=1", plain));
        assert!(!shows("nw_src=11.1.2.3", plain));
        assert!(!shows("in_port=2", plain));
    }

    #[test]
    fn what_is_no_filter_is_refused_where_it_is_wrong() {
        for (text, what, at) in [
            ("ip,colour=1", "no such field", 3),
            ("nw_src=10.0.0.0/8", "an exact value expected", 0),
            ("tcp,tp_src=70000", "an exact value expected", 4),
            ("dl_vlan=4096", "VLAN id expected", 0),
        ] {
            let error = Filter::parse(text).unwrap_err();
            assert_eq!((error.what, error.at), (what, at), "{text}");
        }
    }
}
