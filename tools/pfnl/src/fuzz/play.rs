//! Scripts played through this process's own netlink sockets.

use anyhow::{Context, Result};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use pfnl_decode::Decoder;
use pfnl_fuzz::family::{Family, read_families, request_families, request_policies};
use pfnl_fuzz::message::Message;
use pfnl_fuzz::model::Model;
use pfnl_fuzz::ovs::DATAPATHS;
use pfnl_fuzz::script::Act;
use pfnl_proto::msg::{Messages, NLMSG_DONE, NLMSG_ERROR};
use pfnl_proto::ovs::cmd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// How long an answer may take. On Linux it is there when send returns.
const PATIENCE: Duration = Duration::from_secs(10);
/// `MSG_DONTWAIT`.
const DONTWAIT: i32 = 0x40;
/// Larger than any datagram.
const ROOM: usize = 1 << 20;

/// What was found.
#[derive(Debug)]
pub enum Finding {
    /// Something that does not hold, by which act.
    Wrong(String),
    /// Nobody answers any more.
    End(String),
}

impl Finding {
    /// Whether nobody is there any more.
    pub fn is_end(&self) -> bool {
        matches!(self, Finding::End(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Wrong(what) => f.write_str(what),
            Finding::End(what) => write!(f, "{what}: whoever was fuzzed is gone"),
        }
    }
}

/// What was done.
#[derive(Default)]
pub struct Totals {
    cases: u64,
    datagrams: u64,
    answers: u64,
    outcomes: BTreeMap<i32, u64>,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let name = |errno: i32| {
            let known = pfnl_platform::Errno::from_linux(errno).map(pfnl_platform::Errno::name);
            known.map_or_else(|| errno.to_string(), str::to_owned)
        };
        let shown: Vec<_> = outcomes
            .into_iter()
            .take(8)
            .map(|(errno, count)| {
                format!("{} {count}", if *errno == 0 { "ok".to_owned() } else { name(*errno) })
            })
            .collect();
        write!(
            f,
            "{} cases, {} datagrams, {} answers ({})",
            self.cases,
            self.datagrams,
            self.answers,
            shown.join(", ")
        )
    }
}

struct Client {
    socket: Socket,
    portid: u32,
    listens: bool,
    model: Model,
}

/// Plays scripts.
pub struct Player {
    families: Vec<Family>,
    open: BTreeMap<usize, Client>,
}

impl Player {
    /// One for these families, or all that are there.
    ///
    /// # Errors
    /// There are no sockets, or no such families.
    pub fn new(wanted: &[String]) -> Result<Player> {
        let socket = Socket::new(NETLINK_GENERIC).context("no netlink socket")?;
        let mut families =
            read_families(&ask(&socket, &request_families()).context("no answer from nlctrl")?);
        families.retain(|family| wanted.is_empty() || wanted.contains(&family.name));
        super::nobody(&families)?;
        for family in &mut families {
            if family.ops.iter().any(|op| op.table.is_none()) {
                // A family without policies says ENODATA or the like; then nothing is known of its attributes.
                family.learn(&ask(&socket, &request_policies(family.id)).unwrap_or_default());
            }
        }
        Ok(Player { families, open: BTreeMap::new() })
    }

    /// The families.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// Plays a script with fresh sockets, and cleans up.
    ///
    /// # Errors
    /// What was found.
    pub fn play(&mut self, acts: &[Act], totals: &mut Totals) -> Result<(), Finding> {
        totals.cases += 1;
        let played = acts.iter().enumerate().try_for_each(|(at, act)| {
            self.perform(act, totals).map_err(|finding| match finding {
                Finding::Wrong(what) => Finding::Wrong(format!("act {at}: {what}")),
                end => end,
            })
        });
        let played = played.and_then(|()| self.finish(totals));
        for (_, client) in std::mem::take(&mut self.open) {
            for (errno, count) in client.model.outcomes {
                *totals.outcomes.entry(errno).or_default() += count;
            }
        }
        self.clean_up();
        played
    }

    fn perform(&mut self, act: &Act, totals: &mut Totals) -> Result<(), Finding> {
        match act {
            Act::Open { socket, acks, buffer, listens, .. } => {
                let groups = self.families.iter().flat_map(|family| &family.groups).map(|(_, group)| *group);
                let groups: Vec<_> = groups.filter(|_| *listens).collect();
                let client = Client::open(*acks, *buffer, &groups)
                    .map_err(|error| Finding::End(format!("socket: {error}")))?;
                self.open.insert(*socket, client);
            }
            Act::Close(socket) => _ = self.open.remove(socket),
            Act::Send(socket, bytes) => {
                let Some(client) = self.open.get_mut(socket) else { return Ok(()) };
                totals.datagrams += 1;
                client.send(bytes)?;
            }
            Act::Say(socket, to, bytes) => {
                let Some(to) = self.open.get(to).map(|client| client.portid) else { return Ok(()) };
                if let Some(client) = self.open.get(socket) {
                    // It may be refused, for want of rights or room.
                    let _ = client.socket.send_to(bytes, &SocketAddr::new(to, 0), DONTWAIT);
                }
            }
            Act::Read(socket, count, _) => {
                let families = &self.families;
                if let Some(client) = self.open.get_mut(socket) {
                    totals.answers += client.read(*count, families)?;
                }
            }
            // Not for an outside client to do.
            Act::Set(..) | Act::Frame(..) | Act::Gone(_) | Act::Tick => {}
        }
        Ok(())
    }

