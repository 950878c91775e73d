//! Chunked bodies. The laws are in `src/chunked.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::chunked(bytes));
