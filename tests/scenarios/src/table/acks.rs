//! Acknowledgements: what is echoed, and the attributes behind it.

use super::Table;
use crate::message::{
    ACK, DUMP, GETFAMILY, GETPOLICY, ID, NAME, NLCTRL, REQUEST, attr, ctrl, message, own_id, ping,
};
use crate::os::nl;
use crate::sock::Sock;

pub fn fill(table: &mut Table) {
    let long = attr(NAME, &[b'x'; 100]);
    let odd_name = attr(NAME, b"no-such-family\0");
    let short = attr(ID, &[1]);
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("success", ctrl(ACK, GETFAMILY, &own_id())),
        ("success-with-a-warning", ctrl(ACK, GETFAMILY, &[own_id(), vec![1, 2, 3]].concat())),
        ("noop", ping(1)),
        ("unknown-family", message(999, REQUEST, 5, &[1, 1, 0, 0, 8, 0, 1, 0, 1, 2, 3, 4])),
        ("unknown-family-odd-length", message(999, REQUEST, 5, &[1, 1, 0, 0, 8, 0, 1, 0, 1, 2, 3])),
        ("unknown-command", ctrl(0, 77, &own_id())),
        ("not-there", ctrl(0, GETFAMILY, &odd_name)),
        ("not-there-with-ack", ctrl(ACK, GETFAMILY, &odd_name)),
        ("a-bad-length", ctrl(0, GETFAMILY, &short)),
        ("a-name-too-long", ctrl(0, GETFAMILY, &long)),
        ("short-header", message(NLCTRL, REQUEST, 5, &[3, 1])),
        ("dump-refused", ctrl(DUMP, GETPOLICY, &[])),
        ("dump-refused-with-ack", ctrl(DUMP | ACK, GETPOLICY, &[])),
        ("dump-of-a-bad-length", ctrl(DUMP, GETPOLICY, &short)),
        ("dump-with-an-unknown-attribute", ctrl(DUMP, GETPOLICY, &[own_id(), attr(200, &[1])].concat())),
        ("dump", ctrl(DUMP, GETPOLICY, &own_id())),
        ("dump-with-ack", ctrl(DUMP | ACK, GETPOLICY, &own_id())),
    ];
    for (name, request) in requests {
        for (style, ext, cap) in
            [("plain", false, false), ("cap", false, true), ("ext", true, false), ("ext-cap", true, true)]
        {
            let request = request.clone();
            table.add(format!("ack/{name}-{style}"), move || {
                let a = Sock::at("a", 0);
                if ext {
                    a.on("EXT_ACK", nl::EXT_ACK);
                }
                if cap {
                    a.on("CAP_ACK", nl::CAP_ACK);
                }
                a.send(name, &request);
                a.drain();
            });
        }
    }
    table.add("ack/style-changes-between", || {
        let a = Sock::at("a", 0);
        let request = ctrl(0, GETFAMILY, &attr(ID, &[1]));
        a.send("a bad request", &request);
        a.on("CAP_ACK", nl::CAP_ACK);
        a.send("a bad request", &request);
        a.on("EXT_ACK", nl::EXT_ACK);
        a.drain();
    });
    table.add("ack/strict-check-changes-nothing-here", || {
        let a = Sock::at("a", 0);
        a.on("EXT_ACK", nl::EXT_ACK);
        a.on("GET_STRICT_CHK", nl::GET_STRICT_CHK);
        for request in
            [ctrl(ACK, GETFAMILY, &[own_id(), vec![1, 2, 3]].concat()), ctrl(ACK, GETFAMILY, &attr(200, &[]))]
        {
            a.send("a request", &request);
            a.drain();
        }
    });
}
