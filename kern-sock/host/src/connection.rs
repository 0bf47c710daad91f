//! One client socket: its requests, and what is pushed to it.

use pfnl_platform::{Errno, Shared, User};
use pfnl_sock::{Block, Credentials, Delivery, Domain, Settled, SockAddr, SockType, Socket};
use pfnl_wire::{
    ANSWER, Answer, Arrival, IN_FILE, Kind, MORE_BACKLOG, MORE_DUMP, MORE_NUDGE, Mapping, Op, Request,
    VERSION, send,
};
use rustix::event::epoll;
use rustix::io::Errno as OsErrno;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};

/// How much the connection takes before blocks wait in the socket's queue.
const PUSH_BUFFER: i32 = 1 << 20;

/// A connection, and the netlink socket that it is once it has said hello.
pub(crate) struct Connection {
    /// Its key in the epoll set.
    pub(crate) id: u64,
    fd: OwnedFd,
    epoll: Arc<OwnedFd>,
    /// Who connected.
    pub(crate) opener: Credentials,
    open: OnceLock<Open>,
    push: Mutex<Push>,
    /// Somebody wants pushing done while another does it.
    again: AtomicBool,
    /// Sum of the charges of all that was sent, and of what of it counts as read.
    sent: AtomicU64,
    settled: AtomicU64,
    /// Charges of blocks that could not be sent at all.
    lost: AtomicU64,
}

struct Open {
    socket: Socket<User>,
    page: Mapping,
    memory: OwnedFd,
}

#[derive(Default)]
struct Push {
    /// Taken from the queue, and to be sent before what is there; more than for a moment only if the connection is full.
    held: VecDeque<Block>,
    /// Closed: nothing is pushed any more.
    over: bool,
}

