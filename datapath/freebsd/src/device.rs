//! An interface as a port: what comes in goes to its datapath, what the datapath sends goes out, or up the host's stack.

use crate::count::Held;
use crate::packet::Mbuf;
use crate::sys;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU64, Ordering};
use pfnl_datapath::Datapath;
use pfnl_datapath::port::{Features, Port, PortKind, PortName, PortStats};
use pfnl_kernel::{Kernel, Mtx, Section};
use pfnl_ovs::Upper;
use pfnl_platform::{Errno, Mutex, RcuBox, RcuCell, Result, Shared};

/// A datapath over mbufs and interfaces.
pub type Dp = Datapath<Kernel, Mbuf, Upper<Kernel>>;

/// An interface that is a port, or about to be, or was.
pub struct Device {
    interface: Interface,
    kind: PortKind,
    /// The interface's number.
    pub ifindex: u32,
    stage: Mtx<Stage>,
    inlet: RcuCell<Kernel, Inlet>,
    /// Packets that made no sense, or for which there was no memory.
    dropped: AtomicU64,
}

/// A referenced ifnet.
struct Interface(NonNull<sys::ifnet>);

// SAFETY: an ifnet is used from any thread, under its own rules.
unsafe impl Send for Interface {}
// SAFETY: as above.
unsafe impl Sync for Interface {}

impl Drop for Interface {
    fn drop(&mut self) {
        // SAFETY: referenced by who made this.
        unsafe { sys::if_rele(self.0.as_ptr()) }
    }
}

/// Where packets go to.
struct Inlet {
    datapath: Shared<Dp>,
    port: u32,
}

#[derive(Default)]
struct Stage {
    /// Its if_input is ours.
    hooked: bool,
    /// It is being detached from its vnet.
    going: bool,
    /// Until it leaves; what remains then is memory, which is freed before the module goes.
    held: Option<Held>,
}

fn check(error: c_int) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(Errno::from_freebsd(error).unwrap_or(Errno::EINVAL)) }
}

impl Device {
    /// An interface of the current vnet.
    ///
    /// # Errors
    /// `ENODEV`, `EINVAL`, `EBUSY` as [`pfnl_ovs::Devices::open_netdev`]; `ENOMEM`.
    pub fn find(name: &CStr) -> Result<Shared<Device>> {
        let held = Held::port()?;
        let mut interface = null_mut();
        // SAFETY: the name is a string; the pointer is set on success.
        check(unsafe { sys::ovs_if_find(name.as_ptr(), &raw mut interface) })?;
        let device = Device::new(interface, PortKind::Netdev, held)?;
        device.enter().inspect_err(|_| device.leave())?;
        Ok(device)
    }

    /// A new interface of the datapath's own, in the current vnet.
    ///
    /// # Errors
    /// `EEXIST`, `ENOMEM`.
    pub fn create(name: &CStr) -> Result<Shared<Device>> {
        let held = Held::port()?;
        let mut interface = null_mut();
        // SAFETY: as above.
        check(unsafe { sys::ovs_if_create(name.as_ptr(), &raw mut interface) })?;
        let device = Device::new(interface, PortKind::Internal, held).inspect_err(|_| {
            // SAFETY: nobody's device; until this there is a reference that is not ours.
            unsafe { sys::ovs_if_leave(interface, true, false, false) }
        })?;
        device.enter().inspect_err(|_| device.leave())?;
        Ok(device)
    }

    fn new(interface: *mut sys::ifnet, kind: PortKind, held: Held) -> Result<Shared<Device>> {
        let interface = Interface(NonNull::new(interface).ok_or(Errno::ENODEV)?);
        // SAFETY: referenced.
        let ifindex = unsafe { sys::ovs_if_index(interface.0.as_ptr()) };
        Shared::try_new(Device {
            interface,
            kind,
            ifindex,
            stage: Mtx::try_new(c"openvswitch port", Stage { held: Some(held), ..Stage::default() })?,
            inlet: RcuCell::new(None),
            dropped: AtomicU64::new(0),
        })
    }

    /// Makes the device the one that C finds by its interface.
    fn enter(&self) -> Result<()> {
        let place = (&raw const *self).cast_mut().cast();
        // SAFETY: the device stays until `leave` has been called, which waits for who has found it.
        let there = unsafe { sys::ovs_if_enter(self.interface.0.as_ptr(), place) };
        if there { Ok(()) } else { Err(Errno::ENODEV) }
    }

