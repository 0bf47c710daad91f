//! Acknowledgements: `struct nlmsgerr`, the request (or its header), and extended ack attributes.
//!
//! ```text
//! nlmsghdr (NLMSG_ERROR, flags CAPPED and/or ACK_TLVS) │ errno, negated │ request │ MSG OFFS COOKIE …
//! ```

use crate::error::Error;
use crate::msg::{self, Header, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN};
use crate::policy::{Policy, Row};
use crate::{Attrs, Errno, Fixed, Level, Writer, align, array, nlctrl};

crate::attributes! {
    /// Extended ack attributes (`enum nlmsgerr_attrs`).
    pub mod extack: "nlmsgerr_attrs" {
        /// Text for people.
        1 MSG msg: nul_string(0) [Policy::None];
        /// Offset of the offending attribute in the request.
        2 OFFS offs: u32;
        /// Bytes that a family returns for its own purposes.
        3 COOKIE cookie: bytes(0);
        /// The policy that the offending attribute broke.
        4 POLICY policy: nest(policy_type);
        /// Number of the attribute that is missing.
        5 MISS_TYPE miss_type: u32;
        /// Offset of the nest in which it is missing.
        6 MISS_NEST miss_nest: u32;
    }
}
use nlctrl::policy_type;

/// What a request's handler leaves for its acknowledgement beside the errno.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extack {
    /// What went wrong.
    pub error: Option<Error>,
    /// A text that goes out with success too.
    pub text: Option<&'static str>,
    /// A family's own bytes and how many they are.
    pub cookie: ([u8; 20], u8),
}

/// What the requester wants an acknowledgement to look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// NETLINK_EXT_ACK: with attributes.
    pub extended: bool,
    /// NETLINK_CAP_ACK: without the request's payload.
    pub capped: bool,
}

impl Extack {
    /// The outcome with its error, if it has one, taken in.
    pub fn record(&mut self, outcome: Result<(), Error>) -> Result<(), Errno> {
        outcome.map_err(|error| {
            self.error = Some(error);
            error.errno
        })
    }

    fn message(&self) -> Option<&'static str> {
        self.error.and_then(|error| error.text).or(self.text)
    }

    fn is_empty(&self, outcome: Result<(), Errno>) -> bool {
        let said = self.message().is_some() || self.cookie.1 > 0;
        let details =
            self.error.is_some_and(|e| e.offset.is_some() || e.row.is_some() || e.missing.is_some());
        !(said || outcome.is_err() && details)
    }

    /// The attributes. Text and cookie go out always, places and policies only with an error.
    fn write(&self, w: &mut Writer<'_>, outcome: Result<(), Errno>) {
        let mut put = extack::Put(w);
        if let Some(text) = self.message() {
            put.msg(text.as_bytes());
        }
        if let (Err(_), Some(error)) = (outcome, &self.error) {
            if let Some(offset) = error.offset {
                put.offs(offset);
            }
            if let Some(row) = error.row
                && describable(row)
            {
                put.0.nest_marked(extack::POLICY, |w| describe(w, row));
            }
            if let Some(number) = error.missing {
                put.miss_type(number.into());
            }
            if let Some(offset) = error.missing_in {
                put.miss_nest(offset);
            }
        }
        if let Some(cookie) = self.cookie.0.get(..usize::from(self.cookie.1))
            && !cookie.is_empty()
        {
            put.cookie(cookie);
        }
    }
}

/// Writes the acknowledgement of a request, or its error.
///
/// An error echoes the whole request unless capped; a success only ever its header.
pub fn write_ack(
    w: &mut Writer<'_>,
    request: &msg::Message<'_>,
    portid: u32,
    outcome: Result<(), Errno>,
    ext: &Extack,
    style: Style,
) {
    let with_tlvs = style.extended && !ext.is_empty(outcome);
    let capped = outcome.is_ok() || style.capped;
    let flags = if capped { NLM_F_CAPPED } else { 0 } | if with_tlvs { NLM_F_ACK_TLVS } else { 0 };
    let header = Header { kind: NLMSG_ERROR, flags, seq: request.header.seq, portid, len: 0 };
    w.message(header, |w| {
        w.raw_fixed(&outcome.err().map_or(0i32, |errno| errno.linux().wrapping_neg()));
        let echo = if capped { request.bytes.get(..NLMSG_HDRLEN) } else { Some(request.bytes) };
        w.raw(echo.unwrap_or_default());
        if with_tlvs {
            ext.write(w, outcome);
        }
    });
}

