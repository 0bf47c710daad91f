//! A netlink socket: the boundary of this program.

use std::io::{self, Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// pfnl.ko's family; `PFNL_AF` in the environment names another (38 with net.pfnl.takeover).
#[cfg(target_os = "freebsd")]
const FAMILY: i32 = 39;
#[cfg(not(target_os = "freebsd"))]
const FAMILY: i32 = libc::AF_NETLINK;
const NETLINK_GENERIC: i32 = 16;
const SOL_NETLINK: i32 = 270;
const ADD_MEMBERSHIP: i32 = 1;

/// A reader that goes away (`| grep -q`) ends this program, quietly.
pub fn end_with_reader() {
    // SAFETY: the default action for a signal that Rust's start-up ignores.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A netlink socket.
pub struct Socket(OwnedFd);

fn check(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::last_os_error())
}

impl Socket {
    /// Opens one of NETLINK_GENERIC and gives it a portid.
    pub fn open() -> Result<Socket> {
        Socket::of(NETLINK_GENERIC)
    }

    /// Opens one of a protocol and gives it a portid.
    pub fn of(protocol: i32) -> Result<Socket> {
        let family = std::env::var("PFNL_AF").ok().and_then(|family| family.parse().ok()).unwrap_or(FAMILY);
        // SAFETY: no memory is involved; the descriptor is fresh.
        let socket = unsafe {
            let fd = libc::socket(family, libc::SOCK_RAW, protocol);
            check(fd as isize)?;
            Socket(OwnedFd::from_raw_fd(fd))
        };
        let mut address = [0u8; 12];
        let head =
            if cfg!(target_os = "freebsd") { [12, family as u8] } else { (family as u16).to_ne_bytes() };
        address[..2].copy_from_slice(&head);
        // SAFETY: twelve bytes, as said.
        check(unsafe { libc::bind(socket.0.as_raw_fd(), address.as_ptr().cast(), 12) } as isize)?;
        Ok(socket)
    }

    /// Its portid.
    pub fn portid(&self) -> Result<u32> {
        let (mut address, mut length) = ([0u8; 12], 12);
        // SAFETY: room for twelve bytes, as said.
        let result =
            unsafe { libc::getsockname(self.0.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length) };
        check(result as isize)?;
        Ok(u32::from_ne_bytes([address[4], address[5], address[6], address[7]]))
    }

    /// Sends a datagram to the kernel.
    pub fn send(&self, bytes: &[u8]) -> Result<usize> {
        // SAFETY: the bytes live through the call.
        check(unsafe { libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) })
    }

    /// The next datagram; `None` when there is none in time.
    pub fn receive(&self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        let mut ready = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives through the call.
        if check(unsafe { libc::poll(&raw mut ready, 1, milliseconds) } as isize)? == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; 128 * 1024];
        // SAFETY: room for as many bytes.
        let result = unsafe {
            libc::recv(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT)
        };
        match check(result) {
            Ok(length) => {
                bytes.truncate(length);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Joins a multicast group.
    pub fn join(&self, group: u32) -> Result<()> {
        let value = group.to_ne_bytes();
        // SAFETY: four bytes, as said.
        let result = unsafe {
            let fd = self.0.as_raw_fd();
            libc::setsockopt(fd, SOL_NETLINK, ADD_MEMBERSHIP, value.as_ptr().cast(), 4)
        };
        check(result as isize).map(drop)
    }
}
