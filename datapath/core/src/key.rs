//! The flow key: what is known of a packet when the flow table is asked.
//!
//! A [`FlowKey`] is also the form of a mask: a bit that is 1 there is compared. It is viewed as 64-bit words, and
//! ordered so that what most megaflows match on stands together at the front, and what is rare at the end.
//!
//! Integers of the host (`u32`, `u16`, `u8`) are metadata that never was on a wire. Fields from packets stay as they
//! are there: byte arrays, or [`Be16`] and [`Be32`]. Which fields mean something follows from
//! `mac_proto`, `eth_type` and `ip_proto`; all others are zero.
//!
//! The fields are those of enum ovs_key_attr (linux/openvswitch.h).

use crate::wire::{ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_NSH, ETH_RARP};
pub use zerocopy::big_endian::{U16 as Be16, U32 as Be32, U64 as Be64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute_mut, transmute_ref};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// How many 64-bit words a key has.
pub const WORDS: usize = size_of::<FlowKey>() / 8;

/// Words of fields that come from the packet's own bytes, except for word 0.
pub(crate) const PACKET_WORDS: core::ops::Range<usize> = 1..16;

/// The `in_port` of a packet that came from no port.
pub const PORT_NONE: u32 = 65535;

/// `mac_proto` of a packet without a link layer header.
pub const MAC_NONE: u8 = 0;
/// `mac_proto` of an Ethernet frame.
pub const MAC_ETHERNET: u8 = 1;

/// `ip_frag` of a whole packet.
pub const FRAG_NONE: u8 = 0;
/// `ip_frag` of a first fragment: it has a transport header.
pub const FRAG_FIRST: u8 = 1;
/// `ip_frag` of a later fragment: no transport fields.
pub const FRAG_LATER: u8 = 2;

/// The bit of [`Vlan::tci`] that says there is a tag.
pub const VLAN_PRESENT: u16 = 0x1000;

/// One VLAN tag: all zero when there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Vlan {
    /// Tag control information; the CFI bit ([`VLAN_PRESENT`]) is set whenever there is a tag.
    pub tci: Be16,
    /// 0x8100 or 0x88a8.
    pub tpid: Be16,
}

/// A Network Service Header (RFC 8300).
#[derive(Clone, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Nsh {
    /// The O bit and unassigned flags.
    pub flags: u8,
    /// Time to live.
    pub ttl: u8,
    /// Metadata type.
    pub mdtype: u8,
    /// Next protocol.
    pub np: u8,
    /// Service path identifier and index.
    pub path_hdr: Be32,
    /// Metadata type 1's context.
    pub context: [Be32; 4],
}

/// The tunnel a packet came out of.
#[derive(Clone, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct TunnelKey {
    /// VNI or GRE key.
    pub id: Be64,
    /// Outer source; an IPv4 address stands in the first four bytes.
    pub src: [u8; 16],
    /// Outer destination.
    pub dst: [u8; 16],
    /// 4 or 6; 0 = no tunnel.
    pub ip_version: u8,
    /// Outer type of service.
    pub tos: u8,
    /// Outer time to live.
    pub ttl: u8,
    /// Bytes used of `opts`.
    pub opts_len: u8,
    /// Which of DF, CSUM, OAM, key … hold.
    pub flags: u16,
    /// Outer source port.
    pub tp_src: Be16,
    /// Outer destination port.
    pub tp_dst: Be16,
    /// Which protocol `opts` belongs to.
    pub opts_kind: u16,
    /// Outer IPv6 flow label.
    pub label: Be32,
    /// Geneve, VXLAN or ERSPAN options.
    pub opts: [u8; 256],
}

/// The key of a packet or of a flow, or a mask.
#[derive(Clone, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(8))]
pub struct FlowKey {
    // Word 0: what tells one lookup of a packet from another.
    /// The port it came in by, [`PORT_NONE`] if none.
    pub in_port: u32,
    /// Which pass through the table this is, 0 = the first.
    pub recirc_id: u32,

    // Words 1 to 3: Ethernet.
    /// Ethernet destination.
    pub eth_dst: Mac,
    /// Ethernet type after the VLAN tags that were parsed; [`crate::extract::ETH_TYPE_802_2`] if the frame has none.
    pub eth_type: Be16,
    /// Ethernet source.
    pub eth_src: Mac,
    /// [`MAC_ETHERNET`] or [`MAC_NONE`].
    pub mac_proto: u8,
    /// Which of `mpls` hold a label: 0b1, 0b11 or 0b111.
    pub mpls_labels: u8,
    /// The outer tag.
    pub vlan: Vlan,
    /// The inner tag of two.
    pub cvlan: Vlan,

