//! `ct(commit,zone=5,mark=0x1/0xff,label=0x2,helper=ftp,nat(src=10.0.0.1-10.0.0.9:1024-2048,random))`.

use crate::field::{Field, Kind, hex};
use crate::flags::List;
use crate::scan::{
    Scan, after, attributes, delimiters, error, failure, hex_number, int, ipv4, ipv6, paren, word,
};
use crate::tunnel::print_hex;
use core::net::{Ipv4Addr, Ipv6Addr};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1};
use nom::combinator::{cut, opt};
use nom::sequence::{delimited, preceded};
use pfnl_proto::ovs::{CtAction, ct, nat};
use pfnl_proto::{Attrs, Level};
use std::fmt::Write;

const LABELS: Field = Field::host("", 0, 16, Kind::Hex);

/// What has been read so far.
#[derive(Default)]
struct Ct<'a> {
    commit: bool,
    force: bool,
    zone: Option<u16>,
    mark: Option<CtAction>,
    labels: Option<[u8; 32]>,
    helper: Option<&'a str>,
    timeout: Option<&'a str>,
    nat: Option<Vec<u8>>,
}

/// Reads what stands behind `ct`: nothing, or arguments in parentheses.
pub(crate) fn scan(input: &str) -> Scan<'_, Vec<u8>> {
    let (rest, ct) = opt(paren(arguments)).parse(input)?;
    let ct = ct.unwrap_or_default();
    if ct.commit && ct.force {
        return failure("commit or force_commit, not both", input);
    }
    attributes(rest, |w| {
        let mut put = ct::Put(w);
        if ct.commit {
            put.commit();
        }
        if ct.force {
            put.force_commit();
        }
        ct.zone.iter().for_each(|zone| _ = put.zone(*zone));
        ct.mark.iter().for_each(|mark| _ = put.mark(mark));
        ct.labels.iter().for_each(|labels| _ = put.labels(labels));
        ct.helper.iter().for_each(|name| _ = put.helper(name.as_bytes()));
        ct.timeout.iter().for_each(|name| _ = put.timeout(name.as_bytes()));
        ct.nat.iter().for_each(|payload| _ = put.nat(|w| _ = w.raw(payload)));
    })
}

fn arguments(input: &str) -> Scan<'_, Ct<'_>> {
    let (mut ct, mut rest) = (Ct::default(), delimiters(input));
    while !rest.starts_with(')') {
        let (value, argument) = word(rest)?;
        let end = match argument {
            "commit" | "force_commit" => {
                ct.commit |= argument == "commit";
                ct.force |= argument == "force_commit";
                value
            }
            "zone" => {
                let (end, zone) = after("=", int::<u16>).parse(value)?;
                // Zone 0 is the default, and OVS leaves it out.
                ct.zone = (zone != 0).then_some(zone);
                end
            }
            "mark" => {
                let (end, mark) = after("=", hex_number).parse(value)?;
                let (end, mask) = opt(preceded(tag("/"), cut(hex_number))).parse(end)?;
                let mask = mask.unwrap_or(u32::MAX);
                ct.mark = (mask != 0).then_some(CtAction { value: mark, mask });
                end
            }
            "label" => {
                let (end, (label, mask)) = after("=", |input| LABELS.scan(input)).parse(value)?;
                let mut labels = [0; 32];
                let (value, bits) = labels.split_at_mut(16);
                LABELS.store(value, label);
                LABELS.store(bits, mask);
                ct.labels = (mask != 0).then_some(labels);
                end
            }
            "helper" => {
                let (end, name) = name(15, value)?;
                ct.helper = Some(name);
                end
            }
            "timeout" => {
                let (end, name) = name(31, value)?;
                ct.timeout = Some(name);
                end
            }
            "nat" => {
                let (end, nat) = opt(paren(nat_arguments)).parse(value)?;
                ct.nat = Some(nat.unwrap_or_default());
                end
            }
            _ => return failure("no such argument of ct", rest),
        };
        rest = delimiters(end);
    }
    Ok((rest, ct))
}

fn name(most: usize, input: &str) -> Scan<'_, &str> {
    let (rest, name) = after("=", take_till1(|c| ", \t\r\n)".contains(c))).parse(input)?;
    if name.len() > most { failure("name too long", input) } else { Ok((rest, name)) }
}

/// An address to translate to: 4 or 16 bytes, in network order.
fn address(input: &str) -> Scan<'_, Vec<u8>> {
    let four = |value: u128| (value as u32).to_be_bytes().to_vec();
    let sixteen = |value: u128| value.to_be_bytes().to_vec();
    let bracketed = delimited(tag("["), ipv6, tag("]"));
    alt((bracketed.map(sixteen), colons.map(sixteen), ipv4.map(four))).parse(input)
}

/// An IPv6 address without brackets: colons belong to it, so no port can follow.
fn colons(input: &str) -> Scan<'_, u128> {
    let end = input.find(|c: char| !c.is_ascii_hexdigit() && !":.".contains(c)).unwrap_or(input.len());
    let text = input.get(..end).unwrap_or_default();
    if text.matches(':').count() > 1 { ipv6(input) } else { error("IPv6 address expected", input) }
}

