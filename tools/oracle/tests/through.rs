//! The recording once more, asked by a program under `pfnl run`: preload library, host and real TAP interfaces included.
//!
//! Needs namespaces of its own and /dev/net/tun; says so where it has not.

use pfnl_oracle::{golden, through};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/linux-6.12/generated.jsonl");

#[test]
fn a_program_under_pfnl_run_is_answered_as_by_linux() {
    if let Err(why) = through::possible() {
        eprintln!("skipped: {why:#}");
        return;
    }
    let (head, recorded) = golden::read(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap();
    let programs = through::build().unwrap();
    let report = through::replay(&programs, &head, &recorded, "").unwrap();
    let (equal, total) = report.equal().values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    println!("oracle requests equal through pfnl run {equal}/{total}");
    assert!(total >= 1000, "only {total} requests are recorded");
    let unexplained = report.unexplained();
    let differences = report.differences(&head.families, 3, false);
    assert!(
        unexplained.is_empty(),
        "{} cases differ and nobody knows why:\n{differences}",
        unexplained.len()
    );
}
