//! libmnl, as its examples use it: a validating callback for each nest fills an array by number, then values are read.
#![cfg(feature = "libmnl")]

use crate::{Actions, Families, Fields, Flow, Ipv4};
use pfnl_bench_mnl::{Attr, Builder, DataType, Message};

/// Attributes by number.
type Array<'a, const N: usize> = [Option<Attr<'a>>; N];

/// Bytes behind the netlink header, before a family's attributes.
const GENL: u32 = 4;
const OVS: u32 = 8;

/// Reads a flow request.
pub fn parse(bytes: &[u8]) -> Option<Flow> {
    let message = Message::new(bytes)?;
    let header = bytes.get(20..24)?.try_into().ok()?;
    let mut attrs: Array<'_, 10> = [None; 10];
    let valid = message.parse(OVS, |attr| {
        let number = attr.kind();
        let valid = match number {
            1 | 2 | 7 => attr.is(DataType::Nested),
            9 => attr.is_at_least(DataType::Binary, 16),
            _ => false,
        };
        valid && keep(&mut attrs, number, attr)
    });
    let [_, key, actions, _, _, _, _, mask, _, ufid] = attrs;
    if !valid {
        return None;
    }
    Some(Flow {
        dp_ifindex: i32::from_ne_bytes(header),
        ufid: ufid?.payload().try_into().ok()?,
        key: fields(key?)?,
        mask: fields(mask?)?,
        actions: self::actions(actions?)?,
    })
}

fn keep<'a, const N: usize>(attrs: &mut Array<'a, N>, number: u16, attr: Attr<'a>) -> bool {
    attrs.get_mut(usize::from(number)).map(|place| *place = Some(attr)).is_some()
}

fn fields(nest: Attr<'_>) -> Option<Fields> {
    let mut attrs: Array<'_, 23> = [None; 23];
    let valid = nest.parse(|attr| {
        let number = attr.kind();
        let valid = match number {
            3 | 20 | 22 => attr.is(DataType::U32),
            4 | 7 => attr.is_at_least(DataType::Binary, 12) && attr.payload().len() == 12,
            6 | 18 => attr.is(DataType::U16),
            9 => attr.is_at_least(DataType::Binary, 4) && attr.payload().len() == 4,
            _ => false,
        };
        valid && attrs[usize::from(number)].is_none() && keep(&mut attrs, number, attr)
    });
    let of = |number: usize| attrs[number];
    if !valid {
        return None;
    }
    let &[a, b, c, d, e, f, g, h, i, j, k, l] = of(4)?.payload().try_into().ok()?;
    let &[m, n, o, p] = of(9)?.payload().try_into().ok()?;
    Some(Fields {
        recirc_id: of(20)?.u32(),
        ct_state: of(22)?.u32(),
        in_port: of(3)?.u32(),
        ethernet: [[a, b, c, d, e, f], [g, h, i, j, k, l]],
        ethertype: u16::from_be(of(6)?.u16()),
        ipv4: Ipv4::new(of(7)?.payload().try_into().ok()?),
        tcp: [u16::from_be_bytes([m, n]), u16::from_be_bytes([o, p])],
        tcp_flags: u16::from_be(of(18)?.u16()),
    })
}

fn actions(nest: Attr<'_>) -> Option<Actions> {
    let mut attrs: Array<'_, 12> = [None; 12];
    let valid = nest.parse(|attr| {
        let number = attr.kind();
        let valid = match number {
            1 => attr.is(DataType::U32),
            4 => attr.is_at_least(DataType::Binary, 4) && attr.payload().len() == 4,
            11 => attr.is(DataType::Nested),
            _ => false,
        };
        valid && keep(&mut attrs, number, attr)
    });
    let [_, output, _, _, vlan, .., set] = attrs;
    let mut both = None;
    let valid = valid
        && set?.parse(|attr| {
            let valid = attr.kind() == 7 && attr.is_at_least(DataType::Binary, 24) && both.is_none();
            both = Some(attr);
            valid
        });
    if !valid {
        return None;
    }
    let both: &[u8; 24] = both?.payload().try_into().ok()?;
    let (value, mask) = both.split_first_chunk::<12>()?;
    let &[a, b, c, d] = vlan?.payload().try_into().ok()?;
    Some(Actions {
        set: [Ipv4::new(*value), Ipv4::new(mask.try_into().ok()?)],
        vlan: [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])],
        output: output?.u32(),
    })
}

