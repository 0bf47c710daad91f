//! Actions: an ordered list of attributes with repeats (`enum ovs_action_attr`).

use super::keys::key;

crate::fixed! {
    /// `struct ovs_action_push_vlan`.
    pub struct PushVlan {
        /// 0x8100 or 0x88a8.
        pub tpid: [u8; 2],
        /// TCI, with bit 0x1000 set.
        pub tci: [u8; 2],
    }
    /// `struct ovs_action_push_mpls`; `ovs_action_add_mpls` has 16 bits of flags instead of `pad`.
    pub struct PushMpls {
        /// Label stack entry.
        pub lse: [u8; 4],
        /// 0x8847 or 0x8848.
        pub ethertype: [u8; 2],
        /// The structure's padding.
        pub pad: u16,
    }
    /// `struct ovs_action_hash`.
    pub struct HashAction {
        /// 0 = L4, 1 = symmetric L4.
        pub algorithm: u32,
        /// Mixed in.
        pub basis: u32,
    }
    /// `struct ovs_action_trunc`.
    pub struct TruncAction {
        /// Greatest length to be output.
        pub max_len: u32,
    }
    /// `struct ovs_action_push_eth`.
    pub struct PushEth {
        /// Source address.
        pub src: [u8; 6],
        /// Destination address.
        pub dst: [u8; 6],
    }
    /// A value and the bits of it that count: CT's MARK.
    pub struct CtAction {
        /// Value.
        pub value: u32,
        /// Mask.
        pub mask: u32,
    }
}

crate::attributes! {
    /// Actions (`OVS_ACTION_ATTR_*`).
    pub mod action: "ovs_action_attr" {
        /// Send out of a port.
        1 OUTPUT output: u32;
        /// Send to user space.
        2 USERSPACE userspace: nest(userspace);
        /// Replace header fields.
        3 SET set: nest(key);
        /// Push a VLAN tag.
        4 PUSH_VLAN push_vlan: fixed(PushVlan);
        /// Pop the outermost VLAN tag.
        5 POP_VLAN pop_vlan: flag;
        /// Do some of the time.
        6 SAMPLE sample: nest(sample);
        /// Look up again, with this recirc_id.
        7 RECIRC recirc: u32;
        /// Compute dp_hash.
        8 HASH hash: fixed(HashAction);
        /// Push an MPLS label.
        9 PUSH_MPLS push_mpls: fixed(PushMpls);
        /// Pop an MPLS label; the ethertype that is then underneath.
        10 POP_MPLS pop_mpls: be16;
        /// Replace bits of header fields: value, then mask.
        11 SET_MASKED set_masked: nest(key);
        /// Track the connection.
        12 CT ct: nest(ct);
        /// Truncate what is output next.
        13 TRUNC trunc: fixed(TruncAction);
        /// Push an Ethernet header.
        14 PUSH_ETH push_eth: fixed(PushEth);
        /// Pop the Ethernet header.
        15 POP_ETH pop_eth: flag;
        /// Forget the connection.
        16 CT_CLEAR ct_clear: flag;
        /// Push an NSH header: a key that has nothing else.
        17 PUSH_NSH push_nsh: nest(key);
        /// Pop the NSH header.
        18 POP_NSH pop_nsh: flag;
        /// Pass a meter.
        19 METER meter: u32;
        /// Do on a copy.
        20 CLONE clone: list(action);
        /// Do one or the other, by length.
        21 CHECK_PKT_LEN check_pkt_len: nest(check_pkt_len);
        /// Push an MPLS label, also in front of the Ethernet header.
        22 ADD_MPLS add_mpls: fixed(PushMpls);
        /// Decrement the TTL, or do otherwise.
        23 DEC_TTL dec_ttl: nest(dec_ttl);
        /// Drop, with a reason.
        24 DROP drop: u32;
        /// Send a sample to a psample group.
        25 PSAMPLE psample: nest(psample);
    }

    /// `OVS_USERSPACE_ATTR_*`.
    pub mod userspace: "ovs_userspace_attr" {
        /// Portid to send to.
        1 PID pid: u32;
        /// Echoed in the upcall.
        2 USERDATA userdata: bytes(0);
        /// Vport whose tunnel's egress key is wanted.
        3 EGRESS_TUN_PORT egress_tun_port: u32;
        /// The flow's actions are wanted.
        4 ACTIONS actions: flag [Policy::None];
    }

    /// `OVS_SAMPLE_ATTR_*`.
    pub mod sample: "ovs_sample_attr" {
        /// How often, of 2^32-1.
        1 PROBABILITY probability: u32;
        /// What.
        2 ACTIONS actions: list(action);
    }

    /// `OVS_CHECK_PKT_LEN_ATTR_*`.
    pub mod check_pkt_len: "ovs_check_pkt_len_attr" {
        /// Greatest length that is not greater.
        1 PKT_LEN pkt_len: u16;
        /// Done if longer.
        2 ACTIONS_IF_GREATER actions_if_greater: list(action);
        /// Done otherwise.
        3 ACTIONS_IF_LESS_EQUAL actions_if_less_equal: list(action);
    }

    /// `OVS_DEC_TTL_ATTR_*`.
    pub mod dec_ttl: "ovs_dec_ttl_attr" {
        /// Done when the TTL has run out.
        1 ACTION action: list(action);
    }

    /// `OVS_PSAMPLE_ATTR_*`.
    pub mod psample: "ovs_psample_attr" {
        /// psample group.
        1 GROUP group: u32;
        /// Passed along.
        2 COOKIE cookie: bytes(16);
    }

    /// `OVS_CT_ATTR_*`.
    pub mod ct: "ovs_ct_attr" {
        /// Commit the connection.
        1 COMMIT commit: flag;
        /// Zone.
        2 ZONE zone: u16;
        /// Mark to set.
        3 MARK mark: fixed(CtAction);
        /// Labels to set: value, then mask.
        4 LABELS labels: fixed([u8; 32]);
        /// Helper by name.
        5 HELPER helper: string(15);
        /// Address translation.
        6 NAT nat: nest(nat);
        /// Commit, in this direction, whatever is there.
        7 FORCE_COMMIT force_commit: flag;
        /// Which events to tell of.
        8 EVENTMASK eventmask: u32;
        /// Timeout policy by name.
        9 TIMEOUT timeout: string(31);
    }

    /// `OVS_NAT_ATTR_*`.
    pub mod nat: "ovs_nat_attr" {
        /// Translate the source.
        1 SRC src: flag;
        /// Translate the destination.
        2 DST dst: flag;
        /// Least address.
        3 IP_MIN ip_min: bytes(16);
        /// Greatest address.
        4 IP_MAX ip_max: bytes(16);
        /// Least port.
        5 PROTO_MIN proto_min: u16;
        /// Greatest port.
        6 PROTO_MAX proto_max: u16;
        /// The same address for the same host.
        7 PERSISTENT persistent: flag;
        /// Port by hash.
        8 PROTO_HASH proto_hash: flag;
        /// Port at random.
        9 PROTO_RANDOM proto_random: flag;
    }
}
