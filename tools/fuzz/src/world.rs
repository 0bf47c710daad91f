//! A pfnl in this process that a [script](crate::script) is played to, with a [model](crate::model) of what its sockets
//! must see.

use crate::family::{Family, read_families, request_families};
use crate::model::Model;
use crate::ovs::{PORTID, PORTS};
use crate::script::Act;
use crate::wires::Wires;
use pfnl_datapath::VecPacket;
use pfnl_ovs::Ovs;
use pfnl_platform::{Errno, Shared, User};
use pfnl_sock::{Credentials, Delivery, Domain, NETLINK_GENERIC, SockAddr, SockType, Socket};
use std::collections::BTreeMap;

const SOL_SOCKET: i32 = 1;
const SO_RCVBUF: i32 = 8;
const SOL_NETLINK: i32 = 270;
const ADD_MEMBERSHIP: i32 = 1;
const CAP_ACK: i32 = 10;
const EXT_ACK: i32 = 11;

/// A domain with the Open vSwitch families, and clients.
pub struct World {
    domain: Shared<Domain<User>>,
    ovs: Shared<Ovs<User, VecPacket>>,
    wires: Wires,
    families: Vec<Family>,
    open: BTreeMap<usize, Client>,
}

struct Client {
    socket: Socket<User>,
    who: Credentials,
    model: Model,
}

struct Silent;

impl Delivery for Silent {
    fn wake(&self) {}
}

impl World {
    /// An empty one.
    ///
    /// # Panics
    /// There is no memory, or nlctrl does not answer.
    pub fn new() -> World {
        let domain = Domain::<User>::try_new().expect("a domain");
        let wires = Wires::with(&PORTS[..4]);
        let ovs = Ovs::register(&domain, Box::new(wires.clone())).expect("families");
        let mut world = World { domain, ovs, wires, families: Vec::new(), open: BTreeMap::new() };
        world.families = world.ask_families();
        world
    }

    fn ask_families(&self) -> Vec<Family> {
        let socket = self.socket(credentials(true)).expect("a socket");
        socket.send(None, &request_families(), &credentials(true)).expect("a request");
        let mut datagrams = Vec::new();
        while let Some(block) = socket.take() {
            socket.read(block.charge, 65_536);
            datagrams.push(block.bytes);
        }
        socket.close();
        read_families(&datagrams)
    }

    fn socket(&self, who: Credentials) -> Result<Socket<User>, Errno> {
        Domain::open(&self.domain, SockType::Raw, NETLINK_GENERIC, who, Box::new(Silent))
    }

    /// Where its sockets are: to serve it to others, too.
    pub fn domain(&self) -> &Shared<Domain<User>> {
        &self.domain
    }

    /// Its families.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// How often a socket's requests ended with each errno so far.
    pub fn outcomes(&self, socket: usize) -> BTreeMap<i32, u64> {
        self.open.get(&socket).map(|client| client.model.outcomes.clone()).unwrap_or_default()
    }

    /// The connections that are tracked.
    pub fn connections(&self) -> u32 {
        self.ovs.conntrack().count()
    }

