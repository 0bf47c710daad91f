//! The way into a datapath.

use crate::{Frame, Receiver, Taken};
use parking_lot::Mutex;
use pfnl_datapath::{Datapath, Upcall};
use pfnl_platform::{Platform, User};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Instant;

/// How many frames may wait that are dear to look up.
const LATE: usize = 512;
/// Time saved up for them at most, in nanoseconds.
const CREDIT: i64 = 100_000;

/// Takes a port's frames into a datapath, a batch in one read-side section.
///
/// Frames that many masks must be tried for (an attacker's, who has had them made) wait until the others of their batch are
/// through. They get half as much time as those, and all that is left when nothing arrives or all frames are such; what waits
/// too long is dropped.
///
/// It owns the datapath, which owns the port: detaching the port breaks the circle.
pub struct Inlet<D, U> {
    datapath: D,
    number: u32,
    late: Mutex<Late>,
    upper: PhantomData<fn(U)>,
}

#[derive(Default)]
struct Late {
    frames: VecDeque<Frame>,
    /// Of the last batch; kept for its capacity.
    fresh: Vec<Frame>,
    /// Nanoseconds that may be spent on them, or that one took too long.
    credit: i64,
}

impl<D, U> Inlet<D, U>
where
    D: Deref<Target = Datapath<User, Frame, U>> + Send + Sync + 'static,
    U: Upcall<User, Frame>,
{
    /// The way in by the port of this number; `datapath` is an `Arc` or `Shared`.
    pub fn new(datapath: D, number: u32) -> Inlet<D, U> {
        Inlet { datapath, number, late: Mutex::default(), upper: PhantomData }
    }

    /// Hands over frames that waited, the first in any case if `one`, as long as there is credit.
    fn spend(&self, late: &mut Late, one: bool) {
        let mut must = one;
        while (must || late.credit > 0)
            && let Some(frame) = late.frames.pop_front()
        {
            must = false;
            let start = Instant::now();
            self.datapath.receive_late(&User::enter(), self.number, frame);
            late.credit = late.credit.saturating_sub(nanoseconds(start)).max(-10 * CREDIT);
        }
    }

    fn take(&self, section: &<User as Platform>::Guard, mut frame: Frame) {
        match frame.take_tunnel() {
            None => self.datapath.receive_in(section, self.number, frame),
            Some((key, inside)) => self.datapath.receive_tunnelled(section, self.number, &key, inside, frame),
        }
    }
}

impl<D, U> Receiver for Inlet<D, U>
where
    D: Deref<Target = Datapath<User, Frame, U>> + Send + Sync + 'static,
    U: Upcall<User, Frame>,
{
    fn receive(&self, frame: Frame) {
        self.take(&User::enter(), frame);
    }

    fn receive_all(&self, frames: &mut Vec<Frame>) -> Taken {
        let mut late = self.late.lock();
        let late = &mut *late;
        let (section, start, count) = (User::enter(), Instant::now(), frames.len());
        let plain = frames.drain(..).filter_map(|mut frame| {
            let Some((key, inside)) = frame.take_tunnel() else { return Some(frame) };
            self.datapath.receive_tunnelled(&section, self.number, &key, inside, frame);
            None
        });
        self.datapath.receive_batch(&section, self.number, plain, &mut late.fresh);
        drop(section);
        if late.fresh.is_empty() && late.frames.is_empty() {
            return Taken::default();
        }
        late.credit = late.credit.saturating_add(nanoseconds(start) / 2).min(CREDIT);
        if late.fresh.len() == count {
            late.credit = CREDIT; // nobody else is held up
        }
        let room = LATE.saturating_sub(late.frames.len()).min(late.fresh.len());
        let dropped = late.fresh.len().saturating_sub(room);
        late.frames.extend(late.fresh.drain(..room));
        late.fresh.clear();
        self.spend(late, false);
        Taken { more: !late.frames.is_empty(), dropped: dropped as u64 }
    }

    fn resume(&self) -> bool {
        let mut late = self.late.lock();
        self.spend(&mut late, true);
        !late.frames.is_empty()
    }
}

fn nanoseconds(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pfnl_datapath::action::Actions;
    use pfnl_datapath::packet::Packet;
    use pfnl_datapath::port::{Port, PortKind, PortName};
    use pfnl_datapath::upcall::Request;
    use pfnl_datapath::{FlowKey, FlowName, PATIENCE};
    use pfnl_platform::Result;
    use std::sync::Arc;

    struct Nobody;
    type Dp = Datapath<User, Frame, Nobody>;

    impl Upcall<User, Frame> for Nobody {
        fn upcall(
            &self,
            _: &Dp,
            _: &<User as Platform>::Guard,
            _: &Request<'_, User, Frame>,
            _: &FlowKey,
            _: &Frame,
        ) -> Result<()> {
            Ok(())
        }
    }

    struct Silent;

    impl Port<Frame> for Silent {
        fn send(&self, _: Frame) {}
        fn name(&self) -> PortName {
            PortName::default()
        }
        fn ifindex(&self) -> u32 {
            1
        }
        fn kind(&self) -> PortKind {
            PortKind::Internal
        }
        fn mtu(&self) -> usize {
            1500
        }
    }

    #[test]
    fn frames_that_are_dear_to_look_up_wait_for_the_others() {
        let dp = Arc::new(Dp::try_new(Nobody).unwrap());
        dp.add_port(Some(1), Box::new(Silent), &[]).unwrap();
        // A mask for each flow: on the Ethernet source, and on bits of the destination that are zero.
        let masks = PATIENCE as u8 + 10;
        let flows: Vec<_> = (0..masks)
            .map(|n| {
                let key = FlowKey { eth_src: [2, 0, 0, 0, 0, n], ..FlowKey::ZERO };
                let mask = FlowKey { eth_src: [0xff; 6], eth_dst: [0, 0, 0, 0, 0, n], ..FlowKey::ZERO };
                let name = FlowName { ufid: None, key: &key };
                dp.put_flow(name, &mask, Actions::default(), true).unwrap().0
            })
            .collect();
        let inlet = Inlet::new(Arc::clone(&dp), 1);
        let frame =
            |n: u8| Frame::from_bytes(&[2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, n, 0x88, 0xb5, 0, 0]).unwrap();
        let packets = |n: u8| flows[usize::from(n)].stats().packets;
        let dear = masks - 1;
        // More than may wait, and one that is cheap at the end.
        let mut frames: Vec<Frame> = (0..LATE + 88).map(|_| frame(dear)).collect();
        frames.push(frame(0));
        let taken = inlet.receive_all(&mut frames);
        assert_eq!((packets(0), taken.dropped), (1, 88));
        while inlet.resume() {}
        assert_eq!(packets(dear), LATE as u64);
        assert_eq!(dp.port(1).unwrap().stats().rx_packets, LATE as u64 + 89, "each arrived once");
        let stats = dp.stats();
        assert_eq!((stats.hit, stats.missed), (LATE as u64 + 1, 0));
        // Now the cache knows the mask: nothing waits.
        assert_eq!(inlet.receive_all(&mut vec![frame(dear)]), Taken::default());
        assert_eq!(packets(dear), LATE as u64 + 1);
        // What no flow is for is looked up to the end, later, and told of.
        let taken = inlet.receive_all(&mut vec![frame(0xee)]);
        assert_eq!(taken.dropped, 0);
        while inlet.resume() {}
        assert_eq!(dp.stats().missed, 1);
    }
}
