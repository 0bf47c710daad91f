//! The tests that need a FreeBSD kernel: pfnl.ko and openvswitch.ko built for it, loaded, used, unloaded, in QEMU.
//!
//! The machine boots the kernel by PVH from a read-only CD image: the user land that is given, with the modules and
//! tests/freebsd in /extra. Its init runs /extra/test.sh, which runs the parts, and prints `@@EXIT status@@`.

mod scenarios;

use crate::kmod;
use crate::packages::{self, Part};
use crate::sh;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const NEEDS: &str = "this needs a FreeBSD/amd64 of one release:\n  \
    --kernel FILE   its kernel, with cd9660 and virtio_blk in it (INVARIANTS and WITNESS are welcome)\n  \
    --root DIR      a small user land: /bin/sh, kldload, kldunload, sysctl, dmesg, vmstat, jail, and a /bin/init that runs\n                  \
                    /extra/test.sh, prints @@EXIT status@@ and powers off\n  \
    --sysdir DIR    its sources (/usr/src/sys)\n  \
    --cc PROGRAM    compiles C for its user land: PROGRAM -o OUT FILE.c\n  \
    --rust PROGRAM  compiles Rust for it, as cargo does: PROGRAM build --release -p PACKAGE, and leaves the programs\n                  \
                    in $CARGO_TARGET_DIR/x86_64-unknown-freebsd/release\n\
    Nothing was tested.";

/// The FreeBSD to test on.
#[derive(clap::Args)]
pub struct Options {
    /// A kernel
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// A user land
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The kernel's sources
    #[arg(long, value_name = "DIR")]
    sysdir: Option<PathBuf>,
    /// A C compiler for the user land
    #[arg(long, value_name = "PROGRAM")]
    cc: Option<PathBuf>,
    /// A cargo for the user land
    #[arg(long, value_name = "PROGRAM")]
    rust: Option<PathBuf>,
    /// Only these parts: family, ovs, scenarios, speed
    #[arg(long, value_name = "PART")]
    part: Vec<String>,
    /// Cycles of loading and unloading
    #[arg(long, default_value_t = 100)]
    cycles: u32,
    /// Seconds of real time the machine may take
    #[arg(long, default_value_t = 1800)]
    timeout: u64,
}

/// What is run on the machine; those of the second kind need programs in Rust.
const PARTS: [(&str, bool); 4] = [("family", false), ("ovs", true), ("scenarios", true), ("speed", true)];
/// Those programs.
const PROGRAMS: [&str; 2] = ["pfnl-dpctl", "pfnl-scenarios"];

/// Builds, boots, and wants success.
pub fn run(options: &Options) -> Result<()> {
    let Options { kernel: Some(kernel), root: Some(root), sysdir, cc: Some(cc), rust, part, .. } = options
    else {
        bail!("{NEEDS}");
    };
    let wanted = |name: &str| part.is_empty() || part.iter().any(|part| part == name);
    let parts: Vec<_> = PARTS.iter().filter(|(name, _)| wanted(name)).collect();
    ensure!(!parts.is_empty(), "the parts are {}", PARTS.map(|(name, _)| name).join(", "));
    ensure!(rust.is_some() || parts.iter().all(|(_, rust)| !rust), "{NEEDS}");
    packages::need(&[Part::Freebsd])?;
    let for_kernel =
        kmod::Options { sysdir: sysdir.clone(), kernel: Some(kernel.clone()), ..kmod::Options::default() };
    let mut modules = kmod::run(&for_kernel)?;
    for (source, compat) in [("kpi/weather.c", true), ("takeover/native.c", false)] {
        modules.push(kmod::one_file(&sh::root().join("tests/freebsd").join(source), compat, &for_kernel)?);
    }
    let work = sh::target()?.join("freebsd");
    let _ = fs::remove_dir_all(work.join("root"));
    let mut files = modules;
    if let Some(rust) = rust.as_ref().filter(|_| parts.iter().any(|(_, rust)| *rust)) {
        files.extend(programs(rust, &work)?);
    }
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    let script = format!(
        "export CYCLES={} {}\nfor part in {}; do\n\techo \"== $part\"\n\tsh ./$part.sh || exit 1\ndone\n",
        options.cycles,
        if wanted("scenarios") { scenarios::limits()? } else { String::new() },
        names.join(" ")
    );
    let image = image(&work, root, &files, cc, &script)?;
    let clock = if names == ["speed"] { Clock::Instructions } else { Clock::Wall };
    let transcript = boot(kernel, &image, Duration::from_secs(options.timeout), clock)?;
    if wanted("scenarios") { scenarios::compare(&transcript) } else { Ok(()) }
}

/// The programs in Rust, for the user land.
fn programs(rust: &Path, work: &Path) -> Result<Vec<PathBuf>> {
    let target = work.join("target");
    let mut cargo = Command::new(rust);
    cargo.current_dir(sh::root()).env("CARGO_TARGET_DIR", &target).args(["build", "--release"]);
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    sh::run(cargo.args(PROGRAMS.iter().flat_map(|name| ["-p", name])))?;
    Ok(PROGRAMS.iter().map(|name| target.join("x86_64-unknown-freebsd/release").join(name)).collect())
}

