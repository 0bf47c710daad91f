//! From bytes to the tree.

use crate::attributes::{Scope, attributes, size, structure};
use crate::families::{Family, KNOWN};
use crate::guess;
use crate::netfilter;
use crate::value::{Attribute, Body, Datagram, Failure, GenericHeader, Message, Value};
use pfnl_proto::ack::extack;
use pfnl_proto::msg::{self, Messages, NLMSG_HDRLEN};
use pfnl_proto::nlctrl::{self, cmd, ctrl};
use pfnl_proto::{Attrs, Errno, Fixed, Level, align, genl};
use std::collections::BTreeMap;

/// Decodes datagrams. It learns ids of families from nlctrl's messages as they come by, or is told.
#[derive(Clone, Debug)]
pub struct Decoder {
    families: Vec<Family>,
    ids: BTreeMap<u16, Learnt>,
}

/// What a message type stands for.
#[derive(Clone, Debug)]
struct Learnt {
    name: String,
    family: Option<Family>,
    /// Length of the user header.
    hdrsize: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// Knows the tables of pfnl's own families, and nlctrl's id.
    pub fn new() -> Decoder {
        let mut decoder = Decoder { families: KNOWN.to_vec(), ids: BTreeMap::new() };
        decoder.learn(genl::GENL_ID_CTRL, nlctrl::NAME);
        decoder
    }

    /// Adds a family's table; messages are named by it once the family's id is known.
    pub fn add(&mut self, family: Family) {
        self.families.retain(|other| other.name != family.name);
        self.families.push(family);
        if let Some(id) = self.ids.iter().find(|(_, learnt)| learnt.name == family.name).map(|(id, _)| *id) {
            self.learn(id, family.name);
        }
    }

    /// A family has this id.
    pub fn learn(&mut self, id: u16, name: &str) {
        let family = self.families.iter().find(|family| family.name == name).copied();
        let hdrsize = family.and_then(|family| family.header).map_or(0, size);
        self.ids.insert(id, Learnt { name: name.to_owned(), family, hdrsize });
    }

    /// Whether the family of a message type is known by name.
    pub fn knows(&self, id: u16) -> bool {
        self.ids.contains_key(&id)
    }

    /// The messages of a datagram of NETLINK_NETFILTER.
    pub fn decode_netfilter(&self, datagram: &[u8]) -> Datagram {
        let mut at = 0;
        let mut messages = Vec::new();
        for message in Messages::new(datagram) {
            at += align(message.bytes.len());
            messages.push(self.message(&message, Protocol::Netfilter));
        }
        Datagram { messages, rest: datagram.get(at..).unwrap_or_default().to_vec() }
    }

    /// The messages of a datagram of generic netlink.
    pub fn decode(&mut self, datagram: &[u8]) -> Datagram {
        let mut at = 0;
        let mut messages = Vec::new();
        for message in Messages::new(datagram) {
            at += align(message.bytes.len());
            self.learn_from(&message);
            messages.push(self.message(&message, Protocol::Generic));
        }
        Datagram { messages, rest: datagram.get(at..).unwrap_or_default().to_vec() }
    }

    /// Ids that nlctrl tells of.
    fn learn_from(&mut self, message: &msg::Message<'_>) {
        let Some(header) = genl::Header::read(message.payload()) else { return };
        let kept = [cmd::NEWFAMILY, cmd::DELFAMILY].contains(&header.cmd);
        if message.header.kind != genl::GENL_ID_CTRL || !kept {
            return;
        }
        let attrs = message.bytes.get(genl::USER_HEADER..).unwrap_or_default();
        let view = ctrl::View::parse(Attrs::new(attrs, genl::USER_HEADER as u32), Level::Liberal);
        if let Some((id, name, view)) = view.ok().and_then(|v| Some((v.family_id()?, v.family_name()?, v))) {
            if header.cmd == cmd::DELFAMILY {
                self.ids.remove(&id);
                return;
            }
            self.learn(id, &String::from_utf8_lossy(name));
            if let (Some(learnt), Some(hdrsize)) = (self.ids.get_mut(&id), view.hdrsize()) {
                learnt.hdrsize = hdrsize as usize;
            }
        }
    }

