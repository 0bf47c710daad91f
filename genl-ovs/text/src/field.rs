//! One field of a key: where it lies in its attribute, how it is read and printed.

use crate::flags::{Flags, List};
use crate::scan::{Scan, ethernet, failure, ipv4, ipv6, masked, up_to, word};
use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt::Write;

/// How a field looks in text. All fit 128 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A decimal number; its mask in hexadecimal.
    Dec,
    /// A hexadecimal number, 0 without 0x.
    Hex,
    /// A hexadecimal number, 0x also before 0.
    Hex0x,
    /// A hexadecimal number of at least four digits, its mask too.
    Hex4,
    /// As `Dec`, but in hexadecimal of two digits where not all bits count: NSH's bytes.
    Nsh8,
    /// As `Hex0x`, its mask of eight digits: NSH's words.
    Nsh32,
    /// An Ethernet address.
    Ethernet,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An IPv6 flow label: 20 bits.
    Label,
    /// What part of a fragmented packet.
    Frag,
    /// Named bits; where all is printed, as a number if so said.
    Flags(&'static Flags, bool),
}

/// Byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Network,
    Host,
}

/// A field and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub at: usize,
    pub width: usize,
    pub order: Order,
    pub kind: Kind,
}

const LABEL: u128 = 0xfffff;

impl Field {
    /// A field in network byte order.
    pub const fn new(name: &'static str, at: usize, width: usize, kind: Kind) -> Field {
        Field { name, at, width, order: Order::Network, kind }
    }

    /// A field in host byte order.
    pub const fn host(name: &'static str, at: usize, width: usize, kind: Kind) -> Field {
        Field { name, at, width, order: Order::Host, kind }
    }

    /// The mask of a field of which all counts.
    pub fn full(&self) -> u128 {
        match self.kind {
            Kind::Label => LABEL,
            Kind::Flags(flags, _) => flags.all.into(),
            _ => self.most(),
        }
    }

    /// The greatest value that fits.
    fn most(&self) -> u128 {
        u128::MAX.checked_shr(128_u32.saturating_sub(self.width as u32 * 8)).unwrap_or(0)
    }

