//! Headers as they stand in packets, and protocol numbers (RFC 826, 791, 8200, 9293, 768, 9260, 792, 4443, 4861, 3032, 8300; IEEE
//! 802.1Q). All are unaligned, so that a view of any bytes is valid.

use crate::key::{Be16, Be32, Mac};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const ETH_HLEN: usize = 14;
pub const VLAN_HLEN: usize = 4;
pub const MPLS_HLEN: usize = 4;

pub const ETH_IPV4: u16 = 0x0800;
pub const ETH_ARP: u16 = 0x0806;
pub const ETH_RARP: u16 = 0x8035;
pub const ETH_VLAN: u16 = 0x8100;
pub const ETH_IPV6: u16 = 0x86dd;
pub const ETH_QINQ: u16 = 0x88a8;
pub const ETH_MPLS: u16 = 0x8847;
pub const ETH_MPLS_MC: u16 = 0x8848;
pub const ETH_NSH: u16 = 0x894f;
/// A whole Ethernet frame.
pub const ETH_TEB: u16 = 0x6558;
/// Smaller numbers in an Ethernet type's place are lengths.
pub const ETH_802_3_MIN: u16 = 0x0600;

pub const IP_ICMP: u8 = 1;
pub const IP_TCP: u8 = 6;
pub const IP_UDP: u8 = 17;
pub const IP_HOP: u8 = 0;
pub const IP_ROUTING: u8 = 43;
pub const IP_FRAGMENT: u8 = 44;
pub const IP_AUTH: u8 = 51;
pub const IP_ICMPV6: u8 = 58;
pub const IP_NONE: u8 = 59;
pub const IP_DEST: u8 = 60;
pub const IP_SCTP: u8 = 132;

/// The offset and the more-fragments bit of `Ipv4::frag`.
pub const IPV4_OFFSET: u16 = 0x1fff;
pub const IPV4_MORE: u16 = 0x2000;
/// Do not fragment.
pub const IPV4_DF: u16 = 0x4000;

/// `Nsh::mdtype`: four words of context follow.
pub const NSH_MD1: u8 = 1;
/// `Nsh::mdtype`: any number of words follow.
pub const NSH_MD2: u8 = 2;

/// Whether a tag follows.
pub const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETH_VLAN | ETH_QINQ)
}

/// Whether labels follow.
pub const fn is_mpls(ethertype: u16) -> bool {
    matches!(ethertype, ETH_MPLS | ETH_MPLS_MC)
}

macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(C)]
        pub struct $name { $(pub $field: $type,)* }
    )*};
}

headers! {
    Ethernet { dst: Mac, src: Mac, ethertype: Be16, }
    /// Addresses of an Ethernet header, and the tag that follows them.
    TaggedEthernet { dst: Mac, src: Mac, tpid: Be16, tci: Be16, }
    /// What follows a VLAN's tpid.
    Tag { tci: Be16, ethertype: Be16, }
    /// What follows a length: 802.2 with SNAP.
    Snap { dsap: u8, ssap: u8, ctrl: u8, oui: [u8; 3], ethertype: Be16, }
    Arp { hrd: Be16, pro: Be16, hln: u8, pln: u8, op: Be16, sha: Mac, spa: [u8; 4], tha: Mac, tpa: [u8; 4], }
    Lse { word: Be32, }
    Ipv4 {
        ver_ihl: u8, tos: u8, len: Be16, id: Be16, frag: Be16, ttl: u8, proto: u8, csum: [u8; 2],
        src: [u8; 4], dst: [u8; 4],
    }
    /// `flow` is version, traffic class and flow label.
    Ipv6 { flow: Be32, len: Be16, next: u8, hlimit: u8, src: [u8; 16], dst: [u8; 16], }
    /// How extension headers start; `len` counts 8 (AH: 4) bytes and the fourth byte is routing's segments left.
    Ext { next: u8, len: u8, kind: u8, left: u8, }
    /// As much of it as tells where the next one is.
    ExtStart { next: u8, len: u8, }
    /// The fragment header: 13 bits of offset, and the more-fragments bit.
    Fragment { next: u8, reserved: u8, offset: Be16, id: Be32, }
    /// What of it says that there is a fragment.
    FragmentStart { next: u8, reserved: u8, offset: Be16, }
    Tcp { src: Be16, dst: Be16, seq: Be32, ack: Be32, flags: Be16, window: Be16, csum: [u8; 2], urgent: Be16, }
    Udp { src: Be16, dst: Be16, len: Be16, csum: [u8; 2], }
    Sctp { src: Be16, dst: Be16, tag: Be32, csum: [u8; 4], }
    /// ICMP and ICMPv6.
    Icmp { kind: u8, code: u8, csum: [u8; 2], rest: [u8; 4], }
    /// The base of a service header: version, two flags, TTL and length in words stand in `first`.
    Nsh { first: Be16, mdtype: u8, np: u8, path: Be32, }
    /// A neighbour discovery option with an Ethernet address.
    NdOption { kind: u8, len: u8, mac: Mac, }
}

impl Ipv4 {
    /// Bytes of the header with its options, as it says; below 20 it lies.
    pub fn header_len(&self) -> usize {
        usize::from(self.ver_ihl & 0x0f) * 4
    }
}

impl Tcp {
    /// Bytes of the header with its options, as it says; below 20 it lies.
    pub fn header_len(&self) -> usize {
        usize::from(self.flags.get() >> 12) * 4
    }
}

impl Nsh {
    /// Its version.
    pub fn version(&self) -> u16 {
        self.first.get() >> 14
    }

    /// The O bit and the unassigned one beside it.
    pub fn flags(&self) -> u8 {
        (self.first.get() >> 12 & 3) as u8
    }

    /// Time to live.
    pub fn ttl(&self) -> u8 {
        (self.first.get() >> 6 & 0x3f) as u8
    }

    /// Bytes of the header with its metadata, as it says.
    pub fn len(&self) -> usize {
        usize::from(self.first.get() & 0x3f) * 4
    }
}

/// `Nsh::np` to the Ethernet type of the same, and back.
const NEXT: [(u8, u16); 5] =
    [(1, ETH_IPV4), (2, ETH_IPV6), (NSH_ETHERNET, ETH_TEB), (4, ETH_NSH), (5, ETH_MPLS)];

/// `Nsh::np`: an Ethernet frame follows.
pub const NSH_ETHERNET: u8 = 3;

/// What follows a service header.
pub fn nsh_ethertype(np: u8) -> Option<u16> {
    NEXT.iter().find(|(number, _)| *number == np).map(|(_, ethertype)| *ethertype)
}

/// How a service header says what follows it.
pub fn nsh_next(ethertype: u16) -> Option<u8> {
    NEXT.iter().find(|(_, other)| *other == ethertype).map(|(number, _)| *number)
}
