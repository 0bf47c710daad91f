//! Requests and their acknowledgements through `pfnl run`, beside a bare AF_UNIX SEQPACKET ping-pong of two processes under
//! the same scheduling, and beside the machine's own kernel. This program is all of the processes but pfnl: it starts
//! itself, and has each of itself measure a little in turn.
//!
//! Where one side works while the other waits for it, what counts is the processor's time of both: on a quiet machine that
//! is how long it takes, and on a busy one what others do meanwhile is not ours. Waking a sleeping processor takes no such
//! time, so on two of them the clock counts.

use crate::table::Table;
use crate::turns::median;
use anyhow::{Context, Result, bail, ensure};
use netlink_sys::{Socket, protocols::NETLINK_GENERIC};
use pfnl_proto::msg::{Header, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, NLMSG_NOOP};
use pfnl_proto::nlctrl::{cmd, ctrl};
use pfnl_proto::{Writer, genl};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, sockopt};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Requests measured in a turn, and turns.
const COUNT: u32 = 2000;
const TURNS: usize = 21;
/// Requests in one send.
const BATCH: usize = 50;

/// What this program is told in order to be one of the others.
pub const ROLE: &str = "--role";

/// Where both sides run.
const PLACES: [(&str, Option<[usize; 2]>); 3] = [
    ("on one processor", Some([0, 0])),
    ("on two processors, asleep in between", Some([0, 1])),
    ("wherever the scheduler likes", None),
];

/// Measures and fills the table.
pub fn run(table: &mut Table) -> Result<()> {
    let all = sched_getaffinity(None)?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
    for (name, places) in PLACES {
        let cpus = places.map(|places| places.map(|place| processors.get(place).copied()));
        if cpus.is_some_and(|cpus| cpus.contains(&None)) {
            println!("\nOne processor: nothing is measured on two");
            continue;
        }
        trips(table, name, cpus.map(|cpus| cpus.map(Option::unwrap_or_default)))?;
    }
    batches(table)
}

fn trips(table: &mut Table, place: &str, cpus: Option<[usize; 2]>) -> Result<()> {
    let mut bare = Other::bare(cpus)?;
    let mut ours = Other::through_pfnl(cpus)?;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..TURNS {
        times[0].push(bare.measure("ping", COUNT)?);
        times[1].push(ours.measure("ack", COUNT)?);
        times[2].push(ours.measure("reply", COUNT)?);
    }
    let by_clock = cpus.is_some_and(|[one, other]| one != other);
    let unit = if by_clock { "ns" } else { "ns of processor" };
    let [bare, ack, reply] =
        times.map(|times| times.iter().map(|time| time.of(by_clock)).collect::<Vec<f64>>());
    table.heading(&format!("A request and its acknowledgement, {place}"));
    table.note("bare AF_UNIX ping-pong", median(bare.clone()), unit);
    for (name, ours) in [("acknowledged", ack), ("answered and acknowledged", reply)] {
        table.note(&format!("through pfnl run: {name}"), median(ours.clone()), unit);
        table.at_most(&format!("{name} / bare"), ratio(&ours, &bare), 1.5);
    }
    Ok(())
}

fn batches(table: &mut Table) -> Result<()> {
    let mut kernel = Other::start(Command::new(own()?), None, "client", "AF_NETLINK")?;
    let mut ours = Other::through_pfnl(None)?;
    for (what, title) in [("acks", "acknowledged"), ("replies", "GETFAMILY, answered and acknowledged")] {
        let (mut theirs, mut own) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            theirs.push(kernel.measure(what, COUNT)?.of(false));
            own.push(ours.measure(what, COUNT)?.of(false));
        }
        table.heading(&format!("{BATCH} requests in one send, {title}, each answer by a recv"));
        table.note("this machine's kernel", median(theirs.clone()), "ns of processor a request");
        table.note("through pfnl run", median(own.clone()), "ns of processor a request");
        table.at_least("rate of pfnl / of the kernel", ratio(&theirs, &own), 1.0);
    }
    Ok(())
}

/// The median of the turns' ratios.
fn ratio(one: &[f64], other: &[f64]) -> f64 {
    median(one.iter().zip(other).map(|(one, other)| one / other).collect())
}

