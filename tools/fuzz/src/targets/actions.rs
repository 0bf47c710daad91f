//! Actions: what was accepted is executed, on any packet.

use crate::message::{Message, Node, nest};
use crate::script::Act;
use crate::world::World;
use crate::{Choices, frames, ovs, script};
use pfnl_proto::ovs::{action, cmd, flow, packet, packet_cmd};

/// The input is choices: keys and actions, flows with them, packets.
///
/// # Errors
/// What does not hold.
pub fn actions(input: &[u8]) -> Result<(), String> {
    let mut c = Choices::replay(input);
    let mut world = begin(&mut c)?;
    let family = |name: &str| world.families().iter().find(|family| family.name == name).cloned();
    let (flows, packets) = (family("ovs_flow").ok_or("no family")?, family("ovs_packet").ok_or("no family")?);
    let header = ovs::DATAPATHS[0].to_ne_bytes().to_vec();
    let (mut rough, mut sound) = (false, true);
    for seq in 100..124 {
        if c.is_exhausted() {
            break;
        }
        match c.below(4) {
            0 => {
                let list = ovs::actions(3, &mut c);
                rough |= is_rough(&list);
                let key = ovs::flow_key(&mut c);
                let nodes = vec![nest(flow::KEY, key), nest(flow::ACTIONS, list)];
                let message =
                    Message { header: header.clone(), nodes, seq, ..Message::new(flows.id, cmd::NEW, 1) };
                world.perform(&Act::Send(0, message.bytes()))?;
            }
            1 | 2 => {
                let list = ovs::actions(3, &mut c);
                rough |= is_rough(&list);
                let frame = frames::frame(&mut c);
                sound &= header_sums_are_right(&frame);
                let nodes = vec![
                    crate::message::leaf(packet::PACKET, frame),
                    nest(packet::KEY, ovs::flow_key(&mut c)),
                    nest(packet::ACTIONS, list),
                ];
                let message = Message {
                    header: header.clone(),
                    nodes,
                    seq,
                    ..Message::new(packets.id, packet_cmd::EXECUTE, 1)
                };
                world.perform(&Act::Send(0, message.bytes()))?;
            }
            _ => {
                let frame = frames::frame(&mut c);
                sound &= header_sums_are_right(&frame);
                world.perform(&Act::Frame(ovs::PORTS[c.below(3)], frame))?;
            }
        }
        world.perform(&Act::Read(0, 1000, 65_536))?;
        for frame in world.take_sent() {
            if sound && !rough && !header_sums_are_right(&frame) {
                return Err(format!("an IPv4 header with a wrong checksum was sent: {frame:02x?}"));
            }
        }
    }
    world.finish()
}

/// A world with a datapath, and a privileged socket that reads.
pub(super) fn begin(c: &mut Choices) -> Result<World, String> {
    let mut world = World::new();
    let open = Act::Open { socket: 0, privileged: true, acks: (true, true), buffer: 0, listens: false };
    world.perform(&open)?;
    let messages = script::world(world.families(), c).ok_or("no families")?;
    for (seq, message) in (1..).zip(messages) {
        world.perform(&Act::Send(0, Message { seq, ..message }.bytes()))?;
    }
    Ok(world)
}

/// Whether actions say of bytes what they are not: then headers need not be headers.
fn is_rough(list: &[Node]) -> bool {
    list.iter().any(|node| match node {
        Node::Nest(_, inner) if is_rough(inner) => true,
        node => matches!(
            node.number(),
            Some(
                action::POP_MPLS
                    | action::POP_NSH
                    | action::POP_ETH
                    | action::PUSH_ETH
                    | action::PUSH_NSH
                    | action::ADD_MPLS
                    | action::TRUNC
            )
        ),
    })
}

/// Whether the IPv4 header right behind Ethernet and VLAN tags, if there is a whole one, has a right checksum.
pub(super) fn header_sums_are_right(frame: &[u8]) -> bool {
    let mut at = 12;
    while frame.get(at..at + 2).is_some_and(|two| matches!(two, [0x81, 0] | [0x88, 0xa8])) {
        at += 4;
    }
    let Some([8, 0]) = frame.get(at..at + 2) else { return true };
    let ip = &frame[at + 2..];
    let len = ip.first().map_or(0, |first| usize::from(first & 15) * 4);
    match ip.get(..len) {
        Some(header) if len >= 20 && ip[0] >> 4 == 4 => frames::sum(&[header]) == 0xffff,
        _ => true,
    }
}
