//! Lists that are right, nearly right, and not at all.

use super::*;
use proptest::prelude::*;
use std::vec;

/// Actions of one kind each: four that are right for any flow, others for one or another.
fn leaves() -> Vec<Vec<u8>> {
    let push = PushMpls { lse: [0, 1, 1, 0x40], ethertype: [0x88, 0x47], pad: 0 };
    let vlan = PushVlan { tpid: [0x81, 0], tci: [0x10, 5] };
    let leaves: [fn(&mut action::Put<'_, '_>); 11] = [
        |put| _ = put.output(1),
        |put| _ = put.userspace(|w| _ = userspace::Put(w).userdata(b"x").pid(1)),
        |put| _ = put.recirc(7),
        |put| _ = put.meter(7),
        |put| _ = put.pop_vlan(),
        |put| _ = put.pop_eth(),
        |put| _ = put.pop_mpls(ETH_IPV4),
        |put| _ = put.drop(0),
        |put| _ = put.set(|w| _ = w.bytes(key::ETHERNET, &[1; 12])),
        |put| _ = put.set_masked(|w| _ = w.bytes(key::TCP, &[1; 8])),
        |put| _ = put.set_masked(|w| _ = w.bytes(key::IPV4, &[0; 24])),
    ];
    let mut leaves: Vec<_> = leaves.map(|leaf| write(|w| leaf(&mut action::Put(w)))).into();
    leaves.push(write(|w| _ = action::Put(w).push_mpls(&push)));
    leaves.push(write(|w| _ = action::Put(w).push_vlan(&vlan)));
    leaves
}

/// Lists that are mostly right, and lists inside them.
fn lists() -> impl Strategy<Value = Vec<u8>> {
    let odd = (0u16..27, prop::collection::vec(any::<u8>(), 0..26))
        .prop_map(|(number, payload)| write(|w| _ = w.bytes(number, &payload)));
    let fit_all = prop::sample::select(leaves()[..4].to_vec());
    prop_oneof![80 => fit_all, 40 => prop::sample::select(leaves()), 1 => odd].prop_recursive(
        6,
        40,
        4,
        |inner| {
            (0..4, prop::collection::vec(inner.clone(), 0..4), prop::collection::vec(inner, 0..3)).prop_map(
                |(kind, one, other)| {
                    let (one, other) = (one.concat(), other.concat());
                    write(|w| match kind {
                        0 => _ = w.bytes(action::CLONE, &one),
                        1 => _ = w.nest(action::SAMPLE, |w| _ = w.bytes(2, &one).fixed(1, &9u32)),
                        2 => _ = w.nest(action::DEC_TTL, |w| _ = w.bytes(1, &one)),
                        _ => {
                            w.nest(action::CHECK_PKT_LEN, |w| {
                                _ = w.fixed(1, &9u16).bytes(2, &one).bytes(3, &other)
                            });
                        }
                    })
                },
            )
        },
    )
}

/// Many lists, and how many of them were taken.
#[test]
fn no_bytes_are_too_odd() {
    let taken = std::cell::Cell::new(0);
    let list = prop::collection::vec(lists(), 0..5).prop_map(|lists| lists.concat());
    let change = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>(), any::<bool>()));
    let flow = (
        prop::sample::select(vec![0x800u16, 0x86dd, 0x8847, 0x894f, 0x9000]),
        prop::sample::select(vec![0, 6, 17]),
        any::<bool>(),
    );
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let mut runner = prop::test_runner::TestRunner::new(ProptestConfig::with_cases(3000));
    let result =
        runner.run(&(list, change, flow, noise), |(mut list, change, (eth_type, proto, l3), noise)| {
            let mut key = flow_key(eth_type, proto, l3);
            key.mpls_labels = 0b11;
            let _ = run(&key, &noise);
            match change {
                Some((at, byte, true)) if !list.is_empty() => *at.get_mut(&mut list) = byte,
                Some((at, _, false)) => list.truncate(at.index(list.len() + 1)),
                _ => {}
            }
            // What is given back is taken again, means the same, and stays as it is.
            if let Ok((actions, opaque)) = run(&key, &list) {
                prop_assert_eq!(run(&key, &opaque).unwrap(), (actions, opaque));
                taken.set(taken.get() + usize::from(list.len() > 8));
            }
            Ok(())
        });
    result.unwrap();
    assert!(taken.get() > 300, "{}", taken.get());
}

fn flow_key(eth_type: u16, proto: u8, l3: bool) -> FlowKey {
    FlowKey { mac_proto: if l3 { MAC_NONE } else { MAC_ETHERNET }, ..flow(eth_type, proto) }
}
