//! OVS's tree: unpacked from Debian's openvswitch-source, its programs those installed or built from it.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian's package openvswitch-source puts it.
const ARCHIVE: &str = "/usr/src/openvswitch/openvswitch.tar.gz";
/// What the suite's servers are made of, beside Debian's packages: its tests of TFTP want a Python server that Debian has not.
const PYTHON: [&str; 3] = ["pyftpdlib==2.2.0", "scapy==2.8.0", "tftpy==0.8.7"];
/// What is taken from the build, where there is one.
const BUILT: [(&str, &str); 8] = [
    ("utilities", "ovs-appctl"),
    ("utilities", "ovs-dpctl"),
    ("utilities", "ovs-ofctl"),
    ("utilities", "ovs-vsctl"),
    ("vswitchd", "ovs-vswitchd"),
    ("ovsdb", "ovsdb-server"),
    ("ovsdb", "ovsdb-tool"),
    ("tests", "ovstest"),
];

/// A tree, ready to run the suite of.
pub struct Tree {
    source: PathBuf,
    /// Its version.
    pub version: String,
    /// The folders of its programs, in front of the machine's own; empty where those are taken.
    pub programs: Vec<PathBuf>,
    /// The Python that the suite's servers run under.
    pub python: PathBuf,
}

impl Tree {
    /// Makes what is missing of it under `folder`. `look` only means to read it.
    pub fn prepare(folder: &Path, archive: Option<&Path>, build: bool, look: bool) -> Result<Tree> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let source = unpack(archive.unwrap_or(Path::new(ARCHIVE)), &folder)?;
        let version = version(&source)?;
        let mut tree =
            Tree { source, version, programs: Vec::new(), python: folder.join("venv/bin/python3") };
        ensure!(
            tree.script().exists(),
            "{} is missing: not a distribution's archive",
            tree.script().display()
        );
        if look {
            return Ok(tree);
        }
        if build || archive.is_some() {
            tree.programs = tree.build(&folder)?;
        } else {
            let installed = read(Command::new("ovs-vswitchd").arg("--version"))?;
            let first = installed.lines().next().unwrap_or_default();
            ensure!(
                first.ends_with(&format!(" {}", tree.version)),
                "the installed {first} is not the tree's {}: --build compiles the tree",
                tree.version
            );
        }
        python(&folder.join("venv"))?;
        Ok(tree)
    }

    /// The suite.
    pub fn script(&self) -> PathBuf {
        self.source.join("tests/system-kmod-testsuite")
    }

    /// The tree's top.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Compiles it, once; what is compiled is what the suite runs.
    fn build(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let build = folder.join(format!("build-{}", self.version));
        let programs: Vec<PathBuf> =
            BUILT.iter().map(|(dir, program)| build.join(dir).join(program)).collect();
        if programs.iter().any(|program| !program.exists()) {
            fs::create_dir_all(&build)?;
            println!("Compiling Open vSwitch {} in {} (minutes)", self.version, build.display());
            if !build.join("config.status").exists() {
                let mut configure = Command::new(self.source.join("configure"));
                configure.args(["--enable-silent-rules", "CFLAGS=-O1", "PYTHON3=/usr/bin/python3"]);
                logged(configure.current_dir(&build), &folder.join("configure.log"))?;
            }
            let jobs = std::thread::available_parallelism().map_or(1, usize::from);
            let mut make = Command::new("make");
            make.arg(format!("-j{jobs}")).args(BUILT.map(|(dir, program)| format!("{dir}/{program}")));
            logged(make.current_dir(&build), &folder.join("make.log"))?;
        }
        let mut folders: Vec<PathBuf> = BUILT.iter().map(|(dir, _)| build.join(dir)).collect();
        folders.dedup();
        Ok(folders)
    }
}

fn unpack(archive: &Path, folder: &Path) -> Result<PathBuf> {
    let stamp = fs::metadata(archive).with_context(|| {
        format!("{}: apt-get install --no-install-recommends openvswitch-source", archive.display())
    })?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split(".tar").next().unwrap_or("tree");
    let to = folder.join(format!("{stem}-{}", stamp.len()));
    if !to.exists() {
        let unfinished = to.with_extension("part");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished)?;
        read(
            Command::new("tar").arg("-xf").arg(archive).args(["--strip-components=1", "-C"]).arg(&unfinished),
        )?;
        fs::rename(unfinished, &to)?;
    }
    Ok(to)
}

/// `AC_INIT(openvswitch, 3.1.0, bugs@openvswitch.org)`
fn version(source: &Path) -> Result<String> {
    let path = source.join("configure.ac");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("AC_INIT(")).context("configure.ac: no AC_INIT")?;
    Ok(line.split(',').nth(1).context("configure.ac: no version")?.trim().to_owned())
}

/// A virtual environment with the suite's Python packages.
fn python(venv: &Path) -> Result<()> {
    let stamp = venv.join(PYTHON.join(","));
    if !stamp.exists() {
        println!("Installing {} into {}", PYTHON.join(", "), venv.display());
        read(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(venv))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        read(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON))?;
        fs::write(stamp, "")?;
    }
    Ok(())
}

fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let out = fs::File::create(log)?;
    let status = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).status()?;
    ensure!(status.success(), "failed; see {}", log.display());
    Ok(())
}

/// What a command prints; its stderr is the error when it fails.
pub fn read(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("{name} is missing"))?;
    if !out.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