/// Writes the end of a dump.
pub fn write_done(
    w: &mut Writer<'_>,
    seq: u32,
    portid: u32,
    flags: u16,
    outcome: Result<(), Errno>,
    ext: &Extack,
    style: Style,
) {
    let with_tlvs = style.extended && !ext.is_empty(outcome);
    let flags = flags | if with_tlvs { NLM_F_ACK_TLVS } else { 0 };
    w.message(Header { kind: NLMSG_DONE, flags, seq, portid, len: 0 }, |w| {
        w.raw_fixed(&outcome.err().map_or(0i32, |errno| errno.linux().wrapping_neg()));
        if with_tlvs {
            ext.write(w, outcome);
        }
    });
}

/// A received acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct Ack<'a> {
    /// 0, or an errno of the sender's system, negated.
    pub error: i32,
    /// The request's header.
    pub request: Header,
    /// The extended attributes, if there are any.
    pub extended: Option<extack::View<'a>>,
}

impl<'a> Ack<'a> {
    /// Reads an `NLMSG_ERROR` message; `None` when it is too short to be one.
    pub fn read(message: &msg::Message<'a>) -> Option<Ack<'a>> {
        let error = i32::from_ne_bytes(array(message.payload(), 0)?);
        let request = Header::read(message.payload().get(4..)?)?;
        let extended = if message.header.flags & NLM_F_ACK_TLVS == 0 {
            None
        } else {
            let echoed = if message.header.flags & NLM_F_CAPPED != 0 {
                NLMSG_HDRLEN
            } else {
                align(request.len as usize)
            };
            let at = echoed.checked_add(4)?;
            let base = u32::try_from(at.checked_add(NLMSG_HDRLEN)?).ok()?;
            let attrs = Attrs::new(message.payload().get(at..)?, base);
            extack::View::parse(attrs, Level::Liberal).ok()
        };
        Some(Ack { error, request, extended })
    }
}

/// Whether a policy has a form in [`policy_type`].
pub fn describable(row: &Row) -> bool {
    !matches!(row.policy, Policy::None | Policy::Min(_))
}

/// Writes a policy's description, as GETPOLICY and extended acks give it (`NL_ATTR_TYPE_*` and limits).
pub fn describe(w: &mut Writer<'_>, row: &Row) {
    let mut put = policy_type::Put(w);
    // NL_ATTR_TYPE_*: INVALID 0, FLAG 1, U8..U64 2..5, S8..S64 6..9, BINARY 10, STRING 11, NUL_STRING 12, NESTED 13.
    let width_step = |width: u8| width.checked_ilog2().unwrap_or(0);
    match row.policy {
        Policy::None | Policy::Min(_) | Policy::Reject => put.attr_type(0),
        Policy::Flag => put.attr_type(1),
        Policy::Uint(width, min, max) => {
            put.min_value_u(min).max_value_u(max).attr_type(width_step(width).saturating_add(2))
        }
        Policy::Sint(width, min, max) => put
            .min_value_s(min.cast_unsigned())
            .max_value_s(max.cast_unsigned())
            .attr_type(width_step(width).saturating_add(6)),
        Policy::Binary(min, max) => {
            if min > 0 {
                put.min_length(min.into());
            }
            if max > 0 {
                put.max_length(max.into());
            }
            put.attr_type(10)
        }
        Policy::String(max) => put.max_length(max.into()).attr_type(11),
        Policy::NulString(max) => put.max_length(max.into()).attr_type(12),
        Policy::Nested => put.attr_type(13),
    };
}
