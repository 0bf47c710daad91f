//! How frames get from and to an interface: the seam between a device and the kernel.
//!
//! One trait, so that AF_XDP can stand beside the rings and system calls of today.

use crate::frame::{Blank, Frame};
use pfnl_datapath::tunnel::Tunnel;
use pfnl_rawio::{BATCH, PacketRing, PacketSocket, Part, Received, Tap, VnetHeader};
use std::io::{ErrorKind, Result};
use std::os::fd::{AsFd, BorrowedFd};

/// A way to and from one interface. Nothing here waits.
pub(crate) trait Io: Send + Sync {
    /// What becomes readable when there are frames; none where nothing is ever read.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Reads up to [`BATCH`] frames.
    ///
    /// # Errors
    /// As read(2); `EBADFD` once the interface is gone for good.
    fn recv(&self, batch: &mut Batch) -> Result<()>;

    /// Sends up to [`BATCH`] frames in order and tells how many went.
    ///
    /// # Errors
    /// That of the first frame, which did not go.
    fn send(&self, frames: &[Frame]) -> Result<usize>;

    /// What it wraps frames in, if it is a tunnel's.
    fn tunnel(&self) -> Option<Tunnel> {
        None
    }

    /// Whether the interface that was reported gone from this namespace still lives elsewhere.
    fn survives_move(&self) -> bool {
        false
    }
}

/// Frames read at once, and blank ones for the next time.
pub(crate) struct Batch {
    blanks: Vec<Blank>,
    got: [Received; BATCH],
    /// What was read.
    pub(crate) frames: Vec<Frame>,
    /// How many were read and are lost: cut short, or not to be expressed.
    pub(crate) bad: u64,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch { blanks: Vec::new(), got: Default::default(), frames: Vec::new(), bad: 0 }
    }

    /// Reads into blank frames by `read`, which tells how many it filled in.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut [Blank], &mut [Received]) -> Result<usize>,
    ) -> Result<usize> {
        while self.blanks.len() < BATCH {
            self.blanks.push(Blank::new()?);
        }
        let count = read(&mut self.blanks, &mut self.got)?;
        for (blank, got) in self.blanks.drain(..count).zip(&self.got) {
            match blank.finish(got) {
                Some(frame) => self.frames.push(frame),
                None => self.bad += 1,
            }
        }
        Ok(count)
    }
}

impl Io for PacketSocket {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn recv(&self, batch: &mut Batch) -> Result<()> {
        batch.fill(|blanks, got| PacketSocket::recv(self, blanks, got)).map(drop)
    }

    fn send(&self, frames: &[Frame]) -> Result<usize> {
        let mut headers = [VnetHeader::default(); BATCH];
        for (header, frame) in headers.iter_mut().zip(frames) {
            *header = frame.vnet_header();
        }
        PacketSocket::send(self, &headers, frames)
    }
}

impl Io for PacketRing {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    /// Frames from the ring, then those that were too long for it: a frame of the ring behind such a one waits for the
    /// next time, so that their order stays.
    fn recv(&self, batch: &mut Batch) -> Result<()> {
        let mut queued = 0;
        let read = PacketRing::recv(self, BATCH, |slot| {
            match slot.part {
                Part::Queued => queued += 1,
                _ if queued > 0 => return false,
                Part::Whole => match Frame::from_slot(&slot) {
                    Some(frame) => batch.frames.push(frame),
                    None => batch.bad += 1,
                },
                Part::Lost => batch.bad += 1,
            }
            true
        });
        if read == 0 {
            // Nothing, or an error to be told: ENETDOWN.
            return Io::recv(self.socket(), batch);
        }
        let mut errors = 0;
        while queued > 0 {
            let long =
                |blanks: &mut [Blank], got: &mut [Received]| self.socket().recv(&mut blanks[..queued], got);
            match batch.fill(long) {
                Ok(count) => queued -= count.clamp(1, queued),
                Err(error) if is_full(&error) => {
                    batch.bad += queued as u64;
                    break;
                }
                // One is lost (EINVAL), or the interface's state is told of (ENETDOWN), once, and by netlink too.
                Err(_) if errors < BATCH => errors += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send(&self, frames: &[Frame]) -> Result<usize> {
        Io::send(self.socket(), frames)
    }
}

impl Io for Tap {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn recv(&self, batch: &mut Batch) -> Result<()> {
        batch
            .fill(|blanks, got| {
                for (count, (blank, got)) in blanks.iter_mut().zip(got).enumerate() {
                    match Tap::recv(self, blank.as_mut()) {
                        Ok(one) => *got = one,
                        Err(error) if count == 0 => return Err(error),
                        Err(_) => return Ok(count),
                    }
                }
                Ok(BATCH)
            })
            .map(drop)
    }

    fn send(&self, frames: &[Frame]) -> Result<usize> {
        for (count, frame) in frames.iter().take(BATCH).enumerate() {
            match Tap::send(self, &frame.vnet_header(), frame.as_ref()) {
                Ok(()) => {}
                Err(error) if count == 0 => return Err(error),
                Err(_) => return Ok(count),
            }
        }
        Ok(frames.len().min(BATCH))
    }

    fn survives_move(&self) -> bool {
        self.is_attached()
    }
}

/// Whether there is nothing to read, or no room to write.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
