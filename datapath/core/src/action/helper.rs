//! Helpers at work: reading a conversation for the connections it brings about, and putting right what a translated
//! one says of addresses.
//!
//! FTP (RFC 959, RFC 2428) names the data connection's address and port in PORT and EPRT, and in the answers 227 and 229.
//! Only an address of the speaker's own is taken, so that nobody opens the way to a third. A TFTP server (RFC 1350) answers
//! from another port. Where payload becomes longer or shorter, TCP's numbers are shifted from then on.

use super::ct::{Tracked, replace};
use super::frame::{Frame, view};
use crate::conntrack::conn::{DST_NAT, SRC_NAT};
use crate::conntrack::helper::Expectation;
use crate::conntrack::{Conntrack, Helper, SeqAdj, Tuple};
use crate::csum;
use crate::extract::header;
use crate::key::{Be16, Be32, FlowKey};
use crate::packet::Packet;
use crate::wire::*;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use pfnl_platform::{Errno, Platform, Result, try_push};

/// How much of a payload is read: a command and its argument are shorter.
const LOOKED_AT: usize = 256;
/// Ports that are tried for a data connection of a translated conversation.
const TRIES: u16 = 128;

/// Reads a packet of a connection that has a helper, and shifts its numbers.
///
/// # Errors
/// What makes the packet wrong if it went on unchanged: `ENOMEM`, `ENOSPC`.
#[inline(never)]
pub(super) fn help<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    tracked: &Tracked<P>,
) -> Result<()> {
    let Some(helper) = tracked.conn.helper().filter(|_| !tracked.is_error) else { return Ok(()) };
    match helper {
        Helper::Ftp => ftp(table, frame, key, tracked)?,
        Helper::Tftp => tftp(table, frame, key, tracked)?,
    }
    if let Some((own, other)) = tracked.conn.shifts(tracked.is_reply) {
        shift(frame, key, &own, &other)?;
    }
    Ok(())
}

/// RRQ and WRQ: the answer comes from a port of its own.
fn tftp<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    tracked: &Tracked<P>,
) -> Result<()> {
    let Some(l4) = frame.layers(key)?.l4.filter(|_| key.ip_proto == IP_UDP) else { return Ok(()) };
    let opcode = header::<Be16, Pk>(&mut frame.packet, l4.saturating_add(size_of::<Udp>()))?;
    if tracked.is_reply || !matches!(opcode.map(|opcode| opcode.get()), Some(1 | 2)) {
        return Ok(());
    }
    let master = &tracked.conn;
    let is_translated = master.has(SRC_NAT | DST_NAT);
    let tuple = Conntrack::expected_tuple(master, false, IP_UDP, master.reply().dst_port);
    // Without room for an expectation the answer is a connection of its own.
    let _ = table.expect(Expectation {
        master: master.clone(),
        tuple,
        any_source: false,
        real_port: is_translated.then(|| master.original().src_port),
        is_reply: true,
        expires: 0,
        id: 0,
    });
    Ok(())
}

fn ftp<P: Platform, Pk: Packet>(
    table: &Conntrack<P>,
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    tracked: &Tracked<P>,
) -> Result<()> {
    let Some(payload) = payload(frame, key)? else { return Ok(()) };
    let (conn, is_reply) = (&tracked.conn, tracked.is_reply);
    let own = if is_reply { conn.reply() } else { *conn.original() };
    let Some(found) = read(&payload.bytes, is_reply, &own) else { return Ok(()) };
    let mut new = Expectation {
        master: conn.clone(),
        tuple: Conntrack::expected_tuple(conn, is_reply, IP_TCP, Be16::new(found.port)),
        any_source: false,
        real_port: None,
        is_reply: !is_reply,
        expires: 0,
        id: 0,
    };
    if !conn.has(SRC_NAT | DST_NAT) {
        let _ = table.expect(new);
        return Ok(());
    }
    new.real_port = Some(Be16::new(found.port));
    let mut port = found.port;
    let mut tries = TRIES;
    while table.is_expected(&new.tuple, conn) {
        tries = tries.checked_sub(1).ok_or(Errno::ENOSPC)?;
        port = port.checked_add(1).unwrap_or(1024);
        new.tuple.dst_port = Be16::new(port);
    }
    let address = new.tuple.dst;
    table.expect(new)?;
    let mut text = Text::default();
    found.form.write(&mut text, own.version, &address, port).map_err(|_| Errno::ENOMEM)?;
    rewrite(frame, key, tracked, &payload, &found, &text.0)
}

