//! Interface names as the kernel takes them (netdevice(7)).

use pfnl_platform::{Errno, Result};
use pfnl_rawio::NAME_MAX;

/// Whether a new interface may have this name.
///
/// # Errors
/// `ENAMETOOLONG` above 15 bytes, `EINVAL` for one that is empty, `.`, `..`, or has slashes, colons, blanks or
/// control characters in it.
pub(crate) fn check(name: &str) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let bad = |byte: u8| matches!(byte, b'/' | b':' | b'%' | 0x7f) || byte <= b' ';
    if matches!(name, "" | "." | "..") || name.bytes().any(bad) { Err(Errno::EINVAL) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "br-int", "eth0.7", "fifteen-letters", "ünï"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "tap%d", "\t", "a\0b"] {
            assert_eq!(check(bad), Err(Errno::EINVAL), "{bad:?}");
        }
        assert_eq!(check("sixteen-letters-"), Err(Errno::ENAMETOOLONG));
    }
}
