//! `OVS_VPORT_ATTR_OPTIONS`: what a tunnel port is made with, and shows.
//!
//! ```text
//! vxlan  OPTIONS { DST_PORT 4789 [EXTENSION { GBP | GPE }] }
//! geneve OPTIONS { DST_PORT 6081 }
//! gre    none; what is there is not looked at; likewise ip6gre, erspan, ip6erspan
//! ```

use pfnl_datapath::tunnel::{Protocol, Tunnel};
use pfnl_proto::ovs::{
    VPORT_TYPE_ERSPAN, VPORT_TYPE_GENEVE, VPORT_TYPE_GRE, VPORT_TYPE_IP6ERSPAN, VPORT_TYPE_IP6GRE,
    tunnel_options, vport, vxlan_ext,
};
use pfnl_proto::{Attr, Attrs, Errno, Error, Level, Writer};

/// ovs-vswitchd's wish for the generic protocol extension (OVS_VXLAN_EXT_GPE of its own openvswitch.h), which Linux's ports
/// have not, nor its header a number for: there it makes a device by RTM_NEWLINK. Not shown, as there.
const GPE: u16 = 8;

/// The port that Linux takes for VXLAN where 0 is asked for.
const VXLAN_PORT: u16 = 8472;

const INVALID: Error = Error::new(Errno::EINVAL);

/// The tunnel of a type and options. Attributes behind one that counts do not matter, not even if they are malformed.
///
/// # Errors
/// `EINVAL`; `ERANGE` for an extension that is no flag.
pub(crate) fn parse(port_type: u32, options: Option<Attrs<'_>>) -> Result<Tunnel, Error> {
    let over_ip = |protocol| Ok(Tunnel { protocol, dst_port: 0 });
    match port_type {
        VPORT_TYPE_GRE => return over_ip(Protocol::Gre { v6: false }),
        VPORT_TYPE_IP6GRE => return over_ip(Protocol::Gre { v6: true }),
        VPORT_TYPE_ERSPAN => return over_ip(Protocol::Erspan { v6: false }),
        VPORT_TYPE_IP6ERSPAN => return over_ip(Protocol::Erspan { v6: true }),
        _ => {}
    }
    let options = options.ok_or(INVALID)?;
    let port = find(options, tunnel_options::DST_PORT).ok_or(INVALID)?;
    let dst_port = u16::from_ne_bytes(port.payload().try_into().map_err(|_| INVALID)?);
    if port_type == VPORT_TYPE_GENEVE {
        return Ok(Tunnel { protocol: Protocol::Geneve, dst_port });
    }
    let protocol = match find(options, tunnel_options::EXTENSION) {
        None => Protocol::Vxlan { gbp: false },
        Some(extension) if extension.payload().len() < 4 => return Err(INVALID),
        Some(extension) => {
            let view = vxlan_ext::View::parse(extension.attrs(), Level::Liberal)
                .map_err(|error| Error::new(error.errno))?;
            let gpe =
                !view.gbp() && find(extension.attrs(), GPE).is_some_and(|flag| flag.payload().is_empty());
            if gpe { Protocol::VxlanGpe } else { Protocol::Vxlan { gbp: view.gbp() } }
        }
    };
    Ok(Tunnel { protocol, dst_port: if dst_port == 0 { VXLAN_PORT } else { dst_port } })
}

/// The first attribute of a number.
fn find(mut attrs: Attrs<'_>, number: u16) -> Option<Attr<'_>> {
    attrs.find(|attr| attr.number() == number)
}

/// What is shown of a tunnel; nothing for GRE.
pub(crate) fn put(w: &mut Writer<'_>, tunnel: &Tunnel) {
    let gbp = match tunnel.protocol {
        Protocol::Gre { .. } | Protocol::Erspan { .. } => return,
        Protocol::Vxlan { gbp } => gbp,
        Protocol::VxlanGpe | Protocol::Geneve => false,
    };
    vport::Put(w).options(|w| {
        let mut put = tunnel_options::Put(w);
        put.dst_port(tunnel.dst_port);
        if gbp {
            put.extension(|w| {
                vxlan_ext::Put(w).gbp();
            });
        }
    });
}
