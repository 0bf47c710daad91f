//! Network service headers in keys: `OVS_KEY_ATTR_NSH` and its nest. Metadata of type 2 is not a key.

use super::INVALID;
use super::fields::fits;
use pfnl_datapath::key::{Be32, Nsh};
use pfnl_proto::ovs::{NshBase, nsh_key};
use pfnl_proto::{Attrs, Error, Fixed, Writer};

/// `mdtype` of a header with four context words.
const MD_TYPE_1: u8 = 1;

/// Reads a header, or its mask.
pub(super) fn parse(attrs: Attrs<'_>, is_mask: bool, out: &mut Nsh) -> Result<(), Error> {
    let mut rest = attrs;
    let mut has_context = false;
    for attr in rest.by_ref() {
        if !fits(&attr, &nsh_key::TABLE) {
            return Err(INVALID);
        }
        match attr.number() {
            nsh_key::BASE => {
                let base = NshBase::read(attr.payload()).ok_or(INVALID)?;
                (out.flags, out.ttl, out.mdtype, out.np) = (base.flags, base.ttl, base.mdtype, base.np);
                out.path_hdr = Be32::from_bytes(base.path_hdr);
            }
            nsh_key::MD1 => {
                has_context = true;
                let words = attr.payload().as_chunks::<4>().0;
                out.context.iter_mut().zip(words).for_each(|(place, &word)| *place = Be32::from_bytes(word));
            }
            _ => return Err(INVALID),
        }
    }
    let odd = !is_mask && has_context && out.mdtype != MD_TYPE_1;
    if rest.leftover() > 0 || odd { Err(INVALID) } else { Ok(()) }
}

/// Writes a header, or the mask of one.
pub(super) fn put(w: &mut Writer<'_>, out: &Nsh, is_mask: bool) {
    let base = NshBase {
        flags: out.flags,
        ttl: out.ttl,
        mdtype: out.mdtype,
        np: out.np,
        path_hdr: out.path_hdr.to_bytes(),
    };
    let mut put = nsh_key::Put(w);
    put.base(&base);
    if is_mask || out.mdtype == MD_TYPE_1 {
        let mut context = [0; 16];
        let words = context.as_chunks_mut::<4>().0;
        words.iter_mut().zip(&out.context).for_each(|(place, word)| *place = word.to_bytes());
        put.md1(&context);
    }
}
