//! `pfnl trace --socket`: what passes at a host that runs.

use crate::status::reach;
use crate::trace::{Direction, Peer, Tracer};
use anyhow::{Context, Result, bail};
use pfnl_platform::Errno;
use pfnl_sock::Endpoint;
use pfnl_wire::{ANSWER, Answer, EVENT, Event, Kind, Request, Told, VERSION, recv, send};
use rustix::net::{Shutdown, shutdown};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The longest datagram that a host sends.
const LONGEST: usize = 2 << 20;

/// Shows what passes at a host, of one process or of all, until SIGINT, SIGTERM or SIGHUP, or the host's end.
///
/// # Errors
/// There is no host, or it refuses.
pub fn attach(mut tracer: Tracer, path: &Path, pid: Option<u32>) -> Result<ExitCode> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let host = Arc::new(reach(path)?);
    let request = Request { a: VERSION, b: pid.unwrap_or(0), ..Request::new(Kind::Trace) };
    send(host.as_fd(), [&request.to_bytes(), &[]], None)?;
    accepted(&host, path)?;
    let interrupted = signals.handle();
    let waiter = std::thread::spawn({
        let host = Arc::clone(&host);
        move || {
            let ended = signals.forever().next().is_some();
            // Fails if it has ended by itself.
            let _ = shutdown(&*host, Shutdown::Both);
            ended
        }
    });
    tracing::info!("tracing {}", path.display());
    let (mut head, mut body) = ([0; EVENT], vec![0; LONGEST]);
    let outcome = loop {
        let length = match recv(host.as_fd(), &mut head, &mut body, true) {
            Ok(received) => received.length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => break Err(error).with_context(|| path.display().to_string()),
        };
        if length == 0 {
            break Ok(ExitCode::SUCCESS);
        }
        let event = Event::from_bytes(&head).filter(|_| length >= EVENT);
        let Some(event) = event else { break Err(anyhow::anyhow!("{} speaks otherwise", path.display())) };
        show(&mut tracer, &event, &body[..(length - EVENT).min(LONGEST)]);
    };
    interrupted.close();
    if outcome.is_ok() && !waiter.join().unwrap_or(true) {
        eprintln!("pfnl: the host at {} has ended", path.display());
    }
    tracer.finish();
    outcome
}

/// Waits for the host's word.
fn accepted(host: &OwnedFd, path: &Path) -> Result<()> {
    let mut answer = [0; ANSWER];
    let received = recv(host.as_fd(), &mut answer, &mut [], true);
    let answer = received.ok().filter(|received| received.length == ANSWER).and(Answer::from_bytes(&answer));
    match answer {
        None => bail!("the host at {} closed the connection", path.display()),
        Some(Answer { version, .. }) if version != VERSION => {
            bail!("the host at {} is of another version", path.display())
        }
        Some(Answer { errno: 0, .. }) => Ok(()),
        Some(Answer { errno, .. }) => {
            let why = match Errno::from_linux(errno) {
                Some(Errno::EPERM) => "only its own user and root may see what passes there".to_owned(),
                Some(Errno::EOPNOTSUPP) => "it lets nobody see what passes there".to_owned(),
                _ => std::io::Error::from_raw_os_error(errno).to_string(),
            };
            bail!("the host at {} refuses: {why}", path.display())
        }
    }
}

fn show(tracer: &mut Tracer, event: &Event, bytes: &[u8]) {
    let endpoint = Endpoint { portid: event.portid, pid: event.pid };
    let time = Duration::from_micros(event.time);
    let errno = |errno| Errno::from_linux(errno).unwrap_or(Errno::EINVAL);
    match event.told {
        Told::Sent { peer, group } => {
            let peer = Peer { portid: peer, group };
            tracer.datagram(time, endpoint, Direction::Send, peer, event.protocol, bytes);
        }
        Told::Delivered { peer, group } => {
            let peer = Peer { portid: peer, group };
            tracer.datagram(time, endpoint, Direction::Receive, peer, event.protocol, bytes);
        }
        Told::Refused(why) => tracer.failure(time, endpoint, Direction::Send, errno(why)),
        Told::Lost(why) => tracer.failure(time, endpoint, Direction::Receive, errno(why)),
        Told::Missed(count) => eprintln!("pfnl: {count} messages passed too fast to be shown"),
        Told::Family(id) => tracer.learn(id, &String::from_utf8_lossy(bytes)),
    }
}
