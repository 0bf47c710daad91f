//! What makes sense to Open vSwitch's families: a few names and numbers, keys whose parts belong together, actions.
//!
//! The world is small, so that requests meet: two datapaths, eight ports, eight meters, a handful of addresses.

use crate::Choices;
use crate::family::{Family, Op};
use crate::frames;
use crate::generate::{self, Hints};
use crate::message::{Node, fixed, leaf, nest, text};
use pfnl_proto::ovs::{
    self, CtAction, HashAction, KeyArp, KeyCtTuple4, KeyEthernet, KeyIcmp, KeyIpv4, KeyIpv6, KeyNd, KeyPorts,
    NshBase, PushEth, PushMpls, PushVlan, TruncAction, VPORT_TYPE_GENEVE, VPORT_TYPE_GRE,
    VPORT_TYPE_INTERNAL, VPORT_TYPE_NETDEV, VPORT_TYPE_VXLAN, ZoneLimit, action, band, check_pkt_len, cmd,
    ct, ct_limit, datapath, dec_ttl, flow, key, meter, meter_cmd, nat, nsh_key, packet, psample, sample,
    tunnel_key, tunnel_options, userspace, vport,
};
use pfnl_proto::{Row, Table};

/// The interface numbers of the datapaths' local ports.
pub const DATAPATHS: [i32; 2] = [1000, 1001];
/// Their names.
pub const DATAPATH_NAMES: [&str; 2] = ["d0", "d1"];
/// Names of ports; the first four are interfaces that are there anyway.
pub const PORTS: [&str; 8] = ["e0", "e1", "e2", "e3", "p4", "p5", "p6", "p7"];
/// The first portid of sockets in a [script](crate::script): upcalls may be for them.
pub const PORTID: u32 = 7000;

