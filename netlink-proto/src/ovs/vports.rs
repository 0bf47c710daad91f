//! Family `ovs_vport`, version 1.

/// A network device.
pub const VPORT_TYPE_NETDEV: u32 = 1;
/// A network device that the datapath makes.
pub const VPORT_TYPE_INTERNAL: u32 = 2;
/// A GRE tunnel.
pub const VPORT_TYPE_GRE: u32 = 3;
/// A VXLAN tunnel.
pub const VPORT_TYPE_VXLAN: u32 = 4;
/// A Geneve tunnel.
pub const VPORT_TYPE_GENEVE: u32 = 5;
/// An ERSPAN tunnel: a type of OVS's own kernel module, as the two that follow, and not of Linux's. ovs-vswitchd asks for
/// them where the kernel makes it no device of the kind.
pub const VPORT_TYPE_ERSPAN: u32 = 107;
/// An ERSPAN tunnel over IPv6.
pub const VPORT_TYPE_IP6ERSPAN: u32 = 108;
/// A GRE tunnel over IPv6.
pub const VPORT_TYPE_IP6GRE: u32 = 109;

crate::fixed! {
    /// `struct ovs_vport_stats`.
    pub struct VportStats {
        /// Packets received.
        pub rx_packets: u64,
        /// Packets sent.
        pub tx_packets: u64,
        /// Bytes received.
        pub rx_bytes: u64,
        /// Bytes sent.
        pub tx_bytes: u64,
        /// Bad packets received.
        pub rx_errors: u64,
        /// Packets that failed to be sent.
        pub tx_errors: u64,
        /// Received packets dropped for want of buffers.
        pub rx_dropped: u64,
        /// Packets not sent for want of room.
        pub tx_dropped: u64,
    }
}

crate::attributes! {
    /// Attributes of `ovs_vport` messages.
    pub mod vport: "ovs_vport_attr" {
        /// Number in the datapath.
        1 PORT_NO port_no: u32;
        /// `VPORT_TYPE_*`.
        2 TYPE port_type: u32;
        /// Name: the interface's, or of the tunnel's choosing.
        3 NAME name: nul_string(15);
        /// A tunnel's options.
        4 OPTIONS options: nest(tunnel_options);
        /// Portids that get the port's upcalls.
        5 UPCALL_PID upcall_pid: u32s;
        /// Counters.
        6 STATS stats: fixed(VportStats) [Policy::Min(64)];
        /// Pads 64-bit values.
        7 PAD pad: pad;
        /// The interface.
        8 IFINDEX ifindex: s32 [Policy::Sint(4, 0, i32::MAX as i64)];
        /// Network namespace of the interface, if another one.
        9 NETNSID netnsid: s32;
        /// Upcalls, by whether they were delivered.
        10 UPCALL_STATS upcall_stats: nest(upcall_stats);
    }

    /// A tunnel vport's options, in [`vport::OPTIONS`].
    pub mod tunnel_options: "ovs_tunnel_attr" {
        /// UDP port.
        1 DST_PORT dst_port: u16;
        /// Extensions.
        2 EXTENSION extension: nest(vxlan_ext);
    }

    /// VXLAN extensions, in [`tunnel_options::EXTENSION`].
    pub mod vxlan_ext: "ovs_vxlan_ext" {
        /// Group policy.
        1 GBP gbp: flag;
    }

    /// Upcalls of a vport, in [`vport::UPCALL_STATS`].
    pub mod upcall_stats: "ovs_vport_upcall_attr" {
        /// Delivered.
        0 SUCCESS success: u64;
        /// Lost.
        1 FAIL fail: u64;
    }
}
