//! The outer packets of tunnels: sockets that tell, and are told, what stands in the IP header (ip(7), ipv6(7), raw(7), udp(7)).
//!
//! ```text
//! UDP  in:  two sockets on one port, of which the kernel picks by whether the datagram has a checksum
//!      out: raw sockets, as the source port is the flow's
//! GRE  in and out: raw sockets
//! ```
//!
//! Routing, fragmentation, reassembly and the verification of UDP's checksums are the kernel's.

use crate::BATCH;
use crate::sys::{check, set_option};
use std::io::{Error, Result};
use std::mem::{MaybeUninit, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Room for what comes while a forwarding thread is busy.
const BUFFER: libc::c_int = 4 << 20;

/// Room for the control messages of one packet, each way.
const CONTROL: usize = 128;

/// IP protocol numbers of outer packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OuterProtocol {
    /// UDP (17).
    Udp,
    /// GRE (47).
    Gre,
}

/// A packet received: where in its buffer the IP payload of interest lies, and what its outer headers said.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Where the payload of UDP, or GRE's header, starts.
    pub start: usize,
    /// How long it is from there on.
    pub len: usize,
    /// The buffer was too small, the end is lost.
    pub truncated: bool,
    /// Outer source.
    pub src: IpAddr,
    /// Outer destination.
    pub dst: IpAddr,
    /// UDP's source port.
    pub src_port: u16,
    /// Type of service, traffic class.
    pub tos: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
}

impl Default for Arrived {
    fn default() -> Arrived {
        let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Arrived { start: 0, len: 0, truncated: false, src: none, dst: none, src_port: 0, tos: 0, ttl: 0 }
    }
}

/// A socket that receives outer packets.
#[derive(Debug)]
pub struct OuterListener {
    fd: OwnedFd,
    /// IPv4's raw sockets bring the IP header along.
    has_header: bool,
    /// Whether what comes here had a UDP checksum, which was right.
    pub has_checksum: bool,
}

