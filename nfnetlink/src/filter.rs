//! Which connections a dump or a deletion is about.

use crate::tuple::{self, AF_INET, AF_INET6, mute};
use pfnl_datapath::conntrack::{Snapshot, Tuple};
pub(crate) use pfnl_proto::netfilter::filter_bit as wanted;
use pfnl_proto::netfilter::{NfHeader, ct_attr, ct_filter, tuple as ct_tuple};
use pfnl_proto::{Errno, Error, Level};

/// What must hold of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    family: u8,
    zone: Option<u16>,
    mark: Option<(u32, u32)>,
    status: Option<(u32, u32)>,
    /// Of the original direction, and of replies.
    tuples: [Option<(Tuple, u32)>; 2],
}

impl Filter {
    /// Of a dump.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: tuples without a family. `EINVAL`.
    pub fn of_dump(header: &NfHeader, view: &ct_attr::View<'_>) -> Result<Filter, Error> {
        let mut filter = Filter { family: header.family, ..Filter::plain(view)? };
        let Some(attrs) = view.filter() else { return Ok(filter) };
        if !matches!(header.family, AF_INET | AF_INET6) {
            return Err(Error::new(Errno::EOPNOTSUPP));
        }
        let flags = ct_filter::View::parse(attrs, Level::Liberal).map_err(mute)?;
        let parts = [(view.tuple_orig(), flags.orig_flags()), (view.tuple_reply(), flags.reply_flags())];
        for (place, (attrs, flags)) in filter.tuples.iter_mut().zip(parts) {
            let flags = flags.ok_or(Error::new(Errno::EINVAL))?;
            if flags & !wanted::ALL != 0 {
                return Err(Error::new(Errno::EINVAL));
            }
            let Some(attrs) = attrs.filter(|_| flags != 0) else { continue };
            let tuple = tuple::read(attrs, header.family, 0, flags)?;
            // A zone that is not given does not count, whatever is asked for.
            let has_zone = ct_tuple::View::parse(attrs, Level::Liberal).map_err(mute)?.zone().is_some();
            let flags = if has_zone { flags } else { flags & !wanted::ZONE };
            *place = Some((tuple, flags));
        }
        Ok(filter)
    }

    /// Of a deletion of all that fit.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: a filter for tuples.
    pub fn of_deletion(header: &NfHeader, view: &ct_attr::View<'_>) -> Result<Filter, Error> {
        if view.filter().is_some() {
            return Err(Error::new(Errno::EOPNOTSUPP));
        }
        // Old programs fill in a family and mean all.
        let family = if header.version != 0 { header.family } else { 0 };
        Ok(Filter { family, ..Filter::plain(view)? })
    }

    fn plain(view: &ct_attr::View<'_>) -> Result<Filter, Error> {
        Ok(Filter {
            family: 0,
            zone: view.zone(),
            mark: view.mark().map(|mark| (mark, view.mark_mask().unwrap_or(u32::MAX))),
            status: view.status().map(|status| (status, view.status_mask().unwrap_or(status))),
            tuples: [None; 2],
        })
    }

    /// Whether it lets anything out at all.
    pub fn is_empty(&self) -> bool {
        let Filter { family, zone, mark, status, tuples } = self;
        *family == 0
            && zone.is_none()
            && mark.is_none()
            && status.is_none()
            && tuples.iter().all(Option::is_none)
    }

    /// Whether a connection is meant.
    pub fn passes(&self, conn: &Snapshot) -> bool {
        let bits = |value: u32, wanted: Option<(u32, u32)>| {
            wanted.is_none_or(|(wanted, mask)| value & mask == wanted & mask)
        };
        let [original, reply] = &self.tuples;
        (self.family == 0 || self.family == tuple::family(&conn.original))
            && self.zone.is_none_or(|zone| zone == conn.original.zone)
            && bits(conn.mark, self.mark)
            && bits(conn.status, self.status)
            && original.as_ref().is_none_or(|part| fits(part, &conn.original))
            && reply.as_ref().is_none_or(|part| fits(part, &conn.reply))
    }
}

fn fits((wanted, flags): &(Tuple, u32), tuple: &Tuple) -> bool {
    let is = |flag: u32, equal: bool| flags & flag == 0 || equal;
    let [kind, code] = tuple.dst_port.to_bytes();
    let [wanted_kind, wanted_code] = wanted.dst_port.to_bytes();
    let ports = !tuple.is_icmp();
    is(wanted::IP_SRC, wanted.src == tuple.src)
        && is(wanted::IP_DST, wanted.dst == tuple.dst)
        && is(wanted::ZONE, wanted.zone == tuple.zone)
        && is(wanted::PROTO, wanted.proto == tuple.proto)
        && (!ports || is(wanted::SRC_PORT, wanted.src_port == tuple.src_port))
        && (!ports || is(wanted::DST_PORT, wanted.dst_port == tuple.dst_port))
        && (ports || is(wanted::ICMP_ID, wanted.src_port == tuple.src_port))
        && (ports || is(wanted::ICMP_TYPE, wanted_kind == kind))
        && (ports || is(wanted::ICMP_CODE, wanted_code == code))
}
