//! Opens ports, keeps track of them, and tells what becomes of their interfaces.

use crate::device::{Device, HostPort};
use crate::frame::Frame;
use crate::io::Io;
use crate::tunnel::{self, TunnelPort};
use crate::worker::{OnDead, Worker};
use crate::{Peer, Receiver, memory, names};
use parking_lot::Mutex;
use pfnl_datapath::port::{Features, Port, PortKind};
use pfnl_datapath::tunnel::Tunnel;
use pfnl_platform::{Errno, Result};
use pfnl_rawio::{Hush, Hushed, Link, LinkEvent, LinkStats, LinkWatch, Links, PacketRing, PacketSocket, Tap};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use std::borrow::Cow;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;

/// How many numbers a name with `%d` is tried with: as many as a page has bits, as on Linux.
const MAX_NUMBERED: u32 = 32_768;

/// What became of a port's interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It is gone: its port is to be taken out of the datapath and detached. May be told twice.
    Removed {
        /// Of the port.
        ifindex: u32,
    },
    /// It has another name, which the port has as well.
    Renamed {
        /// Of the port.
        ifindex: u32,
        /// The new name.
        name: String,
    },
    /// Its MTU, state or addresses changed; the port has followed.
    Changed {
        /// Of the port.
        ifindex: u32,
    },
}

/// The ports of a process and the threads behind them, all in one network namespace: that of the thread that made
/// it. Dropping it ends the threads; ports then send and receive no more.
pub struct Ports {
    registry: Arc<Registry>,
    news: Arc<News>,
    watcher: Option<JoinHandle<()>>,
}

/// What [`Ports`], its ports and the watching thread share.
pub(crate) struct Registry {
    devices: Mutex<HashMap<u32, Open>>,
    links: Mutex<Links>,
    hush: std::io::Result<Hush>,
    /// Whether it has been said that interfaces cannot be hushed.
    heard: Once,
    workers: Vec<Worker>,
    on_event: Mutex<Option<OnEvent>>,
}

/// What the watching thread is woken for, beside what the kernel tells.
struct News {
    wake: OwnedFd,
    stop: AtomicBool,
    /// Ports found dead by those who read from them: interfaces deleted in another namespace.
    dead: Mutex<Vec<u32>>,
}

struct Open {
    device: Arc<Device>,
    worker: usize,
    /// Of a netdev: the host's stack hears nothing of it as long as it is a port.
    _hushed: Option<Hushed>,
}

type OnEvent = Arc<dyn Fn(Event) + Send + Sync>;

/// Numbers of ports without interfaces, above those the kernel gives out.
const MEMORY_IFINDEX: u32 = 0x4000_0000;