impl OuterListener {
    /// Listens on a UDP port of all addresses of a family; port 0 is any that is free. Of the two, one gets what has a
    /// checksum, which the kernel has verified; the other what has none, over IPv6 too (RFC 6935).
    ///
    /// # Errors
    /// `EADDRINUSE`; `EACCES` for a port that is not for everybody; `EAFNOSUPPORT` where the family is missing.
    pub fn udp(v6: bool, port: u16) -> Result<[OuterListener; 2]> {
        let open = || -> Result<OwnedFd> {
            let fd = socket(v6, libc::SOCK_DGRAM, libc::IPPROTO_UDP)?;
            if v6 {
                set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1)?;
                set_option(fd.as_fd(), libc::IPPROTO_UDP, UDP_NO_CHECK6_RX, &1)?;
            }
            tell_everything(fd.as_fd(), v6)?;
            Ok(fd)
        };
        let any = if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        let (with, without) = (open()?, open()?);
        // The first is bound alone, so that a port somebody else has is refused; then it makes room for the second.
        bind(with.as_fd(), SocketAddr::new(any, port))?;
        set_option(with.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, &1)?;
        set_option(without.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, &1)?;
        let with = UdpSocket::from(with);
        bind(without.as_fd(), with.local_addr()?)?;
        pick_by_checksum(with.as_fd(), v6)?;
        let listener = |fd, has_checksum| OuterListener { fd, has_header: false, has_checksum };
        Ok([listener(with.into(), true), listener(without, false)])
    }

    /// Listens for GRE over a family.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; `EAFNOSUPPORT` where the family is missing.
    pub fn gre(v6: bool) -> Result<OuterListener> {
        let fd = socket(v6, libc::SOCK_RAW, libc::IPPROTO_GRE)?;
        if v6 {
            tell_everything(fd.as_fd(), v6)?;
        } else {
            enlarge(fd.as_fd());
        }
        Ok(OuterListener { fd, has_header: !v6, has_checksum: false })
    }

    /// Reads up to [`BATCH`] packets, one into each buffer. Does not wait.
    ///
    /// # Errors
    /// `EAGAIN` when there is nothing.
    pub fn recv<B: AsMut<[u8]>>(&self, buffers: &mut [B], arrived: &mut [Arrived]) -> Result<usize> {
        // SAFETY: all-zero bytes are valid for these plain C structs (null pointers, zero lengths).
        let (mut messages, mut vectors): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        let mut names = [const { MaybeUninit::<libc::sockaddr_storage>::zeroed() }; BATCH];
        let mut controls = [const { MaybeUninit::<Control>::zeroed() }; BATCH];
        let count = buffers.len().min(arrived.len()).min(BATCH);
        let parts = messages.iter_mut().zip(&mut vectors).zip(&mut names).zip(&mut controls);
        for (buffer, (((message, vector), name), control)) in buffers.iter_mut().take(count).zip(parts) {
            let bytes: &mut [u8] = buffer.as_mut();
            *vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_name = name.as_mut_ptr().cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: the first `count` messages point at one buffer, one name and one control area each, which are borrowed
        // or owned until after the call and do not overlap; the kernel writes no further than the lengths given.
        let read = check(unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        } as isize)?;
        for (((buffer, message), name), arrived) in
            buffers.iter_mut().zip(&messages).zip(&names).zip(arrived).take(read)
        {
            // SAFETY: zeroed before, and since then at most written by the kernel: plain data either way.
            let name = unsafe { name.assume_init_ref() };
            *arrived = self.finish(buffer.as_mut(), message, name);
        }
        Ok(read)
    }

    fn finish(&self, bytes: &[u8], message: &libc::mmsghdr, name: &libc::sockaddr_storage) -> Arrived {
        let len = message.msg_len as usize;
        let truncated = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 || len > bytes.len();
        let mut arrived = Arrived { len, truncated, ..Arrived::default() };
        if let Some(from) = address(name) {
            (arrived.src, arrived.src_port) = (from.ip(), from.port());
        }
        if self.has_header {
            // The kernel has looked at it before.
            let Some(&[first, tos, _, _, _, _, _, _, ttl, _, _, _, _, _, _, _, a, b, c, d]) =
                bytes.first_chunk()
            else {
                return Arrived { truncated: true, ..arrived };
            };
            let header = usize::from(first & 0x0f) * 4;
            (arrived.tos, arrived.ttl, arrived.dst) = (tos, ttl, IpAddr::from([a, b, c, d]));
            (arrived.start, arrived.len) = (header, len.saturating_sub(header));
            return arrived;
        }
        // SAFETY: the control area is as the kernel left it, with its length in `msg_hdr`; the macros stay inside.
        unsafe {
            let mut cmsg = libc::CMSG_FIRSTHDR(&raw const message.msg_hdr);
            while let Some(head) = cmsg.as_ref() {
                let data = libc::CMSG_DATA(cmsg);
                match (head.cmsg_level, head.cmsg_type) {
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info: libc::in_pktinfo = data.cast::<libc::in_pktinfo>().read_unaligned();
                        arrived.dst = IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes());
                    }
                    (libc::IPPROTO_IP, libc::IP_TOS) => arrived.tos = data.read(),
                    (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                        arrived.ttl = data.cast::<libc::c_int>().read_unaligned() as u8;
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                        arrived.tos = data.cast::<libc::c_int>().read_unaligned() as u8;
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info: libc::in6_pktinfo = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        arrived.dst = IpAddr::from(info.ipi6_addr.s6_addr);
                    }
                    _ => {}
                }
                cmsg = libc::CMSG_NXTHDR(&raw const message.msg_hdr, cmsg);
            }
        }
        arrived
    }
}

impl AsFd for OuterListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A socket that sends outer packets: UDP with its header, or GRE.
#[derive(Debug)]
pub struct OuterSender {
    fd: OwnedFd,
}

