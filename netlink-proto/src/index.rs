//! One pass over a run of attributes: validates it and remembers where each attribute is.

use crate::attr::{Attr, Attrs};
use crate::error::Error;
use crate::policy::{Len, Policy, Row, Table};
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

/// Where the attributes of a table are in a run of `N - 1` possible ones; the last of duplicates counts.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a, const N: usize> {
    attrs: Attrs<'a>,
    /// Offset from the start of the run, plus one; 0 = absent. Attributes are 4-byte aligned, runs below 4 GiB.
    at: [u32; N],
    leftover: bool,
}

impl<'a, const N: usize> Index<'a, N> {
    /// Reads and validates a run of attributes.
    ///
    /// # Errors
    /// The first attribute that breaks its row's policy: `EINVAL` or `ERANGE`, with text, offset and row as Linux
    /// gives them ([`Level::Exact`]: `EINVAL` alone).
    #[inline]
    pub fn parse(attrs: Attrs<'a>, table: &'static Table, level: Level) -> Result<Index<'a, N>, Error> {
        let mut index = Index { attrs, at: [0; N], leftover: false };
        let mut rest = attrs;
        for attr in rest.by_ref() {
            let offset = attr.offset().wrapping_sub(attrs.base()).saturating_add(1);
            let row = table.row(attr.number());
            match level {
                Level::Exact => check_exact(&attr, row)?,
                Level::Liberal => check(&attr, row, table, false)?,
                Level::Strict => check(&attr, row, table, true)?,
            }
            // Numbers outside the table (liberal only) have no place, and need none.
            if row.is_some()
                && let Some(place) = index.at.get_mut(usize::from(attr.number()))
            {
                if *place != 0 && level == Level::Exact {
                    return Err(Error::new(Errno::EINVAL));
                }
                *place = offset;
            }
        }
        if rest.leftover() > 0 {
            match level {
                Level::Liberal => index.leftover = true,
                Level::Strict => return Err(Error::new(Errno::EINVAL).text(LEFTOVER)),
                Level::Exact => return Err(Error::new(Errno::EINVAL)),
            }
        }
        Ok(index)
    }

    /// The attribute of a number, if it was there.
    #[inline]
    pub fn attr(&self, number: u16) -> Option<Attr<'a>> {
        let at = self.at.get(usize::from(number)).copied()?.checked_sub(1)?;
        let bytes = self.attrs.bytes().get(at as usize..)?;
        Attrs::new(bytes, self.attrs.base().saturating_add(at)).next()
    }

    /// Whether an attribute was there.
    #[inline]
    pub fn has(&self, number: u16) -> bool {
        self.at.get(usize::from(number)).is_some_and(|&at| at != 0)
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

/// Linux's text for bytes that make no attribute.
const LEFTOVER: &str = "bytes leftover after parsing attributes";
/// Linux's text for a payload of the wrong length.
const FAILED: &str = "Attribute failed policy validation";

fn check_exact(attr: &Attr<'_>, row: Option<&'static Row>) -> Result<(), Error> {
    let len = attr.payload().len();
    let fits = row.is_some_and(|row| match row.kind.len() {
        Len::Exact(exact) => len == usize::from(exact),
        Len::Max(max) => len <= usize::from(max),
        Len::Any => true,
    });
    if fits { Ok(()) } else { Err(Error::new(Errno::EINVAL)) }
}

#[inline]
fn check(
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
