//! One pass over a run of attributes: validates it and remembers where each attribute is.

use crate::align;
use crate::attr::{Attr, Attrs, NLA_HDRLEN, NLA_TYPE_MASK, split};
use crate::error::Error;
use crate::policy::{Policy, Row, Table};
use core::ops::Range;
use pfnl_platform::Errno;

/// How strictly a run of attributes is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As old commands are: unknown numbers and trailing bytes are ignored, integers may be longer than their type.
    Liberal,
    /// As commands that opted in are: nothing unknown, nothing left over, exact lengths, marked nests.
    Strict,
    /// As openvswitch reads its own nests (keys, masks, tunnel keys): unknown numbers, duplicates, wrong lengths and
    /// trailing bytes are all EINVAL, without a word.
    Exact,
}

/// Where the attributes of a table are in a run, by number below `N`; the last of duplicates counts.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a, const N: usize> {
    attrs: Attrs<'a>,
    places: [Place; N],
    leftover: bool,
}

/// Where a payload is in its run, in four bytes: an index of a big table is to be zeroed quickly and to be small on a
/// kernel's stack. No payload starts at 0, so that stands for an absent attribute.
///
/// The upper half is its start in words of 4 bytes, to which attributes are aligned, or [`FAR`]; the lower its length.
/// Written and read as a whole: processors do not like to read together what was written in parts.
#[derive(Clone, Copy, Debug)]
struct Place(u32);

const ABSENT: Place = Place(0);
/// Further than 256 KiB from the start of the run: it has to be looked for again.
const FAR: u32 = 0xffff;

/// The last attribute of a number.
#[cold]
#[inline(never)]
fn far(attrs: Attrs<'_>, number: u16) -> Option<Attr<'_>> {
    // Not given the index: one whose address is known to nobody need not be copied when it is moved.
    attrs.filter(|attr| attr.number() == number).last()
}

/// Starts below this are not far.
const NEAR: usize = (FAR as usize) << 2;

impl Place {
    /// Of a payload that starts below [`NEAR`], at a multiple of 4.
    #[inline]
    fn near(start: usize, len: usize) -> Place {
        Place((start as u32) << 14 | len as u32)
    }

    fn new(start: usize, len: usize) -> Place {
        let len = len & 0xffff;
        if start < NEAR { Place::near(start, len) } else { Place(FAR << 16 | len as u32) }
    }

    #[inline]
    fn is_far(self) -> bool {
        self.0 >> 16 == FAR
    }

    /// Neither absent nor far: one comparison, as absence wraps to what is above all places.
    #[inline]
    fn is_plain(self) -> bool {
        self.0.wrapping_sub(1) < (FAR << 16).wrapping_sub(1)
    }

    #[inline]
    fn start(self) -> usize {
        (self.0 >> 16 << 2) as usize
    }

    #[inline]
    fn range(self) -> Range<usize> {
        let len = (self.0 & 0xffff) as usize;
        self.start()..self.start().saturating_add(len)
    }
}

impl<'a, const N: usize> Index<'a, N> {
    /// Reads and validates a run of attributes.
    ///
    /// # Errors
    /// The first attribute that breaks its row's policy: `EINVAL` or `ERANGE`, with text, offset and row as Linux
    /// gives them ([`Level::Exact`]: `EINVAL` alone).
    #[inline]
    pub fn parse(attrs: Attrs<'a>, table: &'static Table, level: Level) -> Result<Index<'a, N>, Error> {
        let mut index = Index { attrs, places: [ABSENT; N], leftover: false };
        match fill(attrs, table, level, &mut index.places) {
            Ok(leftover) => {
                index.leftover = leftover;
                Ok(index)
            }
            Err(error) => Err(error),
        }
    }

    /// The same for the numbers below `M`, or `None` if they are more than are known here.
    #[inline]
    fn narrow<const M: usize>(&self) -> Option<Index<'a, M>> {
        let places = *self.places.first_chunk()?;
        Some(Index { attrs: self.attrs, places, leftover: self.leftover })
    }

    #[inline(always)]
    fn place(&self, number: u16) -> Option<Place> {
        self.places.get(usize::from(number)).copied().filter(|place| place.0 != 0)
    }

    /// The attribute of a number, if it was there.
    #[inline(always)]
    pub fn attr(&self, number: u16) -> Option<Attr<'a>> {
        let place = self.place(number)?;
        if place.is_far() {
            return far(self.attrs, number);
        }
        let at = place.start().checked_sub(NLA_HDRLEN)?;
        let bytes = self.attrs.bytes().get(at..)?;
        Attrs::new(bytes, self.attrs.base().saturating_add(at as u32)).next()
    }

    /// The payload of a number, if it was there.
    #[inline(always)]
    pub fn payload(&self, number: u16) -> Option<&'a [u8]> {
        let place = *self.places.get(usize::from(number))?;
        if place.is_plain() {
            return self.attrs.bytes().get(place.range());
        }
        self.place(number).and_then(|_| far(self.attrs, number)).map(|attr| attr.payload())
    }

    /// The payload of a number as attributes, if it was there.
    #[inline(always)]
    pub fn nest(&self, number: u16) -> Option<Attrs<'a>> {
        let place = *self.places.get(usize::from(number))?;
        if !place.is_plain() {
            return self.place(number).and_then(|_| far(self.attrs, number)).map(|attr| attr.attrs());
        }
        let payload = self.attrs.bytes().get(place.range())?;
        Some(Attrs::new(payload, self.attrs.base().saturating_add(place.start() as u32)))
    }

    /// Whether an attribute was there.
    #[inline(always)]
    pub fn has(&self, number: u16) -> bool {
        self.place(number).is_some()
    }

    /// The run it was read from.
    pub fn attrs(&self) -> Attrs<'a> {
        self.attrs
    }

    /// What Linux leaves in the extended ack, without failing, when trailing bytes were ignored.
    pub fn warning(&self) -> Option<&'static str> {
        self.leftover.then_some(LEFTOVER)
    }

    /// An attribute that must be there.
    ///
    /// # Errors
    /// `EINVAL`, naming what is missing.
    pub fn need<T>(&self, number: u16, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| Error::new(Errno::EINVAL).missing(number, None))
    }
}

