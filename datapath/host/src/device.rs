//! A port's device: what the datapath sends to, and what a worker reads from.

use crate::frame::Frame;
use crate::io::{Batch, Io, is_full};
use crate::ports::Registry;
use crate::{Receiver, worker};
use parking_lot::{Mutex, RwLock};
use pfnl_datapath::port::{Features, Port, PortKind, PortName, PortStats};
use pfnl_platform::Errno;
use pfnl_rawio::{BATCH, Link};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// What is shared between a port in a datapath, a worker and the registry.
///
/// All atomics are relaxed: each is a value or a counter of its own that orders nothing else.
pub(crate) struct Device {
    pub(crate) ifindex: u32,
    pub(crate) kind: PortKind,
    features: Features,
    name: Mutex<PortName>,
    mtu: AtomicUsize,
    up: AtomicBool,
    /// None once the port has left its datapath.
    io: RwLock<Option<Box<dyn Io>>>,
    receiver: Mutex<Option<Arc<dyn Receiver>>>,
    queue: Mutex<Vec<Frame>>,
    /// The receiver has frames that it put off.
    put_off: AtomicBool,
    drops: Drops,
}

/// Frames lost between the interface and the datapath; those the interface lost itself it counts itself.
#[derive(Default)]
pub(crate) struct Drops {
    rx_errors: AtomicU64,
    rx_dropped: AtomicU64,
    tx_errors: AtomicU64,
    tx_dropped: AtomicU64,
}

/// How far reading came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Served {
    /// There may be more.
    More,
    /// There is nothing more now.
    All,
    /// Nothing will ever come again.
    Dead,
}

impl Device {
    pub(crate) fn new(kind: PortKind, link: &Link, features: Features, io: Box<dyn Io>) -> Device {
        let device = Device {
            ifindex: link.ifindex,
            kind,
            features,
            name: Mutex::default(),
            mtu: AtomicUsize::new(0),
            up: AtomicBool::new(false),
            io: RwLock::new(Some(io)),
            receiver: Mutex::default(),
            queue: Mutex::default(),
            put_off: AtomicBool::new(false),
            drops: Drops::default(),
        };
        device.follow(link);
        device
    }

    /// Takes over what the kernel says of the interface.
    pub(crate) fn follow(&self, link: &Link) {
        if let Some(name) = PortName::new(link.name.as_bytes()) {
            *self.name.lock() = name;
        }
        self.mtu.store(link.mtu as usize, Relaxed);
        self.up.store(link.is_up() && link.carrier, Relaxed);
    }

    /// The interface left this namespace. A TAP moved to another one lives on there, out of our sight: it is taken
    /// to be up, and says so itself when it is not.
    pub(crate) fn survives_move(&self) -> bool {
        let survives = self.io.read().as_ref().is_some_and(|io| io.survives_move());
        self.up.store(survives, Relaxed);
        survives
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.lock().bytes() == name.as_bytes()
    }

    pub(crate) fn set_receiver(&self, receiver: Arc<dyn Receiver>) {
        *self.receiver.lock() = Some(receiver);
    }

    /// Closes the descriptor now, and lets go of the receiver. What is queued is lost.
    pub(crate) fn close(&self) {
        self.up.store(false, Relaxed);
        drop(self.io.write().take());
        // Dropped outside of the lock: it may own the datapath that owns this port.
        let receiver = self.receiver.lock().take();
        drop(receiver);
        self.queue.lock().clear();
    }

    /// Runs `f` with the I/O, unless closed.
    pub(crate) fn with_io<T>(&self, f: impl FnOnce(&dyn Io) -> T) -> Option<T> {
        self.io.read().as_deref().map(f)
    }

    /// Hands over a frame that came by another way than a worker.
    pub(crate) fn deliver(&self, frame: Frame) {
        let receiver = self.receiver.lock().clone();
        match receiver {
            Some(receiver) => receiver.receive(frame),
            None => _ = self.drops.rx_dropped.fetch_add(1, Relaxed),
        }
    }

    /// Reads one batch and hands it over.
    pub(crate) fn serve(&self, batch: &mut Batch) -> Served {
        let read = self.with_io(|io| io.recv(batch));
        self.drops.rx_errors.fetch_add(std::mem::take(&mut batch.bad), Relaxed);
        match read {
            None => return Served::Dead,
            Some(Ok(())) => {}
            // Nothing more to read; or the interface went down or away, which is told once, and by netlink too.
            Some(Err(error)) if is_full(&error) || error.kind() == ErrorKind::Interrupted => {
                return Served::All;
            }
            Some(Err(error)) => match Errno::from_linux(error.raw_os_error().unwrap_or(0)) {
                Some(Errno::ENETDOWN) => return Served::All,
                Some(_) => {
                    self.drops.rx_errors.fetch_add(1, Relaxed);
                    return Served::All;
                }
                None => return Served::Dead, // EBADFD: a TAP deleted
            },
        }
        let full = batch.frames.len() >= BATCH;
        let receiver = self.receiver.lock().clone();
        match receiver {
            Some(receiver) => {
                let taken = receiver.receive_all(&mut batch.frames);
                self.drops.rx_dropped.fetch_add(taken.dropped, Relaxed);
                if taken.more {
                    self.put_off.store(true, Relaxed);
                }
            }
            None => _ = self.drops.rx_dropped.fetch_add(batch.frames.len() as u64, Relaxed),
        }
        batch.frames.clear();
        if full { Served::More } else { Served::All }
    }

