//! The datapath, used as an interface's input function and the layer above use it.

use crate::kernel::{output, pfnl_number};
use crate::platform::{Kernel, Section};
use alloc::vec::Vec;
use pfnl_datapath::action::Actions;
use pfnl_datapath::flow::Ufid;
use pfnl_datapath::port::{Port, PortKind, PortName};
use pfnl_datapath::upcall::Request;
use pfnl_datapath::{Cursor, Datapath, FlowKey, FlowName, Packet, Upcall, VecPacket};
use pfnl_platform::{Result, try_box};

/// An ifnet.
struct Interface;

impl Port<VecPacket> for Interface {
    fn send(&self, packet: VecPacket) {
        output(packet.len());
    }

    fn name(&self) -> PortName {
        PortName::default()
    }

    fn ifindex(&self) -> u32 {
        pfnl_number() as u32
    }

    fn kind(&self) -> PortKind {
        PortKind::Netdev
    }

    fn mtu(&self) -> usize {
        pfnl_number() as usize
    }
}

struct Above;

impl Upcall<Kernel, VecPacket> for Above {
    fn upcall(
        &self,
        _: &Datapath<Kernel, VecPacket, Above>,
        _: &Section,
        request: &Request<'_, Kernel, VecPacket>,
        _: &FlowKey,
        packet: &VecPacket,
    ) -> Result<()> {
        output(request.keep ^ packet.len());
        Ok(())
    }
}

/// Every call of the layers beside and above.
pub fn run(input: &[u8]) -> Result<()> {
    let datapath = Datapath::<Kernel, VecPacket, Above>::try_new(Above)?;
    let number = || pfnl_number() as u32;
    let vport = datapath.add_port(None, try_box(Interface)?, &[number()])?;
    vport.set_upcall_portids(&[number()])?;
    let mut key = FlowKey::try_boxed()?;
    for word in key.words_mut() {
        *word = pfnl_number();
    }
    let ufid = Ufid::new(input);
    let name = FlowName { ufid: ufid.as_ref(), key: &key };
    let actions = || Actions::try_new(Vec::new(), Vec::new());
    datapath.put_flow(name, &key, actions()?, number() == 0)?;
    datapath.flow(name)?.clear_stats();
    let mut cursor = Cursor::default();
    while let Some(flow) = datapath.next_flow(&mut cursor) {
        let mut key = FlowKey::try_boxed()?;
        flow.key(&mut key);
        flow.mask().expand(&mut key);
        output(flow.stats().packets as usize);
    }
    datapath.flush_flows();
    output(vport.stats().rx_packets as usize);
    packets(&datapath, input, &mut key)
}

#[inline(never)]
fn packets(datapath: &Datapath<Kernel, VecPacket, Above>, input: &[u8], key: &mut FlowKey) -> Result<()> {
    datapath.receive(pfnl_number() as u32, VecPacket::from_bytes(input)?);
    datapath.execute(VecPacket::from_bytes(input)?, key, &Actions::try_new(Vec::new(), Vec::new())?)?;
    datapath.reorder_masks();
    output(datapath.stats().hit as usize);
    datapath.remove_port(pfnl_number() as u32)?;
    Ok(())
}
