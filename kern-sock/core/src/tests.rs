//! The family as a user sees it: what goes in, what comes out.

use crate::{
    Block, Bus, Context, Credentials, Delivery, Domain, Dump, DumpBlock, Endpoint, FamilyDef, Hook,
    NETLINK_GENERIC, Op, Progress, SockAddr, SockType, Socket, Verdict,
};
use pfnl_platform::{Errno, Shared, User};
use pfnl_proto::ack::Ack;
use pfnl_proto::msg::{self, Header, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_ECHO, NLM_F_REQUEST, NLMSG_DONE};
use pfnl_proto::nlctrl::{self, ctrl};
use pfnl_proto::{Attrs, Error, Level, Writer, genl};

const ROOT: Credentials = Credentials { pid: 100, uid: 0, gid: 0, net_admin: true, net_broadcast: true };
const NOBODY: Credentials =
    Credentials { pid: 200, uid: 65534, gid: 65534, net_admin: false, net_broadcast: false };

struct Silent;
impl Delivery for Silent {
    fn wake(&self) {}
}

fn domain() -> Shared<Domain<User>> {
    Domain::try_new().unwrap()
}

fn open(domain: &Shared<Domain<User>>, who: Credentials) -> Socket<User> {
    Domain::open(domain, SockType::Raw, NETLINK_GENERIC, who, Box::new(Silent)).unwrap()
}

fn request(kind: u16, flags: u16, cmd: u8, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(
        Header { kind, flags: NLM_F_REQUEST | flags, seq: 7, portid: 0, len: 0 },
        |w| {
            w.raw_fixed(&genl::Header { cmd, version: 1, reserved: 0 });
            fill(w);
        },
    );
    bytes
}

fn recv(socket: &Socket<User>) -> Option<Block> {
    let block = socket.take()?;
    socket.read(block.charge, 8192);
    Some(block)
}

/// The errno of the acknowledgement that is next in the queue.
fn ack(socket: &Socket<User>) -> i32 {
    let block = recv(socket).unwrap();
    Ack::read(&Messages::new(&block.bytes).next().unwrap()).unwrap().error
}

fn names_in(block: &Block) -> Vec<String> {
    Messages::new(&block.bytes)
        .filter(|message| message.header.kind == genl::GENL_ID_CTRL)
        .map(|message| {
            let attrs = Attrs::new(&message.payload()[4..], 20);
            let view = ctrl::View::parse(attrs, Level::Liberal).unwrap();
            String::from_utf8_lossy(view.family_name().unwrap()).into_owned()
        })
        .collect()
}

/// A family for tests: ECHO answers, GUARDED needs privilege, LIST dumps 100 numbers.
struct Sample;
const SAMPLE: FamilyDef<Sample> = FamilyDef {
    name: "sample",
    version: 3,
    hdrsize: 4,
    table: Some(&ctrl::TABLE),
    ops: &[
        Op {
            cmd: 1,
            flags: 0,
            table: None,
            level: Level::Liberal,
            run: Some(echo),
            dump: None,
            dump_validated: true,
        },
        Op {
            cmd: 2,
            flags: genl::GENL_UNS_ADMIN_PERM,
            table: None,
            level: Level::Liberal,
            run: Some(|_, _| Ok(())),
            dump: None,
            dump_validated: true,
        },
        Op {
            cmd: 3,
            flags: 0,
            table: None,
            level: Level::Liberal,
            run: None,
            dump: Some(|_, _| Ok(Box::new(Numbers(0)))),
            dump_validated: true,
        },
    ],
    groups: &["first", "second"],
    admin_groups: &[],
};

fn echo(_: &Shared<Sample>, context: &mut Context<'_>) -> Result<(), Error> {
    let header: u32 = context.request.user_header()?;
    context.notify(1, 1, |w| {
        w.raw_fixed(&header);
    })
}

struct Numbers(u32);
impl Dump for Numbers {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while self.0 < 1000 {
            if !block.record(3, |w| {
                w.raw_fixed(&self.0);
            })? {
                return Ok(Progress::More);
            }
            self.0 += 1;
        }
        Ok(Progress::Done)
    }
}

