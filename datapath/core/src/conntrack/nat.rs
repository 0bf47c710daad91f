//! Address translation: which tuple the packets of a connection get.
//!
//! Only tuples are dealt with here; `action/nat.rs` changes packets. A translated connection is found by its packets' tuple
//! as they come in, and by the tuple of answers to what was sent on; so a new tuple is free if no answer to it
//! belongs to another connection.

use super::conn::{Conn, DST_NAT, SRC_NAT};
use super::proto::has_ports;
use super::table::{Conntrack, Count};
use super::tuple::Tuple;
use crate::hash::Hasher;
use crate::key::Be16;
use pfnl_platform::{Errno, Platform, Result};

/// Which end is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

/// What an end may become.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// First and last address; an IPv4 address stands in the first four bytes. None: it stays.
    pub addresses: Option<([u8; 16], [u8; 16])>,
    /// First and last port (ICMP: identifier).
    pub ports: Option<(u16, u16)>,
    /// The same host gets the same address, whoever it speaks to.
    pub persistent: bool,
    /// Ports begin at one that follows from the tuple.
    pub hash: bool,
    /// Ports begin at a random one.
    pub random: bool,
}

/// Ports that are tried before giving up.
const TRIES: u32 = 512;

/// Settles how a new connection is translated. Without a range (or with one that fits already) its packets stay as they are,
/// unless answers to them would belong to another connection: then they get another source port.
///
/// # Errors
/// `ENOSPC`: no free tuple was found.
pub(crate) fn settle<P: Platform>(
    table: &Conntrack<P>,
    section: &P::Guard,
    conn: &Conn<P>,
    range: Option<(End, &Range)>,
) -> Result<()> {
    let original = *conn.original();
    let mut tuple = original;
    let is_free = |tuple: &Tuple| {
        tuple.invert().is_some_and(|answer| {
            // The untranslated connection itself is not in the table yet.
            is_unused(table, section, &answer)
        })
    };
    if let Some((end, range)) = range {
        choose_address(&mut tuple, &original, end, range);
        let mut dice = [0; 4];
        if range.random {
            P::random(&mut dice);
        }
        choose_port(&mut tuple, end, range, u32::from_ne_bytes(dice), &is_free);
    }
    if !is_free(&tuple) && range.is_none_or(|(end, _)| end == End::Dst) {
        // Nothing was asked of the source: another port of it may help.
        choose_port(&mut tuple, End::Src, &Range::default(), 0, &is_free);
    }
    if !is_free(&tuple) {
        return Err(Errno::ENOSPC);
    }
    finish(conn, &original, &tuple)
}

/// Translates a connection that was expected as its master is: `port` is where it really goes, `is_reply` whether it goes
/// the way of its master's replies.
///
/// # Errors
/// `ENOSPC`: no free tuple was found.
pub(crate) fn follow<P: Platform>(
    table: &Conntrack<P>,
    section: &P::Guard,
    conn: &Conn<P>,
    master: &Conn<P>,
    is_reply: bool,
    port: Be16,
) -> Result<()> {
    let original = *conn.original();
    let back = if is_reply { *master.original() } else { master.reply() };
    let mut tuple = Tuple { src: back.dst, dst: back.src, dst_port: port, ..original };
    let is_free = |tuple: &Tuple| tuple.invert().is_some_and(|answer| is_unused(table, section, &answer));
    if !is_free(&tuple) {
        choose_port(&mut tuple, End::Src, &Range::default(), 0, &is_free);
    }
    if !is_free(&tuple) {
        return Err(Errno::ENOSPC);
    }
    finish(conn, &original, &tuple)
}

fn is_unused<P: Platform>(table: &Conntrack<P>, section: &P::Guard, tuple: &Tuple) -> bool {
    let found = table.find(section, tuple).is_some();
    if found {
        table.count_one(Count::Found);
    }
    !found
}

