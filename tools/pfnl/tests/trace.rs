//! `pfnl trace`: what a program sends and is given, as text, JSON and a capture that tshark reads.

mod common;

use common::*;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Runs this program's client under `pfnl trace`.
fn trace(options: &[&str]) -> Output {
    let mut command = pfnl();
    command.arg("trace").args(options).arg("--").arg(std::env::current_exe().unwrap());
    command.args(["--exact", "client", "--nocapture", "--test-threads=1"]).env("PFNL_ROLE", "client");
    command.output().unwrap()
}

/// Asks for a family, for one that is not there, for all; talks to another socket, to one that is not there, and
/// nonsense.
#[test]
fn client() {
    if std::env::var_os("PFNL_ROLE").is_none() {
        return;
    }
    let (socket, other) = (Socket::bound(), Socket::bound());
    socket.ask(1);
    socket.recv(8192, 0).unwrap();
    let unknown = message(NLCTRL, REQUEST, 2, &[3, 1, 0, 0, 6, 0, 1, 0, 99, 0, 0, 0]);
    socket.send(&unknown, 0).unwrap();
    socket.recv(8192, 0).unwrap();
    socket.send(&dump_families(3), 0).unwrap();
    while heads(&socket.recv(8192, 0).unwrap()).iter().all(|(kind, ..)| *kind != 3) {}
    socket.send_to(&message(500, 0, 4, &[1, 2, 0, 0, 8, 0, 1, 0, 7, 0, 0, 0]), other.name().0).unwrap();
    assert_eq!(socket.send_to(b"nobody there", 12345), Err(111));
    // Of NETLINK_NETFILTER: all connections, and the statistics.
    let netfilter = Socket::of(libc::SOCK_RAW, libc::NETLINK_NETFILTER).unwrap();
    netfilter.send(&message(0x101, REQUEST | DUMP, 5, &[2, 0, 0, 0]), 0).unwrap();
    netfilter.recv(8192, 0).unwrap();
    netfilter.send(&message(0x105, REQUEST, 6, &[0, 0, 0, 0]), 0).unwrap();
    netfilter.recv(8192, 0).unwrap();
    socket.send(b"abcd", 0).unwrap();
    println!("the program's own words");
}

#[test]
fn text_goes_to_standard_error_and_the_programs_words_stay_clean() {
    let output = trace(&[]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(out.contains("the program's own words") && !out.contains("GETFAMILY"), "{out}");
    for words in [
        " > nlctrl GETFAMILY REQUEST seq 1\n    family_id 16\n",
        " < nlctrl NEWFAMILY seq 1\n    family_name \"nlctrl\"\n    family_id 16\n    version 2\n",
        " < ENOENT (No such file or directory) seq 2\n",
        " > nlctrl GETFAMILY REQUEST|DUMP seq 3\n",
        " < nlctrl NEWFAMILY MULTI seq 3\n    family_name \"ovs_datapath\"\n",
        " < DONE MULTI seq 3\n",
        " family 500 cmd 1 version 2 seq 4\n    [1] 7\n",
        " > could not be sent: ECONNREFUSED (Connection refused)\n",
        " > ctnetlink GET REQUEST|DUMP seq 5\n    family \"ipv4\"\n",
        " < DONE MULTI|DUMP_FILTERED seq 5\n",
        " < ctnetlink GET_STATS MULTI seq 6\n    family \"any\"\n    entries 0\n",
        " > 4 bytes that are no message: 61626364\n",
    ] {
        assert!(err.contains(words), "{words:?} is not in\n{err}");
    }
}

#[test]
fn json_has_an_object_for_each_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace.json");
    let output = trace(&["--json", "--output", path.to_str().unwrap()]);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> =
        fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with_seq = |seq: u64| lines.iter().filter(move |line| line["message"]["seq"] == seq);
    let asked = with_seq(1).next().unwrap();
    assert_eq!((&asked["direction"], &asked["peer"]), (&Value::from("send"), &Value::from(0)));
    assert_eq!(asked["portid"], asked["pid"]);
    assert!(asked["time"].as_f64().unwrap() > 1.7e9);
    let error = &with_seq(2).nth(1).unwrap()["message"];
    assert_eq!((&error["error"]["name"], &error["request"]["type"]), (&"ENOENT".into(), &"nlctrl".into()));
    let names: Vec<_> = with_seq(3)
        .filter_map(|line| {
            line["message"]["attributes"].as_array()?.iter().find(|attr| attr["name"] == "family_name")
        })
        .map(|attr| attr["value"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["nlctrl", "psample", "ovs_datapath"]);
    // Both ends of what one socket sends another.
    let both: Vec<_> = with_seq(4).collect();
    assert_eq!(both.len(), 2);
    assert_eq!((&both[0]["peer"], &both[1]["peer"]), (&both[1]["portid"], &both[0]["portid"]));
    assert!(lines.iter().any(|line| line["failed"] == "ECONNREFUSED"));
    assert!(lines.iter().any(|line| line["rest"] == "61626364"));
}

#[test]
fn tshark_reads_the_capture() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace.pcap");
    assert!(trace(&["--pcap", path.to_str().unwrap()]).status.success());
    let capture = fs::read(&path).unwrap();
    assert_eq!(capture[20..24], 253_u32.to_ne_bytes());
    let fields =
        ["-T", "fields", "-e", "netlink.hdr_seq", "-e", "genl.ctrl.cmd", "-e", "genl.ctrl.family_name"];
    let tshark = Command::new("tshark").arg("-r").arg(&path).args(fields).output();
    let Ok(tshark) = tshark else {
        println!("skipped: no tshark on this machine (apt-get install tshark); the file's header is right");
        return;
    };
    let shown = String::from_utf8_lossy(&tshark.stdout);
    assert!(tshark.status.success(), "{}", String::from_utf8_lossy(&tshark.stderr));
    // The request, and the answer whose name Wireshark has read.
    assert!(shown.starts_with("1\t3\t\n1\t1\tnlctrl\n"), "{shown}");
    assert!(shown.contains("ovs_packet"), "{shown}");
    // Whose messages they are, it has read too.
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-T", "fields", "-e", "_ws.col.Protocol"]);
    let protocols = tshark.output().unwrap();
    let protocols = String::from_utf8_lossy(&protocols.stdout).into_owned();
    assert!(protocols.lines().any(|line| line.contains("netfilter")), "{protocols}");
    assert!(protocols.lines().any(|line| line.contains("generic")), "{protocols}");
}

