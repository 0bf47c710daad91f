//! `struct sockaddr_nl` as FreeBSD lays it out: a length in front, the family in one byte.

use core::mem::size_of;
use pfnl_kernel::sys;
use pfnl_platform::{Errno, Result};
use pfnl_sock::SockAddr;

const LEN: u8 = size_of::<sys::sockaddr_nl>() as u8;
/// No address of any family is longer.
const MOST: u8 = size_of::<sys::sockaddr_storage>() as u8;

/// Reads a user's address for a socket of a family; `None`: AF_UNSPEC, the kernel's way to say "nobody".
///
/// # Errors
/// `EINVAL`: too short or too long, or another family's.
///
/// # Safety
/// `addr` is null or an address of `sa_len` bytes.
pub unsafe fn read(addr: *const sys::sockaddr, family: u8) -> Result<Option<SockAddr>> {
    // SAFETY: the caller's; the first two bytes are always there.
    let Some(head) = (unsafe { addr.as_ref() }) else { return Err(Errno::EINVAL) };
    if head.sa_len > MOST {
        return Err(Errno::EINVAL);
    }
    if u32::from(head.sa_family) == sys::AF_UNSPEC {
        return Ok(None);
    }
    if head.sa_family != family || head.sa_len < LEN {
        return Err(Errno::EINVAL);
    }
    // SAFETY: it is long enough; users' addresses have no alignment to rely on.
    let addr = unsafe { addr.cast::<sys::sockaddr_nl>().read_unaligned() };
    Ok(Some(SockAddr { portid: addr.nl_pid, groups: addr.nl_groups }))
}

/// An address for the user of a socket of a family.
pub fn show(addr: SockAddr, family: u8) -> sys::sockaddr_nl {
    sys::sockaddr_nl {
        nl_len: LEN,
        nl_family: family,
        nl_pad: 0,
        nl_pid: addr.portid,
        nl_groups: addr.groups,
    }
}
