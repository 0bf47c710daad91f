//! pfnl in this process, with interfaces that exist only by name and number.

use crate::families::Families;
use crate::run::Kernel;
use anyhow::{Result, ensure};
use pfnl_datapath::port::{Port, PortKind, PortName};
use pfnl_datapath::tunnel::Tunnel;
use pfnl_datapath::{Datapath, VecPacket};
use pfnl_oracle_agent::{Options, Outcome, Step, hex, unhex};
use pfnl_ovs::{Devices, Ovs, Upper};
use pfnl_platform::{Errno, Shared, User};
use pfnl_sock::{Credentials, Delivery, Domain, FamilyDef, NETLINK_GENERIC, SockAddr, SockType, Socket};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_ADD_MEMBERSHIP; SOL_SOCKET, SO_RCVBUF.
const SOL_NETLINK: i32 = 270;
const CAP_ACK: i32 = 10;
const EXT_ACK: i32 = 11;
const ADD_MEMBERSHIP: i32 = 1;
const SOL_SOCKET: i32 = 1;
const SO_RCVBUF: i32 = 8;

/// The in-process pfnl.
pub struct Inside {
    domain: Shared<Domain<User>>,
    ovs: Shared<Ovs<User, VecPacket>>,
    sockets: BTreeMap<u32, (Socket<User>, Credentials)>,
}

impl Inside {
    /// One whose families have the same ids and groups as those of a kernel with these families and interfaces.
    ///
    /// # Errors
    /// The ids or groups do not come out the same.
    pub fn new(like: &Families, interfaces: &[(String, u32)]) -> Result<Inside> {
        // Linux sets the group numbers 0 and 1 aside; so that this does not depend on pfnl's doing so, both are tried.
        for spare in 0..2 {
            let mut inside = Inside::with_spare_groups(like, interfaces, spare)?;
            let own = crate::run::families(&mut inside)?;
            let same = |name: &str| own.groups(name).is_none_or(|groups| Some(groups) == like.groups(name));
            if ["ovs_datapath", "ovs_vport", "ovs_flow"].into_iter().all(same) {
                return Ok(inside);
            }
        }
        anyhow::bail!("the families' groups do not get the same numbers as in the recorded kernel")
    }

    fn with_spare_groups(like: &Families, interfaces: &[(String, u32)], spare: usize) -> Result<Inside> {
        let domain = Domain::<User>::try_new()?;
        let first = like.id("ovs_datapath");
        let before: Vec<_> = like
            .0
            .iter()
            .filter(|family| family.id < first && !matches!(&*family.name, "nlctrl" | "psample"))
            .collect();
        for id in pfnl_proto::genl::GENL_START_ALLOC.. {
            let family = before.iter().find(|family| family.id == id);
            // psample comes just before.
            let is_psample = like.0.iter().any(|family| family.id == id && family.name == "psample");
            if id == first || is_psample {
                break;
            }
            let spare = if id == pfnl_proto::genl::GENL_START_ALLOC { spare } else { 0 };
            let groups = family.map_or(0, |family| family.groups.len()) + spare;
            let got = domain.register(filler(id, groups), Shared::try_new(())?)?;
            ensure!(got.id == id, "a family got id {} instead of {id}", got.id);
        }
        let taken = interfaces.iter().map(|(name, number)| (name.clone(), *number)).collect();
        let devices = State { taken, used: Vec::new(), tunnels: Vec::new(), next: 5000 };
        let devices = Handle(Mutex::new(devices));
        let ovs = Ovs::<User, VecPacket>::register(&domain, Box::new(devices))?;
        Ok(Inside { domain, ovs, sockets: BTreeMap::new() })
    }

    fn perform(&mut self, step: &Step) -> Result<Outcome, Errno> {
        match step {
            Step::Open { socket, options } => self.open(*socket, options).map(|()| Outcome::default()),
            Step::Send { socket, tx, read, times } => {
                let (socket, credentials) = self.sockets.get(socket).ok_or(Errno::EINVAL)?;
                let tx = unhex(tx);
                (0..*times).try_for_each(|_| socket.send(None, &tx, credentials))?;
                Ok(if *read > 0 { drain(socket, *read, usize::MAX) } else { Outcome::default() })
            }
            Step::Read { socket, size, count } => {
                let (socket, _) = self.sockets.get(socket).ok_or(Errno::EINVAL)?;
                Ok(drain(socket, *size, *count))
            }
            Step::Interfaces | Step::Run { .. } => Err(Errno::EOPNOTSUPP),
        }
    }

