//! Which descriptor is which socket.
//!
//! Two growing arrays of atomics, never freed, so that lookups take no lock and allocate nothing: descriptors, each
//! `UNKNOWN`, `OTHER` or the number of a socket, and sockets, each a mapped page with a count of its uses.
//!
//! The kernel may know better than we do: descriptors also come and go by ways that are not ours (raw system calls,
//! a vfork(2) child that closes in our memory). So a socket is known by its kernel cookie (SO_COOKIE), and what is
//! `UNKNOWN` is looked at when it is first used ([`crate::open::discover`]). The cookie is compared at every use, except
//! that data goes by the table as long as there is no error ([`trusted`], [`holds`]): requests are sent such that no other
//! kind of socket takes them ([`pfnl_wire::send_connected`]), and what is not a socket cannot be received from.

use crate::{Errno, open};
use libc::{c_int, c_void, socklen_t};
use pfnl_wire::{Mapping, Page};
use std::ops::Deref;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

const UNKNOWN: u32 = 0;
const OTHER: u32 = 1;
/// None of ours, but one that is looked at ([`crate::route`]).
const ROUTE: u32 = 2;
/// Entries from here on are numbers of sockets.
const FIRST: u32 = 3;

/// Rows of a growing array, and columns (in each row) of the two we have: 1,048,576 descriptors, 65,536 sockets.
const ROWS: usize = 1024;
const FDS: usize = 1024;
const SOCKETS: usize = 64;

static DESCRIPTORS: Grow<[AtomicU32; FDS]> = Grow::new();
static SOCKET_ROWS: Grow<[Socket; SOCKETS]> = Grow::new();

/// A netlink socket that this process has a descriptor of.
///
/// # Invariants
/// While `uses` is neither 0 nor `BUSY`, `page` came from `Mapping::into_raw` and is not unmapped.
struct Socket {
    /// Descriptors in the table and operations under way; 0 is free.
    uses: AtomicU32,
    page: AtomicPtr<Page>,
    cookie: AtomicU64,
}

/// In `uses`: being set up or torn down by one thread.
const BUSY: u32 = u32::MAX;

