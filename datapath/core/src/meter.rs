//! Meters: token buckets that a METER action sends packets through.
//!
//! A meter has one band, which drops what exceeds its rate (OVS_METER_BAND_TYPE_DROP is the only type there is). A
//! bucket fills by `rate` each millisecond, in thousandths of a packet or in bits, up to `burst`; a packet that it cannot pay
//! for is dropped. Without a burst nothing passes, as on Linux; OVS sends the rate where there is to be none.
//!
//! Meters are found without a lock; a meter's own bucket is behind one, since it is one for all processors.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use pfnl_platform::{Errno, Mutex, Platform, RcuBox, RcuCell, Result, Shared};

/// How many meters a datapath has at most, as Linux.
pub const MAX_METERS: u32 = 200_000;
/// How many bands a meter has at most, as Linux.
pub const MAX_BANDS: usize = 1;

/// What a band limits, and to what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Band {
    /// Kilobits or packets in a second; not 0.
    pub rate: u32,
    /// Kilobits or packets at once, beyond the rate.
    pub burst: u32,
}

/// What went through a meter, or into a band.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeterStats {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A meter.
pub struct Meter<P: Platform> {
    id: u32,
    kbps: bool,
    band: Option<Band>,
    cleared: bool,
    bucket: P::Mutex<Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Bits, or thousandths of packets.
    tokens: u64,
    /// When it was last filled, in ms.
    used: u64,
    all: MeterStats,
    exceeded: MeterStats,
}

impl<P: Platform> Meter<P> {
    /// A meter with a full bucket. Without a band everything passes.
    ///
    /// # Errors
    /// `EINVAL`: a rate of 0. `ENOMEM`.
    pub fn try_new(id: u32, kbps: bool, band: Option<Band>) -> Result<Meter<P>> {
        if band.is_some_and(|band| band.rate == 0) {
            return Err(Errno::EINVAL);
        }
        let tokens = band.map_or(0, capacity);
        let bucket = Bucket {
            tokens,
            used: now_ms::<P>(),
            all: MeterStats::default(),
            exceeded: MeterStats::default(),
        };
        Ok(Meter { id, kbps, band, cleared: false, bucket: P::Mutex::try_new(c"pfnl meter", bucket)? })
    }

    /// With the wish that nothing was counted before it.
    #[must_use]
    pub fn cleared(self, cleared: bool) -> Meter<P> {
        Meter { cleared, ..self }
    }

    /// Whether that was wished when it was made.
    pub fn is_cleared(&self) -> bool {
        self.cleared
    }

    /// Its number in the datapath.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its band.
    pub fn band(&self) -> Option<Band> {
        self.band
    }

    /// All packets, those that exceeded the band, and when it was last used (ms of the monotonic clock).
    pub fn stats(&self) -> (MeterStats, MeterStats, u64) {
        let bucket = *self.bucket.lock();
        (bucket.all, bucket.exceeded, bucket.used)
    }

    /// A packet comes by: whether it may go on.
    pub(crate) fn pass(&self, len: usize) -> bool {
        self.pass_at(len, now_ms::<P>())
    }

    fn pass_at(&self, len: usize, now: u64) -> bool {
        let len = len as u64;
        let mut bucket = self.bucket.lock();
        bucket.all.add(len);
        let elapsed = now.saturating_sub(bucket.used);
        bucket.used = bucket.used.max(now);
        let Some(band) = self.band else { return true };
        let gained = elapsed.saturating_mul(band.rate.into());
        bucket.tokens = bucket.tokens.saturating_add(gained).min(capacity(band));
        let cost = if self.kbps { len.saturating_mul(8) } else { 1000 };
        match bucket.tokens.checked_sub(cost) {
            Some(left) => {
                bucket.tokens = left;
                true
            }
            None => {
                bucket.exceeded.add(len);
                false
            }
        }
    }
}

impl MeterStats {
    fn add(&mut self, bytes: u64) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes);
    }
}

/// What a bucket holds at most.
fn capacity(band: Band) -> u64 {
    u64::from(band.burst).saturating_mul(1000)
}

fn now_ms<P: Platform>() -> u64 {
    P::now() / 1_000_000
}