    /// Whether frames were put off.
    pub(crate) fn has_put_off(&self) -> bool {
        self.put_off.load(Relaxed)
    }

    /// Goes on with frames that were put off.
    pub(crate) fn resume(&self) {
        let receiver = self.receiver.lock().clone();
        let more = receiver.is_some_and(|receiver| receiver.resume());
        self.put_off.store(more, Relaxed);
    }

    /// Sends what is queued. What does not go is dropped and counted.
    pub(crate) fn flush(&self) {
        let mut queue = self.queue.lock();
        if queue.is_empty() {
            return;
        }
        let mut done = 0;
        self.with_io(|io| {
            while let Some(rest) = queue.get(done..).filter(|rest| !rest.is_empty()) {
                match io.send(rest) {
                    Ok(sent) => done += sent.max(1),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if is_full(&error) => break,
                    Err(error) => {
                        // ENOBUFS: a driver's queue; ENETDOWN, EIO: down. The rest is the frame's own fault.
                        let dropped = matches!(
                            Errno::from(error),
                            Errno::ENOBUFS | Errno::ENETDOWN | Errno::ENXIO | Errno::EIO
                        );
                        let counter = if dropped { &self.drops.tx_dropped } else { &self.drops.tx_errors };
                        counter.fetch_add(1, Relaxed);
                        done += 1;
                    }
                }
            }
        });
        self.drops.tx_dropped.fetch_add(queue.len().saturating_sub(done) as u64, Relaxed);
        queue.clear();
    }
}

/// A device as a datapath holds it. Dropping it closes the device, if nobody did so before.
pub(crate) struct HostPort {
    pub(crate) device: Arc<Device>,
    pub(crate) registry: Weak<Registry>,
}

impl Port<Frame> for HostPort {
    fn send(&self, packet: Frame) {
        let mut queue = self.device.queue.lock();
        queue.push(packet);
        let len = queue.len();
        drop(queue);
        // In a batch the first frame puts the device on the list of those to flush.
        if len >= BATCH || !worker::is_collecting() {
            self.device.flush();
        } else if len == 1 {
            worker::flush_later(&self.device);
        }
    }

    fn name(&self) -> PortName {
        *self.device.name.lock()
    }

    fn ifindex(&self) -> u32 {
        self.device.ifindex
    }

    fn kind(&self) -> PortKind {
        self.device.kind
    }

    fn mtu(&self) -> usize {
        self.device.mtu.load(Relaxed)
    }

    fn is_up(&self) -> bool {
        self.device.up.load(Relaxed)
    }

    fn features(&self) -> Features {
        self.device.features
    }

    /// The interface's own statistics plus what was lost on the way to it, seen from the datapath.
    fn stats(&self) -> Option<PortStats> {
        let link = self.registry.upgrade()?.link_stats(self.device.ifindex)?;
        let mut stats = PortStats {
            rx_packets: link.rx_packets,
            tx_packets: link.tx_packets,
            rx_bytes: link.rx_bytes,
            tx_bytes: link.tx_bytes,
            rx_errors: link.rx_errors,
            tx_errors: link.tx_errors,
            rx_dropped: link.rx_dropped,
            tx_dropped: link.tx_dropped,
        };
        if self.device.kind == PortKind::Internal {
            // What the host sends, the datapath receives.
            stats = PortStats {
                rx_packets: stats.tx_packets,
                tx_packets: stats.rx_packets,
                rx_bytes: stats.tx_bytes,
                tx_bytes: stats.rx_bytes,
                rx_errors: stats.tx_errors,
                tx_errors: stats.rx_errors,
                rx_dropped: stats.tx_dropped,
                tx_dropped: stats.rx_dropped,
            };
        }
        let drops = &self.device.drops;
        stats.rx_errors += drops.rx_errors.load(Relaxed);
        stats.rx_dropped += drops.rx_dropped.load(Relaxed);
        stats.tx_errors += drops.tx_errors.load(Relaxed);
        stats.tx_dropped += drops.tx_dropped.load(Relaxed);
        Some(stats)
    }
}

impl Drop for HostPort {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(&self.device);
        }
        self.device.close();
    }
}
