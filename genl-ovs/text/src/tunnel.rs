//! Tunnel keys: `tunnel(tun_id=0x5,src=10.0.0.1,dst=10.0.0.2,ttl=64,geneve({…}),flags(df|key))`.
//!
//! Each field is an attribute of its own; so is each flag, but `key`, which tells that there is a tunnel id.

use crate::field::{Field, Kind, hex, print_fields, scan_fields};
use crate::flags::{List, TUN_CSUM, TUN_DF, TUN_KEY, TUN_OAM, TUNNEL};
use crate::print::{print_bytes, print_leftover};
use crate::scan::{Scan, attributes, failure, long_number, paren, word};
use nom::Parser;
use nom::bytes::complete::tag;
use nom::combinator::{cut, opt};
use nom::sequence::{delimited, preceded};
use pfnl_proto::ovs::{tunnel_key, vxlan_opt};
use pfnl_proto::{Attr, Attrs, Writer};
use std::fmt::Write;

const FIELDS: &[(u16, Field)] = &[
    (tunnel_key::ID, Field::new("tun_id", 0, 8, Kind::Hex0x)),
    (tunnel_key::IPV4_SRC, Field::new("src", 0, 4, Kind::Ipv4)),
    (tunnel_key::IPV4_DST, Field::new("dst", 0, 4, Kind::Ipv4)),
    (tunnel_key::IPV6_SRC, Field::new("ipv6_src", 0, 16, Kind::Ipv6)),
    (tunnel_key::IPV6_DST, Field::new("ipv6_dst", 0, 16, Kind::Ipv6)),
    (tunnel_key::TOS, Field::new("tos", 0, 1, Kind::Hex)),
    (tunnel_key::TTL, Field::new("ttl", 0, 1, Kind::Dec)),
    (tunnel_key::TP_SRC, Field::new("tp_src", 0, 2, Kind::Dec)),
    (tunnel_key::TP_DST, Field::new("tp_dst", 0, 2, Kind::Dec)),
];

/// Flags on the wire.
const FLAGS: &[(u32, u16)] =
    &[(TUN_DF, tunnel_key::DONT_FRAGMENT), (TUN_CSUM, tunnel_key::CSUM), (TUN_OAM, tunnel_key::OAM)];

/// VXLAN's group policy: 32 bits in host order, of which these are named.
const GBP: &[Field] = if cfg!(target_endian = "little") {
    &[Field::host("id", 0, 2, Kind::Dec), Field::host("flags", 2, 1, Kind::Hex)]
} else {
    &[Field::host("id", 2, 2, Kind::Dec), Field::host("flags", 1, 1, Kind::Hex)]
};

/// `struct erspan_metadata`: the version in host order, then the index (version 1), or a structure of which
/// the last byte is named here (version 2).
const ERSPAN_LEN: usize = 12;
const VERSION: Field = Field::host("ver", 0, 4, Kind::Dec);
const INDEX: Field = Field::new("idx", 4, 4, Kind::Hex);
/// Hardware id in the upper 4 bits, direction in bit 3.
const LAST: Field = Field::new("", 11, 1, Kind::Hex);

/// One attribute's payload in key and mask; `None` where the mask or the key has none.
type Pair = (u16, Option<Vec<u8>>, Option<Vec<u8>>);

/// Reads a tunnel key's attributes, and their masks.
pub(crate) fn scan(mut input: &str) -> Scan<'_, (Vec<u8>, Vec<u8>)> {
    let mut pairs: Vec<Pair> = Vec::new();
    while !input.starts_with(')') {
        let (rest, name) = word(input)?;
        let (rest, _) = match FIELDS.iter().find(|(_, field)| field.name == name) {
            Some((number, field)) => {
                let (rest, _) = cut(tag("=")).parse(rest)?;
                let (rest, (value, mask)) = field.scan(rest)?;
                let encode = |value| {
                    let mut out = vec![0; field.width];
                    field.store(&mut out, value);
                    Some(out)
                };
                pairs.push((*number, encode(value), encode(mask)));
                (rest, ())
            }
            None => options(name, input, rest, &mut pairs)?,
        };
        input = match rest.strip_prefix(',') {
            Some(more) => more,
            None if rest.starts_with(')') => rest,
            None => return failure(", or ) expected", rest),
        };
    }
    let put = |writer: &mut Writer<'_>, number: u16, payload: &Option<Vec<u8>>| {
        payload.iter().for_each(|payload| _ = writer.bytes(number, payload));
    };
    let (_, key) = attributes(input, |w| pairs.iter().for_each(|(number, key, _)| put(w, *number, key)))?;
    let (_, mask) = attributes(input, |w| pairs.iter().for_each(|(number, _, mask)| put(w, *number, mask)))?;
    Ok((input, (key, mask)))
}

