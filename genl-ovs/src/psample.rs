//! Family `psample`: samples of packets go out by its group `packets`. Groups of samples that somebody holds are other
//! subsystems' (tc's); there are none here, so that a dump of them is empty.

use crate::ovs::{Ovs, op};
use crate::upper::Upper;
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_datapath::Packet;
use pfnl_datapath::upcall::Sample;
use pfnl_platform::{Platform, Shared, try_box};
use pfnl_proto::psample::{self, psample as attr};
use pfnl_proto::{Errno, Error, Writer};
use pfnl_sock::{Dump, DumpBlock, FamilyDef, Progress, Request};

/// `PSAMPLE_GENL_VERSION`.
const VERSION: u8 = 1;
/// The index of `packets` among the groups.
const PACKETS: usize = 1;
/// The longest message, and what of it is not the packet's bytes (at most).
const MAX_MESSAGE: usize = 65_535;
const MAX_HEAD: usize = 160;
/// Both Ethernet addresses; and behind them a tag.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    pub(crate) const PSAMPLE: &'static FamilyDef<Ovs<P, Pk>> = &FamilyDef {
        name: psample::NAME,
        version: VERSION,
        hdrsize: 0,
        table: Some(&attr::TABLE),
        ops: &[pfnl_sock::Op { run: None, ..op(psample::cmd::GET_GROUP, 0, no_run, Some(dump)) }],
        groups: &[psample::GROUP_CONFIG, psample::GROUP_PACKETS],
        admin_groups: &[psample::GROUP_PACKETS],
    };
}

fn no_run<P: Platform, Pk: Packet>(
    _: &Shared<Ovs<P, Pk>>,
    _: &mut pfnl_sock::Context<'_>,
) -> Result<(), Error> {
    Err(Error::new(Errno::EOPNOTSUPP))
}

fn dump<P: Platform, Pk: Packet>(_: &Shared<Ovs<P, Pk>>, _: &Request<'_>) -> Result<Box<dyn Dump>, Error> {
    Ok(try_box(Nothing)?)
}

/// A dump of no groups.
struct Nothing;

impl Dump for Nothing {
    fn next(&mut self, _: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        Ok(Progress::Done)
    }
}

/// `SAMPLE { IIFINDEX SAMPLE_RATE ORIGSIZE SAMPLE_GROUP GROUP_SEQ TIMESTAMP PROTO DATA [USER_COOKIE] SAMPLE_PROBABILITY }`
pub(crate) fn send<P: Platform, Pk: Packet>(upper: &Upper<P>, sample: &Sample<'_>, packet: &Pk) {
    let Some(family) = upper.links().psample_family() else { return };
    let group = family.group(PACKETS);
    let bus = upper.links().bus();
    if !bus.has_listeners(group) {
        return;
    }
    let len = packet.len().saturating_sub(if sample.is_tagged { TAG } else { 0 });
    let keep = len.min(sample.keep).min(MAX_MESSAGE.saturating_sub(MAX_HEAD));
    let mut bytes = Vec::new();
    if bytes.try_reserve(keep.saturating_add(MAX_HEAD)).is_err() {
        return;
    }
    let written = family.write(&mut Writer::new(&mut bytes), psample::cmd::SAMPLE, 0, 0, 0, |w| {
        let mut put = attr::Put(w);
        put.iifindex((sample.ifindex & 0xffff) as u16);
        put.sample_rate(sample.rate);
        put.origsize(u32::try_from(len).unwrap_or(u32::MAX));
        put.sample_group(sample.psample.group).group_seq(0);
        match P::time_of_day() {
            0 => {}
            now => _ = put.timestamp(now),
        }
        put.proto(sample.protocol);
        if keep > 0 {
            w.filled(attr::DATA, keep, |out| copy(packet, sample.is_tagged, out));
        }
        let mut put = attr::Put(w);
        if !sample.psample.cookie.is_empty() {
            put.user_cookie(&sample.psample.cookie);
        }
        put.sample_probability();
    });
    if written.is_ok() {
        bus.multicast(group, &bytes, 0);
    }
}

/// Copies a packet's first bytes, the tag left out.
fn copy<Pk: Packet>(packet: &Pk, is_tagged: bool, out: &mut [u8]) -> Result<(), Errno> {
    match out.split_at_mut_checked(ADDRESSES).filter(|_| is_tagged) {
        Some((addresses, rest)) => {
            packet.copy_out(0, addresses)?;
            packet.copy_out(ADDRESSES.saturating_add(TAG), rest)
        }
        None => packet.copy_out(0, out),
    }
}
