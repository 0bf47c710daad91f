//! Counters that processors do not fight over: one shard for each, summed by whoever reads.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use pfnl_platform::{Platform, Result};

/// Shards of a value, one for each processor or fewer.
pub(crate) struct PerCpu<P, T> {
    first: T,
    rest: Vec<T>,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform, T: Default> PerCpu<P, T> {
    /// At most `limit` shards.
    pub fn try_new(limit: usize) -> Result<PerCpu<P, T>> {
        PerCpu::try_with(limit, || Ok(T::default()))
    }
}

impl<P: Platform, T> PerCpu<P, T> {
    /// At most `limit` shards, each made by `make`.
    pub fn try_with(limit: usize, make: impl Fn() -> Result<T>) -> Result<PerCpu<P, T>> {
        let shards = P::cpus().min(limit).saturating_sub(1);
        let mut rest = Vec::new();
        rest.try_reserve_exact(shards)?;
        for _ in 0..shards {
            rest.push(make()?);
        }
        Ok(PerCpu { first: make()?, rest, platform: PhantomData })
    }

    /// The shard of this processor.
    #[inline]
    pub fn local(&self) -> &T {
        let Some(n) = P::cpu().checked_sub(1) else { return &self.first };
        // Past the limit, processors share.
        self.rest.get(n).or_else(|| self.rest.get(n % self.rest.len().max(1))).unwrap_or(&self.first)
    }

    /// All shards.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        core::iter::once(&self.first).chain(&self.rest)
    }
}

/// `N` event counters.
///
/// Relaxed throughout: a counter orders nothing, and a sum of shards is a snapshot of no one moment anyway.
#[repr(align(64))]
pub(crate) struct Counters<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counters<N> {
    #[inline]
    pub fn add(&self, which: usize, amount: u64) {
        if let Some(counter) = self.0.get(which) {
            counter.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// The counters as they are.
    pub fn values(&self) -> [u64; N] {
        self.0.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}

impl<P: Platform, const N: usize> PerCpu<P, Counters<N>> {
    /// The sums over all shards.
    pub fn sums(&self) -> [u64; N] {
        let mut sums = [0u64; N];
        for shard in self.iter() {
            for (sum, counter) in sums.iter_mut().zip(&shard.0) {
                *sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        sums
    }
}