/// Another of this program, which measures when it is told to.
struct Other {
    child: Child,
    orders: Option<ChildStdin>,
    results: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// `pfnl run` on the second processor, its client on the first.
    fn through_pfnl(cpus: Option<[usize; 2]>) -> Result<Other> {
        let own = own()?;
        let pfnl = own.with_file_name("pfnl");
        ensure!(pfnl.exists(), "{} is not built", pfnl.display());
        let mut command = Command::new(pfnl);
        command.args(["run", "--"]).arg(own);
        Other::start(command, cpus, "client", "AF_UNIX")
    }

    fn bare(cpus: Option<[usize; 2]>) -> Result<Other> {
        Other::start(Command::new(own()?), cpus, "ping", "AF_UNIX")
    }

    /// Starts it, and sees that its socket is of the family expected.
    fn start(mut command: Command, cpus: Option<[usize; 2]>, role: &str, family: &str) -> Result<Other> {
        command.args([ROLE, role]);
        command.args(cpus.map(|[own, other]| format!("{own},{other}")));
        let mut child = pinned(cpus.map(|[_, other]| other), || {
            Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
        })?;
        let orders = child.stdin.take();
        let results = BufReader::new(child.stdout.take().context("no pipe")?).lines();
        let mut other = Other { child, orders, results };
        let told = other.line()?;
        ensure!(told == family, "{role}'s socket is of {told}, not of {family}");
        Ok(other)
    }

    fn line(&mut self) -> Result<String> {
        Ok(self.results.next().context("the other process has ended")??)
    }

    /// How long one of `count` takes.
    fn measure(&mut self, what: &str, count: u32) -> Result<Time> {
        let before = processor_time(self.child.id());
        writeln!(self.orders.as_ref().context("ended")?, "{what} {count}")?;
        let line = self.line()?;
        let clock = line.parse().with_context(|| format!("the other process says {line}"))?;
        // Once it has said so it sleeps again, soon.
        let taken = processor_time(self.child.id()).zip(before).map(|(after, before)| after - before);
        Ok(Time { clock, processor: taken.map(|taken| taken as f64 / f64::from(count + count / 10)) })
    }
}

/// Nanoseconds for one, by the clock and on processors; the latter if the kernel tells.
struct Time {
    clock: f64,
    processor: Option<f64>,
}

impl Time {
    fn of(&self, by_clock: bool) -> f64 {
        self.processor.filter(|_| !by_clock).unwrap_or(self.clock)
    }
}

/// Nanoseconds that all threads of a process and of those under it have run.
fn processor_time(pid: u32) -> Option<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let thread = thread.ok()?.path();
        let run = std::fs::read_to_string(thread.join("schedstat")).ok()?;
        sum += run.split(' ').next()?.parse::<u64>().ok()?;
        let children = std::fs::read_to_string(thread.join("children")).ok()?;
        for child in children.split_whitespace() {
            sum += processor_time(child.parse().ok()?)?;
        }
    }
    Some(sum)
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Err(error) = self.child.wait() {
            eprintln!("pfnl-bench: {error}");
        }
    }
}

fn own() -> Result<std::path::PathBuf> {
    std::env::current_exe().context("where is this program?")
}

/// Does something, starting a process for one, on one processor.
fn pinned<T>(cpu: Option<usize>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(None)?;
    if let Some(cpu) = cpu {
        pin(cpu)?;
    }
    let result = work();
    sched_setaffinity(None, &before)?;
    result
}

fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// One of the other processes: takes orders, prints nanoseconds.
pub fn role(role: &str, cpus: Option<&str>) -> Result<()> {
    let cpus = cpus.and_then(|cpus| cpus.split_once(','));
    let cpus = cpus.map(|(own, other)| Ok::<_, anyhow::Error>((own.parse()?, other.parse()?))).transpose()?;
    match role {
        "client" => {
            let client = Client::new()?;
            serve(client.socket.as_fd(), cpus, |what, count| client.measure(what, count))
        }
        "ping" => {
            let (here, mut echo) = Echo::start(cpus.map(|(_, other)| other))?;
            serve(here.as_fd(), cpus, |_, count| ping(&here, count))?;
            drop(here);
            echo.0.wait()?;
            Ok(())
        }
        "echo" => {
            let there = std::io::stdin();
            let mut room = [0; 4096];
            while recv(&there, &mut room[..], RecvFlags::empty())?.0 > 0 {
                send(&there, &room[..68], SendFlags::empty())?;
            }
            Ok(())
        }
        _ => bail!("what is {role}?"),
    }
}

