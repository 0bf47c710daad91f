//! `pfnl status`: asks a host about itself.

use crate::serve;
use anyhow::{Context, Result, bail};
use pfnl_wire::{Answer, Kind, Request, VERSION, recv, send};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints what the host tells.
///
/// # Errors
/// There is no host, or it does not answer.
pub fn status(socket: Option<PathBuf>) -> Result<ExitCode> {
    let path = serve::path(socket)?;
    let host = reach(&path)?;
    let request = Request { a: VERSION, ..Request::new(Kind::Status) };
    send(host.as_fd(), [&request.to_bytes(), &[]], None)?;
    let mut chunk = vec![0; 64 << 10];
    let mut out = std::io::stdout().lock();
    let mut told = false;
    loop {
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&host, PollFlags::IN)], Some(&patience)) {
            Ok(0) => bail!("the host at {} does not answer", path.display()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        match recv(host.as_fd(), &mut [], &mut chunk, false) {
            Ok(received) if received.length == 0 && told => return Ok(ExitCode::SUCCESS),
            Ok(received) if received.length == 0 => {
                bail!("the host at {} closed the connection", path.display())
            }
            Ok(received) => {
                let told = &chunk[..received.length.min(chunk.len())];
                if let Some(answer) = told.try_into().ok().and_then(Answer::from_bytes) {
                    let refusal = std::io::Error::from_raw_os_error(answer.errno);
                    return Err(refusal).with_context(|| format!("the host at {} refuses", path.display()));
                }
                out.write_all(told)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        told = true;
    }
}

/// Connects to a host.
///
/// # Errors
/// There is none; what to do.
pub fn reach(path: &Path) -> Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)
        .map_err(|_| anyhow::anyhow!("{} is too long for a socket: at most 107 bytes", path.display()))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    match connect(&socket, &address) {
        Ok(()) => Ok(socket),
        Err(Errno::NOENT | Errno::CONNREFUSED) => {
            bail!("no pfnl host serves {}: start one with `pfnl serve --socket {0}`", path.display())
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
