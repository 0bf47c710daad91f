//! Real clients, unmodified, against pfnl; in a sandbox of the machine's own namespaces.
//!
//! `cargo xtask test --only clients [NAME…]`, or `cargo test -p pfnl-tests --test clients -- [NAME…]`.

use pfnl_tests::runner::{self, Test};
use std::process::ExitCode;

mod conntrack;
mod dpctl;
mod families;
mod faults;
mod ports;
mod process;
mod soak;
mod traffic;
mod trouble;
mod tunnel;
mod vswitchd;

fn main() -> ExitCode {
    let tests: Vec<Test> = [
        families::TESTS,
        process::TESTS,
        dpctl::TESTS,
        faults::TESTS,
        conntrack::TESTS,
        traffic::TESTS,
        trouble::TESTS,
        soak::TESTS,
        ports::TESTS,
        tunnel::TESTS,
        vswitchd::TESTS,
    ]
    .concat();
    runner::main(&tests)
}
