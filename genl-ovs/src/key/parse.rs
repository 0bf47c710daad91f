//! Attributes to the fields of a key or a mask.
//!
//! Limits hold for keys only; in a mask any bit may be set. Where two attributes use one field (a stray one that the
//! packet can't have, which Linux lets pass), the later in this file counts.

use super::fields::{Fields, Form};
use super::ones::CT_STATE_BITS;
use super::{
    ETH_802_3_MIN, ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_MPLS, ETH_NSH, ETH_RARP, INVALID, is_mpls, nsh, tunnel,
};
use core::mem;
use pfnl_datapath::FlowKey;
use pfnl_datapath::extract::ETH_TYPE_802_2;
use pfnl_datapath::key::{Be16, Be32, FRAG_LATER, MAC_ETHERNET, MAC_NONE, PORT_NONE};
use pfnl_proto::ovs::{
    KeyArp, KeyCtTuple4, KeyCtTuple6, KeyEthernet, KeyIcmp, KeyIpv4, KeyIpv6, KeyNd, KeyPorts, key, nsh_key,
};
use pfnl_proto::{Attr, Error};
use zerocopy::IntoBytes;

/// What does not come from the packet's bytes; of an L3 packet, its Ethernet type too.
pub(super) fn metadata(fields: &Fields<'_>, form: Form<'_>, out: &mut FlowKey) -> Result<(), Error> {
    out.dp_hash = fields.u32(key::DP_HASH).unwrap_or(0);
    out.recirc_id = fields.u32(key::RECIRC_ID).unwrap_or(0);
    out.priority = fields.u32(key::PRIORITY).unwrap_or(0);
    out.skb_mark = fields.u32(key::SKB_MARK).unwrap_or(0);
    out.in_port = match (fields.u32(key::IN_PORT), form) {
        (Some(_), Form::Mask(_)) => u32::MAX,
        (None, Form::Mask(_)) => 0,
        (Some(port), Form::Key) if port >= PORT_NONE => return Err(INVALID),
        (port, Form::Key) => port.unwrap_or(PORT_NONE),
    };
    if let Some(attr) = fields.attr(key::TUNNEL) {
        match form {
            Form::Key => tunnel::parse(attr.attrs(), &mut out.tunnel)?,
            Form::Mask(key) => tunnel::parse_mask(attr.attrs(), &key.tunnel, &mut out.tunnel)?,
        }
    }
    tracking(fields, out)?;

    let l3 = !fields.has(key::ETHERNET) && fields.has(key::ETHERTYPE);
    out.mac_proto = match form {
        Form::Mask(_) => 0xff,
        Form::Key if l3 => MAC_NONE,
        Form::Key => MAC_ETHERNET,
    };
    if l3 { ethertype(fields, form, out) } else { Ok(()) }
}

/// Connection tracking.
fn tracking(fields: &Fields<'_>, out: &mut FlowKey) -> Result<(), Error> {
    if let Some(state) = fields.u32(key::CT_STATE) {
        if state & !CT_STATE_BITS != 0 {
            return Err(INVALID);
        }
        out.ct_state = state as u8;
    }
    out.ct_zone = fields.fixed(key::CT_ZONE).unwrap_or(0);
    out.ct_mark = fields.u32(key::CT_MARK).unwrap_or(0);
    out.ct_labels = fields.fixed(key::CT_LABELS).unwrap_or_default();
    if let Some(tuple) = fields.fixed::<KeyCtTuple4>(key::CT_ORIG_TUPLE_IPV4) {
        (out.ct_orig_src, out.ct_orig_dst) = (widen(tuple.src), widen(tuple.dst));
        (out.ct_orig_tp_src, out.ct_orig_tp_dst) = (be16(tuple.sport), be16(tuple.dport));
        out.ct_orig_proto = tuple.proto;
    }
    if let Some(tuple) = fields.fixed::<KeyCtTuple6>(key::CT_ORIG_TUPLE_IPV6) {
        (out.ct_orig_src, out.ct_orig_dst) = (tuple.src, tuple.dst);
        (out.ct_orig_tp_src, out.ct_orig_tp_dst) = (be16(tuple.sport), be16(tuple.dport));
        out.ct_orig_proto = tuple.proto;
    }
    Ok(())
}

