//! The target `world` of pfnl-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(error) = pfnl_fuzz::targets::world(input) {
        panic!("{error}");
    }
});