/// Attributes that have been validated, so that the view which reads them need not do it again.
#[derive(Clone, Copy, Debug)]
pub struct Validated<'a> {
    index: Index<'a, WIDE>,
    table: &'static Table,
    level: Level,
}

/// Numbers that are remembered: more than families have, of which nlctrl's and openvswitch's have up to 12.
const WIDE: usize = 24;

/// The table of those who have none.
static EMPTY: Table = Table::of_rows("", &[]);

impl<'a> Validated<'a> {
    /// Reads and validates a run of attributes.
    ///
    /// # Errors
    /// As [`Index::parse`].
    pub fn parse(attrs: Attrs<'a>, table: &'static Table, level: Level) -> Result<Validated<'a>, Error> {
        Ok(Validated { index: Index::parse(attrs, table, level)?, table, level })
    }

    /// Attributes that nobody has looked at yet: their view will, liberally.
    pub fn later(attrs: Attrs<'a>) -> Validated<'a> {
        Validated {
            index: Index { attrs, places: [ABSENT; WIDE], leftover: false },
            table: &EMPTY,
            level: Level::Liberal,
        }
    }

    /// Where they are by a table: as found before if that was the table, else read now.
    ///
    /// # Errors
    /// As [`Index::parse`].
    #[inline]
    pub fn index<const N: usize>(&self, table: &'static Table) -> Result<Index<'a, N>, Error> {
        match self.index.narrow() {
            Some(index) if core::ptr::eq(table, self.table) => Ok(index),
            _ => Index::parse(self.index.attrs, table, self.level),
        }
    }

    /// As [`Index::warning`].
    pub fn warning(&self) -> Option<&'static str> {
        self.index.warning()
    }
}

/// Linux's text for bytes that make no attribute.
const LEFTOVER: &str = "bytes leftover after parsing attributes";
/// Linux's text for a payload of the wrong length.
const FAILED: &str = "Attribute failed policy validation";

/// Finds the place of each attribute, and whether bytes are left over. One function for all tables: kernels are small.
fn fill(attrs: Attrs<'_>, table: &'static Table, level: Level, places: &mut [Place]) -> Result<bool, Error> {
    let whole = attrs.bytes();
    // Where no number may come twice, all of a place's bits count.
    let (lens, once) = match level {
        Level::Exact => (table.exact, u32::MAX),
        Level::Liberal => (table.liberal, 0),
        Level::Strict => (Default::default(), 0),
    };
    let mut at = 0_usize;
    while let Some(header) = whole.get(at..).and_then(|rest| rest.first_chunk()) {
        let (len, raw_type) = split(header);
        let start = at.wrapping_add(NLA_HDRLEN); // within the run, as everything here
        let Some(payload) = whole.get(start..at.wrapping_add(len)) else { break };
        let number = usize::from(raw_type & NLA_TYPE_MASK);
        // What is fine by its length alone has been looked at enough. That is nearly all there is.
        match (lens.get(number), places.get_mut(number)) {
            (Some(lens), Some(place)) if lens.admit(payload.len()) && place.0 & once == 0 && start < NEAR => {
                *place = Place::near(start, payload.len());
            }
            _ => note(attrs, at, table, level, places)?,
        }
        // The last attribute's padding may be missing.
        at = at.wrapping_add(align(len));
    }
    match level {
        _ if at >= whole.len() => Ok(false),
        Level::Liberal => Ok(true),
        Level::Strict => Err(Error::new(Errno::EINVAL).text(LEFTOVER)),
        Level::Exact => Err(Error::new(Errno::EINVAL)),
    }
}

