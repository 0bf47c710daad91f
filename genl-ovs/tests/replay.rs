//! Sends what was sent to Linux 6.12 to pfnl, and compares the answers byte for byte.
//!
//! Families, groups, portids and interface numbers are arranged to be those of the recording, so nothing needs to be
//! translated; only counters (which depend on traffic) are blanked on both sides. Differences that are known stand in
//! [`DIFFERENT`], each with its reason; one that is not listed fails the test, and so does a listed one that is gone.

use pfnl_datapath::Datapath;
use pfnl_datapath::VecPacket;
use pfnl_datapath::port::{Port, PortKind, PortName};
use pfnl_ovs::{Devices, Ovs, Upper};
use pfnl_platform::{Errno, Result, Shared, User};
use pfnl_proto::msg::{Messages, NLMSG_DONE, NLMSG_ERROR};
use pfnl_proto::{Attrs, ovs};
use pfnl_sock::{Credentials, Delivery, Domain, FamilyDef, NETLINK_GENERIC, SockAddr, SockType, Socket};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Why some cases cannot be equal yet, or ever: a prefix of the case's name, and the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("vp-new-vxlan", "tunnels are not there yet"),
    ("vp-new-geneve", "tunnels are not there yet"),
    ("vp-new-gre", "tunnels are not there yet"),
    ("vp-del", "deletes a tunnel, and tunnels are not there yet"),
    ("vp-dump2", "lists tunnels, which are not there yet"),
    ("vp-badver", "lists tunnels, which are not there yet"),
    ("vp-set-pid", "two portids, on a machine that had one processor"),
];

#[derive(Deserialize)]
struct Case {
    case: String,
    extack: bool,
    tx: String,
    rx: Vec<String>,
}

/// Interfaces that exist only by name and number.
struct Interfaces {
    next: AtomicU32,
    open: Mutex<BTreeMap<u32, PortName>>,
}

struct Interface {
    name: PortName,
    ifindex: u32,
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
        PortKind::Internal
    }
    fn mtu(&self) -> usize {
        1500
    }
}

struct Handle(Shared<Interfaces>);

impl Devices<User, VecPacket> for Handle {
    fn open_netdev(&self, _name: &[u8]) -> Result<Box<dyn Port<VecPacket>>> {
        Err(Errno::ENODEV)
    }
    fn open_internal(&self, name: &[u8], _: Option<u32>) -> Result<Box<dyn Port<VecPacket>>> {
        let name = PortName::new(name).ok_or(Errno::EINVAL)?;
        let mut open = self.0.open.lock().unwrap();
        if open.values().any(|other| *other == name) {
            return Err(Errno::EEXIST);
        }
        let ifindex = self.0.next.fetch_add(1, Ordering::Relaxed);
        open.insert(ifindex, name);
        Ok(Box::new(Interface { name, ifindex }))
    }
    fn attach(&self, _: u32, _: &Shared<Datapath<User, VecPacket, Upper<User>>>, _: u32) -> Result<()> {
        Ok(())
    }
    fn detach(&self, ifindex: u32) {
        self.0.open.lock().unwrap().remove(&ifindex);
    }
}

