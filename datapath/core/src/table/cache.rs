//! The mask cache: by which mask a packet like this one was found last.
//!
//! ```text
//! hash of addresses, ports, protocol, tags, recirc_id ─► [4 ways: rest of the hash | position of the mask]
//! ```
//!
//! Its size is the datapath's OVS_DP_ATTR_MASKS_CACHE_SIZE, for each processor; 0 turns it off. What it says is only where to
//! look first, so it may be wrong: masks move, flows go. Nothing in it is ever taken back, and nobody waits for it.

use crate::hash::KeyHasher;
use crate::key::FlowKey;
use crate::percpu::PerCpu;
use crate::wire::{ETH_IPV6, IP_SCTP, IP_TCP, IP_UDP};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use pfnl_platform::{Platform, RcuBox, RcuCell, Result};

/// Entries at first, as on Linux.
pub const DEFAULT_SIZE: u32 = 256;

const WAYS: usize = 4;
/// The part of an entry that is the position of a mask, plus one; the rest is of the hash.
const POSITION: u64 = 0xffff;

pub(super) struct Cache<P: Platform> {
    sets: RcuCell<P, PerCpu<P, Vec<[AtomicU64; WAYS]>>>,
    size: core::sync::atomic::AtomicU32,
}

/// Where in the cache a packet's entry is, or would be.
pub(super) struct Place<'g> {
    set: &'g [AtomicU64; WAYS],
    hash: u64,
}

impl<P: Platform> Cache<P> {
    /// A cache of [`DEFAULT_SIZE`].
    pub fn try_new() -> Result<Cache<P>> {
        let cache = Cache { sets: RcuCell::new(None), size: 0.into() };
        cache.resize(DEFAULT_SIZE)?;
        Ok(cache)
    }

    /// Replaces it by an empty one of `size` entries, a power of two or none at all. (One or two entries take the room
    /// of four and are as good.)
    ///
    /// # Errors
    /// `ENOMEM`: it stays as it is.
    pub fn resize(&self, size: u32) -> Result<()> {
        if size == self.size() {
            return Ok(());
        }
        let sets = (size as usize).div_ceil(WAYS);
        let empty = || {
            let mut all = Vec::new();
            all.try_reserve_exact(sets)?;
            all.resize_with(sets, Default::default);
            Ok(all)
        };
        let new = if sets == 0 { None } else { Some(RcuBox::try_new(PerCpu::try_with(usize::MAX, empty)?)?) };
        self.sets.store(new);
        // Relaxed: to be shown.
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }

    pub fn size(&self) -> u32 {
        self.size.load(Ordering::Relaxed)
    }

    /// The place for packets like this; none where there is no cache.
    #[inline]
    pub fn place<'g>(
        &'g self,
        section: &'g P::Guard,
        hasher: &KeyHasher,
        key: &FlowKey,
    ) -> Option<Place<'g>> {
        let sets = self.sets.load(section)?.local();
        let hash = packet_hash(hasher, key);
        // Their number is a power of two; the low bits are not in the entry.
        let set = sets.get(hash as usize & sets.len().wrapping_sub(1))?;
        Some(Place { set, hash })
    }
}

// All relaxed: an entry is one word that is right or wrong by itself.
impl Place<'_> {
    /// The position of the mask, if it is known.
    #[inline]
    pub fn get(&self) -> Option<usize> {
        let entry =
            self.set.iter().map(|way| way.load(Ordering::Relaxed)).find(|entry| self.is_mine(*entry))?;
        ((entry & POSITION) as usize).checked_sub(1)
    }

    /// Keeps the position of a mask.
    #[inline]
    pub fn set(&self, position: usize) {
        let Ok(position) = u16::try_from(position.saturating_add(1)) else { return };
        let old = self.set.iter().find(|way| self.is_mine(way.load(Ordering::Relaxed)));
        let free = || self.set.iter().find(|way| way.load(Ordering::Relaxed) == 0);
        // Which one makes room is left to chance: an attacker who could tell would push out whom he likes.
        let victim = || self.set.get((self.hash >> 62) as usize);
        if let Some(way) = old.or_else(free).or_else(victim) {
            way.store(self.hash & !POSITION | u64::from(position), Ordering::Relaxed);
        }
    }

    #[inline]
    fn is_mine(&self, entry: u64) -> bool {
        (entry ^ self.hash) & !POSITION == 0
    }
}

