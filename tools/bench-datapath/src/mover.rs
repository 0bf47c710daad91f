//! The bare mover: what packet sockets with rings can do when nobody looks at the packets.

use anyhow::Result;
use pfnl_rawio::{BATCH, Links, PacketRing, Part, Received, VnetHeader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A thread that moves frames between two interfaces, both ways.
pub struct Mover {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Large enough for a frame that is yet to be segmented.
const BUFFER: usize = 66_000;

impl Mover {
    /// Starts one, in the network namespace of the caller, on one processor.
    ///
    /// # Errors
    /// Those of packet sockets.
    pub fn start(from: &str, to: &str, cpu: usize) -> Result<Mover> {
        let mut links = Links::open()?;
        let mut open =
            |name: &str| -> Result<PacketRing> { Ok(PacketRing::open(links.by_name(name)?.ifindex, 2048)?) };
        let rings = [open(from)?, open(to)?];
        let stop = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("mover".into()).spawn(move || {
            crate::pin(None, cpu);
            let mut buffers = vec![vec![0; BUFFER]; BATCH];
            while !end.load(Ordering::Relaxed) {
                if !turn(&rings[0], &rings[1], &mut buffers) & !turn(&rings[1], &rings[0], &mut buffers) {
                    wait(&rings);
                }
            }
        })?;
        Ok(Mover { stop, thread: Some(thread) })
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic has been printed by the thread itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Moves a batch; false when there was none.
fn turn(from: &PacketRing, to: &PacketRing, buffers: &mut [Vec<u8>]) -> bool {
    let mut headers = [VnetHeader::default(); BATCH];
    let mut spans = [(0, 0); BATCH];
    let mut count = 0;
    let read = from.recv(BATCH, |slot| {
        if slot.part == Part::Whole {
            headers[count] = slot.copy_to(&mut buffers[count][..slot.len()]);
            spans[count] = (0, slot.len());
            count += 1;
        } else if slot.part == Part::Queued {
            let mut got = [Received::default()];
            if from.socket().recv(&mut buffers[count..count + 1], &mut got).is_ok() {
                (headers[count], spans[count]) = (got[0].header, (got[0].start, got[0].len));
                count += 1;
            }
        }
        true
    });
    let mut frames = [[].as_slice(); BATCH];
    for ((frame, buffer), (start, len)) in frames.iter_mut().zip(&*buffers).zip(spans).take(count) {
        *frame = &buffer[start..][..len];
    }
    let mut sent = 0;
    while sent < count {
        match to.socket().send(&headers[sent..count], &frames[sent..count]) {
            Ok(some) => sent += some.max(1),
            Err(_) => sent += 1,
        }
    }
    read > 0
}

fn wait(rings: &[PacketRing; 2]) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&rings[0], PollFlags::IN), PollFd::new(&rings[1], PollFlags::IN)];
    // Wakes up now and then to see whether it is to end; whatever poll says, the rings are read next.
    let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 }));
}
