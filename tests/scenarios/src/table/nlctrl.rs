//! nlctrl's own commands, and generic netlink's checks before a handler sees a request.

use super::Table;
use crate::message::{
    ACK, CREATE, DUMP, ECHO, GETFAMILY, GETPOLICY, ID, MATCH, NAME, NESTED, NLCTRL, OP, REQUEST, ROOT, attr,
    ctrl, message, own_id,
};
use crate::os::nl;
use crate::sock::Sock;

/// A request of which everything is shown that comes back.
fn add(table: &mut Table, name: &'static str, request: Vec<u8>) {
    table.add(format!("nlctrl/{name}"), move || {
        let a = Sock::at("a", 0);
        a.on("EXT_ACK", nl::EXT_ACK);
        a.send(name, &request);
        a.drain();
    });
}

pub fn fill(table: &mut Table) {
    headers(table);
    finding(table);
    policies(table);
}

fn headers(table: &mut Table) {
    let payload = |cmd, version, low, high| [vec![cmd, version, low, high], own_id()].concat();
    for (name, cmd, version, low) in [
        ("version-0", GETFAMILY, 0, 0),
        ("version-255", GETFAMILY, 255, 0),
        ("reserved-of-an-old-command", GETFAMILY, 1, 1),
        ("command-0", 0, 1, 0),
        ("command-1", 1, 1, 0),
        ("command-9", 9, 1, 0),
        ("command-255", 255, 1, 0),
        ("unknown-command-with-reserved", 77, 1, 1),
    ] {
        add(table, name, message(NLCTRL, REQUEST | ACK, 1, &payload(cmd, version, low, 0)));
    }
    add(table, "reserved-of-a-new-command", message(NLCTRL, REQUEST | DUMP, 1, &payload(GETPOLICY, 1, 1, 0)));
    add(
        table,
        "reserved-high-of-a-new-command",
        message(NLCTRL, REQUEST | DUMP, 1, &payload(GETPOLICY, 1, 0, 1)),
    );
    for length in 0..4 {
        let name = ["header-of-0", "header-of-1", "header-of-2", "header-of-3"][length];
        add(table, name, message(NLCTRL, REQUEST, 1, &[3, 1, 0, 0][..length]));
    }
    add(table, "short-header-of-an-unknown-family", message(999, REQUEST, 1, &[]));
    for (name, flags) in [
        ("unknown-command-with-flag-multi", 2),
        ("unknown-command-with-flag-root", ROOT),
        ("unknown-command-with-flag-create", CREATE),
        ("unknown-command-with-flag-echo", ECHO),
        ("unknown-command-with-dump-and-create", DUMP | CREATE),
    ] {
        add(table, name, ctrl(flags | ACK, 77, &own_id()));
    }
    add(table, "dump-of-an-unknown-command", ctrl(DUMP, 77, &[]));
    add(table, "do-of-a-dump-only-command", ctrl(0, GETPOLICY, &own_id()));
    add(
        table,
        "do-of-a-dump-only-command-with-reserved",
        message(NLCTRL, REQUEST, 1, &payload(GETPOLICY, 1, 1, 0)),
    );
    add(table, "flag-root-alone", ctrl(ROOT, GETFAMILY, &own_id()));
    add(table, "flag-match-alone", ctrl(MATCH, GETFAMILY, &own_id()));
    add(table, "flag-create", ctrl(CREATE, GETFAMILY, &own_id()));
    add(table, "flag-echo", ctrl(ECHO | ACK, GETFAMILY, &own_id()));
    add(table, "flag-multi", ctrl(2 | ACK, GETFAMILY, &own_id()));
    add(table, "flag-multi-of-a-dump-only-command", ctrl(MATCH, GETPOLICY, &own_id()));
}

