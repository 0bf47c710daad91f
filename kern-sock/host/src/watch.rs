//! Clients that see what passes: each is told as much as its connection takes, and how much it missed.

use crate::connection::Connection;
use pfnl_platform::Errno;
use pfnl_sock::{Block, Endpoint, Hook, SockAddr, Verdict};
use pfnl_wire::{Event, Told, send};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Those who watch a host. While there are none it costs a look at a number.
#[derive(Default)]
pub struct Watchers {
    count: AtomicUsize,
    all: Mutex<Vec<Watcher>>,
}

struct Watcher {
    connection: Arc<Connection>,
    /// Of which process, 0 = of all.
    pid: u32,
    /// What it was not told yet.
    missed: u32,
}

impl Watchers {
    /// None yet.
    pub fn new() -> Arc<Watchers> {
        Arc::default()
    }

    /// What tells them of a protocol's domain.
    pub fn hook(self: &Arc<Self>, protocol: i32) -> Box<dyn Hook> {
        Box::new(Tap { watchers: Arc::clone(self), protocol })
    }

    pub(crate) fn add(&self, connection: &Arc<Connection>, pid: u32, families: Vec<(String, u16)>) {
        let mut watcher = Watcher { connection: Arc::clone(connection), pid, missed: 0 };
        for (name, id) in families {
            watcher.tell(Told::Family(id), Endpoint { portid: 0, pid: 0 }, 0, name.as_bytes());
        }
        let mut all = self.lock();
        all.push(watcher);
        self.count.store(all.len(), Relaxed);
    }

    pub(crate) fn remove(&self, id: u64) {
        let mut all = self.lock();
        all.retain(|watcher| watcher.connection.id != id);
        self.count.store(all.len(), Relaxed);
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, told: Told, of: Endpoint, protocol: i32, bytes: &[u8]) {
        // Relaxed: who comes about now may miss it.
        if self.count.load(Relaxed) == 0 {
            return;
        }
        for watcher in self.lock().iter_mut().filter(|watcher| watcher.pid == 0 || watcher.pid == of.pid) {
            watcher.tell(told, of, protocol, bytes);
        }
    }
}

impl Watcher {
    fn tell(&mut self, told: Told, of: Endpoint, protocol: i32, bytes: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let event = Event { told, pid: of.pid, portid: of.portid, protocol, time };
        let send = |event: Event, bytes: &[u8]| {
            // Who is gone is taken out when its connection's end is seen.
            send(self.connection.fd(), [&event.to_bytes(), bytes], None).is_ok()
        };
        let caught_up = self.missed == 0 || send(Event { told: Told::Missed(self.missed), ..event }, &[]);
        if caught_up {
            self.missed = 0;
        }
        if !caught_up || !send(event, bytes) {
            self.missed = self.missed.saturating_add(1);
        }
    }
}

/// The watchers as a domain knows them.
struct Tap {
    watchers: Arc<Watchers>,
    protocol: i32,
}

impl Hook for Tap {
    fn sent(&self, from: Endpoint, to: SockAddr, bytes: &[u8]) {
        let group = if to.groups == 0 { 0 } else { to.groups.trailing_zeros() + 1 };
        self.watchers.tell(Told::Sent { peer: to.portid, group }, from, self.protocol, bytes);
    }

    fn refused(&self, from: Endpoint, errno: Errno) {
        self.watchers.tell(Told::Refused(errno.linux()), from, self.protocol, &[]);
    }

    fn deliver(&self, to: Endpoint, block: &mut Block) -> Verdict {
        let told = Told::Delivered { peer: block.from.portid, group: block.group };
        self.watchers.tell(told, to, self.protocol, &block.bytes);
        Verdict::Pass
    }

    fn lost(&self, to: Endpoint, errno: Errno) {
        self.watchers.tell(Told::Lost(errno.linux()), to, self.protocol, &[]);
    }
}