/// Meters by number: chains of a few hundred at most, each replaced as a whole. Writers are serialised by the caller.
pub(crate) struct Meters<P: Platform> {
    chains: Vec<RcuCell<P, Chain<P>>>,
    count: AtomicU32,
    /// How many places Linux's table has at this point, and how many meters stand in its upper half. A meter's place is its
    /// number modulo that, and each holds one: what a client sees of it is `EBUSY`.
    places: AtomicU32,
    upper: AtomicU32,
}

type Chain<P> = Vec<Shared<Meter<P>>>;

const CHAINS: usize = 1024;
/// How many places there are at least.
const PLACES: u32 = CHAINS as u32;

impl<P: Platform> Meters<P> {
    pub fn try_new() -> Result<Meters<P>> {
        let mut chains = Vec::new();
        chains.try_reserve_exact(CHAINS)?;
        chains.resize_with(CHAINS, || RcuCell::new(None));
        let [count, places, upper] = [0, PLACES, 0].map(AtomicU32::new);
        Ok(Meters { chains, count, places, upper })
    }

    #[inline]
    pub fn get<'g>(&'g self, section: &'g P::Guard, id: u32) -> Option<&'g Shared<Meter<P>>> {
        self.chain(id)?.load(section)?.iter().find(|meter| meter.id == id)
    }

    /// Puts a meter in place; the one that had its number is given back.
    pub fn set(&self, section: &P::Guard, meter: Shared<Meter<P>>) -> Result<Option<Shared<Meter<P>>>> {
        let id = meter.id;
        let old = self.get(section, id).cloned();
        // Relaxed: written under the caller's lock only.
        if old.is_none() && self.count.load(Ordering::Relaxed) >= MAX_METERS {
            return Err(Errno::EFBIG);
        }
        if old.is_none() && self.is_taken(section, id) {
            return Err(Errno::EBUSY);
        }
        self.replace(section, id, Some(meter))?;
        if old.is_none() {
            let count = self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            let places = self.places.load(Ordering::Relaxed);
            self.upper.fetch_add(u32::from(is_upper(id, places)), Ordering::Relaxed);
            if count >= places - 1 {
                self.resize(section, places.saturating_mul(2));
            }
        }
        Ok(old)
    }

    /// Takes a meter away.
    pub fn remove(&self, section: &P::Guard, id: u32) -> Result<Option<Shared<Meter<P>>>> {
        let old = self.get(section, id).cloned();
        if old.is_some() {
            self.replace(section, id, None)?;
            let count = self.count.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
            let places = self.places.load(Ordering::Relaxed);
            self.upper.fetch_sub(u32::from(is_upper(id, places)), Ordering::Relaxed);
            // Not while a meter stands in the half that would go.
            if places > PLACES && count <= places / 4 && self.upper.load(Ordering::Relaxed) == 0 {
                self.resize(section, places / 2);
            }
        }
        Ok(old)
    }

    /// Whether another meter stands in a number's place. Such are in one chain, as there are a multiple of [`CHAINS`] places.
    fn is_taken(&self, section: &P::Guard, id: u32) -> bool {
        let places = self.places.load(Ordering::Relaxed);
        let chain = self.chain(id).and_then(|chain| chain.load(section));
        chain.is_some_and(|chain| chain.iter().any(|other| other.id % places == id % places))
    }

    /// From now on there are so many places.
    fn resize(&self, section: &P::Guard, places: u32) {
        let all = self.chains.iter().filter_map(|chain| chain.load(section)).flatten();
        let upper = all.filter(|meter| is_upper(meter.id, places)).count();
        self.upper.store(upper as u32, Ordering::Relaxed);
        self.places.store(places, Ordering::Relaxed);
    }

    fn replace(&self, section: &P::Guard, id: u32, meter: Option<Shared<Meter<P>>>) -> Result<()> {
        let Some(cell) = self.chain(id) else { return Ok(()) };
        let old = cell.load(section).map_or(&[][..], |chain| chain);
        let mut chain = Vec::new();
        chain.try_reserve_exact(old.len().saturating_add(1))?;
        chain.extend(old.iter().filter(|meter| meter.id != id).cloned().chain(meter));
        cell.store(if chain.is_empty() { None } else { Some(RcuBox::try_new(chain)?) });
        Ok(())
    }

