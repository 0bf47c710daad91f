//! A TAP interface (Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h).

use crate::packet::Received;
use crate::sys::check;
use crate::{NAME_MAX, VnetHeader};
use std::io::{Error, IoSlice, Result, Write};
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// What the interface may leave to whoever reads its frames.
const OFFLOADS: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

/// The same for UDP; Linux 6.2 and later.
const UDP_OFFLOADS: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// An interface whose other side is this descriptor. It goes away when this is dropped.
///
/// The interface comes up as any new one: down, with a random MAC address and an MTU of 1500.
#[derive(Debug)]
pub struct Tap {
    file: std::fs::File,
}

impl Tap {
    /// Makes an interface of this name, and of this number if one is given, with checksums and TCP segmentation left to us.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN, `EBUSY` where an interface of this name or number exists, `EINVAL` where it cannot be a
    /// name, `ENAMETOOLONG`, `ENOENT` or `ENODEV` without /dev/net/tun.
    pub fn create(name: &str, ifindex: Option<u32>) -> Result<Tap> {
        if name.len() > NAME_MAX {
            return Err(Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        if name.is_empty() || name.contains(['\0', '%']) {
            // The kernel would make a name of its own.
            return Err(Error::from_raw_os_error(libc::EINVAL));
        }
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        // SAFETY: all-zero bytes are valid for this plain C struct.
        let mut request: libc::ifreq = unsafe { zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL;
        // IFF_TUN_EXCL is the sign bit.
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        let fd = file.as_raw_fd();
        let header = VnetHeader::LEN as libc::c_int;
        // SAFETY: TUNSETIFF reads and writes a struct ifreq, TUNSETVNETHDRSZ and TUNSETIFINDEX read an int; all live here.
        // TUNSETOFFLOAD takes its bits as the argument itself.
        unsafe {
            if let Some(ifindex) = ifindex {
                check(libc::ioctl(fd, libc::TUNSETIFINDEX, &raw const ifindex) as isize)?;
            }
            check(libc::ioctl(fd, libc::TUNSETIFF, &raw mut request) as isize)?;
            check(libc::ioctl(fd, libc::TUNSETVNETHDRSZ, &raw const header) as isize)?;
            let with_udp = libc::c_ulong::from(OFFLOADS | UDP_OFFLOADS);
            if libc::ioctl(fd, libc::TUNSETOFFLOAD, with_udp) < 0 {
                check(libc::ioctl(fd, libc::TUNSETOFFLOAD, libc::c_ulong::from(OFFLOADS)) as isize)?;
            }
        }
        Ok(Tap { file })
    }

    /// Reads one frame that the host sent out of the interface, after [`VnetHeader::LEN`] bytes of the buffer.
    ///
    /// # Errors
    /// `EAGAIN` when there is none, `EBADFD` when the interface is gone.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<Received> {
        let room = buffer.len();
        let len = std::io::Read::read(&mut &self.file, buffer)?;
        let Some((header, frame)) = buffer.get(..len).and_then(|bytes| bytes.split_first_chunk()) else {
            return Ok(Received { truncated: true, ..Received::default() });
        };
        // read(2) does not tell of a frame cut short: a buffer filled to the brim is taken for one.
        let truncated = len == room;
        Ok(Received {
            start: VnetHeader::LEN,
            len: frame.len(),
            header: VnetHeader::decode(header),
            truncated,
        })
    }

    /// From now on the kernel completes checksums and cuts segments itself, before it gives us frames.
    ///
    /// # Errors
    /// `EBADFD` when the interface is gone.
    pub fn leave_nothing(&self) -> Result<()> {
        // SAFETY: TUNSETOFFLOAD takes its bits as the argument itself; there is no memory in it.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD, 0 as libc::c_ulong) } as isize)
            .map(drop)
    }

    /// Whether the interface still exists, be it in another network namespace.
    pub fn is_attached(&self) -> bool {
        // SAFETY: all-zero bytes are valid for this plain C struct.
        let mut request: libc::ifreq = unsafe { zeroed() };
        // SAFETY: TUNGETIFF writes a struct ifreq, which lives here.
        unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNGETIFF, &raw mut request) == 0 }
    }

    /// Gives the host one frame as received on the interface.
    ///
    /// # Errors
    /// `EIO` when the interface is down, `EBADFD` when it is gone, `EINVAL` for impossible metadata, `ENOMEM`.
    pub fn send(&self, header: &VnetHeader, frame: &[u8]) -> Result<()> {
        let header = header.encode();
        (&self.file).write_vectored(&[IoSlice::new(&header), IoSlice::new(frame)]).map(drop)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
