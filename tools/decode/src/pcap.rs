//! Capture files of netlink: the classic pcap format with LINKTYPE_NETLINK.
//!
//! Rules: the "Libpcap File Format" page of the Wireshark wiki, and tcpdump.org/linktypes/LINKTYPE_NETLINK.html: in
//! front of each datagram a Linux "cooked" header in network byte order (kind of packet, ARPHRD_NETLINK, no address,
//! the netlink protocol), then the messages in the capturing machine's order, as in the file's header.

use std::io::{self, Write};
use std::time::Duration;

/// `LINKTYPE_NETLINK`.
pub const LINKTYPE_NETLINK: u32 = 253;
const MAGIC: u32 = 0xa1b2_c3d4;
/// The longest packet that Wireshark reads.
const SNAPLEN: usize = 262_144;
const ARPHRD_NETLINK: u16 = 824;
const COOKED: usize = 16;
/// `PACKET_USER` and `PACKET_KERNEL` (linux/if_packet.h), as nlmon(4) devices give them.
const TO_USER: u16 = 6;
const TO_KERNEL: u16 = 7;

/// Writes a capture file.
#[derive(Debug)]
pub struct Pcap<W: Write>(W);

impl<W: Write> Pcap<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(mut out: W) -> io::Result<Pcap<W>> {
        // Version 2.4, times in UTC.
        let mut header = Vec::from(MAGIC.to_ne_bytes());
        header.extend(2u16.to_ne_bytes());
        header.extend(4u16.to_ne_bytes());
        for word in [0, 0, SNAPLEN as u32, LINKTYPE_NETLINK] {
            header.extend(word.to_ne_bytes());
        }
        out.write_all(&header)?;
        Ok(Pcap(out))
    }

    /// Adds a datagram of a netlink protocol, at a time since 1970.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(
        &mut self,
        time: Duration,
        to_kernel: bool,
        protocol: u16,
        datagram: &[u8],
    ) -> io::Result<()> {
        let (kept, _) = datagram.split_at(datagram.len().min(SNAPLEN - COOKED));
        let mut record = Vec::with_capacity(16 + COOKED + kept.len());
        for word in [
            time.as_secs() as u32,
            time.subsec_micros(),
            (COOKED + kept.len()) as u32,
            (COOKED + datagram.len()) as u32,
        ] {
            record.extend(word.to_ne_bytes());
        }
        for half in [if to_kernel { TO_KERNEL } else { TO_USER }, ARPHRD_NETLINK, 0, 0, 0, 0, 0, protocol] {
            record.extend(half.to_be_bytes());
        }
        record.extend_from_slice(kept);
        self.0.write_all(&record)
    }

    /// Writes out what is held back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut out = Vec::new();
        let mut pcap = Pcap::new(&mut out).unwrap();
        pcap.write(Duration::new(5, 7_000), true, 16, &[1, 2, 3]).unwrap();
        pcap.write(Duration::ZERO, false, 16, &vec![0; 300_000]).unwrap();
        assert_eq!(out[..4], MAGIC.to_ne_bytes());
        assert_eq!(out[20..24], LINKTYPE_NETLINK.to_ne_bytes());
        let word = |at: usize| u32::from_ne_bytes(out[at..at + 4].try_into().unwrap());
        assert_eq!([24, 28, 32, 36].map(word), [5, 7, 19, 19]);
        assert_eq!(out[40..59], [0, 7, 3, 56, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 1, 2, 3]);
        assert_eq!([67, 71].map(word), [262_144, 300_016]);
        assert_eq!(out[75..77], [0, 6]);
        assert_eq!(out.len(), 75 + 262_144);
    }
}
