//! The heads of datagrams: eight words each, in the machine's own byte order (both sides are on one machine).

/// Bytes of a [`Request`].
pub const REQUEST: usize = 32;
/// Bytes of an [`Answer`].
pub const ANSWER: usize = 32;
/// Bytes of an [`Arrival`].
pub const ARRIVAL: usize = 32;
/// Bytes of an [`Event`].
pub const EVENT: usize = 32;

/// In a [`Kind::Send`]'s `a`: nothing follows, the message is in a file in memory whose descriptor comes along.
pub const IN_FILE: u32 = 2;

/// Changes whenever a layout in this crate does; host and preload library must agree.
pub const VERSION: u32 = 3;

/// Tells our datagrams from somebody else's.
const MAGIC: u32 = 0x6c6e_6670; // "pfnl"
/// In an [`Arrival`]: the last of a batch.
const LAST: u32 = MAGIC ^ 1;

fn pack(words: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

fn unpack(bytes: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, place) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*place);
    }
    words
}

/// What a client asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// First datagram: become a netlink socket. `a` = version, `b` = type, `c` = protocol. Answered by an [`Answer`].
    Hello,
    /// First datagram: tell about the host. `a` = version. Answered by text until the end of the connection.
    Status,
    /// First datagram: tell what passes. `a` = version, `b` = the process to tell of, 0 = all. Answered by an [`Answer`],
    /// then by [`Event`]s until the end of the connection.
    Trace,
    /// This process has the descriptor but not the page. Carries a descriptor on which the [`Answer`] is given.
    Attach,
    /// A message follows; if less than all of it was taken, how much comes in the slot. `a` = 1 if a destination is named, plus [`IN_FILE`]; `b` = its portid, `c` = its groups.
    Send,
    /// Another operation on the socket; see [`Op`].
    Call(Op),
    /// Something was read (the page's counters say how much): go on with a dump, push what is queued.
    Read,
    /// Something is to be read that the connection does not show: it wants a nudge.
    Nudge,
}

/// Operations that are neither sending nor receiving.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// `a` = portid, `b` = groups.
    Bind,
    /// `a` = 1 to connect, 0 to disconnect, `b` = portid, `c` = groups.
    Connect,
    /// `a` = level, `b` = name; the value follows.
    SetOption,
    /// `a` = level, `b` = name; the value comes in the slot, from its byte `c` on.
    GetOption,
}

/// A client's datagram, up to its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// What is asked.
    pub kind: Kind,
    /// Where the result is awaited.
    pub slot: u32,
    /// The slot's tag; see [`crate::Page`].
    pub tag: u32,
    /// As `kind` says.
    pub a: u32,
    /// As `kind` says.
    pub b: u32,
    /// As `kind` says.
    pub c: u32,
}

impl Request {
    /// A request that waits on no slot and has no arguments.
    pub const fn new(kind: Kind) -> Request {
        Request { kind, slot: u32::MAX, tag: 0, a: 0, b: 0, c: 0 }
    }

    /// As it travels.
    pub fn to_bytes(self) -> [u8; REQUEST] {
        let kind = match self.kind {
            Kind::Hello => 1,
            Kind::Status => 2,
            Kind::Attach => 3,
            Kind::Send => 4,
            Kind::Read => 5,
            Kind::Nudge => 6,
            Kind::Trace => 7,
            Kind::Call(Op::Bind) => 16,
            Kind::Call(Op::Connect) => 17,
            Kind::Call(Op::SetOption) => 18,
            Kind::Call(Op::GetOption) => 19,
        };
        pack([MAGIC, kind, self.slot, self.tag, self.a, self.b, self.c, 0])
    }

    /// What travelled, if it is one of ours.
    pub fn from_bytes(bytes: &[u8; REQUEST]) -> Option<Request> {
        let [magic, kind, slot, tag, a, b, c, _] = unpack(bytes);
        let kind = match kind {
            1 => Kind::Hello,
            2 => Kind::Status,
            3 => Kind::Attach,
            4 => Kind::Send,
            5 => Kind::Read,
            6 => Kind::Nudge,
            7 => Kind::Trace,
            16 => Kind::Call(Op::Bind),
            17 => Kind::Call(Op::Connect),
            18 => Kind::Call(Op::SetOption),
            19 => Kind::Call(Op::GetOption),
            _ => return None,
        };
        (magic == MAGIC).then_some(Request { kind, slot, tag, a, b, c })
    }
}

/// The host's word on HELLO and ATTACH; the page's descriptor comes with it when `errno` is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The host's [`VERSION`].
    pub version: u32,
    /// Why not.
    pub errno: i32,
}

impl Answer {
    /// As it travels.
    pub fn to_bytes(self) -> [u8; ANSWER] {
        pack([MAGIC, self.version, self.errno.cast_unsigned(), 0, 0, 0, 0, 0])
    }

    /// What travelled, if it is one of ours.
    pub fn from_bytes(bytes: &[u8; ANSWER]) -> Option<Answer> {
        let [magic, version, errno, ..] = unpack(bytes);
        (magic == MAGIC).then_some(Answer { version, errno: errno.cast_signed() })
    }
}

/// In front of every message block that the host gives to a client.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Arrival {
    /// Nothing follows: it only wakes a client, for which something stands in the page.
    pub nudge: bool,
    /// The last of a batch, the others of which stand in the page.
    pub last: bool,
    /// Portid of the sender (0 is the kernel).
    pub pid: u32,
    /// The group it was sent to, as recvmsg(2)'s `nl_groups` mask.
    pub groups: u32,
    /// The group it was sent to, by number.
    pub group: u32,
    /// What reading it frees in the receive queue.
    pub charge: u32,
    /// Who sent it: process, user, group, for SCM_CREDENTIALS.
    pub sender: [u32; 3],
}

