//! VLAN tags: `ETHERTYPE` (the TPID), `VLAN` (the TCI) and `ENCAP` with what is behind the tag, two levels of them.
//!
//! ```text
//! eth(..),eth_type(0x88a8),vlan(vid=200),encap(eth_type(0x8100),vlan(vid=10),encap(eth_type(0x0800),ipv4(..)))
//! ```

use super::fields::{Fields, Form, bit};
use super::{INVALID, is_vlan};
use pfnl_datapath::FlowKey;
use pfnl_datapath::key::{Be16, VLAN_PRESENT, Vlan};
use pfnl_proto::Error;
use pfnl_proto::ovs::key;

/// The attributes that make up a tag.
const TAG: u64 = bit(key::ETHERTYPE) | bit(key::VLAN) | bit(key::ENCAP);

/// Takes up to two tags away; `fields` then has what is behind them.
pub(super) fn peel(fields: &mut Fields<'_>, form: Form<'_>, out: &mut FlowKey) -> Result<(), Error> {
    if form.is_mask() {
        // Whether there is a tag always counts, and with it the whole TCI.
        (out.vlan.tci, out.cvlan.tci) = (Be16::new(0xffff), Be16::new(0xffff));
    }
    let mut before = match form {
        Form::Key => Vlan::default(),
        Form::Mask(key) => {
            let innermost = if key.cvlan.tci.get() != 0 { key.cvlan.tci } else { key.vlan.tci };
            Vlan { tci: innermost, tpid: key.eth_type }
        }
    };
    if let Some(tag) = next(fields, form, false, &mut before)? {
        out.vlan = tag;
        if let Some(tag) = next(fields, form, true, &mut before)? {
            out.cvlan = tag;
        }
    }
    // A third level, or parts of a tag where there can't be one.
    if fields.has(key::VLAN) || fields.has(key::ENCAP) { Err(INVALID) } else { Ok(()) }
}

/// The outermost tag of what is left. Where a mask leaves TPID or TCI out, Linux takes what it read last under that
/// number: of the mask's outer tag, or else of the key's innermost; `before` is that.
fn next(
    fields: &mut Fields<'_>,
    form: Form<'_>,
    inner: bool,
    before: &mut Vlan,
) -> Result<Option<Vlan>, Error> {
    let (mut ethertype, mut tci) = (fields.be16(key::ETHERTYPE), fields.be16(key::VLAN));
    let there = match form {
        Form::Key => fields.has(key::ETHERNET) && ethertype.is_some_and(is_vlan),
        Form::Mask(_) => fields.has(key::ENCAP),
    };
    if !there {
        return Ok(None);
    }
    if form.is_mask() {
        ethertype = ethertype.or(Some(before.tpid.get()));
        tci = tci.or(Some(before.tci.get()));
    }
    let (Some(tpid), Some(tci), Some(encap)) = (ethertype, tci, fields.attr(key::ENCAP)) else {
        return Err(INVALID);
    };
    let present = tci & VLAN_PRESENT != 0;
    let valid = match form {
        // A TCI of zero is that of a frame that ends within its tag.
        Form::Key => present || (tci == 0 && encap.payload().is_empty()),
        Form::Mask(key) => {
            let tag = if inner { &key.cvlan } else { &key.vlan };
            tag.tci.get() & VLAN_PRESENT != 0 && tpid == 0xffff && present
        }
    };
    if !valid {
        return Err(INVALID);
    }
    fields.remove(TAG);
    fields.read(encap.attrs(), form)?;
    *before = Vlan { tci: Be16::new(tci), tpid: Be16::new(tpid) };
    Ok(Some(*before))
}
