//! Flow keys to text. With a mask only what counts is printed, and the mask where not all of a field does.

use crate::field::{Field, hex, print_fields};
use crate::flags::List;
use crate::flow::{CFI, PORT, TCI, VLAN};
use crate::keys::{Key, Shape};
use crate::{MAX_DEPTH, Ports, nsh, tunnel};
use pfnl_proto::ovs::key;
use pfnl_proto::{Attr, Attrs};
use std::fmt::Write;

/// Prints a flow's key: with a mask what counts, with `verbose` everything. An empty mask is none.
pub fn print_flow(key: &[u8], mask: Option<&[u8]>, ports: &Ports, verbose: bool) -> String {
    let mut out = String::new();
    Printer { ports, verbose }.keys(&mut out, key, mask, 1);
    out
}

/// How keys are printed.
#[derive(Clone, Copy)]
pub(crate) struct Printer<'p> {
    pub ports: &'p Ports,
    pub verbose: bool,
}

impl Printer<'_> {
    fn keys(&self, out: &mut String, key: &[u8], mask: Option<&[u8]>, depth: usize) {
        if key.is_empty() {
            return out.push_str("<empty>");
        }
        if depth >= MAX_DEPTH {
            return out.push_str("<nested too deeply>");
        }
        let masks = mask.filter(|mask| !mask.is_empty()).map(|mask| index(Attrs::new(mask, 0)));
        let (mut has_ethertype, mut has_packet_type) = (false, false);
        let mut attrs = Attrs::new(key, 0);
        let mut list = List::new(out, ',');
        for attr in attrs.by_ref() {
            let row = Key::by_number(attr.number());
            let mask = masks.as_ref().map(|masks| find(masks, attr.number()));
            has_ethertype |= attr.number() == key::ETHERTYPE;
            has_packet_type |= attr.number() == key::PACKET_TYPE;
            let wildcard = match (mask, row) {
                (None, _) => false,
                (Some(None), _) => true,
                (Some(Some(mask)), Some(row)) => row.is_wildcard(mask.payload()),
                // Of what it does not know, OVS does not know either what it means that nothing counts.
                (Some(Some(_)), None) => false,
            };
            if self.verbose || !wildcard || row.is_some_and(Key::is_nest) {
                let zeros = vec![0; attr.payload().len()];
                let mask = match mask {
                    None => None,
                    Some(Some(mask)) => Some(mask.payload()),
                    Some(None) if row.is_some_and(Key::is_nest) => Some(&[][..]),
                    Some(None) => Some(&zeros[..]),
                };
                self.key(list.next(), &attr, mask, depth);
            } else if attr.number() == key::ETHERNET && !has_packet_type {
                // That there is an Ethernet header counts, though nothing of it does.
                list.next().push_str("eth()");
            } else if attr.number() == key::PACKET_TYPE {
                has_packet_type = false;
            }
        }
        print_leftover(out, attrs.bytes(), key.len());
        let ethertype =
            masks.as_ref().and_then(|masks| find(masks, key::ETHERTYPE)).and_then(|mask| mask.be16());
        if let Some(ethertype) = ethertype.filter(|_| !has_ethertype) {
            _ = write!(out, ",eth_type(0/0x{ethertype:04x})");
        }
    }

    /// One key, as `name(…)`.
    pub fn key(&self, out: &mut String, attr: &Attr<'_>, mask: Option<&[u8]>, depth: usize) {
        let value = attr.payload();
        let Some(row) = Key::by_number(attr.number()) else {
            _ = write!(out, "key{}(", attr.number());
            print_bytes(out, value);
            if let Some(mask) = mask {
                out.push('/');
                print_bytes(out, mask);
            }
            return out.push(')');
        };
        out.push_str(row.name);
        out.push('(');
        if let Some(len) = row.len()
            && (value.len() != len || mask.is_some_and(|mask| mask.len() != len))
        {
            _ = write!(out, "bad length {}, expected {len}: ", value.len());
            print_bytes(out, value);
        } else {
            self.payload(out, row, value, mask, depth);
        }
        out.push(')');
    }

    fn payload(&self, out: &mut String, row: &Key, value: &[u8], mask: Option<&[u8]>, depth: usize) {
        let bits = |field: &Field| mask.map_or(field.full(), |mask| field.load(mask));
        match &row.shape {
            Shape::One(field) => field.print(out, field.load(value), bits(field), self.verbose),
            Shape::Fields(_, fields) => {
                print_fields(&mut List::new(out, ','), fields, value, mask, self.verbose);
            }
            Shape::Port => match (PORT.load(value) as u32, bits(&PORT)) {
                (port, mask) if mask == PORT.full() => self.ports.print(out, port),
                (port, mask) => {
                    _ = write!(out, "{port}/");
                    hex(out, mask);
                }
            },
            Shape::Vlan => print_tci(out, TCI.load(value) as u32, bits(&TCI) as u32, self.verbose),
            Shape::Mpls => print_labels(out, value, mask.filter(|mask| !row.is_exact(mask))),
            Shape::Tunnel => tunnel::print(out, value, mask, self.verbose),
            Shape::Nsh => nsh::print(out, value, mask),
            Shape::Encap if value.is_empty() => {}
            Shape::Encap => self.keys(out, value, mask, depth.saturating_add(1)),
        }
    }
}

