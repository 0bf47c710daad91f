//! The datapath as a whole.

use crate::action::{Action, Actions};
use crate::datapath::{DatapathStats, FlowName, Put};
use crate::flow::{FlowId, Ufid};
use crate::key::{Be16, FlowKey, MAC_ETHERNET, PORT_NONE};
use crate::packet::{Packet, VecPacket};
use crate::port::{MAX_PORTS, PORT_LOCAL};
use crate::table::Cursor;
use crate::testing::*;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Platform, User};

/// Matches the input port and the pass.
fn by_port(port: u32, recirc_id: u32) -> (FlowKey, FlowKey) {
    let key = FlowKey { in_port: port, recirc_id, ..FlowKey::ZERO };
    (key, FlowKey { in_port: u32::MAX, recirc_id: u32::MAX, ..FlowKey::ZERO })
}

fn name(key: &FlowKey) -> FlowName<'_> {
    FlowName { ufid: None, key }
}

fn put(dp: &Dp, (key, mask): (FlowKey, FlowKey), list: Vec<Action>) {
    dp.put_flow(name(&key), &mask, Actions::try_new(list, Vec::new()).unwrap(), true).unwrap();
}

#[test]
fn a_miss_goes_up_and_a_flow_carries_the_next() {
    let (dp, [one, two, _]) = datapath();
    let bytes = spec(false, 6).bytes();
    dp.receive(1, spec(false, 6).packet());
    let up = dp.upper().take().remove(0);
    assert_eq!((up.miss, up.portid, up.keep, &up.packet), (true, 3, bytes.len(), &bytes));
    assert_eq!(up.key, key_of(&spec(false, 6).packet()));
    assert_eq!((up.key.in_port, up.key.mac_proto), (1, MAC_ETHERNET));

    // User space installs a flow for all of TCP, and sends the packet on.
    let mut mask = FlowKey { in_port: u32::MAX, ip_proto: 0xff, ..FlowKey::ZERO };
    mask.eth_type = Be16::new(0xffff);
    let (flow, put) = dp.put_flow(name(&up.key), &mask, actions([Action::Output(2)]), true).unwrap();
    assert_eq!(put, Put::Created);
    run(&dp, VecPacket::from_bytes(&up.packet).unwrap(), [Action::Output(2)]);
    assert_eq!(flow.stats().packets, 0);
    let before = User::now();
    dp.receive(1, spec(false, 6).packet());
    let other = Spec { ports: (5, 6), ..spec(false, 6) };
    dp.receive(1, other.packet());
    assert_eq!(two.take().len(), 3);
    assert_eq!((one.take().len(), dp.upper().take().len()), (0, 0));

    let stats = flow.stats();
    assert_eq!((stats.packets, stats.bytes, stats.tcp_flags), (2, 2 * bytes.len() as u64, 0x18));
    assert!(stats.used >= before && stats.used <= User::now());
    let expected =
        DatapathStats { hit: 2, missed: 1, lost: 0, flows: 1, mask_hit: 2, masks: 1, cache_hit: 0 };
    assert_eq!(dp.stats(), expected);
    let port = dp.port(1).unwrap();
    assert_eq!((port.stats().rx_packets, port.stats().rx_bytes), (3, 3 * bytes.len() as u64));
    assert_eq!(dp.port(2).unwrap().stats().tx_packets, 3);
    assert_eq!(port.upcall_stats(), (1, 0));

    // Another protocol misses.
    dp.receive(1, spec(false, 17).packet());
    assert_eq!(dp.upper().take().len(), 1);
    let set = dp.set_flow(name(&up.key), None, true).unwrap();
    assert_eq!(set.stats(), Default::default());
}

#[test]
fn what_nobody_takes_is_lost() {
    let dp: Dp = Dp::try_new(Above { room: 0, ..Above::default() }).unwrap();
    dp.add_port(Some(PORT_LOCAL), Box::new(Sink::new("br0")), &[]).unwrap();
    dp.receive(PORT_LOCAL, spec(false, 6).packet());
    let (stats, port) = (dp.stats(), dp.port(PORT_LOCAL).unwrap());
    assert_eq!((stats.missed, stats.lost, port.upcall_stats()), (1, 1, (0, 1)));
    // A runt is an error of the port's; a packet from a port that is not there is nothing.
    dp.receive(PORT_LOCAL, VecPacket::from_bytes(&[0; 13]).unwrap());
    dp.receive(7, spec(false, 6).packet());
    assert_eq!((dp.stats().missed, port.stats().rx_errors, port.stats().rx_packets), (1, 1, 2));
}

