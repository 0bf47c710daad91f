//! Forwarding threads.

use crate::device::{Device, Served};
use crate::io::Batch;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Result;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Told of a device from which nothing will ever come again.
pub(crate) type OnDead = Arc<dyn Fn(&Device) + Send + Sync>;

/// Batches read from one device before others have their turn.
const TURN: usize = 8;

/// The event that ends a thread; no interface has this number.
const STOP: u64 = 0;

thread_local! {
    /// Whether this thread is handing over a batch: what is sent meanwhile waits for its end.
    static COLLECTING: Cell<bool> = const { Cell::new(false) };
    /// Devices to flush at the end of the batch.
    static DIRTY: RefCell<Vec<Arc<Device>>> = const { RefCell::new(Vec::new()) };
}

/// Whether frames sent now are flushed later by this thread.
pub(crate) fn is_collecting() -> bool {
    COLLECTING.get()
}

/// Puts a device on the list of those to flush at the end of the batch.
pub(crate) fn flush_later(device: &Arc<Device>) {
    DIRTY.with_borrow_mut(|dirty| dirty.push(Arc::clone(device)));
}

/// Runs `f`, and flushes what was sent meanwhile.
fn collect<T>(f: impl FnOnce() -> T) -> T {
    COLLECTING.set(true);
    let result = f();
    COLLECTING.set(false);
    // Taken out while flushing, as a flush may come back to the list; put back for its capacity.
    let mut dirty = DIRTY.take();
    dirty.drain(..).for_each(|device| device.flush());
    DIRTY.set(dirty);
    result
}

/// A thread that reads from a set of devices.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    epoll: OwnedFd,
    wake: OwnedFd,
    stop: AtomicBool,
    devices: Mutex<HashMap<u64, Arc<Device>>>,
    on_dead: OnDead,
}

impl Worker {
    /// Starts a thread, in the network namespace of the calling one.
    pub(crate) fn start(number: usize, on_dead: OnDead) -> Result<Worker> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        let shared = Arc::new(Shared {
            epoll,
            wake,
            stop: AtomicBool::new(false),
            devices: Mutex::default(),
            on_dead,
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("forward{number}")).spawn(move || own.run())?;
        Ok(Worker { shared, thread: Some(thread) })
    }

    /// How many devices it reads from.
    pub(crate) fn load(&self) -> usize {
        self.shared.devices.lock().len()
    }

    /// Begins to read from a device.
    pub(crate) fn add(&self, device: &Arc<Device>) -> Result<()> {
        let token = u64::from(device.ifindex);
        let mut devices = self.shared.devices.lock();
        let added = device.with_io(|io| match io.fd() {
            Some(fd) => {
                let data = epoll::EventData::new_u64(token);
                epoll::add(&self.shared.epoll, fd, data, epoll::EventFlags::IN)
            }
            None => Ok(()),
        });
        added.unwrap_or(Ok(()))?;
        devices.insert(token, Arc::clone(device));
        Ok(())
    }

    /// Ends it. A batch being handed over is finished; closing the device then stops epoll's reports of it.
    pub(crate) fn remove(&self, device: &Arc<Device>) {
        let token = u64::from(device.ifindex);
        let mut devices = self.shared.devices.lock();
        if devices.get(&token).is_some_and(|known| Arc::ptr_eq(known, device)) {
            self.shared.leave(device);
            devices.remove(&token);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the thread has been printed by itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut batch = Batch::new();
        let mut events = Vec::with_capacity(64);
        let mut put_off: Vec<Arc<Device>> = Vec::new();
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        while !self.stop.load(Ordering::Acquire) {
            let patience = (!put_off.is_empty()).then_some(&at_once);
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), patience) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return eprintln!("pfnl: forwarding thread ends: epoll: {error}"),
            }
            let idle = events.is_empty();
            for event in events.drain(..) {
                let token = event.data.u64();
                let device = self.devices.lock().get(&token).cloned();
                if let Some(device) = device {
                    self.serve(&device, &mut batch);
                    if device.has_put_off() && !put_off.iter().any(|known| Arc::ptr_eq(known, &device)) {
                        put_off.push(device);
                    }
                }
            }
            if idle {
                put_off.iter().for_each(|device| collect(|| device.resume()));
            }
            put_off.retain(|device| device.has_put_off());
        }
    }

    fn serve(&self, device: &Device, batch: &mut Batch) {
        for _ in 0..TURN {
            match collect(|| device.serve(batch)) {
                Served::More => {}
                Served::All => return,
                Served::Dead => {
                    self.leave(device);
                    return (self.on_dead)(device);
                }
            }
        }
    }

    fn leave(&self, device: &Device) {
        device.with_io(|io| io.fd().map(|fd| epoll::delete(&self.epoll, fd)));
    }
}
