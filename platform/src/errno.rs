//! Errors by name. Numbers differ between Linux and FreeBSD, so they are given only at the edge.
//!
//! FreeBSD has no ENODATA. Its programs see ENOATTR (87), which linux(4) takes for Linux's ENODATA in both directions; the
//! compat headers' errno.h says the same.

macro_rules! errnos {
    ($($name:ident $linux:literal $freebsd:literal $text:literal)*) => {
        /// An error, named as errno(3) names it.
        ///
        /// The discriminant is Linux's number. Names that Linux does not show to user space do not occur.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum Errno { $(#[doc = $text] $name = $linux,)* }

        impl Errno {
            /// Every errno pfnl knows, in Linux's order.
            pub const ALL: &'static [Errno] = &[$(Errno::$name,)*];

            /// The number on Linux (asm-generic/errno.h).
            pub const fn linux(self) -> i32 { self as i32 }

            /// The number on FreeBSD (sys/errno.h).
            pub const fn freebsd(self) -> i32 { match self { $(Errno::$name => $freebsd,)* } }

            /// The error of a Linux number, if it is one of ours.
            pub const fn from_linux(number: i32) -> Option<Errno> {
                match number { $($linux => Some(Errno::$name),)* _ => None }
            }

            /// The error of a FreeBSD number, if it is one of ours.
            pub const fn from_freebsd(number: i32) -> Option<Errno> {
                match number { $($freebsd => Some(Errno::$name),)* _ => None }
            }

            /// The symbol, as in errno(3).
            pub const fn name(self) -> &'static str { match self { $(Errno::$name => stringify!($name),)* } }

            /// What strerror(3) says, in Linux's words.
            pub const fn text(self) -> &'static str { match self { $(Errno::$name => $text,)* } }
        }
    };
}

errnos! {
    EPERM 1 1 "Operation not permitted"
    ENOENT 2 2 "No such file or directory"
    EINTR 4 4 "Interrupted system call"
    EIO 5 5 "Input/output error"
    ENXIO 6 6 "No such device or address"
    E2BIG 7 7 "Argument list too long"
    EBADF 9 9 "Bad file descriptor"
    EAGAIN 11 35 "Resource temporarily unavailable"
    ENOMEM 12 12 "Cannot allocate memory"
    EACCES 13 13 "Permission denied"
    EFAULT 14 14 "Bad address"
    EBUSY 16 16 "Device or resource busy"
    EEXIST 17 17 "File exists"
    EXDEV 18 18 "Invalid cross-device link"
    ENODEV 19 19 "No such device"
    EINVAL 22 22 "Invalid argument"
    ENFILE 23 23 "Too many open files in system"
    EMFILE 24 24 "Too many open files"
    EFBIG 27 27 "File too large"
    ENOSPC 28 28 "No space left on device"
    EPIPE 32 32 "Broken pipe"
    ERANGE 34 34 "Numerical result out of range"
    ENAMETOOLONG 36 63 "File name too long"
    ELOOP 40 62 "Too many levels of symbolic links"
    ENODATA 61 87 "No data available"
    EPROTO 71 92 "Protocol error"
    EOVERFLOW 75 84 "Value too large for defined data type"
    EUSERS 87 68 "Too many users"
    ENOTSOCK 88 38 "Socket operation on non-socket"
    EMSGSIZE 90 40 "Message too long"
    EPROTOTYPE 91 41 "Protocol wrong type for socket"
    ENOPROTOOPT 92 42 "Protocol not available"
    EPROTONOSUPPORT 93 43 "Protocol not supported"
    ESOCKTNOSUPPORT 94 44 "Socket type not supported"
    EOPNOTSUPP 95 45 "Operation not supported"
    EPFNOSUPPORT 96 46 "Protocol family not supported"
    EAFNOSUPPORT 97 47 "Address family not supported by protocol"
    EADDRINUSE 98 48 "Address already in use"
    EADDRNOTAVAIL 99 49 "Cannot assign requested address"
    ENETDOWN 100 50 "Network is down"
    ECONNABORTED 103 53 "Software caused connection abort"
    ENOBUFS 105 55 "No buffer space available"
    EISCONN 106 56 "Transport endpoint is already connected"
    ENOTCONN 107 57 "Transport endpoint is not connected"
    ETIMEDOUT 110 60 "Connection timed out"
    ECONNREFUSED 111 61 "Connection refused"
    EALREADY 114 37 "Operation already in progress"
    ESTALE 116 70 "Stale file handle"
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Errno {}

impl From<alloc::collections::TryReserveError> for Errno {
    fn from(_: alloc::collections::TryReserveError) -> Errno {
        Errno::ENOMEM
    }
}

#[cfg(feature = "std")]
impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> std::io::Error {
        std::io::Error::from_raw_os_error(if cfg!(target_os = "freebsd") {
            errno.freebsd()
        } else {
            errno.linux()
        })
    }
}

#[cfg(feature = "std")]
impl From<std::io::Error> for Errno {
    /// The errno behind an I/O error; `EIO` where there is none or we do not know it.
    fn from(error: std::io::Error) -> Errno {
        let number = error.raw_os_error().unwrap_or(0);
        let known =
            if cfg!(target_os = "freebsd") { Errno::from_freebsd(number) } else { Errno::from_linux(number) };
        known.unwrap_or(Errno::EIO)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_the_running_systems() {
        for &errno in Errno::ALL {
            let os = std::io::Error::from(errno).to_string();
            assert!(os.starts_with(errno.text()), "{errno:?}: {os}");
            assert_eq!(Errno::from_linux(errno.linux()), Some(errno));
            assert_eq!(Errno::from_freebsd(errno.freebsd()), Some(errno));
        }
    }
}
