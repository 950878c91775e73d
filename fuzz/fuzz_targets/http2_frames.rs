//! Frames of HTTP/2 as a client may send them. The laws are in `src/http2_frames.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bascule_fuzz::http2_frames(bytes));
