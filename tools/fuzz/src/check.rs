//! What must hold of anything that a kernel sends: said once, for pfnl's targets and for whoever is fuzzed from outside.

use crate::family::{Family, known};
use pfnl_proto::ack::Ack;
use pfnl_proto::msg::{Messages, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN};
use pfnl_proto::{Attrs, align, genl};

/// Whether a datagram from the kernel is a run of whole messages, with whole attributes that their family's table has.
///
/// # Errors
/// What is wrong with it.
pub fn well_formed(datagram: &[u8], families: &[Family]) -> Result<(), String> {
    let mut end = 0;
    for message in Messages::new(datagram) {
        end += align(message.bytes.len());
        match message.header.kind {
            NLMSG_ERROR => {
                Ack::read(&message).ok_or("an acknowledgement that cannot be read")?;
            }
            NLMSG_DONE if message.bytes.len() < NLMSG_HDRLEN + 4 => {
                return Err("an end without errno".to_owned());
            }
            kind => {
                if let Some(family) = families.iter().find(|family| family.id == kind) {
                    attributes(message.bytes, family)?;
                }
            }
        }
    }
    // The last message's padding may be missing.
    if end < datagram.len() || end >= datagram.len() + 4 {
        return Err(format!("{} bytes, of which messages take {end}", datagram.len()));
    }
    Ok(())
}

fn attributes(message: &[u8], family: &Family) -> Result<(), String> {
    let start = genl::USER_HEADER + align(family.hdrsize);
    let bytes =
        message.get(start..).ok_or_else(|| format!("{}: a message without its header", family.name))?;
    let mut attrs = Attrs::new(bytes, 0);
    for attr in attrs.by_ref() {
        let Some((table, _)) = known(&family.name) else { continue };
        let len = attr.payload().len();
        if !table.fits(attr.number(), len) {
            return Err(format!("{}: attribute {} of {len} bytes in an answer", family.name, attr.number()));
        }
    }
    match attrs.leftover() {
        0 => Ok(()),
        left => Err(format!("{}: {left} bytes behind the attributes", family.name)),
    }
}