/// Starts `pfnl trace` at a host's path; what it shows goes to a file.
fn attach(host: &Serve, options: &[&str], file: &Path) -> Child {
    let mut command = pfnl();
    command.arg("trace").arg("--socket").arg(&host.path).arg("-o").arg(file).args(options);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs this program's client at a host.
fn client_at(host: &Serve) -> Child {
    let mut command = host.run();
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "client", "--nocapture", "--test-threads=1"]).env("PFNL_ROLE", "client");
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Waits until so many trace a host.
fn tracers(host: &Serve, count: usize) {
    let line = format!("tracers: {count}\n");
    until("the tracers", || status(&host.path).is_some_and(|status| status.contains(&line)));
}

/// Interrupts a tracer, which ends well.
fn interrupt(mut tracer: Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &tracer.id().to_string()]).status().unwrap().success());
    assert!(tracer.wait().unwrap().success());
}

#[test]
fn a_host_that_runs_is_traced_until_the_tracer_is_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let (all, none) = (directory.path().join("all"), directory.path().join("none"));
    let capture = directory.path().join("trace.pcap");
    let everything = attach(&host, &["--pcap", capture.to_str().unwrap()], &all);
    // Of a process that is no client.
    let nothing = attach(&host, &["--pid", "1"], &none);
    tracers(&host, 2);
    assert!(client_at(&host).wait().unwrap().success());
    let text = || fs::read_to_string(&all).unwrap();
    until("the last message", || text().contains(" < ctnetlink GET_STATS MULTI seq 6\n"));
    for words in [
        " < nlctrl NEWFAMILY seq 1\n    family_name \"nlctrl\"\n",
        " > could not be sent: ECONNREFUSED",
        " > ctnetlink GET REQUEST|DUMP seq 5\n",
    ] {
        assert!(text().contains(words), "{words:?} is not in\n{}", text());
    }
    interrupt(nothing, "-INT");
    tracers(&host, 1);
    interrupt(everything, "-TERM");
    tracers(&host, 0);
    assert_eq!(fs::read_to_string(&none).unwrap(), "");
    assert_eq!(fs::read(&capture).unwrap()[20..24], 253_u32.to_ne_bytes());
}

#[test]
fn a_process_is_told_from_others() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let (file, gate) = (directory.path().join("json"), directory.path().join("gate"));
    // A shell that becomes the client when it may.
    let script = "until [ -e \"$0\" ]; do sleep 0.02; done; exec \"$@\"";
    let mut command = host.run();
    command.args(["sh", "-c", script]).arg(&gate).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "client", "--nocapture", "--test-threads=1"]).env("PFNL_ROLE", "client");
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut pid = String::new();
    until("the shell", || {
        pid = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
        !pid.is_empty()
    });
    let tracer = attach(&host, &["--json", "--pid", &pid], &file);
    tracers(&host, 1);
    assert!(client_at(&host).wait().unwrap().success()); // another
    fs::write(&gate, "").unwrap();
    assert!(child.wait().unwrap().success());
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    until("its last message", || {
        lines().iter().any(|line| line["message"]["seq"] == 6 && line["direction"] == "receive")
    });
    let pid: u32 = pid.parse().unwrap();
    assert!(lines().iter().all(|line| line["pid"] == pid));
    interrupt(tracer, "-INT");
}

#[test]
fn a_trace_ends_with_its_host_and_needs_one() {
    let directory = tempfile::tempdir().unwrap();
    let host = Serve::start(directory.path());
    let file = directory.path().join("trace");
    let tracer = attach(&host, &[], &file);
    tracers(&host, 1);
    let path = host.path.clone();
    drop(host);
    let output = tracer.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("has ended"), "{output:?}");
    let refused = pfnl().args(["trace", "--socket"]).arg(&path).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no pfnl host serves"), "{refused:?}");
    for wrong in [
        &["--socket", "x", "--", "true"][..],
        &["--pid", "1", "--", "true"],
        &["--socket", "x", "--pid", "0"],
    ] {
        assert_eq!(pfnl().arg("trace").args(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn exit_statuses_are_those_of_run() {
    let status = |args: &[&str]| pfnl().arg("trace").args(args).output().unwrap().status.code().unwrap();
    assert_eq!(status(&["--", "sh", "-c", "exit 7"]), 7);
    assert_eq!(status(&["--", "no-such-program-here"]), 127);
    assert_eq!(status(&["--pcap", "/no/such/folder/file", "--", "true"]), 125);
    // A full disk: the program does not suffer, and who traces is told.
    let full = trace(&["-o", "/dev/full"]);
    assert!(full.status.success());
    assert!(String::from_utf8_lossy(&full.stderr).contains("the trace is not complete"), "{full:?}");
}
