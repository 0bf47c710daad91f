//! A client in the test's own process.

use crate::kernel::Families;
use pfnl_platform::{Errno, Shared, User};
use pfnl_proto::ack::Ack;
use pfnl_proto::msg::{
    self, Header, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NLMSG_HDRLEN,
};
use pfnl_proto::{Attrs, Fixed, Writer, align, genl, nlctrl};
use pfnl_sock::{Credentials, Delivery, Domain, NETLINK_GENERIC, SockAddr, SockType, Socket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a call waits for its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A netlink socket, as a program has one.
pub struct Client {
    families: Families,
    socket: Socket<User>,
    who: Credentials,
    bell: Arc<Bell>,
    seq: u32,
}

/// Rings when something has come.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    waiting: Condvar,
}

struct Rope(Arc<Bell>);

impl Delivery for Rope {
    fn wake(&self) {
        *self.0.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.waiting.notify_all();
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The kernel's answer is an error: the errno, and the extended ack's text.
    Refused(Errno, Option<String>),
    /// The send or the recv failed.
    Socket(Errno),
    /// The dump says that it is not consistent; ask again.
    Interrupted,
    /// Nothing has come for a second.
    Silence,
    /// There is no such family.
    NoFamily,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(errno, Some(text)) => write!(f, "{errno}: {text}"),
            Failure::Refused(errno, None) | Failure::Socket(errno) => errno.fmt(f),
            Failure::Interrupted => f.write_str("the dump was interrupted"),
            Failure::Silence => f.write_str("no answer"),
            Failure::NoFamily => f.write_str("no such family"),
        }
    }
}

impl std::error::Error for Failure {}

/// A message that answers a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// All of it.
    pub bytes: Vec<u8>,
    header_len: usize,
}

impl Message {
    /// Its netlink header.
    pub fn header(&self) -> Header {
        Header::read(&self.bytes).unwrap_or_default()
    }

    /// Its generic netlink header.
    pub fn genl(&self) -> genl::Header {
        self.bytes.get(NLMSG_HDRLEN..).and_then(genl::Header::read).unwrap_or_default()
    }

    /// The family's own header.
    pub fn user_header(&self) -> &[u8] {
        self.bytes.get(genl::USER_HEADER..genl::USER_HEADER + self.header_len).unwrap_or_default()
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attrs<'_> {
        let start = genl::USER_HEADER + align(self.header_len);
        Attrs::new(self.bytes.get(start..).unwrap_or_default(), start as u32)
    }
}

impl Client {
    pub(crate) fn open(
        domain: &Shared<Domain<User>>,
        families: Families,
        who: Credentials,
    ) -> Result<Client, Errno> {
        let bell = Arc::new(Bell::default());
        let delivery = Box::new(Rope(Arc::clone(&bell)));
        let socket = Domain::open(domain, SockType::Raw, NETLINK_GENERIC, who, delivery)?;
        socket.bind(SockAddr::default(), &who)?;
        // NETLINK_EXT_ACK: errors come with their text.
        socket.set_option(270, 11, &1i32.to_ne_bytes(), &who)?;
        Ok(Client { families, socket, who, bell, seq: 0 })
    }

    /// Its portid.
    pub fn portid(&self) -> u32 {
        self.socket.name().portid
    }

    /// The socket below: options, binding, addresses.
    pub fn socket(&self) -> &Socket<User> {
        &self.socket
    }

    /// Joins a group by its number in this kernel, as nlctrl tells it.
    ///
    /// # Errors
    /// `EINVAL`: there is no such group.
    pub fn join(&self, group: u32) -> Result<(), Errno> {
        self.socket.set_option(270, 1, &group.to_ne_bytes(), &self.who)
    }

    /// Sends a datagram of requests to the kernel.
    ///
    /// # Errors
    /// As send(2).
    pub fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        self.socket.send(None, bytes, &self.who)
    }

    /// The next datagram; `None`: nothing has come in that time.
    ///
    /// # Errors
    /// The socket's pending error: `ENOBUFS` after an overrun.
    pub fn recv(&self, patience: Duration) -> Result<Option<Vec<u8>>, Errno> {
        let end = Instant::now() + patience;
        loop {
            *self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner) = false;
            if let Some(errno) = self.socket.take_error() {
                return Err(errno);
            }
            if let Some(block) = self.socket.take() {
                self.socket.read(block.charge, 32768);
                return Ok(Some(block.bytes));
            }
            let rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let left = end.saturating_duration_since(Instant::now());
            let (rung, _) = self
                .bell
                .waiting
                .wait_timeout_while(rung, left, |rung| !*rung)
                .unwrap_or_else(PoisonError::into_inner);
            if !*rung && left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Sends a request, which `fill` writes after the headers, and waits for its acknowledgement; the answers before.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn call(
        &mut self,
        family: &str,
        cmd: u8,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Vec<Message>, Failure> {
        self.request(family, cmd, NLM_F_ACK, fill)
    }

    /// Asks for a dump and reads it to its end.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn dump(
        &mut self,
        family: &str,
        cmd: u8,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Vec<Message>, Failure> {
        self.request(family, cmd, NLM_F_DUMP, fill)
    }

    fn request(
        &mut self,
        family: &str,
        cmd: u8,
        flags: u16,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Vec<Message>, Failure> {
        let (kind, header_len) = match family {
            nlctrl::NAME => (genl::GENL_ID_CTRL, 0),
            name => {
                let (info, len) = self.families.lock().get(name).copied().ok_or(Failure::NoFamily)?;
                (info.id, len)
            }
        };
        self.seq += 1;
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        let header = Header { kind, flags: NLM_F_REQUEST | flags, seq: self.seq, portid: 0, len: 0 };
        writer.message(header, |w| {
            w.raw_fixed(&genl::Header { cmd, version: 1, reserved: 0 });
            fill(w);
        });
        writer.finish().map_err(Failure::Socket)?;
        self.send(&bytes).map_err(Failure::Socket)?;
        self.answers(header_len)
    }

    fn answers(&self, header_len: usize) -> Result<Vec<Message>, Failure> {
        let mut found = Vec::new();
        let mut interrupted = false;
        loop {
            let datagram = self.recv(PATIENCE).map_err(Failure::Socket)?.ok_or(Failure::Silence)?;
            for message in Messages::new(&datagram).filter(|message| message.header.seq == self.seq) {
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                let end = match message.header.kind {
                    NLMSG_ERROR => outcome(&message),
                    NLMSG_DONE => Some(i32::read(message.payload()).unwrap_or(0)).map(|error| (error, None)),
                    _ => {
                        found.push(Message { bytes: message.bytes.to_vec(), header_len });
                        None
                    }
                };
                match end {
                    None => {}
                    Some((0, _)) if interrupted => return Err(Failure::Interrupted),
                    Some((0, _)) => return Ok(found),
                    Some((error, text)) => {
                        let errno = Errno::from_linux(error.saturating_neg()).unwrap_or(Errno::EIO);
                        return Err(Failure::Refused(errno, text));
                    }
                }
            }
        }
    }
}

fn outcome(message: &msg::Message<'_>) -> Option<(i32, Option<String>)> {
    let ack = Ack::read(message)?;
    let text = ack.extended.and_then(|extended| extended.msg());
    Some((ack.error, text.map(|text| String::from_utf8_lossy(text).into_owned())))
}

impl Drop for Client {
    fn drop(&mut self) {
        self.socket.close();
    }
}
