//! Heads of responses. The laws are in `src/response_head.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::response_head(bytes));
