//! Fragments, until a packet is whole (RFC 791, 3.2; RFC 8200, 4.5).
//!
//! Each zone puts its own packets together. Fragments that overlap make the whole packet vanish (RFC 5722; Linux does so
//! with IPv4 too), the same fragment again does not. What waits is bounded in memory and in time.

use super::conn::SECOND;
use crate::csum;
use crate::extract::header;
use crate::hash::Hasher;
use crate::key::Be16;
use crate::packet::Packet;
use crate::wire::*;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Mutex, Platform, Result, try_push};
use zerocopy::FromBytes;

/// Bytes that all that waits may take (Linux's ipfrag_high_thresh).
const MEMORY: usize = 4 << 20;
/// What a fragment takes beyond its bytes.
const OVERHEAD: usize = 256;
/// Seconds that the rest is waited for (ipfrag_time, nf_conntrack_frag6_timeout).
const PATIENCE: [u64; 2] = [30, 60];
const BUCKETS: usize = 256;
/// The longest packet.
const LONGEST: usize = 65535;
/// Extension headers in front of a fragment header that are followed.
const MAX_EXTENSIONS: usize = 16;

/// What came of a fragment.
pub(crate) enum Collected {
    /// It waits for others.
    Kept,
    /// The packet is whole.
    Whole {
        /// From its link layer header on, as its first fragment had it.
        bytes: Vec<u8>,
        /// The length of its longest fragment, without the link layer header.
        mru: u16,
    },
}

/// Packets that are not whole yet.
pub(crate) struct Fragments<P: Platform> {
    hasher: Hasher,
    waiting: P::Mutex<Waiting>,
}

struct Waiting {
    buckets: Vec<Vec<Queue>>,
    memory: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    src: [u8; 16],
    dst: [u8; 16],
    id: u32,
    zone: u16,
    /// 4 or 6, and IPv4's protocol.
    version: u8,
    proto: u8,
}

struct Queue {
    name: Name,
    expires: u64,
    /// In order, without gaps being filled in.
    pieces: Vec<Piece>,
    /// Headers of the first fragment, and where its IP header is.
    front: Vec<u8>,
    l3: usize,
    /// IPv6: where in `front` the number of what follows stands, and that number.
    next: (usize, u8),
    /// The length of the payload, once the last fragment is there.
    total: Option<usize>,
    mru: usize,
    /// The longest fragment that must not be cut.
    df: usize,
}

struct Piece {
    at: usize,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> usize {
        self.at.saturating_add(self.bytes.len())
    }
}

/// What a fragment says of itself.
struct Fragment4or6 {
    name: Name,
    /// Where its headers end, and its payload.
    payload: core::ops::Range<usize>,
    /// Bytes of headers that stay.
    front: usize,
    next: (usize, u8),
    at: usize,
    more: bool,
    df: bool,
    l3: usize,
}

impl<P: Platform> Fragments<P> {
    pub fn try_new() -> Result<Fragments<P>> {
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(BUCKETS)?;
        buckets.resize_with(BUCKETS, Vec::new);
        let waiting = Waiting { buckets, memory: 0 };
        Ok(Fragments {
            hasher: Hasher::random::<P>(),
            waiting: P::Mutex::try_new(c"pfnl fragments", waiting)?,
        })
    }

    /// Takes a fragment whose IP header is at `l3`.
    ///
    /// # Errors
    /// `EINVAL`: it is broken, or does not fit the others. `ENOSPC`: too much waits. `ENOMEM`. The packet is lost.
    #[inline(never)]
    pub fn collect<Pk: Packet>(&self, packet: &mut Pk, v6: bool, l3: usize, zone: u16) -> Result<Collected> {
        let seen = if v6 { read6(packet, l3, zone)? } else { read4(packet, l3, zone)? };
        let now = P::now();
        let mut guard = self.waiting.lock();
        let waiting = &mut *guard;
        let bucket = waiting.buckets.get_mut(seen.name.bucket(self.hasher)).ok_or(Errno::EINVAL)?;
        drop_old(bucket, &mut waiting.memory, now);
        let at = match bucket.iter().position(|queue| queue.name == seen.name) {
            Some(at) => at,
            None => {
                let patience = PATIENCE.get(usize::from(v6)).copied().unwrap_or(0);
                let expires = now.saturating_add(patience * SECOND);
                let at = bucket.len();
                try_push(bucket, Queue::new(&seen, expires))?;
                at
            }
        };
        let queue = bucket.get_mut(at).ok_or(Errno::EINVAL)?;
        let before = queue.memory();
        let room = MEMORY.saturating_sub(waiting.memory);
        let result = queue.add(packet, &seen, room);
        let after = queue.memory();
        waiting.memory = waiting.memory.saturating_sub(before).saturating_add(after);
        let whole = result.is_ok() && queue.is_whole();
        // What overlaps takes all others with it.
        if whole || result == Err(Errno::EPROTO) || queue.pieces.is_empty() {
            let queue = bucket.swap_remove(at);
            waiting.memory = waiting.memory.saturating_sub(after);
            drop(guard);
            result.map_err(|errno| if errno == Errno::EPROTO { Errno::EINVAL } else { errno })?;
            return queue.join();
        }
        result.map(|()| Collected::Kept)
    }

