//! `pfnl run` and `pfnl serve`: exit statuses, signals, programs that cannot be reached, hosts that die, clients that do.
#![allow(clippy::undocumented_unsafe_blocks, reason = "plain system calls on live local buffers")]

mod common;

use common::*;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn run(program: &[&str]) -> Output {
    pfnl().args(["run", "--"]).args(program).output().unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The roles that this program plays as somebody's client.
const ROLES: &[(&str, fn())] = &[
    ("blocked", blocked),
    ("sends", sends),
    ("dumps", dumps),
    ("holds", holds),
    ("no_host", no_host),
    ("too_many", too_many),
    ("killed_in_calls", killed_in_calls),
    ("without_descriptors", without_descriptors),
];

/// Starts `command` with this program in a role, and waits for its word.
fn role(mut command: Command, name: &str) -> Child {
    let mut child = command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "one_role", "--nocapture", "--test-threads=1"])
        .env("PFNL_ROLE", name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("ready")), "{name} has not come so far");
    child
}

#[test]
fn one_role() {
    let Ok(wanted) = std::env::var("PFNL_ROLE") else { return };
    ROLES.iter().find(|(name, _)| *name == wanted).unwrap().1();
}

fn ready() {
    println!("ready");
    std::io::stdout().flush().unwrap();
}

fn blocked() {
    let socket = Socket::bound();
    ready();
    assert_eq!(socket.recv(100, 0), Err(libc::ECONNREFUSED));
    assert_eq!(socket.recv(100, 0), Err(libc::ECONNREFUSED));
    assert_eq!(socket.recv(100, libc::MSG_DONTWAIT), Err(libc::ECONNREFUSED));
    // Who reads until there is nothing more comes to an end.
    assert_eq!(socket.recv(100, libc::MSG_DONTWAIT), Err(libc::EAGAIN));
    assert_eq!(socket.send(&get_nlctrl(1), 0), Err(libc::ECONNREFUSED));
    assert_eq!(socket.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1), Err(libc::ECONNREFUSED));
    assert_eq!(Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC).unwrap_err(), libc::ECONNREFUSED);
    assert_eq!(socket.name().0, std::process::id());
}

fn sends() {
    let socket = Socket::bound();
    ready();
    // The host is stopped, then killed: this has been handed over, and is never answered.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(socket.send(&get_nlctrl(1), 0), Err(libc::ECONNREFUSED));
}

fn dumps() {
    let socket = Socket::bound();
    socket.send(&dump_families(1), 0).unwrap();
    socket.recv(64, 0).unwrap();
    ready();
    std::thread::sleep(Duration::from_secs(60));
}

fn holds() {
    let sockets: Vec<_> = (0..3).map(|_| Socket::bound()).collect();
    ready();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    drop(sockets);
}

fn no_host() {
    assert_eq!(Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC).unwrap_err(), libc::ECONNREFUSED);
    ready();
}

fn too_many() {
    let mut sockets: Vec<_> = (0..5).map(|_| Socket::bound()).collect();
    let open = || Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC);
    assert_eq!(open().unwrap_err(), libc::ENFILE);
    sockets.pop();
    until("there is room again", || open().is_ok());
    ready();
}

