//! Network namespaces for tests, without names: each lives as long as the thread or the child it belongs to, and so
//! is gone whatever becomes of the test.

use nix::sched::{CloneFlags, setns, unshare};
use pfnl_rawio::{Links, PacketSocket, Received, Tap};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a test on a thread of its own in a fresh network namespace, or says why not.
pub fn in_namespace(name: &'static str, test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => test(),
        Err(error) => println!("skipped {name}: no network namespace: {error}"),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The first frame received that `is_it`, if it comes soon.
pub fn find_frame(tap: &PacketSocket, is_it: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let (mut buffer, mut got) = (vec![0; 70_000], [Received::default()]);
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        match tap.recv(&mut [&mut buffer], &mut got) {
            Ok(_) if is_it(&buffer[got[0].start..][..got[0].len]) => {
                return Some(buffer[got[0].start..][..got[0].len].to_vec());
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    None
}

/// Whether TAP interfaces may be made here; says so if not.
pub fn has_taps(name: &str) -> bool {
    let probe = Tap::create("pfnl-probe", None);
    if let Err(error) = &probe {
        println!("skipped {name}: no TAP interface: {error}");
    }
    probe.is_ok()
}

/// Runs a command in the calling thread's namespace, which must succeed.
pub fn sh(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().expect("sh");
    assert!(status.success(), "{command}: {status}");
}

/// Waits until something is so; not for ever.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A namespace held by a child process that ends with us.
pub struct Namespace {
    child: Child,
    _stdin: ChildStdin,
}

impl Namespace {
    pub fn new() -> Namespace {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux)");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let stdin = child.stdin.take().unwrap();
        Namespace { child, _stdin: stdin }
    }

    /// A namespace whose `eth0` is the peer of `port` in the calling thread's.
    pub fn beside(port: &str, number: u8) -> Namespace {
        let namespace = Namespace::new();
        sh(&format!("ip link add {port} type veth peer name eth0 netns {}", namespace.child.id()));
        sh(&format!("ip link set {port} addrgenmode none up"));
        namespace.sh(&format!(
            "ip addr add 10.9.9.{number}/24 dev eth0 && ip addr add fd09::{number}/64 nodad dev eth0 &&
             ip link set eth0 up"
        ));
        namespace
    }

    /// Takes an interface over from the calling thread's namespace.
    pub fn adopt(&self, name: &str) {
        sh(&format!("ip link set {name} netns {}", self.child.id()));
    }

    /// Starts a command inside, to be killed when the handle is dropped. It may not start children of its own.
    pub fn start(&self, command: &str) -> Running {
        Running(self.command(command).spawn().expect("nsenter"))
    }

    pub fn command(&self, command: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.child.id().to_string(), "--net"]);
        // What is started ends with the test, even one that is killed.
        nsenter.args(["setpriv", "--pdeathsig", "KILL", "sh", "-c", command]);
        nsenter
    }

    /// Runs a command inside and gives what it printed; it must succeed.
    pub fn sh(&self, command: &str) -> String {
        let Output { status, stdout, stderr } = self.command(command).output().expect("nsenter");
        let text = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{command}: {status}\n{text}{}", String::from_utf8_lossy(&stderr));
        text
    }

    /// Runs `f` on a thread inside.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        let inside = || {
            setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            f()
        };
        std::thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|p| std::panic::resume_unwind(p))
    }

    /// A socket on the namespace's `eth0`.
    pub fn tap(&self) -> PacketSocket {
        self.run(|| {
            let link = Links::open().unwrap().by_name("eth0").unwrap();
            PacketSocket::open(link.ifindex).unwrap()
        })
    }

    /// Pings, all of which must be answered.
    pub fn ping(&self, options: &str) {
        let printed = self.sh(&format!("ping -q -W 2 {options}"));
        assert!(printed.contains(" 0% packet loss"), "{options}: {printed}");
    }

    /// One TCP stream of `seconds` to an iperf3 server elsewhere; Gbit/s.
    pub fn iperf3(&self, server: &Namespace, options: &str, seconds: u8) -> f64 {
        let _server = server.start("exec iperf3 -s -1 >/dev/null");
        server.sh(
            "for i in $(seq 100); do ss -Hltn sport = 5201 | grep -q . && exit; sleep 0.02; done; exit 1",
        );
        let report = self.sh(&format!("timeout 30 iperf3 -J -t {seconds} {options}"));
        let received = report.split("\"sum_received\"").nth(1).expect(&report);
        let rate =
            received.split("\"bits_per_second\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        rate.and_then(|rate| rate.trim().parse::<f64>().ok()).expect(&report) / 1e9
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Our own child, by its number.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs in a namespace.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
