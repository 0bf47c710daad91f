//! Attributes by their tables.

use crate::guess::{self, DEEPEST, leftover};
use crate::hints::{self, Hint, hint};
use crate::value::{Attribute, Value};
use pfnl_proto::{Attr, Attrs, Kind, Layout, Row, Table, nlctrl};

/// Where an attribute stands.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope {
    depth: u8,
    /// In a mask: bits count one by one.
    mask: bool,
    /// Values are followed by masks as long.
    doubled: bool,
}

/// The attributes in a run, by their table.
pub(crate) fn attributes(attrs: Attrs<'_>, table: &'static Table, scope: Scope) -> Vec<Attribute> {
    let mut rest = attrs;
    let mut found: Vec<_> = rest.by_ref().map(|attr| attribute(&attr, table, scope)).collect();
    found.extend(leftover(&rest));
    found
}

fn attribute(attr: &Attr<'_>, table: &'static Table, scope: Scope) -> Attribute {
    let named = |name, value| Attribute { name, number: attr.number(), offset: attr.offset(), value };
    match table.row(attr.number()) {
        // Numbers that the table does not know, and whatever is deeper than anything sensible.
        Some(row) if scope.depth < DEEPEST => {
            named(Some(row.name.to_owned()), value(attr, table, row, scope))
        }
        Some(row) => named(Some(row.name.to_owned()), Value::Bad("too deep", attr.payload().to_vec())),
        None => {
            let bytes = attr.payload().to_vec();
            let guessed = attr.is_nested() && scope.depth < DEEPEST;
            named(
                None,
                if guessed {
                    Value::Nest(guess::attributes(attr.attrs(), scope.depth + 1))
                } else {
                    Value::Bytes(bytes)
                },
            )
        }
    }
}

fn value(attr: &Attr<'_>, table: &'static Table, row: &'static Row, scope: Scope) -> Value {
    let hint = hint(table.name, row.name);
    let inner = Scope { depth: scope.depth + 1, mask: scope.mask || row.name == "mask", ..scope };
    let nest = |table| Value::Nest(attributes(attr.attrs(), table, inner));
    match (hint, row.kind) {
        (Hint::Nest(table), _) | (_, Kind::List(table)) => nest(table),
        (Hint::MaskedNest, Kind::Nest(table)) => {
            Value::Nest(attributes(attr.attrs(), table, Scope { doubled: true, ..inner }))
        }
        (_, Kind::Nest(table)) => nest(table),
        (_, Kind::Array(table)) => {
            array(attr, inner, |attr, scope| Value::Nest(attributes(attr.attrs(), table, scope)))
        }
        (Hint::Policies, _) => array(attr, inner, |policy, scope| {
            array(policy, scope, |attr, scope| {
                Value::Nest(attributes(attr.attrs(), &nlctrl::policy_type::TABLE, scope))
            })
        }),
        (Hint::Masked, _) => halves(attr.payload(), |half, mask| leaf(half, table, row, mask)),
        _ if scope.doubled => halves(attr.payload(), |half, mask| leaf(half, table, row, mask)),
        _ => leaf(attr.payload(), table, row, scope.mask),
    }
}

/// Attributes whose numbers only count.
fn array(attr: &Attr<'_>, scope: Scope, element: impl Fn(&Attr<'_>, Scope) -> Value) -> Value {
    let mut rest = attr.attrs();
    let below = Scope { depth: scope.depth + 1, ..scope };
    let mut found: Vec<_> = rest
        .by_ref()
        .map(|attr| Attribute {
            name: None,
            number: attr.number(),
            offset: attr.offset(),
            value: element(&attr, below),
        })
        .collect();
    found.extend(leftover(&rest));
    Value::Nest(found)
}

fn halves(payload: &[u8], read: impl Fn(&[u8], bool) -> Value) -> Value {
    let (value, mask) = payload.split_at(payload.len() / 2);
    if value.len() != mask.len() {
        return Value::Bad("not a value and a mask", payload.to_vec());
    }
    Value::Masked(Box::new(read(value, false)), Box::new(read(mask, true)))
}

