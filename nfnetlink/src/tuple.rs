//! A connection's ends: `TUPLE { IP { V4_SRC V4_DST } PROTO { NUM SRC_PORT DST_PORT } [ZONE] }`.

use crate::filter::wanted;
use pfnl_datapath::conntrack::Tuple;
use pfnl_datapath::key::Be16;
use pfnl_proto::netfilter::{tuple, tuple_ip, tuple_proto};
use pfnl_proto::{Attrs, Errno, Error, Level, Writer};

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;
const GRE: u8 = 47;

const INVALID: Error = Error::new(Errno::EINVAL);

/// An error inside a nest says no more than its number.
pub(crate) fn mute(error: Error) -> Error {
    Error::new(error.errno)
}

/// Whether a protocol's connections have ports in their tuple; GRE's are its keys.
fn has_ports(proto: u8) -> bool {
    matches!(proto, 6 | 17 | 33 | 132 | 136 | GRE)
}

/// Reads a tuple of a family; `flags` say which of its parts must be there ([`pfnl_proto::netfilter::filter_bit`]).
///
/// # Errors
/// `EINVAL`: a part is missing. `EOPNOTSUPP`: no such family.
pub(crate) fn read(attrs: Attrs<'_>, family: u8, zone: u16, flags: u32) -> Result<Tuple, Error> {
    let version = match family {
        AF_INET => 4,
        AF_INET6 => 6,
        _ => return Err(Error::new(Errno::EOPNOTSUPP)),
    };
    let view = tuple::View::parse(attrs, Level::Liberal).map_err(mute)?;
    let mut made = Tuple {
        src: [0; 16],
        dst: [0; 16],
        src_port: Be16::ZERO,
        dst_port: Be16::ZERO,
        zone: view.zone().unwrap_or(zone),
        proto: 0,
        version,
    };
    match view.ip() {
        Some(ip) => addresses(&mut made, ip, flags)?,
        None if flags & (wanted::IP_SRC | wanted::IP_DST) != 0 => return Err(INVALID),
        None => {}
    }
    match view.proto() {
        Some(proto) => protocol(&mut made, proto, flags)?,
        None if flags & wanted::PROTO != 0 => return Err(INVALID),
        None => {}
    }
    Ok(made)
}

fn addresses(made: &mut Tuple, attrs: Attrs<'_>, flags: u32) -> Result<(), Error> {
    let view = tuple_ip::View::parse(attrs, Level::Liberal).map_err(mute)?;
    let wide = |address: [u8; 4]| {
        let mut wide = [0; 16];
        wide.iter_mut().zip(address).for_each(|(to, from)| *to = from);
        wide
    };
    let (src, dst) = if made.version == 4 {
        (view.v4_src().map(wide), view.v4_dst().map(wide))
    } else {
        (view.v6_src(), view.v6_dst())
    };
    for (place, address, flag) in [(&mut made.src, src, wanted::IP_SRC), (&mut made.dst, dst, wanted::IP_DST)]
    {
        match address {
            Some(address) => *place = address,
            None if flags & flag != 0 => return Err(INVALID),
            None => {}
        }
    }
    Ok(())
}

fn protocol(made: &mut Tuple, attrs: Attrs<'_>, flags: u32) -> Result<(), Error> {
    let view = tuple_proto::View::parse(attrs, Level::Liberal).map_err(mute)?;
    if flags & wanted::PROTO == 0 {
        return Ok(());
    }
    made.proto = view.num().ok_or(INVALID)?;
    let need = |value: Option<u16>, flag: u32| match value {
        Some(value) => Ok(value),
        None if flags & flag != 0 => Err(INVALID),
        None => Ok(0),
    };
    if made.is_icmp() {
        let (id, kind, code) = if made.version == 4 {
            (view.icmp_id(), view.icmp_type(), view.icmp_code())
        } else {
            (view.icmpv6_id(), view.icmpv6_type(), view.icmpv6_code())
        };
        let kind = need(kind.map(u16::from), wanted::ICMP_TYPE)?;
        let code = need(code.map(u16::from), wanted::ICMP_CODE)?;
        made.src_port = Be16::new(need(id, wanted::ICMP_ID)?);
        made.dst_port = Be16::new(kind << 8 | code);
    } else if has_ports(made.proto) {
        made.src_port = Be16::new(need(view.src_port(), wanted::SRC_PORT)?);
        made.dst_port = Be16::new(need(view.dst_port(), wanted::DST_PORT)?);
    }
    Ok(())
}

/// Writes a tuple as the nest `number`.
pub(crate) fn put(w: &mut Writer<'_>, number: u16, made: &Tuple) {
    w.nest_marked(number, |w| put_inside(w, made));
}

/// What is in such a nest.
pub(crate) fn put_inside(w: &mut Writer<'_>, made: &Tuple) {
    put_addresses(w, made);
    put_protocol(w, made);
}

fn put_addresses(w: &mut Writer<'_>, made: &Tuple) {
    let numbers = if made.version == 4 {
        (tuple_ip::V4_SRC, tuple_ip::V4_DST)
    } else {
        (tuple_ip::V6_SRC, tuple_ip::V6_DST)
    };
    w.nest_marked(tuple::IP, |w| {
        w.bytes(numbers.0, made.address(&made.src));
        w.bytes(numbers.1, made.address(&made.dst));
    });
}

fn put_protocol(w: &mut Writer<'_>, made: &Tuple) {
    w.nest_marked(tuple::PROTO, |w| {
        let mut put = tuple_proto::Put(w);
        put.num(made.proto);
        if made.is_icmp() {
            let [kind, code] = made.dst_port.to_bytes();
            if made.version == 4 {
                put.icmp_id(made.src_port.get()).icmp_type(kind).icmp_code(code);
            } else {
                put.icmpv6_id(made.src_port.get()).icmpv6_type(kind).icmpv6_code(code);
            }
        } else if has_ports(made.proto) {
            put.src_port(made.src_port.get()).dst_port(made.dst_port.get());
        }
    });
}

/// The family of a tuple's addresses.
pub(crate) fn family(made: &Tuple) -> u8 {
    if made.version == 4 { AF_INET } else { AF_INET6 }
}
