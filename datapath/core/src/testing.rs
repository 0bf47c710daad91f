//! What the tests share: packets with right checksums, a checker that knows nothing of the code under test, ports that
//! remember, an upper layer that remembers.

use crate::action::{Action, Actions};
use crate::datapath::Datapath;
use crate::key::{FlowKey, MAC_ETHERNET};
use crate::offload::{Offload, PartialCsum};
use crate::packet::{Packet, VecPacket};
use crate::port::{Features, Port, PortKind, PortName};
use crate::upcall::{Kind, Request, Upcall};
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Platform, Result, User};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

pub const SRC_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const DST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A frame to build.
#[derive(Clone, Debug)]
pub struct Spec {
    /// (TPID, TCI) from the outside in.
    pub tags: Vec<(u16, u16)>,
    pub v6: bool,
    pub src: [u8; 16],
    pub dst: [u8; 16],
    /// 6, 17, 132, 1, 58 or something else.
    pub proto: u8,
    pub ports: (u16, u16),
    pub options: bool,
    pub payload: Vec<u8>,
    /// UDP without checksum.
    pub no_csum: bool,
}

pub fn spec(v6: bool, proto: u8) -> Spec {
    let end = |last| core::array::from_fn(|n| if n % 4 == 3 { last } else { 0x20 + n as u8 });
    Spec {
        tags: Vec::new(),
        v6,
        src: end(1),
        dst: end(2),
        proto,
        ports: (1000, 2000),
        options: false,
        payload: b"some payload".to_vec(),
        no_csum: false,
    }
}

pub fn any_spec() -> impl Strategy<Value = Spec> {
    (
        prop::collection::vec((prop_oneof![Just(0x8100u16), Just(0x88a8)], any::<u16>()), 0..3),
        any::<bool>(),
        any::<([u8; 16], [u8; 16])>(),
        prop_oneof![Just(6u8), Just(17), Just(132), Just(1), Just(58), Just(200)],
        any::<(u16, u16)>(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..80),
        any::<bool>(),
    )
        .prop_map(|(tags, v6, (src, dst), proto, ports, options, payload, no_csum)| Spec {
            tags,
            v6,
            src,
            dst,
            proto,
            ports,
            options,
            payload,
            no_csum,
        })
}

