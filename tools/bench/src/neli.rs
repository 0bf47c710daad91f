//! neli: messages and their attributes become values of its own, nests on demand.

use crate::{Actions, Families, Fields, Flow, Ipv4};
use neli::FromBytes;
use neli::attr::Attribute;
use neli::genl::{GenlAttrHandle, Genlmsghdr};
use neli::nl::Nlmsghdr;
use std::io::Cursor;

type Handle<'a> = GenlAttrHandle<'a, u16>;

/// Attributes have numbers of the table, each once, all of them read to the end.
fn check(handle: &Handle<'_>, known: u64) -> Option<()> {
    let mut seen = 0_u64;
    for attr in handle.iter() {
        let bit = 1_u64.checked_shl((*attr.nla_type().nla_type()).into())?;
        if known & bit == 0 || seen & bit != 0 {
            return None;
        }
        seen |= bit;
    }
    Some(())
}

fn payload<'a, const N: usize>(handle: &'a Handle<'_>, number: u16) -> Option<&'a [u8; N]> {
    handle.get_attribute(number)?.payload().as_ref().try_into().ok()
}

fn u32(handle: &Handle<'_>, number: u16) -> Option<u32> {
    handle.get_attr_payload_as(number).ok()
}

fn be16(handle: &Handle<'_>, number: u16) -> Option<u16> {
    payload(handle, number).copied().map(u16::from_be_bytes)
}

/// Reads a flow request.
pub fn parse(bytes: &[u8]) -> Option<Flow> {
    let message = Nlmsghdr::<u16, Genlmsghdr<u8, u16, u32>>::from_bytes(&mut Cursor::new(bytes)).ok()?;
    let genl = message.get_payload()?;
    let handle = genl.attrs().get_attr_handle();
    check(&handle, 1 << 1 | 1 << 2 | 1 << 7 | 1 << 9)?;
    Some(Flow {
        dp_ifindex: genl.header().cast_signed(),
        ufid: *payload(&handle, 9)?,
        key: fields(&handle.get_nested_attributes(1).ok()?)?,
        mask: fields(&handle.get_nested_attributes(7).ok()?)?,
        actions: actions(&handle.get_nested_attributes(2).ok()?)?,
    })
}

fn fields(handle: &Handle<'_>) -> Option<Fields> {
    check(handle, 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 18 | 1 << 20 | 1 << 22)?;
    let &[a, b, c, d, e, f, g, h, i, j, k, l] = payload(handle, 4)?;
    let &[m, n, o, p] = payload(handle, 9)?;
    Some(Fields {
        recirc_id: u32(handle, 20)?,
        ct_state: u32(handle, 22)?,
        in_port: u32(handle, 3)?,
        ethernet: [[a, b, c, d, e, f], [g, h, i, j, k, l]],
        ethertype: be16(handle, 6)?,
        ipv4: Ipv4::new(*payload(handle, 7)?),
        tcp: [u16::from_be_bytes([m, n]), u16::from_be_bytes([o, p])],
        tcp_flags: be16(handle, 18)?,
    })
}

fn actions(handle: &Handle<'_>) -> Option<Actions> {
    let (mut set, mut vlan, mut output) = (None, None, None);
    for attr in handle.iter() {
        match *attr.nla_type().nla_type() {
            1 => output = Some(attr.get_payload_as::<u32>().ok()?),
            4 => {
                let &[a, b, c, d] = attr.payload().as_ref().try_into().ok()?;
                vlan = Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            }
            11 => {
                let inside: Handle<'_> = attr.get_attr_handle().ok()?;
                check(&inside, 1 << 7)?;
                let both: &[u8; 24] = payload(&inside, 7)?;
                let (value, mask) = both.split_first_chunk::<12>()?;
                set = Some([Ipv4::new(*value), Ipv4::new(mask.try_into().ok()?)]);
            }
            _ => return None,
        }
    }
    Some(Actions { set: set?, vlan: vlan?, output: output? })
}

/// Reads a dump of families.
pub fn families(mut bytes: &[u8]) -> Option<Families> {
    let mut sums = Families::default();
    while !bytes.is_empty() {
        let message = Nlmsghdr::<u16, Genlmsghdr<u8, u16>>::from_bytes(&mut Cursor::new(bytes)).ok()?;
        bytes = bytes.get((*message.nl_len() as usize).next_multiple_of(4)..).unwrap_or_default();
        let handle = message.get_payload()?.attrs().get_attr_handle();
        check(&handle, 0xfe)?;
        sums.count += 1;
        sums.ids += u64::from(handle.get_attr_payload_as::<u16>(1).ok()?);
        name(&mut sums, &handle, 2)?;
        sums.numbers +=
            u64::from(u32(&handle, 3)?) + u64::from(u32(&handle, 4)?) + u64::from(u32(&handle, 5)?);
        if let Ok(ops) = handle.get_nested_attributes::<u16>(6) {
            for op in ops.iter() {
                let op: Handle<'_> = op.get_attr_handle().ok()?;
                check(&op, 0b110)?;
                sums.ops += u64::from(u32(&op, 1)?) + u64::from(u32(&op, 2)?);
            }
        }
        if let Ok(groups) = handle.get_nested_attributes::<u16>(7) {
            for group in groups.iter() {
                let group: Handle<'_> = group.get_attr_handle().ok()?;
                check(&group, 0b110)?;
                name(&mut sums, &group, 1)?;
                sums.groups += u64::from(u32(&group, 2)?);
            }
        }
    }
    Some(sums)
}

fn name(sums: &mut Families, handle: &Handle<'_>, number: u16) -> Option<()> {
    let name = handle.get_attribute(number)?.payload().as_ref().strip_suffix(&[0])?;
    sums.letters(name);
    (name.len() < 16).then_some(())
}
