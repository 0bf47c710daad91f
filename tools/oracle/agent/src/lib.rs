//! What both kernels are told to do, and what came of it: lines of JSON between the host and the agent in the guest.

use serde::{Deserialize, Serialize};

/// How a socket is opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Its portid, bound explicitly so that it is the same everywhere.
    pub portid: u32,
    /// NETLINK_EXT_ACK.
    #[serde(default)]
    pub extack: bool,
    /// NETLINK_CAP_ACK.
    #[serde(default)]
    pub capped: bool,
    /// NETLINK_GET_STRICT_CHK.
    #[serde(default)]
    pub strict: bool,
    /// SO_RCVBUF, 0 = as it comes.
    #[serde(default)]
    pub rcvbuf: usize,
    /// Groups to join, by number.
    #[serde(default)]
    pub groups: Vec<u32>,
    /// Opened and used by somebody without privileges.
    #[serde(default)]
    pub unprivileged: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Opens a NETLINK_GENERIC socket.
    Open {
        /// Its number among the steps; one that is open is closed first.
        socket: u32,
        /// How.
        options: Options,
    },
    /// Sends a datagram, and with a buffer size reads what there is into buffers of it until there is no more.
    Send {
        /// By which socket.
        socket: u32,
        /// What, in hex.
        tx: String,
        /// Size of the receive buffer, 0 = do not read.
        read: usize,
        /// How often it is sent.
        #[serde(default = "once")]
        times: u32,
    },
    /// Reads what there is, at most so many datagrams.
    Read {
        /// From which socket.
        socket: u32,
        /// Size of the receive buffer.
        size: usize,
        /// How many.
        count: usize,
    },
    /// The names and numbers of all interfaces (guest only).
    Interfaces,
    /// Makes a TAP interface, whose frames are the agent's to write and to read. One of that number is taken away first.
    Tap {
        /// Its number among the steps.
        tap: u32,
        /// Its name.
        name: String,
        /// Its number among the interfaces.
        ifindex: u32,
        /// Whether it leaves checksums and segmentation to who reads its frames.
        offloads: bool,
    },
    /// Lets a TAP interface receive a frame, and reads what all of them then have sent.
    Inject {
        /// Which.
        tap: u32,
        /// `struct virtio_net_hdr` (10 bytes) and the frame, in hex.
        frame: String,
    },
    /// Reads what all TAP interfaces have sent.
    Frames,
    /// Lets time pass.
    Wait {
        /// How many milliseconds.
        ms: u64,
    },
    /// Runs a program in the guest.
    Run {
        /// Its path and arguments.
        argv: Vec<String>,
    },
}

fn once() -> u32 {
    1
}

/// What came of a [`Step`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The errno of the step itself, or of a read (ENOBUFS), 0 = none.
    #[serde(default)]
    pub errno: i32,
    /// Datagrams read, in hex.
    #[serde(default)]
    pub rx: Vec<String>,
    /// Names and numbers, or a program's output.
    #[serde(default)]
    pub text: Vec<String>,
    /// What TAP interfaces sent: which one, and as in [`Step::Inject`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<(u32, String)>,
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Text as bytes; a digit that is none counts as 0.
pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