#[test]
fn getfamily_by_name_answers_then_acknowledges() {
    let socket = open(&domain(), ROOT);
    let ask = |name: &'static [u8]| {
        request(16, NLM_F_ACK, nlctrl::cmd::GETFAMILY, |w| {
            ctrl::Put(w).family_name(name);
        })
    };
    socket.send(None, &ask(b"nlctrl"), &ROOT).unwrap();
    assert_eq!(names_in(&recv(&socket).unwrap()), ["nlctrl"]);
    assert_eq!(ack(&socket), 0);
    socket.send(None, &ask(b"nosuch"), &ROOT).unwrap();
    assert_eq!(ack(&socket), -Errno::ENOENT.linux());
}

#[test]
fn the_bytes_of_nlctrl_are_linuxs() {
    let socket = open(&domain(), ROOT);
    let ask = request(16, 0, nlctrl::cmd::GETFAMILY, |w| {
        ctrl::Put(w).family_name(b"nlctrl");
    });
    socket.send(None, &ask, &ROOT).unwrap();
    let block = recv(&socket).unwrap();
    // Linux 6.12's answer, from the generic header on.
    let linux = "010200000b0002006e6c6374726c000006000100100000000800030002000000080004000000000008000500000000002c000600\
                 140001000800010003000000080002000e00000014000200080001000a000000080002000c0000001c00070018000100080002\
                 00100000000b0001006e6f746966790000";
    let ours: String = block.bytes[16..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ours, linux.replace(' ', ""));
}

#[test]
fn policies_are_dumped_as_linux_dumps_them() {
    let socket = open(&domain(), ROOT);
    let ask = request(16, NLM_F_DUMP, nlctrl::cmd::GETPOLICY, |w| {
        ctrl::Put(w).family_name(b"nlctrl");
    });
    socket.send(None, &ask, &ROOT).unwrap();
    let block = recv(&socket).unwrap();
    // Linux 6.12's bodies, from the attributes on, in its order.
    let linux = [
        "0600010010000000180009801400038008000100000000000800020000000000",
        "0600010010000000100009800c000a800800020001000000",
        "06000100100000002c00088028000080240001800c00040000000000000000000c000500ffff0000000000000800010003000000",
        "06000100100000001c0008801800008014000280080007000f000000080001000c000000",
        "06000100100000002c00088028000180240001800c00040000000000000000000c000500ffff0000000000000800010003000000",
        "06000100100000001c0008801800018014000280080007000f000000080001000c000000",
        "06000100100000002c0008802800018024000a800c00040000000000000000000c000500ffffffff000000000800010004000000",
    ];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let ours: Vec<_> = Messages::new(&block.bytes).map(|message| hex(&message.payload()[4..])).collect();
    assert_eq!(ours, linux);
}

#[test]
fn errors_come_in_linuxs_order() {
    let domain = domain();
    let info = domain.register(&SAMPLE, Shared::try_new(Sample).unwrap()).unwrap();
    let socket = open(&domain, NOBODY);
    let cases: &[(u16, u8, &[u8], Errno)] = &[
        (60, 1, &[0; 4], Errno::ENOENT),
        (info.id, 99, &[], Errno::EINVAL),
        (info.id, 99, &[0; 4], Errno::EOPNOTSUPP),
        (info.id, 2, &[0; 4], Errno::EPERM),
        (info.id, 3, &[0; 4], Errno::EOPNOTSUPP),
    ];
    for &(kind, cmd, body, errno) in cases {
        let bytes = request(kind, 0, cmd, |w| {
            w.raw(body);
        });
        socket.send(None, &bytes, &NOBODY).unwrap();
        assert_eq!(ack(&socket), -errno.linux(), "{kind} {cmd}");
    }
}

#[test]
fn privilege_is_asked_of_opener_and_sender() {
    let domain = domain();
    let info = domain.register(&SAMPLE, Shared::try_new(Sample).unwrap()).unwrap();
    for (opener, sender, errno) in [(ROOT, ROOT, 0), (ROOT, NOBODY, -1), (NOBODY, ROOT, -1)] {
        let socket = open(&domain, opener);
        let bytes = request(info.id, NLM_F_ACK, 2, |w| {
            w.raw(&[0; 4]);
        });
        socket.send(None, &bytes, &sender).unwrap();
        assert_eq!(ack(&socket), errno);
    }
}

