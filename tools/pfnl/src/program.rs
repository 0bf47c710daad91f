//! Looks at a program before it is run: can LD_PRELOAD reach it? Where it cannot, silence would mean that the program
//! talks to the real kernel.
//!
//! Rules: ld.so(8) (secure-execution mode), execve(2) (interpreter scripts), elf(5).

use object::read::elf::{ElfFile, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, Object, ReadCache, elf};
use rustix::process::{getegid, geteuid};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a program is not run.
#[derive(Debug)]
pub enum Refusal {
    /// There is none of that name.
    NotFound(PathBuf),
    /// It is there, and cannot be run.
    NotExecutable(PathBuf, io::Error),
    /// It can be run, but not reached: what it is.
    Unreachable(PathBuf, &'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotFound(path) => write!(f, "{}: not found", path.display()),
            Refusal::NotExecutable(path, error) => write!(f, "{}: {error}", path.display()),
            Refusal::Unreachable(path, what) => write!(
                f,
                "{} {what}: LD_PRELOAD cannot reach it, so its netlink sockets would be the kernel's",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// What is known of a program that can be reached.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// The file itself.
    pub path: PathBuf,
    /// Go programs make system calls of their own: only what they do through libc is seen.
    pub is_go: bool,
}

/// Interpreters that may stand before each other (Linux: 4).
const SCRIPTS: usize = 4;

/// Finds a program as execvp(3) does and looks at it, and at its interpreter if it is a script.
///
/// # Errors
/// See [`Refusal`].
pub fn inspect(name: &OsStr) -> Result<Program, Refusal> {
    let path = find(name)?;
    let mut file = path.clone();
    for _ in 0..=SCRIPTS {
        match look(&file)? {
            Look::Binary { is_go } => return Ok(Program { path, is_go }),
            Look::Script(interpreter) => file = find(&interpreter)?,
        }
    }
    Err(Refusal::NotExecutable(path, rustix::io::Errno::LOOP.into()))
}

/// A program by its name: a path if there is a slash in it, else the first in PATH.
fn find(name: &OsStr) -> Result<PathBuf, Refusal> {
    let executable = |path: &Path| {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        Ok(())
    };
    let refuse = |path: PathBuf, error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refusal::NotFound(path),
        _ => Refusal::NotExecutable(path, error),
    };
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return executable(&path).map(|()| path.clone()).map_err(|error| refuse(path, error));
    }
    let mut refused = None;
    let places = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    for directory in std::env::split_paths(&places) {
        let path = directory.join(name);
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                refused.get_or_insert((path, error));
            }
            Err(_) => {}
        }
    }
    Err(refused
        .map_or_else(|| Refusal::NotFound(name.into()), |(path, error)| Refusal::NotExecutable(path, error)))
}

enum Look {
    Binary { is_go: bool },
    Script(OsString),
}

fn look(path: &Path) -> Result<Look, Refusal> {
    let refuse = |error| Refusal::NotExecutable(path.to_owned(), error);
    let unreachable = |what| Err(Refusal::Unreachable(path.to_owned(), what));
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Executable but not readable: nothing can be told, and the loader may still manage.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Look::Binary { is_go: false });
        }
        Err(error) => return Err(refuse(error)),
    };
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(256).read_to_end(&mut start).map_err(refuse)?;
    if let Some(line) = start.strip_prefix(b"#!") {
        return Ok(Look::Script(interpreter(line)));
    }
    if start.is_empty() || !start.starts_with(b"\x7fELF") {
        return Ok(Look::Script(OsString::from("/bin/sh"))); // as execvp(3) does with what it does not know
    }

    let metadata = file.metadata().map_err(refuse)?;
    let (mode, user, group) = (metadata.permissions().mode(), geteuid().as_raw(), getegid().as_raw());
    if mode & 0o4000 != 0 && metadata.uid() != user {
        return unreachable("is setuid");
    }
    if mode & 0o2010 == 0o2010 && metadata.gid() != group {
        return unreachable("is setgid");
    }
    if user != 0 && rustix::fs::getxattr(path, "security.capability", &mut [0_u8; 64]).is_ok() {
        return unreachable("has file capabilities");
    }

    let found = Binary::read(file).map_err(refuse)?;
    let own = File::open("/proc/self/exe").and_then(Binary::read).map_err(refuse)?;
    match found {
        Binary { machine, class, .. } if (machine, class) != (own.machine, own.class) => {
            unreachable("is for another processor or word size")
        }
        Binary { interpreter: None, .. } => unreachable("is statically linked"),
        Binary { interpreter: Some(loader), is_go, .. } => {
            let is_musl = |loader: &[u8]| loader.windows(4).any(|part| part == b"musl");
            if own.interpreter.is_some_and(|own| is_musl(&own) != is_musl(&loader)) {
                return unreachable("is linked with another C library than the preload library");
            }
            Ok(Look::Binary { is_go })
        }
    }
}

