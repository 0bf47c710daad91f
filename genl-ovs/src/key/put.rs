//! Keys and masks to attributes, in Linux's order. Which attributes there are follows from the key, of a mask too.

use super::parse::narrow;
use super::{ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_NSH, ETH_RARP, IP_ICMP, IP_ICMPV6, IP_SCTP, IP_TCP, IP_UDP};
use super::{is_mpls, is_nd, is_vlan, nsh, tunnel};
use pfnl_datapath::FlowKey;
use pfnl_datapath::extract::ETH_TYPE_802_2;
use pfnl_datapath::key::{FRAG_LATER, MAC_ETHERNET, PORT_NONE, Vlan};
use pfnl_proto::Writer;
use pfnl_proto::ovs::{
    KeyArp, KeyCtTuple4, KeyCtTuple6, KeyEthernet, KeyIcmp, KeyIpv4, KeyIpv6, KeyNd, KeyPorts, key,
};

/// Writes the contents of `OVS_FLOW_ATTR_KEY` or `OVS_PACKET_ATTR_KEY`.
pub(crate) fn put_key(w: &mut Writer<'_>, key: &FlowKey) {
    Put { key, out: key, is_mask: false }.all(w);
}

/// Writes the contents of `OVS_FLOW_ATTR_MASK`. `key` is the masked key: what it has left of headers is what the mask
/// is shown for.
pub(crate) fn put_mask(w: &mut Writer<'_>, key: &FlowKey, mask: &FlowKey) {
    Put { key, out: mask, is_mask: true }.all(w);
}

/// What is written: `out` is `key`, or its mask.
struct Put<'a> {
    key: &'a FlowKey,
    out: &'a FlowKey,
    is_mask: bool,
}