    fn message(&self, message: &msg::Message<'_>, protocol: Protocol) -> Message {
        let header = message.header;
        let (name, body) = match header.kind {
            msg::NLMSG_NOOP => ("NLMSG_NOOP".to_owned(), raw(message.payload())),
            msg::NLMSG_ERROR => ("NLMSG_ERROR".to_owned(), self.acknowledgement(message, protocol)),
            msg::NLMSG_DONE => ("NLMSG_DONE".to_owned(), self.done(message)),
            msg::NLMSG_OVERRUN => ("NLMSG_OVERRUN".to_owned(), raw(message.payload())),
            _ if protocol == Protocol::Netfilter => netfilter::message(message),
            kind => {
                let learnt = self.ids.get(&kind);
                (
                    learnt.map_or_else(|| format!("family {kind}"), |learnt| learnt.name.clone()),
                    self.generic(message),
                )
            }
        };
        let command = match &body {
            Body::Generic { genl, .. } | Body::Netfilter { nfnl: genl, .. } => {
                genl.name.clone().unwrap_or_default()
            }
            _ => String::new(),
        };
        Message {
            name,
            kind: header.kind,
            len: header.len,
            flags: flags(header.kind, header.flags, &command),
            seq: header.seq,
            portid: header.portid,
            body,
        }
    }

    fn generic(&self, message: &msg::Message<'_>) -> Body {
        let Some(header) = genl::Header::read(message.payload()) else { return raw(message.payload()) };
        let learnt = self.ids.get(&message.header.kind);
        let family = learnt.and_then(|learnt| learnt.family);
        let command = family.and_then(|family| family.commands.iter().find(|(cmd, _)| *cmd == header.cmd));
        let genl = GenericHeader {
            name: command.map(|(_, name)| (*name).to_owned()),
            cmd: header.cmd,
            version: header.version,
        };
        let rest = message.bytes.get(genl::USER_HEADER..).unwrap_or_default();
        let hdrsize = learnt.map_or(0, |learnt| learnt.hdrsize);
        let user_header = rest.get(..hdrsize);
        let header = match (family.and_then(|family| family.header), user_header) {
            (_, Some([])) => None,
            (Some(layout), Some(bytes)) if size(layout) == bytes.len() => {
                Some(structure(layout, bytes, false))
            }
            (_, Some(bytes)) => Some(Value::Bytes(bytes.to_vec())),
            (_, None) => Some(Value::Bad("the user header is too short", rest.to_vec())),
        };
        let start = align(genl::USER_HEADER + hdrsize);
        let attrs = Attrs::new(message.bytes.get(start..).unwrap_or_default(), start as u32);
        let attributes = match family {
            Some(family) => attributes(attrs, family.table, Scope::default()),
            None => guess::attributes(attrs, 0),
        };
        Body::Generic { genl, header, attributes }
    }

    fn acknowledgement(&self, message: &msg::Message<'_>, protocol: Protocol) -> Body {
        let payload = message.payload();
        let echo = payload.get(4..).unwrap_or_default();
        let (Some(number), Some(header)) = (i32::read(payload), msg::Header::read(echo)) else {
            return raw(payload);
        };
        let capped = message.header.flags & msg::NLM_F_CAPPED != 0;
        let whole = usize::try_from(header.len).ok().filter(|&len| !capped && len >= NLMSG_HDRLEN);
        let echoed = whole.filter(|&len| len <= echo.len()).unwrap_or(NLMSG_HDRLEN);
        let bytes = echo.get(..echoed).unwrap_or_default();
        let request = self.message(&msg::Message { header, bytes }, protocol);
        let extack = self.extack(message, 4 + if capped { NLMSG_HDRLEN } else { align(header.len as usize) });
        let at = extack.iter().find(|attr| attr.number == extack::OFFS).and_then(|attr| {
            match (&attr.value, &request.body) {
                (
                    Value::Number(offset),
                    Body::Generic { attributes, .. } | Body::Netfilter { attributes, .. },
                ) => path(attributes, *offset),
                _ => None,
            }
        });
        Body::Outcome { error: failure(number), request: Some(Box::new(request)), extack, at }
    }

