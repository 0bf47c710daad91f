//! Interfaces that exist only by name and number, and some that frames go through: the devices of [`crate::inside`].

use pfnl_datapath::offload::{Gso, GsoKind, Offload, PartialCsum};
use pfnl_datapath::packet::Packet;
use pfnl_datapath::port::{Features, Port, PortKind, PortName};
use pfnl_datapath::tunnel::Tunnel;
use pfnl_datapath::{Datapath, VecPacket};
use pfnl_oracle_agent::{Outcome, hex};
use pfnl_ovs::{Devices, Upper};
use pfnl_platform::{Errno, Platform, Shared};
use pfnl_rawio::{GsoType, VnetHeader};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type SharedDatapath<P> = Shared<Datapath<P, VecPacket, Upper<P>>>;

/// What interfaces there are.
struct State<P: Platform> {
    taken: BTreeMap<String, u32>,
    /// Ports of a datapath, by number, and whether they go away with it.
    used: Vec<(u32, bool)>,
    tunnels: Vec<(u32, Tunnel)>,
    next: u32,
    taps: BTreeMap<u32, Tap>,
    /// Whose packets they take: by the interface's number.
    attached: BTreeMap<u32, (SharedDatapath<P>, u32)>,
}

/// An interface that frames go into and come out of.
#[derive(Clone)]
struct Tap {
    ifindex: u32,
    offloads: bool,
    sent: Arc<Mutex<VecDeque<VecPacket>>>,
}

impl<P: Platform> State<P> {
    /// A new interface.
    fn create(&mut self, name: &[u8], number: Option<u32>) -> pfnl_platform::Result<(PortName, u32)> {
        let bad = |byte: &u8| matches!(byte, b'/' | b':') || byte.is_ascii_whitespace();
        if name.is_empty() || matches!(name, b"." | b"..") || name.iter().any(bad) {
            return Err(Errno::EINVAL);
        }
        // Bytes above 127 stand for themselves, as in Latin-1.
        let mut text: String = name.iter().map(|&byte| char::from(byte)).collect();
        if text.contains("%d") {
            let free = |number: &usize| !self.taken.contains_key(&text.replace("%d", &number.to_string()));
            let number = (0..).find(free).unwrap_or_default();
            text = text.replace("%d", &number.to_string());
        }
        if self.taken.contains_key(&text) {
            return Err(Errno::EEXIST);
        }
        let ifindex = number.unwrap_or(self.next);
        if self.taken.values().any(|taken| *taken == ifindex) {
            return Err(Errno::EBUSY);
        }
        self.next += u32::from(number.is_none());
        self.taken.insert(text.clone(), ifindex);
        self.used.push((ifindex, true));
        let bytes: Vec<u8> = text.chars().map(|byte| byte as u8).collect();
        Ok((PortName::new(&bytes).ok_or(Errno::EINVAL)?, ifindex))
    }
}

/// All interfaces.
pub struct Interfaces<P: Platform>(Arc<Mutex<State<P>>>);

impl<P: Platform> Clone for Interfaces<P> {
    fn clone(&self) -> Interfaces<P> {
        Interfaces(Arc::clone(&self.0))
    }
}