/// Hints for all OVS families, with names of one's own.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Of datapaths, that are made with the numbers [`DATAPATHS`].
    pub datapaths: [&'static str; 2],
    /// Of ports; the first four are made as interfaces that are there.
    pub ports: [&'static str; 8],
}

/// Hints for all OVS families.
pub static OVS: Names = Names { datapaths: DATAPATH_NAMES, ports: PORTS };

impl Hints for Names {
    fn header(&self, family: &Family, c: &mut Choices) -> Vec<u8> {
        if family.hdrsize != ovs::OVS_HDRLEN || !family.name.starts_with("ovs_") {
            return vec![0; family.hdrsize];
        }
        let number = *c.pick(&[DATAPATHS[0], DATAPATHS[0], DATAPATHS[0], DATAPATHS[1], 0, 7, -1]);
        number.to_ne_bytes().to_vec()
    }

    fn attributes(&self, family: &Family, op: &Op, c: &mut Choices) -> Option<Vec<Node>> {
        Some(match (family.name.as_str(), op.cmd) {
            ("ovs_datapath", cmd::NEW) => self.new_datapath(c.below(2), c),
            ("ovs_datapath", cmd::SET) => vec![
                text(datapath::NAME, c.pick(&self.datapaths)),
                fixed(datapath::USER_FEATURES, *c.pick(&[3_u32, 0, 8, 0xff])),
                fixed(datapath::MASKS_CACHE_SIZE, *c.pick(&[256_u32, 0, 1, 4096, 4097])),
            ],
            ("ovs_datapath", _) => some(vec![text(datapath::NAME, c.pick(&self.datapaths))], c),
            ("ovs_vport", cmd::NEW) => self.new_vport(c),
            ("ovs_vport", _) => some(
                vec![
                    fixed(vport::PORT_NO, c.below(9) as u32),
                    text(vport::NAME, c.pick(&self.ports)),
                    fixed(vport::UPCALL_PID, portid(c)),
                ],
                c,
            ),
            ("ovs_flow", _) => flow_attributes(op.cmd, c),
            ("ovs_packet", _) => vec![
                leaf(packet::PACKET, frames::frame(c)),
                nest(packet::KEY, flow_key(c)),
                nest(packet::ACTIONS, actions(3, c)),
            ],
            ("ovs_meter", meter_cmd::SET) => {
                let bands: Vec<_> = (0..c.below(3)).map(|at| nest(at as u16 + 1, band_of(c))).collect();
                let mut nodes = vec![fixed(meter::ID, c.below(8) as u32), nest(meter::BANDS, bands)];
                if c.one_in(2) {
                    nodes.push(leaf(meter::KBPS, []));
                }
                nodes
            }
            ("ovs_meter", _) => vec![fixed(meter::ID, c.below(8) as u32)],
            ("ovs_ct_limit", _) => {
                let mut limits = Vec::new();
                while limits.len() < 60 && (limits.is_empty() || c.one_in(2)) {
                    let limit =
                        ZoneLimit { zone_id: c.below(4) as i32 - 1, limit: c.below(4) as u32, count: 0 };
                    let mut bytes = [0; 12];
                    pfnl_proto::Fixed::write(&limit, &mut bytes);
                    limits.extend(bytes);
                }
                vec![leaf(ct_limit::ZONE_LIMIT, limits)]
            }
            _ => return None,
        })
    }

    fn attribute(&self, table: &'static Table, row: &'static Row, c: &mut Choices) -> Option<Node> {
        Some(match (table.name, row.number) {
            ("ovs_datapath_attr", datapath::NAME) => text(row.number, c.pick(&self.datapaths)),
            ("ovs_vport_attr", vport::NAME) => text(row.number, c.pick(&self.ports)),
            ("ovs_vport_attr", vport::PORT_NO) => fixed(row.number, c.below(9) as u32),
            ("ovs_vport_attr" | "ovs_datapath_attr", vport::UPCALL_PID) => fixed(row.number, portid(c)),
            ("ovs_flow_attr", flow::KEY) | ("ovs_packet_attr", packet::KEY) => nest(row.number, flow_key(c)),
            ("ovs_flow_attr", flow::MASK) => nest(row.number, masked(&flow_key(c), c)),
            ("ovs_flow_attr", flow::ACTIONS) | ("ovs_packet_attr", packet::ACTIONS) => {
                nest(row.number, actions(3, c))
            }
            ("ovs_packet_attr", packet::PACKET) => leaf(row.number, frames::frame(c)),
            ("ovs_action_attr", number) => one_action(number, 2, c)?,
            ("ovs_key_attr", key::IN_PORT) => fixed(row.number, c.below(4) as u32),
            ("ctrl_attr", pfnl_proto::nlctrl::ctrl::FAMILY_NAME) => {
                text(row.number, c.pick(&["ovs_flow", "ovs_datapath", "ovs_vport", "nlctrl", "ovs_nobody"]))
            }
            _ => return None,
        })
    }
}

impl Names {
    /// The attributes that make a datapath.
    pub fn new_datapath(&self, which: usize, c: &mut Choices) -> Vec<Node> {
        vec![
            text(datapath::NAME, self.datapaths[which]),
            fixed(datapath::UPCALL_PID, portid(c)),
            fixed(datapath::USER_FEATURES, *c.pick(&[3_u32, 0, 1])),
            fixed(datapath::IFINDEX, DATAPATHS[which]),
        ]
    }

    fn new_vport(&self, c: &mut Choices) -> Vec<Node> {
        let at = c.below(self.ports.len());
        let kinds =
            [VPORT_TYPE_GENEVE, VPORT_TYPE_VXLAN, VPORT_TYPE_GRE, VPORT_TYPE_INTERNAL, 0, 107, 108, 109];
        let kind = match at {
            0..4 => VPORT_TYPE_NETDEV,
            4 => VPORT_TYPE_INTERNAL,
            _ => *c.pick(&kinds),
        };
        let mut nodes = vec![
            text(vport::NAME, self.ports[at]),
            fixed(vport::TYPE, kind),
            fixed(vport::UPCALL_PID, portid(c)),
            fixed(vport::PORT_NO, at as u32 + 1),
        ];
        if kind == VPORT_TYPE_INTERNAL {
            nodes.push(fixed(vport::IFINDEX, 1100 + at as i32));
        }
        if matches!(kind, VPORT_TYPE_GENEVE | VPORT_TYPE_VXLAN) {
            let port = fixed(tunnel_options::DST_PORT, *c.pick(&[6081_u16, 4789, 0]));
            nodes.push(nest(vport::OPTIONS, [port]));
        }
        nodes
    }
}

/// Some of these, in their order; most often all.
fn some(mut nodes: Vec<Node>, c: &mut Choices) -> Vec<Node> {
    nodes.retain(|_| !c.one_in(4));
    nodes
}

fn portid(c: &mut Choices) -> u32 {
    PORTID + c.below(4) as u32
}

fn band_of(c: &mut Choices) -> Vec<Node> {
    vec![
        fixed(band::TYPE, 1_u32),
        fixed(band::RATE, *c.pick(&[1_u32, 1000, 0, u32::MAX])),
        fixed(band::BURST, *c.pick(&[0_u32, 1, 1000, u32::MAX])),
    ]
}

fn flow_attributes(command: u8, c: &mut Choices) -> Vec<Node> {
    let key = flow_key(c);
    let mut nodes = Vec::new();
    if command == cmd::NEW || command == cmd::SET && !c.one_in(3) {
        if !c.one_in(4) {
            nodes.push(nest(flow::MASK, masked(&key, c)));
        }
        nodes.push(nest(flow::ACTIONS, actions(3, c)));
    }
    if !c.one_in(4) {
        nodes.insert(0, nest(flow::KEY, key));
    }
    if c.one_in(3) {
        let len = *c.pick(&[16, 1, 4, 17]);
        nodes.push(leaf(flow::UFID, vec![c.below(4) as u8; len]));
    }
    if c.one_in(4) {
        nodes.push(fixed(flow::UFID_FLAGS, c.below(8) as u32));
    }
    if c.one_in(6) {
        nodes.push(leaf(*c.pick(&[flow::CLEAR, flow::PROBE]), []));
    }
    nodes
}

const MACS: [[u8; 6]; 4] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [0xff; 6], [0; 6]];

