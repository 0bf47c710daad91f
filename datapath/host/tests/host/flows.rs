//! A real datapath between ports: flows decide, misses go up, tags are pushed and popped.

use crate::net::{Namespace, find_frame, in_namespace, sh, wait_for};
use pfnl_datapath::action::{Action, Actions};
use pfnl_datapath::key::{Be16, FlowKey, MAC_ETHERNET};
use pfnl_datapath::upcall::{Request, Upcall};
use pfnl_datapath::{Datapath, FlowName, Packet};
use pfnl_datapath_host::{Frame, Inlet, Ports};
use pfnl_platform::{Result, Shared, User};
use std::collections::HashMap;
use std::sync::Arc;

/// Counts what goes up by port and type, and how long the longest was.
#[derive(Default)]
struct Seen(parking_lot::Mutex<HashMap<(u32, u16), (usize, usize)>>);

type Dp = Datapath<User, Frame, Up>;
struct Up(Arc<Seen>);

impl Upcall<User, Frame> for Up {
    fn upcall(
        &self,
        _: &Dp,
        _: &<User as pfnl_platform::Platform>::Guard,
        _: &Request<'_, User, Frame>,
        key: &FlowKey,
        packet: &Frame,
    ) -> Result<()> {
        let mut seen = self.0.0.lock();
        let (count, longest) = seen.entry((key.in_port, key.eth_type.get())).or_default();
        *count += 1;
        *longest = packet.len().max(*longest);
        Ok(())
    }
}

/// Two namespaces at ports 1 and 2 of a datapath without flows.
struct Bench {
    a: Namespace,
    b: Namespace,
    datapath: Shared<Dp>,
    ports: Ports,
    seen: Arc<Seen>,
}

impl Bench {
    fn new() -> Bench {
        let (a, b) = (Namespace::beside("pa", 1), Namespace::beside("pb", 2));
        let (ports, seen) = (Ports::start(1).unwrap(), Arc::<Seen>::default());
        let datapath = Shared::try_new(Dp::try_new(Up(Arc::clone(&seen))).unwrap()).unwrap();
        for name in ["pa", "pb"] {
            let vport = datapath.add_port(None, ports.open_netdev(name).unwrap(), &[]).unwrap();
            let inlet = Inlet::new(datapath.clone(), vport.number());
            ports.attach(vport.port().ifindex(), inlet).unwrap();
        }
        Bench { a, b, datapath, ports, seen }
    }

    fn flow(&self, in_port: u32, eth_type: u16, list: Vec<Action>) {
        let key = FlowKey { in_port, eth_type: eth_type.into(), mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
        let mask =
            FlowKey { in_port: u32::MAX, eth_type: Be16::new(u16::MAX), mac_proto: 0xff, ..FlowKey::ZERO };
        let actions = Actions::try_new(list, Vec::new()).unwrap();
        self.datapath.put_flow(FlowName { ufid: None, key: &key }, &mask, actions, false).unwrap();
    }

    fn remove(&self, in_port: u32, eth_type: u16) {
        let key = FlowKey { in_port, eth_type: eth_type.into(), mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
        self.datapath.remove_flow(FlowName { ufid: None, key: &key }).unwrap();
    }

    fn packets(&self, in_port: u32, eth_type: u16) -> u64 {
        let key = FlowKey { in_port, eth_type: eth_type.into(), mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
        self.datapath.flow(FlowName { ufid: None, key: &key }).unwrap().stats().packets
    }
}

const ARP: u16 = 0x806;
const IP: u16 = 0x800;
const IP6: u16 = 0x86dd;

#[test]
fn flows_forward_and_misses_go_up() {
    in_namespace("flows_forward", || {
        let bench = Bench::new();
        bench.a.sh("ping -q -c 1 -W 0.3 10.9.9.2 || true");
        assert!(bench.seen.0.lock()[&(1, ARP)].0 > 0, "no miss went up");
        for (from, to) in [(1, 2), (2, 1)] {
            for eth_type in [ARP, IP, IP6] {
                bench.flow(from, eth_type, vec![Action::Output(to)]);
            }
        }
        let before = bench.datapath.stats().missed;
        bench.a.ping("-c 1 10.9.9.2");
        let counts = || (bench.packets(1, IP), bench.packets(2, IP));
        let (there, back) = counts();
        bench.a.ping("-c 10 -i 0.02 10.9.9.2");
        assert_eq!(counts(), (there + 10, back + 10));
        bench.b.ping("-c 20 -i 0.02 -s 65000 10.9.9.1");
        bench.b.ping("-c 10 -i 0.02 fd09::1");
        println!("TCP by flows: {:.2} Gbit/s", bench.a.iperf3(&bench.b, "-c 10.9.9.2", 1));
        println!("TCP by flows: {:.2} Gbit/s", bench.b.iperf3(&bench.a, "-c fd09::1", 1));
        assert_eq!(bench.datapath.stats().missed, before);

        // A stream whose flow goes away goes up in segments of the wire's size.
        let server = bench.b.start("exec iperf3 -s -1 >/dev/null");
        let client = bench.a.start("sleep 0.3; exec iperf3 -c 10.9.9.2 -t 9 >/dev/null");
        let before = bench.packets(1, IP);
        wait_for("the stream", || bench.packets(1, IP) >= before + 1_000);
        bench.remove(1, IP);
        wait_for("a miss", || bench.seen.0.lock().contains_key(&(1, IP)));
        drop((client, server));
        assert_eq!(bench.seen.0.lock()[&(1, IP)].1, 1514);

        // A device smaller than the frame takes nothing, and says so.
        sh("ip link set pb mtu 1000");
        bench.flow(1, IP, vec![Action::Output(2)]);
        let pb = bench.datapath.port(2).unwrap();
        wait_for("the MTU", || pb.port().mtu() == 1000);
        bench.a.ping("-c 1 -s 900 10.9.9.2");
        bench.a.sh("! ping -q -c 1 -W 0.3 -s 1100 10.9.9.2");

        let vport = bench.datapath.remove_port(1).unwrap();
        bench.ports.detach(vport.port().ifindex());
        bench.a.sh("! ping -q -c 1 -W 0.3 10.9.9.2");
    });
}

#[test]
fn tags_are_pushed_and_popped() {
    in_namespace("tags", || {
        let bench = Bench::new();
        let push = || Action::PushVlan { tpid: Be16::new(0x8100), tci: Be16::new(0x1000 | 3 << 13 | 42) };
        for (from, to) in [(1, 2), (2, 1)] {
            bench.flow(from, ARP, vec![Action::Output(to)]);
            bench.flow(from, IP, vec![push(), Action::PopVlan, Action::Output(to)]);
            bench.flow(from, IP6, vec![push(), Action::Output(to)]);
        }
        bench.a.ping("-c 5 -i 0.02 10.9.9.2");
        println!("TCP, pushed and popped: {:.2} Gbit/s", bench.a.iperf3(&bench.b, "-c 10.9.9.2", 1));
        let tap = bench.b.tap();
        bench.a.sh("ping -q -c 1 -W 0.2 fd09::2 || true");
        let tagged = find_frame(&tap, |frame| frame[12..14] == [0x81, 0]).expect("a tagged frame");
        assert_eq!(tagged[14..18], [0x60, 42, 0x86, 0xdd]);
    });
}
