//! Requests and packets of cases.

use super::run::{ACTION_PORTID, DATAPATH};
use super::{Case, Do, Keys};
use crate::families::Families;
use crate::generate::message::{Message, Node, leaf, nest, u32};
use pfnl_oracle_agent::hex;
use pfnl_proto::msg::NLM_F_CREATE;
use pfnl_proto::ovs::{action, cmd, flow, key, packet, packet_cmd, userspace};
use pfnl_proto::{Attrs, Writer};
use pfnl_rawio::VnetHeader;

/// Makes requests for a kernel with these families.
pub struct Make<'a> {
    families: &'a Families,
    keys: &'a Keys,
}

impl<'a> Make<'a> {
    /// One that knows the keys of packets.
    pub fn new(families: &'a Families, keys: &'a Keys) -> Make<'a> {
        Make { families, keys }
    }

    /// The key that Linux read from the packet of a name at port 1.
    pub fn key(&self, of: &str) -> Option<&'a [u8]> {
        self.keys.get(of).map(Vec::as_slice)
    }

    /// Any request.
    pub fn request(&self, message: &Message) -> Do {
        Do::Request(hex(&message.bytes(self.families, 0)))
    }

    /// Puts a flow, to be acknowledged.
    pub fn flow(&self, key: &[u8], mask: Option<Vec<u8>>, actions: impl Into<Vec<Node>>) -> Do {
        let message = Message::new("ovs_flow", &flow::TABLE, cmd::NEW, Some(DATAPATH)).flags(NLM_F_CREATE);
        let mut nodes = vec![leaf(flow::KEY, key), nest(flow::ACTIONS, &action::TABLE, actions)];
        nodes.extend(mask.map(|mask| leaf(flow::MASK, mask)));
        self.request(&message.with(nodes))
    }

    /// Sends a packet through actions.
    pub fn execute(&self, bytes: &[u8], metadata: Vec<Node>, actions: impl Into<Vec<Node>>) -> Do {
        let message = Message::new("ovs_packet", &packet::TABLE, packet_cmd::EXECUTE, Some(DATAPATH));
        self.request(&message.with([
            leaf(packet::PACKET, bytes),
            nest(packet::KEY, &key::TABLE, metadata),
            nest(packet::ACTIONS, &action::TABLE, actions),
        ]))
    }
}

/// A packet without anything left to do to it comes in.
pub fn arrives(port: u32, frame: &[u8]) -> Do {
    arrives_with(port, VnetHeader::default(), frame)
}

/// A packet comes in, with something left to do to it.
pub fn arrives_with(port: u32, header: VnetHeader, frame: &[u8]) -> Do {
    Do::Packet(port, hex(&[&header.encode(), frame].concat()))
}

/// A case.
pub fn case(name: impl Into<String>, steps: impl Into<Vec<Do>>) -> Case {
    Case { name: name.into(), steps: steps.into() }
}

/// OUTPUT.
pub fn output(port: u32) -> Node {
    u32(action::OUTPUT, port)
}

/// USERSPACE with a cookie, and the flow's actions to go with it.
pub fn show() -> Node {
    nest(
        action::USERSPACE,
        &userspace::TABLE,
        [u32(userspace::PID, ACTION_PORTID), leaf(userspace::USERDATA, [1, 2, 3, 4, 5, 6, 7, 8])],
    )
}

/// The payload of a nest with these attributes.
pub fn payload(nodes: Vec<Node>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes);
    nodes.iter().for_each(|node| node.write(&mut w));
    drop(w);
    bytes
}

/// The key with other payloads; nests stay nests.
pub fn changed(key: &[u8], change: &mut dyn FnMut(u16, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for attr in Attrs::new(key, 0) {
        let inside = match attr.number() {
            key::ENCAP | key::TUNNEL | key::NSH => changed(attr.payload(), change),
            number => change(number, attr.payload()),
        };
        bytes.extend(payload(vec![leaf(attr.number(), inside)]));
    }
    bytes
}

/// A mask of a key that leaves open whatever can be left open.
pub fn wide(key: &[u8]) -> Vec<u8> {
    changed(key, &mut |number, payload| {
        let exact = matches!(number, key::IN_PORT | key::ETHERTYPE | key::VLAN | key::RECIRC_ID);
        vec![if exact { 0xff } else { 0 }; payload.len()]
    })
}
