//! The datapath: what the layers above and beside it call.

use crate::action::{Actions, execute};
use crate::conntrack::Conntrack;
use crate::flow::{Flow, FlowId, Ufid};
use crate::hash::Hasher;
use crate::key::{FlowKey, MAC_ETHERNET, TunnelKey};
use crate::meter::{Meter, Meters};
use crate::packet::Packet;
use crate::percpu::{Counters, PerCpu};
use crate::port::{MAX_PORTS, Port, Vport};
use crate::ports::Ports;
use crate::table::{Cursor, Found, Table, Writer};
use crate::tunnel::Inside;
use crate::upcall::Upcall;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, RcuBox, Result, Shared};

/// A datapath: ports, flows, and the way of a packet from one to another.
pub struct Datapath<P: Platform, Pk: Packet, U: Upcall<P, Pk>> {
    upper: U,
    pub(crate) table: Table<P>,
    pub(crate) ports: Ports<P, Pk>,
    pub(crate) meters: Meters<P>,
    pub(crate) conntrack: Shared<Conntrack<P>>,
    pub(crate) counters: PerCpu<P, Counters<COUNTERS>>,
    hasher: Hasher,
    rolls: AtomicU64,
    /// Serialises everything that changes ports or flows. Nothing else is locked while it is held.
    writer: P::Mutex<Writer>,
}

pub(crate) const HIT: usize = 0;
pub(crate) const MISSED: usize = 1;
pub(crate) const LOST: usize = 2;
pub(crate) const MASK_HIT: usize = 3;
pub(crate) const CACHE_HIT: usize = 4;
const COUNTERS: usize = 5;

/// How many masks a packet of a batch is looked up in at once.
pub const PATIENCE: usize = 32;

/// What is counted for several packets together.
pub(crate) struct Tally<Pk> {
    /// For each packet.
    pub patience: usize,
    /// Packets that took more than that.
    pub late: Vec<Pk>,
    pub hit: u64,
    pub mask_hit: u64,
    pub cache_hit: u64,
    packets: u64,
    bytes: u64,
    now: u64,
}

impl<Pk: Packet> Tally<Pk> {
    pub fn new(patience: usize) -> Tally<Pk> {
        let late = Vec::new();
        Tally { patience, late, hit: 0, mask_hit: 0, cache_hit: 0, packets: 0, bytes: 0, now: 0 }
    }

    fn arrived(&mut self, bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
    }

    /// The moment that counts for all of them.
    pub fn now<P: Platform>(&mut self) -> u64 {
        if self.now == 0 {
            self.now = P::now();
        }
        self.now
    }

    fn commit<P: Platform>(&self, counters: &PerCpu<P, Counters<COUNTERS>>, vport: &Vport<P, Pk>) {
        self.commit_lookups(counters);
        if self.packets != 0 {
            vport.count_rx(self.packets, self.bytes);
        }
    }

    /// Of a packet that did not arrive by a port.
    pub fn commit_lookups<P: Platform>(&self, counters: &PerCpu<P, Counters<COUNTERS>>) {
        let counters = counters.local();
        for (which, amount) in [(HIT, self.hit), (MASK_HIT, self.mask_hit), (CACHE_HIT, self.cache_hit)] {
            if amount != 0 {
                counters.add(which, amount);
            }
        }
    }
}

/// As struct ovs_dp_stats and ovs_dp_megaflow_stats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DatapathStats {
    /// Packets that matched a flow.
    pub hit: u64,
    /// Packets that did not, and went up.
    pub missed: u64,
    /// Packets that should have gone up and could not.
    pub lost: u64,
    /// Flows now.
    pub flows: u64,
    /// Masks tried, over all packets.
    pub mask_hit: u64,
    /// Masks now.
    pub masks: u32,
    /// Packets whose mask the cache knew.
    pub cache_hit: u64,
}

/// Which flow is meant.
#[derive(Clone, Copy, Debug)]
pub struct FlowName<'a> {
    /// Its identifier, where it has one: the key does not matter then.
    pub ufid: Option<&'a Ufid>,
    /// Its whole key, before masking.
    pub key: &'a FlowKey,
}

/// What became of a flow that was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It is new.
    Created,
    /// It was there, and has new actions.
    Modified,
}

