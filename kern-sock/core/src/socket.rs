//! A socket: its address, its options, its queue, its dump.

use crate::addr::{Credentials, SockAddr};
use crate::bus::group_bit;
use crate::domain::Domain;
use crate::filter::{Filter, Subject};
use crate::hook::{Endpoint, Verdict};
use crate::option::Options;
use crate::queue::{Block, Delivery, Queue, Settled};
use crate::request;
use crate::request::DumpState;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_to_vec};

/// `SOCK_RAW` or `SOCK_DGRAM`; netlink treats them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SockType {
    /// `SOCK_RAW`.
    Raw,
    /// `SOCK_DGRAM`.
    Dgram,
}

/// A handle of an open socket; [`Socket::close`] ends the socket, dropping handles does not.
pub struct Socket<P: Platform>(pub(crate) Shared<State<P>>);

impl<P: Platform> Clone for Socket<P> {
    fn clone(&self) -> Self {
        Socket(self.0.clone())
    }
}

pub(crate) struct State<P: Platform> {
    pub(crate) domain: Shared<Domain<P>>,
    pub(crate) kind: SockType,
    pub(crate) opener: Credentials,
    delivery: Box<dyn Delivery>,
    /// Held while the socket gets its portid.
    changing: P::SleepMutex<()>,
    /// 0 until bound. Written under `changing`, read anywhere.
    portid: AtomicU32,
    pub(crate) binding: P::Mutex<Binding>,
    /// What it lets in; looked at only if `filtered` says that there is one.
    filter: P::Mutex<Option<Shared<Filter>>>,
    filtered: AtomicBool,
    queue: P::Mutex<Queue>,
    /// The dump in progress; taken only with the domain's request lock held.
    pub(crate) dump: P::Mutex<Option<DumpState>>,
}

#[derive(Default)]
pub(crate) struct Binding {
    peer: SockAddr,
    /// Since connect(2), to whatever: what the peer does not send is refused.
    connected: bool,
    /// A portid that could not be had, which getsockname(2) shows all the same until there is another.
    refused: u32,
    /// A bit for each group joined, by number.
    groups: Vec<u32>,
    pub(crate) options: Options,
}

/// What a socket looks like from outside.
#[derive(Clone, Debug)]
pub struct SocketInfo {
    /// Its portid, 0 = not bound.
    pub portid: u32,
    /// Its protocol.
    pub protocol: i32,
    /// Who opened it.
    pub opener: Credentials,
    /// The first 32 groups it is a member of.
    pub groups: u32,
    /// Bytes charged to its receive buffer.
    pub rmem: usize,
    /// Messages it missed.
    pub drops: u64,
    /// Whether a dump is in progress.
    pub dumping: bool,
}

impl<P: Platform> Socket<P> {
    /// Binds to a portid (0 = any) and joins exactly the given ones of the first 32 groups.
    ///
    /// # Errors
    /// `EINVAL`: already bound to another portid. `EADDRINUSE`. `EPERM`: groups that are not for all. `ENOMEM`.
    pub fn bind(&self, addr: SockAddr, caller: &Credentials) -> Result<()> {
        if addr.groups != 0 && !self.0.domain.may_join(caller) {
            return Err(Errno::EPERM);
        }
        let kept =
            |group| addr.groups & group_bit(group) != 0 && !self.0.domain.may_join_group(group, caller);
        if !caller.net_admin && (1..=32).any(kept) {
            return Err(Errno::EPERM);
        }
        {
            let _changing = self.0.changing.lock();
            match self.0.portid() {
                0 if addr.portid == 0 => self.0.set_portid(self.0.domain.autobind(caller.pid, &self.0)?),
                0 => {
                    let bound = self.0.domain.bind(addr.portid, &self.0);
                    self.0.binding.lock().refused = addr.portid;
                    bound?;
                    self.0.set_portid(addr.portid);
                }
                bound if addr.portid != bound => return Err(Errno::EINVAL),
                _ => {}
            }
        }
        for bit in 0..32u32 {
            let group = bit.saturating_add(1);
            let wanted = addr.groups & group_bit(group) != 0;
            if wanted != self.0.is_member(group) {
                self.set_member(group, wanted)?;
            }
        }
        Ok(())
    }

