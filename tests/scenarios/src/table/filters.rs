//! Socket filters (SO_ATTACH_FILTER): classic BPF on what a socket receives.

use super::Table;
use crate::message::{ask, dump_policies, ping};
use crate::os::{SOL_NETLINK, nl};
use crate::say;
use crate::say::{outcome, port};
use crate::sock::Sock;
use crate::sys;
use libc::{SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER, SOL_SOCKET};

/// An instruction: code, jump if true, jump if false, operand.
type Instruction = (u16, u8, u8, u32);

const RET: u16 = 0x06;
const RET_A: u16 = 0x16;
const LD_W: u16 = 0x20;
const LD_H: u16 = 0x28;
const LD_B: u16 = 0x30;
const LD_W_IND: u16 = 0x40;
const LD_LEN: u16 = 0x80;
const LD_IMM: u16 = 0x00;
const LDX_IMM: u16 = 0x01;
const LDX_LEN: u16 = 0x81;
const LDX_MSH: u16 = 0xb1;
const LD_MEM: u16 = 0x60;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const ADD: u16 = 0x04;
const DIV: u16 = 0x34;
const DIV_X: u16 = 0x3c;
const NEG: u16 = 0x84;
const ALL: u32 = u32::MAX;
/// Where what is not in the message is found (`SKF_AD_OFF`).
const AD: u32 = (-0x1000_i32).cast_unsigned();
/// Where headers are found (`SKF_NET_OFF`, `SKF_LL_OFF`).
const NET: u32 = (-0x10_0000_i32).cast_unsigned();
const LINK: u32 = (-0x20_0000_i32).cast_unsigned();

/// A `struct sock_fprog` for as long as its program lives.
fn program(instructions: &[Instruction], count: u16) -> (Vec<u8>, Vec<u8>) {
    let mut code = Vec::new();
    for (op, jt, jf, k) in instructions {
        code.extend_from_slice(&op.to_ne_bytes());
        code.extend_from_slice(&[*jt, *jf]);
        code.extend_from_slice(&k.to_ne_bytes());
    }
    let mut head = vec![0; 16];
    head[..2].copy_from_slice(&count.to_ne_bytes());
    head[8..].copy_from_slice(&(code.as_ptr().expose_provenance() as u64).to_ne_bytes());
    (head, code)
}

fn attach_as(sock: &Sock, what: &str, instructions: &[Instruction], count: u16, length: u32) {
    let (head, code) = program(instructions, count);
    let result = sys::setsockopt(sock.raw(), SOL_SOCKET, SO_ATTACH_FILTER, &head, length);
    drop(code);
    say!("{}: filter {what}: {}", sock.name, outcome(&result));
}

fn attach(sock: &Sock, what: &str, instructions: &[Instruction]) {
    attach_as(sock, what, instructions, instructions.len() as u16, 16);
}

pub fn fill(table: &mut Table) {
    effects(table);
    refused(table);
    managed(table);
}

