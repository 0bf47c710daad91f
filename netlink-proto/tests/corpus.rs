//! What was recorded from Linux (tests/golden and elsewhere in the tree), cut short anywhere and with any byte changed:
//! all of it is read, or refused, without a panic.

mod tables;

use pfnl_proto::ack::Ack;
use pfnl_proto::msg::{Messages, NLMSG_ERROR};
use pfnl_proto::netfilter::{self, NF_HEADER};
use pfnl_proto::{Attrs, Fixed, Kind, Level, Table, Writer, genl, nlctrl, ovs, psample};
use std::collections::{BTreeMap, BTreeSet};
use tables::TABLES;

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FILES: [&str; 7] = [
    "tests/golden/linux-6.12/raw.jsonl",
    "tests/golden/linux-6.12/generated.jsonl",
    "tests/golden/linux-6.12/nfnetlink.tsv",
    "genl-ovs/src/key/golden.txt",
    "genl-ovs/src/action/golden.txt",
    "tools/bench/data/flow.hex",
    "tools/bench/data/families.hex",
];

/// The tables that messages start with, and the header before their attributes.
const ROOTS: [(&Table, usize); 14] = [
    (&nlctrl::ctrl::TABLE, genl::USER_HEADER),
    (&nlctrl::get_family::TABLE, genl::USER_HEADER),
    (&nlctrl::get_policy::TABLE, genl::USER_HEADER),
    (&psample::psample::TABLE, genl::USER_HEADER),
    (&ovs::datapath::TABLE, genl::USER_HEADER + ovs::OVS_HDRLEN),
    (&ovs::vport::TABLE, genl::USER_HEADER + ovs::OVS_HDRLEN),
    (&ovs::flow::TABLE, genl::USER_HEADER + ovs::OVS_HDRLEN),
    (&ovs::packet::TABLE, genl::USER_HEADER + ovs::OVS_HDRLEN),
    (&ovs::meter::TABLE, genl::USER_HEADER + ovs::OVS_HDRLEN),
    (&ovs::ct_limit::TABLE, genl::USER_HEADER + ovs::OVS_HDRLEN),
    (&netfilter::ct_attr::TABLE, 16 + NF_HEADER),
    (&netfilter::exp_attr::TABLE, 16 + NF_HEADER),
    (&netfilter::timeout_attr::TABLE, 16 + NF_HEADER),
    (&netfilter::ct_stats_cpu::TABLE, 16 + NF_HEADER),
];

/// Those that stand alone in the recordings.
const RUNS: [&Table; 2] = [&ovs::key::TABLE, &ovs::action::TABLE];

/// Reads by a table and everything inside by its own, and writes it again; tells whether all was as the rows say.
fn read(attrs: Attrs<'_>, table: &'static Table, level: Level, out: &mut Vec<u8>) -> bool {
    let known = TABLES.iter().find(|known| std::ptr::eq(known.table, table)).expect("a table of the crate");
    out.clear();
    let mut good = (known.again)(attrs, level, &mut Writer::new(out)).is_ok();
    let mut all = attrs;
    for attr in all.by_ref() {
        let Some(row) = table.row(attr.number()) else {
            good = false;
            continue;
        };
        match row.kind {
            Kind::Nest(table) => good &= read(attr.attrs(), table, level, out),
            Kind::List(table) => good &= list(attr.attrs(), table, level, out),
            Kind::Array(table) => {
                for nest in attr.attrs() {
                    good &= read(nest.attrs(), table, level, out);
                }
            }
            _ => {}
        }
    }
    good && all.leftover() == 0
}

/// As [`read`], each attribute by itself.
fn list(mut attrs: Attrs<'_>, table: &'static Table, level: Level, out: &mut Vec<u8>) -> bool {
    let mut good = true;
    loop {
        let (whole, base) = (attrs.bytes(), attrs.base());
        if attrs.next().is_none() {
            return good && whole.is_empty();
        }
        let one = &whole[..whole.len() - attrs.bytes().len()];
        good &= read(Attrs::new(one, base), table, level, out);
    }
}

