//! Builds pfnl.ko and openvswitch.ko for FreeBSD/amd64, and checks that a kernel's loader would take them.
//!
//! The Rust side is a static library of Debian's compiler for a machine without an operating system; the C glue is
//! compiled by clang; lld links both to a relocatable object. openvswitch.ko finds pfnl.ko's functions as a kernel's. Headers are those of a kernel's sources (--sysdir) or
//! the ones that the ziglang package of PyPI carries (FreeBSD 15.0's).

use crate::kernel_bound::FLAGS as RUST_FLAGS;
use crate::kernel_bound::measure::Measured;
use crate::packages::{self, Part};
use crate::sh;
use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of ziglang whose headers are known to do, and the FreeBSD version they are of.
const ZIGLANG: &str = "ziglang==0.17.1";
const ZIGLANG_VERSION: &str = "1500068";

/// How a FreeBSD kernel compiles modules (sys/conf/kern.mk, kmod.mk), and the options of every GENERIC kernel that
/// headers ask about.
const C_FLAGS: &str = "--target=x86_64-unknown-freebsd15.1 -O2 -nostdinc -std=gnu17 -D_KERNEL -DKLD_MODULE \
    -ffreestanding -fwrapv -fno-strict-aliasing -fno-common -fno-omit-frame-pointer -mcmodel=kernel -mno-red-zone \
    -mno-mmx -mno-sse -msoft-float -mno-aes -mno-avx -fno-asynchronous-unwind-tables -fstack-protector \
    -ffunction-sections -fdata-sections -D__printf__=__freebsd_kprintf__ -DSMP=1 -DVIMAGE=1 -DMAC=1 -DNETLINK=1 \
    -Wall -Werror -Wno-pointer-sign";

/// Whose kernel to build for.
#[derive(clap::Args, Default)]
pub struct Options {
    /// The kernel's sources (/usr/src/sys), for exactly the release to run on
    #[arg(long, value_name = "DIR")]
    pub sysdir: Option<PathBuf>,
    /// A kernel: every name the modules need must be in its symbol table
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Write the names each module needs into its committed list
    #[arg(long)]
    pub bless: bool,
}

/// A module: where its sources are, and what others may use of it.
struct Module {
    name: &'static str,
    /// Its package's folder; C is in `glue`, the names it needs are in `exports.txt`.
    folder: &'static str,
    /// Its static library.
    archive: &'static str,
    /// Functions that are there for other modules.
    offers: &'static [&'static str],
}

/// In the order in which they are loaded.
const MODULES: [Module; 2] = [
    Module { name: "pfnl", folder: "kern-sock/freebsd", archive: "libpfnl_kmod.a", offers: &["pfnl_*"] },
    Module { name: "openvswitch", folder: "datapath/freebsd", archive: "libpfnl_openvswitch.a", offers: &[] },
];

/// Builds and checks; the modules, in the order in which they are loaded.
pub fn run(options: &Options) -> Result<Vec<PathBuf>> {
    packages::need(&[Part::Kmod])?;
    let target = sh::target()?.join("kmod");
    fs::create_dir_all(&target)?;
    let flags = flags(options, &target)?;
    let workspace = sh::root().join(MODULES[0].folder);
    rust(&workspace, &target, &flags)?;
    let (mut modules, mut offered) = (Vec::new(), BTreeSet::new());
    for module in &MODULES {
        let path = module.build(&target, &workspace, &flags)?;
        check(&path, &sh::root().join(module.folder).join("exports.txt"), &offered, options)?;
        offered.extend(defined(&path)?);
        println!("{}", path.display());
        modules.push(path);
    }
    Ok(modules)
}