fn serve(
    socket: BorrowedFd<'_>,
    cpus: Option<(usize, usize)>,
    mut measure: impl FnMut(&str, u32) -> Result<f64>,
) -> Result<()> {
    if let Some((own, _)) = cpus {
        pin(own)?;
    }
    // rustix asks the kernel itself, not libc: the preload library does not stand between.
    match sockopt::socket_domain(socket)? {
        AddressFamily::UNIX => println!("AF_UNIX"),
        AddressFamily::NETLINK => println!("AF_NETLINK"),
        other => println!("{other:?}"),
    }
    for order in std::io::stdin().lines() {
        let order = order?;
        let (what, count) = order.split_once(' ').context("an order")?;
        println!("{}", measure(what, count.parse()?)?);
    }
    Ok(())
}

/// The process at the other end of a ping-pong.
struct Echo(Child);

impl Echo {
    fn start(cpu: Option<usize>) -> Result<(OwnedFd, Echo)> {
        let flags = SocketFlags::CLOEXEC;
        let (here, there) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let mut command = Command::new(Path::new(&own()?));
        let echo = pinned(cpu, || Ok(command.args([ROLE, "echo"]).stdin(Stdio::from(there)).spawn()?))?;
        Ok((here, Echo(echo)))
    }
}

/// As many bytes there and back as a request and its acknowledgement have with the heads that pfnl puts before them.
fn ping(socket: &OwnedFd, count: u32) -> Result<f64> {
    let mut room = [0; 4096];
    timed(count, || {
        send(socket, &[0; 48], SendFlags::empty())?;
        recv(socket, &mut room[..], RecvFlags::empty())?;
        Ok(())
    })
}

/// A client of generic netlink. Its calls are libc's, which the preload library replaces.
struct Client {
    socket: Socket,
}

impl Client {
    fn new() -> Result<Client> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        Ok(Client { socket })
    }

    fn measure(&self, what: &str, count: u32) -> Result<f64> {
        Ok(match what {
            "ack" => self.exchange(&requests(1, false), 1, count)?,
            "reply" => self.exchange(&requests(1, true), 1, count)?,
            "acks" => self.exchange(&requests(BATCH, false), BATCH, count / BATCH as u32)? / BATCH as f64,
            "replies" => self.exchange(&requests(BATCH, true), BATCH, count / BATCH as u32)? / BATCH as f64,
            _ => bail!("what is {what}?"),
        })
    }

    /// Sends, and receives until all is acknowledged.
    fn exchange(&self, requests: &[u8], acks: usize, count: u32) -> Result<f64> {
        let mut room = [0; 8192];
        timed(count, || {
            self.socket.send(requests, 0)?;
            let mut left = acks;
            while left > 0 {
                let length = self.socket.recv(&mut &mut room[..], 0)?;
                let error = room.get(16..20).filter(|_| room[4..6] == NLMSG_ERROR.to_ne_bytes());
                ensure!(length >= 20 && error.is_none_or(|error| error == [0; 4]), "the answer is an error");
                left -= usize::from(error.is_some());
            }
            Ok(())
        })
    }
}

/// Messages that nothing is done about but to acknowledge them, or questions for a family as libnl asks them.
fn requests(count: usize, ask: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for seq in 1..=count as u32 {
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        let kind = if ask { genl::GENL_ID_CTRL } else { NLMSG_NOOP };
        writer.message(Header { kind, flags, seq, ..Header::default() }, |w| {
            if ask {
                w.raw_fixed(&genl::Header { cmd: cmd::GETFAMILY, version: 1, reserved: 0 });
                ctrl::Put(w).family_name(b"nlctrl");
            }
        });
    }
    drop(writer);
    bytes
}

fn timed(count: u32, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..count / 10 {
        run()?;
    }
    let began = Instant::now();
    for _ in 0..count {
        run()?;
    }
    Ok(began.elapsed().as_nanos() as f64 / f64::from(count))
}
