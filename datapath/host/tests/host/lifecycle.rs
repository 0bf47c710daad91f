//! Ports come and go: errors of opening, interfaces that vanish, removal under traffic, nothing left behind.

use crate::net::{Namespace, has_taps, in_namespace, sh, wait_for};
use pfnl_datapath::packet::Packet;
use pfnl_datapath::port::{Port, PortKind};
use pfnl_datapath_host::{Event, Frame, Ports};
use pfnl_platform::Errno;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(2);

fn errno<T>(result: Result<T, Errno>) -> Option<Errno> {
    result.err()
}

/// Whether this is a process that runs only this test. If not, starts one, in which it must pass: for tests that
/// count what belongs to the whole process.
fn is_alone(test: &str) -> bool {
    if std::env::var_os("PFNL_ALONE").is_some() {
        return true;
    }
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", &format!("lifecycle::{test}"), "--nocapture"]).env("PFNL_ALONE", "1");
    assert!(alone.status().unwrap().success());
    false
}

#[test]
fn what_cannot_be_a_port() {
    in_namespace("what_cannot_be_a_port", || {
        if !has_taps("what_cannot_be_a_port") {
            return;
        }
        let ports = Ports::start(1).unwrap();
        assert_eq!(errno(ports.open_netdev("pfnl-none")), Some(Errno::ENODEV));
        assert_eq!(errno(ports.open_netdev("")), Some(Errno::ENODEV));
        assert_eq!(errno(ports.open_netdev("a-name-that-is-too-long")), Some(Errno::ENODEV));
        assert_eq!(errno(ports.open_netdev("lo")), Some(Errno::EINVAL));
        sh("ip link add va type veth peer name vb");
        let va = ports.open_netdev("va").unwrap();
        assert_eq!(errno(ports.open_netdev("va")), Some(Errno::EBUSY));
        assert_eq!(errno(ports.open_internal("va", None)), Some(Errno::EEXIST));
        assert_eq!(errno(ports.open_internal("", None)), Some(Errno::EINVAL));
        assert_eq!(errno(ports.open_internal("no space", None)), Some(Errno::EINVAL));
        assert_eq!(errno(ports.open_internal("a-name-that-is-too-long", None)), Some(Errno::ENAMETOOLONG));
        let br = ports.open_internal("br0", None).unwrap();
        assert_eq!(errno(ports.open_internal("br0", None)), Some(Errno::EEXIST));
        assert_eq!(errno(ports.open_netdev("br0")), Some(Errno::EINVAL), "an internal port is no netdev");
        assert_eq!((va.kind(), br.kind()), (PortKind::Netdev, PortKind::Internal));
        assert_eq!((va.name().bytes(), br.name().bytes()), (&b"va"[..], &b"br0"[..]));
        assert_eq!((va.mtu(), br.mtu()), (1500, 1500));
        assert_eq!(errno(ports.attach(0x7fff, |_| ())), Some(Errno::ENODEV));

        // Detached, the same can be opened at once, though the old port still exists.
        ports.detach(va.ifindex());
        ports.detach(br.ifindex());
        let (again, anew) = (ports.open_netdev("va").unwrap(), ports.open_internal("br0", None).unwrap());
        assert_eq!(again.ifindex(), va.ifindex());
        drop((va, br));
        assert!(again.stats().is_some() && anew.stats().is_some());
        assert_eq!(errno(ports.open_netdev("va")), Some(Errno::EBUSY), "the old port took the new one along");
        // Dropping does what detaching does.
        drop(again);
        assert!(ports.open_netdev("va").is_ok());
        if std::process::Command::new("ip")
            .args(["link", "add", "bri", "type", "bridge"])
            .status()
            .unwrap()
            .success()
        {
            sh("ip link set vb master bri");
            assert_eq!(errno(ports.open_netdev("vb")), Some(Errno::EBUSY), "owned by a bridge");
        } else {
            println!("skipped: a bridge's member: this kernel has no bridges");
        }
    });
}

