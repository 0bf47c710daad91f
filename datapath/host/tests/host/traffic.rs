//! Real traffic through ports: namespaces on both sides, and a cross-connect between the ports in place of flows.

use crate::net::{Namespace, find_frame, has_taps, in_namespace, sh};
use pfnl_datapath::port::Port;
use pfnl_datapath_host::{Frame, Ports};
use pfnl_rawio::VnetHeader;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Lets what one port receives go out of the other, both ways.
fn connect(ports: &Ports, a: &Arc<dyn Port<Frame>>, b: &Arc<dyn Port<Frame>>) {
    for (from, to) in [(a, b), (b, a)] {
        let to = Arc::clone(to);
        ports.attach(from.ifindex(), move |frame| to.send(frame)).unwrap();
    }
}

fn netdev(ports: &Ports, name: &str) -> Arc<dyn Port<Frame>> {
    Arc::from(ports.open_netdev(name).unwrap())
}

#[test]
fn netdev_to_netdev() {
    in_namespace("netdev_to_netdev", || {
        let (a, b) = (Namespace::beside("pa", 1), Namespace::beside("pb", 2));
        let ports = Ports::start(1).unwrap();
        let (pa, pb) = (netdev(&ports, "pa"), netdev(&ports, "pb"));
        connect(&ports, &pa, &pb);
        a.ping("-c 10 -i 0.02 10.9.9.2");
        b.ping("-c 10 -i 0.02 fd09::1");
        a.ping("-c 20 -i 0.02 -s 65000 10.9.9.2");
        b.ping("-c 20 -i 0.02 -s 65000 fd09::1");
        // With offloads on: partial checksums and segments of up to 64 KiB go through whole.
        println!("TCP over IPv4: {:.2} Gbit/s", a.iperf3(&b, "-c 10.9.9.2", 1));
        println!("TCP over IPv6: {:.2} Gbit/s", b.iperf3(&a, "-c fd09::1", 1));
        b.sh("ethtool -K eth0 tso off tx off gso off >/dev/null");
        println!("without offloads: {:.2} Gbit/s", b.iperf3(&a, "-c 10.9.9.1", 1));
        let longest = pa.stats().unwrap().rx_bytes / pa.stats().unwrap().rx_packets;
        assert!(longest > 3000, "no segments on the way: {longest} bytes a packet");
    });
}

#[test]
fn the_hosts_own_stack_does_not_hear_what_a_port_receives() {
    in_namespace("the_hosts_own_stack", || {
        let peer = Namespace::beside("pa", 1);
        // As on any host: an address on one interface is answered for on all of them.
        sh("ip link set lo up && ip addr add 10.9.9.100/32 dev lo && ip route add 10.9.9.0/24 dev pa");
        let answered = || peer.sh("ping -q -c 2 -i 0.1 -W 1 10.9.9.100 || true").contains(" 0% packet loss");
        assert!(answered(), "the test's own network does not work");
        let ports = Ports::start(1).unwrap();
        let (port, heard) = (netdev(&ports, "pa"), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&heard);
        let receiver = move |_: Frame| _ = count.fetch_add(1, Relaxed);
        ports.attach(port.ifindex(), receiver).unwrap();
        assert!(!answered(), "the host answers what belongs to the datapath");
        assert!(heard.load(Relaxed) >= 2, "the datapath gets nothing either");
        ports.detach(port.ifindex());
        assert!(answered(), "the host does not hear what is no longer a port's");
        // However the process ends, its socket closes.
        drop(netdev(&ports, "pa"));
        let port = netdev(&ports, "pa");
        assert!(!answered());
        drop(ports);
        drop(port);
        assert!(answered());
    });
}

#[test]
fn internal_to_netdev() {
    in_namespace("internal_to_netdev", || {
        if !has_taps("internal_to_netdev") {
            return;
        }
        let peer = Namespace::beside("pa", 1);
        let ports = Ports::start(2).unwrap();
        let pa = netdev(&ports, "pa");
        let br: Arc<dyn Port<Frame>> = Arc::from(ports.open_internal("br-pfnl", None).unwrap());
        connect(&ports, &pa, &br);
        assert!(!br.is_up(), "internal ports come up down");
        // Moved to a namespace of its own, as containers have it, it goes on; nothing is told of its leaving.
        let host = Namespace::new();
        let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        ports.on_event(move |event| tell.lock().push(event));
        host.adopt("br-pfnl");
        host.sh("ip addr add 10.9.9.2/24 dev br-pfnl && ip addr add fd09::2/64 nodad dev br-pfnl");
        host.sh("ip link set br-pfnl up");
        host.ping("-c 10 -i 0.02 10.9.9.1");
        peer.ping("-c 20 -i 0.02 -s 65000 10.9.9.2");
        println!("TCP into the TAP: {:.2} Gbit/s", peer.iperf3(&host, "-c 10.9.9.2", 1));
        println!("TCP out of the TAP: {:.2} Gbit/s", host.iperf3(&peer, "-c fd09::1", 1));
        assert!(told.lock().iter().all(|event| !format!("{event:?}").contains("Removed")), "{told:?}");
        ports.detach(br.ifindex());
        assert!(!host.sh("ip link").contains("br-pfnl"), "the interface outlived its port");
    });
}