    /// Sets the default destination; `None` (AF_UNSPEC) forgets it.
    ///
    /// # Errors
    /// `EPERM`: to others than the kernel, without CAP_NET_ADMIN. `ENOMEM`.
    pub fn connect(&self, addr: Option<SockAddr>, caller: &Credentials) -> Result<()> {
        let Some(addr) = addr else {
            let mut binding = self.0.binding.lock();
            (binding.peer, binding.connected) = (SockAddr::default(), false);
            return Ok(());
        };
        may_address(addr, caller)?;
        autobind(&self.0, caller)?;
        // Only one group can be addressed: the lowest.
        let groups = addr.groups & addr.groups.wrapping_neg();
        let mut binding = self.0.binding.lock();
        (binding.peer, binding.connected) = (SockAddr { portid: addr.portid, groups }, true);
        Ok(())
    }

    /// The socket's own address (getsockname).
    pub fn name(&self) -> SockAddr {
        let binding = self.0.binding.lock();
        let groups = binding.groups.first().copied().unwrap_or(0);
        let portid = match self.0.portid() {
            0 => binding.refused,
            portid => portid,
        };
        SockAddr { portid, groups }
    }

    /// The default destination (getpeername).
    pub fn peer(&self) -> SockAddr {
        self.0.binding.lock().peer
    }

