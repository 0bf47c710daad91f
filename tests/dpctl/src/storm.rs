//! Malformed requests: those of a client that knows what it does, with bytes changed, lengths wrong and ends missing.

use crate::client::{Client, Result};
use crate::commands::number;
use pfnl_proto::msg::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO};
use pfnl_proto::ovs::{OvsHeader, cmd, datapath, flow, packet, packet_cmd, vport};
use std::time::Duration;

/// xorshift: what fails once fails again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

const FLOWS: &[(&str, &str)] = &[
    (
        "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=10.0.0.1,proto=6,frag=no),tcp(src=1/0xff)",
        "2",
    ),
    (
        "recirc_id(0),in_port(2),eth(),eth_type(0x8100),vlan(vid=7,pcp=0),encap(eth_type(0x86dd),ipv6(proto=17,frag=no))",
        "pop_vlan,1",
    ),
    (
        "in_port(1),eth(),eth_type(0x0806),arp(op=1)",
        "sample(sample=50.0%,actions(2,3)),clone(push_vlan(vid=3,pcp=0),2)",
    ),
    (
        "in_port(1),ct_state(+trk),eth(),eth_type(0x0800),ipv4(frag=no)",
        "ct(commit,zone=5,nat(src=10.0.0.9)),recirc(0x7)",
    ),
    (
        "in_port(1),eth(),eth_type(0x8847),mpls(label=3,tc=0,ttl=64,bos=1)",
        "pop_mpls(eth_type=0x0800),set(eth(src=02:00:00:00:00:09)),2",
    ),
];

/// Sends them, and wants the kernel to answer a good request afterwards.
pub fn run(client: &mut Client, dp: &str, seed: u64, count: usize) -> Result<()> {
    let dp_ifindex = number(client, dp)?;
    let families = ["ovs_datapath", "ovs_vport", "ovs_flow", "ovs_packet", "ovs_meter", "ovs_ct_limit"];
    let mut kinds = Vec::new();
    for family in families {
        kinds.push(client.family(family)?.0);
    }
    let chance = &mut Chance(seed | 1);
    for _ in 0..count {
        let which = chance.below(kinds.len());
        let flags = [0, NLM_F_ACK, NLM_F_ECHO, NLM_F_CREATE, NLM_F_DUMP][chance.below(5)];
        let (key, actions) = FLOWS[chance.below(FLOWS.len())];
        let key = pfnl_odp::parse_flow(key, &Default::default())?;
        let actions = pfnl_odp::parse_actions(actions, &Default::default())?;
        let (command, frame) = ((1 + chance.below(4)) as u8, vec![0x08; 14 + chance.below(200)]);
        // The datapath and ports that traffic runs through stay: a mangled name would leave only the header's number.
        let deletes = command == cmd::DEL;
        let command = if which == 1 && deletes { cmd::GET } else { command };
        let dp_ifindex = if which == 0 { i32::MAX } else { dp_ifindex };
        let mut request = client.build(kinds[which], command, flags, |w| {
            w.raw_fixed(&OvsHeader { dp_ifindex });
            match which {
                0 => _ = datapath::Put(w).name(b"storm").upcall_pid(0),
                1 => {
                    let kind = 1 + chance.below(6) as u32;
                    vport::Put(w).port_type(kind).name(b"lo0").upcall_pid([0u32].into_iter());
                }
                2 => {
                    key.put(w);
                    flow::Put(w).actions(|w| _ = w.raw(&actions));
                }
                _ => {
                    packet::Put(w)
                        .packet(&frame)
                        .key(|w| _ = w.raw(&key.key))
                        .actions(|w| _ = w.raw(&actions));
                }
            }
        })?;
        // Past the header: what is mangled there never comes to the family.
        for _ in 0..chance.below(6) {
            let at = 20 + chance.below(request.len() - 20);
            request[at] = chance.below(256) as u8;
        }
        if chance.below(8) == 0 {
            let len = 20 + chance.below(request.len() - 20);
            request.truncate(len);
            request[..4].copy_from_slice(&(len as u32).to_ne_bytes());
        }
        // A refusal by send itself is an answer as well.
        let _ = client.socket.send(&request);
        if chance.below(16) == 0 {
            while let Ok(Some(_)) = client.socket.receive(Duration::ZERO) {}
        }
    }
    while !matches!(client.socket.receive(Duration::from_millis(100)), Ok(None)) {}
    let mut fresh = Client::open()?;
    number(&mut fresh, dp)?;
    debug_assert_eq!(packet_cmd::EXECUTE, 3);
    Ok(())
}
