//! Reads a linked relocatable object: what of it a kernel would not take.

use crate::sh;
use anyhow::{Context, Result};
use object::elf;
use object::read::elf::ElfFile64;
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionIndex, SectionKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The FreeBSD kernel stack is 16 KiB; a request runs through a dozen of our frames.
const MAX_FRAME: u64 = 1024;

/// What the amd64 kernel loader knows (sys/amd64/amd64/elf_machdep.c), as facts of a real 15.1 kernel.
const LOADABLE: &[(u32, &str)] = &[
    (elf::R_X86_64_64.0, "64"),
    (elf::R_X86_64_PC32.0, "PC32"),
    (elf::R_X86_64_PLT32.0, "PLT32"),
    (elf::R_X86_64_32S.0, "32S"),
    (elf::R_X86_64_32.0, "32"),
];

/// What is found in the object.
#[derive(Default)]
pub struct Measured {
    text: u64,
    /// Bytes of stack, by function; the largest first.
    frames: Vec<(u64, String)>,
    /// Functions that hold floating-point instructions, and the first of them.
    float: BTreeMap<String, String>,
    relocations: BTreeMap<String, usize>,
    undefined: BTreeSet<String>,
    /// Functions of the `std` crate.
    std: BTreeSet<String>,
    /// Calls of panicking functions, by the function that has them.
    panics: BTreeMap<String, usize>,
}

impl Measured {
    /// Measures an object file.
    pub fn read(path: &Path) -> Result<Measured> {
        let bytes = fs::read(path)?;
        let file = ElfFile64::<object::Endianness>::parse(&*bytes)?;
        let mut measured = Measured::default();
        let names = Functions::of(&file);
        measured.symbols(&file);
        for section in file.sections() {
            match section.kind() {
                SectionKind::Text => {
                    measured.text += section.size();
                    measured.relocations_of(&section);
                    measured.panics_of(&file, &section, &names);
                }
                SectionKind::Data | SectionKind::ReadOnlyData | SectionKind::UninitializedData => {
                    measured.relocations_of(&section);
                }
                _ if section.name() == Ok(".stack_sizes") => measured.frames_of(&file, &section, &names)?,
                _ => {}
            }
        }
        measured.frames.sort_by(|a, b| b.cmp(a));
        let code = sh::read(Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(path))?;
        measured.float.extend(floats(&code));
        Ok(measured)
    }

    fn symbols<'data>(&mut self, file: &impl Object<'data>) {
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            let plain = plain(name);
            if symbol.is_undefined() && !name.is_empty() {
                self.undefined.insert(name.to_owned());
            }
            if plain.starts_with("std::") || plain.starts_with("<std::") {
                self.std.insert(plain);
            } else if is_soft_float(name) {
                self.float.insert(name.to_owned(), "a library routine for floating point".to_owned());
            }
        }
    }

    fn relocations_of<'data>(&mut self, section: &impl ObjectSection<'data>) {
        for (_, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
            let name =
                LOADABLE.iter().find(|(number, _)| *number == r_type.0).map(|(_, name)| (*name).to_owned());
            *self.relocations.entry(name.unwrap_or_else(|| format!("type {}", r_type.0))).or_default() += 1;
        }
    }

    fn panics_of<'data>(
        &mut self,
        file: &impl Object<'data>,
        section: &impl ObjectSection<'data>,
        names: &Functions,
    ) {
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let Ok(symbol) = file.symbol_by_index(index) else { continue };
            // Sections of one function each: lld writes some targets as section + addend.
            let at = symbol.section_index().and_then(|section| names.at(section, symbol.address()));
            let target = symbol.name().ok().filter(|name| !name.is_empty()).map(plain).or(at);
            if target.is_some_and(|target| is_panic(&target)) {
                let from = names.at(section.index(), offset).unwrap_or_default();
                *self.panics.entry(from).or_default() += 1;
            }
        }
    }

    /// `.stack_sizes` is a list of (8-byte address, ULEB128 size); in a relocatable object the address is a
    /// relocation.
    fn frames_of<'data>(
        &mut self,
        file: &impl Object<'data>,
        section: &impl ObjectSection<'data>,
        names: &Functions,
    ) -> Result<()> {
        let data = section.data()?;
        for (offset, relocation) in section.relocations() {
            let start = usize::try_from(offset)? + 8;
            let size = uleb128(data.get(start..).context("a cut .stack_sizes section")?);
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let symbol = file.symbol_by_index(index)?;
            let address = symbol.address().wrapping_add_signed(relocation.addend());
            let name = symbol.section_index().and_then(|section| names.at(section, address));
            self.frames.push((size, name.unwrap_or_else(|| "?".to_owned())));
        }
        Ok(())
    }

    /// The names it leaves to the kernel.
    pub fn undefined(&self) -> impl Iterator<Item = &str> {
        self.undefined.iter().map(String::as_str)
    }

    /// Bytes of code.
    pub fn text(&self) -> u64 {
        self.text
    }

    /// Says what was measured.
    pub fn print(&self) {
        println!("  code: {} functions, {} bytes", self.frames.len(), self.text);
        println!("  largest stack frames (limit {MAX_FRAME} bytes):");
        for (size, name) in self.frames.iter().take(5) {
            println!("    {size:>6}  {name}");
        }
        let list: Vec<String> =
            self.relocations.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("  relocations: {}", list.join(", "));
        let undefined: Vec<&str> = self.undefined.iter().map(String::as_str).collect();
        println!("  left to the kernel: {}", undefined.join(", "));
        println!("  functions with floating point: {}", self.float.len());
        println!("  ways to panic that the compiler kept: {}", self.panics.values().sum::<usize>());
        for (name, count) in &self.panics {
            println!("    {count:>6}  {name}");
        }
    }

    /// Every reason why a kernel would not take the cores.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.unloadable(is_given);
        for (size, name) in self.frames.iter().filter(|(size, _)| *size > MAX_FRAME) {
            problems.push(format!("a stack frame of {size} bytes: {name}"));
        }
        if self.frames.is_empty() {
            problems.push("nothing was measured: no .stack_sizes".to_owned());
        }
        problems
    }

    /// Every reason why a kernel that has the names that are `given` would not load it.
    pub fn unloadable(&self, given: impl Fn(&str) -> bool) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, what) in &self.float {
            problems.push(format!("floating point in {name}: {what}"));
        }
        for name in self.relocations.keys().filter(|name| name.starts_with("type ")) {
            problems.push(format!("the kernel's loader does not know relocations of {name}"));
        }
        for name in &self.std {
            problems.push(format!("std is linked: {name}"));
        }
        for name in self.undefined.iter().filter(|name| !given(name)) {
            problems.push(format!("no kernel has `{name}`"));
        }
        problems
    }
}

