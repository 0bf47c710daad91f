//! Gets what the guest is made of from Debian's archive, without installing it.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages whose first dependency is the kernel image, best first: Debian 12's backport, Debian 13's own.
const METAPACKAGES: &[&str] = &["linux-image-6.12-amd64", "linux-image-amd64"];
/// The series that is the reference.
const SERIES: &str = "linux-image-6.12";

/// What was found.
#[derive(Debug)]
pub struct Kernel {
    /// `6.12.x+deb12-amd64`.
    pub release: String,
    /// The kernel.
    pub vmlinuz: PathBuf,
    /// Its modules' directory.
    pub modules: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// What is made of it goes here.
    pub dir: PathBuf,
}

impl Kernel {
    /// The kernel under `cache`, fetched if it is not there yet.
    ///
    /// # Errors
    /// What is missing and how to get it.
    pub fn find(cache: &Path) -> Result<Kernel> {
        if let Some(kernel) = Kernel::cached(cache)? {
            return Ok(kernel);
        }
        let package = image_package()?;
        eprintln!("oracle: fetching {package} and busybox-static (once, about 110 MB)");
        let dir = cache.join("packages");
        fetch(&[&package, "busybox-static"], &dir).context(
            "the oracle needs Debian's kernel image and busybox-static; on a Debian machine run `apt-get update`, \
             elsewhere unpack both packages (dpkg-deb -x) into target/oracle/packages",
        )?;
        Kernel::cached(cache)?.context("the packages hold no kernel")
    }

    fn cached(cache: &Path) -> Result<Option<Kernel>> {
        let dir = cache.join("packages");
        let Ok(boot) = fs::read_dir(dir.join("boot")) else { return Ok(None) };
        for entry in boot {
            let vmlinuz = entry?.path();
            let name = vmlinuz.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(release) = name.strip_prefix("vmlinuz-") else { continue };
            let busybox = ["usr/bin/busybox", "bin/busybox"].map(|at| dir.join(at));
            let modules = ["lib/modules", "usr/lib/modules"].map(|at| dir.join(at).join(release));
            let there = |places: [PathBuf; 2]| places.into_iter().find(|place| place.exists());
            if let (Some(busybox), Some(modules)) = (there(busybox), there(modules)) {
                return Ok(Some(Kernel {
                    dir: cache.join(release),
                    release: release.to_owned(),
                    vmlinuz,
                    modules,
                    busybox,
                }));
            }
        }
        Ok(None)
    }
}

/// The image that a metapackage stands for now.
fn image_package() -> Result<String> {
    for metapackage in METAPACKAGES {
        let Ok(output) = Command::new("apt-cache").args(["depends", metapackage]).output() else {
            bail!(
                "there is no apt here: unpack a linux-image-6.12 and busybox-static into target/oracle/packages"
            );
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        if let Some(image) =
            depends.into_iter().find(|name| name.starts_with(SERIES) && !name.contains("unsigned"))
        {
            return Ok(image.to_owned());
        }
    }
    bail!("apt knows no {SERIES}*: run `apt-get update`, or add Debian's (security) archive to its sources")
}

fn fetch(packages: &[&str], into: &Path) -> Result<()> {
    let downloads = into.join("debs");
    fs::create_dir_all(&downloads)?;
    let status =
        Command::new("apt-get").arg("-q").arg("download").args(packages).current_dir(&downloads).status()?;
    ensure!(status.success(), "apt-get download failed");
    for entry in fs::read_dir(&downloads)? {
        let status = Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(into).status()?;
        ensure!(status.success(), "dpkg-deb -x failed");
    }
    fs::remove_dir_all(downloads)?;
    Ok(())
}
