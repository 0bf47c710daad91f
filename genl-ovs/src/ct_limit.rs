//! Family `ovs_ct_limit`: how many connections a zone may have. Limits are of all datapaths, so that the one in
//! the user header does not matter.

use crate::ovs::{Ovs, op};
use alloc::vec::Vec;
use pfnl_datapath::Packet;
use pfnl_datapath::conntrack::zones::Limit;
use pfnl_platform::{Errno, Platform, Shared};
use pfnl_proto::genl::GENL_UNS_ADMIN_PERM;
use pfnl_proto::ovs::{OVS_HDRLEN, OvsHeader, ZONE_LIMIT_DEFAULT_ZONE, ZoneLimit, ct_limit, ct_limit_cmd};
use pfnl_proto::{Error, Fixed, Writer, align};
use pfnl_sock::{Context, FamilyDef};

/// `OVS_CT_LIMIT_VERSION`.
const VERSION: u8 = 1;
/// `sizeof(struct ovs_zone_limit)`.
const RECORD: usize = 12;
/// Zones that one answer has room for: an attribute's length has 16 bits.
const MAX_RECORDS: usize = 5_000;

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    pub(crate) const CT_LIMIT: &'static FamilyDef<Ovs<P, Pk>> = &FamilyDef {
        name: "ovs_ct_limit",
        version: VERSION,
        hdrsize: OVS_HDRLEN,
        table: Some(&ct_limit::TABLE),
        ops: &[
            op(ct_limit_cmd::SET, GENL_UNS_ADMIN_PERM, set, None),
            op(ct_limit_cmd::DEL, GENL_UNS_ADMIN_PERM, del, None),
            op(ct_limit_cmd::GET, 0, get, None),
        ],
        groups: &["ovs_ct_limit"],
        admin_groups: &[],
    };
}

/// Which zones a request is about.
#[derive(Clone, Copy)]
enum Which {
    /// All that have no limit of their own.
    Default,
    Zone(u16),
}

/// The records of an attribute. What is no zone is passed over, and so are bytes behind the last record. An attribute ends with
/// its padding here, as on Linux: the last record's count, which nobody reads, may be cut short.
fn records(bytes: &[u8]) -> impl Iterator<Item = (Which, ZoneLimit)> {
    bytes.chunks(RECORD).filter_map(|bytes| {
        let mut record = [0; RECORD];
        record.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let record = ZoneLimit::read(&record).filter(|_| align(bytes.len()) == RECORD)?;
        let which = match record.zone_id {
            ZONE_LIMIT_DEFAULT_ZONE => Which::Default,
            zone => Which::Zone(u16::try_from(zone).ok()?),
        };
        Some((which, record))
    })
}

/// `SET { ZONE_LIMIT [{-1, 500}, {3, 50}] }`
fn set<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = ct_limit::View::of(&context.request.validated)?;
    let zones = view.zone_limit().ok_or(Error::new(Errno::EINVAL))?;
    for (which, record) in records(zones) {
        match which {
            Which::Default => ovs.conntrack().set_default_zone_limit(record.limit),
            Which::Zone(zone) => ovs.conntrack().set_zone_limit(zone, Some(record.limit))?,
        }
    }
    done(context, ct_limit_cmd::SET)
}

/// `DEL { ZONE_LIMIT [{3}] }`
fn del<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = ct_limit::View::of(&context.request.validated)?;
    let zones = view.zone_limit().ok_or(Error::new(Errno::EINVAL))?;
    for (which, _) in records(zones) {
        match which {
            Which::Default => ovs.conntrack().set_default_zone_limit(0),
            Which::Zone(zone) => ovs.conntrack().set_zone_limit(zone, None)?,
        }
    }
    done(context, ct_limit_cmd::DEL)
}

fn done(context: &mut Context<'_>, cmd: u8) -> Result<(), Error> {
    let header = context.request.user_header::<OvsHeader>()?;
    context.reply(cmd, |w| _ = w.raw_fixed(&header))
}

/// `GET { [ZONE_LIMIT [{3}, {4}]] }`: without zones, the default and all that have a limit of their own.
fn get<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = ct_limit::View::of(&context.request.validated)?;
    let header = context.request.user_header::<OvsHeader>()?;
    let table = ovs.conntrack();
    let default = ZoneLimit { zone_id: ZONE_LIMIT_DEFAULT_ZONE, limit: table.default_zone_limit(), count: 0 };
    let of = |zone: u16, Limit { limit, count }| ZoneLimit { zone_id: zone.into(), limit, count };
    let mut bytes = Vec::new();
    if let Some(zones) = view.zone_limit() {
        for (which, _) in records(zones) {
            match which {
                Which::Default => add(&mut bytes, &default)?,
                Which::Zone(zone) => add(&mut bytes, &of(zone, table.zone_limit(zone)))?,
            }
        }
    } else {
        add(&mut bytes, &default)?;
        let mut from = Some(0);
        while let Some((zone, limit)) = from.and_then(|from| table.next_zone_limit(from)) {
            add(&mut bytes, &of(zone, limit))?;
            from = zone.checked_add(1);
        }
    }
    context.reply(ct_limit_cmd::GET, |w: &mut Writer<'_>| {
        w.raw_fixed(&header);
        ct_limit::Put(w).zone_limit(&bytes);
    })
}

fn add(bytes: &mut Vec<u8>, record: &ZoneLimit) -> Result<(), Error> {
    if bytes.len() >= MAX_RECORDS.saturating_mul(RECORD) {
        return Err(Error::new(Errno::EMSGSIZE));
    }
    bytes.try_reserve(RECORD).map_err(|_| Errno::ENOMEM)?;
    for number in [record.zone_id.to_ne_bytes(), record.limit.to_ne_bytes(), record.count.to_ne_bytes()] {
        bytes.extend_from_slice(&number);
    }
    Ok(())
}
