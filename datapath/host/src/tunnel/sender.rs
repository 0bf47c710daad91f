//! The sending side of a tunnel port.

use super::{End, wide};
use crate::frame::Frame;
use parking_lot::Mutex;
use pfnl_datapath::key::{Be16, TunnelKey};
use pfnl_datapath::packet::Packet;
use pfnl_datapath::port::{Port, PortKind, PortName, PortStats};
use pfnl_datapath::tunnel::{self, Inside, Protocol, Stamp, Tunnel};
use pfnl_platform::{Errno, Result};
use pfnl_rawio::{OuterProtocol, OuterSender, source_to};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long an answer of the system's routing is believed.
const ROUTE_LIFE: Duration = Duration::from_secs(1);

/// The sockets that a tunnel sends through.
pub(super) struct Sender {
    /// IPv4, in pieces if need be, and never so.
    v4: Option<[OuterSender; 2]>,
    v6: Option<OuterSender>,
    route: Mutex<Option<Route>>,
}

/// Where the system would send from, as it said last.
#[derive(Clone, Copy)]
struct Route {
    dst: IpAddr,
    src: IpAddr,
    asked: Instant,
}

impl Sender {
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; `EAFNOSUPPORT` without IPv4 and IPv6.
    pub(super) fn open(tunnel: Tunnel) -> Result<Sender> {
        let protocol = if tunnel.is_udp() { OuterProtocol::Udp } else { OuterProtocol::Gre };
        let open = |v6, fragment| match OuterSender::open(v6, protocol, fragment).map_err(Errno::from) {
            Ok(socket) => Ok(Some(socket)),
            Err(Errno::EAFNOSUPPORT) => Ok(None),
            Err(errno) => Err(errno),
        };
        let (mut v4, mut v6) = (None, None);
        if tunnel.is_over(false) {
            v4 = open(false, true)?.zip(open(false, false)?).map(<[OuterSender; 2]>::from);
        }
        if tunnel.is_over(true) {
            v6 = open(true, false)?;
        }
        if v4.is_none() && v6.is_none() {
            return Err(Errno::EAFNOSUPPORT);
        }
        Ok(Sender { v4, v6, route: Mutex::default() })
    }

    /// The source address of a packet to `dst`.
    fn source(&self, dst: IpAddr) -> Result<IpAddr> {
        let mut route = self.route.lock();
        if let Some(known) = route.filter(|known| known.dst == dst && known.asked.elapsed() < ROUTE_LIFE) {
            return Ok(known.src);
        }
        let src = source_to(dst)?;
        *route = Some(Route { dst, src, asked: Instant::now() });
        Ok(src)
    }
}

impl End {
    /// Wraps a frame and sends it.
    fn send(&self, mut frame: Frame, inside: Inside, key: &TunnelKey, hash: u32) -> Result<()> {
        let (src, dst) = ends(key).ok_or(Errno::EINVAL)?;
        let len = frame.len();
        let mut stamp = Stamp::default();
        if let Protocol::Erspan { .. } = self.tunnel.protocol {
            stamp.sequence = self.sequence.fetch_add(1, Relaxed);
            // It wraps after five days, as it is to.
            stamp.time = (self.opened.elapsed().as_micros() / 100) as u32;
        }
        let outer = tunnel::encapsulate(&self.tunnel, key, inside, hash, stamp, &mut frame)?;
        let mut from = src;
        if outer.udp_checksum {
            let src = from.map_or_else(|| self.sender.source(dst), Ok)?;
            let n = if dst.is_ipv6() { 16 } else { 4 };
            tunnel::fill_checksum(&mut frame, &wide(src)[..n], &wide(dst)[..n])?;
            from = Some(src);
        }
        let socket = match &self.sender.v4 {
            _ if dst.is_ipv6() => self.sender.v6.as_ref(),
            Some([pieces, whole]) => Some(if outer.dont_fragment { whole } else { pieces }),
            None => None,
        };
        let socket = socket.ok_or(Errno::EAFNOSUPPORT)?;
        socket.send(from, dst, outer.tos, outer.ttl, frame.bytes())?;
        self.counts.tx_packets.fetch_add(1, Relaxed);
        self.counts.tx_bytes.fetch_add(len as u64, Relaxed);
        Ok(())
    }
}

/// A tunnel's port as a datapath holds it.
pub(crate) struct TunnelPort {
    pub(crate) port: Box<dyn Port<Frame>>,
    pub(crate) end: Arc<End>,
}

impl Port<Frame> for TunnelPort {
    /// Nobody has said where to.
    fn send(&self, _packet: Frame) {
        self.end.counts.tx_dropped.fetch_add(1, Relaxed);
    }

    fn name(&self) -> PortName {
        self.port.name()
    }

    fn ifindex(&self) -> u32 {
        self.port.ifindex()
    }

    fn kind(&self) -> PortKind {
        self.port.kind()
    }

    fn mtu(&self) -> usize {
        self.port.mtu()
    }

    fn is_up(&self) -> bool {
        self.port.is_up()
    }

    fn stats(&self) -> Option<PortStats> {
        Some(self.end.stats())
    }

    fn tunnel(&self) -> Option<Tunnel> {
        Some(self.end.tunnel)
    }

    fn send_through(&self, packet: Frame, inside: Inside, key: &TunnelKey, hash: u32) {
        if let Err(errno) = self.end.send(packet, inside, key, hash) {
            let counts = &self.end.counts;
            let full = matches!(errno, Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM);
            if full { &counts.tx_dropped } else { &counts.tx_errors }.fetch_add(1, Relaxed);
        }
    }

    fn egress(&self, key: &mut TunnelKey, hash: u32) -> Result<()> {
        let (src, dst) = ends(key).ok_or(Errno::EINVAL)?;
        let src = src.map_or_else(|| self.end.sender.source(dst), Ok)?;
        key.src = wide(src);
        if let Some((src, dst)) = self.end.tunnel.ports(key, hash) {
            (key.tp_src, key.tp_dst) = (Be16::new(src), Be16::new(dst));
        }
        Ok(())
    }
}

/// A key's addresses; no source is the system's choice.
fn ends(key: &TunnelKey) -> Option<(Option<IpAddr>, IpAddr)> {
    let (src, dst) = match key.ip_version {
        4 => {
            let v4 = |address: &[u8; 16]| address.first_chunk::<4>().map(|&four| IpAddr::from(four));
            (v4(&key.src)?, v4(&key.dst)?)
        }
        6 => (Ipv6Addr::from(key.src).into(), Ipv6Addr::from(key.dst).into()),
        _ => return None,
    };
    let unspecified = src == Ipv4Addr::UNSPECIFIED || src == Ipv6Addr::UNSPECIFIED;
    Some(((!unspecified).then_some(src), dst))
}
