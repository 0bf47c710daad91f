//! The small parsers: numbers, addresses, lists.

use crate::error::Trouble;
use core::net::{Ipv4Addr, Ipv6Addr};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::combinator::{cut, opt, peek, recognize};
use nom::sequence::{delimited, preceded};
use nom::{Err, IResult, Parser};
use pfnl_proto::{Fixed, Writer};

/// What a parser gives.
pub(crate) type Scan<'a, T> = IResult<&'a str, T, Trouble<'a>>;

/// An error that another alternative may mend.
pub(crate) fn error<'a, T>(what: &'static str, at: &'a str) -> Scan<'a, T> {
    Err(Err::Error(Trouble { what, at }))
}

/// An error that nothing can mend.
pub(crate) fn failure<'a, T>(what: &'static str, at: &'a str) -> Scan<'a, T> {
    Err(Err::Failure(Trouble { what, at }))
}

/// What may stand between keys and between actions: commas and white space, any number.
pub(crate) fn delimiters(input: &str) -> &str {
    input.trim_start_matches([',', ' ', '\t', '\r', '\n'])
}

/// A name: letters, digits and underlines.
pub(crate) fn word(input: &str) -> Scan<'_, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_').parse(input)
}

/// What stands in parentheses.
pub(crate) fn paren<'a, T>(
    inner: impl Parser<&'a str, Output = T, Error = Trouble<'a>>,
) -> impl Parser<&'a str, Output = T, Error = Trouble<'a>> {
    delimited(tag("("), cut(inner), cut(tag(")")))
}

/// What stands behind a tag, once that is there.
pub(crate) fn after<'a, T>(
    name: &'static str,
    inner: impl Parser<&'a str, Output = T, Error = Trouble<'a>>,
) -> impl Parser<&'a str, Output = T, Error = Trouble<'a>> {
    preceded(tag(name), cut(inner))
}

fn digits(radix: u32) -> impl Fn(&str) -> Scan<'_, u128> {
    move |input| {
        let (rest, digits) = take_while1(|c: char| c.is_digit(radix)).parse(input)?;
        match u128::from_str_radix(digits, radix) {
            Ok(value) => Ok((rest, value)),
            Err(_) => failure("number too large", input),
        }
    }
}

/// C's `%i`: hexadecimal behind 0x, octal behind 0, else decimal.
pub(crate) fn number(input: &str) -> Scan<'_, u128> {
    match alt((hex, preceded(peek(tag("0")), digits(8)), digits(10))).parse(input) {
        Err(Err::Error(_)) => error("number expected", input),
        result => result,
    }
}

fn hex(input: &str) -> Scan<'_, u128> {
    preceded(alt((tag("0x"), tag("0X"))), digits(16)).parse(input)
}

/// A hexadecimal number, with or without 0x.
pub(crate) fn hex_number(input: &str) -> Scan<'_, u32> {
    let (rest, value) = alt((hex, digits(16))).parse(input)?;
    u32::try_from(value).map_or_else(|_| failure("number out of range", input), |value| Ok((rest, value)))
}

/// A number that fits `T`.
pub(crate) fn int<T: TryFrom<u128>>(input: &str) -> Scan<'_, T> {
    let (rest, value) = number(input)?;
    T::try_from(value).map_or_else(|_| failure("number out of range", input), |value| Ok((rest, value)))
}

/// A number of at most `max`.
pub(crate) fn up_to(max: u128) -> impl Fn(&str) -> Scan<'_, u128> {
    move |input| match number(input)? {
        (_, value) if value > max => failure("number out of range", input),
        result => Ok(result),
    }
}

