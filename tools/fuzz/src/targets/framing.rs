//! What a host is told by clients that do not keep to the protocol, and what one that does has of it.

use crate::Choices;
use crate::family::{read_families, request_families};
use pfnl_platform::User;
use pfnl_sock::Domain;
use pfnl_sock_host::{Config, Host};
use pfnl_wire::{ARRIVAL, Answer, Arrival, Kind, Mapping, Op, REQUEST, Request, VERSION, Wait, recv, send};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host in this process, and the client that behaves. They stay for all inputs.
struct Place {
    path: PathBuf,
    good: Good,
    _directory: tempfile::TempDir,
}

static PLACE: LazyLock<Result<Mutex<Place>, String>> = LazyLock::new(|| {
    let place = || -> Result<Place, Box<dyn std::error::Error>> {
        let directory = tempfile::Builder::new().prefix("pfnl-fuzz-").tempdir()?;
        let path = directory.path().join("host.sock");
        let domain = Domain::<User>::try_new().map_err(|errno| errno.to_string())?;
        let mut host = Host::bind(&Config { sockets_per_user: 64, ..Config::new(&path) }, domain)?;
        std::thread::Builder::new().spawn(move || host.run(|_| {}))?;
        let good = Good::open(&path)?;
        Ok(Place { path, good, _directory: directory })
    };
    place().map(Mutex::new).map_err(|error| error.to_string())
});

/// The input is choices: connections, datagrams, descriptors, lies in the shared page. Then a client that behaves asks for
/// the families.
///
/// # Errors
/// What does not hold.
pub fn framing(input: &[u8]) -> Result<(), String> {
    whole_messages(input)?;
    let place = PLACE.as_ref().map_err(Clone::clone)?;
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    let mut c = Choices::replay(input);
    let mut bad: Vec<Bad> = Vec::new();
    for _ in 0..40 {
        match c.below(8) {
            0 if !c.more(12) => break,
            0 | 1 if bad.len() < 4 => bad.push(Bad::open(&place.path).map_err(|error| error.to_string())?),
            2 if !bad.is_empty() => {
                let at = c.below(bad.len());
                bad.swap_remove(at);
            }
            _ if bad.is_empty() => {}
            _ => {
                let at = c.below(bad.len());
                bad[at].lie(&mut c);
            }
        }
    }
    place.good.ask().map_err(|error| format!("the client that behaves: {error}"))
}

/// The heads of datagrams as they travel.
fn whole_messages(input: &[u8]) -> Result<(), String> {
    let Some(head) = input.first_chunk::<REQUEST>() else { return Ok(()) };
    if let Some(request) = Request::from_bytes(head)
        && Request::from_bytes(&request.to_bytes()) != Some(request)
    {
        return Err(format!("{request:?} travels badly"));
    }
    if let Some(arrival) = input.first_chunk::<ARRIVAL>().and_then(Arrival::from_bytes)
        && Arrival::from_bytes(&arrival.to_bytes()) != Some(arrival)
    {
        return Err(format!("{arrival:?} travels badly"));
    }
    Ok(())
}

fn reach(path: &PathBuf) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// A client that does as it likes.
struct Bad {
    socket: OwnedFd,
    page: Option<Mapping>,
}

impl Bad {
    fn open(path: &PathBuf) -> io::Result<Bad> {
        Ok(Bad { socket: reach(path)?, page: None })
    }