/// What a request leads to.
pub(crate) enum Outcome {
    /// Go on.
    Served,
    /// Whoever asks wants to know about the host.
    Status,
    /// Whoever asks wants to see what passes, of a process or (0) of all.
    Trace(u32),
    /// The client does not keep to the protocol.
    Violation(&'static str),
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        fd: OwnedFd,
        epoll: Arc<OwnedFd>,
        opener: Credentials,
    ) -> io::Result<Arc<Connection>> {
        pfnl_wire::set_buffer(fd.as_fd(), PUSH_BUFFER)?;
        Ok(Arc::new(Connection {
            id,
            fd,
            epoll,
            opener,
            open: OnceLock::new(),
            push: Mutex::default(),
            again: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Does what a datagram asks. Its sender is whom the kernel named, its payload what fitted.
    pub(crate) fn serve(
        self: &Arc<Self>,
        domain: &Shared<Domain<User>>,
        request: Request,
        payload: &[u8],
        sender: Credentials,
        rights: Option<OwnedFd>,
    ) -> Outcome {
        let open = match (request.kind, self.open.get()) {
            (Kind::Hello, None) => return self.hello(domain, &request),
            (Kind::Status, None) => return Outcome::Status,
            (Kind::Trace, None) if request.a == VERSION => return Outcome::Trace(request.b),
            (Kind::Trace, None) => {
                self.turn_away(Errno::EPROTO); // the answer tells our version
                return Outcome::Violation("another version of the protocol");
            }
            (_, None) => return Outcome::Violation("a request before hello"),
            (Kind::Hello | Kind::Status | Kind::Trace, Some(_)) => {
                return Outcome::Violation("hello on an open socket");
            }
            (_, Some(open)) => open,
        };
        let socket = &open.socket;
        let address = |portid, groups| SockAddr { portid, groups };
        let mut out = Vec::new();
        let mut pushing = None;
        let result = match request.kind {
            Kind::Attach => {
                let Some(rights) = rights else { return Outcome::Violation("nobody to attach") };
                answer(rights.as_fd(), 0, Some(open.memory.as_fd()));
                return Outcome::Served;
            }
            Kind::Send => {
                let to = (request.a & 1 != 0).then(|| address(request.b, request.c));
                // With the lock held its answers wait for each other.
                pushing = Some(self.lock());
                let sent = if request.a & IN_FILE == 0 {
                    socket.send_counted(to, payload, &sender).map(|taken| (taken, payload.len()))
                } else {
                    large(rights).and_then(|payload| {
                        socket.send_counted(to, &payload, &sender).map(|taken| (taken, payload.len()))
                    })
                };
                sent.map(|(taken, whole)| {
                    if taken < whole {
                        out = u32::try_from(taken).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
                    }
                })
            }
            Kind::Read => {
                socket.read(0, 0); // it asks `settle` how much
                Ok(())
            }
            Kind::Nudge => {
                self.nudge();
                Ok(())
            }
            Kind::Call(Op::Bind) => socket.bind(address(request.a, request.b), &sender),
            Kind::Call(Op::Connect) => {
                socket.connect((request.a != 0).then(|| address(request.b, request.c)), &sender)
            }
            Kind::Call(Op::SetOption) => {
                socket.set_option(request.a.cast_signed(), request.b.cast_signed(), payload, &sender)
            }
            Kind::Call(Op::GetOption) => {
                let result = socket.option(request.a.cast_signed(), request.b.cast_signed(), &mut out);
                out.drain(..out.len().min(request.c as usize));
                result
            }
            Kind::Hello | Kind::Status | Kind::Trace => return Outcome::Violation("hello on an open socket"),
        };
        // Before the client goes on, its answers are in the connection and its names in the page.
        self.push_now(pushing.unwrap_or_else(|| self.lock()));
        open.mirror();
        open.page.complete(request.slot, request.tag, result.err().map_or(0, |errno| -errno.linux()), &out);
        Outcome::Served
    }

    /// Refuses a request that cannot be looked at.
    pub(crate) fn refuse(&self, request: &Request, errno: Errno) {
        if let Some(open) = self.open.get() {
            open.page.complete(request.slot, request.tag, -errno.linux(), &[]);
        }
    }

    /// Is one that is told what passes from now on.
    pub(crate) fn accept_trace(&self) {
        answer(self.fd(), 0, None);
    }

    /// Refuses to become a socket.
    pub(crate) fn turn_away(&self, errno: Errno) {
        answer(self.fd(), errno.linux(), None);
    }

    fn hello(self: &Arc<Self>, domain: &Shared<Domain<User>>, request: &Request) -> Outcome {
        let kind = match request.b {
            2 => SockType::Dgram,
            3 => SockType::Raw,
            _ => return Outcome::Violation("an unknown socket type"),
        };
        if request.a != VERSION {
            self.turn_away(Errno::EPROTO); // the answer tells our version
            return Outcome::Violation("another version of the protocol");
        }
        match self.open(domain, kind, request.c.cast_signed()) {
            Ok(open) => {
                open.page.set_kind(request.b, request.c);
                open.mirror();
                answer(self.fd(), 0, Some(open.memory.as_fd()));
                Outcome::Served
            }
            Err(errno) => {
                self.turn_away(errno);
                Outcome::Served
            }
        }
    }

    fn open(
        self: &Arc<Self>,
        domain: &Shared<Domain<User>>,
        kind: SockType,
        protocol: i32,
    ) -> Result<&Open, Errno> {
        let (page, memory) = Mapping::create()?;
        let delivery = Box::new(Courier(Arc::downgrade(self)));
        let socket = Domain::open(domain, kind, protocol, self.opener, delivery)?;
        Ok(self.open.get_or_init(|| Open { socket, page, memory }))
    }

    /// Pushes what is queued, as far as the connection takes it, or leaves that to who is just doing so.
    pub(crate) fn push(&self) {
        // Who finds the lock taken leaves word; who has it looks for word after giving it back. So nobody waits here,
        // and nothing stays behind.
        self.again.store(true, SeqCst);
        fence(SeqCst); // our word is out before we look at the lock
        while self.again.load(SeqCst) {
            let mut push = match self.push.try_lock() {
                Ok(push) => push,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.again.store(false, SeqCst);
            self.flush(&mut push);
            drop(push);
            fence(SeqCst); // the lock is free before we look for others' word
        }
    }

    /// As [`Connection::push`], and it has been done on return.
    fn push_now(&self, mut push: MutexGuard<'_, Push>) {
        self.again.store(false, SeqCst);
        self.flush(&mut push);
        drop(push);
        fence(SeqCst); // as above
        if self.again.load(SeqCst) {
            self.push();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Push> {
        self.push.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, push: &mut Push) {
        let Some(open) = self.open.get().filter(|_| !push.over) else { return };
        let error = open.socket.take_error();
        if let Some(errno) = error {
            open.page.set_error(errno.linux());
        }
        let was_held = !push.held.is_empty();
        // What comes together and finds nothing unread goes together.
        let together = !was_held && open.page.consumed().0 == self.sent.load(Relaxed);
        let mut last = together && self.put_ahead(open, push);
        while let Some(block) = push.held.pop_front().or_else(|| open.socket.take()) {
            let arrival = Arrival { last, ..arrival(&block) };
            last = false;
            let charge = arrival.charge;
            // Relaxed: a client can count it as read only after the send below, which orders this for it.
            self.sent.fetch_add(charge.into(), Relaxed);
            match send(self.fd(), [&arrival.to_bytes(), &block.bytes], None) {
                Ok(_) => {}
                Err(error) => {
                    self.sent.fetch_sub(charge.into(), Relaxed);
                    match error.raw_os_error().map(OsErrno::from_raw_os_error) {
                        Some(OsErrno::AGAIN | OsErrno::NOBUFS | OsErrno::NOMEM) => {
                            push.held.push_front(block);
                            break;
                        }
                        Some(OsErrno::INTR) => push.held.push_front(block),
                        // The client is gone; the end of its connection is on its way to the server.
                        Some(OsErrno::PIPE | OsErrno::CONNRESET | OsErrno::NOTCONN) => push.over = true,
                        _ => {
                            tracing::warn!(id = self.id, bytes = block.bytes.len(), "block lost: {error}");
                            self.lost.fetch_add(charge.into(), Relaxed);
                            open.page.set_error(Errno::ENOBUFS.linux());
                        }
                    }
                    if push.over {
                        return;
                    }
                }
            }
        }
        let is_held = !push.held.is_empty();
        if was_held != is_held {
            open.page.set_more(MORE_BACKLOG, is_held);
            self.watch(is_held);
        }
        if error.is_some() && !is_held && open.page.consumed().0 == self.sent.load(Relaxed) {
            // Nothing is there that would wake a client that sleeps.
            self.nudge();
        }
    }

    /// Puts what is queued into the page, but for the last of it, which is held. Tells whether anything is in the page.
    fn put_ahead(&self, open: &Open, push: &mut Push) -> bool {
        let Some(mut block) = open.socket.take() else { return false };
        let mut any = false;
        let mut next = open.socket.take();
        if next.is_some()
            && let Some(mut batch) = open.page.ahead().begin()
        {
            while let Some(after) = next.take_if(|after| batch.fits([block.bytes.len(), after.bytes.len()])) {
                let arrival = arrival(&block);
                self.sent.fetch_add(arrival.charge.into(), Relaxed); // as in `flush`; `publish` orders it
                batch.put(&arrival, &block.bytes);
                (block, next) = (after, open.socket.take());
            }
            any = !batch.is_empty();
            if any {
                batch.publish(&arrival(&block), &block.bytes);
            }
        }
        push.held.extend([block].into_iter().chain(next));
        any
    }

    fn nudge(&self) {
        if let Some(open) = self.open.get() {
            open.page.set_more(MORE_NUDGE, true); // before it is there
        }
        let nudge = Arrival { nudge: true, ..Arrival::default() };
        if let Err(error) = send(self.fd(), [&nudge.to_bytes(), &[]], None) {
            tracing::debug!(id = self.id, "nudge: {error}");
        }
    }

    /// Asks to be told when the connection has room again, or not any more.
    fn watch(&self, room: bool) {
        let room = if room { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let data = epoll::EventData::new_u64(self.id);
        if let Err(error) = epoll::modify(&*self.epoll, self.fd(), data, epoll::EventFlags::IN | room) {
            tracing::warn!(id = self.id, "epoll: {error}");
        }
    }

    /// Ends the netlink socket.
    pub(crate) fn close(&self) {
        {
            let mut push = self.lock();
            push.over = true;
            push.held.clear();
        }
        if let Some(open) = self.open.get() {
            open.socket.close();
        }
    }

    fn settle(&self) -> Settled {
        let Some(open) = self.open.get() else { return Settled::default() };
        let (read, buffer) = open.page.consumed();
        // The client's word, but not beyond what it was sent; and never backwards.
        let lost = self.lost.load(Relaxed);
        let now = read.min(self.sent.load(Relaxed)).saturating_add(lost);
        let before = self.settled.fetch_max(now, Relaxed);
        Settled { charge: usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX), buffer }
    }
}

impl Open {
    /// Copies to the page what the client reads there.
    fn mirror(&self) {
        let (name, peer) = (self.socket.name(), self.socket.peer());
        self.page.set_names((name.portid, name.groups), (peer.portid, peer.groups));
        self.page.set_more(MORE_DUMP, self.socket.dump_running());
    }
}

/// Brings the news of a socket to its connection.
struct Courier(Weak<Connection>);

impl Delivery for Courier {
    fn wake(&self) {
        if let Some(connection) = self.0.upgrade() {
            connection.push();
        }
    }

    fn settle(&self) -> Settled {
        self.0.upgrade().map(|connection| connection.settle()).unwrap_or_default()
    }
}

/// A message too large for the connection, from a file in memory. No other is read: it might keep us waiting.
fn large(file: Option<OwnedFd>) -> Result<Vec<u8>, Errno> {
    const MOST: u64 = 64 << 20;
    let file = file.filter(|file| rustix::fs::fcntl_get_seals(file).is_ok()).ok_or(Errno::EINVAL)?;
    let size = rustix::fs::fstat(&file).map_err(|_| Errno::EINVAL)?.st_size;
    let size = u64::try_from(size).ok().filter(|&size| size <= MOST).ok_or(Errno::EMSGSIZE)?;
    let mut bytes = Vec::new();
    let mut file = File::from(file);
    bytes
        .try_reserve_exact(usize::try_from(size).map_err(|_| Errno::EMSGSIZE)?)
        .map_err(|_| Errno::ENOMEM)?;
    // The descriptor came with its offset at the end.
    file.rewind().and_then(|()| file.take(size).read_to_end(&mut bytes)).map_err(|_| Errno::EINVAL)?;
    Ok(bytes)
}

/// What stands in front of a block.
fn arrival(block: &Block) -> Arrival {
    Arrival {
        pid: block.from.portid,
        groups: block.from.groups,
        group: block.group,
        charge: u32::try_from(block.charge).unwrap_or(u32::MAX),
        sender: block.sender,
        ..Arrival::default()
    }
}

fn answer(to: BorrowedFd<'_>, errno: i32, memory: Option<BorrowedFd<'_>>) {
    let answer: [u8; ANSWER] = Answer { version: VERSION, errno }.to_bytes();
    if let Err(error) = send(to, [&answer, &[]], memory) {
        tracing::debug!("answer: {error}");
    }
}
