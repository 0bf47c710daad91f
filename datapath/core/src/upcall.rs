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

    /// Takes a sample of a packet, which is as it is under way: a large one whole, checksums perhaps not there yet. Where
    /// nobody listens it is nothing.
    ///
    /// Called as [`Upcall::upcall`] is.
    fn sample(&self, section: &P::Guard, sample: &Sample<'_>, packet: &Pk) {
        let _ = (section, sample, packet);
    }
}

/// What goes with a sample.
pub struct Sample<'a> {
    /// The group it is for, and the action's cookie.
    pub psample: &'a crate::action::Psample,
    /// How many of 2^32-1 packets are sampled.
    pub rate: u32,
    /// The interface that the packet came in by.
    pub ifindex: u32,
    /// Its Ethernet type, behind the outermost tag.
    pub protocol: u16,
    /// Whether it has a tag. As Linux keeps the outermost one beside the packet, a sample is without.
    pub is_tagged: bool,
    /// How many bytes to show, at most.
    pub keep: usize,
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
        /// The control plane's form of the list that the action stands in, if it asked for that.
        actions: Option<&'a [u8]>,
        /// What the packet would leave with through the tunnel port that the action names.
        egress: Option<&'a TunnelKey>,
    },
}
