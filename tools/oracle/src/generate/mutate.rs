//! Breaks a good request in every way that its tables suggest, one at a time.

use super::message::{Message, Node, leaf};
use pfnl_proto::msg::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
};
use pfnl_proto::{Kind, NLA_F_NESTED, NLA_F_NET_BYTEORDER, NLA_TYPE_MASK, Row, Table};

/// Where a run of attributes is: the places of the nests that lead to it.
type Path = Vec<usize>;

/// Changes to attributes, in every nest down to `depth`. `skip` leading places of the path are left alone.
pub fn attributes(good: &Message, within: &[usize]) -> Vec<(String, Message)> {
    let mut all = Vec::new();
    runs(&good.nodes, good.table, &mut Vec::new(), &mut String::new(), &mut |path, table, prefix| {
        if path.starts_with(within) {
            one_run(good, path, table, prefix, &mut all);
        }
    });
    all
}

/// Changes to what is around the attributes.
pub fn envelope(good: &Message) -> Vec<(String, Message)> {
    let mut all = Vec::new();
    let mut change = |name: &str, change: &dyn Fn(&mut Message)| {
        let mut message = good.clone();
        change(&mut message);
        all.push((name.to_owned(), message));
    };
    for (name, flags) in [
        ("flags-request", NLM_F_REQUEST),
        ("flags-none", 0),
        ("flags-ack-only", NLM_F_ACK),
        ("flags-echo", NLM_F_REQUEST | NLM_F_ECHO),
        ("flags-ack-echo", NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO),
        ("flags-dump", NLM_F_REQUEST | NLM_F_DUMP),
        ("flags-dump-ack", NLM_F_REQUEST | NLM_F_DUMP | NLM_F_ACK),
        ("flags-excl", NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL),
        ("flags-replace", NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE),
        ("flags-create-excl", NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL),
        ("flags-high", NLM_F_REQUEST | NLM_F_ACK | 0xf000),
    ] {
        change(name, &|m| m.flags = flags);
    }
    for version in [0, 1, 2, 3, 255] {
        change(&format!("version-{version}"), &|m| m.version = version);
    }
    if good.datapath.is_some() {
        for datapath in [0, 1, 99_999, -1] {
            change(&format!("datapath-{datapath}"), &|m| m.datapath = Some(datapath));
        }
        change("no-user-header", &|m| m.instead = Some(Vec::new()));
        change("short-user-header", &|m| m.instead = Some(vec![0; 3]));
        change("user-header-only", &|m| m.nodes.clear());
    }
    for tail in [1, 2, 3] {
        change(&format!("tail-{tail}"), &|m| m.nodes.push(Node::Raw(vec![0; tail])));
    }
    change("tail-attr-too-long", &|m| m.nodes.push(Node::Raw(vec![200, 0, 1, 0, 1, 2, 3, 4])));
    change("tail-attr-len-3", &|m| m.nodes.push(Node::Raw(vec![3, 0, 1, 0, 1, 2, 3, 4])));
    change("tail-attr-len-0", &|m| m.nodes.push(Node::Raw(vec![0; 4])));
    change("len-0", &|m| m.len = Some(0));
    change("len-15", &|m| m.len = Some(15));
    change("len-16", &|m| m.len = Some(16));
    change("len-19", &|m| m.len = Some(19));
    change("len-20", &|m| m.len = Some(20));
    change("len-too-long", &|m| m.len = Some(70_000));
    all
}

fn runs(
    nodes: &[Node],
    table: &'static Table,
    path: &mut Path,
    prefix: &mut String,
    visit: &mut dyn FnMut(&Path, &'static Table, &str),
) {
    visit(path, table, prefix);
    for (at, node) in nodes.iter().enumerate() {
        if let Node::Nest(number, inner, nodes) = node {
            let keep = prefix.len();
            prefix.push_str(row_name(table, *number).as_str());
            prefix.push('.');
            path.push(at);
            runs(nodes, inner, path, prefix, visit);
            path.pop();
            prefix.truncate(keep);
        }
    }
}

fn row_name(table: &Table, number: u16) -> String {
    let number = number & NLA_TYPE_MASK;
    table.row(number).map_or_else(|| number.to_string(), |row| row.name.to_owned())
}

/// The run of attributes at a path.
fn at<'m>(message: &'m mut Message, path: &Path) -> &'m mut Vec<Node> {
    path.iter().fold(&mut message.nodes, |nodes, &place| match &mut nodes[place] {
        Node::Nest(_, _, inner) => inner,
        _ => unreachable!("a path leads through nests"),
    })
}