#[test]
fn interfaces_change_and_vanish() {
    in_namespace("interfaces_change_and_vanish", || {
        if !has_taps("interfaces_change_and_vanish") {
            return;
        }
        sh("ip link add va type veth peer name vb");
        let ports = Ports::start(1).unwrap();
        let (tell, told) = mpsc::channel();
        ports.on_event(move |event| tell.send(event).unwrap());
        let (va, br) = (ports.open_netdev("va").unwrap(), ports.open_internal("br0", None).unwrap());
        ports.attach(va.ifindex(), |_| ()).unwrap();
        ports.attach(br.ifindex(), |_| ()).unwrap();
        assert!(!va.is_up());
        sh("ip link set va up");
        sh("ip link set vb up");
        wait_for("up", || va.is_up());
        sh("ip link set vb down");
        wait_for("carrier", || !va.is_up());
        sh("ip link set va mtu 1400");
        wait_for("mtu", || va.mtu() == 1400);
        sh("ip link set va down; ip link set va name vc");
        let renamed = Event::Renamed { ifindex: va.ifindex(), name: "vc".into() };
        assert!(told.iter().any(|event| event == renamed));
        assert_eq!(va.name().bytes(), b"vc");

        for (name, port) in [("vc", va), ("br0", br)] {
            sh(&format!("ip link del {name}"));
            let gone = Event::Removed { ifindex: port.ifindex() };
            let end = Instant::now() + SOON;
            while told.recv_timeout(end.saturating_duration_since(Instant::now())).expect("removal") != gone {
            }
            assert!(!port.is_up());
            assert!(port.stats().is_none());
            port.send(Frame::from_bytes(&[0; 60]).unwrap());
            ports.detach(port.ifindex());
            port.send(Frame::from_bytes(&[0; 60]).unwrap());
        }
    });
}

#[test]
fn an_internal_port_dies_with_the_namespace_it_moved_to() {
    in_namespace("an_internal_port_dies", || {
        if !has_taps("an_internal_port_dies") {
            return;
        }
        let ports = Ports::start(1).unwrap();
        let (tell, told) = mpsc::channel();
        ports.on_event(move |event| tell.send(event).unwrap());
        let br = ports.open_internal("br0", None).unwrap();
        ports.attach(br.ifindex(), |_| ()).unwrap();
        let host = Namespace::new();
        host.adopt("br0");
        let gone = Event::Removed { ifindex: br.ifindex() };
        while let Ok(event) = told.recv_timeout(Duration::from_millis(200)) {
            assert_ne!(event, gone, "moved only");
        }
        drop(host);
        while told.recv_timeout(SOON).expect("removal") != gone {}
    });
}

