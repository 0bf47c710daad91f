//! The whole way: a program under `pfnl run` — preload library, host, domain, datapath on real TAP interfaces — does the same
//! [`Step`]s that the agent in the guest did.
//!
//! ```text
//! recording ─▶ Through ══ socket pair ══ agent ── libpfnl_preload.so ══ AF_UNIX ══ pfnl serve
//!                 └ network, mount and process namespaces of their own around all three ┘
//! ```
//!
//! The host's families have other numbers than Linux's: requests are given its own, and answers Linux's again.

use crate::compare::Parts;
use crate::families::Families;
use crate::generate::{Case, Scenario};
use crate::golden::{Head, Recorded};
use crate::report::Report;
use crate::run::{self, Kernel};
use anyhow::{Context, Result, bail, ensure};
use pfnl_oracle_agent::{Outcome, Step};
use pfnl_proto::msg::{NLMSG_ERROR, NLMSG_HDRLEN};
use pfnl_proto::nlctrl::{ctrl, group};
use pfnl_proto::{Attrs, genl};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a step may take before the host is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The programs and the library.
const PARTS: [&str; 3] = ["pfnl", "libpfnl_preload.so", "pfnl-oracle-agent"];
/// Brings up what there is in the guest, a host, and the agent as its client.
const SCRIPT: &str = r#"
set -e
ip link set lo up
ip link add dummy0 type dummy 2>/dev/null || ip link add dummy0 type veth peer name dummy0p
"$1/pfnl" serve --socket "$1/sock" --mode 666 >"$1/log" 2>&1 </dev/null &
tries=0
until "$1/pfnl" status --socket "$1/sock" >/dev/null 2>&1 </dev/null; do
    tries=$((tries + 1))
    test $tries -lt 600 || { cat "$1/log" >&2; exit 1; }
    sleep 0.05
done
exec "$1/pfnl" run --socket "$1/sock" -- "$1/pfnl-oracle-agent" -
"#;

/// A host with a client that does as it is told. Dropping it ends both.
pub struct Through {
    child: Child,
    channel: BufReader<UnixStream>,
    dir: PathBuf,
}

/// Whether there may be namespaces here; why not, otherwise.
///
/// # Errors
/// There may be none.
pub fn possible() -> Result<()> {
    let out = unshare().args(["sh", "-c", "ip link set lo up && test -c /dev/net/tun"]).output()?;
    ensure!(
        out.status.success(),
        "no namespaces of its own, or no /dev/net/tun ({}): this needs root",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(())
}

/// Builds the programs; answers where they are: with this one.
///
/// # Errors
/// They do not build.
pub fn build() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let mut folder = exe.parent().context("a program without a folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps without a parent")?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "-p", "pfnl", "-p", "pfnl-preload", "-p", "pfnl-oracle-agent"]);
    build.args(["--target-dir".as_ref(), folder.parent().context("no target folder")?.as_os_str()]);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status().context("cargo")?.success(), "pfnl does not build");
    Ok(folder.to_owned())
}

/// The sandbox: what is in it ends with it.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
    command
}

