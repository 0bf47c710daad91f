//! `struct virtio_net_hdr`, as PACKET_VNET_HDR and IFF_VNET_HDR put it before every frame
//! (include/uapi/linux/virtio_net.h, VIRTIO 1.2 section 5.1.6).
//!
//! ```text
//! flags:u8 gso_type:u8 hdr_len:u16 gso_size:u16 csum_start:u16 csum_offset:u16      host byte order
//! ```

/// Offload metadata of a frame: what is left to do to it before it is fit for a wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct VnetHeader {
    /// `VIRTIO_NET_HDR_F_*`.
    pub flags: u8,
    /// `VIRTIO_NET_HDR_GSO_*`.
    pub gso_type: u8,
    /// Length of the headers, a hint.
    pub hdr_len: u16,
    /// Payload bytes of each segment.
    pub gso_size: u16,
    /// Where the checksummed part begins, from the frame's start.
    pub csum_start: u16,
    /// Where the checksum is written, from `csum_start`.
    pub csum_offset: u16,
}

/// What kind of segments a frame is to be cut into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GsoType {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// One UDP datagram cut into several (UDP_SEGMENT), over either IP.
    UdpL4,
}

const F_NEEDS_CSUM: u8 = 1;
const F_DATA_VALID: u8 = 2;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

impl VnetHeader {
    /// Bytes on the file descriptor.
    pub const LEN: usize = 10;

    /// Reads a header.
    pub fn decode(bytes: &[u8; Self::LEN]) -> VnetHeader {
        let [flags, gso_type, a0, a1, b0, b1, c0, c1, d0, d1] = *bytes;
        let word = |a, b| u16::from_ne_bytes([a, b]);
        VnetHeader {
            flags,
            gso_type,
            hdr_len: word(a0, a1),
            gso_size: word(b0, b1),
            csum_start: word(c0, c1),
            csum_offset: word(d0, d1),
        }
    }

    /// Writes a header.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let [a0, a1] = self.hdr_len.to_ne_bytes();
        let [b0, b1] = self.gso_size.to_ne_bytes();
        let [c0, c1] = self.csum_start.to_ne_bytes();
        let [d0, d1] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a0, a1, b0, b1, c0, c1, d0, d1]
    }

    /// The checksum left to compute: where its data starts, and its place from there.
    pub fn csum(&self) -> Option<(u16, u16)> {
        (self.flags & F_NEEDS_CSUM != 0).then_some((self.csum_start, self.csum_offset))
    }

    /// Asks for a checksum to be computed.
    pub fn set_csum(&mut self, start: u16, offset: u16) {
        self.flags |= F_NEEDS_CSUM;
        (self.csum_start, self.csum_offset) = (start, offset);
    }

    /// Whether the sender's checksums are known to be good, so that no receiver need look.
    pub fn is_verified(&self) -> bool {
        self.flags & F_DATA_VALID != 0
    }

    /// What segments the frame is to be cut into, and whether they carry ECN's CWR; none where none, or of a
    /// kind not known here.
    pub fn gso(&self) -> Option<(GsoType, bool)> {
        let kind = match self.gso_type & !GSO_ECN {
            GSO_TCPV4 => GsoType::Tcp4,
            GSO_TCPV6 => GsoType::Tcp6,
            GSO_UDP_L4 => GsoType::UdpL4,
            _ => return None,
        };
        Some((kind, self.gso_type & GSO_ECN != 0))
    }

    /// Whether the frame is longer than its interface's MTU allows and to be cut, in whatever way.
    pub fn is_gso(&self) -> bool {
        self.gso_type & !GSO_ECN != 0
    }

    /// Asks for segmentation into `size` bytes of payload each.
    pub fn set_gso(&mut self, kind: GsoType, ecn: bool, size: u16, hdr_len: u16) {
        self.gso_type = match kind {
            GsoType::Tcp4 => GSO_TCPV4,
            GsoType::Tcp6 => GSO_TCPV6,
            GsoType::UdpL4 => GSO_UDP_L4,
        } | if ecn { GSO_ECN } else { 0 };
        (self.gso_size, self.hdr_len) = (size, hdr_len);
    }

    /// Follows `by` bytes inserted between the MAC addresses and what the offsets point at.
    pub(crate) fn shift(&mut self, by: u16) {
        if self.flags & F_NEEDS_CSUM != 0 {
            self.csum_start = self.csum_start.saturating_add(by);
        }
        if self.hdr_len != 0 {
            self.hdr_len = self.hdr_len.saturating_add(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_those_of_the_uapi_header() {
        let Ok(header) = std::fs::read_to_string("/usr/include/linux/virtio_net.h") else {
            return println!("skipped: no /usr/include/linux/virtio_net.h (linux-libc-dev)");
        };
        let define = |name: &str| -> u8 {
            let line = header.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
            let number = line.and_then(|line| line.split_whitespace().nth(2)).expect(name);
            number
                .strip_prefix("0x")
                .map_or_else(|| number.parse(), |hex| u8::from_str_radix(hex, 16))
                .unwrap()
        };
        assert_eq!(F_NEEDS_CSUM, define("VIRTIO_NET_HDR_F_NEEDS_CSUM"));
        assert_eq!(F_DATA_VALID, define("VIRTIO_NET_HDR_F_DATA_VALID"));
        assert_eq!(GSO_TCPV4, define("VIRTIO_NET_HDR_GSO_TCPV4"));
        assert_eq!(GSO_TCPV6, define("VIRTIO_NET_HDR_GSO_TCPV6"));
        assert_eq!(GSO_ECN, define("VIRTIO_NET_HDR_GSO_ECN"));
        if header.contains("VIRTIO_NET_HDR_GSO_UDP_L4") {
            assert_eq!(GSO_UDP_L4, define("VIRTIO_NET_HDR_GSO_UDP_L4")); // since Linux 6.2
        }
    }

    #[test]
    fn what_is_set_reads_back_through_the_wire() {
        let mut header = VnetHeader::default();
        header.set_csum(34, 16);
        header.set_gso(GsoType::Tcp4, true, 1448, 66);
        header.shift(4);
        let header = VnetHeader::decode(&header.encode());
        assert_eq!(header.csum(), Some((38, 16)));
        assert_eq!(header.gso(), Some((GsoType::Tcp4, true)));
        assert_eq!((header.gso_size, header.hdr_len), (1448, 70));
        assert!(header.is_gso() && !header.is_verified());
    }
}