    /// As [`Socket::send_counted`], of who need not know how much was taken.
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, to: Option<SockAddr>, bytes: &[u8], sender: &Credentials) -> Result<()> {
        self.send_counted(to, bytes, sender).map(|_| ())
    }

    /// Sends a datagram to `to`, or the default destination. A datagram to the kernel is a run of requests, which have
    /// been handled and answered when this returns. What is given is how much of it was taken, which is less than all only
    /// where another user's filter cuts it.
    ///
    /// # Errors
    /// `ENODATA`: nothing to send. `EMSGSIZE`: more than the send buffer. `ECONNREFUSED`: no such portid.
    /// `EPERM`: to others than the kernel, without privilege. `EAGAIN`: another user's queue is full. `ENOMEM`.
    pub fn send_counted(&self, to: Option<SockAddr>, bytes: &[u8], sender: &Credentials) -> Result<usize> {
        let outcome = self.send_to(to, bytes, sender);
        if let (Err(errno), Some(hook)) = (outcome, &self.0.domain.hook) {
            hook.refused(self.0.sender(sender), errno);
        }
        outcome
    }

    fn send_to(&self, to: Option<SockAddr>, bytes: &[u8], sender: &Credentials) -> Result<usize> {
        let state = &self.0;
        if bytes.is_empty() {
            return Err(Errno::ENODATA);
        }
        self.prepare(to, sender)?;
        let to = to.unwrap_or_else(|| self.peer());
        if bytes.len() > state.binding.lock().options.sndbuf.saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        let from = SockAddr { portid: state.portid(), groups: 0 };
        let ids = [sender.pid, sender.uid, sender.gid];
        if let Some(hook) = &state.domain.hook {
            hook.sent(state.sender(sender), to, bytes);
        }
        let group = to.groups.checked_ilog2().map_or(0, |_| to.groups.trailing_zeros().saturating_add(1));
        let from = SockAddr { groups: group_bit(group), ..from };
        if group != 0 {
            state.domain.broadcast(group, bytes, from, ids, [from.portid, to.portid]);
        }
        // The one addressed gets it in any case, the kernel too.
        if to.portid == 0 {
            request::handle(state, bytes, sender);
            return Ok(bytes.len());
        }
        let receiver = state.domain.socket(to.portid).ok_or(Errno::ECONNREFUSED)?;
        if !receiver.accepts(from.portid) {
            return Err(Errno::ECONNREFUSED);
        }
        let charging = state.domain.charging();
        let charge = if group == 0 { charging.alone(bytes.len()) } else { charging.of(bytes.len()) };
        let block = Block { bytes: try_to_vec(bytes)?, from, group, sender: ids, charge };
        receiver.deliver_or_wait(block)
    }

    /// What comes before a datagram's length is looked at: its sender may address whom it addresses, and has a portid. For
    /// platforms that refuse what is too long before they have copied it.
    ///
    /// # Errors
    /// `EPERM`, `ENOMEM`.
    pub fn prepare(&self, to: Option<SockAddr>, sender: &Credentials) -> Result<()> {
        // A peer was looked at by connect.
        if let Some(to) = to {
            may_address(to, sender)?;
        }
        autobind(&self.0, sender)
    }

    /// Takes the next datagram off the queue. It stays charged to the receive buffer until [`Socket::read`].
    pub fn take(&self) -> Option<Block> {
        self.0.queue.lock().take()
    }

    /// The user has read what was charged so much, into a buffer of that size: a dump may go on.
    pub fn read(&self, charge: usize, buffer: usize) {
        let is_dumping = self.dump_running();
        let go_on = {
            let mut queue = self.0.queue.lock();
            queue.account(Settled { charge, buffer });
            queue.account(self.0.delivery.settle());
            is_dumping && queue.has_room_for_dump()
        };
        if go_on {
            request::continue_dump(&self.0);
        }
        // Last: where a dump goes on the queue has not been empty.
        self.0.queue.lock().relax();
    }

    /// Whether a dump has more to give than is queued.
    pub fn dump_running(&self) -> bool {
        self.0.dump.lock().is_some()
    }

    /// The pending error, once (`SO_ERROR`, or what the next recv fails with).
    pub fn take_error(&self) -> Option<Errno> {
        self.0.queue.lock().take_error()
    }

    /// Ends the socket: its portid is free, its queue and its dump are gone.
    pub fn close(&self) {
        self.0.domain.forget(&self.0);
        let groups = core::mem::take(&mut self.0.binding.lock().groups);
        for (word, bits) in (0u32..).zip(groups) {
            for bit in (0..32u32).filter(|&bit| bits & 1u32.wrapping_shl(bit) != 0) {
                self.0
                    .domain
                    .count_member(word.saturating_mul(32).saturating_add(bit).saturating_add(1), false);
            }
        }
        self.0.queue.lock().close();
        let _requests = self.0.domain.requests.lock();
        let dump = self.0.dump.lock().take();
        drop(dump);
    }

    /// What it looks like from outside.
    pub fn info(&self) -> SocketInfo {
        self.0.info()
    }

    /// Joins or leaves a group.
    pub(crate) fn set_member(&self, group: u32, member: bool) -> Result<()> {
        let index = group.checked_sub(1).ok_or(Errno::EINVAL)?;
        let (word, bit) = ((index / 32) as usize, 1u32.wrapping_shl(index % 32));
        {
            let mut binding = self.0.binding.lock();
            let more = word.saturating_add(1).saturating_sub(binding.groups.len());
            binding.groups.try_reserve(more)?;
            let len = binding.groups.len().saturating_add(more);
            binding.groups.resize(len, 0);
            let Some(bits) = binding.groups.get_mut(word) else { return Ok(()) };
            if (*bits & bit != 0) == member {
                return Ok(());
            }
            *bits ^= bit;
        }
        self.0.domain.count_member(group, member);
        Ok(())
    }

    /// The groups joined, as words of bits.
    pub(crate) fn groups(&self) -> Result<Vec<u32>> {
        try_to_vec(&self.0.binding.lock().groups)
    }

    pub(crate) fn with_queue<T>(&self, f: impl FnOnce(&mut Queue) -> T) -> T {
        f(&mut self.0.queue.lock())
    }
}

