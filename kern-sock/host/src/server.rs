//! The thread: accepts, polls, dispatches.

use crate::connection::{Connection, Outcome};
use crate::listen::{BindError, Listener};
use crate::watch::Watchers;
use pfnl_platform::{Errno, Shared, User};
use pfnl_sock::{Credentials, Domain, Limits};
use pfnl_wire::{REQUEST, Request, recv, send};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno as OsErrno;
use rustix::net::{SocketFlags, accept_with};
use std::collections::HashMap;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LISTENER: u64 = 0;
const STOP: u64 = 1;
/// Keys from here on are connections.
const FIRST: u64 = 2;

/// The longest message taken: above any send buffer that a client gets without privilege.
const LONGEST: usize = 1 << 20;
/// A status is told in datagrams of this size.
const CHUNK: usize = 16 << 10;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients find the host.
    pub path: PathBuf,
    /// Permissions of the path.
    pub mode: u32,
    /// How many sockets a user may have.
    pub sockets_per_user: usize,
}

impl Config {
    /// For the host's own user alone.
    pub fn new(path: impl Into<PathBuf>) -> Config {
        Config { path: path.into(), mode: 0o600, sockets_per_user: 8192 }
    }
}

/// Ends [`Host::run`] from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<OwnedFd>);

impl Stopper {
    /// Ends it.
    pub fn stop(&self) {
        // Fails only if it has been stopped 2^64 times.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// The machine's own limits of buffers: a socket here has as much room as one of its kernel's.
fn limits() -> Limits {
    let usual = Limits::default();
    let read = |name: &str, usual: usize| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).unwrap_or_default();
        text.trim().parse().unwrap_or(usual)
    };
    Limits {
        receive_default: read("rmem_default", usual.receive_default),
        receive_max: read("rmem_max", usual.receive_max),
        send_default: read("wmem_default", usual.send_default),
        send_max: read("wmem_max", usual.send_max),
        least_charge: pfnl_wire::least_charge().unwrap_or(usual.least_charge),
    }
}

/// A path being served, and the clients that came.
pub struct Host {
    listener: Listener,
    domain: Shared<Domain<User>>,
    sockets_per_user: usize,
    watchers: Option<Arc<Watchers>>,
    epoll: Arc<OwnedFd>,
    stop: Stopper,
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
    users: HashMap<u32, usize>,
    own_uid: u32,
    /// Given up for a moment to turn a client away when there are no descriptors.
    reserve: Option<File>,
    /// Room for one message.
    room: Vec<u8>,
}

impl Host {
    /// Takes a path; clients can connect from now on, and are served by [`Host::run`].
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(config: &Config, domain: Shared<Domain<User>>) -> Result<Host, BindError> {
        let listener = Listener::bind(&config.path, config.mode)?;
        domain.set_limits(limits());
        let failed = |error: OsErrno| BindError::Io(config.path.clone(), error.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        for (fd, key) in [(listener.as_fd(), LISTENER), (stop.as_fd(), STOP)] {
            let data = epoll::EventData::new_u64(key);
            epoll::add(&epoll, fd, data, epoll::EventFlags::IN).map_err(failed)?;
        }
        Ok(Host {
            listener,
            domain,
            sockets_per_user: config.sockets_per_user,
            watchers: None,
            epoll: Arc::new(epoll),
            stop: Stopper(Arc::new(stop)),
            connections: HashMap::new(),
            next: FIRST,
            users: HashMap::new(),
            own_uid: rustix::process::geteuid().as_raw(),
            reserve: File::open("/dev/null").ok(),
            room: vec![0; LONGEST],
        })
    }

    /// Lets clients see what passes: those of the domain's hooks.
    pub fn let_watch(&mut self, watchers: Arc<Watchers>) {
        self.watchers = Some(watchers);
    }

    /// Where clients find it.
    pub fn path(&self) -> &Path {
        self.listener.path()
    }

    /// Ends [`Host::run`].
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// Serves until stopped. `status` adds to what [`pfnl_wire::Kind::Status`] is told, after sockets and families.
    ///
    /// # Errors
    /// What epoll_wait(2) says; nothing that a client can bring about.
    pub fn run(&mut self, mut status: impl FnMut(&mut String)) -> io::Result<()> {
        tracing::info!("serving {}", self.path().display());
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            match epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(OsErrno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            // Who has closed is seen off first: what others ask next (a portid, for one) may count on it.
            for event in events.iter().filter(|event| { event.flags }.contains(epoll::EventFlags::HUP)) {
                let id = event.data.u64();
                // Its last requests first; they are not many, or else it is for another round.
                for _ in 0..256 {
                    self.attend(id, event.flags, &mut status);
                    if !self.connections.contains_key(&id) {
                        break;
                    }
                }
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    STOP => return Ok(()),
                    id => self.attend(id, event.flags, &mut status),
                }
            }
        }
    }

