//! How many connections there are in each zone, and how many there may be (family ovs_ct_limit).

use alloc::vec::Vec;
use pfnl_platform::Result;

/// A zone's limit and what it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limit {
    /// How many connections it may have; 0 = any number.
    pub limit: u32,
    /// How many it has.
    pub count: u32,
}

/// All zones. Pages exist only for zones that are used.
#[derive(Debug, Default)]
pub(super) struct Zones {
    pages: Vec<Vec<Zone>>,
    default: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Zone {
    count: u32,
    limit: Option<u32>,
}

const PAGE: usize = 256;

impl Zones {
    /// Its own limit.
    pub fn own(&self, zone: u16) -> Option<Limit> {
        let zone = self.zone(zone);
        zone.limit.map(|limit| Limit { limit, count: zone.count })
    }

    /// The first zone from `from` on that has a limit of its own.
    pub fn next_own(&self, from: u16) -> Option<(u16, Limit)> {
        // Pages that were never used are passed over as wholes.
        let mut zone = Some(from);
        while let Some(n) = zone {
            if let Some(limit) = self.own(n) {
                return Some((n, limit));
            }
            let is_used = self.pages.get(usize::from(n) / PAGE).is_some_and(|page| !page.is_empty());
            let last = n | (PAGE as u16 - 1);
            zone = if is_used { n.checked_add(1) } else { last.checked_add(1) };
        }
        None
    }

    /// Its own limit, or everybody's.
    pub fn limit(&self, zone: u16) -> Limit {
        let zone = self.zone(zone);
        Limit { limit: zone.limit.unwrap_or(self.default), count: zone.count }
    }

    pub fn default_limit(&self) -> u32 {
        self.default
    }

    pub fn set_default(&mut self, limit: u32) {
        self.default = limit;
    }

    pub fn set(&mut self, zone: u16, limit: Option<u32>) -> Result<()> {
        self.zone_mut(zone).map(|zone| zone.limit = limit)
    }

    /// One more connection.
    pub fn add(&mut self, zone: u16) -> Result<()> {
        self.zone_mut(zone).map(|zone| zone.count = zone.count.saturating_add(1))
    }

    /// One connection less.
    pub fn sub(&mut self, zone: u16) {
        // Its page is there, since it was added.
        let _ = self.zone_mut(zone).map(|zone| zone.count = zone.count.saturating_sub(1));
    }

    fn zone(&self, zone: u16) -> Zone {
        let (page, at) = (usize::from(zone) / PAGE, usize::from(zone) % PAGE);
        self.pages.get(page).and_then(|page| page.get(at)).copied().unwrap_or_default()
    }

    fn zone_mut(&mut self, zone: u16) -> Result<&mut Zone> {
        let (page, at) = (usize::from(zone) / PAGE, usize::from(zone) % PAGE);
        grow(&mut self.pages, page)?;
        let page = self.pages.get_mut(page).ok_or(pfnl_platform::Errno::ENOMEM)?;
        if page.is_empty() {
            grow(page, PAGE - 1)?;
        }
        page.get_mut(at).ok_or(pfnl_platform::Errno::ENOMEM)
    }
}

fn grow<T: Default>(vec: &mut Vec<T>, at: usize) -> Result<()> {
    if vec.len() <= at {
        let len = at.saturating_add(1);
        vec.try_reserve(len.saturating_sub(vec.len()))?;
        vec.resize_with(len, T::default);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_their_own_limit_or_the_common_one() {
        let mut zones = Zones::default();
        assert_eq!((zones.limit(7), zones.own(7)), (Limit::default(), None));
        zones.set_default(500);
        zones.set(65535, Some(0)).unwrap();
        zones.add(65535).unwrap();
        zones.add(7).unwrap();
        zones.add(7).unwrap();
        zones.sub(7);
        assert_eq!(zones.limit(7), Limit { limit: 500, count: 1 });
        assert_eq!(zones.own(65535), Some(Limit { limit: 0, count: 1 }));
        assert_eq!(zones.next_own(0), Some((65535, Limit { limit: 0, count: 1 })));
        zones.set(300, Some(9)).unwrap();
        assert_eq!(zones.next_own(300), Some((300, Limit { limit: 9, count: 0 })));
        assert_eq!(zones.next_own(301).map(|(zone, _)| zone), Some(65535));
        zones.set(65535, None).unwrap();
        assert_eq!(zones.next_own(301), None);
        assert_eq!(zones.limit(65535), Limit { limit: 500, count: 1 });
        zones.sub(9);
        assert_eq!(zones.limit(9).count, 0);
    }
}
