//! A running guest.

use super::initramfs;
use anyhow::{Context, Result, bail, ensure};
use pfnl_oracle_agent::{Outcome, Step};
use pfnl_vm::{Kernel, QEMU, accelerator};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many processors: enough for what [`crate::generate`] takes to be few.
const CPUS: u32 = 4;
/// How long a step may take before the guest is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Linux kernel that does as it is told. Dropping it ends it.
pub struct Guest {
    qemu: Child,
    channel: BufReader<UnixStream>,
    console: PathBuf,
    socket: PathBuf,
}

impl Guest {
    /// Boots a kernel, making what is missing for it.
    ///
    /// # Errors
    /// What is missing, or what the guest's console says.
    pub fn boot(kernel: &Kernel) -> Result<Guest> {
        Guest::boot_with(kernel, CPUS)
    }

    /// As [`Guest::boot`], with so many processors.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn boot_with(kernel: &Kernel, cpus: u32) -> Result<Guest> {
        fs::create_dir_all(&kernel.dir)?;
        let agent = build_agent(&kernel.dir)?;
        let initramfs = kernel.dir.join("initramfs");
        initramfs::build(kernel, &agent, &initramfs)?;
        let (console, socket) = (kernel.dir.join("console.log"), socket_path());
        let mut qemu = Command::new(QEMU)
            .args(["-nodefaults", "-no-user-config", "-M", "q35", "-m", "1024", "-smp", &cpus.to_string()])
            .args(["-display", "none", "-no-reboot"])
            .args(accelerator())
            .arg("-kernel")
            .arg(&kernel.vmlinuz)
            .arg("-initrd")
            .arg(&initramfs)
            .args(["-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off random.trust_cpu=on"])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=oracle"])
            .args(["-chardev", &format!("socket,id=agent,path={},server=on,wait=off", socket.display())])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("{QEMU} is missing: apt-get install --no-install-recommends qemu-system-x86")
            })?;
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(_) if qemu.try_wait()?.is_some() => bail!("{QEMU} ended at once"),
                Err(error) if start.elapsed() > PATIENCE => return Err(error).context("QEMU's socket"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut guest = Guest { qemu, channel: BufReader::new(stream), console, socket };
        guest.run(&[Step::Interfaces]).context("the guest does not come up")?;
        eprintln!("oracle: Linux {} is up after {:.1} s", kernel.release, start.elapsed().as_secs_f32());
        Ok(guest)
    }

    /// Does steps, in order.
    ///
    /// # Errors
    /// The guest does not answer any more; what its console said.
    pub fn run(&mut self, steps: &[Step]) -> Result<Vec<Outcome>> {
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

    fn outcome(&mut self) -> Result<Outcome> {
        let mut line = String::new();
        let read = self.channel.read_line(&mut line);
        if !matches!(read, Ok(1..)) {
            let console = fs::read_to_string(&self.console).unwrap_or_default();
            let last: Vec<_> = console.lines().rev().take(30).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            bail!("the guest is silent ({read:?}); its console ends:\n{}", last.join("\n"));
        }
        serde_json::from_str(&line).with_context(|| format!("the agent said {line:?}"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// A socket's path has to be short, and the cache's need not be.
fn socket_path() -> PathBuf {
    std::env::temp_dir().join(format!("pfnl-oracle-{}.sock", std::process::id()))
}

/// Builds the agent with nothing to load beside it: there is no libc in the guest.
fn build_agent(dir: &Path) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let target_dir = dir.with_file_name("agent");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--package", "pfnl-oracle-agent", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()?;
    ensure!(status.success(), "the agent does not build");
    Ok(target_dir.join(TARGET).join("debug/pfnl-oracle-agent"))
}