fn one_run(
    good: &Message,
    path: &Path,
    table: &'static Table,
    prefix: &str,
    all: &mut Vec<(String, Message)>,
) {
    let mut change = |name: String, change: &dyn Fn(&mut Vec<Node>)| {
        let mut message = good.clone();
        change(at(&mut message, path));
        all.push((format!("{prefix}{name}"), message));
    };
    let nodes = at(&mut good.clone(), path).clone();
    for (place, node) in nodes.iter().enumerate() {
        let Some(number) = node.number() else { continue };
        let name = row_name(table, number);
        change(format!("{name}-missing"), &|nodes| {
            nodes.remove(place);
        });
        change(format!("{name}-twice"), &|nodes| nodes.push(nodes[place].clone()));
        for (flag, what) in [(NLA_F_NESTED, "nested"), (NLA_F_NET_BYTEORDER, "byteorder")] {
            change(format!("{name}-{what}-flag"), &|nodes| match &mut nodes[place] {
                Node::Leaf(number, _) | Node::Nest(number, ..) => *number ^= flag,
                Node::Raw(_) => {}
            });
        }
        for (what, mut payload) in payloads(node) {
            if what == "64-longer" && matches!(table.row(number).map(|row| row.kind), Some(Kind::U32s)) {
                // Too many portids for any number of processors.
                payload.resize(600, 0x41);
            }
            change(format!("{name}-{what}"), &|nodes| nodes[place] = Node::Leaf(number, payload.clone()));
        }
    }
    for row in table.rows.iter().filter(|row| !nodes.iter().any(|node| node.number() == Some(row.number))) {
        change(format!("{}-added", row.name), &|nodes| nodes.push(sample(row)));
    }
    change("unknown-added".to_owned(), &|nodes| nodes.push(super::message::u32(table.max() + 1, 1)));
    change("unknown-high-added".to_owned(), &|nodes| nodes.push(leaf(0x3fff, [])));
    if table.row(0).is_none() {
        change("zero-added".to_owned(), &|nodes| nodes.push(super::message::u32(0, 1)));
    }
    if nodes.len() > 1 {
        change("reversed".to_owned(), &|nodes| nodes.reverse());
    }
    if !path.is_empty() {
        // At the end of a nest: what follows it is not the kernel's business to look at.
        change("tail-2".to_owned(), &|nodes| nodes.push(Node::Raw(vec![0, 0])));
        change("tail-attr-too-long".to_owned(), &|nodes| nodes.push(Node::Raw(vec![64, 0, 1, 0])));
        change("tail-attr-len-2".to_owned(), &|nodes| nodes.push(Node::Raw(vec![2, 0, 1, 0])));
        if !nodes.is_empty() {
            change("emptied".to_owned(), &|nodes| nodes.clear());
        }
    }
}

/// Other payloads: shorter, longer, of other values.
fn payloads(node: &Node) -> Vec<(&'static str, Vec<u8>)> {
    let Node::Leaf(_, payload) = node else {
        return vec![("is-3-bytes", vec![0xff; 3]), ("is-8-bytes", vec![0xff; 8])];
    };
    let mut all = vec![
        ("1-longer", [payload.as_slice(), &[0]].concat()),
        ("4-longer", [payload.as_slice(), &[0; 4]].concat()),
        ("64-longer", [payload.as_slice(), &[0x41; 64]].concat()),
    ];
    if let Some((_, shorter)) = payload.split_last() {
        all.push(("empty", Vec::new()));
        if !shorter.is_empty() {
            all.push(("1-shorter", shorter.to_vec()));
        }
        all.push(("zero", vec![0; payload.len()]));
        all.push(("ones", vec![0xff; payload.len()]));
    }
    all.retain(|(_, other)| other != payload);
    all
}

/// An attribute that its row would take.
fn sample(row: &Row) -> Node {
    let number = row.number;
    match row.kind {
        Kind::Flag | Kind::Pad => leaf(number, []),
        Kind::Uint(width) | Kind::Sint(width) => {
            let mut payload = vec![0; usize::from(width)];
            payload[0] = 1;
            leaf(number, payload)
        }
        Kind::Be(width) => {
            let mut payload = vec![0; usize::from(width)];
            payload[usize::from(width) - 1] = 1;
            leaf(number, payload)
        }
        Kind::String(_) | Kind::NulString(_) => super::message::text(number, "x"),
        Kind::Bytes(_) | Kind::U32s => leaf(number, [0, 0, 0x11, 0]),
        Kind::Struct(len) => leaf(number, vec![0; usize::from(len)]),
        Kind::Nest(table) | Kind::List(table) | Kind::Array(table) => Node::Nest(number, table, Vec::new()),
    }
}
