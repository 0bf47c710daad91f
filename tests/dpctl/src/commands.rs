//! The commands.

use crate::client::{Client, Reply, Result};
use crate::{USAGE, conntrack, storm};
use pfnl_odp::Ports;
use pfnl_proto::msg::{Messages, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO};
use pfnl_proto::ovs::{
    VPORT_TYPE_GENEVE, VPORT_TYPE_GRE, VPORT_TYPE_INTERNAL, VPORT_TYPE_NETDEV, VPORT_TYPE_VXLAN, cmd,
    datapath, flow, packet, packet_cmd, upcall_stats, vport,
};
use pfnl_proto::{Attrs, Level};
use std::time::{Duration, Instant};

pub fn run(arguments: &[&str]) -> Result<()> {
    match *arguments {
        ["connections"] => return conntrack::count(),
        ["flush-connections"] => return conntrack::flush(),
        ["watch-connections", seconds] => return conntrack::watch(seconds.parse()?),
        _ => {}
    }
    let client = &mut Client::open()?;
    match *arguments {
        ["add-dp", name] => client
            .ask("ovs_datapath", cmd::NEW, 0, 0, |w| _ = datapath::Put(w).name(name.as_bytes()).upcall_pid(0))
            .map(drop),
        ["del-dp", name] => client
            .ask("ovs_datapath", cmd::DEL, 0, 0, |w| _ = datapath::Put(w).name(name.as_bytes()))
            .map(drop),
        ["del-dps"] => {
            for dp in client.ask("ovs_datapath", cmd::GET, NLM_F_DUMP, 0, |_| ())? {
                client.ask("ovs_datapath", cmd::DEL, 0, dp.dp_ifindex, |_| ())?;
            }
            Ok(())
        }
        ["show"] => show(client),
        ["add-if", dp, name] => add_port(client, dp, name, VPORT_TYPE_NETDEV),
        ["add-if", dp, name, kind] => add_port(client, dp, name, port_type(kind)?),
        ["del-if", dp, name] => {
            let dp = number(client, dp)?;
            client.ask("ovs_vport", cmd::DEL, 0, dp, |w| _ = vport::Put(w).name(name.as_bytes())).map(drop)
        }
        ["add-flow", dp, key, actions] => add_flow(client, dp, key, actions),
        ["del-flows", dp] => {
            let dp = number(client, dp)?;
            client.ask("ovs_flow", cmd::DEL, 0, dp, |_| ()).map(drop)
        }
        ["dump-flows", dp] => dump_flows(client, dp),
        ["execute", dp, hex, actions] => execute(client, dp, hex, actions),
        ["learn", dp] => upcalls(client, dp, u64::MAX, true),
        ["learn", dp, seconds] => upcalls(client, dp, seconds.parse()?, true),
        ["sink", dp] => upcalls(client, dp, u64::MAX, false),
        ["sink", dp, seconds] => upcalls(client, dp, seconds.parse()?, false),
        ["watch"] => watch(client, u64::MAX),
        ["watch", seconds] => watch(client, seconds.parse()?),
        ["hold-dump", dp, seconds] => hold_dump(client, dp, seconds.parse()?),
        ["storm", dp, seed, count] => storm::run(client, dp, seed.parse()?, count.parse()?),
        _ => Err(USAGE.into()),
    }
}

fn port_type(kind: &str) -> Result<u32> {
    Ok(match kind {
        "internal" => VPORT_TYPE_INTERNAL,
        "vxlan" => VPORT_TYPE_VXLAN,
        "gre" => VPORT_TYPE_GRE,
        "geneve" => VPORT_TYPE_GENEVE,
        _ => return Err(USAGE.into()),
    })
}

/// A datapath's number.
pub fn number(client: &mut Client, name: &str) -> Result<i32> {
    let fill = |w: &mut pfnl_proto::Writer<'_>| _ = datapath::Put(w).name(name.as_bytes());
    let replies = client.ask("ovs_datapath", cmd::GET, 0, 0, fill)?;
    Ok(replies.first().ok_or("no such datapath")?.dp_ifindex)
}

