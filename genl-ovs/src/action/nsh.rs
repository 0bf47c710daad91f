//! PUSH_NSH: { NSH: { BASE, MD1 } }, and POP_NSH.
//!
//! The nest of PUSH_NSH holds a key attribute, and that one what the header is made of: one base header and one kind of
//! metadata, in either order.

use super::{ETH_IPV4, ETH_IPV6, ETH_MPLS, ETH_NSH, ETH_TEB, INVALID, Shape, ensure, read};
use crate::key::fits;
use pfnl_datapath::action::{Action, PushNsh};
use pfnl_datapath::key::{Be32, MAC_ETHERNET, MAC_NONE};
use pfnl_platform::{try_box, try_to_vec};
use pfnl_proto::ovs::{NshBase, key, nsh_key};
use pfnl_proto::{Attr, Error};

/// `mdtype` of four words of context, and of what a service's nodes agree on.
const MD_TYPE_1: u8 = 1;
const MD_TYPE_2: u8 = 2;
/// The longest metadata of type 2 (`NSH_CTX_HDRS_MAX_LEN`).
const MAX_METADATA: usize = 248;

#[inline(never)]
pub(super) fn push(shape: &mut Shape, attr: &Attr<'_>) -> Result<Action, Error> {
    // A service header says what follows it, and has words for these alone.
    let follows = matches!(shape.eth_type, ETH_IPV4 | ETH_IPV6 | ETH_TEB | ETH_NSH | ETH_MPLS);
    ensure(shape.mac_proto == MAC_ETHERNET || follows)?;
    let mut nest = attr.attrs();
    let header = nest.next().filter(|attr| attr.number() == key::NSH).ok_or(INVALID)?;
    ensure(nest.next().is_none() && nest.leftover() == 0)?;

    let (mut base, mut context, mut variable) = (None::<NshBase>, None, None);
    let mut rest = header.attrs();
    for attr in rest.by_ref() {
        ensure(fits(&attr, &nsh_key::TABLE))?;
        match attr.number() {
            nsh_key::BASE => base = Some(read(&attr)?),
            nsh_key::MD1 => context = Some(attr.payload()),
            _ => variable = Some(attr.payload()),
        }
    }
    ensure(rest.leftover() == 0)?;
    let base = base.ok_or(INVALID)?;
    let metadata = match (base.mdtype, context, variable) {
        (MD_TYPE_1, Some(context), None) => context,
        (MD_TYPE_2, None, Some(variable)) => variable,
        _ => return Err(INVALID),
    };
    ensure(!metadata.is_empty() && metadata.len() <= MAX_METADATA)?;
    // As on Linux, what is no whole word is cut off.
    let words = metadata.get(..metadata.len() & !3).ok_or(INVALID)?;
    shape.mac_proto = MAC_NONE;
    Ok(Action::PushNsh(try_box(PushNsh {
        flags: base.flags,
        ttl: base.ttl,
        mdtype: base.mdtype,
        path_hdr: Be32::from_bytes(base.path_hdr),
        metadata: try_to_vec(words)?,
    })?))
}

/// `np` is what follows the header, by all that is known of the flow.
pub(super) fn pop(shape: &mut Shape, np: u16) -> Result<Action, Error> {
    ensure(shape.eth_type == ETH_NSH)?;
    shape.mac_proto = match np {
        1 | 2 | 4 | 5 => MAC_NONE,
        3 => MAC_ETHERNET,
        _ => return Err(INVALID),
    };
    Ok(Action::PopNsh)
}
