//! A client made with the rust-netlink crates (`genetlink`, tokio) and `pfnl_proto`'s feature `netlink-packet`:
//! netlink-proto/examples/list_datapaths.rs, under `pfnl run`.

use anyhow::{Context, Result, ensure};
use pfnl_tests::host;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Builds the example into the folder this program was built into.
fn example() -> Result<PathBuf> {
    let folder = host::built()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "pfnl-proto", "--features", "netlink-packet"]);
    build.args(["--example", "list_datapaths", "--target-dir"]);
    build.arg(folder.parent().context("no target folder")?);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status().context("cargo")?.success(), "the example does not build");
    Ok(folder.join("examples/list_datapaths"))
}

fn run(args: &[&str]) -> Result<Output> {
    let mut command = Command::new(host::built()?.join("pfnl"));
    command.args(["run", "--"]).arg(example()?).args(args);
    command.env_remove("PFNL_SOCKET").env_remove("LD_PRELOAD");
    command.output().context("pfnl run")
}

#[test]
fn genetlink_gets_the_ovs_families() {
    host::build().unwrap();

    let none = run(&[]).unwrap();
    assert_eq!(String::from_utf8_lossy(&none.stdout), "datapaths: 0\n", "{none:?}");
    assert!(none.status.success());

    // A request with attributes, its acknowledgement, a dump of datapaths and one of ports.
    let one = run(&["--new", "dp-interop"]).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&one.stdout),
        "datapaths: 1\ndp-interop: hit:0 missed:0 lost:0 flows:0\n  port 0: dp-interop\n",
        "{one:?}"
    );
    assert!(one.status.success());

    // What the kernel refuses comes back as its errno: a name that is too long for an interface.
    let refused = run(&["--new", "a-name-longer-than-15"]).unwrap();
    assert!(!refused.status.success());
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a-name-longer-than-15: "), "{refused:?}");
}