impl OuterSender {
    /// A sender over a family. IPv4 packets that are too long go in pieces if `fragment`; IPv6 packets never.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; `EAFNOSUPPORT` where the family is missing.
    pub fn open(v6: bool, protocol: OuterProtocol, fragment: bool) -> Result<OuterSender> {
        let number = match protocol {
            OuterProtocol::Udp => libc::IPPROTO_UDP,
            OuterProtocol::Gre => libc::IPPROTO_GRE,
        };
        let fd = socket(v6, libc::SOCK_RAW, number)?;
        // A raw socket would get a copy of all that comes.
        let nothing = [libc::sock_filter { code: RET, jt: 0, jf: 0, k: 0 }];
        set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program(&nothing))?;
        if v6 {
            set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &libc::IPV6_PMTUDISC_DO)?;
            set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, &1)?;
            // A tunnel's packets have no flow label, as Linux's; a socket's would (net.ipv6.auto_flowlabels).
            set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_AUTOFLOWLABEL, &0)?;
        } else {
            let discover = if fragment { libc::IP_PMTUDISC_DONT } else { libc::IP_PMTUDISC_DO };
            set_option(fd.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &discover)?;
        }
        Ok(OuterSender { fd })
    }

    /// Sends one packet. Does not wait. No source is the system's choice, and so is a time to live of 0.
    ///
    /// # Errors
    /// `EMSGSIZE`: too long for the path; `EINVAL`, `EADDRNOTAVAIL`: the source is none of ours; `ENETUNREACH` and
    /// other words of routing; `EAGAIN`, `ENOBUFS`: queues are full; `EAFNOSUPPORT`: the addresses are of another family.
    pub fn send(&self, src: Option<IpAddr>, dst: IpAddr, tos: u8, ttl: u8, bytes: &[u8]) -> Result<()> {
        let mut control = Control([0; CONTROL]);
        let mut used = 0;
        let (level, tos_type, ttl_type) = match dst {
            IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL),
            IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT),
        };
        control.put(&mut used, level, tos_type, &libc::c_int::from(tos));
        if ttl > 0 {
            control.put(&mut used, level, ttl_type, &libc::c_int::from(ttl));
        }
        match (src, dst) {
            (None, _) => {}
            (Some(IpAddr::V4(src)), IpAddr::V4(_)) => {
                let none = libc::in_addr { s_addr: 0 };
                let from = libc::in_addr { s_addr: u32::from_ne_bytes(src.octets()) };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: none };
                control.put(&mut used, level, libc::IP_PKTINFO, &info);
            }
            (Some(IpAddr::V6(src)), IpAddr::V6(_)) => {
                let ipi6_addr = libc::in6_addr { s6_addr: src.octets() };
                let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                control.put(&mut used, level, libc::IPV6_PKTINFO, &info);
            }
            _ => return Err(Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        }
        let (mut name, name_len) = sockaddr(SocketAddr::new(dst, 0));
        let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: all-zero bytes are valid for this plain C struct.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_name = (&raw mut name).cast();
        message.msg_namelen = name_len;
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = used as _;
        // SAFETY: name, vector, bytes and control live through the call, which reads no further than the lengths given.
        let result = unsafe { libc::sendmsg(self.fd.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
        check(result).map(drop)
    }
}

/// The address that the system would send from.
///
/// # Errors
/// `ENETUNREACH` and other words of routing.
pub fn source_to(dst: IpAddr) -> Result<IpAddr> {
    let any: IpAddr = if dst.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // Nothing is sent: any port does.
    socket.connect((dst, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// linux/udp.h.
const UDP_NO_CHECK6_RX: libc::c_int = 102;

/// Classic BPF (linux/bpf_common.h, linux/filter.h).
const RET: u16 = 0x06;
const LD_B_ABS: u16 = 0x30;
const LD_H_ABS: u16 = 0x28;
const LD_H_IND: u16 = 0x48;
const AND: u16 = 0x54;
const LSH: u16 = 0x64;
const TAX: u16 = 0x07;
const JEQ: u16 = 0x15;
/// Offsets from here on count from the network header.
const NET: u32 = (-0x10_0000_i32) as u32;

fn program(instructions: &[libc::sock_filter]) -> libc::sock_fprog {
    libc::sock_fprog { len: instructions.len() as libc::c_ushort, filter: instructions.as_ptr().cast_mut() }
}

/// Makes the kernel pick the first socket of two on a port for datagrams with a checksum, the second for others.
fn pick_by_checksum(fd: BorrowedFd<'_>, v6: bool) -> Result<()> {
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let decide = [libc::sock_filter { code: JEQ, jt: 0, jf: 1, k: 0 }, step(RET, 1), step(RET, 0)];
    let load = if v6 {
        // Without extension headers. With them the flag may be wrong, no more.
        vec![step(LD_H_ABS, NET + 46)]
    } else {
        let header_len = [step(LD_B_ABS, NET), step(AND, 0x0f), step(LSH, 2), step(TAX, 0)];
        [&header_len[..], &[step(LD_H_IND, NET + 6)]].concat()
    };
    let whole = [&load[..], &decide[..]].concat();
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program(&whole))
}

fn socket(v6: bool, kind: libc::c_int, protocol: libc::c_int) -> Result<OwnedFd> {
    let domain = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed; a non-negative result is a descriptor nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(check(libc::socket(domain, kind, protocol) as isize)? as i32) })
}

