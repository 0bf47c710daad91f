//! Tunnel keys: `OVS_KEY_ATTR_TUNNEL` and its nest, in keys, in masks and in SET actions.
//!
//! Options stand in [`TunnelKey::opts`] from its start: Geneve's as on the wire, VXLAN's group policy (4 bytes in host
//! order), `struct erspan_metadata`.

use super::INVALID;
use super::fields::fits;
use super::parse::{narrow, widen};
use pfnl_datapath::key::{Be16, Be32, Be64, TunnelKey};
use pfnl_datapath::tunnel::options_are_whole;
pub(crate) use pfnl_datapath::tunnel::{CSUM, DONT_FRAGMENT, KEY, OAM, OPTS_ERSPAN, OPTS_GENEVE, OPTS_VXLAN};
use pfnl_proto::ovs::{tunnel_key as attr, vxlan_opt};
use pfnl_proto::{Attr, Attrs, Error, Writer};

/// `sizeof(struct erspan_metadata)` (linux/erspan.h).
const ERSPAN_LEN: usize = 12;

/// Reads the tunnel key of a SET action. `out` is zero before.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn parse_set(attrs: Attrs<'_>, out: &mut TunnelKey) -> Result<(), Error> {
    parse(attrs, out)?;
    let opts = out.opts.get(..usize::from(out.opts_len)).unwrap_or_default();
    if out.opts_kind & OPTS_GENEVE != 0 && !options_are_whole(opts) { Err(INVALID) } else { Ok(()) }
}

/// Reads a tunnel key: of a flow or of a packet. `out` is zero before.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn parse(attrs: Attrs<'_>, out: &mut TunnelKey) -> Result<(), Error> {
    let seen = read(attrs, None, out)?;
    out.ip_version = match (seen.ipv4, seen.ipv6) {
        (true, false) => 4,
        (false, true) => 6,
        _ => return Err(INVALID),
    };
    // A TTL of zero is fine, but it must be meant.
    if seen.bridge || !seen.ttl || out.dst == [0; 16] { Err(INVALID) } else { Ok(()) }
}

/// Reads the mask of a tunnel key.
///
/// # Errors
/// `EINVAL`.
pub(super) fn parse_mask(attrs: Attrs<'_>, key: &TunnelKey, out: &mut TunnelKey) -> Result<(), Error> {
    (out.flags, out.opts_kind) = (0, 0);
    let seen = read(attrs, Some(key), out)?;
    out.ip_version = 0xff;
    if seen.ipv4 && seen.ipv6 { Err(INVALID) } else { Ok(()) }
}

/// Makes a mask in which all but options and flags counts.
pub(super) fn all_ones(out: &mut TunnelKey) {
    (out.id, out.src, out.dst) = (Be64::new(u64::MAX), [0xff; 16], [0xff; 16]);
    (out.tos, out.ttl, out.label) = (0xff, 0xff, Be32::new(u32::MAX));
    (out.tp_src, out.tp_dst) = (Be16::new(u16::MAX), Be16::new(u16::MAX));
}

/// What a nest says beside values.
#[derive(Default)]
struct Seen {
    ipv4: bool,
    ipv6: bool,
    ttl: bool,
    bridge: bool,
}

/// Reads the nest; of attributes that repeat, the last counts. For a mask, `key` is what it masks.
fn read(attrs: Attrs<'_>, key: Option<&TunnelKey>, out: &mut TunnelKey) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let mut has_opts = false;
    let mut rest = attrs;
    for a in rest.by_ref() {
        // Padding has nothing in it.
        if !fits(&a, &attr::TABLE) || (a.number() == attr::PAD && !a.payload().is_empty()) {
            return Err(INVALID);
        }
        match a.number() {
            attr::ID => (out.id, out.flags) = (Be64::new(a.be64().ok_or(INVALID)?), out.flags | KEY),
            attr::IPV4_SRC => (out.src, seen.ipv4) = (widen(bytes(&a)?), true),
            attr::IPV4_DST => (out.dst, seen.ipv4) = (widen(bytes(&a)?), true),
            attr::IPV6_SRC => (out.src, seen.ipv6) = (bytes(&a)?, true),
            attr::IPV6_DST => (out.dst, seen.ipv6) = (bytes(&a)?, true),
            attr::TOS => out.tos = a.u8().ok_or(INVALID)?,
            attr::TTL => (out.ttl, seen.ttl) = (a.u8().ok_or(INVALID)?, true),
            attr::DONT_FRAGMENT => out.flags |= DONT_FRAGMENT,
            attr::CSUM => out.flags |= CSUM,
            attr::OAM => out.flags |= OAM,
            attr::TP_SRC => out.tp_src = Be16::new(a.be16().ok_or(INVALID)?),
            attr::TP_DST => out.tp_dst = Be16::new(a.be16().ok_or(INVALID)?),
            attr::GENEVE_OPTS | attr::VXLAN_OPTS | attr::ERSPAN_OPTS => {
                if core::mem::replace(&mut has_opts, true) {
                    return Err(INVALID);
                }
                options(&a, key, out)?;
            }
            attr::IPV4_INFO_BRIDGE => (seen.ipv4, seen.bridge) = (true, true),
            _ => {}
        }
    }
    if rest.leftover() > 0 { Err(INVALID) } else { Ok(seen) }
}