fn killed_in_calls() {
    let socket = Socket::bound();
    socket.ask(1);
    let host: i32 = std::env::var("HOST_PID").unwrap().parse().unwrap();
    let signal = |pid: i32, signal: i32| assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    signal(host, libc::SIGSTOP);
    // More than a page has slots: all are taken by processes that die in their calls, and stay zombies.
    let children: Vec<_> = (0..10)
        .map(|_| match unsafe { libc::fork() } {
            0 => {
                let _ = socket.send(&get_nlctrl(2), 0);
                unsafe { libc::_exit(0) }
            }
            pid => pid,
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    children.iter().for_each(|&child| signal(child, libc::SIGKILL));
    std::thread::sleep(Duration::from_millis(50));
    signal(host, libc::SIGCONT);
    let start = Instant::now();
    socket.ask(3);
    assert!(start.elapsed() < Duration::from_secs(5));
    let mut last = Vec::new();
    while let Ok(block) = socket.now() {
        last = heads(&block);
    }
    assert_eq!(last[0].2, 3);
    ready();
}

fn without_descriptors() {
    let mut sockets = Vec::new();
    let errno = loop {
        match Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC) {
            Ok(socket) => sockets.push(socket),
            Err(errno) => break errno,
        }
        assert!(sockets.len() < 100);
    };
    assert!([libc::ECONNREFUSED, libc::EMFILE, libc::EIO].contains(&errno), "{errno}");
    sockets[0].ask(1);
    assert!(sockets[0].now().is_ok(), "the others go on");
    sockets.truncate(2);
    until("there is room again", || Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC).is_ok());
    ready();
}

#[test]
fn limits_refuse_and_do_not_hang() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.sock");
    let serve = |command: &mut Command| {
        let child = command.arg("--socket").arg(&path).stderr(Stdio::null()).spawn().unwrap();
        let host = Serve { child, path: path.clone() };
        until("the host answers", || status(&path).is_some());
        host
    };
    let host = serve(pfnl().args(["serve", "--max-sockets", "5"]));
    assert!(role(host.run(), "too_many").wait().unwrap().success());
    drop(host);
    let program = pfnl().get_program().to_owned();
    let script = "ulimit -n 40; exec \"$0\" serve \"$@\"";
    let host = serve(Command::new("sh").args(["-c", script]).arg(program));
    assert!(role(host.run(), "without_descriptors").wait().unwrap().success());
}

#[test]
fn exit_status_is_the_programs() {
    assert_eq!(run(&["true"]).status.code(), Some(0));
    assert_eq!(run(&["sh", "-c", "exit 42"]).status.code(), Some(42));
    assert_eq!(run(&["sh", "-c", "kill -KILL $$"]).status.code(), Some(137));
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).status.code(), Some(143));
    assert_eq!(words(&run(&["echo", "-n", "--socket"]).stdout), "--socket");
    let output = run(&["no-such-program"]);
    assert_eq!(output.status.code(), Some(127));
    assert_eq!(words(&output.stderr), "pfnl: no-such-program: not found\n");
    let output = run(&["/etc/passwd"]);
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(words(&output.stderr), "pfnl: /etc/passwd: permission denied\n");
}

#[test]
fn the_environment_names_host_and_library() {
    let output = pfnl()
        .args([
            "run",
            "sh",
            "-c",
            "echo $PFNL_SOCKET; echo $LD_PRELOAD; stat -c %a $(dirname $PFNL_SOCKET) $PFNL_SOCKET",
        ])
        .env("LD_PRELOAD", "/nonexistent/first.so")
        .output()
        .unwrap();
    let lines = words(&output.stdout);
    let lines: Vec<_> = lines.lines().collect();
    let [socket, preload, directory_mode, mode] = lines[..] else { panic!("{lines:?}") };
    assert!(preload.starts_with("/nonexistent/first.so:/") && preload.ends_with("/libpfnl_preload.so"));
    assert_eq!((directory_mode, mode), ("700", "600"));
    assert!(!Path::new(socket).parent().unwrap().exists(), "the directory is removed");
}

