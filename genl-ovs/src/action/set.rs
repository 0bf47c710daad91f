//! SET and SET_MASKED: one key attribute, with its new value, or with the value and behind it the mask of bits that count.
//!
//! ```text
//! SET        { IPV4: value }             all bits that can be changed
//! SET_MASKED { IPV4: value mask }        those in the mask; other bits of the value are 0
//! ```

use super::dump::Dump;
use super::{ETH_IPV4, ETH_IPV6, Flow, INVALID, Shape, ensure, is_mpls};
use crate::key::tunnel;
use pfnl_datapath::FlowKey;
use pfnl_datapath::action::{Action, EthernetFields, Ipv4Fields, Ipv6Fields, Masked, PortFields, Set};
use pfnl_datapath::key::{Be16, Be32, MAC_ETHERNET};
use pfnl_platform::{Shared, try_box};
use pfnl_proto::ovs::action;
use pfnl_proto::ovs::{KeyEthernet, KeyIpv4, KeyIpv6, KeyPorts, key};
use pfnl_proto::{Attr, Error, Fixed, Len, align};

const PROTO_TCP: u16 = 6;
const PROTO_UDP: u16 = 17;
const PROTO_SCTP: u16 = 132;

/// The bits of an IPv6 flow label.
const LABEL: u32 = 0x000f_ffff;

/// The mask of SET: longer than any key that can be set.
static ONES: [u8; 40] = [0xff; 40];

impl Flow {
    #[inline(never)]
    pub(super) fn set(&self, shape: Shape, attr: &Attr<'_>, out: &mut Dump) -> Result<Action, Error> {
        let mut attrs = attr.attrs();
        let key = attrs.next().ok_or(INVALID)?;
        // Just one, and all of it.
        ensure(align(key.payload().len().saturating_add(4)) == attr.payload().len())?;
        let is_masked = attr.number() == action::SET_MASKED;
        let new = New::of(&key, is_masked)?;
        let action = match key.number() {
            // Linux takes this, and no packet survives it: mark and labels change by CT alone.
            key::CT_MARK | key::CT_LABELS => Action::Fail,
            _ => Action::Set(self.field(shape, &key, new)?),
        };
        if is_masked {
            out.attr(action::SET_MASKED, attr.payload())?;
        } else if let Action::Set(Set::Tunnel(tunnel)) = &action {
            // Given back as it was understood.
            out.open(action::SET)?;
            out.open(key::TUNNEL)?;
            out.write(|w| tunnel::put(w, tunnel, tunnel))?;
            out.close()?;
            out.close()?;
        } else {
            out.open(action::SET)?;
            out.attr(key.number(), key.payload())?;
            out.close()?;
        }
        Ok(action)
    }

    /// The header must be there, by all that is known of the packet.
    fn field(&self, shape: Shape, key: &Attr<'_>, new: New<'_>) -> Result<Set, Error> {
        match key.number() {
            key::PRIORITY => Ok(Set::Priority(new.read()?)),
            key::SKB_MARK => Ok(Set::SkbMark(new.read()?)),
            key::ETHERNET => {
                ensure(shape.mac_proto == MAC_ETHERNET)?;
                let new = new.read()?;
                let fields = |key: KeyEthernet| EthernetFields { src: key.src, dst: key.dst };
                Ok(Set::Ethernet(map(new, fields)))
            }
            key::IPV4 => self.ipv4(shape, new),
            key::IPV6 => self.ipv6(shape, new),
            key::TCP => Ok(Set::Tcp(self.ports(shape, PROTO_TCP, new)?)),
            key::UDP => Ok(Set::Udp(self.ports(shape, PROTO_UDP, new)?)),
            key::SCTP => Ok(Set::Sctp(self.ports(shape, PROTO_SCTP, new)?)),
            key::MPLS => {
                ensure(is_mpls(shape.eth_type) && new.value.len() == 4)?;
                Ok(Set::Mpls(map(new.read()?, Be32::from_bytes)))
            }
            key::TUNNEL if new.mask.is_none() => tunnel(key),
            // A service header can't be changed: Linux 6.12 no longer says it could.
            _ => Err(INVALID),
        }
    }