    /// What its ports have sent since the last call.
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        self.wires.take_sent()
    }

    /// Plays a script to its end and [finishes](World::finish).
    ///
    /// # Errors
    /// What does not hold.
    pub fn play(mut self, acts: &[Act]) -> Result<(), String> {
        for (at, act) in acts.iter().enumerate() {
            self.perform(act).map_err(|error| format!("act {at}, {act:?}: {error}"))?;
        }
        self.finish()
    }

    /// Does one thing.
    ///
    /// # Errors
    /// What does not hold.
    pub fn perform(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::Open { socket, privileged, acks, buffer, listens } => {
                self.close(*socket);
                self.open(*socket, *privileged, *acks, *buffer, *listens)
            }
            Act::Close(socket) => {
                self.close(*socket);
                Ok(())
            }
            Act::Send(socket, bytes) => self.send(*socket, bytes),
            Act::Say(socket, to, bytes) => {
                let Some(client) = self.open.get(socket) else { return Ok(()) };
                let addr = SockAddr { portid: PORTID + *to as u32, groups: 0 };
                let outcome = client.socket.send(Some(addr), bytes, &client.who);
                match outcome {
                    Ok(()) if !client.who.net_admin => {
                        Err("an unprivileged socket has spoken to another".to_owned())
                    }
                    Ok(()) if !self.open.contains_key(to) => Err("nobody has been spoken to".to_owned()),
                    _ => Ok(()),
                }
            }
            Act::Read(socket, count, size) => self.read(*socket, *count, *size).map(drop),
            Act::Set(socket, level, name, value) => {
                if let Some(client) = self.open.get_mut(socket) {
                    // It may be the size of the queue, or not to be told of what is lost.
                    client.model.lossy = true;
                    let _ = client.socket.set_option(*level, *name, &value.to_ne_bytes(), &client.who);
                }
                Ok(())
            }
            Act::Frame(name, bytes) => {
                self.wires.arrive(name, bytes);
                Ok(())
            }
            Act::Gone(name) => {
                if let Some(ifindex) = self.wires.ifindex(name) {
                    self.ovs.interface_gone(ifindex);
                }
                Ok(())
            }
            Act::Tick => {
                self.ovs.conntrack().tick();
                Ok(())
            }
        }
    }

    fn open(
        &mut self,
        number: usize,
        privileged: bool,
        acks: (bool, bool),
        buffer: u32,
        listens: bool,
    ) -> Result<(), String> {
        let who = credentials(privileged);
        let socket = self.socket(who).map_err(|errno| format!("open: {errno}"))?;
        let addr = SockAddr { portid: PORTID + number as u32, groups: 0 };
        socket.bind(addr, &who).map_err(|errno| format!("bind: {errno}"))?;
        let set = |level, name, value: u32| {
            socket
                .set_option(level, name, &value.to_ne_bytes(), &who)
                .map_err(|errno| format!("option: {errno}"))
        };
        set(SOL_NETLINK, EXT_ACK, acks.0.into())?;
        set(SOL_NETLINK, CAP_ACK, acks.1.into())?;
        if buffer > 0 {
            set(SOL_SOCKET, SO_RCVBUF, buffer)?;
        }
        let groups: Vec<_> =
            self.families.iter().flat_map(|family| &family.groups).map(|(_, n)| *n).collect();
        for group in groups.iter().filter(|_| listens) {
            // Some are for administrators alone.
            let _ = set(SOL_NETLINK, ADD_MEMBERSHIP, *group);
        }
        self.open.insert(number, Client { socket, who, model: Model::default() });
        Ok(())
    }

    fn close(&mut self, number: usize) {
        if let Some(client) = self.open.remove(&number) {
            client.socket.close();
        }
    }

    fn send(&mut self, number: usize, bytes: &[u8]) -> Result<(), String> {
        let Some(client) = self.open.get_mut(&number) else { return Ok(()) };
        match client.socket.send(None, bytes, &client.who) {
            Ok(()) => {
                client.model.sent(bytes);
                Ok(())
            }
            Err(Errno::ENODATA) if bytes.is_empty() => Ok(()),
            Err(Errno::EMSGSIZE) if bytes.len() > 2000 => Ok(()),
            Err(errno) => Err(format!("send to the kernel: {errno}")),
        }
    }

    fn read(&mut self, number: usize, count: usize, size: usize) -> Result<usize, String> {
        let families = &self.families;
        let Some(client) = self.open.get_mut(&number) else { return Ok(0) };
        let mut read = 0;
        while read < count {
            if client.socket.take_error().is_some() {
                client.model.lossy = true;
            }
            let Some(block) = client.socket.take() else { break };
            client.socket.read(block.charge, size);
            // Others' words are not looked at, nor those of groups.
            if block.from.portid == 0 && block.group == 0 && block.sender == [0; 3] {
                client.model.got(&block.bytes, PORTID + number as u32, families)?;
            }
            read += 1;
        }
        Ok(read)
    }

    /// Reads everything that is left, looks whether all was answered, and takes the world down.
    ///
    /// # Errors
    /// What does not hold.
    pub fn finish(mut self) -> Result<(), String> {
        let numbers: Vec<_> = self.open.keys().copied().collect();
        for &number in &numbers {
            // Blocks of a dump come as they are read; the bound is against one that never ends.
            for _ in 0..10_000 {
                let before = self.read(number, 100, 1 << 20)?;
                let dumping = self.open.get(&number).is_some_and(|client| client.socket.dump_running());
                if before == 0 && !dumping {
                    break;
                }
                if before == 0 {
                    return Err(format!("socket {number}: a dump goes on, and there is nothing to read"));
                }
            }
        }
        for (number, client) in &self.open {
            let lost = client.socket.info().drops > 0;
            if let Some(missing) = client.model.missing().filter(|_| !lost) {
                return Err(format!("socket {number}: {missing}"));
            }
        }
        for number in numbers {
            self.close(number);
        }
        let left = self.domain.sockets().map_err(|errno| errno.to_string())?.len();
        if left > 0 { Err(format!("{left} sockets are left")) } else { Ok(()) }
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for client in self.open.values() {
            client.socket.close();
        }
        self.ovs.shut_down();
        self.domain.shut_down();
    }
}

fn credentials(privileged: bool) -> Credentials {
    let id = if privileged { 0 } else { 65_534 };
    Credentials { pid: 1, uid: id, gid: id, net_admin: privileged, net_broadcast: privileged }
}
