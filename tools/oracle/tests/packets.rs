//! Compares pfnl with what Linux 6.12 was recorded to do with packets; needs no QEMU.

use pfnl_oracle::packets;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/linux-6.12/packets.jsonl.gz");

#[test]
fn linux_6_12_does_the_same_with_packets() {
    let recording = packets::read(&std::fs::read(GOLDEN).unwrap()).unwrap();
    let report = packets::replay(&recording, "").unwrap();
    println!("Linux {}\n{}\n{}", recording.kernel, report.table(), report.reasons());
    assert!(report.count() >= 2000, "only {} cases are recorded", report.count());
    let unexplained = report.unexplained();
    let differences = report.differences(&recording.families, false);
    assert!(
        unexplained.is_empty(),
        "{} cases differ and nobody knows why:\n{differences}",
        unexplained.len()
    );
    assert!(report.gone().is_empty(), "known differences that are none: {:#?}", report.gone());
}

#[test]
fn a_packet_that_is_otherwise_is_seen() {
    let mut recording = packets::read(&std::fs::read(GOLDEN).unwrap()).unwrap();
    recording.cases.retain(|(case, _)| case.class() == "forward-exact");
    let (case, lines) = &mut recording.cases[0];
    let name = case.name.clone();
    let out = lines.iter_mut().find(|line| line.starts_with("out 2 ")).unwrap();
    // The last digit of what left port 2.
    let last = if out.ends_with('0') { '1' } else { '0' };
    out.pop();
    out.push(last);
    let report = packets::replay(&recording, "forward-exact").unwrap();
    assert_eq!(report.unexplained(), [name]);
}