/// A use of a socket, for the length of an operation; the page stays mapped.
pub struct Pin(&'static Socket);

impl Deref for Pin {
    type Target = Page;
    fn deref(&self) -> &Page {
        // SAFETY: invariant of Socket; this value is one of its uses.
        unsafe { &*self.0.page.load(Acquire) }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.unuse();
    }
}

/// The socket that a descriptor stands for; `None` if it is not one of ours.
///
/// # Errors
/// `ECONNREFUSED`: it is, but its host does not answer.
pub fn find(fd: c_int) -> Result<Option<Pin>, Errno> {
    loop {
        match trusted(fd) {
            Ok(Some(pin)) if !holds(fd, &pin) => {}
            result => return result,
        }
    }
}

/// As [`find`], as far as the table knows. If something fails then, [`holds`] tells whether the table was right.
///
/// # Errors
/// As [`find`].
pub fn trusted(fd: c_int) -> Result<Option<Pin>, Errno> {
    let Some(entry) = entry(fd) else { return Ok(None) };
    loop {
        let value = entry.load(Acquire);
        match value {
            OTHER | ROUTE => return Ok(None),
            UNKNOWN => return crate::quietly(|| open::discover(fd)),
            _ => {}
        }
        let Some(pin) = socket(value).and_then(Socket::pin) else { continue };
        if entry.load(Acquire) == value {
            return Ok(Some(pin));
        }
    }
}

/// Whether a descriptor still stands for a socket. If not, it was closed, and maybe made anew, behind our back, and is
/// unknown from now on.
pub fn holds(fd: c_int, pin: &Pin) -> bool {
    if crate::quietly(|| cookie(fd)) == Some(pin.0.cookie.load(Relaxed)) {
        return true;
    }
    let value = number(pin.0);
    if entry(fd).is_some_and(|entry| entry.compare_exchange(value, UNKNOWN, AcqRel, Relaxed).is_ok()) {
        pin.0.unuse(); // it was the table's
    }
    false
}

/// The socket that a descriptor stood for when it was last looked at, if it is known, without asking the kernel.
pub fn known(fd: c_int) -> Option<Pin> {
    socket(entry(fd)?.load(Acquire))?.pin()
}

/// Whether a descriptor may be a socket of ours, as far as is known.
pub fn may_be_ours(fd: c_int) -> bool {
    entry(fd).is_some_and(|entry| !matches!(entry.load(Relaxed), OTHER | ROUTE))
}

/// A socket's name in this process, whatever its descriptors: its number here, and the kernel's cookie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name(u32, u64);

/// The name of the socket that a descriptor is known to stand for.
pub fn name(fd: c_int) -> Option<Name> {
    let value = entry(fd)?.load(Acquire);
    let pin = socket(value)?.pin()?;
    Some(Name(value, pin.0.cookie.load(Relaxed)))
}

/// The socket of a name, if this process has it still.
pub fn named(Name(value, cookie): Name) -> Option<Pin> {
    socket(value)?.pin().filter(|pin| pin.0.cookie.load(Relaxed) == cookie)
}

/// Enters a socket's descriptor and its page.
///
/// # Errors
/// `EMFILE`: more descriptors or sockets than the table holds; `ENOMEM`; `EBADF`.
pub fn enter(fd: c_int, page: Mapping) -> Result<Pin, Errno> {
    let entry = entry(fd).ok_or(libc::EMFILE)?;
    let cookie = cookie(fd).ok_or(libc::EBADF)?;
    for row in &SOCKET_ROWS.0 {
        let row = SOCKET_ROWS.grow(row).ok_or(libc::ENOMEM)?;
        for socket in row {
            if socket.uses.compare_exchange(0, BUSY, Acquire, Relaxed).is_err() {
                continue;
            }
            socket.page.store(page.into_raw().as_ptr(), Relaxed);
            socket.cookie.store(cookie, Relaxed);
            // Two uses: the table's and the caller's. Release publishes the page with them.
            socket.uses.store(2, Release);
            replace(entry, number(socket));
            return Ok(Pin(socket));
        }
    }
    Err(libc::EMFILE)
}

/// Notes that a descriptor is none of ours, until it is closed.
pub fn set_other(fd: c_int) {
    note(fd, OTHER);
}

/// As [`set_other`], of a socket of the machine's NETLINK_ROUTE.
pub fn set_route(fd: c_int) {
    note(fd, ROUTE);
}

fn note(fd: c_int, what: u32) {
    if let Some(entry) = entry(fd) {
        // Failing means that somebody knows better.
        let _ = entry.compare_exchange(UNKNOWN, what, Relaxed, Relaxed);
    }
}

/// Whether a descriptor was noted by [`set_route`].
pub fn is_route(fd: c_int) -> bool {
    entry(fd).is_some_and(|entry| entry.load(Relaxed) == ROUTE)
}

/// `to` has become a duplicate of `from`.
pub fn copy(from: c_int, to: c_int) {
    if from == to || !own_memory() {
        return;
    }
    let (Some(from), Some(to)) = (entry(from), entry(to)) else { return };
    let value = from.load(Acquire);
    match socket(value).and_then(Socket::pin) {
        Some(pin) => {
            std::mem::forget(pin); // becomes the table's
            replace(to, value);
        }
        None => replace(to, if value < FIRST { value } else { UNKNOWN }),
    }
}

/// A descriptor is being closed, or has come from elsewhere: nothing is known about it.
pub fn forget(fd: c_int) {
    if let Some(entry) = usize::try_from(fd).ok().and_then(|fd| DESCRIPTORS.get(fd / FDS)?.get(fd % FDS)) {
        let value = entry.load(Relaxed);
        if matches!(value, OTHER | ROUTE) || (value >= FIRST && own_memory()) {
            replace(entry, UNKNOWN);
        }
    }
}

/// As [`forget`] for all from `first` to `last`.
pub fn forget_range(first: usize, last: usize) {
    for (number, row) in DESCRIPTORS.0.iter().enumerate() {
        if number < first / FDS || number > last / FDS || row.load(Acquire).is_null() {
            continue;
        }
        let (low, high) = (number * FDS, number * FDS + FDS - 1);
        for fd in first.max(low)..=last.min(high) {
            forget(c_int::try_from(fd).unwrap_or(-1));
        }
    }
}

/// Whether the memory we run in is our own: not that of a parent which a vfork(2) child shares until it executes.
/// What such a child closes stays open in the parent.
pub fn own_memory() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() == PROCESS.load(Relaxed) }
}

static PROCESS: AtomicI32 = AtomicI32::new(0);

/// Notes which process the memory belongs to: at the start, and in a fork(2) child.
pub fn note_process() {
    // SAFETY: no preconditions.
    PROCESS.store(unsafe { libc::getpid() }, Relaxed);
}

