//! The porting proof: Linux programs, built for FreeBSD from their unchanged sources with compat-headers.
//!
//! libmnl with its generic netlink examples, and Open vSwitch's netlink code with ovs-dpctl. What a build needs beside
//! the headers is written down here and nowhere else: [`LIBMNL`] and [`OVS_LINUX`]; docs/PORTING.md explains it.

use crate::packages::{self, Part};
use crate::sh;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NEEDS: &str = "this needs a C compiler for FreeBSD/amd64 with its libraries, libpcap among them:\n  \
    --cc PROGRAM    PROGRAM -o OUT FILE.c makes a program (on FreeBSD itself: cc)\n\
    Nothing was built.";

/// libmnl's sources; its own build only adds that symbols are exported (EXPORT_SYMBOL).
const LIBMNL: [&str; 4] = ["src/attr.c", "src/callback.c", "src/nlmsg.c", "src/socket.c"];
const LIBMNL_EXAMPLES: [&str; 2] = ["genl-family-get", "genl-group-events"];

/// OVS's files that its own build takes on Linux only, and which of them are to think that they are there.
const OVS_LINUX: [(&str, bool); 7] = [
    ("netlink-socket", false),
    ("netlink-notifier", false),
    ("netlink-conntrack", false),
    ("rtnetlink", false),
    ("dpif-netlink", true),
    ("dpif-netlink-rtnl", true),
    // Built on FreeBSD too, but then without the class of datapaths that are a kernel's.
    ("dpif", true),
];

/// What to build, and with what.
#[derive(clap::Args)]
pub struct Options {
    /// A C compiler for FreeBSD
    #[arg(long, value_name = "PROGRAM")]
    cc: Option<PathBuf>,
    /// libmnl's sources; else apt is asked for them (a deb-src line is needed)
    #[arg(long, value_name = "DIR")]
    libmnl: Option<PathBuf>,
    /// Open vSwitch's sources; else those of Debian's package openvswitch-source
    #[arg(long, value_name = "DIR")]
    ovs: Option<PathBuf>,
}

/// Builds what there is; an error if anything is missing.
pub fn run(options: &Options) -> Result<()> {
    let Some(cc) = &options.cc else { bail!("{NEEDS}") };
    packages::need(&[Part::Port])?;
    let work = sh::target()?.join("port");
    fs::create_dir_all(&work)?;
    let port = Port { cc: cc.clone(), work };
    let ovs = port.ovs(options.ovs.as_deref());
    let libmnl = port.libmnl(options.libmnl.as_deref());
    for program in [&ovs, &libmnl].into_iter().flatten().flatten() {
        is_freebsds(program)?;
        println!("{}", program.display());
    }
    let failed: Vec<String> = [("Open vSwitch", ovs.err()), ("libmnl", libmnl.err())]
        .into_iter()
        .filter_map(|(name, error)| error.map(|error| format!("{name}: {error:#}")))
        .collect();
    ensure!(failed.is_empty(), "not built:\n{}", failed.join("\n"));
    Ok(())
}

struct Port {
    cc: PathBuf,
    work: PathBuf,
}

impl Port {
    fn compiler(&self) -> Command {
        let mut cc = Command::new(&self.cc);
        cc.args(["-O2", "-Wno-unused-command-line-argument", "-I"]).arg(headers().join("include"));
        cc
    }

    fn libmnl(&self, given: Option<&Path>) -> Result<Vec<PathBuf>> {
        let source = match given {
            Some(given) => given.to_owned(),
            None => self.apt("libmnl")?,
        };
        let out = self.work.join("mnl");
        fs::create_dir_all(&out)?;
        // Its configure script would write one; nothing of it is used but what is said below.
        fs::write(out.join("config.h"), "")?;
        let mut objects = Vec::new();
        for file in LIBMNL {
            let object = out.join(file.replace('/', "-")).with_extension("o");
            let mut cc = self.compiler();
            cc.arg("-DHAVE_VISIBILITY_HIDDEN").arg("-I").arg(&out);
            cc.arg("-I").arg(source.join("include")).arg("-c").arg(source.join(file)).arg("-o").arg(&object);
            sh::read(&mut cc)?;
            objects.push(object);
        }
        let mut programs = Vec::new();
        for name in LIBMNL_EXAMPLES {
            let program = self.work.join(name);
            let mut cc = self.compiler();
            cc.arg("-I").arg(source.join("include")).arg(source.join(format!("examples/genl/{name}.c")));
            sh::read(cc.args(&objects).arg("-o").arg(&program))?;
            programs.push(program);
        }
        Ok(programs)
    }

