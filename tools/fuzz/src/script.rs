//! Sequences: several sockets that open, ask, listen, do not read and go away, and packets in between.

use crate::family::Family;
use crate::frames;
use crate::generate::{self, Hints};
use crate::message::Message;
use crate::ovs::{self, PORTS};
use crate::{Choices, family};
use pfnl_proto::ovs::cmd;
use std::fmt;

/// One thing that is done.
#[derive(Clone, PartialEq, Eq)]
pub enum Act {
    /// Opens a socket; one that is open under this number is closed first.
    Open {
        /// Its number, from 0; its portid is [`ovs::PORTID`] more.
        socket: usize,
        /// Whether its owner may administer.
        privileged: bool,
        /// NETLINK_EXT_ACK and NETLINK_CAP_ACK.
        acks: (bool, bool),
        /// SO_RCVBUF, 0 = as it comes.
        buffer: u32,
        /// Whether it joins all groups.
        listens: bool,
    },
    /// Closes it.
    Close(usize),
    /// Sends a datagram to the kernel.
    Send(usize, Vec<u8>),
    /// Sends a datagram to another socket.
    Say(usize, usize, Vec<u8>),
    /// Reads so many datagrams into a buffer of that size.
    Read(usize, usize, usize),
    /// Sets an option: level, name, value.
    Set(usize, i32, i32, u32),
    /// A frame arrives at an interface.
    Frame(&'static str, Vec<u8>),
    /// An interface goes away.
    Gone(&'static str),
    /// Time passes, as far as anybody looks at it.
    Tick,
}

/// What a script may be made of.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most acts.
    pub acts: usize,
    /// How many sockets there are.
    pub sockets: usize,
    /// Whether frames arrive and interfaces go away: things that are not done by sockets.
    pub packets: bool,
    /// Whether a datapath with ports is made first.
    pub datapath: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { acts: 60, sockets: 4, packets: true, datapath: true }
    }
}

/// A sequence for a kernel with these families.
///
/// Each message has a sequence number of its own, unless that is what is wrong with it: its socket's number in the upper
/// half and a count in the lower.
pub fn script(families: &[Family], hints: &dyn Hints, limits: Limits, c: &mut Choices) -> Vec<Act> {
    let mut count = 0;
    let mut seq = |socket: usize| {
        count += 1;
        (socket as u32 + 1) << 16 | count
    };
    let mut acts = vec![open(0, true, c)];
    if limits.datapath
        && let Some(world) = world(families, c)
    {
        acts.extend(world.into_iter().map(|message| {
            let message = Message { seq: seq(0), ..message };
            Act::Send(0, message.bytes())
        }));
    }
    while acts.len() < limits.acts && c.more(14) {
        let socket = c.below(limits.sockets);
        acts.push(match c.below(16) {
            0..=6 => Act::Send(socket, datagram(families, hints, socket, &mut seq, c)),
            7 | 8 if limits.packets => Act::Frame(PORTS[c.below(4)], frames::frame(c)),
            7..=9 => Act::Read(socket, *c.pick(&[1, 100, 3]), *c.pick(&[65_536, 0, 16, 100, 1 << 20])),
            10 => open(socket, !c.one_in(4), c),
            11 => Act::Close(socket),
            12 => {
                let to = c.below(limits.sockets);
                let len = *c.pick(&[16, 1, 100, 3000]);
                Act::Say(socket, to, c.bytes(len))
            }
            13 => {
                let level = *c.pick(&[270, 1]);
                Act::Set(socket, level, c.below(14) as i32, *c.pick(&[1, 0, 4096, 19, u32::MAX]))
            }
            14 if limits.packets => Act::Gone(PORTS[c.below(8)]),
            _ => Act::Tick,
        });
    }
    acts
}

fn open(socket: usize, privileged: bool, c: &mut Choices) -> Act {
    let acts = (c.one_in(2), c.one_in(4));
    Act::Open {
        socket,
        privileged,
        acks: acts,
        buffer: *c.pick(&[0, 0, 1, 8192, 40_000]),
        listens: c.one_in(4),
    }
}

/// The requests that make a datapath with three ports. `None`: there are no such families.
pub fn world(families: &[Family], c: &mut Choices) -> Option<Vec<Message>> {
    let family = |name: &str| families.iter().find(|family| family.name == name);
    let (datapaths, vports) = (family("ovs_datapath")?, family("ovs_vport")?);
    let header = ovs::DATAPATHS[0].to_ne_bytes().to_vec();
    let mut messages = vec![Message {
        header: vec![0; 4],
        nodes: ovs::OVS.new_datapath(0, c),
        ..Message::new(datapaths.id, cmd::NEW, datapaths.version)
    }];
    for (at, name) in PORTS.iter().take(3).enumerate() {
        use pfnl_proto::ovs::{VPORT_TYPE_NETDEV, vport};
        let nodes = vec![
            crate::message::text(vport::NAME, name),
            crate::message::fixed(vport::TYPE, VPORT_TYPE_NETDEV),
            crate::message::fixed(vport::UPCALL_PID, ovs::PORTID),
            crate::message::fixed(vport::PORT_NO, at as u32 + 1),
        ];
        messages.push(Message {
            header: header.clone(),
            nodes,
            ..Message::new(vports.id, cmd::NEW, vports.version)
        });
    }
    Some(messages)
}

/// One or more messages, or bytes that are none.
fn datagram(
    families: &[Family],
    hints: &dyn Hints,
    socket: usize,
    seq: &mut dyn FnMut(usize) -> u32,
    c: &mut Choices,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match c.below(40) {
            38 => {
                let len = c.below(40);
                bytes.extend(c.bytes(len));
            }
            39 => bytes.extend(family::request_families()),
            _ if families.is_empty() => {}
            _ => {
                let family = c.pick(families);
                let mut message = generate::message(family, hints, c);
                message.seq = if c.one_in(40) { c.word(4) as u32 } else { seq(socket) };
                let end = bytes.len().next_multiple_of(4);
                bytes.resize(end, 0);
                bytes.extend(message.bytes());
            }
        }
        if bytes.len() > 100_000 || !c.one_in(6) {
            return bytes;
        }
    }
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| {
            let shown: String = bytes.iter().take(200).map(|byte| format!("{byte:02x}")).collect();
            if bytes.len() > 200 { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
        };
        match self {
            Act::Open { socket, privileged, acks, buffer, listens } => write!(
                f,
                "open {socket}{}{}{}{}{}",
                if *privileged { "" } else { " unprivileged" },
                if acks.0 { " ext-ack" } else { "" },
                if acks.1 { " cap-ack" } else { "" },
                if *buffer > 0 { format!(" rcvbuf {buffer}") } else { String::new() },
                if *listens { " listens" } else { "" },
            ),
            Act::Close(socket) => write!(f, "close {socket}"),
            Act::Send(socket, bytes) => write!(f, "send {socket} {}", hex(bytes)),
            Act::Say(socket, to, bytes) => write!(f, "say {socket} to {to} {}", hex(bytes)),
            Act::Read(socket, count, size) => write!(f, "read {socket} {count} x {size}"),
            Act::Set(socket, level, name, value) => write!(f, "set {socket} {level}.{name} = {value}"),
            Act::Frame(name, bytes) => write!(f, "frame {name} {}", hex(bytes)),
            Act::Gone(name) => write!(f, "gone {name}"),
            Act::Tick => write!(f, "tick"),
        }
    }
}
