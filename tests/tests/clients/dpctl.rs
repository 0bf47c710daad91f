//! ovs-dpctl: the same commands as on a real Linux 6.12 print the same words and end with the same status.

use anyhow::Result;
use pfnl_tests::host::Host;
use pfnl_tests::runner::{OrSkip, Test};
use pfnl_tests::{sandbox, transcript};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("dpctl: datapaths and ports, as Linux 6.12", || {
        plays("datapaths", include_str!("linux-6.12/datapaths.txt"))
    }),
    ("dpctl: flows, as Linux 6.12", || plays("flows", include_str!("linux-6.12/flows.txt"))),
    ("dpctl: more keys and actions, as Linux 6.12", || plays("more", include_str!("linux-6.12/more.txt"))),
    ("dpctl: refused flows, as Linux 6.12", || plays("refused", include_str!("linux-6.12/refused.txt"))),
    ("dpctl: two hosts know nothing of each other", two_hosts_are_apart),
    ("dpctl: many flows are dumped once each", many_flows),
];

fn plays(name: &str, text: &str) -> Result<()> {
    sandbox::tap_allowed().or_skip()?;
    let host = Host::serve(name)?;
    let result = transcript::play(text, |command| host.run(command));
    for link in ["v0", "v1", "tap0"] {
        let _ = sandbox::quiet("ip", &["link", "del", link]);
    }
    result
}

fn two_hosts_are_apart() -> Result<()> {
    sandbox::tap_allowed().or_skip()?;
    let (one, two) = (Host::serve("one")?, Host::serve("two")?);
    one.dpctl(&["add-dp", "dp-one"])?.succeeds()?;
    one.dpctl(&["dump-dps"])?.prints("system@dp-one\n")?;
    let there = two.dpctl(&["dump-dps"])?;
    anyhow::ensure!(there.succeeds()?.is_empty(), "the other host has {}", there.stdout);
    one.dpctl(&["del-dp", "dp-one"])?.succeeds()?;
    Ok(())
}

/// More flows than one dump message holds: the dump is resumed, nothing is lost, nothing comes twice.
fn many_flows() -> Result<()> {
    const FLOWS: usize = 1000;
    sandbox::tap_allowed().or_skip()?;
    let host = Host::serve("many")?;
    host.dpctl(&["add-dp", "dp0"])?.succeeds()?;
    let flow = |n: usize| {
        let (high, low) = (n / 256, n % 256);
        format!("in_port(0),eth(),eth_type(0x0800),ipv4(dst=10.0.{high}.{low},frag=no)")
    };
    let file = format!("{}/many-flows", sandbox::SCRATCH);
    let lines: String = (0..FLOWS).map(|n| format!("add {} 0\n", flow(n))).collect();
    std::fs::write(&file, lines)?;
    host.dpctl(&["add-flows", "dp0", &file])?.succeeds()?;
    let dump = host.dpctl(&["dump-flows", "dp0"])?;
    let mut lines: Vec<&str> = dump.succeeds()?.lines().collect();
    lines.sort_unstable();
    anyhow::ensure!(lines.len() == FLOWS, "{} of {FLOWS} flows were dumped", lines.len());
    lines.dedup();
    anyhow::ensure!(lines.len() == FLOWS, "{} flows came twice", FLOWS - lines.len());
    host.dpctl(&["show"])?.prints(&format!("flows: {FLOWS}\n"))?;
    host.dpctl(&["del-flows", "dp0"])?.succeeds()?;
    host.dpctl(&["show"])?.prints("flows: 0\n")?;
    host.dpctl(&["del-dp", "dp0"])?.succeeds()?;
    Ok(())
}
