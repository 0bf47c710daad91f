//! An interface's frames by AF_PACKET (packet(7), include/uapi/linux/if_packet.h).
//!
//! A tap, not a hook: the host's own network stack sees every received frame too, unless it is kept from it by a
//! [`Hush`](crate::Hush).

use crate::sys::{check, set_option};
use crate::{BATCH, VnetHeader};
use std::io::Result;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Socket buffers: room for a few hundred of the largest GSO frames.
const BUFFER: usize = 16 << 20;

/// Room for one `struct tpacket_auxdata` control message.
const CONTROL: usize = 48;

/// The tag the kernel took off without telling its kind.
const ETH_P_8021Q: u16 = 0x8100;

/// A frame received: where in its buffer it lies, and its metadata.
#[derive(Clone, Copy, Default, Debug)]
pub struct Received {
    /// Where the frame starts in the buffer.
    pub start: usize,
    /// The frame's length.
    pub len: usize,
    /// What is left to do to it; offsets count from `start`.
    pub header: VnetHeader,
    /// The buffer was too small, the frame's end is lost.
    pub truncated: bool,
}

/// A socket that receives what an interface receives, whomever it is for, and transmits on it.
///
/// What it sends goes through the interface's packet scheduler, and captures on the interface see it, as with a port of Linux's
/// module (PACKET_QDISC_BYPASS would hide it from both).
///
/// Frames the host itself sends out of the interface are not received; nor are the copies of its multicasts that the
/// host sends itself (the kernel keeps those from packet sockets).
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a non-blocking socket on an interface.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW, `ENODEV` where no interface has this index.
    pub fn open(ifindex: u32) -> Result<PacketSocket> {
        PacketSocket::open_with(ifindex, |_| Ok(()))
    }

    /// As [`PacketSocket::open`]; `more` sets further options before the first frame can come.
    pub(crate) fn open_with(
        ifindex: u32,
        more: impl FnOnce(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<PacketSocket> {
        // Protocol 0 receives nothing until bound.
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is passed; a non-negative result is a descriptor nobody else owns.
        let fd =
            unsafe { OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, kind, 0) as isize)? as i32) };
        let on: libc::c_int = 1;
        set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_VNET_HDR, &on)?;
        set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on)?;
        enlarge(fd.as_fd());
        more(fd.as_fd())?;
        bind(fd.as_fd(), ifindex)?;
        let member = libc::packet_mreq {
            mr_ifindex: index(ifindex)?,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)?;
        Ok(PacketSocket { fd })
    }

    /// Reads up to [`BATCH`] frames, one into each buffer, and says where they lie. Does not wait.
    ///
    /// A buffer takes [`VnetHeader::LEN`] bytes more than the frame.
    ///
    /// # Errors
    /// `EAGAIN` when there is nothing, `ENETDOWN` once when the interface went down or away, `EINVAL` for a
    /// frame whose offload metadata cannot be expressed (it is lost).
    pub fn recv<B: AsMut<[u8]>>(&self, buffers: &mut [B], got: &mut [Received]) -> Result<usize> {
        // SAFETY: all-zero bytes are valid for these plain C structs (null pointers, zero lengths).
        let (mut messages, mut vectors): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
        let count = buffers.len().min(got.len()).min(BATCH);
        let parts = messages.iter_mut().zip(&mut vectors).zip(&mut controls);
        for (buffer, ((message, vector), control)) in buffers.iter_mut().take(count).zip(parts) {
            let bytes: &mut [u8] = buffer.as_mut();
            *vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: the first `count` messages point at one buffer and one control area each, which are borrowed or
        // owned until after the call and do not overlap; the kernel writes no further than the lengths given.
        let read = check(unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        } as isize)?;
        for ((buffer, message), got) in buffers.iter_mut().zip(&messages).zip(got.iter_mut()).take(read) {
            *got = finish(buffer.as_mut(), message.msg_len as usize, &message.msg_hdr);
        }
        Ok(read)
    }

    /// Sends frames in order, up to [`BATCH`] of them, and tells how many went. Does not wait.
    ///
    /// # Errors
    /// That of the first frame, which did not go: `EAGAIN` and `ENOBUFS` when queues are full, `EMSGSIZE` when it
    /// is longer than the MTU, `ENETDOWN`, `ENXIO`.
    pub fn send<F: AsRef<[u8]>>(&self, headers: &[VnetHeader], frames: &[F]) -> Result<usize> {
        // SAFETY: all-zero bytes are valid for these plain C structs (null pointers, zero lengths).
        let (mut messages, mut vectors): ([libc::mmsghdr; BATCH], [[libc::iovec; 2]; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        let mut encoded = [[0; VnetHeader::LEN]; BATCH];
        let count = headers.len().min(frames.len()).min(BATCH);
        let parts = messages.iter_mut().zip(&mut vectors).zip(&mut encoded);
        for ((header, frame), ((message, vector), encoded)) in headers.iter().zip(frames).zip(parts) {
            *encoded = header.encode();
            let frame: &[u8] = frame.as_ref();
            *vector = [
                libc::iovec { iov_base: encoded.as_mut_ptr().cast(), iov_len: encoded.len() },
                libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() },
            ];
            message.msg_hdr.msg_iov = vector.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
        }
        // SAFETY: the first `count` messages point at memory that is borrowed or owned until after the call, which
        // the kernel only reads (apart from `messages`, where it writes msg_len).
        check(unsafe {
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        } as isize)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[repr(C, align(8))]
struct Control([u8; CONTROL]);

fn index(ifindex: u32) -> Result<i32> {
    i32::try_from(ifindex).map_err(|_| std::io::Error::from_raw_os_error(libc::ENODEV))
}

fn bind(fd: BorrowedFd<'_>, ifindex: u32) -> Result<()> {
    // SAFETY: all-zero bytes are valid for this plain C struct.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index(ifindex)?;
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `address`, which the kernel only reads.
    check(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) } as isize).map(drop)
}