/// A VLAN tag. With a mask of which nothing counts nothing is printed, unless `verbose`.
pub(crate) fn print_tci(out: &mut String, tci: u32, mask: u32, verbose: bool) {
    let mut list = List::new(out, ',');
    for (name, width, shift) in VLAN.iter().take(2) {
        let full = (1 << width) - 1;
        let (value, bits) = (tci >> shift & full, mask >> shift & full);
        if verbose || value != 0 || bits != 0 {
            let out = list.next();
            _ = write!(out, "{name}={value}");
            if bits != full {
                out.push('/');
                // OVS's %x has 0x also before 0.
                _ = write!(out, "{bits:#x}");
            }
        }
    }
    if tci & CFI == 0 {
        list.next().push_str("cfi=0");
    }
}

/// An MPLS label stack entry.
pub(crate) fn print_label(out: &mut String, entry: u32) {
    let [label, tc, ttl, bos] = label_parts(entry);
    _ = write!(out, "label={label},tc={tc},ttl={ttl},bos={bos}");
}

fn label_parts(entry: u32) -> [u32; 4] {
    [entry >> 12, entry >> 9 & 7, entry & 0xff, entry >> 8 & 1]
}

fn print_labels(out: &mut String, value: &[u8], mask: Option<&[u8]>) {
    let (entries, rest) = value.as_chunks::<4>();
    if entries.is_empty() || !rest.is_empty() || mask.is_some_and(|mask| mask.len() != value.len()) {
        _ = write!(out, "bad length {}", value.len());
        return;
    }
    let mut masks = mask.map(|mask| mask.as_chunks::<4>().0.iter());
    let mut list = List::new(out, ',');
    for entry in entries {
        let (out, entry) = (list.next(), u32::from_be_bytes(*entry));
        let Some(bits) = masks.as_mut().and_then(Iterator::next) else {
            print_label(out, entry);
            continue;
        };
        let [label, tc, ttl, bos] = label_parts(entry);
        let [label_bits, tc_bits, ttl_bits, bos_bits] = label_parts(u32::from_be_bytes(*bits));
        _ = write!(
            out,
            "label={label}/{label_bits:#x},tc={tc}/{tc_bits:x},ttl={ttl}/{ttl_bits:#x},bos={bos}/{bos_bits:x}"
        );
    }
}

/// Bytes as two digits each, with blanks between.
pub(crate) fn print_bytes(out: &mut String, bytes: &[u8]) {
    let mut list = List::new(out, ' ');
    bytes.iter().for_each(|byte| _ = write!(list.next(), "{byte:02x}"));
}

/// What is left where no attribute fits.
pub(crate) fn print_leftover(out: &mut String, rest: &[u8], all: usize) {
    if rest.is_empty() {
        return;
    }
    if rest.len() == all {
        out.push_str("<empty>");
    }
    _ = write!(out, ",***{} leftover bytes*** (", rest.len());
    rest.iter().for_each(|byte| _ = write!(out, "{byte:02x}"));
    out.push(')');
}

/// The first attribute of each number that keys have.
type Masks<'a> = [Option<Attr<'a>>; 64];

fn index<'a>(attrs: Attrs<'a>) -> Masks<'a> {
    let mut masks = [None; 64];
    for attr in attrs {
        if let Some(place) = masks.get_mut(usize::from(attr.number())) {
            place.get_or_insert(attr);
        }
    }
    masks
}

fn find<'a>(masks: &Masks<'a>, number: u16) -> Option<Attr<'a>> {
    masks.get(usize::from(number)).copied().flatten()
}

/// A flow's identifier as OVS prints it: `ufid:…`.
pub fn print_ufid(ufid: &[u8; 16]) -> String {
    let word =
        |at: usize| ufid.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_ne_bytes);
    let (b, c) = (word(4), word(8));
    format!(
        "ufid:{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}",
        word(0),
        b >> 16,
        b & 0xffff,
        c >> 16,
        c & 0xffff,
        word(12)
    )
}