/// Notes what a connection's packets become.
fn finish<P: Platform>(conn: &Conn<P>, original: &Tuple, tuple: &Tuple) -> Result<()> {
    let reply = tuple.invert().ok_or(Errno::EINVAL)?;
    let source = (tuple.src, tuple.src_port) != (original.src, original.src_port);
    let destination = tuple.dst != original.dst || !tuple.is_icmp() && tuple.dst_port != original.dst_port;
    let status = if source { SRC_NAT } else { 0 } | if destination { DST_NAT } else { 0 };
    conn.translate(reply, status);
    Ok(())
}

/// Addresses as numbers: IPv4's stand in the first four bytes.
fn number(version: u8, address: &[u8; 16]) -> u128 {
    let number = u128::from_be_bytes(*address);
    if version == 4 { number >> 96 } else { number }
}

fn address(version: u8, number: u128) -> [u8; 16] {
    if version == 4 { (number << 96).to_be_bytes() } else { number.to_be_bytes() }
}

fn choose_address(tuple: &mut Tuple, original: &Tuple, end: End, range: &Range) {
    let Some((min, max)) = range.addresses else { return };
    let version = tuple.version;
    let (min, max) = (number(version, &min), number(version, &max));
    if max == 0 {
        // As Linux: the address stays, and its port unless answers would belong to another connection.
        return;
    }
    let place = match end {
        End::Src => &mut tuple.src,
        End::Dst => &mut tuple.dst,
    };
    if max <= min {
        *place = address(version, min);
        return;
    }
    // The same for each connection of a host; of a pair of hosts, unless it is to be persistent.
    let mut hasher = Hasher::keyed(0);
    hasher.bytes(&original.src);
    if !range.persistent {
        hasher.bytes(&original.dst);
    }
    let offset = match (max - min).checked_add(1) {
        Some(n) => u128::from(hasher.finish()).checked_rem(n).unwrap_or(0),
        None => u128::from(hasher.finish()),
    };
    *place = address(version, min.saturating_add(offset));
}

/// Looks for a port with which the tuple is free: the one it has, if that is in the range; else, or if it is taken, those of
/// the range one after the other.
fn choose_port(tuple: &mut Tuple, end: End, range: &Range, dice: u32, is_free: &impl Fn(&Tuple) -> bool) {
    let icmp = tuple.is_icmp();
    if !has_ports(tuple.proto) && !icmp {
        return;
    }
    let place = |tuple: &mut Tuple, port: u16| match end {
        // An ICMP identifier is both ends'.
        End::Dst if !icmp => tuple.dst_port = Be16::new(port),
        _ => tuple.src_port = Be16::new(port),
    };
    let now = if end == End::Dst && !icmp { tuple.dst_port.get() } else { tuple.src_port.get() };
    let (min, max) = match (range.ports, end) {
        (Some((min, max)), _) => (min.min(max), min.max(max)),
        // Nobody asked for another service.
        (None, End::Dst) => return,
        (None, End::Src) if icmp => (0, u16::MAX),
        // Privileged ports stay privileged, and others don't become so.
        (None, End::Src) => match now {
            0..512 => (1, 511),
            512..1024 => (600, 1023),
            _ => (1024, u16::MAX),
        },
    };
    let shuffled = range.hash || range.random;
    if !shuffled && (min..=max).contains(&now) && is_free(tuple) {
        return;
    }
    let n = u32::from(max) - u32::from(min) + 1;
    let first = if range.random {
        dice
    } else if range.hash {
        let mut hasher = Hasher::keyed(1);
        hasher.bytes(&tuple.src);
        hasher.bytes(&tuple.dst);
        hasher.word(u64::from(tuple.src_port.get()) << 16 | u64::from(tuple.dst_port.get()));
        hasher.finish() as u32
    } else {
        u32::from(now).wrapping_sub(min.into())
    };
    let mut candidate = *tuple;
    for step in 0..TRIES.min(n) {
        let offset = first.wrapping_add(step).checked_rem(n).unwrap_or(0);
        place(&mut candidate, min.saturating_add(u16::try_from(offset).unwrap_or(0)));
        if is_free(&candidate) {
            break;
        }
    }
    // If all are taken the last one stands, and the caller sees that it is taken.
    *tuple = candidate;
}