    /// Hands over what comes in, as a port's of a datapath.
    ///
    /// # Errors
    /// `ENODEV`: the interface is going away. `ENOMEM`.
    pub fn attach(&self, datapath: &Shared<Dp>, port: u32) -> Result<()> {
        let inlet = RcuBox::try_new(Inlet { datapath: datapath.clone(), port })?;
        {
            let mut stage = self.stage.lock();
            if stage.going {
                return Err(Errno::ENODEV);
            }
            self.inlet.store(Some(inlet));
            stage.hooked = self.kind == PortKind::Netdev;
        }
        if self.kind == PortKind::Netdev {
            // SAFETY: referenced. An interface that goes at this very moment is never heard of again.
            unsafe { sys::ovs_if_hook(self.interface.0.as_ptr()) }
        }
        Ok(())
    }

    /// The interface is being detached from its vnet.
    pub fn depart(&self) {
        self.stage.lock().going = true;
    }

    /// The opposite of [`Device::find`], [`Device::create`] and [`Device::attach`]: when it returns nothing more comes in,
    /// and an interface of our own is gone. May sleep; to be called once.
    pub fn leave(&self) {
        self.inlet.store(None);
        let Stage { hooked, going, held } = core::mem::take(&mut *self.stage.lock());
        let own = self.kind == PortKind::Internal;
        // SAFETY: referenced, and in the state that is said.
        unsafe { sys::ovs_if_leave(self.interface.0.as_ptr(), own, going, hooked) }
        drop(held);
    }
}

/// A packet has come in.
#[unsafe(no_mangle)]
unsafe extern "C" fn ovs_receive(device: *mut sys::ovs_device, chain: *mut sys::mbuf) {
    // SAFETY: C has found the device inside the epoch, and gives the chain.
    let (device, packet) = unsafe { (&*device.cast::<Device>(), Mbuf::received(chain)) };
    // SAFETY: C is inside the epoch.
    let section = unsafe { Section::entered() };
    match (device.inlet.load(&section), packet) {
        (Some(inlet), Some(packet)) => inlet.datapath.receive_in(&section, inlet.port, packet),
        // Relaxed: a statistic.
        (Some(_), None) => drop(device.dropped.fetch_add(1, Ordering::Relaxed)),
        // Not attached yet, or no more.
        (None, _) => {}
    }
}

/// The port of a device.
pub struct IfPort(pub Shared<Device>);

impl Port<Mbuf> for IfPort {
    fn send(&self, packet: Mbuf) {
        let (interface, chain) = (self.0.interface.0.as_ptr(), packet.into_chain());
        if chain.is_null() {
            return;
        }
        // SAFETY: referenced; the chain is given away. We are inside the epoch.
        unsafe {
            match self.0.kind {
                PortKind::Internal => sys::ovs_if_up(interface, chain),
                _ => sys::ovs_if_send(interface, chain),
            }
        }
    }

    fn name(&self) -> PortName {
        let mut name: [c_char; 16] = [0; 16];
        // SAFETY: referenced; there is room for IFNAMSIZ bytes, and the last is a NUL.
        let name = unsafe {
            sys::ovs_if_name(self.0.interface.0.as_ptr(), name.as_mut_ptr());
            CStr::from_ptr(name.as_ptr())
        };
        PortName::new(name.to_bytes()).unwrap_or_default()
    }

    fn ifindex(&self) -> u32 {
        self.0.ifindex
    }

    fn kind(&self) -> PortKind {
        self.0.kind
    }

    fn mtu(&self) -> usize {
        // SAFETY: referenced.
        unsafe { sys::ovs_if_mtu(self.0.interface.0.as_ptr()) as usize }
    }

    fn is_up(&self) -> bool {
        // SAFETY: referenced.
        unsafe { sys::ovs_if_is_up(self.0.interface.0.as_ptr()) }
    }

    fn features(&self) -> Features {
        // SAFETY: referenced.
        let can = unsafe { sys::ovs_if_features(self.0.interface.0.as_ptr()) };
        Features { csum: can.csum, tso4: can.tso4, tso6: can.tso6, uso: false }
    }

    fn stats(&self) -> Option<PortStats> {
        let mut counts = sys::ovs_counts::default();
        // SAFETY: referenced.
        unsafe { sys::ovs_if_counts(self.0.interface.0.as_ptr(), &raw mut counts) };
        Some(PortStats {
            rx_packets: counts.rx_packets,
            tx_packets: counts.tx_packets,
            rx_bytes: counts.rx_bytes,
            tx_bytes: counts.tx_bytes,
            rx_errors: counts.rx_errors,
            tx_errors: counts.tx_errors,
            // Relaxed: a statistic.
            rx_dropped: counts.rx_dropped.saturating_add(self.0.dropped.load(Ordering::Relaxed)),
            tx_dropped: counts.tx_dropped,
        })
    }
}
