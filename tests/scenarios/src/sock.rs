//! A socket whose every call writes its outcome to the transcript.

use crate::os::{self, ADDRESS, AF_NETLINK, NETLINK_GENERIC, SOL_NETLINK, address};
use crate::say::{flags, hex, outcome, portid};
use crate::sys::{self, From, Incoming, Outcome, Outgoing, To};
use crate::{message, say};
use libc::{MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET, c_int};
use std::os::fd::{AsRawFd, OwnedFd};

/// A socket, called by a letter in the transcript.
pub struct Sock {
    pub fd: OwnedFd,
    pub name: &'static str,
}

impl Sock {
    /// A raw generic netlink socket.
    pub fn open(name: &'static str) -> Sock {
        Sock::of(name, SOCK_RAW | SOCK_CLOEXEC).expect("no generic netlink")
    }

    pub fn of(name: &'static str, kind: c_int) -> Option<Sock> {
        match sys::socket(AF_NETLINK, kind, NETLINK_GENERIC) {
            Ok(fd) => Some(Sock { fd, name }),
            Err(errno) => {
                say!("{name}: socket: {}", os::errno_name(errno));
                None
            }
        }
    }

    /// A socket bound to a portid.
    pub fn at(name: &'static str, portid: u32) -> Sock {
        let sock = Sock::open(name);
        sock.bind(portid, 0);
        sock
    }

    pub fn raw(&self) -> c_int {
        self.fd.as_raw_fd()
    }

    pub fn bind(&self, port: u32, groups: u32) -> bool {
        let result =
            sys::give_address(To::Bind, self.raw(), Some(&address(AF_NETLINK, port, groups)), ADDRESS as u32);
        say!("{}: bind {} {groups:#x}: {}", self.name, portid(port), outcome(&result));
        result.is_ok()
    }

    pub fn connect(&self, port: u32, groups: u32) {
        let to = address(AF_NETLINK, port, groups);
        let result = sys::give_address(To::Connect, self.raw(), Some(&to), ADDRESS as u32);
        say!("{}: connect {} {groups:#x}: {}", self.name, portid(port), outcome(&result));
    }

    pub fn disconnect(&self) {
        let to = address(0, 0, 0);
        let result = sys::give_address(To::Connect, self.raw(), Some(&to), ADDRESS as u32);
        say!("{}: connect AF_UNSPEC: {}", self.name, outcome(&result));
    }

    /// bind or connect with any bytes of any stated length.
    pub fn address(&self, call: To, address: Option<&[u8]>, length: u32) {
        let result = sys::give_address(call, self.raw(), address, length);
        let what = match call {
            To::Bind => "bind",
            To::Connect => "connect",
        };
        say!("{}: {what} of length {}: {}", self.name, length.cast_signed(), outcome(&result));
    }

    /// getsockname and getpeername, whole.
    pub fn names(&self) {
        for (what, call) in [("name", From::Name), ("peer", From::Peer)] {
            let (mut bytes, mut length) = ([0xee; ADDRESS], ADDRESS as u32);
            let result = sys::take_address(call, self.raw(), Some(&mut bytes), &mut length);
            say!("{}: {what}: {} {length} {}", self.name, outcome(&result), show_address(&bytes));
        }
    }

    /// One of them, into a buffer of a length of its own.
    pub fn name_into(&self, call: From, mut length: u32) {
        let mut bytes = [0xee; 32];
        let asked = length.cast_signed();
        let result = sys::take_address(call, self.raw(), Some(&mut bytes), &mut length);
        let changed = bytes.iter().rposition(|&byte| byte != 0xee).map_or(0, |at| at + 1);
        let shown = show_cut_address(&bytes[..changed]);
        say!("{}: name into {asked}: {} length {length}: {shown}", self.name, outcome(&result));
    }

    pub fn set(&self, level: c_int, name: c_int, value: i32) -> Outcome {
        sys::setsockopt(self.raw(), level, name, &value.to_ne_bytes(), 4)
    }

    /// Sets an option; the transcript calls it `what`.
    pub fn option(&self, what: &str, level: c_int, name: c_int, value: i32) {
        let result = self.set(level, name, value);
        say!("{}: {what} = {value}: {}", self.name, outcome(&result));
    }

    /// Sets a SOL_NETLINK option to 1.
    pub fn on(&self, what: &str, name: c_int) {
        self.option(what, SOL_NETLINK, name, 1);
    }

    pub fn get(&self, level: c_int, name: c_int) -> Outcome<i32> {
        let (mut value, mut length) = ([0; 4], 4);
        sys::getsockopt(self.raw(), level, name, &mut value, &mut length)?;
        Ok(i32::from_ne_bytes(value))
    }

    pub fn show(&self, what: &str, level: c_int, name: c_int) {
        say!("{}: {what}: {}", self.name, outcome(&self.get(level, name)));
    }

    pub fn send(&self, what: &str, bytes: &[u8]) -> bool {
        self.send_with(what, &Outgoing { parts: vec![bytes], ..Outgoing::default() })
    }

