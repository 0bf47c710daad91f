//! `ovstest test-odp MODE`: lines of flows or actions in, lines out.
//!
//! OVS's `parse-keys` also takes keys through its own idea of a flow, `struct flow`, and back. What that adds or
//! tells of keys is done here, as far as the test's keys need it: fields that it always has, duplicates, and label
//! stacks without a bottom.

use pfnl_odp::{Filter, Ports, parse_actions, parse_flow, print_actions, print_flow};
use pfnl_proto::ovs::key;
use pfnl_proto::{Attr, Attrs, Writer};
use std::process::ExitCode;

/// Runs the program.
pub fn run(args: &[String]) -> ExitCode {
    let ports = Ports::default();
    let filter = args.get(1).and_then(|arg| arg.strip_prefix("filter="));
    let filter = match filter.map(Filter::parse).transpose() {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("Failed to parse filter ({error})");
            return ExitCode::FAILURE;
        }
    };
    for line in std::io::stdin().lines() {
        let line = line.expect("text comes in");
        // As OVS's tests do: empty lines and comments are no input, and come out as they are where they count.
        if line.trim().is_empty() || line.starts_with('#') {
            println!("{line}");
            continue;
        }
        match args.first().map(String::as_str) {
            Some("parse-actions") => match parse_actions(&line, &ports) {
                Ok(actions) => println!("{}", print_actions(&actions, &ports)),
                Err(_) => println!("odp_actions_from_string: error"),
            },
            mode => match parse_flow(&line, &ports) {
                Err(error) => {
                    println!("odp_flow_from_string: error (syntax error at {})", &line[error.item..])
                }
                Ok(flow) if mode == Some("parse-keys") => println!("{}", through_flow(&flow.key)),
                Ok(flow) => {
                    if filter.as_ref().is_none_or(|filter| filter.matches(&flow.key, &flow.mask)) {
                        println!("{}", print_flow(&flow.key, Some(&flow.mask), &ports, false));
                    }
                }
            },
        }
    }
    ExitCode::SUCCESS
}

/// Fields that `struct flow` always has, and the one behind which each is printed.
const ALWAYS: &[(u16, u16, usize)] = &[
    (key::SKB_MARK, key::CT_STATE, 4),
    (key::CT_STATE, key::CT_ZONE, 2),
    (key::CT_ZONE, key::CT_MARK, 4),
    (key::CT_MARK, key::CT_LABELS, 16),
    (key::IN_PORT, key::PACKET_TYPE, 4),
];

fn through_flow(bytes: &[u8]) -> String {
    let attrs: Vec<Attr<'_>> = Attrs::new(bytes, 0).collect();
    let number_of = |attrs: &[Attr<'_>], number| attrs.iter().filter(|attr| attr.number() == number).count();
    if let Some(twice) = attrs.iter().find(|attr| number_of(&attrs, attr.number()) > 1) {
        let row = key::TABLE.row(twice.number()).expect("a key");
        let shown = print_flow(bytes, None, &Ports::default(), true);
        return format!(
            "odp_flow_key_to_flow: error (duplicate {} attribute in flow key; the flow key in error is: {shown})",
            row.name
        );
    }
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    for attr in &attrs {
        writer.bytes(attr.number(), attr.payload());
        let mut last = attr.number();
        while let Some((_, number, len)) =
            ALWAYS.iter().find(|(behind, number, _)| *behind == last && number_of(&attrs, *number) == 0)
        {
            writer.bytes(*number, &vec![0; *len]);
            last = *number;
        }
    }
    let open = is_open(bytes);
    let fitness = if open { "ODP_FIT_TOO_LITTLE: " } else { "" };
    drop(writer);
    fitness.to_string() + &print_flow(&out, None, &Ports::default(), true)
}

/// Whether a label stack, also one inside of a VLAN tag, has no bottom.
fn is_open(run: &[u8]) -> bool {
    Attrs::new(run, 0).any(|attr| match attr.number() {
        key::MPLS => attr.payload()[attr.payload().len() - 2] & 1 == 0,
        key::ENCAP => is_open(attr.payload()),
        _ => false,
    })
}
