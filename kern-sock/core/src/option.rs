//! Socket options: SOL_NETLINK's and what SOL_SOCKET has to do with queues and identity.

use crate::addr::Credentials;
use crate::filter::Filter;
use crate::queue;
use crate::socket::{SockType, Socket};
use alloc::vec::Vec;
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_push};

/// `SOL_SOCKET`, as Linux numbers it.
pub const SOL_SOCKET: i32 = 1;
/// `SOL_NETLINK`.
pub const SOL_NETLINK: i32 = 270;

/// `SO_*` of asm-generic/socket.h.
mod so {
    pub const TYPE: i32 = 3;
    pub const ERROR: i32 = 4;
    pub const SNDBUF: i32 = 7;
    pub const RCVBUF: i32 = 8;
    pub const PASSCRED: i32 = 16;
    pub const ATTACH_FILTER: i32 = 26;
    pub const DETACH_FILTER: i32 = 27;
    pub const SNDBUFFORCE: i32 = 32;
    pub const RCVBUFFORCE: i32 = 33;
    pub const PROTOCOL: i32 = 38;
    pub const DOMAIN: i32 = 39;
    pub const LOCK_FILTER: i32 = 44;
    pub const MEMINFO: i32 = 55;
}

/// `NETLINK_*` options of linux/netlink.h.
mod nl {
    pub const ADD_MEMBERSHIP: i32 = 1;
    pub const DROP_MEMBERSHIP: i32 = 2;
    pub const PKTINFO: i32 = 3;
    pub const BROADCAST_ERROR: i32 = 4;
    pub const NO_ENOBUFS: i32 = 5;
    pub const LISTEN_ALL_NSID: i32 = 8;
    pub const LIST_MEMBERSHIPS: i32 = 9;
    pub const CAP_ACK: i32 = 10;
    pub const EXT_ACK: i32 = 11;
    pub const GET_STRICT_CHK: i32 = 12;
}

/// AF_NETLINK, as Linux numbers it.
const AF_NETLINK: i32 = 16;
/// The least receive buffer (`SOCK_MIN_RCVBUF`).
const MIN_RCVBUF: usize = 2304;
/// The least send buffer (`SOCK_MIN_SNDBUF`).
const MIN_SNDBUF: usize = 4608;

/// What a socket's user has chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) sndbuf: usize,
    pub(crate) cap_ack: bool,
    pub(crate) ext_ack: bool,
    pub(crate) strict_check: bool,
    pktinfo: bool,
    broadcast_error: bool,
    listen_all_nsid: bool,
    passcred: bool,
    filter_locked: bool,
}

impl Options {
    pub(crate) fn new(sndbuf: usize) -> Options {
        Options { sndbuf, ..Options::default() }
    }

    pub(crate) fn ack_style(&self) -> pfnl_proto::ack::Style {
        pfnl_proto::ack::Style { extended: self.ext_ack, capped: self.cap_ack }
    }
}