/// The hash of what tells packets of one connection from others: what Linux's flow hash covers.
#[inline]
fn packet_hash(hasher: &KeyHasher, key: &FlowKey) -> u64 {
    let has_ports = matches!(key.ip_proto, IP_TCP | IP_UDP | IP_SCTP);
    let ports = if has_ports { [key.tp_src.get(), key.tp_dst.get()] } else { [0; 2] };
    let word = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let quad = |bytes: &[u8; 16]| -> [u64; 2] { zerocopy::transmute!(*bytes) };
    let first = [
        [
            word(key.recirc_id, u32::from(key.vlan.tci.get()) << 16 | u32::from(key.cvlan.tci.get())),
            word(
                u32::from(key.eth_type.get()) << 16 | u32::from(key.ip_proto),
                u32::from(ports[0]) << 16 | u32::from(ports[1]),
            ),
        ],
        [
            word(u32::from_ne_bytes(key.ipv4_src), u32::from_ne_bytes(key.ipv4_dst)),
            u64::from(key.ipv6_label.get()),
        ],
    ];
    if key.eth_type.get() == ETH_IPV6 {
        hasher.pairs(first.into_iter().chain([quad(&key.ipv6_src), quad(&key.ipv6_dst)]))
    } else {
        hasher.pairs(first.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Be16, Be32};
    use pfnl_platform::User;

    fn key(n: u32) -> FlowKey {
        FlowKey { ip_proto: 17, eth_type: Be16::new(0x800), ipv4_src: n.to_be_bytes(), ..FlowKey::ZERO }
    }

    #[test]
    fn what_was_put_is_found_until_another_takes_its_place() {
        let (cache, hasher) = (Cache::<User>::try_new().unwrap(), KeyHasher::random::<User>(67).unwrap());
        let section = User::enter();
        let place = |n| cache.place(&section, &hasher, &key(n)).unwrap();
        assert_eq!((cache.size(), place(1).get()), (256, None));
        place(1).set(0);
        assert_eq!((place(1).get(), place(2).get()), (Some(0), None));
        place(1).set(4095);
        assert_eq!(place(1).get(), Some(4095));
        place(1).set(usize::MAX);
        assert_eq!(place(1).get(), Some(4095), "a position too large is not kept");
        // Half as many as there are entries: most stay.
        (0..128).for_each(|n| place(n).set(n as usize));
        let found = (0..128).filter(|&n| place(n).get() == Some(n as usize)).count();
        assert!(found > 100, "{found}");
        cache.resize(0).unwrap();
        assert!(cache.place(&section, &hasher, &key(1)).is_none());
        cache.resize(1).unwrap();
        place(1).set(7);
        assert_eq!((cache.size(), place(1).get()), (1, Some(7)));
    }

    #[test]
    fn the_hash_is_over_what_makes_a_connection() {
        let hasher = KeyHasher::random::<User>(67).unwrap();
        let hash = |change: fn(&mut FlowKey)| {
            let mut key = key(1);
            change(&mut key);
            packet_hash(&hasher, &key)
        };
        let plain = hash(|_| {});
        let same: [fn(&mut FlowKey); 4] =
            [|k| k.in_port = 9, |k| k.eth_src = [9; 6], |k| k.ip_ttl = 9, |k| k.skb_mark = 9];
        assert!(same.into_iter().all(|change| hash(change) == plain));
        let other: [fn(&mut FlowKey); 5] = [
            |k| k.tp_src = Be16::new(9),
            |k| k.recirc_id = 9,
            |k| k.vlan.tci = Be16::new(0x1009),
            |k| k.ipv4_dst = [9; 4],
            |k| k.ipv6_label = Be32::new(9),
        ];
        assert!(other.into_iter().all(|change| hash(change) != plain));
        let v6 = |last| {
            let mut key = FlowKey { eth_type: Be16::new(0x86dd), ..key(1) };
            key.ipv6_src[15] = last;
            packet_hash(&hasher, &key)
        };
        assert_ne!(v6(1), v6(2));
        // An ICMP type is no port.
        let icmp = |n| packet_hash(&hasher, &FlowKey { ip_proto: 1, tp_src: Be16::new(n), ..key(1) });
        assert_eq!(icmp(0), icmp(8));
    }
}
