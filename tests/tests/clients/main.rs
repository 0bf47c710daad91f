//! Real clients, unmodified, against pfnl; in a sandbox of the machine's own namespaces.

use pfnl_tests::runner::{self, Test};
use std::process::ExitCode;

mod process;

fn main() -> ExitCode {
    let tests: Vec<Test> = [process::TESTS].concat();
    runner::main(&tests)
}