impl<P: Platform> State<P> {
    pub(crate) fn try_new(
        domain: Shared<Domain<P>>,
        kind: SockType,
        opener: Credentials,
        delivery: Box<dyn Delivery>,
    ) -> Result<State<P>> {
        let limits = domain.limits();
        let rcvbuf = limits.receive_default;
        let options = Options::new(limits.send_default);
        let binding = Binding { options, ..Binding::default() };
        Ok(State {
            domain,
            kind,
            opener,
            delivery,
            changing: P::SleepMutex::try_new(c"pfnl binding", ())?,
            portid: AtomicU32::new(0),
            binding: P::Mutex::try_new(c"pfnl socket", binding)?,
            filter: P::Mutex::try_new(c"pfnl filter", None)?,
            filtered: AtomicBool::new(false),
            queue: P::Mutex::try_new(c"pfnl queue", Queue::new(rcvbuf))?,
            dump: P::Mutex::try_new(c"pfnl dump", None)?,
        })
    }

    pub(crate) fn portid(&self) -> u32 {
        // Acquire pairs with `set_portid`: whoever sees the number finds the socket in the table.
        self.portid.load(Ordering::Acquire)
    }

    fn set_portid(&self, portid: u32) {
        self.portid.store(portid, Ordering::Release);
    }

    pub(crate) fn is_member(&self, group: u32) -> bool {
        let Some(index) = group.checked_sub(1) else { return false };
        let bits = self.binding.lock().groups.get((index / 32) as usize).copied().unwrap_or(0);
        bits & 1u32.wrapping_shl(index % 32) != 0
    }

    /// Leaves a group that is going away; its member count is the caller's.
    pub(crate) fn leave(&self, group: u32) {
        let Some(index) = group.checked_sub(1) else { return };
        if let Some(bits) = self.binding.lock().groups.get_mut((index / 32) as usize) {
            *bits &= !1u32.wrapping_shl(index % 32);
        }
    }

    /// Whether what comes from a portid is let in: a connected socket hears its peer only, even if that is the kernel.
    pub(crate) fn accepts(&self, portid: u32) -> bool {
        let binding = self.binding.lock();
        !binding.connected || binding.peer.portid == portid
    }

    /// Queues an answer or a message from the kernel to this socket alone.
    /// `spare` bytes more than it has are charged.
    pub(crate) fn deliver_from_kernel(&self, bytes: Vec<u8>, spare: usize) -> Result<()> {
        if !self.accepts(0) {
            return Err(Errno::ECONNREFUSED);
        }
        let charge = self.domain.charging().of(bytes.len().saturating_add(spare));
        self.deliver(Block { bytes, from: SockAddr::default(), group: 0, sender: [0; 3], charge })
    }

    /// The filter, if there is one.
    pub(crate) fn filter(&self) -> Option<Shared<Filter>> {
        // Relaxed: a filter that is being attached or detached may or may not see what comes about now.
        if self.filtered.load(Ordering::Relaxed) { self.filter.lock().clone() } else { None }
    }

    /// Changes the filter; gives what was there.
    pub(crate) fn set_filter(&self, filter: Option<Shared<Filter>>) -> Option<Shared<Filter>> {
        let mut place = self.filter.lock();
        self.filtered.store(filter.is_some(), Ordering::Relaxed);
        core::mem::replace(&mut place, filter)
    }

    /// Cuts a block to what the filter keeps of it; false if that is nothing.
    fn lets_in(&self, block: &mut Block, has_link_header: bool) -> bool {
        let Some(filter) = self.filter() else { return true };
        let kept = filter.run(Subject { bytes: &block.bytes, has_link_header, random: random::<P> });
        block.bytes.truncate(kept);
        kept > 0
    }

    /// Queues a datagram from the kernel, or to a group.
    pub(crate) fn deliver(&self, mut block: Block) -> Result<()> {
        if self.lets_in(&mut block, false) { self.enqueue(block, false) } else { Ok(()) }
    }

    /// Queues a block of a dump, which has been made only because there is room; congestion is nothing to it.
    pub(crate) fn deliver_dump(&self, mut block: Block) -> Result<()> {
        if self.lets_in(&mut block, true) { self.enqueue(block, true) } else { Ok(()) }
    }