pub(crate) fn ip4(c: &mut Choices) -> [u8; 4] {
    *c.pick(&[[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3], [224, 0, 0, 1], [0; 4], [255; 4]])
}

pub(crate) fn ip6(c: &mut Choices) -> [u8; 16] {
    let mut address = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    address[15] += c.below(3) as u8;
    address
}

pub(crate) fn port(c: &mut Choices) -> u16 {
    *c.pick(&[80, 1000, 21, 69, 53, 0, 65_535])
}

pub(crate) fn mac(c: &mut Choices) -> [u8; 6] {
    *c.pick(&MACS)
}

/// A key whose parts belong together, as far as [`frames`] can look like it.
pub fn flow_key(c: &mut Choices) -> Vec<Node> {
    let mut nodes = Vec::new();
    if c.one_in(6) {
        nodes.push(fixed(key::RECIRC_ID, c.below(4) as u32));
        nodes.push(fixed(key::CT_STATE, *c.pick(&[0_u32, 0x22, 0x2a, 0x21, 0xff])));
    }
    if c.one_in(8) {
        nodes.push(nest(key::TUNNEL, tunnel(c)));
    }
    if !c.one_in(5) {
        nodes.push(fixed(key::IN_PORT, 1 + c.below(4) as u32));
    }
    nodes.push(fixed(key::ETHERNET, KeyEthernet { src: mac(c), dst: mac(c) }));
    if c.one_in(6) {
        let inner = network(c);
        nodes.push(leaf(key::ETHERTYPE, [0x81, 0]));
        nodes.push(leaf(key::VLAN, [0x10, c.below(3) as u8]));
        nodes.push(nest(key::ENCAP, inner));
    } else {
        nodes.extend(network(c));
    }
    nodes
}

