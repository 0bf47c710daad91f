//! `pfnl trace`: each netlink message of a program, both ways, as text, as JSON, as a capture file.

use crate::assemble::Assembly;
use crate::run::{PrivateHost, with_host};
use anyhow::{Context, Result};
use pfnl_decode::{Datagram, Decoder, Message, Pcap};
use pfnl_platform::Errno;
use pfnl_sock::{Block, Endpoint, Hook, NETLINK_NETFILTER, SockAddr, Verdict};
use serde::Serialize;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Runs a program at a host of its own and shows its messages.
///
/// # Errors
/// What [`crate::run::run`] says.
pub fn trace(tracer: Tracer, command: &[OsString]) -> Result<ExitCode> {
    let tracer = Arc::new(Mutex::new(tracer));
    let status = with_host(None, command, |path| {
        let assembly =
            Assembly::with_hooks(|protocol| Box::new(Tap { tracer: Arc::clone(&tracer), protocol }))?;
        for (name, id) in assembly.domain.families()? {
            lock(&tracer).learn(id, &name);
        }
        PrivateHost::start(path, assembly)
    })?;
    lock(&tracer).finish();
    Ok(status)
}

/// Where messages are shown.
pub struct Tracer {
    decoder: Decoder,
    begin: Duration,
    json: bool,
    out: Box<dyn Write + Send>,
    pcap: Option<Pcap<BufWriter<File>>>,
    /// The first error in writing, after which nothing more is written.
    failed: Option<io::Error>,
}

/// The tracer as a protocol's domain knows it.
struct Tap {
    tracer: Arc<Mutex<Tracer>>,
    protocol: i32,
}

fn lock(tracer: &Mutex<Tracer>) -> MutexGuard<'_, Tracer> {
    tracer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hook for Tap {
    fn sent(&self, from: Endpoint, to: SockAddr, bytes: &[u8]) {
        let peer = Peer { portid: to.portid, group: first_group(to.groups) };
        lock(&self.tracer).datagram(now(), from, Direction::Send, peer, self.protocol, bytes);
    }

    fn refused(&self, from: Endpoint, errno: Errno) {
        lock(&self.tracer).failure(now(), from, Direction::Send, errno);
    }

    fn deliver(&self, to: Endpoint, block: &mut Block) -> Verdict {
        let peer = Peer { portid: block.from.portid, group: block.group };
        lock(&self.tracer).datagram(now(), to, Direction::Receive, peer, self.protocol, &block.bytes);
        Verdict::Pass
    }

    fn lost(&self, to: Endpoint, errno: Errno) {
        lock(&self.tracer).failure(now(), to, Direction::Receive, errno);
    }
}

fn first_group(groups: u32) -> u32 {
    if groups == 0 { 0 } else { groups.trailing_zeros() + 1 }
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Send,
    Receive,
}

/// The other end: a portid, or the kernel's 0; and the group spoken to, if any.
#[derive(Clone, Copy, Default)]
pub struct Peer {
    pub portid: u32,
    pub group: u32,
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: f64,
    pid: u32,
    portid: u32,
    direction: Direction,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a Message>,
    /// Bytes that are no message.
    #[serde(skip_serializing_if = "Option::is_none")]
    rest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'static str>,
}

impl Tracer {
    /// One that writes to a file or standard error, and perhaps a capture.
    ///
    /// # Errors
    /// A file cannot be made.
    pub fn new(json: bool, output: Option<&Path>, pcap: Option<&Path>) -> Result<Tracer> {
        let create = |path: &Path| File::create(path).with_context(|| path.display().to_string());
        let out: Box<dyn Write + Send> = match output {
            Some(path) => Box::new(create(path)?),
            None => Box::new(io::stderr()),
        };
        let pcap =
            pcap.map(|path| Ok::<_, anyhow::Error>(Pcap::new(BufWriter::new(create(path)?))?)).transpose()?;
        Ok(Tracer { decoder: Decoder::new(), begin: now(), json, out, pcap, failed: None })
    }

    /// A family of generic netlink has this id.
    pub fn learn(&mut self, id: u16, name: &str) {
        self.decoder.learn(id, name);
    }

