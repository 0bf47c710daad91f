//! Calls that a socket shares with files, and that go beyond reading and writing.

use super::{Outcome, adopt, checked};
use libc::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

/// A pipe: the end to read, the end to write.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors, which are fresh and wrapped once.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0, "no pipe");
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// A file in memory that holds some bytes.
pub fn file_of(bytes: &[u8]) -> OwnedFd {
    use std::io::Write;
    // SAFETY: the name is a C string.
    let mut file =
        std::fs::File::from(adopt(unsafe { libc::memfd_create(c"pfnl".as_ptr(), libc::MFD_CLOEXEC) }));
    file.write_all(bytes).expect("memory");
    file.into()
}

/// sendfile(2) from the file's beginning.
pub fn sendfile(to: c_int, from: &OwnedFd, count: usize) -> Outcome {
    let mut offset = 0;
    // SAFETY: the offset lives through the call.
    checked(unsafe { libc::sendfile(to, from.as_raw_fd(), &raw mut offset, count) })
}

/// splice(2) between any two descriptors, one of them a pipe.
pub fn splice(from: c_int, to: c_int, count: usize, flags: u32) -> Outcome {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::splice(from, null_mut(), to, null_mut(), count, flags) })
}

/// tee(2).
pub fn tee(from: c_int, to: c_int, count: usize) -> Outcome {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::tee(from, to, count, libc::SPLICE_F_NONBLOCK) })
}

/// writev(2).
pub fn writev(fd: c_int, parts: &[&[u8]]) -> Outcome {
    let parts = super::vectors(parts.iter().map(|part| (part.as_ptr().cast_mut(), part.len())));
    // SAFETY: the vectors are of slices that live through the call, which reads them.
    checked(unsafe { libc::writev(fd, parts.as_ptr(), parts.len() as _) })
}

/// readv(2).
pub fn readv(fd: c_int, parts: &mut [Vec<u8>]) -> Outcome {
    let parts = super::vectors(parts.iter_mut().map(|part| (part.as_mut_ptr(), part.len())));
    // SAFETY: the vectors are of slices that live through the call.
    checked(unsafe { libc::readv(fd, parts.as_ptr(), parts.len() as _) })
}

/// pread(2) and pwrite(2).
pub fn at_offset(fd: c_int, bytes: &mut [u8], write: bool) -> Outcome {
    // SAFETY: the bytes live through the call.
    checked(unsafe {
        if write {
            libc::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), 0)
        } else {
            libc::pread(fd, bytes.as_mut_ptr().cast(), bytes.len(), 0)
        }
    })
}

/// preadv2(2) and pwritev2(2) at the place where the file is, with flags.
pub fn with_flags(fd: c_int, bytes: &mut [u8], write: bool, flags: c_int) -> Outcome {
    let vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: the vector and its bytes live through the call.
    checked(unsafe {
        if write {
            libc::pwritev2(fd, &raw const vector, 1, -1, flags)
        } else {
            libc::preadv2(fd, &raw const vector, 1, -1, flags)
        }
    })
}

/// ioctl(2) with a word that is read, or written, or both; gives it back.
pub fn ioctl_word(fd: c_int, request: u64, word: i32) -> Outcome<i32> {
    let mut words = [0_i32; 64];
    words[0] = word;
    // SAFETY: room for more than any of the requests used here reads or writes.
    checked(unsafe { libc::ioctl(fd, request as _, words.as_mut_ptr().cast::<c_void>()) } as isize)
        .map(|_| words[0])
}

/// dup3(2) onto a number that nobody uses.
pub fn dup3(from: c_int, to: c_int, flags: c_int) -> Outcome<OwnedFd> {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::dup3(from, to, flags) } as isize).map(|fd| adopt(fd as c_int))
}

/// fcntl(2)'s F_DUPFD and F_DUPFD_CLOEXEC.
pub fn duplicate(from: c_int, command: c_int, least: c_int) -> Outcome<OwnedFd> {
    super::fcntl(from, command, least).map(|fd| adopt(fd as c_int))
}

/// close_range(2).
pub fn close_range(first: c_int, last: c_int, flags: u32) -> Outcome {
    // SAFETY: no memory is involved; the caller has forgotten the owners of the numbers.
    checked(unsafe { libc::close_range(first as _, last as _, flags as _) } as isize)
}

/// What /proc says a descriptor is, without its number.
pub fn described(fd: c_int) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    link.to_string_lossy().split('[').next().unwrap_or_default().to_owned()
}