#[test]
fn ports_and_their_numbers() {
    let (dp, _) = datapath();
    let sink = |name| Box::new(Sink::new(name));
    assert_eq!(dp.add_port(Some(MAX_PORTS), sink("a"), &[]).err(), Some(Errno::EFBIG));
    assert_eq!(dp.add_port(Some(3), sink("a"), &[]).err(), Some(Errno::EBUSY));
    assert_eq!(dp.add_port(Some(65534), sink("last"), &[]).unwrap().number(), 65534);
    assert_eq!(dp.add_port(Some(0), sink("local"), &[]).unwrap().number(), 0);
    assert_eq!(dp.remove_port(2).unwrap().port().name().bytes(), b"two");
    assert_eq!(dp.remove_port(2).err(), Some(Errno::ENODEV));
    assert!(dp.port(2).is_none() && dp.port(65535).is_none() && dp.port(u32::MAX).is_none());
    let mut numbers = Vec::new();
    while let Some(port) = dp.next_port(numbers.last().map_or(0, |last| last + 1)) {
        numbers.push(port.number());
    }
    assert_eq!(numbers, [0, 1, 3, 65534]);
    assert_eq!(dp.add_port(None, sink("again"), &[]).unwrap().number(), 2);
    assert_eq!(dp.add_port(None, sink("next"), &[]).unwrap().number(), 4);
    assert_eq!(dp.port_by_name(b"last").unwrap().number(), 65534);
    assert!(dp.port_by_name(b"nobody").is_none());

    let port = dp.port(1).unwrap();
    let section = User::enter();
    assert_eq!(port.upcall_portids(&section), [3]);
    port.set_upcall_portids(&[5, 6]).unwrap();
    assert_eq!(port.upcall_portids(&section), [5, 6]);
}

#[test]
fn a_removed_port_is_dropped_with_its_last_user() {
    let (dp, [one, ..]) = datapath();
    let sent = &one.sent;
    let port = dp.remove_port(1).unwrap();
    run(&dp, spec(false, 6).packet(), [Action::Output(1)]);
    assert_eq!(one.take(), []);
    drop(port);
    // The grace period ends some sections later, and other tests have theirs.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::time::Instant::now() < deadline {
        if std::sync::Arc::strong_count(sent) == 1 {
            return;
        }
        User::enter().flush();
        std::thread::yield_now();
    }
    panic!("the port's device was not dropped");
}

#[test]
fn what_is_too_large_for_a_device_stays_here() {
    let (dp, _) = datapath();
    let mut small = Sink::new("small");
    small.mtu = spec(false, 6).bytes().len() - 14;
    dp.add_port(Some(8), Box::new(small.clone()), &[]).unwrap();
    let tag = || Action::PushVlan { tpid: Be16::new(0x8100), tci: Be16::new(0x1001) };
    run(
        &dp,
        spec(false, 6).packet(),
        [Action::Output(8), tag(), Action::Output(8), tag(), Action::Output(8)],
    );
    // One tag is not counted, two are.
    assert_eq!(small.take().len(), 2);
    let stats = dp.port(8).unwrap().stats();
    assert_eq!((stats.tx_packets, stats.tx_errors), (2, 1));
}