fn nat_arguments(input: &str) -> Scan<'_, Vec<u8>> {
    let (mut rest, mut direction, mut range, mut how) =
        (delimiters(input), None, Range::default(), Vec::new());
    while !rest.starts_with(')') {
        let (end, argument) = word(rest)?;
        rest = match argument {
            "src" | "dst" if direction.is_some() => return failure("src or dst, and once", rest),
            "src" | "dst" => {
                direction = Some(if argument == "src" { nat::SRC } else { nat::DST });
                let (end, given) = opt(after("=", Range::scan)).parse(end)?;
                range = given.unwrap_or_default();
                end
            }
            "persistent" => flag(&mut how, nat::PERSISTENT, end),
            "hash" => flag(&mut how, nat::PROTO_HASH, end),
            "random" => flag(&mut how, nat::PROTO_RANDOM, end),
            _ => return failure("no such argument of nat", rest),
        };
        rest = delimiters(rest);
    }
    if how.contains(&nat::PROTO_HASH) && how.contains(&nat::PROTO_RANDOM) {
        return failure("hash or random, not both", input);
    }
    attributes(rest, |w| {
        let Some(direction) = direction else { return };
        w.flag(direction);
        // How an address is chosen means nothing where none is given.
        if let Some(min) = &range.min {
            w.bytes(nat::IP_MIN, min);
            range.max.iter().for_each(|max| _ = w.bytes(nat::IP_MAX, max));
            range.ports.0.iter().for_each(|port| _ = w.fixed(nat::PROTO_MIN, port));
            range.ports.1.iter().for_each(|port| _ = w.fixed(nat::PROTO_MAX, port));
            how.sort_unstable();
            how.iter().for_each(|number| _ = w.flag(*number));
        }
    })
}

fn flag<'a>(how: &mut Vec<u16>, number: u16, rest: &'a str) -> &'a str {
    if !how.contains(&number) {
        how.push(number);
    }
    rest
}

/// Addresses and ports, each from one to another.
#[derive(Default)]
struct Range {
    min: Option<Vec<u8>>,
    max: Option<Vec<u8>>,
    ports: (Option<u16>, Option<u16>),
}

impl Range {
    fn scan(input: &str) -> Scan<'_, Range> {
        let (rest, min) = address(input)?;
        let (rest, max) = opt(after("-", address)).parse(rest)?;
        let (rest, low) = opt(after(":", int::<u16>)).parse(rest)?;
        let (rest, high) = match low {
            Some(_) => opt(after("-", int::<u16>)).parse(rest)?,
            None => (rest, None),
        };
        if max.as_ref().is_some_and(|max| max.len() != min.len() || *max < min) {
            return failure("address range runs backwards", input);
        }
        if high < low && high.is_some() {
            return failure("port range runs backwards", input);
        }
        // The end of a range is left out where it is its start.
        let max = max.filter(|max| *max != min);
        let low = low.filter(|&port| port != 0);
        let high = high.filter(|_| low.is_some() && high != low);
        Ok((rest, Range { min: Some(min), max, ports: (low, high) }))
    }
}

/// Prints the action.
pub(crate) fn print(out: &mut String, attrs: Attrs<'_>) {
    let Ok(view) = ct::View::parse(attrs, Level::Liberal) else { return out.push_str("ct(error)") };
    let mut arguments = String::new();
    let mut list = List::new(&mut arguments, ',');
    if view.commit() {
        list.next().push_str("commit");
    }
    if view.force_commit() {
        list.next().push_str("force_commit");
    }
    if let Some(zone) = view.zone().filter(|&zone| zone != 0) {
        _ = write!(list.next(), "zone={zone}");
    }
    if let Some(mark) = view.mark() {
        let out = list.next();
        out.push_str("mark=");
        hex(out, mark.value.into());
        out.push('/');
        hex(out, mark.mask.into());
    }
    if let Some(labels) = view.labels() {
        let out = list.next();
        out.push_str("label=");
        let (value, mask) = labels.split_at(16);
        LABELS.print(out, LABELS.load(value), LABELS.load(mask), true);
    }
    for (name, text) in [("helper", view.helper()), ("timeout", view.timeout())] {
        if let Some(text) = text {
            _ = write!(list.next(), "{name}={}", text.escape_ascii());
        }
    }
    if let Some(nat) = view.nat() {
        print_nat(list.next(), nat);
    }
    out.push_str("ct");
    if !arguments.is_empty() {
        _ = write!(out, "({arguments})");
    }
}

fn print_nat(out: &mut String, attrs: Attrs<'_>) {
    let Ok(view) = nat::View::parse(attrs, Level::Liberal) else { return out.push_str("nat(error)") };
    let direction = match (view.src(), view.dst()) {
        (true, true) => return out.push_str("nat(error)"),
        (true, false) => "src",
        (false, true) => "dst",
        (false, false) => return out.push_str("nat"),
    };
    out.push_str("nat(");
    out.push_str(direction);
    let ports = view.proto_min().filter(|&port| port != 0);
    if let Some(min) = view.ip_min() {
        out.push('=');
        print_address(out, min, ports.is_some());
        if let Some(max) = view.ip_max().filter(|&max| max != min) {
            out.push('-');
            print_address(out, max, ports.is_some());
        }
    }
    if let Some(port) = ports {
        _ = write!(out, ":{port}");
        if let Some(max) = view.proto_max().filter(|&max| max != 0 && max != port) {
            _ = write!(out, "-{max}");
        }
    }
    let flags =
        [(view.persistent(), ",persistent"), (view.proto_hash(), ",hash"), (view.proto_random(), ",random")];
    flags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, name)| out.push_str(name));
    out.push(')');
}

/// An IPv6 address has brackets where a port follows.
fn print_address(out: &mut String, bytes: &[u8], port: bool) {
    _ = if let Ok(address) = <[u8; 4]>::try_from(bytes) {
        write!(out, "{}", Ipv4Addr::from(address))
    } else if let Ok(address) = <[u8; 16]>::try_from(bytes) {
        let address = Ipv6Addr::from(address);
        if port { write!(out, "[{address}]") } else { write!(out, "{address}") }
    } else {
        print_hex(out, bytes);
        Ok(())
    };
}
