//! What must hold for any bytes: each function panics when a law is broken.
//!
//! The fuzzers (`fuzz_targets/`) look for such bytes; `tests/replay.rs` runs the same laws over the
//! corpus and over mutations of it, in every `cargo test`. The laws compare the parsers with second
//! readings that are written the plain way (`strict.rs`): what both accept, both must understand alike.

mod chunked;
mod client_hello;
mod http2_frames;
mod load_report;
mod path;
mod proxy_protocol;
mod request_head;
mod response_head;
mod session;
mod snapshot;
mod strict;

pub use chunked::chunked;
pub use client_hello::client_hello;
pub use http2_frames::http2_frames;
pub use load_report::load_report;
pub use path::path;
pub use proxy_protocol::proxy_protocol;
pub use request_head::request_head;
pub use response_head::response_head;
pub use session::session;
pub use snapshot::snapshot;

/// Inputs beyond this length say nothing that shorter ones do not.
const LONGEST: usize = 16 * 1024;

/// Lengths at which a message may have been cut off: all of them while that is cheap, else a spread and both ends.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / 256).max(1);
    (0..length).filter(move |at| at % step == 0 || length - at <= 8)
}