impl Module {
    fn build(&self, target: &Path, workspace: &Path, flags: &[OsString]) -> Result<PathBuf> {
        let source = sh::root().join(self.folder);
        let path = target.join(self.name).with_extension("ko");
        let mut link = Command::new("ld.lld-19");
        link.args(["-m", "elf_x86_64_fbsd", "-r", "--gc-sections", "--strip-debug"]);
        link.args(self.offers.iter().map(|names| format!("--undefined-glob={names}")));
        link.arg("-T").arg(workspace.join("kmod.lds")).arg("-o").arg(&path);
        // Beside its own, what both have.
        let folders = [source.join("glue"), workspace.join("kernel/glue")];
        let entries: Vec<_> = folders.iter().map(fs::read_dir).collect::<std::io::Result<_>>()?;
        for entry in entries.into_iter().flatten() {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "c") {
                let stem = file.file_stem().context("a file without a name")?.to_string_lossy().into_owned();
                let object = target.join(format!("{}-{stem}.o", self.name));
                let mut clang = Command::new("clang-19");
                // The interface for families in C is made of the headers that those include.
                for folder in ["kernel", "include"] {
                    clang.arg("-I").arg(sh::root().join("compat-headers").join(folder));
                }
                sh::read(clang.args(flags).arg("-c").arg(&file).arg("-o").arg(&object))?;
                link.arg(object);
            }
        }
        sh::read(link.arg(target.join("x86_64-unknown-none/release").join(self.archive)))?;
        Ok(path)
    }
}

/// Builds a module for tests of one C file: a family written for Linux's kernel interface (`compat`: with
/// compat-headers), or one of FreeBSD's own.
pub fn one_file(source: &Path, compat: bool, options: &Options) -> Result<PathBuf> {
    let target = sh::target()?.join("kmod");
    let name = source.file_stem().context("a file without a name")?.to_string_lossy().into_owned();
    let (object, path) = (target.join(format!("{name}.o")), target.join(format!("{name}.ko")));
    let mut clang = Command::new("clang-19");
    for folder in ["kernel", "include"].iter().filter(|_| compat) {
        clang.arg("-I").arg(sh::root().join("compat-headers").join(folder));
    }
    clang.args(flags(options, &target)?).arg(format!("-DPFNL_MODNAME={name}"));
    sh::read(clang.arg("-c").arg(source).arg("-o").arg(&object))?;
    let mut link = Command::new("ld.lld-19");
    link.args(["-m", "elf_x86_64_fbsd", "-r", "--gc-sections", "--strip-debug", "-T"]);
    link.arg(sh::root().join(MODULES[0].folder).join("kmod.lds")).arg("-o").arg(&path).arg(object);
    sh::read(&mut link)?;
    Ok(path)
}

/// The functions and data that a module shows to others.
fn defined(module: &Path) -> Result<BTreeSet<String>> {
    let bytes = fs::read(module)?;
    let file = object::File::parse(&*bytes)?;
    let shown = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
    Ok(shown.filter_map(|symbol| symbol.name().ok().map(String::from)).collect())
}

/// Refuses a module that a kernel would refuse. `offered` is what modules loaded before show.
fn check(module: &Path, exports: &Path, offered: &BTreeSet<String>, options: &Options) -> Result<()> {
    let measured = Measured::read(module)?;
    let needs = || measured.undefined().filter(|name| !offered.contains(*name));
    if options.bless {
        let mut list: Vec<&str> = needs().collect();
        list.sort_unstable();
        fs::write(exports, format!("{HEADING}{}\n", list.join("\n")))?;
    }
    let known = fs::read_to_string(exports).with_context(|| exports.display().to_string())?;
    let known: BTreeSet<&str> = known.lines().filter(|line| !line.starts_with('#')).collect();
    let mut problems = measured.unloadable(|name| known.contains(name) || offered.contains(name));
    if let Some(kernel) = &options.kernel {
        let bytes = fs::read(kernel).with_context(|| kernel.display().to_string())?;
        let file = object::File::parse(&*bytes)?;
        let names = file.symbols().chain(file.dynamic_symbols());
        let has: BTreeSet<&str> =
            names.filter(|symbol| !symbol.is_undefined()).filter_map(|symbol| symbol.name().ok()).collect();
        let missing = needs().filter(|name| !has.contains(name));
        problems.extend(missing.map(|name| format!("{} has no `{name}`", kernel.display())));
    }
    ensure!(problems.is_empty(), "no kernel would load {}:\n  {}", module.display(), problems.join("\n  "));
    println!(
        "  {} bytes of code; {} names of the kernel, {} of other modules; no floating point, no relocation that the \
         loader lacks",
        measured.text(),
        needs().count(),
        measured.undefined().count() - needs().count()
    );
    Ok(())
}

