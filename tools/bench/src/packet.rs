//! netlink-packet-core's iterator over attributes, with a check at each leaf; families through netlink-packet-generic.

use crate::{Actions, Families, Fields, Flow, Ipv4};
use netlink_packet_core::{
    DecodeError, Emitable, NetlinkMessage, NetlinkPayload, Nla, NlaBuffer, NlasIterator,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::GenlCtrl;
use netlink_packet_generic::ctrl::nlas::{GenlCtrlAttrs, McastGrpAttrs, OpAttrs};

type Item<'a> = Result<NlaBuffer<&'a [u8]>, DecodeError>;

/// Number and payload.
#[inline]
fn split<'a>(item: &'a Item<'_>) -> Option<(u16, &'a [u8])> {
    let attr = item.as_ref().ok()?;
    Some((attr.kind(), attr.value()))
}

#[inline]
fn u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[inline]
fn be16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[inline]
fn set<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Reads a flow request.
pub fn parse(bytes: &[u8]) -> Option<Flow> {
    let len = usize::try_from(u32(bytes.get(..4)?)?).ok().filter(|&len| len >= 20)?;
    let message = bytes.get(..len)?;
    let dp_ifindex = u32(message.get(20..24)?)?.cast_signed();
    let mut flow = Flow { dp_ifindex, ..Flow::default() };
    let (mut key, mut ufid, mut mask, mut actions) = (None, None, None, None);
    for item in NlasIterator::new(message.get(24..)?) {
        let (number, payload) = split(&item)?;
        match number {
            1 => key = Some(fields(payload)),
            2 => actions = Some(self::actions(payload)),
            7 => mask = Some(fields(payload)),
            9 => ufid = Some(payload.try_into().ok()?),
            _ => return None,
        }
    }
    (flow.key, flow.mask, flow.actions, flow.ufid) = (key??, mask??, actions??, ufid?);
    Some(flow)
}

fn fields(bytes: &[u8]) -> Option<Fields> {
    let (mut recirc_id, mut ct_state, mut in_port, mut ethernet) = (None, None, None, None);
    let (mut ethertype, mut ipv4, mut tcp, mut tcp_flags) = (None, None, None, None);
    for item in NlasIterator::new(bytes) {
        let (number, payload) = split(&item)?;
        match number {
            3 => set(&mut in_port, u32(payload)?)?,
            4 => {
                let &[a, b, c, d, e, f, g, h, i, j, k, l] = payload.try_into().ok()?;
                set(&mut ethernet, [[a, b, c, d, e, f], [g, h, i, j, k, l]])?;
            }
            6 => set(&mut ethertype, be16(payload)?)?,
            7 => set(&mut ipv4, Ipv4::new(payload.try_into().ok()?))?,
            9 => {
                let &[a, b, c, d] = payload.try_into().ok()?;
                set(&mut tcp, [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])?;
            }
            18 => set(&mut tcp_flags, be16(payload)?)?,
            20 => set(&mut recirc_id, u32(payload)?)?,
            22 => set(&mut ct_state, u32(payload)?)?,
            _ => return None,
        }
    }
    Some(Fields {
        recirc_id: recirc_id?,
        ct_state: ct_state?,
        in_port: in_port?,
        ethernet: ethernet?,
        ethertype: ethertype?,
        ipv4: ipv4?,
        tcp: tcp?,
        tcp_flags: tcp_flags?,
    })
}

fn actions(bytes: &[u8]) -> Option<Actions> {
    let (mut set, mut vlan, mut output) = (None, None, None);
    for item in NlasIterator::new(bytes) {
        let (number, payload) = split(&item)?;
        match number {
            1 => output = Some(u32(payload)?),
            4 => {
                let &[a, b, c, d] = payload.try_into().ok()?;
                vlan = Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            }
            11 => {
                let mut inside = NlasIterator::new(payload);
                let field = inside.next()?;
                let (_, both) = split(&field).filter(|&(number, _)| number == 7)?;
                if inside.next().is_some() {
                    return None;
                }
                let (value, mask) = both.split_at_checked(12)?;
                set = Some([Ipv4::new(value.try_into().ok()?), Ipv4::new(mask.try_into().ok()?)]);
            }
            _ => return None,
        }
    }
    Some(Actions { set: set?, vlan: vlan?, output: output? })
}

/// An attribute to be written, as users of these crates define them.
enum Put<'a> {
    Leaf(u16, &'a [u8]),
    Nest(u16, &'a [Put<'a>]),
}