/// Reads a datagram's messages by a table.
fn read_all(datagram: &[u8], (table, start): (&'static Table, usize), out: &mut Vec<u8>) -> bool {
    let mut good = true;
    for message in Messages::new(datagram) {
        if message.header.kind == NLMSG_ERROR {
            Ack::read(&message);
        }
        genl::Header::read(message.payload());
        ovs::OvsHeader::read(message.bytes.get(genl::USER_HEADER..).unwrap_or_default());
        let attrs = Attrs::new(message.bytes.get(start..).unwrap_or_default(), start as u32);
        good &= read(attrs, table, Level::Exact, out);
        read(attrs, table, Level::Liberal, out);
    }
    good
}

fn recorded() -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    for file in FILES {
        let text = std::fs::read_to_string(format!("{TREE}/{file}")).unwrap();
        let before = all.len();
        for word in text.split(|letter: char| !letter.is_ascii_hexdigit()) {
            if word.len() >= 16 && word.len() % 2 == 0 {
                let digit = |at: usize| u8::from_str_radix(&word[at..at + 2], 16).unwrap();
                all.insert((0..word.len()).step_by(2).map(digit).collect());
            }
        }
        assert!(all.len() > before, "nothing is recorded in {file}");
    }
    all
}

/// What numbers stand in a run, nests too: recordings of the same are told apart by nothing that decoding looks at.
fn shape(attrs: Attrs<'_>, table: &Table, out: &mut Vec<u16>) {
    for attr in attrs {
        out.push(attr.number());
        if let Some(Kind::Nest(table) | Kind::List(table) | Kind::Array(table)) =
            table.row(attr.number()).map(|row| row.kind)
        {
            shape(attr.attrs(), table, out);
            out.push(u16::MAX);
        }
    }
}

/// Recordings by the table that reads them, one of each shape.
fn samples() -> Vec<(Vec<u8>, &'static Table, usize)> {
    let mut shapes = BTreeMap::new();
    let mut out = Vec::new();
    for bytes in recorded() {
        let whole =
            Messages::new(&bytes).next().is_some_and(|message| message.header.len as usize <= bytes.len());
        let roots = ROOTS.iter().filter(|_| whole).copied().chain(RUNS.map(|table| (table, 0)));
        for (table, start) in roots {
            let attrs = Attrs::new(bytes.get(start..).unwrap_or_default(), start as u32);
            let fits = match start {
                0 => !whole && list(attrs, table, Level::Exact, &mut out),
                _ => read_all(&bytes, (table, start), &mut out),
            };
            if fits && attrs.bytes().len() > 8 {
                let mut numbers = Vec::new();
                shape(attrs, table, &mut numbers);
                shapes.entry((std::ptr::from_ref(table).addr(), numbers)).or_insert((
                    bytes.clone(),
                    table,
                    start,
                ));
            }
        }
    }
    shapes.into_values().collect()
}

fn read_sample(bytes: &[u8], table: &'static Table, start: usize, out: &mut Vec<u8>) {
    if start == 0 {
        list(Attrs::new(bytes, 0), table, Level::Exact, out);
    } else {
        read_all(bytes, (table, start), out);
    }
}

#[test]
fn what_was_recorded_cut_short_is_read_or_refused() {
    let mut out = Vec::new();
    let (samples, mut prefixes) = (samples(), 0_u64);
    for (bytes, table, start) in &samples {
        for length in 0..bytes.len() {
            read_sample(&bytes[..length], table, *start, &mut out);
            prefixes += 1;
        }
    }
    println!("{} recordings of different shapes, {prefixes} prefixes", samples.len());
    for root in ROOTS.iter().map(|(table, _)| *table).chain(RUNS) {
        let count = samples.iter().filter(|(_, table, _)| std::ptr::eq(*table, root)).count();
        println!("  {:<24} {count}", root.name);
        assert!(count > 0, "no recording is read by {}", root.name);
    }
}

/// All values of each byte of the shortest recordings of each table: the long ones hold the same attributes.
#[test]
fn what_was_recorded_with_any_byte_changed_is_read_or_refused() {
    const BUDGET: usize = 1200;
    let mut samples = samples();
    samples.sort_by_key(|(bytes, _, _)| bytes.len());
    let (mut out, mut spent, mut changes) = (Vec::new(), BTreeMap::<usize, usize>::new(), 0_u64);
    for (bytes, table, start) in &mut samples {
        let spent = spent.entry(std::ptr::from_ref(*table).addr()).or_default();
        if *spent > BUDGET {
            continue;
        }
        *spent += bytes.len();
        for at in 0..bytes.len() {
            let good = bytes[at];
            for change in 1..=255 {
                bytes[at] = good ^ change;
                read_sample(bytes, table, *start, &mut out);
                changes += 1;
            }
            bytes[at] = good;
        }
    }
    println!("{changes} changes");
    assert!(changes > 1_000_000);
}