/// The front of a TCP segment's payload.
struct Payload {
    l3: usize,
    l4: usize,
    at: usize,
    seq: u32,
    bytes: Vec<u8>,
}

fn payload<P: Platform, Pk: Packet>(frame: &mut Frame<P, Pk>, key: &mut FlowKey) -> Result<Option<Payload>> {
    let layers = frame.layers(key)?;
    let (Some(l3), Some(l4)) = (layers.l3, layers.l4) else { return Ok(None) };
    let packet = &mut frame.packet;
    if packet.offload().gso.is_some() || key.ip_proto != IP_TCP {
        return Ok(None);
    }
    let Some(end) = ip_end(packet, key, l3)? else { return Ok(None) };
    let Some(tcp) = header::<Tcp, Pk>(packet, l4)? else { return Ok(None) };
    let (at, seq) = (l4.saturating_add(tcp.header_len()), tcp.seq.get());
    let len = end.saturating_sub(at).min(LOOKED_AT);
    if len == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    packet.copy_out(at, &mut bytes)?;
    Ok(Some(Payload { l3, l4, at, seq, bytes }))
}

/// Where an IP packet ends.
fn ip_end<Pk: Packet>(packet: &mut Pk, key: &FlowKey, l3: usize) -> Result<Option<usize>> {
    let len = if key.eth_type.get() == ETH_IPV4 {
        header::<Ipv4, Pk>(packet, l3)?.map(|ip| usize::from(ip.len.get()))
    } else {
        header::<Ipv6, Pk>(packet, l3)?.map(|ip| size_of::<Ipv6>() + usize::from(ip.len.get()))
    };
    let end = len.map(|len| l3.saturating_add(len));
    Ok(end.filter(|&end| end <= packet.len()))
}

/// How an address and a port are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// `10,0,0,1,4,210`
    Commas,
    /// `|1|10.0.0.1|1234|`
    Bars,
    /// `|||1234|`
    Port,
}

/// What was found in a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    form: Form,
    /// Where in the payload it stands.
    start: usize,
    end: usize,
    port: u16,
}

/// Reads a line that says where a data connection goes to: to an address of the speaker's, `own.src`.
fn read(bytes: &[u8], is_reply: bool, own: &Tuple) -> Option<Found> {
    let line = bytes.get(..bytes.iter().position(|&byte| byte == b'\r' || byte == b'\n')?)?;
    let word = line.get(..4)?;
    let (form, start, end) = if is_reply {
        let open = line.iter().position(|&byte| byte == b'(').map(|at| at.saturating_add(1));
        match word {
            b"227 " => {
                // Not all servers write the brackets of RFC 959's example.
                let digit =
                    || line.get(4..)?.iter().position(u8::is_ascii_digit).map(|at| at.saturating_add(4));
                let start = open.or_else(digit)?;
                let rest = line.get(start..)?;
                let len = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b',').count();
                (Form::Commas, start, start.saturating_add(len))
            }
            b"229 " => {
                let start = open?;
                let len = line.get(start..)?.iter().position(|&byte| byte == b')')?;
                (Form::Port, start, start.saturating_add(len))
            }
            _ => return None,
        }
    } else {
        let blank = line.get(4).is_some_and(|&byte| byte == b' ');
        match blank {
            true if word.eq_ignore_ascii_case(b"PORT") => (Form::Commas, 5, line.len()),
            true if word.eq_ignore_ascii_case(b"EPRT") => (Form::Bars, 5, line.len()),
            _ => return None,
        }
    };
    let text = line.get(start..end)?.trim_ascii_end();
    let end = start.saturating_add(text.len());
    let (address, port) = match form {
        Form::Commas => commas(text).map(|(address, port)| (Some(address), port))?,
        Form::Bars | Form::Port => bars(text)?,
    };
    let is_own = match address {
        None => form == Form::Port,
        Some((version, address)) => version == own.version && address == own.src,
    };
    (is_own && port != 0).then_some(Found { form, start, end, port })
}

