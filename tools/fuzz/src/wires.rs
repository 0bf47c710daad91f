//! Interfaces that exist only by name and number, for a pfnl in this process.

use pfnl_datapath::packet::Packet;
use pfnl_datapath::port::{Port, PortKind, PortName};
use pfnl_datapath::tunnel::Tunnel;
use pfnl_datapath::{Datapath, VecPacket};
use pfnl_ovs::{Devices, Upper};
use pfnl_platform::{Errno, Result, Shared, User};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Inside = Datapath<User, VecPacket, Upper<User>>;

/// An interface.
struct Wire {
    ifindex: u32,
    /// Made by a datapath, and gone with it.
    made: bool,
    /// A port somewhere.
    used: bool,
    tunnel: Option<Tunnel>,
    inlet: Option<(Shared<Inside>, u32)>,
}

#[derive(Default)]
struct State {
    wires: BTreeMap<Vec<u8>, Wire>,
    next: u32,
    sent: Vec<Vec<u8>>,
}

/// All interfaces.
#[derive(Clone, Default)]
pub(crate) struct Wires(Arc<Mutex<State>>);

impl Wires {
    /// Some that are there anyway.
    pub(crate) fn with(names: &[&str]) -> Wires {
        let wires = Wires::default();
        let mut state = wires.lock();
        state.next = 100;
        for name in names {
            let ifindex = state.next;
            state.next += 1;
            let wire = Wire { ifindex, made: false, used: false, tunnel: None, inlet: None };
            state.wires.insert(name.as_bytes().to_vec(), wire);
        }
        drop(state);
        wires
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame arrives at an interface; whether anybody was there.
    pub(crate) fn arrive(&self, name: &str, frame: &[u8]) -> bool {
        let inlet = self.lock().wires.get(name.as_bytes()).and_then(|wire| wire.inlet.clone());
        let (Some((datapath, port)), Ok(packet)) = (inlet, VecPacket::from_bytes(frame)) else {
            return false;
        };
        datapath.receive(port, packet);
        true
    }

    /// The number of an interface.
    pub(crate) fn ifindex(&self, name: &str) -> Option<u32> {
        self.lock().wires.get(name.as_bytes()).map(|wire| wire.ifindex)
    }

    /// What has been sent out of any port since the last call.
    pub(crate) fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.lock().sent)
    }

    fn make(&self, name: &[u8], number: Option<u32>, tunnel: Option<Tunnel>) -> Result<(PortName, u32)> {
        let mut state = self.lock();
        let bad = |byte: &u8| matches!(byte, b'/' | b':') || byte.is_ascii_whitespace();
        if name.iter().any(bad) {
            return Err(Errno::EINVAL);
        }
        let port_name = PortName::new(name).ok_or(Errno::EINVAL)?;
        if state.wires.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if let Some(tunnel) = &tunnel
            && let Some(errno) = state.wires.values().find_map(|wire| tunnel.clash(wire.tunnel.as_ref()?))
        {
            return Err(errno);
        }
        let ifindex = number.filter(|number| *number != 0).unwrap_or(state.next);
        if state.wires.values().any(|wire| wire.ifindex == ifindex) {
            return Err(Errno::EBUSY);
        }
        state.next += 1;
        state.wires.insert(name.to_vec(), Wire { ifindex, made: true, used: true, tunnel, inlet: None });
        Ok((port_name, ifindex))
    }

    fn end(
        &self,
        name: PortName,
        ifindex: u32,
        kind: PortKind,
        tunnel: Option<Tunnel>,
    ) -> Box<dyn Port<VecPacket>> {
        Box::new(End { wires: self.clone(), name, ifindex, kind, tunnel })
    }
}

impl Devices<User, VecPacket> for Wires {
    fn open_netdev(&self, name: &[u8]) -> Result<Box<dyn Port<VecPacket>>> {
        let mut state = self.lock();
        let wire = state.wires.get_mut(name).ok_or(Errno::ENODEV)?;
        if wire.made {
            return Err(Errno::EINVAL);
        }
        if std::mem::replace(&mut wire.used, true) {
            return Err(Errno::EBUSY);
        }
        let ifindex = wire.ifindex;
        drop(state);
        Ok(self.end(PortName::new(name).ok_or(Errno::ENODEV)?, ifindex, PortKind::Netdev, None))
    }

    fn open_internal(&self, name: &[u8], number: Option<u32>) -> Result<Box<dyn Port<VecPacket>>> {
        let (name, ifindex) = self.make(name, number, None)?;
        Ok(self.end(name, ifindex, PortKind::Internal, None))
    }

    fn open_tunnel(&self, name: &[u8], tunnel: Tunnel) -> Result<Box<dyn Port<VecPacket>>> {
        let (name, ifindex) = self.make(name, None, Some(tunnel))?;
        Ok(self.end(name, ifindex, tunnel.kind(), Some(tunnel)))
    }

    fn attach(&self, ifindex: u32, datapath: &Shared<Inside>, port_no: u32) -> Result<()> {
        let mut state = self.lock();
        let wire = state.wires.values_mut().find(|wire| wire.ifindex == ifindex).ok_or(Errno::ENODEV)?;
        wire.inlet = Some((datapath.clone(), port_no));
        Ok(())
    }

    fn detach(&self, ifindex: u32) {
        let mut state = self.lock();
        let mut inlets = Vec::new();
        for wire in state.wires.values_mut().filter(|wire| wire.ifindex == ifindex) {
            wire.used = false;
            inlets.extend(wire.inlet.take());
        }
        state.wires.retain(|_, wire| wire.ifindex != ifindex || !wire.made);
        drop(state);
        drop(inlets); // perhaps the last that holds on to a datapath
    }
}

struct End {
    wires: Wires,
    name: PortName,
    ifindex: u32,
    kind: PortKind,
    tunnel: Option<Tunnel>,
}

impl Port<VecPacket> for End {
    fn send(&self, packet: VecPacket) {
        let mut state = self.wires.lock();
        if state.sent.len() < 1000 {
            state.sent.push(packet.bytes().to_vec());
        }
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