/// The interpreter that a `#!` line names; for env(1) what it will look for.
fn interpreter(line: &[u8]) -> OsString {
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    let mut words = line.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or(b"/bin/sh");
    if first.ends_with(b"/env")
        && let Some(next) = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))
    {
        return OsStr::from_bytes(next).to_owned();
    }
    OsStr::from_bytes(first).to_owned()
}

/// What matters of an ELF file.
struct Binary {
    machine: elf::Machine,
    class: FileKind,
    interpreter: Option<Vec<u8>>,
    is_go: bool,
}

impl Binary {
    fn read(file: File) -> io::Result<Binary> {
        let cache = ReadCache::new(file);
        let broken = |_| io::Error::from(rustix::io::Errno::NOEXEC);
        match FileKind::parse(&cache).map_err(broken)? {
            FileKind::Elf64 => Binary::of::<elf::FileHeader64<Endianness>>(&cache, FileKind::Elf64),
            FileKind::Elf32 => Binary::of::<elf::FileHeader32<Endianness>>(&cache, FileKind::Elf32),
            _ => Err(rustix::io::Errno::NOEXEC.into()),
        }
    }

    fn of<H: FileHeader<Endian = Endianness>>(
        cache: &ReadCache<File>,
        class: FileKind,
    ) -> io::Result<Binary> {
        let broken = |_| io::Error::from(rustix::io::Errno::NOEXEC);
        let file = ElfFile::<H, _>::parse(cache).map_err(broken)?;
        let endian = file.endian();
        let mut interpreter = None;
        for header in file.elf_program_headers() {
            if let Ok(Some(name)) = header.interpreter(endian, cache) {
                interpreter = Some(name.to_vec());
            }
        }
        let is_go = [".note.go.buildid", ".go.buildinfo"]
            .into_iter()
            .any(|name| file.section_by_name(name).is_some());
        Ok(Binary { machine: file.elf_header().e_machine(endian), class, interpreter, is_go })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_of_scripts() {
        let of = |line: &str| interpreter(line.as_bytes()).into_string().unwrap();
        assert_eq!(of("/bin/bash\necho"), "/bin/bash");
        assert_eq!(of(" /usr/bin/perl -w\n"), "/usr/bin/perl");
        assert_eq!(of("/usr/bin/env python3\n"), "python3");
        assert_eq!(of("/usr/bin/env -S A=b python3 -u\n"), "python3");
        assert_eq!(of("\n"), "/bin/sh");
    }

    #[test]
    fn what_can_be_reached() {
        let sh = inspect("sh".as_ref()).unwrap();
        assert!(!sh.is_go && sh.path.ends_with("sh"));
        assert!(inspect(std::env::current_exe().unwrap().as_os_str()).is_ok());
    }

    #[test]
    fn what_is_not_there() {
        assert!(matches!(inspect("no-such-program-here".as_ref()), Err(Refusal::NotFound(_))));
        assert!(matches!(inspect("/no/such/path".as_ref()), Err(Refusal::NotFound(_))));
        assert!(matches!(inspect("/etc/passwd".as_ref()), Err(Refusal::NotExecutable(..))));
        assert!(matches!(inspect("/".as_ref()), Err(Refusal::NotExecutable(..))));
    }

    #[test]
    fn scripts_of_scripts_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loop");
        fs::write(&path, format!("#!{}\n", path.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(inspect(path.as_os_str()), Err(Refusal::NotExecutable(..))));
    }
}
