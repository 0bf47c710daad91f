//! `pfnl run --fault`: trouble by chance, the same for the same seed, for programs that should stand it.
//!
//! Each fault is one that a kernel can bring about, so that a program that does not stand it has a weakness:
//!
//! | Word | What the program sees | On a real kernel |
//! |---|---|---|
//! | `enobufs=P` | a datagram is missing, and recv says ENOBUFS | its receive buffer was full |
//! | `intr=P` | all of a dump's messages carry `NLM_F_DUMP_INTR` | what was dumped changed meanwhile |
//! | `drop-reply=P` | an answer never comes, nor an error | it was lost to an earlier ENOBUFS that nobody read; a proxy |
//! | `short-dump=P` | a dump ends early; its `NLMSG_DONE` says ENOMEM | a dump's later part failed |
//! | `eagain=P` | recv says EAGAIN once, though the socket is readable | somebody who shares the socket was quicker; SO_RCVTIMEO |
//! | `slow=MS` | each datagram is handled so much later | a busy machine |
//!
//! P is how often, of what could meet it: datagrams, dumps (`intr`), blocks of dumps (`short-dump`); `0.1`, `10%` and
//! `1/10` are the same. Sockets do not influence each other: each has chances of its own, by the order in which they first
//! send or are sent something.

use pfnl_fuzz::Choices;
use pfnl_platform::Errno;
use pfnl_proto::ack::{self, Extack, Style};
use pfnl_proto::msg::{Messages, NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE};
use pfnl_proto::{Error, Writer};
use pfnl_sock::{Block, Endpoint, Hook, SockAddr, Verdict};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often what is to go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    chances: [f64; KINDS.len()],
    slow: Duration,
}

/// What can go wrong by chance, and its place in [`Faults::chances`].
const KINDS: [&str; 5] = ["enobufs", "intr", "drop-reply", "short-dump", "eagain"];
const ENOBUFS: usize = 0;
const INTR: usize = 1;
const DROP: usize = 2;
const SHORT: usize = 3;
const EAGAIN: usize = 4;

/// What ends a dump that is cut short.
const SHORT_ERRNO: Errno = Errno::ENOMEM;

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Faults, String> {
        let mut faults = Faults::default();
        for word in text.split(',') {
            let (name, value) =
                word.split_once('=').ok_or_else(|| format!("`{word}` is not NAME=VALUE, as enobufs=0.1"))?;
            if name == "slow" {
                let most = 60_000;
                let ms = value.parse().ok().filter(|ms| *ms <= most);
                let ms =
                    ms.ok_or_else(|| format!("slow={value}: milliseconds are wanted, at most {most}"))?;
                faults.slow = Duration::from_millis(ms);
            } else {
                let known = || format!("there is no fault `{name}`; there are {} and slow", KINDS.join(", "));
                let kind = KINDS.iter().position(|kind| *kind == name).ok_or_else(known)?;
                faults.chances[kind] = chance(value)
                    .ok_or_else(|| format!("{name}={value}: how often is wanted, as 0.1, 10% or 1/10"))?;
            }
        }
        Ok(faults)
    }
}

fn chance(text: &str) -> Option<f64> {
    let number = |text: &str| text.parse::<f64>().ok();
    let chance = if let Some(percent) = text.strip_suffix('%') {
        number(percent)? / 100.0
    } else if let Some((of, all)) = text.split_once('/') {
        number(of)? / number(all)?
    } else {
        number(text)?
    };
    (0.0..=1.0).contains(&chance).then_some(chance)
}

/// Brings faults about. Clones share what has happened.
#[derive(Clone)]
pub struct Trouble {
    faults: Faults,
    seed: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sockets: HashMap<Who, Socket>,
    done: [u64; KINDS.len()],
    /// Datagrams that could have met something.
    seen: u64,
}

/// A socket, by its process and portid.
type Who = (u32, u32);

struct Socket {
    chances: Choices,
    dump: Option<Dumping>,
}

#[derive(Clone, Copy)]
struct Dumping {
    seq: u32,
    interrupted: bool,
    cut: bool,
}

impl Trouble {
    /// Trouble of a kind and seed.
    pub fn new(faults: Faults, seed: u64) -> Trouble {
        Trouble { faults, seed, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        write!(f, "faults with --seed {}:", self.seed)?;
        for (kind, done) in KINDS.iter().zip(state.done) {
            write!(f, " {kind} {done},")?;
        }
        write!(f, " in {} datagrams to {} sockets", state.seen, state.sockets.len())
    }
}

impl State {
    fn socket(&mut self, who: Endpoint, seed: u64) -> &mut Socket {
        let nth = self.sockets.len() as u64;
        let fresh = || Socket { chances: Choices::seeded(pfnl_fuzz::nth(seed, nth)), dump: None };
        // Of a socket that is not bound yet there is nothing to tell it by but its process.
        self.sockets.entry((who.pid, who.portid)).or_insert_with(fresh)
    }
}

impl Socket {
    fn roll(&mut self, chance: f64) -> bool {
        if self.chances.is_exhausted() {
            self.chances = Choices::seeded(u64::from_le_bytes(last8(self.chances.made())));
        }
        // Each chance is asked for, also one of 0: so one fault more does not move the others.
        (self.chances.word(4) as f64) < chance * 2_f64.powi(32)
    }
}

fn last8(bytes: &[u8]) -> [u8; 8] {
    bytes.last_chunk().copied().unwrap_or_default()
}

impl Hook for Trouble {
    fn sent(&self, from: Endpoint, _: SockAddr, _: &[u8]) {
        if !self.faults.slow.is_zero() {
            std::thread::sleep(self.faults.slow);
        }
        self.lock().socket(from, self.seed);
    }

