//! What Linux answered, what the lists become, and that no bytes are too odd.

mod odd;

use super::*;
use pfnl_datapath::action::{MAX_DEPTH, Masked, Set};
use pfnl_proto::ovs::{
    CtAction, KeyIpv4, KeyIpv6, KeyPorts, NshBase, check_pkt_len, ct, dec_ttl, key, nat, nsh_key, psample,
    sample, userspace,
};
use pfnl_proto::{NLA_F_NESTED, Writer};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn flow(eth_type: u16, ip_proto: u8) -> FlowKey {
    FlowKey { mac_proto: MAC_ETHERNET, eth_type: Be16::new(eth_type), ip_proto, ..FlowKey::ZERO }
}

fn write(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    fill(&mut writer);
    writer.finish().unwrap();
    bytes
}

/// The compiled list as text, and what a dump would show.
fn run(flow: &FlowKey, bytes: &[u8]) -> Result<(String, Vec<u8>), Error> {
    let actions = compile(Attrs::new(bytes, 100), flow, None)?;
    Ok((std::format!("{:?}", actions.list()), actions.opaque().to_vec()))
}

fn accepts(flow: &FlowKey, fill: impl FnOnce(&mut Writer<'_>)) -> String {
    let bytes = write(fill);
    let (list, opaque) = run(flow, &bytes).unwrap();
    assert_eq!(opaque, bytes);
    list
}

/// The error, which must have no more to say than Linux's.
fn refuses(flow: &FlowKey, fill: impl FnOnce(&mut Writer<'_>)) -> Errno {
    let error = run(flow, &write(fill)).unwrap_err();
    assert_eq!((error.text, error.offset, error.missing), (None, None, None));
    error.errno
}

#[test]
fn answers_as_linux_did() {
    let mut cases = 0;
    for line in include_str!("golden.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[name, mac, eth_type, proto, frag, linux, list] = &fields[..] else { panic!("{line}") };
        let mut flow = flow(u16::from_str_radix(eth_type, 16).unwrap(), proto.parse().unwrap());
        flow.ip_frag = frag.parse().unwrap();
        if mac == "l3" {
            flow.mac_proto = MAC_NONE;
        }
        if mac.ends_with("+tag") {
            (flow.vlan.tci, flow.vlan.tpid) = (Be16::new(0x1064), Be16::new(0x8100));
        }
        let sent = hex(list);
        let ours = run(&flow, &sent);
        if let Ok(errno) = linux.parse() {
            let error = ours.unwrap_err();
            assert_eq!((error.errno.linux(), error.text, error.offset), (errno, None, None), "{name}");
        } else {
            let (_, opaque) = ours.unwrap_or_else(|error| panic!("{name}: {error}"));
            let dumped = if matches!(linux, "ok" | "same") { sent } else { hex(linux) };
            assert_eq!(opaque, dumped, "{name}");
        }
        cases += 1;
    }
    assert_eq!(cases, 87);
}

fn hex(text: &str) -> Vec<u8> {
    let (times, text) = text.split_once('*').unwrap_or(("1", text));
    let digits = text.trim_start_matches('-').as_bytes();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    bytes.repeat(times.parse().unwrap())
}

#[test]
fn plain_actions() {
    let list = accepts(&flow(ETH_IPV4, 6), |w| {
        action::Put(w)
            .output(0)
            .output(65534)
            .userspace(|w| {
                let flow_actions = &mut userspace::Put(w);
                flow_actions.pid(7).userdata(b"abc").egress_tun_port(4).actions();
            })
            .trunc(&pfnl_proto::ovs::TruncAction { max_len: 14 })
            .hash(&HashAction { algorithm: 1, basis: 9 })
            .recirc(3)
            .meter(1)
            .drop(5);
    });
    assert_eq!(
        list,
        "[Output(0), Output(65534), Userspace(Userspace { portid: 7, userdata: Some([97, 98, 99]), \
         egress_tun_port: Some(4), actions: Some(0..92) }), Trunc(14), Hash { alg: SymL4, basis: 9 }, Recirc(3), \
         Meter(1), Drop(5)]"
    );
    assert_eq!(refuses(&flow(ETH_IPV4, 6), |w| _ = w.fixed(1, &65535u32)), Errno::EINVAL);
    assert_eq!(
        refuses(&flow(ETH_IPV4, 6), |w| _ = action::Put(w).userspace(|w| _ = w.fixed(1, &0u32))),
        Errno::EINVAL
    );
    assert_eq!(
        refuses(&flow(ETH_IPV4, 6), |w| _ = action::Put(w).userspace(|w| _ = w.fixed(1, &7u16))),
        Errno::ERANGE
    );
    assert_eq!(refuses(&flow(ETH_IPV4, 6), |w| _ = action::Put(w).drop(0).output(1)), Errno::EINVAL);
    // Type 0 and bytes that make no attribute.
    assert_eq!(refuses(&flow(ETH_IPV4, 6), |w| _ = w.fixed(0, &1u32)), Errno::EINVAL);
    assert_eq!(refuses(&flow(ETH_IPV4, 6), |w| _ = w.fixed(1, &1u32).raw(&[3, 0, 1, 0])), Errno::EINVAL);
}

#[test]
fn an_upcall_tells_of_the_list_it_stands_in() {
    let up = |w: &mut Writer<'_>| {
        action::Put(w).userspace(|w| _ = userspace::Put(w).pid(7).actions());
    };
    let bytes = write(|w| {
        action::Put(w).output(2).clone(|w| {
            up(w);
            action::Put(w).output(3);
        });
        up(w);
    });
    let (list, opaque) = run(&flow(ETH_IPV4, 6), &bytes).unwrap();
    let inner = write(|w| {
        up(w);
        action::Put(w).output(3);
    });
    let at = opaque.windows(inner.len()).position(|part| part == inner).unwrap();
    let shown = |start, end| format!("actions: Some({start}..{end})");
    assert!(list.contains(&shown(at, at + inner.len())) && list.contains(&shown(0, opaque.len())), "{list}");
}

#[test]
fn flags_of_the_type_do_not_come_back() {
    let (_, opaque) = run(&flow(ETH_IPV4, 6), &write(|w| _ = w.fixed(0xc001, &1u32))).unwrap();
    assert_eq!(opaque, write(|w| _ = w.fixed(1, &1u32)));
    // And a last attribute may come without its padding.
    let bytes = write(|w| _ = w.bytes(action::POP_MPLS, &[8, 0]));
    let mpls = FlowKey { mpls_labels: 0b11, ..flow(0x8847, 0) };
    assert_eq!(run(&mpls, &bytes[..6]).unwrap().1, bytes);
}

#[test]
fn vlan_and_ethernet_headers() {
    let ether = flow(0x9000, 0);
    let l3 = FlowKey { mac_proto: MAC_NONE, ..flow(ETH_IPV4, 0) };
    let vlan = PushVlan { tpid: [0x88, 0xa8], tci: [0x10, 5] };
    let eth = PushEth { src: MAC, dst: [4; 6] };
    let list = accepts(&ether, |w| {
        action::Put(w).push_vlan(&vlan).pop_vlan().pop_vlan().pop_eth().push_eth(&eth).pop_vlan();
    });
    assert_eq!(
        list,
        "[PushVlan { tpid: U16(34984), tci: U16(4101) }, PopVlan, PopVlan, PopEth, \
         PushEth { dst: [4, 4, 4, 4, 4, 4], src: [2, 0, 0, 0, 0, 1] }, PopVlan]"
    );
    // A tag on an L3 packet, a header on a frame, no header on a tagged frame.
    assert_eq!(refuses(&l3, |w| _ = action::Put(w).push_vlan(&vlan)), Errno::EINVAL);
    assert_eq!(refuses(&l3, |w| _ = action::Put(w).pop_vlan()), Errno::EINVAL);
    assert_eq!(refuses(&l3, |w| _ = action::Put(w).pop_eth()), Errno::EINVAL);
    assert_eq!(refuses(&ether, |w| _ = action::Put(w).push_vlan(&vlan).pop_eth()), Errno::EINVAL);
    assert_eq!(refuses(&ether, |w| _ = action::Put(w).push_eth(&eth)), Errno::EINVAL);
    accepts(&l3, |w| _ = action::Put(w).push_eth(&eth).push_vlan(&vlan));
}

#[test]
fn mpls_labels() {
    let ip = flow(ETH_IPV4, 0);
    let push = PushMpls { lse: [0, 1, 1, 0x40], ethertype: [0x88, 0x47], pad: 0 };
    let add = PushMpls { pad: 1, ..push };
    assert_eq!(
        accepts(&ip, |w| {
            action::Put(w).push_mpls(&push).add_mpls(&add).pop_mpls(0x8847).pop_mpls(ETH_IPV4);
        }),
        "[PushMpls { lse: U32(65856), ethertype: U16(34887), whole_frame: false }, \
         PushMpls { lse: U32(65856), ethertype: U16(34887), whole_frame: false }, \
         PopMpls { ethertype: U16(34887) }, PopMpls { ethertype: U16(2048) }]"
    );
    // In front of the whole frame, which is an L3 packet then, with one label whatever was inside.
    let list = accepts(&ip, |w| _ = action::Put(w).add_mpls(&push).pop_mpls(ETH_TEB));
    assert!(list.contains("whole_frame: true"), "{list}");
    assert_eq!(refuses(&ip, |w| _ = action::Put(w).add_mpls(&push).pop_vlan()), Errno::EINVAL);
    // After the last label nothing is known; before it, that there is another.
    let two = FlowKey { mpls_labels: 0b11, ..flow(0x8847, 0) };
    accepts(&two, |w| _ = action::Put(w).pop_mpls(0x8847).push_mpls(&push));
    let lie = |w: &mut Writer<'_>| _ = action::Put(w).pop_mpls(ETH_IPV4).push_mpls(&push);
    assert_eq!(refuses(&two, lie), Errno::EINVAL);
    let last = |w: &mut Writer<'_>| _ = action::Put(w).pop_mpls(0x8847).pop_mpls(ETH_IPV4).push_mpls(&push);
    assert_eq!(refuses(&two, last), Errno::EINVAL);
    // What has a tag takes no label, and what is not MPLS gives none.
    let vlan = PushVlan { tpid: [0x81, 0], tci: [0x10, 5] };
    assert_eq!(refuses(&ip, |w| _ = action::Put(w).push_vlan(&vlan).push_mpls(&push)), Errno::EINVAL);
    assert_eq!(refuses(&ip, |w| _ = action::Put(w).pop_mpls(ETH_IPV4)), Errno::EINVAL);
    assert_eq!(refuses(&two, |w| _ = action::Put(w).pop_mpls(ETH_TEB)), Errno::EINVAL);
}

fn set(bytes: &[u8], number: u16, flow: &FlowKey) -> Result<String, Errno> {
    let bytes = write(|w| _ = action::Put(w).set(|w| _ = w.bytes(number, bytes)));
    run(flow, &bytes)
        .map(|(list, opaque)| {
            assert_eq!(opaque, bytes);
            list
        })
        .map_err(|error| error.errno)
}

#[test]
fn set_repeats_what_can_not_be_changed() {
    let tcp = flow(ETH_IPV4, 6);
    let ip = |proto, frag| write(|w| _ = w.raw_fixed(&KeyIpv4 { proto, frag, ttl: 9, ..Default::default() }));
    assert_eq!(
        set(&ip(6, 0), key::IPV4, &tcp).unwrap(),
        "[Set(Ipv4(Masked { value: Ipv4Fields { src: [0, 0, 0, 0], dst: [0, 0, 0, 0], tos: 0, ttl: 9 }, \
         mask: Ipv4Fields { src: [255, 255, 255, 255], dst: [255, 255, 255, 255], tos: 255, ttl: 255 } }))]"
    );
    assert_eq!(set(&ip(17, 0), key::IPV4, &tcp), Err(Errno::EINVAL));
    assert_eq!(set(&ip(6, 1), key::IPV4, &tcp), Err(Errno::EINVAL));
    assert_eq!(set(&ip(6, 0), key::IPV4, &flow(ETH_IPV6, 6)), Err(Errno::EINVAL));

    let ip6 = |label| write(|w| _ = w.raw_fixed(&KeyIpv6 { label, proto: 6, ..Default::default() }));
    let list = set(&ip6([0, 0x0f, 0xff, 0xff]), key::IPV6, &flow(ETH_IPV6, 6)).unwrap();
    assert_eq!(list.matches("label: U32(1048575)").count(), 2, "{list}");
    assert_eq!(set(&ip6([0, 0x10, 0, 0]), key::IPV6, &flow(ETH_IPV6, 6)), Err(Errno::EINVAL));
}

#[test]
fn set_needs_the_header() {
    let ports = write(|w| _ = w.raw_fixed(&KeyPorts { src: [0, 7], dst: [0, 8] }));
    for (number, proto) in [(key::TCP, 6), (key::UDP, 17), (key::SCTP, 132)] {
        for eth_type in [ETH_IPV4, ETH_IPV6] {
            assert!(set(&ports, number, &flow(eth_type, proto)).is_ok());
            assert_eq!(set(&ports, number, &flow(eth_type, 1)), Err(Errno::EINVAL));
        }
        assert_eq!(set(&ports, number, &flow(ETH_ARP, proto)), Err(Errno::EINVAL));
    }
    let l3 = FlowKey { mac_proto: MAC_NONE, ..flow(ETH_IPV4, 6) };
    assert!(set(&[7; 12], key::ETHERNET, &flow(0x9000, 0)).is_ok());
    assert_eq!(set(&[7; 12], key::ETHERNET, &l3), Err(Errno::EINVAL));
    assert!(set(&[1; 4], key::MPLS, &flow(0x8847, 0)).is_ok());
    assert_eq!(set(&[1; 8], key::MPLS, &flow(0x8847, 0)), Err(Errno::EINVAL));
    assert_eq!(set(&[1; 4], key::MPLS, &flow(0x9000, 0)), Err(Errno::EINVAL));
    assert!(set(&[1; 4], key::PRIORITY, &l3).is_ok() && set(&[1; 4], key::SKB_MARK, &l3).is_ok());
    // Keys that nothing sets.
    for number in [key::IN_PORT, key::ETHERTYPE, key::ICMP, key::ARP, key::ND, key::DP_HASH, key::RECIRC_ID] {
        assert_eq!(set(&[0; 28], number, &flow(ETH_IPV4, 6)), Err(Errno::EINVAL));
    }
    // Linux takes these, and loses the packets.
    assert_eq!(set(&[1; 4], key::CT_MARK, &l3), Ok("[Fail]".into()));
    assert_eq!(set(&[1; 16], key::CT_LABELS, &l3), Ok("[Fail]".into()));
    assert_eq!(set(&[1; 5], key::CT_MARK, &l3), Err(Errno::EINVAL));
    // A tunnel needs an address.
    assert_eq!(set(&[], key::TUNNEL, &l3), Err(Errno::EINVAL));
    // A service header is not changed, by any kernel that says so.
    let header = write(|w| _ = w.fixed(nsh_key::BASE, &NshBase { mdtype: 1, ..Default::default() }));
    assert_eq!(set(&header, key::NSH, &flow(ETH_NSH, 0)), Err(Errno::EINVAL));
}

#[test]
fn the_flows_mask_counts() {
    let (tcp, mut mask) = (flow(ETH_IPV4, 6), FlowKey::ZERO);
    mask.eth_type = Be16::new(0xffff);
    let bytes = write(|w| _ = action::Put(w).set(|w| _ = w.bytes(key::TCP, &[1; 4])));
    let errno = |mask: Option<&FlowKey>| compile(Attrs::new(&bytes, 0), &tcp, mask).err().map(|e| e.errno);
    assert_eq!(errno(None), None);
    assert_eq!(errno(Some(&mask)), Some(Errno::EINVAL));
    mask.ip_proto = 0xff;
    assert_eq!(errno(Some(&mask)), None);
}

#[test]
fn set_masked() {
    let masked =
        |number, bytes: &[u8]| write(|w| _ = action::Put(w).set_masked(|w| _ = w.bytes(number, bytes)));
    let errno = |number, bytes: &[u8]| run(&flow(ETH_IPV4, 6), &masked(number, bytes)).err().map(|e| e.errno);
    let actions = masked(key::SKB_MARK, &[1, 0, 0, 0, 3, 0, 0, 0]);
    let actions = compile(Attrs::new(&actions, 0), &flow(ETH_IPV4, 6), None).unwrap();
    let [Action::Set(Set::SkbMark(Masked { value, mask }))] = actions.list() else { panic!() };
    assert_eq!((value.to_ne_bytes(), mask.to_ne_bytes()), ([1, 0, 0, 0], [3, 0, 0, 0]));
    // A value outside its mask; half a mask; none; a mask on what can't be changed; a masked tunnel.
    assert_eq!(errno(key::SKB_MARK, &[4, 0, 0, 0, 3, 0, 0, 0]), Some(Errno::EINVAL));
    assert_eq!(errno(key::SKB_MARK, &[0; 6]), Some(Errno::EINVAL));
    assert_eq!(errno(key::SKB_MARK, &[0; 4]), Some(Errno::EINVAL));
    let mut ip = [0; 24];
    assert_eq!(errno(key::IPV4, &ip), None);
    ip[12 + 8] = 1;
    assert_eq!(errno(key::IPV4, &ip), Some(Errno::EINVAL));
    assert_eq!(errno(key::TUNNEL, &[]), Some(Errno::EINVAL));
    // One key, no more and no less.
    let two =
        write(|w| _ = action::Put(w).set(|w| _ = w.fixed(key::PRIORITY, &1u32).fixed(key::SKB_MARK, &1u32)));
    assert_eq!(run(&flow(ETH_IPV4, 6), &two).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(refuses(&flow(ETH_IPV4, 6), |w| _ = action::Put(w).set(|_| ())), Errno::EINVAL);
}

#[test]
fn lists_inside_come_back_in_linux_order() {
    let bytes = write(|w| {
        action::Put(w)
            .sample(|w| _ = sample::Put(w).actions(|w| _ = action::Put(w).output(1)).probability(5))
            .check_pkt_len(|w| {
                check_pkt_len::Put(w)
                    .actions_if_less_equal(|w| _ = action::Put(w).output(2))
                    .actions_if_greater(|_| ())
                    .pkt_len(9);
            })
            .dec_ttl(|w| _ = w.fixed(9, &1u32).nest(dec_ttl::ACTION, |w| _ = action::Put(w).output(3)))
            .clone(|w| _ = action::Put(w).set(|w| _ = w.fixed(key::PRIORITY | 0x4000, &1u32)));
    });
    let (list, opaque) = run(&flow(ETH_IPV4, 6), &bytes).unwrap();
    assert_eq!(
        list,
        "[Sample { probability: 5, actions: [Output(1)] }, \
         CheckPktLen(CheckPktLen { len: 9, greater: [], less_equal: [Output(2)] }), \
         DecTtl { actions: [Output(3)] }, Clone([Set(Priority(Masked { value: 1, mask: 4294967295 }))])]"
    );
    let dumped = write(|w| {
        action::Put(w)
            .sample(|w| _ = sample::Put(w).probability(5).actions(|w| _ = action::Put(w).output(1)))
            .check_pkt_len(|w| {
                check_pkt_len::Put(w)
                    .pkt_len(9)
                    .actions_if_less_equal(|w| _ = action::Put(w).output(2))
                    .actions_if_greater(|_| ());
            })
            .dec_ttl(|w| _ = w.nest(dec_ttl::ACTION, |w| _ = action::Put(w).output(3)))
            .clone(|w| _ = action::Put(w).set(|w| _ = w.fixed(key::PRIORITY, &1u32)));
    });
    assert_eq!(opaque, dumped);
}

#[test]
fn lists_inside_need_their_parts() {
    let flow = flow(ETH_IPV4, 6);
    let check = |fill: fn(&mut check_pkt_len::Put<'_, '_>)| {
        let bytes = write(|w| _ = action::Put(w).check_pkt_len(|w| fill(&mut check_pkt_len::Put(w))));
        run(&flow, &bytes).err().map(|error| error.errno)
    };
    assert_eq!(
        check(|put| _ = put.pkt_len(1).actions_if_greater(|_| ()).actions_if_less_equal(|_| ())),
        None
    );
    assert_eq!(
        check(|put| _ = put.pkt_len(0).actions_if_greater(|_| ()).actions_if_less_equal(|_| ())),
        Some(Errno::EINVAL)
    );
    assert_eq!(check(|put| _ = put.pkt_len(1).actions_if_greater(|_| ())), Some(Errno::EINVAL));
    assert_eq!(check(|put| _ = put.pkt_len(1).actions_if_less_equal(|_| ())), Some(Errno::EINVAL));
    assert_eq!(
        refuses(&flow, |w| _ = action::Put(w).sample(|w| _ = sample::Put(w).probability(1))),
        Errno::EINVAL
    );
    assert_eq!(refuses(&flow, |w| _ = action::Put(w).dec_ttl(|_| ())), Errno::EINVAL);
    // What is wrong inside is wrong.
    assert_eq!(refuses(&flow, |w| _ = action::Put(w).clone(|w| _ = w.fixed(99, &1u32))), Errno::EINVAL);
    // What is done inside is done to a copy.
    let push = PushVlan { tpid: [0x81, 0], tci: [0x10, 5] };
    accepts(&flow, |w| _ = action::Put(w).clone(|w| _ = action::Put(w).push_vlan(&push)).pop_eth());
}

#[test]
fn depth_is_bounded() {
    let nested =
        |lists: usize| (0..lists).fold(Vec::new(), |inner, _| write(|w| _ = w.bytes(action::CLONE, &inner)));
    let list = nested(MAX_DEPTH);
    assert_eq!(run(&flow(ETH_IPV4, 6), &list).unwrap().1, list);
    assert_eq!(run(&flow(ETH_IPV4, 6), &nested(MAX_DEPTH + 1)).unwrap_err().errno, Errno::EOVERFLOW);
    assert_eq!(run(&flow(ETH_IPV4, 6), &nested(5000)).unwrap_err().errno, Errno::EOVERFLOW);
}

#[test]
fn a_list_that_can_not_be_given_back_is_refused() {
    let bytes = [4u8, 0, 5, 0].repeat(65532 / 4);
    assert_eq!(run(&flow(ETH_IPV4, 6), &bytes).unwrap_err().errno, Errno::EMSGSIZE);
    assert_eq!(run(&flow(ETH_IPV4, 6), &bytes[4..]).unwrap().1.len(), 65528);
}

#[test]
fn ct_is_given_back_as_linux_puts_it_together() {
    let ip = flow(ETH_IPV4, 6);
    let ct = |fill: fn(&mut ct::Put<'_, '_>)| {
        let bytes = write(|w| _ = action::Put(w).ct(|w| fill(&mut ct::Put(w))));
        run(&ip, &bytes).map_err(|error| error.errno)
    };
    let dumped = |fill: fn(&mut ct::Put<'_, '_>)| write(|w| _ = action::Put(w).ct(|w| fill(&mut ct::Put(w))));
    let (list, opaque) = ct(|_| {}).unwrap();
    let expected = "[Ct(Ct { zone: 0, commit: false, force: false, mark: None, labels: None, nat: None";
    assert!(list.starts_with(expected), "{list}");
    assert_eq!(opaque, dumped(|put| _ = put.zone(0)));
    let (list, opaque) = ct(|put| {
        let nat = |w: &mut Writer<'_>| {
            nat::Put(w).proto_max(5).proto_min(5).src().ip_max(&[1, 2, 3, 5]).ip_min(&[1, 2, 3, 4]);
        };
        put.eventmask(9)
            .eventmask(7)
            .zone(3)
            .mark(&CtAction { value: 1, mask: 3 })
            .commit()
            .nat(nat)
            .timeout(b"t");
    })
    .unwrap();
    assert!(list.contains("zone: 3, commit: true, force: false, mark: Some(Masked { value: 1, mask: 3 })"));
    assert!(list.contains("new: Some((Src, Range { addresses: Some(([1, 2, 3, 4, 0,"), "{list}");
    assert!(list.contains("ports: Some((5, 5)), persistent: false"));
    let expected = dumped(|put| {
        put.commit().zone(3).mark(&CtAction { value: 1, mask: 3 }).eventmask(7).timeout(b"t").nat(|w| {
            nat::Put(w).src().ip_min(&[1, 2, 3, 4]).ip_max(&[1, 2, 3, 5]).proto_min(5);
        });
    });
    assert_eq!(opaque, expected);
    let wrong: [fn(&mut ct::Put<'_, '_>); 13] = [
        // Translation is of what is committed, said before it; of the family's own addresses.
        |put| _ = put.nat(|w| _ = nat::Put(w).src()).commit(),
        |put| _ = put.commit().nat(|w| _ = nat::Put(w).src().ip_min(&[1; 16])),
        |put| _ = put.commit().nat(|w| _ = nat::Put(w).src().ip_min(&[1; 5])),
        |put| _ = put.nat(|_| ()).nat(|_| ()),
        |put| _ = put.commit().nat(|w| _ = w.bytes(0, &[])),
        |put| _ = put.mark(&CtAction { value: 1, mask: 1 }),
        |put| _ = put.commit().mark(&CtAction { value: 0, mask: 0 }),
        |put| _ = put.labels(&[1; 32]),
        |put| _ = put.commit().labels(&[0; 32]),
        |put| _ = put.commit().helper(b"nohelp"),
        |put| _ = put.nat(|w| _ = nat::Put(w).proto_min(1)),
        |put| _ = put.nat(|w| _ = nat::Put(w).persistent()),
        |put| _ = put.nat(|w| _ = nat::Put(w).src().ip_min(&[1, 2, 3])),
    ];
    for (n, fill) in wrong.into_iter().enumerate() {
        assert_eq!(ct(fill), Err(Errno::EINVAL), "{n}");
    }
    let (list, _) = ct(|put| _ = put.commit().helper(b"ftp").eventmask(9).timeout(b"slow")).unwrap();
    assert!(list.contains("helper: Some(Ftp), event_mask: Some(9), timeout: Some([115, 108, 111, 119, 0"));
    // TFTP's packets are UDP's.
    assert_eq!(ct(|put| _ = put.commit().helper(b"tftp")), Err(Errno::EINVAL));
    // Which end is said once.
    let twice: [fn(&mut ct::Put<'_, '_>); 4] = [
        |put| _ = put.nat(|w| _ = nat::Put(w).src().dst()),
        |put| _ = put.commit().nat(|w| _ = nat::Put(w).src().src()),
        |put| _ = put.commit().nat(|w| _ = nat::Put(w).dst()).nat(|w| _ = nat::Put(w).dst()),
        |put| _ = put.commit().nat(|_| ()).nat(|w| _ = nat::Put(w).dst()),
    ];
    for (n, fill) in twice.into_iter().enumerate() {
        assert_eq!(ct(fill), Err(Errno::ERANGE), "{n}");
    }
    // An end without a beginning begins at zero; a name is given back to its NUL, none not at all.
    let (_, opaque) = ct(|put| {
        _ = put.commit().nat(|w| _ = nat::Put(w).src().ip_max(&[1; 4]).proto_max(0)).timeout(b"t\0x")
    })
    .unwrap();
    let expected = dumped(|put| {
        put.commit()
            .zone(0)
            .timeout(b"t")
            .nat(|w| _ = nat::Put(w).src().ip_min(&[0; 4]).ip_max(&[1; 4]).proto_min(0));
    });
    assert_eq!(opaque, expected);
    assert_eq!(ct(|put| _ = put.timeout(b"")).unwrap().1, dumped(|put| _ = put.zone(0)));
    let bytes = write(|w| _ = action::Put(w).ct(|w| _ = ct::Put(w).commit()));
    assert_eq!(run(&flow(0x806, 0), &bytes).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn service_headers() {
    let base = |mdtype| NshBase { flags: 1, ttl: 9, mdtype, np: 3, path_hdr: [0, 0, 1, 255] };
    let push = |fill: &dyn Fn(&mut nsh_key::Put<'_, '_>)| {
        write(|w| {
            action::Put(w).push_nsh(|w| _ = w.nest(key::NSH, |w| fill(&mut nsh_key::Put(w))));
        })
    };
    let of = |flow: &FlowKey, bytes: &[u8]| run(flow, bytes).map_err(|error| error.errno);
    let ip = flow(ETH_IPV4, 17);
    let one = push(&|put| _ = put.md1(&[7; 16]).base(&base(1)));
    let (list, opaque) = of(&ip, &one).unwrap();
    assert_eq!(opaque, one);
    assert!(list.starts_with("[PushNsh(PushNsh { flags: 1, ttl: 9, mdtype: 1,"), "{list}");
    let (list, _) = of(&ip, &push(&|put| _ = put.base(&base(2)).md2(b"abcde"))).unwrap();
    assert!(list.ends_with("metadata: [97, 98, 99, 100] })]"), "{list}");
    let wrong: [&dyn Fn(&mut nsh_key::Put<'_, '_>); 8] = [
        &|put| _ = put.base(&base(1)),
        &|put| _ = put.md1(&[7; 16]),
        &|put| _ = put.base(&base(2)).md1(&[7; 16]),
        &|put| _ = put.base(&base(1)).md2(&[7; 16]),
        &|put| _ = put.base(&base(1)).md1(&[7; 16]).md2(&[7; 16]),
        &|put| _ = put.base(&base(2)).md2(&[]),
        &|put| _ = put.base(&base(2)).md2(&[0; 249]),
        &|put| _ = put.base(&base(3)).md1(&[7; 16]),
    ];
    for (n, fill) in wrong.into_iter().enumerate() {
        assert_eq!(of(&ip, &push(fill)), Err(Errno::EINVAL), "{n}");
    }
    // The header stands in a nest of its own.
    let flat = write(|w| _ = w.nest(action::PUSH_NSH, |w| _ = nsh_key::Put(w).base(&base(1)).md1(&[7; 16])));
    assert_eq!(of(&ip, &flat), Err(Errno::EINVAL));
    let two = [&one[4..], &one[4..]].concat();
    assert_eq!(of(&ip, &write(|w| _ = w.bytes(action::PUSH_NSH, &two))), Err(Errno::EINVAL));

    // A second one needs a word for what is in it.
    let pop = write(|w| _ = action::Put(w).pop_nsh());
    let twice = [&one[..], &one].concat();
    assert!(of(&ip, &twice).is_ok() && of(&flow(0x9000, 0), &one).is_ok());
    assert_eq!(of(&flow(0x9000, 0), &twice), Err(Errno::EINVAL));
    // It goes where it is, and leaves what it says.
    assert_eq!(of(&ip, &pop), Err(Errno::EINVAL));
    let vlan = PushVlan { tpid: [0x81, 0], tci: [0x10, 5] };
    let then = |np, fill: &dyn Fn(&mut action::Put<'_, '_>)| {
        let mut key = flow(ETH_NSH, 0);
        key.nsh.np = np;
        of(&key, &[&pop[..], &write(|w| fill(&mut action::Put(w)))].concat()).map(|_| ())
    };
    assert_eq!(then(3, &|put| _ = put.push_vlan(&vlan)), Ok(()));
    assert_eq!(then(1, &|put| _ = put.push_vlan(&vlan)), Err(Errno::EINVAL));
    assert_eq!(then(1, &|put| _ = put.push_eth(&PushEth::default())), Ok(()));
    assert_eq!((then(0, &|_| ()), then(6, &|_| ())), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
}

#[test]
fn samples_are_read_strictly() {
    let any = flow(0x9000, 0);
    let sample = |mark: u16, fill: &dyn Fn(&mut psample::Put<'_, '_>)| {
        let bytes = write(|w| _ = w.nest(action::PSAMPLE | mark, |w| fill(&mut psample::Put(w))));
        run(&any, &bytes).map_err(|error| error.errno)
    };
    let (list, opaque) = sample(NLA_F_NESTED, &|put| _ = put.group(7).cookie(b"abc")).unwrap();
    assert_eq!(list, "[Psample(Psample { group: 7, cookie: [97, 98, 99] })]");
    assert_eq!(
        opaque,
        write(|w| _ = action::Put(w).psample(|w| _ = psample::Put(w).group(7).cookie(b"abc")))
    );
    // The last of two counts.
    let (list, _) = sample(NLA_F_NESTED, &|put| _ = put.group(7).group(8)).unwrap();
    assert_eq!(list, "[Psample(Psample { group: 8, cookie: [] })]");
    let wrong: [&dyn Fn(&mut psample::Put<'_, '_>); 4] = [
        &|put| _ = put.cookie(b"abc"),
        &|put| _ = put.group(7).cookie(&[0; 17]),
        &|put| _ = put.group(7).0.bytes(3, &[]),
        &|put| _ = put.0.bytes(psample::GROUP, &[0; 5]),
    ];
    for (n, fill) in wrong.into_iter().enumerate() {
        let errno = sample(NLA_F_NESTED, fill).unwrap_err();
        assert!(matches!(errno, Errno::EINVAL | Errno::ERANGE), "{n}: {errno:?}");
    }
    assert_eq!(sample(0, &|put| _ = put.group(7)), Err(Errno::EINVAL));
}
