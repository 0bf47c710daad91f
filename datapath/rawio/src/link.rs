//! What network interfaces there are (rtnetlink(7), include/uapi/linux/if_link.h).
//!
//! Only the attributes named here are decoded, and each is optional: what a newer kernel adds or changes elsewhere
//! in its answer must not make an interface unusable.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io::{Error, Result};

/// A network interface.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number in its namespace.
    pub ifindex: u32,
    /// `IFF_*` flags.
    pub flags: u32,
    /// Its name.
    pub name: String,
    /// Its driver's kind as `ip -d link` shows it (`veth`, `tun`), empty for hardware.
    pub kind: String,
    /// Its MAC address; zero where it has none of six bytes.
    pub mac: [u8; 6],
    /// The longest packet it takes, without the Ethernet header.
    pub mtu: u32,
    /// The bridge or bond that owns it, by ifindex.
    pub master: Option<u32>,
    /// Its ARPHRD_* type.
    pub arphrd: u16,
    /// Whether it has a carrier.
    pub carrier: bool,
}

impl Link {
    /// Whether it is administratively up.
    pub fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }

    /// Whether it is the host's talk with itself.
    pub fn is_loopback(&self) -> bool {
        self.flags & libc::IFF_LOOPBACK as u32 != 0
    }

    /// Whether its frames are Ethernet's.
    pub fn is_ethernet(&self) -> bool {
        self.arphrd == libc::ARPHRD_ETHER
    }
}

/// What an interface has counted, as the host sees it (`struct rtnl_link_stats64`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "named as in the header")]
pub struct LinkStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

/// A socket to ask the kernel about interfaces.
pub struct Links {
    socket: Socket,
    sequence: u32,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

impl Links {
    /// Opens a socket in the calling thread's network namespace. No privilege is needed.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> Result<Links> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Links { socket, sequence: 0 })
    }

    /// The interface of a name.
    ///
    /// # Errors
    /// `ENODEV` where there is none.
    pub fn by_name(&mut self, name: &str) -> Result<Link> {
        self.one(0, Some(name)).map(|(link, _)| link)
    }

    /// The interface of a number.
    ///
    /// # Errors
    /// `ENODEV` where there is none.
    pub fn by_index(&mut self, ifindex: u32) -> Result<Link> {
        self.one(ifindex, None).map(|(link, _)| link)
    }

    /// What an interface has counted.
    ///
    /// # Errors
    /// `ENODEV` where there is none.
    pub fn stats(&mut self, ifindex: u32) -> Result<LinkStats> {
        self.one(ifindex, None).map(|(_, stats)| stats)
    }