fn add_port(client: &mut Client, dp: &str, name: &str, kind: u32) -> Result<()> {
    let dp = number(client, dp)?;
    client
        .ask("ovs_vport", cmd::NEW, 0, dp, |w| {
            vport::Put(w).port_type(kind).name(name.as_bytes()).upcall_pid([0u32].into_iter());
        })
        .map(drop)
}

fn text(name: Option<&[u8]>) -> String {
    String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
}

fn vports(client: &mut Client, dp: i32) -> Result<Vec<Reply>> {
    client.ask("ovs_vport", cmd::GET, NLM_F_DUMP, dp, |_| ())
}

fn ports(client: &mut Client, dp: i32) -> Result<Ports> {
    let named = |reply: &Reply| {
        let view = vport::View::parse(reply.attrs(), Level::Liberal).ok()?;
        Some((view.port_no()?, text(view.name())))
    };
    Ok(vports(client, dp)?.iter().filter_map(named).collect())
}

fn show(client: &mut Client) -> Result<()> {
    for dp in client.ask("ovs_datapath", cmd::GET, NLM_F_DUMP, 0, |_| ())? {
        let view = datapath::View::parse(dp.attrs(), Level::Liberal)?;
        let stats = view.stats().unwrap_or_default();
        println!("{}:", text(view.name()));
        println!("  lookups: hit:{} missed:{} lost:{}", stats.hit, stats.missed, stats.lost);
        println!("  flows: {}", stats.flows);
        for port in vports(client, dp.dp_ifindex)? {
            let view = vport::View::parse(port.attrs(), Level::Liberal)?;
            let (stats, kind) = (view.stats().unwrap_or_default(), view.port_type().unwrap_or(0));
            let up = view
                .0
                .attr(vport::UPCALL_STATS)
                .map(|a| upcall_stats::View::parse(a.attrs(), Level::Liberal));
            let up = up.transpose()?.map_or((0, 0), |v| (v.success().unwrap_or(0), v.fail().unwrap_or(0)));
            println!(
                "  port {}: {} type:{kind} rx:{}/{} tx:{}/{} dropped:{}/{} upcalls:{}/{}",
                view.port_no().unwrap_or_default(),
                text(view.name()),
                stats.rx_packets,
                stats.rx_bytes,
                stats.tx_packets,
                stats.tx_bytes,
                stats.rx_dropped,
                stats.tx_dropped,
                up.0,
                up.1
            );
        }
    }
    Ok(())
}

fn add_flow(client: &mut Client, dp: &str, key: &str, actions: &str) -> Result<()> {
    let dp = number(client, dp)?;
    let ports = ports(client, dp)?;
    let (key, actions) = (pfnl_odp::parse_flow(key, &ports)?, pfnl_odp::parse_actions(actions, &ports)?);
    client
        .ask("ovs_flow", cmd::NEW, NLM_F_CREATE, dp, |w| {
            key.put(w);
            flow::Put(w).actions(|w| _ = w.raw(&actions));
        })
        .map(drop)
}

fn dump_flows(client: &mut Client, dp: &str) -> Result<()> {
    let dp = number(client, dp)?;
    let ports = ports(client, dp)?;
    for reply in client.ask("ovs_flow", cmd::GET, NLM_F_DUMP, dp, |_| ())? {
        let view = flow::View::parse(reply.attrs(), Level::Liberal)?;
        let payload = |number| view.0.attr(number).map(|attr| attr.payload().to_vec());
        let (key, mask) = (payload(flow::KEY).unwrap_or_default(), payload(flow::MASK));
        let actions = payload(flow::ACTIONS).unwrap_or_default();
        let stats = view.stats().unwrap_or_default();
        println!(
            "{}, packets:{}, bytes:{}, actions:{}",
            pfnl_odp::print_flow(&key, mask.as_deref(), &ports, false),
            stats.packets,
            stats.bytes,
            pfnl_odp::print_actions(&actions, &ports)
        );
    }
    Ok(())
}

fn execute(client: &mut Client, dp: &str, hex: &str, actions: &str) -> Result<()> {
    let dp = number(client, dp)?;
    let ports = ports(client, dp)?;
    let bytes = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair)?, 16).map_err(Into::into));
    let bytes: Vec<u8> = bytes.collect::<Result<_>>()?;
    let actions = pfnl_odp::parse_actions(actions, &ports)?;
    client
        .ask("ovs_packet", packet_cmd::EXECUTE, 0, dp, |w| {
            packet::Put(w).packet(&bytes).key(|_| ()).actions(|w| _ = w.raw(&actions));
        })
        .map(drop)
}

