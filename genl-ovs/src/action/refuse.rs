//! What Linux executes and the datapath does not yet: psample.
//!
//! What would be EINVAL on Linux is EINVAL here too, as far as that can be told without executing it.

use super::{ensure, mute};
use pfnl_proto::ovs::psample;
use pfnl_proto::{Attr, Errno, Error, Level};

/// The error that an action gives which the datapath can't execute.
pub(super) fn action(attr: &Attr<'_>) -> Error {
    let valid = ensure(attr.is_nested())
        .and_then(|()| psample::View::parse(attr.attrs(), Level::Strict))
        .and_then(|psample| ensure(psample.group().is_some()));
    unsupported(valid, attr, "psample groups (PSAMPLE) are not supported")
}

fn unsupported(valid: Result<(), Error>, attr: &Attr<'_>, text: &'static str) -> Error {
    match valid {
        Ok(()) => Error::new(Errno::EOPNOTSUPP).text(text).at(attr.offset()),
        Err(error) => mute(error),
    }
}