    /// Says so if something could not be written.
    pub fn finish(&self) {
        if let Some(error) = &self.failed {
            eprintln!("pfnl: the trace is not complete: {error}");
        }
    }

    /// Shows a datagram that passes.
    pub fn datagram(
        &mut self,
        now: Duration,
        endpoint: Endpoint,
        direction: Direction,
        peer: Peer,
        protocol: i32,
        bytes: &[u8],
    ) {
        let datagram = match protocol {
            NETLINK_NETFILTER => self.decoder.decode_netfilter(bytes),
            _ => self.decoder.decode(bytes),
        };
        let text = if self.json {
            self.lines(now, endpoint, direction, peer, &datagram)
        } else {
            self.paragraphs(now, endpoint, direction, peer, &datagram)
        };
        self.write(&text);
        if let Some(pcap) = self.pcap.as_mut().filter(|_| self.failed.is_none()) {
            let to_kernel = direction == Direction::Send && peer.portid == 0;
            // Flushed each time: others may follow the file.
            let written = pcap.write(now, to_kernel, protocol as u16, bytes);
            self.failed = written.and_then(|()| pcap.flush()).err();
        }
    }

    /// Shows that the last one could not pass.
    pub fn failure(&mut self, now: Duration, endpoint: Endpoint, direction: Direction, errno: Errno) {
        let text = if self.json {
            let line =
                Line { failed: Some(errno.name()), ..self.line(now, endpoint, direction, Peer::default()) };
            to_json(&line)
        } else {
            let what = if direction == Direction::Send { "could not be sent" } else { "was lost" };
            format!("{} {what}: {} ({errno})\n", self.head(now, endpoint, direction), errno.name())
        };
        self.write(&text);
    }

    fn paragraphs(
        &self,
        now: Duration,
        endpoint: Endpoint,
        direction: Direction,
        peer: Peer,
        datagram: &Datagram,
    ) -> String {
        let mut head = self.head(now, endpoint, direction);
        let preposition = if direction == Direction::Send { "to" } else { "from" };
        if peer.portid != 0 {
            head += &format!(" {preposition} {}", peer.portid);
        }
        if peer.group != 0 {
            head += &format!(" group {}", peer.group);
        }
        let mut text: String = datagram.messages.iter().map(|message| format!("{head} {message}")).collect();
        if !datagram.rest.is_empty() {
            let rest = Datagram { messages: Vec::new(), rest: datagram.rest.clone() };
            text += &format!("{head} {rest}");
        }
        text
    }

    fn head(&self, now: Duration, endpoint: Endpoint, direction: Direction) -> String {
        let time = now.saturating_sub(self.begin).as_secs_f64();
        let arrow = if direction == Direction::Send { '>' } else { '<' };
        format!("{time:.6} {}/{} {arrow}", endpoint.pid, endpoint.portid)
    }

    fn lines(
        &self,
        now: Duration,
        endpoint: Endpoint,
        direction: Direction,
        peer: Peer,
        datagram: &Datagram,
    ) -> String {
        let line = || Line { peer: Some(peer.portid), ..self.line(now, endpoint, direction, peer) };
        let messages =
            datagram.messages.iter().map(|message| to_json(&Line { message: Some(message), ..line() }));
        let rest = (!datagram.rest.is_empty()).then(|| {
            to_json(&Line {
                rest: Some(datagram.rest.iter().map(|byte| format!("{byte:02x}")).collect()),
                ..line()
            })
        });
        messages.chain(rest).collect()
    }

    fn line(&self, now: Duration, endpoint: Endpoint, direction: Direction, peer: Peer) -> Line<'static> {
        Line {
            time: now.as_secs_f64(),
            pid: endpoint.pid,
            portid: endpoint.portid,
            direction,
            peer: None,
            group: (peer.group != 0).then_some(peer.group),
            message: None,
            rest: None,
            failed: None,
        }
    }

    /// In one piece: others write to standard error too.
    fn write(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text.as_bytes()).err();
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn to_json(line: &Line<'_>) -> String {
    // Nothing in it can fail: no maps with odd keys, no I/O.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}
