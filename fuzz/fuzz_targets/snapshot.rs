//! Snapshots and marks. The laws are in `src/snapshot.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::snapshot(bytes));