fn network(c: &mut Choices) -> Vec<Node> {
    let ethertype = |value: u16| leaf(key::ETHERTYPE, value.to_be_bytes());
    match c.below(8) {
        0..=2 => {
            let (proto, frag) = (*c.pick(&[6, 17, 1, 132, 99]), *c.pick(&[0, 0, 0, 0, 1, 2, 3]));
            let ip = KeyIpv4 {
                src: ip4(c),
                dst: ip4(c),
                proto,
                tos: *c.pick(&[0, 3]),
                ttl: *c.pick(&[64, 1, 0]),
                frag,
            };
            let mut nodes = vec![ethertype(0x800), fixed(key::IPV4, ip)];
            if frag != 2 {
                nodes.extend(transport(proto, c));
            }
            nodes
        }
        3 | 4 => {
            let (proto, frag) = (*c.pick(&[6, 17, 58, 132, 99]), *c.pick(&[0, 0, 0, 0, 1, 2, 3]));
            let ip = KeyIpv6 { src: ip6(c), dst: ip6(c), label: [0; 4], proto, tclass: 0, hlimit: 64, frag };
            let mut nodes = vec![ethertype(0x86dd), fixed(key::IPV6, ip)];
            if frag != 2 {
                nodes.extend(transport(proto, c));
            }
            nodes
        }
        5 => {
            let op = [0, *c.pick(&[1, 2])];
            let arp = KeyArp { sip: ip4(c), tip: ip4(c), op, sha: mac(c), tha: mac(c), pad: [0; 2] };
            vec![ethertype(*c.pick(&[0x806, 0x8035])), fixed(key::ARP, arp)]
        }
        6 => {
            let labels = 1 + c.below(4);
            vec![ethertype(0x8847), leaf(key::MPLS, [0, 1, 1, 64].repeat(labels))]
        }
        _ => {
            let base = NshBase {
                flags: 0,
                ttl: 63,
                mdtype: 1,
                np: *c.pick(&[1, 2, 3, 5]),
                path_hdr: [0, 0, 1, 255],
            };
            let header = [fixed(nsh_key::BASE, base), leaf(nsh_key::MD1, [7; 16])];
            vec![ethertype(0x894f), nest(key::NSH, header)]
        }
    }
}

fn transport(proto: u8, c: &mut Choices) -> Vec<Node> {
    let ports = |c: &mut Choices| KeyPorts { src: port(c).to_be_bytes(), dst: port(c).to_be_bytes() };
    match proto {
        6 => vec![fixed(key::TCP, ports(c)), leaf(key::TCP_FLAGS, [0, *c.pick(&[2, 0x12, 0x10, 0, 0xff])])],
        17 => vec![fixed(key::UDP, ports(c))],
        132 => vec![fixed(key::SCTP, ports(c))],
        1 => vec![fixed(key::ICMP, KeyIcmp { icmp_type: *c.pick(&[8, 0, 3, 11]), code: 0 })],
        58 => {
            let icmp_type = *c.pick(&[135, 136, 128, 129, 1]);
            let mut nodes = vec![fixed(key::ICMPV6, KeyIcmp { icmp_type, code: 0 })];
            if matches!(icmp_type, 135 | 136) {
                nodes.push(fixed(key::ND, KeyNd { target: ip6(c), sll: mac(c), tll: mac(c) }));
            }
            nodes
        }
        _ => Vec::new(),
    }
}

fn tunnel(c: &mut Choices) -> Vec<Node> {
    let mut nodes = vec![
        leaf(tunnel_key::ID, [0, 0, 0, 0, 0, 0, 0, c.below(3) as u8]),
        leaf(tunnel_key::IPV4_SRC, ip4(c)),
        leaf(tunnel_key::IPV4_DST, ip4(c)),
        leaf(tunnel_key::TTL, [64]),
    ];
    if c.one_in(3) {
        nodes.push(leaf(*c.pick(&[tunnel_key::CSUM, tunnel_key::DONT_FRAGMENT, tunnel_key::OAM]), []));
    }
    if c.one_in(4) {
        nodes.push(leaf(tunnel_key::GENEVE_OPTS, [0, 1, 2, 1, 9, 9, 9, 9].repeat(1 + c.below(3))));
    }
    nodes
}

/// A mask for a key: all ones, with some attributes wild, in part, or left out.
fn masked(key: &[Node], c: &mut Choices) -> Vec<Node> {
    let mut mask = Vec::new();
    for node in key {
        let byte = *c.pick(&[0xff, 0xff, 0, 0xf0, 1]);
        if c.one_in(8) {
            continue;
        }
        mask.push(match node {
            Node::Nest(number, inner) => Node::Nest(*number, masked(inner, c)),
            // What kind of packet it is must be matched whole, or not at all.
            Node::Leaf(number, payload) if *number == key::ETHERTYPE => {
                leaf(*number, vec![0xff; payload.len()])
            }
            Node::Leaf(number, payload) => leaf(*number, vec![byte; payload.len()]),
            Node::Raw(bytes) => Node::Raw(bytes.clone()),
        });
    }
    mask
}

