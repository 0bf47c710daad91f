//! Netlink messages: made for scenarios, shown in transcripts.

use crate::os::errno_name;
use crate::say::{hex, portid};

pub const NLCTRL: u16 = 16;
pub const NOOP: u16 = 1;
pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;

pub const REQUEST: u16 = 1;
pub const ACK: u16 = 4;
pub const ECHO: u16 = 8;
pub const ROOT: u16 = 0x100;
pub const MATCH: u16 = 0x200;
pub const DUMP: u16 = 0x300;
pub const CREATE: u16 = 0x400;

pub const GETFAMILY: u8 = 3;
pub const GETPOLICY: u8 = 10;

/// Attributes of nlctrl.
pub const ID: u16 = 1;
pub const NAME: u16 = 2;
pub const OP: u16 = 10;
pub const NESTED: u16 = 0x8000;

/// A message with a header of its true length.
pub fn message(kind: u16, flags: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    with_length(16 + payload.len() as u32, kind, flags, seq, payload)
}

/// A message that states a length of its own.
pub fn with_length(length: u32, kind: u16, flags: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&seq.to_ne_bytes());
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A generic netlink message to nlctrl.
pub fn ctrl(flags: u16, cmd: u8, attrs: &[u8]) -> Vec<u8> {
    let mut payload = vec![cmd, 1, 0, 0];
    payload.extend_from_slice(attrs);
    message(NLCTRL, REQUEST | flags, 7, &payload)
}

/// An attribute, padded.
pub fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + payload.len() as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `CTRL_ATTR_FAMILY_ID` of nlctrl.
pub fn own_id() -> Vec<u8> {
    attr(ID, &NLCTRL.to_ne_bytes())
}

/// Asks nlctrl for itself; the answer is the same everywhere.
pub fn ask() -> Vec<u8> {
    ctrl(0, GETFAMILY, &own_id())
}

/// As [`ask`], with an acknowledgement.
pub fn ask_ack() -> Vec<u8> {
    ctrl(ACK, GETFAMILY, &own_id())
}

/// Nothing to do but to acknowledge.
pub fn ping(seq: u32) -> Vec<u8> {
    message(NOOP, REQUEST | ACK, seq, &[])
}

/// A dump whose answer is the same everywhere: nlctrl's own policies.
pub fn dump_policies(flags: u16) -> Vec<u8> {
    ctrl(DUMP | flags, GETPOLICY, &own_id())
}

/// A dump of what differs: all families.
pub fn dump_families(flags: u16) -> Vec<u8> {
    ctrl(DUMP | flags, GETFAMILY, &[])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |half| u16::from_ne_bytes([half[0], half[1]]))
}

/// The messages of a block; what is left at the end is the last one.
pub fn split(block: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    let mut rest = block;
    while rest.len() >= 16 {
        let length = (word(rest, 0) as usize).clamp(16, rest.len());
        messages.push(&rest[..length]);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    if !rest.is_empty() {
        messages.push(rest);
    }
    messages
}

/// A header's fields: type, flags, seq.
pub fn head(message: &[u8]) -> (u16, u16, u32) {
    (half(message, 4), half(message, 6), word(message, 8))
}

fn show_header(bytes: &[u8]) -> String {
    let (kind, flags, seq) = head(bytes);
    let kind = match kind {
        NOOP => "NOOP".into(),
        ERROR => "ERROR".into(),
        DONE => "DONE".into(),
        NLCTRL => "nlctrl".into(),
        other => format!("{other}"),
    };
    format!("{kind} len={} flags={flags:#x} seq={seq} pid={}", word(bytes, 0), portid(word(bytes, 12)))
}

/// The errno in a message by name: numbers are each system's own.
fn show_errno(word: u32) -> String {
    match word.cast_signed() {
        error @ i32::MIN..0 => format!("-{}", errno_name(error.wrapping_neg())),
        other => other.to_string(),
    }
}

/// Which policy GETPOLICY's own dump has: the nest is numbered by the command in Linux 6.12, 0 in 6.18. All the same here.
const DUMPS_ONLY: &str = "10000980 0c000a80 08000200";
const DUMPS_ONLY_NEW: &str = "10000980 0c000080 08000200";

/// A message as text.
pub fn show(message: &[u8]) -> String {
    if message.len() < 16 {
        return format!("cut: {}", hex(message));
    }
    let (kind, _, _) = head(message);
    let body = &message[16..];
    match kind {
        ERROR if body.len() >= 20 => format!(
            "{} errno={} of [{}] {}",
            show_header(message),
            show_errno(word(body, 0)),
            show_header(&body[4..]),
            hex(&body[20..])
        ),
        DONE if body.len() >= 4 => {
            format!("{} errno={} {}", show_header(message), show_errno(word(body, 0)), hex(&body[4..]))
        }
        NLCTRL => format!("{} {}", show_header(message), hex(body)).replace(DUMPS_ONLY_NEW, DUMPS_ONLY),
        _ => format!("{} {}", show_header(message), hex(body)),
    }
}
