//! Against tests/golden/odp: what ovs-dpctl printed of what Linux sent, and texts of our own.

use pfnl_odp::{Ports, parse_actions, parse_flow, print_actions, print_flow};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
#[cfg(target_endian = "little")]
fn flows_are_printed_as_ovs_dpctl_prints_them() {
    let mut lines = lines(include_str!("../../../tests/golden/odp/dumped.txt"));
    let mut flows = 0;
    while let Some(words) = lines.next() {
        let (flow_text, actions_text) = (lines.next().unwrap(), lines.next().unwrap());
        let [mode, names, key, mask, actions] = words.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{words}");
        };
        let ports: Ports = names
            .split(',')
            .filter_map(|pair| pair.split_once(':'))
            .map(|(number, name)| (number.parse().unwrap(), name.to_string()))
            .collect();
        let (key, mask, actions) = (unhex(key), unhex(mask), unhex(actions));
        assert_eq!(print_flow(&key, Some(&mask), &ports, mode == "verbose"), flow_text);
        assert_eq!(print_actions(&actions, &ports), actions_text);
        // And back: what is shown means the same.
        let again = parse_flow(flow_text, &ports).unwrap_or_else(|error| panic!("{flow_text}: {error}"));
        assert_eq!(print_flow(&again.key, Some(&again.mask), &ports, mode == "verbose"), flow_text);
        let again =
            parse_actions(actions_text, &ports).unwrap_or_else(|error| panic!("{actions_text}: {error}"));
        assert_eq!(print_actions(&again, &ports), actions_text);
        flows += 1;
    }
    assert!(flows > 80, "{flows}");
}

#[test]
#[cfg(target_endian = "little")]
fn texts_give_their_attributes_or_their_complaint() {
    let ports = Ports::from_iter([(7, "eth0".to_string())]);
    let mut texts = 0;
    for line in lines(include_str!("../../../tests/golden/odp/texts.txt")) {
        let (kind, rest) = line.split_once(' ').unwrap();
        let (text, expected) = rest.split_once(" => ").unwrap();
        let result = match kind {
            "flow" => parse_flow(text, &ports).map(|flow| format!("{} {}", hex(&flow.key), hex(&flow.mask))),
            "actions" => parse_actions(text, &ports).map(|actions| hex(&actions)),
            _ => panic!("{line}"),
        };
        let result = result.unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(result.trim(), expected, "{text}");
        texts += 1;
    }
    assert!(texts > 30, "{texts}");
}
