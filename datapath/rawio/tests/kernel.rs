//! Sockets, TAPs and link events against the running kernel, each test in a network namespace of its own that
//! vanishes with its thread.
#![cfg(target_os = "linux")]

use nix::sched::{CloneFlags, unshare};
use pfnl_rawio::{
    BATCH, LinkEvent, LinkWatch, Links, PacketRing, PacketSocket, Part, Received, Tap, VnetHeader,
};
use std::io::{Error, Result};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a test in a fresh network namespace, or says why not.
fn in_namespace(name: &'static str, test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => test(),
        Err(error) => println!("skipped {name}: no network namespace: {error}"),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split_whitespace()).status().expect("ip (iproute2)");
    assert!(status.success(), "ip {args}");
}

/// A veth pair, up, without the host's own chatter (IPv6 autoconfiguration) on it.
fn veth() {
    ip("link add va type veth peer name vb");
    ip("link set va addrgenmode none");
    ip("link set vb addrgenmode none");
    ip("link set va up");
    ip("link set vb up");
}

fn open(name: &str) -> PacketSocket {
    let link = Links::open().unwrap().by_name(name).unwrap();
    PacketSocket::open(link.ifindex).unwrap()
}

/// Reads frames until `wanted` have come or a second has passed.
fn receive(socket: &PacketSocket, wanted: usize) -> Vec<(VnetHeader, Vec<u8>)> {
    let mut buffers = vec![vec![0; 70_000]; BATCH];
    let mut got = [Received::default(); BATCH];
    let (mut frames, end) = (Vec::new(), Instant::now() + Duration::from_secs(1));
    while frames.len() < wanted && Instant::now() < end {
        match socket.recv(&mut buffers, &mut got) {
            Ok(count) => frames.extend(got[..count].iter().zip(&buffers).map(|(got, buffer)| {
                assert!(!got.truncated);
                (got.header, buffer[got.start..][..got.len].to_vec())
            })),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    frames
}

/// An Ethernet frame with what follows the addresses.
fn frame(rest: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], rest].concat()
}

fn errno<T>(result: Result<T>) -> i32 {
    result.err().as_ref().and_then(Error::raw_os_error).unwrap_or(0)
}

#[test]
fn frames_go_both_ways_and_own_ones_do_not_return() {
    in_namespace("frames", || {
        veth();
        let (a, b) = (open("va"), open("vb"));
        let frames: Vec<_> = (0..BATCH as u8).map(|n| frame(&[0x88, 0xb5, n, 1, 2, 3])).collect();
        assert_eq!(a.send(&[VnetHeader::default(); BATCH], &frames).unwrap(), BATCH);
        let got = receive(&b, BATCH);
        assert_eq!(got.iter().map(|(_, frame)| frame.clone()).collect::<Vec<_>>(), frames);
        assert!(receive(&a, 1).is_empty(), "what was sent came back");
        assert_eq!(errno(b.recv(&mut [[0; 99]], &mut [Received::default()])), 11, "EAGAIN");
    });
}

#[test]
fn vlan_tags_are_put_back_with_their_tpid() {
    in_namespace("vlan", || {
        veth();
        let (a, b) = (open("va"), open("vb"));
        let tagged = [
            frame(&[0x81, 0, 0x20, 7, 0x88, 0xb5, 1, 0]),
            frame(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 0x88, 0xb5, 2, 0]),
            frame(&[0x81, 0, 0, 0, 0x88, 0xb5, 3, 0]),
        ];
        assert_eq!(a.send(&[VnetHeader::default(); 3], &tagged).unwrap(), 3);
        let got = receive(&b, 3);
        assert_eq!(got.iter().map(|(_, frame)| &frame[..]).collect::<Vec<_>>(), tagged);
    });
}

/// Reads from a ring, and from the queue behind it, until `wanted` frames have come or a second has passed.
fn receive_ring(ring: &PacketRing, wanted: usize) -> Vec<(VnetHeader, Vec<u8>)> {
    let (mut frames, end) = (Vec::new(), Instant::now() + Duration::from_secs(1));
    while frames.len() < wanted && Instant::now() < end {
        ring.recv(1, |slot| {
            match slot.part {
                Part::Whole => {
                    let mut bytes = vec![0; slot.len()];
                    frames.push((slot.copy_to(&mut bytes), bytes));
                }
                Part::Queued => frames.extend(receive(ring.socket(), 1)),
                Part::Lost => panic!("a frame is lost"),
            }
            true
        });
    }
    frames
}