    /// Bytes that all that waits takes.
    pub fn memory(&self) -> usize {
        self.waiting.lock().memory
    }

    /// Forgets what was waited for too long.
    pub fn sweep(&self) {
        let now = P::now();
        let mut guard = self.waiting.lock();
        let waiting = &mut *guard;
        if waiting.memory > 0 {
            for bucket in &mut waiting.buckets {
                drop_old(bucket, &mut waiting.memory, now);
            }
        }
    }
}

fn drop_old(bucket: &mut Vec<Queue>, memory: &mut usize, now: u64) {
    bucket.retain(|queue| {
        let stays = queue.expires > now;
        if !stays {
            *memory = memory.saturating_sub(queue.memory());
        }
        stays
    });
}

impl Name {
    fn bucket(&self, mut hasher: Hasher) -> usize {
        hasher.bytes(&self.src);
        hasher.bytes(&self.dst);
        let rest = [u64::from(self.id), self.zone.into(), self.version.into(), self.proto.into()];
        rest.into_iter().for_each(|word| hasher.word(word));
        (hasher.finish() >> 32) as usize % BUCKETS
    }
}

/// Reads an IPv4 fragment.
fn read4<Pk: Packet>(packet: &mut Pk, l3: usize, zone: u16) -> Result<Fragment4or6> {
    let &ip = header::<Ipv4, Pk>(packet, l3)?.ok_or(Errno::EINVAL)?;
    let start = l3.saturating_add(ip.header_len());
    let mut end = l3.saturating_add(ip.len.get().into());
    let frag = ip.frag.get();
    let more = frag & IPV4_MORE != 0;
    if ip.header_len() < size_of::<Ipv4>() || end > packet.len() || start > end {
        return Err(Errno::EINVAL);
    }
    if more {
        // What is behind the last multiple of 8 comes again with the next.
        end = start.saturating_add(end.saturating_sub(start) & !7);
    }
    let wide = |[a, b, c, d]: [u8; 4]| [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    Ok(Fragment4or6 {
        name: Name {
            src: wide(ip.src),
            dst: wide(ip.dst),
            id: ip.id.get().into(),
            zone,
            version: 4,
            proto: ip.proto,
        },
        payload: start..end,
        front: start,
        next: (0, 0),
        at: usize::from(frag & IPV4_OFFSET) * 8,
        more,
        df: frag & IPV4_DF != 0,
        l3,
    })
}

/// Reads an IPv6 fragment: its header is behind those that each router looks at.
fn read6<Pk: Packet>(packet: &mut Pk, l3: usize, zone: u16) -> Result<Fragment4or6> {
    let &ip = header::<Ipv6, Pk>(packet, l3)?.ok_or(Errno::EINVAL)?;
    let end = l3.saturating_add(size_of::<Ipv6>()).saturating_add(ip.len.get().into());
    if end > packet.len() {
        return Err(Errno::EINVAL);
    }
    // The place of the number that says what comes next.
    let mut place = l3.saturating_add(6);
    let (mut next, mut at) = (ip.next, l3.saturating_add(size_of::<Ipv6>()));
    for _ in 0..MAX_EXTENSIONS {
        match next {
            IP_FRAGMENT => {
                let &fragment = header::<Fragment, Pk>(packet, at)?.ok_or(Errno::EINVAL)?;
                let start = at.saturating_add(size_of::<Fragment>());
                let more = fragment.offset.get() & 1 != 0;
                let len = end.checked_sub(start).ok_or(Errno::EINVAL)?;
                if more && len % 8 != 0 {
                    return Err(Errno::EINVAL);
                }
                return Ok(Fragment4or6 {
                    name: Name {
                        src: ip.src,
                        dst: ip.dst,
                        id: fragment.id.get(),
                        zone,
                        version: 6,
                        proto: 0,
                    },
                    payload: start..end,
                    front: at,
                    next: (place, fragment.next),
                    at: usize::from(fragment.offset.get() & 0xfff8),
                    more,
                    df: false,
                    l3,
                });
            }
            IP_HOP | IP_ROUTING | IP_DEST => {
                let &ext = header::<Ext, Pk>(packet, at)?.ok_or(Errno::EINVAL)?;
                (place, next) = (at, ext.next);
                at = at.saturating_add(usize::from(ext.len) * 8 + 8);
            }
            _ => break,
        }
    }
    Err(Errno::EINVAL)
}

/// The fragments overlap.
const OVERLAP: Errno = Errno::EPROTO;

impl Queue {
    fn new(seen: &Fragment4or6, expires: u64) -> Queue {
        Queue {
            name: seen.name,
            expires,
            pieces: Vec::new(),
            front: Vec::new(),
            l3: 0,
            next: (0, 0),
            total: None,
            mru: 0,
            df: 0,
        }
    }

    fn memory(&self) -> usize {
        let pieces = self.pieces.iter().map(|piece| piece.bytes.len().saturating_add(OVERHEAD));
        pieces.fold(self.front.len(), usize::saturating_add)
    }

    fn add<Pk: Packet>(&mut self, packet: &Pk, seen: &Fragment4or6, room: usize) -> Result<()> {
        let len = seen.payload.end.saturating_sub(seen.payload.start);
        let end = seen.at.saturating_add(len);
        if end.saturating_add(seen.front.saturating_sub(seen.l3)) > LONGEST {
            return Err(OVERLAP);
        }
        if len == 0 || len.saturating_add(OVERHEAD).saturating_add(seen.front) > room {
            return Err(if len == 0 { Errno::EINVAL } else { Errno::ENOSPC });
        }
        let known_end = self.pieces.last().map_or(0, Piece::end);
        // The end is where the last fragment ends, and nowhere else.
        if self.total.is_some_and(|total| end > total || !seen.more && end != total)
            || !seen.more && end < known_end
        {
            return Err(OVERLAP);
        }
        let place = self.pieces.partition_point(|piece| piece.at < seen.at);
        let before = place.checked_sub(1).and_then(|at| self.pieces.get(at));
        if before.is_some_and(|before| before.end() > seen.at) {
            let inside = before.is_some_and(|before| before.end() >= end);
            return if inside { Ok(()) } else { Err(OVERLAP) };
        }
        if let Some(behind) = self.pieces.get(place)
            && behind.at < end
        {
            let again = behind.at == seen.at && behind.end() >= end;
            return if again { Ok(()) } else { Err(OVERLAP) };
        }
        let bytes = copy(packet, seen.payload.start, len)?;
        if seen.at == 0 {
            self.front = copy(packet, 0, seen.front)?;
            (self.l3, self.next) = (seen.l3, seen.next);
        }
        self.pieces.try_reserve(1)?;
        self.pieces.insert(place, Piece { at: seen.at, bytes });
        if !seen.more {
            self.total = Some(end);
        }
        let whole = seen.payload.end.saturating_sub(seen.l3);
        self.mru = self.mru.max(whole);
        if seen.df {
            self.df = self.df.max(whole);
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let Some(total) = self.total else { return false };
        let reached = self.pieces.iter().try_fold(0, |at, piece| (piece.at == at).then(|| piece.end()));
        reached == Some(total)
    }

    /// Puts the packet together.
    fn join(self) -> Result<Collected> {
        let total = self.total.ok_or(Errno::EINVAL)?;
        let (mut bytes, l3) = (self.front, self.l3);
        let front = bytes.len();
        bytes.try_reserve_exact(total)?;
        for piece in &self.pieces {
            bytes.extend_from_slice(&piece.bytes);
        }
        let len = bytes.len().saturating_sub(l3);
        if self.name.version == 4 {
            let df = self.df > 0 && self.df == self.mru;
            let head = bytes.get_mut(l3..front).ok_or(Errno::EINVAL)?;
            let (ip, _) = Ipv4::mut_from_prefix(&mut *head).map_err(|_| Errno::EINVAL)?;
            ip.len = Be16::new(u16::try_from(len).map_err(|_| Errno::EMSGSIZE)?);
            ip.frag = Be16::new(if df { IPV4_DF } else { 0 });
            csum::ipv4(head)?;
        } else {
            let (at, next) = self.next;
            *bytes.get_mut(at).ok_or(Errno::EINVAL)? = next;
            let head = bytes.get_mut(l3..).ok_or(Errno::EINVAL)?;
            let (ip, _) = Ipv6::mut_from_prefix(head).map_err(|_| Errno::EINVAL)?;
            let len = len.saturating_sub(size_of::<Ipv6>());
            ip.len = Be16::new(u16::try_from(len).map_err(|_| Errno::EMSGSIZE)?);
        }
        let mru = u16::try_from(self.mru).unwrap_or(u16::MAX);
        Ok(Collected::Whole { bytes, mru })
    }
}

fn copy<Pk: Packet>(packet: &Pk, at: usize, len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    packet.copy_out(at, &mut bytes)?;
    Ok(bytes)
}
