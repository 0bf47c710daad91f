//! From the core's queue to `so_rcv`.
//!
//! What is queued goes to the receive buffer at once, as mbufs around the core's own bytes: nothing is copied before
//! the user reads. There the kernel's own soreceive, poll, select and kqueue find it. It stays charged to the core's
//! queue until the mbuf is freed, which is when the user has read it; so congestion, ENOBUFS and the pace of dumps
//! follow the program's recv calls as on Linux.

use crate::{abi, address, count};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use pfnl_kernel::{Kernel, Mtx, sys};
use pfnl_platform::{Errno, Mutex, Result, Shared, try_box};
use pfnl_sock::{Block, Delivery, Settled, Socket};

/// NETLINK_PKTINFO: the option, and the type of its control message.
pub const NETLINK_PKTINFO: c_int = 3;

/// What joins a socket of the core with one of the kernel.
pub struct Link {
    /// Both, while the kernel's exists; held while datagrams move, so that they keep their order.
    ends: Mtx<Option<Ends>>,
    /// Charge of the datagrams read and not yet told to the core.
    read: AtomicUsize,
    /// NETLINK_PKTINFO is on.
    pub pktinfo: AtomicBool,
    /// SO_PASSCRED is on.
    pub passcred: AtomicBool,
    /// The program's error numbers are Linux's.
    linux: bool,
    /// The address family it was opened with.
    pub family: u8,
}

struct Ends {
    core: Socket<Kernel>,
    kernel: NonNull<sys::socket>,
}

// SAFETY: a struct socket is used from any thread, under its own locks.
unsafe impl Send for Ends {}

impl Link {
    /// A link without ends yet.
    pub fn try_new(linux: bool, family: u8) -> Result<Shared<Link>> {
        Shared::try_new(Link {
            ends: Mtx::try_new(c"pfnl delivery", None)?,
            read: AtomicUsize::new(0),
            pktinfo: AtomicBool::new(false),
            passcred: AtomicBool::new(false),
            linux,
            family,
        })
    }

    /// Joins the two.
    pub fn join(&self, core: Socket<Kernel>, kernel: NonNull<sys::socket>) {
        *self.ends.lock() = Some(Ends { core, kernel });
    }

    /// Parts them: the kernel's socket is not touched from now on.
    pub fn part(&self) {
        let ends = self.ends.lock().take();
        drop(ends);
    }
}

/// The core's way to a link.
pub struct Handle(pub Shared<Link>);

impl Delivery for Handle {
    fn wake(&self) {
        let link = &self.0;
        let ends = link.ends.lock();
        let Some(Ends { core, kernel }) = &*ends else { return };
        let mut lost = false;
        while let Some(block) = core.take() {
            lost |= append(link, *kernel, block).is_err();
        }
        let error = core.take_error().or(lost.then_some(Errno::ENOBUFS));
        // SAFETY: the socket lives while the link has ends.
        unsafe { sys::pfnl_wake(kernel.as_ptr(), error.map_or(0, Errno::freebsd)) }
    }

    fn settle(&self) -> Settled {
        // Relaxed: a sum, which orders nothing.
        Settled { charge: self.0.read.swap(0, Ordering::Relaxed), buffer: 0 }
    }
}

/// A datagram in the receive buffer, as its mbuf knows it.
struct Datagram {
    _bytes: Vec<u8>,
    charge: usize,
    link: Shared<Link>,
}

impl Drop for Datagram {
    fn drop(&mut self) {
        // Relaxed: as in `settle`.
        self.link.read.fetch_add(self.charge, Ordering::Relaxed);
        count::DATAGRAMS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Puts a block into the receive buffer. If that fails it is lost, and settled.
fn append(link: &Shared<Link>, kernel: NonNull<sys::socket>, block: Block) -> Result<()> {
    let Block { mut bytes, from, group, sender, charge } = block;
    if from.portid == 0 && !link.linux {
        abi::to_freebsd(&mut bytes);
    }
    let (place, len) = (bytes.as_mut_ptr(), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    count::DATAGRAMS.fetch_add(1, Ordering::SeqCst);
    let datagram = Datagram { _bytes: bytes, charge, link: link.clone() };
    let context = Box::into_raw(try_box(datagram).inspect_err(|_| lose())?);
    let [pid, uid, gid] = sender;
    let mut name = address::show(from, link.family);
    // What follows the address is for `receive`, which takes it off again.
    name.nl_len = size_of::<sys::pfnl_name>() as u8;
    let name = sys::pfnl_name { name, group, pid, uid, gid };
    // SAFETY: the socket lives while the link has ends. The bytes are the datagram's, which lives until `read` is
    // called with it; moving a Vec does not move its bytes. The name is copied.
    let taken = unsafe {
        let (kernel, name) = (kernel.as_ptr(), &raw const name);
        sys::pfnl_append(kernel, name, place.cast(), len, Some(read), context.cast())
    };
    if !taken {
        // SAFETY: what was not taken is still ours.
        drop(unsafe { Box::from_raw(context) });
        lose();
        return Err(Errno::ENOBUFS);
    }
    Ok(())
}

fn lose() {
    // Relaxed: a statistic.
    count::NOMEM.fetch_add(1, Ordering::Relaxed);
}

/// The mbuf around a datagram is freed.
unsafe extern "C" fn read(mbuf: *mut sys::mbuf) {
    // SAFETY: only mbufs of `pfnl_append` call this, once, with the context they were given.
    drop(unsafe { Box::from_raw(context(mbuf).cast::<Datagram>()) });
}

/// What `m_extadd` was given for its function.
unsafe fn context(mbuf: *mut sys::mbuf) -> *mut c_void {
    // SAFETY: an mbuf with external storage.
    unsafe { sys::pfnl_context(mbuf) }
}
