//! Messages for a family, from its tables: right ones, and ones with something wrong.
//!
//! A message is made right first, as far as its table tells what is right ([`Hints`] know more), and then
//! disturbed, mostly not at all or in one place: a receiver looks no further than the first thing that is wrong.

use crate::Choices;
use crate::family::{Family, Op};
use crate::message::{Message, Node, leaf, nest};
use pfnl_proto::msg::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
};
use pfnl_proto::{Kind, NLA_F_NESTED, NLA_F_NET_BYTEORDER, NLA_TYPE_MASK, Policy, Row, Table};

/// What a table does not tell: which values make sense, and which attributes together.
pub trait Hints {
    /// A user header, of the family's length or not.
    fn header(&self, family: &Family, c: &mut Choices) -> Vec<u8> {
        let mut header = vec![0; family.hdrsize];
        if let Some(first) = header.first_mut() {
            *first = c.below(4) as u8;
        }
        header
    }

    /// All attributes of a message that a command takes, or something like it.
    fn attributes(&self, family: &Family, op: &Op, c: &mut Choices) -> Option<Vec<Node>> {
        let _ = (family, op, c);
        None
    }

    /// An attribute by its row.
    fn attribute(&self, table: &'static Table, row: &'static Row, c: &mut Choices) -> Option<Node> {
        let _ = (table, row, c);
        None
    }
}

/// Nobody knows more than the tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHints;

impl Hints for NoHints {}

/// How deep attributes are nested where nothing is meant to be wrong.
const DEEP: usize = 4;
/// The most attributes of a message or nest that is not meant to be too long.
const WIDE: usize = 12;

/// A message to a family.
pub fn message(family: &Family, hints: &dyn Hints, c: &mut Choices) -> Message {
    let Some(op) = (!family.ops.is_empty()).then(|| *c.pick(&family.ops)) else {
        return Message {
            header: hints.header(family, c),
            ..Message::new(family.id, c.byte(), family.version)
        };
    };
    request(family, &op, hints, c)
}

/// A message with a command.
pub fn request(family: &Family, op: &Op, hints: &dyn Hints, c: &mut Choices) -> Message {
    let mut message = Message::new(family.id, op.cmd, family.version);
    message.header = hints.header(family, c);
    let hinted = if c.one_in(4) { None } else { hints.attributes(family, op, c) };
    message.nodes = match (hinted, op.table) {
        (Some(nodes), _) => nodes,
        (None, Some(table)) => attributes(table, hints, DEEP, c),
        (None, None) => unknown(c),
    };
    if op.dump && (!op.run || c.one_in(3)) {
        message.flags |= NLM_F_DUMP;
    }
    for _ in 0..*c.pick(&[0, 0, 0, 0, 0, 1, 1, 2]) {
        disturb(&mut message.nodes, op.table, hints, c);
    }
    if c.one_in(6) {
        disturb_envelope(&mut message, c);
    }
    message
}

/// Attributes of a table that nothing is wrong with by themselves.
pub fn attributes(table: &'static Table, hints: &dyn Hints, depth: usize, c: &mut Choices) -> Vec<Node> {
    let mut nodes = Vec::new();
    while !table.rows.is_empty() && nodes.len() < WIDE && c.more(3) {
        nodes.push(attribute(table, c.pick(table.rows), hints, depth, c));
    }
    if c.one_in(2) {
        // Each at most once, in order: what most receivers ask for.
        nodes.sort_by_key(|node| node.number().unwrap_or(0) & NLA_TYPE_MASK);
        nodes.dedup_by_key(|node| node.number().unwrap_or(0) & NLA_TYPE_MASK);
    }
    nodes
}

/// An attribute that its row would take.
pub fn attribute(
    table: &'static Table,
    row: &'static Row,
    hints: &dyn Hints,
    depth: usize,
    c: &mut Choices,
) -> Node {
    if let Some(node) = (!c.one_in(5)).then(|| hints.attribute(table, row, c)).flatten() {
        return node;
    }
    let number = row.number;
    match row.kind {
        Kind::Nest(inner) | Kind::List(inner) if depth > 0 => {
            nest(number, attributes(inner, hints, depth - 1, c))
        }
        Kind::Array(inner) if depth > 0 => {
            let mut items = Vec::new();
            while items.len() < WIDE && c.more(2) {
                items.push(nest(items.len() as u16 + 1, attributes(inner, hints, depth - 1, c)));
            }
            nest(number, items)
        }
        _ => leaf(number, payload(row, c)),
    }
}