/// A list of actions.
pub fn actions(depth: usize, c: &mut Choices) -> Vec<Node> {
    const ALL: [u16; 24] = [
        action::OUTPUT,
        action::OUTPUT,
        action::SET_MASKED,
        action::SET,
        action::CT,
        action::RECIRC,
        action::USERSPACE,
        action::PUSH_VLAN,
        action::POP_VLAN,
        action::HASH,
        action::PUSH_MPLS,
        action::POP_MPLS,
        action::TRUNC,
        action::SAMPLE,
        action::CLONE,
        action::CHECK_PKT_LEN,
        action::DEC_TTL,
        action::METER,
        action::CT_CLEAR,
        action::PUSH_ETH,
        action::POP_ETH,
        action::PUSH_NSH,
        action::DROP,
        action::PSAMPLE,
    ];
    let mut nodes = Vec::new();
    while nodes.len() < 10 && c.more(2) {
        let number = *c.pick(&ALL);
        nodes.extend(one_action(number, depth, c));
    }
    nodes
}

fn one_action(number: u16, depth: usize, c: &mut Choices) -> Option<Node> {
    let inner = |c: &mut Choices| if depth > 0 { actions(depth - 1, c) } else { Vec::new() };
    Some(match number {
        action::OUTPUT => fixed(number, c.below(7) as u32),
        action::USERSPACE => {
            let mut nodes = vec![fixed(userspace::PID, portid(c))];
            if c.one_in(2) {
                let len = *c.pick(&[8, 0, 16, 3]);
                nodes.push(leaf(userspace::USERDATA, vec![7; len]));
            }
            if c.one_in(3) {
                nodes.push(leaf(userspace::ACTIONS, []));
            }
            nest(number, nodes)
        }
        action::SET => nest(number, [settable(c)]),
        action::SET_MASKED => match settable(c) {
            // Value, then mask.
            Node::Leaf(key, payload) => {
                let mask = vec![*c.pick(&[0xff, 0, 0xf0]); payload.len()];
                nest(number, [leaf(key, [payload, mask].concat())])
            }
            other => nest(number, [other]),
        },
        action::PUSH_VLAN => {
            fixed(number, PushVlan { tpid: *c.pick(&[[0x81, 0], [0x88, 0xa8]]), tci: [0x10, 5] })
        }
        action::POP_VLAN | action::CT_CLEAR | action::POP_ETH | action::POP_NSH => leaf(number, []),
        action::SAMPLE => nest(
            number,
            [fixed(sample::PROBABILITY, *c.pick(&[u32::MAX, 0, 1 << 31])), nest(sample::ACTIONS, inner(c))],
        ),
        action::RECIRC => fixed(number, c.below(4) as u32),
        action::HASH => fixed(number, HashAction { algorithm: c.below(3) as u32, basis: 0 }),
        action::PUSH_MPLS | action::ADD_MPLS => {
            fixed(number, PushMpls { lse: [0, 1, 1, 64], ethertype: [0x88, 0x47], pad: c.below(2) as u16 })
        }
        action::POP_MPLS => leaf(number, c.pick(&[0x800_u16, 0x86dd, 0x8847]).to_be_bytes()),
        action::CT => nest(number, conntrack(c)),
        action::TRUNC => fixed(number, TruncAction { max_len: *c.pick(&[14, 64, 13, u32::MAX]) }),
        action::PUSH_ETH => fixed(number, PushEth { src: mac(c), dst: mac(c) }),
        action::PUSH_NSH => {
            let base = NshBase { flags: 0, ttl: 63, mdtype: 1, np: 3, path_hdr: [0, 0, 1, 255] };
            nest(number, [nest(key::NSH, [fixed(nsh_key::BASE, base), leaf(nsh_key::MD1, [7; 16])])])
        }
        action::METER => fixed(number, c.below(8) as u32),
        action::CLONE => nest(number, inner(c)),
        action::CHECK_PKT_LEN => nest(
            number,
            [
                fixed(check_pkt_len::PKT_LEN, *c.pick(&[64_u16, 0, 1500, u16::MAX])),
                nest(check_pkt_len::ACTIONS_IF_GREATER, inner(c)),
                nest(check_pkt_len::ACTIONS_IF_LESS_EQUAL, inner(c)),
            ],
        ),
        action::DEC_TTL => nest(number, [nest(dec_ttl::ACTION, inner(c))]),
        action::DROP => fixed(number, c.below(3) as u32),
        action::PSAMPLE => nest(number, [fixed(psample::GROUP, 1_u32), leaf(psample::COOKIE, [1, 2, 3])]),
        _ => return None,
    })
}

