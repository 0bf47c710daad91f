//! Socket filters (SO_ATTACH_FILTER): classic BPF over what a socket is to receive.
//!
//! A program gives for each datagram how much of it is kept; nothing: it never comes. One that reads beyond the datagram, or
//! divides by 0, keeps nothing. It is looked at when it is attached, so that none can run for ever or go astray: jumps
//! lead forward, every word of memory is written before it is read, the last instruction returns.
//!
//! Rules: Documentation/networking/filter.rst, include/uapi/linux/{filter,bpf_common}.h, and what Linux answers
//! (tests/scenarios, `filter/`).

mod check;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use pfnl_platform::{Errno, Result, try_push};

/// An instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;
/// The longest program (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;
/// Words of memory (`BPF_MEMWORDS`).
const MEMORY: usize = 16;

/// The parts of a code (linux/bpf_common.h).
mod code {
    pub const CLASS: u16 = 0x07;
    pub const LD: u16 = 0x00;
    pub const LDX: u16 = 0x01;
    pub const ST: u16 = 0x02;
    pub const STX: u16 = 0x03;
    pub const ALU: u16 = 0x04;
    pub const JMP: u16 = 0x05;
    pub const RET: u16 = 0x06;
    pub const MISC: u16 = 0x07;

    pub const SIZE: u16 = 0x18;
    pub const HALF: u16 = 0x08;
    pub const BYTE: u16 = 0x10;
    pub const MODE: u16 = 0xe0;
    pub const IMM: u16 = 0x00;
    pub const ABS: u16 = 0x20;
    pub const IND: u16 = 0x40;
    pub const MEM: u16 = 0x60;
    pub const LEN: u16 = 0x80;
    pub const MSH: u16 = 0xa0;

    pub const OP: u16 = 0xf0;
    pub const SRC_X: u16 = 0x08;
    pub const ADD: u16 = 0x00;
    pub const SUB: u16 = 0x10;
    pub const MUL: u16 = 0x20;
    pub const DIV: u16 = 0x30;
    pub const OR: u16 = 0x40;
    pub const AND: u16 = 0x50;
    pub const LSH: u16 = 0x60;
    pub const RSH: u16 = 0x70;
    pub const NEG: u16 = 0x80;
    pub const MOD: u16 = 0x90;
    pub const XOR: u16 = 0xa0;

    pub const JA: u16 = 0x00;
    pub const JEQ: u16 = 0x10;
    pub const JGT: u16 = 0x20;
    pub const JGE: u16 = 0x30;
    pub const JSET: u16 = 0x40;

    pub const RET_K: u16 = RET;
    pub const RET_A: u16 = RET | 0x10;
    pub const TAX: u16 = MISC;
    pub const TXA: u16 = MISC | 0x80;
}

/// What is not in the datagram (`SKF_AD_*`): from this offset on, in steps of 4, so many of them.
const ANCILLARY: u32 = (-0x1000_i32).cast_unsigned();
const ANCILLARY_END: u32 = 64;

mod ancillary {
    pub const IFINDEX: u32 = 8;
    pub const NLATTR: u32 = 12;
    pub const NLATTR_NEST: u32 = 16;
    pub const HATYPE: u32 = 28;
    pub const ALU_XOR_X: u32 = 40;
    pub const RANDOM: u32 = 56;
}

/// Offsets from the network header (`SKF_NET_OFF`), which is where a datagram begins, and from that of the link
/// (`SKF_LL_OFF`), which only blocks of dumps have.
const NETWORK: i32 = -0x10_0000;
const LINK: i32 = -0x20_0000;

/// A program that has been looked at.
#[derive(Debug)]
pub(crate) struct Filter(Vec<Instruction>);

/// What a program runs on.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) bytes: &'a [u8],
    /// A block of a dump.
    pub(crate) has_link_header: bool,
    /// A number by chance.
    pub(crate) random: fn() -> u32,
}

