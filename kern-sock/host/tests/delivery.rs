//! What reaches a client and when, spoken to on the wire as the preload library does.

use pfnl_platform::{Errno, Shared, User};
use pfnl_sock::{Bus, Domain};
use pfnl_sock_host::{Config, Host, Stopper};
use pfnl_wire::{ANSWER, ARRIVAL, Answer, Arrival, Kind, Mapping, Op, Request, VERSION, Wait, recv, send};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A host in a thread.
struct Running {
    domain: Shared<Domain<User>>,
    path: PathBuf,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Running {
    fn start() -> Running {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host");
        let domain = Domain::try_new().unwrap();
        let mut host = Host::bind(&Config::new(&path), domain.clone()).unwrap();
        let stopper = host.stopper();
        let thread = Some(thread::spawn(move || host.run(|text| text.push_str("and more\n")).unwrap()));
        Running { domain, path, stopper, thread, _directory: directory }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
        assert!(!self.path.exists());
    }
}

/// A client's socket.
struct Client {
    fd: OwnedFd,
    page: Mapping,
}

fn dial(path: &Path) -> OwnedFd {
    let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&fd, &SocketAddrUnix::new(path).unwrap()).unwrap();
    fd
}

fn answered(fd: &OwnedFd) -> (Answer, Option<OwnedFd>) {
    let mut answer = [0; ANSWER];
    let received = recv(fd.as_fd(), &mut answer, &mut [], true).unwrap();
    (Answer::from_bytes(&answer).unwrap(), received.rights)
}

impl Client {
    fn open(host: &Running) -> Client {
        let fd = dial(&host.path);
        let hello = Request { a: VERSION, b: 3, c: 16, ..Request::new(Kind::Hello) };
        send(fd.as_fd(), [&hello.to_bytes(), &[]], None).unwrap();
        let (answer, memory) = answered(&fd);
        assert_eq!(answer, Answer { version: VERSION, errno: 0 });
        // So that what does not arrive fails the test.
        let patience = Some(Duration::from_secs(10));
        rustix::net::sockopt::set_socket_timeout(&fd, rustix::net::sockopt::Timeout::Recv, patience).unwrap();
        let client = Client { fd, page: Mapping::open(memory.unwrap()).unwrap() };
        assert_eq!(client.call(Request::new(Kind::Call(Op::Bind)), &[]), 0);
        client
    }

    fn portid(&self) -> u32 {
        self.page.name().0
    }

    /// The result of an operation: 0 or a negative errno.
    fn call(&self, request: Request, payload: &[u8]) -> i32 {
        let (slot, tag) = self.page.claim(1).unwrap();
        let request = Request { slot: slot as u32, tag, ..request };
        send(self.fd.as_fd(), [&request.to_bytes(), payload], None).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            assert!(Instant::now() < end, "no result");
            if let Wait::Done(result, _) = self.page.wait(slot, tag, Duration::from_millis(50)) {
                self.page.release(slot, tag);
                return result;
            }
        }
    }

    /// The next block, counted as read.
    fn read(&self, wait: bool) -> Option<(Arrival, Vec<u8>)> {
        let (mut head, mut body) = ([0; ARRIVAL], vec![0; 65536]);
        let received = match recv(self.fd.as_fd(), &mut head, &mut body, wait) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        };
        let arrival = Arrival::from_bytes(&head).unwrap();
        body.truncate(received.length - ARRIVAL);
        self.page.consume(arrival.charge);
        Some((arrival, body))
    }
}