#[test]
fn a_dump_goes_on_as_it_is_read_and_ends_once() {
    let domain = domain();
    let info = domain.register(&SAMPLE, Shared::try_new(Sample).unwrap()).unwrap();
    let socket = open(&domain, ROOT);
    let start = request(info.id, NLM_F_DUMP, 3, |w| {
        w.raw(&[0; 4]);
    });
    socket.send(None, &start, &ROOT).unwrap();
    assert!(socket.dump_running());
    socket.send(None, &start, &ROOT).unwrap();
    let mut seen = Vec::new();
    let (mut blocks, mut busy, mut done) = (0, 0, 0);
    while let Some(block) = recv(&socket) {
        blocks += 1;
        for message in Messages::new(&block.bytes) {
            match message.header.kind {
                msg::NLMSG_ERROR => {
                    assert_eq!(Ack::read(&message).unwrap().error, -Errno::EBUSY.linux());
                    busy += 1;
                }
                NLMSG_DONE => done += 1,
                _ => seen.push(u32::from_ne_bytes(message.payload()[4..8].try_into().unwrap())),
            }
        }
    }
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    assert_eq!((busy, done), (1, 1));
    assert!(blocks > 4 && !socket.dump_running());
}

#[test]
fn an_echo_goes_to_the_requester_and_a_copy_to_the_group() {
    let domain = domain();
    let info = domain.register(&SAMPLE, Shared::try_new(Sample).unwrap()).unwrap();
    let (socket, listener) = (open(&domain, ROOT), open(&domain, NOBODY));
    let group = info.group(1);
    assert!(!domain.has_listeners(group));
    listener.set_option(270, 1, &group.0.to_ne_bytes(), &NOBODY).unwrap();
    assert!(domain.has_listeners(group));
    let bytes = request(info.id, NLM_F_ECHO, 1, |w| {
        w.raw(&[9, 0, 0, 0]);
    });
    socket.send(None, &bytes, &ROOT).unwrap();
    let (own, copy) = (recv(&socket).unwrap(), recv(&listener).unwrap());
    assert_eq!((own.group, copy.group), (0, group.0));
    assert_eq!(own.bytes, copy.bytes);
    listener.close();
    assert!(!domain.has_listeners(group));
}

#[test]
fn a_message_to_a_group_goes_to_its_members_and_to_whom_it_is_addressed() {
    let domain = domain();
    let (sender, member, named) = (open(&domain, ROOT), open(&domain, ROOT), open(&domain, ROOT));
    for socket in [&sender, &member, &named] {
        socket.bind(SockAddr { portid: 0, groups: 4 }, &ROOT).unwrap();
    }
    let ask = request(16, 0, nlctrl::cmd::GETFAMILY, |w| {
        ctrl::Put(w).family_name(b"nlctrl");
    });
    // The kernel is addressed by portid 0.
    sender.send(Some(SockAddr { portid: 0, groups: 4 }), &ask, &ROOT).unwrap();
    assert_eq!(names_in(&recv(&sender).unwrap()), ["nlctrl"]);
    let copy = recv(&member).unwrap();
    assert_eq!((copy.bytes, copy.group, copy.from.portid), (ask.clone(), 3, sender.name().portid));
    assert_eq!(recv(&named).unwrap().group, 3);
    // Another user gets it once, not as a member too.
    let to = SockAddr { portid: named.name().portid, groups: 4 };
    sender.send(Some(to), &ask, &ROOT).unwrap();
    assert_eq!((recv(&named).unwrap().group, recv(&named).map(|block| block.group)), (3, None));
    assert_eq!(recv(&member).unwrap().group, 3);
    assert!(recv(&sender).is_none());
}

#[test]
fn nlctrl_tells_of_families_that_come_and_go() {
    let domain = domain();
    let listener = open(&domain, NOBODY);
    listener.set_option(270, 1, &16u32.to_ne_bytes(), &NOBODY).unwrap();
    listener.bind(SockAddr { portid: 0, groups: 1 << 15 }, &NOBODY).unwrap();
    let deaf = open(&domain, NOBODY); // as on Linux: it is not bound
    deaf.set_option(270, 1, &16u32.to_ne_bytes(), &NOBODY).unwrap();
    let info = domain.register(&SAMPLE, Shared::try_new(Sample).unwrap()).unwrap();
    domain.unregister(info).unwrap();
    let cmds: Vec<u8> = std::iter::from_fn(|| recv(&listener)).map(|block| block.bytes[16]).collect();
    use nlctrl::cmd::*;
    assert_eq!(cmds, [NEWFAMILY, NEWMCAST_GRP, NEWMCAST_GRP, DELMCAST_GRP, DELMCAST_GRP, DELFAMILY]);
    assert!(recv(&deaf).is_none());
}

