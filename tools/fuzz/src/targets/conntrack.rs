//! Connection tracking: zones' limits, and addresses translated there and back.

use super::actions::{begin, header_sums_are_right};
use crate::message::{Message, Node, fixed, leaf, nest};
use crate::ovs;
use crate::script::Act;
use crate::world::World;
use crate::{Choices, frames};
use pfnl_proto::ovs::{KeyEthernet, ZoneLimit, action, cmd, ct, ct_limit, ct_limit_cmd, flow, key, nat};

/// The input is choices: whether and how to translate, limits, packets of two sides.
///
/// # Errors
/// What does not hold.
pub fn conntrack(input: &[u8]) -> Result<(), String> {
    let mut c = Choices::replay(input);
    let mut world = begin(&mut c)?;
    let limit = *c.pick(&[0, 1, 3]);
    set_up(&mut world, limit, &mut c)?;
    let (mut sound, mut sent) = (true, 0_u32);
    for _ in 0..60 {
        if c.is_exhausted() {
            break;
        }
        if c.one_in(12) {
            world.perform(&Act::Tick)?;
        }
        let frame = frames::frame(&mut c);
        sound &= header_sums_are_right(&frame);
        world.perform(&Act::Frame(ovs::PORTS[c.below(2)], frame))?;
        world.perform(&Act::Read(0, 1000, 65_536))?;
        sent += 1;
        let connections = world.connections();
        if connections > sent || limit > 0 && connections > limit {
            return Err(format!("{connections} connections of {sent} packets, with a limit of {limit}"));
        }
        for out in world.take_sent() {
            if sound && !header_sums_are_right(&out) {
                return Err(format!("an IPv4 header with a wrong checksum was sent: {out:02x?}"));
            }
        }
    }
    there_and_back(&mut world, limit == 0, &mut c)?;
    world.finish()
}

const ZONE: u16 = 5;

/// Flows: from port 1 connections are committed, perhaps translated; what comes by port 2 is looked up. Tracked packets
/// leave by the other port.
fn set_up(world: &mut World, limit: u32, c: &mut Choices) -> Result<(), String> {
    let mut translated = vec![leaf(nat::SRC, []), leaf(nat::IP_MIN, NAT)];
    if c.one_in(3) {
        translated.push(fixed(nat::PROTO_MIN, 5000_u16));
        translated.push(fixed(nat::PROTO_MAX, *c.pick(&[5000_u16, 5001, 60_000])));
    }
    let commit = [leaf(ct::COMMIT, []), fixed(ct::ZONE, ZONE), nest(ct::NAT, translated)];
    let lookup = [fixed(ct::ZONE, ZONE), nest(ct::NAT, [])];
    for (seq, port, list) in [(50, 1_u32, commit.as_slice()), (51, 2, &lookup)] {
        let tracked = nest(action::CT, list);
        let out = fixed(action::OUTPUT, 3 - port);
        for ethertype in [0x800_u16, 0x86dd] {
            put_flow(world, seq + u32::from(ethertype), port, ethertype, &[tracked.clone(), out.clone()])?;
        }
    }
    let mut bytes = [0; 12];
    pfnl_proto::Fixed::write(&ZoneLimit { zone_id: ZONE.into(), limit, count: 0 }, &mut bytes);
    let family = world.families().iter().find(|family| family.name == "ovs_ct_limit").ok_or("no family")?.id;
    let nodes = vec![leaf(ct_limit::ZONE_LIMIT, bytes)];
    let message =
        Message { header: vec![0; 4], nodes, seq: 60, ..Message::new(family, ct_limit_cmd::SET, 1) };
    world.perform(&Act::Send(0, message.bytes()))?;
    world.perform(&Act::Read(0, 1000, 65_536))
}

fn put_flow(world: &mut World, seq: u32, port: u32, ethertype: u16, list: &[Node]) -> Result<(), String> {
    let family = world.families().iter().find(|family| family.name == "ovs_flow").ok_or("no family")?.id;
    let ethernet = |byte| fixed(key::ETHERNET, KeyEthernet { src: [byte; 6], dst: [byte; 6] });
    let run = |in_port: u32, byte, ethertype: u16| {
        [fixed(key::IN_PORT, in_port), ethernet(byte), leaf(key::ETHERTYPE, ethertype.to_be_bytes())]
    };
    let wild: Vec<_> = match ethertype {
        0x800 => vec![leaf(key::IPV4, [0; 12])],
        _ => vec![leaf(key::IPV6, [0; 40])],
    };
    let keyed = [run(port, 2, ethertype).to_vec(), wild.clone()].concat();
    let masked = [run(u32::MAX, 0, u16::MAX).to_vec(), wild].concat();
    let nodes = vec![nest(flow::KEY, keyed), nest(flow::MASK, masked), nest(flow::ACTIONS, list)];
    let header = ovs::DATAPATHS[0].to_ne_bytes().to_vec();
    let message = Message { header, nodes, seq, ..Message::new(family, cmd::NEW, 1) };
    world.perform(&Act::Send(0, message.bytes()))
}

/// The address that connections are translated to.
const NAT: [u8; 4] = [10, 9, 9, 9];

/// A connection that nobody else has: its answer must come back to who began it.
fn there_and_back(world: &mut World, unlimited: bool, c: &mut Choices) -> Result<(), String> {
    let (client, server) = ([10, 77, 0, 1 + c.below(5) as u8], [10, 78, 0, 1]);
    let (from, to) = (1024 + c.below(60_000) as u16, 53);
    world.take_sent();
    world.perform(&Act::Frame(ovs::PORTS[0], udp(client, server, from, to)))?;
    let out = world.take_sent();
    let Some(there) = out.first().filter(|_| unlimited) else {
        // Its connection was one too many, or all ports of the range are taken.
        return Ok(());
    };
    let (address, port) = (there.get(26..30), there.get(34..36));
    let (Some(address), Some(port)) = (address, port) else { return Err("a short packet".to_owned()) };
    if address != NAT {
        // No port was left: it goes as it is.
        return Ok(());
    }
    let port = u16::from_be_bytes([port[0], port[1]]);
    world.perform(&Act::Frame(ovs::PORTS[1], udp(server, NAT, to, port)))?;
    let back = world.take_sent();
    let expected = udp(server, client, to, from);
    match back.as_slice() {
        [frame] if *frame == expected => Ok(()),
        frames => {
            Err(format!("the answer to {client:?}:{from} came back as {frames:02x?}, not {expected:02x?}"))
        }
    }
}

fn udp(src: [u8; 4], dst: [u8; 4], from: u16, to: u16) -> Vec<u8> {
    let mut udp = [from.to_be_bytes(), to.to_be_bytes(), [0, 12], [0, 0], [1, 2], [3, 4]].concat();
    let pseudo = [src.as_slice(), &dst, &[0, 17, 0, 12]].concat();
    let sum = !frames::sum(&[&pseudo, &udp]);
    udp[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0];
    ip.extend(src);
    ip.extend(dst);
    let sum = !frames::sum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [vec![2; 12], vec![8, 0], ip, udp].concat()
}
