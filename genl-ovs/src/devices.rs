//! What a platform gives the families: interfaces to be ports.

use crate::upper::Upper;
use alloc::boxed::Box;
use pfnl_datapath::port::Port;
use pfnl_datapath::tunnel::Tunnel;
use pfnl_datapath::{Datapath, Packet};
use pfnl_platform::{Errno, Platform, Result, Shared};

/// Opens and closes the interfaces behind ports.
pub trait Devices<P: Platform, Pk: Packet>: Send + Sync + 'static {
    /// An interface that exists.
    ///
    /// # Errors
    /// `ENODEV`: there is none of the name. `EINVAL`: it cannot be a port. `EBUSY`: it is one already. `EPERM`.
    fn open_netdev(&self, name: &[u8]) -> Result<Box<dyn Port<Pk>>>;

    /// A new interface of the datapath's own, with this number if one is given.
    ///
    /// # Errors
    /// `EEXIST`: the name is taken. `EBUSY`: the number is. `EINVAL`: it cannot be a name. `EPERM`.
    fn open_internal(&self, name: &[u8], ifindex: Option<u32>) -> Result<Box<dyn Port<Pk>>>;

    /// A tunnel's end.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`: there are no tunnels here. `EEXIST`: the name is taken, or there is the same tunnel already.
    /// `EADDRINUSE`, `EBUSY`: its UDP port is taken. `EINVAL`: it cannot be a name. `EPERM`.
    fn open_tunnel(&self, name: &[u8], tunnel: Tunnel) -> Result<Box<dyn Port<Pk>>> {
        let _ = (name, tunnel);
        Err(Errno::EAFNOSUPPORT)
    }

    /// Begins to hand over what the interface receives, as `port_no`'s. Called once the port is in its datapath. What
    /// holds on to the datapath for this lets go of it in [`Devices::detach`].
    ///
    /// # Errors
    /// `ENODEV`: it has vanished. `ENOMEM`.
    fn attach(&self, ifindex: u32, datapath: &Shared<Datapath<P, Pk, Upper<P>>>, port_no: u32) -> Result<()>;

    /// Ends reception and closes the interface; one of the datapath's own goes away. Called once the port has left its
    /// datapath. What is under way may still arrive.
    fn detach(&self, ifindex: u32);
}
