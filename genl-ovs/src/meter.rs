//! Family `ovs_meter`.

use crate::ovs::{Dp, Ovs, op};
use pfnl_datapath::Packet;
use pfnl_datapath::meter::{Band, MAX_BANDS, MAX_METERS, Meter, MeterStats};
use pfnl_platform::{Errno, Platform, Shared};
use pfnl_proto::genl::GENL_UNS_ADMIN_PERM;
use pfnl_proto::ovs::{FlowStats, METER_BAND_TYPE_DROP, OVS_HDRLEN, OvsHeader, band, meter, meter_cmd};
use pfnl_proto::{Attrs, Error, Level, Writer};
use pfnl_sock::{Context, FamilyDef};

/// `OVS_METER_VERSION`.
const VERSION: u8 = 1;

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    pub(crate) const METER: &'static FamilyDef<Ovs<P, Pk>> = &FamilyDef {
        name: "ovs_meter",
        version: VERSION,
        hdrsize: OVS_HDRLEN,
        table: Some(&meter::TABLE),
        ops: &[
            op(meter_cmd::FEATURES, 0, features, None),
            op(meter_cmd::SET, GENL_UNS_ADMIN_PERM, set, None),
            op(meter_cmd::GET, 0, get, None),
            op(meter_cmd::DEL, GENL_UNS_ADMIN_PERM, del, None),
        ],
        groups: &["ovs_meter"],
        admin_groups: &[],
    };
}

fn datapath<P: Platform, Pk: Packet>(
    ovs: &Ovs<P, Pk>,
    context: &Context<'_>,
) -> Result<(Shared<Dp<P, Pk>>, OvsHeader), Error> {
    let header = context.request.user_header::<OvsHeader>()?;
    Ok((ovs.datapath(header.dp_ifindex)?, header))
}

/// `FEATURES {}`
fn features<P: Platform, Pk: Packet>(
    ovs: &Shared<Ovs<P, Pk>>,
    context: &mut Context<'_>,
) -> Result<(), Error> {
    let (_, header) = datapath(ovs, context)?;
    context.reply(meter_cmd::FEATURES, |w| {
        w.raw_fixed(&header);
        meter::Put(w).max_meters(MAX_METERS).max_bands(MAX_BANDS as u32).bands(|w| {
            w.nest(0, |w| {
                band::Put(w).band_type(METER_BAND_TYPE_DROP);
            });
        });
    })
}

/// `SET { ID 1 [KBPS] BANDS { { TYPE DROP RATE 1000 BURST 100 } } [CLEAR] }`: answers with what was counted before.
fn set<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = meter::View::of(&context.request.validated)?;
    let (Some(id), Some(bands)) = (view.id(), view.bands()) else {
        return Err(Error::new(Errno::EINVAL));
    };
    let meter = Meter::try_new(id, view.kbps(), parse_bands(bands)?)?.cleared(view.clear());
    let (dp, header) = datapath(ovs, context)?;
    let old = dp.set_meter(meter)?;
    context.reply(meter_cmd::SET, |w| {
        w.raw_fixed(&header);
        meter::Put(w).id(id);
        // With its number once more, as Linux has it; nothing of one that was set with CLEAR.
        if let Some(old) = old.as_ref().filter(|old| !old.is_cleared()) {
            write(w, old);
        }
    })
}

/// `GET { ID 1 }`
fn get<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = meter::View::of(&context.request.validated)?;
    let id = view.id().ok_or(Error::new(Errno::EINVAL))?;
    let (dp, header) = datapath(ovs, context)?;
    let found = dp.meter(id).ok_or(Error::new(Errno::ENOENT))?;
    context.reply(meter_cmd::GET, |w| {
        w.raw_fixed(&header);
        write(w, &found);
    })
}

/// `DEL { ID 1 }`: answers with what was counted; one that is not there is no error.
fn del<P: Platform, Pk: Packet>(ovs: &Shared<Ovs<P, Pk>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = meter::View::of(&context.request.validated)?;
    let id = view.id().ok_or(Error::new(Errno::EINVAL))?;
    let (dp, header) = datapath(ovs, context)?;
    let old = dp.remove_meter(id)?;
    context.reply(meter_cmd::DEL, |w| {
        w.raw_fixed(&header);
        if let Some(old) = &old {
            write(w, old);
        }
    })
}

/// The bands of a meter: one at most, of whatever type, with a rate that is not 0.
fn parse_bands(mut bands: Attrs<'_>) -> Result<Option<Band>, Error> {
    let Some(first) = bands.next() else { return Ok(None) };
    if bands.next().is_some() {
        return Err(Error::new(Errno::EINVAL));
    }
    // A band's errors are told without a word.
    let view = band::View::parse(first.attrs(), Level::Liberal).map_err(|error| Error::new(error.errno))?;
    let (Some(_), Some(rate), Some(burst)) = (view.band_type(), view.rate(), view.burst()) else {
        return Err(Error::new(Errno::EINVAL));
    };
    Ok(Some(Band { rate, burst }))
}

/// What is said of a meter, in Linux's order.
fn write<P: Platform>(w: &mut Writer<'_>, meter: &Meter<P>) {
    let wire = |stats: MeterStats| FlowStats { packets: stats.packets, bytes: stats.bytes };
    let (all, exceeded, used) = meter.stats();
    meter::Put(w).id(meter.id()).stats(&wire(all)).used(used).bands(|w| {
        if meter.band().is_some() {
            w.nest(0, |w| {
                band::Put(w).stats(&wire(exceeded));
            });
        }
    });
}