    fn ipv4(&self, shape: Shape, new: New<'_>) -> Result<Set, Error> {
        ensure(shape.eth_type == ETH_IPV4)?;
        let fields: Masked<KeyIpv4> = new.read()?;
        self.same_protocol(
            &new,
            (fields.value.proto, fields.value.frag),
            (fields.mask.proto, fields.mask.frag),
        )?;
        Ok(Set::Ipv4(map(fields, |key| Ipv4Fields {
            src: key.src,
            dst: key.dst,
            tos: key.tos,
            ttl: key.ttl,
        })))
    }

    fn ipv6(&self, shape: Shape, new: New<'_>) -> Result<Set, Error> {
        ensure(shape.eth_type == ETH_IPV6)?;
        let fields: Masked<KeyIpv6> = new.read()?;
        self.same_protocol(
            &new,
            (fields.value.proto, fields.value.frag),
            (fields.mask.proto, fields.mask.frag),
        )?;
        ensure(u32::from_be_bytes(fields.value.label) & !LABEL == 0)?;
        Ok(Set::Ipv6(try_box(map(fields, |key| Ipv6Fields {
            src: key.src,
            dst: key.dst,
            label: Be32::from_bytes(key.label) & Be32::new(LABEL),
            tclass: key.tclass,
            hlimit: key.hlimit,
        }))?))
    }

    /// Protocol and fragment type can't be changed: SET repeats the flow's, SET_MASKED leaves them out.
    fn same_protocol(&self, new: &New<'_>, value: (u8, u8), mask: (u8, u8)) -> Result<(), Error> {
        match new.mask {
            Some(_) => ensure(mask == (0, 0)),
            None => ensure((u16::from(value.0), u16::from(value.1)) == (self.ip_proto, self.ip_frag)),
        }
    }

    fn ports(&self, shape: Shape, proto: u16, new: New<'_>) -> Result<Masked<PortFields>, Error> {
        ensure(matches!(shape.eth_type, ETH_IPV4 | ETH_IPV6) && self.ip_proto == proto)?;
        Ok(map(new.read()?, |key: KeyPorts| PortFields {
            src: Be16::from_bytes(key.src),
            dst: Be16::from_bytes(key.dst),
        }))
    }
}

#[inline(never)]
fn tunnel(key: &Attr<'_>) -> Result<Set, Error> {
    let mut tunnel = FlowKey::ZERO.tunnel;
    tunnel::parse_set(key.attrs(), &mut tunnel)?;
    Ok(Set::Tunnel(Shared::try_new(tunnel)?))
}

/// The payload of what is set.
#[derive(Clone, Copy)]
struct New<'a> {
    value: &'a [u8],
    mask: Option<&'a [u8]>,
}

impl<'a> New<'a> {
    fn of(key: &Attr<'a>, is_masked: bool) -> Result<New<'a>, Error> {
        let row = key::TABLE.row(key.number()).ok_or(INVALID)?;
        let (value, mask) = if is_masked {
            let (value, mask) = key.payload().split_at_checked(key.payload().len() / 2).ok_or(INVALID)?;
            (value, Some(mask))
        } else {
            (key.payload(), None)
        };
        if let Len::Exact(len) = row.kind.len() {
            ensure(value.len() == usize::from(len))?;
        }
        if let Some(mask) = mask {
            ensure(value.iter().zip(mask).all(|(value, mask)| value & !mask == 0))?;
        }
        Ok(New { value, mask })
    }

    fn read<T: Fixed>(&self) -> Result<Masked<T>, Error> {
        let value = T::read(self.value).ok_or(INVALID)?;
        let mask = T::read(self.mask.unwrap_or(&ONES)).ok_or(INVALID)?;
        Ok(Masked { value, mask })
    }
}

fn map<T, U>(new: Masked<T>, f: impl Fn(T) -> U) -> Masked<U> {
    Masked { value: f(new.value), mask: f(new.mask) }
}
