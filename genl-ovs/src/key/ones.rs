//! The mask that a key without one stands for: the same attributes, all bits set.

use super::INVALID;
use alloc::vec::Vec;
use pfnl_platform::try_to_vec;
use pfnl_proto::ovs::key;
use pfnl_proto::{Attrs, Error, Kind, NLA_TYPE_MASK, Table, align};

/// Nests inside nests are at most: a key, what is in two tags, its tunnel, and that one's options.
const MAX_DEPTH: usize = 5;

/// The bits of a connection's state that there are.
pub(super) const CT_STATE_BITS: u32 = 0xff;

/// A copy of a valid key's attributes, its values replaced by ones.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn of(key: Attrs<'_>) -> Result<Vec<u8>, Error> {
    let mut bytes = try_to_vec(key.bytes())?;
    fill(&mut bytes, &key::TABLE, MAX_DEPTH)?;
    Ok(bytes)
}

fn fill(mut bytes: &mut [u8], table: &'static Table, depth: usize) -> Result<(), Error> {
    let depth = depth.checked_sub(1).ok_or(INVALID)?;
    while let Some(&[len, len_high, number, number_high]) = bytes.first_chunk() {
        let len = usize::from(u16::from_ne_bytes([len, len_high]));
        let number = u16::from_ne_bytes([number, number_high]) & NLA_TYPE_MASK;
        // The last attribute's padding may be missing.
        let step = align(len).min(bytes.len());
        let (attr, rest) = core::mem::take(&mut bytes).split_at_mut_checked(step).ok_or(INVALID)?;
        let payload = attr.get_mut(4..len).ok_or(INVALID)?;
        match table.row(number).map(|row| row.kind) {
            Some(Kind::Nest(inner)) => fill(payload, inner, depth)?,
            _ if core::ptr::eq(table, &key::TABLE) && number == key::ENCAP => fill(payload, table, depth)?,
            _ if core::ptr::eq(table, &key::TABLE) && number == key::CT_STATE => {
                payload.copy_from_slice(&CT_STATE_BITS.to_ne_bytes());
            }
            _ => payload.fill(0xff),
        }
        bytes = rest;
    }
    Ok(())
}