    fn finish(&mut self, totals: &mut Totals) -> Result<(), Finding> {
        for (number, client) in &mut self.open {
            let begin = Instant::now();
            loop {
                totals.answers += client.read(usize::MAX, &self.families)?;
                let Some(missing) = client.model.missing() else { break };
                if begin.elapsed() > PATIENCE {
                    return Err(Finding::Wrong(format!("socket {number}: {missing}")));
                }
                client.wait(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    /// Takes the script's datapaths down, so that cases do not depend on each other.
    fn clean_up(&self) {
        let Some(family) = self.families.iter().find(|family| family.name == "ovs_datapath") else { return };
        let Ok(socket) = Socket::new(NETLINK_GENERIC) else { return };
        for number in DATAPATHS {
            let header = number.to_ne_bytes().to_vec();
            let message = Message { header, ..Message::new(family.id, cmd::DEL, family.version) };
            let _ = ask(&socket, &message.bytes());
        }
    }

    /// Shows a script, its messages decoded.
    pub fn show(&self, acts: &[Act]) {
        let mut decoder = Decoder::new();
        self.families.iter().for_each(|family| decoder.learn(family.id, &family.name));
        for act in acts {
            match act {
                Act::Send(socket, bytes) => print!("socket {socket} sends {}", decoder.decode(bytes)),
                act => println!("{act:?}"),
            }
        }
    }
}

impl Client {
    fn open(acks: (bool, bool), buffer: u32, groups: &[u32]) -> io::Result<Client> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        let portid = socket.bind_auto()?.port_number();
        socket.set_ext_ack(acks.0)?;
        socket.set_cap_ack(acks.1)?;
        if buffer > 0 {
            socket.set_rx_buf_sz(buffer)?;
        }
        for group in groups {
            // Some are not for everybody.
            let _ = socket.add_membership(*group);
        }
        Ok(Client { socket, portid, listens: !groups.is_empty(), model: Model::default() })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Finding> {
        match self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0) {
            Ok(_) => {
                self.model.sent(bytes);
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(Errno::CONNREFUSED.raw_os_error()) => {
                Err(Finding::End(format!("send: {error}")))
            }
            // Too long, nothing, no memory.
            Err(_) => Ok(()),
        }
    }

    /// Reads what there is, at most so many datagrams.
    fn read(&mut self, count: usize, families: &[Family]) -> Result<u64, Finding> {
        let mut read = 0;
        for _ in 0..count {
            let mut bytes = Vec::with_capacity(ROOM);
            match self.socket.recv_from(&mut bytes, DONTWAIT) {
                // Another user's, or one of a group's; that of a group above 32 does not show.
                Ok((_, from)) if from.port_number() != 0 || from.multicast_groups() != 0 || self.listens => {}
                Ok(_) => self.model.got(&bytes, self.portid, families).map_err(Finding::Wrong)?,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return Ok(read),
                    Some(Errno::NOBUFS) => self.model.lossy = true,
                    Some(Errno::INTR) => {}
                    _ => return Err(Finding::End(format!("recv: {error}"))),
                },
            }
            self.model.lossy |= self.listens;
            read += 1;
        }
        Ok(read)
    }

    fn wait(&self, patience: Duration) {
        wait(&self.socket, patience);
    }
}

fn wait(socket: &Socket, patience: Duration) {
    let time = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    // Whatever ends it, the caller looks again.
    let _ = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&time));
}

/// The answers to a request that is answered by a dump, an error or an acknowledgement.
fn ask(socket: &Socket, request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    socket.send_to(request, &SocketAddr::new(0, 0), 0)?;
    let (begin, mut answers) = (Instant::now(), Vec::new());
    while begin.elapsed() < PATIENCE {
        let mut bytes = Vec::with_capacity(ROOM);
        match socket.recv_from(&mut bytes, DONTWAIT) {
            Ok(_) => {
                let end = Messages::new(&bytes)
                    .find(|message| matches!(message.header.kind, NLMSG_DONE | NLMSG_ERROR))
                    .map(|message| message.header.kind);
                answers.push(bytes);
                if end.is_some() {
                    return Ok(answers);
                }
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => {
                wait(socket, Duration::from_millis(100));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
