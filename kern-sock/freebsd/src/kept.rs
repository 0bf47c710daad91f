//! Options that every Linux socket has at SOL_SOCKET, that FreeBSD has not, and that mean nothing to netlink: what
//! one is set to is shown again, as on Linux.
//!
//! Rules: socket(7) of Linux for who may set what, and what a running Linux answers (tests/scenarios).

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use pfnl_platform::{Errno, Result};
use pfnl_sock::Credentials;

/// A socket's. Relaxed throughout: values that nothing hangs on.
pub struct Kept {
    flags: AtomicU32,
    numbers: [AtomicI32; 5],
}

const PRIORITY: usize = 0;
const MARK: usize = 1;
const BUSY_POLL: usize = 2;
const INCOMING_CPU: usize = 3;
const BUF_LOCK: usize = 4;

/// SO_LOCK_FILTER: cannot be undone.
const LOCK_FILTER: i32 = 44;
/// SO_PEERCRED: of nobody.
const PEERCRED: i32 = 17;

enum Rule {
    Flag,
    Number(usize),
    /// What getting and setting answer.
    Fixed(Result<i32>, Errno),
}

/// By Linux's number.
fn rule(name: i32) -> Option<Rule> {
    Some(match name {
        // SO_NO_CHECK, PASSSEC, RXQ_OVFL, NOFCS, LOCK_FILTER, SELECT_ERR_QUEUE, PREFER_BUSY_POLL.
        11 | 34 | 40 | 43 | LOCK_FILTER | 45 | 69 => Rule::Flag,
        12 => Rule::Number(PRIORITY),
        36 => Rule::Number(MARK),
        46 => Rule::Number(BUSY_POLL),
        49 => Rule::Number(INCOMING_CPU),
        72 => Rule::Number(BUF_LOCK),
        // SO_PEEK_OFF, PASSPIDFD, ZEROCOPY are other families'.
        42 | 76 => Rule::Fixed(Err(Errno::EOPNOTSUPP), Errno::EOPNOTSUPP),
        60 => Rule::Fixed(Ok(0), Errno::EOPNOTSUPP),
        // SO_PEERGROUPS, PEERPIDFD: there is no peer's process.
        59 | 77 => Rule::Fixed(Err(Errno::ENODATA), Errno::ENOPROTOOPT),
        _ => return None,
    })
}

/// Where a flag is kept.
fn bit(name: i32) -> u32 {
    1 << (name.cast_unsigned() % 31)
}

impl Kept {
    /// As a new socket has them.
    pub fn new() -> Kept {
        Kept { flags: AtomicU32::new(0), numbers: [0, 0, 0, -1, 0].map(AtomicI32::new) }
    }

    /// Sets an option of SOL_SOCKET; none: it is not kept here.
    pub fn set(&self, name: i32, value: &[u8], caller: &Credentials) -> Option<Result<()>> {
        if name == PEERCRED {
            return Some(Err(Errno::ENOPROTOOPT));
        }
        let rule = rule(name)?;
        let Some(value) = value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) else {
            return Some(Err(Errno::EINVAL));
        };
        Some(match rule {
            Rule::Fixed(_, errno) => Err(errno),
            Rule::Flag if value != 0 => {
                self.flags.fetch_or(bit(name), Ordering::Relaxed);
                Ok(())
            }
            Rule::Flag if name == LOCK_FILTER && self.flags.load(Ordering::Relaxed) & bit(name) != 0 => {
                Err(Errno::EPERM)
            }
            Rule::Flag => {
                self.flags.fetch_and(!bit(name), Ordering::Relaxed);
                Ok(())
            }
            Rule::Number(at) => self.set_number(at, value, caller),
        })
    }

    fn set_number(&self, at: usize, value: i32, caller: &Credentials) -> Result<()> {
        let number = self.numbers.get(at).ok_or(Errno::ENOPROTOOPT)?;
        let for_all = match at {
            PRIORITY => (0..=6).contains(&value),
            MARK => false,
            BUSY_POLL => value <= number.load(Ordering::Relaxed),
            _ => true,
        };
        if !for_all && !caller.net_admin {
            return Err(Errno::EPERM);
        }
        if at == BUSY_POLL && value < 0 || at == BUF_LOCK && !(0..=3).contains(&value) {
            return Err(Errno::EINVAL);
        }
        number.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// What an option is set to; none: it is not kept here.
    pub fn get(&self, name: i32) -> Option<Result<[i32; 3]>> {
        if name == PEERCRED {
            return Some(Ok([0, -1, -1]));
        }
        let value = match rule(name)? {
            Rule::Fixed(value, _) => value,
            Rule::Flag => Ok(i32::from(self.flags.load(Ordering::Relaxed) & bit(name) != 0)),
            Rule::Number(at) => {
                self.numbers.get(at).map(|number| number.load(Ordering::Relaxed)).ok_or(Errno::ENOPROTOOPT)
            }
        };
        Some(value.map(|value| [value, 0, 0]))
    }

    /// How many words an option has.
    pub fn words(name: i32) -> usize {
        if name == PEERCRED { 3 } else { 1 }
    }
}

/// No two flags share a bit.
const _: () = {
    let names = [11, 34, 40, 43, LOCK_FILTER, 45, 69];
    let (mut at, mut seen) = (0, 0u32);
    while at < names.len() {
        let bit = 1 << (names[at] % 31);
        assert!(seen & bit == 0);
        seen |= bit;
        at += 1;
    }
};