#[test]
fn putting_flows_as_linux_does() {
    let (dp, _) = datapath();
    let empty = || actions([]);
    let (key, mask) = by_port(1, 0);
    let ufid = |n| Ufid::new(&[n; 16]).unwrap();
    dp.put_flow(name(&key), &mask, empty(), true).unwrap();
    // A flow that is there: by its key, and by another key that falls under it.
    let mut under = key.clone();
    under.skb_mark = 7;
    assert_eq!(dp.put_flow(name(&key), &mask, empty(), true).err(), Some(Errno::EEXIST));
    assert_eq!(dp.put_flow(name(&under), &mask, empty(), true).err(), Some(Errno::EEXIST));
    assert_eq!(dp.put_flow(name(&key), &mask, empty(), false).unwrap().1, Put::Modified);
    assert_eq!(dp.put_flow(name(&under), &mask, empty(), false).err(), Some(Errno::ENOENT));

    // By UFID: the key does not matter for finding it, but must be the same for changing it.
    let (other, _) = by_port(2, 0);
    let (one, two) = (ufid(1), ufid(2));
    let by_one = FlowName { ufid: Some(&one), key: &other };
    dp.put_flow(by_one, &mask, empty(), true).unwrap();
    assert_eq!(dp.put_flow(by_one, &mask, actions([Action::PopVlan]), false).unwrap().1, Put::Modified);
    let renamed = FlowName { ufid: Some(&one), key: &key };
    assert_eq!(dp.put_flow(renamed, &mask, empty(), false).err(), Some(Errno::ENOENT));
    assert_eq!(dp.put_flow(renamed, &mask, empty(), true).err(), Some(Errno::EEXIST));
    let second = FlowName { ufid: Some(&two), key: &other };
    assert_eq!(dp.put_flow(second, &mask, empty(), true).err(), Some(Errno::EEXIST));

    let found = dp.flow(renamed).unwrap();
    assert_eq!(*found.id(), FlowId::Ufid(one));
    assert_eq!(found.actions(&User::enter()).unwrap().list().len(), 1);
    assert_eq!(dp.flow(second).err(), Some(Errno::ENOENT));
    // A flow with a UFID has no other name.
    assert_eq!(dp.flow(name(&other)).err(), Some(Errno::ENOENT));
    assert_eq!(dp.set_flow(second, Some(empty()), true).err(), Some(Errno::ENOENT));
    let changed = dp.set_flow(by_one, Some(actions([Action::Output(1), Action::Output(2)])), false).unwrap();
    assert_eq!(changed.actions(&User::enter()).unwrap().opaque(), b"opaque");
    assert_eq!(dp.stats().flows, 2);
    dp.remove_flow(renamed).unwrap();
    assert_eq!(dp.remove_flow(renamed).err(), Some(Errno::ENOENT));
    let unmasked = dp.remove_flow(name(&key)).unwrap();
    let FlowId::Key(packed) = unmasked.id() else { panic!("{:?}", unmasked.id()) };
    let mut own = FlowKey::ZERO;
    packed.expand(&mut own);
    assert_eq!(own, key);
    assert_eq!((dp.stats().flows, dp.stats().masks), (0, 0));

    assert_eq!(Ufid::new(&[]), None);
    assert_eq!(Ufid::new(&[0; 17]), None);
    assert_eq!(Ufid::new(&[7]).unwrap().bytes(), [7]);
}

#[test]
fn a_flow_remembers_the_key_it_was_made_with() {
    let (dp, _) = datapath();
    let (mut key, mask) = by_port(1, 0);
    key.skb_mark = 7;
    dp.put_flow(name(&key), &mask, actions([]), true).unwrap();
    let (masked, _) = by_port(1, 0);
    assert_eq!(dp.flow(name(&masked)).err(), Some(Errno::ENOENT));
    let mut own = FlowKey::ZERO;
    dp.flow(name(&key)).unwrap().key(&mut own);
    assert_eq!(own, masked);
}

#[test]
fn dump_and_flush() {
    let (dp, _) = datapath();
    (1..=50).for_each(|n| put(&dp, by_port(n, 0), vec![]));
    let mut cursor = Cursor::default();
    let first = dp.next_flow(&mut cursor).unwrap();
    let again = cursor;
    let second = dp.next_flow(&mut cursor).unwrap();
    // A cursor that was kept gives the same flow once more.
    assert!(pfnl_platform::Shared::same(&second, &dp.next_flow(&mut { again }).unwrap()));
    assert!(!pfnl_platform::Shared::same(&first, &second));
    assert_eq!(core::iter::from_fn(|| dp.next_flow(&mut cursor)).count(), 48);
    dp.flush_flows();
    assert_eq!(dp.stats().flows, 0);
    assert!(dp.next_flow(&mut Cursor::default()).is_none());
    dp.receive(1, spec(false, 6).packet());
    assert_eq!(dp.stats().missed, 1);
    // And the table still takes flows.
    put(&dp, by_port(1, 0), vec![Action::Output(2)]);
    dp.receive(1, spec(false, 6).packet());
    assert_eq!(dp.stats().hit, 1);
}

