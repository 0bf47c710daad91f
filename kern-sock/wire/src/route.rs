//! Requests of NETLINK_ROUTE for links, as far as the preload library changes them.
//!
//! ```text
//! nlmsghdr RTM_NEWLINK │ ifinfomsg │ … LINKINFO { KIND "vxlan" → "Vxlan", DATA { … COLLECT_METADATA } }
//! ```
//! Numbers are those of linux/rtnetlink.h, linux/if_link.h and linux/if_tunnel.h.

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
/// A request that no kernel knows.
const RTM_NONE: u16 = 0x0fff;
const IFLA_IFNAME: u16 = 3;
/// What is in front of a link's attributes: struct nlmsghdr and struct ifinfomsg.
pub const LINK_HEADERS: usize = 16 + 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;

/// Kinds of tunnels, and the number of their attribute that lets them keep metadata.
const TUNNELS: &[(&[u8], u16)] = &[
    (b"vxlan", 25),
    (b"geneve", 6),
    (b"gre", 18),
    (b"gretap", 18),
    (b"ip6gre", 18),
    (b"ip6gretap", 18),
    (b"erspan", 18),
    (b"ip6erspan", 18),
];

/// Names that ovs-vswitchd gives to tunnels, with a number behind some.
const NAMES: &[&[u8]] =
    &[b"vxlan_sys", b"genev_sys", b"gre_sys", b"ip6gre_sys", b"erspan_sys", b"ip6erspan_sys"];

/// In a datagram of requests, gives new tunnels with metadata a kind that is none, and makes the end of one of
/// ovs-vswitchd's that is no interface (`exists`) a request that is none: both are then EOPNOTSUPP, as where a kernel
/// knows no such devices. Tells whether there were any.
pub fn rename_tunnels(bytes: &mut [u8], exists: impl Fn(&[u8]) -> bool) -> bool {
    let mut found = false;
    let mut at = 0_usize;
    while let Some(&[a, b, c, d, e, f]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let Some(end) = at.checked_add(length).filter(|&end| length >= 16 && end <= bytes.len()) else {
            break;
        };
        let Some(request) = bytes.get_mut(at..end) else { break };
        found |= match u16::from_ne_bytes([e, f]) {
            RTM_NEWLINK => match kind_of_tunnel(request).and_then(|kind| request.get_mut(kind)) {
                Some(first) => {
                    first.make_ascii_uppercase();
                    true
                }
                None => false,
            },
            RTM_DELLINK if is_tunnel(request, &exists) => {
                request[4..6].copy_from_slice(&RTM_NONE.to_ne_bytes());
                true
            }
            _ => false,
        };
        at = end.next_multiple_of(4);
    }
    found
}

/// Whether a request names a tunnel of ovs-vswitchd's that is no interface, and nothing but the name says which.
fn is_tunnel(request: &[u8], exists: impl Fn(&[u8]) -> bool) -> bool {
    let by_name = request.get(20..24) == Some(&[0; 4]);
    let Some((_, name)) = find(request, LINK_HEADERS, IFLA_IFNAME).filter(|_| by_name) else { return false };
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    NAMES.iter().any(|start| name.starts_with(start)) && !exists(name)
}

/// Where in a request the kind of a tunnel with metadata stands.
fn kind_of_tunnel(request: &[u8]) -> Option<usize> {
    let (at, info) = find(request, LINK_HEADERS, IFLA_LINKINFO)?;
    let info = request.get(..at + info.len())?;
    let (kind_at, kind) = find(info, at, IFLA_INFO_KIND)?;
    let (data_at, data) = find(info, at, IFLA_INFO_DATA)?;
    let kind = kind.split(|&byte| byte == 0).next()?;
    let &(_, metadata) = TUNNELS.iter().find(|(name, _)| *name == kind)?;
    let (_, value) = find(info.get(..data_at + data.len())?, data_at, metadata)?;
    // A flag, or a number that says whether.
    (value.is_empty() || value.iter().any(|&byte| byte != 0)).then_some(kind_at)
}

