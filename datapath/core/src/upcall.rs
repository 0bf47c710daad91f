//! Packets that go up: what no flow matched, and what an action sends.

use crate::datapath::Datapath;
use crate::key::{FlowKey, TunnelKey};
use crate::packet::Packet;
use crate::port::Vport;
use pfnl_platform::{Platform, Result};

/// The layer above a datapath, which takes its upcalls.
pub trait Upcall<P: Platform, Pk: Packet>: Send + Sync + Sized + 'static {
    /// Takes a packet. It is no larger than one segment, its checksums are complete.
    ///
    /// Called inside a read-side critical section: it must not sleep, nor call back into the datapath's writers.
    ///
    /// # Errors
    /// The packet is lost, and counted so: `ENOTCONN` where nobody listens, `ENOBUFS` where the listener is slow …
    fn upcall(
        &self,
        datapath: &Datapath<P, Pk, Self>,
        section: &P::Guard,
        request: &Request<'_, P, Pk>,
        key: &FlowKey,
        packet: &Pk,
    ) -> Result<()>;
}

/// Why a packet goes up.
pub struct Request<'a, P: Platform, Pk: Packet> {
    /// The reason.
    pub kind: Kind<'a>,
    /// The port it came in by, if that is still there.
    pub vport: Option<&'a Vport<P, Pk>>,
    /// How many bytes of it to send up: fewer than it has after TRUNC.
    pub keep: usize,
    /// The packet's flow hash, as OVS_PACKET_ATTR_HASH reports it; 0 = none.
    pub hash: u32,
    /// The longest fragment that it was put together from; 0 = it was no fragments.
    pub mru: u16,
}

/// The reasons.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// No flow matched (OVS_PACKET_CMD_MISS).
    Miss,
    /// A USERSPACE action (OVS_PACKET_CMD_ACTION).
    Action {
        /// To whom.
        portid: u32,
        /// The action's cookie.
        userdata: Option<&'a [u8]>,
        /// The control plane's form of the whole action list, if the action asked for it.
        actions: Option<&'a [u8]>,
        /// What the packet would leave with through the tunnel port that the action names.
        egress: Option<&'a TunnelKey>,
    },
}
