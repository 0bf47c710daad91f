//! The agent: PID 1 of the guest. Does [`Step`]s that come as lines on its first argument (a virtio-serial port), on
//! real sockets, and answers each with an [`Outcome`]. Given `-`, it is a client of whatever its sockets lead to, on its
//! standard input and output.
//!
//! Steps of unprivileged sockets go on to a second agent, which runs as nobody and speaks the same on its standard
//! input and output.

use netlink_sys::{Socket, SocketAddr};
use pfnl_oracle_agent::{Options, Outcome, Step, hex, unhex};
use pfnl_rawio::{Tap, VnetHeader};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NETLINK_GENERIC: isize = 16;
const MSG_DONTWAIT: i32 = 0x40;
const EAGAIN: i32 = 11;
const NOBODY: u32 = 65534;
/// More than the longest frame and its header.
const FRAME_MAX: usize = 1 << 17;

thread_local! {
    /// What is read goes here first: fresh memory is dear where a processor is emulated.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_default();
    if path == "nobody" {
        return serve(BufReader::new(io::stdin()), io::stdout(), None);
    }
    let nobody = Command::new("/proc/self/exe")
        .arg("nobody")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if path == "-" {
        return serve(BufReader::new(io::stdin()), io::stdout(), Some(nobody));
    }
    let port = File::options().read(true).write(true).open(path)?;
    serve(BufReader::new(port.try_clone()?), port, Some(nobody))
}