impl<P: Platform, Pk: Packet, U: Upcall<P, Pk>> Datapath<P, Pk, U> {
    /// A datapath without ports or flows.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_new(upper: U) -> Result<Datapath<P, Pk, U>> {
        Datapath::with_conntrack(upper, Shared::try_new(Conntrack::try_new()?)?)
    }

    /// A datapath that shares its connections with others.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn with_conntrack(upper: U, conntrack: Shared<Conntrack<P>>) -> Result<Datapath<P, Pk, U>> {
        Ok(Datapath {
            upper,
            table: Table::try_new()?,
            ports: Ports::try_new()?,
            meters: Meters::try_new()?,
            conntrack,
            counters: PerCpu::try_new(usize::MAX)?,
            hasher: Hasher::random::<P>(),
            rolls: AtomicU64::new(0),
            writer: P::Mutex::try_new(c"pfnl datapath", Writer::new())?,
        })
    }

    /// The layer above.
    pub fn upper(&self) -> &U {
        &self.upper
    }

    /// The connections that are tracked here.
    pub fn conntrack(&self) -> &Shared<Conntrack<P>> {
        &self.conntrack
    }

    /// The statistics.
    pub fn stats(&self) -> DatapathStats {
        let [hit, missed, lost, mask_hit, cache_hit] = self.counters.sums();
        let masks = self.table.masks(&P::enter()) as u32;
        DatapathStats { hit, missed, lost, flows: self.table.flows() as u64, mask_hit, masks, cache_hit }
    }

    // Packets.

    /// A packet came in. One from a port that is not there (any more) is dropped.
    pub fn receive(&self, in_port: u32, packet: Pk) {
        self.receive_in(&P::enter(), in_port, packet);
    }

    /// As [`Datapath::receive`], for a caller that hands over several packets in one section.
    pub fn receive_in(&self, section: &P::Guard, in_port: u32, packet: Pk) {
        if let Some(vport) = self.ports.get(section, in_port) {
            self.receive_one(section, vport, None, packet);
        }
    }

    /// As [`Datapath::receive_in`], for a packet that came out of a tunnel.
    pub fn receive_tunnelled(
        &self,
        section: &P::Guard,
        in_port: u32,
        tunnel: &TunnelKey,
        inside: Inside,
        packet: Pk,
    ) {
        if let Some(vport) = self.ports.get(section, in_port) {
            self.receive_one(section, vport, Some((tunnel, inside)), packet);
        }
    }

    fn receive_one(
        &self,
        section: &P::Guard,
        vport: &Vport<P, Pk>,
        tunnel: Option<(&TunnelKey, Inside)>,
        packet: Pk,
    ) {
        let mut tally = Tally::new(usize::MAX);
        tally.arrived(packet.len());
        execute::receive(self, section, vport, tunnel, packet, &mut tally);
        tally.commit(&self.counters, vport);
    }

    /// As [`Datapath::receive`] for several packets, which are counted together and came at one moment. A packet that is not
    /// found by the first [`PATIENCE`] masks is put into `late` instead, with nothing but its arrival counted: it is for the
    /// caller to hand it to [`Datapath::receive_late`] when there is time, so that packets that are dear to look up (an
    /// attacker's, who has many masks made) do not hold up those that are not.
    pub fn receive_batch(
        &self,
        section: &P::Guard,
        in_port: u32,
        packets: impl IntoIterator<Item = Pk>,
        late: &mut Vec<Pk>,
    ) {
        let Some(vport) = self.ports.get(section, in_port) else { return };
        let mut tally = Tally::new(PATIENCE);
        core::mem::swap(&mut tally.late, late);
        for packet in packets {
            tally.arrived(packet.len());
            execute::receive(self, section, vport, None, packet, &mut tally);
        }
        tally.commit(&self.counters, vport);
        core::mem::swap(&mut tally.late, late);
    }

    /// A packet that [`Datapath::receive_batch`] gave back.
    pub fn receive_late(&self, section: &P::Guard, in_port: u32, packet: Pk) {
        if let Some(vport) = self.ports.get(section, in_port) {
            let mut tally = Tally::new(usize::MAX);
            execute::receive(self, section, vport, None, packet, &mut tally);
            tally.commit(&self.counters, vport);
        }
    }

    /// Runs actions on a packet that came from above. `key` brings the metadata (in_port, priority, …); the rest is
    /// read from the packet.
    ///
    /// # Errors
    /// `EINVAL` for a packet without an Ethernet header, `ENOMEM`, and what an action failed with. That a packet is dropped on
    /// purpose, or lost at a port, is no error.
    pub fn execute(&self, packet: Pk, key: &mut FlowKey, actions: &Actions) -> Result<()> {
        self.execute_fragments(packet, key, actions, 0)
    }

    /// As [`Datapath::execute`], for a packet that was put together from fragments: where it is longer than `mru`, it goes out
    /// in such. 0 = it was not.
    ///
    /// # Errors
    /// As [`Datapath::execute`].
    pub fn execute_fragments(
        &self,
        packet: Pk,
        key: &mut FlowKey,
        actions: &Actions,
        mru: u16,
    ) -> Result<()> {
        if key.mac_proto == MAC_ETHERNET && packet.len() < 14 {
            return Err(Errno::EINVAL);
        }
        execute::execute(self, &P::enter(), packet, key, actions, mru)
    }

    /// A random number, good enough to sample by.
    pub(crate) fn dice(&self) -> u32 {
        let mut hasher = self.hasher;
        // Relaxed: every roll gets a number of its own, in no order.
        hasher.word(self.rolls.fetch_add(1, Ordering::Relaxed));
        (hasher.finish() >> 32) as u32
    }

    // Flows.

    /// Adds a flow, or gives the one that is there other actions.
    ///
    /// # Errors
    /// `EEXIST` when there is one and the request is `exclusive`; `ENOENT` when the one that is there is another than
    /// this; `ENOSPC` for a mask too many; `ENOMEM`.
    pub fn put_flow(
        &self,
        name: FlowName<'_>,
        mask: &FlowKey,
        actions: Actions,
        exclusive: bool,
    ) -> Result<(Shared<Flow<P>>, Put)> {
        let mut writer = self.writer.lock();
        let section = P::enter();
        let named = name.ufid.and_then(|_| self.table.find(&section, name.ufid, name.key));
        let Some(found) = named.or_else(|| self.table.search(&section, name.key)) else {
            let flow = self.table.insert(&mut writer, name.key, mask, name.ufid, actions)?;
            return Ok((flow, Put::Created));
        };
        if exclusive {
            return Err(Errno::EEXIST);
        }
        let flow = match found.id() {
            FlowId::Ufid(_) => Some(found).filter(|flow| flow.has_key(name.key)),
            FlowId::Key(_) => self.table.find(&section, None, name.key),
        };
        let flow = flow.ok_or(Errno::ENOENT)?;
        flow.set_actions(RcuBox::try_new(actions)?);
        Ok((flow.clone(), Put::Modified))
    }

    /// Changes a flow's actions, or clears its statistics, or both.
    ///
    /// # Errors
    /// `ENOENT`, `ENOMEM`.
    pub fn set_flow(
        &self,
        name: FlowName<'_>,
        actions: Option<Actions>,
        clear: bool,
    ) -> Result<Shared<Flow<P>>> {
        let _writer = self.writer.lock();
        let section = P::enter();
        let flow = self.table.find(&section, name.ufid, name.key).ok_or(Errno::ENOENT)?;
        if let Some(actions) = actions {
            flow.set_actions(RcuBox::try_new(actions)?);
        }
        if clear {
            flow.clear_stats();
        }
        Ok(flow.clone())
    }

    /// The flow of this name.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn flow(&self, name: FlowName<'_>) -> Result<Shared<Flow<P>>> {
        self.table.find(&P::enter(), name.ufid, name.key).cloned().ok_or(Errno::ENOENT)
    }

    /// Takes a flow away.
    ///
    /// # Errors
    /// `ENOENT`, `ENOMEM`.
    pub fn remove_flow(&self, name: FlowName<'_>) -> Result<Shared<Flow<P>>> {
        let mut writer = self.writer.lock();
        let flow = self.flow(name)?;
        self.table.remove(&mut writer, &flow)?;
        Ok(flow)
    }

    /// Takes all flows away.
    pub fn flush_flows(&self) {
        self.table.flush(&mut self.writer.lock());
    }

    /// The next flow of a walk over all of them. A walk may pause for as long as it likes; it meets every flow that
    /// is there all the time exactly once.
    pub fn next_flow(&self, cursor: &mut Cursor) -> Option<Shared<Flow<P>>> {
        self.table.next(&P::enter(), cursor).cloned()
    }

    /// The flow that a packet with this key would take, and what finding it took. Counts as a packet for the order of the masks
    /// and for the cache, and nowhere else.
    pub fn lookup<'g>(&'g self, section: &'g P::Guard, key: &FlowKey) -> Found<'g, P> {
        self.table.lookup(section, key, usize::MAX)
    }

    /// How many packets' masks each processor remembers.
    pub fn masks_cache_size(&self) -> u32 {
        self.table.cache_size()
    }

    /// Changes that: to a power of two, or 0 for none.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM`.
    pub fn set_masks_cache_size(&self, entries: u32) -> Result<()> {
        if entries != 0 && !entries.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        self.table.resize_cache(&mut self.writer.lock(), entries)
    }

    /// Puts masks in the order of their use; a platform calls this now and then. Writers do it too.
    pub fn reorder_masks(&self) {
        self.table.reorder(&mut self.writer.lock(), &P::enter());
    }

    // Meters.

    /// The meter of this number.
    pub fn meter(&self, id: u32) -> Option<Shared<Meter<P>>> {
        self.meters.get(&P::enter(), id).cloned()
    }

    /// Puts a meter in place; the one that had its number is given back.
    ///
    /// # Errors
    /// `EFBIG` for one too many, `ENOMEM`.
    pub fn set_meter(&self, meter: Meter<P>) -> Result<Option<Shared<Meter<P>>>> {
        let meter = Shared::try_new(meter)?;
        let _writer = self.writer.lock();
        self.meters.set(&P::enter(), meter)
    }

    /// Takes a meter away, if it is there.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn remove_meter(&self, id: u32) -> Result<Option<Shared<Meter<P>>>> {
        let _writer = self.writer.lock();
        self.meters.remove(&P::enter(), id)
    }

    // Ports.

    /// Adds a port: under this number, or the lowest free one from 1 up. `portids` are told of its misses.
    ///
    /// # Errors
    /// `EFBIG` for a number out of range, or when there is none left; `EBUSY` for one that is taken; `ENOMEM`.
    pub fn add_port(
        &self,
        number: Option<u32>,
        port: Box<dyn Port<Pk>>,
        portids: &[u32],
    ) -> Result<Shared<Vport<P, Pk>>> {
        let _writer = self.writer.lock();
        let section = P::enter();
        let number = number.map_or_else(|| self.ports.lowest_free(&section), Ok)?;
        if number >= MAX_PORTS {
            return Err(Errno::EFBIG);
        }
        if self.ports.get(&section, number).is_some() {
            return Err(Errno::EBUSY);
        }
        let vport = Shared::try_new(Vport::try_new(number, port, portids)?)?;
        self.ports.insert(&section, &vport)?;
        Ok(vport)
    }

    /// Takes a port away. Its device is dropped when the last user is done with it.
    ///
    /// # Errors
    /// `ENODEV`.
    pub fn remove_port(&self, number: u32) -> Result<Shared<Vport<P, Pk>>> {
        let _writer = self.writer.lock();
        let section = P::enter();
        let vport = self.ports.get(&section, number).cloned().ok_or(Errno::ENODEV)?;
        self.ports.remove(&section, number);
        Ok(vport)
    }

    /// The port of this number.
    pub fn port(&self, number: u32) -> Option<Shared<Vport<P, Pk>>> {
        self.ports.get(&P::enter(), number).cloned()
    }

    /// The first port whose number is at least `from`: a walk goes on from the last number + 1.
    pub fn next_port(&self, from: u32) -> Option<Shared<Vport<P, Pk>>> {
        self.ports.next(&P::enter(), from).cloned()
    }

    /// The port of this name.
    pub fn port_by_name(&self, name: &[u8]) -> Option<Shared<Vport<P, Pk>>> {
        let section = P::enter();
        let mut from = 0;
        while let Some(vport) = self.ports.next(&section, from) {
            if vport.port().name().bytes() == name {
                return Some(vport.clone());
            }
            from = vport.number().saturating_add(1);
        }
        None
    }
}
