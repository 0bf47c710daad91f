//! The transcript: what a scenario did and what came of it, a line each, without what differs from run to run.
//!
//! Portids are shown by where they come from: `me` is the process id, `P3` the third of the numbers that a scenario
//! may choose (made of the process id, so that runs beside each other do not meet), `auto1` the first one seen that the
//! kernel chose.

use crate::os;
use crate::sys::Outcome;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static PROCESS: AtomicU32 = AtomicU32::new(0);
static CHOSEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Notes whose process id `me` is.
pub fn start() {
    PROCESS.store(std::process::id(), Relaxed);
}

/// A portid of the scenario's choosing; `number` from 1 to 200.
pub fn port(number: u32) -> u32 {
    number << 22 | me()
}

/// The process id at the start.
pub fn me() -> u32 {
    PROCESS.load(Relaxed)
}

/// A portid as text.
pub fn portid(portid: u32) -> String {
    let me = me();
    if portid == 0 {
        return "0".into();
    }
    if portid == me {
        return "me".into();
    }
    if portid & 0x3f_ffff == me && portid >> 22 <= 200 {
        return format!("P{}", portid >> 22);
    }
    if portid >= 1 << 31 {
        let mut chosen = CHOSEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = chosen.iter().position(|&other| other == portid).unwrap_or_else(|| {
            chosen.push(portid);
            chosen.len() - 1
        });
        return format!("auto{}", at + 1);
    }
    format!("{portid}")
}

/// What a call gave, as text.
pub fn outcome<T: std::fmt::Display>(outcome: &Outcome<T>) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(errno) => os::errno_name(*errno),
    }
}

/// `MSG_*` by name.
pub fn flags(flags: i32) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::MSG_OOB, "OOB"),
        (libc::MSG_PEEK, "PEEK"),
        (libc::MSG_TRUNC, "TRUNC"),
        (libc::MSG_CTRUNC, "CTRUNC"),
        (libc::MSG_DONTWAIT, "DONTWAIT"),
        (libc::MSG_EOR, "EOR"),
        (libc::MSG_WAITALL, "WAITALL"),
        (os::MSG_CMSG_CLOEXEC, "CLOEXEC"),
        (libc::MSG_NOSIGNAL, "NOSIGNAL"),
    ];
    let mut names = Vec::new();
    let mut left = flags;
    for (bit, name) in NAMES.iter().filter(|(bit, _)| flags & bit != 0) {
        names.push((*name).to_string());
        left &= !bit;
    }
    if left != 0 {
        names.push(format!("{left:#x}"));
    }
    if names.is_empty() { "-".into() } else { names.join("|") }
}

/// Bytes in hexadecimal, in words of four.
pub fn hex(bytes: &[u8]) -> String {
    let words: Vec<String> =
        bytes.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    words.join(" ")
}

/// A line of the transcript.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { println!($($arg)*) };
}