/// The user land with what is to be tested.
fn image(work: &Path, root: &Path, files: &[PathBuf], cc: &Path, script: &str) -> Result<PathBuf> {
    fs::create_dir_all(work)?;
    let tree = work.join("root");
    sh::read(Command::new("cp").arg("-a").arg(root).arg(&tree))?;
    let extra = tree.join("extra");
    fs::create_dir_all(&extra)?;
    for file in files {
        fs::copy(file, extra.join(file.file_name().context("a file without a name")?))?;
    }
    let test = extra.join("test.sh");
    fs::write(&test, script)?;
    fs::set_permissions(&test, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for entry in fs::read_dir(sh::root().join("tests/freebsd"))? {
        let path = entry?.path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().context("a file without a name")?;
        if path.extension().is_some_and(|extension| extension == "c") {
            let program = extra.join(name).with_extension("");
            sh::read(Command::new(cc).arg("-o").arg(program).arg(&path).arg("-lpthread"))?;
        } else {
            fs::copy(&path, extra.join(name))?;
        }
    }
    // Programs written for Linux.
    let compat = sh::root().join("compat-headers");
    let tests = sh::root().join("tests/freebsd");
    for (name, sources) in [
        ("weather", vec![tests.join("kpi/client.c")]),
        ("epoll", vec![tests.join("compat/epoll.c"), compat.join("lib/epoll.c")]),
    ] {
        let mut cc = Command::new(cc);
        cc.arg("-I").arg(compat.join("include")).arg("-o").arg(extra.join(name));
        sh::read(cc.args(sources).arg("-lpthread"))?;
    }
    let mut own = Command::new(cc);
    sh::read(own.arg("-o").arg(extra.join("snl")).arg(tests.join("takeover/snl.c")).arg("-lpthread"))?;
    fs::copy(tests.join("kpi/kpi.sh"), extra.join("kpi.sh"))?;
    // What `cargo xtask port` has built, if it has.
    for name in ["ovs-dpctl", "genl-family-get"] {
        let program = sh::target()?.join("port").join(name);
        if program.exists() {
            fs::copy(&program, extra.join(name))?;
        }
    }
    let image = work.join("image");
    sh::read(Command::new("makefs").args(["-t", "cd9660", "-o", "rockridge"]).arg(&image).arg(&tree))?;
    Ok(image)
}

/// What the machine's time is.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    /// The time here.
    Wall,
    /// 8 ns for each instruction, of one processor: what is measured does not depend on what else runs here.
    Instructions,
}

/// Runs the machine and shows what it says from the test's start on; what stands between @@TRANSCRIPT@@ and @@END@@ is
/// given back.
fn boot(kernel: &Path, image: &Path, limit: Duration, clock: Clock) -> Result<String> {
    let append = "boot_serial=1 console=comconsole hint.uart.0.at=isa hint.uart.0.port=0x3F8 \
        hint.uart.0.flags=0x10 hint.uart.0.irq=4 hw.uart.console=io:0x3f8,br:115200 \
        vfs.root.mountfrom=cd9660:/dev/vtbd0 init_path=/bin/init kern.panic_reboot_wait_time=1 \
        debug.debugger_on_panic=0";
    let mut qemu = Command::new("timeout");
    // KVM cannot be relied on; the machine reboots only after a panic.
    qemu.arg(limit.as_secs().to_string()).arg("qemu-system-x86_64");
    match clock {
        Clock::Wall => qemu.args(["-accel", "tcg,thread=multi", "-smp", "2"]),
        Clock::Instructions => {
            qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=3,sleep=off", "-smp", "1"])
        }
    };
    qemu.args(["-cpu", "max,la57=off", "-m", "512", "-nic", "none", "-display", "none"]);
    qemu.args(["-vga", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-kernel"]).arg(kernel);
    qemu.arg("-drive").arg(format!("file={},format=raw,if=virtio,readonly=on", image.display()));
    qemu.args(["-append", append]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = qemu.spawn().context("qemu-system-x86_64")?;
    let (mut began, mut status, mut trouble) = (false, None, None);
    let (mut transcript, mut inside) = (String::new(), false);
    for line in BufReader::new(child.stdout.take().context("no pipe")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end_matches('\r').to_owned();
        began |= line == "@@START@@";
        if let Some(code) = line.strip_prefix("@@EXIT ").and_then(|rest| rest.strip_suffix("@@")) {
            status = code.parse::<i32>().ok();
        }
        if ["panic:", "lock order reversal", "Fatal trap"].iter().any(|word| line.contains(word)) {
            trouble.get_or_insert_with(|| line.clone());
        }
        match line.as_str() {
            "@@TRANSCRIPT@@" => inside = true,
            "@@END@@" => inside = false,
            line if inside => {
                transcript.push_str(line);
                transcript.push('\n');
            }
            line if began || trouble.is_some() => println!("  | {line}"),
            _ => {}
        }
    }
    child.wait()?;
    if let Some(line) = trouble {
        bail!("the kernel complains: {line}");
    }
    ensure!(began, "the machine did not come to its tests");
    match status {
        Some(0) => Ok(transcript),
        Some(code) => bail!("the tests failed with status {code}"),
        None => bail!("the machine did not end its tests within {} s", limit.as_secs()),
    }
}
