//! Connections by tuple: a hash table whose chains are read without a lock and replaced as wholes.
//!
//! A connection stands in it twice, under the tuple of its packets and under that of its replies. A chain has a few
//! entries, since the table doubles as it fills. What has expired is not found any more; it is taken out by whoever adds a
//! connection, some chains at a time, and by [`Conntrack::sweep`].

use super::conn::{self, CLASH, Conn, Spec};
use super::event::{Observer, bits};
use super::helper::Expectations;
use super::timeout::Timeouts;
use super::zones::{Limit, Zones};
use super::{Snapshot, Tuple};
use crate::hash::Hasher;
use crate::packet::Packet;
use crate::percpu::{Counters, PerCpu};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, RcuBox, RcuCell, Result, Shared, try_box, try_push};

/// How many connections there are at most (Linux's nf_conntrack_max, on a machine with some memory).
pub const MAX_CONNECTIONS: u32 = 262_144;
/// Chains to begin with.
const FIRST_BITS: u32 = 8;
/// Chains looked at for expired connections whenever one is added: more than one, so that they are found faster than added.
const SWEPT_PER_ADD: usize = 4;
/// In how many ticks all of a large table is swept, and what is swept in one at least.
const TICKS: usize = 16;
const SWEPT_PER_TICK: usize = 4096;
/// Chains looked at for one to give up when the table is full.
const SEARCHED_WHEN_FULL: usize = 64;

/// All connections, of all zones.
pub struct Conntrack<P: Platform> {
    buckets: RcuCell<P, Buckets<P>>,
    hasher: Hasher,
    count: AtomicU32,
    max: AtomicU32,
    writer: P::Mutex<Writer<P>>,
    zones: P::Mutex<Zones>,
    timeouts: Timeouts<P>,
    observer: RcuCell<P, Box<dyn Observer<P>>>,
    counters: PerCpu<P, Counters<COUNTERS>>,
    pub(super) expectations: P::Mutex<Expectations<P>>,
    /// Whether there are expectations, perhaps.
    pub(super) expecting: AtomicBool,
    /// Apart, as all this is made on a small stack.
    pub(super) fragments: Box<super::frag::Fragments<P>>,
}

/// What writers know.
struct Writer<P: Platform> {
    /// Where the next sweep goes on.
    swept: Cursor,
    /// Taken out, and not told of yet.
    dead: Vec<Shared<Conn<P>>>,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Packets that can't be tracked.
    Invalid,
    /// Connections put into the table.
    Insert,
    /// Connections that should have been, and were not.
    InsertFailed,
    /// Connections refused since the table was full.
    Drop,
    /// Connections given up for new ones.
    EarlyDrop,
    /// ICMP errors about no connection.
    Error,
    /// Connections that two packets began at once.
    ClashResolve,
    /// Tuples that translation wanted and found taken.
    Found,
    /// Connections that were expected.
    ExpectNew,
    /// Expectations made.
    ExpectCreate,
    /// Expectations that are over.
    ExpectDelete,
}

/// How many of those there are.
pub const COUNTERS: usize = 11;

struct Buckets<P: Platform> {
    bits: u32,
    chains: Vec<RcuCell<P, Chain<P>>>,
}

type Chain<P> = Vec<Entry<P>>;

struct Entry<P: Platform> {
    tuple: Tuple,
    is_reply: bool,
    conn: Shared<Conn<P>>,
}

impl<P: Platform> Clone for Entry<P> {
    fn clone(&self) -> Entry<P> {
        Entry { conn: self.conn.clone(), ..*self }
    }
}

/// Where a connection was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// By the tuple of its replies.
    pub is_reply: bool,
}

/// A place in a walk over the table. It stays right when the table grows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The first hash whose chain is still to be visited; `None` before the first.
    hash: u64,
    /// Entries of that chain that were visited.
    skip: usize,
    done: bool,
}

impl<P: Platform> Buckets<P> {
    fn try_new(bits: u32) -> Result<RcuBox<Buckets<P>>> {
        let n = 1usize << bits;
        let mut chains = Vec::new();
        chains.try_reserve_exact(n)?;
        chains.resize_with(n, || RcuCell::new(None));
        RcuBox::try_new(Buckets { bits, chains })
    }

    fn shift(&self) -> u32 {
        64 - self.bits
    }

