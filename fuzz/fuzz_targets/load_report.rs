//! Load reports of endpoints. The laws are in `src/load_report.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::load_report(bytes));