    fn enqueue(&self, mut block: Block, has_room: bool) -> Result<()> {
        let hook = self.domain.hook.as_ref();
        let endpoint = self.endpoint();
        match hook.map_or(Verdict::Pass, |hook| hook.deliver(endpoint, &mut block)) {
            Verdict::Pass => {}
            Verdict::Lose => return Ok(()),
            Verdict::Overrun => {
                self.overrun();
                return Err(Errno::ENOBUFS);
            }
            Verdict::After(errno) => self.queue.lock().set_error(errno),
        }
        let outcome = {
            let mut queue = self.queue.lock();
            if has_room { queue.append(block) } else { queue.push(block, &*self.delivery) }
        };
        if let (Err(errno), Some(hook)) = (outcome, hook) {
            hook.lost(endpoint, errno);
        }
        self.delivery.wake();
        outcome
    }

    /// The socket as a receiver.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { portid: self.portid(), pid: self.opener.pid }
    }

    /// The socket when `sender` sends on it.
    pub(crate) fn sender(&self, sender: &Credentials) -> Endpoint {
        Endpoint { portid: self.portid(), pid: sender.pid }
    }

    /// Queues a datagram from another user, who is told to wait when there is no room; the receiver is not.
    /// What is given is how much the receiver's filter left; what it keeps out counts as taken.
    fn deliver_or_wait(&self, mut block: Block) -> Result<usize> {
        let whole = block.bytes.len();
        if !self.lets_in(&mut block, false) {
            return Ok(whole);
        }
        {
            let mut queue = self.queue.lock();
            queue.settle(self.delivery.settle());
            if !queue.has_room(block.charge) {
                return Err(Errno::EAGAIN);
            }
        }
        let taken = block.bytes.len();
        self.enqueue(block, false).map(|()| taken)
    }

    pub(crate) fn overrun(&self) {
        self.queue.lock().overrun();
        self.delivery.wake();
    }

    /// Something failed that was to have been queued.
    pub(crate) fn fail(&self, errno: Errno) {
        self.queue.lock().set_error(errno);
        self.delivery.wake();
    }

    /// Notes what the user has read by now; an empty queue is congested no more.
    pub(crate) fn settle(&self) {
        self.queue.lock().settle(self.delivery.settle());
    }

    /// The largest receive buffer the user has offered.
    pub(crate) fn buffer(&self) -> usize {
        let mut queue = self.queue.lock();
        queue.account(self.delivery.settle());
        queue.buffer
    }

    /// Whether a dump's block of such a charge may be made: one byte less than other messages may fill.
    pub(crate) fn has_room_for_block(&self, charge: usize) -> bool {
        let queue = self.queue.lock();
        queue.rmem() == 0 || queue.rmem().saturating_add(charge) < queue.rcvbuf
    }

    pub(crate) fn has_room_for_dump(&self) -> bool {
        self.queue.lock().has_room_for_dump()
    }

    pub(crate) fn info(&self) -> SocketInfo {
        let (rmem, drops) = {
            let mut queue = self.queue.lock();
            queue.settle(self.delivery.settle());
            (queue.rmem(), queue.drops)
        };
        let groups = self.binding.lock().groups.first().copied().unwrap_or(0);
        SocketInfo {
            portid: self.portid(),
            protocol: self.domain.number(),
            opener: self.opener,
            groups,
            rmem,
            drops,
            dumping: self.dump.lock().is_some(),
        }
    }
}

/// A number by chance, for filters.
fn random<P: Platform>() -> u32 {
    let mut bytes = [0; 4];
    P::random(&mut bytes);
    u32::from_ne_bytes(bytes)
}

/// Gives a socket that has no portid one of the domain's choosing.
fn autobind<P: Platform>(state: &Shared<State<P>>, caller: &Credentials) -> Result<()> {
    let _changing = state.changing.lock();
    if state.portid() == 0 {
        state.set_portid(state.domain.autobind(caller.pid, state)?);
    }
    Ok(())
}

/// Only who administers the network may address others than the kernel, whoever opened the socket.
fn may_address(to: SockAddr, caller: &Credentials) -> Result<()> {
    if to != SockAddr::default() && !caller.net_admin { Err(Errno::EPERM) } else { Ok(()) }
}
