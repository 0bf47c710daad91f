//! What can only be learned from the machine's own kernel.

use crate::io::syscall;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What the machine's kernel charges the receive buffer of a netlink socket for a short datagram (SO_MEMINFO), so that a
/// host's sockets have room for as many as those of the kernel it stands on. `None` where that cannot be asked.
pub fn least_charge() -> Option<usize> {
    // An acknowledgement of nothing, in NETLINK_ROUTE: every kernel with netlink has that, and nobody needs rights for it.
    let mut nothing = [0_u8; 16];
    nothing[..4].copy_from_slice(&16_u32.to_ne_bytes());
    nothing[4..6].copy_from_slice(&(libc::NLMSG_NOOP as u16).to_ne_bytes());
    nothing[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    let mut memory = [0_u32; 9];
    let mut length = size_of_val(&memory) as libc::socklen_t;
    // SAFETY: what is passed lives through the calls and is as long as stated; all zeroes is a valid sockaddr_nl; the
    // descriptor is fresh and wrapped once.
    unsafe {
        let fd =
            syscall(libc::syscall(libc::SYS_socket, libc::AF_NETLINK, kind, libc::NETLINK_ROUTE)).ok()?;
        let socket = OwnedFd::from_raw_fd(fd as RawFd);
        let fd = socket.as_raw_fd();
        let mut kernel: libc::sockaddr_nl = zeroed();
        kernel.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        let (at, size) = (&raw const kernel, size_of_val(&kernel));
        let flags = libc::MSG_DONTWAIT;
        let (data, len) = (nothing.as_ptr(), nothing.len());
        syscall(libc::syscall(libc::SYS_sendto, fd, data, len, flags, at, size)).ok()?;
        let (level, name) = (libc::SOL_SOCKET, libc::SO_MEMINFO);
        let (value, length) = (memory.as_mut_ptr(), &raw mut length);
        syscall(libc::syscall(libc::SYS_getsockopt, fd, level, name, value, length)).ok()?;
    }
    // Nothing, or more than a page, is no measure (a kernel that is not Linux).
    usize::try_from(memory[0]).ok().filter(|charge| (512..4096).contains(charge))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_machine_charges_something() {
        let Some(charge) = super::least_charge() else {
            println!("skipped: no netlink here");
            return;
        };
        assert!(charge > 36, "an acknowledgement has 36 bytes, and was charged {charge}");
        assert_eq!(super::least_charge(), Some(charge));
    }
}
