//! Counters.

use crate::{Request, head};
use alloc::vec::Vec;
use pfnl_datapath::conntrack::{COUNTERS, Conntrack, Count};
use pfnl_platform::{Platform, Shared, try_box, try_push};
use pfnl_proto::Error;
use pfnl_proto::msg::NLM_F_MULTI;
use pfnl_proto::netfilter::{
    NFNL_SUBSYS_CTNETLINK, ct_cmd, ct_stats, ct_stats_cpu, exp_cmd, exp_stats, kind,
};
use pfnl_sock::{Dump, DumpBlock, Handled, Progress};

/// `GET_STATS`: how many connections there are, and may be. Asked for as a dump, the answer is the same.
pub(crate) fn of_table<P: Platform>(
    table: &Shared<Conntrack<P>>,
    request: &Request<'_, '_>,
) -> Result<Handled, Error> {
    request.call.reply(kind(NFNL_SUBSYS_CTNETLINK, ct_cmd::GET_STATS), NLM_F_MULTI, |w| {
        head(w, 0, 0);
        ct_stats::Put(w).entries(table.count()).max_entries(table.max());
    })?;
    Ok(Handled::Done)
}

/// `GET_STATS_CPU`: a dump; asked for otherwise, nothing.
pub(crate) fn of_processors<P: Platform>(
    table: &Shared<Conntrack<P>>,
    request: &Request<'_, '_>,
) -> Result<Handled, Error> {
    if !request.is_dump() {
        return Ok(Handled::Done);
    }
    let mut counts = Vec::new();
    for processor in table.counts() {
        try_push(&mut counts, processor)?;
    }
    Ok(Handled::Dump(try_box(Processors { counts, next: 0 })?))
}

struct Processors {
    counts: Vec<[u64; COUNTERS]>,
    next: usize,
}

impl Dump for Processors {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(counts) = self.counts.get(self.next) {
            // Linux counts in 32 bits.
            let count = |what: Count| counts.get(what as usize).map_or(0, |&count| count as u32);
            let written = block.message(kind(NFNL_SUBSYS_CTNETLINK, ct_cmd::GET_STATS_CPU), |w| {
                head(w, 0, u16::try_from(self.next).unwrap_or(u16::MAX));
                let mut put = ct_stats_cpu::Put(w);
                put.found(count(Count::Found)).invalid(count(Count::Invalid)).insert(count(Count::Insert));
                put.insert_failed(count(Count::InsertFailed)).drop(count(Count::Drop));
                put.early_drop(count(Count::EarlyDrop)).error(count(Count::Error));
                // Searches here are never begun anew, and chains as long as they are.
                put.search_restart(0).clash_resolve(count(Count::ClashResolve)).chain_toolong(0);
            })?;
            if !written {
                return Ok(Progress::More);
            }
            self.next = self.next.saturating_add(1);
        }
        Ok(Progress::Done)
    }
}

/// `GET_STATS_CPU` of expectations. As Linux: the answers say they are of connections.
pub(crate) fn of_expectations<P: Platform>(
    table: &Shared<Conntrack<P>>,
    request: &Request<'_, '_>,
) -> Result<Handled, Error> {
    if !request.is_dump() {
        return Ok(Handled::Done);
    }
    let mut counts = Vec::new();
    for processor in table.counts() {
        try_push(&mut counts, processor)?;
    }
    Ok(Handled::Dump(try_box(Expectations { counts, next: 0 })?))
}

struct Expectations {
    counts: Vec<[u64; COUNTERS]>,
    next: usize,
}

impl Dump for Expectations {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(counts) = self.counts.get(self.next) {
            let count = |what: Count| counts.get(what as usize).map_or(0, |&count| count as u32);
            let written = block.message(kind(NFNL_SUBSYS_CTNETLINK, exp_cmd::GET_STATS_CPU), |w| {
                head(w, 0, u16::try_from(self.next).unwrap_or(u16::MAX));
                let mut put = exp_stats::Put(w);
                put.new(count(Count::ExpectNew)).create(count(Count::ExpectCreate));
                put.delete(count(Count::ExpectDelete));
            })?;
            if !written {
                return Ok(Progress::More);
            }
            self.next = self.next.saturating_add(1);
        }
        Ok(Progress::Done)
    }
}