/// Families that only take ids and groups away.
static FILLER: [FamilyDef<()>; 16] = {
    const fn filler(name: &'static str, groups: &'static [&'static str]) -> FamilyDef<()> {
        FamilyDef { name, version: 1, hdrsize: 0, table: None, ops: &[], groups, admin_groups: &[] }
    }
    const THIRTEEN: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
    [
        filler("f1", THIRTEEN),
        filler("f3", &[]),
        filler("f4", &[]),
        filler("f5", &[]),
        filler("f6", &[]),
        filler("f7", &[]),
        filler("f8", &[]),
        filler("f9", &[]),
        filler("f10", &[]),
        filler("f11", &[]),
        filler("f12", &[]),
        filler("f13", &[]),
        filler("f14", &[]),
        filler("f15", &[]),
        filler("f16", &[]),
        filler("f17", &[]),
    ]
};

struct Silent;
impl Delivery for Silent {
    fn wake(&self) {}
}

const ROOT: Credentials = Credentials { pid: 1, uid: 0, gid: 0, net_admin: true, net_broadcast: true };

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Blanks counters: attributes of the vport and datapath families that depend on traffic.
fn blank(datagram: &mut [u8]) {
    let mut places = Vec::new();
    let mut start = 0;
    for message in Messages::new(datagram) {
        let counters: &[u16] = match message.header.kind {
            36 => &[ovs::datapath::STATS, ovs::datapath::MEGAFLOW_STATS],
            37 => &[ovs::vport::STATS, ovs::vport::UPCALL_STATS],
            40 => &[ovs::meter::USED],
            _ => &[],
        };
        let attrs = Attrs::new(message.bytes.get(24..).unwrap_or_default(), 24);
        for attr in attrs.filter(|attr| counters.contains(&attr.number())) {
            let at = start + attr.offset() as usize + 4;
            places.push(at..at + attr.payload().len());
        }
        start += pfnl_proto::align(message.bytes.len());
    }
    places.into_iter().for_each(|place| datagram[place].fill(0));
}

/// A dump's records in an order of their own: Linux lists flows by hash, and its blocks end elsewhere.
fn sort_dump(datagrams: Vec<String>) -> Vec<String> {
    let is_dump = |datagram: &String| bytes(datagram)[6] & 2 != 0;
    if !datagrams.iter().any(is_dump) {
        return datagrams;
    }
    let all: Vec<u8> = datagrams.iter().flat_map(|datagram| bytes(datagram)).collect();
    let mut messages: Vec<_> = Messages::new(&all).map(|message| hex(message.bytes)).collect();
    messages.sort_unstable();
    messages
}

fn exchange(socket: &Socket<User>, tx: &[u8]) -> Vec<String> {
    let mut rx = Vec::new();
    socket.send(None, tx, &ROOT).unwrap();
    while let Some(mut block) = socket.take() {
        socket.read(block.charge, 262_144);
        blank(&mut block.bytes);
        let ends = Messages::new(&block.bytes).any(|m| matches!(m.header.kind, NLMSG_DONE | NLMSG_ERROR));
        rx.push(hex(&block.bytes));
        if ends && !socket.dump_running() {
            break;
        }
    }
    // What the recording did not wait for.
    while let Some(block) = socket.take() {
        socket.read(block.charge, 262_144);
    }
    rx
}

#[test]
fn linux_6_12_answers_the_same() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/linux-6.12/raw.jsonl");
    let golden = std::fs::read_to_string(golden).unwrap();
    let cases: Vec<Case> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let domain = Domain::<User>::try_new().unwrap();
    for family in &FILLER {
        domain.register(family, Shared::try_new(()).unwrap()).unwrap();
    }
    let interfaces = Shared::try_new(Interfaces { next: AtomicU32::new(1), open: Mutex::default() }).unwrap();
    let ovs = Ovs::<User, VecPacket>::register(&domain, Box::new(Handle(interfaces.clone()))).unwrap();

    let mut sockets = BTreeMap::new();
    let (mut equal, mut differ, mut listed) = (0, Vec::new(), vec![0; DIFFERENT.len()]);
    for Case { case, extack, tx, rx } in &cases {
        let tx = bytes(tx);
        let portid = u32::from_ne_bytes(tx[12..16].try_into().unwrap());
        let socket = sockets.entry(portid).or_insert_with(|| {
            let kind = SockType::Raw;
            let socket = Domain::open(&domain, kind, NETLINK_GENERIC, ROOT, Box::new(Silent)).unwrap();
            socket.bind(SockAddr { portid, groups: 0 }, &ROOT).unwrap();
            socket.set_option(270, 11, &u32::from(*extack).to_ne_bytes(), &ROOT).unwrap();
            socket
        });
        if case == "dp-new-echo" {
            // The number that the recording's local port got.
            let number = bytes(&rx[0])[20..24].try_into().unwrap();
            interfaces.next.store(u32::from_ne_bytes(number), Ordering::Relaxed);
        }
        if case == "vp-new-internal" {
            let next = bytes(&rx[0]);
            let at = Attrs::new(&next[24..], 24).find(|attr| attr.number() == ovs::vport::IFINDEX).unwrap();
            interfaces.next.store(at.u32().unwrap(), Ordering::Relaxed);
        }
        let expected: Vec<_> = rx
            .iter()
            .map(|datagram| {
                let mut datagram = bytes(datagram);
                blank(&mut datagram);
                hex(&datagram)
            })
            .collect();
        let (expected, got) = (sort_dump(expected), sort_dump(exchange(socket, &tx)));
        if got == expected {
            equal += 1;
        } else if let Some(at) = DIFFERENT.iter().position(|(prefix, _)| case.starts_with(prefix)) {
            listed[at] += 1;
        } else {
            differ.push(format!(
                "{case} (extack {extack})\n  sent  {}\n  linux {expected:?}\n  pfnl  {got:?}",
                hex(&tx)
            ));
        }
    }
    println!(
        "equal to Linux 6.12: {equal} of {}; listed as different: {}",
        cases.len(),
        listed.iter().sum::<i32>()
    );
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    for (at, (prefix, reason)) in DIFFERENT.iter().enumerate() {
        let one_processor = std::thread::available_parallelism().is_ok_and(|n| n.get() == 1);
        let may_be_equal = *prefix == "vp-set-pid" && one_processor;
        assert!(listed[at] > 0 || may_be_equal, "{prefix} is listed ({reason}) and does not differ");
    }
    ovs.shut_down();
    domain.shut_down();
}
