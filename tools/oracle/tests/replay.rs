//! Compares pfnl with what Linux 6.12 was recorded to answer to generated requests; needs no QEMU.
//!
//! What is known to be wrong (`BUG` in differences.txt) does not fail this test, but is counted; what differs and stands
//! nowhere does.

use pfnl_oracle::{golden, run};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/linux-6.12/generated.jsonl");

#[test]
fn linux_6_12_answers_the_same() {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let (head, recorded) = golden::read(&text).unwrap();
    let counted =
        recorded.iter().flat_map(|(scenario, _)| &scenario.cases).filter(|case| case.counted).count();
    assert!(counted >= 1000, "only {counted} requests are recorded");

    let report = run::replay(&head, &recorded, "").unwrap();
    println!("Linux {}\n{}\n{}", head.kernel, report.table(), report.reasons());
    println!("bugs that are known: {}", report.bugs());
    let unexplained = report.unexplained();
    let differences = report.differences(&head.families, 3, false);
    assert!(
        unexplained.is_empty(),
        "{} cases differ and nobody knows why:\n{differences}",
        unexplained.len()
    );
}

#[test]
fn what_is_recorded_reads_back() {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let (head, recorded) = golden::read(&text).unwrap();
    assert_eq!(golden::write(&head, &recorded).unwrap(), text);
}

#[test]
fn generated_requests_are_the_same_each_time_and_differ_from_each_other() {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let (head, _) = golden::read(&text).unwrap();
    let made = || pfnl_oracle::generate::all(&head.families);
    let requests = |scenarios: &[pfnl_oracle::generate::Scenario]| -> Vec<_> {
        let cases = scenarios.iter().flat_map(|scenario| &scenario.cases).filter(|case| case.counted);
        // Without the sequence number, which always differs.
        cases.map(|case| (case.socket, case.tx[..8].to_vec(), case.tx[12..].to_vec())).collect()
    };
    let (first, second) = (requests(&made()), requests(&made()));
    assert_eq!(first, second);
    let mut distinct = first;
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() >= 10_000, "{} distinct requests", distinct.len());
}
