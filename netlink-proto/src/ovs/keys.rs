//! Flow keys and masks: `enum ovs_key_attr` and its structures.
//!
//! Multi-byte fields of packet headers are in network byte order and therefore bytes here.

crate::fixed! {
    /// `struct ovs_key_ethernet`.
    pub struct KeyEthernet {
        /// Source address.
        pub src: [u8; 6],
        /// Destination address.
        pub dst: [u8; 6],
    }
    /// `struct ovs_key_ipv4`.
    pub struct KeyIpv4 {
        /// Source address.
        pub src: [u8; 4],
        /// Destination address.
        pub dst: [u8; 4],
        /// Protocol.
        pub proto: u8,
        /// DSCP and ECN.
        pub tos: u8,
        /// Time to live.
        pub ttl: u8,
        /// `FRAG_*`.
        pub frag: u8,
    }
    /// `struct ovs_key_ipv6`.
    pub struct KeyIpv6 {
        /// Source address.
        pub src: [u8; 16],
        /// Destination address.
        pub dst: [u8; 16],
        /// Flow label, in the low 20 bits.
        pub label: [u8; 4],
        /// Protocol.
        pub proto: u8,
        /// Traffic class.
        pub tclass: u8,
        /// Hop limit.
        pub hlimit: u8,
        /// `FRAG_*`.
        pub frag: u8,
    }
    /// `struct ovs_key_tcp`, `ovs_key_udp`, `ovs_key_sctp`.
    pub struct KeyPorts {
        /// Source port.
        pub src: [u8; 2],
        /// Destination port.
        pub dst: [u8; 2],
    }
    /// `struct ovs_key_icmp`, `ovs_key_icmpv6`.
    pub struct KeyIcmp {
        /// Type.
        pub icmp_type: u8,
        /// Code.
        pub code: u8,
    }
    /// `struct ovs_key_arp`.
    pub struct KeyArp {
        /// Sender's protocol address.
        pub sip: [u8; 4],
        /// Target's protocol address.
        pub tip: [u8; 4],
        /// Operation.
        pub op: [u8; 2],
        /// Sender's hardware address.
        pub sha: [u8; 6],
        /// Target's hardware address.
        pub tha: [u8; 6],
        /// Zero.
        pub pad: [u8; 2],
    }
    /// `struct ovs_key_nd`.
    pub struct KeyNd {
        /// Target address.
        pub target: [u8; 16],
        /// Source link-layer address option.
        pub sll: [u8; 6],
        /// Target link-layer address option.
        pub tll: [u8; 6],
    }
    /// `struct ovs_key_ct_tuple_ipv4`.
    pub struct KeyCtTuple4 {
        /// Source address.
        pub src: [u8; 4],
        /// Destination address.
        pub dst: [u8; 4],
        /// Source port.
        pub sport: [u8; 2],
        /// Destination port.
        pub dport: [u8; 2],
        /// Protocol.
        pub proto: u8,
        /// The structure's padding.
        pub pad: [u8; 3],
    }
    /// `struct ovs_key_ct_tuple_ipv6`.
    pub struct KeyCtTuple6 {
        /// Source address.
        pub src: [u8; 16],
        /// Destination address.
        pub dst: [u8; 16],
        /// Source port.
        pub sport: [u8; 2],
        /// Destination port.
        pub dport: [u8; 2],
        /// Protocol.
        pub proto: u8,
        /// The structure's padding.
        pub pad: [u8; 3],
    }
    /// `struct ovs_nsh_key_base`.
    pub struct NshBase {
        /// Flags.
        pub flags: u8,
        /// Time to live.
        pub ttl: u8,
        /// Type of the metadata.
        pub mdtype: u8,
        /// Next protocol.
        pub np: u8,
        /// Service path and index.
        pub path_hdr: [u8; 4],
    }
}

/// Not a fragment.
pub const FRAG_NONE: u8 = 0;
/// A fragment with offset 0.
pub const FRAG_FIRST: u8 = 1;
/// A fragment with a later offset.
pub const FRAG_LATER: u8 = 2;

