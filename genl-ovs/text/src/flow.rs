//! Flow keys: `in_port(1),eth(src=…/…),eth_type(0x0800),…` to a key and its mask.

use crate::error::{Error, Trouble};
use crate::field::{Field, Kind, scan_fields};
use crate::keys::{Key, Shape};
use crate::scan::{Scan, after, delimiters, error, failure, hex_bytes, int, masked, up_to, word};
use crate::{MAX_DEPTH, Ports, nsh, tunnel};
use nom::Parser;
use nom::bytes::complete::{tag, take_till1};
use nom::combinator::{cut, opt};
use nom::sequence::preceded;
use pfnl_proto::Writer;
use pfnl_proto::ovs::flow;

/// A flow as text describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// `ufid:…`, if it was there.
    pub ufid: Option<[u8; 16]>,
    /// `OVS_KEY_ATTR_*` attributes.
    pub key: Vec<u8>,
    /// The same attributes, with the bits that count.
    pub mask: Vec<u8>,
}

impl Flow {
    /// Appends `OVS_FLOW_ATTR_KEY`, `MASK` and, if there is one, `UFID`.
    pub fn put(&self, writer: &mut Writer<'_>) {
        let mut put = flow::Put(writer);
        put.key(|w| _ = w.raw(&self.key)).mask(|w| _ = w.raw(&self.mask));
        if let Some(ufid) = &self.ufid {
            put.ufid(ufid);
        }
    }
}

/// A key's attribute and its mask's.
pub(crate) struct Item {
    pub number: u16,
    pub value: Vec<u8>,
    pub mask: Vec<u8>,
}

/// Reads a flow's key and mask. Each key is right in itself; whether they fit together, a datapath decides.
///
/// # Errors
/// Where the text is no key, a number does not fit, or key or mask are too long for an attribute.
pub fn parse_flow(text: &str, ports: &Ports) -> Result<Flow, Error> {
    let (mut out, mut rest) = (Flow::default(), delimiters(text));
    while !rest.is_empty() {
        let fail = |trouble: nom::Err<Trouble<'_>>| match trouble {
            nom::Err::Error(trouble) | nom::Err::Failure(trouble) => Error::new(text, rest, &trouble),
            nom::Err::Incomplete(_) => Error::new(text, rest, &Trouble { what: "syntax error", at: "" }),
        };
        let (after_ufid, ufid) = opt(after("ufid:", ufid)).parse(rest).map_err(fail)?;
        out.ufid = ufid.or(out.ufid);
        if ufid.is_some() && delimiters(after_ufid).is_empty() {
            break;
        }
        let (after, item) = item(delimiters(after_ufid), ports, 1).map_err(fail)?;
        put(&mut out, &item, after).map_err(fail)?;
        rest = delimiters(after);
    }
    Ok(out)
}

fn put<'a>(out: &mut Flow, item: &Item, at: &'a str) -> Result<(), nom::Err<Trouble<'a>>> {
    for (buf, payload) in [(&mut out.key, &item.value), (&mut out.mask, &item.mask)] {
        let mut writer = Writer::with_limit(buf, usize::from(u16::MAX));
        if writer.bytes(item.number, payload).result().is_err() {
            return Err(nom::Err::Failure(Trouble { what: "too long for a netlink attribute", at }));
        }
    }
    Ok(())
}

/// One key: `name(…)`.
pub(crate) fn item<'a>(input: &'a str, ports: &Ports, depth: usize) -> Scan<'a, Item> {
    if depth >= MAX_DEPTH {
        return failure("nested too deeply", input);
    }
    let (rest, name) = word(input)?;
    let (rest, _) = cut(tag("(")).parse(rest)?;
    let (rest, item) = match Key::by_name(name) {
        Some(key) => {
            let (rest, (value, mask)) = payload(key, rest, ports, depth)?;
            (rest, Item { number: key.number, value, mask })
        }
        None => generic(input, name, rest)?,
    };
    let (rest, _) = cut(tag(")")).parse(rest)?;
    Ok((rest, item))
}

/// What stands between a key's parentheses: value and mask.
fn payload<'a>(key: &Key, input: &'a str, ports: &Ports, depth: usize) -> Scan<'a, (Vec<u8>, Vec<u8>)> {
    let encode = |field: &Field, (value, bits)| {
        let (mut out, mut mask) = (vec![0; field.width], vec![0; field.width]);
        field.store(&mut out, value);
        field.store(&mut mask, bits);
        (out, mask)
    };
    match &key.shape {
        // OVS reads no mask for recirc_id: all of it counts. Here it may be given.
        Shape::One(field) => field.scan(input).map(|(rest, pair)| (rest, encode(field, pair))),
        Shape::Fields(len, fields) => scan_fields(fields, *len, input),
        Shape::Port => {
            let pair = if input.starts_with(|c: char| c.is_ascii_digit()) {
                PORT.scan(input)
            } else {
                port(input, ports).map(|(rest, port)| (rest, (port.into(), PORT.full())))
            };
            pair.map(|(rest, pair)| (rest, encode(&PORT, pair)))
        }
        Shape::Vlan => {
            let (rest, mut tags) = bits(VLAN, CFI, 1, input)?;
            let (value, mask) = tags.pop().unwrap_or_default();
            Ok((rest, encode(&TCI, (value.into(), mask.into()))))
        }
        Shape::Mpls => {
            let (rest, entries) = bits(MPLS, 0, MAX_LABELS, input)?;
            let (mut value, mut mask) = (Vec::new(), Vec::new());
            for (entry, bits) in entries {
                let (entry, bits) = encode(&LSE, (entry.into(), bits.into()));
                value.extend(entry);
                mask.extend(bits);
            }
            Ok((rest, (value, mask)))
        }
        Shape::Tunnel => tunnel::scan(input),
        Shape::Nsh => nsh::scan(input),
        Shape::Encap => {
            let (mut out, mut rest) = (Flow::default(), delimiters(input));
            while !rest.starts_with(')') {
                let (after, item) = item(rest, ports, depth.saturating_add(1))?;
                put(&mut out, &item, after)?;
                rest = delimiters(after);
            }
            Ok((rest, (out.key, out.mask)))
        }
    }
}