/// Looks closely at the attribute at a place in the run, and notes where it is. It is there.
#[cold]
#[inline(never)]
fn note(
    attrs: Attrs<'_>,
    at: usize,
    table: &'static Table,
    level: Level,
    places: &mut [Place],
) -> Result<(), Error> {
    let bytes = attrs.bytes().get(at..).unwrap_or_default();
    let Some(attr) = Attrs::new(bytes, attrs.base().saturating_add(at as u32)).next() else { return Ok(()) };
    // Numbers outside the table (liberal only) have no place, and need none.
    if check(&attr, table, level)?
        && let Some(place) = places.get_mut(usize::from(attr.number()))
    {
        if place.0 != 0 && level == Level::Exact {
            return Err(Error::new(Errno::EINVAL));
        }
        *place = Place::new(at.saturating_add(NLA_HDRLEN), attr.payload().len());
    }
    Ok(())
}

/// Whether the table has an attribute, or what is wrong with it.
fn check(attr: &Attr<'_>, table: &'static Table, level: Level) -> Result<bool, Error> {
    let row = table.row(attr.number());
    match level {
        Level::Exact if table.fits(attr.number(), attr.payload().len()) => {}
        Level::Exact => return Err(Error::new(Errno::EINVAL)),
        Level::Liberal => check_row(attr, row, table, false)?,
        Level::Strict => check_row(attr, row, table, true)?,
    }
    Ok(row.is_some())
}

fn check_row(
    attr: &Attr<'_>,
    row: Option<&'static Row>,
    table: &'static Table,
    strict: bool,
) -> Result<(), Error> {
    let Some(row) = row else {
        return if strict {
            // Within the table's range there is a gap; beyond, nobody knows of such a number.
            let gap = attr.number() != 0 && attr.number() <= table.max();
            let text = if gap { "Unsupported attribute" } else { "Unknown attribute type" };
            Err(Error::new(Errno::EINVAL).text(text).at(attr.offset()))
        } else {
            Ok(())
        };
    };
    let len = attr.payload().len();
    let failed = |errno| Err(Error::new(errno).text(FAILED).at(attr.offset()).row(row));
    if strict && attr.is_nested() && row.policy != Policy::Nested {
        // The length of an integer is looked at before.
        if let Policy::Uint(width, ..) | Policy::Sint(width, ..) = row.policy {
            check_width(len, width, strict, attr, row)?;
        }
        return Err(Error::new(Errno::EINVAL).text("NLA_F_NESTED not expected").at(attr.offset()).row(row));
    }
    match row.policy {
        Policy::None => Ok(()),
        Policy::Min(min) if len < usize::from(min) => failed(Errno::ERANGE),
        Policy::Min(_) => Ok(()),
        Policy::Reject => failed(Errno::EINVAL),
        Policy::Flag if len > 0 => failed(Errno::ERANGE),
        Policy::Flag => Ok(()),
        Policy::Uint(width, min, max) => {
            check_width(len, width, strict, attr, row)?;
            let value = match width {
                1 => attr.u8().map(u64::from),
                2 => attr.u16().map(u64::from),
                4 => attr.u32().map(u64::from),
                _ => attr.u64(),
            };
            in_range(value.is_some_and(|value| (min..=max).contains(&value)), attr, row)
        }
        Policy::Sint(width, min, max) => {
            check_width(len, width, strict, attr, row)?;
            let value = match width {
                1 => attr.u8().map(|value| i64::from(value.cast_signed())),
                2 => attr.u16().map(|value| i64::from(value.cast_signed())),
                4 => attr.s32().map(i64::from),
                _ => attr.u64().map(u64::cast_signed),
            };
            in_range(value.is_some_and(|value| (min..=max).contains(&value)), attr, row)
        }
        Policy::NulString(max) => {
            let limit = usize::from(max).saturating_add(1).min(len);
            match attr.payload().get(..limit) {
                // Some NUL is near enough; but for one that ends it, the whole is to be no longer than the text may be.
                Some(text) if text.contains(&0) => {
                    let payload = attr.payload();
                    let len = payload.strip_suffix(&[0]).unwrap_or(payload).len();
                    if max > 0 && len > usize::from(max) { failed(Errno::ERANGE) } else { Ok(()) }
                }
                _ => failed(Errno::EINVAL),
            }
        }
        Policy::String(max) => {
            // One more than `max` is fine when it is a NUL.
            let text = attr.payload().strip_suffix(&[0]).unwrap_or(attr.payload());
            if len == 0 || (max > 0 && text.len() > usize::from(max)) {
                failed(Errno::ERANGE)
            } else {
                Ok(())
            }
        }
        Policy::Binary(min, max) if len < usize::from(min) || (max > 0 && len > usize::from(max)) => {
            failed(Errno::ERANGE)
        }
        Policy::Binary(..) => Ok(()),
        // A nest of no bytes at all is an empty nest; anything else needs room for one header.
        Policy::Nested if len > 0 && len < 4 => failed(Errno::ERANGE),
        Policy::Nested if strict && !attr.is_nested() => {
            Err(Error::new(Errno::EINVAL).text("NLA_F_NESTED is missing").at(attr.offset()))
        }
        Policy::Nested => Ok(()),
    }
}

