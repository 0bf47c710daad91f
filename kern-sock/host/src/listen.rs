//! The host's path: a listening socket and a lock beside it, so that there is one host and stale files are replaced.

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a path cannot be served.
#[derive(Debug)]
pub enum BindError {
    /// There is a host on it.
    Busy(PathBuf),
    /// There is something else at it.
    Occupied(PathBuf),
    /// A socket's name has 107 bytes at most.
    TooLong(PathBuf),
    /// The system says no.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BindError::Busy(path) => write!(f, "another pfnl host serves {}", path.display()),
            BindError::Occupied(path) => write!(f, "{} exists and is not a socket", path.display()),
            BindError::TooLong(path) => {
                write!(f, "{} is too long for a socket: at most 107 bytes", path.display())
            }
            BindError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for BindError {}

/// A path that is being served; dropping it removes the socket.
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    lock_path: PathBuf,
    /// Held as long as we serve.
    _lock: File,
}

impl Listener {
    pub(crate) fn bind(path: &Path, mode: u32) -> Result<Listener, BindError> {
        let path = std::path::absolute(path).map_err(|error| BindError::Io(path.to_owned(), error))?;
        let failed = |error: io::Error| BindError::Io(path.clone(), error);
        let address = SocketAddrUnix::new(&path).map_err(|_| BindError::TooLong(path.clone()))?;
        let mut lock_path = path.clone().into_os_string();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let lock = lock(&path, &lock_path)?;

        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path).map_err(failed)?,
            Ok(_) => return Err(BindError::Occupied(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|error| failed(error.into()))?;
        // Before the name exists, so that nobody slips in; and after, for what the umask took away.
        fchmod(&socket, Mode::from_raw_mode(mode)).map_err(|error| failed(error.into()))?;
        bind(&socket, &address).map_err(|error| failed(error.into()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        // Inherited by what is accepted, so that the first datagram, too, says who sent it.
        pfnl_wire::credentials_on(socket.as_fd()).map_err(failed)?;
        listen(&socket, 1024).map_err(|error| failed(error.into()))?;
        Ok(Listener { socket, path, lock_path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // While the lock is held: nobody else can have put theirs there.
        for path in [&self.path, &self.lock_path] {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!("{}: {error}", path.display());
            }
        }
    }
}

/// Locks a file beside the path. The file may be removed by its last owner between our opening and locking it: then
/// the lock is on nothing, and we try again.
fn lock(path: &Path, lock_path: &Path) -> Result<File, BindError> {
    let failed = |error: io::Error| BindError::Io(lock_path.to_owned(), error);
    loop {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock_path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BindError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let ours = file.metadata().map_err(failed)?;
        if fs::metadata(lock_path).is_ok_and(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}
