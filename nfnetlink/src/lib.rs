//! NETLINK_NETFILTER over the datapath's connection table: what `conntrack`, and Open vSwitch's `dpctl/dump-conntrack`,
//! `flush-conntrack` and timeout policies ask of Linux.
//!
//! ```text
//! conntrack -L ─► Nfnetlink ─┬─ CTNETLINK          ─► ct, dump, stats ─► Conntrack (pfnl-datapath)
//!                            ├─ CTNETLINK_EXP      ─► expect                │
//!                            └─ CTNETLINK_TIMEOUT  ─► policy                ▼
//! conntrack -E ◄── groups NEW, UPDATE, DESTROY ◄──────────────────────── Events
//! ```
//!
//! Other subsystems answer as a Linux that does not have them: `EINVAL`, and `EOPNOTSUPP` to their batches. All of it
//! needs CAP_NET_ADMIN, asking too.
//!
//! Rules: include/uapi/linux/netfilter/, and what Linux 6.12 was seen to answer (`tests/replay.rs` has its messages).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;

mod ct;
mod dump;
mod events;
mod expect;
mod filter;
mod make;
mod policy;
mod show;
mod stats;
mod tuple;

use alloc::boxed::Box;
use pfnl_datapath::conntrack::Conntrack;
use pfnl_platform::{Errno, Platform, Result, Shared, try_box};
use pfnl_proto::msg::{Message, NLM_F_DUMP, NLMSG_HDRLEN};
use pfnl_proto::netfilter::{
    NF_HEADER, NFNL_MSG_BATCH_BEGIN, NFNL_SUBSYS_COUNT, NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_CTNETLINK_EXP,
    NFNL_SUBSYS_CTNETLINK_TIMEOUT, NfHeader, group,
};
use pfnl_proto::{Attrs, Error, Fixed, Writer};
use pfnl_sock::{Admission, Bus, Call, Domain, Handled, Hook, NETLINK_NETFILTER, Protocol, Registry};

/// Serves the protocol beside a domain's, over these connections.
///
/// # Errors
/// `EEXIST`: it is served already. `ENOMEM`.
pub fn register<P: Platform>(registry: &impl Registry, conntrack: &Shared<Conntrack<P>>) -> Result<()> {
    observe(conntrack, registry.serve(protocol(conntrack)?)?)
}

/// As [`register`], with somebody who sees what passes.
///
/// # Errors
/// As [`register`].
pub fn register_with_hook<P: Platform>(
    domain: &Shared<Domain<P>>,
    conntrack: &Shared<Conntrack<P>>,
    hook: Option<Box<dyn Hook>>,
) -> Result<()> {
    let own = domain.serve_with_hook(protocol(conntrack)?, hook)?;
    observe(conntrack, try_box(own)?)
}

fn protocol<P: Platform>(conntrack: &Shared<Conntrack<P>>) -> Result<Box<dyn Protocol>> {
    Ok(try_box(Nfnetlink { conntrack: conntrack.clone() })?)
}

fn observe<P: Platform>(conntrack: &Shared<Conntrack<P>>, bus: Box<dyn Bus>) -> Result<()> {
    conntrack.set_observer(Some(try_box(events::Events { bus })?))
}

/// The protocol.
pub struct Nfnetlink<P: Platform> {
    conntrack: Shared<Conntrack<P>>,
}

/// A request of a subsystem.
pub(crate) struct Request<'c, 'a> {
    pub call: &'c mut Call<'a>,
    pub header: NfHeader,
    pub attrs: Attrs<'a>,
}

impl Request<'_, '_> {
    /// Whether it asks for a dump.
    pub fn is_dump(&self) -> bool {
        self.call.has(NLM_F_DUMP)
    }
}

/// Writes the header that stands before a message's attributes.
pub(crate) fn head(w: &mut Writer<'_>, family: u8, res_id: u16) {
    w.raw_fixed(&NfHeader { family, version: 0, res_id: res_id.to_be_bytes() });
}

impl<P: Platform> Protocol for Nfnetlink<P> {
    fn number(&self) -> i32 {
        NETLINK_NETFILTER
    }

    fn groups(&self) -> u32 {
        group::MAX
    }

    fn admit(&self, first: &Message<'_>, privileged: bool) -> Admission {
        if !privileged {
            return Admission::Refuse(Errno::EPERM);
        }
        if first.header.kind != NFNL_MSG_BATCH_BEGIN {
            return Admission::Run;
        }
        // A batch, for the subsystem in its header; none here takes any.
        match NfHeader::read(first.payload()) {
            None => Admission::Ignore,
            Some(header) if u16::from_be_bytes(header.res_id) >= NFNL_SUBSYS_COUNT => {
                Admission::Refuse(Errno::EINVAL)
            }
            Some(_) => Admission::Refuse(Errno::EOPNOTSUPP),
        }
    }

    fn request(&self, call: &mut Call<'_>) -> Result<Handled, Error> {
        // As Linux: a message without a header is nothing, and well done.
        let Some(header) = NfHeader::read(call.message.payload()) else { return Ok(Handled::Done) };
        let [subsystem, command] = call.message.header.kind.to_be_bytes();
        let start = NLMSG_HDRLEN.saturating_add(NF_HEADER);
        let bytes = call.message.bytes.get(start..).unwrap_or_default();
        let attrs = Attrs::new(bytes, u32::try_from(start).unwrap_or(u32::MAX));
        let mut request = Request { call, header, attrs };
        match subsystem {
            NFNL_SUBSYS_CTNETLINK => ct::handle(&self.conntrack, command, &mut request),
            NFNL_SUBSYS_CTNETLINK_EXP => expect::handle(&self.conntrack, command, &mut request),
            NFNL_SUBSYS_CTNETLINK_TIMEOUT => policy::handle(&self.conntrack, command, &mut request),
            _ => Err(Error::new(Errno::EINVAL)),
        }
    }
}