fn finding(table: &mut Table) {
    let id = |id: u16| attr(ID, &id.to_ne_bytes());
    let name = |name: &str| attr(NAME, name.as_bytes());
    let get = |attrs: Vec<u8>| ctrl(0, GETFAMILY, &attrs);
    add(table, "get-by-id", get(own_id()));
    add(table, "get-by-name", get(name("nlctrl\0")));
    add(table, "get-by-nothing", get(vec![]));
    add(table, "get-by-unknown-id", get(id(999)));
    add(table, "get-by-id-0", get(id(0)));
    add(table, "get-by-unknown-name", get(name("nothing\0")));
    add(table, "get-by-both", get([own_id(), name("nlctrl\0")].concat()));
    add(table, "get-by-name-and-unknown-id", get([id(999), name("nlctrl\0")].concat()));
    add(table, "get-by-id-and-unknown-name", get([own_id(), name("nothing\0")].concat()));
    add(table, "name-without-nul", get(name("nlctrl")));
    add(table, "name-with-two-nuls", get(name("nlctrl\0x\0")));
    add(table, "name-empty", get(name("")));
    add(table, "name-of-one-nul", get(name("\0")));
    add(table, "name-of-15", get(name("123456789012345\0")));
    add(table, "name-of-16", get(name("1234567890123456\0")));
    add(table, "name-of-16-without-nul", get(name("1234567890123456")));
    add(table, "name-in-capitals", get(name("NLCTRL\0")));
    add(table, "id-of-0-bytes", get(attr(ID, &[])));
    add(table, "id-of-1-byte", get(attr(ID, &[16])));
    add(table, "id-of-3-bytes", get(attr(ID, &[16, 0, 0])));
    add(table, "id-of-4-bytes", get(attr(ID, &[16, 0, 0, 0])));
    add(table, "id-marked-nested", get(attr(ID | NESTED, &[16, 0])));
    add(table, "id-marked-big-endian", get(attr(ID | 0x4000, &[0, 16])));
    add(table, "id-twice", get([id(999), own_id()].concat()));
    add(table, "id-twice-the-second-bad", get([own_id(), id(999)].concat()));
    add(table, "first-of-two-errors", get([attr(ID, &[1]), attr(NAME, b"x")].concat()));
    add(table, "unknown-attribute", get([attr(99, &[1, 2]), own_id()].concat()));
    add(table, "attribute-0", get([attr(0, &[1, 2]), own_id()].concat()));
    add(table, "attribute-3-of-the-table", get([attr(3, &[]), own_id()].concat()));
    add(table, "attribute-10", get([attr(OP, &[1]), own_id()].concat()));
    add(table, "leftover-of-1", get([own_id(), vec![0]].concat()));
    add(table, "leftover-of-3", get([own_id(), vec![1, 2, 3]].concat()));
    add(table, "leftover-with-ack", ctrl(ACK, GETFAMILY, &[own_id(), vec![1, 2, 3]].concat()));
    add(table, "attribute-of-length-0", get([own_id(), vec![0, 0, 1, 0]].concat()));
    add(table, "attribute-of-length-3", get([own_id(), vec![3, 0, 1, 0]].concat()));
    add(table, "attribute-too-long", get([own_id(), vec![9, 0, 1, 0, 1, 2, 3, 4]].concat()));
    add(table, "attribute-without-padding", get(attr(ID, &[16, 0])[..6].to_vec()));
}

fn policies(table: &mut Table) {
    let op = |op: u32| attr(OP, &op.to_ne_bytes());
    let get = |attrs: Vec<u8>| ctrl(DUMP, GETPOLICY, &attrs);
    let name = |name: &str| attr(NAME, name.as_bytes());
    add(table, "policies-by-id", get(own_id()));
    add(table, "policies-by-name", get(name("nlctrl\0")));
    add(table, "policies-by-nothing", get(vec![]));
    add(table, "policies-of-unknown-id", get(attr(ID, &[1, 3])));
    add(table, "policies-of-unknown-name", get(name("nothing\0")));
    add(table, "policies-by-both", get([own_id(), name("nothing\0")].concat()));
    add(table, "policies-by-name-and-unknown-id", get([attr(ID, &[1, 3]), name("nlctrl\0")].concat()));
    add(table, "policies-of-getfamily", get([own_id(), op(3)].concat()));
    add(table, "policies-of-getpolicy", get([own_id(), op(10)].concat()));
    add(table, "policies-of-unknown-command", get([own_id(), op(77)].concat()));
    add(table, "policies-of-command-256", get([own_id(), op(256 + 3)].concat()));
    add(table, "policies-of-command-0", get([own_id(), op(0)].concat()));
    add(table, "policies-op-of-2-bytes", get([own_id(), attr(OP, &[3, 0])].concat()));
    add(table, "policies-op-of-8-bytes", get([own_id(), attr(OP, &[3, 0, 0, 0, 0, 0, 0, 0])].concat()));
    add(table, "policies-id-of-4-bytes", get(attr(ID, &[16, 0, 0, 0])));
    add(table, "policies-id-marked-nested", get(attr(ID | NESTED, &[16, 0])));
    add(table, "policies-name-without-nul", get(name("nlctrl")));
    add(table, "policies-name-of-16", get(name("1234567890123456\0")));
    add(table, "policies-unknown-attribute", get([own_id(), attr(99, &[])].concat()));
    add(table, "policies-attribute-0", get([own_id(), attr(0, &[])].concat()));
    add(table, "policies-attribute-5", get([own_id(), attr(5, &[1, 2, 3, 4])].concat()));
    add(table, "policies-attribute-11", get([own_id(), attr(11, &[1, 2, 3, 4])].concat()));
    add(table, "policies-leftover", get([own_id(), vec![1, 2]].concat()));
    add(table, "policies-id-twice", get([own_id(), own_id()].concat()));
    add(table, "policies-ack", ctrl(DUMP | ACK, GETPOLICY, &own_id()));
    add(table, "families-with-bad-id", ctrl(DUMP, GETFAMILY, &attr(ID, &[1])));
    add(table, "families-with-bad-name", ctrl(DUMP, GETFAMILY, &attr(NAME, b"1234567890123456\0")));
}
