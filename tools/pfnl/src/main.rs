//! Run netlink programs against a user-space PF_NETLINK and Open vSwitch datapath.
//!
//! The assembler of the user-space host: it puts a domain, the families and the datapath together
//! ([`assemble`]) and serves them, to whoever comes ([`serve`]) or to one program ([`run`]), whose messages it shows
//! on demand ([`trace`]), as those at a host that runs ([`attach`]).
#![forbid(unsafe_code)]

mod assemble;
mod attach;
mod devices;
mod fault;
mod fuzz;
mod program;
mod run;
mod serve;
mod status;
mod trace;

use clap::{ArgAction, Parser, Subcommand};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Runs Linux generic-netlink programs without a Linux kernel's netlink.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Command {
    /// Says more on standard error; twice for everything. RUST_LOG, if set, decides instead.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Serves netlink sockets until interrupted.
    Serve {
        /// Where clients find it; the default is /run/pfnl.sock for root, $XDG_RUNTIME_DIR/pfnl.sock for others.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// Permissions of the path, in octal.
        #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal)]
        mode: u32,
        /// How many sockets one user may have.
        #[arg(long, value_name = "N", default_value_t = 8192)]
        max_sockets: usize,
    },
    /// Runs a program whose netlink sockets are a host's: a private one, unless a path is given.
    ///
    /// A private host ends with the program; what the program leaves running loses it. For daemons, `pfnl serve` and
    /// `pfnl run --socket`.
    ///
    /// Ends with the program's exit status: 128 + N if signal N ended it, 127 if it is not found, 126 if it cannot be
    /// run or reached, 125 if something else is wrong.
    Run {
        /// Uses the host that serves this path.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// Lets things go wrong by chance, at a private host: enobufs=P, intr=P, drop-reply=P, short-dump=P, eagain=P and
        /// slow=MS, separated by commas. P is how often, as 0.1, 10% or 1/10. docs/FUZZING.md says what each is.
        #[arg(long, value_name = "FAULTS", conflicts_with = "socket")]
        fault: Option<fault::Faults>,
        /// Which chances these are; those of one number are the same each time.
        #[arg(long, value_name = "N", requires = "fault")]
        seed: Option<u64>,
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
        command: Vec<OsString>,
    },
    /// Shows each netlink message that a program sends or is given: of one that it runs as `run` does, at a private host, or
    /// of those at the host of a path, until interrupted.
    ///
    /// A line for each message: seconds, process/portid, > sent or < received, what it is; then its attributes. What is
    /// received is shown when it is queued for the program, which may read it later, or never.
    Trace {
        /// Shows each message as a JSON object on a line of its own.
        #[arg(long)]
        json: bool,
        /// Shows them in a file; else on standard error.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Also writes a capture that Wireshark and tshark read.
        #[arg(long, value_name = "FILE")]
        pcap: Option<PathBuf>,
        /// Shows what passes at the host that serves this path; for its user and root.
        #[arg(long, value_name = "PATH", conflicts_with = "command")]
        socket: Option<PathBuf>,
        /// There, only what a process sends, and what comes for the sockets that it opened.
        #[arg(long, value_name = "PID", requires = "socket", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..))]
        pid: Option<u32>,
        /// The program and its arguments.
        #[arg(
            required_unless_present = "socket",
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "PROGRAM"
        )]
        command: Vec<OsString>,
    },
    /// Sends right, nearly right and wrong requests, by several sockets, and looks whether all are answered as they must be.
    ///
    /// Each case is made from a seed; one that shows something is shrunk, and shown decoded. docs/FUZZING.md says more.
    Fuzz(fuzz::Options),
    /// Shows a host's sockets, families and datapaths.
    Status {
        /// Where the host is, as for serve.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let command = Command::parse();
    log_to_stderr(command.verbose);
    let (result, failure) = match command.action {
        Action::Serve { socket, mode, max_sockets } => (serve::serve(socket, mode, max_sockets), 1),
        Action::Run { fault: Some(faults), seed, command, .. } => {
            (run::with_faults(faults, seed, &command), run::FAILED)
        }
        Action::Run { socket, command, .. } => (run::run(socket, &command), run::FAILED),
        Action::Trace { json, output, pcap, socket, pid, command } => {
            let tracer = trace::Tracer::new(json, output.as_deref(), pcap.as_deref());
            let traced = tracer.and_then(|tracer| match &socket {
                Some(path) => attach::attach(tracer, path, pid),
                None => trace::trace(tracer, &command),
            });
            (traced, run::FAILED)
        }
        Action::Fuzz(options) => (fuzz::fuzz(&options), 1),
        Action::Status { socket } => (status::status(socket), 1),
    };
    result.unwrap_or_else(|error| {
        eprintln!("pfnl: {error:#}");
        ExitCode::from(failure)
    })
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| mode <= 0o777)
        .ok_or_else(|| "not a mode like 600".to_owned())
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
