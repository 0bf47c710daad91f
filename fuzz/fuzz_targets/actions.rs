//! The target `actions` of pfnl-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(error) = pfnl_fuzz::targets::actions(input) {
        panic!("{error}");
    }
});