fn leaf(payload: &[u8], table: &'static Table, row: &'static Row, in_mask: bool) -> Value {
    let hint = hint(table.name, row.name);
    let bad = |why| Value::Bad(why, payload.to_vec());
    // Too long is read as Linux does: at its start.
    let first = |width: u8| payload.get(..usize::from(width));
    match (row.kind, hint) {
        (Kind::Pad, _) => Value::Pad,
        (Kind::Flag, _) if payload.is_empty() => Value::Flag,
        (Kind::Flag, _) => bad("a flag has no payload"),
        (Kind::Uint(width), _) => match first(width) {
            Some(bytes) => hints::integer(hints::host(bytes), width, hint, in_mask),
            None => bad("too short"),
        },
        (Kind::Sint(width), _) => match first(width) {
            Some(bytes) => Value::Signed(hints::signed(hints::host(bytes), u32::from(width) * 8)),
            None => bad("too short"),
        },
        (Kind::Be(width), _) => match first(width) {
            Some(bytes) => hints::integer(hints::big_endian(bytes), width, hint, in_mask),
            None => bad("too short"),
        },
        (Kind::String(_) | Kind::NulString(_), _) => {
            let text = payload.split(|&byte| byte == 0).next().unwrap_or_default();
            Value::Text(String::from_utf8_lossy(text).into_owned())
        }
        (Kind::U32s, _) => {
            Value::Items(payload.chunks_exact(4).map(|word| Value::Number(hints::host(word))).collect())
        }
        (_, Hint::Frame) => hints::frame(payload),
        (_, Hint::Items(layout)) => items(layout, payload),
        (Kind::Struct(_), _) => match row.layout {
            Some(layout) if size(layout) == payload.len() => {
                structure_or_bytes(layout, payload, hint, in_mask)
            }
            _ => bad("not the structure's length"),
        },
        (Kind::Bytes(_) | Kind::Nest(_) | Kind::List(_) | Kind::Array(_), _) => match payload.len() {
            // An address, where either kind of address can be.
            4 | 16 if table.name == "ovs_nat_attr" => hints::bytes(payload, Hint::Plain, in_mask),
            _ => Value::Bytes(payload.to_vec()),
        },
    }
}

fn items(layout: &'static Layout, payload: &[u8]) -> Value {
    let mut chunks = payload.chunks_exact(size(layout).max(1));
    let mut found: Vec<_> = chunks.by_ref().map(|chunk| structure(layout, chunk, false)).collect();
    if !chunks.remainder().is_empty() {
        found.push(Value::Bad("leftover", chunks.remainder().to_vec()));
    }
    Value::Items(found)
}

fn structure_or_bytes(layout: &'static Layout, payload: &[u8], hint: Hint, in_mask: bool) -> Value {
    match layout {
        Layout::Bytes(_) => hints::bytes(payload, hint, in_mask),
        _ => structure(layout, payload, in_mask),
    }
}

/// A structure's fields, or the one integer or run of bytes that a layout is. `payload` is as long as the layout.
pub(crate) fn structure(layout: &'static Layout, payload: &[u8], in_mask: bool) -> Value {
    field_of("", "", layout, payload, in_mask)
}

fn field_of(scope: &str, field: &str, layout: &'static Layout, payload: &[u8], in_mask: bool) -> Value {
    let hint = hint(scope, field);
    match layout {
        Layout::Uint(width) => hints::integer(hints::host(payload), *width, hint, in_mask),
        Layout::Sint(width) => Value::Signed(hints::signed(hints::host(payload), u32::from(*width) * 8)),
        Layout::Bytes(_) => hints::bytes(payload, hint, in_mask),
        Layout::Fields(name, fields) => {
            let mut rest = payload;
            let mut shown = Vec::new();
            for (field, layout) in *fields {
                let (value, after) = rest.split_at(size(layout).min(rest.len()));
                rest = after;
                // Padding is only worth a word when it is not zero.
                let silent = matches!(*field, "pad" | "pad0" | "pad1") && value.iter().all(|&byte| byte == 0);
                if !silent {
                    shown.push((*field, field_of(name, field, layout, value, in_mask)));
                }
            }
            Value::Fields(shown)
        }
    }
}

/// How many bytes a layout takes.
pub(crate) fn size(layout: &Layout) -> usize {
    match layout {
        Layout::Uint(len) | Layout::Sint(len) => usize::from(*len),
        Layout::Bytes(len) => usize::from(*len),
        Layout::Fields(_, fields) => fields.iter().map(|(_, layout)| size(layout)).sum(),
    }
}