#[test]
fn statistics_are_the_switchs_view() {
    in_namespace("statistics", || {
        if !has_taps("statistics") {
            return;
        }
        let peer = Namespace::beside("pa", 1);
        let ports = Ports::start(1).unwrap();
        let pa = netdev(&ports, "pa");
        let br: Arc<dyn Port<Frame>> = Arc::from(ports.open_internal("br-pfnl", None).unwrap());
        connect(&ports, &pa, &br);
        sh("ip addr add 10.9.9.2/24 dev br-pfnl && ip link set br-pfnl addrgenmode none up");
        peer.sh("ip link set eth0 addrgenmode none && ip addr flush dev eth0 scope link");
        peer.ping("-c 3 -i 0.1 10.9.9.2");
        let before = (pa.stats().unwrap(), br.stats().unwrap());
        // Only into the bridge: answers are not to be had from an address that nobody has.
        peer.sh("ip neigh replace 10.9.9.77 lladdr 02:00:00:00:00:77 dev eth0");
        peer.sh("ping -q -c 7 -i 0.02 -W 0.1 10.9.9.77 || true");
        let after = (pa.stats().unwrap(), br.stats().unwrap());
        assert!(after.0.rx_packets - before.0.rx_packets >= 7, "{before:?} {after:?}");
        assert!(after.1.tx_packets - before.1.tx_packets >= 7, "{before:?} {after:?}");
        assert!(after.1.rx_packets - before.1.rx_packets < 7, "{before:?} {after:?}");
        // A TAP that is down takes nothing: dropped, and counted so.
        sh("ip link set br-pfnl down");
        peer.sh("ping -q -c 7 -i 0.02 -W 0.1 10.9.9.77 || true");
        assert!(br.stats().unwrap().tx_dropped - after.1.tx_dropped >= 7, "{:?}", br.stats());
    });
}

#[test]
fn udp_segments() {
    use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
    use std::net::UdpSocket;
    in_namespace("udp_segments", || {
        let (a, b) = (Namespace::beside("pa", 1), Namespace::beside("pb", 2));
        let ports = Ports::start(1).unwrap();
        let (pa, pb) = (netdev(&ports, "pa"), netdev(&ports, "pb"));
        if !pa.features().uso {
            return println!(
                "skipped udp_segments: virtio_net_hdr knows no UDP segmentation before Linux 6.2"
            );
        }
        connect(&ports, &pa, &pb);
        a.ping("-c 1 10.9.9.2");
        let receiver = b.run(|| UdpSocket::bind("10.9.9.2:4711")).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let sender = a.run(|| UdpSocket::bind("10.9.9.1:0")).unwrap();
        setsockopt(&sender, UdpGsoSegment, &1000).unwrap();
        let before = pa.stats().unwrap().rx_packets;
        let sent: Vec<u8> = (0..9500u32).map(|n| (n / 500) as u8).collect();
        sender.send_to(&sent, "10.9.9.2:4711").unwrap();
        let mut got = Vec::new();
        while got.len() < sent.len() {
            let mut datagram = [0; 2000];
            let len = receiver.recv(&mut datagram).expect("a datagram");
            assert_eq!(len, 1000.min(sent.len() - got.len()));
            got.extend_from_slice(&datagram[..len]);
        }
        assert_eq!(got, sent);
        assert!(pa.stats().unwrap().rx_packets - before < 5, "it was cut before it came to us");
    });
}

#[test]
fn tagged_frames() {
    in_namespace("tagged_frames", || {
        let (a, b) = (Namespace::beside("pa", 1), Namespace::beside("pb", 2));
        let ports = Ports::start(1).unwrap();
        connect(&ports, &netdev(&ports, "pa"), &netdev(&ports, "pb"));
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend([0x88, 0xa8, 0, 9, 0x81, 0, 0x60, 7, 0x88, 0xb5]);
        frame.extend([0x5a; 100]);
        let (from, to) = (a.tap(), b.tap());
        assert_eq!(from.send(&[VnetHeader::default()], &[&frame]).unwrap(), 1);
        let came = find_frame(&to, |came| came[..12] == frame[..12]).expect("the frame");
        assert_eq!(came, frame);
    });
}
