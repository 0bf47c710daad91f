//! What is wrong with a text, and where.

use nom::error::{ErrorKind, ParseError};

/// Why a text could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was expected or does not fit.
    pub what: &'static str,
    /// Where, in bytes from the start of the text.
    pub at: usize,
    /// Where the outermost key or action starts that is wrong.
    pub item: usize,
}

impl Error {
    pub(crate) fn new(text: &str, item: &str, trouble: &Trouble<'_>) -> Error {
        let offset = |rest: &str| text.len().saturating_sub(rest.len());
        Error { what: trouble.what, at: offset(trouble.at), item: offset(item) }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl core::error::Error for Error {}

/// The parsers' error: what is wrong, and the text from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble<'a> {
    pub what: &'static str,
    pub at: &'a str,
}

impl<'a> ParseError<&'a str> for Trouble<'a> {
    fn from_error_kind(at: &'a str, _: ErrorKind) -> Trouble<'a> {
        Trouble { what: if at.is_empty() { "unexpected end" } else { "syntax error" }, at }
    }

    fn append(_: &'a str, _: ErrorKind, first: Trouble<'a>) -> Trouble<'a> {
        first
    }

    /// Of two alternatives, the one that got further knows more.
    fn or(self, other: Trouble<'a>) -> Trouble<'a> {
        if other.at.len() < self.at.len() { other } else { self }
    }
}