#[test]
fn a_ring_gives_what_the_socket_does() {
    in_namespace("ring", || {
        veth();
        let (a, plain) = (open("va"), open("vb"));
        let ifindex = Links::open().unwrap().by_name("vb").unwrap().ifindex;
        let ring = PacketRing::open(ifindex, 16).unwrap();
        // More rounds than slots; short frames, tagged ones, ones for segmentation that do not fit a slot, in turns.
        for round in 0..24u8 {
            let mut long =
                frame(&[8, 0, 0x45, 0, 0x0f, 0xc8, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            long.extend([0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
            long.resize(54 + 4000, round);
            let mut header = VnetHeader::default();
            header.set_csum(34, 16);
            header.set_gso(pfnl_rawio::GsoType::Tcp4, false, 1000, 54);
            let frames = [
                frame(&[0x88, 0xb5, round, 1]),
                long,
                frame(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 0x88, 0xb5, round, 0]),
                frame(&[[0x88, 0xb5].as_slice(), &[round; 1400]].concat()),
            ];
            let headers = [VnetHeader::default(), header, VnetHeader::default(), VnetHeader::default()];
            assert_eq!(a.send(&headers, &frames).unwrap(), 4);
            let (by_socket, by_ring) = (receive(&plain, 4), receive_ring(&ring, 4));
            assert_eq!(by_ring, by_socket);
            assert_eq!(by_ring.into_iter().map(|(_, frame)| frame).collect::<Vec<_>>(), frames);
        }
        assert_eq!(ring.recv(9, |_| true), 0);
        // What is refused stays.
        a.send(&[VnetHeader::default()], &[frame(&[0x88, 0xb5, 9, 9])]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(ring.recv(9, |_| false), 0);
        assert_eq!(receive_ring(&ring, 1).len(), 1);
        // A ring that is full loses what comes, and goes on.
        for n in 0..40u8 {
            a.send(&[VnetHeader::default()], &[frame(&[0x88, 0xb5, n, 0])]).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
        let kept = receive_ring(&ring, 17);
        assert_eq!((kept.len(), kept[15].1[14]), (16, 15));
        a.send(&[VnetHeader::default()], &[frame(&[0x88, 0xb5, 77, 0])]).unwrap();
        assert_eq!(receive_ring(&ring, 1)[0].1[14], 77);
        ip("link del va");
        assert_eq!(errno(ring.socket().recv(&mut [[0; 99]], &mut [Received::default()])), 100, "ENETDOWN");
    });
}

#[test]
fn offload_metadata_crosses_also_with_a_tag() {
    in_namespace("offload", || {
        veth();
        let (a, b) = (open("va"), open("vb"));
        for tag in [&[][..], &[0x81, 0, 0, 5]] {
            // IPv4, TCP, 4,000 bytes of payload in segments of 1,000; the checksum is left to others.
            let mut packet = frame(&[tag, &[8, 0]].concat());
            let l4 = packet.len() + 20;
            packet.extend([0x45, 0, 0x0f, 0xc8, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            packet.extend([0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
            packet.extend([0x5a; 4000]);
            let mut header = VnetHeader::default();
            header.set_csum(l4 as u16, 16);
            header.set_gso(pfnl_rawio::GsoType::Tcp4, false, 1000, l4 as u16 + 20);
            assert_eq!(a.send(&[header], &[&packet]).unwrap(), 1);
            let got = receive(&b, 1);
            let [(back, bytes)] = &got[..] else { panic!("{} frames", got.len()) };
            assert_eq!(back.csum(), Some((l4 as u16, 16)), "tag {tag:?}");
            assert_eq!((back.gso(), back.gso_size), (header.gso(), 1000));
            assert_eq!(*bytes, packet);
        }
        let long = frame(&[0; 3000]);
        assert_eq!(errno(a.send(&[VnetHeader::default()], &[&long])), 90, "EMSGSIZE");
    });
}

#[test]
fn what_the_host_tells_itself_is_not_received() {
    in_namespace("loopback", || {
        veth();
        ip("addr add 10.9.9.1/24 dev va");
        ip("route add 224.0.0.0/4 dev va");
        let (a, b) = (open("va"), open("vb"));
        let (group, own) = ([224, 0, 0, 200].into(), [10, 9, 9, 1].into());
        let member = std::net::UdpSocket::bind("0.0.0.0:4711").unwrap();
        member.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        member.join_multicast_v4(&group, &own).unwrap();
        member.send_to(b"hello", (group, 4711)).unwrap();
        let mut heard = [0; 9];
        assert_eq!(member.recv(&mut heard).expect("a copy for the host"), 5);
        assert!(receive(&b, 9).iter().any(|(_, frame)| frame.ends_with(b"hello")), "and one went out");
        assert!(receive(&a, 1).is_empty(), "but none came in");
    });
}

#[test]
fn a_short_buffer_is_told() {
    in_namespace("short", || {
        veth();
        let (a, b) = (open("va"), open("vb"));
        assert_eq!(a.send(&[VnetHeader::default()], &[frame(&[0x88; 200])]).unwrap(), 1);
        let mut got = [Received::default()];
        let end = Instant::now() + Duration::from_secs(1);
        while b.recv(&mut [[0; 100]], &mut got).is_err() && Instant::now() < end {}
        assert!(got[0].truncated);
    });
}

#[test]
fn sockets_on_interfaces_down_or_gone() {
    in_namespace("gone", || {
        assert_eq!(errno(PacketSocket::open(0x7fff_fff0)), 19, "ENODEV");
        veth();
        let a = open("va");
        ip("link set va down");
        let once = a.recv(&mut [[0; 99]], &mut [Received::default()]);
        assert_eq!(errno(once), 100, "ENETDOWN");
        assert_eq!(errno(a.recv(&mut [[0; 99]], &mut [Received::default()])), 11, "EAGAIN");
        assert_eq!(errno(a.send(&[VnetHeader::default()], &[frame(&[0; 50])])), 100, "ENETDOWN");
        ip("link del va");
        assert_eq!(errno(a.send(&[VnetHeader::default()], &[frame(&[0; 50])])), 6, "ENXIO");
    });
}

#[test]
fn a_tap_lives_as_long_as_its_descriptor() {
    in_namespace("tap", || {
        let tap = match Tap::create("pfnl-tap", None) {
            Ok(tap) => tap,
            Err(error) if matches!(error.raw_os_error(), Some(1 | 2 | 13)) => {
                return println!("skipped a_tap_lives_as_long_as_its_descriptor: {error}");
            }
            Err(error) => panic!("{error}"),
        };
        let mut links = Links::open().unwrap();
        let link = links.by_name("pfnl-tap").unwrap();
        assert_eq!((link.kind.as_str(), link.mtu, link.is_up()), ("tun", 1500, false));
        assert_eq!(errno(Tap::create("pfnl-tap", None)), 16, "EBUSY");
        assert_eq!(errno(Tap::create("lo", None)), 16, "EBUSY");
        assert_eq!(errno(Tap::create("a-name-too-long!", None)), 36, "ENAMETOOLONG");
        assert_eq!(errno(Tap::create("tap%d", None)), 22, "EINVAL");
        assert_eq!(errno(tap.send(&VnetHeader::default(), &frame(&[0; 50]))), 5, "EIO while down");

        // Apart: together, the interface may come up with an address first.
        ip("link set pfnl-tap addrgenmode none");
        ip("link set pfnl-tap up");
        let host = open("pfnl-tap");
        let there = frame(&[0x81, 0, 0, 5, 0x88, 0xb5, 1, 0]);
        tap.send(&VnetHeader::default(), &there).unwrap();
        assert_eq!(receive(&host, 1)[0].1, there);
        let back = frame(&[0x88, 0xb5, 2, 3]);
        assert_eq!(host.send(&[VnetHeader::default()], &[&back]).unwrap(), 1);
        let mut buffer = vec![0; 70_000];
        let got = tap.recv(&mut buffer).unwrap();
        assert_eq!(buffer[got.start..][..got.len], back);
        assert_eq!(errno(tap.recv(&mut buffer)), 11, "EAGAIN");

        assert!(tap.is_attached());
        ip("link del pfnl-tap");
        assert!(!tap.is_attached());
        assert_eq!(errno(tap.recv(&mut buffer)), 77, "EBADFD");
        drop(Tap::create("pfnl-tap", None).unwrap());
        assert_eq!(errno(links.by_name("pfnl-tap")), 19, "ENODEV");
    });
}

#[test]
fn events_tell_what_happens_to_interfaces() {
    in_namespace("events", || {
        let mut watch = LinkWatch::open().unwrap();
        let mut told = |args: &str| {
            ip(args);
            let mut events = Vec::new();
            watch.read(&mut events).unwrap();
            events
        };
        let names = |events: &[LinkEvent]| -> Vec<String> {
            let mut names: Vec<_> = events
                .iter()
                .map(|event| match event {
                    LinkEvent::Added(link) => format!("+{}", link.name),
                    LinkEvent::Removed(link) => format!("-{}", link.name),
                    LinkEvent::Renamed { from, link } => format!("{from}>{}", link.name),
                    LinkEvent::Changed(link) => format!("{} {}", link.name, link.mtu),
                })
                .collect();
            names.sort();
            names.dedup();
            names
        };
        let added = names(&told("link add va type veth peer name vb"));
        assert!(added.contains(&"+va".into()) && added.contains(&"+vb".into()), "{added:?}");
        assert_eq!(names(&told("link set va name vc")), ["va>vc"]);
        assert_eq!(names(&told("link set vc mtu 1400")), ["vc 1400"]);
        assert_eq!(names(&told("link del vc")), ["-vb", "-vc"]);
    });
}

#[test]
fn lost_events_are_found_out() {
    in_namespace("overflow", || {
        ip("link add gone type veth peer name gone2");
        let mut watch = LinkWatch::open().unwrap();
        // Far more messages than the socket's queue holds, then the removal that would be lost.
        shrink_queue(&watch);
        for n in 0..40 {
            ip(&format!("link set gone mtu {}", 1000 + n));
        }
        ip("link del gone");
        let mut events = Vec::new();
        watch.read(&mut events).unwrap();
        let removed = |name: &str| {
            events.iter().filter(|event| matches!(event, LinkEvent::Removed(l) if l.name == name)).count()
        };
        assert_eq!((removed("gone"), removed("gone2")), (1, 1), "{events:?}");
        let changes = events.iter().filter(|event| matches!(event, LinkEvent::Changed(_))).count();
        assert!(changes < 40, "the queue did not overflow: {changes}");
    });
}

fn shrink_queue(watch: &LinkWatch) {
    nix::sys::socket::setsockopt(watch, nix::sys::socket::sockopt::RcvBuf, &1).unwrap();
}
