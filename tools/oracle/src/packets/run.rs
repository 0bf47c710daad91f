//! Takes a kernel through cases, in a world with four ports.

use super::observe::{self, Totals};
use super::{Case, Do, Paced, Recording, Report};
use crate::families::Families;
use crate::generate::message::{Message, fixed, leaf, text, u32};
use crate::inside::Inside;
use crate::run::Kernel;
use anyhow::{Result, ensure};
use pfnl_oracle_agent::{Options, Outcome, Step, hex, unhex};
use pfnl_proto::msg::{NLM_F_DUMP, NLM_F_REQUEST};
use pfnl_proto::ovs::{VPORT_TYPE_NETDEV, cmd, datapath, flow, vport};

/// What was seen of a case, in lines.
pub type Observed = Vec<String>;

/// The number of the datapath.
pub const DATAPATH: i32 = 1000;
/// TAPs and ports have the same numbers: 1 and 2 take over checksums and segmentation, 3 and 4 do not.
const TAPS: [(u32, &str, bool); 4] = [(1, "t1", true), (2, "t2", true), (3, "t3", false), (4, "t4", false)];

/// The socket that requests go by.
const ASKING: u32 = 0;
/// Who is told of packets that no flow matches.
const MISSES: u32 = 5;
/// Who USERSPACE actions name.
const ACTIONS: u32 = 6;
/// Who else may be told of misses.
const OTHERS: u32 = 7;
/// A member of psample's group.
const SAMPLES: u32 = 8;
/// Where upcalls come, and what they are called in what is seen.
const LISTENERS: [(u32, &str); 4] =
    [(MISSES, "miss"), (ACTIONS, "action"), (OTHERS, "other"), (SAMPLES, "sample")];

/// The portid of who is told of misses.
pub const MISS_PORTID: u32 = 7005;
/// The portid for USERSPACE actions.
pub const ACTION_PORTID: u32 = 7006;

/// The portid of who else may be told of misses.
pub const OTHER_PORTID: u32 = 7007;

/// Large enough for every datagram.
const BUFFER: usize = 65_536;
/// How many cases a kernel is given at once.
const BATCH: usize = 64;

fn send(tx: Vec<u8>) -> Step {
    Step::Send { socket: ASKING, tx: hex(&tx), read: BUFFER, times: 1 }
}

fn request(family: &'static str, table: &'static pfnl_proto::Table, cmd: u8) -> Message {
    Message::new(family, table, cmd, Some(DATAPATH))
}

/// What makes the world. Nothing but the cases may send: no address, no IPv6.
fn world(families: &Families) -> Vec<Step> {
    let shell =
        |line: String| Step::Run { argv: ["/bin/busybox", "sh", "-c", &line].map(str::to_owned).into() };
    let mut steps = vec![shell(
        "for at in all default; do echo 1 > /proc/sys/net/ipv6/conf/$at/disable_ipv6; done".to_owned(),
    )];
    let groups = |name: &str| families.groups(name).unwrap_or_default().iter().map(|(_, number)| *number);
    for socket in [ASKING, MISSES, ACTIONS, OTHERS, SAMPLES] {
        let groups = if socket == SAMPLES { groups("psample").collect() } else { Vec::new() };
        steps.push(Step::Open {
            socket,
            options: Options { portid: 7000 + socket, groups, ..Options::default() },
        });
    }
    let new = Message { version: 2, ..Message::new("ovs_datapath", &datapath::TABLE, cmd::NEW, Some(0)) };
    let new = new.with([
        text(datapath::NAME, "o0"),
        u32(datapath::UPCALL_PID, MISS_PORTID),
        u32(datapath::USER_FEATURES, 3),
        u32(datapath::MASKS_CACHE_SIZE, 0),
        fixed(datapath::IFINDEX, DATAPATH),
    ]);
    steps.push(send(new.bytes(families, 1)));
    for (port, name, offloads) in TAPS {
        steps.push(Step::Tap { tap: port, name: name.to_owned(), ifindex: 1100 + port, offloads });
        steps.push(shell(format!("ip link set {name} up")));
        let new = request("ovs_vport", &vport::TABLE, cmd::NEW).with([
            text(vport::NAME, name),
            u32(vport::TYPE, VPORT_TYPE_NETDEV),
            leaf(vport::UPCALL_PID, MISS_PORTID.to_ne_bytes()),
            u32(vport::PORT_NO, port),
        ]);
        steps.push(send(new.bytes(families, 1)));
    }
    steps
}

/// The requests whose answers say what a case has left: flows, the datapath, the ports.
fn looks(families: &Families) -> [Step; 3] {
    let dump = |family, table| {
        send(
            Message { flags: NLM_F_REQUEST | NLM_F_DUMP, ..request(family, table, cmd::GET) }
                .bytes(families, 2),
        )
    };
    let flows = dump("ovs_flow", &flow::TABLE);
    let get = Message { flags: NLM_F_REQUEST, ..request("ovs_datapath", &datapath::TABLE, cmd::GET) };
    [flows, send(get.bytes(families, 2)), dump("ovs_vport", &vport::TABLE)]
}

fn flush(families: &Families) -> Step {
    send(request("ovs_flow", &flow::TABLE, cmd::DEL).bytes(families, 3))
}

fn listen() -> impl Iterator<Item = Step> {
    LISTENERS.iter().map(|(socket, _)| Step::Read { socket: *socket, size: BUFFER, count: usize::MAX })
}

