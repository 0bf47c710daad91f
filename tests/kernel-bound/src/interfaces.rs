//! The datapath's interfaces, as ifnet(9) would be wrapped: they send, and what they receive goes in.

use crate::kernel::{input, output, pfnl_number};
use crate::platform::Kernel;
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_datapath::port::{Port, PortKind, PortName};
use pfnl_datapath::{Datapath, Packet, VecPacket};
use pfnl_ovs::{Devices, Upper};
use pfnl_platform::{Result, Shared, try_box};

/// An ifnet.
struct Interface {
    name: PortName,
    kind: PortKind,
}

impl Port<VecPacket> for Interface {
    fn send(&self, packet: VecPacket) {
        output(packet.len());
    }

    fn name(&self) -> PortName {
        self.name
    }

    fn ifindex(&self) -> u32 {
        pfnl_number() as u32
    }

    fn kind(&self) -> PortKind {
        self.kind
    }

    fn mtu(&self) -> usize {
        pfnl_number() as usize
    }
}

/// All of them.
pub struct Interfaces;

fn open(name: &[u8], kind: PortKind) -> Result<Box<dyn Port<VecPacket>>> {
    Ok(try_box(Interface { name: PortName::new(name).unwrap_or_default(), kind })?)
}

impl Devices<Kernel, VecPacket> for Interfaces {
    fn open_netdev(&self, name: &[u8]) -> Result<Box<dyn Port<VecPacket>>> {
        open(name, PortKind::Netdev)
    }

    fn open_internal(&self, name: &[u8], _ifindex: Option<u32>) -> Result<Box<dyn Port<VecPacket>>> {
        open(name, PortKind::Internal)
    }

    /// if_input.
    fn attach(
        &self,
        _: u32,
        datapath: &Shared<Datapath<Kernel, VecPacket, Upper<Kernel>>>,
        port_no: u32,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        input(&mut bytes)?;
        datapath.receive(port_no, VecPacket::from_bytes(&bytes)?);
        datapath.reorder_masks();
        Ok(())
    }

    fn detach(&self, ifindex: u32) {
        output(ifindex as usize);
    }
}
