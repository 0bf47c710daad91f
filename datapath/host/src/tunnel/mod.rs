//! Tunnel ports: a datapath's end of VXLAN, Geneve and GRE, over the host's own IP stack.
//!
//! ```text
//! datapath ─ send_through ─▶ encapsulate ─▶ raw socket ─▶ the host routes, fragments, sends
//! worker ─▶ UDP or raw socket ─▶ decapsulate ─▶ Inlet ─▶ datapath
//! ```
//!
//! A tunnel has no interface: its name and number are the port's alone. GRE's ports take GRE's checksums, for which Linux's
//! ports drop packets. Geneve takes UDP without a checksum over IPv6 (RFC 6935), as it does in the devices that ovs-vswitchd
//! makes on Linux, and not in Linux's ports. A Geneve packet for which no time to live is asked gets the host's, not 0.

mod sender;

use crate::frame::Frame;
use crate::io::{Batch, Io};
use parking_lot::Mutex;
use pfnl_datapath::key::{Be16, FlowKey, TunnelKey};
use pfnl_datapath::packet::Packet;
use pfnl_datapath::port::PortStats;
use pfnl_datapath::tunnel::{self, Protocol, Tunnel};
use pfnl_platform::{Errno, Result};
use pfnl_rawio::{Arrived, BATCH, OuterListener, Received};
use rustix::event::{Timespec, epoll};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use sender::Sender;
pub(crate) use sender::TunnelPort;

/// A tunnel's sockets and what they count.
pub(crate) struct End {
    tunnel: Tunnel,
    sender: Sender,
    counts: Counts,
    /// Of ERSPAN. Relaxed: every packet gets a number of its own.
    sequence: AtomicU32,
    /// When the tunnel was opened, from where ERSPAN's time counts.
    opened: Instant,
}

/// As the interface of Linux's tunnel counts. All relaxed: counters.
#[derive(Default)]
struct Counts {
    rx_packets: AtomicU64,
    rx_bytes: AtomicU64,
    rx_errors: AtomicU64,
    rx_dropped: AtomicU64,
    tx_packets: AtomicU64,
    tx_bytes: AtomicU64,
    tx_errors: AtomicU64,
    tx_dropped: AtomicU64,
}

/// The receiving side: all sockets behind one descriptor.
pub(crate) struct Listeners {
    end: Arc<End>,
    epoll: OwnedFd,
    sockets: Vec<OuterListener>,
    arrived: Mutex<[Arrived; BATCH]>,
}

/// Opens a tunnel's sockets: what receives, and what sends.
///
/// # Errors
/// `EADDRINUSE`; `EPERM` without CAP_NET_RAW; `EAFNOSUPPORT` without IPv4 and IPv6.
pub(crate) fn open(tunnel: Tunnel) -> Result<(Listeners, Arc<End>)> {
    let end = Arc::new(End {
        tunnel,
        sender: Sender::open(tunnel)?,
        counts: Counts::default(),
        sequence: AtomicU32::new(0),
        opened: Instant::now(),
    });
    let mut sockets = Vec::new();
    for v6 in [false, true].into_iter().filter(|&v6| tunnel.is_over(v6)) {
        let opened = match tunnel.protocol {
            Protocol::Gre { .. } | Protocol::Erspan { .. } => OuterListener::gre(v6).map(|one| vec![one]),
            _ => OuterListener::udp(v6, tunnel.dst_port).map(Vec::from),
        };
        match opened.map_err(Errno::from) {
            Ok(opened) => sockets.extend(opened),
            // Without IPv6, or without IPv4, the other will do.
            Err(Errno::EAFNOSUPPORT) if tunnel.is_over(!v6) => {}
            Err(errno) => return Err(errno),
        }
    }
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(std::io::Error::from)?;
    for (number, socket) in (0..).zip(&sockets) {
        let data = epoll::EventData::new_u64(number);
        epoll::add(&epoll, socket, data, epoll::EventFlags::IN).map_err(std::io::Error::from)?;
    }
    let arrived = Mutex::new([Arrived::default(); BATCH]);
    Ok((Listeners { end: Arc::clone(&end), epoll, sockets, arrived }, end))
}

