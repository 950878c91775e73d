//! What connections begin with: ClientHellos. The laws are in `src/client_hello.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::client_hello(bytes));
