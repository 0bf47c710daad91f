//! Requests as trees of attributes, so that they can be taken apart and broken piece by piece.

use crate::families::Families;
use pfnl_proto::msg::{Header, NLM_F_ACK, NLM_F_REQUEST};
use pfnl_proto::{Fixed, Table, Writer, genl};

/// An attribute.
#[derive(Clone, Debug)]
pub enum Node {
    /// One with a payload: number and flags, bytes.
    Leaf(u16, Vec<u8>),
    /// One with attributes in it, numbered by a table.
    Nest(u16, &'static Table, Vec<Node>),
    /// Bytes that are no attribute.
    Raw(Vec<u8>),
}

impl Node {
    /// Its number and flags; `None` for bytes that are no attribute.
    pub fn number(&self) -> Option<u16> {
        match self {
            Node::Leaf(number, _) | Node::Nest(number, ..) => Some(*number),
            Node::Raw(_) => None,
        }
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        match self {
            Node::Leaf(number, payload) => {
                w.bytes(*number, payload);
            }
            Node::Nest(number, _, nodes) => {
                w.nest(*number, |w| nodes.iter().for_each(|node| node.write(w)));
            }
            Node::Raw(bytes) => {
                w.raw(bytes).cut(bytes.len().next_multiple_of(4) - bytes.len());
            }
        }
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

/// An attribute with 32 bits.
pub fn u32(number: u16, value: u32) -> Node {
    fixed(number, value)
}

/// An attribute with text and a NUL.
pub fn text(number: u16, text: &str) -> Node {
    Node::Leaf(number, [text.as_bytes(), &[0]].concat())
}

/// An attribute with attributes.
pub fn nest(number: u16, table: &'static Table, nodes: impl Into<Vec<Node>>) -> Node {
    Node::Nest(number, table, nodes.into())
}

/// A request.
#[derive(Clone, Debug)]
pub struct Message {
    /// Of which family, by name.
    pub family: &'static str,
    /// Its command.
    pub cmd: u8,
    /// The version it speaks.
    pub version: u8,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The user header: the datapath's number, if the family has one.
    pub datapath: Option<i32>,
    /// Its attributes' table.
    pub table: &'static Table,
    /// Its attributes.
    pub nodes: Vec<Node>,
    /// A length other than the true one.
    pub len: Option<u32>,
    /// Bytes after the generic header and nothing else, instead of user header and attributes.
    pub instead: Option<Vec<u8>>,
}

impl Message {
    /// A request to be acknowledged.
    pub fn new(family: &'static str, table: &'static Table, cmd: u8, datapath: Option<i32>) -> Message {
        Message {
            family,
            cmd,
            version: 1,
            flags: NLM_F_REQUEST | NLM_F_ACK,
            datapath,
            table,
            nodes: Vec::new(),
            len: None,
            instead: None,
        }
    }

    /// With attributes.
    #[must_use]
    pub fn with(mut self, nodes: impl IntoIterator<Item = Node>) -> Message {
        self.nodes.extend(nodes);
        self
    }

    /// With more flags.
    #[must_use]
    pub fn flags(mut self, flags: u16) -> Message {
        self.flags |= flags;
        self
    }

    /// As bytes, with a sequence number.
    pub fn bytes(&self, families: &Families, seq: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut w = Writer::new(&mut bytes);
        let header = Header { kind: families.id(self.family), flags: self.flags, seq, portid: 0, len: 0 };
        w.message(header, |w| {
            w.raw_fixed(&genl::Header { cmd: self.cmd, version: self.version, reserved: 0 });
            if let Some(instead) = &self.instead {
                w.raw(instead).cut(instead.len().next_multiple_of(4) - instead.len());
                return;
            }
            if let Some(datapath) = self.datapath {
                w.raw_fixed(&datapath);
            }
            self.nodes.iter().for_each(|node| node.write(w));
        });
        drop(w);
        if let Some(len) = self.len {
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
        }
        bytes
    }
}
