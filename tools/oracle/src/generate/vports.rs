//! Family `ovs_vport`.

use super::message::{Message, Node, fixed, leaf, nest, text, u32};
use super::{Around, Make, O0, Scenario, portid};
use pfnl_proto::msg::NLM_F_ECHO;
use pfnl_proto::ovs::{
    VPORT_TYPE_GENEVE, VPORT_TYPE_GRE, VPORT_TYPE_INTERNAL, VPORT_TYPE_NETDEV, VPORT_TYPE_VXLAN,
};
use pfnl_proto::ovs::{cmd, datapath, tunnel_options, vport, vxlan_ext};

fn request(cmd: u8) -> Message {
    Message::new("ovs_vport", &vport::TABLE, cmd, O0)
}

fn named(name: &str, kind: u32) -> Message {
    request(cmd::NEW).with([text(vport::NAME, name), u32(vport::TYPE, kind), u32(vport::UPCALL_PID, 0)])
}

/// Another port.
pub fn new() -> Message {
    named("ov", VPORT_TYPE_INTERNAL)
}

/// Changes it.
pub fn set() -> Message {
    request(cmd::SET).with([text(vport::NAME, "ov"), u32(vport::UPCALL_PID, portid(0))])
}

/// Takes it away.
pub fn del() -> Message {
    request(cmd::DEL).with([text(vport::NAME, "ov")])
}

fn features(features: u32) -> Message {
    let message = Message::new("ovs_datapath", &datapath::TABLE, cmd::SET, O0);
    Message { version: 2, ..message }.with([u32(datapath::USER_FEATURES, features)])
}

