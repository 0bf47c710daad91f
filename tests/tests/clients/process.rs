//! `pfnl run`, `serve` and `status` as processes: exit statuses, users, programs that cannot be reached.

use anyhow::{Result, ensure};
use pfnl_tests::client::{self, LIMIT, Outcome};
use pfnl_tests::host::{Host, pfnl, run_privately};
use pfnl_tests::runner::{Test, skip};
use pfnl_tests::sandbox::{SCRATCH, is_root, quiet};
use std::fs;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("run: ovs-dpctl show with a private host", private_host),
    ("run: no socket of the host kernel's generic netlink is opened", no_kernel_socket),
    ("run: other netlink protocols reach the real kernel", other_protocols_pass),
    ("run: ovs-dpctl show works without root", without_root),
    ("run: the program's exit status comes through", exit_status),
    ("run: a program that is not there", not_found),
    ("run: children of the program see the same host", children),
    ("run: a static program gets a clear word", static_program),
    ("run: a setuid program gets a clear word", setuid_program),
    ("run: leaves no folder behind", leaves_nothing),
    ("serve: a second host on the same path is refused", second_host),
    ("serve: a stale socket file is replaced", stale_socket),
    ("status: names the families and the clients", status),
    ("status: without a host", status_without_host),
    ("pfnl: wrong arguments", wrong_arguments),
];

fn private_host() -> Result<()> {
    client::run(&run_privately()?, &["ovs-dpctl", "show"], LIMIT)?.succeeds()?;
    client::run(&run_privately()?, &["ovs-dpctl", "dump-dps"], LIMIT)?.succeeds()?;
    Ok(())
}

fn no_kernel_socket() -> Result<()> {
    let log = format!("{SCRATCH}/strace.log");
    let mut strace: Vec<String> =
        ["strace", "-f", "-o", &log, "-e", "trace=socket,execve"].map(str::to_owned).to_vec();
    strace.extend(run_privately()?);
    client::run(&strace, &["ovs-dpctl", "show"], LIMIT)?.succeeds()?;
    let trace = fs::read_to_string(log)?;
    ensure!(trace.contains("/ovs-dpctl\""), "ovs-dpctl was not traced:\n{trace}");
    let opened: Vec<&str> = trace.lines().filter(|line| line.contains("NETLINK_GENERIC")).collect();
    ensure!(opened.is_empty(), "sockets of the host kernel: {opened:?}");
    Ok(())
}

fn other_protocols_pass() -> Result<()> {
    client::run(&run_privately()?, &["ip", "-brief", "link", "show", "lo"], LIMIT)?.prints("LOOPBACK")?;
    Ok(())
}

fn without_root() -> Result<()> {
    if !is_root() {
        return skip("not root, so every other test shows this already");
    }
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if quiet(nobody[0], &[&nobody[1..], &["true"]].concat()).is_err() {
        return skip("there is no other user here (a user namespace of one)");
    }
    let prefix: Vec<String> = nobody.iter().map(|word| (*word).to_owned()).chain(run_privately()?).collect();
    client::run(&prefix, &["ovs-dpctl", "show"], LIMIT)?.succeeds()?;
    client::run(&prefix, &["genl-ctrl-list"], LIMIT)?.prints("ovs_flow")?;
    Ok(())
}

fn exit_status() -> Result<()> {
    let run = |command: &str| client::run(&run_privately()?, &["sh", "-c", command], LIMIT);
    run("exit 0")?.ends_with(0)?;
    run("exit 7")?.ends_with(7)?;
    run("kill -TERM $$")?.ends_with(128 + 15)?;
    Ok(())
}

fn not_found() -> Result<()> {
    let outcome = client::run(&run_privately()?, &["/no/such/program"], LIMIT)?;
    outcome.ends_with(127)?;
    outcome.fails_with("/no/such/program")
}

fn children() -> Result<()> {
    let command = "genl-ctrl-list | grep -c ovs_ && (exec genl ctrl get name ovs_vport)";
    client::run(&run_privately()?, &["sh", "-c", command], LIMIT)?.prints("Name: ovs_vport")?;
    Ok(())
}

fn static_program() -> Result<()> {
    let (source, program) = (format!("{SCRATCH}/static.c"), format!("{SCRATCH}/static"));
    fs::write(&source, "int main(void) { return 0; }\n")?;
    if quiet("cc", &["-static", "-o", &program, &source]).is_err() {
        return skip("cc -static does not work here");
    }
    let outcome = client::run(&run_privately()?, &[&program], LIMIT)?;
    outcome.ends_with(126)?;
    outcome.fails_with("static")
}

fn setuid_program() -> Result<()> {
    if !is_root() {
        return skip("not root");
    }
    let program = format!("{SCRATCH}/setuid");
    fs::copy("/bin/true", &program)?;
    quiet("chmod", &["u+s", &program])?;
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if quiet(nobody[0], &[&nobody[1..], &["true"]].concat()).is_err() {
        return skip("there is no other user here (a user namespace of one)");
    }
    let prefix: Vec<String> = nobody.iter().map(|word| (*word).to_owned()).chain(run_privately()?).collect();
    let outcome = client::run(&prefix, &[&program], LIMIT)?;
    outcome.ends_with(126)?;
    outcome.fails_with("set")
}

fn leaves_nothing() -> Result<()> {
    let folder = format!("{SCRATCH}/tmp");
    fs::create_dir_all(&folder)?;
    let prefix = [
        vec!["env".to_owned(), format!("TMPDIR={folder}"), format!("XDG_RUNTIME_DIR={folder}")],
        run_privately()?,
    ];
    client::run(&prefix.concat(), &["genl-ctrl-list"], LIMIT)?.succeeds()?;
    let left: Vec<_> = fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn second_host() -> Result<()> {
    let mut host = Host::serve("twice")?;
    let second = command(&["serve", "--socket", &host.socket])?;
    second.ends_with(1)?;
    second.fails_with(&host.socket)?;
    ensure!(host.is_running()?, "the first host ended");
    host.run(&["genl-ctrl-list"])?.prints("nlctrl")?;
    Ok(())
}

fn stale_socket() -> Result<()> {
    let host = Host::serve("stale")?;
    host.signal(rustix::process::Signal::KILL)?;
    let socket = host.socket.clone();
    std::thread::sleep(std::time::Duration::from_millis(100));
    ensure!(fs::exists(&socket)?, "a killed host cannot have removed {socket}");
    let again = Host::serve("stale")?;
    again.run(&["genl-ctrl-list"])?.prints("nlctrl")?;
    Ok(())
}

fn status() -> Result<()> {
    let host = Host::serve("status")?;
    let status = command(&["status", "--socket", &host.socket])?;
    for family in ["nlctrl", "ovs_datapath", "ovs_vport", "ovs_flow", "ovs_packet"] {
        status.prints(family)?;
    }
    Ok(())
}

fn status_without_host() -> Result<()> {
    let path = format!("{SCRATCH}/nobody.sock");
    command(&["status", "--socket", &path])?.fails_with(&path)
}

fn wrong_arguments() -> Result<()> {
    command(&["frobnicate"])?.fails_with("frobnicate")?;
    command(&["run"])?.fails_with("Usage")?;
    command(&["serve", "--socket"])?.fails_with("--socket")?;
    command(&["--help"])?.prints("run")?;
    Ok(())
}

/// `pfnl` itself.
fn command(args: &[&str]) -> Result<Outcome> {
    let program = pfnl()?;
    client::run(&[], &[&[program.as_str()], args].concat(), LIMIT)
}
