//! Every number of the tables is what the real uapi headers say.
//!
//! The headers are Debian's linux-libc-dev and, for what is newer there, OVS's own copy of linux/openvswitch.h (package
//! openvswitch-source). A row that no header knows fails, but for those that are newer than the headers at hand, which are
//! listed here. So does what the headers know otherwise.

mod tables;

use pfnl_proto::{Fixed, netfilter, ovs};
use std::collections::HashMap;
use std::process::Command;

/// Enumerators and their values, of one or more headers.
#[derive(Default)]
struct Header {
    values: HashMap<String, i64>,
}

impl Header {
    /// Reads the enums and the integer macros of a header as user space sees it.
    fn read(&mut self, text: &str) {
        let text = without_kernel_parts(&without_comments(text));
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("#define ")) {
            if let Some((name, value)) = line.split_once(char::is_whitespace)
                && let Some(value) = self.value(value)
            {
                self.values.insert(name.to_owned(), value);
            }
        }
        for body in text.split("enum ").skip(1).filter_map(|rest| rest.split_once('{')) {
            let body = body.1.split('}').next().unwrap_or_default();
            let body: String = body.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
            let mut next = 0;
            for item in body.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                let (name, value) =
                    item.split_once('=').map_or((item, None), |(name, v)| (name.trim(), Some(v)));
                let value = value.map_or(Some(next), |value| self.value(value));
                let Some(value) = value else { break };
                self.values.insert(name.to_owned(), value);
                next = value + 1;
            }
        }
    }

    /// A number, a name that is known, or a shift of 1.
    fn value(&self, text: &str) -> Option<i64> {
        let text = text.trim().trim_start_matches('(').trim_end_matches(')').trim();
        if let Some((one, shift)) = text.split_once("<<") {
            return Some(self.value(one)? << self.value(shift)?);
        }
        match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok().or_else(|| self.values.get(text).copied()),
        }
    }
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((code, comment)) = rest.split_once("/*") {
        out.push_str(code);
        rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// Leaves out what stands between `#ifdef __KERNEL__` and its `#else` or `#endif`.
fn without_kernel_parts(text: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    for line in text.lines() {
        let word = line.trim();
        match depth {
            0 if word == "#ifdef __KERNEL__" => depth = 1,
            0 => out = out + line + "\n",
            1 if word.starts_with("#else") || word.starts_with("#endif") => depth = 0,
            _ if word.starts_with("#if") => depth += 1,
            _ if word.starts_with("#endif") => depth -= 1,
            _ => {}
        }
    }
    out
}

/// Names that OVS's user space numbers for itself, where the kernel has another number. The kernel's counts.
const OVS_OWN: &[(&str, &str)] =
    &[("OVS_ACTION_ATTR_DROP", "an action of OVS 3.1's user-space datapath, 24 in Linux 6.7")];

/// What a row is called in C, where its name here is another.
fn c_name(prefix: &str, name: &str) -> String {
    // Values by number, TCP's being the most.
    const TCP: [&str; 11] = [
        "SYN_SENT",
        "SYN_RECV",
        "ESTABLISHED",
        "FIN_WAIT",
        "CLOSE_WAIT",
        "LAST_ACK",
        "TIME_WAIT",
        "CLOSE",
        "SYN_SENT2",
        "RETRANS",
        "UNACK",
    ];
    if prefix == "CTA_TIMEOUT_TCP_" {
        let number: usize = name[1..].parse().unwrap();
        return format!("{prefix}{}", TCP[number - 1]);
    }
    let name = match name {
        "port_type" | "band_type" | "attr_type" => "type",
        "used" if prefix.starts_with("CTA_") => "use",
        "fun" => "fn",
        "do_policy" => "do",
        "dump_policy" => "dump",
        other => other,
    };
    format!("{prefix}{}", name.to_uppercase())
}

/// Rows that Debian 12's headers, of Linux 6.1, do not have yet.
const NEWER: &[&str] = &[
    "OVS_VPORT_ATTR_UPCALL_STATS",
    "OVS_VPORT_UPCALL_ATTR_SUCCESS",
    "OVS_VPORT_UPCALL_ATTR_FAIL",
    "OVS_ACTION_ATTR_PSAMPLE",
    "OVS_PSAMPLE_ATTR_GROUP",
    "OVS_PSAMPLE_ATTR_COOKIE",
    "PSAMPLE_ATTR_USER_COOKIE",
    "PSAMPLE_ATTR_SAMPLE_PROBABILITY",
];

fn headers() -> Vec<(String, Header)> {
    let mut headers = Vec::new();
    let mut libc = Header::default();
    for name in [
        "netlink",
        "genetlink",
        "openvswitch",
        "psample",
        "netfilter/nfnetlink",
        "netfilter/nfnetlink_conntrack",
        "netfilter/nfnetlink_cttimeout",
    ] {
        libc.read(&std::fs::read_to_string(format!("/usr/include/linux/{name}.h")).unwrap_or_default());
    }
    headers.push(("linux-libc-dev".to_owned(), libc));
    // OVS's tree is a tarball; tar finds the one file in it.
    let tarball = "/usr/src/openvswitch/openvswitch.tar.gz";
    let file = Command::new("tar")
        .args(["-xzOf", tarball, "--wildcards", "*/include/linux/openvswitch.h"])
        .stderr(std::process::Stdio::null())
        .output();
    if let Ok(file) = file
        && !file.stdout.is_empty()
    {
        let mut ovs = Header::default();
        ovs.read(&String::from_utf8_lossy(&file.stdout));
        headers.push(("openvswitch-source".to_owned(), ovs));
    }
    headers
}

#[test]
fn every_number_is_the_headers() {
    let headers = headers();
    assert!(headers[0].1.values.len() > 100, "linux-libc-dev is not installed, or its headers have moved");
    let (mut checked, mut unknown, mut wrong) = (0, Vec::new(), Vec::<String>::new());
    for known in tables::TABLES {
        for row in known.table.rows {
            let name = c_name(known.prefix, row.name);
            let mut known = false;
            for (source, header) in &headers {
                let Some(&value) = header.values.get(&name) else { continue };
                known = true;
                if OVS_OWN.iter().any(|(own, _)| *own == name) && source == "openvswitch-source" {
                    continue;
                }
                if value == i64::from(row.number) {
                    checked += 1;
                } else {
                    wrong.push(format!("{name} is {} here and {value} in {source}", row.number));
                }
            }
            if !known {
                unknown.push(name);
            }
        }
    }
    // Constants that are called as in C, wherever they stand.
    for (name, number) in tables::sources().iter().flat_map(|text| constants(text)) {
        for (source, header) in &headers {
            match header.values.get(&name) {
                Some(&value) if value == number => checked += 1,
                Some(&value) => wrong.push(format!("{name} is {number} here and {value} in {source}")),
                None => {}
            }
        }
    }
    println!("uapi constants checked: {checked}; newer than the headers at hand: {}", unknown.join(" "));
    assert_eq!(wrong, Vec::<String>::new());
    // Without OVS's source the older header is all there is.
    if headers.len() > 1 {
        unknown.retain(|name| !NEWER.contains(&name.as_str()));
        assert_eq!(unknown, Vec::<String>::new(), "in no header at hand, nor listed as newer");
    }
    assert!(checked > 450, "only {checked} constants were found in the headers");
}

/// The integer constants of a source file that are no part of a module in it.
fn constants(text: &str) -> Vec<(String, i64)> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": "));
    declared
        .filter_map(|(name, rest)| {
            let value = rest.split_once(" = ")?.1.trim_end_matches(';');
            Some((name.to_owned(), Header::default().value(value)?))
        })
        .collect()
}

