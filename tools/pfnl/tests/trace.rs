//! `pfnl trace`: what a program sends and is given, as text, JSON and a capture that tshark reads.

mod common;

use common::*;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

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