    pub fn send_to(&self, what: &str, bytes: &[u8], port: u32, groups: u32) -> bool {
        let to = address(AF_NETLINK, port, groups);
        let what = format!("{what} to {} {groups:#x}", portid(port));
        let name = Some(&to[..]);
        self.send_with(&what, &Outgoing { parts: vec![bytes], name, name_length: 12, ..Outgoing::default() })
    }

    pub fn send_with(&self, what: &str, message: &Outgoing<'_>) -> bool {
        let result = sys::sendmsg(self.raw(), message);
        say!("{}: send {what}: {}", self.name, outcome(&result));
        result.is_ok()
    }

    /// Receives one block without waiting, and shows all that came with it.
    pub fn recv(&self) -> bool {
        self.recv_into(Incoming::of(65536), MSG_DONTWAIT)
    }

    pub fn recv_into(&self, mut into: Incoming, with: c_int) -> bool {
        let result = sys::recvmsg(self.raw(), &mut into, with);
        let Ok(length) = result else {
            say!("{}: recv: {}", self.name, outcome(&result));
            return false;
        };
        self.show_received(length, &into);
        true
    }

    pub fn show_received(&self, length: usize, into: &Incoming) {
        let mut line = format!("{}: recv {length} flags {}", self.name, flags(into.flags));
        match &into.name {
            Some(name) => {
                let changed = name.iter().rposition(|&byte| byte != 0xee).map_or(0, |at| at + 1);
                line += &format!(" from {} {}", into.name_length, show_cut_address(&name[..changed]));
            }
            None => line += &format!(" no name {}", into.name_length),
        }
        if let Some(control) = &into.control {
            line += &format!(" control {}", into.control_length);
            for (level, kind, stated, data) in sys::controls(&control[..into.control_length]) {
                let kind = match (level, kind) {
                    (SOL_SOCKET, os::SCM_CREDENTIALS) => "CREDENTIALS".into(),
                    _ => kind.to_string(),
                };
                let level = match level {
                    SOL_SOCKET => "SOCKET".into(),
                    SOL_NETLINK => "NETLINK".into(),
                    other => format!("{other}"),
                };
                line += &format!(" [{level} {kind} len {stated} {}]", show_words(&data));
            }
        }
        say!("{line}");
        let all: Vec<u8> = into.parts.concat();
        for message in message::split(&all[..length.min(all.len())]) {
            say!("    {}", message::show(message));
        }
    }

    /// Receives until there is nothing.
    pub fn drain(&self) {
        while self.recv() {}
    }

    /// Receives until there is nothing; shows only how the messages' types follow each other, not what differs.
    pub fn drain_briefly(&self, room: usize) {
        for _ in 0..100 {
            let mut into = Incoming::of(room);
            let result = sys::recvmsg(self.raw(), &mut into, MSG_DONTWAIT);
            let Ok(length) = result else {
                say!("{}: recv: {}", self.name, outcome(&result));
                return;
            };
            let mut heads = message::split(&into.parts[0][..length.min(room)])
                .into_iter()
                .filter(|message| message.len() >= 16)
                .map(message::head)
                .collect::<Vec<_>>();
            heads.dedup();
            say!("{}: recv flags {} {heads:x?}", self.name, flags(into.flags));
        }
    }

    pub fn poll(&self) {
        let ready = sys::poll(self.raw(), libc::POLLIN | libc::POLLOUT | libc::POLLPRI, 0);
        let names = [
            (libc::POLLIN, "IN"),
            (libc::POLLOUT, "OUT"),
            (libc::POLLPRI, "PRI"),
            (libc::POLLERR, "ERR"),
            (libc::POLLHUP, "HUP"),
        ];
        let names: Vec<_> = names.iter().filter(|(bit, _)| ready & bit != 0).map(|(_, name)| *name).collect();
        say!("{}: poll {}", self.name, names.join("|"));
    }
}

/// Words of a control message, portids not among them.
fn show_words(data: &[u8]) -> String {
    let me = crate::say::me();
    let words = data.chunks(4).map(|word| match <[u8; 4]>::try_from(word) {
        Ok(word) if u32::from_ne_bytes(word) == me => "me".to_string(),
        Ok(word) => u32::from_ne_bytes(word).to_string(),
        Err(_) => hex(word),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn show_address(bytes: &[u8]) -> String {
    let at = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let family = os::family([bytes[0], bytes[1]]);
    let family = if family == AF_NETLINK { "netlink".into() } else { format!("family {family}") };
    format!("{family} {} {:#x}", portid(at(4)), at(8))
}

/// An address of which only the beginning may be there.
fn show_cut_address(bytes: &[u8]) -> String {
    let head = os::as_linux(bytes.get(..4).unwrap_or(bytes));
    match bytes.len() {
        0..4 => hex(&head),
        4..8 => format!("{} and {} bytes", hex(&head), bytes.len() - 4),
        8..12 => {
            let mut whole = bytes.to_vec();
            whole.resize(12, 0);
            format!("{} cut at {}", show_address(&whole), bytes.len())
        }
        _ => show_address(bytes),
    }
}
