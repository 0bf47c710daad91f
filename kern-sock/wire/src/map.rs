//! The page's memory: a memfd, sealed so that neither side can take it from under the other.

use crate::Page;
use crate::io::{os_error, syscall};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

const SIZE: usize = size_of::<Page>();

/// A [`Page`] in this process's memory.
///
/// # Invariants
/// Points to a shared mapping of [`SIZE`] bytes, page aligned, of a memfd that is at least that long and sealed
/// against shrinking; this value unmaps it.
pub struct Mapping(NonNull<Page>);

// SAFETY: a Page is made of atomics only, and the mapping belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Makes a fresh page; the descriptor is for the other side.
    ///
    /// # Errors
    /// What memfd_create(2), ftruncate(2), fcntl(2) and mmap(2) say.
    pub fn create() -> io::Result<(Mapping, OwnedFd)> {
        // SAFETY: the name is a C string; the call touches nothing else of ours.
        let fd = syscall(unsafe {
            libc::syscall(
                libc::SYS_memfd_create,
                c"pfnl".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            )
        })?;
        // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
        let memory = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        // SAFETY: no memory is involved.
        syscall(unsafe { libc::syscall(libc::SYS_ftruncate, memory.as_raw_fd(), SIZE) })?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: no memory is involved.
        syscall(unsafe { libc::syscall(libc::SYS_fcntl, memory.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        Ok((Mapping::open(&memory)?, memory))
    }

    /// Maps a page that the other side made.
    ///
    /// # Errors
    /// What fcntl(2), fstat(2) and mmap(2) say; `EINVAL` for memory that is not such a page.
    pub fn open(memory: impl AsFd) -> io::Result<Mapping> {
        let fd = memory.as_fd().as_raw_fd();
        // SAFETY: no memory is involved.
        let seals = syscall(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GET_SEALS) })?;
        // SAFETY: no memory is involved. (A memfd is seekable; its offset means nothing to a mapping.)
        let size = syscall(unsafe { libc::syscall(libc::SYS_lseek, fd, 0 as libc::off_t, libc::SEEK_END) })?;
        if seals & i64::from(libc::F_SEAL_SHRINK) == 0 || usize::try_from(size) != Ok(SIZE) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: a fresh mapping, at an address of the kernel's choice.
        let place = unsafe {
            libc::mmap(ptr::null_mut(), SIZE, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0)
        };
        if place == libc::MAP_FAILED {
            return Err(io::Error::from_raw_os_error(os_error()));
        }
        NonNull::new(place.cast()).map(Mapping).ok_or(io::ErrorKind::OutOfMemory.into())
    }

    /// Gives up ownership, for a table of raw pointers.
    pub fn into_raw(self) -> NonNull<Page> {
        let place = self.0;
        std::mem::forget(self);
        place
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `place` came from [`Mapping::into_raw`] in this process (or its parent, before fork), is taken back once, and
    /// nobody uses it any more except through the new value.
    pub unsafe fn from_raw(place: NonNull<Page>) -> Mapping {
        Mapping(place)
    }
}

impl Deref for Mapping {
    type Target = Page;
    fn deref(&self) -> &Page {
        // SAFETY: invariant; any bytes are a valid Page, as it is made of integer atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: invariant; no reference outlives self.
        unsafe { libc::munmap(self.0.as_ptr().cast(), SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_mappings_are_the_same_memory_and_cannot_be_shrunk() {
        let (ours, memory) = Mapping::create().unwrap();
        let theirs = Mapping::open(&memory).unwrap();
        ours.set_names((7, 1), (9, 0));
        assert_eq!((theirs.name(), theirs.peer()), ((7, 1), (9, 0)));
        theirs.consume(100);
        theirs.consume(28);
        theirs.offer(4096);
        theirs.offer(10);
        assert_eq!(ours.consumed(), (128, 4096));
        let file = std::fs::File::from(memory);
        assert_eq!(file.set_len(0).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn other_memory_is_refused() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert_eq!(Mapping::open(file).err().and_then(|error| error.raw_os_error()), Some(libc::EINVAL));
    }
}