#[test]
fn portids_are_unique_and_bind_once() {
    let domain = domain();
    let (a, b) = (open(&domain, ROOT), open(&domain, ROOT));
    assert_eq!(a.name().portid, 0);
    a.connect(Some(SockAddr::default()), &ROOT).unwrap();
    b.connect(Some(SockAddr::default()), &ROOT).unwrap();
    assert_eq!(a.name().portid, ROOT.pid);
    assert!(b.name().portid > i32::MAX as u32);
    let at = |portid| SockAddr { portid, groups: 0 };
    assert_eq!(open(&domain, ROOT).bind(at(ROOT.pid), &ROOT), Err(Errno::EADDRINUSE));
    assert_eq!(a.bind(at(5), &ROOT), Err(Errno::EINVAL));
    assert_eq!(a.bind(at(ROOT.pid), &ROOT), Ok(()));
    a.close();
    assert_eq!(open(&domain, ROOT).bind(at(ROOT.pid), &ROOT), Ok(()));
}

#[test]
fn sends_that_cannot_be() {
    let socket = open(&domain(), NOBODY);
    assert_eq!(socket.send(None, &[], &NOBODY), Err(Errno::ENODATA));
    let to = |portid, groups| Some(SockAddr { portid, groups });
    assert_eq!(socket.send(to(12345, 0), &[0; 16], &NOBODY), Err(Errno::EPERM));
    assert_eq!(socket.send(to(12345, 0), &[0; 16], &ROOT), Err(Errno::ECONNREFUSED));
    assert_eq!(socket.send(to(0, 1), &[0; 16], &NOBODY), Err(Errno::EPERM));
    assert_eq!(socket.send(None, &vec![0; 212_992], &NOBODY), Err(Errno::EMSGSIZE));
}

#[test]
fn buffers_double_and_forcing_needs_privilege() {
    let domain = domain();
    let socket = open(&domain, NOBODY);
    let rcvbuf = || {
        let mut out = Vec::new();
        socket.option(1, 8, &mut out).unwrap();
        i32::from_ne_bytes(out.try_into().unwrap())
    };
    socket.set_option(1, 8, &32768i32.to_ne_bytes(), &NOBODY).unwrap();
    assert_eq!(rcvbuf(), 65536);
    assert_eq!(socket.set_option(1, 33, &4_194_304i32.to_ne_bytes(), &NOBODY), Err(Errno::EPERM));
    socket.set_option(1, 33, &4_194_304i32.to_ne_bytes(), &ROOT).unwrap();
    assert_eq!(rcvbuf(), 8_388_608);
    assert_eq!(socket.set_option(270, 6, &[0; 4], &ROOT), Err(Errno::ENOPROTOOPT));
    assert_eq!(socket.set_option(270, 1, &0u32.to_ne_bytes(), &ROOT), Err(Errno::EINVAL));
    assert_eq!(socket.set_option(270, 8, &1u32.to_ne_bytes(), &NOBODY), Err(Errno::EPERM));
}

#[test]
fn a_shut_down_domain_is_freed() {
    let state = Shared::try_new(Sample).unwrap();
    let domain = domain();
    domain.register(&SAMPLE, state.clone()).unwrap();
    let socket = open(&domain, ROOT);
    socket.close();
    drop(socket);
    domain.shut_down();
    assert_eq!((Shared::handles(&domain), Shared::handles(&state)), (1, 1));
}

#[test]
fn garbage_never_panics() {
    let socket = open(&domain(), ROOT);
    let mut state = 1u32;
    for _ in 0..20_000 {
        let mut bytes = vec![0u8; (state % 80) as usize + 1];
        for byte in &mut bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        // Often a length that fits, a family that exists, a command that does.
        if bytes.len() >= 20 && state & 1 == 0 {
            let len = bytes.len() as u8;
            bytes[0..8].copy_from_slice(&[len, 0, 0, 0, 16, 0, 5, (state >> 9) as u8 & 3]);
            bytes[16] = [3, 10][(state >> 12) as usize % 2];
        }
        let _ = socket.send(None, &bytes, &ROOT);
        while recv(&socket).is_some() {}
    }
}

