//! What `pfnl fuzz --diff` found once.

use pfnl_fuzz::message::{Message, fixed, text};
use pfnl_fuzz::script::Act;
use pfnl_fuzz::world::World;
use pfnl_proto::ovs::{VPORT_TYPE_INTERNAL, VPORT_TYPE_NETDEV, cmd, datapath, meter_cmd, vport};

/// Sends a request and gives the errno of its acknowledgement.
fn errno(world: &mut World, message: Message) -> i32 {
    let before = world.outcomes(0);
    world.perform(&Act::Send(0, message.bytes())).unwrap();
    world.perform(&Act::Read(0, 100, 65_536)).unwrap();
    let after = world.outcomes(0);
    let new = |(errno, count): (&i32, &u64)| (before.get(errno) != Some(count)).then_some(*errno);
    after.iter().find_map(new).unwrap()
}

/// On Linux the number of any internal port names its datapath; that of another device does not.
#[test]
fn an_internal_ports_number_is_its_datapaths() {
    let mut world = World::new();
    let open = Act::Open { socket: 0, privileged: true, acks: (false, false), buffer: 0, listens: false };
    world.perform(&open).unwrap();
    let id =
        |world: &World, name: &str| world.families().iter().find(|family| family.name == name).unwrap().id;
    let (datapaths, vports, meters) =
        (id(&world, "ovs_datapath"), id(&world, "ovs_vport"), id(&world, "ovs_meter"));
    let new = |kind: u16, seq, header: i32, nodes| {
        let header = header.to_ne_bytes().to_vec();
        Message { header, nodes, seq, ..Message::new(kind, cmd::NEW, 1) }
    };
    let datapath =
        vec![text(datapath::NAME, "d0"), fixed(datapath::UPCALL_PID, 0_u32), fixed(datapath::IFINDEX, 1000)];
    assert_eq!(errno(&mut world, new(datapaths, 1, 0, datapath)), 0);
    for (seq, name, kind, number) in
        [(2, "p4", VPORT_TYPE_INTERNAL, Some(1100)), (3, "e0", VPORT_TYPE_NETDEV, None)]
    {
        let mut nodes =
            vec![text(vport::NAME, name), fixed(vport::TYPE, kind), fixed(vport::UPCALL_PID, 0_u32)];
        nodes.extend(number.map(|number: i32| fixed(vport::IFINDEX, number)));
        assert_eq!(errno(&mut world, new(vports, seq, 1000, nodes)), 0, "{name}");
    }
    let features = |seq, header: i32| {
        let header = header.to_ne_bytes().to_vec();
        Message { header, seq, ..Message::new(meters, meter_cmd::FEATURES, 1) }
    };
    const ENODEV: i32 = 19;
    // The local port's, an internal port's, a device's (the first that this world has), nobody's.
    for (seq, number, expected) in
        [(4, 1000, 0), (5, 1100, 0), (6, 100, ENODEV), (7, 1101, ENODEV), (8, -1, ENODEV)]
    {
        assert_eq!(errno(&mut world, features(seq, number)), expected, "{number}");
    }
    world.finish().unwrap();
}
