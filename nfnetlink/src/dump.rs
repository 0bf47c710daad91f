//! Dumps of connections.

use crate::filter::Filter;
use crate::{head, show, tuple};
use pfnl_datapath::conntrack::{Conn, Conntrack, Cursor};
use pfnl_platform::{Platform, Shared};
use pfnl_proto::Error;
use pfnl_proto::msg::NLM_F_DUMP_FILTERED;
use pfnl_proto::netfilter::{NFNL_SUBSYS_CTNETLINK, ct_cmd, kind};
use pfnl_sock::{Dump, DumpBlock, Progress};

/// All connections that pass a filter.
pub(crate) struct Connections<P: Platform> {
    pub conntrack: Shared<Conntrack<P>>,
    pub filter: Filter,
    pub cursor: Cursor,
    /// One that did not fit the last block.
    pub held: Option<Shared<Conn<P>>>,
}

impl<P: Platform> Dump for Connections<P> {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(conn) = self.held.take().or_else(|| self.conntrack.next(&mut self.cursor)) {
            let shown = conn.snapshot();
            if !self.filter.passes(&shown) {
                continue;
            }
            let written = block.message(kind(NFNL_SUBSYS_CTNETLINK, ct_cmd::NEW), |w| {
                head(w, tuple::family(&shown.original), 0);
                show::answer(w, &shown, USES);
            })?;
            if !written {
                self.held = Some(conn);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    fn flags(&self) -> u16 {
        if self.filter.is_empty() { 0 } else { NLM_F_DUMP_FILTERED }
    }
}

/// Who uses a connection that is in the table: that. Packets under way are not counted here, who asks for one is.
pub(crate) const USES: u32 = 1;

/// A dump without records.
pub(crate) struct Nothing;

impl Dump for Nothing {
    fn next(&mut self, _block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        Ok(Progress::Done)
    }
}