    fn dump(&self, to: Endpoint, seq: u32) -> Option<Error> {
        let mut state = self.lock();
        let dump = state.socket(to, self.seed).dump.filter(|dump| dump.seq == seq && dump.cut);
        dump.map(|_| Error::new(SHORT_ERRNO))
    }

    fn deliver(&self, to: Endpoint, block: &mut Block) -> Verdict {
        let mut state = self.lock();
        state.seen += 1;
        let socket = state.socket(to, self.seed);
        let [overrun, interrupt, drop, cut, late] = self.faults.chances.map(|chance| socket.roll(chance));
        let from_kernel = block.from.portid == 0 && block.group == 0;
        let first = Messages::new(&block.bytes).next().map(|message| message.header);
        let mut met = [false; KINDS.len()];
        if let Some(header) = first.filter(|header| from_kernel && header.flags & NLM_F_MULTI != 0) {
            let fresh = Dumping { seq: header.seq, interrupted: interrupt, cut: false };
            let known = socket.dump.filter(|dump| dump.seq == header.seq);
            met[INTR] = known.is_none() && interrupt;
            let mut dump = known.unwrap_or(fresh);
            let over = Messages::new(&block.bytes).any(|message| message.header.kind == NLMSG_DONE);
            if dump.cut {
                // Its end has been told already.
                socket.dump = Some(dump).filter(|_| !over);
                return Verdict::Lose;
            }
            if cut {
                cut_short(&mut block.bytes, header.seq, header.portid, socket.chances.byte());
                (dump.cut, met[SHORT]) = (true, true);
            }
            if dump.interrupted {
                interrupt_all(&mut block.bytes);
            }
            socket.dump = Some(dump).filter(|_| !over);
        } else if from_kernel && drop {
            met[DROP] = true;
        }
        met[ENOBUFS] = overrun && !met[DROP];
        met[EAGAIN] = late && !overrun && !met[DROP];
        for (done, met) in state.done.iter_mut().zip(met) {
            *done += u64::from(met);
        }
        for kind in (0..KINDS.len()).filter(|kind| met[*kind]) {
            tracing::info!(
                pid = to.pid,
                portid = to.portid,
                seq = first.map(|header| header.seq),
                "{}",
                KINDS[kind]
            );
        }
        match met {
            met if met[DROP] => Verdict::Lose,
            met if met[ENOBUFS] => Verdict::Overrun,
            met if met[EAGAIN] => Verdict::After(Errno::EAGAIN),
            _ => Verdict::Pass,
        }
    }
}

/// Leaves some of a block's records, and puts the end of the dump behind them.
fn cut_short(bytes: &mut Vec<u8>, seq: u32, portid: u32, some: u8) {
    let records = Messages::new(bytes).filter(|message| message.header.kind != NLMSG_DONE);
    let ends: Vec<_> = records
        .scan(0, |end, message| {
            *end += pfnl_proto::align(message.bytes.len());
            Some(*end)
        })
        .collect();
    let left = usize::from(some) % (ends.len() + 1);
    bytes.truncate(left.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0));
    let mut extack = Extack::default();
    let outcome = extack.record(Err(Error::new(SHORT_ERRNO)));
    let mut writer = Writer::new(bytes);
    ack::write_done(&mut writer, seq, portid, NLM_F_MULTI, outcome, &extack, Style::default());
}

/// Sets `NLM_F_DUMP_INTR` in every message of a block.
fn interrupt_all(bytes: &mut [u8]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_or_refused() {
        let faults: Faults = "enobufs=0.25,intr=25%,short-dump=1/4,slow=3".parse().unwrap();
        assert_eq!(faults.chances, [0.25, 0.25, 0.0, 0.25, 0.0]);
        assert_eq!(faults.slow, Duration::from_millis(3));
        for (bad, why) in [
            ("", "NAME=VALUE"),
            ("enobufs", "NAME=VALUE"),
            ("enobuf=1", "no fault `enobuf`"),
            ("intr=2", "intr=2"),
            ("intr=-1", "intr=-1"),
            ("eagain=x", "eagain=x"),
            ("eagain=1/0", "eagain=1/0"),
            ("intr=NaN", "intr=NaN"),
            ("slow=1s", "milliseconds"),
            ("slow=60001", "milliseconds"),
        ] {
            let error = bad.parse::<Faults>().unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn the_same_seed_brings_the_same() {
        let verdicts = |seed, faults: &str| {
            let trouble = Trouble::new(faults.parse().unwrap(), seed);
            let to = Endpoint { portid: 5, pid: 5 };
            let block = || Block {
                bytes: vec![16, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0],
                from: SockAddr::default(),
                group: 0,
                sender: [0; 3],
                charge: 1,
            };
            (0..20_000).map(|_| trouble.deliver(to, &mut block())).collect::<Vec<_>>()
        };
        let first = verdicts(1, "drop-reply=10%");
        assert_eq!(first, verdicts(1, "drop-reply=10%"));
        assert_ne!(first, verdicts(2, "drop-reply=10%"));
        let lost = first.iter().filter(|verdict| **verdict == Verdict::Lose).count();
        assert!((1500..2500).contains(&lost), "{lost}");
        let also = verdicts(1, "drop-reply=10%,eagain=20%");
        let same = also
            .iter()
            .zip(&first)
            .all(|(also, first)| (*also == Verdict::Lose) == (*first == Verdict::Lose));
        assert!(same, "another fault has moved this one");
    }
}