#[test]
fn signals_are_passed_on_and_the_directory_goes() {
    for (signal, ignored) in
        [(libc::SIGTERM, false), (libc::SIGINT, false), (libc::SIGHUP, false), (libc::SIGTERM, true)]
    {
        let trap = if ignored { "trap 'exit 9' TERM;" } else { "" };
        let script = format!("{trap} echo $PFNL_SOCKET; while :; do sleep 0.05; done");
        let mut child = pfnl().args(["run", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let directory = Path::new(line.trim_end()).parent().unwrap().to_owned();
        assert!(directory.exists());
        assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(if ignored { 9 } else { 128 + signal }));
        assert!(!directory.exists());
    }
}

#[test]
fn programs_that_cannot_be_reached() {
    let directory = tempfile::tempdir().unwrap();
    let patched = |name: &str, patch: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read("/bin/true").unwrap();
        patch(&mut bytes);
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let refused = |path: &Path, what: &str| {
        let output = run(&[path.to_str().unwrap()]);
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(126), "{said}");
        assert!(said.contains(what) && said.lines().count() == 1, "{said}");
    };
    // Without a program header that names the loader, a program is static.
    let fixed = patched("static", &|bytes| {
        let at = usize::try_from(u64::from_ne_bytes(bytes[32..40].try_into().unwrap())).unwrap();
        let count = u16::from_ne_bytes(bytes[56..58].try_into().unwrap());
        for index in 0..usize::from(count) {
            let kind = &mut bytes[at + index * 56..][..4];
            if kind == [3, 0, 0, 0] {
                kind.fill(0);
            }
        }
    });
    refused(&fixed, "is statically linked: LD_PRELOAD cannot reach it");
    refused(&patched("other", &|bytes| bytes[18] = 0xf3), "another processor");
    refused(&patched("broken", &|bytes| bytes.truncate(100)), "broken");
    let script = directory.path().join("script");
    fs::write(&script, format!("#!{}\n", fixed.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    refused(&script, "statically linked");
    // setuid to somebody else: only root can make such a file.
    if unsafe { libc::geteuid() } == 0 {
        let setuid = patched("setuid", &|_| {});
        std::os::unix::fs::chown(&setuid, Some(1), None).unwrap();
        fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).unwrap();
        refused(&setuid, "is setuid");
    } else {
        println!("skipped: setuid (needs root)");
    }
}

#[test]
fn one_host_on_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let second = pfnl().args(["serve", "--socket"]).arg(&host.path).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(words(&second.stderr), format!("pfnl: another pfnl host serves {}\n", host.path.display()));
    // A host that was killed leaves its files; the next one takes them over.
    host.signal(libc::SIGKILL);
    drop(host);
    assert!(directory.path().join("host.sock").exists());
    let output =
        pfnl().args(["status", "--socket"]).arg(directory.path().join("host.sock")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output.stderr).contains("start one with `pfnl serve"), "{output:?}");
    let mut host = Serve::start(directory.path());
    assert_eq!(fs::metadata(&host.path).unwrap().permissions().mode() & 0o777, 0o600);
    host.signal(libc::SIGTERM);
    assert_eq!(host.child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "it leaves nothing behind");
    fs::write(directory.path().join("host.sock"), "precious").unwrap();
    let output = pfnl().args(["serve", "--socket"]).arg(directory.path().join("host.sock")).output().unwrap();
    assert!(words(&output.stderr).contains("exists and is not a socket"));
    let output = pfnl().args(["serve", "--socket", &"/x".repeat(100)]).output().unwrap();
    assert!(words(&output.stderr).contains("too long"), "{output:?}");
}

#[test]
fn the_host_is_killed_under_its_clients() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let mut client = role(host.run(), "blocked");
    std::thread::sleep(Duration::from_millis(50));
    host.signal(libc::SIGKILL);
    let start = Instant::now();
    assert!(client.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(host);

    let host = Serve::start(directory.path());
    let mut client = role(host.run(), "sends");
    host.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(300));
    assert!(client.try_wait().unwrap().is_none(), "a send waits for a host that is busy");
    host.signal(libc::SIGKILL);
    assert!(client.wait().unwrap().success());
}

