//! Meters: token buckets that a METER action sends packets through.
//!
//! A meter has one band, which drops what exceeds its rate (OVS_METER_BAND_TYPE_DROP is the only type there is). A
//! bucket fills by `rate` each millisecond, in thousandths of a packet or in bits, up to `burst` plus one second's worth
//! of what `rate` gives; a packet that it cannot pay for is dropped.
//!
//! Meters are found without a lock; a meter's own bucket is behind one, since it is one for all processors.

use alloc::vec::Vec;
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
        let bucket = Bucket { tokens, used: now_ms::<P>(), all: MeterStats::default(), exceeded: MeterStats::default() };
        Ok(Meter { id, kbps, band, bucket: P::Mutex::try_new(c"pfnl meter", bucket)? })
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

    /// Takes over what another meter of the same number has counted.
    pub fn keep_stats(&self, old: &Meter<P>) {
        let (all, exceeded, used) = old.stats();
        let mut bucket = self.bucket.lock();
        (bucket.all, bucket.exceeded, bucket.used) = (all, exceeded, used);
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
    u64::from(band.burst).saturating_add(band.rate.into()).saturating_mul(1000)
}

fn now_ms<P: Platform>() -> u64 {
    P::now() / 1_000_000
}

/// Meters by number: chains of a few hundred at most, each replaced as a whole.
pub(crate) struct Meters<P: Platform> {
    chains: Vec<RcuCell<P, Vec<Shared<Meter<P>>>>>,
    /// How many there are.
    count: P::Mutex<u32>,
}

const CHAINS: usize = 1024;

impl<P: Platform> Meters<P> {
    pub fn try_new() -> Result<Meters<P>> {
        Ok(Meters { chains: Vec::new(), count: P::Mutex::try_new(c"pfnl meters", 0)? })
    }

    fn chain(&self, id: u32) -> Option<&RcuCell<P, Vec<Shared<Meter<P>>>>> {
        self.chains.get(id as usize % CHAINS)
    }
}
