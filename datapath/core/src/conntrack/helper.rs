//! Helpers: which connections a conversation will bring about (FTP's data, TFTP's answers).
//!
//! What a helper finds in a packet's payload becomes an [`Expectation`]; the connection that fits it is RELATED to its
//! master. `action/helper.rs` reads the packets.

use super::conn::{Conn, DYING, SECOND};
use super::table::{Conntrack, Count};
use super::tuple::Tuple;
use crate::key::Be16;
use crate::wire::{IP_TCP, IP_UDP};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use pfnl_platform::{Errno, Mutex, Platform, Result, Shared, try_push};

/// What is known of a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Helper {
    /// RFC 959, RFC 2428.
    Ftp,
    /// RFC 1350.
    Tftp,
}

impl Helper {
    /// The helper of a name.
    pub fn by_name(name: &[u8]) -> Option<Helper> {
        match name {
            b"ftp" => Some(Helper::Ftp),
            b"tftp" => Some(Helper::Tftp),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Helper::Ftp => "ftp",
            Helper::Tftp => "tftp",
        }
    }

    /// The protocol of the conversations that it reads.
    pub fn proto(self) -> u8 {
        match self {
            Helper::Ftp => IP_TCP,
            Helper::Tftp => IP_UDP,
        }
    }
}

/// How many expectations there may be.
const MAX_EXPECTATIONS: usize = 4096;
/// How many of one master: what Linux's helpers have.
const MAX_OF_MASTER: usize = 1;
/// Seconds that a connection is waited for.
const PATIENCE: u64 = 300;

/// A connection that is to come.
pub struct Expectation<P: Platform> {
    /// Who brings it about.
    pub master: Shared<Conn<P>>,
    /// Its first packet's tuple; its source port may be any.
    pub tuple: Tuple,
    /// Its source address may be any.
    pub any_source: bool,
    /// If its master is translated: the port where it really goes, which its sender does not know of.
    pub real_port: Option<Be16>,
    /// Whether it goes the way of its master's replies.
    pub is_reply: bool,
    /// When it is not waited for any more, on the platform's clock.
    pub expires: u64,
    /// A number that tells it from others.
    pub id: u32,
}

impl<P: Platform> Clone for Expectation<P> {
    fn clone(&self) -> Expectation<P> {
        Expectation { master: self.master.clone(), ..*self }
    }
}

impl<P: Platform> Expectation<P> {
    fn fits(&self, tuple: &Tuple) -> bool {
        let own = &self.tuple;
        (own.zone, own.proto, own.version) == (tuple.zone, tuple.proto, tuple.version)
            && (own.dst, own.dst_port) == (tuple.dst, tuple.dst_port)
            && (self.any_source || own.src == tuple.src)
    }

    fn is_over(&self, now: u64) -> bool {
        self.expires <= now || self.master.has(DYING)
    }
}

impl<P: Platform> Conntrack<P> {
    /// Expects a connection. The oldest expectation of the same master makes room.
    ///
    /// # Errors
    /// `EBUSY`: another master expects the like. `ENOSPC`, `ENOMEM`.
    pub(crate) fn expect(&self, mut new: Expectation<P>) -> Result<()> {
        let now = P::now();
        new.expires = now.saturating_add(PATIENCE * SECOND);
        let mut id = [0; 4];
        P::random(&mut id);
        new.id = u32::from_ne_bytes(id);
        let mut all = self.expectations.lock();
        all.retain(|old| !old.is_over(now));
        if all.iter().any(|old| old.fits(&new.tuple) && !Shared::same(&old.master, &new.master)) {
            return Err(Errno::EBUSY);
        }
        let of_master = |old: &Expectation<P>| Shared::same(&old.master, &new.master);
        // The same again, as when a packet is sent again, takes its own place.
        all.retain(|old| !(of_master(old) && old.fits(&new.tuple)));
        while all.iter().filter(|old| of_master(old)).count() >= MAX_OF_MASTER
            && let Some(oldest) = all.iter().position(of_master)
        {
            all.remove(oldest);
        }
        if all.len() >= MAX_EXPECTATIONS {
            return Err(Errno::ENOSPC);
        }
        self.expecting.store(true, Ordering::Relaxed);
        try_push(&mut all, new)?;
        self.count_one(Count::ExpectCreate);
        Ok(())
    }

    /// Whether somebody expects a connection with this destination already.
    pub(crate) fn is_expected(&self, tuple: &Tuple, but_of: &Shared<Conn<P>>) -> bool {
        let all = self.expectations.lock();
        all.iter().any(|old| old.fits(tuple) && !Shared::same(&old.master, but_of))
    }

    /// A new expectation's tuple: the connection comes the other way than a packet of `is_reply`'s direction.
    pub(crate) fn expected_tuple(master: &Conn<P>, is_reply: bool, proto: u8, port: Be16) -> Tuple {
        let back = if is_reply { *master.original() } else { master.reply() };
        Tuple { src_port: Be16::ZERO, dst_port: port, proto, ..back }
    }

    /// Whether anything is expected at all, perhaps.
    pub(crate) fn is_expecting(&self) -> bool {
        // Relaxed: as in `expected`.
        self.expecting.load(Ordering::Relaxed)
    }

    /// Who expects a connection; it is expected on.
    pub(crate) fn expecting_master(&self, tuple: &Tuple) -> Option<Shared<Conn<P>>> {
        let now = P::now();
        let all = self.expectations.lock();
        let found = all.iter().find(|old| old.fits(tuple) && !old.is_over(now));
        found.map(|found| found.master.clone())
    }

    /// Takes the expectation that a new connection fits.
    pub(crate) fn expected(&self, tuple: &Tuple) -> Option<Expectation<P>> {
        // Relaxed: who has just been told of an expectation has sent nothing yet that it is for.
        if !self.expecting.load(Ordering::Relaxed) {
            return None;
        }
        let now = P::now();
        let mut all = self.expectations.lock();
        all.retain(|old| !old.is_over(now));
        if all.is_empty() {
            self.expecting.store(false, Ordering::Relaxed);
        }
        let at = all.iter().position(|old| old.fits(tuple))?;
        self.count_one(Count::ExpectNew);
        self.count_one(Count::ExpectDelete);
        Some(all.remove(at))
    }

    /// The `index`th expectation.
    pub fn expectation(&self, index: usize) -> Option<Expectation<P>> {
        let now = P::now();
        self.expectations.lock().iter().filter(|old| !old.is_over(now)).nth(index).cloned()
    }

    /// Forgets the expectations that `which` names; answers how many those were.
    pub fn forget_expectations(&self, which: impl Fn(&Expectation<P>) -> bool) -> usize {
        let mut all = self.expectations.lock();
        let before = all.len();
        all.retain(|old| !which(old));
        let gone = before.saturating_sub(all.len());
        (0..gone).for_each(|_| self.count_one(Count::ExpectDelete));
        gone
    }
}

/// All expectations.
pub(super) type Expectations<P> = Vec<Expectation<P>>;
