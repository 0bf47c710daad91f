//! A small client of the Open vSwitch families: what a test on FreeBSD calls where there is no ovs-dpctl, and what asks
//! as ovs-dpctl never would.
//!
//! It speaks to the kernel's own netlink on Linux (and to pfnl, under `pfnl run`), and to pfnl.ko on FreeBSD.
#![expect(clippy::print_stdout, reason = "a command")]

mod client;
mod commands;
mod conntrack;
mod sock;
mod storm;

use std::process::ExitCode;

const USAGE: &str = "usage: dpctl COMMAND
  add-dp DP | del-dp DP | del-dps | show           datapaths and their ports
  add-if DP NAME [internal|vxlan|gre|geneve]       ports
  del-if DP NAME
  add-flow DP FLOW ACTIONS | del-flows DP          as ovs-dpctl takes them
  dump-flows DP
  execute DP HEX ACTIONS                           sends a packet through actions
  learn DP [SECONDS]                               takes upcalls: floods, and sets up flows
  sink DP [SECONDS]                                asks for upcalls and reads none
  watch [SECONDS]                                  says which ports come and go
  connections | flush-connections                  tracked ones, by NETLINK_NETFILTER
  watch-connections SECONDS                        says which come and go
  hold-dump DP SECONDS                             leaves a dump half read
  storm DP SEED COUNT                              malformed requests";

fn main() -> ExitCode {
    sock::end_with_reader();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match commands::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dpctl: {error}");
            ExitCode::FAILURE
        }
    }
}
