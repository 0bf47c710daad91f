//! From a datagram to its answers: the run of messages, acknowledgements, generic netlink's checks, dumps.

use crate::SockAddr;
use crate::addr::Credentials;
use crate::dump::{Dump, DumpBlock, Progress};
use crate::family::{Context, Request};
use crate::protocol::{Admission, Call, Handled};
use crate::queue::{self, Block};
use crate::registry::{FamilyInfo, OpInfo, Registered};
use crate::socket::State;
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Mutex, Platform, Shared};
use pfnl_proto::ack::{self, Extack, Style};
use pfnl_proto::msg::{
    Message, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_ECHO, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_MIN_TYPE,
};
use pfnl_proto::{Attrs, Error, Fixed, Level, Policy, Validated, Writer, align, genl};

/// The most a dump block holds: 32 KiB less what Linux keeps behind it.
const DUMP_MAX: usize = 32768 - queue::BEHIND;
/// What a dump block holds as long as the user has offered no larger buffer.
const DUMP_MIN: usize = queue::PAGE_ROOM;

/// Handles the requests in a datagram, one after the other; one that fails does not stop those after it.
pub(crate) fn handle<P: Platform>(socket: &Shared<State<P>>, datagram: &[u8], sender: &Credentials) {
    let _requests = socket.domain.requests.lock();
    if let Some(protocol) = &socket.domain.protocol {
        let Some(first) = Messages::new(datagram).next() else { return };
        let privileged = sender.net_admin && socket.opener.net_admin;
        let admission = match socket.domain.has_ended() {
            true => Admission::Refuse(Errno::EOPNOTSUPP),
            false => protocol.admit(&first, privileged),
        };
        match admission {
            Admission::Run => {}
            Admission::Refuse(errno) => return acknowledge(socket, &first, Err(errno), &Extack::default()),
            Admission::Ignore => return,
        }
    }
    for message in Messages::new(datagram) {
        let mut extack = Extack::default();
        let requested = message.header.flags & NLM_F_REQUEST != 0 && message.header.kind >= NLMSG_MIN_TYPE;
        let outcome = match &socket.domain.hook {
            _ if !requested => Ok(Answer::Ack),
            Some(hook) => match hook.request(socket.sender(sender), &message) {
                Some(outcome) => outcome.map(|()| Answer::Ack),
                None => request(socket, &message, sender, &mut extack),
            },
            None => request(socket, &message, sender, &mut extack),
        };
        let outcome = match outcome {
            // A dump that has begun is acknowledged by its end.
            Ok(Answer::Dump) => continue,
            Ok(Answer::Ack) => Ok(()),
            Err(error) => Err(error),
        };
        let outcome = extack.record(outcome);
        if outcome.is_err() || message.header.flags & NLM_F_ACK != 0 {
            acknowledge(socket, &message, outcome, &extack);
        }
    }
}

enum Answer {
    Ack,
    Dump,
}

fn acknowledge<P: Platform>(
    socket: &State<P>,
    message: &Message<'_>,
    outcome: Result<(), Errno>,
    extack: &Extack,
) {
    let mut bytes = Vec::new();
    let style = socket.binding.lock().options.ack_style();
    let mut w = Writer::new(&mut bytes);
    ack::write_ack(&mut w, message, socket.portid(), outcome, extack, style);
    match w.finish() {
        // A full queue has told its user; there is nobody else to tell.
        Ok(()) => drop(socket.deliver_from_kernel(bytes, extack.reserved(style))),
        Err(_) => socket.fail(Errno::ENOBUFS),
    }
}

/// What Linux sets aside for an acknowledgement beyond what it then writes: limits of a policy that it leaves out.
trait Reserved {
    fn reserved(&self, style: Style) -> usize;
}

impl Reserved for Extack {
    fn reserved(&self, style: Style) -> usize {
        let row = self.error.and_then(|error| error.row).filter(|_| style.extended);
        match row.map(|row| row.policy) {
            Some(Policy::String(_) | Policy::NulString(_) | Policy::Uint(..) | Policy::Sint(..)) => 8,
            Some(Policy::Binary(min, max)) if min == 0 || max == 0 => 8,
            _ => 0,
        }
    }
}