/// A payload that a row would take.
fn payload(row: &Row, c: &mut Choices) -> Vec<u8> {
    match (row.kind, row.policy) {
        (Kind::Flag | Kind::Pad, _) => Vec::new(),
        (Kind::Uint(width) | Kind::Sint(width) | Kind::Be(width), policy) => {
            let value = integer(width, policy, c);
            let all = value.to_be_bytes();
            let mut bytes = all[8 - usize::from(width.min(8))..].to_vec();
            if !matches!(row.kind, Kind::Be(_)) && cfg!(target_endian = "little") {
                bytes.reverse();
            }
            bytes
        }
        (Kind::String(most) | Kind::NulString(most), _) => {
            let most = if most == 0 { 16 } else { usize::from(most) };
            let len = match c.below(6) {
                0..=3 => 1 + c.below(most.min(8)),
                4 => most,
                _ => c.below(most + 1),
            };
            let mut bytes: Vec<_> = (0..len).map(|_| b'a' + (c.byte() % 26)).collect();
            bytes.push(0);
            bytes
        }
        (Kind::Struct(len), _) => some_bytes(usize::from(len), c),
        (Kind::U32s, _) => {
            let len = c.below(5) * 4;
            some_bytes(len, c)
        }
        (Kind::Bytes(most), policy) => {
            let (least, most) = match policy {
                Policy::Binary(least, most) => (usize::from(least), usize::from(most)),
                Policy::Min(least) => (usize::from(least), usize::from(most)),
                _ => (0, usize::from(most)),
            };
            let most = if most == 0 { least + 64 } else { most.max(least) };
            let len = least + c.below(most - least + 1);
            some_bytes(len, c)
        }
        (Kind::Nest(_) | Kind::List(_) | Kind::Array(_), _) => Vec::new(),
    }
}

/// Zeros, one value all along, or anything: structures have fields that mean something at 0 and at all ones.
fn some_bytes(len: usize, c: &mut Choices) -> Vec<u8> {
    match c.below(4) {
        0 => vec![0; len],
        1 => vec![*c.pick(&[1, 0xff, 0x41]); len],
        _ => c.bytes(len),
    }
}

/// An integer within its policy, more often at its ends than elsewhere.
fn integer(width: u8, policy: Policy, c: &mut Choices) -> u64 {
    let (least, greatest) = match policy {
        Policy::Uint(_, least, greatest) => (least, greatest),
        Policy::Sint(_, least, greatest) => {
            // Counted from 0, if that is one of them, around to the least.
            let span = greatest.wrapping_sub(least) as u64;
            let zero = if (least..=greatest).contains(&0) { least.wrapping_neg() as u64 } else { 0 };
            let offset = (u128::from(up_to(span, c)) + u128::from(zero)) % (u128::from(span) + 1);
            return least.wrapping_add(offset as i64) as u64;
        }
        _ => (0, u64::MAX >> (64 - 8 * u32::from(width.clamp(1, 8)))),
    };
    least.wrapping_add(up_to(greatest.wrapping_sub(least), c))
}

fn up_to(most: u64, c: &mut Choices) -> u64 {
    let value = match c.below(8) {
        0..=3 => c.below(5) as u64,
        4 => most,
        5 => most.wrapping_sub(1),
        6 => 1 << c.below(64),
        _ => c.word(8),
    };
    if most == u64::MAX { value } else { value % (most + 1) }
}

/// Attributes of a table that is not known: few numbers, short payloads.
fn unknown(c: &mut Choices) -> Vec<Node> {
    let mut nodes = Vec::new();
    while nodes.len() < WIDE && c.more(3) {
        let len = *c.pick(&[4, 0, 1, 2, 8, 16, 5]);
        nodes.push(leaf(c.below(24) as u16, some_bytes(len, c)));
    }
    nodes
}