const HEADING: &str = "# The names of the FreeBSD kernel that this module relies on; each is in the symbol table of a 15.1 kernel\n\
    # (`cargo xtask kmod --kernel FILE` looks). A new one is added with --bless, after a look at sys/.\n";

/// What the glue is compiled with, and bindgen reads it with.
fn flags(options: &Options, target: &Path) -> Result<Vec<OsString>> {
    let mut flags: Vec<OsString> = C_FLAGS.split_whitespace().map(OsString::from).collect();
    let sysdir = match &options.sysdir {
        Some(sysdir) => Some(sysdir.clone()),
        None if cfg!(target_os = "freebsd") => Some(PathBuf::from("/usr/src/sys")),
        None => None,
    };
    let mut include = |flag: &str, folder: PathBuf| flags.extend([flag.into(), folder.into_os_string()]);
    if let Some(sysdir) = sysdir {
        let sysdir = fs::canonicalize(&sysdir).with_context(|| sysdir.display().to_string())?;
        ensure!(sysdir.join("sys/protosw.h").exists(), "{} holds no kernel sources", sysdir.display());
        // A kernel's build folder has these links; ours is one too.
        let links = target.join("include");
        fs::create_dir_all(&links)?;
        for (name, there) in [("machine", "amd64"), ("x86", "x86"), ("i386", "i386")] {
            let link = links.join(name);
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(sysdir.join(there).join("include"), link)?;
        }
        include("-I", links);
        include("-I", sysdir.join("contrib/ck/include"));
        include("-I", sysdir);
    } else {
        for folder in ziglang(target)? {
            include("-isystem", folder);
        }
        include("-idirafter", PathBuf::from("/usr/include"));
        flags.push(format!("-D__FreeBSD_version={ZIGLANG_VERSION}").into());
    }
    Ok(flags)
}

/// FreeBSD's headers out of the ziglang package.
pub fn ziglang(target: &Path) -> Result<[PathBuf; 3]> {
    const UNPACK: &str = "import glob, sys, zipfile\n\
        wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + '/ziglang-*.whl')[0])\n\
        wheel.extractall(sys.argv[1], [n for n in wheel.namelist() if '/include/' in n and 'freebsd' in n])";
    let folder = target.join(ZIGLANG.replace("==", "-"));
    let include = folder.join("ziglang/lib/libc/include");
    let stamp = folder.join("unpacked");
    if !stamp.exists() {
        println!("Fetching {ZIGLANG} (100 MB) for the FreeBSD headers in it");
        fs::create_dir_all(&folder)?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
        sh::read(pip.arg(&folder).arg(ZIGLANG)).context("pip of Python 3 is needed (Debian: python3-pip)")?;
        sh::read(Command::new("python3").args(["-c", UNPACK]).arg(&folder))?;
        fs::write(&stamp, "")?;
    }
    Ok(["x86_64-freebsd-none", "x86-freebsd-none", "generic-freebsd"].map(|name| include.join(name)))
}

/// The Rust sides, as static libraries.
fn rust(source: &Path, target: &Path, flags: &[OsString]) -> Result<()> {
    // Debian's toolchain must not find rustup's first.
    let mut path = OsString::from("/usr/bin:");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut cargo = Command::new("/usr/bin/cargo");
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(source)
        .env("PATH", path)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", RUST_FLAGS.replace("-Zemit-stack-sizes", ""))
        .env("LIBCLANG_PATH", "/usr/lib/llvm-19/lib")
        .env("PFNL_CFLAGS", flags.join(&OsString::from("\n")))
        .env("CARGO_TARGET_DIR", target)
        .args(["build", "--quiet", "--locked", "--release", "--workspace", "-Zbuild-std=core,alloc"])
        .args(["--target", "x86_64-unknown-none"]);
    let out = cargo.output().context("/usr/bin/cargo")?;
    if !out.status.success() {
        bail!("the modules' Rust side does not build:\n{}", String::from_utf8_lossy(&out.stderr).trim_end());
    }
    Ok(())
}
