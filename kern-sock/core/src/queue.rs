//! A socket's receive queue: blocks of messages, bounded by what their memory is charged.
//!
//! A block is what one recv returns: one message, or several of a dump. Overflow marks the socket congested and
//! reports ENOBUFS once; until the queue has been emptied everything else is lost.

use crate::addr::SockAddr;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Result};

/// How a platform learns of what happens on a socket, and tells what its user has read.
pub trait Delivery: Send + Sync {
    /// Something was queued or an error is pending.
    fn wake(&self);

    /// What the user has read since the last call, for platforms where reading does not pass through
    /// [`Socket::read`](crate::Socket::read) each time.
    fn settle(&self) -> Settled {
        Settled::default()
    }
}

/// What a user has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Sum of the blocks' charges.
    pub charge: usize,
    /// The largest receive buffer seen.
    pub buffer: usize,
}

/// One datagram to a user.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its messages.
    pub bytes: Vec<u8>,
    /// Whom it is from; for a multicast with the bit of its group, if that is one of the first 32.
    pub from: SockAddr,
    /// Its multicast group, 0 = none (NETLINK_PKTINFO).
    pub group: u32,
    /// pid, uid and gid of the sender; zero for the kernel (SCM_CREDENTIALS).
    pub sender: [u32; 3],
    /// What it takes from the receive buffer.
    pub charge: usize,
}

/// What Linux charges for a datagram (SO_MEMINFO shows it): a descriptor of 256 bytes, and the data in whole cache lines
/// with 320 bytes behind it, in a buffer of the size for short ones
/// ([`Limits::least_charge`](crate::Limits::least_charge)) or else a power of two.
#[derive(Clone, Copy)]
pub(crate) struct Charging {
    pub(crate) least: usize,
}

impl Charging {
    pub(crate) fn of(self, len: usize) -> usize {
        let size = occupied(len);
        if size.saturating_add(DESCRIPTOR) <= self.least {
            return self.least;
        }
        size.checked_next_power_of_two().unwrap_or(size).saturating_add(DESCRIPTOR)
    }

    /// As [`Charging::of`], from one user to another: what is longer than a page lies in pages of its own, not rounded up.
    pub(crate) fn alone(self, len: usize) -> usize {
        if len > PAGE_ROOM { occupied(len).saturating_add(DESCRIPTOR) } else { self.of(len) }
    }
}

/// What fits a page with what lies behind the data.
pub(crate) const PAGE_ROOM: usize = 4096 - BEHIND;
/// What lies behind the data of every buffer.
pub(crate) const BEHIND: usize = 320;
/// What stands for a datagram beside its buffer.
const DESCRIPTOR: usize = 256;

fn occupied(len: usize) -> usize {
    (len.saturating_add(63) & !63).saturating_add(BEHIND)
}

pub(crate) struct Queue {
    blocks: VecDeque<Block>,
    /// Charged and not yet read by the user.
    rmem: usize,
    pub(crate) rcvbuf: usize,
    congested: bool,
    pub(crate) no_enobufs: bool,
    error: Option<Errno>,
    pub(crate) drops: u64,
    pub(crate) closed: bool,
    /// The largest receive buffer the user has offered.
    pub(crate) buffer: usize,
}

impl Queue {
    pub(crate) fn new(rcvbuf: usize) -> Queue {
        Queue {
            blocks: VecDeque::new(),
            rmem: 0,
            rcvbuf,
            congested: false,
            no_enobufs: false,
            error: None,
            drops: 0,
            closed: false,
            buffer: 0,
        }
    }

    /// Puts a block at the end, unless there is no room.
    pub(crate) fn push(&mut self, block: Block, delivery: &dyn Delivery) -> Result<()> {
        if self.closed {
            return Err(Errno::ECONNREFUSED);
        }
        if !self.has_room(block.charge) {
            self.settle(delivery.settle());
        }
        if !self.has_room(block.charge) {
            self.overrun();
            return Err(Errno::ENOBUFS);
        }
        self.append(block)
    }

    /// Puts a block at the end, for which there is room.
    pub(crate) fn append(&mut self, block: Block) -> Result<()> {
        if self.closed {
            return Err(Errno::ECONNREFUSED);
        }
        if self.blocks.try_reserve(1).is_err() {
            self.overrun();
            return Err(Errno::ENOBUFS);
        }
        self.rmem = self.rmem.saturating_add(block.charge);
        self.blocks.push_back(block);
        Ok(())
    }