impl Put<'_> {
    fn all(&self, w: &mut Writer<'_>) {
        self.metadata(w);
        if self.key.mac_proto == MAC_ETHERNET { self.ethernet(w) } else { self.payload(w) }
    }

    fn metadata(&self, w: &mut Writer<'_>) {
        let out = self.out;
        let mut put = key::Put(w);
        put.recirc_id(out.recirc_id).dp_hash(out.dp_hash).priority(out.priority);
        if self.is_mask || self.key.tunnel.ip_version != 0 {
            put.tunnel(|w| tunnel::put(w, &self.key.tunnel, &out.tunnel));
        }
        if self.is_mask {
            // Linux keeps 16 bits of the number; what is above is always said to count.
            put.in_port(out.in_port | 0xffff_0000);
        } else if out.in_port != PORT_NONE {
            put.in_port(out.in_port);
        }
        put.skb_mark(out.skb_mark);
        put.ct_state(out.ct_state.into()).ct_zone(out.ct_zone).ct_mark(out.ct_mark).ct_labels(&out.ct_labels);
        if self.key.ct_orig_proto != 0 {
            self.tuple(w);
        }
    }

    /// The original direction of the packet's connection.
    fn tuple(&self, w: &mut Writer<'_>) {
        let out = self.out;
        let (sport, dport, proto) =
            (out.ct_orig_tp_src.to_bytes(), out.ct_orig_tp_dst.to_bytes(), out.ct_orig_proto);
        let mut put = key::Put(w);
        match self.key.eth_type.get() {
            ETH_IPV4 => {
                let (src, dst) = (narrow(&out.ct_orig_src), narrow(&out.ct_orig_dst));
                put.ct_orig_tuple_ipv4(&KeyCtTuple4 { src, dst, sport, dport, proto, pad: [0; 3] });
            }
            ETH_IPV6 => {
                let (src, dst) = (out.ct_orig_src, out.ct_orig_dst);
                put.ct_orig_tuple_ipv6(&KeyCtTuple6 { src, dst, sport, dport, proto, pad: [0; 3] });
            }
            _ => {}
        }
    }

    fn ethernet(&self, w: &mut Writer<'_>) {
        key::Put(w).ethernet(&KeyEthernet { src: self.out.eth_src, dst: self.out.eth_dst });
        let (outer, inner) = (&self.key.vlan, &self.key.cvlan);
        if outer.tci.get() == 0 && !is_vlan(self.key.eth_type.get()) {
            // Without an outer tag there is no inner one, whatever actions have left of it.
            return self.untagged(w);
        }
        self.tagged(w, outer, &self.out.vlan, |w| {
            self.tagged(w, inner, &self.out.cvlan, |w| self.untagged(w))
        });
    }

    /// A tag if there is one, and what is behind it. A frame that ends within its tag has one, too.
    fn tagged(&self, w: &mut Writer<'_>, tag: &Vlan, out: &Vlan, behind: impl FnOnce(&mut Writer<'_>)) {
        let whole = tag.tci.get() != 0;
        if !whole && !is_vlan(self.key.eth_type.get()) {
            return behind(w);
        }
        let tpid = if self.is_mask { 0xffff } else { out.tpid.get() };
        key::Put(w).ethertype(tpid).vlan(out.tci.get());
        w.nest(key::ENCAP, |w| {
            if whole {
                behind(w);
            }
        });
    }

    fn untagged(&self, w: &mut Writer<'_>) {
        if self.key.eth_type.get() != ETH_TYPE_802_2 {
            self.payload(w);
        } else if self.is_mask && self.out.eth_type.get() != 0 {
            // A frame without Ethernet type has no such attribute, but its mask has.
            key::Put(w).ethertype(self.out.eth_type.get());
        }
    }

    /// The Ethernet type and what it announces.
    fn payload(&self, w: &mut Writer<'_>) {
        let out = self.out;
        let mut put = key::Put(w);
        put.ethertype(out.eth_type.get());
        match self.key.eth_type.get() {
            ETH_IPV4 => {
                put.ipv4(&KeyIpv4 {
                    src: out.ipv4_src,
                    dst: out.ipv4_dst,
                    proto: out.ip_proto,
                    tos: out.ip_tos,
                    ttl: out.ip_ttl,
                    frag: out.ip_frag,
                });
                self.transport(w);
            }
            ETH_IPV6 => {
                put.ipv6(&KeyIpv6 {
                    src: out.ipv6_src,
                    dst: out.ipv6_dst,
                    label: out.ipv6_label.to_bytes(),
                    proto: out.ip_proto,
                    tclass: out.ip_tos,
                    hlimit: out.ip_ttl,
                    frag: out.ip_frag,
                });
                put.ipv6_exthdrs(out.ipv6_exthdrs);
                self.transport(w);
            }
            ETH_ARP | ETH_RARP => {
                put.arp(&KeyArp {
                    sip: out.ipv4_src,
                    tip: out.ipv4_dst,
                    op: [0, out.ip_proto],
                    sha: out.sha,
                    tha: out.tha,
                    pad: [0; 2],
                });
            }
            ETH_NSH => _ = put.nsh(|w| nsh::put(w, &out.nsh, self.is_mask)),
            ethertype if is_mpls(ethertype) => self.mpls(w),
            _ => {}
        }
    }

    fn mpls(&self, w: &mut Writer<'_>) {
        let mut entries = [0; 12];
        for (place, word) in entries.as_chunks_mut::<4>().0.iter_mut().zip(&self.out.mpls) {
            *place = word.to_bytes();
        }
        let len = (self.out.mpls_labels.count_ones() as usize).saturating_mul(4);
        key::Put(w).mpls(entries.get(..len).unwrap_or(&entries));
    }

    fn transport(&self, w: &mut Writer<'_>) {
        let (key, out) = (self.key, self.out);
        if key.ip_frag == FRAG_LATER {
            return;
        }
        let ports = KeyPorts { src: out.tp_src.to_bytes(), dst: out.tp_dst.to_bytes() };
        let ([_, icmp_type], [_, code]) = (ports.src, ports.dst);
        let mut put = key::Put(w);
        match (key.ip_proto, key.eth_type.get()) {
            (IP_TCP, _) => _ = put.tcp(&ports).tcp_flags(out.tcp_flags.get()),
            (IP_UDP, _) => _ = put.udp(&ports),
            (IP_SCTP, _) => _ = put.sctp(&ports),
            (IP_ICMP, ETH_IPV4) => _ = put.icmp(&KeyIcmp { icmp_type, code }),
            (IP_ICMPV6, ETH_IPV6) => {
                put.icmpv6(&KeyIcmp { icmp_type, code });
                if is_nd(key) {
                    put.nd(&KeyNd { target: out.nd_target, sll: out.sha, tll: out.tha });
                }
            }
            _ => {}
        }
    }
}