/// Takes the upcalls of a datapath's ports as a very small ovs-vswitchd: each packet is flooded, and so is what is like it
/// from now on. One that only sinks reads nothing, so that the queue fills.
fn upcalls(client: &mut Client, dp: &str, seconds: u64, learn: bool) -> Result<()> {
    let dp = number(client, dp)?;
    let taker = Client::open()?;
    let portid = taker.socket.portid()?;
    let mut known: Vec<u32> = Vec::new();
    for port in vports(client, dp)? {
        let number = vport::View::parse(port.attrs(), Level::Liberal)?.port_no().unwrap_or_default();
        let fill = |w: &mut pfnl_proto::Writer<'_>| {
            vport::Put(w).port_no(number).upcall_pid([portid].into_iter());
        };
        client.ask("ovs_vport", cmd::SET, 0, dp, fill)?;
        known.push(number);
    }
    println!("ready");
    let (end, mut taken) = (Instant::now().checked_add(Duration::from_secs(seconds)), 0u64);
    while end.is_none_or(|end| Instant::now() < end) {
        if !learn {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        let datagram = match taker.socket.receive(Duration::from_millis(200)) {
            Ok(Some(datagram)) => datagram,
            // A full queue; there is more behind it.
            Ok(None) | Err(_) => continue,
        };
        for message in Messages::new(&datagram) {
            let Some(reply) = Reply::read(&message) else { continue };
            let view = packet::View::parse(reply.attrs(), Level::Liberal)?;
            let (Some(frame), Some(key)) = (view.packet(), view.0.attr(packet::KEY)) else { continue };
            taken += 1;
            let from = Attrs::new(key.payload(), 0).find(|a| a.number() == pfnl_proto::ovs::key::IN_PORT);
            let from = from.and_then(|attr| attr.u32()).unwrap_or(u32::MAX);
            let flood = |w: &mut pfnl_proto::Writer<'_>| {
                for port in known.iter().filter(|port| **port != from) {
                    w.fixed(pfnl_proto::ovs::action::OUTPUT, port);
                }
            };
            // The flow may be there by now.
            let _ = client.ask("ovs_flow", cmd::NEW, NLM_F_CREATE | NLM_F_ECHO, dp, |w| {
                flow::Put(w).key(|w| _ = w.raw(key.payload())).actions(flood);
            });
            let _ = client.ask("ovs_packet", packet_cmd::EXECUTE, 0, dp, |w| {
                packet::Put(w).packet(frame).key(|w| _ = w.raw(key.payload())).actions(flood);
            });
        }
    }
    println!("{taken} upcalls");
    Ok(())
}

fn watch(client: &mut Client, seconds: u64) -> Result<()> {
    let (_, group) = client.family("ovs_vport")?;
    client.socket.join(group.ok_or("no group")?)?;
    println!("ready");
    let end = Instant::now().checked_add(Duration::from_secs(seconds));
    while end.is_none_or(|end| Instant::now() < end) {
        let Some(datagram) = client.socket.receive(Duration::from_millis(200))? else { continue };
        for reply in Messages::new(&datagram).filter_map(|message| Reply::read(&message)) {
            let view = vport::View::parse(reply.attrs(), Level::Liberal)?;
            let what = match reply.cmd {
                cmd::NEW => "new",
                cmd::DEL => "gone",
                _ => "changed",
            };
            println!("{what}: {}", text(view.name()));
        }
    }
    Ok(())
}

/// Begins dumps of flows and reads none of it.
fn hold_dump(client: &mut Client, dp: &str, seconds: u64) -> Result<()> {
    let dp = number(client, dp)?;
    let (kind, _) = client.family("ovs_flow")?;
    let request = client.build(kind, cmd::GET, NLM_F_DUMP, |w| {
        w.raw_fixed(&pfnl_proto::ovs::OvsHeader { dp_ifindex: dp });
    })?;
    client.socket.send(&request)?;
    println!("ready");
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(())
}