/// Large buffers: past the system's limits where we may, up to them where we may not.
fn enlarge(fd: BorrowedFd<'_>) {
    use rustix::net::sockopt as option;
    if option::set_socket_recv_buffer_size_force(fd, BUFFER).is_err() {
        // Clamped to net.core.rmem_max, never refused.
        let _ = option::set_socket_recv_buffer_size(fd, BUFFER);
    }
    if option::set_socket_send_buffer_size_force(fd, BUFFER).is_err() {
        let _ = option::set_socket_send_buffer_size(fd, BUFFER);
    }
}

/// Decodes what precedes a frame, and puts back a VLAN tag that the kernel keeps beside it.
fn finish(buffer: &mut [u8], len: usize, message: &libc::msghdr) -> Received {
    let truncated = message.msg_flags & libc::MSG_TRUNC != 0;
    let Some((header, frame)) = buffer.get_mut(..len).and_then(|bytes| bytes.split_first_chunk_mut()) else {
        return Received { truncated: true, ..Received::default() };
    };
    let mut got =
        Received { start: VnetHeader::LEN, len: frame.len(), header: VnetHeader::decode(header), truncated };
    if let Some([tpid, tci]) = vlan_tag(message)
        && frame.len() >= 12
    {
        // The MAC addresses move over the last bytes of the header, which has been read.
        got.start -= 4;
        got.len += 4;
        got.header.shift(4);
        let place = &mut buffer[got.start..];
        place.copy_within(4..16, 0);
        place[12..14].copy_from_slice(&tpid.to_be_bytes());
        place[14..16].copy_from_slice(&tci.to_be_bytes());
    }
    got
}

/// The tag in a message's PACKET_AUXDATA: TPID and TCI.
fn vlan_tag(message: &libc::msghdr) -> Option<[u16; 2]> {
    // SAFETY: the kernel has filled in the control area that `message` points to, still alive in our caller, and
    // set its length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the control area.
        let control = unsafe { &*next };
        if control.cmsg_level == libc::SOL_PACKET
            && control.cmsg_type == libc::PACKET_AUXDATA
            && control.cmsg_len as usize >= CMSG_HEADER + size_of::<libc::tpacket_auxdata>()
        {
            // SAFETY: the length says that the data of this message is a whole tpacket_auxdata.
            let aux = unsafe { libc::CMSG_DATA(next).cast::<libc::tpacket_auxdata>().read_unaligned() };
            if aux.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
                return None;
            }
            let known = aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            return Some([if known { aux.tp_vlan_tpid } else { ETH_P_8021Q }, aux.tp_vlan_tci]);
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    None
}

/// Bytes before a control message's data.
// SAFETY: CMSG_LEN only computes.
const CMSG_HEADER: usize = unsafe { libc::CMSG_LEN(0) } as usize;
