//! Heads of requests. The laws are in `src/request_head.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::request_head(bytes));