fn ethertype(fields: &Fields<'_>, form: Form<'_>, out: &mut FlowKey) -> Result<(), Error> {
    let value = match (fields.be16(key::ETHERTYPE), form) {
        (Some(_), Form::Mask(_)) => 0xffff,
        (None, Form::Mask(_)) => 0,
        (Some(ethertype), Form::Key) if ethertype < ETH_802_3_MIN => return Err(INVALID),
        (ethertype, Form::Key) => ethertype.unwrap_or(ETH_TYPE_802_2),
    };
    out.eth_type = Be16::new(value);
    Ok(())
}

/// What comes from the packet's bytes, behind its VLAN tags.
pub(super) fn packet(fields: &Fields<'_>, form: Form<'_>, out: &mut FlowKey) -> Result<(), Error> {
    if let Some(KeyEthernet { src, dst }) = fields.fixed(key::ETHERNET) {
        (out.eth_src, out.eth_dst) = (src, dst);
    }
    ethertype(fields, form, out)?;
    network(fields, form, out)?;
    transport(fields, out);
    Ok(())
}

fn network(fields: &Fields<'_>, form: Form<'_>, out: &mut FlowKey) -> Result<(), Error> {
    let kind = match form {
        Form::Key => out.eth_type.get(),
        Form::Mask(key) => key.eth_type.get(),
    };
    if let Some(ip) = fields.fixed::<KeyIpv4>(key::IPV4) {
        if !form.is_mask() && ip.frag > FRAG_LATER {
            return Err(INVALID);
        }
        (out.ip_proto, out.ip_tos, out.ip_ttl, out.ip_frag) = (ip.proto, ip.tos, ip.ttl, ip.frag);
        if stray::is(kind, ETH_IPV4) {
            stray::lay(out, kind, 0, ip.src.iter().chain(&ip.dst));
        } else {
            (out.ipv4_src, out.ipv4_dst) = (ip.src, ip.dst);
        }
    }
    if let Some(ip) = fields.fixed::<KeyIpv6>(key::IPV6) {
        let label = Be32::from_bytes(ip.label);
        if !form.is_mask() && (ip.frag > FRAG_LATER || label.get() > 0x000f_ffff) {
            return Err(INVALID);
        }
        (out.ip_proto, out.ip_tos, out.ip_ttl, out.ip_frag) = (ip.proto, ip.tclass, ip.hlimit, ip.frag);
        if stray::is(kind, ETH_IPV6) {
            stray::lay(out, kind, 0, ip.src.iter().chain(&ip.dst));
        } else {
            (out.ipv6_src, out.ipv6_dst, out.ipv6_label) = (ip.src, ip.dst, label);
        }
    }
    out.ipv6_exthdrs = fields.fixed(key::IPV6_EXTHDRS).unwrap_or(0);
    if let Some(arp) = fields.fixed::<KeyArp>(key::ARP) {
        let [high, op] = arp.op;
        if !form.is_mask() && high != 0 {
            return Err(INVALID);
        }
        out.ip_proto = op;
        if stray::is(kind, ETH_ARP) {
            let all = arp.sip.iter().chain(&arp.tip).chain(&arp.sha).chain(&arp.tha);
            stray::lay(out, kind, 0, all);
        } else {
            (out.ipv4_src, out.ipv4_dst) = (arp.sip, arp.tip);
            (out.sha, out.tha) = (arp.sha, arp.tha);
        }
    }
    if let Some(attr) = fields.attr(key::NSH) {
        nsh::parse(attr.attrs(), form.is_mask(), &mut out.nsh)?;
        if stray::is(kind, ETH_NSH) {
            let nsh = mem::take(&mut out.nsh);
            // What is said of it, and no more.
            let says = |number| attr.attrs().any(|attr| attr.number() == number);
            if says(nsh_key::BASE) {
                let base = [nsh.flags, nsh.ttl, nsh.mdtype, nsh.np];
                stray::lay(out, kind, 0, base.iter().chain(nsh.path_hdr.as_bytes()));
            }
            if says(nsh_key::MD1) {
                stray::lay(out, kind, 8, nsh.context.as_bytes().iter());
            }
        }
    }
    if let Some(attr) = fields.attr(key::MPLS) {
        mpls(&attr, out)?;
        if stray::is(kind, ETH_MPLS) {
            let labels = u32::from(mem::take(&mut out.mpls_labels)).to_ne_bytes();
            let words = mem::take(&mut out.mpls);
            let written = words.as_bytes().iter().take(attr.payload().len());
            stray::lay(out, kind, 0, labels.iter().chain(written));
        }
    }
    Ok(())
}