    fn open(&mut self, number: u32, options: &Options) -> Result<(), Errno> {
        if let Some((old, _)) = self.sockets.remove(&number) {
            old.close();
        }
        let root = !options.unprivileged;
        let id = if root { 0 } else { 65534 };
        let credentials = Credentials { pid: 1, uid: id, gid: id, net_admin: root, net_broadcast: root };
        let socket =
            Domain::open(&self.domain, SockType::Raw, NETLINK_GENERIC, credentials, Box::new(Silent))?;
        socket.bind(SockAddr { portid: options.portid, groups: 0 }, &credentials)?;
        let set =
            |level, name, value: u32| socket.set_option(level, name, &value.to_ne_bytes(), &credentials);
        set(SOL_NETLINK, EXT_ACK, options.extack.into())?;
        set(SOL_NETLINK, CAP_ACK, options.capped.into())?;
        if let Ok(size @ 1..) = u32::try_from(options.rcvbuf) {
            set(SOL_SOCKET, SO_RCVBUF, size)?;
        }
        for &group in &options.groups {
            set(SOL_NETLINK, ADD_MEMBERSHIP, group)?;
        }
        self.sockets.insert(number, (socket, credentials));
        Ok(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.ovs.shut_down();
        self.domain.shut_down();
    }
}

impl Kernel for Inside {
    fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>> {
        let failed = |errno: Errno| Outcome { errno: errno.linux(), ..Outcome::default() };
        Ok(steps.iter().map(|step| self.perform(step).unwrap_or_else(failed)).collect())
    }
}

fn drain(socket: &Socket<User>, size: usize, count: usize) -> Outcome {
    let mut outcome = Outcome::default();
    while outcome.rx.len() < count {
        if let Some(errno) = socket.take_error() {
            outcome.errno = errno.linux();
            break;
        }
        let Some(block) = socket.take() else { break };
        socket.read(block.charge, size);
        outcome.rx.push(hex(&block.bytes[..block.bytes.len().min(size)]));
    }
    outcome
}

/// A family that only takes an id and groups away. Made once per kernel, so that it need not be given back.
fn filler(id: u16, groups: usize) -> &'static FamilyDef<()> {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let groups = (0..groups).map(|at| leak(format!("f{id}g{at}"))).collect::<Vec<_>>();
    Box::leak(Box::new(FamilyDef {
        name: leak(format!("filler{id}")),
        version: 1,
        hdrsize: 0,
        table: None,
        ops: &[],
        groups: Box::leak(groups.into_boxed_slice()),
        admin_groups: &[],
    }))
}

struct Silent;

impl Delivery for Silent {
    fn wake(&self) {}
}

/// What interfaces there are.
struct State {
    taken: BTreeMap<String, u32>,
    /// Ports of a datapath, by number, and whether they go away with it.
    used: Vec<(u32, bool)>,
    tunnels: Vec<(u32, Tunnel)>,
    next: u32,
}

impl State {
    /// A new interface.
    fn create(&mut self, name: &[u8], number: Option<u32>) -> pfnl_platform::Result<(PortName, u32)> {
        let bad = |byte: &u8| matches!(byte, b'/' | b':') || byte.is_ascii_whitespace();
        if name.is_empty() || matches!(name, b"." | b"..") || name.iter().any(bad) {
            return Err(Errno::EINVAL);
        }
        let mut text = String::from_utf8_lossy(name).into_owned();
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
        Ok((PortName::new(text.as_bytes()).ok_or(Errno::EINVAL)?, ifindex))
    }
}

struct Handle(Mutex<State>);

impl Handle {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Interface {
    name: PortName,
    ifindex: u32,
    kind: PortKind,
    tunnel: Option<Tunnel>,
}

impl Port<VecPacket> for Interface {
    fn send(&self, _packet: VecPacket) {}
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

impl Devices<User, VecPacket> for Handle {
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
        Ok(Box::new(Interface { name, ifindex, kind: PortKind::Netdev, tunnel: None }))
    }

    fn open_internal(
        &self,
        name: &[u8],
        number: Option<u32>,
    ) -> pfnl_platform::Result<Box<dyn Port<VecPacket>>> {
        let (name, ifindex) = self.state().create(name, number)?;
        Ok(Box::new(Interface { name, ifindex, kind: PortKind::Internal, tunnel: None }))
    }

    fn open_tunnel(&self, name: &[u8], tunnel: Tunnel) -> pfnl_platform::Result<Box<dyn Port<VecPacket>>> {
        let mut state = self.state();
        if let Some(errno) = state.tunnels.iter().find_map(|(_, other)| tunnel.clash(other)) {
            return Err(errno);
        }
        let (name, ifindex) = state.create(name, None)?;
        state.tunnels.push((ifindex, tunnel));
        Ok(Box::new(Interface { name, ifindex, kind: tunnel.kind(), tunnel: Some(tunnel) }))
    }

    fn attach(
        &self,
        _: u32,
        _: &Shared<Datapath<User, VecPacket, Upper<User>>>,
        _: u32,
    ) -> pfnl_platform::Result<()> {
        Ok(())
    }

    fn detach(&self, ifindex: u32) {
        let mut state = self.state();
        if let Some(at) = state.used.iter().position(|(used, _)| *used == ifindex) {
            let (_, ours) = state.used.remove(at);
            state.tunnels.retain(|(number, _)| *number != ifindex);
            if ours {
                state.taken.retain(|_, number| *number != ifindex);
            }
        }
    }
}
