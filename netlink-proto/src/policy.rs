//! Attribute tables: what each attribute is, and what a receiver insists on.

use crate::Layout;

/// What an attribute's payload is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Nothing but padding in front of a 64-bit value.
    Pad,
    /// Present or not; no payload.
    Flag,
    /// An unsigned integer of 1, 2, 4 or 8 bytes in host byte order.
    Uint(u8),
    /// A signed one.
    Sint(u8),
    /// An unsigned integer in network byte order.
    Be(u8),
    /// Text of at most that many bytes (0 = no limit), not counting the NUL that may end it.
    String(u16),
    /// As `String`, and the NUL must be there.
    NulString(u16),
    /// Bytes, any number up to that (0 = no limit).
    Bytes(u16),
    /// A fixed structure, or an array of bytes of one length.
    Struct(u16),
    /// 32-bit integers in host byte order.
    U32s,
    /// Attributes of another table, each at most once.
    Nest(&'static Table),
    /// Attributes of another table, in an order that counts, repeats allowed.
    List(&'static Table),
    /// Nests of another table, one after the other, whose own numbers mean nothing or count up.
    Array(&'static Table),
}

/// How long a payload may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Len {
    /// Exactly so long.
    Exact(u16),
    /// At most so long.
    Max(u16),
    /// Any length.
    Any,
}

impl Kind {
    /// The length that the kind itself calls for.
    pub const fn len(&self) -> Len {
        match self {
            Kind::Flag => Len::Exact(0),
            Kind::Uint(n) | Kind::Sint(n) | Kind::Be(n) => Len::Exact(*n as u16),
            Kind::Struct(n) => Len::Exact(*n),
            Kind::Bytes(0) | Kind::String(0) | Kind::NulString(0) => Len::Any,
            Kind::Bytes(n) => Len::Max(*n),
            Kind::String(n) | Kind::NulString(n) => Len::Max(n.saturating_add(1)),
            Kind::Pad | Kind::U32s | Kind::Nest(_) | Kind::List(_) | Kind::Array(_) => Len::Any,
        }
    }
}

/// What a receiver checks before a handler sees the message, and answers to GETPOLICY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nothing: the attribute is only ever sent to user space, or its handler looks for itself (`NLA_UNSPEC`).
    None,
    /// At least so many bytes (`NLA_UNSPEC` with a length); not shown by GETPOLICY.
    Min(u16),
    /// Never accepted (`NLA_REJECT`).
    Reject,
    /// `NLA_FLAG`.
    Flag,
    /// `NLA_U8` to `NLA_U64`: width in bytes, least and greatest value.
    Uint(u8, u64, u64),
    /// `NLA_S8` to `NLA_S64`.
    Sint(u8, i64, i64),
    /// `NLA_STRING`, at most that long.
    String(u16),
    /// `NLA_NUL_STRING`, at most that long without its NUL.
    NulString(u16),
    /// `NLA_BINARY`, from so many bytes to so many (0 = no limit).
    Binary(u16, u16),
    /// `NLA_NESTED`, validated by its handler.
    Nested,
}

impl Policy {
    /// The policy that follows from what an attribute is.
    pub const fn of(kind: Kind) -> Policy {
        match kind {
            Kind::Pad | Kind::U32s => Policy::None,
            Kind::Flag => Policy::Flag,
            Kind::Uint(n) | Kind::Be(n) => Policy::Uint(n, 0, max_unsigned(n)),
            Kind::Sint(n) => Policy::Sint(n, min_signed(n), max_signed(n)),
            Kind::String(n) => Policy::String(n),
            Kind::NulString(n) => Policy::NulString(n),
            Kind::Bytes(n) => Policy::Binary(0, n),
            Kind::Struct(n) => Policy::Binary(n, n),
            Kind::Nest(_) | Kind::List(_) | Kind::Array(_) => Policy::Nested,
        }
    }
}

const fn max_unsigned(width: u8) -> u64 {
    match width {
        1 => u8::MAX as u64,
        2 => u16::MAX as u64,
        4 => u32::MAX as u64,
        _ => u64::MAX,
    }
}

const fn max_signed(width: u8) -> i64 {
    match width {
        1 => i8::MAX as i64,
        2 => i16::MAX as i64,
        4 => i32::MAX as i64,
        _ => i64::MAX,
    }
}

const fn min_signed(width: u8) -> i64 {
    match width {
        1 => i8::MIN as i64,
        2 => i16::MIN as i64,
        4 => i32::MIN as i64,
        _ => i64::MIN,
    }
}

/// One attribute of a table.
#[derive(Debug)]
pub struct Row {
    /// Its number.
    pub number: u16,
    /// Its name, in lower case and without the prefix of the C enum.
    pub name: &'static str,
    /// What its payload is.
    pub kind: Kind,
    /// What a [`Kind::Struct`] is made of.
    pub layout: Option<&'static Layout>,
    /// What a receiver insists on.
    pub policy: Policy,
}

/// The lengths at which a payload is fine without a closer look: what a row says, made quick to ask.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Lens {
    least: u32,
    more: u32,
}

