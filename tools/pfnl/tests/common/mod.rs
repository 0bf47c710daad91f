//! What the tests share: the programs under test, and a netlink socket by way of libc, as a C program has it.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "plain system calls on live local buffers")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const NLCTRL: u16 = 16;
pub const REQUEST: u16 = 1;
pub const MULTI: u16 = 2;
pub const ACK: u16 = 4;
pub const DUMP: u16 = 0x300;

/// The `pfnl` command, with the preload library beside it.
pub fn pfnl() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_pfnl"));
        let profile = program.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "pfnl-preload"]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the preload library does not build");
        program
    });
    let mut command = Command::new(program);
    command.env_remove("PFNL_SOCKET").env_remove("LD_PRELOAD");
    command
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A `pfnl serve`.
pub struct Serve {
    pub child: std::process::Child,
    pub path: PathBuf,
}

impl Serve {
    pub fn start(directory: &Path) -> Serve {
        let path = directory.join("host.sock");
        let child = pfnl().args(["serve", "--socket"]).arg(&path).spawn().unwrap();
        until("the host answers", || status(&path).is_some());
        Serve { child, path }
    }

    pub fn run(&self) -> Command {
        let mut run = pfnl();
        run.args(["run", "--socket"]).arg(&self.path).arg("--");
        run
    }

    pub fn signal(&self, signal: i32) {
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a host tells of itself, if there is one.
pub fn status(path: &Path) -> Option<String> {
    let output = pfnl().args(["status", "--socket"]).arg(path).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket(pub OwnedFd);

pub fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap()
}

/// A C result: the value, or errno.
pub fn checked(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| errno())
}

pub fn address(pid: u32, groups: u32) -> libc::sockaddr_nl {
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = 16;
    address.nl_pid = pid;
    address.nl_groups = groups;
    address
}

pub const NL: libc::socklen_t = 12;

impl Socket {
    pub fn new() -> Socket {
        Socket::of(libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_GENERIC).unwrap()
    }

    pub fn bound() -> Socket {
        let socket = Socket::new();
        socket.bind(0, 0).unwrap();
        socket
    }

    pub fn of(kind: i32, protocol: i32) -> Result<Socket, i32> {
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) };
        if fd < 0 { Err(errno()) } else { Ok(Socket(unsafe { OwnedFd::from_raw_fd(fd) })) }
    }

    pub fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    pub fn bind(&self, pid: u32, groups: u32) -> Result<usize, i32> {
        let address = address(pid, groups);
        checked(unsafe { libc::bind(self.fd(), (&raw const address).cast(), NL) } as isize)
    }

    pub fn connect(&self, pid: u32, groups: u32) -> Result<usize, i32> {
        let address = address(pid, groups);
        checked(unsafe { libc::connect(self.fd(), (&raw const address).cast(), NL) } as isize)
    }

    pub fn name(&self) -> (u32, u32) {
        let (mut name, mut length) = (address(!0, !0), NL);
        assert_eq!(unsafe { libc::getsockname(self.fd(), (&raw mut name).cast(), &raw mut length) }, 0);
        assert_eq!((name.nl_family, length), (16, NL));
        (name.nl_pid, name.nl_groups)
    }

    pub fn peer(&self) -> (u32, u32) {
        let (mut name, mut length) = (address(!0, !0), NL);
        assert_eq!(unsafe { libc::getpeername(self.fd(), (&raw mut name).cast(), &raw mut length) }, 0);
        (name.nl_pid, name.nl_groups)
    }

    pub fn set(&self, level: i32, name: i32, value: i32) -> Result<usize, i32> {
        let at = (&raw const value).cast();
        checked(unsafe { libc::setsockopt(self.fd(), level, name, at, 4) } as isize)
    }

    pub fn get(&self, level: i32, name: i32) -> Result<i32, i32> {
        let (mut value, mut length) = (0_i32, 4);
        let at = (&raw mut value).cast();
        checked(unsafe { libc::getsockopt(self.fd(), level, name, at, &raw mut length) } as isize)
            .map(|_| value)
    }

    pub fn send(&self, bytes: &[u8], flags: i32) -> Result<usize, i32> {
        checked(unsafe { libc::send(self.fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
    }

    pub fn send_to(&self, bytes: &[u8], pid: u32) -> Result<usize, i32> {
        let to = address(pid, 0);
        let to = (&raw const to).cast();
        checked(unsafe { libc::sendto(self.fd(), bytes.as_ptr().cast(), bytes.len(), 0, to, NL) })
    }

    /// Asks nlctrl for itself.
    pub fn ask(&self, seq: u32) {
        let request = get_nlctrl(seq);
        assert_eq!(self.send(&request, 0), Ok(request.len()));
    }

    pub fn recv(&self, room: usize, flags: i32) -> Result<Vec<u8>, i32> {
        let mut bytes = vec![0; room];
        let length = checked(unsafe { libc::recv(self.fd(), bytes.as_mut_ptr().cast(), room, flags) })?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// What is there without waiting.
    pub fn now(&self) -> Result<Vec<u8>, i32> {
        self.recv(65536, libc::MSG_DONTWAIT)
    }

    pub fn patience(&self, time: Duration) {
        let time = libc::timeval { tv_sec: time.as_secs() as _, tv_usec: time.subsec_micros().into() };
        let size = size_of::<libc::timeval>() as u32;
        let at = (&raw const time).cast();
        let result = unsafe { libc::setsockopt(self.fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, at, size) };
        assert_eq!(result, 0);
    }
}

pub fn message(kind: u16, flags: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&(16 + payload.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&seq.to_ne_bytes());
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// CTRL_CMD_GETFAMILY for the family with nlctrl's id.
pub fn get_nlctrl(seq: u32) -> Vec<u8> {
    message(NLCTRL, REQUEST, seq, &[3, 1, 0, 0, 6, 0, 1, 0, 16, 0, 0, 0])
}

/// CTRL_CMD_GETFAMILY for all.
pub fn dump_families(seq: u32) -> Vec<u8> {
    message(NLCTRL, REQUEST | DUMP, seq, &[3, 1, 0, 0])
}

/// Type, flags and sequence number of the messages in a block.
pub fn heads(block: &[u8]) -> Vec<(u16, u16, u32)> {
    let mut rest = block;
    let mut heads = Vec::new();
    while let Some((head, _)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
        let half = |at: usize| u16::from_ne_bytes(head[at..at + 2].try_into().unwrap());
        heads.push((half(4), half(6), word(8)));
        rest = rest.get((word(0) as usize).next_multiple_of(4)..).unwrap_or(&[]);
    }
    heads
}