impl Filter {
    /// Takes a program as it stands in memory: an array of `struct sock_filter`.
    ///
    /// # Errors
    /// `EINVAL`: too long, none, or one that Linux would not run. `ENOMEM`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Filter> {
        let (instructions, rest) = bytes.as_chunks::<INSTRUCTION>();
        if !rest.is_empty() || instructions.is_empty() || instructions.len() > LONGEST {
            return Err(Errno::EINVAL);
        }
        let mut program = Vec::new();
        program.try_reserve_exact(instructions.len())?;
        for &[c0, c1, jump_true, jump_false, k0, k1, k2, k3] in instructions {
            let (code, k) = (u16::from_ne_bytes([c0, c1]), u32::from_ne_bytes([k0, k1, k2, k3]));
            try_push(&mut program, Instruction { code, jump_true, jump_false, k })?;
        }
        check::check(&program)?;
        Ok(Filter(program))
    }

    /// The program as it was given.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        out.try_reserve(self.0.len().saturating_mul(INSTRUCTION))?;
        for instruction in &self.0 {
            out.extend_from_slice(&instruction.code.to_ne_bytes());
            out.extend_from_slice(&[instruction.jump_true, instruction.jump_false]);
            out.extend_from_slice(&instruction.k.to_ne_bytes());
        }
        Ok(())
    }

    /// How many bytes of a datagram are kept at most.
    pub(crate) fn run(&self, subject: Subject<'_>) -> usize {
        let mut machine = Machine { subject, a: 0, x: 0, memory: [0; MEMORY] };
        let mut at = 0_usize;
        // It ends: each step leads forward.
        while let Some(instruction) = self.0.get(at) {
            at = at.saturating_add(1);
            match machine.step(instruction) {
                Some(Step::Next) => {}
                Some(Step::Skip(count)) => at = at.saturating_add(count),
                Some(Step::Return(kept)) => return usize::try_from(kept).unwrap_or(usize::MAX),
                None => break,
            }
        }
        0
    }
}

enum Step {
    Next,
    Skip(usize),
    Return(u32),
}

struct Machine<'a> {
    subject: Subject<'a>,
    a: u32,
    x: u32,
    memory: [u32; MEMORY],
}