/// Notes what passes, and makes trouble by sequence number.
#[derive(Default)]
struct Meddler {
    seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Hook for Meddler {
    fn sent(&self, from: Endpoint, to: SockAddr, bytes: &[u8]) {
        self.seen.lock().unwrap().push(format!("{} sends {} to {}", from.pid, bytes.len(), to.portid));
    }

    fn refused(&self, from: Endpoint, errno: Errno) {
        self.seen.lock().unwrap().push(format!("{} gets {}", from.pid, errno.name()));
    }

    fn request(&self, _: Endpoint, request: &msg::Message<'_>) -> Option<Result<(), Error>> {
        (request.header.seq == 1).then_some(Err(Error::new(Errno::EBUSY).text("so it was said")))
    }

    fn deliver(&self, to: Endpoint, block: &mut Block) -> Verdict {
        self.seen.lock().unwrap().push(format!("{} is given {}", to.pid, block.bytes.len()));
        match Messages::new(&block.bytes).next().unwrap().header.seq {
            2 => Verdict::Lose,
            3 => Verdict::Overrun,
            5 => Verdict::After(Errno::EAGAIN),
            _ => Verdict::Pass,
        }
    }

    fn dump(&self, _: Endpoint, seq: u32) -> Option<Error> {
        (seq == 6).then_some(Error::new(Errno::ENOMEM))
    }
}

#[test]
fn a_hook_sees_and_meddles() {
    let meddler = Meddler::default();
    let seen = std::sync::Arc::clone(&meddler.seen);
    let domain = Domain::<User>::with_hook(Box::new(meddler)).unwrap();
    let socket = open(&domain, ROOT);
    let ask = |seq: u32| {
        let mut bytes = request(16, NLM_F_ACK, nlctrl::cmd::GETFAMILY, |w| {
            ctrl::Put(w).family_name(b"none");
        });
        bytes[8..12].copy_from_slice(&seq.to_ne_bytes());
        bytes
    };
    let len = ask(0).len();
    let given = 16 + 4 + len;
    socket.send(None, &ask(1), &ROOT).unwrap();
    assert_eq!(ack(&socket), -Errno::EBUSY.linux());
    socket.send(None, &ask(2), &ROOT).unwrap();
    assert!(recv(&socket).is_none() && socket.take_error().is_none());
    socket.send(None, &ask(3), &ROOT).unwrap();
    assert!(recv(&socket).is_none());
    assert_eq!(socket.take_error(), Some(Errno::ENOBUFS));
    socket.send(None, &ask(4), &ROOT).unwrap();
    assert_eq!(ack(&socket), -Errno::ENOENT.linux());
    let to = SockAddr { portid: 9999, groups: 0 };
    assert_eq!(socket.send(Some(to), b"x", &ROOT), Err(Errno::ECONNREFUSED));
    socket.send(None, &ask(5), &ROOT).unwrap();
    assert_eq!(socket.take_error(), Some(Errno::EAGAIN));
    assert_eq!(ack(&socket), -Errno::ENOENT.linux());
    let mut seen = seen.lock().unwrap();
    seen.drain(10..).for_each(drop);
    assert_eq!(seen.split_off(8), ["100 sends 1 to 9999", "100 gets ECONNREFUSED"]);
    for pair in seen.chunks(2) {
        assert_eq!(pair, [format!("100 sends {len} to 0"), format!("100 is given {given}")]);
    }
}

#[test]
fn a_hook_ends_a_dump() {
    let domain = Domain::<User>::with_hook(Box::new(Meddler::default())).unwrap();
    let socket = open(&domain, ROOT);
    for (seq, families, outcome) in [(7_u32, 1, 0), (6, 0, -Errno::ENOMEM.linux())] {
        let mut dump = request(16, NLM_F_DUMP, nlctrl::cmd::GETFAMILY, |_| {});
        dump[8..12].copy_from_slice(&seq.to_ne_bytes());
        socket.send(None, &dump, &ROOT).unwrap();
        let mut given = Vec::new();
        while let Some(block) = recv(&socket) {
            given.extend(block.bytes);
        }
        let messages: Vec<_> = Messages::new(&given).collect();
        assert_eq!(messages.len(), families + 1);
        let done = messages.last().unwrap();
        assert_eq!(
            (done.header.kind, done.payload().first_chunk()),
            (NLMSG_DONE, Some(&outcome.to_ne_bytes()))
        );
        assert!(!socket.dump_running());
    }
}