/// Hands a request to whoever answers the socket's protocol.
fn request<P: Platform>(
    socket: &Shared<State<P>>,
    message: &Message<'_>,
    sender: &Credentials,
    extack: &mut Extack,
) -> Result<Answer, Error> {
    let Some(protocol) = &socket.domain.protocol else {
        return generic(socket, message, sender, extack);
    };
    let portid = socket.portid();
    let mut call = Call { message: *message, portid, sender: *sender, extack, bus: &*socket.domain };
    match protocol.request(&mut call)? {
        Handled::Done => Ok(Answer::Ack),
        Handled::Dump(dump) => {
            if socket.dump.lock().is_some() {
                return Err(Error::new(Errno::EBUSY));
            }
            begin_dump(socket, dump, FamilyInfo::NONE, message.header.seq)?;
            Ok(Answer::Dump)
        }
    }
}

/// Checks a request in Linux's order: family, header, reserved bits, command, privilege, attributes.
fn generic<P: Platform>(
    socket: &Shared<State<P>>,
    message: &Message<'_>,
    sender: &Credentials,
    extack: &mut Extack,
) -> Result<Answer, Error> {
    let registered = socket.domain.family(message.header.kind).ok_or(Error::new(Errno::ENOENT))?;
    let family = &*registered.family;
    let header = genl::Header::read(message.payload()).ok_or(Error::new(Errno::EINVAL))?;
    let user_header = genl::USER_HEADER..genl::USER_HEADER.saturating_add(family.hdrsize());
    let user_header = message.bytes.get(user_header).ok_or(Error::new(Errno::EINVAL))?;
    let op =
        (0..).map_while(|index| family.op(index).map(|op| (index, op))).find(|(_, op)| op.cmd == header.cmd);
    let dump = message.header.flags & NLM_F_DUMP == NLM_F_DUMP;
    let newest = (0..).map_while(|index| family.op(index)).map(|op| op.cmd).max();
    if newest.is_none_or(|newest| header.cmd > newest) {
        check_reserved(message.header.flags, header.reserved)?;
    }
    let (index, op) = op.ok_or(Error::new(Errno::EOPNOTSUPP))?;
    let needed = if dump { genl::GENL_CMD_CAP_DUMP } else { genl::GENL_CMD_CAP_DO };
    if op.flags & needed == 0 {
        return Err(Error::new(Errno::EOPNOTSUPP));
    }
    if op.flags & (genl::GENL_ADMIN_PERM | genl::GENL_UNS_ADMIN_PERM) != 0
        && !(sender.net_admin && socket.opener.net_admin)
    {
        return Err(Error::new(Errno::EPERM));
    }
    // Dumps that are validated at all are validated strictly, whatever the command's habit is.
    let level = match dump {
        false => Some(op.level),
        true => op.dump_validated.then_some(Level::Strict),
    };
    let (attrs, validated) = attributes(&registered, &op, level, message, extack)?;
    let request = Request {
        header: message.header,
        genl: header,
        user_header,
        attrs,
        validated,
        portid: socket.portid(),
        sender: *sender,
    };
    if dump {
        start_dump(socket, &registered, index, &request)?;
        return Ok(Answer::Dump);
    }
    let mut context = Context { request, family: registered.info, extack, bus: &*socket.domain };
    family.run(index, &mut context)?;
    Ok(Answer::Ack)
}

/// The attributes behind a family's user header, validated by its command's table.
fn attributes<'a>(
    registered: &Registered,
    op: &OpInfo,
    level: Option<Level>,
    message: &Message<'a>,
    extack: &mut Extack,
) -> Result<(Attrs<'a>, Validated<'a>), Error> {
    let start = align(genl::USER_HEADER.saturating_add(registered.family.hdrsize()));
    let bytes = message.bytes.get(start..).unwrap_or_default();
    let attrs = Attrs::new(bytes, u32::try_from(start).unwrap_or(u32::MAX));
    if let (Some(table), Some(level)) = (op.table, level) {
        let validated = Validated::parse(attrs, table, level)?;
        extack.text = validated.warning();
        return Ok((attrs, validated));
    }
    Ok((attrs, Validated::later(attrs)))
}

/// What a header holds back for later must be 0 in requests for commands that are newer than this rule. Linux has it
/// since 6.1, and all of the families here had their commands before: it meets those that do not exist (yet).
fn check_reserved(flags: u16, reserved: u16) -> Result<(), Error> {
    let flags = if flags & NLM_F_DUMP == NLM_F_DUMP { flags & !NLM_F_DUMP } else { flags };
    let refuse = |text| Err(Error::new(Errno::EINVAL).text(text));
    if reserved != 0 {
        return refuse("genlmsghdr.reserved field is not 0");
    }
    if flags & !(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO) != 0 {
        return refuse("ambiguous or reserved bits set in nlmsg_flags");
    }
    Ok(())
}