#[test]
fn structures_are_as_long_as_in_c() {
    let sizes: [(&str, usize); 23] = [
        ("struct nlmsghdr", pfnl_proto::msg::Header::LEN),
        ("struct genlmsghdr", pfnl_proto::genl::Header::LEN),
        ("struct nfgenmsg", netfilter::NfHeader::LEN),
        ("struct ovs_header", ovs::OvsHeader::LEN),
        ("struct ovs_dp_stats", ovs::DpStats::LEN),
        ("struct ovs_dp_megaflow_stats", ovs::DpMegaflowStats::LEN),
        ("struct ovs_vport_stats", ovs::VportStats::LEN),
        ("struct ovs_flow_stats", ovs::FlowStats::LEN),
        ("struct ovs_key_ethernet", ovs::KeyEthernet::LEN),
        ("struct ovs_key_ipv4", ovs::KeyIpv4::LEN),
        ("struct ovs_key_ipv6", ovs::KeyIpv6::LEN),
        ("struct ovs_key_tcp", ovs::KeyPorts::LEN),
        ("struct ovs_key_icmp", ovs::KeyIcmp::LEN),
        ("struct ovs_key_arp", ovs::KeyArp::LEN),
        ("struct ovs_key_nd", ovs::KeyNd::LEN),
        ("struct ovs_key_ct_tuple_ipv4", ovs::KeyCtTuple4::LEN),
        ("struct ovs_key_ct_tuple_ipv6", ovs::KeyCtTuple6::LEN),
        ("struct ovs_nsh_key_base", ovs::NshBase::LEN),
        ("struct ovs_action_push_vlan", ovs::PushVlan::LEN),
        ("struct ovs_action_push_mpls", ovs::PushMpls::LEN),
        ("struct ovs_action_hash", ovs::HashAction::LEN),
        ("struct ovs_action_push_eth", ovs::PushEth::LEN),
        ("struct ovs_zone_limit", ovs::ZoneLimit::LEN),
    ];
    let directory = std::env::temp_dir().join(format!("pfnl-uapi-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let source = directory.join("sizes.c");
    let asserts: String = sizes
        .iter()
        .map(|(name, len)| format!("_Static_assert(sizeof({name}) == {len}, \"{name}\");\n"))
        .collect();
    std::fs::write(
        &source,
        format!("#include <linux/netlink.h>\n#include <linux/genetlink.h>\n#include <linux/netfilter/nfnetlink.h>\n#include <linux/openvswitch.h>\n{asserts}"),
    )
    .unwrap();
    let output =
        Command::new("cc").args(["-fsyntax-only", "-xc"]).arg(&source).output().expect("a C compiler");
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