impl Nla for Put<'_> {
    fn value_len(&self) -> usize {
        match self {
            Put::Leaf(_, bytes) => bytes.len(),
            Put::Nest(_, inside) => inside.buffer_len(),
        }
    }
    fn kind(&self) -> u16 {
        let (Put::Leaf(kind, _) | Put::Nest(kind, _)) = self;
        *kind
    }
    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Put::Leaf(_, bytes) => buffer.copy_from_slice(bytes),
            Put::Nest(_, inside) => inside.emit(buffer),
        }
    }
}

/// Writes a flow request.
pub fn build(flow: &Flow, out: &mut Vec<u8>) {
    let Actions { set: [value, mask], vlan: [tpid, tci], output } = flow.actions;
    let mut both = [0; 24];
    both[..12].copy_from_slice(&value.bytes());
    both[12..].copy_from_slice(&mask.bytes());
    let mut vlan = [0; 4];
    vlan[..2].copy_from_slice(&tpid.to_be_bytes());
    vlan[2..].copy_from_slice(&tci.to_be_bytes());
    with_fields(&flow.key, |key| {
        with_fields(&flow.mask, |mask| {
            let attrs: &[Put<'_>] = &[
                Put::Leaf(9, &flow.ufid),
                Put::Nest(1, key),
                Put::Nest(7, mask),
                Put::Nest(
                    2,
                    &[
                        Put::Nest(11, &[Put::Leaf(7, &both)]),
                        Put::Leaf(4, &vlan),
                        Put::Leaf(1, &output.to_ne_bytes()),
                    ],
                ),
            ];
            let len = 24 + attrs.buffer_len();
            out.clear();
            out.resize(len, 0);
            out[..4].copy_from_slice(&(len as u32).to_ne_bytes());
            out[4..8].copy_from_slice(&[21, 0, 1, 0]);
            out[16..18].copy_from_slice(&[1, 1]);
            out[20..24].copy_from_slice(&flow.dp_ifindex.to_ne_bytes());
            attrs.emit(&mut out[24..]);
        });
    });
}

fn with_fields(fields: &Fields, then: impl FnOnce(&[Put<'_>])) {
    let mut ethernet = [0; 12];
    ethernet[..6].copy_from_slice(&fields.ethernet[0]);
    ethernet[6..].copy_from_slice(&fields.ethernet[1]);
    let mut tcp = [0; 4];
    tcp[..2].copy_from_slice(&fields.tcp[0].to_be_bytes());
    tcp[2..].copy_from_slice(&fields.tcp[1].to_be_bytes());
    then(&[
        Put::Leaf(20, &fields.recirc_id.to_ne_bytes()),
        Put::Leaf(22, &fields.ct_state.to_ne_bytes()),
        Put::Leaf(3, &fields.in_port.to_ne_bytes()),
        Put::Leaf(4, &ethernet),
        Put::Leaf(6, &fields.ethertype.to_be_bytes()),
        Put::Leaf(7, &fields.ipv4.bytes()),
        Put::Leaf(9, &tcp),
        Put::Leaf(18, &fields.tcp_flags.to_be_bytes()),
    ]);
}

/// Reads a dump of families. Only well-formed ones: on others the crates may panic.
pub fn families(mut bytes: &[u8]) -> Option<Families> {
    let mut sums = Families::default();
    while !bytes.is_empty() {
        let message = NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(bytes).ok()?;
        bytes = bytes.get((message.header.length as usize).next_multiple_of(4)..).unwrap_or_default();
        let NetlinkPayload::InnerMessage(message) = message.payload else { return None };
        sums.count += 1;
        for attr in message.payload.nlas {
            match attr {
                GenlCtrlAttrs::FamilyId(id) => sums.ids += u64::from(id),
                GenlCtrlAttrs::FamilyName(name) => sums.letters(name.as_bytes()),
                GenlCtrlAttrs::Version(n) | GenlCtrlAttrs::HdrSize(n) | GenlCtrlAttrs::MaxAttr(n) => {
                    sums.numbers += u64::from(n);
                }
                GenlCtrlAttrs::Ops(ops) => {
                    for op in ops.into_iter().flatten() {
                        let (OpAttrs::Id(n) | OpAttrs::Flags(n)) = op;
                        sums.ops += u64::from(n);
                    }
                }
                GenlCtrlAttrs::McastGroups(groups) => {
                    for group in groups.into_iter().flatten() {
                        match group {
                            McastGrpAttrs::Name(name) => sums.letters(name.as_bytes()),
                            McastGrpAttrs::Id(n) => sums.groups += u64::from(n),
                        }
                    }
                }
                _ => return None,
            }
        }
    }
    Some(sums)
}
