//! What is wrong with a request, as plain data that goes straight into an extended ack.

use crate::policy::Row;
use pfnl_platform::Errno;

/// The first error found in a message.
#[derive(Clone, Copy, Debug)]
pub struct Error {
    /// The number user space sees, negated, in `nlmsgerr.error`.
    pub errno: Errno,
    /// What a person reads (`NLMSGERR_ATTR_MSG`).
    pub text: Option<&'static str>,
    /// Where the offending attribute starts, from the start of the message (`NLMSGERR_ATTR_OFFS`).
    pub offset: Option<u32>,
    /// The row whose policy it broke (`NLMSGERR_ATTR_POLICY`).
    pub row: Option<&'static Row>,
    /// The number of an attribute that should be there (`NLMSGERR_ATTR_MISS_TYPE`).
    pub missing: Option<u16>,
    /// Where the nest starts in which it is missing (`NLMSGERR_ATTR_MISS_NEST`).
    pub missing_in: Option<u32>,
}

impl Error {
    /// An error that has nothing to say but its number.
    pub const fn new(errno: Errno) -> Error {
        Error { errno, text: None, offset: None, row: None, missing: None, missing_in: None }
    }

    /// The error with a text for people.
    #[must_use]
    pub const fn text(mut self, text: &'static str) -> Error {
        self.text = Some(text);
        self
    }

    /// The error with the place of the attribute that caused it.
    #[must_use]
    pub const fn at(mut self, offset: u32) -> Error {
        self.offset = Some(offset);
        self
    }

    /// The error with the row whose policy was broken.
    #[must_use]
    pub const fn row(mut self, row: &'static Row) -> Error {
        self.row = Some(row);
        self
    }

    /// The error of a required attribute that is not there.
    #[must_use]
    pub const fn missing(mut self, number: u16, nest: Option<u32>) -> Error {
        self.missing = Some(number);
        self.missing_in = nest;
        self
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        Error::new(errno)
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.errno)?;
        if let Some(text) = self.text {
            write!(f, ": {text}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (attribute at offset {offset})")?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}
