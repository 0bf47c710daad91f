//! The same scenarios on the machine's own AF_NETLINK and on a pfnl host: equal transcripts, but for what is listed
//! with its reason. What is listed and has become equal fails too.

use pfnl_tests::host;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Scenarios whose transcripts differ, and why that stays so.
const DIFFERENCES: &[(&str, &str)] = &[];

/// What connecting a stream to a seqpacket says: it listens.
const EPROTOTYPE: i32 = 91;

/// From this Linux on (and in the stable releases since) a queue counts a block before it takes it.
const SINCE: (u32, u32) = (6, 12);

/// CAP_SETGID, CAP_SETUID, CAP_NET_BROADCAST, CAP_NET_ADMIN.
const NEEDED: u64 = 1 << 6 | 1 << 7 | 1 << 11 | 1 << 12;

#[test]
fn scenarios_are_equal_on_both_kernels() {
    if let Err(why) = kernel_is_fit() {
        println!("skipped: {why}");
        return;
    }
    host::build().unwrap();
    // In a place where another user may come: some scenarios stop being root.
    let folder = Folder::new();
    let programs = [host::built().unwrap().join("pfnl"), host::built().unwrap().join("libpfnl_preload.so")];
    let [pfnl, _] = programs.map(|program| folder.copy(&program));
    let scenarios = folder.copy(Path::new(env!("CARGO_BIN_EXE_pfnl-scenarios")));
    let socket = folder.0.join("host.sock");
    let mut serve = Command::new(&pfnl);
    serve.args(["serve", "--mode", "666", "--socket"]).arg(&socket).env_remove("LD_PRELOAD");
    let _host = Host::start(serve, &socket);

    let theirs = transcripts(Command::new(&scenarios).arg("all"));
    let mut run = Command::new(&pfnl);
    run.args(["run", "--socket"]).arg(&socket).arg("--").arg(&scenarios).arg("all");
    let ours = transcripts(&mut run);

    let mut wrong = Vec::new();
    let mut equal = 0;
    for (name, theirs) in &theirs {
        let ours = ours.get(name).map_or("", String::as_str);
        let listed = DIFFERENCES.iter().find(|(listed, _)| listed == name);
        match (theirs == ours, listed) {
            (true, None) => equal += 1,
            (true, Some(_)) => wrong.push(format!("{name} is listed as different, and is equal")),
            (false, Some((_, why))) => println!("{name} differs: {why}"),
            (false, None) => wrong.push(format!("{name}\n{}", difference(theirs, ours))),
        }
    }
    for (name, _) in DIFFERENCES {
        assert!(theirs.contains_key(*name), "{name} is listed, and does not exist");
    }
    println!("scenarios equal on both kernels {equal}/{} ({} listed)", theirs.len(), DIFFERENCES.len());
    assert!(theirs.len() >= 150 && ours.len() == theirs.len(), "{} and {}", theirs.len(), ours.len());
    assert!(wrong.is_empty(), "{} scenarios:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether the machine's own kernel can be the measure.
fn kernel_is_fit() -> Result<(), String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|error| error.to_string())?;
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < SINCE {
        return Err(format!("the kernel here is Linux {}, older than what is served", release.trim()));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    if effective & NEEDED != NEEDED {
        return Err("needs to be root, with the network's capabilities".into());
    }
    Ok(())
}

/// What a run of all scenarios wrote, by name.
fn transcripts(command: &mut Command) -> BTreeMap<String, String> {
    command.env_remove("LD_PRELOAD").env_remove("PFNL_SOCKET").env_remove("PFNL_DEBUG");
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts = text.split("== ").skip(1).filter_map(|part| part.split_once('\n'));
    parts.map(|(name, text)| (name.to_owned(), text.trim_end().to_owned())).collect()
}

/// The lines where two transcripts part, and the one before.
fn difference(theirs: &str, ours: &str) -> String {
    let same = theirs.lines().zip(ours.lines()).take_while(|(theirs, ours)| theirs == ours).count();
    let before = theirs.lines().nth(same.wrapping_sub(1)).unwrap_or_default();
    let part = |text: &str, sign| -> String {
        text.lines().skip(same).take(3).map(|line| format!("  {sign} {line}\n")).collect()
    };
    format!("    {before}\n{}{}", part(theirs, "the kernel"), part(ours, "pfnl      "))
}

/// A folder that anyone may enter, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("pfnl-scenarios-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Folder(path)
    }

    fn copy(&self, file: &Path) -> PathBuf {
        let to = self.0.join(file.file_name().unwrap());
        fs::copy(file, &to).unwrap();
        to
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A host that serves.
struct Host(Child);

impl Host {
    fn start(mut serve: Command, socket: &Path) -> Host {
        let host = Host(serve.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(socket)
            .is_err_and(|error| error.raw_os_error() != Some(EPROTOTYPE))
        {
            assert!(Instant::now() < end, "no host");
            std::thread::sleep(Duration::from_millis(5));
        }
        host
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