impl Machine<'_> {
    /// One instruction; `None`: it cannot be done, and the datagram is not kept.
    fn step(&mut self, instruction: &Instruction) -> Option<Step> {
        let &Instruction { code, k, .. } = instruction;
        let memory = usize::try_from(k).unwrap_or(usize::MAX);
        match code & code::CLASS {
            code::LD => self.a = self.load(code, k)?,
            code::LDX => {
                self.x = match code & code::MODE {
                    code::IMM => k,
                    code::MEM => *self.memory.get(memory)?,
                    code::LEN => self.length(),
                    // The length of an IP header, in its low four bits.
                    _ => (self.bytes(k.cast_signed(), code::BYTE)? & 0xf).wrapping_mul(4),
                }
            }
            code::ST => *self.memory.get_mut(memory)? = self.a,
            code::STX => *self.memory.get_mut(memory)? = self.x,
            code::ALU => self.a = self.compute(code, k)?,
            code::JMP => return Some(Step::Skip(self.jump(instruction))),
            code::RET => return Some(Step::Return(if code == code::RET_A { self.a } else { k })),
            _ if code == code::TAX => self.x = self.a,
            _ => self.a = self.x,
        }
        Some(Step::Next)
    }

    fn load(&self, code: u16, k: u32) -> Option<u32> {
        match code & code::MODE {
            code::IMM => Some(k),
            code::MEM => self.memory.get(usize::try_from(k).ok()?).copied(),
            code::LEN => Some(self.length()),
            code::IND => self.bytes(k.wrapping_add(self.x).cast_signed(), code & code::SIZE),
            _ => match k.checked_sub(ANCILLARY) {
                Some(what) => self.ancillary(what),
                None => self.bytes(k.cast_signed(), code & code::SIZE),
            },
        }
    }

    fn length(&self) -> u32 {
        u32::try_from(self.subject.bytes.len()).unwrap_or(u32::MAX)
    }

    /// A number of the datagram, in network order.
    fn bytes(&self, at: i32, size: u16) -> Option<u32> {
        let at = match at {
            0.. => at,
            NETWORK.. => at.wrapping_sub(NETWORK),
            LINK.. if self.subject.has_link_header => at.wrapping_sub(LINK),
            _ => return None,
        };
        let bytes = self.subject.bytes.get(usize::try_from(at).ok()?..)?;
        match size {
            code::BYTE => bytes.first().copied().map(u32::from),
            code::HALF => bytes.first_chunk().map(|&bytes| u16::from_be_bytes(bytes).into()),
            _ => bytes.first_chunk().map(|&bytes| u32::from_be_bytes(bytes)),
        }
    }

    /// What is known of a datagram beside its bytes; most of it is of packets, and 0 here.
    fn ancillary(&self, what: u32) -> Option<u32> {
        match what {
            // There is no device.
            ancillary::IFINDEX | ancillary::HATYPE => None,
            ancillary::NLATTR => Some(self.attribute(self.a, None)),
            ancillary::NLATTR_NEST => Some(self.nested(self.a)),
            ancillary::ALU_XOR_X => Some(self.a ^ self.x),
            ancillary::RANDOM => Some((self.subject.random)()),
            _ => Some(0),
        }
    }

    /// Where the first attribute of type X is in those from an offset on (up to an end); 0 if there is none.
    fn attribute(&self, from: u32, end: Option<u32>) -> u32 {
        let end = end.unwrap_or(self.length());
        let mut at = from;
        while let Some((length, kind)) = self.attribute_at(at, end) {
            if u32::from(kind) == self.x {
                return at;
            }
            at = at.saturating_add(length.next_multiple_of(4));
        }
        0
    }

    /// As [`Machine::attribute`], in the nest that is at an offset.
    fn nested(&self, at: u32) -> u32 {
        match self.attribute_at(at, self.length()) {
            Some((length, _)) => self.attribute(at.saturating_add(4), Some(at.saturating_add(length))),
            None => 0,
        }
    }

    /// Length and type of the attribute at an offset, if it is whole before an end.
    fn attribute_at(&self, at: u32, end: u32) -> Option<(u32, u16)> {
        let head = self.subject.bytes.get(usize::try_from(at).ok()?..)?.first_chunk::<4>()?;
        let &[l0, l1, k0, k1] = head;
        let length = u32::from(u16::from_ne_bytes([l0, l1]));
        let fits = length >= 4 && length <= end.checked_sub(at)?;
        fits.then_some((length, u16::from_ne_bytes([k0, k1]) & 0x3fff))
    }

    fn compute(&self, code: u16, k: u32) -> Option<u32> {
        let (a, b) = (self.a, if code & code::SRC_X != 0 { self.x } else { k });
        Some(match code & code::OP {
            code::ADD => a.wrapping_add(b),
            code::SUB => a.wrapping_sub(b),
            code::MUL => a.wrapping_mul(b),
            code::DIV => a.checked_div(b)?,
            code::MOD => a.checked_rem(b)?,
            code::OR => a | b,
            code::AND => a & b,
            code::XOR => a ^ b,
            code::LSH => a.wrapping_shl(b),
            code::RSH => a.wrapping_shr(b),
            _ => a.wrapping_neg(),
        })
    }

    /// How many instructions a jump leaves out.
    fn jump(&self, instruction: &Instruction) -> usize {
        let &Instruction { code, jump_true, jump_false, k } = instruction;
        let (a, b) = (self.a, if code & code::SRC_X != 0 { self.x } else { k });
        let holds = match code & code::OP {
            code::JEQ => a == b,
            code::JGT => a > b,
            code::JGE => a >= b,
            code::JSET => a & b != 0,
            _ => return usize::try_from(k).unwrap_or(usize::MAX), // JA
        };
        usize::from(if holds { jump_true } else { jump_false })
    }
}