/// From the first to the second.
const fn lens_between(least: u16, greatest: u16) -> Lens {
    Lens { least: least as u32, more: (greatest as u32).saturating_sub(least as u32) }
}

impl Lens {
    /// Longer than any.
    const NONE: Lens = Lens { least: u32::MAX, more: 0 };
    const ANY: Lens = lens_between(0, u16::MAX);

    #[inline]
    pub(crate) const fn admit(self, len: usize) -> bool {
        // One comparison: what is too short wraps to what is far too long.
        (len as u32).wrapping_sub(self.least) <= self.more
    }

    /// By a row's kind: there is nothing else to look at.
    const fn exact(row: &Row) -> Lens {
        match row.kind.len() {
            Len::Exact(len) => lens_between(len, len),
            Len::Max(max) => lens_between(0, max),
            Len::Any => Lens::ANY,
        }
    }

    /// By a row's policy.
    const fn liberal(row: &Row) -> Lens {
        match row.policy {
            Policy::None => Lens::ANY,
            Policy::Min(min) => lens_between(min, u16::MAX),
            Policy::Flag => lens_between(0, 0),
            // Where every value is allowed, too many bytes are also.
            Policy::Uint(width, 0, max) if max == max_unsigned(width) => lens_between(width as u16, u16::MAX),
            Policy::Sint(width, min, max) if min == min_signed(width) && max == max_signed(width) => {
                lens_between(width as u16, u16::MAX)
            }
            Policy::Binary(min, 0) => lens_between(min, u16::MAX),
            Policy::Binary(min, max) => lens_between(min, max),
            Policy::Nested => lens_between(4, u16::MAX),
            // These have more to them than a length.
            Policy::Reject
            | Policy::Uint(..)
            | Policy::Sint(..)
            | Policy::String(_)
            | Policy::NulString(_) => Lens::NONE,
        }
    }
}

/// The lengths of a table's attributes by number, for liberal or else for exact reading.
#[doc(hidden)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "at compile time, where it is an error"
)]
pub const fn lens<const N: usize>(rows: &[Row], liberal: bool) -> [Lens; N] {
    let mut lens = [Lens::NONE; N];
    let mut at = 0;
    while at < rows.len() {
        let row = &rows[at];
        lens[row.number as usize] = if liberal { Lens::liberal(row) } else { Lens::exact(row) };
        at += 1;
    }
    lens
}

/// A family's or a nest's attributes, in number order.
#[derive(Debug)]
pub struct Table {
    /// The C enum it stands for, in lower case: `ovs_flow_attr`.
    pub name: &'static str,
    /// Its rows.
    pub rows: &'static [Row],
    pub(crate) exact: &'static [Lens],
    pub(crate) liberal: &'static [Lens],
}

impl Table {
    /// A table of rows, with their [`lens`]. [`attributes!`](crate::attributes) does all of it.
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        rows: &'static [Row],
        exact: &'static [Lens],
        liberal: &'static [Lens],
    ) -> Table {
        Table { name, rows, exact, liberal }
    }

    /// A table of rows that are known only at run time: read by the same rules, a little slower.
    pub const fn of_rows(name: &'static str, rows: &'static [Row]) -> Table {
        Table { name, rows, exact: &[], liberal: &[] }
    }

    /// Whether an attribute of such a number and length is as its row's kind says.
    #[inline]
    pub fn fits(&self, number: u16, len: usize) -> bool {
        match self.exact.get(usize::from(number)) {
            Some(lens) => lens.admit(len),
            None => self.row(number).is_some_and(|row| Lens::exact(row).admit(len)),
        }
    }

    /// The row of an attribute.
    #[inline]
    pub fn row(&self, number: u16) -> Option<&'static Row> {
        // Most tables have no gaps: look where the row would then be.
        let first = self.rows.first()?.number;
        let guess = self.rows.get(usize::from(number.checked_sub(first)?));
        match guess {
            Some(row) if row.number == number => guess,
            _ => {
                let at = self.rows.binary_search_by_key(&number, |row| row.number).ok()?;
                self.rows.get(at)
            }
        }
    }

    /// Whether a receiver insists on anything: a table of what is only sent has no policy.
    pub fn has_policy(&self) -> bool {
        self.rows.iter().any(|row| row.policy != Policy::None)
    }

    /// The greatest number in the table (`maxattr`).
    pub fn max(&self) -> u16 {
        self.rows.last().map_or(0, |row| row.number)
    }
}

/// How many places an index by number needs.
#[doc(hidden)]
pub const fn slots(numbers: &[u16]) -> usize {
    match numbers.last() {
        Some(&number) => (number as usize).saturating_add(1),
        None => 1,
    }
}

/// Whether numbers ascend, for a check at compile time.
#[doc(hidden)]
pub const fn in_order(mut numbers: &[u16]) -> bool {
    while let [first, rest @ ..] = numbers {
        if let [second, ..] = rest
            && *first >= *second
        {
            return false;
        }
        numbers = rest;
    }
    true
}
