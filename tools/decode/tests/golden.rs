//! Decodes what Linux 6.12 was asked and answered, and garbage.

use pfnl_decode::{Attribute, Body, Decoder, Value};
use std::fmt::Write;

const RECORDED: &str = include_str!("../../../tests/golden/linux-6.12/raw.jsonl");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// Name, request and answers of each case.
fn cases() -> impl Iterator<Item = (String, Vec<u8>, Vec<Vec<u8>>)> {
    RECORDED.lines().map(|line| {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let answers = case["rx"].as_array().unwrap().iter().map(|hex| bytes(hex.as_str().unwrap())).collect();
        (case["case"].as_str().unwrap().to_owned(), bytes(case["tx"].as_str().unwrap()), answers)
    })
}

/// What is not as the tables have it.
fn trouble(attributes: &[Attribute], path: &str, found: &mut Vec<String>) {
    for attribute in attributes {
        let path =
            format!("{path}.{}", attribute.name.clone().unwrap_or_else(|| attribute.number.to_string()));
        if let Value::Bad(why, _) = attribute.value {
            found.push(format!("{path}: {why}"));
        }
        trouble(attribute.value.attributes(), &path, found);
    }
}

#[test]
fn nothing_that_linux_answers_is_malformed_or_without_a_name() {
    let mut decoder = Decoder::new();
    let mut messages = 0;
    for (case, asked, answers) in cases() {
        decoder.decode(&asked);
        for answer in answers {
            let datagram = decoder.decode(&answer);
            assert!(datagram.rest.is_empty(), "{case}");
            for message in &datagram.messages {
                messages += 1;
                let mut found = Vec::new();
                match &message.body {
                    Body::Generic { genl, attributes, .. } => {
                        assert!(genl.name.is_some() || message.name == "psample", "{case}: {message}");
                        trouble(attributes, &message.name, &mut found);
                    }
                    Body::Outcome { extack, .. } => trouble(extack, &message.name, &mut found),
                    Body::Netfilter { .. } | Body::Raw { .. } => panic!("{case}: {message}"),
                }
                assert_eq!(found, Vec::<String>::new(), "{case}");
            }
        }
    }
    assert!(messages > 500, "{messages}");
}

/// Whatever Linux was asked of netfilter, and answered: the last two columns of each line.
#[test]
fn nothing_of_netfilter_is_malformed_or_without_a_name() {
    let (decoder, mut messages) = (Decoder::new(), 0);
    for line in include_str!("../../../tests/golden/linux-6.12/nfnetlink.tsv").lines() {
        let mut columns = line.split('\t');
        let [_, _, case] = [(); 3].map(|()| columns.next().unwrap());
        let asked = bytes(columns.next().unwrap());
        let answers = columns.flat_map(|column| column.split(',')).map(bytes);
        for datagram in answers.map(|answer| decoder.decode_netfilter(&answer)) {
            assert!(datagram.rest.is_empty(), "{case}");
            for message in &datagram.messages {
                messages += 1;
                let mut found = Vec::new();
                match &message.body {
                    Body::Netfilter { nfnl, attributes, .. } => {
                        assert!(nfnl.name.is_some(), "{case}: {message}");
                        trouble(attributes, &message.name, &mut found);
                    }
                    Body::Outcome { extack, .. } => trouble(extack, &message.name, &mut found),
                    Body::Generic { .. } | Body::Raw { .. } => panic!("{case}: {message}"),
                }
                assert_eq!(found, Vec::<String>::new(), "{case}");
            }
        }
        // What was asked may be nonsense, and is shown all the same.
        let _ = decoder.decode_netfilter(&asked).to_string();
    }
    assert!(messages > 100, "{messages}");
}