    fn done(&self, message: &msg::Message<'_>) -> Body {
        match i32::read(message.payload()) {
            Some(number) => Body::Outcome {
                error: failure(number),
                request: None,
                extack: self.extack(message, 4),
                at: None,
            },
            None => raw(message.payload()),
        }
    }

    /// Extended ack attributes, which start `at` bytes into the payload.
    fn extack(&self, message: &msg::Message<'_>, at: usize) -> Vec<Attribute> {
        if message.header.flags & msg::NLM_F_ACK_TLVS == 0 {
            return Vec::new();
        }
        let bytes = message.payload().get(at..).unwrap_or_default();
        let base = u32::try_from(NLMSG_HDRLEN + at).unwrap_or(u32::MAX);
        attributes(Attrs::new(bytes, base), &extack::TABLE, Scope::default())
    }
}

/// Whose messages they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Generic,
    Netfilter,
}

pub(crate) fn raw(payload: &[u8]) -> Body {
    Body::Raw { payload: payload.to_vec() }
}

fn failure(number: i32) -> Option<Failure> {
    let errno = number.checked_neg().filter(|&errno| errno != 0)?;
    let known = Errno::from_linux(errno);
    Some(Failure { errno, name: known.map(Errno::name), text: known.map(Errno::text) })
}

/// The names of the attributes around and at an offset, with dots between.
fn path(attributes: &[Attribute], offset: u64) -> Option<String> {
    let attribute = attributes.iter().rev().find(|attribute| u64::from(attribute.offset) <= offset)?;
    let name = attribute.name.clone().unwrap_or_else(|| attribute.number.to_string());
    if u64::from(attribute.offset) == offset {
        return Some(name);
    }
    path(attribute.value.attributes(), offset).map(|inner| format!("{name}.{inner}"))
}

fn flags(kind: u16, flags: u16, command: &str) -> Vec<String> {
    let common = [
        (msg::NLM_F_REQUEST, "REQUEST"),
        (msg::NLM_F_MULTI, "MULTI"),
        (msg::NLM_F_ACK, "ACK"),
        (msg::NLM_F_ECHO, "ECHO"),
        (msg::NLM_F_DUMP_INTR, "DUMP_INTR"),
        (msg::NLM_F_DUMP_FILTERED, "DUMP_FILTERED"),
    ];
    // The upper byte's bits mean one thing in an answer, another in what makes, another in what asks.
    let own: &[_] = if kind < msg::NLMSG_MIN_TYPE {
        &[(msg::NLM_F_CAPPED, "CAPPED"), (msg::NLM_F_ACK_TLVS, "ACK_TLVS")]
    } else if command.starts_with("NEW") || command.starts_with("SET") {
        &[
            (msg::NLM_F_REPLACE, "REPLACE"),
            (msg::NLM_F_EXCL, "EXCL"),
            (msg::NLM_F_CREATE, "CREATE"),
            (msg::NLM_F_APPEND, "APPEND"),
        ]
    } else {
        &[(msg::NLM_F_DUMP, "DUMP"), (msg::NLM_F_ROOT, "ROOT"), (msg::NLM_F_MATCH, "MATCH")]
    };
    let mut left = flags;
    let mut names = Vec::new();
    for (flag, name) in common.iter().chain(own) {
        if left & flag == *flag {
            left &= !flag;
            names.push((*name).to_owned());
        }
    }
    if left != 0 {
        names.push(format!("{left:#x}"));
    }
    names
}
