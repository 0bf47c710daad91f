//! Family `ovs_datapath`.

use super::message::{Message, fixed, leaf, text, u32};
use super::{Around, Make, O0, Scenario};
use pfnl_proto::msg::NLM_F_ECHO;
use pfnl_proto::ovs::{cmd, datapath};

fn request(cmd: u8, datapath: Option<i32>) -> Message {
    Message { version: 2, ..Message::new("ovs_datapath", &datapath::TABLE, cmd, datapath) }
}

/// A second datapath.
pub fn new() -> Message {
    request(cmd::NEW, Some(0)).with([
        text(datapath::NAME, "ox"),
        u32(datapath::UPCALL_PID, 0),
        u32(datapath::USER_FEATURES, 3),
    ])
}

/// Changes it.
pub fn set() -> Message {
    request(cmd::SET, Some(0)).with([text(datapath::NAME, "ox"), u32(datapath::USER_FEATURES, 1)])
}

/// Takes it down.
pub fn del() -> Message {
    request(cmd::DEL, Some(0)).with([text(datapath::NAME, "ox")])
}

pub fn scenario(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    let cases = &mut cases;
    let gone = Around::after(del());
    let exists = Around { before: vec![new()], after: vec![del()] };
    let restore = Around::after(
        request(cmd::SET, O0).with([u32(datapath::USER_FEATURES, 3), u32(datapath::MASKS_CACHE_SIZE, 256)]),
    );
    make.all_of(cases, "ovs_datapath/new", &new().flags(NLM_F_ECHO), &gone);
    make.all_of(cases, "ovs_datapath/del", &del().flags(NLM_F_ECHO), &exists);
    make.all_of(cases, "ovs_datapath/get", &request(cmd::GET, O0), &restore);
    make.all_of(
        cases,
        "ovs_datapath/get-name",
        &request(cmd::GET, Some(0)).with([text(datapath::NAME, "o0")]),
        &restore,
    );
    let set = request(cmd::SET, O0).flags(NLM_F_ECHO).with([
        u32(datapath::USER_FEATURES, 3),
        u32(datapath::MASKS_CACHE_SIZE, 512),
        leaf(datapath::PER_CPU_PIDS, [1, 0, 0, 0, 2, 0, 0, 0]),
    ]);
    make.all_of(cases, "ovs_datapath/set", &set, &restore);
    for features in (0..=16).chain([31, 32, 1 << 31, u32::MAX]) {
        let features = u32(datapath::USER_FEATURES, features);
        let name = format!("features-{features:?}");
        let mut nodes = vec![features];
        make.one(
            cases,
            &format!("ovs_datapath/set/{name}"),
            &request(cmd::SET, O0).flags(NLM_F_ECHO).with(nodes.clone()),
            &restore,
        );
        nodes.extend([text(datapath::NAME, "ox"), u32(datapath::UPCALL_PID, 7)]);
        make.one(
            cases,
            &format!("ovs_datapath/new/{name}"),
            &request(cmd::NEW, Some(0)).flags(NLM_F_ECHO).with(nodes),
            &gone,
        );
    }
    for size in [0, 1, 2, 3, 100, 255, 256, 4095, 4096, 4097, 8192, u32::MAX] {
        let message = request(cmd::SET, O0).flags(NLM_F_ECHO).with([u32(datapath::MASKS_CACHE_SIZE, size)]);
        make.one(cases, &format!("ovs_datapath/set/cache-{size}"), &message, &restore);
    }
    // Of more than there are processors, only so many are shown.
    for len in [0, 1, 3, 4, 5, 6, 8] {
        for features in [0, 3, 8, 11] {
            let message = request(cmd::SET, O0)
                .flags(NLM_F_ECHO)
                .with([u32(datapath::USER_FEATURES, features), leaf(datapath::PER_CPU_PIDS, vec![1; len])]);
            make.one(
                cases,
                &format!("ovs_datapath/set/per-cpu-{len}-features-{features}"),
                &message,
                &restore,
            );
        }
    }
    for name in
        ["", "a/b", ".", "..", "a b", "abcdefghijklmno", "lo", "o0", "o1", "dummy0", "a%d", "a:b", "\u{e9}"]
    {
        let nodes = [text(datapath::NAME, name), u32(datapath::UPCALL_PID, 0)];
        // What it makes, if it makes one.
        let made = match name {
            "o0" => "-",
            "a%d" => "a0",
            name => name,
        };
        let after = Around::after(request(cmd::DEL, Some(0)).with([text(datapath::NAME, made)]));
        make.one(
            cases,
            &format!("ovs_datapath/new/name-{name:?}"),
            &request(cmd::NEW, Some(0)).flags(NLM_F_ECHO).with(nodes),
            &after,
        );
    }
    for version in 0..3 {
        let nodes =
            [text(datapath::NAME, "o0"), u32(datapath::UPCALL_PID, 0), u32(datapath::USER_FEATURES, 3)];
        let message = Message { version, ..request(cmd::NEW, Some(0)) }.with(nodes);
        let look = Around { before: vec![], after: vec![request(cmd::GET, O0), restore.after[0].clone()] };
        make.one(cases, &format!("ovs_datapath/new/existing-version-{version}"), &message, &look);
    }
    for ifindex in [-1, 0, 1, 1000, 1001, 2000] {
        let message = new().flags(NLM_F_ECHO).with([fixed(datapath::IFINDEX, ifindex)]);
        make.one(cases, &format!("ovs_datapath/new/ifindex-{ifindex}"), &message, &gone);
    }
    for number in (0..=7).chain([127, 128, 255]) {
        make.one(
            cases,
            &format!("ovs_datapath/command-{number}"),
            &request(number, O0).with([text(datapath::NAME, "oy")]),
            &Around::default(),
        );
    }
    Scenario { name: "ovs_datapath", world: true, cases: std::mem::take(cases) }
}
