//! Messages as text, by the tables.

use crate::families::Families;
use crate::generate::tables;
use pfnl_proto::ack::{Ack, extack};
use pfnl_proto::msg::{Header, Message, NLM_F_ACK_TLVS, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN};
use pfnl_proto::{Attr, Attrs, Fixed, Kind, Table, genl};
use std::fmt::Write;

/// One message.
pub fn message(bytes: &[u8], families: &Families) -> String {
    if bytes.starts_with(b"errno ") {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let Some(header) = Header::read(bytes) else { return format!("{} bytes", bytes.len()) };
    match header.kind {
        NLMSG_ERROR => ack(&Message { header, bytes }),
        NLMSG_DONE => done(header, bytes),
        kind => {
            let name = families.name(kind).map_or_else(|| format!("type {kind}"), str::to_owned);
            let mut text = format!("{name} flags {:#x}", header.flags);
            if let Some(generic) = bytes.get(NLMSG_HDRLEN..).and_then(genl::Header::read) {
                let _ = write!(text, " cmd {} version {}", generic.cmd, generic.version);
            }
            let (table, user_header) = tables(&name);
            let start = genl::USER_HEADER + user_header;
            if let Some(datapath) = bytes.get(genl::USER_HEADER..start).and_then(i32::read) {
                let _ = write!(text, " dp {datapath}");
            }
            text.push_str(&attributes(
                Attrs::new(bytes.get(start..).unwrap_or_default(), start as u32),
                table,
            ));
            text
        }
    }
}

fn ack(message: &Message<'_>) -> String {
    let Some(ack) = Ack::read(message) else { return "a short error".to_owned() };
    let mut text =
        format!("error {} flags {:#x} len {}", ack.error, message.header.flags, message.header.len);
    if let Some(view) = ack.extended {
        text.push_str(&attributes(view.0.attrs(), Some(&extack::TABLE)));
    }
    text
}

/// The text of an error.
pub fn said(bytes: &[u8]) -> Option<String> {
    let header = Header::read(bytes).filter(|header| header.kind == NLMSG_ERROR)?;
    let text = Ack::read(&Message { header, bytes })?.extended?.msg()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn done(header: Header, bytes: &[u8]) -> String {
    let errno = bytes.get(NLMSG_HDRLEN..).and_then(i32::read);
    let mut text = format!("done {errno:?} flags {:#x} len {}", header.flags, header.len);
    if header.flags & NLM_F_ACK_TLVS != 0 {
        text.push_str(&attributes(Attrs::new(bytes.get(20..).unwrap_or_default(), 20), Some(&extack::TABLE)));
    }
    text
}

/// A run of attributes.
fn attributes(mut attrs: Attrs<'_>, table: Option<&'static Table>) -> String {
    let mut text = " {".to_owned();
    for attr in attrs.by_ref() {
        let row = table.and_then(|table| table.row(attr.number()));
        let name = row.map_or_else(|| attr.number().to_string(), |row| row.name.to_owned());
        let flag = if attr.is_nested() { "+" } else { "" };
        let _ = write!(text, " {name}{flag}{}", payload(&attr, row.map(|row| row.kind)));
    }
    if attrs.leftover() > 0 {
        let _ = write!(text, " +{} bytes", attrs.leftover());
    }
    text.push_str(" }");
    text
}

fn payload(attr: &Attr<'_>, kind: Option<Kind>) -> String {
    let bytes = attr.payload();
    let whole = match kind {
        Some(Kind::Nest(table) | Kind::List(table)) => return attributes(attr.attrs(), Some(table)),
        Some(Kind::Array(table)) => {
            let mut text = " [".to_owned();
            for inner in attr.attrs() {
                let _ = write!(text, " {}{}", inner.number(), attributes(inner.attrs(), Some(table)));
            }
            return text + " ]";
        }
        Some(Kind::Uint(1)) => attr.u8().map(u64::from),
        Some(Kind::Uint(2)) => attr.u16().map(u64::from),
        Some(Kind::Uint(4)) => attr.u32().map(u64::from),
        Some(Kind::Be(2)) => attr.be16().map(u64::from),
        Some(Kind::String(_) | Kind::NulString(_)) => {
            return format!(" {:?}", String::from_utf8_lossy(attr.string()));
        }
        None if attr.is_nested() => return attributes(attr.attrs(), None),
        _ => None,
    };
    match (whole, kind) {
        (Some(value), Some(Kind::Be(_))) => format!(" {value:#06x}"),
        (Some(value), _) if bytes.len() <= 4 => format!(" {value}"),
        _ if bytes.is_empty() => String::new(),
        _ => format!(" {}", pfnl_oracle_agent::hex(&bytes[..bytes.len().min(80)])),
    }
}

/// Where two messages of a family differ: paths of attributes by name.
pub fn difference(one: &[u8], other: &[u8], families: &Families) -> Vec<String> {
    let (one, other) = (leaves(one, families), leaves(other, families));
    let mut paths: Vec<_> =
        one.iter().filter(|leaf| !other.contains(leaf)).map(|(path, _)| path.clone()).collect();
    paths.extend(other.iter().filter(|leaf| !one.contains(leaf)).map(|(path, _)| path.clone()));
    paths.sort();
    paths.dedup();
    if paths.is_empty() && one != other {
        paths.push("order".to_owned());
    }
    paths
}

fn leaves(bytes: &[u8], families: &Families) -> Vec<(String, Vec<u8>)> {
    let Some(header) = Header::read(bytes) else { return Vec::new() };
    let name = families.name(header.kind).unwrap_or_default();
    let (table, user_header) = tables(name);
    let start = genl::USER_HEADER + user_header;
    let mut all = vec![("header".to_owned(), bytes.get(4..start).unwrap_or_default().to_vec())];
    collect(Attrs::new(bytes.get(start..).unwrap_or_default(), 0), table, "", &mut all);
    all
}

fn collect(attrs: Attrs<'_>, table: Option<&'static Table>, prefix: &str, all: &mut Vec<(String, Vec<u8>)>) {
    for attr in attrs {
        let row = table.and_then(|table| table.row(attr.number()));
        let name = row.map_or_else(|| attr.number().to_string(), |row| row.name.to_owned());
        let path = format!("{prefix}{name}");
        match row.map(|row| row.kind) {
            Some(Kind::Nest(table) | Kind::List(table)) => {
                all.push((path.clone(), Vec::new()));
                collect(attr.attrs(), Some(table), &format!("{path}."), all);
            }
            _ => all.push((path, attr.payload().to_vec())),
        }
    }
}
