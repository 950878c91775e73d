//! Paths. The laws are in `src/path.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::path(bytes));