/// Lets every packet bring its addresses, type of service and time to live.
fn tell_everything(fd: BorrowedFd<'_>, v6: bool) -> Result<()> {
    let (level, options) = if v6 {
        (libc::IPPROTO_IPV6, [libc::IPV6_RECVPKTINFO, libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVTCLASS])
    } else {
        (libc::IPPROTO_IP, [libc::IP_PKTINFO, libc::IP_RECVTTL, libc::IP_RECVTOS])
    };
    enlarge(fd);
    options.into_iter().try_for_each(|option| set_option(fd, level, option, &1))
}

fn enlarge(fd: BorrowedFd<'_>) {
    // As root beyond the system's limit, else up to it; it works with less.
    if set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER).is_err() {
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &BUFFER);
    }
}

fn bind(fd: BorrowedFd<'_>, to: SocketAddr) -> Result<()> {
    let (name, len) = sockaddr(to);
    // SAFETY: the name lives through the call and is at least as long as stated.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const name).cast(), len) } as isize).map(drop)
}

fn sockaddr(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero bytes are valid for this plain C struct.
    let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
    let place = &raw mut storage;
    let len = match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage is large enough and aligned for any address.
            unsafe { place.cast::<libc::sockaddr_in>().write(name) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { place.cast::<libc::sockaddr_in6>().write(name) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len as libc::socklen_t)
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place = std::ptr::from_ref(name);
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: of this family the storage holds a sockaddr_in.
            let v4 = unsafe { place.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: of this family the storage holds a sockaddr_in6.
            let v6 = unsafe { place.cast::<libc::sockaddr_in6>().read() };
            Some(SocketAddr::new(Ipv6Addr::from(v6.sin6_addr.s6_addr).into(), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}

/// Control messages.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Control {
    /// Appends one. There is room for all that [`OuterSender::send`] appends.
    fn put<T: Copy>(&mut self, used: &mut usize, level: libc::c_int, kind: libc::c_int, value: &T) {
        let header = size_of::<libc::cmsghdr>();
        let whole = header + size_of::<T>();
        let Some(place) = self.0.get_mut(*used..).filter(|rest| rest.len() >= whole) else { return };
        // SAFETY: all-zero bytes are valid for this plain C struct.
        let mut head: libc::cmsghdr = unsafe { zeroed() };
        head.cmsg_len = whole as _;
        head.cmsg_level = level;
        head.cmsg_type = kind;
        // SAFETY: the place has room for both, one behind the other; it need not be aligned.
        unsafe {
            place.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(head);
            place.as_mut_ptr().add(header).cast::<T>().write_unaligned(*value);
        }
        *used += whole.next_multiple_of(size_of::<usize>());
    }
}

const _: () = {
    let int = (size_of::<libc::cmsghdr>() + size_of::<libc::c_int>()).next_multiple_of(8);
    let info = (size_of::<libc::cmsghdr>() + size_of::<libc::in6_pktinfo>()).next_multiple_of(8);
    assert!(2 * int + info <= CONTROL);
};