    fn chain(&self, id: u32) -> Option<&RcuCell<P, Chain<P>>> {
        self.chains.get(id as usize % CHAINS)
    }
}

/// Whether a number's place is in the upper half.
fn is_upper(id: u32, places: u32) -> bool {
    id % places >= places / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use pfnl_platform::User;

    fn meter(id: u32, kbps: bool, rate: u32, burst: u32) -> Shared<Meter<User>> {
        Shared::try_new(Meter::try_new(id, kbps, Some(Band { rate, burst })).unwrap()).unwrap()
    }

    #[test]
    fn packets_beyond_rate_and_burst_are_dropped() {
        // 10 packets a second, 5 at once.
        let meter = meter(1, false, 10, 5);
        let start = meter.stats().2;
        let passed = (0..100).filter(|_| meter.pass_at(64, start)).count();
        assert_eq!(passed, 5);
        // After half a second there is room for five more, and for no more than that after an hour.
        assert_eq!((0..100).filter(|_| meter.pass_at(64, start + 500)).count(), 5);
        assert_eq!((0..100).filter(|_| meter.pass_at(64, start + 3_600_000)).count(), 5);
        let (all, exceeded, used) = meter.stats();
        assert_eq!((all.packets, exceeded.packets, used), (300, 285, start + 3_600_000));
        assert_eq!(exceeded.bytes, 285 * 64);
    }

    #[test]
    fn kilobits_are_counted_in_bits() {
        // 8 kbit/s, 1000 bytes at once.
        let meter = meter(1, true, 8, 8);
        let start = meter.stats().2;
        assert!(meter.pass_at(1000, start));
        assert!(!meter.pass_at(1, start));
        assert!(meter.pass_at(1, start + 1));
    }

    #[test]
    fn time_that_goes_backwards_gives_nothing() {
        let meter = meter(1, false, 1000, 1000);
        let start = meter.stats().2;
        (0..1000).for_each(|_| assert!(meter.pass_at(1, start + 10)));
        assert!(!meter.pass_at(1, start));
    }

    #[test]
    fn meters_are_found_replaced_and_removed() {
        let meters = Meters::<User>::try_new().unwrap();
        let section = User::enter();
        for id in [1, 1026, u32::MAX] {
            assert!(meters.set(&section, meter(id, false, 1, 0)).unwrap().is_none());
        }
        assert_eq!(meters.set(&section, meter(1026, false, 7, 0)).unwrap().unwrap().id(), 1026);
        let rate = |id| meters.get(&section, id).and_then(|meter| meter.band()).map(|band| band.rate);
        assert_eq!((rate(1), rate(1026), rate(2049)), (Some(1), Some(7), None));
        assert!(meters.remove(&section, 1).unwrap().is_some());
        assert!(meters.remove(&section, 1).unwrap().is_none());
        assert_eq!((rate(1), rate(1026), rate(u32::MAX)), (None, Some(7), Some(1)));
        assert!(Meter::<User>::try_new(1, false, Some(Band { rate: 0, burst: 0 })).is_err());
    }

    /// As Linux 6.12 was seen to do: it grows when all but one place are taken, and shrinks when a quarter is, unless a meter
    /// stands in the upper half.
    #[test]
    fn two_numbers_want_one_place() {
        let meters = Meters::<User>::try_new().unwrap();
        let section = User::enter();
        let set = |id| meters.set(&section, meter(id, true, 1, 1)).map(|old| old.is_some());
        let del = |id| assert!(meters.remove(&section, id).unwrap().is_some());
        assert_eq!((set(5), set(1029), set(5), set(6)), (Ok(false), Err(Errno::EBUSY), Ok(true), Ok(false)));
        [5, 6].into_iter().for_each(del);
        (0..1022).for_each(|id| _ = set(id).unwrap());
        assert_eq!(set(5120), Err(Errno::EBUSY));
        set(1022).unwrap();
        assert_eq!((set(5120), set(2048)), (Ok(false), Err(Errno::EBUSY)));
        // 5120 is in the upper half of 2048 places.
        (1..1023).for_each(del);
        assert_eq!((set(1025), set(1)), (Ok(false), Ok(false)));
        [1025, 5120].into_iter().for_each(del);
        assert_eq!(set(1024), Err(Errno::EBUSY));
    }
}
