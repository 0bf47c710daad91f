//! Requests made from the attribute tables: what is right, and what is wrong with one thing at a time.
//!
//! A scenario starts with a world of its own and takes it down again. A case that changes the world is followed by
//! requests that put it back, which are sent and compared like any other but not counted.

pub(crate) mod actions;
pub mod blocks;
mod control;
mod datapaths;
mod flows;
pub(crate) mod keys;
pub(crate) mod message;
pub(crate) mod meters;
mod mutate;
pub(crate) mod packets;
mod psamples;
pub(crate) mod random;
mod tags;
mod unseen;
mod vports;

use crate::families::Families;
use message::{Message, Node, fixed, text, u32};
use pfnl_proto::msg::{NLM_F_CREATE, NLM_F_ECHO};
use pfnl_proto::ovs::{VPORT_TYPE_INTERNAL, cmd, datapath, vport};

/// The datapath of every world, its ports, and the interfaces' numbers.
pub const WORLD: [(&str, u32); 3] = [("o0", 1000), ("o1", 1001), ("o2", 1002)];
/// The number of the world's datapath.
const O0: Option<i32> = Some(1000);

/// Sockets: number, portid, and what is special.
pub const EXTACK: u32 = 0;
/// Without NETLINK_EXT_ACK.
pub const PLAIN: u32 = 1;
/// With NETLINK_EXT_ACK and NETLINK_CAP_ACK.
pub const CAPPED: u32 = 2;
/// Nobody's.
pub const NOBODY: u32 = 3;
/// A member of all OVS groups.
pub const LISTENER: u32 = 4;

/// With NETLINK_EXT_ACK and NETLINK_GET_STRICT_CHK.
pub const STRICT: u32 = 5;

/// A socket's portid.
pub fn portid(socket: u32) -> u32 {
    7000 + socket
}

/// A request among others.
#[derive(Clone, Debug)]
pub struct Case {
    /// `family/command/what`.
    pub name: String,
    /// By which socket it is sent.
    pub socket: u32,
    /// Its bytes.
    pub tx: Vec<u8>,
    /// Whether it is one of the cases, or only keeps the world in order.
    pub counted: bool,
    /// Whether what [`LISTENER`] then gets is part of the answer.
    pub heard: bool,
}

impl Case {
    /// The name of the case that this one is, or is there for.
    pub fn of(&self) -> &str {
        let name = self.name.as_str();
        name.strip_suffix(BEFORE).or(name.strip_suffix(AFTER)).unwrap_or(name)
    }
}

/// What the names of uncounted cases end in.
const BEFORE: &str = " (before)";
const AFTER: &str = " (after)";

/// Cases that share a world.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about.
    pub name: &'static str,
    /// Whether there is a datapath with two ports.
    pub world: bool,
    /// In order.
    pub cases: Vec<Case>,
}

/// Everything, for a kernel with these families.
pub fn all(families: &Families) -> Vec<Scenario> {
    let mut make = Make { families, seq: 1000 };
    let mut scenarios = vec![
        control::scenario(&mut make),
        datapaths::scenario(&mut make),
        vports::scenario(&mut make),
        packets::scenario(&mut make),
        packets::actions(&mut make),
    ];
    scenarios.extend(flows::scenarios(&mut make));
    scenarios.extend(meters::scenarios(&mut make));
    scenarios.push(listening(&mut make));
    scenarios.push(psamples::scenario(&mut make));
    scenarios.extend(packets::more(&mut make));
    scenarios.push(flows::more(&mut make));
    scenarios.push(tags::scenario(&mut make));
    scenarios.extend(unseen::scenarios(&mut make));
    scenarios
}

/// The requests that make a world.
pub fn world(families: &Families) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for (at, (name, number)) in WORLD.into_iter().enumerate() {
        let number = number.cast_signed();
        let message = if at == 0 {
            let nodes = [
                text(datapath::NAME, name),
                u32(datapath::UPCALL_PID, 0),
                u32(datapath::USER_FEATURES, 3),
                fixed(datapath::IFINDEX, number),
            ];
            Message { version: 2, ..Message::new("ovs_datapath", &datapath::TABLE, cmd::NEW, Some(0)) }
                .with(nodes)
        } else {
            let port = u32::try_from(at).unwrap_or(u32::MAX);
            let nodes = [
                text(vport::NAME, name),
                u32(vport::TYPE, VPORT_TYPE_INTERNAL),
                u32(vport::UPCALL_PID, 0),
                u32(vport::PORT_NO, port),
                fixed(vport::IFINDEX, number),
            ];
            Message::new("ovs_vport", &vport::TABLE, cmd::NEW, O0).with(nodes)
        };
        requests.push(message.bytes(families, 1));
    }
    requests
}

/// The request that takes a world down.
pub fn end_of_world(families: &Families) -> Vec<u8> {
    let message = Message::new("ovs_datapath", &datapath::TABLE, cmd::DEL, O0);
    message.bytes(families, 1)
}

pub(crate) struct Make<'f> {
    families: &'f Families,
    seq: u32,
}

