//! Which interfaces of a vnet are ports: what the families open and close.

use crate::device::{Device, Dp, IfPort};
use crate::packet::Mbuf;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::CStr;
use pfnl_datapath::port::Port;
use pfnl_kernel::{Kernel, Mtx};
use pfnl_ovs::Devices;
use pfnl_platform::{Errno, Mutex, Result, Shared, try_box, try_push};

/// The open devices of a vnet.
pub struct Ports {
    open: Mtx<Vec<Shared<Device>>>,
}

impl Ports {
    /// None yet.
    pub fn try_new() -> Result<Ports> {
        Ok(Ports { open: Mtx::try_new(c"openvswitch ports", Vec::new())? })
    }

    fn add(&self, device: Shared<Device>) -> Result<Box<dyn Port<Mbuf>>> {
        let added = try_box(IfPort(device.clone()))
            .and_then(|port| try_push(&mut self.open.lock(), device.clone()).map(|()| port));
        match added {
            Ok(port) => Ok(port),
            Err(errno) => {
                device.leave();
                Err(errno)
            }
        }
    }

    fn find(&self, ifindex: u32) -> Option<Shared<Device>> {
        self.open.lock().iter().find(|device| device.ifindex == ifindex).cloned()
    }
}

/// An interface name as C has it.
struct Name([u8; 16]);

impl Name {
    /// As Linux wants names: 1 to 15 bytes, no `/`, `:` or white space, neither `.` nor `..`.
    fn new(name: &[u8]) -> Result<Name> {
        let odd = |&byte: &u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0x0b;
        if name.is_empty() || matches!(name, b"." | b"..") || name.iter().any(|byte| odd(byte) || *byte == 0)
        {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..name.len()).filter(|_| name.len() < 16).ok_or(Errno::EINVAL)?.copy_from_slice(name);
        Ok(Name(bytes))
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl Devices<Kernel, Mbuf> for Ports {
    fn open_netdev(&self, name: &[u8]) -> Result<Box<dyn Port<Mbuf>>> {
        // What cannot be a name is nobody's.
        let name = Name::new(name).map_err(|_| Errno::ENODEV)?;
        self.add(Device::find(name.text())?)
    }

    fn open_internal(&self, name: &[u8], ifindex: Option<u32>) -> Result<Box<dyn Port<Mbuf>>> {
        if ifindex.is_some() {
            // The kernel gives out the numbers itself.
            return Err(Errno::EOPNOTSUPP);
        }
        self.add(Device::create(Name::new(name)?.text())?)
    }

    fn attach(&self, ifindex: u32, datapath: &Shared<Dp>, port_no: u32) -> Result<()> {
        self.find(ifindex).ok_or(Errno::ENODEV)?.attach(datapath, port_no)
    }

    fn detach(&self, ifindex: u32) {
        let gone = {
            let mut open = self.open.lock();
            let at = open.iter().position(|device| device.ifindex == ifindex);
            at.map(|at| open.swap_remove(at))
        };
        if let Some(device) = gone {
            device.leave();
        }
    }
}
