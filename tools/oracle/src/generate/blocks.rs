//! How answers lie in a socket's queue: how many fit, and how a dump is cut into blocks.
//!
//! What is compared is not bytes but errnos and lengths.

use super::message::{Message, Node, nest};
use super::{O0, actions, keys};
use crate::families::Families;
use pfnl_oracle_agent::{Options, Step, hex};
use pfnl_proto::Writer;
use pfnl_proto::msg::{Header, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_NOOP};
use pfnl_proto::nlctrl::{self, ctrl};
use pfnl_proto::ovs::{action, cmd, flow, key};

/// The socket that is looked at.
const PROBED: u32 = 8;
const EVERYTHING: usize = 262_144;

/// Steps after which something is seen: in what the last so many of them read.
pub struct Probe {
    /// `socket/…`.
    pub name: String,
    /// What is done.
    pub steps: Vec<Step>,
    /// How many of the last steps are looked at.
    pub seen: usize,
}

fn open(rcvbuf: usize) -> Step {
    Step::Open {
        socket: PROBED,
        options: Options { portid: super::portid(PROBED), rcvbuf, ..Options::default() },
    }
}

fn send(tx: &[u8], times: u32) -> Step {
    Step::Send { socket: PROBED, tx: hex(tx), read: 0, times }
}

fn read(size: usize, count: usize) -> Step {
    Step::Read { socket: PROBED, size, count }
}

fn noop() -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { kind: NLMSG_NOOP, flags: NLM_F_REQUEST | NLM_F_ACK, ..Header::default() };
    Writer::new(&mut bytes).message(header, |_| {});
    bytes
}

/// The flows that are dumped: all of one length.
pub fn flows(families: &Families) -> Vec<Vec<u8>> {
    let flow = |at: u16| {
        let mut nodes = keys::plain();
        nodes[2] = keys::ethertype(0x9000 + at);
        let (nodes, actions) =
            (nest(flow::KEY, &key::TABLE, nodes), nest(flow::ACTIONS, &action::TABLE, [actions::output()]));
        let message = Message::new("ovs_flow", &flow::TABLE, cmd::NEW, O0).flags(NLM_F_CREATE);
        message.with([nodes, actions]).bytes(families, 0)
    };
    (0..300).map(flow).collect()
}

/// All probes, in a world with [`flows`].
pub fn probes(families: &Families) -> Vec<Probe> {
    let mut all = Vec::new();
    // Errors echo their requests: they are as long as one likes.
    let echoed = |len: usize| {
        let request = Message::new("nlctrl", &ctrl::TABLE, nlctrl::cmd::GETFAMILY, None);
        request.with([Node::Leaf(99, vec![b'x'; len])]).bytes(families, 0)
    };
    let mut answers = vec![("ack", noop())];
    for (name, len) in [
        ("300", 300),
        ("324", 324),
        ("328", 328),
        ("600", 600),
        ("1000", 1000),
        ("4000", 4000),
        ("9000", 9000),
    ] {
        answers.push((name, echoed(len)));
    }
    for rcvbuf in [1, 2304, 4096, 8192, 16384, 32768, 65536, 106_496] {
        for (name, tx) in &answers {
            let steps = vec![open(rcvbuf), send(tx, 250), read(EVERYTHING, 1), read(EVERYTHING, usize::MAX)];
            all.push(Probe { name: format!("socket/fits/{name}-in-{rcvbuf}"), steps, seen: 2 });
        }
    }
    let dump =
        Message { flags: NLM_F_REQUEST | NLM_F_DUMP, ..Message::new("ovs_flow", &flow::TABLE, cmd::GET, O0) };
    let dump = dump.bytes(families, 0);
    for size in
        [100, 1024, 3776, 4096, 5000, 8192, 12_000, 16_384, 20_000, 32_448, 32_768, 65_536, EVERYTHING]
    {
        let first = vec![open(0), send(&dump, 1), read(size, usize::MAX)];
        let second = [first.clone(), vec![send(&dump, 1), read(size, usize::MAX)]].concat();
        all.push(Probe { name: format!("socket/dump/first-{size}"), steps: first, seen: 1 });
        all.push(Probe { name: format!("socket/dump/second-{size}"), steps: second, seen: 1 });
        let growing =
            vec![open(0), send(&dump, 1), read(4096, 2), read(size, 2), read(100, 1), read(size, usize::MAX)];
        all.push(Probe { name: format!("socket/dump/growing-{size}"), steps: growing, seen: 4 });
    }
    for rcvbuf in [1, 8192, 32_768] {
        let steps = vec![open(rcvbuf), send(&dump, 1), read(32_768, usize::MAX)];
        all.push(Probe { name: format!("socket/dump/rcvbuf-{rcvbuf}"), steps, seen: 1 });
    }
    all.push(Probe {
        name: "socket/dump/while-dumping".to_owned(),
        steps: vec![open(0), send(&dump, 2), read(EVERYTHING, usize::MAX)],
        seen: 2,
    });
    all.push(Probe {
        name: "socket/dump/requests-while-dumping".to_owned(),
        steps: vec![
            open(0),
            send(&dump, 1),
            send(&noop(), 3),
            read(4096, 2),
            send(&noop(), 1),
            read(EVERYTHING, usize::MAX),
        ],
        seen: 3,
    });
    all
}