impl Socket {
    /// Adds a use, unless the socket is gone.
    fn pin(&'static self) -> Option<Pin> {
        let alive = |uses| (uses != 0 && uses < BUSY - 1).then(|| uses + 1);
        self.uses.fetch_update(Acquire, Relaxed, alive).ok().map(|_| Pin(self))
    }

    /// Drops a use; the last one unmaps the page.
    fn unuse(&self) {
        let left = |uses: u32| if uses == 1 { BUSY } else { uses - 1 };
        // Never None, so never an error. AcqRel: whoever is last sees all others' uses of the page as done.
        if self.uses.fetch_update(AcqRel, Relaxed, |uses| Some(left(uses))) != Ok(1) {
            return;
        }
        if let Some(page) = NonNull::new(self.page.swap(null_mut(), Relaxed)) {
            // SAFETY: invariant of Socket; `uses` is BUSY, so nobody else uses the page or can begin to.
            drop(unsafe { Mapping::from_raw(page) });
        }
        self.uses.store(0, Release);
    }
}

/// Puts a value in a descriptor's entry and drops the use that the old one was.
fn replace(entry: &AtomicU32, value: u32) {
    if let Some(socket) = socket(entry.swap(value, AcqRel)) {
        socket.unuse();
    }
}

fn entry(fd: c_int) -> Option<&'static AtomicU32> {
    let fd = usize::try_from(fd).ok()?;
    DESCRIPTORS.grow(DESCRIPTORS.0.get(fd / FDS)?)?.get(fd % FDS)
}

fn socket(value: u32) -> Option<&'static Socket> {
    let number = usize::try_from(value.checked_sub(FIRST)?).ok()?;
    SOCKET_ROWS.get(number / SOCKETS)?.get(number % SOCKETS)
}

/// The entry that stands for a socket.
fn number(socket: &'static Socket) -> u32 {
    let rows = SOCKET_ROWS.0.iter().map(|row| row.load(Relaxed).cast::<Socket>());
    for (number, row) in rows.enumerate() {
        let range = row..row.wrapping_add(SOCKETS);
        let place = std::ptr::from_ref(socket).cast_mut();
        if range.contains(&place) {
            let column = (place.addr() - row.addr()) / size_of::<Socket>();
            return FIRST + (number * SOCKETS + column) as u32;
        }
    }
    UNKNOWN
}

/// The kernel's name of the socket behind a descriptor, unique as long as the system runs.
fn cookie(fd: c_int) -> Option<u64> {
    let mut value = 0_u64;
    let mut length = size_of::<u64>() as socklen_t;
    // SAFETY: the value and its length live through the call and state their true size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_getsockopt,
            fd,
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            &raw mut value,
            &raw mut length,
        )
    };
    (result == 0).then_some(value)
}

/// An array that grows by rows of zeroed memory.
///
/// # Invariants
/// Each place is null or points to a `T` that lives as long as the process; all zero bytes are a valid `T`.
struct Grow<T>([AtomicPtr<T>; ROWS]);

impl<T> Grow<T> {
    const fn new() -> Grow<T> {
        Grow([const { AtomicPtr::new(null_mut()) }; ROWS])
    }

    fn get(&self, row: usize) -> Option<&'static T> {
        // SAFETY: invariant.
        unsafe { self.0.get(row)?.load(Acquire).as_ref() }
    }
}

impl<T: Zeroed> Grow<T> {
    /// The row at a place of ours, made if it is not there; `None` without memory.
    fn grow(&self, place: &AtomicPtr<T>) -> Option<&'static T> {
        // SAFETY: invariant.
        if let Some(row) = unsafe { place.load(Acquire).as_ref() } {
            return Some(row);
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping, at an address of the kernel's choice. Not malloc: it may be the program's own, and
        // not to be called from a signal handler.
        let fresh = crate::quietly(|| unsafe {
            libc::mmap(null_mut(), size_of::<T>(), protection, flags, -1, 0).cast::<T>()
        });
        if fresh.cast::<c_void>() == libc::MAP_FAILED {
            return None;
        }
        let row = match place.compare_exchange(null_mut(), fresh, AcqRel, Acquire) {
            Ok(_) => fresh,
            Err(theirs) => {
                // SAFETY: our own mapping, which nobody has seen.
                unsafe { libc::munmap(fresh.cast(), size_of::<T>()) };
                theirs
            }
        };
        // SAFETY: invariant; anonymous memory is zeroed, page aligned, and never unmapped once it is in place.
        unsafe { row.as_ref() }
    }
}

/// Types of which all zero bytes are a value.
trait Zeroed {}
impl Zeroed for [AtomicU32; FDS] {}
impl Zeroed for [Socket; SOCKETS] {}
