//! Which attributes a key must have, and which of them may be masked.
//!
//! The header that the Ethernet type or the IP protocol announces must be described; and a mask may look into a header
//! only where the mask says exactly that it is there.

use super::fields::bit;
use super::{
    ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_NSH, ETH_RARP, INVALID, IP_ICMP, IP_ICMPV6, IP_SCTP, IP_TCP, IP_UDP,
    is_mpls, is_nd,
};
use pfnl_datapath::FlowKey;
use pfnl_datapath::key::FRAG_LATER;
use pfnl_proto::Error;
use pfnl_proto::ovs::key;

const IPV4: u64 = bit(key::IPV4);
const IPV6: u64 = bit(key::IPV6);
const TUPLE_IPV4: u64 = bit(key::CT_ORIG_TUPLE_IPV4);
const TUPLE_IPV6: u64 = bit(key::CT_ORIG_TUPLE_IPV6);
const TCP: u64 = bit(key::TCP) | bit(key::TCP_FLAGS);
const UDP: u64 = bit(key::UDP);
const SCTP: u64 = bit(key::SCTP);
const ICMP: u64 = bit(key::ICMP);
const ICMPV6: u64 = bit(key::ICMPV6);
const ARP: u64 = bit(key::ARP);
const ND: u64 = bit(key::ND);
const MPLS: u64 = bit(key::MPLS);
const NSH: u64 = bit(key::NSH);

/// What may be masked only in the presence of the right header.
const LAYERED: u64 =
    IPV4 | IPV6 | TUPLE_IPV4 | TUPLE_IPV6 | TCP | UDP | SCTP | ICMP | ICMPV6 | ARP | ND | MPLS | NSH;
/// What may be masked though the key does not have it.
const ALWAYS: u64 = bit(key::TUNNEL) | bit(key::IN_PORT) | bit(key::ETHERTYPE);

/// Checks a key that has the attributes of `present`, and a mask with its.
pub(super) fn check(present: u64, key: &FlowKey, mask: Option<(u64, &FlowKey)>) -> Result<(), Error> {
    let (type_exact, proto_exact, icmp_exact, masked) =
        mask.map_or((false, false, false, 0), |(masked, mask)| {
            (mask.eth_type.get() == 0xffff, mask.ip_proto == 0xff, mask.tp_src.get() == 0xff, masked)
        });
    let mut required = 0;
    let mut allowed = (present & !LAYERED) | ALWAYS;
    let mut header = |set: u64, exact: bool| {
        required |= set;
        allowed |= if exact { set } else { 0 };
    };

    let ethertype = key.eth_type.get();
    match ethertype {
        ETH_IPV4 => header(IPV4, type_exact),
        ETH_IPV6 => header(IPV6, type_exact),
        ETH_ARP | ETH_RARP => header(ARP, type_exact),
        ETH_NSH => header(NSH, type_exact),
        ethertype if is_mpls(ethertype) => header(MPLS, type_exact),
        _ => {}
    }
    if key.ip_frag != FRAG_LATER {
        match (ethertype, key.ip_proto) {
            (ETH_IPV4 | ETH_IPV6, IP_TCP) => header(TCP, proto_exact),
            (ETH_IPV4 | ETH_IPV6, IP_UDP) => header(UDP, proto_exact),
            (ETH_IPV4 | ETH_IPV6, IP_SCTP) => header(SCTP, proto_exact),
            (ETH_IPV4, IP_ICMP) => header(ICMP, proto_exact),
            (ETH_IPV6, IP_ICMPV6) => {
                header(ICMPV6, proto_exact);
                if is_nd(key) {
                    header(ND, icmp_exact);
                }
            }
            _ => {}
        }
    }
    // No header: tracking says what it is of.
    match ethertype {
        ETH_IPV4 if type_exact => allowed |= TUPLE_IPV4,
        ETH_IPV6 if type_exact && !(is_nd(key) && key.ip_frag != FRAG_LATER) => allowed |= TUPLE_IPV6,
        _ => {}
    }
    if required & !present != 0 || masked & !allowed != 0 { Err(INVALID) } else { Ok(()) }
}