impl Io for Listeners {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    fn recv(&self, batch: &mut Batch) -> std::io::Result<()> {
        let mut events = Vec::with_capacity(self.sockets.len().max(1));
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now))?;
        for event in events {
            if let Some(socket) = self.sockets.get(event.data.u64() as usize) {
                self.read(socket, batch)?;
            }
        }
        Ok(())
    }

    fn tunnel(&self) -> Option<Tunnel> {
        Some(self.end.tunnel)
    }

    /// Never called: a tunnel's packets go to where their keys say.
    fn send(&self, frames: &[Frame]) -> std::io::Result<usize> {
        Ok(frames.len())
    }
}

impl Listeners {
    /// Reads and unwraps a batch of one socket.
    fn read(&self, socket: &OuterListener, batch: &mut Batch) -> std::io::Result<()> {
        let mut arrived = self.arrived.lock();
        let before = batch.frames.len();
        let read = batch.fill(|blanks, got| {
            let count = socket.recv(blanks, &mut *arrived)?;
            for (got, arrived) in got.iter_mut().zip(arrived.iter()).take(count) {
                // What was cut short stays in the row, to be dropped below.
                *got = Received { start: arrived.start, len: arrived.len, ..Received::default() };
            }
            Ok(count)
        });
        match read {
            // Taken by nobody else, but dropped for its checksum as it was looked at.
            Err(error) if crate::io::is_full(&error) => return Ok(()),
            read => _ = read?,
        }
        let mut at = before;
        for arrived in arrived.iter() {
            let Some(frame) = batch.frames.get_mut(at) else { break };
            let unwrapped =
                if arrived.truncated { Err(Errno::EINVAL) } else { self.end.unwrap(socket, arrived, frame) };
            match unwrapped {
                Ok(()) => at += 1,
                Err(errno) => {
                    self.end.count_bad(errno);
                    batch.frames.remove(at);
                }
            }
        }
        Ok(())
    }
}

impl End {
    fn unwrap(&self, socket: &OuterListener, arrived: &Arrived, frame: &mut Frame) -> Result<()> {
        let mut key = Box::new(TunnelKey {
            ip_version: if arrived.src.is_ipv6() { 6 } else { 4 },
            src: wide(arrived.src),
            dst: wide(arrived.dst),
            tos: arrived.tos,
            ttl: arrived.ttl,
            flags: if socket.has_checksum { tunnel::CSUM } else { 0 },
            tp_src: Be16::new(arrived.src_port),
            tp_dst: Be16::new(self.tunnel.dst_port),
            ..FlowKey::ZERO.tunnel
        });
        if !self.tunnel.is_udp() {
            (key.tp_src, key.tp_dst) = (Be16::ZERO, Be16::ZERO);
        }
        let inside = tunnel::decapsulate(&self.tunnel, &mut key, frame)?;
        tunnel::repair_checksum(inside, frame);
        self.counts.rx_packets.fetch_add(1, Relaxed);
        // Linux's GRE device counts the Ethernet header, the others do not.
        let header = if self.tunnel.is_udp() { inside.header_len() } else { 0 };
        self.counts.rx_bytes.fetch_add(frame.len().saturating_sub(header) as u64, Relaxed);
        frame.set_tunnel(key, inside);
        Ok(())
    }

    fn count_bad(&self, errno: Errno) {
        let counts = &self.counts;
        if errno == Errno::EPROTONOSUPPORT && !self.tunnel.is_udp() {
            // Another port's kind of GRE, perhaps: every socket gets all of it.
            return;
        }
        let counter = if errno == Errno::EPROTONOSUPPORT { &counts.rx_dropped } else { &counts.rx_errors };
        counter.fetch_add(1, Relaxed);
    }

    fn stats(&self) -> PortStats {
        let counts = &self.counts;
        PortStats {
            rx_packets: counts.rx_packets.load(Relaxed),
            tx_packets: counts.tx_packets.load(Relaxed),
            rx_bytes: counts.rx_bytes.load(Relaxed),
            tx_bytes: counts.tx_bytes.load(Relaxed),
            rx_errors: counts.rx_errors.load(Relaxed),
            tx_errors: counts.tx_errors.load(Relaxed),
            rx_dropped: counts.rx_dropped.load(Relaxed),
            tx_dropped: counts.tx_dropped.load(Relaxed),
        }
    }
}

/// An address as in a [`TunnelKey`].
fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(v6) => v6.octets(),
        IpAddr::V4(v4) => {
            let mut wide = [0; 16];
            wide[..4].copy_from_slice(&v4.octets());
            wide
        }
    }
}