impl Spec {
    pub fn l2_len(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    /// The offset of the transport header.
    pub fn l4(&self) -> usize {
        self.l2_len() + if self.v6 { 40 } else { 20 } + if self.options { 8 } else { 0 }
    }

    /// Where the checksum over the pseudo-header is, from the transport header.
    pub fn csum_offset(&self) -> Option<u16> {
        match (self.proto, self.v6) {
            (6, _) => Some(16),
            (17, _) => Some(6),
            (58, true) => Some(2),
            _ => None,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut l4 = Vec::new();
        let (src, dst) = (self.ports.0.to_be_bytes(), self.ports.1.to_be_bytes());
        match self.proto {
            6 => l4.extend(
                [src, dst, [0, 1], [2, 3], [0, 0], [0, 0], [0x50, 0x18], [1, 0], [0, 0], [0, 0]].concat(),
            ),
            17 => l4.extend([src, dst, (8 + self.payload.len() as u16).to_be_bytes(), [0, 0]].concat()),
            // An INIT has no verification tag.
            132 if self.payload.first() == Some(&1) => {
                l4.extend([src, dst, [0; 2], [0; 2], [0; 2], [0; 2]].concat())
            }
            132 => l4.extend([src, dst, [1, 2], [3, 4], [0, 0], [0, 0]].concat()),
            1 | 58 => l4.extend([8, 0, 0, 0, 1, 2, 3, 4]),
            _ => {}
        }
        l4.extend_from_slice(&self.payload);
        match self.proto {
            132 => {
                let crc = crate::csum::tests::crc32c(&l4).to_le_bytes();
                l4[8..12].copy_from_slice(&crc);
            }
            1 => {
                let sum = !sum16(&l4, 0);
                l4[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            _ => {}
        }
        if let Some(at) = self.csum_offset()
            && !(self.no_csum && self.proto == 17 && !self.v6)
        {
            let n = if self.v6 { 16 } else { 4 };
            let sum = !sum16(&l4, pseudo(&self.src[..n], &self.dst[..n], self.proto, l4.len()));
            let sum = if sum == 0 && self.proto == 17 { 0xffff } else { sum };
            l4[usize::from(at)..][..2].copy_from_slice(&sum.to_be_bytes());
        }

        let mut frame = [DST_MAC, SRC_MAC].concat();
        for (tpid, tci) in &self.tags {
            frame.extend(tpid.to_be_bytes());
            frame.extend(tci.to_be_bytes());
        }
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0x12, 0x34, 0x56]);
            let extra: &[u8] = if self.options { &[self.proto, 0, 1, 4, 0, 0, 0, 0] } else { &[] };
            frame.extend(((extra.len() + l4.len()) as u16).to_be_bytes());
            frame.extend([if self.options { 60 } else { self.proto }, 64]);
            frame.extend(self.src);
            frame.extend(self.dst);
            frame.extend(extra);
        } else {
            let options: &[u8] = if self.options { &[1; 8] } else { &[] };
            let mut ip = Vec::from([0x45 + (options.len() / 4) as u8, 0x10]);
            ip.extend(((20 + options.len() + l4.len()) as u16).to_be_bytes());
            ip.extend([0x12, 0x34, 0x40, 0, 64, self.proto, 0, 0]);
            ip.extend_from_slice(&self.src[..4]);
            ip.extend_from_slice(&self.dst[..4]);
            ip.extend(options);
            let sum = !sum16(&ip, 0);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend([0x08, 0x00]);
            frame.extend(ip);
        }
        frame.extend(l4);
        frame
    }

    pub fn packet(&self) -> VecPacket {
        VecPacket::from_bytes(&self.bytes()).unwrap()
    }

    /// The same, its checksum left to the hardware, if it has one.
    pub fn partial(&self) -> VecPacket {
        let (mut bytes, l4) = (self.bytes(), self.l4());
        let Some(offset) = self.csum_offset() else { return self.packet() };
        let n = if self.v6 { 16 } else { 4 };
        let len = bytes.len() - l4;
        let sum = fold(pseudo(&self.src[..n], &self.dst[..n], self.proto, len));
        bytes[l4 + usize::from(offset)..][..2].copy_from_slice(&sum.to_be_bytes());
        let mut packet = VecPacket::from_bytes(&bytes).unwrap();
        packet.offload_mut().csum = Some(PartialCsum { start: l4 as u32, offset });
        packet
    }
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn sum16(bytes: &[u8], begin: u32) -> u16 {
    fold(
        bytes
            .chunks(2)
            .fold(begin, |sum, pair| sum + (u32::from(pair[0]) << 8) + u32::from(*pair.get(1).unwrap_or(&0))),
    )
}

fn pseudo(src: &[u8], dst: &[u8], proto: u8, len: usize) -> u32 {
    u32::from(sum16(src, 0)) + u32::from(sum16(dst, 0)) + u32::from(proto) + len as u32
}

/// Asserts that every checksum of a frame is right. Answers how many there were.
pub fn verify(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(frame[at..at + 2], [0x81, 0] | [0x88, 0xa8]) {
        at += 4;
    }
    let ip = &frame[at + 2..];
    let (src, dst, proto, l4, mut n) = match frame[at..at + 2] {
        [0x08, 0x00] => {
            let header = usize::from(ip[0] & 0xf) * 4;
            assert_eq!(sum16(&ip[..header], 0), 0xffff, "IPv4 header checksum of {frame:02x?}");
            let len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            (&ip[12..16], &ip[16..20], ip[9], &ip[header..len], 1)
        }
        [0x86, 0xdd] => {
            let len = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            let (mut proto, mut at) = (ip[6], 40);
            while proto == 60 {
                (proto, at) = (ip[at], at + 8 + usize::from(ip[at + 1]) * 8);
            }
            (&ip[8..24], &ip[24..40], proto, &ip[at..40 + len], 0)
        }
        _ => return 0,
    };
    let v6 = src.len() == 16;
    match proto {
        17 if !v6 && l4[6..8] == [0, 0] => {}
        6 | 17 => {
            assert!(proto == 6 || l4[6..8] != [0, 0], "a UDP checksum became 0: {frame:02x?}");
            assert_eq!(sum16(l4, pseudo(src, dst, proto, l4.len())), 0xffff, "checksum of {frame:02x?}");
            n += 1;
        }
        58 if v6 => {
            assert_eq!(sum16(l4, pseudo(src, dst, proto, l4.len())), 0xffff, "ICMPv6 of {frame:02x?}");
            n += 1;
        }
        1 => {
            assert_eq!(sum16(l4, 0), 0xffff, "ICMP of {frame:02x?}");
            n += 1;
        }
        132 => {
            let mut l4 = l4.to_vec();
            let crc = u32::from_le_bytes(l4[8..12].try_into().unwrap());
            l4[8..12].fill(0);
            assert_eq!(crate::csum::tests::crc32c(&l4), crc, "CRC of {frame:02x?}");
            n += 1;
        }
        _ => {}
    }
    n
}

/// Packets as they went out.
pub type Sent = Vec<(Vec<u8>, Offload)>;

/// A port that remembers what was sent.
#[derive(Clone)]
pub struct Sink {
    pub name: &'static str,
    pub mtu: usize,
    pub features: Features,
    pub sent: Arc<Mutex<Sent>>,
}

pub const ALL_FEATURES: Features = Features { csum: true, tso4: true, tso6: true, uso: true };

impl Sink {
    pub fn new(name: &'static str) -> Sink {
        Sink { name, mtu: 1500, features: ALL_FEATURES, sent: Arc::default() }
    }

    /// Everything sent since it was last asked.
    pub fn take(&self) -> Sent {
        core::mem::take(&mut self.sent.lock().unwrap())
    }

    pub fn take_one(&self) -> Vec<u8> {
        let mut sent = self.take();
        assert_eq!(sent.len(), 1);
        sent.remove(0).0
    }
}

impl<Pk: Packet> Port<Pk> for Sink {
    fn send(&self, packet: Pk) {
        self.sent.lock().unwrap().push((bytes_of(&packet), *packet.offload()));
    }

    fn name(&self) -> PortName {
        PortName::new(self.name.as_bytes()).unwrap()
    }

    fn ifindex(&self) -> u32 {
        1
    }

    fn kind(&self) -> PortKind {
        PortKind::Netdev
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn features(&self) -> Features {
        self.features
    }
}

/// What went up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    pub miss: bool,
    pub portid: u32,
    pub userdata: Option<Vec<u8>>,
    pub actions: Option<Vec<u8>>,
    pub keep: usize,
    pub key: FlowKey,
    pub packet: Vec<u8>,
    pub offload: Offload,
}

/// An upper layer that remembers, and refuses once `room` is used up.
pub struct Above {
    pub ups: Mutex<Vec<Up>>,
    pub room: usize,
}

impl Default for Above {
    fn default() -> Above {
        Above { ups: Mutex::default(), room: usize::MAX }
    }
}

fn bytes_of<Pk: Packet>(packet: &Pk) -> Vec<u8> {
    let mut bytes = alloc::vec![0; packet.len()];
    packet.copy_out(0, &mut bytes).unwrap();
    bytes
}

impl<Pk: Packet> Upcall<User, Pk> for Above {
    fn upcall(
        &self,
        _datapath: &Datapath<User, Pk, Above>,
        section: &<User as Platform>::Guard,
        request: &Request<'_, User, Pk>,
        key: &FlowKey,
        packet: &Pk,
    ) -> Result<()> {
        let mut ups = self.ups.lock().unwrap();
        if ups.len() >= self.room {
            return Err(Errno::ENOBUFS);
        }
        let (miss, portid, userdata, actions) = match request.kind {
            Kind::Miss => {
                let portids = request.vport.map_or(&[][..], |vport| vport.upcall_portids(section));
                (true, *portids.first().unwrap_or(&0), None, None)
            }
            Kind::Action { portid, userdata, actions, .. } => (false, portid, userdata, actions),
        };
        ups.push(Up {
            miss,
            portid,
            userdata: userdata.map(<[u8]>::to_vec),
            actions: actions.map(<[u8]>::to_vec),
            keep: request.keep,
            key: key.clone(),
            packet: bytes_of(packet),
            offload: *packet.offload(),
        });
        Ok(())
    }
}

pub type Dp = Datapath<User, VecPacket, Above>;

/// A datapath with ports 1, 2 and 3.
pub fn datapath() -> (Dp, [Sink; 3]) {
    datapath_of()
}

/// The same for any kind of packet.
pub fn datapath_of<Pk: Packet>() -> (Datapath<User, Pk, Above>, [Sink; 3]) {
    let dp = Datapath::try_new(Above::default()).unwrap();
    let sinks = ["one", "two", "three"].map(Sink::new);
    for sink in &sinks {
        dp.add_port(None, Box::new(sink.clone()), &[sink.name.len() as u32]).unwrap();
    }
    (dp, sinks)
}

impl Above {
    pub fn take(&self) -> Vec<Up> {
        core::mem::take(&mut self.ups.lock().unwrap())
    }
}

pub fn actions<const N: usize>(list: [Action; N]) -> Actions {
    Actions::try_new(Vec::from(list), b"opaque".to_vec()).unwrap()
}

/// Runs actions on a packet as EXECUTE does, in at port 1. One that an action fails on does not arrive.
pub fn run<const N: usize>(dp: &Dp, packet: VecPacket, list: [Action; N]) -> FlowKey {
    let mut key = FlowKey { in_port: 1, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    let _ = dp.execute(packet, &mut key, &actions(list));
    key
}

/// The key of a frame that came in at port 1.
pub fn key_of(packet: &VecPacket) -> FlowKey {
    let mut key = FlowKey { in_port: 1, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    crate::extract::extract(&mut packet.try_clone().unwrap(), &mut key).unwrap();
    key
}

/// A packet of which, as of an mbuf chain, only so much is contiguous as was asked for, and one byte.
pub struct Chain {
    all: VecPacket,
    visible: usize,
}

impl Packet for Chain {
    fn len(&self) -> usize {
        self.all.len()
    }

    fn head(&self) -> &[u8] {
        &self.all.bytes()[..self.visible.min(self.all.len())]
    }

    fn pull(&mut self, n: usize) -> Result<()> {
        self.all.pull(n)?;
        self.visible = self.visible.max(n);
        Ok(())
    }

    fn head_mut(&mut self, n: usize) -> Result<&mut [u8]> {
        self.pull(n)?;
        self.all.head_mut(n)
    }

    /// As m_prepend: what is pushed may be alone in front.
    fn push_front(&mut self, n: usize) -> Result<()> {
        self.visible = n;
        self.all.push_front(n)
    }

    fn pop_front(&mut self, n: usize) -> Result<()> {
        self.visible = self.visible.saturating_sub(n).max(1);
        self.all.pop_front(n)
    }

    fn truncate(&mut self, len: usize) {
        self.all.truncate(len);
    }

    fn try_clone(&self) -> Result<Chain> {
        Ok(Chain { all: self.all.try_clone()?, visible: 1 })
    }

    fn copy_out(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        self.all.copy_out(offset, out)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Chain> {
        Ok(Chain { all: VecPacket::from_bytes(bytes)?, visible: 1 })
    }

    fn offload(&self) -> &Offload {
        self.all.offload()
    }

    fn offload_mut(&mut self) -> &mut Offload {
        self.all.offload_mut()
    }
}
