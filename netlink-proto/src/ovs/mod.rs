//! Open vSwitch's families (`include/uapi/linux/openvswitch.h`).
//!
//! Every message has a user header of one integer, the datapath's number: the ifindex of its local port.

mod actions;
mod ct_limits;
mod datapaths;
mod flows;
mod keys;
pub mod message;
mod meters;
mod packets;
mod vports;

pub use actions::{
    CtAction, HashAction, PushEth, PushMpls, PushVlan, TruncAction, action, check_pkt_len, ct, dec_ttl, nat,
    psample, sample, userspace,
};
pub use ct_limits::{ZONE_LIMIT_DEFAULT_ZONE, ZoneLimit, ct_limit, ct_limit_cmd};
pub use datapaths::{DP_F_DISPATCH_UPCALL_PER_CPU, DP_F_TC_RECIRC_SHARING, DP_F_UNALIGNED, DP_F_VPORT_PIDS};
pub use datapaths::{DpMegaflowStats, DpStats, datapath};
pub use flows::{FlowStats, UFID_F_OMIT_ACTIONS, UFID_F_OMIT_KEY, UFID_F_OMIT_MASK, flow};
pub use keys::*;
pub use meters::{METER_BAND_TYPE_DROP, band, meter, meter_cmd};
pub use packets::packet;
pub use vports::{
    VPORT_TYPE_ERSPAN, VPORT_TYPE_GENEVE, VPORT_TYPE_GRE, VPORT_TYPE_INTERNAL, VPORT_TYPE_IP6ERSPAN,
    VPORT_TYPE_IP6GRE, VPORT_TYPE_NETDEV, VPORT_TYPE_VXLAN,
};
pub use vports::{VportStats, tunnel_options, upcall_stats, vport, vxlan_ext};

/// Length of the user header.
pub const OVS_HDRLEN: usize = 4;

crate::fixed! {
    /// `struct ovs_header`.
    pub struct OvsHeader {
        /// The datapath, by its local port's ifindex; 0 where it is named otherwise.
        pub dp_ifindex: i32,
    }
}

/// Commands that the datapath, vport and flow families share (`enum ovs_{datapath,vport,flow}_cmd`).
pub mod cmd {
    /// Creates; also what tells of a creation.
    pub const NEW: u8 = 1;
    /// Deletes.
    pub const DEL: u8 = 2;
    /// Reads one or dumps all.
    pub const GET: u8 = 3;
    /// Changes.
    pub const SET: u8 = 4;
}

/// Commands of the packet family (`enum ovs_packet_cmd`).
pub mod packet_cmd {
    /// To user space: no flow matched.
    pub const MISS: u8 = 1;
    /// To user space: an `OVS_ACTION_ATTR_USERSPACE`.
    pub const ACTION: u8 = 2;
    /// From user space: apply actions to a packet.
    pub const EXECUTE: u8 = 3;
}
