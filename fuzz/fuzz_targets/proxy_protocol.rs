//! What connections begin with: PROXY headers. The laws are in `src/proxy_protocol.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::proxy_protocol(bytes));