impl Ports {
    /// Starts `workers` forwarding threads (at least one) and one that watches interfaces. Needs no privilege.
    ///
    /// # Errors
    /// Those of sockets and threads.
    pub fn start(workers: usize) -> Result<Ports> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).map_err(std::io::Error::from)?;
        let news = Arc::new(News { wake, stop: AtomicBool::new(false), dead: Mutex::default() });
        let told = Arc::clone(&news);
        let on_dead: OnDead = Arc::new(move |device| {
            told.dead.lock().push(device.ifindex);
            told.wake();
        });
        let start = |number| Worker::start(number, Arc::clone(&on_dead));
        let registry = Arc::new(Registry {
            devices: Mutex::default(),
            links: Mutex::new(Links::open()?),
            hush: Hush::open(),
            heard: Once::new(),
            workers: (0..workers.max(1)).map(start).collect::<std::io::Result<_>>()?,
            on_event: Mutex::default(),
        });
        let (watch, own, heard) = (LinkWatch::open()?, Arc::clone(&registry), Arc::clone(&news));
        let watcher =
            std::thread::Builder::new().name("links".into()).spawn(move || own.watch(watch, &heard))?;
        Ok(Ports { registry, news, watcher: Some(watcher) })
    }

    /// Names who is told of [`Event`]s, on a thread that may take locks and change ports. Removed ports that
    /// nobody takes out of their datapath stay, and neither send nor receive.
    pub fn on_event(&self, f: impl Fn(Event) + Send + Sync + 'static) {
        *self.registry.on_event.lock() = Some(Arc::new(f));
    }

    /// A port on an interface of the host.
    ///
    /// # Errors
    /// `ENODEV` where there is no such interface; `EINVAL` for a loopback interface, one of another link layer than
    /// Ethernet and our own internal ones; `EBUSY` for one that is a port already or owned by a bridge or bond;
    /// `EPERM` without CAP_NET_RAW.
    pub fn open_netdev(&self, name: &str) -> Result<Box<dyn Port<Frame>>> {
        names::check(name).map_err(|_| Errno::ENODEV)?;
        let link = self.registry.links.lock().by_name(name)?;
        if link.is_loopback() || !link.is_ethernet() {
            return Err(Errno::EINVAL);
        }
        let known = self.registry.devices.lock().get(&link.ifindex).map(|open| open.device.kind);
        match known {
            Some(PortKind::Internal) => return Err(Errno::EINVAL),
            Some(_) => return Err(Errno::EBUSY),
            None if link.master.is_some() => return Err(Errno::EBUSY),
            None => {}
        }
        let io = self.registry.open_packets(link.ifindex)?;
        let hushed = self.registry.hush(&link);
        self.open(PortKind::Netdev, &link, io, hushed).map(|(port, _)| port)
    }

    /// A new interface whose other side is the port; it goes away with the port. It gets this ifindex, if one is given.
    ///
    /// # Errors
    /// `EBUSY` where an interface has the ifindex, `EEXIST` where there is an interface of this name, `ENAMETOOLONG` and `EINVAL` for what cannot be a name,
    /// `EPERM` without CAP_NET_ADMIN, `EOPNOTSUPP` without /dev/net/tun.
    pub fn open_internal(&self, name: &str, ifindex: Option<u32>) -> Result<Box<dyn Port<Frame>>> {
        let name = &*self.numbered(name)?;
        names::check(name)?;
        if self.registry.links.lock().by_name(name).is_ok() || self.registry.free_ifindex(name).is_err() {
            return Err(Errno::EEXIST);
        }
        if ifindex.is_some_and(|ifindex| self.registry.links.lock().by_index(ifindex).is_ok()) {
            return Err(Errno::EBUSY);
        }
        let tap = Tap::create(name, ifindex).map_err(|error| match Errno::from(error) {
            Errno::EBUSY => Errno::EEXIST, // made by another in between
            Errno::EACCES => Errno::EPERM, // /dev/net/tun is not for us
            Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => Errno::EOPNOTSUPP, // or not there
            errno => errno,
        })?;
        let link = self.registry.links.lock().by_name(name)?;
        self.open(PortKind::Internal, &link, Box::new(tap), None).map(|(port, _)| port)
    }

    /// A name with a `%d` in it asks for the first number that makes a name which none has.
    fn numbered<'n>(&self, name: &'n str) -> Result<Cow<'n, str>> {
        let Some((start, end)) = name.split_once("%d") else { return Ok(Cow::Borrowed(name)) };
        let is_free = |name: &String| {
            self.registry.links.lock().by_name(name).is_err() && self.registry.free_ifindex(name).is_ok()
        };
        let free = (0..MAX_NUMBERED).map(|number| format!("{start}{number}{end}")).find(is_free);
        free.map(Cow::Owned).ok_or(Errno::ENFILE)
    }

    /// A port without an interface, and its other side. Frames that are sent when the other side is dropped are
    /// counted as such. Its ifindex is none of the kernel's.
    ///
    /// # Errors
    /// `EEXIST` where a memory port has this name, `ENAMETOOLONG` and `EINVAL` for what cannot be a name.
    pub fn open_memory(&self, name: &str, kind: PortKind) -> Result<(Box<dyn Port<Frame>>, Peer)> {
        names::check(name)?;
        let ifindex = self.registry.free_ifindex(name)?;
        let up = Link { flags: 1, carrier: true, mtu: 1500, ifindex, name: name.into(), ..Link::default() };
        let (memory, peer) = memory::new();
        let (port, device) = self.open(kind, &up, Box::new(memory), None)?;
        Ok((port, peer(&device)))
    }

    /// A tunnel's port. It has no interface, but a name that none has, and an ifindex that is none of the kernel's.
    ///
    /// # Errors
    /// `EEXIST` where an interface or port has the name, or there is a tunnel that gets the same packets; `EBUSY` and
    /// `EADDRINUSE` where its UDP port is taken; `ENAMETOOLONG` and `EINVAL` for what cannot be a name; `EPERM` without
    /// CAP_NET_RAW; `EAFNOSUPPORT` without IP.
    pub fn open_tunnel(&self, name: &str, tunnel: Tunnel) -> Result<Box<dyn Port<Frame>>> {
        names::check(name)?;
        let ifindex = self.registry.free_ifindex(name)?;
        if self.registry.links.lock().by_name(name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let clash = |open: &Open| tunnel.clash(&open.device.with_io(|io| io.tunnel())??);
        if let Some(errno) = self.registry.devices.lock().values().find_map(clash) {
            return Err(errno);
        }
        let (listeners, end) = tunnel::open(tunnel)?;
        let mtu = u32::try_from(tunnel.mtu()).unwrap_or(u32::MAX);
        let up = Link { flags: 1, carrier: true, mtu, ifindex, name: name.into(), ..Link::default() };
        let (port, _) = self.open(tunnel.kind(), &up, Box::new(listeners), None)?;
        Ok(Box::new(TunnelPort { port, end }))
    }

    /// Begins to receive from a port: each frame goes to `receiver`, on a forwarding thread.
    ///
    /// # Errors
    /// `ENODEV` where no port of this ifindex is open, those of epoll_ctl(2).
    pub fn attach(&self, ifindex: u32, receiver: impl Receiver) -> Result<()> {
        let devices = self.registry.devices.lock();
        let open = devices.get(&ifindex).ok_or(Errno::ENODEV)?;
        open.device.set_receiver(Arc::new(receiver));
        let worker = self.registry.workers.get(open.worker).ok_or(Errno::ENODEV)?;
        Ok(worker.add(&open.device)?)
    }

    /// Ends reception and closes a port's descriptor: an internal port's interface is gone when this returns, a
    /// netdev can be opened anew. Frames of a batch being handed over may still arrive. To be called when the port
    /// has left its datapath, as the datapath may drop the port itself much later. Idempotent.
    pub fn detach(&self, ifindex: u32) {
        self.registry.detach(ifindex, None);
    }

    fn open(
        &self,
        kind: PortKind,
        link: &Link,
        io: Box<dyn Io>,
        hushed: Option<Hushed>,
    ) -> Result<(Box<dyn Port<Frame>>, Arc<Device>)> {
        let mut devices = self.registry.devices.lock();
        if devices.contains_key(&link.ifindex) {
            return Err(Errno::EBUSY);
        }
        let device = Arc::new(Device::new(kind, link, features(), io));
        let loads = self.registry.workers.iter().map(Worker::load).enumerate();
        let worker = loads.min_by_key(|(_, load)| *load).map_or(0, |(number, _)| number);
        devices.try_reserve(1)?;
        devices.insert(link.ifindex, Open { device: Arc::clone(&device), worker, _hushed: hushed });
        drop(devices);
        // From here on changes are followed; what came between the first look and now is seen by this one.
        if let Ok(link) = self.registry.links.lock().by_index(link.ifindex) {
            device.follow(&link);
        }
        let registry = Arc::downgrade(&self.registry);
        Ok((Box::new(HostPort { device: Arc::clone(&device), registry }), device))
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.news.stop.store(true, Ordering::Release);
        self.news.wake();
        if let Some(thread) = self.watcher.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the thread has been printed by itself.
            let _ = thread.join();
        }
        let open: Vec<u32> = self.registry.devices.lock().keys().copied().collect();
        open.into_iter().for_each(|ifindex| self.detach(ifindex));
        self.registry.on_event.lock().take();
    }
}