impl Make<'_> {
    fn case(&mut self, name: String, socket: u32, message: &Message, counted: bool) -> Case {
        // What keeps the world in order is always the same bytes, so that a recording need hold it once.
        let seq = if counted {
            self.seq += 1;
            self.seq
        } else {
            0
        };
        Case { name, socket, tx: message.bytes(self.families, seq), counted, heard: false }
    }

    /// A message's bytes, with a number of their own.
    fn bytes(&mut self, message: &Message) -> Vec<u8> {
        self.seq += 1;
        message.bytes(self.families, self.seq)
    }

    /// A message, and requests that put the world back.
    fn one(&mut self, cases: &mut Vec<Case>, name: &str, message: &Message, around: &Around) {
        self.on(cases, name, message, around, EXTACK);
    }

    fn on(&mut self, cases: &mut Vec<Case>, name: &str, message: &Message, around: &Around, socket: u32) {
        for message in &around.before {
            cases.push(self.case(format!("{name}{BEFORE}"), EXTACK, message, false));
        }
        cases.push(self.case(name.to_owned(), socket, message, true));
        for message in &around.after {
            cases.push(self.case(format!("{name}{AFTER}"), EXTACK, message, false));
        }
    }

    /// A message, by every kind of socket, and everything that can be wrong with it.
    fn all_of(&mut self, cases: &mut Vec<Case>, name: &str, message: &Message, around: &Around) {
        self.one(cases, name, message, around);
        self.on(cases, &format!("{name}/without-extack"), message, around, PLAIN);
        self.on(cases, &format!("{name}/capped"), message, around, CAPPED);
        self.on(cases, &format!("{name}/nobody"), message, around, NOBODY);
        for (what, changed) in mutate::envelope(message) {
            self.one(cases, &format!("{name}/{what}"), &changed, around);
        }
        self.attributes_of(cases, name, message, around);
        // What an error looks like on other sockets.
        if let Some((what, changed)) =
            mutate::attributes(message, &[]).into_iter().find(|(what, _)| what.ends_with("-empty"))
        {
            self.on(cases, &format!("{name}/{what}/without-extack"), &changed, around, PLAIN);
            self.on(cases, &format!("{name}/{what}/capped"), &changed, around, CAPPED);
        }
    }

    fn attributes_of(&mut self, cases: &mut Vec<Case>, name: &str, message: &Message, around: &Around) {
        for (what, changed) in mutate::attributes(message, &[]) {
            self.one(cases, &format!("{name}/{what}"), &changed, around);
        }
    }
}

/// What is sent before a case and after it.
#[derive(Clone, Debug, Default)]
struct Around {
    before: Vec<Message>,
    after: Vec<Message>,
}

impl Around {
    fn after(message: Message) -> Around {
        Around { before: Vec::new(), after: vec![message] }
    }
}

/// What members of the groups are told.
fn listening(make: &mut Make<'_>) -> Scenario {
    let flow = |cmd| {
        let message = Message::new("ovs_flow", &pfnl_proto::ovs::flow::TABLE, cmd, O0).flags(NLM_F_CREATE);
        message.with([Node::Nest(pfnl_proto::ovs::flow::KEY, &pfnl_proto::ovs::key::TABLE, keys::plain())])
    };
    let actions = || {
        Node::Nest(pfnl_proto::ovs::flow::ACTIONS, &pfnl_proto::ovs::action::TABLE, vec![actions::output()])
    };
    let messages = [
        ("datapath/new", datapaths::new()),
        ("vport/new", vports::new()),
        ("vport/set", vports::set()),
        ("flow/new", flow(cmd::NEW).with([actions()])),
        ("flow/new-again", flow(cmd::NEW).with([actions()])),
        ("flow/set", flow(cmd::SET).with([actions()])),
        ("flow/set-key-only", flow(cmd::SET)),
        ("flow/del", flow(cmd::DEL)),
        ("flow/del-again", flow(cmd::DEL)),
        ("flow/new-for-flush", flow(cmd::NEW).with([actions()])),
        ("flow/flush", Message::new("ovs_flow", &pfnl_proto::ovs::flow::TABLE, cmd::DEL, O0)),
        ("vport/del", vports::del()),
        ("datapath/set", datapaths::set()),
        ("datapath/del", datapaths::del()),
    ];
    let mut cases = Vec::new();
    for (flags, what) in [(0, "heard"), (NLM_F_ECHO, "echoed")] {
        for (name, message) in &messages {
            let mut case =
                make.case(format!("groups/{what}/{name}"), EXTACK, &message.clone().flags(flags), true);
            case.heard = true;
            cases.push(case);
        }
    }
    Scenario { name: "groups", world: true, cases }
}

/// A family's table, and how long its user header is.
pub fn tables(family: &str) -> (Option<&'static pfnl_proto::Table>, usize) {
    match family {
        "nlctrl" => (Some(&pfnl_proto::nlctrl::ctrl::TABLE), 0),
        "ovs_datapath" => (Some(&datapath::TABLE), 4),
        "ovs_vport" => (Some(&vport::TABLE), 4),
        "ovs_flow" => (Some(&pfnl_proto::ovs::flow::TABLE), 4),
        "ovs_packet" => (Some(&pfnl_proto::ovs::packet::TABLE), 4),
        "psample" => (Some(&pfnl_proto::psample::psample::TABLE), 0),
        "ovs_meter" => (Some(&meters::meter::TABLE), 4),
        "ovs_ct_limit" => (Some(&meters::ct_limit::TABLE), 4),
        _ => (None, 0),
    }
}