/// What has parentheses of its own.
fn options<'a>(name: &str, at: &'a str, input: &'a str, pairs: &mut Vec<Pair>) -> Scan<'a, ()> {
    match name {
        "flags" => {
            let (rest, (value, mask)) = paren(|input| TUNNEL.scan(input)).parse(input)?;
            for (bit, number) in FLAGS {
                let is_in = |flags: u128| (flags & u128::from(*bit) != 0).then(Vec::new);
                pairs.push((*number, is_in(value), is_in(mask)));
            }
            Ok((rest, ()))
        }
        "vxlan" => {
            let gbp = preceded(tag("gbp"), paren(|input| scan_fields(GBP, 4, input)));
            let (rest, (value, mask)) = paren(gbp).parse(input)?;
            let (_, value) = attributes(rest, |w| _ = w.bytes(vxlan_opt::GBP, &value))?;
            let (_, mask) = attributes(rest, |w| _ = w.bytes(vxlan_opt::GBP, &mask))?;
            pairs.push((tunnel_key::VXLAN_OPTS, Some(value), Some(mask)));
            Ok((rest, ()))
        }
        "geneve" => {
            let (rest, (value, mask)) = paren(geneve).parse(input)?;
            pairs.push((tunnel_key::GENEVE_OPTS, Some(value), Some(mask)));
            Ok((rest, ()))
        }
        "erspan" => {
            let (rest, (value, mask)) = paren(erspan).parse(input)?;
            pairs.push((tunnel_key::ERSPAN_OPTS, Some(value), Some(mask)));
            Ok((rest, ()))
        }
        "gtpu" => failure("gtpu is OVS's user-space datapath's, not the kernel's", at),
        _ => failure("no such field", at),
    }
}

fn erspan(input: &str) -> Scan<'_, (Vec<u8>, Vec<u8>)> {
    // Direction and hardware id share a byte: each is read to a place of its own behind the structure.
    const FIELDS: &[Field] = &[
        VERSION,
        INDEX,
        Field::new("dir", ERSPAN_LEN, 1, Kind::Dec),
        Field::new("hwid", ERSPAN_LEN + 1, 1, Kind::Hex),
    ];
    let (rest, (mut value, mut mask)) = scan_fields(FIELDS, ERSPAN_LEN + 2, input)?;
    let version = VERSION.load(&value);
    let byte = |from: &[u8], at: usize| from.get(ERSPAN_LEN + at).copied().unwrap_or(0);
    let (dir, hwid) = (byte(&value, 0), byte(&value, 1));
    if !(1..=2).contains(&version) || dir > 1 || hwid > 15 {
        return failure("ver=1 or 2, dir=0 or 1, hwid below 16 expected", input);
    }
    let last = |dir: u8, hwid: u8| u128::from(hwid << 4 | (dir & 1) << 3);
    if version == 2 {
        if INDEX.load(&mask) != 0 {
            return failure("an index is version 1's", input);
        }
        let bits = last(byte(&mask, 0), byte(&mask, 1));
        LAST.store(&mut value, last(dir, hwid));
        LAST.store(&mut mask, bits);
    } else if byte(&mask, 0) | byte(&mask, 1) != 0 {
        return failure("dir and hwid are version 2's", input);
    }
    value.truncate(ERSPAN_LEN);
    mask.truncate(ERSPAN_LEN);
    Ok((rest, (value, mask)))
}

/// A Geneve option's header: class, type, and in the low 5 bits of the last byte the length of what follows, in
/// words.
const GENEVE: &[Field] = &[
    Field::new("class", 0, 2, Kind::Hex),
    Field::new("type", 2, 1, Kind::Hex),
    Field::new("len", 3, 1, Kind::Dec),
];
const LENGTH: u8 = 0x1f;
const MOST_OPTIONS: usize = 255;

/// `{class=0xffff,type=0x1,len=4,0xa/0xff}…`.
fn geneve(mut input: &str) -> Scan<'_, (Vec<u8>, Vec<u8>)> {
    let (mut all, mut masks) = (Vec::new(), Vec::new());
    while input.starts_with('{') {
        let (rest, (value, mask)) = delimited(tag("{"), cut(option), cut(tag("}"))).parse(input)?;
        all.extend(value);
        masks.extend(mask);
        if all.len() > MOST_OPTIONS {
            return failure("too many Geneve options", input);
        }
        input = rest;
    }
    Ok((input, (all, masks)))
}

