//! The ports of a datapath by number, read without a lock: two levels of 256.

use crate::packet::Packet;
use crate::port::{MAX_PORTS, Vport};
use alloc::vec::Vec;
use pfnl_platform::{Errno, Platform, RcuBox, RcuCell, Result, Shared};

const PAGE: u32 = 256;

pub(crate) struct Ports<P: Platform, Pk: Packet> {
    pages: Vec<RcuCell<P, Page<P, Pk>>>,
}

type Page<P, Pk> = Vec<RcuCell<P, Shared<Vport<P, Pk>>>>;

impl<P: Platform, Pk: Packet> Ports<P, Pk> {
    pub fn try_new() -> Result<Ports<P, Pk>> {
        Ok(Ports { pages: cells(MAX_PORTS.div_ceil(PAGE))? })
    }

    #[inline]
    pub fn get<'g>(&'g self, section: &'g P::Guard, number: u32) -> Option<&'g Shared<Vport<P, Pk>>> {
        self.cell(section, number)?.load(section)
    }

    /// The first port whose number is at least `from`.
    pub fn next<'g>(&'g self, section: &'g P::Guard, from: u32) -> Option<&'g Shared<Vport<P, Pk>>> {
        let mut skip = (from % PAGE) as usize;
        for page in self.pages.get((from / PAGE) as usize..)? {
            let cells = page.load(section).and_then(|page| page.get(core::mem::take(&mut skip)..));
            if let Some(port) = cells.unwrap_or_default().iter().find_map(|cell| cell.load(section)) {
                return Some(port);
            }
            skip = 0;
        }
        None
    }

    /// The lowest number from 1 up that no port has.
    ///
    /// # Errors
    /// `EFBIG` when there is none.
    pub fn lowest_free(&self, section: &P::Guard) -> Result<u32> {
        (1..MAX_PORTS).find(|&number| self.get(section, number).is_none()).ok_or(Errno::EFBIG)
    }

    /// Puts a port in its place, which is free. Writers are serialised by the caller.
    pub fn insert(&self, section: &P::Guard, port: &Shared<Vport<P, Pk>>) -> Result<()> {
        let value = RcuBox::try_new(port.clone())?;
        let page = self.pages.get((port.number() / PAGE) as usize).ok_or(Errno::EFBIG)?;
        if page.load(section).is_none() {
            page.store(Some(RcuBox::try_new(cells(PAGE)?)?));
        }
        self.cell(section, port.number()).ok_or(Errno::EFBIG)?.store(Some(value));
        Ok(())
    }

    /// Empties a place.
    pub fn remove(&self, section: &P::Guard, number: u32) {
        if let Some(cell) = self.cell(section, number) {
            cell.store(None);
        }
    }

    #[inline]
    fn cell<'g>(
        &'g self,
        section: &'g P::Guard,
        number: u32,
    ) -> Option<&'g RcuCell<P, Shared<Vport<P, Pk>>>> {
        self.pages.get((number / PAGE) as usize)?.load(section)?.get((number % PAGE) as usize)
    }
}

fn cells<P: Platform, T: Send + Sync + 'static>(n: u32) -> Result<Vec<RcuCell<P, T>>> {
    let mut cells = Vec::new();
    cells.try_reserve_exact(n as usize)?;
    cells.resize_with(n as usize, || RcuCell::new(None));
    Ok(cells)
}