/// Writes a flow request; its length.
pub fn build(flow: &Flow, out: &mut [u32]) -> Option<usize> {
    let mut builder = Builder::new(out, 21, 1, &genl_header(flow.dp_ifindex))?;
    let Actions { set: [value, mask], vlan: [tpid, tci], output } = flow.actions;
    builder.put(9, &flow.ufid).nest(1, |b| put_fields(b, &flow.key)).nest(7, |b| put_fields(b, &flow.mask));
    builder.nest(2, |b| {
        b.nest(11, |b| {
            let mut both = [0; 24];
            both[..12].copy_from_slice(&value.bytes());
            both[12..].copy_from_slice(&mask.bytes());
            b.put(7, &both);
        });
        let ([a, c], [d, e]) = (tpid.to_be_bytes(), tci.to_be_bytes());
        b.put(4, &[a, c, d, e]).put_u32(1, output);
    });
    builder.finish()
}

fn genl_header(dp_ifindex: i32) -> [u8; 8] {
    let [a, b, c, d] = dp_ifindex.to_ne_bytes();
    [1, 1, 0, 0, a, b, c, d]
}

fn put_fields(b: &mut Builder<'_>, fields: &Fields) {
    let ([a, c, d, e, f, g], [h, i, j, k, l, m]) = (fields.ethernet[0], fields.ethernet[1]);
    let ([n, o], [p, q]) = (fields.tcp[0].to_be_bytes(), fields.tcp[1].to_be_bytes());
    b.put_u32(20, fields.recirc_id)
        .put_u32(22, fields.ct_state)
        .put_u32(3, fields.in_port)
        .put(4, &[a, c, d, e, f, g, h, i, j, k, l, m])
        .put_u16(6, fields.ethertype.to_be())
        .put(7, &fields.ipv4.bytes())
        .put(9, &[n, o, p, q])
        .put_u16(18, fields.tcp_flags.to_be());
}

/// Reads a dump of families.
pub fn families(mut bytes: &[u8]) -> Option<Families> {
    let mut sums = Families::default();
    while !bytes.is_empty() {
        let message = Message::new(bytes)?;
        let len = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        let mut attrs: Array<'_, 8> = [None; 8];
        let valid = message.parse(GENL, |attr| {
            let number = attr.kind();
            let valid = match number {
                1 => attr.is(DataType::U16),
                2 => attr.is(DataType::NulString) && attr.payload().len() <= 16,
                3..=5 => attr.is(DataType::U32),
                6 | 7 => attr.is(DataType::Nested),
                _ => false,
            };
            valid && keep(&mut attrs, number, attr)
        });
        let [_, id, name, version, hdrsize, maxattr, ops, groups] = attrs;
        if !valid {
            return None;
        }
        sums.count += 1;
        sums.ids += u64::from(id?.u16());
        sums.letters(name?.payload().strip_suffix(&[0])?);
        sums.numbers += u64::from(version?.u32()) + u64::from(hdrsize?.u32()) + u64::from(maxattr?.u32());
        let ops = ops.is_none_or(|ops| ops.parse(|op| add_op(&mut sums, op).is_some()));
        let groups = groups.is_none_or(|groups| groups.parse(|group| add_group(&mut sums, group).is_some()));
        if !ops || !groups {
            return None;
        }
    }
    Some(sums)
}

fn add_op(sums: &mut Families, nest: Attr<'_>) -> Option<()> {
    let mut attrs: Array<'_, 3> = [None; 3];
    let valid = nest.parse(|attr| {
        let number = attr.kind();
        matches!(number, 1 | 2) && attr.is(DataType::U32) && keep(&mut attrs, number, attr)
    });
    let [_, id, flags] = attrs;
    sums.ops += u64::from(id?.u32()) + u64::from(flags?.u32());
    valid.then_some(())
}

fn add_group(sums: &mut Families, nest: Attr<'_>) -> Option<()> {
    let mut attrs: Array<'_, 3> = [None; 3];
    let valid = nest.parse(|attr| {
        let number = attr.kind();
        let valid = match number {
            1 => attr.is(DataType::NulString) && attr.payload().len() <= 16,
            2 => attr.is(DataType::U32),
            _ => false,
        };
        valid && keep(&mut attrs, number, attr)
    });
    let [_, name, id] = attrs;
    sums.groups += u64::from(id?.u32());
    sums.letters(name?.payload().strip_suffix(&[0])?);
    valid.then_some(())
}