impl Through {
    /// Starts a host of the programs in a folder.
    ///
    /// # Errors
    /// They are not there, or do not come up.
    pub fn start(programs: &Path) -> Result<Through> {
        let dir = std::env::temp_dir().join(format!("pfnl-through-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        // Anyone may enter: the agent has a client that is nobody.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        for name in PARTS {
            fs::copy(programs.join(name), dir.join(name)).with_context(|| {
                format!("{}: build pfnl, pfnl-preload and pfnl-oracle-agent", programs.join(name).display())
            })?;
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let child = unshare()
            .args(["sh", "-c", SCRIPT, "through"])
            .arg(&dir)
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .context("unshare (package util-linux)")?;
        Ok(Through { child, channel: BufReader::new(ours), dir })
    }

    fn outcome(&mut self) -> Result<Outcome> {
        let mut line = String::new();
        let read = self.channel.read_line(&mut line);
        if !matches!(read, Ok(1..)) {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(20).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            bail!("no answer through pfnl run ({read:?}); the host's last words:\n{}", last.join("\n"));
        }
        serde_json::from_str(&line).with_context(|| format!("the agent said {line:?}"))
    }
}

impl Kernel for Through {
    fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>> {
        let mut writer = self.channel.get_ref().try_clone()?;
        let lines = steps.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        // Written beside the reading, so that neither side waits for the other with a full pipe.
        std::thread::scope(|scope| {
            scope.spawn(move || {
                lines.iter().try_for_each(|line| writer.write_all(format!("{line}\n").as_bytes()))
            });
            steps.iter().map(|_| self.outcome()).collect()
        })
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What a host makes of what was recorded of Linux, sent through the preload library.
///
/// # Errors
/// The host does not come up, or does not make a scenario's world.
pub fn replay(programs: &Path, head: &Head, recorded: &[Recorded], only: &str) -> Result<Report> {
    let mut report = Report::default();
    for (asked, answers) in recorded.iter().filter(|(scenario, _)| run::is_wanted(scenario.name, only)) {
        // A new one each time, as inside.
        let mut host = Through::start(programs)?;
        let own = run::families(&mut host)?;
        let numbers = Numbers { linux: &head.families, own: &own };
        let cases = asked.cases.iter().map(|case| {
            let tx = numbers.request(&case.tx);
            Case { tx, ..case.clone() }
        });
        let translated = Scenario { cases: cases.collect(), ..asked.clone() };
        let got = run::scenario(&mut host, &own, &translated)?;
        for ((case, linux), pfnl) in asked.cases.iter().zip(answers).zip(&got) {
            let mut pfnl = Parts::of(pfnl, &own);
            pfnl.messages.iter_mut().for_each(|message| numbers.answer(message));
            report.add(case, linux.clone(), pfnl, &head.families);
        }
    }
    Ok(report)
}

/// Families' numbers, here and there.
struct Numbers<'f> {
    linux: &'f Families,
    own: &'f Families,
}

impl Numbers<'_> {
    /// A request with the host's numbers, one message after the other, as far as their lengths tell.
    fn request(&self, tx: &[u8]) -> Vec<u8> {
        let mut bytes = tx.to_vec();
        let mut at = 0;
        while let Some(message) = bytes.get_mut(at..).filter(|rest| rest.len() >= NLMSG_HDRLEN) {
            let len = message.first_chunk().map_or(0, |len| u32::from_ne_bytes(*len)) as usize;
            self.renumber(message, len, self.linux, self.own);
            if len < NLMSG_HDRLEN {
                break;
            }
            at += len.next_multiple_of(4);
        }
        bytes
    }

    /// An answer with Linux's numbers.
    fn answer(&self, message: &mut [u8]) {
        let len = message.len();
        if kind(message) == Some(NLMSG_ERROR) {
            // The request that it is about.
            if let Some(request) = message.get_mut(NLMSG_HDRLEN + 4..) {
                let len = request.len();
                self.renumber(request, len, self.own, self.linux);
            }
        } else {
            self.renumber(message, len, self.own, self.linux);
        }
    }

    /// One message's type, and the numbers of families and groups that nlctrl speaks of.
    fn renumber(&self, message: &mut [u8], len: usize, from: &Families, to: &Families) {
        let Some(id) = kind(message) else { return };
        let Some(name) = from.name(id) else { return };
        if to.0.iter().any(|family| family.name == name) {
            message[4..6].copy_from_slice(&to.id(name).to_ne_bytes());
        }
        if id != genl::GENL_ID_CTRL {
            return;
        }
        let end = message.len().min(len);
        let mut changes: Vec<(usize, Vec<u8>)> = Vec::new();
        let attrs = message.get(genl::USER_HEADER..end).unwrap_or_default();
        for attr in Attrs::new(attrs, genl::USER_HEADER as u32) {
            let at = attr.offset() as usize + 4;
            match attr.number() {
                ctrl::FAMILY_ID => {
                    let known = attr.u16().and_then(|id| from.name(id));
                    if let Some(name) = known.filter(|name| to.0.iter().any(|family| family.name == *name)) {
                        changes.push((at, to.id(name).to_ne_bytes().into()));
                    }
                }
                ctrl::MCAST_GROUPS => {
                    for inner in attr.attrs().flat_map(|entry| entry.attrs()) {
                        let number = inner.u32().filter(|_| inner.number() == group::ID);
                        let all = from.0.iter().flat_map(|family| {
                            family.groups.iter().map(move |(group, number)| (&family.name, group, *number))
                        });
                        let mut named = all.filter(|(.., other)| Some(*other) == number);
                        if let Some((family, group, _)) = named.next()
                            && let Some(groups) = to.groups(family)
                            && let Some((_, number)) = groups.iter().find(|(name, _)| name == group)
                        {
                            changes.push((inner.offset() as usize + 4, number.to_ne_bytes().into()));
                        }
                    }
                }
                _ => {}
            }
        }
        for (at, bytes) in changes {
            if let Some(place) = message.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(&bytes);
            }
        }
    }
}

fn kind(message: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes([*message.get(4)?, *message.get(5)?]))
}