    /// Reads value and mask.
    pub fn scan<'a>(&self, input: &'a str) -> Scan<'a, (u128, u128)> {
        let full = self.full();
        match self.kind {
            Kind::Ethernet => masked(full, ethernet)(input),
            Kind::Ipv4 => masked(full, ipv4)(input),
            Kind::Ipv6 => masked(full, ipv6)(input),
            Kind::Frag => {
                let (rest, text) = word(input)?;
                match FRAGMENTS.iter().position(|name| *name == text) {
                    Some(value) => Ok((rest, (value as u128, full))),
                    None => failure("no, first or later expected", input),
                }
            }
            // Without a mask, bits that have no name count too.
            Kind::Flags(flags, _) => {
                let (rest, (value, mask)) = flags.scan(input)?;
                Ok((rest, (value, if mask == full { self.most() } else { mask })))
            }
            _ => masked(full, up_to(full))(input),
        }
    }

    /// The field in an attribute's payload.
    pub fn load(&self, payload: &[u8]) -> u128 {
        let bytes = payload.get(self.at..).and_then(|rest| rest.get(..self.width)).unwrap_or_default();
        let shift = |all: u128, &byte: &u8| all << 8 | u128::from(byte);
        match self.order {
            Order::Host if cfg!(target_endian = "little") => bytes.iter().rev().fold(0, shift),
            _ => bytes.iter().fold(0, shift),
        }
    }

    /// Puts the field into an attribute's payload.
    pub fn store(&self, payload: &mut [u8], value: u128) {
        let bytes = value.to_be_bytes();
        let bytes = bytes.get(bytes.len().saturating_sub(self.width)..).unwrap_or_default();
        let Some(out) = payload.get_mut(self.at..).and_then(|rest| rest.get_mut(..bytes.len())) else {
            return;
        };
        out.copy_from_slice(bytes);
        if self.order == Order::Host && cfg!(target_endian = "little") {
            out.reverse();
        }
    }

    /// Appends value and, unless all counts, mask; `verbose` where a mask need not say what to print.
    pub fn print(&self, out: &mut String, value: u128, mask: u128, verbose: bool) {
        let full = mask & self.full() == self.full();
        let start = out.len();
        match self.kind {
            Kind::Dec => _ = write!(out, "{value}"),
            Kind::Nsh8 if full => _ = write!(out, "{value}"),
            Kind::Nsh8 => _ = write!(out, "0x{value:02x}"),
            Kind::Hex | Kind::Label => hex(out, value),
            Kind::Hex0x | Kind::Nsh32 => _ = write!(out, "{value:#x}"),
            Kind::Flags(_, true) if verbose => hex(out, value),
            Kind::Hex4 => _ = write!(out, "0x{value:04x}"),
            Kind::Ethernet | Kind::Ipv4 | Kind::Ipv6 => self.address(out, value),
            Kind::Frag if full || mask == 0 => {
                let name = usize::try_from(value).ok().and_then(|value| FRAGMENTS.get(value));
                out.push_str(name.unwrap_or(&"<error>"));
                return;
            }
            Kind::Frag => {
                _ = write!(out, "error: partial mask not supported for frag ({mask:#x})");
                return;
            }
            // Values and masks of flags are 32 bits at most.
            Kind::Flags(flags, _) => return flags.print(out, value as u32, mask as u32),
        }
        if full {
            return;
        }
        debug_assert!(out.len() > start);
        out.push('/');
        match self.kind {
            Kind::Hex4 => _ = write!(out, "0x{mask:04x}"),
            Kind::Nsh8 => _ = write!(out, "0x{mask:02x}"),
            Kind::Nsh32 => _ = write!(out, "0x{mask:08x}"),
            Kind::Ethernet | Kind::Ipv4 | Kind::Ipv6 => self.address(out, mask),
            _ => hex(out, mask),
        }
    }

    fn address(&self, out: &mut String, value: u128) {
        let result = match self.kind {
            Kind::Ipv6 => write!(out, "{}", Ipv6Addr::from_bits(value)),
            Kind::Ipv4 => write!(out, "{}", Ipv4Addr::from_bits(value as u32)),
            _ => {
                let [.., a, b, c, d, e, f] = value.to_be_bytes();
                write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
            }
        };
        debug_assert!(result.is_ok());
    }
}

/// `OVS_FRAG_TYPE_*`.
const FRAGMENTS: &[&str] = &["no", "first", "later"];

/// C's `%#x`: 0 has no 0x.
pub(crate) fn hex(out: &mut String, value: u128) {
    _ = if value == 0 { write!(out, "0") } else { write!(out, "{value:#x}") };
}

/// Reads `name=value,name=value` in any order, up to the parenthesis, into a payload and its mask.
pub(crate) fn scan_fields<'a>(
    fields: &[Field],
    len: usize,
    mut input: &'a str,
) -> Scan<'a, (Vec<u8>, Vec<u8>)> {
    let (mut value, mut mask) = (vec![0; len], vec![0; len]);
    while !input.starts_with(')') {
        let (rest, name) = word(input)?;
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return failure("no such field", input);
        };
        let Some(rest) = rest.strip_prefix('=') else { return failure("= expected", rest) };
        let (rest, (key, bits)) = field.scan(rest)?;
        field.store(&mut value, key);
        field.store(&mut mask, bits);
        input = match rest.strip_prefix(',') {
            Some(more) => more,
            None if rest.starts_with(')') => rest,
            None => return failure(", or ) expected", rest),
        };
    }
    Ok((input, (value, mask)))
}

/// Appends the fields that count, or with `verbose` all.
pub(crate) fn print_fields(
    list: &mut List<'_>,
    fields: &[Field],
    value: &[u8],
    mask: Option<&[u8]>,
    verbose: bool,
) {
    for field in fields {
        let bits = mask.map_or(field.full(), |mask| field.load(mask));
        let shown = bits != 0 || (verbose && !matches!(field.kind, Kind::Frag));
        if shown {
            let out = list.next();
            if !(matches!(field.kind, Kind::Frag) && bits != field.full()) {
                _ = write!(out, "{}=", field.name);
            }
            field.print(out, field.load(value), bits, verbose);
        }
    }
}
