//! pfnl-proto.

use crate::{Actions, Families, Fields, Flow, Ipv4};
use pfnl_proto::msg::{Header, Messages};
use pfnl_proto::nlctrl::{ctrl, group, op};
use pfnl_proto::ovs::{KeyEthernet, KeyIpv4, KeyPorts, OvsHeader, PushVlan, action, cmd, flow, key};
use pfnl_proto::{Attrs, Fixed, Level, Writer, genl};

/// Where the attributes of openvswitch's messages start.
const START: usize = genl::USER_HEADER + OvsHeader::LEN;

/// Reads a flow request.
pub fn parse(bytes: &[u8]) -> Option<Flow> {
    let message = Messages::new(bytes).next()?;
    genl::Header::read(message.payload())?;
    let header = OvsHeader::read(message.bytes.get(genl::USER_HEADER..)?)?;
    let attrs = Attrs::new(message.bytes.get(START..)?, START as u32);
    let view = flow::View::parse(attrs, Level::Liberal).ok().filter(|view| view.0.warning().is_none())?;
    Some(Flow {
        dp_ifindex: header.dp_ifindex,
        ufid: view.ufid()?.try_into().ok()?,
        key: fields(view.key()?)?,
        mask: fields(view.mask()?)?,
        actions: actions(view.actions()?)?,
    })
}

fn fields(attrs: Attrs<'_>) -> Option<Fields> {
    let view = key::View::parse(attrs, Level::Exact).ok()?;
    let KeyEthernet { src, dst } = view.ethernet()?;
    let ports = view.tcp()?;
    Some(Fields {
        recirc_id: view.recirc_id()?,
        ct_state: view.ct_state()?,
        in_port: view.in_port()?,
        ethernet: [src, dst],
        ethertype: view.ethertype()?,
        ipv4: ipv4(view.ipv4()?),
        tcp: [u16::from_be_bytes(ports.src), u16::from_be_bytes(ports.dst)],
        tcp_flags: view.tcp_flags()?,
    })
}

fn ipv4(ip: KeyIpv4) -> Ipv4 {
    Ipv4 { src: ip.src, dst: ip.dst, rest: [ip.proto, ip.tos, ip.ttl, ip.frag] }
}

fn actions(mut attrs: Attrs<'_>) -> Option<Actions> {
    let (mut set, mut vlan, mut output) = (None, None, None);
    for attr in attrs.by_ref() {
        if !action::TABLE.fits(attr.number(), attr.payload().len()) {
            return None;
        }
        match attr.number() {
            action::SET_MASKED => {
                let mut inside = attr.attrs();
                let field =
                    inside.next().filter(|field| field.number() == key::IPV4 && inside.leftover() == 0)?;
                let (value, mask) = field.payload().split_at_checked(KeyIpv4::LEN)?;
                if mask.len() != KeyIpv4::LEN {
                    return None;
                }
                set = Some([ipv4(KeyIpv4::read(value)?), ipv4(KeyIpv4::read(mask)?)]);
            }
            action::PUSH_VLAN => {
                let PushVlan { tpid, tci } = Fixed::read(attr.payload())?;
                vlan = Some([u16::from_be_bytes(tpid), u16::from_be_bytes(tci)]);
            }
            action::OUTPUT => output = Some(attr.u32()?),
            _ => return None,
        }
    }
    if attrs.leftover() > 0 {
        return None;
    }
    Some(Actions { set: set?, vlan: vlan?, output: output? })
}

/// Writes a flow request.
pub fn build(flow: &Flow, out: &mut Vec<u8>) {
    out.clear();
    let header = Header { kind: 21, flags: 1, ..Header::default() };
    Writer::with_limit(out, 4096).message(header, |w| {
        w.raw_fixed(&genl::Header { cmd: cmd::NEW, version: 1, reserved: 0 });
        w.raw_fixed(&OvsHeader { dp_ifindex: flow.dp_ifindex });
        let mut put = flow::Put(w);
        put.ufid(&flow.ufid).key(|w| put_fields(w, &flow.key)).mask(|w| put_fields(w, &flow.mask));
        put.actions(|w| {
            let Actions { set: [value, mask], vlan: [tpid, tci], output } = flow.actions;
            let mut put = action::Put(w);
            put.set_masked(|w| {
                let mut both = [0; 24];
                let (a, b) = both.split_at_mut(12);
                a.copy_from_slice(&value.bytes());
                b.copy_from_slice(&mask.bytes());
                w.bytes(key::IPV4, &both);
            });
            put.push_vlan(&PushVlan { tpid: tpid.to_be_bytes(), tci: tci.to_be_bytes() }).output(output);
        });
    });
}

fn put_fields(w: &mut Writer<'_>, fields: &Fields) {
    let [src, dst] = fields.ethernet;
    let [proto, tos, ttl, frag] = fields.ipv4.rest;
    let [from, to] = fields.tcp.map(u16::to_be_bytes);
    key::Put(w)
        .recirc_id(fields.recirc_id)
        .ct_state(fields.ct_state)
        .in_port(fields.in_port)
        .ethernet(&KeyEthernet { src, dst })
        .ethertype(fields.ethertype)
        .ipv4(&KeyIpv4 { src: fields.ipv4.src, dst: fields.ipv4.dst, proto, tos, ttl, frag })
        .tcp(&KeyPorts { src: from, dst: to })
        .tcp_flags(fields.tcp_flags);
}

/// Reads a dump of families.
pub fn families(bytes: &[u8]) -> Option<Families> {
    let mut sums = Families::default();
    for message in Messages::new(bytes) {
        let attrs = Attrs::new(message.bytes.get(genl::USER_HEADER..)?, genl::USER_HEADER as u32);
        let view = ctrl::View::parse(attrs, Level::Liberal).ok().filter(|view| view.0.warning().is_none())?;
        sums.count += 1;
        sums.ids += u64::from(view.family_id()?);
        sums.letters(view.family_name()?);
        sums.numbers +=
            [view.version()?, view.hdrsize()?, view.maxattr()?].map(u64::from).iter().sum::<u64>();
        let mut ops = view.ops().unwrap_or(Attrs::new(&[], 0));
        for nest in ops.by_ref() {
            let view = op::View::parse(nest.attrs(), Level::Exact).ok()?;
            sums.ops += u64::from(view.id()?) + u64::from(view.flags()?);
        }
        let mut groups = view.mcast_groups().unwrap_or(Attrs::new(&[], 0));
        for nest in groups.by_ref() {
            let view = group::View::parse(nest.attrs(), Level::Exact).ok()?;
            sums.groups += u64::from(view.id()?);
            sums.letters(view.name()?);
        }
        if ops.leftover() > 0 || groups.leftover() > 0 {
            return None;
        }
    }
    Some(sums)
}