/// A value and a mask behind a slash; without it, all of `full` counts.
pub(crate) fn masked<'a>(
    full: u128,
    mut value: impl FnMut(&'a str) -> Scan<'a, u128>,
) -> impl FnMut(&'a str) -> Scan<'a, (u128, u128)> {
    move |input| {
        let (rest, key) = value(input)?;
        let (rest, mask) = opt(preceded(tag("/"), &mut value)).parse(rest)?;
        Ok((rest, (key, mask.unwrap_or(full))))
    }
}

/// `00:01:02:03:04:05`.
pub(crate) fn ethernet(input: &str) -> Scan<'_, u128> {
    let (rest, text) = take_while1(|c: char| c.is_ascii_hexdigit() || c == ':').parse(input)?;
    let octet = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| part.len() <= 2);
    let octets: Option<Vec<u8>> = text.split(':').map(octet).collect();
    match octets {
        Some(octets) if octets.len() == 6 => {
            Ok((rest, octets.iter().fold(0, |all, &octet| all << 8 | u128::from(octet))))
        }
        _ => failure("Ethernet address expected", input),
    }
}

/// `10.0.0.1`.
pub(crate) fn ipv4(input: &str) -> Scan<'_, u128> {
    let (rest, text) = take_while1(|c: char| c.is_ascii_digit() || c == '.').parse(input)?;
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok((rest, u128::from(address.to_bits()))),
        Err(_) => error("IPv4 address expected", input),
    }
}

/// `fe80::1`, also with an IPv4 address at the end.
pub(crate) fn ipv6(input: &str) -> Scan<'_, u128> {
    let (rest, text) = take_while1(|c: char| c.is_ascii_hexdigit() || ":.".contains(c)).parse(input)?;
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Ok((rest, address.to_bits())),
        Err(_) => error("IPv6 address expected", input),
    }
}

/// Bytes as pairs of hexadecimal digits, with white space between them at will.
pub(crate) fn hex_bytes(input: &str) -> Scan<'_, Vec<u8>> {
    let (rest, text) = take_while(|c: char| c.is_ascii_hexdigit() || c.is_ascii_whitespace()).parse(input)?;
    match pairs(text) {
        Some(bytes) => Ok((rest, bytes)),
        None => failure("hexadecimal digits come in pairs", input),
    }
}

fn pairs(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> =
        text.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| c.to_digit(16)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// `width` bytes as one number, in hexadecimal of any length behind 0x, else decimal.
pub(crate) fn long_number(width: usize) -> impl Fn(&str) -> Scan<'_, Vec<u8>> {
    move |input| {
        let Ok((rest, text)) =
            preceded(tag::<_, _, Trouble<'_>>("0x"), recognize(take_while1(|c: char| c.is_ascii_hexdigit())))
                .parse(input)
        else {
            let (rest, value) = number(input)?;
            let bytes = value.to_be_bytes();
            return right(&bytes, width)
                .map_or_else(|| failure("number out of range", input), |b| Ok((rest, b)));
        };
        let even = if text.len() % 2 == 0 { text.to_string() } else { format!("0{text}") };
        let bytes = pairs(&even).and_then(|bytes| right(&bytes, width));
        bytes.map_or_else(|| failure("number out of range", input), |bytes| Ok((rest, bytes)))
    }
}

/// A big-endian number in `width` bytes.
fn right(bytes: &[u8], width: usize) -> Option<Vec<u8>> {
    let significant = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    let bytes = bytes.get(significant..)?;
    let mut out = vec![0; width.checked_sub(bytes.len())?];
    out.extend_from_slice(bytes);
    Some(out)
}

/// Attributes, as bytes; a failure if they are too long for a nest.
pub(crate) fn attributes<'a>(at: &'a str, fill: impl FnOnce(&mut Writer<'_>)) -> Scan<'a, Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = Writer::with_limit(&mut bytes, usize::from(u16::MAX));
    fill(&mut writer);
    match writer.finish() {
        Ok(()) => Ok((at, bytes)),
        Err(_) => failure("too long for a netlink attribute", at),
    }
}

/// A structure's bytes.
pub(crate) fn fixed<T: Fixed>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; T::LEN];
    value.write(&mut bytes);
    bytes
}
