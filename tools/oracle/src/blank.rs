//! Takes out of an answer what depends on time, traffic and chance.

use crate::families::Families;
use crate::generate::WORLD;
use pfnl_proto::msg::{Message, Messages, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR};
use pfnl_proto::nlctrl::ctrl;
use pfnl_proto::ovs::{datapath, flow, key, packet, vport};
use pfnl_proto::{Attr, Attrs, genl, psample};
use std::ops::Range;

/// Where attributes start in a message of a family with OVS's user header.
const ATTRS: usize = genl::USER_HEADER + 4;

/// The messages of some datagrams, blanked. Where a dump is cut into datagrams is no part of the answer, and the order of
/// flows in it neither: it is that of a hash table.
pub fn messages(datagrams: &[Vec<u8>], families: &Families) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = datagrams
        .iter()
        .flat_map(|datagram| Messages::new(datagram))
        .filter(|message| is_ours(message, families))
        .map(|message| blanked(&message, families))
        .collect();
    let flows = families.id("ovs_flow");
    let dumped = |bytes: &[u8]| kind(bytes) == flows && bytes[6] & NLM_F_MULTI as u8 != 0;
    let end = all.iter().position(|bytes| !dumped(bytes)).unwrap_or(all.len());
    all[..end].sort();
    all
}

/// Takes the value that the HASH action computed out of the keys of packets, if there is one: it is the kernel's own hash of
/// the packet, seeded at boot. For answers to requests with such an action.
pub fn hashes(messages: &mut [Vec<u8>], families: &Families) {
    let packets = families.id("ovs_packet");
    for bytes in messages.iter_mut().filter(|bytes| kind(bytes) == packets && bytes.len() > ATTRS) {
        let key = Attrs::new(&bytes[ATTRS..], ATTRS as u32).find(|attr| attr.number() == packet::KEY);
        let hash = key.and_then(|key| key.attrs().find(|attr| attr.number() == key::DP_HASH));
        let place = hash.filter(|hash| hash.payload() != [0; 4]).map(|hash| range(&hash));
        if let Some(place) = place {
            bytes[place].fill(0xbb);
        }
    }
}

/// Whether a request has a HASH action: an attribute of its number and length.
pub fn has_hash(request: &[u8]) -> bool {
    request.chunks_exact(4).any(|word| matches!(word, [12, 0, 8, flags] if flags & 0x3f == 0))
}

fn kind(bytes: &[u8]) -> u16 {
    u16::from_ne_bytes([bytes[4], bytes[5]])
}

/// A dump of all families holds some that pfnl need not have.
fn is_ours(message: &Message<'_>, families: &Families) -> bool {
    if families.name(message.header.kind) != Some("nlctrl") || message.header.flags & NLM_F_MULTI == 0 {
        return true;
    }
    let mut attrs = Attrs::new(message.bytes.get(genl::USER_HEADER..).unwrap_or_default(), 0);
    let name = attrs.find(|attr| attr.number() == ctrl::FAMILY_NAME);
    name.is_none_or(|name| {
        name.string() == b"nlctrl" || std::str::from_utf8(name.string()).is_ok_and(crate::run::is_ours)
    })
}

fn blanked(message: &Message<'_>, families: &Families) -> Vec<u8> {
    let mut bytes = message.bytes.to_vec();
    let attrs =
        if families.name(message.header.kind) == Some(psample::NAME) { genl::USER_HEADER } else { ATTRS };
    if matches!(message.header.kind, NLMSG_DONE | NLMSG_ERROR) || bytes.len() < attrs {
        return bytes;
    }
    let name = families.name(message.header.kind).unwrap_or_default();
    let mut places: Vec<Range<usize>> = Vec::new();
    if name.starts_with("ovs_") {
        unknown_number(&bytes, genl::USER_HEADER..ATTRS, &mut places);
    }
    for attr in Attrs::new(&message.bytes[attrs..], attrs as u32) {
        let payload = range(&attr);
        match (name, attr.number()) {
            // hit, missed, lost; not the number of flows.
            ("ovs_datapath", datapath::STATS) => {
                places.push(payload.start..payload.end.min(payload.start + 24))
            }
            // mask_hit and cache_hit; not the number of masks.
            ("ovs_datapath", datapath::MEGAFLOW_STATS) => {
                places.push(payload.start..payload.end.min(payload.start + 8));
                places.push(payload.end.min(payload.start + 16)..payload.end);
            }
            ("ovs_vport", vport::STATS) | ("ovs_flow", flow::USED) | ("ovs_packet", packet::HASH) => {
                places.push(payload)
            }
            ("psample", psample::psample::TIMESTAMP) => places.push(payload),
            ("ovs_vport", vport::UPCALL_STATS) => places.extend(attr.attrs().map(|inner| range(&inner))),
            ("ovs_vport", vport::IFINDEX) => unknown_number(&bytes, payload, &mut places),
            // STATS and USED of a meter.
            ("ovs_meter", 3 | 5) => places.push(payload),
            _ => {}
        }
    }
    places.into_iter().for_each(|place| bytes[place].fill(0xbb));
    bytes
}

fn range(attr: &Attr<'_>) -> Range<usize> {
    let start = attr.offset() as usize + 4;
    start..start + attr.payload().len()
}

/// An interface's number, unless it was chosen.
fn unknown_number(bytes: &[u8], place: Range<usize>, places: &mut Vec<Range<usize>>) {
    let Some(number) = bytes.get(place.clone()).and_then(|bytes| bytes.first_chunk().copied()) else {
        return;
    };
    let number = u32::from_ne_bytes(number);
    if number != 0 && !WORLD.iter().any(|(_, chosen)| *chosen == number) {
        places.push(place);
    }
}