/// `key32(00 01/ff ff)`: a key that OVS has no name for.
fn generic<'a>(at: &'a str, name: &str, input: &'a str) -> Scan<'a, Item> {
    let Some(number) = name.strip_prefix("key").and_then(|digits| digits.parse::<u16>().ok()) else {
        return failure("no such key", at);
    };
    let (rest, value) = hex_bytes(input)?;
    let (rest, mask) = opt(preceded(tag("/"), hex_bytes)).parse(rest)?;
    let mask = mask.unwrap_or_else(|| vec![0xff; value.len()]);
    if mask.len() == value.len() {
        Ok((rest, Item { number, value, mask }))
    } else {
        failure("value and mask of different lengths", input)
    }
}

/// A port's name.
pub(crate) fn port<'a>(input: &'a str, ports: &Ports) -> Scan<'a, u32> {
    let (rest, name) = take_till1(|c| ", \t\r\n)".contains(c)).parse(input)?;
    ports.number(name).map_or_else(|| error("no such port", input), |number| Ok((rest, number)))
}

pub(crate) const PORT: Field = Field::host("", 0, 4, Kind::Dec);
pub(crate) const TCI: Field = Field::new("", 0, 2, Kind::Dec);
const LSE: Field = Field::new("", 0, 4, Kind::Dec);
/// The bit of a TCI that says that there is a tag.
pub(crate) const CFI: u32 = 1 << 12;
const MAX_LABELS: usize = 3;

/// A name and the bits of a word that it stands for: how many, and from which.
pub(crate) type Bits = (&'static str, u32, u32);
pub(crate) const VLAN: &[Bits] = &[("vid", 12, 0), ("pcp", 3, 13), ("cfi", 1, 12)];
const MPLS: &[Bits] = &[("label", 20, 12), ("tc", 3, 9), ("ttl", 8, 0), ("bos", 1, 8)];

/// Reads `vid=5,pcp=3/0x7` into words; where a name comes again, the next word starts.
fn bits<'a>(names: &[Bits], start: u32, most: usize, mut input: &'a str) -> Scan<'a, Vec<(u32, u32)>> {
    let mut words = vec![(start, start)];
    let mut seen = Vec::new();
    while !input.starts_with(')') {
        let (rest, name) = word(input)?;
        let Some(&(name, width, shift)) = names.iter().find(|(known, ..)| *known == name) else {
            return failure("no such field", input);
        };
        if seen.contains(&name) {
            if words.len() == most {
                return failure("given twice", input);
            }
            words.push((start, start));
            seen.clear();
        }
        seen.push(name);
        let full = (1_u32 << width) - 1;
        let (rest, _) = cut(tag("=")).parse(rest)?;
        let (rest, (value, mask)) = masked(full.into(), up_to(full.into()))(rest)?;
        if let Some((word, bits)) = words.last_mut() {
            // Both fit, as `up_to` saw to.
            *word = *word & !(full << shift) | (value as u32) << shift;
            *bits = *bits & !(full << shift) | (mask as u32) << shift;
        }
        input = match rest.strip_prefix(',') {
            Some(more) => more,
            None if rest.starts_with(')') => rest,
            None => return failure(", or ) expected", rest),
        };
    }
    Ok((input, words))
}

/// `01234567-89ab-cdef-0123-456789abcdef`: four 32-bit words, as they lie in OVS's memory.
fn ufid(input: &str) -> Scan<'_, [u8; 16]> {
    let (rest, text) =
        nom::bytes::complete::take_while(|c: char| c.is_ascii_hexdigit() || c == '-').parse(input)?;
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(value) if digits.len() == 32 => {
            let mut out = [0; 16];
            for (out, word) in out.chunks_exact_mut(4).zip(value.to_be_bytes().as_chunks().0) {
                out.copy_from_slice(&u32::from_be_bytes(*word).to_ne_bytes());
            }
            Ok((rest, out))
        }
        _ => failure("UFID expected", input),
    }
}

/// `name=` and a decimal or hexadecimal number.
pub(crate) fn argument<'a, T: TryFrom<u128>>(name: &'static str, input: &'a str) -> Scan<'a, T> {
    after(name, int).parse(input)
}
