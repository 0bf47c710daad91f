//! What Linux executes and the datapath does not yet: psample, tunnels.
//!
//! What would be EINVAL on Linux is EINVAL here too, as far as that can be told without executing it.

use super::{ensure, mute};
use crate::key;
use pfnl_datapath::key::TunnelKey;
use pfnl_proto::ovs::psample;
use pfnl_proto::{Attr, Errno, Error, Level};
use zerocopy::FromZeros;

/// The error that an action gives which the datapath can't execute.
pub(super) fn action(attr: &Attr<'_>) -> Error {
    let valid = ensure(attr.is_nested())
        .and_then(|()| psample::View::parse(attr.attrs(), Level::Strict))
        .and_then(|psample| ensure(psample.group().is_some()));
    unsupported(valid, attr, "psample groups (PSAMPLE) are not supported")
}

/// The error of SET with a tunnel key.
pub(super) fn tunnel(attr: &Attr<'_>) -> Error {
    let valid = TunnelKey::new_box_zeroed()
        .map_err(|_| Errno::ENOMEM.into())
        .and_then(|mut tunnel| key::tunnel::parse(attr.attrs(), &mut tunnel));
    unsupported(valid, attr, "tunnels (SET of a tunnel key) are not supported")
}

fn unsupported(valid: Result<(), Error>, attr: &Attr<'_>, text: &'static str) -> Error {
    match valid {
        Ok(()) => Error::new(Errno::EOPNOTSUPP).text(text).at(attr.offset()),
        Err(error) => mute(error),
    }
}
