//! Attributes of which nothing is known: what looks like a nest is shown as one.

use crate::value::{Attribute, Value};
use pfnl_proto::{Attr, Attrs, align};

/// Nests in nests are followed this far.
pub(crate) const DEEPEST: u8 = 64;

/// The attributes in a run, by their looks.
pub(crate) fn attributes(attrs: Attrs<'_>, depth: u8) -> Vec<Attribute> {
    let mut rest = attrs;
    let mut found: Vec<_> = rest
        .by_ref()
        .map(|attr| Attribute {
            name: None,
            number: attr.number(),
            offset: attr.offset(),
            value: value(&attr, depth),
        })
        .collect();
    found.extend(leftover(&rest));
    found
}

/// What is left of a run and is no attribute.
pub(crate) fn leftover(rest: &Attrs<'_>) -> Option<Attribute> {
    (rest.leftover() > 0).then(|| Attribute {
        name: Some("leftover".to_owned()),
        number: 0,
        offset: rest.base(),
        value: Value::Bad("no attribute", rest.bytes().to_vec()),
    })
}

fn value(attr: &Attr<'_>, depth: u8) -> Value {
    let payload = attr.payload();
    if depth < DEEPEST && (attr.is_nested() || looks_nested(attr.attrs())) {
        return Value::Nest(attributes(attr.attrs(), depth + 1));
    }
    match payload {
        [] => Value::Flag,
        _ if is_text(payload) => Value::Text(String::from_utf8_lossy(attr.string()).into_owned()),
        [byte] => Value::Number(u64::from(*byte)),
        &[a, b] => Value::Number(u64::from(u16::from_ne_bytes([a, b]))),
        &[a, b, c, d] => Value::Number(u64::from(u32::from_ne_bytes([a, b, c, d]))),
        &[a, b, c, d, e, f, g, h] => Value::Number(u64::from_ne_bytes([a, b, c, d, e, f, g, h])),
        _ => Value::Bytes(payload.to_vec()),
    }
}

/// Text and the NUL that ends it.
fn is_text(payload: &[u8]) -> bool {
    payload.split_last().is_some_and(|(last, text)| {
        *last == 0 && !text.is_empty() && text.iter().all(|&b| (32..127).contains(&b))
    })
}

/// A whole number of attributes with small numbers and zero padding. Four bytes could be an empty one, but are far
/// more often an integer.
fn looks_nested(attrs: Attrs<'_>) -> bool {
    let bytes = attrs.bytes();
    let start = attrs.base();
    let mut rest = attrs;
    bytes.len() >= 8
        && rest.by_ref().all(|attr| {
            let len = attr.payload().len();
            let padding =
                (attr.offset() - start) as usize + 4 + len..(attr.offset() - start) as usize + 4 + align(len);
            (1..512).contains(&attr.number())
                && bytes
                    .get(padding.start..padding.end.min(bytes.len()))
                    .is_some_and(|pad| pad.iter().all(|&b| b == 0))
        })
        && rest.leftover() == 0
}