    fn lie(&mut self, c: &mut Choices) {
        const KINDS: [Kind; 9] = [
            Kind::Hello,
            Kind::Send,
            Kind::Read,
            Kind::Attach,
            Kind::Status,
            Kind::Call(Op::Bind),
            Kind::Call(Op::Connect),
            Kind::Call(Op::SetOption),
            Kind::Call(Op::GetOption),
        ];
        match c.below(12) {
            0 => {
                let len = c.below(80);
                let _ = send(self.socket.as_fd(), [&c.bytes(len), &[]], None);
            }
            1 => {
                // Whatever there is to read; the page, if it comes with it.
                let (mut head, mut body) = ([0; 32], [0; 4096]);
                if let Ok(received) = recv(self.socket.as_fd(), &mut head, &mut body, false)
                    && let Some(memory) = received.rights
                {
                    self.page = Mapping::open(memory).ok();
                }
            }
            2 => {
                if let Some(page) = &self.page {
                    page.consume(c.word(4) as u32);
                    page.offer(c.word(8) as usize);
                    page.set_error(c.byte().into());
                    page.set_more(u32::MAX, c.one_in(2));
                }
            }
            3 => self.hello(2 + c.below(2) as u32),
            _ => {
                let mut request = Request {
                    kind: *c.pick(&KINDS),
                    slot: *c.pick(&[0, 1, 7, 8, u32::MAX]),
                    tag: c.below(4) as u32,
                    a: *c.pick(&[0, 1, 2, 3, 270, u32::MAX]),
                    b: *c.pick(&[0, 1, 3, 11, 7001, u32::MAX]),
                    c: *c.pick(&[0, 1, 16, 12, u32::MAX]),
                };
                if request.kind == Kind::Hello {
                    (request.a, request.b) = (VERSION, 3);
                }
                let payload = if c.one_in(2) {
                    request_families()
                } else {
                    let len = *c.pick(&[0, 4, 16, 40, 3000]);
                    c.bytes(len)
                };
                let rights = c.one_in(4).then(|| File::open("/dev/zero").ok()).flatten();
                let rights = rights.as_ref().map(AsFd::as_fd);
                let _ = send(self.socket.as_fd(), [&request.to_bytes(), &payload], rights);
            }
        }
    }

    fn hello(&self, kind: u32) {
        let hello = Request { a: VERSION, b: kind, c: 16, ..Request::new(Kind::Hello) };
        let _ = send(self.socket.as_fd(), [&hello.to_bytes(), &[]], None);
    }
}

/// A client that keeps to the protocol.
struct Good {
    socket: OwnedFd,
    page: Mapping,
    seq: u32,
}

impl Good {
    fn open(path: &PathBuf) -> io::Result<Good> {
        let socket = reach(path)?;
        let hello = Request { a: VERSION, b: 3, c: 16, ..Request::new(Kind::Hello) };
        send(socket.as_fd(), [&hello.to_bytes(), &[]], None)?;
        let mut head = [0; 32];
        let received = recv(socket.as_fd(), &mut head, &mut [], true)?;
        let answer = head.first_chunk().and_then(Answer::from_bytes).filter(|answer| answer.errno == 0);
        let memory = received.rights.filter(|_| answer.is_some()).ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(Good { socket, page: Mapping::open(memory)?, seq: 0 })
    }

    fn ask(&mut self) -> Result<(), String> {
        self.seq += 1;
        let mut message = request_families();
        message[8..12].copy_from_slice(&self.seq.to_ne_bytes());
        let (slot, tag) = self.page.claim(1).ok_or("no slot")?;
        let request = Request { slot: slot as u32, tag, ..Request::new(Kind::Send) };
        send(self.socket.as_fd(), [&request.to_bytes(), &message], None)
            .map_err(|error| error.to_string())?;
        let begin = Instant::now();
        let outcome = loop {
            match self.page.wait(slot, tag, Duration::from_millis(100)) {
                Wait::Late if begin.elapsed() < PATIENCE => {}
                outcome => break outcome,
            }
        };
        self.page.release(slot, tag);
        if !matches!(outcome, Wait::Done(0, _)) {
            return Err(format!("its request ends with {outcome:?}"));
        }
        let (mut head, mut body) = ([0; ARRIVAL], vec![0; 65_536]);
        let received = recv(self.socket.as_fd(), &mut head, &mut body, false)
            .map_err(|error| format!("no answer: {error}"))?;
        let arrival = Arrival::from_bytes(&head).ok_or("an answer that is none")?;
        self.page.consume(arrival.charge);
        body.truncate(received.length.saturating_sub(ARRIVAL));
        if body.get(8..12) != Some(&self.seq.to_ne_bytes()) {
            return Err("an answer to something else".to_owned());
        }
        match read_families(&[body]).as_slice() {
            [family] if family.name == "nlctrl" => Ok(()),
            families => Err(format!("{} families", families.len())),
        }
    }
}