/// Does a line's step, and writes its outcome's line, until there are no more.
fn serve(input: impl BufRead, mut output: impl Write, nobody: Option<Child>) -> io::Result<()> {
    let mut agent = Agent {
        sockets: BTreeMap::new(),
        taps: BTreeMap::new(),
        theirs: Vec::new(),
        nobody: nobody.map(Nobody::new),
    };
    for line in input.lines() {
        let line = line?;
        let outcome = match serde_json::from_str::<Step>(&line) {
            Ok(step) => agent.forward(&step, &line).unwrap_or_else(|| agent.perform(&step)),
            Err(error) => failed(&io::Error::other(error)),
        };
        let mut reply = serde_json::to_string(&outcome)?;
        reply.push('\n');
        output.write_all(reply.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

struct Agent {
    sockets: BTreeMap<u32, Socket>,
    taps: BTreeMap<u32, Tap>,
    /// Sockets that are nobody's.
    theirs: Vec<u32>,
    nobody: Option<Nobody>,
}

struct Nobody {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Nobody {
    fn new(mut child: Child) -> Nobody {
        let output = child.stdout.take().expect("piped");
        Nobody { child, output: BufReader::new(output) }
    }

    fn ask(&mut self, line: &str) -> io::Result<Outcome> {
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{line}")?;
        input.flush()?;
        let mut reply = String::new();
        self.output.read_line(&mut reply)?;
        serde_json::from_str(&reply).map_err(io::Error::other)
    }
}

fn failed(error: &io::Error) -> Outcome {
    Outcome { errno: error.raw_os_error().unwrap_or(-1), text: vec![error.to_string()], ..Outcome::default() }
}

impl Agent {
    /// The outcome of a step that is nobody's to do; `None` if it is ours.
    fn forward(&mut self, step: &Step, line: &str) -> Option<Outcome> {
        let nobody = self.nobody.as_mut()?;
        match step {
            Step::Open { socket, options } => {
                self.theirs.retain(|theirs| theirs != socket);
                if !options.unprivileged {
                    return None;
                }
                self.theirs.push(*socket);
            }
            Step::Send { socket, .. } | Step::Read { socket, .. } if self.theirs.contains(socket) => {}
            _ => return None,
        }
        Some(nobody.ask(line).unwrap_or_else(|error| failed(&error)))
    }

    fn perform(&mut self, step: &Step) -> Outcome {
        let done = match step {
            Step::Open { socket, options } => self.open(*socket, options).map(|()| Outcome::default()),
            Step::Send { socket, tx, read, times } => self.socket(*socket).and_then(|socket| {
                let tx = unhex(tx);
                (0..*times).try_for_each(|_| socket.send(&tx, 0).map(|_| ()))?;
                Ok(if *read > 0 { drain(socket, *read, usize::MAX) } else { Outcome::default() })
            }),
            Step::Read { socket, size, count } => {
                self.socket(*socket).map(|socket| drain(socket, *size, *count))
            }
            Step::Interfaces => interfaces(),
            Step::Tap { tap, name, ifindex, offloads } => {
                self.tap(*tap, name, *ifindex, *offloads).map(|()| Outcome::default())
            }
            Step::Inject { tap, frame } => self.inject(*tap, &unhex(frame)).map(|()| self.frames()),
            Step::Frames => Ok(self.frames()),
            Step::Wait { ms } => {
                std::thread::sleep(Duration::from_millis(*ms));
                Ok(Outcome::default())
            }
            Step::Run { argv } => run(argv),
        };
        done.unwrap_or_else(|error| failed(&error))
    }

    fn socket(&self, number: u32) -> io::Result<&Socket> {
        self.sockets.get(&number).ok_or_else(|| io::Error::other("no such socket"))
    }

    fn tap(&mut self, number: u32, name: &str, ifindex: u32, offloads: bool) -> io::Result<()> {
        self.taps.remove(&number);
        let tap = Tap::create(name, Some(ifindex))?;
        if !offloads {
            tap.leave_nothing()?;
        }
        self.taps.insert(number, tap);
        Ok(())
    }

    /// The kernel handles a frame, and queues what comes of it on other TAPs, before the write returns.
    fn inject(&self, tap: u32, bytes: &[u8]) -> io::Result<()> {
        let tap = self.taps.get(&tap).ok_or_else(|| io::Error::other("no such TAP"))?;
        let (header, frame) =
            bytes.split_first_chunk().ok_or_else(|| io::Error::other("a frame without a header"))?;
        tap.send(&VnetHeader::decode(header), frame)
    }

    fn frames(&self) -> Outcome {
        let mut outcome = Outcome::default();
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < FRAME_MAX {
                buffer.resize(FRAME_MAX, 0);
            }
            for (number, tap) in &self.taps {
                while let Ok(frame) = tap.recv(buffer) {
                    let end = frame.start + frame.len;
                    let bytes = [&frame.header.encode(), &buffer[frame.start..end]].concat();
                    outcome.frames.push((*number, hex(&bytes)));
                }
            }
        });
        outcome
    }

    fn open(&mut self, number: u32, options: &Options) -> io::Result<()> {
        self.sockets.remove(&number);
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind(&SocketAddr::new(options.portid, 0))?;
        socket.set_ext_ack(options.extack)?;
        socket.set_cap_ack(options.capped)?;
        if options.strict {
            socket.set_netlink_get_strict_chk(true)?;
        }
        if options.rcvbuf > 0 {
            let size = i32::try_from(options.rcvbuf).map_err(io::Error::other)?;
            socket.set_rx_buf_sz(size)?;
        }
        options.groups.iter().try_for_each(|&group| socket.add_membership(group))?;
        self.sockets.insert(number, socket);
        Ok(())
    }
}

/// Reads until there is no more. Requests are handled and answered when their send returns, so there is nothing to wait
/// for; a dump goes on as it is read.
fn drain(socket: &Socket, size: usize, count: usize) -> Outcome {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let mut outcome = Outcome::default();
        while outcome.rx.len() < count {
            match socket.recv(&mut &mut buffer[..size], MSG_DONTWAIT) {
                Ok(len) => outcome.rx.push(hex(&buffer[..len])),
                Err(error) if error.raw_os_error() == Some(EAGAIN) => break,
                Err(error) => {
                    outcome.errno = error.raw_os_error().unwrap_or(-1);
                    break;
                }
            }
        }
        outcome
    })
}

fn interfaces() -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    for entry in std::fs::read_dir("/sys/class/net")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Ok(number) = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")) {
            outcome.text.push(format!("{name} {}", number.trim()));
        }
    }
    outcome.text.sort();
    Ok(outcome)
}

fn run(argv: &[String]) -> io::Result<Outcome> {
    let (program, arguments) = argv.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let output = Command::new(program).args(arguments).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Outcome {
        errno: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&text).lines().map(str::to_owned).collect(),
        ..Outcome::default()
    })
}