/// The steps of a case, and of what is looked at after it.
fn steps(case: &Case, families: &Families) -> Vec<Step> {
    let mut steps = Vec::new();
    for what in &case.steps {
        match what {
            Do::Request(tx) => {
                steps.push(Step::Send { socket: ASKING, tx: tx.clone(), read: BUFFER, times: 1 });
                steps.push(Step::Frames);
                steps.extend(listen());
            }
            Do::Packet(port, frame) => {
                steps.push(Step::Inject { tap: *port, frame: frame.clone() });
                steps.extend(listen());
            }
            Do::Wait(ms) => steps.push(Step::Wait { ms: *ms }),
        }
    }
    steps.extend(looks(families));
    steps.push(flush(families));
    steps
}

/// What a case's steps have shown.
fn observed(case: &Case, families: &Families, mut outcomes: &[Outcome], totals: &mut Totals) -> Observed {
    let mut lines = Observed::new();
    let mut take = |count: usize| {
        let (now, rest) = outcomes.split_at(count);
        outcomes = rest;
        now
    };
    for what in &case.steps {
        let outcomes = match what {
            Do::Request(_) => {
                let outcomes = take(2 + LISTENERS.len());
                lines.extend(observe::answers(&outcomes[0], families));
                &outcomes[1..]
            }
            Do::Packet(..) => take(1 + LISTENERS.len()),
            Do::Wait(_) => {
                take(1);
                continue;
            }
        };
        lines.extend(observe::frames(&outcomes[0]));
        for ((_, name), outcome) in LISTENERS.iter().zip(&outcomes[1..]) {
            lines.extend(observe::upcalls(name, outcome, families));
        }
    }
    let looks = take(4);
    lines.extend(observe::flows(&looks[0], families));
    lines.extend(totals.grown(&looks[1], &looks[2], families));
    lines
}

/// What a kernel does in all cases; `done` hears of each class when it is through.
///
/// # Errors
/// It is gone, or does not make the world.
pub fn run(
    kernel: &mut dyn Kernel,
    families: &Families,
    cases: &[Case],
    done: &mut dyn FnMut(&str, usize),
) -> Result<Vec<Observed>> {
    let mut seen = Vec::with_capacity(cases.len());
    for class in cases.chunk_by(|one, next| one.class() == next.class()) {
        let made = world(families);
        for (step, outcome) in made.iter().zip(kernel.run(&made)?) {
            let ack = outcome.rx.first().map(|ack| unhex(ack));
            let acked = ack.is_none_or(|ack| ack.get(16..20) == Some(&[0; 4]));
            ensure!(outcome.errno == 0 && acked, "the world: {step:?}: {outcome:?}");
        }
        let mut totals = Totals::default();
        let before = kernel.run(&looks(families))?;
        totals.grown(&before[1], &before[2], families);
        for batch in class.chunks(BATCH) {
            let parts: Vec<_> = batch.iter().map(|case| steps(case, families)).collect();
            let outcomes = kernel.run(&parts.concat())?;
            let mut rest = outcomes.as_slice();
            for (case, part) in batch.iter().zip(&parts) {
                let (now, later) = rest.split_at(part.len());
                seen.push(observed(case, families, now, &mut totals));
                rest = later;
            }
        }
        kernel.run(&[send(request("ovs_datapath", &datapath::TABLE, cmd::DEL).bytes(families, 4))])?;
        done(class[0].class(), class.len());
    }
    Ok(seen)
}

/// What pfnl makes of what was recorded of Linux.
///
/// # Errors
/// pfnl does not come up, or does not make the world.
pub fn replay(recording: &Recording, only: &str) -> Result<Report> {
    let families = &recording.families;
    let wanted = recording.cases.iter().filter(|(case, _)| crate::run::is_wanted(&case.name, only));
    let (cases, linux): (Vec<_>, Vec<_>) = wanted.cloned().unzip();
    let pfnl = inside(families, &recording.interfaces, &cases)?;
    Ok(Report::new(cases, linux, pfnl, only.is_empty()))
}

/// What pfnl does in all cases.
///
/// # Errors
/// It does not come up, or does not make the world.
pub fn inside(families: &Families, interfaces: &[(String, u32)], cases: &[Case]) -> Result<Vec<Observed>> {
    let mut seen = Vec::with_capacity(cases.len());
    for class in cases.chunk_by(|one, next| one.class() == next.class()) {
        // A new one each time, so that the classes do not depend on each other.
        let mut pfnl = InProcess(Inside::new(families, interfaces)?);
        seen.extend(run(&mut pfnl, families, class, &mut |_, _| {})?);
    }
    Ok(seen)
}

/// pfnl in this process, whose time is the cases'.
struct InProcess(Inside<Paced>);

/// How long a step takes: about what one does in the guest.
const STEP: u64 = 100_000;

impl Kernel for InProcess {
    fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(steps.len());
        for step in steps {
            Paced::advance(STEP);
            outcomes.extend(match step {
                Step::Wait { ms } => {
                    Paced::advance(ms * 1_000_000);
                    vec![Outcome::default()]
                }
                // What is set up that way is the guest's own.
                Step::Run { .. } => vec![Outcome::default()],
                step => self.0.run(std::slice::from_ref(step))?,
            });
        }
        Ok(outcomes)
    }
}