/// A dump in progress on a socket.
pub(crate) struct DumpState {
    /// None once its family is gone.
    dump: Option<Box<dyn Dump>>,
    family: FamilyInfo,
    seq: u32,
    portid: u32,
    style: Style,
    /// Set once nothing more is to come but the end.
    ended: Option<Result<(), Error>>,
}

impl DumpState {
    /// Ends it because its family goes, if it is that one's.
    pub(crate) fn end(&mut self, family: FamilyInfo) -> Option<Box<dyn Dump>> {
        if self.family != family {
            return None;
        }
        let dump = self.dump.take()?;
        self.ended.get_or_insert(Err(Error::new(Errno::ENOENT)));
        Some(dump)
    }
}

fn start_dump<P: Platform>(
    socket: &Shared<State<P>>,
    registered: &Registered,
    op: usize,
    request: &Request<'_>,
) -> Result<(), Error> {
    if socket.dump.lock().is_some() {
        return Err(Error::new(Errno::EBUSY));
    }
    let dump = registered.family.dump(op, request)?;
    begin_dump(socket, dump, registered.info, request.header.seq)
}

fn begin_dump<P: Platform>(
    socket: &Shared<State<P>>,
    dump: Box<dyn Dump>,
    family: FamilyInfo,
    seq: u32,
) -> Result<(), Error> {
    socket.settle();
    let style = socket.binding.lock().options.ack_style();
    let state = DumpState { dump: Some(dump), family, seq, portid: socket.portid(), style, ended: None };
    *socket.dump.lock() = Some(state);
    Ok(next_block(socket)?)
}

/// Goes on with a dump after its user has read.
pub(crate) fn continue_dump<P: Platform>(socket: &Shared<State<P>>) {
    let _requests = socket.domain.requests.lock();
    if socket.has_room_for_dump()
        && let Err(errno) = next_block(socket)
    {
        socket.fail(errno);
    }
}

/// Makes and queues the next block of a dump, or its end. The request lock is held.
///
/// A block is charged for what it could hold, so it may not fit though there is room for dumps at all: the dump stays,
/// and goes on at the next read that finds room.
fn next_block<P: Platform>(socket: &State<P>) -> Result<(), Errno> {
    let Some(mut state) = socket.dump.lock().take() else { return Ok(()) };
    let size = socket.buffer().clamp(DUMP_MIN, DUMP_MAX);
    let charge = socket.domain.charging().of(size);
    let mut bytes = Vec::new();
    if !socket.has_room_for_block(charge) || bytes.try_reserve_exact(size).is_err() {
        *socket.dump.lock() = Some(state);
        return Err(Errno::ENOBUFS);
    }
    let mut writer = Writer::with_limit(&mut bytes, size);
    let mut joined = false;
    let flags = state.dump.as_ref().map_or(0, |dump| dump.flags());
    if let (None, Some(hook)) = (state.ended, &socket.domain.hook)
        && let Some(error) = hook.dump(socket.endpoint(), state.seq)
    {
        state.ended = Some(Err(error));
    }
    if state.ended.is_none()
        && let Some(dump) = &mut state.dump
    {
        let (family, seq, portid) = (state.family, state.seq, state.portid);
        let mut block = DumpBlock { writer: &mut writer, family, seq, portid, flags };
        match dump.next(&mut block) {
            Ok(Progress::More) if !block.is_empty() => {}
            Ok(progress) => {
                state.ended = Some(Ok(()));
                joined = progress == Progress::End;
            }
            Err(error) => state.ended = Some(Err(error)),
        }
    }
    let done = match state.ended {
        Some(outcome) if joined || writer.is_empty() => {
            let mut extack = Extack::default();
            let outcome = extack.record(outcome);
            let mark = writer.mark();
            ack::write_done(
                &mut writer,
                state.seq,
                state.portid,
                NLM_F_MULTI | flags,
                outcome,
                &extack,
                state.style,
            );
            let fits = writer.result().is_ok();
            if !fits {
                writer.rewind(mark);
            }
            fits
        }
        _ => false,
    };
    if !done {
        *socket.dump.lock() = Some(state);
    }
    drop(writer);
    // Queued only after the dump's state is in place: the user may read at once.
    let _ = socket.deliver_dump(Block { bytes, from: SockAddr::default(), group: 0, sender: [0; 3], charge });
    Ok(())
}
