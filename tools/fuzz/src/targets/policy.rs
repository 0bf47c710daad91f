//! Validation: tables as they are compiled, the same rows read slowly, and a plain reading of what a row says.

use crate::message::Node;
use crate::{Choices, generate, ovs};
use pfnl_proto::{
    Attrs, Errno, Index, Kind, Level, NLA_F_NESTED, Policy, Row, Table, nlctrl, ovs as tables, psample,
};
use std::sync::LazyLock;

/// A table, and the same without what is compiled for speed.
static TABLES: LazyLock<Vec<(&'static Table, &'static Table)>> = LazyLock::new(|| {
    let all: [&'static Table; 20] = [
        &nlctrl::ctrl::TABLE,
        &nlctrl::get_family::TABLE,
        &nlctrl::get_policy::TABLE,
        &tables::datapath::TABLE,
        &tables::vport::TABLE,
        &tables::flow::TABLE,
        &tables::packet::TABLE,
        &tables::meter::TABLE,
        &tables::band::TABLE,
        &tables::ct_limit::TABLE,
        &tables::key::TABLE,
        &tables::tunnel_key::TABLE,
        &tables::nsh_key::TABLE,
        &tables::action::TABLE,
        &tables::userspace::TABLE,
        &tables::ct::TABLE,
        &tables::nat::TABLE,
        &tables::sample::TABLE,
        &tables::check_pkt_len::TABLE,
        &psample::psample::TABLE,
    ];
    let slow = |table: &'static Table| -> &'static Table {
        Box::leak(Box::new(Table::of_rows(table.name, table.rows)))
    };
    all.into_iter().map(|table| (table, slow(table))).collect()
});

/// The input is choices: a table, a level, attributes.
///
/// # Errors
/// What does not hold.
pub fn policy(input: &[u8]) -> Result<(), String> {
    let mut c = Choices::replay(input);
    let (table, slow) = *c.pick(&TABLES);
    let level = *c.pick(&[Level::Liberal, Level::Strict, Level::Exact]);
    let mut nodes = generate::attributes(table, &ovs::OVS, 2, &mut c);
    if level == Level::Strict {
        // As a careful client marks them.
        for node in &mut nodes {
            if let Node::Nest(number, _) = node {
                *number |= NLA_F_NESTED;
            }
        }
    }
    for _ in 0..c.below(4) {
        generate::disturb(&mut nodes, Some(table), &ovs::OVS, &mut c);
    }
    let mut bytes = Vec::new();
    nodes.iter().for_each(|node| node.write(&mut bytes));
    let attrs = Attrs::new(&bytes, 0);
    let told = |table| match Index::<64>::parse(attrs, table, level) {
        Ok(index) => Ok(index.warning().is_some()),
        Err(error) => Err((error.errno, error.offset, error.text)),
    };
    let (fast, slow) = (told(table), told(slow));
    if fast != slow {
        return Err(format!("{} {level:?}: {fast:?} by its lengths, {slow:?} by its rows", table.name));
    }
    let expected = expected(attrs, table, level);
    let plain = fast.map(|_| ()).map_err(|(errno, ..)| errno);
    if plain != expected {
        return Err(format!("{} {level:?}: {plain:?}, and its rows say {expected:?}: {nodes:?}", table.name));
    }
    Ok(())
}

/// What the rows say of a run of attributes, one at a time.
fn expected(mut attrs: Attrs<'_>, table: &Table, level: Level) -> Result<(), Errno> {
    let mut seen = Vec::new();
    for attr in attrs.by_ref() {
        let row = table.rows.iter().find(|row| row.number == attr.number());
        match (row, level) {
            (None, Level::Liberal) => {}
            (None, _) => return Err(Errno::EINVAL),
            (Some(row), Level::Exact) => {
                if !is_exact(row, attr.payload().len()) || seen.contains(&attr.number()) {
                    return Err(Errno::EINVAL);
                }
                seen.push(attr.number());
            }
            (Some(row), _) => {
                by_policy(row.policy, attr.payload(), attr.is_nested(), level == Level::Strict)?
            }
        }
    }
    if attrs.leftover() > 0 && level != Level::Liberal { Err(Errno::EINVAL) } else { Ok(()) }
}

fn is_exact(row: &Row, len: usize) -> bool {
    match row.kind {
        Kind::Flag => len == 0,
        Kind::Uint(width) | Kind::Sint(width) | Kind::Be(width) => len == usize::from(width),
        Kind::Struct(size) => len == usize::from(size),
        Kind::Bytes(most) => most == 0 || len <= usize::from(most),
        Kind::String(most) | Kind::NulString(most) => len <= usize::from(most) + 1,
        Kind::Pad | Kind::U32s | Kind::Nest(_) | Kind::List(_) | Kind::Array(_) => true,
    }
}

fn by_policy(policy: Policy, payload: &[u8], marked: bool, strict: bool) -> Result<(), Errno> {
    let len = payload.len();
    let range = |holds: bool| if holds { Ok(()) } else { Err(Errno::ERANGE) };
    if strict && marked && policy != Policy::Nested {
        return Err(Errno::EINVAL);
    }
    let little = |width: u8| {
        let mut bytes = [0; 8];
        bytes[..usize::from(width)].copy_from_slice(&payload[..usize::from(width)]);
        u64::from_le_bytes(bytes)
    };
    match policy {
        Policy::None => Ok(()),
        Policy::Min(least) => range(len >= usize::from(least)),
        Policy::Reject => Err(Errno::EINVAL),
        Policy::Flag => range(len == 0),
        Policy::Uint(width, ..) | Policy::Sint(width, ..) if strict && len != usize::from(width) => {
            Err(Errno::EINVAL)
        }
        Policy::Uint(width, ..) | Policy::Sint(width, ..) if len < usize::from(width) => Err(Errno::ERANGE),
        Policy::Uint(width, least, most) => range((least..=most).contains(&little(width))),
        Policy::Sint(width, least, most) => {
            let unused = 64 - 8 * u32::from(width);
            range((least..=most).contains(&((little(width) << unused).cast_signed() >> unused)))
        }
        Policy::String(most) => {
            let text = payload.strip_suffix(&[0]).unwrap_or(payload).len();
            range(len > 0 && (most == 0 || text <= usize::from(most)))
        }
        Policy::NulString(most) => {
            let nul = payload.iter().position(|byte| *byte == 0);
            // It must be among the bytes that the text may have and the NUL that ends it.
            if nul.is_none_or(|at| at > usize::from(most)) {
                return Err(Errno::EINVAL);
            }
            let text = payload.strip_suffix(&[0]).unwrap_or(payload).len();
            range(most == 0 || text <= usize::from(most))
        }
        Policy::Binary(least, most) => {
            range(len >= usize::from(least) && (most == 0 || len <= usize::from(most)))
        }
        Policy::Nested => {
            range(len == 0 || len >= 4)?;
            if strict && !marked { Err(Errno::EINVAL) } else { Ok(()) }
        }
    }
}
