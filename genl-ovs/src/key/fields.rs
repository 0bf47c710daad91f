//! One pass over the attributes of a key or a mask: which are there, and where.

use super::INVALID;
use pfnl_datapath::FlowKey;
use pfnl_proto::ovs::key;
use pfnl_proto::{Attr, Attrs, Error, Fixed, Len, Table};

/// Whether attributes are a key or a mask; a mask is read with its key at hand.
#[derive(Clone, Copy)]
pub(super) enum Form<'k> {
    Key,
    Mask(&'k FlowKey),
}

impl Form<'_> {
    pub fn is_mask(self) -> bool {
        matches!(self, Form::Mask(_))
    }
}

/// Attributes by number. What is inside VLAN tags is added to what is outside; no number occurs twice.
pub(super) struct Fields<'a> {
    /// The outermost run: offsets count from its start.
    run: Attrs<'a>,
    at: [u32; key::IPV6_EXTHDRS as usize + 1],
    present: u64,
}

const _: () = assert!(key::IPV6_EXTHDRS < 64);

/// An attribute in a set of attributes.
pub(super) const fn bit(number: u16) -> u64 {
    1u64.wrapping_shl(number as u32)
}

impl<'a> Fields<'a> {
    /// None of the attributes of `run`, yet.
    pub fn new(run: Attrs<'a>) -> Fields<'a> {
        Fields { run, at: [0; _], present: 0 }
    }

    /// Adds attributes of the run, or of a nest in it. In a mask, those that are zero throughout are as good as absent.
    pub fn read(&mut self, attrs: Attrs<'a>, form: Form<'_>) -> Result<(), Error> {
        let mut rest = attrs;
        for attr in rest.by_ref() {
            let number = attr.number();
            // Not for the kernel, or its own: linux/openvswitch.h.
            let foreign = matches!(number, key::PACKET_TYPE..=key::TUNNEL_INFO);
            if foreign || self.has(number) || !fits(&attr, &key::TABLE) {
                return Err(INVALID);
            }
            if form.is_mask() && attr.payload().iter().all(|&byte| byte == 0) {
                continue;
            }
            if let Some(place) = self.at.get_mut(usize::from(number)) {
                *place = attr.offset().wrapping_sub(self.run.base());
                self.present |= bit(number);
            }
        }
        if rest.leftover() > 0 { Err(INVALID) } else { Ok(()) }
    }

    /// The set of those that are there.
    pub fn present(&self) -> u64 {
        self.present
    }

    pub fn has(&self, number: u16) -> bool {
        number < 64 && self.present & bit(number) != 0
    }

    /// Forgets attributes.
    pub fn remove(&mut self, set: u64) {
        self.present &= !set;
    }

    pub fn attr(&self, number: u16) -> Option<Attr<'a>> {
        if !self.has(number) {
            return None;
        }
        let at = *self.at.get(usize::from(number))?;
        Attrs::new(self.run.bytes().get(at as usize..)?, self.run.base().saturating_add(at)).next()
    }

    pub fn u32(&self, number: u16) -> Option<u32> {
        self.attr(number)?.u32()
    }

    pub fn be16(&self, number: u16) -> Option<u16> {
        self.attr(number)?.be16()
    }

    pub fn fixed<T: Fixed>(&self, number: u16) -> Option<T> {
        T::read(self.attr(number)?.payload())
    }
}

/// Whether an attribute is in the table and as long as that says.
pub(crate) fn fits(attr: &Attr<'_>, table: &'static Table) -> bool {
    let len = attr.payload().len();
    table.row(attr.number()).is_some_and(|row| match row.kind.len() {
        Len::Exact(exact) => len == usize::from(exact),
        Len::Max(max) => len <= usize::from(max),
        Len::Any => true,
    })
}