fn check_width(len: usize, width: u8, strict: bool, attr: &Attr<'_>, row: &'static Row) -> Result<(), Error> {
    let width = usize::from(width);
    if strict && len != width {
        return Err(Error::new(Errno::EINVAL).text("invalid attribute length").at(attr.offset()).row(row));
    }
    // Liberal reading takes the first bytes of an integer that is too long, as it always did.
    if len < width {
        return Err(Error::new(Errno::ERANGE).text(FAILED).at(attr.offset()).row(row));
    }
    Ok(())
}

fn in_range(fits: bool, attr: &Attr<'_>, row: &'static Row) -> Result<(), Error> {
    if fits {
        Ok(())
    } else {
        Err(Error::new(Errno::ERANGE).text("integer out of range").at(attr.offset()).row(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Writer;
    use crate::nlctrl::ctrl;

    #[test]
    fn an_attribute_far_from_the_start_is_found() {
        let mut bytes = Vec::new();
        let mut w = Writer::new(&mut bytes);
        w.fixed(ctrl::FAMILY_ID, &7u16);
        (0..5).for_each(|_| _ = w.bytes(ctrl::POLICY, &[0; 60_000]));
        w.fixed(ctrl::VERSION, &9u32).string(ctrl::FAMILY_NAME, b"far");
        w.finish().unwrap();
        let view = ctrl::View::parse(Attrs::new(&bytes, 20), Level::Liberal).unwrap();
        assert_eq!(
            (view.family_id(), view.version(), view.family_name()),
            (Some(7), Some(9), Some(&b"far"[..]))
        );
        assert_eq!(view.0.attr(ctrl::VERSION).unwrap().offset(), 20 + 8 + 5 * 60_004);
    }

    #[test]
    fn attributes_around_the_border_of_what_is_far_are_found() {
        use crate::ovs::packet;
        for fill in (NEAR - 48..NEAR + 8).step_by(4) {
            let mut bytes = Vec::new();
            let mut w = Writer::new(&mut bytes);
            let mut left = fill;
            while left > 0 {
                let len = left.min(60_004);
                w.bytes(packet::USERDATA, &vec![0; len - 4]);
                left -= len;
            }
            w.bytes(packet::PACKET, &[7; 30])
                .nest(packet::KEY, |w| _ = w.fixed(1, &9u32))
                .flag(packet::PROBE);
            w.finish().unwrap();
            let view = packet::View::parse(Attrs::new(&bytes, 20), Level::Liberal).unwrap();
            assert_eq!(view.packet(), Some(&[7; 30][..]), "{fill}");
            let key = view.key().unwrap();
            assert_eq!((key.bytes().len(), key.base() as usize), (8, 20 + fill + 36 + 4), "{fill}");
            assert_eq!(view.0.payload(packet::PROBE), Some(&[][..]));
            assert_eq!(view.0.attr(packet::PACKET).unwrap().offset() as usize, 20 + fill, "{fill}");
        }
    }

    #[test]
    fn what_was_validated_is_not_looked_for_again_but_by_another_table() {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).fixed(ctrl::FAMILY_ID, &7u16).flag(ctrl::OP);
        let attrs = Attrs::new(&bytes, 0);
        // By `get_family` attribute 10 is none of its own; by `get_policy` it is too short.
        let validated = Validated::parse(attrs, &crate::nlctrl::get_family::TABLE, Level::Liberal).unwrap();
        assert_eq!(crate::nlctrl::get_family::View::of(&validated).unwrap().family_id(), Some(7));
        let error = crate::nlctrl::get_policy::View::of(&validated).unwrap_err();
        assert_eq!((error.errno, error.offset), (Errno::ERANGE, Some(8)));
    }
}
