//! Frames as fast as a processor makes them: BPF_PROG_TEST_RUN with live frames (Documentation/bpf/bpf_prog_run.rst,
//! include/uapi/linux/bpf.h). The program answers XDP_PASS, so every frame enters the host's stack as if received on the
//! interface; a sender on a socket would be slower than the forwarders it is to measure.
//!
//! The one place of this package with `unsafe`: bpf(2) has no safe wrapper without a loader for whole object files.

use anyhow::{Context, Result};
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A source of frames on one interface.
pub struct Generator {
    program: OwnedFd,
    /// The program attached to the interface: only then does the kernel take frames for it.
    _link: OwnedFd,
    ifindex: u32,
}

/// What the program does to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Every other frame: random low bytes of both IPv4 addresses, and random ports.
    Half,
}

const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;
const TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const LIVE_FRAMES: u32 = 1 << 1;
const XDP_PASS: i32 = 2;
/// Helper bpf_get_prandom_u32.
const RANDOM: i32 = 7;

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

#[repr(C)]
#[derive(Default)]
struct Link {
    program: u32,
    ifindex: u32,
    attach: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    pad: u32,
}

impl Generator {
    /// # Errors
    /// Those of bpf(2): `EPERM` without CAP_BPF and CAP_NET_ADMIN, `EINVAL` on a kernel without live frames (before 5.18).
    pub fn new(ifindex: u32, change: Change) -> Result<Generator> {
        let code = match change {
            Change::Nothing => vec![ins(0xb7, 0, 0, 0, XDP_PASS), ins(0x95, 0, 0, 0, 0)],
            Change::Half => half(),
        };
        let mut load = Load {
            kind: TYPE_XDP,
            count: u32::try_from(code.len())?,
            instructions: code.as_ptr().expose_provenance() as u64,
            license: c"Dual BSD/GPL".as_ptr().expose_provenance() as u64,
            ..Load::default()
        };
        let program = fd(bpf(PROG_LOAD, &mut load).context("loading an XDP program")?)?;
        let mut link = Link { program: number(&program), ifindex, attach: ATTACH_XDP, ..Link::default() };
        let link = fd(bpf(LINK_CREATE, &mut link).context("attaching an XDP program")?)?;
        Ok(Generator { program, _link: link, ifindex })
    }

    /// Lets the interface receive a frame `count` times.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn run(&self, frame: &[u8], count: u32) -> Result<()> {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context = [0, u32::try_from(frame.len())?, 0, self.ifindex, 0, 0];
        let mut run = Run {
            program: number(&self.program),
            data_size_in: u32::try_from(frame.len())?,
            data_in: frame.as_ptr().expose_provenance() as u64,
            repeat: count,
            ctx_size_in: size_of_val(&context) as u32,
            ctx_in: context.as_ptr().expose_provenance() as u64,
            flags: LIVE_FRAMES,
            batch: 64,
            ..Run::default()
        };
        bpf(PROG_TEST_RUN, &mut run).context("BPF_PROG_TEST_RUN").map(drop)
    }
}

/// struct bpf_insn.
fn ins(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> u64 {
    let ([c, d], [e, f, g, h]) = (offset.to_ne_bytes(), imm.to_ne_bytes());
    u64::from_ne_bytes([code, dst | src << 4, c, d, e, f, g, h])
}

/// See [`Change::Half`]; the frame is Ethernet, IPv4 without options, UDP.
fn half() -> Vec<u64> {
    vec![
        ins(0xbf, 6, 1, 0, 0),      // r6 = context
        ins(0x85, 0, 0, 0, RANDOM), // r0 = random
        ins(0x61, 2, 6, 0, 0),      // r2 = data
        ins(0x61, 3, 6, 4, 0),      // r3 = data_end
        ins(0xbf, 4, 2, 0, 0),      // r4 = data + 42
        ins(0x07, 4, 0, 0, 42),
        ins(0x2d, 4, 3, 15, 0), // past the end: pass
        ins(0x73, 2, 0, 29, 0), // low byte of the source: restored below for a victim's frame
        ins(0xbf, 5, 0, 0, 0),
        ins(0x77, 5, 0, 0, 8),
        ins(0x73, 2, 5, 33, 0), // low byte of the destination
        ins(0x77, 5, 0, 0, 8),
        ins(0x6b, 2, 5, 34, 0), // source port
        ins(0xbf, 5, 0, 0, 0),
        ins(0x57, 5, 0, 0, 1),
        ins(0x55, 5, 0, 6, 0), // odd: an attacker's, pass
        ins(0xb7, 5, 0, 0, 1),
        ins(0x73, 2, 5, 29, 0), // even: the victim's 10.0.0.1 → 10.0.0.2, port 0x0101
        ins(0xb7, 5, 0, 0, 2),
        ins(0x73, 2, 5, 33, 0),
        ins(0xb7, 5, 0, 0, 0x0101),
        ins(0x6b, 2, 5, 34, 0),
        ins(0xb7, 0, 0, 0, XDP_PASS),
        ins(0x95, 0, 0, 0, 0),
    ]
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> Result<i32> {
    // SAFETY: the kernel reads (and for a run writes) no more than the size given of `attr`, and what it points at, which lives
    // until the caller's end: frames and contexts are only read.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(Error::last_os_error().into()) } else { Ok(i32::try_from(result)?) }
}

fn fd(number: i32) -> Result<OwnedFd> {
    // SAFETY: bpf(2) has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}