impl Arrival {
    /// As it travels.
    pub fn to_bytes(self) -> [u8; ARRIVAL] {
        let [pid, uid, gid] = self.sender;
        // The first word also tells our datagrams from others, should a descriptor be mistaken.
        let head = match (self.nudge, self.last) {
            (false, false) => MAGIC,
            (true, _) => !MAGIC,
            (false, true) => LAST,
        };
        pack([head, self.pid, self.groups, self.group, self.charge, pid, uid, gid])
    }

    /// What travelled, if it is one of ours.
    pub fn from_bytes(bytes: &[u8; ARRIVAL]) -> Option<Arrival> {
        let [head, pid, groups, group, charge, spid, uid, gid] = unpack(bytes);
        let (nudge, last) = match head {
            MAGIC => (false, false),
            LAST => (false, true),
            head if head == !MAGIC => (true, false),
            _ => return None,
        };
        Some(Arrival { nudge, last, pid, groups, group, charge, sender: [spid, uid, gid] })
    }
}

/// What a host tells who traces it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// A user sends what follows, to a portid and a group (0 is none).
    Sent {
        /// The other's portid, 0 = the kernel.
        peer: u32,
        /// The group, by its number.
        group: u32,
    },
    /// What was sent last could not be, with this errno.
    Refused(i32),
    /// What follows is queued for a user, from a portid and a group.
    Delivered {
        /// The other's portid, 0 = the kernel.
        peer: u32,
        /// The group, by its number.
        group: u32,
    },
    /// What was delivered last was lost, with this errno.
    Lost(i32),
    /// So many events were not told: who traces is too slow.
    Missed(u32),
    /// A family of generic netlink has this id; its name follows.
    Family(u16),
}

/// In front of what is told to who traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// What it is.
    pub told: Told,
    /// Of which process,
    pub pid: u32,
    /// which socket,
    pub portid: u32,
    /// and of which protocol.
    pub protocol: i32,
    /// When, in microseconds since 1970.
    pub time: u64,
}

impl Event {
    /// As it travels.
    pub fn to_bytes(self) -> [u8; EVENT] {
        let (kind, a, b) = match self.told {
            Told::Sent { peer, group } => (1, peer, group),
            Told::Refused(errno) => (2, errno.cast_unsigned(), 0),
            Told::Delivered { peer, group } => (3, peer, group),
            Told::Lost(errno) => (4, errno.cast_unsigned(), 0),
            Told::Missed(count) => (5, count, 0),
            Told::Family(id) => (6, id.into(), 0),
        };
        let (low, high) = (self.time as u32, (self.time >> 32) as u32);
        pack([
            MAGIC.wrapping_add(kind),
            self.pid,
            self.portid,
            a,
            b,
            self.protocol.cast_unsigned(),
            low,
            high,
        ])
    }

    /// What travelled, if it is one of ours.
    pub fn from_bytes(bytes: &[u8; EVENT]) -> Option<Event> {
        let [kind, pid, portid, a, b, protocol, low, high] = unpack(bytes);
        let told = match kind.wrapping_sub(MAGIC) {
            1 => Told::Sent { peer: a, group: b },
            2 => Told::Refused(a.cast_signed()),
            3 => Told::Delivered { peer: a, group: b },
            4 => Told::Lost(a.cast_signed()),
            5 => Told::Missed(a),
            6 => Told::Family(u16::try_from(a).ok()?),
            _ => return None,
        };
        let time = u64::from(high) << 32 | u64::from(low);
        Some(Event { told, pid, portid, protocol: protocol.cast_signed(), time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks() {
        let ops = [Op::Bind, Op::Connect, Op::SetOption, Op::GetOption].map(Kind::Call);
        let kinds =
            [Kind::Hello, Kind::Status, Kind::Trace, Kind::Attach, Kind::Send, Kind::Read, Kind::Nudge];
        for kind in kinds.into_iter().chain(ops) {
            let request = Request { kind, slot: 3, tag: 0x1234_5678, a: u32::MAX, b: 7, c: 9 };
            assert_eq!(Request::from_bytes(&request.to_bytes()), Some(request));
        }
        for (nudge, last) in [(false, false), (true, false), (false, true)] {
            let arrival = Arrival { nudge, last, pid: 1, groups: 2, group: 3, charge: 4, sender: [5, 6, 7] };
            assert_eq!(Arrival::from_bytes(&arrival.to_bytes()), Some(arrival));
        }
        let answer = Answer { version: VERSION, errno: -3 };
        assert_eq!(Answer::from_bytes(&answer.to_bytes()), Some(answer));
    }

    #[test]
    fn what_is_told_unpacks() {
        let all = [
            Told::Sent { peer: 1, group: 2 },
            Told::Refused(111),
            Told::Delivered { peer: u32::MAX, group: 0 },
            Told::Lost(105),
            Told::Missed(7),
            Told::Family(30),
        ];
        for told in all {
            let event = Event { told, pid: 1, portid: 2, protocol: 12, time: u64::MAX - 5 };
            assert_eq!(Event::from_bytes(&event.to_bytes()), Some(event));
        }
        assert_eq!(Event::from_bytes(&Arrival::default().to_bytes()), None);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Request::from_bytes(&[0; 32]), None);
        assert_eq!(Arrival::from_bytes(&[0; 32]), None);
        assert_eq!(Answer::from_bytes(&[7; 32]), None);
        let mut bytes = Request::new(Kind::Read).to_bytes();
        bytes[4] = 200;
        assert_eq!(Request::from_bytes(&bytes), None);
    }
}