/// The payload, and its place, of the attribute of a number; `from` is where attributes begin.
fn find(bytes: &[u8], from: usize, number: u16) -> Option<(usize, &[u8])> {
    let mut at = from;
    loop {
        let &[a, b, c, d] = bytes.get(at..)?.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let payload = bytes.get(at + 4..at.checked_add(length)?)?;
        // Without the flags "nested" and "in network byte order".
        if u16::from_ne_bytes([c, d]) & 0x3fff == number {
            return Some((at + 4, payload));
        }
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(number: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [(4 + payload.len() as u16).to_ne_bytes(), number.to_ne_bytes()].concat();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn request(kind: u16, attrs: &[u8]) -> Vec<u8> {
        let length = (LINK_HEADERS + attrs.len()) as u32;
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &[0; 16]].concat();
        bytes.extend_from_slice(attrs);
        bytes
    }

    fn link(kind: &[u8], data: &[u8]) -> Vec<u8> {
        let info = [attr(IFLA_INFO_KIND, kind), attr(IFLA_INFO_DATA | 0x8000, data)].concat();
        request(RTM_NEWLINK, &[attr(3, b"vxlan_sys\0"), attr(IFLA_LINKINFO, &info)].concat())
    }

    #[test]
    fn only_tunnels_that_keep_metadata_are_renamed() {
        for (bytes, renamed) in [
            (link(b"vxlan\0", &attr(25, &[1])), true),
            (link(b"vxlan", &[attr(15, &[0x12, 0xb5]), attr(25, &[1])].concat()), true),
            (link(b"geneve\0", &attr(6, &[])), true),
            (link(b"gretap\0", &attr(18, &[])), true),
            (link(b"vxlan\0", &attr(25, &[0])), false),
            (link(b"vxlan\0", &attr(1, &[5, 0, 0, 0])), false),
            (link(b"dummy\0", &attr(25, &[1])), false),
            (link(b"vxlan\0", &[]), false),
            (request(17, &link(b"vxlan\0", &attr(25, &[1]))[LINK_HEADERS..]), false),
        ] {
            let mut after = bytes.clone();
            assert_eq!(rename_tunnels(&mut after, |_| true), renamed);
            let changed: Vec<_> = bytes.iter().zip(&after).filter(|(a, b)| a != b).collect();
            assert_eq!(changed.len(), usize::from(renamed));
            assert!(changed.iter().all(|(a, b)| a.to_ascii_uppercase() == **b));
        }
        // In the middle of a batch; and cut short anywhere it is left alone, without harm.
        let tunnel = link(b"vxlan\0", &attr(25, &[1]));
        let mut batch = [request(16, &[]), tunnel.clone(), request(18, &[])].concat();
        assert!(rename_tunnels(&mut batch, |_| true));
        for length in 0..tunnel.len() {
            assert!(!rename_tunnels(&mut tunnel[..length].to_vec(), |_| true));
        }
    }

    #[test]
    fn the_end_of_a_tunnel_that_is_no_interface_is_no_request() {
        let end = |name: &[u8]| request(RTM_DELLINK, &attr(IFLA_IFNAME, name));
        let mut by_number = end(b"gre_sys\0");
        by_number[20] = 1;
        for (bytes, exists, changed) in [
            (end(b"vxlan_sys_4789\0"), false, true),
            (end(b"erspan_sys"), false, true),
            (end(b"vxlan_sys_4789\0"), true, false),
            (end(b"eth0\0"), false, false),
            (by_number, false, false),
            (request(RTM_DELLINK, &[]), false, false),
        ] {
            let mut after = bytes.clone();
            assert_eq!(rename_tunnels(&mut after, |_| exists), changed);
            assert_eq!(after[4..6] != bytes[4..6], changed);
            assert_eq!((&after[..4], &after[6..]), (&bytes[..4], &bytes[6..]));
        }
    }

    #[test]
    fn nonsense_does_no_harm() {
        let mut seed = 1_u64;
        for _ in 0..100_000 {
            let mut bytes = link(b"vxlan\0", &attr(25, &[1]));
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 24) as u8;
            }
            rename_tunnels(&mut bytes, |_| seed & 1 == 0);
        }
    }
}
