//! Ethernet frames: of the small world that [`ovs`](crate::ovs) speaks of, with right checksums or not, whole or cut.

use crate::Choices;
use crate::ovs::{ip4, ip6, mac, port};

/// A frame.
pub fn frame(c: &mut Choices) -> Vec<u8> {
    let mut frame = [mac(c), mac(c)].concat();
    while frame.len() < 26 && c.one_in(5) {
        let tpid: [u8; 2] = *c.pick(&[[0x81, 0], [0x88, 0xa8]]);
        frame.extend(tpid);
        frame.extend([c.below(2) as u8 * 0x20, c.below(3) as u8]);
    }
    match c.below(8) {
        0..=3 => {
            frame.extend([8, 0]);
            frame.extend(ipv4(c));
        }
        4 | 5 => {
            frame.extend([0x86, 0xdd]);
            frame.extend(ipv6(c));
        }
        6 => {
            frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0]);
            frame.push(*c.pick(&[1, 2]));
            frame.extend(mac(c));
            frame.extend(ip4(c));
            frame.extend(mac(c));
            frame.extend(ip4(c));
        }
        _ => {
            let labels = 1 + c.below(3);
            frame.extend([0x88, 0x47]);
            for at in 0..labels {
                frame.extend([0, 1, u8::from(at + 1 == labels), 64]);
            }
            frame.extend(ipv4(c));
        }
    }
    match c.below(12) {
        0..=8 => {}
        9 => frame.truncate(14 + c.below(frame.len().saturating_sub(13))),
        10 => {
            let at = c.below(frame.len());
            frame[at] = c.byte();
        }
        _ => {
            let len = c.below(20);
            frame.extend(c.bytes(len));
        }
    }
    frame
}

fn ipv4(c: &mut Choices) -> Vec<u8> {
    let (src, dst) = (ip4(c), ip4(c));
    let proto = *c.pick(&[6, 17, 1, 132, 47]);
    let fragment: u16 = *c.pick(&[0, 0, 0, 0, 0x4000, 0x2000, 0x2001, 0x0003, 0x1fff]);
    let payload = transport(proto, &[src.as_slice(), &dst].concat(), c);
    let options = if c.one_in(8) { 4 * c.below(11) } else { 0 };
    let mut ip = vec![0x45 + (options / 4) as u8, *c.pick(&[0, 3])];
    ip.extend(((20 + options + payload.len()) as u16).to_be_bytes());
    ip.extend([0, 7]);
    ip.extend(fragment.to_be_bytes());
    ip.extend([*c.pick(&[64, 1, 0]), proto, 0, 0]);
    ip.extend(src);
    ip.extend(dst);
    ip.resize(20 + options, 1);
    let sum = !sum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [ip, payload].concat()
}

fn ipv6(c: &mut Choices) -> Vec<u8> {
    let (src, dst) = (ip6(c), ip6(c));
    let proto = *c.pick(&[6, 17, 58, 132]);
    let payload = transport(proto, &[src.as_slice(), &dst].concat(), c);
    // Extension headers: hop by hop, fragment, routing, destination options.
    let (mut extra, mut next) = (Vec::new(), proto);
    while extra.len() < 64 && c.one_in(6) {
        let kind = *c.pick(&[0, 44, 43, 60, 51]);
        extra.splice(0..0, [next, 0, 0, c.below(10) as u8, 0, 0, 0, c.below(3) as u8]);
        next = kind;
    }
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend(((extra.len() + payload.len()) as u16).to_be_bytes());
    ip.extend([next, *c.pick(&[64, 1, 0])]);
    ip.extend(src);
    ip.extend(dst);
    [ip, extra, payload].concat()
}

fn transport(proto: u8, addresses: &[u8], c: &mut Choices) -> Vec<u8> {
    let (src, dst) = (port(c).to_be_bytes(), port(c).to_be_bytes());
    let len = *c.pick(&[0, 1, 8, 30, 200]);
    let body = vec![c.byte(); len];
    let mut bytes = [src, dst].concat();
    let at = match proto {
        6 => {
            bytes.extend([0, 0, 0, c.below(4) as u8, 0, 0, 0, c.below(4) as u8, 0x50]);
            bytes.push(*c.pick(&[2, 0x12, 0x10, 0x11, 4, 0x18, 0x14, 0, 0xff]));
            bytes.extend([*c.pick(&[0x20, 0]), 0, 0, 0, 0, 0]);
            Some(16)
        }
        17 => {
            bytes.extend((8 + len as u16).to_be_bytes());
            bytes.extend([0, 0]);
            Some(6)
        }
        1 | 58 => {
            let kinds: &[u8] = if proto == 1 { &[8, 0, 3, 11, 5] } else { &[135, 136, 128, 129, 1] };
            bytes = vec![*c.pick(kinds), 0, 0, 0, 0, c.below(3) as u8, 0, 1];
            if matches!(bytes[0], 135 | 136) {
                bytes.extend(ip6(c));
                bytes.extend([*c.pick(&[1, 2]), 1]);
                bytes.extend(mac(c));
            }
            if matches!(bytes[0], 3 | 11) {
                // An error carries the head of what it is about.
                bytes.extend([0x45, 0, 0, 28, 0, 7, 0, 0, 64, 17, 0, 0]);
                bytes.extend(ip4(c));
                bytes.extend(ip4(c));
                bytes.extend(port(c).to_be_bytes());
                bytes.extend(port(c).to_be_bytes());
                bytes.extend([0; 4]);
            }
            Some(2)
        }
        132 => {
            bytes.extend([1, 2, 3, 4, 0, 0, 0, 0, *c.pick(&[1, 2, 10, 11, 0, 14, 6]), 0, 0, 4]);
            None
        }
        _ => None,
    };
    bytes.extend(body);
    if let Some(at) = at.filter(|_| !c.one_in(8)) {
        let length = (bytes.len() as u32).to_be_bytes();
        let pseudo = [addresses, &length, &[0, 0, 0, proto]].concat();
        let sum = if proto == 1 { !sum(&[&bytes]) } else { !sum(&[&pseudo, &bytes]) };
        let sum = if sum == 0 && proto == 17 { 0xffff } else { sum };
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// The Internet checksum's sum (RFC 1071) of parts, each but the last of an even length.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}