    fn ovs(&self, given: Option<&Path>) -> Result<Vec<PathBuf>> {
        let source = match given {
            Some(given) => fs::canonicalize(given).with_context(|| given.display().to_string())?,
            None => self.unpack(Path::new("/usr/src/openvswitch/openvswitch.tar.gz"), "openvswitch")?,
        };
        let build = self.work.join("ovs");
        fs::create_dir_all(&build)?;
        let log = self.work.join("ovs.log");
        let include = headers().join("include");
        if !build.join("Makefile").exists() {
            let mut configure = Command::new(source.join("configure"));
            configure.current_dir(&build);
            if !cfg!(target_os = "freebsd") {
                configure.arg("--host=x86_64-unknown-freebsd");
            }
            configure.args([
                "--disable-ssl",
                "--disable-shared",
                "--disable-libcapng",
                "AR=ar",
                "RANLIB=ranlib",
            ]);
            configure.arg(format!("CC={} -Wno-unused-command-line-argument", self.cc.display()));
            logged(configure.arg(format!("CPPFLAGS=-I{}", include.display())), &log)?;
        }
        let make = |targets: &[&str]| {
            let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
            let mut make = Command::new(if cfg!(target_os = "freebsd") { "gmake" } else { "make" });
            logged(make.current_dir(&build).args(["-j", &jobs]).args(targets), &log)
        };
        make(&[
            "include/odp-netlink.h",
            "include/odp-netlink-macros.h",
            "lib/vswitch-idl.h",
            "lib/ovsdb-server-idl.h",
            "lib/dirs.c",
        ])?;
        let archive = build.join("lib/.libs/libopenvswitch.a");
        // Made anew, as objects are taken out of it and put into it below.
        for made in [&archive, &build.join("lib/libopenvswitch.la"), &build.join("utilities/ovs-dpctl")] {
            let _ = fs::remove_file(made);
        }
        make(&["lib/libopenvswitch.la"])?;
        let mut objects = Vec::new();
        let compat = headers().join("lib");
        let sources = OVS_LINUX
            .iter()
            .map(|&(name, linux)| (source.join(format!("lib/{name}.c")), linux))
            .chain(["epoll.c", "ovs.c"].map(|name| (compat.join(name), false)));
        for (file, linux) in sources {
            let name = file.file_stem().context("a file without a name")?;
            let object = build.join(name).with_extension("o");
            let mut cc = self.compiler();
            if linux {
                cc.arg("-D__linux__");
            }
            cc.arg("-DHAVE_CONFIG_H").arg("-I").arg(&build);
            for folder in ["include", "lib", ""] {
                cc.arg("-I").arg(build.join(folder)).arg("-I").arg(source.join(folder));
            }
            sh::read(cc.arg("-c").arg(&file).arg("-o").arg(&object))?;
            objects.push(object);
        }
        sh::read(Command::new("ar").arg("d").arg(&archive).arg("dpif.o"))?;
        sh::read(Command::new("ar").arg("rs").arg(&archive).args(&objects))?;
        make(&["utilities/ovs-dpctl"])?;
        let program = self.work.join("ovs-dpctl");
        fs::copy(build.join("utilities/ovs-dpctl"), &program)?;
        Ok(vec![program])
    }

    /// A package's sources by apt.
    fn apt(&self, package: &str) -> Result<PathBuf> {
        let out = self.work.join(package);
        if !out.exists() {
            let fresh = self.work.join(format!("{package}.new"));
            let _ = fs::remove_dir_all(&fresh);
            fs::create_dir_all(&fresh)?;
            let mut apt = Command::new("apt-get");
            sh::read(apt.current_dir(&fresh).args(["source", "--quiet", package]))
                .with_context(|| format!("apt has no sources of {package}: --{package} DIR names them"))?;
            let folders = fs::read_dir(&fresh)?.flatten().map(|entry| entry.path());
            let folder = folders.into_iter().find(|path| path.is_dir()).context("apt unpacked nothing")?;
            fs::rename(folder, &out)?;
        }
        Ok(out)
    }

    /// A tarball with one folder in it.
    fn unpack(&self, tarball: &Path, name: &str) -> Result<PathBuf> {
        let out = self.work.join(name);
        if !out.exists() {
            let fresh = self.work.join(format!("{name}.new"));
            let _ = fs::remove_dir_all(&fresh);
            fs::create_dir_all(&fresh)?;
            let mut tar = Command::new("tar");
            sh::read(tar.arg("-xzf").arg(tarball).arg("-C").arg(&fresh).arg("--strip-components=1"))?;
            fs::rename(fresh, &out)?;
        }
        Ok(out)
    }
}

fn headers() -> PathBuf {
    let folder = sh::root().join("compat-headers");
    fs::canonicalize(&folder).unwrap_or(folder)
}

/// Runs a command that says much; where that stands is told when it fails.
fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    let status =
        command.stdout(file.try_clone()?).stderr(file).status().with_context(|| sh::show(command))?;
    ensure!(status.success(), "`{}` failed: see {}", sh::show(command), log.display());
    Ok(())
}

/// Whether a program is one of FreeBSD's: the ABI in its ELF header says so.
fn is_freebsds(program: &Path) -> Result<()> {
    const ELFOSABI_FREEBSD: u8 = 9;
    let bytes = fs::read(program)?;
    let right = bytes.starts_with(b"\x7fELF") && bytes.get(7) == Some(&ELFOSABI_FREEBSD);
    ensure!(right, "{} is no program for FreeBSD", program.display());
    Ok(())
}
