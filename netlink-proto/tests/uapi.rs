//! Every number of the tables is what the real uapi headers say.
//!
//! The headers are Debian's linux-libc-dev and, for what is newer there, OVS's own copy of linux/openvswitch.h (package
//! openvswitch-source). A row that no header at hand knows is counted and named; one that a header knows otherwise fails.

use pfnl_proto::{Fixed, Table, ack, nlctrl, ovs};
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

/// The tables, with the prefix of their constants in C.
fn tables() -> Vec<(&'static Table, &'static str)> {
    vec![
        (&ack::extack::TABLE, "NLMSGERR_ATTR_"),
        (&nlctrl::ctrl::TABLE, "CTRL_ATTR_"),
        (&nlctrl::get_family::TABLE, "CTRL_ATTR_"),
        (&nlctrl::get_policy::TABLE, "CTRL_ATTR_"),
        (&nlctrl::op::TABLE, "CTRL_ATTR_OP_"),
        (&nlctrl::group::TABLE, "CTRL_ATTR_MCAST_GRP_"),
        (&nlctrl::op_policy::TABLE, "CTRL_ATTR_POLICY_"),
        (&nlctrl::policy_type::TABLE, "NL_POLICY_TYPE_ATTR_"),
        (&ovs::datapath::TABLE, "OVS_DP_ATTR_"),
        (&ovs::vport::TABLE, "OVS_VPORT_ATTR_"),
        (&ovs::tunnel_options::TABLE, "OVS_TUNNEL_ATTR_"),
        (&ovs::vxlan_ext::TABLE, "OVS_VXLAN_EXT_"),
        (&ovs::vxlan_opt::TABLE, "OVS_VXLAN_EXT_"),
        (&ovs::upcall_stats::TABLE, "OVS_VPORT_UPCALL_ATTR_"),
        (&ovs::flow::TABLE, "OVS_FLOW_ATTR_"),
        (&ovs::packet::TABLE, "OVS_PACKET_ATTR_"),
        (&ovs::key::TABLE, "OVS_KEY_ATTR_"),
        (&ovs::tunnel_key::TABLE, "OVS_TUNNEL_KEY_ATTR_"),
        (&ovs::nsh_key::TABLE, "OVS_NSH_KEY_ATTR_"),
        (&ovs::action::TABLE, "OVS_ACTION_ATTR_"),
        (&ovs::userspace::TABLE, "OVS_USERSPACE_ATTR_"),
        (&ovs::sample::TABLE, "OVS_SAMPLE_ATTR_"),
        (&ovs::check_pkt_len::TABLE, "OVS_CHECK_PKT_LEN_ATTR_"),
        (&ovs::dec_ttl::TABLE, "OVS_DEC_TTL_ATTR_"),
        (&ovs::psample::TABLE, "OVS_PSAMPLE_ATTR_"),
        (&ovs::ct::TABLE, "OVS_CT_ATTR_"),
        (&ovs::nat::TABLE, "OVS_NAT_ATTR_"),
        (&ovs::meter::TABLE, "OVS_METER_ATTR_"),
        (&ovs::band::TABLE, "OVS_BAND_ATTR_"),
        (&ovs::ct_limit::TABLE, "OVS_CT_LIMIT_ATTR_"),
    ]
}

/// Names that OVS's user space numbers for itself, where the kernel has another number. The kernel's counts.
const OVS_OWN: &[(&str, &str)] =
    &[("OVS_ACTION_ATTR_DROP", "an action of OVS 3.1's user-space datapath, 24 in Linux 6.7")];

/// What a row is called in C, where its name here is another.
fn c_name(prefix: &str, name: &str) -> String {
    let name = match name {
        "port_type" | "band_type" | "attr_type" => "type",
        "do_policy" => "do",
        "dump_policy" => "dump",
        other => other,
    };
    format!("{prefix}{}", name.to_uppercase())
}

fn headers() -> Vec<(String, Header)> {
    let mut headers = Vec::new();
    let mut libc = Header::default();
    for name in ["netlink", "genetlink", "openvswitch"] {
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
    let (mut checked, mut unknown, mut wrong) = (0, Vec::new(), Vec::new());
    for (table, prefix) in tables() {
        for row in table.rows {
            let name = c_name(prefix, row.name);
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
    println!(
        "uapi constants checked: {checked}; in no header at hand: {} ({})",
        unknown.len(),
        unknown.join(" ")
    );
    assert_eq!(wrong, Vec::<String>::new());
    assert!(checked > 250, "only {checked} constants were found in the headers");
}

#[test]
fn structures_are_as_long_as_in_c() {
    let sizes: [(&str, usize); 22] = [
        ("struct nlmsghdr", pfnl_proto::msg::Header::LEN),
        ("struct genlmsghdr", pfnl_proto::genl::Header::LEN),
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
        format!("#include <linux/netlink.h>\n#include <linux/genetlink.h>\n#include <linux/openvswitch.h>\n{asserts}"),
    )
    .unwrap();
    let output =
        Command::new("cc").args(["-fsyntax-only", "-xc"]).arg(&source).output().expect("a C compiler");
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