#[test]
fn blocks_of_many_threads_all_arrive_in_each_threads_order() {
    const THREADS: u32 = 4;
    const EACH: u32 = 3000;
    let host = Running::start();
    let client = Client::open(&host);
    let force = Request { a: 1, b: 33, ..Request::new(Kind::Call(Op::SetOption)) };
    assert_eq!(client.call(force, &(16_i32 << 20).to_ne_bytes()), 0);
    let portid = client.portid();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let domain = host.domain.clone();
            thread::spawn(move || {
                for count in 0..EACH {
                    let mut bytes = vec![0; 300];
                    bytes[..4].copy_from_slice(&(thread * EACH + count).to_ne_bytes());
                    domain.unicast(portid, bytes).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; THREADS as usize];
    for round in 0..THREADS * EACH {
        let (arrival, body) = client.read(true).unwrap();
        assert_eq!((arrival.nudge, arrival.pid, body.len()), (false, 0, 300));
        let number = u32::from_ne_bytes(*body.first_chunk().unwrap());
        let (thread, count) = (number / EACH, number % EACH);
        assert_eq!(count, std::mem::replace(&mut next[thread as usize], count + 1));
        if round % 100 == 0 {
            // The control thread pushes, too.
            assert_eq!(client.call(Request::new(Kind::Read), &[]), 0);
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(client.read(false).is_none());
}

#[test]
fn an_unread_queue_is_bounded_and_recovers() {
    let host = Running::start();
    let client = Client::open(&host);
    let fill = || {
        let mut sent = 0;
        while host.domain.unicast(client.portid(), vec![1; 1000]).is_ok() {
            sent += 1;
            assert!(sent < 10_000, "nothing bounds it");
        }
        sent
    };
    let sent = fill();
    assert!(sent > 50, "{sent}");
    assert_eq!(client.page.take_error(), Errno::ENOBUFS.linux());
    assert_eq!(client.page.take_error(), 0);
    // It stays congested until everything is read: the last one makes it well.
    for _ in 1..sent {
        client.read(false).unwrap();
    }
    assert_eq!(host.domain.unicast(client.portid(), vec![2]), Err(Errno::ENOBUFS));
    assert_eq!(client.page.take_error(), 0, "told once");
    client.read(false).unwrap();
    assert_eq!(host.domain.unicast(client.portid(), vec![3]), Ok(()));
    assert_eq!(client.read(false).unwrap().1, [3]);
    assert_eq!(fill(), sent);
}

#[test]
fn counters_that_lie_free_no_more_than_was_sent() {
    let host = Running::start();
    let client = Client::open(&host);
    (0..3).for_each(|_| client.page.consume(u32::MAX));
    // The connection fills, since nothing is really read, and then the queue: that is as far as lying leads.
    let mut sent = 0;
    while host.domain.unicast(client.portid(), vec![1; 1000]).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "nothing bounds it");
    }
    assert_eq!(client.page.take_error(), Errno::ENOBUFS.linux());
    let infos = host.domain.sockets().unwrap();
    assert_eq!(infos.len(), 1);
    assert!(infos[0].rmem <= 2 * 212_992, "{}", infos[0].rmem);
}

#[test]
fn the_page_is_handed_to_whoever_has_the_descriptor() {
    let host = Running::start();
    let client = Client::open(&host);
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .unwrap();
    let attach = Request { a: VERSION, ..Request::new(Kind::Attach) };
    send(client.fd.as_fd(), [&attach.to_bytes(), &[]], Some(theirs.as_fd())).unwrap();
    let (answer, memory) = answered(&ours);
    assert_eq!(answer.errno, 0);
    let page = Mapping::open(memory.unwrap()).unwrap();
    assert_eq!((page.name().0, page.kind()), (client.portid(), (3, 16)));
    // Without a descriptor to answer on, it is a mistake.
    send(client.fd.as_fd(), [&attach.to_bytes(), &[]], None).unwrap();
    assert_eq!(recv(client.fd.as_fd(), &mut [0], &mut [], true).unwrap().length, 0);
}

#[test]
fn another_version_is_told_ours() {
    let host = Running::start();
    let fd = dial(&host.path);
    let hello = Request { a: VERSION + 1, b: 3, c: 16, ..Request::new(Kind::Hello) };
    send(fd.as_fd(), [&hello.to_bytes(), &[]], None).unwrap();
    assert_eq!(answered(&fd).0, Answer { version: VERSION, errno: Errno::EPROTO.linux() });
    let fd = dial(&host.path);
    let hello = Request { a: VERSION, b: 3, c: 15, ..Request::new(Kind::Hello) };
    send(fd.as_fd(), [&hello.to_bytes(), &[]], None).unwrap();
    assert_eq!(answered(&fd).0.errno, Errno::EPROTONOSUPPORT.linux());
}

#[test]
fn status_is_told_in_full() {
    let host = Running::start();
    let clients: Vec<_> = (0..300).map(|_| Client::open(&host)).collect();
    let fd = dial(&host.path);
    send(fd.as_fd(), [&Request::new(Kind::Status).to_bytes(), &[]], None).unwrap();
    let mut text = Vec::new();
    loop {
        let mut chunk = vec![0; 65536];
        let received = recv(fd.as_fd(), &mut [], &mut chunk, true).unwrap();
        if received.length == 0 {
            break;
        }
        text.extend_from_slice(&chunk[..received.length]);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("sockets: 300\n") && text.ends_with("families: nlctrl (16)\nand more\n"), "{text}");
    assert!(clients.iter().all(|client| text.contains(&format!("\n  {:<10} 16 ", client.portid()))));
}
