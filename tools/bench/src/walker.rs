//! By hand, for these messages alone: the yardstick. Every access is checked, nothing is kept in between.

use crate::{Actions, Families, Fields, Flow, Ipv4};

/// A run of attributes: number and payload of the next.
struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    #[inline]
    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let &[a, b, c, d] = self.0.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let payload = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & 0x3fff, payload))
    }

    /// Whether all has been read.
    fn done(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
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

/// The first message.
fn message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::try_from(u32(bytes.get(..4)?)?).ok().filter(|&len| len >= 20)?;
    Some((bytes.get(..len)?, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// Reads a flow request.
pub fn parse(bytes: &[u8]) -> Option<Flow> {
    let (message, _) = message(bytes)?;
    let dp_ifindex = u32(message.get(20..24)?)?.cast_signed();
    let (mut key, mut ufid, mut mask, mut actions) = (None, None, None, None);
    let mut walk = Walk(message.get(24..)?);
    while let Some((number, payload)) = walk.next() {
        match number {
            1 => key = Some(payload),
            2 => actions = Some(payload),
            7 => mask = Some(payload),
            9 => ufid = Some(payload.try_into().ok()?),
            _ => return None,
        }
    }
    walk.done()?;
    let (key, mask, actions) = (fields(key?)?, fields(mask?)?, self::actions(actions?)?);
    Some(Flow { dp_ifindex, ufid: ufid?, key, mask, actions })
}

fn fields(bytes: &[u8]) -> Option<Fields> {
    let (mut recirc_id, mut ct_state, mut in_port, mut ethernet) = (None, None, None, None);
    let (mut ethertype, mut ipv4, mut tcp, mut tcp_flags) = (None, None, None, None);
    let mut walk = Walk(bytes);
    while let Some((number, payload)) = walk.next() {
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
    walk.done()?;
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
    let mut walk = Walk(bytes);
    while let Some((number, payload)) = walk.next() {
        match number {
            1 => output = Some(u32(payload)?),
            4 => {
                let &[a, b, c, d] = payload.try_into().ok()?;
                vlan = Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            }
            11 => {
                let mut walk = Walk(payload);
                let (_, both) = walk.next().filter(|&(number, _)| number == 7)?;
                walk.done()?;
                let (value, mask) = both.split_at_checked(12)?;
                set = Some([Ipv4::new(value.try_into().ok()?), Ipv4::new(mask.try_into().ok()?)]);
            }
            _ => return None,
        }
    }
    walk.done()?;
    Some(Actions { set: set?, vlan: vlan?, output: output? })
}

/// Reads a dump of families.
pub fn families(mut bytes: &[u8]) -> Option<Families> {
    let mut sums = Families::default();
    while !bytes.is_empty() {
        let (message, rest) = message(bytes)?;
        bytes = rest;
        let (mut id, mut name, mut version, mut hdrsize, mut maxattr) = (None, None, None, None, None);
        let mut walk = Walk(message.get(20..)?);
        while let Some((number, payload)) = walk.next() {
            match number {
                1 => id = Some(u16::from_ne_bytes(payload.try_into().ok()?)),
                2 => name = Some(payload.strip_suffix(&[0]).filter(|name| name.len() < 16)?),
                3 => version = Some(u32(payload)?),
                4 => hdrsize = Some(u32(payload)?),
                5 => maxattr = Some(u32(payload)?),
                6 => ops(payload, &mut sums)?,
                7 => groups(payload, &mut sums)?,
                _ => return None,
            }
        }
        walk.done()?;
        sums.count += 1;
        sums.ids += u64::from(id?);
        sums.letters(name?);
        sums.numbers += u64::from(version?) + u64::from(hdrsize?) + u64::from(maxattr?);
    }
    Some(sums)
}

fn ops(bytes: &[u8], sums: &mut Families) -> Option<()> {
    let mut walk = Walk(bytes);
    while let Some((_, nest)) = walk.next() {
        let (mut id, mut flags) = (None, None);
        let mut walk = Walk(nest);
        while let Some((number, payload)) = walk.next() {
            match number {
                1 => set(&mut id, u32(payload)?)?,
                2 => set(&mut flags, u32(payload)?)?,
                _ => return None,
            }
        }
        walk.done()?;
        sums.ops += u64::from(id?) + u64::from(flags?);
    }
    walk.done()
}

fn groups(bytes: &[u8], sums: &mut Families) -> Option<()> {
    let mut walk = Walk(bytes);
    while let Some((_, nest)) = walk.next() {
        let (mut id, mut name) = (None, None);
        let mut walk = Walk(nest);
        while let Some((number, payload)) = walk.next() {
            match number {
                1 => set(&mut name, payload.strip_suffix(&[0]).filter(|name| name.len() < 16)?)?,
                2 => set(&mut id, u32(payload)?)?,
                _ => return None,
            }
        }
        walk.done()?;
        sums.groups += u64::from(id?);
        sums.letters(name?);
    }
    walk.done()
}