    fn accept(&mut self) {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(&self.listener, flags) {
                Ok(fd) => {
                    if let Err(error) = self.welcome(fd) {
                        tracing::warn!("a client could not be welcomed: {error}");
                    }
                }
                Err(OsErrno::INTR | OsErrno::CONNABORTED) => {}
                Err(OsErrno::MFILE | OsErrno::NFILE) => {
                    // It would be reported for ever: one descriptor is kept for closing it.
                    tracing::warn!("no descriptor left for a client");
                    drop(self.reserve.take());
                    drop(accept_with(&self.listener, flags));
                    self.reserve = File::open("/dev/null").ok();
                    return;
                }
                Err(error) => {
                    if error != OsErrno::AGAIN {
                        tracing::warn!("accept: {error}");
                    }
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, fd: OwnedFd) -> io::Result<()> {
        let opener = self.credentials(pfnl_wire::peer_credentials(fd.as_fd())?);
        let id = self.next;
        self.next += 1;
        let connection = Connection::new(id, fd, Arc::clone(&self.epoll), opener)?;
        let count = self.users.entry(opener.uid).or_default();
        if *count >= self.sockets_per_user {
            tracing::warn!(uid = opener.uid, "more than {} sockets", self.sockets_per_user);
            connection.turn_away(Errno::ENFILE);
            return Ok(());
        }
        let data = epoll::EventData::new_u64(id);
        epoll::add(&*self.epoll, connection.fd(), data, epoll::EventFlags::IN)?;
        *count += 1;
        self.connections.insert(id, connection);
        tracing::debug!(id, pid = opener.pid, uid = opener.uid, "connected");
        Ok(())
    }

    fn attend(&mut self, id: u64, flags: epoll::EventFlags, status: &mut impl FnMut(&mut String)) {
        // Dropped by an earlier event of the same round, perhaps.
        let Some(connection) = self.connections.get(&id).cloned() else { return };
        if flags.contains(epoll::EventFlags::OUT) {
            connection.push();
        }
        // One datagram a turn: a client waits for each to be done, so looking for a second costs more than it finds.
        let mut head = [0; REQUEST];
        let received = match recv(connection.fd(), &mut head, &mut self.room, false) {
            Ok(received) if received.length == 0 => return self.part(&connection, "closed"),
            Ok(received) => received,
            Err(error) => match error.raw_os_error().map(OsErrno::from_raw_os_error) {
                Some(OsErrno::AGAIN | OsErrno::INTR) => return,
                _ => return self.part(&connection, "reset"),
            },
        };
        let request = Request::from_bytes(&head).filter(|_| received.length >= REQUEST);
        let Some(request) = request else { return self.part(&connection, "not a request") };
        let Some(payload) = self.room.get(..received.length - REQUEST) else {
            return connection.refuse(&request, Errno::EMSGSIZE);
        };
        let sender = received.sender.map_or(connection.opener, |ids| self.credentials(ids));
        match connection.serve(&self.domain, request, payload, sender, received.rights) {
            Outcome::Served => {}
            Outcome::Violation(what) => self.part(&connection, what),
            Outcome::Trace(pid) => self.show(&connection, pid, &sender),
            Outcome::Status => {
                self.tell(&connection, status);
                self.part(&connection, "told");
            }
        }
    }

    fn part(&mut self, connection: &Connection, why: &str) {
        tracing::debug!(id = connection.id, "{why}");
        if self.connections.remove(&connection.id).is_none() {
            return;
        }
        if let Some(count) = self.users.get_mut(&connection.opener.uid) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&connection.opener.uid);
            }
        }
        if let Err(error) = epoll::delete(&*self.epoll, connection.fd()) {
            tracing::warn!(id = connection.id, "epoll: {error}");
        }
        if let Some(watchers) = &self.watchers {
            watchers.remove(connection.id);
        }
        connection.close();
    }

    /// Shows to a client what passes, if it may see that.
    fn show(&mut self, connection: &Arc<Connection>, pid: u32, sender: &Credentials) {
        let refused = match &self.watchers {
            None => Some(Errno::EOPNOTSUPP),
            Some(_) if !sender.net_admin => Some(Errno::EPERM),
            Some(watchers) => {
                connection.accept_trace();
                watchers.add(connection, pid, self.domain.families().unwrap_or_default());
                None
            }
        };
        if let Some(errno) = refused {
            connection.turn_away(errno);
            self.part(connection, "may not trace");
        }
    }

    /// What a process may do: the host's own user and root administer the network that the host is.
    fn credentials(&self, (pid, uid, gid): (i32, u32, u32)) -> Credentials {
        let admin = uid == 0 || uid == self.own_uid;
        Credentials { pid: pid.cast_unsigned(), uid, gid, net_admin: admin, net_broadcast: admin }
    }

    fn tell(&self, connection: &Connection, status: &mut impl FnMut(&mut String)) {
        let mut text = self.status();
        status(&mut text);
        for chunk in text.as_bytes().chunks(CHUNK) {
            if let Err(error) = send(connection.fd(), [chunk, &[]], None) {
                tracing::debug!(id = connection.id, "status: {error}");
                return;
            }
        }
    }

    fn status(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "host: pid {}, {}", std::process::id(), self.path().display());
        match self.domain.sockets() {
            Ok(mut sockets) => {
                sockets.sort_by_key(|socket| socket.portid);
                let _ = writeln!(text, "sockets: {}", sockets.len());
                if !sockets.is_empty() {
                    let _ = writeln!(text, "  portid     proto pid     uid   groups     rmem     drops dump");
                }
                for socket in sockets {
                    let _ = writeln!(
                        text,
                        "  {:<10} {:<5} {:<7} {:<5} {:#010x} {:<8} {:<5} {}",
                        socket.portid,
                        socket.protocol,
                        socket.opener.pid,
                        socket.opener.uid,
                        socket.groups,
                        socket.rmem,
                        socket.drops,
                        if socket.dumping { "yes" } else { "no" },
                    );
                }
            }
            Err(errno) => drop(writeln!(text, "sockets: {errno}")),
        }
        let tracers = self.watchers.as_ref().map_or(0, |watchers| watchers.count());
        let _ = writeln!(text, "tracers: {tracers}");
        match self.domain.families() {
            Ok(families) => {
                let names: Vec<_> = families.iter().map(|(name, id)| format!("{name} ({id})")).collect();
                let _ = writeln!(text, "families: {}", names.join(", "));
            }
            Err(errno) => drop(writeln!(text, "families: {errno}")),
        }
        text
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for connection in self.connections.values() {
            connection.close();
        }
    }
}
