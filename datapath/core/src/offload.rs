//! Work on a packet that its sender left to the hardware: what struct virtio_net_hdr says
//! (virtio 1.2, 5.1.6; linux/virtio_net.h).

/// What is still to be done to a packet before it may go on a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offload {
    /// A checksum to complete (VIRTIO_NET_HDR_F_NEEDS_CSUM, Linux's CHECKSUM_PARTIAL).
    pub csum: Option<PartialCsum>,
    /// Segments to cut.
    pub gso: Option<Gso>,
    /// The flow hash that the device computed; 0 = none.
    pub hash: u32,
}

/// A checksum whose field holds the pseudo-header's sum only, not inverted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartialCsum {
    /// Where the summed bytes start (the transport header), from the front of the packet.
    pub start: u32,
    /// Where the checksum field is, from `start`.
    pub offset: u16,
}

/// How to cut a packet into segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gso {
    /// What is cut.
    pub kind: GsoKind,
    /// TCP's CWR is for the first segment only.
    pub ecn: bool,
    /// Payload bytes per segment.
    pub size: u16,
    /// Bytes of headers, from the front to the payload; a hint, the headers themselves decide.
    pub hdr_len: u32,
}

/// The kinds of segmentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP datagrams of equal size, over either (VIRTIO_NET_HDR_GSO_UDP_L4).
    Udp,
}

impl Offload {
    /// The packet has become `n` bytes longer in front.
    pub fn front_grown(&mut self, n: usize) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if let Some(csum) = &mut self.csum {
            csum.start = csum.start.saturating_add(n);
        }
        if let Some(gso) = &mut self.gso {
            gso.hdr_len = gso.hdr_len.saturating_add(n);
        }
    }

    /// The packet has lost `n` bytes in front. A checksum whose header went is nobody's work any more.
    pub fn front_shrunk(&mut self, n: usize) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        self.csum =
            self.csum.and_then(|csum| Some(PartialCsum { start: csum.start.checked_sub(n)?, ..csum }));
        if let Some(gso) = &mut self.gso {
            gso.hdr_len = gso.hdr_len.saturating_sub(n);
        }
    }
}
