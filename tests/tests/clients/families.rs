//! nlctrl, as three libraries ask it: iproute2, libnl, pyroute2.

use anyhow::{Context, Result, ensure};
use pfnl_tests::host::{Host, built};
use pfnl_tests::runner::{OrSkip, Test, skip};
use pfnl_tests::{sandbox, transcript};
use std::path::PathBuf;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("families: genl-ctrl-list names them all", libnl),
    ("families: genl ctrl list names them all", iproute2),
    ("families: genl ctrl get finds one, and says when there is none", iproute2_get),
    ("families: pyroute2 binds, reads a policy and dumps", pyroute2),
];

/// Families of this slice, as genl-ctrl-list printed them on Linux 6.12 (ids and group numbers are the kernel's own).
const LIBNL: &[&str] = &[
    "0x0010 nlctrl version 2\n    hdrsize 0 maxattr 0\n      op GETFAMILY (0x03) <has_doit,has_dump,has_policy>\n      op unknown (0x0a) <has_dump,has_policy>\n      grp notify (0x10)\n",
    "0x* ovs_datapath version 2\n    hdrsize 4 maxattr 9\n      op unknown (0x01) <has_doit,has_policy,>\n      op unknown (0x02) <has_doit,has_policy,>\n      op unknown (0x03) <has_doit,has_dump,has_policy>\n      op unknown (0x04) <has_doit,has_policy,>\n      grp ovs_datapath (0x*)\n",
    "0x* ovs_vport version 1\n    hdrsize 4 maxattr 10\n      op unknown (0x01) <has_doit,has_policy,>\n      op unknown (0x02) <has_doit,has_policy,>\n      op unknown (0x03) <has_doit,has_dump,has_policy>\n      op unknown (0x04) <has_doit,has_policy,>\n      grp ovs_vport (0x*)\n",
    "0x* ovs_flow version 1\n    hdrsize 4 maxattr 11\n      op unknown (0x01) <has_doit,has_policy,>\n      op unknown (0x02) <has_doit,has_policy,>\n      op unknown (0x03) <has_doit,has_dump,has_policy>\n      op unknown (0x04) <has_doit,has_policy,>\n      grp ovs_flow (0x*)\n",
    "0x* ovs_packet version 1\n    hdrsize 4 maxattr 11\n      op unknown (0x03) <has_doit,has_policy,>\n",
    "0x* ovs_meter version 1\n    hdrsize 4 maxattr 9\n      op unknown (0x01) <has_doit,has_policy>\n      op unknown (0x02) <has_doit,has_policy,>\n      op unknown (0x04) <has_doit,has_policy>\n      op unknown (0x03) <has_doit,has_policy,>\n      grp ovs_meter (0x*)\n",
];

fn libnl() -> Result<()> {
    let host = Host::serve("libnl")?;
    let list = host.run(&["genl-ctrl-list", "-d"])?;
    let text = list.succeeds()?;
    for family in LIBNL {
        ensure!(transcript::has_lines(family, text), "not as on Linux:\n{family}\n--- but\n{text}");
    }
    let one = host.run(&["genl-ctrl-list"])?;
    one.prints("nlctrl version 2")?;
    Ok(())
}

fn iproute2() -> Result<()> {
    let host = Host::serve("iproute2")?;
    let list = host.run(&["genl", "ctrl", "list"])?;
    for (name, version, header, attributes) in [
        ("nlctrl", 2, 0, 0),
        ("ovs_datapath", 2, 4, 9),
        ("ovs_vport", 1, 4, 10),
        ("ovs_flow", 1, 4, 11),
        ("ovs_packet", 1, 4, 11),
        ("ovs_meter", 1, 4, 9),
    ] {
        let lines = format!(
            "Name: {name}\n\tID: 0x*  Version: {version:#x}  header size: {header}  max attribs: {attributes} \n"
        );
        ensure!(transcript::has_lines(&lines, list.succeeds()?), "{name} is not there:{}", list.said());
    }
    Ok(())
}

fn iproute2_get() -> Result<()> {
    let host = Host::serve("genl-get")?;
    let text = "\nName: ovs_datapath\n\tID: 0x*  Version: 0x2  header size: 4  max attribs: 9 \n\
        \tcommands supported: \n\t\t#1:  ID-0x1 \n\t\tCapabilities (0x1a):\n \t\t  can doit; has policy\n\n\
        \t\t#2:  ID-0x2 \n\t\tCapabilities (0x1a):\n \t\t  can doit; has policy\n\n\
        \t\t#3:  ID-0x3 \n\t\tCapabilities (0xe):\n \t\t  can doit; can dumpit; has policy\n\n\
        \t\t#4:  ID-0x4 \n\t\tCapabilities (0x1a):\n \t\t  can doit; has policy\n\n\n\
        \tmulticast groups:\n\t\t#1:  ID-0x*  name: ovs_datapath \n\n";
    let get = host.run(&["genl", "ctrl", "get", "name", "ovs_datapath"])?;
    ensure!(transcript::has_lines(text, get.succeeds()?), "not as on Linux:{}", get.said());
    host.run(&["genl", "ctrl", "get", "name", "nosuch"])?
        .fails_with("RTNETLINK answers: No such file or directory")
}

fn pyroute2() -> Result<()> {
    let python = python_with_pyroute2()?;
    sandbox::tap_allowed().or_skip()?;
    let host = Host::serve("pyroute2")?;
    host.dpctl(&["add-dp", "dp0"])?.succeeds()?;
    host.dpctl(&["add-dp", "dp1"])?.succeeds()?;
    let script = script("families.py");
    let mut outcome = host.run(&[&python, &script, "dp0", "dp1"])?;
    outcome.client = "pyroute2".to_owned();
    outcome.prints("pyroute2: ok: dp0 dp1\n")?;
    Ok(())
}

/// A script beside these tests.
pub fn script(name: &str) -> String {
    format!("{}/tests/clients/python/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The Python of target/venv, which `cargo xtask` fills.
pub fn python_with_pyroute2() -> Result<String> {
    let target: PathBuf = built()?.parent().context("no target folder")?.to_owned();
    let python = target.join("venv/bin/python3");
    match python.exists() {
        true => Ok(python.display().to_string()),
        false => skip("pyroute2 is not in target/venv: `cargo xtask setup` puts it there"),
    }
}