    /// Whether a block of such a charge would be taken: with what is there it must not be above the buffer, except that
    /// an empty queue takes any one.
    pub(crate) fn has_room(&self, charge: usize) -> bool {
        !self.congested && (self.rmem == 0 || self.rmem.saturating_add(charge) <= self.rcvbuf)
    }

    /// Something was lost on its way to the user.
    pub(crate) fn overrun(&mut self) {
        self.drops = self.drops.saturating_add(1);
        if !self.no_enobufs && !self.congested {
            self.congested = true;
            self.error = Some(Errno::ENOBUFS);
        }
    }

    /// The next block, which stays charged until it is [settled](Queue::settle).
    pub(crate) fn take(&mut self) -> Option<Block> {
        self.blocks.pop_front()
    }

    /// The user has read blocks.
    pub(crate) fn settle(&mut self, settled: Settled) {
        self.account(settled);
        self.relax();
    }

    /// As [`Queue::settle`], without an end to congestion: that is for who has put there what comes next.
    pub(crate) fn account(&mut self, settled: Settled) {
        self.rmem = self.rmem.saturating_sub(settled.charge);
        self.buffer = self.buffer.max(settled.buffer);
    }

    /// An empty queue is congested no more.
    pub(crate) fn relax(&mut self) {
        if self.rmem == 0 && self.blocks.is_empty() {
            self.congested = false;
        }
    }

    pub(crate) fn end_congestion(&mut self) {
        self.congested = false;
    }

    pub(crate) fn take_error(&mut self) -> Option<Errno> {
        self.error.take()
    }

    pub(crate) fn set_error(&mut self, errno: Errno) {
        self.error.get_or_insert(errno);
    }

    pub(crate) fn rmem(&self) -> usize {
        self.rmem
    }

    /// Whether a dump may go on.
    pub(crate) fn has_room_for_dump(&self) -> bool {
        self.rmem <= self.rcvbuf / 2
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.blocks = VecDeque::new();
        self.rmem = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;
    impl Delivery for Silent {
        fn wake(&self) {}
    }

    fn block(len: usize) -> Block {
        Block {
            bytes: vec![0; len],
            from: SockAddr::default(),
            group: 0,
            sender: [0; 3],
            charge: DEBIAN.of(len),
        }
    }

    const DEBIAN: Charging = Charging { least: 960 };

    /// As SO_MEMINFO of Linux 6.18 shows them, and as many as fit the buffer of Debian's 6.12 tell them (tools/oracle).
    #[test]
    fn charges_are_linuxs() {
        let kernels = [(832, 256), (960, 384)];
        for (least, to) in kernels {
            let charging = Charging { least };
            let common = [(705, 2304), (1728, 2304), (1729, 4352)];
            for (len, charged) in
                [(1, least), (to, least), (to + 1, 1280), (704, 1280)].into_iter().chain(common)
            {
                assert_eq!((charging.of(len), charging.alone(len)), (charged, charged), "{len}");
            }
            for (len, charged, alone) in
                [(3777, 8448, 4416), (7873, 16_640, 8512), (200_000, 262_400, 200_576)]
            {
                assert_eq!((charging.of(len), charging.alone(len)), (charged, alone), "{len}");
            }
        }
    }

    #[test]
    fn overflow_reports_once_and_lasts_until_the_queue_is_empty() {
        let mut queue = Queue::new(2304);
        let mut fit = 0;
        while queue.push(block(16), &Silent).is_ok() {
            fit += 1;
        }
        assert_eq!(fit, 2);
        assert_eq!(queue.take_error(), Some(Errno::ENOBUFS));
        assert_eq!(queue.push(block(16), &Silent), Err(Errno::ENOBUFS));
        assert_eq!(queue.take_error(), None);
        for left in (0..fit).rev() {
            let charge = queue.take().unwrap().charge;
            queue.settle(Settled { charge, buffer: 0 });
            assert_eq!(queue.push(block(16), &Silent).is_ok(), left == 0);
        }
    }

    #[test]
    fn an_empty_queue_takes_one_block_of_any_size() {
        let mut queue = Queue::new(2304);
        assert_eq!(queue.push(block(100_000), &Silent), Ok(()));
        assert_eq!(queue.push(block(1), &Silent), Err(Errno::ENOBUFS));
    }

    #[test]
    fn no_enobufs_loses_silently() {
        let mut queue = Queue::new(1);
        queue.no_enobufs = true;
        queue.push(block(1), &Silent).unwrap();
        assert_eq!(queue.push(block(1), &Silent), Err(Errno::ENOBUFS));
        assert_eq!((queue.take_error(), queue.drops), (None, 1));
    }
}
