//! What holds for every table and message, whatever their rows: what is written is read, and what is read is written
//! again. Attributes are made up from the tables themselves, so that a new row is among them by itself.

mod tables;

use pfnl_proto::ack::{Ack, Extack, Style, write_ack};
use pfnl_proto::msg::{Header, Message, Messages};
use pfnl_proto::netfilter::NfHeader;
use pfnl_proto::ovs::OvsHeader;
use pfnl_proto::ovs::message::{self, Family};
use pfnl_proto::{Attrs, Errno, Error, Fixed, Kind, Level, Table, Writer, genl};
use proptest::collection::vec;
use proptest::prelude::*;
use tables::{Known, TABLES};

const LEVELS: [Level; 3] = [Level::Liberal, Level::Strict, Level::Exact];

/// Bytes from which attributes are made, one decision after the other; zeroes when they are used up.
#[derive(Debug)]
struct Choices(std::vec::IntoIter<u8>);

impl Choices {
    fn byte(&mut self) -> u8 {
        self.0.next().unwrap_or(0)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(u16::from_ne_bytes([self.byte(), self.byte()])) % limit
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

fn choices(length: usize) -> impl Strategy<Value = Choices> {
    vec(any::<u8>(), 0..length).prop_map(|bytes| Choices(bytes.into_iter()))
}

/// Some of a table's attributes, in order, as its rows say that they are; nests no deeper than so much.
fn run(choices: &mut Choices, table: &Table, depth: usize, w: &mut Writer<'_>) {
    for row in table.rows {
        if !choices.byte().is_multiple_of(3) {
            attribute(choices, row.number, row.kind, depth, w);
        }
    }
}

fn attribute(choices: &mut Choices, number: u16, kind: Kind, depth: usize, w: &mut Writer<'_>) {
    let text = |choices: &mut Choices, max: u16| {
        let length = choices.below(usize::from(if max == 0 { 40 } else { max }) + 1);
        choices.bytes(length).iter().map(|byte| byte.clamp(&1, &255)).copied().collect::<Vec<u8>>()
    };
    match kind {
        Kind::Pad => {}
        Kind::Flag => _ = w.flag(number),
        Kind::Uint(length) | Kind::Sint(length) | Kind::Be(length) => {
            w.bytes(number, &choices.bytes(length.into()));
        }
        Kind::Struct(length) => _ = w.bytes(number, &choices.bytes(length.into())),
        Kind::String(max) | Kind::NulString(max) => _ = w.string(number, &text(choices, max)),
        Kind::Bytes(max) => {
            let length = choices.below(usize::from(if max == 0 { 70 } else { max }) + 1);
            w.bytes(number, &choices.bytes(length));
        }
        Kind::U32s => {
            let length = choices.below(9) * 4;
            w.bytes(number, &choices.bytes(length));
        }
        Kind::Nest(_) | Kind::List(_) | Kind::Array(_) if depth == 0 => _ = w.nest(number, |_| ()),
        Kind::Nest(table) => _ = w.nest(number, |w| run(choices, table, depth - 1, w)),
        Kind::List(table) => {
            w.nest(number, |w| {
                for _ in 0..choices.below(5) {
                    let row = &table.rows[choices.below(table.rows.len())];
                    attribute(choices, row.number, row.kind, depth - 1, w);
                }
            });
        }
        Kind::Array(table) => {
            w.nest(number, |w| {
                for number in 0..choices.below(4) {
                    w.nest(number as u16, |w| run(choices, table, depth - 1, w));
                }
            });
        }
    }
}

fn written(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    fill(&mut writer);
    writer.finish().unwrap();
    bytes
}

fn known(table: &Table) -> &'static Known {
    TABLES.iter().find(|known| std::ptr::eq(known.table, table)).expect("a table of the crate")
}

/// A run as it is after it was read and written again, at every depth.
fn again(attrs: Attrs<'_>, table: &Table, level: Level) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    (known(table).again)(attrs, level, &mut writer)?;
    writer.finish().unwrap();
    let inner = |attrs: Attrs<'_>, table: &'static Table| again(attrs, table, level);
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    for attr in Attrs::new(&bytes, 0) {
        let row = table.row(attr.number()).expect("what was written has a row");
        let (number, mut attrs) = (attr.number(), attr.attrs());
        match row.kind {
            Kind::Nest(table) => {
                let bytes = inner(attrs, table)?;
                w.nest(number, |w| _ = w.raw(&bytes));
            }
            // One at a time: their order counts, and they may repeat.
            Kind::List(table) => {
                let mut all = Vec::new();
                while !attrs.bytes().is_empty() {
                    let (whole, base) = (attrs.bytes(), attrs.base());
                    if attrs.next().is_none() {
                        return Err(Error::new(Errno::EINVAL));
                    }
                    let one = &whole[..whole.len() - attrs.bytes().len()];
                    all.extend(inner(Attrs::new(one, base), table)?);
                }
                w.nest(number, |w| _ = w.raw(&all));
            }
            Kind::Array(table) => {
                let nests: Result<Vec<_>, Error> =
                    attrs.by_ref().map(|nest| Ok((nest.number(), inner(nest.attrs(), table)?))).collect();
                let nests = nests?;
                w.nest(number, |w| {
                    for (number, bytes) in nests {
                        w.nest(number, |w| _ = w.raw(&bytes));
                    }
                });
            }
            _ => _ = w.bytes(number, attr.payload()),
        }
    }
    w.finish().unwrap();
    Ok(out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every table: what was made by its rows is read, and written again the same, by getters and writer's methods.
    #[test]
    fn attributes_are_read_and_written_the_same(mut choices in choices(3000)) {
        for known in TABLES {
            let bytes = written(|w| run(&mut choices, known.table, 3, w));
            let once = again(Attrs::new(&bytes, 0), known.table, Level::Exact);
            prop_assert_eq!(once.as_ref().ok(), Some(&bytes), "{}", known.table.name);
        }
    }

    /// And what others might have written, in any order and twice, comes to rest: the second time it is the same.
    #[test]
    fn whatever_is_read_is_the_same_once_written(mut choices in choices(2000)) {
        for known in TABLES {
            let bytes = written(|w| {
                for _ in 0..choices.below(6) {
                    let row = &known.table.rows[choices.below(known.table.rows.len())];
                    match choices.byte() % 4 {
                        0 => {
                            let length = choices.below(12);
                            w.bytes(row.number, &choices.bytes(length));
                        }
                        _ => attribute(&mut choices, row.number, row.kind, 2, w),
                    }
                }
            });
            for level in LEVELS {
                let Ok(once) = again(Attrs::new(&bytes, 0), known.table, level) else { continue };
                // Nests are written unmarked, which is not Strict's way.
                let level = if level == Level::Strict { Level::Liberal } else { level };
                let twice = again(Attrs::new(&once, 0), known.table, level);
                prop_assert_eq!(twice.as_ref().ok(), Some(&once), "{}", known.table.name);
            }
        }
    }

    /// Open vSwitch's messages, as values of their own.
    #[test]
    fn messages_of_open_vswitch_go_out_and_come_back(mut choices in choices(600), cmd: u8, dp_ifindex: i32) {
        fn check<F: Family>(choices: &mut Choices, cmd: u8, dp_ifindex: i32) -> Result<(), TestCaseError> {
            let message = message::Message::<F>::write(cmd, dp_ifindex, |w| run(choices, F::TABLE, 2, w)).unwrap();
            let mut payload = vec![0; message.payload_len()];
            message.put_payload(&mut payload);
            let back = message::Message::<F>::parse(cmd, &payload).unwrap();
            prop_assert!(back == message, "{}", F::NAME);
            Ok(())
        }
        check::<message::Datapath>(&mut choices, cmd, dp_ifindex)?;
        check::<message::Vport>(&mut choices, cmd, dp_ifindex)?;
        check::<message::Flow>(&mut choices, cmd, dp_ifindex)?;
        check::<message::Packet>(&mut choices, cmd, dp_ifindex)?;
        check::<message::Meter>(&mut choices, cmd, dp_ifindex)?;
        check::<message::CtLimit>(&mut choices, cmd, dp_ifindex)?;
    }

    /// Headers, and runs of messages.
    #[test]
    fn messages_are_read_as_they_were_written(
        heads in vec((any::<(u16, u16, u32, u32)>(), any::<(u8, u8, u16)>(), vec(any::<u32>(), 0..10)), 0..6),
        ovs: i32,
        nf: (u8, u8, [u8; 2]),
    ) {
        let ovs = OvsHeader { dp_ifindex: ovs };
        let nf = NfHeader { family: nf.0, version: nf.1, res_id: nf.2 };
        let bytes = written(|w| {
            for ((kind, flags, seq, portid), (cmd, version, reserved), rest) in &heads {
                let header = Header { kind: *kind, flags: *flags, seq: *seq, portid: *portid, ..Header::default() };
                w.message(header, |w| {
                    w.raw_fixed(&genl::Header { cmd: *cmd, version: *version, reserved: *reserved });
                    w.raw_fixed(&ovs).raw_fixed(&nf);
                    rest.iter().for_each(|word| _ = w.raw_fixed(word));
                });
            }
        });
        let mut messages = Messages::new(&bytes);
        for ((kind, flags, seq, portid), (cmd, version, reserved), rest) in &heads {
            let message = messages.next().expect("a message");
            let Header { kind: k, flags: f, seq: s, portid: p, .. } = message.header;
            prop_assert_eq!((k, f, s, p), (*kind, *flags, *seq, *portid));
            let payload = message.payload();
            let generic = genl::Header { cmd: *cmd, version: *version, reserved: *reserved };
            prop_assert_eq!(genl::Header::read(payload), Some(generic));
            prop_assert_eq!(OvsHeader::read(&payload[4..]), Some(ovs));
            prop_assert_eq!(NfHeader::read(&payload[8..]), Some(nf));
            let words: Vec<u32> = payload[12..].as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
            prop_assert_eq!(&words, rest);
        }
        prop_assert!(messages.next().is_none());
    }

    /// Acknowledgements, with whatever they tell.
    #[test]
    fn acknowledgements_are_read_as_they_were_written(
        request in vec(any::<u8>(), 0..60),
        errno in 1..133,
        offset in proptest::option::of(0..80_u32),
        missing in proptest::option::of(any::<u16>()),
        named: bool,
        (extended, capped) in any::<(bool, bool)>(),
    ) {
        let request = written(|w| {
            w.message(Header { kind: 16, flags: 5, seq: 9, ..Header::default() }, |w| _ = w.raw(&request));
        });
        let message = Messages::new(&request).next().unwrap();
        let errno = Errno::from_linux(errno).unwrap_or(Errno::EINVAL);
        let mut error = Error::new(errno);
        if let Some(offset) = offset {
            error = error.at(offset);
        }
        if let Some(missing) = missing {
            error = error.missing(missing, None);
        }
        if named {
            error = error.text("why");
        }
        let mut extack = Extack::default();
        let outcome = extack.record(Err(error));
        let style = Style { extended, capped };
        let bytes = written(|w| write_ack(w, &message, 77, outcome, &extack, style));
        let message: Message<'_> = Messages::new(&bytes).next().unwrap();
        let ack = Ack::read(&message).expect("an acknowledgement");
        prop_assert_eq!((ack.error, ack.request.seq), (-errno.linux(), 9));
        prop_assert_eq!(ack.extended.is_some(), extended && (offset.is_some() || missing.is_some() || named));
        if let Some(told) = ack.extended {
            prop_assert_eq!((told.offs(), told.miss_type()), (offset, missing.map(u32::from)));
            prop_assert_eq!(told.msg(), named.then_some(&b"why"[..]));
        }
        for length in 0..bytes.len() {
            if let Some(message) = Messages::new(&bytes[..length]).next() {
                Ack::read(&message);
            }
        }
    }
}
