//! The tree as text: a line for each message, indented lines for what is in it.

use crate::value::{Attribute, Body, Datagram, Message, Value, to_hex};
use std::fmt::{Display, Formatter, Result};

const INDENT: usize = 4;
/// Bytes are cut to so many.
const MOST: usize = 64;

impl Display for Datagram {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.messages.iter().try_for_each(|message| message.fmt(f))?;
        if !self.rest.is_empty() {
            writeln!(f, "{} bytes that are no message: {}", self.rest.len(), cut(&self.rest))?;
        }
        Ok(())
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let flags: String = self.flags.iter().map(String::as_str).collect::<Vec<_>>().join("|");
        let space = if flags.is_empty() { "" } else { " " };
        match &self.body {
            Body::Netfilter { nfnl, header: Value::Fields(fields), attributes } => {
                match &nfnl.name {
                    Some(name) => write!(f, "{} {name}", self.name)?,
                    None => write!(f, "{} cmd {}", self.name, nfnl.cmd)?,
                }
                writeln!(f, "{space}{flags} seq {}", self.seq)?;
                for (name, value) in fields {
                    writeln!(f, "{:INDENT$}{name} {}", "", OneLine(value))?;
                }
                attributes.iter().try_for_each(|attribute| write_attribute(f, attribute, INDENT))
            }
            Body::Netfilter { attributes, .. } => {
                attributes.iter().try_for_each(|attribute| write_attribute(f, attribute, INDENT))
            }
            Body::Generic { genl, header, attributes } => {
                match &genl.name {
                    Some(name) => write!(f, "{} {name}", self.name)?,
                    None => write!(f, "{} cmd {} version {}", self.name, genl.cmd, genl.version)?,
                }
                writeln!(f, "{space}{flags} seq {}", self.seq)?;
                match header {
                    Some(Value::Fields(fields)) => {
                        for (name, value) in fields {
                            writeln!(f, "{:INDENT$}{name} {}", "", OneLine(value))?;
                        }
                    }
                    Some(header) => writeln!(f, "{:INDENT$}header {}", "", OneLine(header))?,
                    None => {}
                }
                attributes.iter().try_for_each(|attribute| write_attribute(f, attribute, INDENT))
            }
            Body::Outcome { error, request, extack, at } => {
                match (error, &*self.name) {
                    (None, "NLMSG_ERROR") => f.write_str("ACK")?,
                    (None, _) => f.write_str("DONE")?,
                    (Some(error), name) => {
                        let done = if name == "NLMSG_ERROR" { "" } else { "DONE with " };
                        match (error.name, error.text) {
                            (Some(name), Some(text)) => write!(f, "{done}{name} ({text})")?,
                            _ => write!(f, "{done}errno {}", error.errno)?,
                        }
                    }
                }
                write!(f, "{space}{flags} seq {}", self.seq)?;
                if let Some(at) = at {
                    write!(f, " at {at}")?;
                }
                writeln!(f)?;
                if let Some(request) = request.as_ref().filter(|request| request.seq != self.seq) {
                    writeln!(f, "{:INDENT$}of {} seq {}", "", request.name, request.seq)?;
                }
                extack.iter().try_for_each(|attribute| write_attribute(f, attribute, INDENT))
            }
            Body::Raw { payload } => {
                writeln!(f, "{}{space}{flags} seq {} {}", self.name, self.seq, cut(payload))
            }
        }
    }
}

fn write_attribute(f: &mut Formatter<'_>, attribute: &Attribute, indent: usize) -> Result {
    if attribute.value == Value::Pad {
        return Ok(());
    }
    write!(f, "{:indent$}", "")?;
    match &attribute.name {
        Some(name) => f.write_str(name)?,
        None => write!(f, "[{}]", attribute.number)?,
    }
    match &attribute.value {
        Value::Flag => writeln!(f),
        Value::Nest(attributes) if attributes.is_empty() => writeln!(f, " {{}}"),
        Value::Nest(attributes) => {
            writeln!(f)?;
            attributes.iter().try_for_each(|attribute| write_attribute(f, attribute, indent + INDENT))
        }
        value => writeln!(f, " {}", OneLine(value)),
    }
}

/// A value without line breaks.
struct OneLine<'a>(&'a Value);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Value::Flag => f.write_str("yes"),
            Value::Pad => f.write_str("pad"),
            Value::Number(n) => n.fmt(f),
            Value::Hex(n, width) => write!(f, "{n:#0width$x}", width = usize::from(*width) * 2 + 2),
            Value::Signed(n) => n.fmt(f),
            Value::Unit(n, unit) => write!(f, "{n} {unit}"),
            Value::Share(n) => write!(f, "{:.4}%", f64::from(*n) / f64::from(u32::MAX) * 100.0),
            Value::Named(n, name) => write!(f, "{name} ({n})"),
            Value::Bits(n, names) if names.is_empty() => write!(f, "{n:#x}"),
            Value::Bits(n, names) => write!(f, "{} ({n:#x})", names.join("|")),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Address(text) => f.write_str(text),
            Value::Bytes(bytes) => f.write_str(&cut(bytes)),
            Value::Frame(what, bytes) => write!(f, "{} bytes, {what}: {}", bytes.len(), cut(bytes)),
            Value::Items(items) => separated(f, "[", items.iter(), "]"),
            Value::Fields(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{name} {}", OneLine(value))?;
                }
                f.write_str("}")
            }
            Value::Masked(value, mask) => write!(f, "{} / {}", OneLine(value), OneLine(mask)),
            Value::Nest(attributes) => separated(f, "{", attributes.iter().map(|attr| &attr.value), "}"),
            Value::Bad(why, bytes) => write!(f, "malformed ({why}): {}", cut(bytes)),
        }
    }
}

fn separated<'a>(
    f: &mut Formatter<'_>,
    open: &str,
    items: impl Iterator<Item = &'a Value>,
    close: &str,
) -> Result {
    f.write_str(open)?;
    for (index, item) in items.enumerate() {
        write!(f, "{}{}", if index == 0 { "" } else { ", " }, OneLine(item))?;
    }
    f.write_str(close)
}

fn cut(bytes: &[u8]) -> String {
    match bytes.get(..MOST) {
        Some(first) if bytes.len() > MOST => format!("{}... ({} bytes)", to_hex(first), bytes.len()),
        _ => to_hex(bytes),
    }
}