type Address = (u8, [u8; 16]);

/// `10,0,0,1,4,210`
fn commas(text: &[u8]) -> Option<(Address, u16)> {
    let mut numbers = [0u8; 6];
    let mut parts = text.split(|&byte| byte == b',');
    for place in &mut numbers {
        *place = number(parts.next()?)?.try_into().ok()?;
    }
    let [a, b, c, d, high, low] = numbers;
    let mut address = [0; 16];
    *address.first_chunk_mut()? = [a, b, c, d];
    parts.next().is_none().then_some(((4, address), u16::from_be_bytes([high, low])))
}

/// `|1|10.0.0.1|1234|`, `|2|fd00::1|1234|`, `|||1234|`; the bar may be another sign.
fn bars(text: &[u8]) -> Option<(Option<Address>, u16)> {
    let (&bar, rest) = text.split_first()?;
    let mut parts = rest.split(|&byte| byte == bar);
    let (family, address, port) = (parts.next()?, parts.next()?, number(parts.next()?)?);
    // Behind the last bar is nothing.
    if parts.next() != Some(&[][..]) || parts.next().is_some() {
        return None;
    }
    let address = core::str::from_utf8(address).ok()?;
    let address = match family {
        b"1" => {
            let mut wide = [0; 16];
            *wide.first_chunk_mut()? = Ipv4Addr::from_str(address).ok()?.octets();
            Some((4, wide))
        }
        b"2" => Some((6, Ipv6Addr::from_str(address).ok()?.octets())),
        b"" if address.is_empty() => None,
        _ => return None,
    };
    Some((address, port))
}

fn number(text: &[u8]) -> Option<u16> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

impl Form {
    fn write(self, text: &mut Text, version: u8, address: &[u8; 16], port: u16) -> core::fmt::Result {
        let [a, b, c, d, ..] = *address;
        let [high, low] = port.to_be_bytes();
        match (self, version) {
            (Form::Commas, _) => write!(text, "{a},{b},{c},{d},{high},{low}"),
            (Form::Bars, 4) => write!(text, "|1|{a}.{b}.{c}.{d}|{port}|"),
            (Form::Bars, _) => write!(text, "|2|{}|{port}|", Ipv6Addr::from(*address)),
            (Form::Port, _) => write!(text, "|||{port}|"),
        }
    }
}

/// Text in memory that may be refused.
#[derive(Default)]
struct Text(Vec<u8>);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().try_for_each(|byte| try_push(&mut self.0, byte)).map_err(|_| core::fmt::Error)
    }
}

