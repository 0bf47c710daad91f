//! pfnl in this process, with interfaces that exist only by name and number.

use crate::families::Families;
use crate::interfaces::Interfaces;
use crate::run::Kernel;
use anyhow::{Result, ensure};
use pfnl_datapath::VecPacket;
use pfnl_oracle_agent::{Options, Outcome, Step, hex, unhex};
use pfnl_ovs::Ovs;
use pfnl_platform::{Errno, Platform, Shared, User};
use pfnl_sock::{Credentials, Delivery, Domain, FamilyDef, NETLINK_GENERIC, SockAddr, SockType, Socket};
use std::collections::BTreeMap;

/// SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, NETLINK_ADD_MEMBERSHIP; SOL_SOCKET, SO_RCVBUF.
const SOL_NETLINK: i32 = 270;
const CAP_ACK: i32 = 10;
const EXT_ACK: i32 = 11;
const GET_STRICT_CHK: i32 = 12;
const ADD_MEMBERSHIP: i32 = 1;
const SOL_SOCKET: i32 = 1;
const SO_RCVBUF: i32 = 8;

/// The in-process pfnl.
pub struct Inside<P: Platform = User> {
    domain: Shared<Domain<P>>,
    ovs: Shared<Ovs<P, VecPacket>>,
    sockets: BTreeMap<u32, (Socket<P>, Credentials)>,
    interfaces: Interfaces<P>,
}

impl<P: Platform> Inside<P> {
    /// One whose families have the same ids and groups as those of a kernel with these families and interfaces.
    ///
    /// # Errors
    /// The ids or groups do not come out the same.
    pub fn new(like: &Families, interfaces: &[(String, u32)]) -> Result<Inside<P>> {
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

    fn with_spare_groups(like: &Families, interfaces: &[(String, u32)], spare: usize) -> Result<Inside<P>> {
        let domain = Domain::<P>::try_new()?;
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
        let interfaces = Interfaces::new(interfaces);
        let ovs = Ovs::<P, VecPacket>::register(&domain, Box::new(interfaces.clone()))?;
        Ok(Inside { domain, ovs, sockets: BTreeMap::new(), interfaces })
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
            Step::Tap { tap, name, ifindex, offloads } => {
                self.interfaces.add_tap(*tap, name, *ifindex, *offloads);
                Ok(Outcome::default())
            }
            Step::Inject { tap, frame } => {
                self.interfaces.inject(*tap, &unhex(frame))?;
                Ok(self.interfaces.frames())
            }
            Step::Frames => Ok(self.interfaces.frames()),
            Step::Interfaces | Step::Run { .. } | Step::Wait { .. } => Err(Errno::EOPNOTSUPP),
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
        set(SOL_NETLINK, GET_STRICT_CHK, options.strict.into())?;
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

impl<P: Platform> Drop for Inside<P> {
    fn drop(&mut self) {
        self.ovs.shut_down();
        self.domain.shut_down();
    }
}

impl<P: Platform> Kernel for Inside<P> {
    fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>> {
        let failed = |errno: Errno| Outcome { errno: errno.linux(), ..Outcome::default() };
        Ok(steps.iter().map(|step| self.perform(step).unwrap_or_else(failed)).collect())
    }
}

fn drain<P: Platform>(socket: &Socket<P>, size: usize, count: usize) -> Outcome {
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