#[test]
fn recirculation() {
    let (dp, [one, two, three]) = datapath();
    let tag = Action::PushVlan { tpid: Be16::new(0x8100), tci: Be16::new(0x1009) };
    put(&dp, by_port(1, 0), vec![Action::Recirc(5), tag, Action::Recirc(6)]);
    put(&dp, by_port(1, 5), vec![Action::Output(2)]);
    // The second pass sees the tag.
    let (mut key, mut mask) = by_port(1, 6);
    (key.vlan.tci, mask.vlan.tci) = (Be16::new(0x1009), Be16::new(0xffff));
    put(&dp, (key, mask), vec![Action::PopVlan, Action::Output(3)]);
    dp.receive(1, spec(true, 6).packet());
    assert_eq!((two.take_one(), three.take_one()), (spec(true, 6).bytes(), spec(true, 6).bytes()));
    assert_eq!((one.take().len(), dp.stats().hit, dp.stats().missed), (0, 3, 0));
    // What follows a pass beside is still in the pass before.
    let up = Action::Userspace(Box::default());
    put(&dp, by_port(3, 0), vec![Action::Recirc(5), up]);
    dp.receive(3, spec(true, 6).packet());
    let recirc_ids: Vec<_> = dp.upper().take().iter().map(|up| (up.miss, up.key.recirc_id)).collect();
    assert_eq!(recirc_ids, [(true, 5), (false, 0)]);
    // A pass that misses goes up with its id.
    put(&dp, by_port(2, 0), vec![Action::Recirc(77)]);
    dp.receive(2, spec(true, 6).packet());
    assert_eq!(dp.upper().take()[0].key.recirc_id, 77);
}

#[test]
fn recirculation_has_an_end() {
    let (dp, [one, ..]) = datapath();
    put(&dp, by_port(1, 0), vec![Action::Recirc(1)]);
    put(&dp, by_port(1, 1), vec![Action::Recirc(1)]);
    dp.receive(1, spec(false, 6).packet());
    let hits = dp.stats().hit;
    assert!((10..=100).contains(&hits), "{hits}");
    // Nor does it end the world when every pass makes several.
    put(&dp, by_port(2, 0), vec![Action::Recirc(2), Action::Recirc(2), Action::Recirc(2)]);
    put(&dp, by_port(2, 2), vec![Action::Recirc(2), Action::Recirc(2), Action::Output(1)]);
    dp.receive(2, spec(false, 6).packet());
    assert!(dp.stats().hit < 5000);
    assert!(!one.take().is_empty());
    // A long but finite chain gets through.
    (0..30).for_each(|n| put(&dp, by_port(3, n), vec![Action::Recirc(n + 1)]));
    put(&dp, by_port(3, 30), vec![Action::Output(1)]);
    dp.receive(3, spec(false, 6).packet());
    assert_eq!(one.take().len(), 1);
}

#[test]
fn execute_asks_for_an_ethernet_header() {
    let (dp, _) = datapath();
    let mut key = FlowKey { in_port: PORT_NONE, mac_proto: MAC_ETHERNET, ..FlowKey::ZERO };
    let runt = VecPacket::from_bytes(&[0; 13]).unwrap();
    assert_eq!(dp.execute(runt, &mut key, &actions([])), Err(Errno::EINVAL));
    let (recirc, up) = (Action::Recirc(4), crate::action::Userspace::default());
    let list = actions([Action::Userspace(Box::new(up)), recirc]);
    dp.execute(spec(false, 6).packet(), &mut key, &list).unwrap();
    let ups = dp.upper().take();
    assert_eq!((ups[0].key.in_port, ups[0].miss), (PORT_NONE, false));
    assert_eq!((ups[1].key.recirc_id, ups[1].miss, ups[1].portid), (4, true, 0));
}

#[test]
fn forwarding_goes_on_while_flows_and_ports_change() {
    let (dp, [_, two, _]) = datapath();
    put(&dp, by_port(1, 0), vec![Action::Output(2), Action::Output(3)]);
    let (n, packet) = (2000, spec(false, 6).packet());
    std::thread::scope(|scope| {
        scope.spawn(|| (0..n).for_each(|_| dp.receive(1, packet.try_clone().unwrap())));
        for round in 0..200u32 {
            dp.remove_port(3).unwrap();
            put(&dp, by_port(100 + round, 0), vec![]);
            let (key, _) = by_port(1, 0);
            let list = actions([Action::Output(2), Action::Output(3)]);
            dp.set_flow(name(&key), Some(list), false).unwrap();
            dp.add_port(Some(3), Box::new(Sink::new("three")), &[]).unwrap();
        }
    });
    assert_eq!((two.take().len(), dp.stats().hit, dp.stats().flows), (n, n as u64, 201));
}