/// Puts other text in the place of what was found, and all lengths and checksums right.
fn rewrite<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    tracked: &Tracked<P>,
    payload: &Payload,
    found: &Found,
    text: &[u8],
) -> Result<()> {
    csum::complete(&mut frame.packet)?;
    let end = ip_end(&mut frame.packet, key, payload.l3)?.ok_or(Errno::EINVAL)?;
    let (from, to) = (payload.at.saturating_add(found.start), payload.at.saturating_add(found.end));
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(end.saturating_add(text.len()))?;
    bytes.resize(end, 0);
    frame.packet.copy_out(0, &mut bytes)?;
    let mut tail = Vec::new();
    tail.try_reserve_exact(end.saturating_sub(to))?;
    tail.extend_from_slice(bytes.get(to..).ok_or(Errno::EINVAL)?);
    bytes.truncate(from);
    bytes.extend_from_slice(text);
    bytes.try_reserve(tail.len())?;
    bytes.extend_from_slice(&tail);
    let len = bytes.len().saturating_sub(payload.l3);
    if key.eth_type.get() == ETH_IPV4 {
        let head = bytes.get_mut(payload.l3..payload.l4).ok_or(Errno::EINVAL)?;
        view::<Ipv4>(head, 0)?.len = Be16::new(u16::try_from(len).map_err(|_| Errno::EMSGSIZE)?);
        csum::ipv4(head)?;
    } else {
        let len = len.saturating_sub(size_of::<Ipv6>());
        let ip: &mut Ipv6 = view(&mut bytes, payload.l3)?;
        ip.len = Be16::new(u16::try_from(len).map_err(|_| Errno::EMSGSIZE)?);
    }
    let segment = bytes.get_mut(payload.l4..).ok_or(Errno::EINVAL)?;
    view::<Tcp>(segment, 0)?.csum = [0; 2];
    let sum = if key.eth_type.get() == ETH_IPV4 {
        csum::pseudo(&key.ipv4_src, &key.ipv4_dst, IP_TCP, segment.len())
    } else {
        csum::pseudo(&key.ipv6_src, &key.ipv6_dst, IP_TCP, segment.len())
    };
    let sum = sum.bytes(segment).finish();
    view::<Tcp>(segment, 0)?.csum = sum.to_be_bytes();
    replace(frame, &bytes)?;
    frame.layers(key)?;
    let old = found.end.saturating_sub(found.start);
    let by = i32::try_from(text.len()).unwrap_or(0).saturating_sub(i32::try_from(old).unwrap_or(0));
    tracked.conn.stretch(tracked.is_reply, payload.seq, by);
    Ok(())
}