fn effects(table: &mut Table) {
    // A message's type is in its bytes 4 and 5: in network order, as filters read, NLMSG_ERROR is 0x0200.
    let programs: &[(&str, &[Instruction])] = &[
        ("accept", &[(RET, 0, 0, ALL)]),
        ("drop", &[(RET, 0, 0, 0)]),
        ("cut-to-20", &[(RET, 0, 0, 20)]),
        ("cut-to-1", &[(RET, 0, 0, 1)]),
        ("errors-only", &[(LD_H, 0, 0, 4), (JEQ, 0, 1, 0x0200), (RET, 0, 0, ALL), (RET, 0, 0, 0)]),
        ("no-errors", &[(LD_H, 0, 0, 4), (JEQ, 1, 0, 0x0200), (RET, 0, 0, ALL), (RET, 0, 0, 0)]),
        ("long-ones", &[(LD_LEN, 0, 0, 0), (JGT, 0, 1, 36), (RET, 0, 0, ALL), (RET, 0, 0, 0)]),
        ("beyond-the-end", &[(LD_W, 0, 0, 1000), (RET, 0, 0, ALL)]),
        ("at-the-end", &[(LD_W, 0, 0, 32), (RET, 0, 0, ALL)]),
        ("one-beyond-the-end", &[(LD_W, 0, 0, 33), (RET, 0, 0, ALL)]),
        ("length-as-result", &[(LD_LEN, 0, 0, 0), (RET_A, 0, 0, 0)]),
        (
            "indirect",
            &[
                (LDX_IMM, 0, 0, 4),
                (LD_W_IND, 0, 0, 0),
                (JSET, 0, 1, 0x0200_0000),
                (RET, 0, 0, ALL),
                (RET, 0, 0, 0),
            ],
        ),
        (
            "x-is-length",
            &[(LDX_LEN, 0, 0, 0), (TXA, 0, 0, 0), (JGE, 0, 1, 37), (RET, 0, 0, 40), (RET, 0, 0, 30)],
        ),
        (
            "memory",
            &[(LD_IMM, 0, 0, 25), (ST, 0, 0, 3), (LD_IMM, 0, 0, 1), (LD_MEM, 0, 0, 3), (RET_A, 0, 0, 0)],
        ),
        ("x-in-memory", &[(LDX_IMM, 0, 0, 21), (STX, 0, 0, 15), (LD_MEM, 0, 0, 15), (RET_A, 0, 0, 0)]),
        ("division-by-x-of-0", &[(LD_IMM, 0, 0, 50), (LDX_IMM, 0, 0, 0), (DIV_X, 0, 0, 0), (RET, 0, 0, ALL)]),
        (
            "arithmetic",
            &[
                (LD_IMM, 0, 0, 50),
                (ADD, 0, 0, 10),
                (DIV, 0, 0, 3),
                (TAX, 0, 0, 0),
                (NEG, 0, 0, 0),
                (TXA, 0, 0, 0),
                (RET_A, 0, 0, 0),
            ],
        ),
        ("header-length", &[(LDX_MSH, 0, 0, 0), (TXA, 0, 0, 0), (ADD, 0, 0, 1), (RET_A, 0, 0, 0)]),
        ("jump", &[(JA, 0, 0, 1), (RET, 0, 0, 0), (RET, 0, 0, 24)]),
        ("protocol", &[(LD_W, 0, 0, AD), (ADD, 0, 0, 1), (RET_A, 0, 0, 0)]),
        ("packet-type", &[(LD_W, 0, 0, AD + 4), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("interface", &[(LD_W, 0, 0, AD + 8), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("mark", &[(LD_W, 0, 0, AD + 20), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("queue", &[(LD_W, 0, 0, AD + 24), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("device-type", &[(LD_W, 0, 0, AD + 28), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("vlan", &[(LD_W, 0, 0, AD + 44), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("vlan-there", &[(LD_W, 0, 0, AD + 48), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("payload", &[(LD_W, 0, 0, AD + 52), (ADD, 0, 0, 18), (RET_A, 0, 0, 0)]),
        ("network-header", &[(LD_W, 0, 0, NET), (RET, 0, 0, ALL)]),
        ("link-header", &[(LD_W, 0, 0, LINK), (RET, 0, 0, ALL)]),
        // The attribute of type X in those from A on: of nlctrl's answer about itself 2 is the name, 6 the commands.
        (
            "attribute",
            &[
                (LD_IMM, 0, 0, 20),
                (LDX_IMM, 0, 0, 2),
                (LD_W, 0, 0, AD + 12),
                (ADD, 0, 0, 1),
                (RET_A, 0, 0, 0),
            ],
        ),
        (
            "attribute-not-there",
            &[
                (LD_IMM, 0, 0, 20),
                (LDX_IMM, 0, 0, 99),
                (LD_W, 0, 0, AD + 12),
                (ADD, 0, 0, 17),
                (RET_A, 0, 0, 0),
            ],
        ),
        (
            "attribute-from-nowhere",
            &[
                (LD_IMM, 0, 0, 5000),
                (LDX_IMM, 0, 0, 2),
                (LD_W, 0, 0, AD + 12),
                (ADD, 0, 0, 17),
                (RET_A, 0, 0, 0),
            ],
        ),
        (
            "attribute-nested",
            &[
                (LD_IMM, 0, 0, 20),
                (LDX_IMM, 0, 0, 6),
                (LD_W, 0, 0, AD + 12),
                (LDX_IMM, 0, 0, 1),
                (LD_W, 0, 0, AD + 16),
                (ADD, 0, 0, 1),
                (RET_A, 0, 0, 0),
            ],
        ),
        (
            "attribute-nested-nowhere",
            &[
                (LD_IMM, 0, 0, 9),
                (LDX_IMM, 0, 0, 1),
                (LD_W, 0, 0, AD + 16),
                (ADD, 0, 0, 17),
                (RET_A, 0, 0, 0),
            ],
        ),
    ];
    for &(what, instructions) in programs {
        table.add(format!("filter/{what}"), move || {
            let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
            attach(&a, what, instructions);
            a.send("a ping", &ping(1));
            a.send("a request", &ask());
            b.send_to("a word", &ping(2), port(1), 0);
            a.drain();
            a.send("a dump", &dump_policies(0));
            a.drain();
        });
    }
    table.add("filter/of-multicasts", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        b.option("ADD_MEMBERSHIP", SOL_NETLINK, nl::ADD_MEMBERSHIP, 16);
        attach(&b, "of odd numbers", &[(LD_B, 0, 0, 8), (JSET, 0, 1, 1), (RET, 0, 0, ALL), (RET, 0, 0, 0)]);
        for seq in 0..5 {
            a.send_to("a word", &ping(seq), 0, 0x8000);
        }
        b.drain();
        a.drain();
    });
    table.add("filter/charge-of-what-is-cut", || {
        let (a, b) = (Sock::at("a", port(1)), Sock::at("b", port(2)));
        attach(&a, "cut", &[(RET, 0, 0, 20)]);
        a.option("SO_RCVBUF", SOL_SOCKET, libc::SO_RCVBUF, 0);
        b.send_to("a long word", &vec![1; 3000], port(1), 0);
        a.poll();
        a.drain();
    });
    table.add("filter/what-is-dropped-does-not-fill", || {
        let a = Sock::at("a", port(1));
        attach(&a, "nothing", &[(RET, 0, 0, 0)]);
        a.option("SO_RCVBUF", SOL_SOCKET, libc::SO_RCVBUF, 0);
        (0..20).for_each(|seq| {
            let _ = sys::send(a.raw(), &ping(seq), 0);
        });
        a.poll();
        a.drain();
    });
}

fn refused(table: &mut Table) {
    let programs: &[(&str, &[Instruction])] = &[
        ("no-return", &[(LD_IMM, 0, 0, 1)]),
        ("unknown-code", &[(0xffff, 0, 0, 0), (RET, 0, 0, 0)]),
        ("jump-too-far", &[(JEQ, 5, 0, 0), (RET, 0, 0, 0)]),
        ("jump-false-too-far", &[(JEQ, 0, 1, 0), (RET, 0, 0, 0)]),
        ("jump-always-too-far", &[(JA, 0, 0, 1), (RET, 0, 0, 0)]),
        ("jump-around", &[(JA, 0, 0, ALL), (RET, 0, 0, 0)]),
        ("division-by-0", &[(DIV, 0, 0, 0), (RET, 0, 0, 0)]),
        ("remainder-by-0", &[(0x94, 0, 0, 0), (RET, 0, 0, 0)]),
        ("shift-by-32", &[(0x64, 0, 0, 32), (RET, 0, 0, 0)]),
        ("shift-by-31", &[(0x74, 0, 0, 31), (RET, 0, 0, 0)]),
        ("memory-16", &[(ST, 0, 0, 16), (RET, 0, 0, 0)]),
        ("memory-never-written", &[(LD_MEM, 0, 0, 3), (RET, 0, 0, 0)]),
        ("memory-written-on-one-way", &[(JEQ, 1, 0, 0), (ST, 0, 0, 3), (LD_MEM, 0, 0, 3), (RET, 0, 0, 0)]),
        (
            "memory-written-on-both-ways",
            &[(JEQ, 2, 0, 0), (ST, 0, 0, 3), (JA, 0, 0, 1), (ST, 0, 0, 3), (LD_MEM, 0, 0, 3), (RET, 0, 0, 0)],
        ),
        ("return-of-x", &[(0x0e, 0, 0, 0)]),
        ("ancillary-unknown", &[(LD_W, 0, 0, AD + 64), (RET, 0, 0, 0)]),
        ("ancillary-odd", &[(LD_W, 0, 0, AD + 1), (RET, 0, 0, 0)]),
        ("ancillary-half", &[(LD_H, 0, 0, AD + 4), (RET, 0, 0, 0)]),
        ("ancillary-byte", &[(LD_B, 0, 0, AD + 12), (RET, 0, 0, 0)]),
        ("load-of-8-bytes", &[(0x38, 0, 0, 0), (RET, 0, 0, 0)]),
        ("xor", &[(0xa4, 0, 0, 7), (0xac, 0, 0, 0), (RET, 0, 0, 0)]),
        ("return-then-more", &[(RET, 0, 0, 0), (LD_IMM, 0, 0, 0), (RET, 0, 0, 0)]),
        ("unreachable-end", &[(RET, 0, 0, 0), (LD_IMM, 0, 0, 0)]),
    ];
    for &(what, instructions) in programs {
        table.add(format!("filter/check-{what}"), move || {
            let a = Sock::at("a", port(1));
            attach(&a, what, instructions);
            a.send("a ping", &ping(1));
            a.drain();
        });
    }
    table.add("filter/counts-and-lengths", || {
        let a = Sock::at("a", port(1));
        let accept = [(RET, 0, 0, ALL)];
        for count in [0, 4097] {
            attach_as(&a, &format!("of {count}"), &accept, count, 16);
        }
        for length in [0, 4, 8, 15] {
            attach_as(&a, &format!("of length {length}"), &accept, 1, length);
        }
        for count in [4096, 4095] {
            let mut long = vec![(LD_IMM, 0, 0, 1); count];
            long.push((RET, 0, 0, ALL));
            attach(&a, &format!("of {} instructions", long.len()), &long);
        }
        a.send("a ping", &ping(1));
        a.drain();
    });
}

fn managed(table: &mut Table) {
    table.add("filter/detach", || {
        let a = Sock::at("a", port(1));
        a.option("SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER, 0);
        attach(&a, "nothing", &[(RET, 0, 0, 0)]);
        a.send("a ping", &ping(1));
        a.option("SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER, 0);
        a.option("SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER, 0);
        a.send("a ping", &ping(2));
        a.drain();
    });
    table.add("filter/replaced", || {
        let a = Sock::at("a", port(1));
        attach(&a, "nothing", &[(RET, 0, 0, 0)]);
        attach(&a, "bad", &[(LD_IMM, 0, 0, 0)]);
        a.send("a ping", &ping(1));
        attach(&a, "everything", &[(RET, 0, 0, ALL)]);
        a.send("a ping", &ping(2));
        a.drain();
    });
    table.add("filter/locked", || {
        let a = Sock::at("a", port(1));
        attach(&a, "cut", &[(RET, 0, 0, 20)]);
        a.show("SO_LOCK_FILTER", SOL_SOCKET, SO_LOCK_FILTER);
        a.option("SO_LOCK_FILTER", SOL_SOCKET, SO_LOCK_FILTER, 1);
        a.option("SO_LOCK_FILTER", SOL_SOCKET, SO_LOCK_FILTER, 0);
        a.show("SO_LOCK_FILTER", SOL_SOCKET, SO_LOCK_FILTER);
        a.option("SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER, 0);
        attach(&a, "everything", &[(RET, 0, 0, ALL)]);
        a.send("a ping", &ping(1));
        a.drain();
    });
    table.add("filter/shown", || {
        let a = Sock::at("a", port(1));
        let read = |room: u32| {
            // Both words of what may be a length are instructions, not bytes.
            let (mut value, mut length) = ([0xee; 64], room);
            let result = sys::getsockopt(a.raw(), SOL_SOCKET, SO_ATTACH_FILTER, &mut value, &mut length);
            say!("{room}: {} {length} {}", outcome(&result), say::hex(&value[..24]));
        };
        [0, 1, 8].into_iter().for_each(read);
        attach(&a, "errors", &[(LD_H, 0, 0, 4), (JEQ, 0, 1, 0x0200), (RET, 0, 0, ALL), (RET, 0, 0, 0)]);
        [0, 1, 3, 4, 8].into_iter().for_each(read);
        a.option("SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER, 0);
        [0, 8].into_iter().for_each(read);
    });
    table.add("filter/of-ebpf-without-one", || {
        let a = Sock::at("a", port(1));
        for (what, name) in [("BPF", 50), ("REUSEPORT_CBPF", 51), ("REUSEPORT_EBPF", 52)] {
            for fd in [-1, a.raw(), 0] {
                let shown = if fd == a.raw() { "itself" } else { "none" };
                say!("{what} {shown}: {}", outcome(&a.set(SOL_SOCKET, name, fd)));
            }
        }
    });
    table.add("filter/for-all-copies", || {
        let a = Sock::at("a", port(1));
        let Ok(fd) = a.fd.try_clone() else { return };
        let b = Sock { fd, name: "b" };
        attach(&a, "nothing", &[(RET, 0, 0, 0)]);
        b.send("a ping", &ping(1));
        b.drain();
        sys::in_child(|| b.option("SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER, 0));
        a.send("a ping", &ping(2));
        a.drain();
    });
    table.add("filter/by-nobody", || {
        let a = Sock::at("a", port(1));
        if sys::become_nobody().is_err() {
            return;
        }
        attach(&a, "cut", &[(RET, 0, 0, 20)]);
        a.send("a ping", &ping(1));
        a.drain();
    });
}
