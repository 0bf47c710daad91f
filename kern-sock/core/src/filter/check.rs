//! Whether a program may be run.

use super::{ANCILLARY, ANCILLARY_END, Instruction, MEMORY, code};
use alloc::vec::Vec;
use pfnl_platform::{Errno, Result};

/// Looks at a program.
///
/// # Errors
/// `EINVAL`: it may not be run. `ENOMEM`.
pub(super) fn check(program: &[Instruction]) -> Result<()> {
    let sound = program.iter().enumerate().all(|(at, instruction)| {
        let behind = program.len().saturating_sub(at).saturating_sub(1);
        is_known(instruction.code) && is_sound(instruction, behind)
    });
    let returns = program.last().is_some_and(|last| matches!(last.code, code::RET_K | code::RET_A));
    if sound && returns && memory_is_written_first(program)? { Ok(()) } else { Err(Errno::EINVAL) }
}

fn is_known(code: u16) -> bool {
    let (mode, size, op) = (code & code::MODE, code & code::SIZE, code & code::OP);
    // Nothing but what the class knows.
    if code & !0xff != 0 {
        return false;
    }
    match code & code::CLASS {
        code::LD => match mode {
            code::ABS | code::IND => size != code::SIZE,
            code::IMM | code::MEM | code::LEN => size == 0,
            _ => false,
        },
        code::LDX => match mode {
            code::IMM | code::MEM | code::LEN => size == 0,
            code::MSH => size == code::BYTE,
            _ => false,
        },
        code::ST | code::STX => code & !code::CLASS == 0,
        code::ALU if op == code::NEG => code & code::SRC_X == 0,
        code::ALU => op <= code::XOR,
        code::JMP if op == code::JA => code & code::SRC_X == 0,
        code::JMP => op <= code::JSET,
        _ => matches!(code, code::RET_K | code::RET_A | code::TAX | code::TXA),
    }
}

/// Whether the operands of an instruction are in order, with so many instructions behind it.
fn is_sound(instruction: &Instruction, behind: usize) -> bool {
    let &Instruction { code, jump_true, jump_false, k } = instruction;
    let is_word = usize::try_from(k).is_ok_and(|k| k < MEMORY);
    let by_k = code & code::SRC_X == 0;
    match code & code::CLASS {
        code::LD | code::LDX if code & code::MODE == code::MEM => is_word,
        code::LD if code & code::MODE == code::ABS => {
            k.checked_sub(ANCILLARY).is_none_or(|what| what < ANCILLARY_END && what % 4 == 0)
        }
        code::ST | code::STX => is_word,
        code::ALU if by_k => match code & code::OP {
            code::DIV | code::MOD => k != 0,
            code::LSH | code::RSH => k < 32,
            _ => true,
        },
        code::JMP if code & code::OP == code::JA => usize::try_from(k).is_ok_and(|k| k < behind),
        code::JMP => usize::from(jump_true) < behind && usize::from(jump_false) < behind,
        _ => true,
    }
}

/// Whether every word of memory has been written before it is read, whichever way is taken. Jumps lead forward, so each
/// instruction is met after all that lead to it.
fn memory_is_written_first(program: &[Instruction]) -> Result<bool> {
    // For each instruction: a bit for each word that all jumps to it have written.
    let mut by_jump = Vec::new();
    by_jump.try_reserve_exact(program.len())?;
    by_jump.resize(program.len(), u16::MAX);
    let mut written = 0_u16;
    for (at, instruction) in program.iter().enumerate() {
        written &= by_jump.get(at).copied().unwrap_or(u16::MAX);
        let &Instruction { code, jump_true, jump_false, k } = instruction;
        let word = 1_u16.wrapping_shl(k);
        let mut leads_to = |skip: usize| {
            if let Some(there) = by_jump.get_mut(at.saturating_add(1).saturating_add(skip)) {
                *there &= written;
            }
        };
        match code & code::CLASS {
            code::ST | code::STX => written |= word,
            code::LD | code::LDX if code & code::MODE == code::MEM && written & word == 0 => {
                return Ok(false);
            }
            code::JMP => {
                if code & code::OP == code::JA {
                    leads_to(usize::try_from(k).unwrap_or(usize::MAX));
                } else {
                    leads_to(jump_true.into());
                    leads_to(jump_false.into());
                }
                written = u16::MAX; // what follows is reached by jumps only
            }
            _ => {}
        }
    }
    Ok(true)
}