pub fn scenario(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    let cases = &mut cases;
    let gone = Around::after(del());
    let exists = Around { before: vec![new()], after: vec![del()] };
    make.all_of(cases, "ovs_vport/new", &new().flags(NLM_F_ECHO).with([u32(vport::PORT_NO, 9)]), &gone);
    make.all_of(cases, "ovs_vport/del", &del().flags(NLM_F_ECHO), &exists);
    make.all_of(cases, "ovs_vport/set", &set().flags(NLM_F_ECHO), &exists);
    make.all_of(
        cases,
        "ovs_vport/get-name",
        &request(cmd::GET).with([text(vport::NAME, "o1")]),
        &Around::default(),
    );
    make.all_of(
        cases,
        "ovs_vport/get-port",
        &request(cmd::GET).with([u32(vport::PORT_NO, 1)]),
        &Around::default(),
    );
    let device = Around::after(request(cmd::DEL).with([text(vport::NAME, "dummy0")]));
    make.one(cases, "ovs_vport/new-netdev", &named("dummy0", VPORT_TYPE_NETDEV).flags(NLM_F_ECHO), &device);
    make.one(
        cases,
        "ovs_vport/new-internal-taken",
        &named("dummy0", VPORT_TYPE_INTERNAL).flags(NLM_F_ECHO),
        &device,
    );
    for name in ["lo", "o0", "o1", "absent", "", "a/b", "abcdefghijklmno", "abcdefghijklmnop"] {
        for kind in [VPORT_TYPE_NETDEV, VPORT_TYPE_INTERNAL] {
            let after = Around::after(
                request(cmd::DEL).with([text(vport::NAME, if name.starts_with('o') { "-" } else { name })]),
            );
            make.one(
                cases,
                &format!("ovs_vport/new/name-{name:?}-type-{kind}"),
                &named(name, kind).flags(NLM_F_ECHO),
                &after,
            );
        }
    }
    for kind in [0, 6, 7, 255, u32::MAX] {
        make.one(cases, &format!("ovs_vport/new/type-{kind}"), &named("ov", kind).flags(NLM_F_ECHO), &gone);
        make.one(
            cases,
            &format!("ovs_vport/set/type-{kind}"),
            &set().flags(NLM_F_ECHO).with([u32(vport::TYPE, kind)]),
            &exists,
        );
    }
    for number in [0, 1, 3, 1023, 1024, 65_534, 65_535, 65_536, u32::MAX] {
        let port = || u32(vport::PORT_NO, number);
        make.one(
            cases,
            &format!("ovs_vport/new/port-{number}"),
            &new().flags(NLM_F_ECHO).with([port()]),
            &gone,
        );
        make.one(
            cases,
            &format!("ovs_vport/get/port-{number}"),
            &request(cmd::GET).with([port()]),
            &Around::default(),
        );
        let around = if number == 1 { Around::default() } else { exists.clone() };
        if number != 1 {
            make.one(
                cases,
                &format!("ovs_vport/del/port-{number}"),
                &request(cmd::DEL).flags(NLM_F_ECHO).with([port()]),
                &around,
            );
        }
        make.one(
            cases,
            &format!("ovs_vport/set/port-{number}"),
            &request(cmd::SET).flags(NLM_F_ECHO).with([port(), u32(vport::UPCALL_PID, 0)]),
            &around,
        );
    }
    for ifindex in [-1, 0, 1, 1000, 1001, 2000] {
        let number = || fixed(vport::IFINDEX, ifindex);
        make.one(
            cases,
            &format!("ovs_vport/new/ifindex-{ifindex}"),
            &new().flags(NLM_F_ECHO).with([number()]),
            &gone,
        );
        make.one(
            cases,
            &format!("ovs_vport/get/ifindex-{ifindex}"),
            &request(cmd::GET).with([number()]),
            &Around::default(),
        );
        make.one(cases, &format!("ovs_vport/set/ifindex-{ifindex}"), &set().with([number()]), &exists);
    }
    for on in 0..16 {
        // Two portids are fine with two processors, a hundred and fifty too many for any machine that runs this.
        for len in [0, 1, 3, 4, 5, 8, 600] {
            let pids = leaf(vport::UPCALL_PID, vec![1; len]);
            let around = Around { before: vec![features(on), new()], after: vec![del(), features(3)] };
            let message = request(cmd::SET).flags(NLM_F_ECHO).with([text(vport::NAME, "ov"), pids.clone()]);
            make.one(cases, &format!("ovs_vport/set/pids-{len}-features-{on}"), &message, &around);
            if on < 4 {
                let around = Around { before: vec![features(on)], after: vec![del(), features(3)] };
                let message = request(cmd::NEW).flags(NLM_F_ECHO).with([
                    text(vport::NAME, "ov"),
                    u32(vport::TYPE, 2),
                    pids,
                ]);
                make.one(cases, &format!("ovs_vport/new/pids-{len}-features-{on}"), &message, &around);
            }
        }
    }
    tunnels(make, cases);
    for number in (0..=7).chain([127, 128, 255]) {
        make.one(
            cases,
            &format!("ovs_vport/command-{number}"),
            &request(number).with([text(vport::NAME, "oy")]),
            &Around::default(),
        );
    }
    Scenario { name: "ovs_vport", world: true, cases: std::mem::take(cases) }
}

fn tunnels(make: &mut Make<'_>, cases: &mut Vec<super::Case>) {
    let gone = Around::after(del());
    let options = |nodes: Vec<Node>| nest(vport::OPTIONS, &tunnel_options::TABLE, nodes);
    let port = || fixed(tunnel_options::DST_PORT, 4790u16);
    let gbp = || nest(tunnel_options::EXTENSION, &vxlan_ext::TABLE, [leaf(vxlan_ext::GBP, [])]);
    for (name, kind) in [("vxlan", VPORT_TYPE_VXLAN), ("geneve", VPORT_TYPE_GENEVE), ("gre", VPORT_TYPE_GRE)]
    {
        let new = |options: Vec<Node>| named("ov", kind).flags(NLM_F_ECHO).with(options);
        make.one(cases, &format!("ovs_vport/new-{name}/no-options"), &new(vec![]), &gone);
        make.one(cases, &format!("ovs_vport/new-{name}/empty-options"), &new(vec![options(vec![])]), &gone);
        make.one(
            cases,
            &format!("ovs_vport/new-{name}/extension-only"),
            &new(vec![options(vec![gbp()])]),
            &gone,
        );
        make.attributes_of(
            cases,
            &format!("ovs_vport/new-{name}"),
            &new(vec![options(vec![port(), gbp()])]),
            &gone,
        );
    }
    let internal = named("ov", VPORT_TYPE_INTERNAL).flags(NLM_F_ECHO).with([options(vec![port()])]);
    make.one(cases, "ovs_vport/new/options", &internal, &gone);
}
