//! What Linux executes and the datapath does not yet: service headers, psample, tunnels.
//!
//! What would be EINVAL on Linux is EINVAL here too, as far as that can be told without executing it.

use super::{ETH_NSH, INVALID, Shape, ensure, mute};
use pfnl_proto::ovs::{action, psample};
use pfnl_proto::ovs::{nsh_key, tunnel_key};
use pfnl_proto::{Attr, Errno, Error, Level};

/// The error that an action gives which the datapath can't execute.
pub(super) fn action(shape: Shape, attr: &Attr<'_>) -> Error {
    let attrs = attr.attrs();
    let (valid, text) = match attr.number() {
        action::PUSH_NSH => (service_header(attr), "service headers (PUSH_NSH) are not supported"),
        action::POP_NSH => (ensure(shape.eth_type == ETH_NSH), "service headers (POP_NSH) are not supported"),
        action::PSAMPLE => (
            ensure(attr.is_nested())
                .and_then(|()| psample::View::parse(attrs, Level::Strict))
                .and_then(|psample| ensure(psample.group().is_some())),
            "psample groups (PSAMPLE) are not supported",
        ),
        _ => (Err(INVALID), ""),
    };
    unsupported(valid, attr, text)
}

/// The error of SET with a tunnel key.
pub(super) fn tunnel(attr: &Attr<'_>) -> Error {
    let valid = tunnel_key::View::parse(attr.attrs(), Level::Exact).map(|_| ());
    unsupported(valid, attr, "tunnels (SET of a tunnel key) are not supported")
}

/// The error of SET with a service header.
pub(super) fn nsh(shape: Shape, attr: &Attr<'_>) -> Error {
    unsupported(ensure(shape.eth_type == ETH_NSH), attr, "service headers (SET of NSH) are not supported")
}

fn service_header(attr: &Attr<'_>) -> Result<(), Error> {
    let header = nsh_key::View::parse(attr.attrs(), Level::Exact)?;
    ensure(header.base().is_some())
}

fn unsupported(valid: Result<(), Error>, attr: &Attr<'_>, text: &'static str) -> Error {
    match valid {
        Ok(()) => Error::new(Errno::EOPNOTSUPP).text(text).at(attr.offset()),
        Err(error) => mute(error),
    }
}
