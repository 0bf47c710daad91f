//! What must hold of bytes before netlink-packet-core and netlink-packet-generic are given them.

use crate::genl;
use crate::msg::{Header, Message, NLMSG_ERROR, NLMSG_HDRLEN, NLMSG_NOOP, NLMSG_OVERRUN};
use crate::nlctrl::{self, ctrl};
use crate::{Attr, Attrs, Errno, Error, Fixed};
use netlink_packet_core::{DecodeError, NetlinkMessage, ParseableParametrized};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use std::fmt::Debug;
use std::string::ToString;

/// Checks a message that is to be read as one of `F`'s, and of which `bytes` holds all, for whatever those crates'
/// parsers would panic on. (They go by `F`, not by the type that the message says it is of.)
///
/// They take for granted that nlctrl's policies (`CTRL_ATTR_POLICY`, `CTRL_ATTR_OP_POLICY`) hold at least one whole
/// attribute each, and one in that; everything else they look at first.
///
/// # Errors
/// `EINVAL`, saying what is wrong.
pub fn check<F: GenlFamily>(bytes: &[u8]) -> Result<(), Error> {
    let wrong = |text| Err(Error::new(Errno::EINVAL).text(text));
    let Some(header) = Header::read(bytes) else { return wrong("no netlink header") };
    let len = usize::try_from(header.len).unwrap_or(usize::MAX);
    let Some(all) = bytes.get(..len).filter(|_| len >= NLMSG_HDRLEN) else {
        return wrong("the length is not the message's");
    };
    let payload = Message { header, bytes: all }.payload();
    if header.kind == NLMSG_ERROR && payload.len() < 4 {
        return wrong("no error number");
    }
    // Any other type, also one below NLMSG_MIN_TYPE, they take for the family's.
    if (NLMSG_NOOP..=NLMSG_OVERRUN).contains(&header.kind) {
        return Ok(());
    }
    let Some(attributes) = payload.get(genl::Header::LEN..) else {
        return wrong("no generic netlink header");
    };
    if F::family_name() == nlctrl::NAME {
        check_ctrl(attributes)?;
    }
    Ok(())
}

/// The first attribute of a nest.
fn first<'a>(nest: &Attr<'a>) -> Option<Attr<'a>> {
    nest.attrs().next()
}

fn check_ctrl(attributes: &[u8]) -> Result<(), Error> {
    let offset = genl::USER_HEADER as u32;
    let mut attrs = Attrs::new(attributes, offset);
    for attr in attrs.by_ref() {
        let whole = match attr.number() {
            // By policy, by attribute.
            ctrl::POLICY => first(&attr).is_some_and(|policy| first(&policy).is_some()),
            // By command.
            ctrl::OP_POLICY => first(&attr).is_some(),
            _ => true,
        };
        if !whole {
            return Err(Error::new(Errno::EINVAL).text("a policy without attributes").at(attr.offset()));
        }
    }
    match attrs.leftover() {
        0 => Ok(()),
        _ => Err(Error::new(Errno::EINVAL).text("bytes leftover after parsing attributes")),
    }
}

/// [`NetlinkMessage::deserialize`] behind [`check`]: refuses what that would panic on.
///
/// # Errors
/// What is wrong.
pub fn deserialize<F>(bytes: &[u8]) -> Result<NetlinkMessage<GenlMessage<F>>, DecodeError>
where
    F: GenlFamily + ParseableParametrized<[u8], GenlHeader> + Debug,
{
    check::<F>(bytes).map_err(|error| DecodeError::from(error.to_string()))?;
    NetlinkMessage::deserialize(bytes)
}
