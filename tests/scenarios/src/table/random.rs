//! Calls by chance: what nobody thought of. A scenario's number is its seed, so each is the same on every system.
//!
//! `PFNL_RANDOM=2000 pfnl-scenarios all random` runs more of them; one that has found something belongs elsewhere, too,
//! with what it has found.

use super::Table;
use crate::message::{self, NOOP, ask, ask_ack, attr, ctrl, dump_policies, message, ping};
use crate::os::{AF_NETLINK, SO_PASSCRED, SOL_NETLINK, address, nl};
use crate::say::port;
use crate::sock::Sock;
use crate::sys::{Incoming, Outgoing};
use libc::{MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SO_ERROR, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET};

/// How many there are unless PFNL_RANDOM says otherwise, and how many calls each makes.
const SCENARIOS: u64 = 100;
const CALLS: usize = 80;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// nlctrl's `notify`, as a bit.
const NOTIFY: u32 = 0x8000;

pub fn fill(table: &mut Table) {
    let count = std::env::var("PFNL_RANDOM").ok().and_then(|count| count.parse().ok());
    for seed in 0..count.unwrap_or(SCENARIOS) {
        table.add(format!("random/{seed}"), move || {
            let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            let mut socks: [Option<Sock>; 4] = [const { None }; 4];
            for _ in 0..CALLS {
                let at = chance.below(4);
                step(&mut chance, &mut socks[at], NAMES[at]);
            }
            for sock in socks.iter().flatten() {
                sock.drain();
                sock.names();
            }
        });
    }
}

/// Numbers that look like chance (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

fn step(chance: &mut Chance, place: &mut Option<Sock>, name: &'static str) {
    let Some(sock) = place else {
        *place = Some(Sock::open(name));
        return;
    };
    match chance.below(20) {
        0 if chance.below(3) == 0 => *place = None,
        0 | 1 => drop(sock.bind(some_port(chance), chance.of(&[0, 0, NOTIFY, 1, 0x8001]))),
        2 => sock.connect(some_port(chance), chance.of(&[0, 0, 0, NOTIFY])),
        3 => sock.disconnect(),
        4..=7 => {
            let bytes = request(chance);
            let parts = vec![&bytes[..]];
            sock.send_with("a request", &Outgoing { parts, flags: MSG_DONTWAIT, ..Outgoing::default() });
        }
        8 | 9 => {
            let length = chance.of(&[1, 16, 200, 400, 3000, 5000]);
            let bytes = message(NOOP, 0, 5, &vec![7; length]);
            let to = address(AF_NETLINK, some_port(chance), chance.of(&[0, 0, NOTIFY, 1]));
            let (parts, name) = (vec![&bytes[..]], Some(&to[..]));
            let message =
                Outgoing { parts, name, name_length: 12, flags: MSG_DONTWAIT, ..Outgoing::default() };
            sock.send_with(&format!("{length} to somebody"), &message);
        }
        10..=12 => {
            let room = chance.of(&[0, 10, 36, 100, 4000, 8192, 65_536]);
            let flags = chance.of(&[0, 0, 0, MSG_PEEK, MSG_TRUNC, MSG_PEEK | MSG_TRUNC]);
            sock.recv_into(Incoming::of(room), flags | MSG_DONTWAIT);
        }
        13 => sock.drain(),
        14 => {
            let options = [nl::PKTINFO, nl::CAP_ACK, nl::EXT_ACK, nl::GET_STRICT_CHK, nl::NO_ENOBUFS];
            let option = chance.of(&options);
            sock.option(&format!("netlink {option}"), SOL_NETLINK, option, chance.of(&[0, 1]));
        }
        15 => {
            let name = chance.of(&[nl::ADD_MEMBERSHIP, nl::DROP_MEMBERSHIP]);
            sock.option(&format!("netlink {name}"), SOL_NETLINK, name, chance.of(&[16, 16, 1, 0, 1000]));
        }
        16 => {
            let option = chance.of(&[SO_RCVBUF, SO_SNDBUF, SO_PASSCRED]);
            sock.option(&format!("{option}"), SOL_SOCKET, option, chance.of(&[0, 1, 3000, 20_000, 212_992]));
        }
        17 => sock.show("SO_ERROR", SOL_SOCKET, SO_ERROR),
        18 => sock.names(),
        _ => sock.poll(),
    }
}

fn some_port(chance: &mut Chance) -> u32 {
    match chance.below(6) {
        0 | 1 => 0,
        number => port(number as u32),
    }
}

/// A request, or several, in order or not.
fn request(chance: &mut Chance) -> Vec<u8> {
    let one = |chance: &mut Chance| match chance.below(12) {
        0..=2 => ping(chance.below(100) as u32),
        3 => ask(),
        4 => ask_ack(),
        5 => dump_policies(chance.of(&[0, message::ACK])),
        6 => ctrl(0, message::GETFAMILY, &attr(message::ID, &[0xff, 3])),
        7 => ctrl(message::ACK, message::GETFAMILY, &attr(message::NAME, b"nobody\0")),
        8 => message(999, 1, 3, &vec![0; chance.of(&[0, 4, 300, 2000])]),
        9 => ctrl(0, 77, &[]),
        10 => ctrl(message::DUMP, message::GETPOLICY, &attr(message::OP, &[3, 0, 0, 0])),
        _ => message::with_length(chance.of(&[0, 15, 17, 30, 5000]), NOOP, 5, 9, &[0; 8]),
    };
    (0..chance.of(&[1, 1, 1, 2, 5])).flat_map(|_| one(chance)).collect()
}
