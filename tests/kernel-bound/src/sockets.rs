//! The socket family, used as a protosw uses it.

use crate::kernel::{output, pfnl_number};
use crate::platform::Kernel;
use alloc::vec::Vec;
use pfnl_platform::{Result, Shared, try_box};
use pfnl_sock::{Credentials, Delivery, Domain, NETLINK_GENERIC, SockAddr, SockType, Socket};

/// sorwakeup(9).
struct Wakeup;

impl Delivery for Wakeup {
    fn wake(&self) {
        output(0);
    }
}

/// Every call of the socket layer.
pub fn run(domain: &Shared<Domain<Kernel>>, input: &[u8]) -> Result<()> {
    let number = || pfnl_number() as u32;
    let caller = Credentials {
        pid: number(),
        uid: number(),
        gid: number(),
        net_admin: number() == 0,
        net_broadcast: number() == 0,
    };
    let socket: Socket<Kernel> =
        Domain::open(domain, SockType::Raw, NETLINK_GENERIC, caller, try_box(Wakeup)?)?;
    let addr = SockAddr { portid: number(), groups: number() };
    socket.bind(addr, &caller)?;
    socket.connect(Some(addr), &caller)?;
    socket.set_option(number() as i32, number() as i32, input, &caller)?;
    let mut value = Vec::new();
    socket.option(number() as i32, number() as i32, &mut value)?;
    socket.send((number() == 0).then_some(addr), input, &caller)?;
    while let Some(block) = socket.take() {
        output(block.bytes.len());
        socket.read(block.charge, number() as usize);
    }
    output(socket.take_error().map_or(0, |errno| errno.freebsd() as usize));
    output(socket.name().portid as usize ^ socket.peer().portid as usize);
    output(usize::from(socket.dump_running()) ^ domain.sockets()?.len() ^ domain.families()?.len());
    socket.close();
    Ok(())
}
