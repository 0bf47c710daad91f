//! NETLINK_ROUTE is the machine's own, with one exception: a tunnel device whose packets' metadata the machine's kernel
//! would keep (`collect metadata`, iproute2's `external`) is of no use to a datapath that is not that kernel's.
//!
//! ovs-vswitchd makes such devices by RTM_NEWLINK and, where the kernel knows none (EOPNOTSUPP), has the datapath make the
//! tunnel. So such a request goes on to the kernel with a kind of device that no kernel knows: the answer is the kernel's,
//! whoever reads it and when. It is the same with the end of such a device where there is none, which ovs-vswitchd then takes
//! for done. All other requests go on as they are.

use crate::table;
use libc::{c_int, iovec};
use pfnl_wire::{LINK_HEADERS, rename_tunnels};

/// Longer requests make more than a link.
const LONGEST: usize = 64 << 10;

/// What is to be sent instead of the vectors' bytes, if anything.
pub fn instead(fd: c_int, vectors: &[iovec]) -> Option<Vec<u8>> {
    if !table::is_route(fd) {
        return None;
    }
    let length =
        crate::transmit::total(vectors).ok().filter(|&length| (LINK_HEADERS..=LONGEST).contains(&length))?;
    let mut bytes = vec![0; length];
    let local = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
    // SAFETY: the local vector is the buffer; of the others the kernel reads what is there, and says EFAULT else.
    let copied = crate::quietly(|| unsafe {
        let count = vectors.len() as libc::c_ulong;
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, vectors.as_ptr(), count, 0)
    });
    (usize::try_from(copied) == Ok(length) && rename_tunnels(&mut bytes, exists)).then_some(bytes)
}

/// Whether there is an interface of this name.
fn exists(name: &[u8]) -> bool {
    let Ok(name) = std::ffi::CString::new(name) else { return false };
    // SAFETY: the name is a C string.
    crate::quietly(|| unsafe { libc::if_nametoindex(name.as_ptr()) }) != 0
}
