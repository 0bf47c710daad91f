//! Network service headers (RFC 8300): as keys, in `set(nsh(…))`, and in `push_nsh(…)`.

use crate::field::{Field, Kind, print_fields, scan_fields};
use crate::flags::List;
use crate::scan::{Scan, attributes, failure, hex_bytes};
use pfnl_proto::Attrs;
use pfnl_proto::ovs::nsh_key;
use std::fmt::Write;

/// The base header, then the four words of metadata of type 1, as if they lay behind it. The path's 24 bits are read
/// and printed as 32, for their mask is.
const FIELDS: &[Field] = &[
    Field::new("flags", 0, 1, Kind::Nsh8),
    Field::new("ttl", 1, 1, Kind::Nsh8),
    Field::new("mdtype", 2, 1, Kind::Nsh8),
    Field::new("np", 3, 1, Kind::Nsh8),
    Field::new("spi", 4, 3, Kind::Nsh32),
    Field::new("si", 7, 1, Kind::Nsh8),
    Field::new("c1", 8, 4, Kind::Nsh32),
    Field::new("c2", 12, 4, Kind::Nsh32),
    Field::new("c3", 16, 4, Kind::Nsh32),
    Field::new("c4", 20, 4, Kind::Nsh32),
];
const BASE: usize = 8;
const MD1: usize = 16;
/// The fields of the base header.
const BASE_FIELDS: usize = 6;

fn mdtype(header: &[u8]) -> u8 {
    header.get(2).copied().unwrap_or(0)
}

/// Reads a key's attributes, and their masks.
pub(crate) fn scan(input: &str) -> Scan<'_, (Vec<u8>, Vec<u8>)> {
    let (rest, (value, mask)) = scan_fields(FIELDS, BASE + MD1, input)?;
    let with_md1 = mdtype(&value) == 1 || mask.iter().skip(BASE).any(|&byte| byte != 0);
    let put = |header: &[u8]| {
        let (base, md1) = header.split_at_checked(BASE).unwrap_or_default();
        let fill = |w: &mut pfnl_proto::Writer<'_>| {
            w.bytes(nsh_key::BASE, base);
            if with_md1 {
                w.bytes(nsh_key::MD1, md1);
            }
        };
        attributes(rest, fill).map(|(_, bytes)| bytes)
    };
    Ok((rest, (put(&value)?, put(&mask)?)))
}

/// Joins value and mask as the kernel takes them in SET_MASKED: in each attribute, one behind the other.
pub(crate) fn join(value: &[u8], mask: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = pfnl_proto::Writer::new(&mut out);
    for (value, mask) in Attrs::new(value, 0).zip(Attrs::new(mask, 0)) {
        writer.bytes(value.number(), &[value.payload(), mask.payload()].concat());
    }
    drop(writer);
    out
}

/// Prints a key.
pub(crate) fn print(out: &mut String, value: &[u8], mask: Option<&[u8]>) {
    let has_md1 = Attrs::new(value, 0).any(|attr| attr.number() == nsh_key::MD1);
    print_header(out, &collect(value, 0, 1), mask.map(|mask| collect(mask, 0, 1)).as_deref(), has_md1);
}

/// Prints what SET_MASKED holds.
pub(crate) fn print_joined(out: &mut String, payload: &[u8]) {
    print_header(out, &collect(payload, 0, 2), Some(&collect(payload, 1, 2)), true);
}

/// The header's bytes, of attributes whose payloads are `parts` in a row of which one is wanted.
fn collect(attrs: &[u8], part: usize, parts: usize) -> Vec<u8> {
    let mut header = vec![0; BASE + MD1];
    for attr in Attrs::new(attrs, 0) {
        let (at, len) = match attr.number() {
            nsh_key::BASE => (0, BASE),
            nsh_key::MD1 => (BASE, MD1),
            _ => continue,
        };
        if attr.payload().len() == len * parts
            && let Some(from) = attr.payload().get(part * len..(part + 1) * len)
            && let Some(to) = header.get_mut(at..at + len)
        {
            to.copy_from_slice(from);
        }
    }
    header
}

fn print_header(out: &mut String, value: &[u8], mask: Option<&[u8]>, with_md1: bool) {
    let shown = if with_md1 { FIELDS.len() } else { BASE_FIELDS };
    // Without a mask everything is printed, with one what counts.
    let fields = FIELDS.get(..shown).unwrap_or_default();
    print_fields(&mut List::new(out, ','), fields, value, mask, mask.is_none());
}

/// Reads what `push_nsh` pushes: attributes.
pub(crate) fn scan_push(input: &str) -> Scan<'_, Vec<u8>> {
    // Metadata of type 2 is no number: it comes last and is taken off first.
    let end = input.find(')').unwrap_or(input.len());
    let (fields, md2) = match input.get(..end).and_then(|text| text.find("md2=")) {
        Some(at) => input.split_at_checked(at).unwrap_or_default(),
        None => (input.get(..end).unwrap_or_default(), input.get(end..).unwrap_or_default()),
    };
    let text = format!("{})", fields.trim_end_matches([',', ' ']));
    let Ok((_, (mut value, mask))) = scan_fields(FIELDS, BASE + MD1, &text) else {
        return failure("flags=, ttl=, mdtype=, np=, spi=, si=, c1= to c4= or md2= expected", input);
    };
    // What is not given has a default.
    for (at, default) in [(1, 63), (2, 1), (3, 3), (7, 255)] {
        if mask.get(at) == Some(&0)
            && let Some(byte) = value.get_mut(at)
        {
            *byte = default;
        }
    }
    let (base, md1) = value.split_at_checked(BASE).unwrap_or_default();
    match (mdtype(&value), md2.strip_prefix("md2=0x")) {
        (1, None) if md2.starts_with(')') => {
            attributes(md2, |w| _ = w.bytes(nsh_key::BASE, base).bytes(nsh_key::MD1, md1))
        }
        (2, None) if md2.starts_with(')') => attributes(md2, |w| _ = w.bytes(nsh_key::BASE, base)),
        (2, Some(md2)) => {
            let (rest, mut bytes) = hex_bytes(md2)?;
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            if bytes.len() > 248 {
                return failure("too much metadata", md2);
            }
            attributes(rest, |w| _ = w.bytes(nsh_key::BASE, base).bytes(nsh_key::MD2, &bytes))
        }
        _ => failure("mdtype=1 and c1= to c4=, or mdtype=2 and md2=0x expected", input),
    }
}

/// Prints what `push_nsh` pushes.
pub(crate) fn print_push(out: &mut String, payload: &[u8]) {
    let header = collect(payload, 0, 1);
    print_header(out, &header, None, mdtype(&header) == 1);
    let md2 = Attrs::new(payload, 0).find(|attr| attr.number() == nsh_key::MD2);
    match (mdtype(&header), md2) {
        (1, _) => {}
        (2, Some(md2)) => {
            out.push_str(",md2=0x");
            md2.payload().iter().for_each(|byte| _ = write!(out, "{byte:02x}"));
        }
        (2, None) => {}
        _ => out.push_str(",<error: unknown mdtype>"),
    }
}
