//! What the scenarios cannot show: that no program and no datagram brings it down.

use super::*;

fn program(instructions: &[(u16, u8, u8, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (code, jump_true, jump_false, k) in instructions {
        bytes.extend_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&[*jump_true, *jump_false]);
        bytes.extend_from_slice(&k.to_ne_bytes());
    }
    bytes
}

fn run(instructions: &[(u16, u8, u8, u32)], bytes: &[u8]) -> usize {
    let filter = Filter::parse(&program(instructions)).unwrap();
    filter.run(Subject { bytes, has_link_header: false, random: || 7 })
}

#[test]
fn a_program_reads_back_as_it_was_given() {
    let given = program(&[(0x28, 0, 0, 4), (0x15, 0, 1, 0x200), (6, 0, 0, u32::MAX), (6, 0, 0, 0)]);
    let mut back = Vec::new();
    Filter::parse(&given).unwrap().write(&mut back).unwrap();
    assert_eq!(back, given);
    assert!(Filter::parse(&given[..given.len() - 1]).is_err());
    assert!(Filter::parse(&[]).is_err());
}

#[test]
fn numbers_are_in_network_order_and_within_the_datagram() {
    let bytes = [1, 2, 3, 4, 5];
    assert_eq!(run(&[(0x20, 0, 0, 0), (0x16, 0, 0, 0)], &bytes), 0x0102_0304);
    assert_eq!(run(&[(0x28, 0, 0, 3), (0x16, 0, 0, 0)], &bytes), 0x0405);
    assert_eq!(run(&[(0x30, 0, 0, 4), (0x16, 0, 0, 0)], &bytes), 5);
    assert_eq!(run(&[(0x20, 0, 0, 2), (6, 0, 0, 9)], &bytes), 0);
    assert_eq!(run(&[(0x30, 0, 0, 5), (6, 0, 0, 9)], &bytes), 0);
    // From X, also backwards from the network header.
    assert_eq!(run(&[(1, 0, 0, 3), (0x50, 0, 0, 1), (0x16, 0, 0, 0)], &bytes), 5);
    assert_eq!(run(&[(1, 0, 0, u32::MAX), (0x50, 0, 0, 0), (6, 0, 0, 9)], &bytes), 0);
}

#[test]
fn chance_and_exclusive_or() {
    assert_eq!(run(&[(0x20, 0, 0, ANCILLARY + 56), (0x16, 0, 0, 0)], &[]), 7);
    assert_eq!(run(&[(0, 0, 0, 6), (1, 0, 0, 3), (0x20, 0, 0, ANCILLARY + 40), (0x16, 0, 0, 0)], &[]), 5);
    assert_eq!(run(&[(0, 0, 0, 1), (0x64, 0, 0, 31), (0x74, 0, 0, 30), (0x16, 0, 0, 0)], &[]), 2);
}

/// Every code with operands at the edges, alone and behind others: none runs astray, whatever it reads.
#[test]
fn no_program_goes_astray() {
    let edges =
        [0, 1, 3, 15, 16, 31, 32, 4095, ANCILLARY, ANCILLARY + 12, ANCILLARY + 16, u32::MAX, 0xffe0_0000];
    let datagrams: [&[u8]; 4] = [&[], &[0xff; 3], &[4, 0, 1, 0, 8, 0, 2, 0, 1, 2, 3, 4], &[0; 40]];
    let mut taken = 0;
    for code in 0..=0x1ff_u16 {
        for k in edges {
            for (jump_true, jump_false) in [(0, 0), (1, 0), (0, 2), (255, 255)] {
                let bytes = program(&[
                    (0x81, 0, 0, 0),
                    (2, 0, 0, 3),
                    (code, jump_true, jump_false, k),
                    (0x87, 0, 0, 0),
                    (0x16, 0, 0, 0),
                ]);
                let Ok(filter) = Filter::parse(&bytes) else { continue };
                taken += 1;
                for bytes in datagrams {
                    filter.run(Subject { bytes, has_link_header: true, random: || 0 });
                }
            }
        }
    }
    assert!(taken > 1000, "{taken}");
}

/// As long as it may be, with jumps as far as they go.
#[test]
fn the_longest_program_ends() {
    let mut instructions = vec![(0x05, 0, 0, 1), (6, 0, 0, 1)];
    instructions.resize(LONGEST - 1, (0x15, 0, 0, 5));
    instructions.push((6, 0, 0, 77));
    assert_eq!(run(&instructions, &[]), 77);
    instructions.push((6, 0, 0, 1));
    assert!(Filter::parse(&program(&instructions)).is_err());
}
