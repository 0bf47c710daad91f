//! nlctrl.

use super::message::{Message, fixed, text, u32};
use super::{Around, CAPPED, Case, EXTACK, Make, PLAIN, Scenario};
use pfnl_proto::Writer;
use pfnl_proto::msg::{Header, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
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
    batches(make, &mut cases);
    Scenario { name: "nlctrl", world: false, cases }
}

/// Several messages in one datagram, and messages that are netlink's own.
fn batches(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let get = |family: &str| {
        Message::new("nlctrl", &ctrl::TABLE, cmd::GETFAMILY, None).with([text(ctrl::FAMILY_NAME, family)])
    };
    let good = |make: &mut Make<'_>| make.bytes(&get("ovs_flow"));
    let bad = |make: &mut Make<'_>| make.bytes(&get("nobody"));
    let cut = |make: &mut Make<'_>, len: u32| make.bytes(&Message { len: Some(len), ..get("ovs_flow") });
    let own = |kind: u16, flags: u16, payload: &[u8]| {
        let mut bytes = Vec::new();
        let header = Header { kind, flags, seq: 77, ..Header::default() };
        Writer::new(&mut bytes).message(header, |w| {
            w.raw(payload);
        });
        bytes
    };
    let mut put = |name: &str, parts: &[Vec<u8>]| {
        for socket in [EXTACK, PLAIN, CAPPED] {
            let name = format!("nlctrl/batch/{name}/socket-{socket}");
            cases.push(Case { name, socket, tx: parts.concat(), counted: true, heard: false });
        }
    };
    put("good-good", &[good(make), good(make)]);
    put("good-bad-good", &[good(make), bad(make), good(make)]);
    put("bad-bad", &[bad(make), bad(make)]);
    for len in [0, 15, 16, 17, 19, 20, 21, 36, 37, 40, 100_000] {
        put(&format!("cut-{len}-good"), &[cut(make, len), good(make)]);
        put(&format!("good-cut-{len}"), &[good(make), cut(make, len)]);
    }
    for tail in [1, 4, 15] {
        put(&format!("good-tail-{tail}"), &[good(make), vec![0; tail]]);
    }
    let dump = Message { flags: NLM_F_REQUEST | NLM_F_DUMP, ..get("ovs_flow") };
    let policy = Message { cmd: cmd::GETPOLICY, ..dump.clone() };
    put("policy-good", &[make.bytes(&policy), good(make)]);
    put("policy-policy", &[make.bytes(&policy), make.bytes(&policy)]);
    for kind in [0, 1, 2, 3, 4, 5, 15, 18, 1022, 1024, 0xffff] {
        for flags in
            [0, NLM_F_REQUEST, NLM_F_ACK, NLM_F_REQUEST | NLM_F_ACK, NLM_F_REQUEST | NLM_F_DUMP, 0x305]
        {
            put(&format!("type-{kind}-flags-{flags}"), &[own(kind, flags, &[0; 8]), good(make)]);
            put(&format!("type-{kind}-flags-{flags}-empty"), &[own(kind, flags, &[])]);
        }
    }
    for reserved in [1, 0xffff] {
        let (mut getfamily, mut getpolicy) = (good(make), make.bytes(&policy));
        for bytes in [&mut getfamily, &mut getpolicy] {
            bytes[18..20].copy_from_slice(&u16::to_ne_bytes(reserved));
        }
        put(&format!("reserved-{reserved}"), &[getfamily]);
        put(&format!("reserved-{reserved}-policy"), &[getpolicy]);
    }
    let mut portid = good(make);
    portid[12..16].copy_from_slice(&u32::to_ne_bytes(12_345));
    put("portid", &[portid]);
}
