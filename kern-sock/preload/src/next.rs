//! The functions we stand in front of: libc's, or those of another preloaded library after us.

use libc::{
    FILE, c_int, c_uint, c_ulong, c_void, epoll_event, gid_t, iovec, mmsghdr, msghdr, nfds_t, off_t, off64_t,
    pollfd, sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec, uid_t,
};
use std::ffi::CStr;
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// Finds a symbol once. Null if there is none.
fn resolve(cache: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    // Relaxed: the same address whoever finds it, and code needs no publishing.
    let known = cache.load(Relaxed);
    if !known.is_null() {
        return known;
    }
    // SAFETY: the name is a C string; RTLD_NEXT is a valid handle in a shared object.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    cache.store(found, Relaxed);
    found
}

macro_rules! next {
    ($($name:ident($($arg:ident: $type:ty),* $(, ...$last:ident)?) -> $result:ty;)*) => {
        /// Finds them all, so that nothing is looked up where dlsym(3) must not be called: in a signal handler, or
        /// between fork and exec. A function that is used before is found by itself.
        pub fn find_all() {
            $(resolve(&cache::$name, symbol!($name));)*
        }

        #[allow(non_upper_case_globals, reason = "named after the functions")]
        mod cache {
            use super::{AtomicPtr, c_void, null_mut};
            $(pub static $name: AtomicPtr<c_void> = AtomicPtr::new(null_mut());)*
        }
        $(
        /// libc's own.
        ///
        /// # Safety
        /// As the C function.
        pub unsafe fn $name($($arg: $type,)* $($last: *mut c_void)?) -> $result {
            let function = resolve(&cache::$name, symbol!($name));
            if function.is_null() {
                return crate::fail(libc::ENOSYS) as $result;
            }
            // SAFETY: the symbol of this name is a function of this prototype; the caller keeps to its contract.
            unsafe {
                let function = transmute::<*mut c_void, prototype!(($($type,)*) $($last)? -> $result)>(function);
                function($($arg,)* $($last)?)
            }
        }
    )* };
}

macro_rules! symbol {
    ($name:ident) => {
        const {
            match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("an identifier holds no NUL"),
            }
        }
    };
}

macro_rules! prototype {
    (($($type:ty,)*) -> $result:ty) => { unsafe extern "C" fn($($type,)*) -> $result };
    (($($type:ty,)*) $variadic:ident -> $result:ty) => { unsafe extern "C" fn($($type,)* ...) -> $result };
}

next! {
    socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int;
    connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int;
    listen(fd: c_int, backlog: c_int) -> c_int;
    accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int;
    accept4(fd: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int;
    shutdown(fd: c_int, how: c_int) -> c_int;
    getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int;
    getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int;
    setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: socklen_t) -> c_int;
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut socklen_t) -> c_int;
    send(fd: c_int, data: *const c_void, length: size_t, flags: c_int) -> ssize_t;
    sendto(fd: c_int, data: *const c_void, length: size_t, flags: c_int, to: *const sockaddr, to_length: socklen_t)
        -> ssize_t;
    sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int;
    recv(fd: c_int, data: *mut c_void, length: size_t, flags: c_int) -> ssize_t;
    recvfrom(fd: c_int, data: *mut c_void, length: size_t, flags: c_int, from: *mut sockaddr,
        from_length: *mut socklen_t) -> ssize_t;
    recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    recvmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut timespec) -> c_int;
    read(fd: c_int, data: *mut c_void, length: size_t) -> ssize_t;
    readv(fd: c_int, vectors: *const iovec, count: c_int) -> ssize_t;
    write(fd: c_int, data: *const c_void, length: size_t) -> ssize_t;
    writev(fd: c_int, vectors: *const iovec, count: c_int) -> ssize_t;
    dup(fd: c_int) -> c_int;
    dup2(from: c_int, to: c_int) -> c_int;
    dup3(from: c_int, to: c_int, flags: c_int) -> c_int;
    close(fd: c_int) -> c_int;
    close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int;
    fcntl(fd: c_int, command: c_int, ...argument) -> c_int;
    fcntl64(fd: c_int, command: c_int, ...argument) -> c_int;
    ioctl(fd: c_int, request: c_ulong, ...argument) -> c_int;
    __read_chk(fd: c_int, data: *mut c_void, length: size_t, room: size_t) -> ssize_t;
    __recv_chk(fd: c_int, data: *mut c_void, length: size_t, room: size_t, flags: c_int) -> ssize_t;
    __recvfrom_chk(fd: c_int, data: *mut c_void, length: size_t, room: size_t, flags: c_int, from: *mut sockaddr,
        from_length: *mut socklen_t) -> ssize_t;
    closefrom(first: c_int) -> c_int;
    poll(entries: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    ppoll(entries: *mut pollfd, count: nfds_t, timeout: *const timespec, signals: *const sigset_t) -> c_int;
    epoll_ctl(set: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
    epoll_wait(set: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int;
    epoll_pwait(set: c_int, events: *mut epoll_event, most: c_int, timeout: c_int, signals: *const sigset_t) -> c_int;
    epoll_pwait2(set: c_int, events: *mut epoll_event, most: c_int, timeout: *const timespec,
        signals: *const sigset_t) -> c_int;
    sendfile(to: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t;
    splice(from: c_int, from_offset: *mut off64_t, to: c_int, to_offset: *mut off64_t, count: size_t, flags: c_uint)
        -> ssize_t;
    preadv2(fd: c_int, vectors: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t;
    preadv64v2(fd: c_int, vectors: *const iovec, count: c_int, offset: off64_t, flags: c_int) -> ssize_t;
    pwritev2(fd: c_int, vectors: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t;
    pwritev64v2(fd: c_int, vectors: *const iovec, count: c_int, offset: off64_t, flags: c_int) -> ssize_t;
    fclose(stream: *mut FILE) -> c_int;
    setuid(uid: uid_t) -> c_int;
    seteuid(uid: uid_t) -> c_int;
    setreuid(real: uid_t, effective: uid_t) -> c_int;
    setresuid(real: uid_t, effective: uid_t, saved: uid_t) -> c_int;
    setgid(gid: gid_t) -> c_int;
    setegid(gid: gid_t) -> c_int;
    setregid(real: gid_t, effective: gid_t) -> c_int;
    setresgid(real: gid_t, effective: gid_t, saved: gid_t) -> c_int;
}