fn option(mut input: &str) -> Scan<'_, (Vec<u8>, Vec<u8>)> {
    let (mut header, mut header_mask) = (vec![0; 4], vec![0; 4]);
    let (mut len, mut data) = (0_usize, None);
    while !input.starts_with('}') {
        let named =
            GENEVE.iter().find_map(|field| Some((field, input.strip_prefix(field.name)?.strip_prefix('=')?)));
        let rest = match named {
            Some((field, rest)) => {
                let (rest, (value, mask)) = field.scan(rest)?;
                if field.name == "len" {
                    if value > 124 || value % 4 != 0 {
                        return failure("a multiple of 4 up to 124 expected", input);
                    }
                    // At most 124.
                    len = value as usize;
                    field.store(&mut header, value / 4);
                    field.store(&mut header_mask, mask & u128::from(LENGTH));
                } else {
                    field.store(&mut header, value);
                    field.store(&mut header_mask, mask);
                }
                rest
            }
            None => {
                let (rest, value) = long_number(len)(input)?;
                let (rest, mask) = opt(preceded(tag("/"), cut(long_number(len)))).parse(rest)?;
                data = Some((value, mask.unwrap_or_else(|| vec![0xff; len])));
                rest
            }
        };
        input = match rest.strip_prefix(',') {
            Some(more) => more,
            None if rest.starts_with('}') => rest,
            None => return failure(", or } expected", rest),
        };
    }
    let (value, mask) = data.unwrap_or_else(|| (vec![0; len], vec![0; len]));
    if value.len() != len {
        return failure("the length comes first", input);
    }
    header.extend(value);
    header_mask.extend(mask);
    Ok((input, (header, header_mask)))
}

/// Prints a tunnel key. An empty mask says that nothing counts.
pub(crate) fn print(out: &mut String, value: &[u8], mask: Option<&[u8]>, verbose: bool) {
    let find = |number| mask.and_then(|mask| Attrs::new(mask, 0).find(|attr| attr.number() == number));
    let bit_of = |number| FLAGS.iter().find(|(_, flag)| *flag == number).map_or(0, |(bit, _)| *bit);
    let (mut flags, mut flag_mask) = (0, 0);
    let mut list = List::new(out, ',');
    let mut attrs = Attrs::new(value, 0);
    for attr in attrs.by_ref() {
        let zeros = vec![0; attr.payload().len()];
        let found: Option<Attr<'_>> = find(attr.number());
        let mask = mask.map(|_| found.map_or(&zeros[..], |mask| mask.payload()));
        match attr.number() {
            tunnel_key::PAD => {}
            number if bit_of(number) != 0 => flags |= bit_of(number),
            number => {
                if number == tunnel_key::ID {
                    flags |= TUN_KEY;
                    flag_mask |= TUN_KEY;
                }
                print_attr(&mut list, &attr, mask, verbose);
            }
        }
    }
    // A flag may count without being set.
    match mask {
        None => flag_mask = TUNNEL.all,
        Some(mask) => Attrs::new(mask, 0).for_each(|attr| flag_mask |= bit_of(attr.number())),
    }
    if verbose || flag_mask != 0 {
        let out = list.next();
        out.push_str("flags(");
        TUNNEL.print(out, flags, flag_mask);
        out.push(')');
    }
    print_leftover(out, attrs.bytes(), value.len());
}

fn print_attr(list: &mut List<'_>, attr: &Attr<'_>, mask: Option<&[u8]>, verbose: bool) {
    let value = attr.payload();
    if let Some((_, field)) = FIELDS.iter().find(|(number, _)| *number == attr.number()) {
        let right = |bytes: &[u8]| bytes.len() == field.width;
        if right(value) && mask.is_none_or(right) {
            return print_fields(list, &[*field], value, mask, verbose);
        }
    }
    let name = match attr.number() {
        tunnel_key::VXLAN_OPTS => Some("vxlan"),
        tunnel_key::GENEVE_OPTS => Some("geneve"),
        tunnel_key::ERSPAN_OPTS if value.len() == ERSPAN_LEN => Some("erspan"),
        _ => None,
    };
    let out = list.next();
    let Some(name) = name else {
        _ = write!(out, "key{}(", attr.number());
        print_bytes(out, value);
        return out.push(')');
    };
    out.push_str(name);
    out.push('(');
    match attr.number() {
        tunnel_key::VXLAN_OPTS => print_vxlan(out, value, mask, verbose),
        tunnel_key::GENEVE_OPTS => print_geneve(out, value, mask, verbose),
        _ => print_erspan(out, value, mask, verbose),
    }
    out.push(')');
}

