//! Family `ovs_packet`: packets that user space sends through actions. What goes up is in [`crate::upper`].

use crate::ovs::{Ovs, op};
use crate::{action, key};
use pfnl_datapath::{FlowKey, Packet, extract};
use pfnl_platform::{Errno, Platform, Shared};
use pfnl_proto::Error;
use pfnl_proto::genl::GENL_UNS_ADMIN_PERM;
use pfnl_proto::ovs::{OVS_HDRLEN, OvsHeader, packet, packet_cmd};
use pfnl_sock::{Context, FamilyDef};

/// `OVS_PACKET_VERSION`.
const VERSION: u8 = 1;

impl<P: Platform, Pk: Packet> Ovs<P, Pk> {
    pub(crate) const PACKET: &'static FamilyDef<Ovs<P, Pk>> = &FamilyDef {
        name: "ovs_packet",
        version: VERSION,
        hdrsize: OVS_HDRLEN,
        table: Some(&packet::TABLE),
        ops: &[op(packet_cmd::EXECUTE, GENL_UNS_ADMIN_PERM, execute, None)],
        groups: &[],
        admin_groups: &[],
    };
}

/// `EXECUTE { PACKET KEY { IN_PORT 1 } ACTIONS { OUTPUT 2 } [PROBE] [MRU] [HASH] }`
fn execute<P: Platform, Pk: Packet>(
    ovs: &Shared<Ovs<P, Pk>>,
    context: &mut Context<'_>,
) -> Result<(), Error> {
    let view = packet::View::of(&context.request.validated)?;
    let (Some(bytes), Some(key_attrs), Some(actions)) = (view.packet(), view.key(), view.actions()) else {
        return Err(Error::new(Errno::EINVAL));
    };
    let mut packet = Pk::from_bytes(bytes)?;
    if let Some(hash) = view.hash() {
        // The low half is the hash, the rest says how it was made.
        packet.offload_mut().hash = (hash & u64::from(u32::MAX)) as u32;
    }
    let mut key = FlowKey::try_boxed()?;
    key::parse_metadata(key_attrs, &mut key)?;
    extract::extract(&mut packet, &mut key)?;
    key::check_tuple(key_attrs, &key)?;
    let actions = action::compile(actions, &key, None)?;
    let dp = ovs.datapath(context.request.user_header::<OvsHeader>()?.dp_ifindex)?;
    dp.execute_fragments(packet, &mut key, &actions, view.mru().unwrap_or(0))?;
    Ok(())
}