/// What tests/kernel-bound asks of "the kernel", and what every kernel has.
fn is_given(name: &str) -> bool {
    name.starts_with("pfnl_")
        || matches!(name, "memcpy" | "memmove" | "memset" | "memcmp" | "bcmp" | "strlen")
}

fn is_panic(name: &str) -> bool {
    name.starts_with("core::panicking::")
        || name.ends_with("_failed") && name.starts_with("core::")
        || name.contains("slice_index_fail")
        || name.starts_with("alloc::raw_vec::handle_error")
        || name.starts_with("alloc::alloc::handle_alloc_error")
}

/// compiler-rt's names for arithmetic on f16, f32, f64 and f128: `__adddf3`, `__floatsidf`, `__fixunssfdi` …
fn is_soft_float(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("__") else { return false };
    const OPERATIONS: &[&str] = &[
        "add", "sub", "mul", "div", "neg", "cmp", "eq", "ne", "lt", "le", "gt", "ge", "unord", "float",
        "fix", "extend", "trunc", "pow",
    ];
    OPERATIONS.iter().any(|operation| rest.starts_with(operation))
        && ["sf", "df", "tf", "hf"].iter().any(|kind| rest.contains(kind))
}

/// Functions of an `objdump -d` listing that hold floating point, and the first instruction that does.
fn floats(listing: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut function = "";
    for line in listing.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once('<')) {
            function = name.1;
        } else if let Some((_, instruction)) = line.split_once(":\t")
            && is_float_instruction(instruction)
        {
            found.entry(plain(function)).or_insert_with(|| instruction.trim().to_owned());
        }
    }
    found
}

/// SSE, AVX and MMX show by their registers, x87 by mnemonics that start with f.
fn is_float_instruction(instruction: &str) -> bool {
    let registers = ["%xmm", "%ymm", "%zmm", "%mm", "%st"];
    registers.iter().any(|register| instruction.contains(register))
        || instruction.starts_with('f')
        || ["emms", "ldmxcsr", "stmxcsr"].iter().any(|name| instruction.starts_with(name))
}

fn uleb128(bytes: &[u8]) -> u64 {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// A name without mangling and hash.
fn plain(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Function names by section and address.
struct Functions(BTreeMap<(usize, u64), String>);

impl Functions {
    fn of<'data>(file: &impl Object<'data>) -> Functions {
        let functions = file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text);
        let entries = functions.filter_map(|symbol| {
            let name = symbol.name().ok()?;
            Some(((symbol.section_index()?.0, symbol.address()), plain(name)))
        });
        Functions(entries.collect())
    }

    /// The function that an address lies in.
    fn at(&self, section: SectionIndex, address: u64) -> Option<String> {
        let (key, name) = self.0.range(..=(section.0, address)).next_back()?;
        (key.0 == section.0).then(|| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_float_names() {
        for name in ["__adddf3", "__floatsidf", "__fixunssfdi", "__extendsfdf2", "__unordtf2", "__gedf2"] {
            assert!(is_soft_float(name), "{name}");
        }
        for name in ["__udivdi3", "__divti3", "__multi3", "memcpy", "__ashlti3", "adddf3"] {
            assert!(!is_soft_float(name), "{name}");
        }
    }

    #[test]
    fn float_instructions() {
        let listing = "0000 <f>:\n   0:\tmovaps %xmm0,%xmm1\n   4:\tret\n0010 <g>:\n  10:\tmov %rax,%rbx\n0020 <h>:\n  20:\tfld1\n";
        assert_eq!(floats(listing).keys().collect::<Vec<_>>(), ["f", "h"]);
    }

    #[test]
    fn sizes() {
        assert_eq!(uleb128(&[0x88, 0x08, 0xff]), 1032);
        assert_eq!(uleb128(&[0x10]), 16);
    }
}