fn settable(c: &mut Choices) -> Node {
    match c.below(9) {
        0 => fixed(key::ETHERNET, KeyEthernet { src: mac(c), dst: mac(c) }),
        1 => {
            let (src, dst) = (ip4(c), ip4(c));
            fixed(key::IPV4, KeyIpv4 { src, dst, proto: *c.pick(&[6, 17, 1]), tos: 0, ttl: 9, frag: 0 })
        }
        2 => {
            let (src, dst) = (ip6(c), ip6(c));
            fixed(
                key::IPV6,
                KeyIpv6 {
                    src,
                    dst,
                    label: [0; 4],
                    proto: *c.pick(&[6, 17, 58]),
                    tclass: 0,
                    hlimit: 9,
                    frag: 0,
                },
            )
        }
        3 => fixed(key::TCP, KeyPorts { src: port(c).to_be_bytes(), dst: port(c).to_be_bytes() }),
        4 => fixed(key::UDP, KeyPorts { src: port(c).to_be_bytes(), dst: port(c).to_be_bytes() }),
        5 => fixed(*c.pick(&[key::PRIORITY, key::SKB_MARK, key::DP_HASH]), c.below(9) as u32),
        6 => nest(key::TUNNEL, tunnel(c)),
        7 => leaf(key::MPLS, [0, 2, 1, 9]),
        _ => {
            let tuple = KeyCtTuple4 {
                src: ip4(c),
                dst: ip4(c),
                sport: [0, 80],
                dport: [3, 232],
                proto: 6,
                pad: [0; 3],
            };
            fixed(key::CT_ORIG_TUPLE_IPV4, tuple)
        }
    }
}

fn conntrack(c: &mut Choices) -> Vec<Node> {
    let mut nodes = Vec::new();
    if !c.one_in(3) {
        nodes.push(leaf(*c.pick(&[ct::COMMIT, ct::COMMIT, ct::FORCE_COMMIT]), []));
    }
    if c.one_in(2) {
        nodes.push(fixed(ct::ZONE, c.below(3) as u16));
    }
    if c.one_in(4) {
        nodes.push(fixed(ct::MARK, CtAction { value: 5, mask: *c.pick(&[u32::MAX, 0, 15]) }));
    }
    if c.one_in(6) {
        nodes.push(leaf(ct::LABELS, [1; 32]));
    }
    if c.one_in(6) {
        nodes.push(text(ct::HELPER, c.pick(&["ftp", "tftp", "sip"])));
    }
    if c.one_in(3) {
        let mut inner = Vec::new();
        if !c.one_in(4) {
            inner.push(leaf(*c.pick(&[nat::SRC, nat::DST]), []));
            let address = ip4(c);
            inner.push(leaf(nat::IP_MIN, address));
            if c.one_in(2) {
                inner.push(leaf(
                    nat::IP_MAX,
                    [address[0], address[1], address[2], address[3].saturating_add(3)],
                ));
            }
            if c.one_in(2) {
                inner.push(fixed(nat::PROTO_MIN, *c.pick(&[1000_u16, 1, 65_535])));
            }
            if c.one_in(3) {
                inner.push(fixed(nat::PROTO_MAX, *c.pick(&[2000_u16, 1000, 65_535])));
            }
            if c.one_in(4) {
                inner.push(leaf(*c.pick(&[nat::PERSISTENT, nat::PROTO_HASH, nat::PROTO_RANDOM]), []));
            }
        }
        nodes.push(nest(ct::NAT, inner));
    }
    if c.one_in(8) {
        nodes.push(fixed(ct::EVENTMASK, c.word(4) as u32));
    }
    if c.one_in(8) {
        nodes.push(text(ct::TIMEOUT, c.pick(&["policy", "nobody"])));
    }
    nodes
}

/// A run of attributes of the key's table, nothing in which need belong together.
pub fn any_key(c: &mut Choices) -> Vec<Node> {
    generate::attributes(&key::TABLE, &OVS, 3, c)
}