/// Shifts the numbers of a TCP segment: what it sends as its own side's, what it acknowledges as the other's.
fn shift<P: Platform, Pk: Packet>(
    frame: &mut Frame<P, Pk>,
    key: &mut FlowKey,
    own: &SeqAdj,
    other: &SeqAdj,
) -> Result<()> {
    let Some(l4) = frame.layers(key)?.l4.filter(|_| key.ip_proto == IP_TCP) else { return Ok(()) };
    let csum = frame.l4_csum(key.ip_proto);
    let header = frame.packet.pull(l4.saturating_add(size_of::<Tcp>())).and_then(|()| {
        let head = frame.packet.head_mut(l4.saturating_add(size_of::<Tcp>()))?;
        Ok(view::<Tcp>(head, l4)?.header_len())
    })?;
    let head = frame.packet.head_mut(l4.saturating_add(header))?;
    let (mut old, mut new) = ([0; 8], [0; 8]);
    let tcp: &mut Tcp = view(head, l4)?;
    let has_ack = tcp.flags.get() & 0x10 != 0;
    let numbers = |tcp: &Tcp| {
        let ([a, b, c, d], [e, f, g, h]) = (tcp.seq.to_bytes(), tcp.ack.to_bytes());
        [a, b, c, d, e, f, g, h]
    };
    old.copy_from_slice(&numbers(tcp));
    tcp.seq = Be32::new(own.shift(tcp.seq.get()));
    if has_ack {
        tcp.ack = Be32::new(other.unshift(tcp.ack.get()));
    }
    new.copy_from_slice(&numbers(tcp));
    if let Some(csum) = &csum {
        csum.content(head, &old, &new)?;
    }
    let start = l4.saturating_add(size_of::<Tcp>());
    let end = l4.saturating_add(header);
    let mut at = start;
    // Selective acknowledgements: kind 5, pairs of numbers (RFC 2018).
    while at.saturating_add(1) < end {
        let (kind, len) = match head.get(at..at.saturating_add(2)) {
            Some(&[0, _]) | None => break,
            Some(&[1, _]) => {
                at = at.saturating_add(1);
                continue;
            }
            Some(&[kind, len, ..]) => (kind, usize::from(len)),
            Some(_) => break,
        };
        if len < 2 || at.saturating_add(len) > end {
            break;
        }
        if kind == 5 {
            let mut place = at.saturating_add(2);
            while place.saturating_add(4) <= at.saturating_add(len) {
                let edge: &mut Be32 = view(head, place)?;
                let before = edge.to_bytes();
                *edge = Be32::new(other.unshift(edge.get()));
                let after = edge.to_bytes();
                // A number at an odd place is summed with its bytes exchanged.
                if let Some(csum) = &csum {
                    let odd = place.saturating_sub(l4) % 2 != 0;
                    let turn = |[a, b, c, d]: [u8; 4]| if odd { [b, a, d, c] } else { [a, b, c, d] };
                    csum.content(head, &turn(before), &turn(after))?;
                }
                place = place.saturating_add(4);
            }
        }
        at = at.saturating_add(len);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(version: u8, src: [u8; 16]) -> Tuple {
        Tuple {
            src,
            dst: [0; 16],
            src_port: Be16::ZERO,
            dst_port: Be16::ZERO,
            zone: 0,
            proto: IP_TCP,
            version,
        }
    }

    #[test]
    fn lines_that_name_a_port() {
        let mut v4 = [0; 16];
        v4[..4].copy_from_slice(&[10, 1, 1, 2]);
        let v6 = Ipv6Addr::from_str("fc00::2").unwrap().octets();
        let at = |form, start, end| Some(Found { form, start, end, port: 1234 });
        for (text, is_reply, own, expected) in [
            ("PORT 10,1,1,2,4,210\r\n", false, own(4, v4), at(Form::Commas, 5, 19)),
            ("port 10,1,1,2,4,210\r\n", false, own(4, v4), at(Form::Commas, 5, 19)),
            ("PORT 10,1,1,3,4,210\r\n", false, own(4, v4), None),
            ("PORT 10,1,1,2,4,256\r\n", false, own(4, v4), None),
            ("PORT 10,1,1,2,4,210", false, own(4, v4), None),
            ("PORT 10,1,1,2,4,210\r\n", true, own(4, v4), None),
            ("EPRT |1|10.1.1.2|1234|\r\n", false, own(4, v4), at(Form::Bars, 5, 22)),
            ("EPRT |2|fc00::2|1234|\r\n", false, own(6, v6), at(Form::Bars, 5, 21)),
            ("EPRT |2|fc00::3|1234|\r\n", false, own(6, v6), None),
            ("EPRT |2|fc00::2|1234\r\n", false, own(6, v6), None),
            ("EPRT |||1234|\r\n", false, own(6, v6), None),
            ("227 Entering Passive Mode (10,1,1,2,4,210).\r\n", true, own(4, v4), at(Form::Commas, 27, 41)),
            ("227 Passive 10,1,1,2,4,210\r\n", true, own(4, v4), at(Form::Commas, 12, 26)),
            ("229 Extended Passive (|||1234|)\r\n", true, own(6, v6), at(Form::Port, 22, 30)),
            ("229 Extended Passive (|||0|)\r\n", true, own(6, v6), None),
            ("230 Hello (|||1234|)\r\n", true, own(6, v6), None),
            ("\r\n", true, own(6, v6), None),
        ] {
            assert_eq!(read(text.as_bytes(), is_reply, &own), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let v6 = Ipv6Addr::from_str("fd00:1::42").unwrap().octets();
        let mut v4 = [0; 16];
        v4[..4].copy_from_slice(&[192, 168, 200, 1]);
        for (form, word, version, address) in
            [(Form::Commas, "PORT", 4, v4), (Form::Bars, "EPRT", 4, v4), (Form::Bars, "EPRT", 6, v6)]
        {
            let mut text = Text::default();
            form.write(&mut text, version, &address, 40_000).unwrap();
            let line = [word.as_bytes(), b" ", &text.0, b"\r\n"].concat();
            let found = read(&line, false, &own(version, address)).unwrap();
            assert_eq!((found.form, found.port), (form, 40_000));
        }
    }
}
