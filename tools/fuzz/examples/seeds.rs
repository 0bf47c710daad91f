//! Writes inputs to begin with, for targets whose input is no choices: `seeds FOLDER` makes `codec`, `extract` and `odp` in it.

use pfnl_fuzz::script::{Act, Limits, script};
use pfnl_fuzz::{Choices, frames, ovs, world::World};
use std::fs;
use std::path::Path;

const TEXTS: [&str; 10] = [
    "recirc_id(0),in_port(eth0),eth(src=00:01:02:03:04:05/ff:ff:ff:00:00:00),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(dst=80/0xfff0)",
    "in_port(1),eth(),eth_type(0x8100),vlan(vid=5,pcp=1),encap(eth_type(0x86dd),ipv6(src=fd00::1,proto=58),icmpv6(type=135),nd(target=::1))",
    "tunnel(tun_id=0x1,src=1.2.3.4,geneve({class=0x1,type=0x2,len=4,0xa}),flags(df|csum|key)),eth_type(0x0806),arp(op=1/0xff)",
    "ct_state(+trk-new+est),ct_zone(0x5),ct_mark(0x1/0xf),ct_label(0x1),eth_type(0x8847),mpls(label=16,tc=0,ttl=64,bos=1)",
    "nsh(flags=0,ttl=63,mdtype=1,np=1,spi=0x1,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)",
    "ct(commit,zone=5,mark=0x1/0xf,nat(src=10.0.0.1-10.0.0.9:1000-2000,random)),recirc(0x1)",
    "set(ipv4(ttl=63)),push_vlan(vid=5,pcp=0),trunc(100),eth0",
    "sample(sample=50.0%,actions(userspace(pid=1,slow_path(cfm)))),clone(push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),1)",
    "check_pkt_len(size=64,gt(drop),le(2)),dec_ttl(le_1(1)),meter(3),hash(l4(0)),ct_clear",
    "set(tunnel(tun_id=0x1,dst=1.1.1.1,ttl=64,vxlan(gbp(id=1,flags=0)),flags(key))),push_nsh(flags=0,ttl=63,mdtype=2,np=3,spi=1,si=1,md2=0x01)",
];

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "fuzz/corpus".to_owned());
    let put = |target: &str, name: usize, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{name}")), bytes)
    };
    for (at, text) in TEXTS.iter().enumerate() {
        put("odp", at, text.as_bytes())?;
    }
    let world = World::new();
    for seed in 0..40 {
        let mut c = Choices::seeded(seed as u64);
        put("extract", seed, &[frames::frame(&mut c), vec![c.byte()]].concat())?;
        let acts = script(world.families(), &ovs::OVS, Limits { acts: 12, ..Limits::default() }, &mut c);
        let mut sent = acts.into_iter().filter_map(|act| match act {
            Act::Send(_, bytes) if bytes.len() < 600 => Some(bytes),
            _ => None,
        });
        if let Some(bytes) = sent.next_back() {
            put("codec", seed, &bytes)?;
        }
    }
    Ok(())
}
