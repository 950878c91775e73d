//! Session cookies. The laws are in `src/session.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::session(bytes));