impl News {
    fn wake(&self) {
        // Fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Registry {
    /// The port itself is being dropped.
    pub(crate) fn forget(&self, device: &Arc<Device>) {
        self.detach(device.ifindex, Some(device));
    }

    /// A packet socket, with a ring if there may be one. Rings are memory that is taken whether packets come or not: those of
    /// the first ports hold 2,048 frames in 4 MiB, later ones fewer, and with a thousand ports there are none any more.
    fn open_packets(&self, ifindex: u32) -> std::io::Result<Box<dyn Io>> {
        let slots = match self.devices.lock().len() {
            0..16 => Some(2048),
            16..256 => Some(256),
            _ => None,
        };
        // Memory, or a kernel that cannot: a socket without a ring does the same, slower. Other errors come again.
        match slots.map(|slots| PacketRing::open(ifindex, slots)) {
            Some(Ok(ring)) => Ok(Box::new(ring)),
            _ => Ok(Box::new(PacketSocket::open(ifindex)?)),
        }
    }

    /// Keeps an interface's frames from the host's stack. A port works without too, so that it cannot be done is told,
    /// once, and no error.
    fn hush(&self, link: &Link) -> Option<Hushed> {
        let hushed = match &self.hush {
            Ok(hush) => hush.hush(link.ifindex, &link.name),
            Err(error) => Err(error.kind().into()),
        };
        let say = |error: &std::io::Error| {
            self.heard.call_once(|| {
                eprintln!(
                    "pfnl: the host's own stack also sees what datapath ports such as {} receive, as nf_tables cannot keep it \
                     from that ({error}): give them no addresses",
                    link.name
                );
            });
        };
        hushed.inspect_err(say).ok()
    }

    /// An ifindex for a port without an interface.
    ///
    /// # Errors
    /// `EEXIST` where another such port has the name.
    fn free_ifindex(&self, name: &str) -> Result<u32> {
        let devices = self.devices.lock();
        let mut own = devices.values().filter(|open| open.device.ifindex >= MEMORY_IFINDEX);
        if own.any(|open| open.device.is_named(name)) {
            return Err(Errno::EEXIST);
        }
        (MEMORY_IFINDEX..).find(|ifindex| !devices.contains_key(ifindex)).ok_or(Errno::ENOSPC)
    }

    /// What an interface has counted, if it is one of the kernel's and still there.
    pub(crate) fn link_stats(&self, ifindex: u32) -> Option<LinkStats> {
        (ifindex < MEMORY_IFINDEX).then(|| self.links.lock().stats(ifindex).ok()).flatten()
    }

    fn detach(&self, ifindex: u32, only: Option<&Arc<Device>>) {
        let mut devices = self.devices.lock();
        let is_it = |open: &Open| only.is_none_or(|device| Arc::ptr_eq(device, &open.device));
        if devices.get(&ifindex).is_some_and(is_it)
            && let Some(open) = devices.remove(&ifindex)
        {
            drop(devices);
            if let Some(worker) = self.workers.get(open.worker) {
                worker.remove(&open.device);
            }
            open.device.close();
        }
    }

    fn watch(&self, mut watch: LinkWatch, news: &News) {
        let mut events = Vec::new();
        loop {
            let fds = &mut [PollFd::new(&watch, PollFlags::IN), PollFd::new(&news.wake, PollFlags::IN)];
            match poll(fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return eprintln!("pfnl: interfaces are no longer watched: {error}"),
            }
            // Resets the counter; nothing to reset is no error of ours.
            let _ = rustix::io::read(&news.wake, &mut [0; 8]);
            if news.stop.load(Ordering::Acquire) {
                return;
            }
            let dead = std::mem::take(&mut *news.dead.lock());
            dead.into_iter().filter_map(|ifindex| self.bury(ifindex)).for_each(|event| self.tell(event));
            if let Err(error) = watch.read(&mut events) {
                eprintln!("pfnl: watching interfaces: {error}");
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            events.drain(..).filter_map(|event| self.follow(event)).for_each(|event| self.tell(event));
        }
    }

    fn tell(&self, event: Event) {
        let on_event = self.on_event.lock().clone();
        if let Some(on_event) = on_event {
            on_event(event);
        }
    }

    /// A port was found dead; tells of it unless it is detached, or another by now.
    fn bury(&self, ifindex: u32) -> Option<Event> {
        let device = Arc::clone(&self.devices.lock().get(&ifindex)?.device);
        (!device.survives_move()).then_some(Event::Removed { ifindex })
    }

    /// Lets the port follow its interface. None where the interface is not a port's, or it goes on elsewhere.
    fn follow(&self, event: LinkEvent) -> Option<Event> {
        let (LinkEvent::Added(link)
        | LinkEvent::Removed(link)
        | LinkEvent::Changed(link)
        | LinkEvent::Renamed { link, .. }) = &event;
        let ifindex = link.ifindex;
        let device = Arc::clone(&self.devices.lock().get(&ifindex)?.device);
        match event {
            LinkEvent::Removed(_) => self.bury(ifindex),
            LinkEvent::Renamed { link, .. } => {
                device.follow(&link);
                Some(Event::Renamed { ifindex, name: link.name })
            }
            LinkEvent::Added(link) | LinkEvent::Changed(link) => {
                device.follow(&link);
                Some(Event::Changed { ifindex })
            }
        }
    }
}

/// What the kernel does to frames on their way out, in hardware or, for interfaces that cannot, in software.
fn features() -> Features {
    Features { csum: true, tso4: true, tso6: true, uso: kernel_cuts_udp() }
}

/// Whether virtio_net_hdr can ask for UDP segmentation: since Linux 6.2.
fn kernel_cuts_udp() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 2)
}
