//! Which tests there are, read from the suite's script, and what each needs of a kernel.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What CI runs: quick tests of each group that need no device but veth.
pub const BOUNDED: [&str; 18] = [
    "=datapath - ping between two ports",
    "=datapath - ping6 between two ports with header modify",
    "=datapath - ping over gre tunnel by simulated packets",
    "=datapath - clone action",
    "=datapath - encap decap mpls actions",
    "=datapath - configure cache size",
    "=mpls - encap header dp-support",
    "=QoS - basic configuration",
    "=conntrack - controller",
    "=conntrack - force commit",
    "=conntrack - zones",
    "=conntrack - ICMP related",
    "=conntrack - IPv4 fragmentation",
    "=conntrack - FTP",
    "=conntrack - simple SNAT",
    "=IGMP - flood under normal action",
    "=nsh - encap header",
    "=interface - add delete add same interface",
];

/// Kinds of `ip link add … type KIND` that some kernels lack.
const KINDS: [&str; 12] = [
    "vlan",
    "bond",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "erspan",
    "ip6erspan",
    "geneve",
    "vxlan",
    "bareudp",
    "dummy",
];

/// A test of the suite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Test {
    /// Its number in this version's suite.
    pub number: usize,
    /// Its heading.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Kinds of network devices that it makes beside veth.
    pub kinds: BTreeSet<&'static str>,
}

/// The tests of a suite's script (autotest's shell).
pub fn read(script: &Path) -> Result<Vec<Test>> {
    let text = fs::read_to_string(script).with_context(|| script.display().to_string())?;
    let text = text.replace("\\\n", " ");
    let mut banners = BTreeMap::new();
    let (mut tests, mut current): (Vec<Test>, Option<usize>) = (Vec::new(), None);
    for line in text.lines() {
        if let Some((number, name)) =
            line.strip_prefix("at_banner_text_").and_then(|rest| rest.split_once('='))
        {
            banners.insert(number.to_owned(), name.trim_matches('"').to_owned());
        } else if let Some(rest) = line.strip_prefix("at_fn_group_banner ") {
            current = test(rest, &banners).map(|test| {
                tests.push(test);
                tests.len() - 1
            });
        } else if line.starts_with("#AT_STOP_") {
            current = None;
        } else if let Some(test) = current.and_then(|at| tests.get_mut(at)) {
            test.kinds.extend(made(line));
        }
    }
    Ok(tests)
}

/// `1 'system-traffic.at:3' "datapath - ping between two ports" "      " 1`
fn test(line: &str, banners: &BTreeMap<String, String>) -> Option<Test> {
    let (number, rest) = line.split_once(' ')?;
    let (_, rest) = rest.split_once('"')?;
    let (name, rest) = rest.split_once('"')?;
    let banner = rest.split_whitespace().next_back().unwrap_or_default();
    // The last tests of a suite may have no heading of their own.
    let group = banners.get(banner).cloned().unwrap_or_default();
    Some(Test {
        number: number.parse().ok()?,
        group,
        name: name.trim_end().to_owned(),
        kinds: BTreeSet::new(),
    })
}

/// The kind of device a line of shell makes, if it is one to ask for. `… type KIND help` only asks iproute2.
fn made(line: &str) -> Option<&'static str> {
    let (_, rest) = line.split_once("ip link add ")?;
    let (_, kind) = rest.split_once(" type ")?;
    let mut words = kind.split_whitespace();
    let kind = words.next()?;
    KINDS.into_iter().find(|known| *known == kind).filter(|_| words.next() != Some("help"))
}

/// Leaves the tests that one of the filters names; all, if there is none.
pub fn choose(tests: &mut Vec<Test>, filters: &[String]) {
    if !filters.is_empty() {
        tests.retain(|test| filters.iter().any(|filter| is_named(test, filter)));
    }
}

fn is_named(test: &Test, filter: &str) -> bool {
    let range = match filter.split_once('-') {
        Some((from, to)) => from.parse().ok().zip(to.parse().ok()),
        None => filter.parse().ok().map(|one: usize| (one, one)),
    };
    match (range, filter.strip_prefix('=')) {
        (Some((from, to)), _) => (from..=to).contains(&test.number),
        (None, Some(whole)) => test.name == whole,
        (None, None) => {
            test.group.eq_ignore_ascii_case(filter)
                || test.name.to_lowercase().contains(&filter.to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "at_banner_text_1=\"datapath-sanity\"
#AT_START_1
at_fn_group_banner 1 'system-traffic.at:3' \\
  \"datapath - ping between two ports\" \"     \" 1
ip link add foo type vxlan help 2>&1
#AT_STOP_1
#AT_START_2
at_fn_group_banner 2 'system-traffic.at:46' \"datapath - ping on vlan\" \"     \" 1
ip netns exec at_ns0 sh << X
ip link add link p0 name p0.100 type vlan proto 802.1q id 100
ip link add dev at_gre0 type gretap remote 1.1.1.1
#AT_STOP_2
ip link add x type bond
";

    #[test]
    fn a_script_is_read() {
        let folder = std::env::temp_dir().join(format!("pfnl-suite-plan-{}", std::process::id()));
        fs::write(&folder, SCRIPT).unwrap();
        let tests = read(&folder).unwrap();
        fs::remove_file(&folder).unwrap();
        assert_eq!(tests.len(), 2);
        assert_eq!(
            (tests[0].number, tests[0].group.as_str(), tests[0].kinds.len()),
            (1, "datapath-sanity", 0)
        );
        assert_eq!(tests[1].kinds, BTreeSet::from(["gretap", "vlan"]));
    }

    #[test]
    fn filters() {
        let test = Test {
            number: 44,
            group: "MPLS".to_owned(),
            name: "mpls - encap header dp-support".to_owned(),
            kinds: BTreeSet::new(),
        };
        let yes = ["44", "40-49", "mpls", "Encap Header", "=mpls - encap header dp-support"];
        assert!(yes.iter().all(|filter| is_named(&test, filter)));
        let no = ["4", "45-49", "conntrack", "=mpls - encap header"];
        assert!(!no.iter().any(|filter| is_named(&test, filter)));
    }
}
