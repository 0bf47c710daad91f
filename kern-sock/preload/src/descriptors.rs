//! The functions by which descriptors come and go: the table has to follow.

use crate::{next, table, waiting};
use libc::{FILE, c_int, c_uint, c_void};

/// dup(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup(fd: c_int) -> c_int {
    // SAFETY: no memory is involved.
    copied(fd, unsafe { next::dup(fd) })
}

/// dup2(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(from: c_int, to: c_int) -> c_int {
    // SAFETY: no memory is involved.
    copied(from, unsafe { next::dup2(from, to) })
}

/// dup3(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    // SAFETY: no memory is involved.
    copied(from, unsafe { next::dup3(from, to, flags) })
}

/// fcntl(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the caller keeps to the C function's contract.
    let result = unsafe { next::fcntl(fd, command, argument) };
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) { copied(fd, result) } else { result }
}

/// fcntl(2) as programs with large file support call it.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the caller keeps to the C function's contract.
    let result = unsafe { next::fcntl64(fd, command, argument) };
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) { copied(fd, result) } else { result }
}

/// close(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    table::forget(fd);
    waiting::forget(fd);
    // SAFETY: no memory is involved.
    unsafe { next::close(fd) }
}

/// fclose(3), which closes behind our back.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(stream: *mut FILE) -> c_int {
    // SAFETY: the caller keeps to the C function's contract.
    unsafe {
        table::forget(crate::quietly(|| libc::fileno(stream)));
        next::fclose(stream)
    }
}

/// close_range(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    if flags.cast_unsigned() & libc::CLOSE_RANGE_CLOEXEC == 0 {
        table::forget_range(first as usize, last as usize);
    }
    // SAFETY: no memory is involved.
    unsafe { next::close_range(first, last, flags) }
}

/// closefrom(3).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closefrom(first: c_int) {
    table::forget_range(usize::try_from(first).unwrap_or(0), usize::MAX);
    // SAFETY: no memory is involved; what the C function does not return is not looked at.
    unsafe { next::closefrom(first) };
}

fn copied(from: c_int, to: c_int) -> c_int {
    if to >= 0 {
        table::copy(from, to);
    }
    to
}
