//! Messages as trees of attributes, right or wrong: what cannot be said with a correct writer can be said here.

use pfnl_proto::msg::{Header, NLM_F_ACK, NLM_F_REQUEST};
use pfnl_proto::{Fixed, Table, genl};

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// One with a payload: number and flags, bytes.
    Leaf(u16, Vec<u8>),
    /// One with attributes in it.
    Nest(u16, Vec<Node>),
    /// Bytes that are no attribute, and not padded.
    Raw(Vec<u8>),
}

impl Node {
    /// Its number and flags; `None` for bytes that are no attribute.
    pub fn number(&self) -> Option<u16> {
        match self {
            Node::Leaf(number, _) | Node::Nest(number, _) => Some(*number),
            Node::Raw(_) => None,
        }
    }

    /// Its number and flags, to change.
    pub fn number_mut(&mut self) -> Option<&mut u16> {
        match self {
            Node::Leaf(number, _) | Node::Nest(number, _) => Some(number),
            Node::Raw(_) => None,
        }
    }

    /// Writes it. A payload too long for its length field gets the length that is left of it, as a careless program
    /// would write it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Node::Raw(bytes) => return out.extend_from_slice(bytes),
            Node::Leaf(number, payload) => {
                out.extend_from_slice(&[0; 2]);
                out.extend_from_slice(&number.to_ne_bytes());
                out.extend_from_slice(payload);
            }
            Node::Nest(number, nodes) => {
                out.extend_from_slice(&[0; 2]);
                out.extend_from_slice(&number.to_ne_bytes());
                nodes.iter().for_each(|node| node.write(out));
            }
        }
        let len = (out.len() - start) as u16;
        out[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        out.resize(start + (out.len() - start).next_multiple_of(4), 0);
    }
}

/// An attribute with these bytes.
pub fn leaf(number: u16, payload: impl AsRef<[u8]>) -> Node {
    Node::Leaf(number, payload.as_ref().to_vec())
}

/// An attribute with an integer in host byte order or a structure.
pub fn fixed<T: Fixed>(number: u16, value: T) -> Node {
    let mut payload = vec![0; T::LEN];
    value.write(&mut payload);
    Node::Leaf(number, payload)
}

/// An attribute with text and a NUL.
pub fn text(number: u16, text: impl AsRef<str>) -> Node {
    Node::Leaf(number, [text.as_ref().as_bytes(), &[0]].concat())
}

/// An attribute with attributes.
pub fn nest(number: u16, nodes: impl Into<Vec<Node>>) -> Node {
    Node::Nest(number, nodes.into())
}

/// A generic netlink message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of which family, by id.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Its sequence number.
    pub seq: u32,
    /// The portid in its header.
    pub portid: u32,
    /// Its command.
    pub cmd: u8,
    /// The version it speaks.
    pub version: u8,
    /// What nobody uses of its header.
    pub reserved: u16,
    /// The family's user header, not padded.
    pub header: Vec<u8>,
    /// Its attributes.
    pub nodes: Vec<Node>,
    /// A length other than the true one.
    pub len: Option<u32>,
    /// Where it is cut off.
    pub cut: Option<usize>,
}

impl Message {
    /// A request to be acknowledged.
    pub fn new(kind: u16, cmd: u8, version: u8) -> Message {
        Message {
            kind,
            flags: NLM_F_REQUEST | NLM_F_ACK,
            seq: 0,
            portid: 0,
            cmd,
            version,
            reserved: 0,
            header: Vec::new(),
            nodes: Vec::new(),
            len: None,
            cut: None,
        }
    }

    /// As bytes. A length that is the true one includes no padding at the end.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; genl::USER_HEADER];
        out.extend_from_slice(&self.header);
        out.resize(out.len().next_multiple_of(4), 0);
        self.nodes.iter().for_each(|node| node.write(&mut out));
        let len = self.len.unwrap_or(u32::try_from(out.len()).unwrap_or(u32::MAX));
        let header = Header { len, kind: self.kind, flags: self.flags, seq: self.seq, portid: self.portid };
        header.write(&mut out);
        let genl = genl::Header { cmd: self.cmd, version: self.version, reserved: self.reserved };
        genl.write(&mut out[pfnl_proto::msg::NLMSG_HDRLEN..]);
        if let Some(cut) = self.cut {
            out.truncate(cut);
        }
        out
    }
}

/// Reads a run of attributes back into a tree, as deep as a table tells of nests. `None`: bytes are left over somewhere.
pub fn tree(bytes: &[u8], table: &Table, depth: usize) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut attrs = pfnl_proto::Attrs::new(bytes, 0);
    for attr in attrs.by_ref() {
        let inner = table.row(attr.number()).and_then(|row| match row.kind {
            pfnl_proto::Kind::Nest(inner) | pfnl_proto::Kind::List(inner) => Some(inner),
            _ => None,
        });
        nodes.push(match inner {
            Some(inner) if depth > 0 => match tree(attr.payload(), inner, depth - 1) {
                Some(nodes) => Node::Nest(attr.raw_type(), nodes),
                None => leaf(attr.raw_type(), attr.payload()),
            },
            _ => leaf(attr.raw_type(), attr.payload()),
        });
    }
    (attrs.leftover() == 0).then_some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pfnl_proto::msg::Messages;
    use pfnl_proto::ovs::{cmd, vport};

    #[test]
    fn what_is_written_reads_back() {
        let nodes = vec![text(vport::NAME, "eth0"), nest(vport::OPTIONS, [leaf(1, [1, 2]), fixed(2, 5_u32)])];
        let message = Message { header: vec![1, 0, 0, 0], nodes, seq: 9, ..Message::new(30, cmd::NEW, 1) };
        let bytes = message.bytes();
        let read = Messages::new(&bytes).next().unwrap();
        assert_eq!((read.header.kind, read.header.seq, read.bytes.len()), (30, 9, bytes.len()));
        assert_eq!(tree(&bytes[24..], &vport::TABLE, 4), Some(message.nodes.clone()));
        assert_eq!(Message { cut: Some(5), ..message.clone() }.bytes().len(), 5);
        assert_eq!(Message { len: Some(3), ..message }.bytes()[..4], 3_u32.to_ne_bytes());
    }

    #[test]
    fn a_payload_too_long_wraps_its_length() {
        let mut out = Vec::new();
        leaf(1, vec![0; 65_536]).write(&mut out);
        assert_eq!((out.len(), &out[..4]), (65_540, &[4, 0, 1, 0][..]));
    }
}
