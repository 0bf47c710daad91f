//! What exists of ours in the kernel, and so whether the module can go. C shows the counters as net.pfnl.*.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use pfnl_platform::{Errno, Result};

/// Open sockets.
#[unsafe(export_name = "pfnl_sockets")]
pub static SOCKETS: AtomicU32 = AtomicU32::new(0);
/// Datagrams in receive buffers: freeing them runs our code.
#[unsafe(export_name = "pfnl_datagrams")]
pub static DATAGRAMS: AtomicU32 = AtomicU32::new(0);
/// Datagrams lost for want of memory.
#[unsafe(export_name = "pfnl_nomem")]
pub static NOMEM: AtomicU32 = AtomicU32::new(0);

static STOPPING: AtomicBool = AtomicBool::new(false);

/// Counts a socket that is about to open.
pub fn socket_opens() -> Result<()> {
    // Sequentially consistent, as in `pfnl_stop`: one of the two sees the other.
    SOCKETS.fetch_add(1, Ordering::SeqCst);
    if STOPPING.load(Ordering::SeqCst) {
        socket_gone();
        return Err(Errno::EAFNOSUPPORT);
    }
    Ok(())
}

/// Counts a socket that is gone.
pub fn socket_gone() {
    SOCKETS.fetch_sub(1, Ordering::SeqCst);
}

/// Whether nothing of ours is left; no socket opens from now on.
#[unsafe(no_mangle)]
extern "C" fn pfnl_stop() -> bool {
    STOPPING.store(true, Ordering::SeqCst);
    if SOCKETS.load(Ordering::SeqCst) == 0 && DATAGRAMS.load(Ordering::SeqCst) == 0 {
        return true;
    }
    pfnl_resume();
    false
}

/// Sockets may open again.
#[unsafe(no_mangle)]
extern "C" fn pfnl_resume() {
    STOPPING.store(false, Ordering::SeqCst);
}