impl<P: Platform> Socket<P> {
    /// setsockopt. A value shorter than an int counts as 0. That of SO_ATTACH_FILTER is the program itself.
    ///
    /// # Errors
    /// `ENOPROTOOPT`: not an option of ours. `EINVAL`: no such group, no such program. `ENOENT`: no filter to detach.
    /// `EPERM`: without privilege, or the filter is locked. `ENOMEM`.
    pub fn set_option(&self, level: i32, name: i32, value: &[u8], caller: &Credentials) -> Result<()> {
        if (level, name) == (SOL_SOCKET, so::ATTACH_FILTER) {
            return self.attach_filter(Some(value));
        }
        let short = value.len() < 4;
        let value = value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        match level {
            SOL_NETLINK => self.set_netlink_option(name, value, caller),
            SOL_SOCKET if short => Err(Errno::EINVAL),
            SOL_SOCKET => self.set_socket_option(name, value, caller),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_netlink_option(&self, name: i32, value: u32, caller: &Credentials) -> Result<()> {
        let on = value != 0;
        let set = |f: fn(&mut Options) -> &mut bool| {
            *f(&mut self.0.binding.lock().options) = on;
            Ok(())
        };
        match name {
            nl::ADD_MEMBERSHIP | nl::DROP_MEMBERSHIP => {
                if value == 0 || value > self.0.domain.max_group() {
                    return Err(Errno::EINVAL);
                }
                let is_join = name == nl::ADD_MEMBERSHIP;
                let domain = &self.0.domain;
                if !domain.may_join(caller) || is_join && !domain.may_join_group(value, caller) {
                    return Err(Errno::EPERM);
                }
                self.set_member(value, name == nl::ADD_MEMBERSHIP)
            }
            nl::PKTINFO => set(|options| &mut options.pktinfo),
            nl::BROADCAST_ERROR => set(|options| &mut options.broadcast_error),
            nl::NO_ENOBUFS => {
                self.with_queue(|queue| queue.set_no_enobufs(on));
                Ok(())
            }
            nl::LISTEN_ALL_NSID if !(caller.net_broadcast && self.0.opener.net_broadcast) => {
                Err(Errno::EPERM)
            }
            nl::LISTEN_ALL_NSID => set(|options| &mut options.listen_all_nsid),
            nl::CAP_ACK => set(|options| &mut options.cap_ack),
            nl::EXT_ACK => set(|options| &mut options.ext_ack),
            nl::GET_STRICT_CHK => set(|options| &mut options.strict_check),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_socket_option(&self, name: i32, value: u32, caller: &Credentials) -> Result<()> {
        let limits = self.0.domain.limits();
        let max = if name == so::RCVBUF { limits.receive_max } else { limits.send_max };
        let asked = value as usize;
        // The kernel doubles what is asked for, to pay for its own overhead, and shows the double.
        let (asked, forced) = match name {
            so::RCVBUF | so::SNDBUF => (asked.min(max), false),
            so::RCVBUFFORCE | so::SNDBUFFORCE => {
                let asked = usize::try_from(value.cast_signed()).unwrap_or(0);
                (asked.min(i32::MAX as usize / 2), true)
            }
            so::PASSCRED => {
                self.0.binding.lock().options.passcred = value != 0;
                return Ok(());
            }
            so::DETACH_FILTER => return self.attach_filter(None),
            so::LOCK_FILTER => {
                let locked = &mut self.0.binding.lock().options.filter_locked;
                if *locked && value == 0 {
                    return Err(Errno::EPERM);
                }
                *locked = value != 0;
                return Ok(());
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        if forced && !caller.net_admin {
            return Err(Errno::EPERM);
        }
        let doubled = asked.saturating_mul(2);
        if matches!(name, so::RCVBUF | so::RCVBUFFORCE) {
            self.with_queue(|queue| queue.rcvbuf = doubled.max(MIN_RCVBUF));
        } else {
            self.0.binding.lock().options.sndbuf = doubled.max(MIN_SNDBUF);
        }
        Ok(())
    }

    /// Sets the filter, or takes it away.
    fn attach_filter(&self, program: Option<&[u8]>) -> Result<()> {
        let is_locked = || self.0.binding.lock().options.filter_locked;
        if is_locked() {
            return Err(Errno::EPERM);
        }
        let filter = program.map(Filter::parse).transpose()?.map(Shared::try_new).transpose()?;
        let is_detached = filter.is_none();
        // Held until it is done: who locks the filter meanwhile locks it as it is then.
        let binding = self.0.binding.lock();
        if binding.options.filter_locked {
            return Err(Errno::EPERM);
        }
        let before = self.0.set_filter(filter);
        drop(binding);
        if before.is_none() && is_detached { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// getsockopt: appends the whole value to `out`; the caller cuts it to the user's buffer and says how long it was.
    ///
    /// # Errors
    /// `ENOPROTOOPT`: not an option of ours. `ENOMEM`.
    pub fn option(&self, level: i32, name: i32, out: &mut Vec<u8>) -> Result<()> {
        let options = self.0.binding.lock().options;
        let size = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let value = match (level, name) {
            (SOL_NETLINK, nl::PKTINFO) => options.pktinfo.into(),
            (SOL_NETLINK, nl::BROADCAST_ERROR) => options.broadcast_error.into(),
            (SOL_NETLINK, nl::NO_ENOBUFS) => self.with_queue(|queue| queue.no_enobufs).into(),
            (SOL_NETLINK, nl::LISTEN_ALL_NSID) => options.listen_all_nsid.into(),
            (SOL_NETLINK, nl::CAP_ACK) => options.cap_ack.into(),
            (SOL_NETLINK, nl::EXT_ACK) => options.ext_ack.into(),
            (SOL_NETLINK, nl::GET_STRICT_CHK) => options.strict_check.into(),
            (SOL_NETLINK, nl::LIST_MEMBERSHIPS) => return self.list_memberships(out),
            (SOL_SOCKET, so::MEMINFO) => return self.memory(out),
            (SOL_SOCKET, so::RCVBUF) => size(self.with_queue(|queue| queue.rcvbuf)),
            (SOL_SOCKET, so::SNDBUF) => size(options.sndbuf),
            (SOL_SOCKET, so::PASSCRED) => options.passcred.into(),
            (SOL_SOCKET, so::LOCK_FILTER) => options.filter_locked.into(),
            (SOL_SOCKET, so::ATTACH_FILTER) => {
                return self.0.filter().map_or(Ok(()), |filter| filter.write(out));
            }
            (SOL_SOCKET, so::ERROR) => self.take_error().map_or(0, Errno::linux),
            (SOL_SOCKET, so::TYPE) => match self.0.kind {
                SockType::Raw => 3,
                SockType::Dgram => 2,
            },
            (SOL_SOCKET, so::PROTOCOL) => self.0.domain.number(),
            (SOL_SOCKET, so::DOMAIN) => AF_NETLINK,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        append(out, &value.to_ne_bytes())
    }

    /// What SO_MEMINFO tells (`SK_MEMINFO_*`); of a netlink socket only the buffers and the drops are ever other than 0.
    fn memory(&self, out: &mut Vec<u8>) -> Result<()> {
        let info = self.info();
        let (rcvbuf, sndbuf) = (self.with_queue(|queue| queue.rcvbuf), self.0.binding.lock().options.sndbuf);
        let drops = usize::try_from(info.drops).unwrap_or(usize::MAX);
        [info.rmem, rcvbuf, 0, sndbuf, 0, 0, 0, 0, drops]
            .into_iter()
            .try_for_each(|value| append(out, &u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes()))
    }

    fn list_memberships(&self, out: &mut Vec<u8>) -> Result<()> {
        let groups = self.groups()?;
        // Who has never asked for a group has no list.
        let words = if groups.is_empty() { 0 } else { (self.0.domain.max_group() / 32) as usize };
        for word in 0..words {
            append(out, &groups.get(word).copied().unwrap_or(0).to_ne_bytes())?;
        }
        Ok(())
    }
}

fn append(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    bytes.iter().try_for_each(|&byte| try_push(out, byte))
}

impl queue::Queue {
    /// NETLINK_NO_ENOBUFS; switching it on also ends congestion.
    fn set_no_enobufs(&mut self, on: bool) {
        self.no_enobufs = on;
        if on {
            self.end_congestion();
        }
    }
}
