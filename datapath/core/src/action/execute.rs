//! Runs actions.

use super::Actions;
use crate::datapath::Datapath;
use crate::extract::extract;
use crate::key::FlowKey;
use crate::packet::Packet;
use crate::port::Vport;
use crate::upcall::Upcall;
use pfnl_platform::{Platform, Result};

pub(crate) fn receive<P: Platform, Pk: Packet, U: Upcall<P, Pk>>(
    _dp: &Datapath<P, Pk, U>,
    _section: &P::Guard,
    _vport: &Vport<P, Pk>,
    _packet: Pk,
) {
}

pub(crate) fn execute<P: Platform, Pk: Packet, U: Upcall<P, Pk>>(
    _dp: &Datapath<P, Pk, U>,
    _section: &P::Guard,
    mut packet: Pk,
    key: &mut FlowKey,
    _actions: &Actions,
) -> Result<()> {
    extract(&mut packet, key)?;
    Ok(())
}
