//! Sets of named bits: `+trk-new` (some count), `syn|ack` (all count), or numbers.

use crate::scan::{Scan, failure, number};
use nom::Parser;
use nom::bytes::complete::{tag, take_till1};
use nom::sequence::separated_pair;
use std::fmt::Write;

/// Named bits.
#[derive(Debug)]
pub(crate) struct Flags {
    /// The bits that a mask of all has.
    pub all: u32,
    /// Bits and names, in the order in which they are printed.
    pub names: &'static [(u32, &'static str)],
}

/// `OVS_CS_F_*`.
pub(crate) static CT_STATE: Flags = Flags {
    all: u32::MAX,
    names: &[
        (0x01, "new"),
        (0x02, "est"),
        (0x04, "rel"),
        (0x08, "rpl"),
        (0x10, "inv"),
        (0x20, "trk"),
        (0x40, "snat"),
        (0x80, "dnat"),
    ],
};

/// TCP's flags, 12 bits.
pub(crate) static TCP: Flags = Flags {
    all: 0xfff,
    names: &[
        (0x001, "fin"),
        (0x002, "syn"),
        (0x004, "rst"),
        (0x008, "psh"),
        (0x010, "ack"),
        (0x020, "urg"),
        (0x040, "ece"),
        (0x080, "cwr"),
        (0x100, "ns"),
        (0x200, "[200]"),
        (0x400, "[400]"),
        (0x800, "[800]"),
    ],
};

/// A tunnel key's flags, by OVS's own numbers: on the wire each is an attribute.
pub(crate) static TUNNEL: Flags =
    Flags { all: 0xf, names: &[(TUN_OAM, "oam"), (TUN_DF, "df"), (TUN_CSUM, "csum"), (TUN_KEY, "key")] };
pub(crate) const TUN_OAM: u32 = 1;
pub(crate) const TUN_DF: u32 = 2;
pub(crate) const TUN_CSUM: u32 = 4;
pub(crate) const TUN_KEY: u32 = 8;

/// Why OVS's user space wants a flow's packets (`enum slow_path_reason`).
pub(crate) static SLOW_PATH: Flags = Flags {
    all: 0x7f,
    names: &[
        (0x01, "cfm"),
        (0x02, "bfd"),
        (0x04, "lacp"),
        (0x08, "stp"),
        (0x10, "lldp"),
        (0x20, "action"),
        (0x40, "match"),
    ],
};

impl Flags {
    /// Flags up to a parenthesis: value and mask.
    pub fn scan<'a>(&self, input: &'a str) -> Scan<'a, (u128, u128)> {
        if let Ok((rest, (value, mask))) = separated_pair(number, tag("/"), number).parse(input) {
            return if value | mask <= u128::from(self.all) {
                Ok((rest, (value, mask)))
            } else {
                failure("no such flag", input)
            };
        }
        if input.starts_with(['+', '-']) { self.scan_some(input) } else { self.scan_all(input) }
    }

    /// `+trk-new`.
    fn scan_some<'a>(&self, mut input: &'a str) -> Scan<'a, (u128, u128)> {
        let (mut value, mut mask) = (0, 0);
        while let Some(rest) = input.strip_prefix(['+', '-']) {
            let (end, name) = take_till1(|c| "+-)".contains(c)).parse(rest)?;
            let Some(bit) = self.bit(name).filter(|bit| mask & bit == 0) else {
                return failure("no such flag, or a second time", rest);
            };
            mask |= bit;
            if input.starts_with('+') {
                value |= bit;
            }
            input = end;
        }
        Ok((input, (value, mask)))
    }

    /// `syn|ack|0x200`; OVS prints slow-path reasons with commas.
    fn scan_all<'a>(&self, mut input: &'a str) -> Scan<'a, (u128, u128)> {
        let mut value = 0;
        while !input.is_empty() && !input.starts_with(')') {
            let (rest, bits) = match number(input) {
                Ok(result) => result,
                Err(_) => {
                    let (rest, name) = take_till1(|c| "|,)".contains(c)).parse(input)?;
                    (rest, self.bit(name).unwrap_or(u128::MAX))
                }
            };
            if bits > u128::from(self.all) {
                return failure("no such flag", input);
            }
            value |= bits;
            input = rest.strip_prefix(['|', ',']).unwrap_or(rest);
        }
        Ok((input, (value, u128::from(self.all))))
    }

    fn bit(&self, name: &str) -> Option<u128> {
        self.names.iter().find(|(_, known)| *known == name).map(|(bit, _)| u128::from(*bit))
    }

    /// Appends flags of which those in `mask` count.
    pub fn print(&self, out: &mut String, value: u32, mask: u32) {
        if mask & self.all == self.all {
            return self.print_all(out, value, '|');
        }
        let known = self.names.iter().fold(0, |all, (bit, _)| all | bit);
        if mask & self.all == 0 {
            return out.push_str("0/0");
        }
        if mask & !known & self.all != 0 {
            // OVS prints "[Unknown]" for bits without a name, and cannot read that.
            let hex = |bits: u32| if bits == 0 { "0".to_string() } else { format!("{bits:#x}") };
            _ = write!(out, "{}/{}", hex(value), hex(mask));
            return;
        }
        for (bit, name) in self.names.iter().filter(|(bit, _)| mask & bit != 0) {
            out.push(if value & bit != 0 { '+' } else { '-' });
            out.push_str(name);
        }
    }

    /// Appends the names of the bits of `value`.
    pub fn print_all(&self, out: &mut String, value: u32, between: char) {
        let mut rest = value;
        let mut list = List::new(out, between);
        for (bit, name) in self.names.iter().filter(|(bit, _)| value & bit != 0) {
            list.next().push_str(name);
            rest &= !bit;
        }
        if rest != 0 || value == 0 {
            let out = list.next();
            _ = if value == 0 { write!(out, "0") } else { write!(out, "{rest:#x}") };
        }
    }
}

/// Text with something between its parts.
pub(crate) struct List<'o> {
    out: &'o mut String,
    between: char,
    first: bool,
}

impl<'o> List<'o> {
    pub fn new(out: &'o mut String, between: char) -> List<'o> {
        List { out, between, first: true }
    }

    /// The text, to append the next part to.
    pub fn next(&mut self) -> &mut String {
        if !core::mem::take(&mut self.first) {
            self.out.push(self.between);
        }
        self.out
    }
}