/// Makes something wrong, or only odd, somewhere in a run of attributes.
pub fn disturb(nodes: &mut Vec<Node>, table: Option<&'static Table>, hints: &dyn Hints, c: &mut Choices) {
    if nodes.is_empty() {
        return nodes.push(stranger(table, hints, c));
    }
    let at = c.below(nodes.len());
    if let Node::Nest(number, inner) = &mut nodes[at]
        && !c.one_in(3)
    {
        let row = table.and_then(|table| table.row(*number & NLA_TYPE_MASK));
        let table = row.and_then(|row| match row.kind {
            Kind::Nest(table) | Kind::List(table) | Kind::Array(table) => Some(table),
            _ => None,
        });
        return disturb(inner, table, hints, c);
    }
    match c.below(13) {
        0 => _ = nodes.remove(at),
        1 => nodes.push(nodes[at].clone()),
        2 => {
            let other = c.below(nodes.len());
            nodes.swap(at, other);
        }
        3 => nodes.insert(at, stranger(table, hints, c)),
        4..=7 => nodes[at] = bent(&nodes[at], c),
        8 => {
            if let Some(number) = nodes[at].number_mut() {
                *number ^= *c.pick(&[NLA_F_NESTED, NLA_F_NET_BYTEORDER, NLA_F_NESTED | NLA_F_NET_BYTEORDER]);
            }
        }
        9 => {
            if let Some(number) = nodes[at].number_mut() {
                *number = *c.pick(&[0, *number + 1, NLA_TYPE_MASK, c_number(table)]);
            }
        }
        10 => nodes.push(Node::Raw(raw(c))),
        11 => {
            // In itself, some times or very often.
            for _ in 0..*c.pick(&[1, 2, 3, 5, 10, 17, 40, 300]) {
                let number = nodes[at].number().unwrap_or(1);
                nodes[at] = Node::Nest(number, vec![nodes[at].clone()]);
            }
        }
        _ => {
            // Very many.
            let mut one = Vec::new();
            nodes[at].write(&mut one);
            let many = (*c.pick(&[4, 16, 100, 600, 2000])).min(200_000 / one.len().max(1));
            nodes.extend(std::iter::repeat_n(nodes[at].clone(), many));
        }
    }
}

fn c_number(table: Option<&'static Table>) -> u16 {
    table.map_or(1, |table| table.max() + 1)
}

/// An attribute that was not there before: of the table, or of nobody.
fn stranger(table: Option<&'static Table>, hints: &dyn Hints, c: &mut Choices) -> Node {
    match table.filter(|table| !table.rows.is_empty()) {
        Some(table) if !c.one_in(3) => attribute(table, c.pick(table.rows), hints, 2, c),
        _ => {
            let number = *c.pick(&[0, 1, 2, c_number(table), 0x3fff, 0x7fff]);
            let len = c.below(9);
            leaf(number, c.bytes(len))
        }
    }
}

/// An attribute with another payload.
fn bent(node: &Node, c: &mut Choices) -> Node {
    let (number, mut payload) = match node {
        Node::Leaf(number, payload) => (*number, payload.clone()),
        Node::Nest(number, _) => {
            let len = *c.pick(&[0, 3, 4, 8, 1]);
            return leaf(*number, c.bytes(len));
        }
        Node::Raw(_) => return Node::Raw(raw(c)),
    };
    match c.below(8) {
        0 => payload.truncate(payload.len().saturating_sub(1)),
        1 => payload.push(c.byte()),
        2 => payload.clear(),
        3 => payload.fill(0xff),
        4 => payload.fill(0),
        5 => payload.resize(*c.pick(&[64, 256, 4096, 20_000, 65_531, 65_532]), 0x41),
        _ if payload.is_empty() => payload.push(0),
        6 => {
            let at = c.below(payload.len());
            payload[at] ^= 1 << c.below(8);
        }
        _ => {
            let at = c.below(payload.len());
            payload[at] = c.byte();
        }
    }
    leaf(number, payload)
}

/// Bytes that make no attribute.
fn raw(c: &mut Choices) -> Vec<u8> {
    match c.below(5) {
        0 => vec![0; 1 + c.below(4)],
        1 => vec![200, 0, 1, 0],
        2 => vec![3, 0, 1, 0],
        3 => vec![0xff, 0xff, 0xff, 0xff],
        _ => {
            let len = c.below(12);
            c.bytes(len)
        }
    }
}

/// Makes something odd around the attributes.
fn disturb_envelope(message: &mut Message, c: &mut Choices) {
    match c.below(9) {
        0 => {
            let flags = [
                NLM_F_ACK,
                NLM_F_ECHO,
                NLM_F_DUMP,
                NLM_F_CREATE,
                NLM_F_EXCL,
                NLM_F_REPLACE,
                NLM_F_APPEND,
                NLM_F_REQUEST,
                0xf000,
                2,
                0x10,
            ];
            message.flags ^= c.pick(&flags);
        }
        1 => message.version = c.byte(),
        2 => message.cmd = c.byte(),
        3 => {
            let len = c.below(message.header.len() + 5);
            message.header.resize(len, 0);
        }
        4 => message.header = c.bytes(message.header.len()),
        5 => {
            let whole = message.bytes().len() as u32;
            message.len =
                Some(*c.pick(&[0, 15, 16, 17, 19, 20, 24, whole - 1, whole + 1, whole + 4, u32::MAX]));
        }
        6 => message.cut = Some(c.below(message.bytes().len() + 1)),
        7 => message.reserved = c.word(2) as u16,
        _ => message.portid = c.word(4) as u32,
    }
}
