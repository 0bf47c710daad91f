//! The codec and the decoder, on anything.

use crate::message::{Node, tree};
use pfnl_decode::Decoder;
use pfnl_proto::msg::{Header, Messages};
use pfnl_proto::netfilter::ct_attr;
use pfnl_proto::{Attrs, Fixed, Table, Writer, genl, nlctrl, ovs, psample};

/// The tables of messages, and how long the header in front of their attributes is.
const TABLES: [(&Table, usize); 9] = [
    (&nlctrl::ctrl::TABLE, 0),
    (&ovs::datapath::TABLE, 4),
    (&ovs::vport::TABLE, 4),
    (&ovs::flow::TABLE, 4),
    (&ovs::packet::TABLE, 4),
    (&ovs::meter::TABLE, 4),
    (&ovs::ct_limit::TABLE, 4),
    (&psample::psample::TABLE, 0),
    (&ct_attr::TABLE, 0),
];

/// The input is a datagram. The first byte of the first message's sequence number says which table its attributes are
/// read by; its type need not be known.
///
/// # Errors
/// What does not hold.
pub fn codec(datagram: &[u8]) -> Result<(), String> {
    let mut decoder = Decoder::new();
    for (id, name) in (20_u16..).zip(["ovs_datapath", "ovs_vport", "ovs_flow", "ovs_packet", "ovs_meter"]) {
        decoder.learn(id, name);
    }
    let shown = decoder.decode(datagram);
    let text = shown.to_string();
    if !datagram.is_empty() && text.is_empty() {
        return Err("nothing is shown of something".to_owned());
    }
    let mut at = 0;
    for message in Messages::new(datagram) {
        let place = datagram.get(at..at + message.bytes.len());
        if place != Some(message.bytes) {
            return Err(format!("a message at {at} is not where it should be"));
        }
        at += pfnl_proto::align(message.bytes.len());
        if Header::read(message.bytes) != Some(message.header) {
            return Err("a header reads differently".to_owned());
        }
        let (table, header) = TABLES[message.header.seq as usize % TABLES.len()];
        let Some(bytes) = message.bytes.get(genl::USER_HEADER + header..) else { continue };
        attributes(bytes, table)?;
    }
    Ok(())
}

/// Attributes as a tree, written by the writer, read again.
fn attributes(bytes: &[u8], table: &'static Table) -> Result<(), String> {
    let mut attrs = Attrs::new(bytes, 0);
    let (mut covered, mut count) = (0, 0_usize);
    for attr in attrs.by_ref() {
        let start = attr.offset() as usize;
        if bytes.get(start + 4..start + 4 + attr.payload().len()) != Some(attr.payload()) {
            return Err(format!("attribute {} is not at {start}", attr.number()));
        }
        covered = pfnl_proto::align(start + 4 + attr.payload().len());
        count += 1;
    }
    if attrs.leftover() != bytes.len().saturating_sub(covered) {
        return Err(format!("{} left over of {} after {covered}", attrs.leftover(), bytes.len()));
    }
    let Some(nodes) = tree(bytes, table, 12) else { return Ok(()) };
    if nodes.len() != count {
        return Err("a tree of another size".to_owned());
    }
    let mut written = Vec::new();
    let mut writer = Writer::new(&mut written);
    nodes.iter().for_each(|node| put(node, &mut writer));
    if writer.finish().is_err() {
        // Padding that was left out makes a nest longer; 64 KiB is the most.
        return if bytes.len() > 60_000 { Ok(()) } else { Err("what was read cannot be written".to_owned()) };
    }
    if tree(&written, table, 12).as_ref() != Some(&nodes) {
        return Err("what was written reads differently".to_owned());
    }
    Ok(())
}

fn put(node: &Node, w: &mut Writer<'_>) {
    match node {
        Node::Leaf(number, payload) => _ = w.bytes(*number, payload),
        Node::Nest(number, nodes) => _ = w.nest(*number, |w| nodes.iter().for_each(|node| put(node, w))),
        Node::Raw(bytes) => _ = w.raw(bytes),
    }
}