    fn cell(&self, hash: u64) -> Option<&RcuCell<P, Chain<P>>> {
        self.chains.get((hash >> self.shift()) as usize)
    }

    fn chain<'g>(&'g self, section: &'g P::Guard, hash: u64) -> &'g [Entry<P>] {
        self.cell(hash).and_then(|cell| cell.load(section)).map_or(&[], |chain| chain)
    }

    /// Replaces a chain by what is kept of it, and one more.
    fn rebuild(
        &self,
        section: &P::Guard,
        hash: u64,
        keep: impl Fn(&Entry<P>) -> bool,
        more: Option<Entry<P>>,
    ) -> Result<()> {
        let Some(cell) = self.cell(hash) else { return Ok(()) };
        let old = self.chain(section, hash);
        let mut chain = Vec::new();
        chain.try_reserve_exact(old.len().saturating_add(1))?;
        chain.extend(old.iter().filter(|entry| keep(entry)).cloned().chain(more));
        cell.store(if chain.is_empty() { None } else { Some(RcuBox::try_new(chain)?) });
        Ok(())
    }
}

impl<P: Platform> Conntrack<P> {
    /// An empty table.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[inline(never)] // for its caller's stack
    pub fn try_new() -> Result<Conntrack<P>> {
        Ok(Conntrack {
            buckets: RcuCell::new(Some(Buckets::try_new(FIRST_BITS)?)),
            hasher: Hasher::random::<P>(),
            count: AtomicU32::new(0),
            max: AtomicU32::new(MAX_CONNECTIONS),
            writer: P::Mutex::try_new(
                c"pfnl conntrack",
                Writer { swept: Cursor::default(), dead: Vec::new() },
            )?,
            zones: P::Mutex::try_new(c"pfnl zones", Zones::default())?,
            timeouts: Timeouts::try_new()?,
            observer: RcuCell::new(None),
            counters: PerCpu::try_new(usize::MAX)?,
            expectations: P::Mutex::try_new(c"pfnl expectations", Vec::new())?,
            expecting: AtomicBool::new(false),
            fragments: try_box(super::frag::Fragments::try_new()?)?,
        })
    }

    /// How long connections last.
    pub fn timeouts(&self) -> &Timeouts<P> {
        &self.timeouts
    }

