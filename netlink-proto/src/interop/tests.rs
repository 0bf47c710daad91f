//! Messages through the crates and back, and bytes by chance.

use super::deserialize;
use crate::genl;
use crate::msg::{Header, NLM_F_REQUEST};
use crate::nlctrl::ctrl;
use crate::ovs::cmd;
use crate::ovs::message::{DatapathMessage, FlowMessage, PacketMessage, VportMessage};
use crate::{Attrs, Writer};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::ctrl::GenlCtrl;
use netlink_packet_generic::{GenlFamily, GenlMessage};
use proptest::prelude::*;
use std::panic::catch_unwind;

/// The id that a kernel might have given out.
const ID: u16 = 30;

#[test]
fn messages_go_out_and_come_back() {
    let request = VportMessage::build(cmd::NEW, 3, |put| _ = put.name(b"tap0").port_type(1)).unwrap();
    let mut generic = GenlMessage::from_payload(request.try_clone().unwrap());
    generic.set_resolved_family_id(ID);
    let mut message = NetlinkMessage::from(generic);
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);

    // The same as the codec's own writer writes.
    let mut own = Vec::new();
    let header = Header { kind: ID, flags: NLM_F_REQUEST, ..Header::default() };
    Writer::new(&mut own).message(header, |w| {
        w.raw_fixed(&genl::Header { cmd: cmd::NEW, version: 1, reserved: 0 });
        w.raw(&3i32.to_ne_bytes()).raw(request.attributes());
    });
    assert_eq!(bytes, own);

    let back = deserialize::<VportMessage>(&bytes).unwrap();
    let NetlinkPayload::InnerMessage(inner) = back.payload else { panic!("a message of the family") };
    assert_eq!(inner.payload, request);
    assert_eq!((inner.header.cmd, inner.header.version), (cmd::NEW, 1));
}

#[test]
fn families_have_their_names() {
    assert_eq!(DatapathMessage::family_name(), "ovs_datapath");
    assert_eq!(DatapathMessage::build(cmd::GET, 0, |_| ()).unwrap().version(), 2);
    assert_eq!(FlowMessage::family_name(), "ovs_flow");
    assert_eq!(PacketMessage::family_name(), "ovs_packet");
}

/// A message of nlctrl's with policies, as a dump has.
fn policies() -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(Header { kind: 16, ..Header::default() }, |w| {
        w.raw_fixed(&genl::Header { cmd: 10, version: 2, reserved: 0 });
        w.fixed(ctrl::FAMILY_ID, &16u16);
        w.nest_marked(ctrl::OP_POLICY, |w| _ = w.nest_marked(3, |w| _ = w.fixed(1, &0u32).fixed(2, &0u32)));
        w.nest_marked(ctrl::POLICY, |w| {
            w.nest_marked(0, |w| _ = w.nest_marked(2, |w| _ = w.fixed(1, &11u32).fixed(7, &15u32)));
        });
    });
    bytes
}

/// The crates' parser alone.
fn unchecked(bytes: &[u8]) -> std::thread::Result<bool> {
    catch_unwind(|| NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(bytes).is_ok())
}

#[test]
fn what_the_crates_panic_on_is_refused() {
    let good = policies();
    assert!(unchecked(&good).unwrap() && deserialize::<GenlCtrl>(&good).is_ok());
    // An OP_POLICY that is too short for an attribute.
    let mut bad = good;
    let at = 16 + 4 + 8;
    assert_eq!(Attrs::new(&bad[at..], 0).next().unwrap().number(), ctrl::OP_POLICY);
    bad.truncate(at);
    bad.extend([6, 0, ctrl::OP_POLICY as u8, 0, 0, 0, 0, 0]);
    bad[0] = bad.len() as u8;
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let panics = unchecked(&bad).is_err();
    std::panic::set_hook(quiet);
    assert!(panics, "the crates have been mended: so may this be");
    let error = deserialize::<GenlCtrl>(&bad).unwrap_err();
    assert!(error.to_string().contains("a policy without attributes"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn checked_bytes_never_panic(
        random in proptest::collection::vec(any::<u8>(), 0..96),
        spoilt in proptest::collection::vec((any::<prop::sample::Index>(), 0..32_u8), 0..4),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = policies();
        for (at, value) in spoilt {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        for bytes in [bytes, random] {
            // A panic fails the test.
            let _ = deserialize::<GenlCtrl>(&bytes);
            let _ = deserialize::<FlowMessage>(&bytes);
        }
    }
}