#[test]
fn a_conversation_reads_like_this() {
    let mut wanted = vec![
        "getfamily-longname",
        "getfamily-psample",
        "dp-new-echo",
        "vp-get-byname",
        "fl-new-ufid",
        "fl-get-ufid",
        "fl-key-eth-short",
        "fl-mask-et-partial",
        "act-setmasked-badlen",
        "act-sample-ok",
        "act-ct-commit-mark-nocommit",
        "act-ctclear",
        "act-pushmpls-ok",
        "pk-exec-userspace-upcall",
        "mt-set",
        "mt-get",
        "cl-set",
        "cl-get-all",
    ];
    let mut decoder = Decoder::new();
    let mut text = String::new();
    for (case, asked, answers) in cases() {
        let mut shown = format!("## {case}\n> {}", decoder.decode(&asked));
        for answer in answers {
            write!(shown, "< {}", decoder.decode(&answer)).unwrap();
        }
        // Each of them once: they were recorded with extended acks and without.
        if let Some(at) = wanted.iter().position(|name| *name == case) {
            wanted.remove(at);
            text.push_str(&shown);
        }
    }
    assert_eq!(wanted, Vec::<&str>::new());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conversation.txt");
    if std::env::var_os("PFNL_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

#[test]
fn every_prefix_and_every_flipped_byte_is_decoded_somehow() {
    let mut decoder = Decoder::new();
    for (_, asked, answers) in cases() {
        for good in answers.iter().chain([&asked]) {
            decoder.decode(good);
        }
        // A few are tens of kilobytes long: their first bytes will do.
        for at in 0..asked.len().min(400) {
            let mut changed = decoder.clone();
            let mut bad = asked.clone();
            bad[at] ^= 0xff;
            for datagram in [&bad[..], &asked[..at]] {
                let decoded = changed.decode(datagram);
                assert!(decoded.to_string().len() < 1 << 20);
                serde_json::to_string(&decoded).unwrap();
            }
        }
    }
}

#[test]
fn nests_without_end_do_not_exhaust_the_stack() {
    // ENCAP in ENCAP in ENCAP: 16,000 headers of 4 bytes.
    let mut bytes = vec![0; 16 + 4 + 4];
    let nests = 16_000usize;
    for left in (1..=nests).rev() {
        bytes.extend(u16::try_from(left * 4).unwrap().to_ne_bytes());
        bytes.extend(1u16.to_ne_bytes());
    }
    let len = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    for id in [30u16, 31] {
        bytes[4..6].copy_from_slice(&id.to_ne_bytes());
        let mut decoder = Decoder::new();
        decoder.learn(30, "ovs_flow");
        assert!(decoder.decode(&bytes).to_string().len() < 1 << 20);
    }
}

#[test]
fn json_has_names_numbers_and_hex() {
    let mut decoder = Decoder::new();
    let (_, asked, answers) = cases().find(|(case, ..)| case == "getfamily-ovs_flow").unwrap();
    let asked = serde_json::to_value(decoder.decode(&asked)).unwrap();
    assert_eq!(asked["messages"][0]["type"], "nlctrl");
    assert_eq!(asked["messages"][0]["genl"]["name"], "GETFAMILY");
    let attribute = serde_json::json!({"name": "family_name", "type": 2, "value": "ovs_flow"});
    assert_eq!(asked["messages"][0]["attributes"][0], attribute);
    let answer = serde_json::to_value(decoder.decode(&answers[0])).unwrap();
    let first_op = &answer["messages"][0]["attributes"][5]["value"][0];
    let flags = serde_json::json!({"number": 26, "names": ["CAP_DO", "CAP_HASPOL", "UNS_ADMIN_PERM"]});
    assert_eq!(first_op["value"][1]["value"], flags);
}

#[test]
fn an_unknown_family_is_a_tree_by_its_looks() {
    let mut decoder = Decoder::new();
    let mut bytes = Vec::new();
    let header = pfnl_proto::msg::Header { kind: 99, flags: 1, seq: 1, ..Default::default() };
    pfnl_proto::Writer::new(&mut bytes).message(header, |w| {
        w.raw_fixed(&pfnl_proto::genl::Header { cmd: 5, version: 2, reserved: 0 });
        w.string(1, b"hello").fixed(2, &7u32).flag(3).nest(4, |w| {
            w.fixed(1, &1u16).bytes(2, &[0xff; 9]);
        });
    });
    let text = decoder.decode(&bytes).to_string();
    let body =
        "    [1] \"hello\"\n    [2] 7\n    [3]\n    [4]\n        [1] 1\n        [2] ffffffffffffffffff\n";
    assert_eq!(text, format!("family 99 cmd 5 version 2 REQUEST seq 1\n{body}"));
}
