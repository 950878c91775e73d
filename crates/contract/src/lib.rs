//! What the control plane (Python) and the data plane (Rust) say to each other: types only.
//!
//! Everything crosses as canonical JSON (see [`codec`]). `python/bascule/contract` is the same
//! set of pages in the other language; `tests/contract` proves the two equal.

pub mod access_log;
pub mod catalog;
pub mod codec;
pub mod event;
pub mod explain;
pub mod flows;
pub mod mark;
pub mod protection;
pub mod proxy_protocol;
pub mod receipt;
pub mod schema;
pub mod sessions;
pub mod settings;
pub mod snapshot;
pub mod stats;
pub mod tls;

/// Raised whenever a message changes its meaning. A snapshot of another version is refused.
pub const CONTRACT_VERSION: u32 = 1;