fn bytes<const N: usize>(a: &Attr<'_>) -> Result<[u8; N], Error> {
    a.payload().first_chunk().copied().ok_or(INVALID)
}

/// Reads options. That there are as many as in the key always counts.
fn options(a: &Attr<'_>, key: Option<&TunnelKey>, out: &mut TunnelKey) -> Result<(), Error> {
    let group;
    let mut erspan = [0; ERSPAN_LEN];
    let (kind, opts) = match a.number() {
        attr::GENEVE_OPTS if a.payload().len() % 4 == 0 => (OPTS_GENEVE, a.payload()),
        attr::ERSPAN_OPTS => {
            // The last bytes count; fewer stand at the end. This is how Linux puts them.
            let last = a.payload().get(a.payload().len().saturating_sub(ERSPAN_LEN)..).ok_or(INVALID)?;
            let start = ERSPAN_LEN.saturating_sub(last.len());
            erspan.get_mut(start..).ok_or(INVALID)?.copy_from_slice(last);
            (OPTS_ERSPAN, &erspan[..])
        }
        attr::VXLAN_OPTS => {
            group = group_policy(a.attrs())?.to_ne_bytes();
            (OPTS_VXLAN, &group[..])
        }
        _ => return Err(INVALID),
    };
    let len = u8::try_from(opts.len()).map_err(|_| INVALID)?;
    if kind == OPTS_GENEVE && key.is_some_and(|key| key.opts_len != len) {
        return Err(INVALID);
    }
    out.opts.get_mut(..opts.len()).ok_or(INVALID)?.copy_from_slice(opts);
    out.opts_kind |= kind;
    out.opts_len = if key.is_some() { 0xff } else { len };
    Ok(())
}

/// Reads the nest of VXLAN's options.
fn group_policy(attrs: Attrs<'_>) -> Result<u32, Error> {
    let mut group = 0;
    let mut rest = attrs;
    for a in rest.by_ref() {
        if !fits(&a, &vxlan_opt::TABLE) {
            return Err(INVALID);
        }
        group = a.u32().ok_or(INVALID)?;
    }
    if rest.leftover() > 0 { Err(INVALID) } else { Ok(group) }
}

/// Writes a tunnel key (`key` and `out` the same), or the mask `out` of the tunnel key `key`.
pub(crate) fn put(w: &mut Writer<'_>, key: &TunnelKey, out: &TunnelKey) {
    let mut put = attr::Put(w);
    if out.flags & KEY != 0 {
        put.id(out.id.get());
    }
    for (v4, v6, address) in
        [(attr::IPV4_SRC, attr::IPV6_SRC, &out.src), (attr::IPV4_DST, attr::IPV6_DST, &out.dst)]
    {
        match key.ip_version {
            4 if narrow(address) != [0; 4] => _ = put.0.fixed(v4, &narrow(address)),
            6 if *address != [0; 16] => _ = put.0.fixed(v6, address),
            _ => {}
        }
    }
    if out.tos != 0 {
        put.tos(out.tos);
    }
    put.ttl(out.ttl);
    for (flag, number) in [(DONT_FRAGMENT, attr::DONT_FRAGMENT), (CSUM, attr::CSUM)] {
        if out.flags & flag != 0 {
            put.0.flag(number);
        }
    }
    if out.tp_src.get() != 0 {
        put.tp_src(out.tp_src.get());
    }
    if out.tp_dst.get() != 0 {
        put.tp_dst(out.tp_dst.get());
    }
    if out.flags & OAM != 0 {
        put.oam();
    }
    put_options(put.0, key, out);
}

fn put_options(w: &mut Writer<'_>, key: &TunnelKey, out: &TunnelKey) {
    let opts = out.opts.get(..usize::from(key.opts_len)).unwrap_or_default();
    if opts.is_empty() {
        return;
    }
    let mut put = attr::Put(w);
    if out.opts_kind & OPTS_GENEVE != 0 {
        put.geneve_opts(opts);
    } else if out.opts_kind & OPTS_VXLAN != 0 {
        put.vxlan_opts(|w| _ = w.bytes(vxlan_opt::GBP, opts));
    } else if out.opts_kind & OPTS_ERSPAN != 0 {
        put.erspan_opts(opts);
    }
}