/// One to three label stack entries.
fn mpls(attr: &Attr<'_>, out: &mut FlowKey) -> Result<(), Error> {
    let (entries, rest) = attr.payload().as_chunks::<4>();
    if entries.is_empty() || entries.len() > out.mpls.len() || !rest.is_empty() {
        return Err(INVALID);
    }
    out.mpls_labels = 0;
    for (n, (place, &entry)) in out.mpls.iter_mut().zip(entries).enumerate() {
        *place = Be32::from_bytes(entry);
        out.mpls_labels |= 1u8.wrapping_shl(n as u32);
    }
    Ok(())
}

/// Attributes of a header that the Ethernet type says is not there. In Linux's keys the headers of all types share their memory:
/// an attribute that comes later in this file shows in the fields that the type has in its place.
mod stray {
    use super::*;

    /// Whether an attribute of a header of type `of` is a stray one that shows.
    pub fn is(kind: u16, of: u16) -> bool {
        let shows = matches!(kind, ETH_IPV4 | ETH_IPV6 | ETH_ARP | ETH_RARP | ETH_NSH) || is_mpls(kind);
        let own = kind == of || (kind, of) == (ETH_RARP, ETH_ARP) || is_mpls(kind) && is_mpls(of);
        shows && !own
    }

    /// Writes bytes over those of the header that the key has, from one of them on.
    pub fn lay<'b>(out: &mut FlowKey, kind: u16, from: usize, bytes: impl Iterator<Item = &'b u8>) {
        let FlowKey { ipv4_src, ipv4_dst, ipv6_src, ipv6_dst, sha, tha, nsh, mpls, .. } = out;
        let mut base = [nsh.flags, nsh.ttl, nsh.mdtype, nsh.np];
        let mut labels = u32::from(out.mpls_labels).to_ne_bytes();
        let parts: [&mut [u8]; 4] = match kind {
            ETH_IPV6 => [ipv6_src, ipv6_dst, &mut [], &mut []],
            ETH_NSH => [&mut base, nsh.path_hdr.as_mut_bytes(), nsh.context.as_mut_bytes(), &mut []],
            kind if is_mpls(kind) => [&mut labels, mpls.as_mut_bytes(), &mut [], &mut []],
            _ => [ipv4_src, ipv4_dst, sha, tha],
        };
        let places = parts.into_iter().flatten().skip(from);
        places.zip(bytes).for_each(|(place, byte)| *place = *byte);
        [nsh.flags, nsh.ttl, nsh.mdtype, nsh.np] = base;
        [out.mpls_labels, ..] = labels;
    }
}

fn transport(fields: &Fields<'_>, out: &mut FlowKey) {
    for number in [key::TCP, key::UDP, key::SCTP] {
        if let Some(KeyPorts { src, dst }) = fields.fixed(number) {
            (out.tp_src, out.tp_dst) = (be16(src), be16(dst));
        }
    }
    out.tcp_flags = Be16::new(fields.be16(key::TCP_FLAGS).unwrap_or(0));
    for number in [key::ICMP, key::ICMPV6] {
        if let Some(KeyIcmp { icmp_type, code }) = fields.fixed(number) {
            (out.tp_src, out.tp_dst) = (Be16::new(icmp_type.into()), Be16::new(code.into()));
        }
    }
    if let Some(KeyNd { target, sll, tll }) = fields.fixed(key::ND) {
        (out.nd_target, out.sha, out.tha) = (target, sll, tll);
    }
}

fn be16(bytes: [u8; 2]) -> Be16 {
    Be16::from_bytes(bytes)
}

/// An IPv4 address in the room of an IPv6 one.
pub(super) fn widen([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// The IPv4 address that stands in the room of an IPv6 one.
pub(super) fn narrow(&[a, b, c, d, ..]: &[u8; 16]) -> [u8; 4] {
    [a, b, c, d]
}