#[test]
fn a_deleted_tap_does_not_keep_a_thread_busy() {
    if !is_alone("a_deleted_tap_does_not_keep_a_thread_busy") {
        return;
    }
    in_namespace("a_deleted_tap", || {
        if !has_taps("a_deleted_tap") {
            return;
        }
        let ports = Ports::start(1).unwrap();
        let br = ports.open_internal("br0", None).unwrap();
        ports.attach(br.ifindex(), |_| ()).unwrap();
        sh("ip link set br0 up && ip link del br0");
        wait_for("removal", || !br.is_up());
        let busy = || {
            let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        let before = busy();
        std::thread::sleep(Duration::from_millis(300));
        assert!(busy() - before < 10, "{} of 30 ticks", busy() - before);
    });
}

#[test]
fn removal_under_traffic_leaves_nothing() {
    if !is_alone("removal_under_traffic_leaves_nothing") {
        return;
    }
    let count = |of: &str| std::fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
    in_namespace("removal_under_traffic", move || {
        if !has_taps("removal_under_traffic") {
            return;
        }
        let (a, b) = (Namespace::beside("pa", 1), Namespace::beside("pb", 2));
        let before = (count("fd"), count("task"));
        let ports = Ports::start(2).unwrap();
        let flood = a.start("exec ping -q -f -s 1400 10.9.9.2 >/dev/null");
        let seen = Arc::new(AtomicUsize::new(0));
        for round in 0..30 {
            let pa: Arc<dyn Port<Frame>> = Arc::from(ports.open_netdev("pa").unwrap());
            let pb: Arc<dyn Port<Frame>> = Arc::from(ports.open_netdev("pb").unwrap());
            let tap: Arc<dyn Port<Frame>> = Arc::from(ports.open_internal("br0", None).unwrap());
            for (from, to) in [(&pa, &pb), (&pb, &pa)] {
                let (to, tap, seen) = (Arc::clone(to), Arc::clone(&tap), Arc::clone(&seen));
                let forward = move |frame: Frame| {
                    seen.fetch_add(1, Ordering::Relaxed);
                    tap.send(frame.try_clone().unwrap());
                    to.send(frame);
                };
                ports.attach(from.ifindex(), forward).unwrap();
            }
            let target = seen.load(Ordering::Relaxed) + 20;
            wait_for("traffic", || seen.load(Ordering::Relaxed) >= target);
            let removed = if round % 2 == 0 { [&pa, &pb] } else { [&pb, &pa] };
            removed.iter().for_each(|port| ports.detach(port.ifindex()));
            ports.detach(tap.ifindex());
        }
        drop(flood);
        let during = count("fd");
        drop(ports);
        wait_for("threads", || count("task") == before.1);
        assert_eq!(count("fd"), before.0, "{during} before the end");
        drop(b);
    });
}

#[test]
fn memory_ports_hold_what_they_can() {
    let ports = Ports::start(1).unwrap();
    let (port, peer) = ports.open_memory("m0", PortKind::Internal).unwrap();
    assert_eq!(errno(ports.open_memory("m0", PortKind::Netdev)), Some(Errno::EEXIST));
    let (other, _) = ports.open_memory("m1", PortKind::Netdev).unwrap();
    assert_ne!(port.ifindex(), other.ifindex());
    assert!(port.is_up() && port.stats().is_none());
    let (tell, told) = mpsc::channel();
    ports.attach(port.ifindex(), move |frame: Frame| tell.send(frame.bytes().to_vec()).unwrap()).unwrap();
    peer.send_bytes(b"in").unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), b"in");

    for n in 0..1000u16 {
        port.send(Frame::from_bytes(&n.to_be_bytes()).unwrap());
    }
    let mut held = 0u16;
    while let Some(frame) = peer.recv(Duration::ZERO) {
        assert_eq!(frame.bytes(), held.to_be_bytes());
        held += 1;
    }
    assert_eq!(held, 500);
    other.send(Frame::from_bytes(b"to nobody").unwrap());
    ports.detach(port.ifindex());
    assert_eq!(peer.send_bytes(b"late"), Ok(()), "a detached port drops");
    assert!(told.recv_timeout(SOON).is_err(), "the receiver is let go");
    drop(port);
    assert_eq!(peer.send_bytes(b"late"), Err(Errno::ENETDOWN));
}

#[test]
fn without_privilege_ports_are_refused_and_memory_is_not() {
    const CHILD: &str = "PFNL_UNPRIVILEGED";
    if std::env::var_os(CHILD).is_some() {
        let ports = Ports::start(1).unwrap();
        assert_eq!(errno(ports.open_internal("pfnl-eperm", None)), Some(Errno::EPERM));
        let links = std::fs::read_dir("/sys/class/net").unwrap();
        let some =
            links.map(|link| link.unwrap().file_name().into_string().unwrap()).find(|name| name != "lo");
        if let Some(some) = some {
            assert_eq!(errno(ports.open_netdev(&some)), Some(Errno::EPERM), "{some}");
        }
        assert!(ports.open_memory("m0", PortKind::Internal).is_ok());
        return println!("refused");
    }
    let name = "lifecycle::without_privilege_ports_are_refused_and_memory_is_not";
    let mut child = std::process::Command::new("setpriv");
    child.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]);
    child.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(CHILD, "1");
    match child.output() {
        Ok(output) if output.status.code() == Some(127) || output.status.code() == Some(126) => {
            println!("skipped {name}: nobody cannot run this program: {output:?}");
        }
        Ok(output) => {
            let printed = String::from_utf8_lossy(&output.stdout);
            let failed = String::from_utf8_lossy(&output.stderr);
            if failed.contains("setpriv:") {
                return println!("skipped {name}: {failed}");
            }
            assert!(output.status.success() && printed.contains("refused"), "{printed}{failed}");
        }
        Err(error) => println!("skipped {name}: setpriv: {error}"),
    }
}