    // Words 4 to 6: IP and transport.
    /// IP protocol, or ARP's operation if below 256. Of a later IPv6 fragment: 44.
    pub ip_proto: u8,
    /// IPv4 type of service, IPv6 traffic class.
    pub ip_tos: u8,
    /// IPv4 time to live, IPv6 hop limit.
    pub ip_ttl: u8,
    /// [`FRAG_NONE`], [`FRAG_FIRST`] or [`FRAG_LATER`].
    pub ip_frag: u8,
    /// TCP, UDP or SCTP source port; ICMP and ICMPv6: the type.
    pub tp_src: Be16,
    /// TCP, UDP or SCTP destination port; ICMP and ICMPv6: the code.
    pub tp_dst: Be16,
    /// IPv4 source, or ARP's sender address.
    pub ipv4_src: [u8; 4],
    /// IPv4 destination, or ARP's target address.
    pub ipv4_dst: [u8; 4],
    /// The twelve bits of TCP's flags.
    pub tcp_flags: Be16,
    /// Which IPv6 extension headers there are: OpenFlow's OFPIEH_* bits, in host order as in struct
    /// ovs_key_ipv6_exthdrs.
    pub ipv6_exthdrs: u16,
    /// IPv6 flow label, 20 bits.
    pub ipv6_label: Be32,

    // Words 7 to 15: IPv6, neighbours, MPLS.
    /// IPv6 source.
    pub ipv6_src: [u8; 16],
    /// IPv6 destination.
    pub ipv6_dst: [u8; 16],
    /// Neighbour discovery's target.
    pub nd_target: [u8; 16],
    /// ARP's sender hardware address, or neighbour discovery's source link-layer address.
    pub sha: Mac,
    /// ARP's target hardware address, or neighbour discovery's target link-layer address.
    pub tha: Mac,
    /// The outermost MPLS label stack entries.
    pub mpls: [Be32; 3],

    // Words 16 to 24: metadata and connection tracking.
    /// Queueing priority.
    pub priority: u32,
    /// A number the host attached.
    pub skb_mark: u32,
    /// What the HASH action computed, 0 = nothing.
    pub dp_hash: u32,
    /// Connection tracking zone.
    pub ct_zone: u16,
    /// OVS_CS_F_*.
    pub ct_state: u8,
    /// IP protocol of the tracked connection's original direction.
    pub ct_orig_proto: u8,
    /// Mark of the connection.
    pub ct_mark: u32,
    /// Source port of the original direction.
    pub ct_orig_tp_src: Be16,
    /// Destination port of the original direction.
    pub ct_orig_tp_dst: Be16,
    /// Labels of the connection.
    pub ct_labels: [u8; 16],
    /// Source of the original direction; an IPv4 address stands in the first four bytes.
    pub ct_orig_src: [u8; 16],
    /// Destination of the original direction.
    pub ct_orig_dst: [u8; 16],

    // Words 25 to 66: service headers and tunnels.
    /// The service header.
    pub nsh: Nsh,
    /// The tunnel.
    pub tunnel: TunnelKey,
}

const _: () = assert!(core::mem::offset_of!(FlowKey, eth_dst) == PACKET_WORDS.start * 8);
const _: () = assert!(core::mem::offset_of!(FlowKey, priority) == PACKET_WORDS.end * 8);
const _: () = assert!(WORDS == 67);

impl FlowKey {
    /// A key (or mask) that is zero throughout.
    pub const ZERO: FlowKey = zerocopy::transmute!([0u64; WORDS]);

    /// A key of zeroes, on the heap.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_boxed() -> pfnl_platform::Result<alloc::boxed::Box<FlowKey>> {
        pfnl_platform::try_box(FlowKey::ZERO)
    }

    /// The key as words.
    #[inline]
    pub fn words(&self) -> &[u64; WORDS] {
        transmute_ref!(self)
    }

    /// The key as words, to change them.
    #[inline]
    pub fn words_mut(&mut self) -> &mut [u64; WORDS] {
        transmute_mut!(self)
    }

    /// The outermost label is another. In the key of what is no MPLS packet, Linux has other fields in its place, and then they
    /// change: the first label stands where the second word of addresses or of a service header is.
    pub(crate) fn label(&mut self, lse: Be32) {
        match self.eth_type.get() {
            ETH_IPV4 | ETH_ARP | ETH_RARP => self.ipv4_dst = lse.to_bytes(),
            ETH_IPV6 => {
                let [_, _, _, _, a, b, c, d, ..] = &mut self.ipv6_src;
                [*a, *b, *c, *d] = lse.to_bytes();
            }
            ETH_NSH => self.nsh.path_hdr = lse,
            _ => {
                let [first, ..] = &mut self.mpls;
                *first = lse;
            }
        }
    }

    /// Zeroes every field that comes from the packet's bytes; metadata stays.
    pub(crate) fn clear_packet_fields(&mut self) {
        self.words_mut().get_mut(PACKET_WORDS).unwrap_or_default().fill(0);
        // The one that stands elsewhere, since it is rare.
        self.nsh = Nsh::default();
    }
}

impl Default for FlowKey {
    fn default() -> FlowKey {
        FlowKey::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_fields() {
        let mut key = FlowKey { in_port: 7, ..FlowKey::ZERO };
        key.tunnel.opts[255] = 0xff;
        assert_eq!(key.words()[0].to_ne_bytes()[..4], 7u32.to_ne_bytes());
        assert_eq!(key.words()[WORDS - 1].to_ne_bytes()[7], 0xff);
        key.eth_type = Be16::new(0x800);
        key.mpls[2] = Be32::new(1);
        key.skb_mark = 9;
        key.clear_packet_fields();
        assert_eq!((key.eth_type, key.mpls[2]), Default::default());
        assert_eq!((key.in_port, key.skb_mark), (7, 9));
    }
}