crate::attributes! {
    /// Attributes of a flow key (`OVS_KEY_ATTR_*`).
    pub mod key: "ovs_key_attr" {
        /// What is inside a VLAN header: a key.
        1 ENCAP encap: bytes(0);
        /// Packet priority (skb->priority).
        2 PRIORITY priority: u32;
        /// Port the packet came in by.
        3 IN_PORT in_port: u32;
        /// Ethernet addresses.
        4 ETHERNET ethernet: fixed(KeyEthernet);
        /// VLAN TCI, with bit 0x1000 saying that there is a tag.
        5 VLAN vlan: be16;
        /// Ethernet type.
        6 ETHERTYPE ethertype: be16;
        /// IPv4 header.
        7 IPV4 ipv4: fixed(KeyIpv4);
        /// IPv6 header.
        8 IPV6 ipv6: fixed(KeyIpv6);
        /// TCP ports.
        9 TCP tcp: fixed(KeyPorts);
        /// UDP ports.
        10 UDP udp: fixed(KeyPorts);
        /// ICMP type and code.
        11 ICMP icmp: fixed(KeyIcmp);
        /// ICMPv6 type and code.
        12 ICMPV6 icmpv6: fixed(KeyIcmp);
        /// ARP.
        13 ARP arp: fixed(KeyArp);
        /// IPv6 neighbour discovery.
        14 ND nd: fixed(KeyNd);
        /// Packet mark (skb->mark).
        15 SKB_MARK skb_mark: u32;
        /// The tunnel the packet came by or is to leave by.
        16 TUNNEL tunnel: nest(tunnel_key);
        /// SCTP ports.
        17 SCTP sctp: fixed(KeyPorts);
        /// TCP flags, 12 bits.
        18 TCP_FLAGS tcp_flags: be16;
        /// Hash computed by the HASH action.
        19 DP_HASH dp_hash: u32;
        /// Set by the RECIRC action.
        20 RECIRC_ID recirc_id: u32;
        /// MPLS label stack entries.
        21 MPLS mpls: bytes(0);
        /// `CS_F_*` bits of connection state.
        22 CT_STATE ct_state: u32;
        /// Conntrack zone.
        23 CT_ZONE ct_zone: u16;
        /// Conntrack mark.
        24 CT_MARK ct_mark: u32;
        /// Conntrack labels.
        25 CT_LABELS ct_labels: fixed([u8; 16]);
        /// Original direction's tuple, IPv4.
        26 CT_ORIG_TUPLE_IPV4 ct_orig_tuple_ipv4: fixed(KeyCtTuple4);
        /// Original direction's tuple, IPv6.
        27 CT_ORIG_TUPLE_IPV6 ct_orig_tuple_ipv6: fixed(KeyCtTuple6);
        /// Network service header.
        28 NSH nsh: nest(nsh_key);
        /// OVS's user space alone uses it; never valid here.
        29 PACKET_TYPE packet_type: u32;
        /// OVS's user space alone uses it; never valid here.
        30 ND_EXTENSIONS nd_extensions: bytes(0);
        /// The kernel's own; never valid on the wire.
        31 TUNNEL_INFO tunnel_info: bytes(0);
        /// `struct ovs_key_ipv6_exthdrs`: which extension headers there are.
        32 IPV6_EXTHDRS ipv6_exthdrs: u16;
    }

    /// Attributes of a tunnel key (`OVS_TUNNEL_KEY_ATTR_*`).
    pub mod tunnel_key: "ovs_tunnel_key_attr" {
        /// Tunnel id.
        0 ID id: be64;
        /// Outer source address.
        1 IPV4_SRC ipv4_src: fixed([u8; 4]);
        /// Outer destination address.
        2 IPV4_DST ipv4_dst: fixed([u8; 4]);
        /// Outer TOS.
        3 TOS tos: u8;
        /// Outer TTL.
        4 TTL ttl: u8;
        /// Do not fragment.
        5 DONT_FRAGMENT dont_fragment: flag;
        /// With checksum.
        6 CSUM csum: flag;
        /// An operations and maintenance frame.
        7 OAM oam: flag;
        /// Geneve options, as on the wire.
        8 GENEVE_OPTS geneve_opts: bytes(0);
        /// Outer source port.
        9 TP_SRC tp_src: be16;
        /// Outer destination port.
        10 TP_DST tp_dst: be16;
        /// VXLAN extensions.
        11 VXLAN_OPTS vxlan_opts: nest(vxlan_opt);
        /// Outer source address.
        12 IPV6_SRC ipv6_src: fixed([u8; 16]);
        /// Outer destination address.
        13 IPV6_DST ipv6_dst: fixed([u8; 16]);
        /// Pads 64-bit values.
        14 PAD pad: pad;
        /// ERSPAN metadata (`struct erspan_metadata`).
        15 ERSPAN_OPTS erspan_opts: bytes(0);
        /// The tunnel is used in bridge mode.
        16 IPV4_INFO_BRIDGE ipv4_info_bridge: flag;
    }

    /// VXLAN extensions in a tunnel key.
    pub mod vxlan_opt: "ovs_vxlan_ext" {
        /// Group policy.
        1 GBP gbp: u32;
    }

    /// Attributes of an NSH key (`OVS_NSH_KEY_ATTR_*`).
    pub mod nsh_key: "ovs_nsh_key_attr" {
        /// The base header.
        1 BASE base: fixed(NshBase);
        /// The four contexts of type 1.
        2 MD1 md1: fixed([u8; 16]);
        /// Variable metadata of type 2.
        3 MD2 md2: bytes(0);
    }
}