#[test]
fn clients_are_killed_and_the_host_stays() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let mut run = host.run();
    let mut client = role(
        {
            run.env("PFNL_DEBUG", "1");
            run
        },
        "dumps",
    );
    assert!(status(&host.path).unwrap().contains("sockets: 1\n"));
    // The program, not `pfnl run`: its only child.
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", client.id())).unwrap();
    let program: i32 = children.trim().parse().unwrap();
    assert_eq!(unsafe { libc::kill(program, libc::SIGKILL) }, 0);
    assert_eq!(client.wait().unwrap().code(), Some(137));
    until("the socket is gone", || status(&host.path).unwrap().contains("sockets: 0\n"));
    let output = host.run().args(["genl", "ctrl", "list"]).output();
    assert!(output.is_ok_and(|output| words(&output.stdout).contains("nlctrl")));
}

#[test]
fn processes_that_share_a_socket_are_killed_in_calls() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let mut run = host.run();
    run.env("HOST_PID", host.child.id().to_string());
    assert!(role(run, "killed_in_calls").wait().unwrap().success());
}

#[test]
fn status_shows_the_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let mut run = host.run();
    run.stdin(Stdio::piped());
    let mut client = role(run, "holds");
    let text = status(&host.path).unwrap();
    assert!(text.contains("sockets: 3\n") && text.contains("families: nlctrl (16)"), "{text}");
    let lines: Vec<_> = text.lines().filter(|line| line.contains(" 16 ")).collect();
    assert_eq!(lines.len(), 3, "{text}");
    drop(client.stdin.take());
    assert!(client.wait().unwrap().success());
    until("the sockets are gone", || status(&host.path).unwrap().contains("sockets: 0\n"));
}

#[test]
fn without_a_host_sockets_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nobody.sock");
    let output = pfnl().args(["run", "--socket"]).arg(&nowhere).arg("true").output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(words(&output.stderr).contains("no pfnl host serves"), "{output:?}");
    // The library alone says so too, if it is asked.
    let library = Path::new(env!("CARGO_BIN_EXE_pfnl")).with_file_name("libpfnl_preload.so");
    drop(pfnl()); // builds it
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_role", "--nocapture"])
        .env("PFNL_ROLE", "no_host")
        .env("PFNL_DEBUG", "1")
        .env("PFNL_SOCKET", &nowhere)
        .env("LD_PRELOAD", library)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(words(&output.stderr).contains("pfnl-preload: cannot reach the host"), "{output:?}");
}

#[test]
fn garbage_does_not_hurt_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let mut random = 0x9e37_79b9_u32;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random
    };
    for round in 0..300 {
        let socket = connect(&host.path);
        let mut hello = [0_u32; 8];
        hello[..7].copy_from_slice(&[0x6c6e_6670, 1, u32::MAX, 0, 1, 3, 16]);
        if round % 2 == 0 {
            send_words(&socket, &hello, 0);
        }
        for _ in 0..20 {
            let mut words = hello;
            words[1] = [1, 2, 3, 4, 5, 16, 17, 18, 19, next()][next() as usize % 10];
            words[2..].fill_with(&mut next);
            if next() % 3 == 0 {
                words[2] %= 9;
            }
            if next() % 50 == 0 {
                words[0] = next();
            }
            send_words(&socket, &words, next() as usize % 3000);
        }
    }
    until("all are gone", || status(&host.path).unwrap().contains("sockets: 0\n"));
    let descriptors = fs::read_dir(format!("/proc/{}/fd", host.child.id())).unwrap().count();
    assert!(descriptors < 40, "{descriptors} descriptors");
}

fn connect(path: &Path) -> Socket {
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = 1;
        for (place, &byte) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
            *place = byte.cast_signed();
        }
        let size = size_of::<libc::sockaddr_un>() as u32;
        assert_eq!(libc::connect(fd, (&raw const address).cast(), size), 0);
        Socket(OwnedFd::from_raw_fd(fd))
    }
}

fn send_words(socket: &Socket, words: &[u32; 8], extra: usize) {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.resize(32 + extra, 0x5a);
    // Refused by a host that has had enough: as good as taken.
    let _ = socket.send(&bytes, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
}
