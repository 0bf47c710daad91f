//! What is to go wrong, and what passed: the hook of a test kernel's domain.

use pfnl_decode::Decoder;
use pfnl_platform::Errno;
use pfnl_proto::msg::{self, Messages, NLM_F_DUMP_INTR};
use pfnl_proto::{Error, Fixed, genl};
use pfnl_sock::{Block, Endpoint, Hook, SockAddr, Verdict};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Trouble for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this errno. Its family does not see it.
    Errno(Errno),
    /// It is handled, but whatever answers it is lost.
    Silence,
    /// It is handled, whatever answers it is lost, and the client's next recv fails with ENOBUFS.
    Overrun,
    /// Its answers carry `NLM_F_DUMP_INTR`: the dump is not consistent.
    Interrupt,
}

/// A request that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Process that sent it.
    pub pid: u32,
    /// Portid of the socket that it was sent on.
    pub portid: u32,
    /// The message.
    pub bytes: Vec<u8>,
    /// What went wrong by order of a test.
    pub fault: Option<Fault>,
}

impl Seen {
    /// Its netlink header.
    pub fn header(&self) -> msg::Header {
        msg::Header::read(&self.bytes).unwrap_or_default()
    }

    /// Its generic netlink header.
    pub fn genl(&self) -> genl::Header {
        self.bytes.get(msg::NLMSG_HDRLEN..).and_then(genl::Header::read).unwrap_or_default()
    }
}

/// Shared by the domain's hook and the kernel's owner.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) decoder: Decoder,
    /// Message type and command (`None`: any), and what happens.
    pub(crate) orders: Vec<(Option<(u16, u8)>, Fault)>,
    pub(crate) overrun_notification: bool,
    pub(crate) seen: Vec<Seen>,
    pub(crate) transcript: String,
    /// Requests whose answers are meddled with: portid, sequence number, how, and whether it was told.
    meddled: Vec<Meddled>,
}

struct Meddled {
    portid: u32,
    seq: u32,
    fault: Fault,
    told: bool,
}

impl Script {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hook for Script {
    fn sent(&self, from: Endpoint, to: SockAddr, bytes: &[u8]) {
        let mut state = self.lock();
        let shown = state.decoder.decode(bytes);
        let to = if to.portid == 0 { String::new() } else { format!("to {} ", to.portid) };
        state.transcript += &format!("> {to}{shown}");
        // A sequence number may come again: what was ordered for the last one has been.
        state.meddled.retain(|meddled| meddled.portid != from.portid);
    }

    fn request(&self, from: Endpoint, request: &msg::Message<'_>) -> Option<Result<(), Error>> {
        let mut state = self.lock();
        let cmd = genl::Header::read(request.payload()).unwrap_or_default().cmd;
        let this = (request.header.kind, cmd);
        let order = state.orders.iter().position(|(which, _)| which.is_none_or(|which| which == this));
        let fault = order.map(|at| state.orders.remove(at).1);
        state.seen.push(Seen { pid: from.pid, portid: from.portid, bytes: request.bytes.to_vec(), fault });
        match fault? {
            Fault::Errno(errno) => return Some(Err(Error::new(errno))),
            fault => {
                let meddled = Meddled { portid: from.portid, seq: request.header.seq, fault, told: false };
                state.meddled.push(meddled);
            }
        }
        None
    }

    fn deliver(&self, to: Endpoint, block: &mut Block) -> Verdict {
        let mut state = self.lock();
        let verdict = state.meddle(to, block);
        let lost = match verdict {
            Verdict::Pass => "",
            Verdict::Lose => "(lost) ",
            Verdict::Overrun => "(lost, ENOBUFS) ",
            Verdict::After(_) => "(late) ",
        };
        let shown = state.decoder.decode(&block.bytes);
        state.transcript += &format!("< {lost}{shown}");
        verdict
    }
}

impl State {
    fn meddle(&mut self, to: Endpoint, block: &mut Block) -> Verdict {
        if block.group != 0 {
            let overrun = std::mem::take(&mut self.overrun_notification);
            return if overrun { Verdict::Overrun } else { Verdict::Pass };
        }
        let Some(first) = Messages::new(&block.bytes).next() else { return Verdict::Pass };
        let answers = |meddled: &&mut Meddled| meddled.portid == to.portid && meddled.seq == first.header.seq;
        let Some(meddled) = self.meddled.iter_mut().find(answers) else { return Verdict::Pass };
        match meddled.fault {
            Fault::Silence => Verdict::Lose,
            Fault::Overrun if meddled.told => Verdict::Lose,
            Fault::Overrun => {
                meddled.told = true;
                Verdict::Overrun
            }
            Fault::Interrupt => {
                interrupt(&mut block.bytes);
                Verdict::Pass
            }
            Fault::Errno(_) => Verdict::Pass,
        }
    }
}

/// Sets `NLM_F_DUMP_INTR` in every message of a block.
fn interrupt(bytes: &mut [u8]) {
    let lengths: Vec<_> =
        Messages::new(bytes).map(|message| pfnl_proto::align(message.bytes.len())).collect();
    let mut rest = bytes;
    for len in lengths {
        // nlmsg_flags, behind length and type.
        if let Some(flags) = rest.get_mut(6..8).and_then(|flags| flags.first_chunk_mut::<2>()) {
            *flags = (u16::from_ne_bytes(*flags) | NLM_F_DUMP_INTR).to_ne_bytes();
        }
        rest = rest.get_mut(len..).unwrap_or_default();
    }
}
