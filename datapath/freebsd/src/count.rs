//! What exists of ours in the kernel, and so whether the module can go. C shows the counters as net.ovs.*.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use pfnl_platform::{Errno, Result};

/// Open ports: each datapath has one at least.
#[unsafe(export_name = "ovs_ports")]
static PORTS: AtomicU32 = AtomicU32::new(0);
/// Dumps in progress: the sockets they belong to run our code when they go on, or are closed.
#[unsafe(export_name = "ovs_dumps")]
static DUMPS: AtomicU32 = AtomicU32::new(0);

static STOPPING: AtomicBool = AtomicBool::new(false);

/// Something that keeps the module where it is, while it lives.
pub struct Held(&'static AtomicU32);

impl Held {
    /// An open port.
    pub fn port() -> Result<Held> {
        Held::new(&PORTS, Errno::ENODEV)
    }

    /// A dump.
    pub fn dump() -> Result<Held> {
        Held::new(&DUMPS, Errno::EBUSY)
    }

    fn new(counter: &'static AtomicU32, refusal: Errno) -> Result<Held> {
        // Sequentially consistent, as in `ovs_stop`: one of the two sees the other.
        counter.fetch_add(1, Ordering::SeqCst);
        let held = Held(counter);
        if STOPPING.load(Ordering::SeqCst) { Err(refusal) } else { Ok(held) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether the module is on its way out.
pub fn is_stopping() -> bool {
    STOPPING.load(Ordering::SeqCst)
}

/// Whether nothing of ours is left; nothing is opened from now on.
#[unsafe(no_mangle)]
extern "C" fn ovs_stop() -> bool {
    STOPPING.store(true, Ordering::SeqCst);
    if PORTS.load(Ordering::SeqCst) == 0 && DUMPS.load(Ordering::SeqCst) == 0 {
        return true;
    }
    ovs_resume();
    false
}

/// Things may be opened again.
#[unsafe(no_mangle)]
extern "C" fn ovs_resume() {
    STOPPING.store(false, Ordering::SeqCst);
}