impl<P: Platform> Interfaces<P> {
    /// Those that a kernel has from the beginning, by name and number.
    pub fn new(there: &[(String, u32)]) -> Interfaces<P> {
        Interfaces(Arc::new(Mutex::new(State {
            taken: there.iter().cloned().collect(),
            used: Vec::new(),
            tunnels: Vec::new(),
            next: 5000,
            taps: BTreeMap::new(),
            attached: BTreeMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`pfnl_oracle_agent::Step::Tap`].
    pub fn add_tap(&self, number: u32, name: &str, ifindex: u32, offloads: bool) {
        let mut state = self.state();
        state.taken.insert(name.to_owned(), ifindex);
        state.taps.insert(number, Tap { ifindex, offloads, sent: Arc::default() });
    }

    /// As [`pfnl_oracle_agent::Step::Inject`].
    ///
    /// # Errors
    /// `ENODEV`: there is no such interface, or it is no port. `EINVAL`: no header, or an impossible one.
    pub fn inject(&self, tap: u32, bytes: &[u8]) -> pfnl_platform::Result<()> {
        let (header, frame) = bytes.split_first_chunk().ok_or(Errno::EINVAL)?;
        let mut packet = VecPacket::from_bytes(frame)?;
        *packet.offload_mut() = offload(&VnetHeader::decode(header))?;
        let attached = {
            let state = self.state();
            let ifindex = state.taps.get(&tap).ok_or(Errno::ENODEV)?.ifindex;
            let (datapath, port) = state.attached.get(&ifindex).ok_or(Errno::ENODEV)?;
            (datapath.clone(), *port)
        };
        let (datapath, port) = attached;
        datapath.receive(port, packet);
        Ok(())
    }

    /// As [`pfnl_oracle_agent::Step::Frames`].
    pub fn frames(&self) -> Outcome {
        let mut outcome = Outcome::default();
        for (number, tap) in &self.state().taps {
            for packet in tap.sent.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                let bytes = [&vnet_header(&packet).encode(), packet.bytes()].concat();
                outcome.frames.push((*number, hex(&bytes)));
            }
        }
        outcome
    }
}

fn offload(header: &VnetHeader) -> pfnl_platform::Result<Offload> {
    if header.is_gso() && header.gso().is_none() {
        return Err(Errno::EINVAL);
    }
    let gso = |(kind, ecn)| Gso {
        kind: match kind {
            GsoType::Tcp4 => GsoKind::Tcp4,
            GsoType::Tcp6 => GsoKind::Tcp6,
            GsoType::UdpL4 => GsoKind::Udp,
        },
        ecn,
        size: header.gso_size,
        hdr_len: header.hdr_len.into(),
    };
    let csum = |(start, offset): (u16, u16)| PartialCsum { start: start.into(), offset };
    Ok(Offload { csum: header.csum().map(csum), gso: header.gso().map(gso), hash: 0 })
}

fn vnet_header(packet: &VecPacket) -> VnetHeader {
    let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let mut header = VnetHeader::default();
    if let Some(csum) = packet.offload().csum {
        header.set_csum(short(csum.start), csum.offset);
    }
    if let Some(gso) = packet.offload().gso {
        let kind = match gso.kind {
            GsoKind::Tcp4 => GsoType::Tcp4,
            GsoKind::Tcp6 => GsoType::Tcp6,
            GsoKind::Udp => GsoType::UdpL4,
        };
        header.set_gso(kind, gso.ecn, gso.size, short(gso.hdr_len));
    }
    header
}

struct Interface {
    name: PortName,
    ifindex: u32,
    kind: PortKind,
    tunnel: Option<Tunnel>,
    /// Where frames go that somebody reads, and whether the reader does what is left to do to them.
    tap: Option<Tap>,
}

impl Port<VecPacket> for Interface {
    fn send(&self, packet: VecPacket) {
        if let Some(tap) = &self.tap {
            tap.sent.lock().unwrap_or_else(PoisonError::into_inner).push_back(packet);
        }
    }
    fn features(&self) -> Features {
        let all = self.tap.as_ref().is_some_and(|tap| tap.offloads);
        Features { csum: all, tso4: all, tso6: all, uso: all }
    }
    fn name(&self) -> PortName {
        self.name
    }
    fn ifindex(&self) -> u32 {
        self.ifindex
    }
    fn kind(&self) -> PortKind {
        self.kind
    }
    fn mtu(&self) -> usize {
        1500
    }
    fn tunnel(&self) -> Option<Tunnel> {
        self.tunnel
    }
}

impl<P: Platform> Devices<P, VecPacket> for Interfaces<P> {
    fn open_netdev(&self, name: &[u8]) -> pfnl_platform::Result<Box<dyn Port<VecPacket>>> {
        let mut state = self.state();
        let text = std::str::from_utf8(name).map_err(|_| Errno::ENODEV)?;
        let ifindex = *state.taken.get(text).ok_or(Errno::ENODEV)?;
        match state.used.iter().find(|(used, _)| *used == ifindex) {
            // An interface that a datapath made is no device to be a port of another.
            Some((_, true)) => return Err(Errno::EINVAL),
            Some((_, false)) => return Err(Errno::EBUSY),
            None if text == "lo" => return Err(Errno::EINVAL),
            None => state.used.push((ifindex, false)),
        }
        let name = PortName::new(name).ok_or(Errno::ENODEV)?;
        let tap = state.taps.values().find(|tap| tap.ifindex == ifindex).cloned();
        Ok(Box::new(Interface { name, ifindex, kind: PortKind::Netdev, tunnel: None, tap }))
    }

    fn open_internal(
        &self,
        name: &[u8],
        number: Option<u32>,
    ) -> pfnl_platform::Result<Box<dyn Port<VecPacket>>> {
        let (name, ifindex) = self.state().create(name, number)?;
        Ok(Box::new(Interface { name, ifindex, kind: PortKind::Internal, tunnel: None, tap: None }))
    }

    fn open_tunnel(&self, name: &[u8], tunnel: Tunnel) -> pfnl_platform::Result<Box<dyn Port<VecPacket>>> {
        let mut state = self.state();
        if let Some(errno) = state.tunnels.iter().find_map(|(_, other)| tunnel.clash(other)) {
            return Err(errno);
        }
        let (name, ifindex) = state.create(name, None)?;
        state.tunnels.push((ifindex, tunnel));
        Ok(Box::new(Interface { name, ifindex, kind: tunnel.kind(), tunnel: Some(tunnel), tap: None }))
    }

    fn attach(&self, ifindex: u32, datapath: &SharedDatapath<P>, port_no: u32) -> pfnl_platform::Result<()> {
        self.state().attached.insert(ifindex, (datapath.clone(), port_no));
        Ok(())
    }

    fn detach(&self, ifindex: u32) {
        let mut state = self.state();
        // Let go of once the lock is: it may be the last that holds the datapath.
        let attached = state.attached.remove(&ifindex);
        if let Some(at) = state.used.iter().position(|(used, _)| *used == ifindex) {
            let (_, ours) = state.used.remove(at);
            state.tunnels.retain(|(number, _)| *number != ifindex);
            if ours {
                state.taken.retain(|_, number| *number != ifindex);
            }
        }
        drop(state);
        drop(attached);
    }
}
