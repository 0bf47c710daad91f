//! The tree.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// What one send or recv moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Datagram {
    /// Its messages.
    pub messages: Vec<Message>,
    /// What is left behind them and is none.
    #[serde(serialize_with = "hex", skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<u8>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// What its type means: `NLMSG_ERROR` and the like, or a family's name.
    #[serde(rename = "type")]
    pub name: String,
    /// Its type.
    #[serde(rename = "type_number")]
    pub kind: u16,
    /// Its length, header included.
    pub len: u32,
    /// Names of its flags; those without a name in hex.
    pub flags: Vec<String>,
    /// Sequence number.
    pub seq: u32,
    /// Portid in the header.
    pub portid: u32,
    /// What follows the header.
    #[serde(flatten)]
    pub body: Body,
}

/// What follows a message's header.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// Generic netlink.
    Generic {
        /// Its header.
        genl: GenericHeader,
        /// The family's own header, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        header: Option<Value>,
        /// The attributes.
        attributes: Vec<Attribute>,
    },
    /// Netfilter.
    Netfilter {
        /// The command.
        nfnl: GenericHeader,
        /// Address family and what else its header says.
        header: Value,
        /// The attributes.
        attributes: Vec<Attribute>,
    },
    /// An acknowledgement, or the end of a dump.
    Outcome {
        /// What went wrong; `None`: nothing.
        error: Option<Failure>,
        /// The request that is acknowledged, as far as it is echoed.
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<Box<Message>>,
        /// Extended ack attributes.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        extack: Vec<Attribute>,
        /// The attribute that the extended ack's offset points at, by its path in the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// Bytes.
    Raw {
        /// All of them.
        #[serde(serialize_with = "hex")]
        payload: Vec<u8>,
    },
}

/// A generic netlink header; of netfilter, the command in the message's type and the version in the header behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GenericHeader {
    /// The command's name, if the family is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its number.
    pub cmd: u8,
    /// The version.
    pub version: u8,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The number, positive.
    pub errno: i32,
    /// Its symbol, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'static str>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attribute {
    /// Its name, if its table is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its number.
    #[serde(rename = "type")]
    pub number: u16,
    /// Where it starts in its message.
    #[serde(skip)]
    pub offset: u32,
    /// What is in it.
    pub value: Value,
}

/// A payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No payload; being there says it.
    Flag,
    /// Padding.
    Pad,
    /// A number.
    Number(u64),
    /// A number that people read in hex, and how many bytes it has.
    Hex(u64, u8),
    /// A number below zero, perhaps.
    Signed(i64),
    /// A number and its unit.
    Unit(u64, &'static str),
    /// A number of which 2^32-1 is all.
    Share(u32),
    /// A number with a name.
    Named(u64, &'static str),
    /// Bits: the number, the names of those that have one.
    Bits(u64, Vec<&'static str>),
    /// Text.
    Text(String),
    /// A hardware or network address.
    Address(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A frame: what it is, and its bytes.
    Frame(String, Vec<u8>),
    /// Several of a kind.
    Items(Vec<Value>),
    /// A structure.
    Fields(Vec<(&'static str, Value)>),
    /// A value, and which bits of it count.
    Masked(Box<Value>, Box<Value>),
    /// Attributes.
    Nest(Vec<Attribute>),
    /// Not what it should be: why not, and the bytes.
    Bad(&'static str, Vec<u8>),
}

impl Value {
    /// The attributes of a nest.
    pub fn attributes(&self) -> &[Attribute] {
        match self {
            Value::Nest(attributes) => attributes,
            _ => &[],
        }
    }
}

/// Numbers as numbers, addresses and bytes (in hex) as strings, nests as lists of attributes.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Flag => serializer.serialize_bool(true),
            Value::Pad => serializer.serialize_unit(),
            Value::Number(n) | Value::Hex(n, _) | Value::Unit(n, _) => serializer.serialize_u64(*n),
            Value::Share(n) => serializer.serialize_u32(*n),
            Value::Signed(n) => serializer.serialize_i64(*n),
            Value::Named(n, name) => {
                map(serializer, |map| entry(map, "number", n).and_then(|()| entry(map, "name", name)))
            }
            Value::Bits(n, names) => {
                map(serializer, |map| entry(map, "number", n).and_then(|()| entry(map, "names", names)))
            }
            Value::Text(text) | Value::Address(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) | Value::Frame(_, bytes) => hex(bytes, serializer),
            Value::Items(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Value::Fields(fields) => {
                map(serializer, |map| fields.iter().try_for_each(|(name, value)| entry(map, name, value)))
            }
            Value::Masked(value, mask) => {
                map(serializer, |map| entry(map, "value", value).and_then(|()| entry(map, "mask", mask)))
            }
            Value::Nest(attributes) => attributes.serialize(serializer),
            Value::Bad(why, bytes) => map(serializer, |map| {
                entry(map, "malformed", why).and_then(|()| entry(map, "bytes", &to_hex(bytes)))
            }),
        }
    }
}

fn map<S: Serializer>(
    serializer: S,
    fill: impl FnOnce(&mut S::SerializeMap) -> Result<(), S::Error>,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    fill(&mut map)?;
    map.end()
}

fn entry<M: SerializeMap, T: Serialize + ?Sized>(map: &mut M, name: &str, value: &T) -> Result<(), M::Error> {
    map.serialize_entry(name, value)
}

fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_hex(bytes))
}

/// Two digits a byte.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
