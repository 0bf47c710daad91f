//! nlctrl.

use super::message::{Message, fixed, text, u32};
use super::{Around, Make, Scenario};
use pfnl_proto::msg::{NLM_F_ACK, NLM_F_DUMP};
use pfnl_proto::nlctrl::{cmd, ctrl};

/// The families that both kernels should have.
const FAMILIES: &[&str] =
    &["nlctrl", "ovs_datapath", "ovs_vport", "ovs_flow", "ovs_packet", "ovs_meter", "ovs_ct_limit"];

pub fn scenario(make: &mut Make<'_>) -> Scenario {
    let mut cases = Vec::new();
    let around = Around::default();
    let request = |cmd| Message::new("nlctrl", &ctrl::TABLE, cmd, None);
    let dump = |cmd| {
        let message = request(cmd).flags(NLM_F_DUMP);
        Message { flags: message.flags & !NLM_F_ACK, ..message }
    };
    for family in FAMILIES {
        let id = fixed(ctrl::FAMILY_ID, make.families.id(family));
        let name = text(ctrl::FAMILY_NAME, family);
        make.one(
            &mut cases,
            &format!("nlctrl/getfamily/{family}"),
            &request(cmd::GETFAMILY).with([name.clone()]),
            &around,
        );
        make.one(
            &mut cases,
            &format!("nlctrl/getfamily/{family}-id"),
            &request(cmd::GETFAMILY).with([id.clone()]),
            &around,
        );
        make.one(
            &mut cases,
            &format!("nlctrl/getpolicy/{family}"),
            &dump(cmd::GETPOLICY).with([name.clone()]),
            &around,
        );
        make.one(
            &mut cases,
            &format!("nlctrl/getpolicy/{family}-id"),
            &dump(cmd::GETPOLICY).with([id]),
            &around,
        );
        for op in 0..6 {
            let message = dump(cmd::GETPOLICY).with([name.clone(), u32(ctrl::OP, op)]);
            make.one(&mut cases, &format!("nlctrl/getpolicy/{family}-op-{op}"), &message, &around);
        }
    }
    let name = || text(ctrl::FAMILY_NAME, "ovs_flow");
    let id = fixed(ctrl::FAMILY_ID, make.families.id("ovs_vport"));
    make.all_of(&mut cases, "nlctrl/getfamily", &request(cmd::GETFAMILY).with([name()]), &around);
    make.all_of(&mut cases, "nlctrl/getfamily-both", &request(cmd::GETFAMILY).with([id, name()]), &around);
    make.all_of(
        &mut cases,
        "nlctrl/getpolicy",
        &dump(cmd::GETPOLICY).with([name(), u32(ctrl::OP, 1)]),
        &around,
    );
    make.one(&mut cases, "nlctrl/getfamily/dump", &dump(cmd::GETFAMILY), &around);
    for number in (0..=13).chain([127, 128, 255]) {
        make.one(&mut cases, &format!("nlctrl/command-{number}"), &request(number).with([name()]), &around);
        make.one(&mut cases, &format!("nlctrl/command-{number}-dump"), &dump(number).with([name()]), &around);
    }
    for odd in ["", "nlctr", "nlctrl2", "abcdefghijklmno", "abcdefghijklmnop"] {
        make.one(
            &mut cases,
            &format!("nlctrl/name-{odd:?}"),
            &request(cmd::GETFAMILY).with([text(ctrl::FAMILY_NAME, odd)]),
            &around,
        );
        make.one(
            &mut cases,
            &format!("nlctrl/policy-{odd:?}"),
            &dump(cmd::GETPOLICY).with([text(ctrl::FAMILY_NAME, odd)]),
            &around,
        );
    }
    Scenario { name: "nlctrl", world: false, cases }
}
