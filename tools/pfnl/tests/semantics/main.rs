//! The semantics of a netlink socket: the same cases, in the same binary, on the kernel's own AF_NETLINK and on a pfnl
//! host behind the preload library.
//!
//! A case is a function; each runs in a process of its own, started by `cases_on_the_kernel` as it is and by
//! `cases_under_pfnl` with `pfnl run` before it. A case can also be run by hand:
//! `PFNL_CASE=peek_and_trunc pfnl run -- target/debug/deps/semantics-… --exact one_case`.
#![allow(clippy::undocumented_unsafe_blocks, reason = "plain system calls on live local buffers")]

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod receiving;
mod sending;
mod sharing;

use common::*;
use std::process::{Command, Stdio};

const CASES: &[(&str, fn())] = &[
    ("names", addresses::names),
    ("identity", addresses::identity),
    ("bind_and_connect_errors", addresses::bind_and_connect_errors),
    ("peek_and_trunc", receiving::peek_and_trunc),
    ("recvmsg_fills_name_and_control", receiving::recvmsg_fills_name_and_control),
    ("duplicates", sharing::duplicates),
    ("readiness", receiving::readiness),
    ("inherited_through_exec", sharing::inherited_through_exec),
    ("passed_in_a_message", sharing::passed_in_a_message),
    ("send_errors", sending::send_errors),
    ("waiting", receiving::waiting),
    ("many_at_a_time", receiving::many_at_a_time),
    ("vectors_and_files", receiving::vectors_and_files),
    ("dump_in_small_reads", receiving::dump_in_small_reads),
    ("hundred_sockets", sending::hundred_sockets),
    ("threads_share_a_socket", sending::threads_share_a_socket),
    ("sockets_talk_to_each_other", sending::sockets_talk_to_each_other),
    ("more_than_the_connection_takes", sending::more_than_the_connection_takes),
    ("senders_wait_for_readers", sending::senders_wait_for_readers),
    ("not_for_netlink", addresses::not_for_netlink),
    ("stale_descriptors", sharing::stale_descriptors),
    ("children_close_theirs", sharing::children_close_theirs),
    ("other_protocols_are_the_kernels", addresses::other_protocols_are_the_kernels),
    ("groups", addresses::groups),
    ("overflow", receiving::overflow),
    ("buffer_sizes", addresses::buffer_sizes),
    ("forked_child_shares", sharing::forked_child_shares),
    ("privileges_are_the_callers", sharing::privileges_are_the_callers),
];

fn run_cases(command: impl Fn() -> Command) {
    let mut failed = Vec::new();
    for (name, _) in CASES {
        let output = command()
            .args(["--exact", "one_case", "--nocapture", "--test-threads=1"])
            .env("PFNL_CASE", name)
            .env("PFNL_DEBUG", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !output.status.success() {
            let words =
                [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
            failed.push(format!("{name}: {}\n{}", output.status, words.concat()));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), CASES.len(), failed.join("\n"));
}

#[test]
fn cases_under_pfnl() {
    run_cases(|| {
        let mut run = pfnl();
        run.args(["run", "--"]).arg(std::env::current_exe().unwrap());
        run
    });
}

#[test]
fn cases_on_the_kernel() {
    if Socket::of(libc::SOCK_RAW, libc::NETLINK_GENERIC).is_err() {
        println!("skipped: this kernel has no generic netlink");
        return;
    }
    run_cases(|| Command::new(std::env::current_exe().unwrap()));
}

/// Runs the case that the environment names; nothing without one.
#[test]
fn one_case() {
    let Ok(wanted) = std::env::var("PFNL_CASE") else { return };
    if let Some(fd) = wanted.strip_prefix("child:") {
        return sharing::child(fd.parse().unwrap());
    }
    let (_, case) = CASES.iter().find(|(name, _)| *name == wanted).unwrap();
    case();
}

/// Whether a pfnl host is what is being looked at.
fn under_pfnl() -> bool {
    std::env::var_os("PFNL_SOCKET").is_some()
}
