//! Error numbers on the wire.
//!
//! The core writes Linux's numbers into `nlmsgerr.error` and `NLMSG_DONE`. A FreeBSD program hands them to its own
//! strerror(3), so for it they are FreeBSD's; a Linux program (linux(4)) keeps Linux's.

use pfnl_platform::Errno;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

/// Turns the errors in a datagram from the kernel into FreeBSD's numbers.
pub fn to_freebsd(datagram: &mut [u8]) {
    let mut rest = datagram;
    // A message is header, type at 4, payload; the next starts 4-aligned.
    while let Some(len) = rest.first_chunk::<4>().map(|len| u32::from_ne_bytes(*len) as usize) {
        let Some(message) = rest.get_mut(..len).filter(|_| len >= HEADER) else { return };
        let kind = message.get(4..6).map_or(0, |kind| u16::from_ne_bytes([kind[0], kind[1]]));
        if kind == NLMSG_ERROR || kind == NLMSG_DONE {
            if let Some(error) = message.get_mut(HEADER..).and_then(|payload| payload.first_chunk_mut::<4>())
            {
                let linux = i32::from_ne_bytes(*error).checked_neg();
                if let Some(errno) = linux.and_then(Errno::from_linux) {
                    *error = (-errno.freebsd()).to_ne_bytes();
                }
            }
        }
        let next = len.next_multiple_of(4).min(rest.len());
        rest = rest.get_mut(next..).unwrap_or_default();
    }
}