    /// Says who is told of connections; None: nobody is.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn set_observer(&self, observer: Option<Box<dyn Observer<P>>>) -> Result<()> {
        let observer = observer.map(RcuBox::try_new).transpose()?;
        let _writer = self.writer.lock();
        self.observer.store(observer);
        Ok(())
    }

    pub(crate) fn count_one(&self, what: Count) {
        self.counters.local().add(what as usize, 1);
    }

    /// What was counted, by processor, in [`Count`]'s order.
    pub fn counts(&self) -> impl Iterator<Item = [u64; COUNTERS]> {
        self.counters.iter().map(Counters::values)
    }

    /// Tells of what happened to a connection in the table since the last time.
    pub(crate) fn tell(&self, section: &P::Guard, conn: &Shared<Conn<P>>, portid: u32) {
        let Some(observer) = self.observer.load(section) else { return };
        let events = conn.take_events();
        if events != 0 && observer.listens(events) {
            observer.tell(conn, events, portid);
        }
    }

    /// Tells of the connections that were taken out.
    fn tell_of_the_dead(&self, section: &P::Guard, dead: &[Shared<Conn<P>>], portid: u32) {
        let Some(observer) = self.observer.load(section) else { return };
        for conn in dead.iter().filter(|conn| conn.event_mask() & bits::DESTROY != 0) {
            observer.tell(conn, bits::DESTROY, portid);
        }
    }

    /// As [`Conntrack::tell`], at the request of `portid`.
    pub fn report(&self, conn: &Shared<Conn<P>>, portid: u32) {
        self.tell(&P::enter(), conn, portid);
    }

    /// Puts a connection into the table that no packet began.
    ///
    /// # Errors
    /// `EINVAL`: its state is of another protocol. `EEXIST`, `ENOSPC`, `ENOMEM`.
    pub fn create(&self, spec: &Spec, portid: u32) -> Result<Shared<Conn<P>>> {
        let section = P::enter();
        let conn = Shared::try_new(Conn::create(spec)?)?;
        self.confirm(&section, &conn)?;
        conn.happened(bits::MARK);
        self.tell(&section, &conn, portid);
        Ok(conn)
    }

    /// How many connections there are, expired ones that are still to be swept among them.
    pub fn count(&self) -> u32 {
        // Relaxed: only the number counts.
        self.count.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }

    /// Changes how many there may be.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// The connection that a packet of this tuple belongs to.
    #[inline]
    pub fn find<'g>(&'g self, section: &'g P::Guard, tuple: &Tuple) -> Option<(&'g Shared<Conn<P>>, Place)> {
        let buckets = self.buckets.load(section)?;
        let chain = buckets.chain(section, tuple.hash(self.hasher));
        let entry = chain.iter().find(|entry| entry.tuple == *tuple)?;
        (!entry.conn.is_over(P::now())).then_some((&entry.conn, Place { is_reply: entry.is_reply }))
    }

    /// Puts a connection into the table.
    ///
    /// # Errors
    /// `EEXIST` when there is one with a tuple of it; `ENOSPC` when the table is full; `ENOMEM`.
    pub(crate) fn confirm(&self, section: &P::Guard, conn: &Shared<Conn<P>>) -> Result<()> {
        if conn.has(conn::CONFIRMED) {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        let result = self.confirm_locked(section, &mut writer, conn);
        let dead = core::mem::take(&mut writer.dead);
        drop(writer);
        self.tell_of_the_dead(section, &dead, 0);
        match result {
            Ok(()) => {
                conn.happened(if conn.has(conn::EXPECTED) { bits::RELATED } else { bits::NEW });
                self.count_one(Count::Insert);
            }
            Err(Errno::ENOSPC) => self.count_one(Count::Drop),
            Err(_) => self.count_one(Count::InsertFailed),
        }
        result
    }

    fn confirm_locked(
        &self,
        section: &P::Guard,
        writer: &mut Writer<P>,
        conn: &Shared<Conn<P>>,
    ) -> Result<()> {
        let (original, reply) = (*conn.original(), conn.reply());
        if conn.has(conn::CONFIRMED) {
            return Ok(());
        }
        self.sweep_some(section, writer, SWEPT_PER_ADD);
        for tuple in [&original, &reply] {
            if let Some(buckets) = self.buckets.load(section)
                && let Some(other) = find_any(buckets.chain(section, tuple.hash(self.hasher)), tuple)
            {
                if !other.is_over(P::now()) {
                    return Err(CLASH);
                }
                let other = other.clone();
                self.unlink(section, writer, &other)?;
            }
        }
        if self.count() >= self.max() {
            self.give_one_up(section, writer)?;
        }
        self.grow(section)?;
        let buckets = self.buckets.load(section).ok_or(Errno::ENOMEM)?;
        self.zones.lock().add(original.zone)?;
        let entry = |tuple, is_reply| Entry { tuple, is_reply, conn: conn.clone() };
        let put =
            |entry: Entry<P>| buckets.rebuild(section, entry.tuple.hash(self.hasher), |_| true, Some(entry));
        let added = put(entry(original, false)).and_then(|()| {
            put(entry(reply, true)).inspect_err(|_| {
                // What cannot be taken out expires: nobody finds it, and a sweep tries again.
                conn.set(conn::DYING);
                let _ = self.take_out(section, conn);
            })
        });
        if let Err(errno) = added {
            self.zones.lock().sub(original.zone);
            return Err(errno);
        }
        conn.set(conn::CONFIRMED);
        // Relaxed: changed under the writer's lock only.
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a connection out of the table.
    pub fn remove(&self, conn: &Shared<Conn<P>>) {
        self.remove_for(conn, 0);
    }

    /// As [`Conntrack::remove`], at the request of `portid`.
    pub fn remove_for(&self, conn: &Shared<Conn<P>>, portid: u32) {
        let section = P::enter();
        let mut writer = self.writer.lock();
        // Without memory for shorter chains it stays, and is not found any more, until a sweep takes it out.
        conn.set(conn::DYING);
        let _ = self.unlink(&section, &mut writer, conn);
        let dead = core::mem::take(&mut writer.dead);
        drop(writer);
        self.tell_of_the_dead(&section, &dead, portid);
    }

    /// Takes out every connection that `which` names; answers how many those were.
    pub fn flush(&self, which: impl Fn(&Snapshot) -> bool) -> u32 {
        self.flush_for(0, which)
    }

    /// As [`Conntrack::flush`], at the request of `portid`.
    pub fn flush_for(&self, portid: u32, which: impl Fn(&Snapshot) -> bool) -> u32 {
        let (mut cursor, mut flushed) = (Cursor::default(), 0u32);
        while let Some(conn) = self.next(&mut cursor) {
            if which(&conn.snapshot()) {
                // Its chain gets shorter, by one entry or by both of this connection's.
                cursor.skip = 0;
                self.remove_for(&conn, portid);
                flushed = flushed.saturating_add(1);
            }
        }
        flushed
    }

    /// The next connection of a walk over all of them. Those that are there all the time are met once, unless chains
    /// change while they are visited.
    pub fn next(&self, cursor: &mut Cursor) -> Option<Shared<Conn<P>>> {
        let section = P::enter();
        let (buckets, now) = (self.buckets.load(&section)?, P::now());
        while !cursor.done {
            let chain = buckets.chain(&section, cursor.hash);
            for entry in chain.get(cursor.skip..).unwrap_or_default() {
                cursor.skip = cursor.skip.saturating_add(1);
                if !entry.is_reply && !entry.conn.is_over(now) {
                    return Some(entry.conn.clone());
                }
            }
            cursor.forward(buckets.shift());
        }
        None
    }

    /// Takes out what has expired, of a part of a large table; a platform calls this each second.
    pub fn tick(&self) {
        let chains = self.buckets.load(&P::enter()).map_or(0, |buckets| buckets.chains.len());
        self.sweep((chains / TICKS).max(SWEPT_PER_TICK));
    }

    /// Takes out what has expired of the next `chains` chains.
    pub fn sweep(&self, chains: usize) {
        let section = P::enter();
        let mut writer = self.writer.lock();
        self.sweep_some(&section, &mut writer, chains);
        let dead = core::mem::take(&mut writer.dead);
        drop(writer);
        self.tell_of_the_dead(&section, &dead, 0);
        let now = P::now();
        self.forget_expectations(|old| old.expires <= now);
        self.fragments.sweep();
    }

    fn sweep_some(&self, section: &P::Guard, writer: &mut Writer<P>, chains: usize) {
        let Some(buckets) = self.buckets.load(section) else { return };
        let now = P::now();
        for _ in 0..chains.min(buckets.chains.len()) {
            let chain = buckets.chain(section, writer.swept.hash);
            for entry in chain.iter().filter(|entry| entry.conn.is_over(now)) {
                // One that finds no memory stays for the next sweep.
                let _ = self.unlink(section, writer, &entry.conn);
            }
            writer.swept.forward(buckets.shift());
            if writer.swept.done {
                writer.swept = Cursor::default();
            }
        }
    }

    /// Makes room: of the chains around a random one, the first connection that is not assured goes.
    fn give_one_up(&self, section: &P::Guard, writer: &mut Writer<P>) -> Result<()> {
        let buckets = self.buckets.load(section).ok_or(Errno::ENOMEM)?;
        let mut from = [0; 8];
        P::random(&mut from);
        let mut cursor = Cursor { hash: u64::from_ne_bytes(from), skip: 0, done: false };
        for _ in 0..SEARCHED_WHEN_FULL {
            let chain = buckets.chain(section, cursor.hash);
            if let Some(entry) = chain.iter().find(|entry| !entry.conn.has(conn::ASSURED)) {
                entry.conn.set(conn::DYING);
                self.count_one(Count::EarlyDrop);
                return self.unlink(section, writer, &entry.conn);
            }
            cursor.forward(buckets.shift());
            cursor.done = false;
        }
        Err(Errno::ENOSPC)
    }

    /// Takes a connection out that is in the table; the caller has the writer's lock.
    fn unlink(&self, section: &P::Guard, writer: &mut Writer<P>, conn: &Shared<Conn<P>>) -> Result<()> {
        if self.take_out(section, conn)? && conn.has(conn::CONFIRMED) {
            conn.set(conn::DYING);
            if self.observer.load(section).is_some_and(|observer| observer.listens(bits::DESTROY)) {
                // Without memory nobody is told.
                let _ = try_push(&mut writer.dead, conn.clone());
            }
            self.zones.lock().sub(conn.original().zone);
            // Relaxed: changed under the writer's lock only.
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Answers whether it was there. If that fails, one of its entries is left.
    fn take_out(&self, section: &P::Guard, conn: &Shared<Conn<P>>) -> Result<bool> {
        let Some(buckets) = self.buckets.load(section) else { return Ok(false) };
        let is_it = |entry: &Entry<P>| Shared::same(&entry.conn, conn);
        let mut was_there = false;
        for tuple in [conn.reply(), *conn.original()] {
            let hash = tuple.hash(self.hasher);
            if buckets.chain(section, hash).iter().any(is_it) {
                was_there = true;
                buckets.rebuild(section, hash, |entry| !is_it(entry), None)?;
            }
        }
        Ok(was_there)
    }

    /// Doubles the table when chains get long.
    fn grow(&self, section: &P::Guard) -> Result<()> {
        let old = self.buckets.load(section).ok_or(Errno::ENOMEM)?;
        if (self.count() as usize) < old.chains.len() {
            return Ok(());
        }
        let mut new = Buckets::try_new(old.bits + 1)?;
        for chain in old.chains.iter().filter_map(|cell| cell.load(section)) {
            // A chain becomes two; their order does not matter.
            let mut halves = [Vec::new(), Vec::new()];
            let (mut first, shift) = (0, new.shift());
            for entry in chain {
                let place = (entry.tuple.hash(self.hasher) >> shift) as usize;
                first = place & !1;
                if let Some(half) = halves.get_mut(place & 1) {
                    try_push(half, entry.clone())?;
                }
            }
            for (n, half) in halves.into_iter().enumerate().filter(|(_, half)| !half.is_empty()) {
                if let Some(cell) = new.chains.get_mut(first | n) {
                    *cell = RcuCell::new(Some(RcuBox::try_new(half)?));
                }
            }
        }
        self.buckets.store(Some(new));
        Ok(())
    }

    /// Takes a fragment of a zone: see [`Fragments::collect`](super::frag::Fragments::collect).
    pub(crate) fn collect<Pk: Packet>(
        &self,
        packet: &mut Pk,
        v6: bool,
        l3: usize,
        zone: u16,
    ) -> Result<super::frag::Collected> {
        self.fragments.collect(packet, v6, l3, zone)
    }

    /// Bytes of fragments that wait for others.
    pub fn waiting_memory(&self) -> usize {
        self.fragments.memory()
    }

    // Zones.

    /// Whether a zone may have one connection more.
    pub(crate) fn zone_has_room(&self, zone: u16) -> bool {
        let Limit { limit, count } = self.zones.lock().limit(zone);
        limit == 0 || count < limit
    }

    /// A zone's limit (its own, or everybody's) and count.
    pub fn zone_limit(&self, zone: u16) -> Limit {
        self.zones.lock().limit(zone)
    }

    /// The first zone from `from` on that has a limit of its own, with that and its count.
    pub fn next_zone_limit(&self, from: u16) -> Option<(u16, Limit)> {
        self.zones.lock().next_own(from)
    }

    /// Everybody's limit; 0 = none.
    pub fn default_zone_limit(&self) -> u32 {
        self.zones.lock().default_limit()
    }

    /// Changes everybody's limit.
    pub fn set_default_zone_limit(&self, limit: u32) {
        self.zones.lock().set_default(limit);
    }

    /// Gives a zone a limit of its own, or takes it away.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn set_zone_limit(&self, zone: u16, limit: Option<u32>) -> Result<()> {
        self.zones.lock().set(zone, limit)
    }
}

fn find_any<'a, P: Platform>(chain: &'a [Entry<P>], tuple: &Tuple) -> Option<&'a Shared<Conn<P>>> {
    chain.iter().find(|entry| entry.tuple == *tuple).map(|entry| &entry.conn)
}

impl Cursor {
    /// On to the next chain, of a table where chains are told apart by the hash's bits from `shift` up.
    fn forward(&mut self, shift: u32) {
        self.skip = 0;
        match (self.hash >> shift).wrapping_add(1).checked_shl(shift) {
            Some(hash) if hash > self.hash => self.hash = hash,
            _ => (self.hash, self.done) = (0, true),
        }
    }
}