    /// All interfaces.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn all(&mut self) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        self.ask(NLM_F_DUMP, 0, None, |link, _| links.push(link))?;
        Ok(links)
    }

    fn one(&mut self, ifindex: u32, name: Option<&str>) -> Result<(Link, LinkStats)> {
        let mut found = None;
        self.ask(0, ifindex, name, |link, stats| found = Some((link, stats)))?;
        found.ok_or_else(|| Error::from_raw_os_error(libc::ENODEV))
    }

    /// Sends RTM_GETLINK and hands over what it answers.
    fn ask(
        &mut self,
        flags: u16,
        ifindex: u32,
        name: Option<&str>,
        mut take: impl FnMut(Link, LinkStats),
    ) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request(self.sequence, flags, ifindex, name), 0)?;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for message in messages(&bytes) {
                if message.sequence_number() != self.sequence {
                    continue; // of a request given up after an error
                }
                match message.message_type() {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        let code = message.payload().first_chunk().copied().map_or(0, i32::from_ne_bytes);
                        return if code == 0 { Ok(()) } else { Err(Error::from_raw_os_error(-code)) };
                    }
                    libc::RTM_NEWLINK => {
                        if let Some((link, stats)) = parse(message.payload()) {
                            take(link, stats);
                        }
                        if flags & NLM_F_DUMP == 0 {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Bytes of nlmsghdr, and of ifinfomsg after it.
const HEADER: usize = 16;

/// IFLA_INFO_KIND, in IFLA_LINKINFO.
const INFO_KIND: u16 = 1;

fn request(sequence: u32, flags: u16, ifindex: u32, name: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0; 2 * HEADER];
    bytes[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes[20..24].copy_from_slice(&ifindex.to_ne_bytes());
    if let Some(name) = name {
        let len = u16::try_from(4 + name.len() + 1).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&libc::IFLA_IFNAME.to_ne_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

/// The netlink messages of a datagram.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(bytes).ok()?;
        let len = (message.length() as usize).next_multiple_of(4);
        bytes = bytes.get(len..).unwrap_or(&[]);
        Some(message)
    })
}

/// Decodes an ifinfomsg and its attributes; none where it is not about an interface as such (bridges send
/// messages of their own family about their ports).
pub(crate) fn parse(payload: &[u8]) -> Option<(Link, LinkStats)> {
    let (header, attributes) = payload.split_first_chunk::<HEADER>()?;
    if i32::from(header[0]) != libc::AF_UNSPEC {
        return None;
    }
    let mut link = Link {
        ifindex: word(&header[4..8]),
        flags: word(&header[8..12]),
        arphrd: u16::from_ne_bytes([header[2], header[3]]),
        ..Link::default()
    };
    let mut stats = LinkStats::default();
    for attribute in NlasIterator::new(attributes).map_while(|attribute| attribute.ok()) {
        let value = attribute.value();
        match attribute.kind() {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
            libc::IFLA_MTU => link.mtu = word(value),
            libc::IFLA_MASTER => link.master = Some(word(value)),
            libc::IFLA_CARRIER => link.carrier = value == [1],
            libc::IFLA_STATS64 => stats = parse_stats(value),
            libc::IFLA_LINKINFO => {
                let mut inner = NlasIterator::new(value).map_while(|inner| inner.ok());
                if let Some(kind) = inner.find(|inner| inner.kind() == INFO_KIND) {
                    link.kind = text(kind.value());
                }
            }
            _ => {}
        }
    }
    Some((link, stats))
}

fn parse_stats(value: &[u8]) -> LinkStats {
    let mut words = value.as_chunks().0.iter().map(|&word| u64::from_ne_bytes(word));
    let mut next = || words.next().unwrap_or(0);
    LinkStats {
        rx_packets: next(),
        tx_packets: next(),
        rx_bytes: next(),
        tx_bytes: next(),
        rx_errors: next(),
        tx_errors: next(),
        rx_dropped: next(),
        tx_dropped: next(),
    }
}

fn word(value: &[u8]) -> u32 {
    value.try_into().map_or(0, u32::from_ne_bytes)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_by_name_and_number() {
        let mut links = Links::open().unwrap();
        let lo = links.by_name("lo").unwrap();
        assert!(lo.is_loopback() && !lo.is_ethernet());
        assert_eq!(links.by_index(lo.ifindex).unwrap().name, "lo");
        assert_eq!(links.by_index(lo.ifindex).unwrap().mtu, 65_536);
        assert!(links.all().unwrap().iter().any(|link| link.name == "lo"));
        let counted = |name: &str| -> u64 {
            let path = format!("/sys/class/net/lo/statistics/{name}");
            std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
        };
        let before = counted("rx_bytes");
        let asked = links.stats(lo.ifindex).unwrap();
        assert!((before..=counted("rx_bytes")).contains(&asked.rx_bytes));
    }

    #[test]
    fn no_such_interface_is_enodev() {
        let mut links = Links::open().unwrap();
        let code = |result: Result<Link>| result.unwrap_err().raw_os_error();
        assert_eq!(code(links.by_name("pfnl-none")), Some(libc::ENODEV));
        assert_eq!(code(links.by_index(0x7fff_fff0)), Some(libc::ENODEV));
        assert!(links.by_name("lo").is_ok(), "the socket is good after an error");
    }

    #[test]
    fn truncated_answers_do_no_harm() {
        let mut bytes = request(1, 0, 7, Some("name"));
        assert_eq!(parse(&bytes[HEADER..]).unwrap().0.name, "name");
        bytes.truncate(bytes.len() - 5);
        assert_eq!(parse(&bytes[HEADER..]).unwrap().0.name, "");
        assert_eq!(messages(&bytes).count(), 0);
        assert!(parse(&[0; 15]).is_none());
    }
}