fn print_vxlan(out: &mut String, value: &[u8], mask: Option<&[u8]>, verbose: bool) {
    let find = |bytes| Attrs::new(bytes, 0).find(|attr| attr.number() == vxlan_opt::GBP);
    if let Some(gbp) = find(value) {
        let mask = mask.map(|mask| find(mask).map_or(&[][..], |mask| mask.payload()));
        out.push_str("gbp(");
        print_fields(&mut List::new(out, ','), GBP, gbp.payload(), mask, verbose);
        out.push(')');
    }
}

fn print_erspan(out: &mut String, value: &[u8], mask: Option<&[u8]>, verbose: bool) {
    // OVS shows the version as one byte.
    let short = Field { width: 1, at: if cfg!(target_endian = "little") { 0 } else { 3 }, ..VERSION };
    let mut list = List::new(out, ',');
    print_fields(&mut list, &[short], value, mask, verbose);
    match VERSION.load(value) {
        1 => {
            let out = list.next();
            out.push_str("idx=");
            hex(out, INDEX.load(value));
            if let Some(mask) = mask {
                out.push('/');
                hex(out, INDEX.load(mask));
            }
        }
        2 => {
            let parts = |bytes: &[u8]| {
                let last = LAST.load(bytes) as u8;
                [last >> 3 & 1, last >> 4]
            };
            // A mask of all bits is shown as a whole byte's.
            let [dir, hwid] = mask.map_or([1, 15], parts);
            let mask = [if dir == 1 { 0xff } else { dir }, if hwid == 15 { 0xff } else { hwid }];
            let fields = [Field::new("dir", 0, 1, Kind::Dec), Field::new("hwid", 1, 1, Kind::Hex)];
            print_fields(&mut list, &fields, &parts(value), Some(&mask), verbose);
        }
        _ => {}
    }
}

fn print_geneve(out: &mut String, mut value: &[u8], mask: Option<&[u8]>, verbose: bool) {
    if let Some(mask) = mask.filter(|mask| mask.len() != value.len()) {
        _ = write!(out, "value len {} different from mask len {}", value.len(), mask.len());
        return;
    }
    let mut mask = mask;
    while !value.is_empty() {
        let len = 4 + value.get(3).map_or(0, |byte| usize::from(byte & LENGTH) * 4);
        let (Some((option, rest)), Some(options_mask)) = (
            value.split_at_checked(len),
            mask.map_or(Some(None), |mask| mask.split_at_checked(len).map(Some)),
        ) else {
            _ = write!(out, "opt len {len} greater than remaining {}", value.len());
            return;
        };
        out.push('{');
        print_option(out, option, options_mask.map(|(mask, _)| mask), verbose);
        out.push('}');
        value = rest;
        mask = options_mask.map(|(_, rest)| rest);
    }
}

fn print_option(out: &mut String, option: &[u8], mask: Option<&[u8]>, verbose: bool) {
    let (header, data) = option.split_at_checked(4).unwrap_or_default();
    let masks = mask.map(|mask| mask.split_at_checked(4).unwrap_or_default());
    // The length is printed in bytes, and its 5 bits' mask as a whole byte's.
    let mut shown = header.to_vec();
    let mut shown_mask = masks.map(|(mask, _)| mask.to_vec());
    if let Some(byte) = shown.last_mut() {
        *byte = (*byte & LENGTH) * 4;
    }
    if let Some(byte) = shown_mask.as_mut().and_then(|mask| mask.last_mut()) {
        *byte = if *byte & LENGTH == LENGTH { 0xff } else { *byte & LENGTH };
    }
    let mut list = List::new(out, ',');
    print_fields(&mut list, GENEVE, &shown, shown_mask.as_deref(), verbose);
    let data_mask = masks.map(|(_, mask)| mask);
    if !data.is_empty() && (verbose || data_mask.is_none_or(|mask| mask.iter().any(|&byte| byte != 0))) {
        let out = list.next();
        print_hex(out, data);
        if let Some(mask) = data_mask.filter(|mask| mask.iter().any(|&byte| byte != 0xff)) {
            out.push('/');
            print_hex(out, mask);
        }
    }
}

/// Bytes as one hexadecimal number, without leading zeros.
pub(crate) fn print_hex(out: &mut String, bytes: &[u8]) {
    let significant = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    match bytes.get(significant..).unwrap_or_default() {
        [] => out.push('0'),
        [first, rest @ ..] => {
            _ = write!(out, "{first:#x}");
            rest.iter().for_each(|byte| _ = write!(out, "{byte:02x}"));
        }
    }
}
